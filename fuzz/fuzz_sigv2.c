/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A request head: whatever is read of its signature, a wrong secret does not pass. */

#include "base/error.h"
#include "wire/sigv2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http1_request r;
    struct sigv2_auth auth;
    struct str text;
    struct arena a;
    if (http1_parse_request(str_make(data, size), HTTP1_HEADERS_MAX, &r) <= 0)
        return 0;
    arena_init(&a, 0);
    if (sigv2_parse(&a, &r, &auth) == 0 && auth.form != SIGV2_NONE) {
        CHECK(auth.access_key.len >= 1);
        CHECK(sigv2_verify(&a, &r, &auth, STR(""), STR("secret"), 0, &text) < 0);
    }
    arena_release(&a);
    return 0;
}
