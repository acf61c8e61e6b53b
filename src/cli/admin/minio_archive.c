/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/minio_archive.h"

#include <stdio.h>
#include <zip.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/library.h"
#include "base/sonames.h"
#include "wire/date.h"
#include "wire/json.h"

#define FOLDER "iam-assets/"

#define FUNCTIONS(X) \
    X(zip_open)      \
    X(zip_discard)   \
    X(zip_get_num_entries) X(zip_get_name) X(zip_fopen_index) X(zip_fread) X(zip_fclose)
LIBRARY(lib, SONAME_ZIP, FUNCTIONS)

static const char *const file_names[] = {
#define FILE_NAME_(name, file) [MINIO_##name] = FOLDER file,
    MINIO_FILES(FILE_NAME_)};

/* ---- the shape of a file -------------------------------------------------------------------- */

struct shape {
    const char *member;
    json_type type;
    bool needed;
};

#define SHAPE_MAX 8
/* By enum minio_file; policies are documents, which the server judges. */
static const struct shape shapes[MINIO_FILE_COUNT][SHAPE_MAX] = {
    [MINIO_USERS] = {{"secretKey", JSON_STRING, true}, {"status", JSON_STRING, false}},
    [MINIO_GROUPS] = {{"members", JSON_ARRAY, false}, {"status", JSON_STRING, false}},
    [MINIO_SERVICES] = {{"parent", JSON_STRING, true},
                        {"secretKey", JSON_STRING, true},
                        {"status", JSON_STRING, false},
                        {"sessionPolicy", JSON_OBJECT, false},
                        {"name", JSON_STRING, false},
                        {"description", JSON_STRING, false},
                        {"expiration", JSON_STRING, false}},
    [MINIO_USER_POLICIES] = {{"policy", JSON_STRING, true}},
    [MINIO_GROUP_POLICIES] = {{"policy", JSON_STRING, true}},
    [MINIO_STS_POLICIES] = {{"policy", JSON_STRING, true}},
};

/* What Go has nothing for is null, or left out. */
static bool has_shape(const json_t *entry, const struct shape *shape)
{
    if (!json_is_object(entry))
        return false;
    for (unsigned i = 0; i < SHAPE_MAX && shape[i].member; i++) {
        const json_t *v = json_object_get(entry, shape[i].member);
        bool nothing = !v || json_is_null(v);
        if (nothing ? shape[i].needed : json_typeof(v) != shape[i].type)
            return false;
    }
    return true;
}

static bool has_texts(const json_t *list)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v))
            return false;
    }
    return true;
}

int minio_file_parse(enum minio_file kind, struct str text, json_t **ret)
{
    const char *name;
    json_t *entry, *o = json_read(text);
    if (json_is_null(o)) {
        json_decref(o);
        o = json_object();
    }
    bool good = json_is_object(o);
    json_object_foreach(o, name, entry)
    {
        good = good && name[0] && has_shape(entry, shapes[kind]) &&
               has_texts(json_object_get(entry, "members"));
    }
    if (good)
        *ret = o;
    else
        json_decref(o);
    return good ? 0 : -ERR_PARSE;
}

/* ---- the zip -------------------------------------------------------------------------------- */

static int fail(char *why, int r, const char *what, const char *name)
{
    snprintf(why, MINIO_ARCHIVE_WHY_MAX, "%s: %s", name, what);
    return r;
}

/* Reads until its end, whatever length the archive gives; libzip tests the checksum there. */
static int BLOCKING unpack(zip_t *zip, zip_int64_t index, struct buf *ret)
{
    char piece[16 * KIB];
    zip_int64_t n;
    zip_file_t *f = lib.zip_fopen_index(zip, (zip_uint64_t)index, 0);
    if (!f)
        return -ERR_CORRUPT;
    while ((n = lib.zip_fread(f, piece, sizeof(piece))) > 0 && !buf_error(ret))
        buf_put(ret, piece, (size_t)n);
    (void)lib.zip_fclose(f);
    if (buf_error(ret))
        return -ERR_TOO_LARGE;
    return n < 0 ? -ERR_CORRUPT : 0;
}

static int BLOCKING read_file(zip_t *zip, zip_int64_t index, enum minio_file kind, json_t **ret,
                              char *why)
{
    _cleanup_buf_ struct buf text;
    buf_init(&text, MINIO_ARCHIVE_FILE_MAX);
    int r = unpack(zip, index, &text);
    if (r == -ERR_TOO_LARGE)
        return fail(why, r, "larger than 64 MiB", file_names[kind]);
    if (r < 0)
        return fail(why, r, "cannot be unpacked", file_names[kind]);
    r = minio_file_parse(kind, buf_str(&text), ret);
    explicit_bzero(text.data, text.len); /* secrets */
    return r < 0 ? fail(why, r, "not what an export of MinIO holds", file_names[kind]) : 0;
}

static int file_named(const char *name)
{
    for (int i = 0; name && i < MINIO_FILE_COUNT; i++)
        if (strcmp(name, file_names[i]) == 0)
            return i;
    return -1;
}

static int BLOCKING read_files(zip_t *zip, struct minio_archive *a, char *why)
{
    zip_int64_t count = lib.zip_get_num_entries(zip, 0);
    unsigned found = 0;
    if (count > MINIO_ARCHIVE_FILES_MAX)
        return fail(why, -ERR_TOO_LARGE, "more than 1000 files", "the archive");
    for (zip_int64_t i = 0; i < count; i++) {
        int kind = file_named(lib.zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW));
        if (kind < 0)
            continue;
        if (a->files[kind]) /* which of the two a reader takes must not be chance */
            return fail(why, -ERR_PARSE, "is there twice", file_names[kind]);
        int r = read_file(zip, i, (enum minio_file)kind, &a->files[kind], why);
        if (r < 0)
            return r;
        found++;
    }
    return found ? 0 : fail(why, -ERR_PARSE, "holds no " FOLDER " of MinIO", "the archive");
}

/* What is not in it is empty. */
static int complete(struct minio_archive *a)
{
    for (unsigned i = 0; i < MINIO_FILE_COUNT; i++)
        if (!a->files[i] && !(a->files[i] = json_object()))
            return -ENOMEM;
    return 0;
}

int BLOCKING minio_archive_read(const char *path, struct minio_archive *ret,
                                char ret_why[MINIO_ARCHIVE_WHY_MAX])
{
    struct minio_archive a = {0};
    int error = 0, r = library_load(&lib.library);
    if (r < 0)
        return fail(ret_why, r, "is not installed (libzip4)", SONAME_ZIP);
    zip_t *zip = lib.zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (!zip)
        return fail(ret_why, -ERR_PARSE,
                    error == ZIP_ER_NOENT || error == ZIP_ER_OPEN ? "cannot be read"
                                                                  : "is no sound zip archive",
                    path);
    r = read_files(zip, &a, ret_why);
    if (r == 0 && (r = complete(&a)) < 0)
        (void)fail(ret_why, r, "no memory", path);
    lib.zip_discard(zip);
    if (r < 0)
        minio_archive_release(&a);
    else
        *ret = a;
    return r;
}

void minio_archive_release(struct minio_archive *a)
{
    for (unsigned i = 0; i < MINIO_FILE_COUNT; i++)
        json_decref(a->files[i]);
    *a = (struct minio_archive){0};
}

/* ---- what stands in it ---------------------------------------------------------------------- */

struct str minio_text(const json_t *entry, const char *name)
{
    const json_t *v = json_object_get(entry, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR("");
}

bool minio_is_off(const json_t *entry)
{
    struct str status = minio_text(entry, "status");
    return str_eq(status, STR("disabled")) || str_eq(status, STR("off"));
}

/* Go's zero time is of the year 1. */
int minio_expiry(const json_t *service, uint64_t *ret_ms)
{
    struct str text = minio_text(service, "expiration");
    *ret_ms = 0;
    if (!text.len || str_starts(text, STR("0001-01-01T")) || str_starts(text, STR("1970-01-01T")))
        return 0;
    return date_parse_iso(text, ret_ms) < 0 ? -ERR_PARSE : 0;
}

bool minio_next_policy(struct str *rest, struct str *ret_name)
{
    struct str part;
    while (str_cut(rest, ',', &part)) {
        *ret_name = str_trim(part);
        if (ret_name->len)
            return true;
    }
    return false;
}
