/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * GetObject and HeadObject: conditions, one range or one part, overrides, checksums.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/checksum.h"
#include "s3/lifecycle.h"
#include "s3/object/lock.h"
#include "s3/object/restore.h"
#include "s3/range.h"
#include "s3/sse.h"
#include "s3/version.h"
#include "wire/date.h"

/* One answer under way. */
struct get {
    struct s3_request *q;
    struct store_reader *reader;
    const struct store_object *object;
    struct byte_range range;            /* what is sent; the whole object at first */
    bool partial;                       /* 206 */
    const struct store_part_info *part; /* with ?partNumber of a multipart object */
    uint64_t part_number;               /* 0: not asked for */
    int failed;                         /* of the client's connection, past the head */
    int status;                         /* of an error this goes with; 0: none */
};

/* ---- which bytes ---------------------------------------------------------------------------- */

static int unsatisfiable(struct get *g, struct str range)
{
    struct s3_request *q = g->q;
    unsigned long long size = g->object->len_bytes;
    (void)http_set_header(q->x, "Content-Range", arena_printf(q->arena, "bytes */%llu", size));
    s3_error_detail(q, "RangeRequested", range);
    s3_error_detail(q, "ActualObjectSize", arena_printf(q->arena, "%llu", size));
    return -ERR_INVALID_RANGE;
}

/* If-Range (RFC 9110 13.1.5): the range counts only for the representation the client knows. */
static bool range_applies(const struct get *g)
{
    struct str text = http_header(g->q->x, STR("if-range"));
    char etag[S3_ETAG_MAX];
    uint64_t ms;
    if (text.len == 0)
        return true;
    if (date_parse_http(text, rt_wall_ms(), &ms) == 0)
        return g->object->mtime_ms / 1000 * 1000 == ms;
    return str_eq(text, s3_etag_format(&g->object->etag, etag));
}

static int choose_range(struct get *g)
{
    struct str text = http_header(g->q->x, STR("range"));
    if (!text.len || !range_applies(g))
        return 0;
    switch (range_parse(text, g->object->len_bytes, &g->range)) {
    case RANGE_PART:
        g->partial = true;
        return 0;
    case RANGE_UNSATISFIABLE:
        return unsatisfiable(g, text);
    default:
        return 0;
    }
}

/* Part N of a multipart object; the whole of any other is its part 1. Of nothing there is no part:
 * part 1 of an empty object is 200, without a Content-Range, which has no way to name it. */
static int choose_part(struct get *g)
{
    const struct store_object *o = g->object;
    size_t count = o->part_count ? o->part_count : 1;
    if (g->part_number > count) {
        s3_error_detail(g->q, "PartNumberRequested", s3_param(g->q, "partNumber"));
        s3_error_detail(g->q, "ActualPartCount", arena_printf(g->q->arena, "%zu", count));
        return -ERR_INVALID_PART_NUMBER;
    }
    g->partial = o->len_bytes > 0;
    if (o->part_count == 0)
        return 0;
    g->range.off = 0;
    for (size_t i = 0; i + 1 < g->part_number; i++)
        g->range.off += o->parts[i].len_bytes;
    g->part = &o->parts[g->part_number - 1];
    g->range.len = g->part->len_bytes;
    return 0;
}

static int read_part_number(struct get *g)
{
    int r = s3_param_number(g->q, "partNumber", 1, STORE_PARTS_MAX, 0, &g->part_number);
    if (!r && g->part_number && http_header(g->q->x, STR("range")).len)
        return s3_error(g->q, -ERR_INVALID_REQUEST,
                        "Cannot specify both Range header and partNumber query parameter");
    return r;
}

/* ---- headers -------------------------------------------------------------------------------- */

/* A checksum of the whole never goes with a part of the bytes. */
static void set_checksum(struct get *g)
{
    const struct store_object *o = g->object;
    bool whole = g->range.len == o->len_bytes;
    if (!str_eq_nocase(s3_header(g->q, STR("x-amz-checksum-mode")), STR("ENABLED")))
        return;
    if (g->part && g->part->checksum.present) {
        s3_set_checksum_value(g->q, &g->part->checksum, 0);
        (void)http_set_header(g->q->x, "x-amz-checksum-type", s3_checksum_type(&o->checksum));
    } else if (whole)
        s3_set_checksum(g->q, &o->checksum, o->etag.parts);
}

static void set_headers(struct get *g)
{
    struct s3_request *q = g->q;
    const struct store_object *o = g->object;
    s3_object_headers(q, o);
    s3_sse_headers(q, o->attrs.seal);
    s3_set_version(q, o);
    s3_lock_headers(q, o);
    s3_restore_header(q, o);
    if (q->version.kind == STORE_VERSION_CURRENT)
        s3_set_expiration(q, o);
    set_checksum(g);
    if (g->partial && g->range.len > 0)
        (void)http_set_header(q->x, "Content-Range",
                              arena_printf(q->arena, "bytes %llu-%llu/%llu",
                                           (unsigned long long)g->range.off,
                                           (unsigned long long)(g->range.off + g->range.len - 1),
                                           (unsigned long long)o->len_bytes));
    if (g->part_number && o->part_count)
        (void)http_set_header(q->x, "x-amz-mp-parts-count",
                              arena_printf(q->arena, "%zu", o->part_count));
}

/* ---- the body ------------------------------------------------------------------------------- */

static int status_of(const struct get *g)
{
    if (g->status)
        return g->status;
    return g->partial ? 206 : 200;
}

/* The head goes with the first verified piece, so that a fault before it is still a clean error. */
static int FIBER send_piece(const void *data, size_t len, void *arg)
{
    struct get *g = arg;
    if (!http_responding(g->q->x)) {
        set_headers(g);
        g->failed = http_begin(g->q->x, status_of(g), g->range.len);
    }
    if (!g->failed)
        g->failed = http_write(g->q->x, data, len);
    return g->failed;
}

static int FIBER send_stored(struct get *g)
{
    int r = store_read(g->reader, g->range.off, g->range.len, send_piece, g);
    return r ? r : http_end(g->q->x);
}

static int FIBER send_body(struct get *g)
{
    struct str data = store_reader_inline(g->reader);
    if (g->range.len > 0 && !data.ptr)
        return send_stored(g);
    set_headers(g);
    data = g->range.len ? str_make(data.ptr + g->range.off, g->range.len) : STR_NULL;
    return http_respond(g->q->x, status_of(g), data);
}

static int FIBER send_head(struct get *g)
{
    set_headers(g);
    int r = http_begin(g->q->x, status_of(g), g->range.len);
    return r ? r : http_end(g->q->x);
}

/* ---- the operations ------------------------------------------------------------------------- */

static int FIBER answer(struct get *g, bool with_body)
{
    g->object = store_reader_object(g->reader);
    g->range.len = g->object->len_bytes;
    int r = with_body ? s3_check_readable(g->q, g->object) : 0;
    if (r)
        return r;
    r = with_body ? s3_sse_unseal(g->q, g->q->bucket.id, g->reader, false)
                  : s3_sse_check(g->q, g->object);
    if (r)
        return r;
    r = g->status ? 0 : g->part_number ? choose_part(g) : choose_range(g);
    if (r)
        return r;
    return with_body ? send_body(g) : send_head(g);
}

/* It may be another object than the one that was judged. */
static int FIBER still_allowed(struct get *g)
{
    struct s3_request *q = g->q;
    const char *action = s3_action("s3:GetObject", s3_param(q, "versionId").ptr != NULL);
    return s3_still_allowed(q, action, &q->bucket, q->key, STR_NULL,
                            store_reader_object(g->reader));
}

static int FIBER get_object(struct s3_request *q, bool with_body)
{
    struct get g = {.q = q};
    struct store_conditions conditions;
    int r = read_part_number(&g);
    if (!r)
        r = s3_overrides_check(q);
    if (r)
        return r;
    s3_conditions_read(q, false, &conditions);
    r = store_get(q->s3->store, q->bucket.id, q->key, q->version, &conditions, &g.reader);
    int allowed = g.reader ? still_allowed(&g) : 0;
    if (allowed)
        r = allowed;
    else if (!r)
        r = answer(&g, with_body);
    else if (r == -ERR_NOT_MODIFIED)
        s3_not_modified_headers(q, store_reader_object(g.reader));
    else
        r = s3_explain_marker(q, g.reader, s3_explain_condition(q, r, &conditions));
    if (g.reader)
        store_reader_close(g.reader);
    return r;
}

int FIBER s3_get_object(struct s3_request *q)
{
    return get_object(q, true);
}

int FIBER s3_head_object(struct s3_request *q)
{
    return get_object(q, false);
}

/* ---- of a site ------------------------------------------------------------------------------ */

static int FIBER answer_site(struct get *g)
{
    struct str to = s3_redirect_of(&store_reader_object(g->reader)->attrs);
    if (to.ptr) { /* also of an error's document: the error is not told then, as in S3 */
        int r = http_set_header(g->q->x, "Location", to);
        return r ? r : s3_respond_empty(g->q, 301);
    }
    return answer(g, !str_eq(g->q->head->method, STR("HEAD")));
}

int FIBER s3_get_website_object(struct s3_request *q, int status)
{
    struct get g = {.q = q, .status = status};
    struct store_conditions conditions = {0};
    if (!status)
        s3_conditions_read(q, false, &conditions);
    int r = store_get(q->s3->store, q->bucket.id, q->key, STORE_CURRENT, &conditions, &g.reader);
    int allowed = g.reader ? still_allowed(&g) : 0;
    if (allowed)
        r = allowed;
    else if (!r)
        r = answer_site(&g);
    else if (r == -ERR_NOT_MODIFIED)
        s3_not_modified_headers(q, store_reader_object(g.reader));
    if (g.reader)
        store_reader_close(g.reader);
    return r;
}
