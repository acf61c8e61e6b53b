/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Who asks, and may they. Source: S3 API Reference, "Authenticating Requests (AWS Signature
 * Version 4)".
 */

#include "s3/internal.h"

#include "base/encode.h"
#include "iam/authenticate.h"

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
    return q->auth.form != SIGV4_HEADER ? -ERR_AUTH_QUERY_MALFORMED : -ERR_AUTH_HEADER_MALFORMED;
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
                        "The authorization header is malformed; incorrect service \"%.*s\". This "
                        "endpoint belongs to \"s3\".",
                        STR_FMT(service));
    if (region.len == 0 || str_eq(region, q->s3->region) || str_eq(region, STR("us-east-1")))
        return 0;
    s3_error_detail(q, "Region", q->s3->region);
    return s3_error(q, malformed(q),
                    "The authorization header is malformed; the region '%.*s' is wrong; expecting "
                    "'%.*s'",
                    STR_FMT(region), STR_FMT(q->s3->region));
}

static void explain_skew(struct s3_request *q)
{
    s3_error_detail(q, "RequestTime", q->auth.amz_date);
    s3_error_detail(q, "MaxAllowedSkewMilliseconds",
                    arena_printf(q->arena, "%llu", (unsigned long long)SIGV4_SKEW_MS));
}

int s3_authenticate(struct s3_request *q)
{
    int r = iam_authenticate(q->s3->iam, q->arena, q->head, rt_wall_ms(), &q->auth, &q->signing_key,
                             &q->who);
    if (r == 0 && q->auth.form == SIGV4_NONE)
        return 0;
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
    q->signed_in = r == 0;
    return r;
}

/* ---- the right ------------------------------------------------------------------------------ */

int s3_authorise(struct s3_request *q, const char *action, const struct store_bucket *bucket,
                 struct str key)
{
    struct iam_access r = {
        .who = q->signed_in ? &q->who : NULL,
        .action = str_from(action),
        .bucket = bucket ? bucket->name : STR_NULL,
        .key = key,
        .bucket_owner = bucket ? bucket->owner : STR_NULL,
    };
    return iam_authorise(q->s3->iam, &r);
}

int FIBER s3_open_bucket(struct s3_request *q, struct str name, const char *action, struct str key,
                         struct store_bucket *ret)
{
    if (!q->signed_in) /* before the lookup: absent and present look alike */
        return -ERR_ACCESS_DENIED;
    int r = store_bucket_get(q->s3->store, q->arena, name, ret);
    if (r)
        return r;
    r = s3_authorise(q, action, ret, key);
    if (r)
        store_bucket_release(ret);
    return r;
}

int s3_check_owner(struct s3_request *q, struct str header, const struct store_bucket *bucket)
{
    struct str expected = s3_header(q, header);
    return expected.ptr && !str_eq(expected, bucket->owner) ? -ERR_ACCESS_DENIED : 0;
}
