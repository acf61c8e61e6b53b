/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/batch/manifest.h"
#include "base/encode.h"
#include "store/store.h"
#include "wire/json.h"
#include "wire/uri.h"

#define BUCKET_MIN 3
#define BUCKET_MAX 63
#define ARN        STR("arn:aws:s3:::")

static int refuse(const char **ret_why, int err, const char *why)
{
    *ret_why = why;
    return err;
}

/* ---- a line --------------------------------------------------------------------------------- */

/* A field in quotes; *rest is what comes behind it. */
static int cut_quoted(struct arena *a, struct str *rest, struct str *ret, const char **why)
{
    struct str in = str_from_offset(*rest, 1);
    char *out = arena_alloc(a, in.len + 1);
    size_t len = 0, i = 0;
    if (!out)
        return -ENOMEM;
    for (; i < in.len; i++) {
        bool quote = in.ptr[i] == '"';
        if (quote && (i + 1 == in.len || in.ptr[i + 1] != '"'))
            break;
        out[len++] = in.ptr[i];
        i += quote;
    }
    if (i == in.len)
        return refuse(why, -ERR_PARSE, "a quote is not closed");
    *ret = str_make(out, len);
    *rest = str_from_offset(in, i + 1);
    return 0;
}

/* The next field of a line that is not at its end; *ret_more: another one follows. */
static int cut_field(struct arena *a, struct str *rest, struct str *ret, bool *ret_more,
                     const char **why)
{
    if (str_starts(*rest, STR("\""))) {
        int r = cut_quoted(a, rest, ret, why);
        if (r < 0)
            return r;
        if (rest->len && rest->ptr[0] != ',')
            return refuse(why, -ERR_PARSE, "something stands behind a quote");
    } else {
        ptrdiff_t comma = str_find_char(*rest, ',', 0);
        *ret = comma < 0 ? *rest : str_prefix(*rest, (size_t)comma);
        if (str_find_char(*ret, '"', 0) >= 0)
            return refuse(why, -ERR_PARSE, "a quote stands within a field");
        *rest = str_from_offset(*rest, ret->len);
    }
    *ret_more = rest->len > 0;
    if (rest->len)
        *rest = str_from_offset(*rest, 1);
    return 0;
}

static int cut_fields(struct arena *a, struct str line, struct str fields[MANIFEST_COLUMNS_MAX],
                      unsigned *ret_count, const char **why)
{
    bool more = true;
    unsigned count = 0;
    while (more) {
        if (count == MANIFEST_COLUMNS_MAX)
            return refuse(why, -ERR_PARSE, "there are too many fields");
        int r = cut_field(a, &line, &fields[count++], &more, why);
        if (r < 0)
            return r;
    }
    *ret_count = count;
    return 0;
}

static bool is_bucket_name(struct str s)
{
    if (s.len < BUCKET_MIN || s.len > BUCKET_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return true;
}

static bool is_version(struct str s)
{
    if (s.len > MANIFEST_VERSION_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

/* Two or three fields tell what they are. */
static int take_columns(struct manifest_columns *c, unsigned count, const char **why)
{
    if (c->count == 0 && (count == 2 || count == 3))
        *c = (struct manifest_columns){
            .count = count, .key = 1, .version = 2, .has_version = count == 3};
    if (c->count == 0)
        return refuse(why, -ERR_PARSE, "a line is Bucket,Key or Bucket,Key,VersionId");
    if (c->count != count)
        return refuse(why, -ERR_PARSE, "a line has another number of fields than the first");
    return 0;
}

static int take_key(struct arena *a, struct str text, struct str *ret, const char **why)
{
    int r = uri_decode_form(a, text, ret);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return refuse(why, -ERR_PARSE, "a key is not URL-encoded");
    if (ret->len == 0 || ret->len > STORE_KEY_MAX)
        return refuse(why, -ERR_PARSE, "a key has 1 to 1024 bytes");
    if (!str_is_utf8(*ret))
        return refuse(why, -ERR_PARSE, "a key is no UTF-8");
    return 0;
}

static int take_line(struct manifest_columns *c, struct arena *a, struct str line,
                     struct manifest_line *ret, const char **why)
{
    struct str fields[MANIFEST_COLUMNS_MAX];
    unsigned count;
    int r = cut_fields(a, line, fields, &count, why);
    if (r == 0)
        r = take_columns(c, count, why);
    if (r < 0)
        return r;
    ret->bucket = fields[c->bucket];
    ret->version = c->has_version ? fields[c->version] : STR("");
    if (c->of_versions && ret->version.len == 0)
        ret->version = STR("null");
    if (!is_bucket_name(ret->bucket))
        return refuse(why, -ERR_PARSE, "a bucket's name is none");
    if (!is_version(ret->version))
        return refuse(why, -ERR_PARSE, "a version id is none");
    return take_key(a, fields[c->key], &ret->key, why);
}

int manifest_next(struct manifest_columns *c, struct arena *a, struct str in, bool last,
                  struct manifest_line *ret, size_t *ret_used, const char **ret_why)
{
    ptrdiff_t end = str_find_char(in, '\n', 0);
    size_t len = end < 0 ? in.len : (size_t)end;
    if (len > MANIFEST_LINE_MAX)
        return refuse(ret_why, -ERR_TOO_LARGE, "a line is too long");
    if (end < 0 && !last)
        return -EAGAIN;
    struct str line = str_prefix(in, len);
    if (str_ends(line, STR("\r")))
        line.len--;
    *ret_used = len + (end >= 0);
    *ret = (struct manifest_line){STR(""), STR(""), STR("")};
    return line.len ? take_line(c, a, line, ret, ret_why) : 0;
}

/* ---- an inventory's manifest ---------------------------------------------------------------- */

bool manifest_is_inventory(struct str key)
{
    return str_eq(key, STR("manifest.json")) || str_ends(key, STR("/manifest.json"));
}

static struct str text_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return v && json_is_string(v) ? str_make(json_string_value(v), json_string_length(v))
                                  : STR_NULL;
}

/* "Bucket, Key, VersionId, ..." */
static int read_schema(struct str schema, struct manifest_columns *c, const char **why)
{
    bool bucket = false, key = false;
    for (struct str name; schema.len && str_cut(&schema, ',', &name); c->count++) {
        name = str_trim(name);
        if (str_eq(name, STR("Bucket")))
            c->bucket = c->count, bucket = true;
        if (str_eq(name, STR("Key")))
            c->key = c->count, key = true;
        if (str_eq(name, STR("VersionId")))
            c->version = c->count, c->has_version = c->of_versions = true;
    }
    if (!bucket || !key || c->count > MANIFEST_COLUMNS_MAX)
        return refuse(why, -ERR_PARSE, "its fileSchema has no Bucket and Key");
    return 0;
}

static int read_file(struct arena *a, const json_t *o, struct manifest_file *ret, const char **why)
{
    struct str key = text_of(o, "key"), md5 = text_of(o, "MD5checksum");
    json_int_t size = json_integer_value(json_object_get(o, "size"));
    if (!key.len || key.len > STORE_KEY_MAX || size < 0 || md5.len != 2 * sizeof(ret->md5) ||
        hex_decode(md5, ret->md5, sizeof(ret->md5)))
        return refuse(why, -ERR_PARSE, "one of its files has no key, size and MD5checksum");
    ret->key = arena_dup(a, key);
    ret->size = (uint64_t)size;
    return ret->key.ptr ? 0 : -ENOMEM;
}

static int read_files(struct arena *a, const json_t *list, struct manifest_inventory *ret,
                      const char **why)
{
    ret->count = json_array_size(list);
    if (ret->count > MANIFEST_FILES_MAX)
        return refuse(why, -ERR_TOO_LARGE, "it names too many files");
    if (!json_is_array(list))
        return refuse(why, -ERR_PARSE, "it names no files");
    ret->files = arena_array(a, struct manifest_file, ret->count + 1);
    int r = ret->files ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < ret->count; i++)
        r = read_file(a, json_array_get(list, i), &ret->files[i], why);
    return r;
}

/* "arn:aws:s3:::BUCKET", or the name alone */
static int read_bucket(struct arena *a, struct str text, struct str *ret, const char **why)
{
    if (str_starts(text, ARN))
        text = str_from_offset(text, ARN.len);
    if (!is_bucket_name(text))
        return refuse(why, -ERR_PARSE, "its destinationBucket is none");
    *ret = arena_dup(a, text);
    return ret->ptr ? 0 : -ENOMEM;
}

static int read_inventory(struct arena *a, const json_t *o, struct manifest_inventory *ret,
                          const char **why)
{
    if (!str_eq(text_of(o, "fileFormat"), STR("CSV")))
        return refuse(why, -ERR_PARSE, "its fileFormat is not CSV");
    int r = read_bucket(a, text_of(o, "destinationBucket"), &ret->bucket, why);
    if (r == 0)
        r = read_schema(text_of(o, "fileSchema"), &ret->columns, why);
    return r < 0 ? r : read_files(a, json_object_get(o, "files"), ret, why);
}

int manifest_inventory_parse(struct arena *a, struct str text, struct manifest_inventory *ret,
                             const char **ret_why)
{
    struct manifest_inventory made = {.count = 0};
    if (text.len > MANIFEST_JSON_MAX)
        return refuse(ret_why, -ERR_TOO_LARGE, "it is too long");
    json_t *o = json_read(text);
    if (!o)
        return refuse(ret_why, -ERR_PARSE, "it is no JSON");
    int r = read_inventory(a, o, &made, ret_why);
    json_decref(o);
    if (r == 0)
        *ret = made;
    return r;
}
