/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * JSON Web Tokens (RFC 7519, 7515) and the keys they are verified with (RFC 7517, 7518), pure.
 *
 * Promises: a token is believed only under an algorithm that was asked for beforehand, with a key
 * of that algorithm's type: "none" and the HMAC family do not exist here, so a public key is never
 * taken for a shared secret. Every size and depth has a limit.
 */

#include "base/arena.h"

#define JWT_TOKEN_MAX  (20 * KIB)
#define JWKS_MAX       (256 * KIB)
#define JWKS_KEYS_MAX  64
#define JWT_CLAIMS_MAX 30
#define JWT_VALUES_MAX 64   /* of one claim */
#define JWT_TEXT_MAX   1024 /* bytes of one value */
#define JWT_LEEWAY_S   60

/* X(name) in the order of their bits. */
#define JWT_ALGORITHMS(X) X(RS256) X(RS384) X(RS512) X(PS256) X(ES256) X(ES384) X(ES512)
enum jwt_algorithm {
#define X(name) JWT_##name,
    JWT_ALGORITHMS(X)
#undef X
        JWT_ALGORITHM_COUNT,
};
#define JWT_DEFAULT \
    (1u << JWT_RS256 | 1u << JWT_RS384 | 1u << JWT_RS512 | 1u << JWT_ES256 | 1u << JWT_ES384)
/* "RS256,ES256" to bits: 0 or -EINVAL. */
int jwt_algorithms_parse(struct str list, unsigned *ret);

struct jwt_claim {
    struct str name;
    const struct str *values; /* texts, numbers and truths, as text */
    size_t count;
};
struct jwt {
    struct str signed_part, signature; /* bytes */
    int algorithm;                     /* -1: one that is not known here */
    struct str key_id;                 /* ptr NULL: none */
    struct str issuer, subject;
    struct jwt_claim audience;
    uint64_t expires_s, not_before_s, issued_s; /* 0: not said */
    struct jwt_claim claims[JWT_CLAIMS_MAX];    /* all that can be text, these too */
    size_t claim_count;
};
/* Reads a compact token; nothing of it is verified. -ERR_PARSE, -ERR_TOO_LARGE, -ENOMEM. */
int jwt_parse(struct arena *a, struct str token, struct jwt *ret);

/*
 * Whether the token is signed by one of the keys: 0, -ERR_ACCESS_DENIED (an algorithm that was not
 * asked for, a signature that is wrong), -ERR_NOT_FOUND (no such key), -ERR_PARSE (the keys are
 * none), -ENOMEM. `algorithms`: bits.
 */
int jwt_verify(const struct jwt *t, struct str jwks, unsigned algorithms);
