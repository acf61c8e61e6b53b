/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutObject of a tar archive that is to be unpacked (x-amz-meta-snowball-auto-extract: true, as
 * MinIO and AWS Snowball have it): each file in it becomes an object while the archive comes.
 *
 * Each entry is judged as a PutObject of its own key, with its own look at ACL, tags, encryption,
 * quota and notification: a copy of the request stands for it, whose key is the entry's and whose
 * arena lives no longer than the entry does. So an archive of any length takes the memory of one
 * entry. A name is bytes behind the prefix: "..", "/" and the like mean nothing to the store.
 *
 * Who asks, and whether headers and (where signed) each chunk are theirs, is known before the first
 * byte is looked at; a digest of the whole body can be held against it only at the end. Where that,
 * or an entry, fails, the answer is an error, and what was unpacked before stays: as after single
 * PUTs of which one fails.
 *
 * Limits: ENTRIES_MAX entries of STORE_OBJECT_MAX bytes, names as keys, headers as in wire/tar.h;
 * of what is compressed UNPACKED_MAX bytes, and no more than RATIO_MAX times what came.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/audit.h"
#include "s3/body.h"
#include "s3/object/extract.h"
#include "s3/notice.h"
#include "s3/sse.h"
#include "wire/tar.h"
#include "wire/unzip.h"

#define ENTRIES_MAX  100000
#define ENTRY_ARENA  (1 * MIB)
#define UNPACKED_MAX (64 * GIB)
#define RATIO_MAX    250
#define RATIO_FREE   (1 * MIB)  /* as much in any case */
#define PIECE        (64 * KIB) /* decompressed at once */

#define META "x-amz-meta-"

struct extract {
    struct s3_request *q; /* the archive's */
    struct str prefix;
    bool ignore_folders, ignore_errors;
    uint64_t most;           /* bytes of an entry */
    char first[UNZIP_SNIFF]; /* by which is told how it is compressed */
    size_t first_len;
    struct unzip *unzip; /* NULL: it is not */
    char *piece;
    uint64_t packed, unpacked;
    unsigned entries;
    struct tar tar;
    /* the entry at hand; no writer: it is passed over */
    struct s3_request one;
    struct arena arena;
    struct store_attrs attrs;
    struct s3_data_key key;
    struct md5 md5;
    struct s3_checksum sum;
    struct store_writer *writer;
};

/* ---- what is asked for ---------------------------------------------------------------------- */

static bool is_true(struct s3_request *q, const char *name)
{
    return str_eq_nocase(s3_header(q, str_from(name)), STR("true"));
}

bool s3_is_extract(struct s3_request *q)
{
    return is_true(q, META "snowball-auto-extract");
}

static bool either(struct s3_request *q, const char *name, const char *minios)
{
    return is_true(q, name) || is_true(q, minios);
}

static int read_prefix(struct extract *e)
{
    struct s3_request *q = e->q;
    struct str p = s3_header(q, STR(META "minio-snowball-prefix"));
    if (!p.ptr)
        p = s3_header(q, STR(META "snowball-prefix"));
    while (str_starts(p, STR("/")))
        p = str_from_offset(p, 1);
    if (p.len > STORE_KEY_MAX)
        return -ERR_KEY_TOO_LONG;
    bool slash = p.len && p.ptr[p.len - 1] != '/';
    e->prefix = p.len ? arena_printf(q->arena, "%.*s%s", STR_FMT(p), slash ? "/" : "") : STR("");
    return e->prefix.ptr ? 0 : -ENOMEM;
}

static int read_request(struct extract *e)
{
    struct s3_request *q = e->q;
    e->ignore_folders = either(q, META "snowball-ignore-dirs", META "minio-snowball-ignore-dirs");
    e->ignore_errors =
        either(q, META "snowball-ignore-errors", META "minio-snowball-ignore-errors");
    if (s3_condition(q, STR("if-match")).ptr || s3_condition(q, STR("if-none-match")).ptr)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "An archive that is to be unpacked takes no conditions");
    return read_prefix(e);
}

/* ---- one entry ------------------------------------------------------------------------------ */

static void FIBER drop_entry(struct extract *e)
{
    if (e->writer)
        store_write_abort(TAKE_PTR(e->writer));
    s3_checksum_release(&e->sum);
    s3_data_key_release(&e->key);
}

static int entry_key(struct extract *e, struct str name)
{
    size_t len = e->prefix.len + name.len;
    if (len > STORE_KEY_MAX)
        return -ERR_KEY_TOO_LONG;
    e->one.key = arena_printf(&e->arena, "%.*s%.*s", STR_FMT(e->prefix), STR_FMT(name));
    if (!e->one.key.ptr)
        return -ENOMEM;
    return e->one.key.len == len && str_is_utf8(e->one.key) ? 0 : -ERR_INVALID_ARGUMENT;
}

static bool is_ours(struct str name)
{
    return str_starts(name, STR("snowball-")) || str_starts(name, STR("minio-snowball-"));
}

/* What the headers say of the archive is not said of what is in it: its type, its coding, and how
 * it is to be unpacked. */
static void own_attrs(struct store_attrs *a)
{
    size_t n = 0;
    a->content_type = S3_CONTENT_TYPE_DEFAULT;
    a->header_count = 0;
    for (size_t i = 0; i < a->meta_count; i++)
        if (!is_ours(a->meta[i].name))
            a->meta[n++] = a->meta[i];
    a->meta_count = n;
}

static int FIBER read_attrs(struct extract *e)
{
    struct s3_request *one = &e->one;
    int r = s3_authorise(one, "s3:PutObject", &one->bucket, one->key);
    if (!r)
        r = s3_attrs_read(one, &e->attrs);
    if (!r)
        r = s3_tags_read(one, &e->attrs);
    if (r)
        return r;
    own_attrs(&e->attrs);
    return s3_sse_begin(one, &e->key, &e->attrs.seal);
}

static int FIBER open_entry(struct extract *e, const struct tar_entry *t)
{
    struct s3_request *one = &e->one;
    int r = entry_key(e, t->name);
    if (!r)
        r = read_attrs(e);
    if (!r)
        r = s3_checksum_init(&e->sum, STORE_CRC64NVME);
    if (!r)
        r = store_put_begin_sealed(one->s3->store, one->bucket.id, one->key, t->len_bytes,
                                   t->len_bytes, s3_data_key_or_null(&e->key), &e->writer);
    if (!r)
        r = s3_writer_class(one, &e->writer, e->attrs.storage_class);
    md5_init(&e->md5);
    return r;
}

static int no_archive(struct extract *e)
{
    return s3_error(e->q, -ERR_INVALID_REQUEST,
                    "The body is not a tar archive (plain, gzip or zstd) or is damaged");
}

/* Why an entry failed; told of the whole unless such errors are to be passed over. */
static int fail_entry(struct extract *e, int err)
{
    struct s3_request *q = e->q;
    drop_entry(e);
    if (e->one.key.ptr)
        s3_audit_key(&e->one, e->one.key, STR_NULL, err);
    bool fatal = err == -ENOMEM || err == -ECANCELED;
    if (e->ignore_errors && !fatal)
        return 0;
    if (e->one.key.ptr)
        s3_error_detail(q, "Entry", arena_dup(q->arena, e->one.key));
    if (e->one.message.ptr)
        q->message = arena_dup(q->arena, e->one.message);
    return err;
}

static int FIBER begin_entry(struct extract *e)
{
    const struct tar_entry *t = &e->tar.entry;
    if (e->entries++ == ENTRIES_MAX)
        return s3_error(e->q, -ERR_INVALID_REQUEST, "The archive has more than %u entries",
                        ENTRIES_MAX);
    if (t->len_bytes > e->most)
        return no_archive(e);
    arena_reset(&e->arena);
    e->one = *e->q;
    e->one.arena = &e->arena;
    e->one.key = e->one.message = STR_NULL;
    e->one.detail_count = 0;
    if (t->type == TAR_OTHER || (t->type == TAR_FOLDER && (e->ignore_folders || t->len_bytes)))
        return 0;
    int r = open_entry(e, t);
    return r ? fail_entry(e, r) : 0;
}

static int FIBER write_data(struct extract *e, struct str data)
{
    if (!e->writer)
        return 0;
    s3_digests_update(e->q->s3, &e->md5, NULL, data);
    s3_checksum_update(&e->sum, data.ptr, data.len);
    int r = store_write(e->writer, data.ptr, data.len);
    return r ? fail_entry(e, r) : 0;
}

static int FIBER commit(struct extract *e)
{
    struct store_conditions conditions;
    struct store_written written;
    uint8_t md5[HASH_MD5_LEN];
    md5_finish(&e->md5, md5);
    struct store_etag etag = s3_sse_etag(e->attrs.seal, &e->key, md5);
    struct store_checksum checksum = s3_checksum_finish(&e->sum);
    int r = s3_conditions_write(&e->one, &conditions);
    if (!r)
        r = s3_notice(&e->one, EVENT_NAMES(EVENT_CREATED_PUT), &conditions.notice);
    return r ? r
             : store_put_commit(TAKE_PTR(e->writer), &e->attrs, &etag, &checksum, &conditions,
                                &written);
}

static int FIBER end_entry(struct extract *e)
{
    if (!e->writer)
        return 0;
    int r = commit(e);
    if (r)
        return fail_entry(e, r);
    s3_audit_key(&e->one, e->one.key, STR_NULL, 0);
    drop_entry(e);
    return 0;
}

/* ---- the archive ---------------------------------------------------------------------------- */

static int FIBER take_step(struct extract *e, enum tar_step step, struct str data)
{
    switch (step) {
    case TAR_MORE:
        return 0;
    case TAR_ENTRY:
        return begin_entry(e);
    case TAR_DATA:
        return write_data(e, data);
    case TAR_LAST:
        return end_entry(e);
    }
    return 0;
}

static int FIBER take_plain(struct extract *e, struct str in)
{
    struct str data;
    enum tar_step step = TAR_ENTRY;
    int r = 0;
    while (!r && (in.len || step != TAR_MORE)) {
        size_t used = 0;
        r = tar_next(&e->tar, in, &used, &step, &data);
        if (r)
            return no_archive(e);
        in = str_from_offset(in, used);
        r = take_step(e, step, data);
    }
    return r;
}

static int check_growth(struct extract *e)
{
    if (e->unpacked <= UNPACKED_MAX && e->unpacked <= RATIO_FREE + RATIO_MAX * e->packed)
        return 0;
    return s3_error(e->q, -ERR_INVALID_REQUEST, "The archive unpacks to too much");
}

static int FIBER take_packed(struct extract *e, struct str in)
{
    size_t used = 0, made = PIECE;
    int r = 0;
    e->packed += in.len;
    while (!r && (in.len || made == PIECE)) {
        r = unzip_next(e->unzip, in, &used, e->piece, PIECE, &made);
        if (r)
            return r == -ENOMEM ? r : no_archive(e);
        in = str_from_offset(in, used);
        e->unpacked += made;
        r = check_growth(e);
        if (!r)
            r = take_plain(e, str_make(e->piece, made));
    }
    return r;
}

static int FIBER take_formed(struct extract *e, struct str in)
{
    return e->unzip ? take_packed(e, in) : take_plain(e, in);
}

/* The first bytes are there: as many as are needed, or all. */
static int FIBER begin_form(struct extract *e)
{
    struct str first = str_make(e->first, e->first_len);
    enum unzip_form form = unzip_form_of(first);
    if (form != UNZIP_NONE) {
        e->piece = arena_alloc(e->q->arena, PIECE);
        e->most = STORE_OBJECT_MAX;
        int r = e->piece ? unzip_new(&e->unzip, form) : -ENOMEM;
        if (r)
            return r;
    }
    return take_formed(e, first);
}

static int FIBER take_bytes(const void *bytes, size_t len, void *arg)
{
    struct extract *e = arg;
    struct str in = str_make(bytes, len);
    int r = 0;
    if (e->first_len < UNZIP_SNIFF) {
        size_t n = MIN(in.len, UNZIP_SNIFF - e->first_len);
        memcpy(e->first + e->first_len, in.ptr, n);
        e->first_len += n;
        in = str_from_offset(in, n);
        if (e->first_len == UNZIP_SNIFF)
            r = begin_form(e);
    }
    return r || !in.len ? r : take_formed(e, in);
}

static int FIBER end_archive(struct extract *e)
{
    int r = e->first_len < UNZIP_SNIFF ? begin_form(e) : 0;
    if (r)
        return r;
    return tar_eof(&e->tar) || (e->unzip && unzip_eof(e->unzip)) ? no_archive(e) : 0;
}

static int FIBER unpack(struct extract *e, struct s3_body *b)
{
    struct s3_request *q = e->q;
    int r = s3_body_open(b, q, S3_BODY_MD5 | S3_BODY_CHECKSUM);
    e->most = b->length;
    if (!r)
        r = s3_body_pump(b, take_bytes, e);
    if (!r)
        r = end_archive(e);
    if (r)
        return r;
    struct store_etag etag = {.parts = 0};
    memcpy(etag.md5, b->md5_value, sizeof(etag.md5));
    s3_set_etag(q, &etag);
    s3_set_checksum(q, &b->checksum, 0);
    return s3_respond_empty(q, 200);
}

int FIBER s3_put_extract(struct s3_request *q)
{
    _cleanup_body_ struct s3_body b = {0};
    struct extract *e = arena_new(q->arena, struct extract);
    if (!e)
        return -ENOMEM;
    e->q = q;
    arena_init(&e->arena, ENTRY_ARENA);
    int r = read_request(e);
    if (!r)
        r = unpack(e, &b);
    drop_entry(e);
    unzip_free(e->unzip);
    arena_release(&e->arena);
    return r;
}
