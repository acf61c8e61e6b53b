/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/sigv2.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/date.h"
#include "wire/sigv4.h"
#include "wire/uri.h"

#include <stdlib.h>

/* ---- reading -------------------------------------------------------------------------------- */

static int read_signature(struct str text, uint8_t ret[HASH_SHA1_LEN])
{
    uint8_t bytes[HASH_SHA1_LEN + 1];
    size_t len;
    if (base64_decode(text, bytes, sizeof(bytes), &len) || len != HASH_SHA1_LEN)
        return -ERR_SIGNATURE_MISMATCH;
    memcpy(ret, bytes, HASH_SHA1_LEN);
    return 0;
}

/* The one value of a header; ptr NULL: absent. */
static int find_single(const struct http1_request *r, struct str name, struct str *ret)
{
    *ret = STR_NULL;
    for (unsigned i = 0; i < r->header_count; i++) {
        if (!str_eq_nocase(r->headers[i].name, name))
            continue;
        if (ret->ptr)
            return -ERR_INVALID_ARGUMENT;
        *ret = r->headers[i].value;
    }
    return 0;
}

/* AWS AKID:signature */
static int read_header(struct str value, struct sigv2_auth *auth)
{
    ptrdiff_t colon = str_find_char(value, ':', 0);
    auth->form = SIGV2_HEADER;
    if (colon < 1 || colon > SIGV4_KEY_MAX)
        return -ERR_AUTH_HEADER_MALFORMED;
    auth->access_key = str_prefix(value, (size_t)colon);
    auth->signature_text = str_from_offset(value, (size_t)colon + 1);
    return read_signature(auth->signature_text, auth->signature);
}

static int read_query(const struct uri_query *q, struct sigv2_auth *auth)
{
    unsigned seen = 0;
    for (size_t i = 0; i < q->count; i++)
        seen += str_eq(q->params[i].name, STR("AWSAccessKeyId")) ||
                str_eq(q->params[i].name, STR("Signature")) ||
                str_eq(q->params[i].name, STR("Expires"));
    auth->form = SIGV2_QUERY;
    auth->access_key = uri_query_get(q, STR("AWSAccessKeyId"));
    auth->signature_text = uri_query_get(q, STR("Signature"));
    if (seen != 3 || auth->access_key.len < 1 || auth->access_key.len > SIGV4_KEY_MAX ||
        !auth->signature_text.ptr || str_to_u64(uri_query_get(q, STR("Expires")), &auth->expires_s))
        return -ERR_AUTH_QUERY_MALFORMED;
    return read_signature(auth->signature_text, auth->signature);
}

int sigv2_parse(struct arena *a, const struct http1_request *r, struct sigv2_auth *ret)
{
    struct sigv2_auth auth = {.form = SIGV2_NONE};
    struct str header, path, raw;
    struct uri_query q;
    uri_split(r->target, &path, &raw);
    int rc = find_single(r, STR("authorization"), &header);
    if (!rc)
        rc = uri_parse_query(a, raw, &q);
    if (rc)
        return rc;
    bool in_header = str_starts(header, STR("AWS "));
    bool in_query = uri_query_has(&q, STR("AWSAccessKeyId"));
    if (in_query && header.ptr)
        return -ERR_INVALID_ARGUMENT;
    if (in_header)
        rc = read_header(str_from_offset(header, 4), &auth);
    else if (in_query)
        rc = read_query(&q, &auth);
    if (!rc)
        *ret = auth;
    return rc;
}

/* ---- what is signed ------------------------------------------------------------------------- */

static void put_header(struct buf *b, const struct http1_request *r, const char *name)
{
    buf_put_str(b, http1_find(r->headers, r->header_count, str_from(name)));
    buf_put_char(b, '\n');
}

static int compare_headers(const void *a, const void *b)
{
    const struct http1_header *x = *(const struct http1_header *const *)a;
    const struct http1_header *y = *(const struct http1_header *const *)b;
    size_t len = MIN(x->name.len, y->name.len);
    for (size_t i = 0; i < len; i++) {
        int d = char_lower(x->name.ptr[i]) - char_lower(y->name.ptr[i]);
        if (d)
            return d;
    }
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    return x < y ? -1 : 1; /* repeated ones keep their order */
}

static void put_lower(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_put_char(b, char_lower(s.ptr[i]));
}

/* Every x-amz-* header, in order; repeated ones joined. */
static int put_amz_headers(struct arena *a, struct buf *b, const struct http1_request *r)
{
    const struct http1_header **list =
        arena_array(a, const struct http1_header *, r->header_count + 1);
    size_t count = 0;
    if (!list)
        return -ENOMEM;
    for (unsigned i = 0; i < r->header_count; i++)
        if (str_starts_nocase(r->headers[i].name, STR("x-amz-")))
            list[count++] = &r->headers[i];
    qsort(list, count, sizeof(*list), compare_headers);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_eq_nocase(list[i]->name, list[i - 1]->name)) {
            b->len--; /* the line goes on */
            buf_put_char(b, ',');
        } else {
            put_lower(b, list[i]->name);
            buf_put_char(b, ':');
        }
        buf_put_str(b, str_trim(list[i]->value));
        buf_put_char(b, '\n');
    }
    return 0;
}

/* The parameters that name a sub-resource or change the answer, as the clients know them. */
bool sigv2_signs_param(struct str name)
{
    static const char *const names[] = {"accelerate",
                                        "acl",
                                        "analytics",
                                        "cors",
                                        "defaultObjectAcl",
                                        "delete",
                                        "inventory",
                                        "lifecycle",
                                        "location",
                                        "logging",
                                        "metrics",
                                        "notification",
                                        "object-lock",
                                        "partNumber",
                                        "policy",
                                        "replication",
                                        "requestPayment",
                                        "restore",
                                        "select",
                                        "select-type",
                                        "storageClass",
                                        "tagging",
                                        "torrent",
                                        "uploadId",
                                        "uploads",
                                        "versionId",
                                        "versioning",
                                        "versions",
                                        "website",
                                        "response-cache-control",
                                        "response-content-disposition",
                                        "response-content-encoding",
                                        "response-content-language",
                                        "response-content-type",
                                        "response-expires"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_from(names[i])))
            return true;
    return false;
}

static int compare_params(const void *a, const void *b)
{
    return str_cmp(((const struct uri_param *)a)->name, ((const struct uri_param *)b)->name);
}

/* A bucket in the path, without the slash behind it. */
static bool is_bare_bucket(struct str path, struct str bucket_path)
{
    return bucket_path.len == 0 && path.len > 1 && str_find_char(path, '/', 1) < 0;
}

/* Clients differ in how they write the same resource: a bucket's path as virtual hosts have it,
 * with a slash they do not send, and `?uploads` for `?uploads=`. */
#define WITH_SLASH 1u
#define BARE_EMPTY 2u
#define MANNERS    4u

static int put_resource(struct arena *a, struct buf *b, const struct http1_request *r,
                        struct str bucket_path, unsigned manner)
{
    struct str path, raw;
    struct uri_query q;
    char separator = '?';
    uri_split(r->target, &path, &raw);
    int rc = uri_parse_query(a, raw, &q);
    if (rc)
        return rc;
    buf_put_str(b, bucket_path);
    buf_put_str(b, path);
    if (manner & WITH_SLASH)
        buf_put_char(b, '/');
    if (q.count)
        qsort(q.params, q.count, sizeof(*q.params), compare_params);
    for (size_t i = 0; i < q.count; i++) {
        if (!sigv2_signs_param(q.params[i].name))
            continue;
        buf_put_char(b, separator);
        buf_put_str(b, q.params[i].name);
        if (q.params[i].has_value && (q.params[i].value.len || !(manner & BARE_EMPTY))) {
            buf_put_char(b, '=');
            buf_put_str(b, q.params[i].value);
        }
        separator = '&';
    }
    return 0;
}

static int make_text(struct arena *a, const struct http1_request *r, const struct sigv2_auth *auth,
                     struct str bucket_path, unsigned manner, struct str *ret)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    buf_put_str(&b, r->method);
    buf_put_char(&b, '\n');
    put_header(&b, r, "content-md5");
    put_header(&b, r, "content-type");
    if (auth->form == SIGV2_QUERY)
        buf_printf(&b, "%llu\n", (unsigned long long)auth->expires_s);
    else if (http1_find(r->headers, r->header_count, STR("x-amz-date")).ptr)
        buf_put_char(&b, '\n');
    else
        put_header(&b, r, "date");
    int rc = put_amz_headers(a, &b, r);
    if (!rc)
        rc = put_resource(a, &b, r, bucket_path, manner);
    if (!rc)
        rc = buf_error(&b);
    if (rc)
        return rc;
    *ret = arena_dup(a, buf_str(&b));
    return ret->ptr ? 0 : -ENOMEM;
}

/* ---- verifying ------------------------------------------------------------------------------ */

static int check_time(const struct http1_request *r, const struct sigv2_auth *auth, uint64_t now_ms)
{
    struct str text = http1_find(r->headers, r->header_count, STR("x-amz-date"));
    uint64_t at_ms;
    if (auth->form == SIGV2_QUERY)
        return now_ms / 1000 > auth->expires_s ? -ERR_EXPIRED : 0;
    if (!text.ptr)
        text = http1_find(r->headers, r->header_count, STR("date"));
    bool bad = date_parse_http(text, now_ms, &at_ms) && date_parse_amz(text, &at_ms);
    if (bad || at_ms == 0) /* 1970 or before */
        return -ERR_ACCESS_DENIED;
    bool late = now_ms > at_ms + SIGV4_SKEW_MS, early = at_ms > now_ms + SIGV4_SKEW_MS;
    return late || early ? -ERR_TIME_SKEWED : 0;
}

static int compare(struct str text, const uint8_t signature[HASH_SHA1_LEN], struct str secret)
{
    uint8_t computed[HASH_SHA1_LEN];
    hmac_sha1(secret, text, computed);
    bool same =
        str_eq_secret(str_make(computed, sizeof(computed)), str_make(signature, HASH_SHA1_LEN));
    return same ? 0 : -ERR_SIGNATURE_MISMATCH;
}

int sigv2_verify(struct arena *a, const struct http1_request *r, const struct sigv2_auth *auth,
                 struct str bucket_path, struct str secret, uint64_t now_ms,
                 struct str *ret_to_sign)
{
    struct str path, raw, text;
    unsigned known = BARE_EMPTY;
    uri_split(r->target, &path, &raw);
    if (is_bare_bucket(path, bucket_path))
        known |= WITH_SLASH;
    *ret_to_sign = STR_NULL;
    int rc = check_time(r, auth, now_ms);
    if (rc)
        return rc;
    rc = -ERR_SIGNATURE_MISMATCH;
    for (unsigned manner = 0; manner < MANNERS && rc == -ERR_SIGNATURE_MISMATCH; manner++) {
        if (manner & ~known)
            continue;
        rc = make_text(a, r, auth, bucket_path, manner, &text);
        if (rc)
            return rc;
        if (manner == 0)
            *ret_to_sign = text;
        rc = compare(text, auth->signature, secret);
    }
    return rc;
}

int sigv2_verify_text(struct str text, struct str signature, struct str secret)
{
    uint8_t bytes[HASH_SHA1_LEN];
    int rc = read_signature(signature, bytes);
    return rc ? rc : compare(text, bytes, secret);
}
