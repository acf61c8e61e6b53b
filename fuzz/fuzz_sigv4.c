/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A request signed in its header or its query. What parses has bounded parts; no signature the
 * fuzzer finds verifies under a key it does not have, and the right one does.
 */

#include "fuzz.h"
#include "base/encode.h"
#include "wire/sigv4.h"

static void check_parts(const struct sigv4_auth *auth)
{
    CHECK(auth->access_key.len >= 1 && auth->access_key.len <= SIGV4_KEY_MAX);
    CHECK(auth->date.len == 8 && auth->amz_date.len == 16);
    CHECK(auth->region.len <= SIGV4_SCOPE_MAX && auth->service.len <= SIGV4_SCOPE_MAX);
    CHECK(auth->signature_hex.len == 64 && auth->payload_text.len > 0);
    CHECK(auth->expires_s <= SIGV4_EXPIRES_MAX_S);
    CHECK(auth->form == SIGV4_HEADER || auth->form == SIGV4_QUERY);
}

static void check_signature(struct arena *a, const struct http1_request *r, struct sigv4_auth *auth)
{
    struct sigv4_key key;
    struct str canonical, to_sign;
    sigv4_key_init(&key, STR("a secret that is in no corpus"), auth->date, auth->region,
                   auth->service);
    CHECK(sigv4_verify(a, r, auth, &key, auth->time_ms) != 0);
    if (sigv4_canonical(a, r, auth, &canonical, &to_sign) != 0)
        return;
    hmac_sha256(&key.hmac, to_sign, auth->signature);
    CHECK(sigv4_verify(a, r, auth, &key, auth->time_ms) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct http1_request r;
    struct sigv4_auth auth;
    struct arena a;
    if (http1_parse_request(str_make(data, len), HTTP1_HEADERS_MAX, &r) <= 0)
        return 0;
    arena_init(&a, 0);
    if (sigv4_parse(&a, &r, &auth) == 0 && auth.form != SIGV4_NONE) {
        check_parts(&auth);
        check_signature(&a, &r, &auth);
    }
    arena_release(&a);
    return 0;
}
