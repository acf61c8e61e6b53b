/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A token and, behind a line end, the keys it is held against: whatever they are, nothing that was
 * not signed is believed. */

#include "base/error.h"
#include "iam/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size), token;
    struct arena a;
    struct jwt t;
    if (!str_cut(&rest, '\n', &token))
        return 0;
    arena_init(&a, 0);
    int r = jwt_parse(&a, token, &t);
    CHECK(r == 0 || r == -ERR_PARSE || r == -ERR_TOO_LARGE || r == -ENOMEM);
    if (r == 0) {
        CHECK(t.issuer.len && t.subject.len && t.claim_count <= JWT_CLAIMS_MAX);
        CHECK(jwt_verify(&t, rest, 0) == -ERR_ACCESS_DENIED);
        r = jwt_verify(&t, rest, (1u << JWT_ALGORITHM_COUNT) - 1);
        CHECK(t.algorithm >= 0 || r == -ERR_ACCESS_DENIED);
    }
    arena_release(&a);
    return 0;
}
