/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Who asks, and may they. Source: S3 API Reference, "Authenticating Requests (AWS Signature
 * Version 4)".
 */

#include "s3/internal.h"

#include "base/encode.h"
#include "iam/authenticate.h"
#include "iam/bucket_policy.h"
#include "s3/acl_request.h"
#include "wire/date.h"

/* ---- the signature -------------------------------------------------------------------------- */

static struct str hex_bytes(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, 3 * s.len + 1);
    if (!out)
        return STR_NULL;
    for (size_t i = 0; i < s.len; i++) {
        hex_encode(s.ptr + i, 1, out + 3 * i);
        out[3 * i + 2] = ' ';
    }
    return str_make(out, s.len ? 3 * s.len - 1 : 0);
}

/* What a client author needs to find the difference; nothing secret is in it. */
static void explain_mismatch(struct s3_request *q)
{
    struct str canonical, to_sign;
    s3_error_detail(q, "AWSAccessKeyId", q->auth.access_key);
    s3_error_detail(q, "SignatureProvided", q->auth.signature_hex);
    if (sigv4_canonical(q->arena, q->head, &q->auth, &canonical, &to_sign))
        return;
    s3_error_detail(q, "StringToSign", to_sign);
    s3_error_detail(q, "StringToSignBytes", hex_bytes(q->arena, to_sign));
    s3_error_detail(q, "CanonicalRequest", canonical);
    s3_error_detail(q, "CanonicalRequestBytes", hex_bytes(q->arena, canonical));
}

static int malformed(struct s3_request *q)
{
    if (q->auth.form == SIGV4_POST) {
        s3_error_detail(q, "ArgumentName", STR("x-amz-credential"));
        return -ERR_INVALID_ARGUMENT;
    }
    return q->auth.form == SIGV4_QUERY ? -ERR_AUTH_QUERY_MALFORMED : -ERR_AUTH_HEADER_MALFORMED;
}

static const char *what_is_malformed(const struct s3_request *q)
{
    if (q->auth.form == SIGV4_POST)
        return "";
    return q->auth.form == SIGV4_QUERY ? "Error parsing the X-Amz-Credential parameter; "
                                       : "The authorization header is malformed; ";
}

/*
 * The scope must name this endpoint. The empty region and us-east-1 are taken too: clients without
 * a configured region sign so, and there is one region here.
 */
int s3_check_scope(struct s3_request *q)
{
    struct str service = q->auth.service, region = q->auth.region;
    bool query_api = str_eq(service, STR("iam")) || str_eq(service, STR("sts"));
    if (!query_api && !str_eq(service, STR("s3")))
        return s3_error(q, malformed(q),
                        "%sincorrect service \"%.*s\". This endpoint belongs to \"s3\".",
                        what_is_malformed(q), STR_FMT(service));
    if (region.len == 0 || str_eq(region, q->s3->region) || str_eq(region, STR("us-east-1")))
        return 0;
    s3_error_detail(q, "Region", q->s3->region);
    (void)http_set_header(q->x, "x-amz-bucket-region", q->s3->region);
    return s3_error(q, malformed(q), "%sthe region '%.*s' is wrong; expecting '%.*s'",
                    what_is_malformed(q), STR_FMT(region), STR_FMT(q->s3->region));
}

static void explain_skew(struct s3_request *q)
{
    s3_error_detail(q, "RequestTime", q->auth.amz_date);
    s3_error_detail(q, "MaxAllowedSkewMilliseconds",
                    arena_printf(q->arena, "%llu", (unsigned long long)SIGV4_SKEW_MS));
}

static struct str time_text(struct s3_request *q, uint64_t ms)
{
    char text[DATE_ISO_LEN];
    date_format_iso(ms / 1000 * 1000, text);
    return arena_dup(q->arena, str_make(text, sizeof(text)));
}

static void explain_expiry(struct s3_request *q)
{
    uint64_t s = q->auth.expires_s;
    if (!q->auth.v2) {
        s3_error_detail(q, "X-Amz-Expires", arena_printf(q->arena, "%llu", (unsigned long long)s));
        s += q->auth.time_ms / 1000;
    }
    s3_error_detail(q, "Expires", time_text(q, s * 1000));
    s3_error_detail(q, "ServerTime", time_text(q, rt_wall_ms()));
}

/* Signed chunks need a signature to start from. */
static int check_unsigned(const struct s3_request *q)
{
    bool chunks = q->auth.payload == SIGV4_PAYLOAD_CHUNKED ||
                  q->auth.payload == SIGV4_PAYLOAD_CHUNKED_TRAILER;
    return chunks ? -ERR_ACCESS_DENIED : 0;
}

static int authenticate_v2(struct s3_request *q)
{
    struct str to_sign;
    int r = iam_authenticate_v2(q->s3->iam, q->arena, q->head, s3_bucket_path(q), rt_wall_ms(),
                                &q->auth, &q->who, &to_sign);
    q->signed_in = r == 0;
    if (r == -ERR_TIME_SKEWED)
        explain_skew(q);
    if (r == -ERR_EXPIRED)
        explain_expiry(q);
    if (r != -ERR_SIGNATURE_MISMATCH)
        return r;
    s3_error_detail(q, "AWSAccessKeyId", q->auth.access_key);
    s3_error_detail(q, "SignatureProvided", q->auth.signature_hex);
    if (to_sign.ptr)
        s3_error_detail(q, "StringToSign", to_sign);
    return r;
}

/* All those that are not: who signed fewer than were sent looks for them. */
static void explain_unsigned(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    for (unsigned i = 0; i < q->head->header_count; i++) {
        if (!sigv4_must_sign(&q->auth, q->head->headers[i].name))
            continue;
        if (buf_str(&b).len)
            buf_put_cstr(&b, ", ");
        buf_put_str(&b, q->head->headers[i].name);
    }
    if (!buf_error(&b) && buf_str(&b).len)
        s3_error_detail(q, "HeadersNotSigned", arena_lower(q->arena, buf_str(&b)));
}

static int authenticate(struct s3_request *q)
{
    int r = iam_authenticate(q->s3->iam, q->arena, q->head, q->form_body, rt_wall_ms(), &q->auth,
                             &q->signing_key, &q->who);
    if (r == -ERR_SIGNATURE_VERSION && q->s3->sigv2)
        return authenticate_v2(q);
    if (r == 0 && q->auth.form == SIGV4_NONE)
        return check_unsigned(q);
    q->signed_in = r == 0; /* from here on q->who is to be released */
    if (r == -ERR_SIGNATURE_MISMATCH && q->auth.form == SIGV4_NONE)
        return r; /* what was sent as a signature is none: there is nothing to compare */
    /* A wrong region is told before a wrong signature: it may be all that is wrong. */
    if (r == 0 || r == -ERR_SIGNATURE_MISMATCH) {
        int scope = s3_check_scope(q);
        if (scope)
            return scope;
    }
    if (r == -ERR_SIGNATURE_MISMATCH)
        explain_mismatch(q);
    if (r == -ERR_TIME_SKEWED)
        explain_skew(q);
    if (r == -ERR_EXPIRED)
        explain_expiry(q);
    if (r == -ERR_UNSIGNED_HEADERS)
        explain_unsigned(q);
    return r;
}

int s3_authenticate(struct s3_request *q)
{
    int r = authenticate(q);
    q->unauthentic = r < 0 && r != -ENOMEM;
    return r;
}

int s3_check_rate(struct s3_request *q)
{
    return !q->signed_in || iam_take_turn(q->s3->iam, &q->who) ? 0 : -ERR_SLOW_DOWN;
}

/* ---- the right ------------------------------------------------------------------------------ */

/* Actions that are others when they are about one version (S3 User Guide, "Required permissions for
 * Amazon S3 API operations"). */
static const char *const versioned[][2] = {
    {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    {"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"},
    {"s3:GetObject", "s3:GetObjectVersion"},
    {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"},
    {"s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"},
    {"s3:GetObjectTagging", "s3:GetObjectVersionTagging"},
    {"s3:GetObjectTorrent", "s3:GetObjectVersionTorrent"},
    {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
    {"s3:PutObjectTagging", "s3:PutObjectVersionTagging"},
};

const char *s3_action(const char *plain, bool of_version)
{
    for (unsigned i = 0; of_version && i < ARRAY_LEN(versioned); i++)
        if (strcmp(plain, versioned[i][0]) == 0)
            return versioned[i][1];
    return plain;
}

int FIBER s3_authorise_in(struct s3_context *c, const char *action)
{
    struct s3_request *q = c->q;
    struct iam_access a = {
        .who = q->signed_in ? &q->who : NULL,
        .action = str_from(action),
        .bucket = c->bucket ? c->bucket->name : q->bucket_name,
        .key = c->key,
        .bucket_owner = c->bucket ? c->bucket->owner : STR_NULL,
        .block = c->bucket ? iam_bucket_block(c->bucket) : 0,
        .context = s3_context_value,
        .context_arg = c,
    };
    int r = c->bucket ? iam_bucket_policy(c->bucket, &a.bucket_policy) : 0;
    if (!r && c->bucket)
        r = s3_acl_judge(c, &a);
    return r ? r : iam_authorise(q->s3->iam, &a, NULL);
}

int FIBER s3_authorise(struct s3_request *q, const char *action, const struct store_bucket *bucket,
                       struct str key)
{
    struct s3_context c = {.q = q, .bucket = bucket, .key = key, .version = q->version};
    return s3_authorise_in(&c, action);
}

/* What lists may grant of it: to write to the bucket, and to the object's owner anything. */
static bool FIBER is_granted_some(struct s3_request *q, const struct store_bucket *bucket)
{
    struct s3_context c = {.q = q, .bucket = bucket, .key = q->key, .version = q->version};
    struct iam_access a = {.action = q->key.len ? STR("s3:PutObjectTagging") : STR("s3:PutObject")};
    if (s3_acl_judge(&c, &a))
        return false;
    return q->key.len ? q->signed_in && str_eq(a.object_owner, q->who.account)
                      : a.acl != IAM_ACL_NONE;
}

/* Whoever is neither of the owner's account nor named by a policy or list has nothing to be judged
 * for. */
int FIBER s3_authorise_later(struct s3_request *q, const struct store_bucket *bucket)
{
    const struct policy *policy;
    int r = iam_bucket_policy(bucket, &policy);
    if (r)
        return r;
    bool own = q->signed_in && (q->who.root || str_eq(q->who.account, bucket->owner));
    return own || policy || is_granted_some(q, bucket) ? 0 : -ERR_ACCESS_DENIED;
}

/* Ceph calls its tenants' users "TENANT$USER"; an id without it is of none. */
static struct str tenant_of(struct str account)
{
    ptrdiff_t end = str_find_char(account, '$', 0);
    return str_prefix(account, end < 0 ? 0 : (size_t)end);
}

int FIBER s3_get_bucket(struct s3_request *q, struct store_bucket *ret)
{
    int r = store_bucket_get(q->s3->store, q->arena, q->bucket_name, ret);
    if (r || !q->tenant.ptr || str_eq(q->tenant, tenant_of(ret->owner)))
        return r;
    store_bucket_release(ret);
    return -ERR_NO_SUCH_BUCKET;
}

int FIBER s3_open_bucket(struct s3_request *q, const char *action, struct str key,
                         struct store_bucket *ret)
{
    int r = s3_get_bucket(q, ret);
    if (r)
        return r;
    r = s3_authorise(q, action, ret, key);
    if (!r)
        r = s3_check_payer(q, ret);
    if (r)
        store_bucket_release(ret);
    return r;
}

int FIBER s3_hide_absence(struct s3_request *q, const struct store_bucket *bucket, struct str key,
                          int err)
{
    struct s3_context c = {.q = q, .bucket = bucket, .absent_key = key};
    if (err != -ERR_NO_SUCH_KEY && err != -ERR_NO_SUCH_VERSION)
        return err;
    int r =
        s3_authorise_in(&c, err == -ERR_NO_SUCH_KEY ? "s3:ListBucket" : "s3:ListBucketVersions");
    if (r == -ERR_ACCESS_DENIED)
        q->detail_count = 0;
    return r ? r : err;
}

int s3_check_owner(struct s3_request *q, struct str header, const struct store_bucket *bucket)
{
    struct str expected = s3_header(q, header);
    return expected.ptr && !str_eq(expected, bucket->owner) ? -ERR_ACCESS_DENIED : 0;
}
