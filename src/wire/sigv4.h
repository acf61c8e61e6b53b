/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * AWS Signature Version 4, pure: the canonical request, the string to sign, signing keys, chunk
 * signatures. The server verifies with it, the command line and the benchmarks sign with it.
 *
 * Source: AWS General Reference, "Signature Version 4"; S3 API Reference, "Authenticating
 * requests". For S3 the path is encoded once, not normalised: it is decoded and encoded again, so
 * that a client may escape more on the wire than it signed. Blanks inside header values are folded
 * to one space (tabs too, as the SDKs do), repeated headers are joined by commas.
 *
 * Promises: an access key and a date never come from one form while the signature comes from
 * another; no `x-amz-*` header is believed that the signature does not cover.
 */

#include "base/arena.h"
#include "base/hash.h"
#include "wire/http1.h"

#define SIGV4_SKEW_MS       (15 * 60 * 1000ULL)
#define SIGV4_EXPIRES_MAX_S (7 * 24 * 3600)
#define SIGV4_SCOPE_MAX     64  /* bytes of a region or of a service */
#define SIGV4_KEY_MAX       128 /* bytes of an access key */

enum sigv4_form_kind { SIGV4_NONE, SIGV4_HEADER, SIGV4_QUERY, SIGV4_POST };

/* What `x-amz-content-sha256` says of the body. */
enum sigv4_payload {
    SIGV4_PAYLOAD_HASH,             /* hex digest of the body */
    SIGV4_PAYLOAD_UNSIGNED,         /* UNSIGNED-PAYLOAD */
    SIGV4_PAYLOAD_CHUNKED,          /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    SIGV4_PAYLOAD_CHUNKED_TRAILER,  /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER */
    SIGV4_PAYLOAD_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
    SIGV4_PAYLOAD_UNSAID,           /* services iam and sts: the digest of a body nobody says */
};

struct sigv4_auth {
    enum sigv4_form_kind form;
    bool v2; /* of wire/sigv2.h: neither body nor parameters are covered */
    enum sigv4_payload payload;
    uint8_t payload_hash[32]; /* SIGV4_PAYLOAD_HASH */
    struct str payload_text;  /* as given; the last line of the canonical request */
    struct str access_key, date /* 8 digits */, region, service;
    struct str signed_headers; /* as given: lower case, sorted, by semicolons */
    uint8_t signature[32];
    struct str signature_hex;  /* 64 lower-case digits as given: seed of chunk signatures */
    struct str amz_date;       /* 20260101T000000Z */
    uint64_t time_ms;          /* of amz_date */
    uint64_t expires_s;        /* query form */
    struct str security_token; /* ptr NULL when none was sent */
};

/*
 * Reads the authentication of a request; no secret needed. form NONE: nothing was sent but,
 * perhaps, what the body is to be held against (x-amz-content-sha256). Strings point into the
 * request or the arena. Which region and service are served is the caller's rule.
 *
 * -ERR_AUTH_HEADER_MALFORMED, -ERR_AUTH_QUERY_MALFORMED; -ERR_MISSING_SECURITY_HEADER (no
 * x-amz-content-sha256, which services iam and sts do without); -ERR_ACCESS_DENIED (no date that
 * can be read); -ERR_INVALID_ARGUMENT (unknown x-amz-content-sha256, both forms at once, one of the
 * headers read here sent twice); -ERR_SIGNATURE_VERSION (SigV2, SigV4A), -ERR_AUTHORIZATION_TYPE
 * (another scheme), -ERR_AUTH_QUERY_ALGORITHM;
 * -ERR_SIGNATURE_MISMATCH (a signature that is not 64 lower-case digits, a presigned URL with an
 * unknown x-amz-content-sha256); -ERR_UNSIGNED_HEADERS
 * (`host` or an `x-amz-*` header not among the signed ones; a presigned URL's x-amz-content-sha256
 * need not be, because its value is signed as the payload; *ret is filled all the same, for whoever
 * tells which they are); -ERR_INVALID_URI, -ERR_TOO_LARGE
 * (query); -ENOMEM.
 */
int sigv4_parse(struct arena *a, const struct http1_request *r, struct sigv4_auth *ret);
/* Whether a header of that name is to be signed, and is not. */
bool sigv4_must_sign(const struct sigv4_auth *auth, struct str name);

struct sigv4_key;

/* The same of an upload form (S3 API Reference, "Authenticating requests in browser-based
 * uploads"): what is signed is its policy, as it was sent. */
struct sigv4_form {
    struct str algorithm, credential, date, signature, policy;
    struct str token; /* ptr NULL when none was sent */
};
/* -ERR_AUTH_QUERY_MALFORMED, -ERR_SIGNATURE_VERSION, -ERR_SIGNATURE_MISMATCH. */
int sigv4_parse_form(const struct sigv4_form *form, struct sigv4_auth *ret);
/* 0 or -ERR_SIGNATURE_MISMATCH, in constant time. How long the form is good for says its policy. */
int sigv4_verify_form(const struct sigv4_form *form, const struct sigv4_auth *auth,
                      const struct sigv4_key *key);

/* The day's key for a region and service: HMAC states, worth caching. */
struct sigv4_key {
    struct hmac_key hmac;
};
void sigv4_key_init(struct sigv4_key *k, struct str secret, struct str date, struct str region,
                    struct str service);

/*
 * Holds the signature against the request: 0 or -ERR_SIGNATURE_MISMATCH. Constant-time comparison.
 * Skew and expiry against `now_ms`: -ERR_TIME_SKEWED, -ERR_EXPIRED. -ENOMEM. `auth` is of
 * sigv4_parse on the same request.
 */
int sigv4_verify(struct arena *a, const struct http1_request *r, const struct sigv4_auth *auth,
                 const struct sigv4_key *key, uint64_t now_ms);
/* The same texts, for the error body's CanonicalRequest and StringToSign. */
int sigv4_canonical(struct arena *a, const struct http1_request *r, const struct sigv4_auth *auth,
                    struct str *ret_canonical, struct str *ret_to_sign);

/*
 * Signs: writes the Authorization value for `r`, whose headers hold host, x-amz-date and
 * x-amz-content-sha256 already (else -ERR_MISSING_SECURITY_HEADER); every header in `r` is signed.
 * Of `r` only method, target and headers are read.
 */
int sigv4_sign(struct arena *a, const struct http1_request *r, struct str access_key,
               const struct sigv4_key *key, struct str date, struct str region, struct str service,
               struct str *ret_authorization);

/*
 * The next chunk's signature in a chain; `previous_hex` and `ret_hex` are 64 digits and may be the
 * same. Of `auth` only amz_date, date, region and service are read.
 */
void sigv4_chunk_signature(const struct sigv4_key *key, const struct sigv4_auth *auth,
                           const char previous_hex[64], const uint8_t chunk_sha256[32],
                           char ret_hex[64]);
void sigv4_trailer_signature(const struct sigv4_key *key, const struct sigv4_auth *auth,
                             const char previous_hex[64], const uint8_t trailer_sha256[32],
                             char ret_hex[64]);
