/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How an object is sealed, as its record keeps it. What parses packs to the very same bytes, and
 * does not open with a key that did not wrap it. The same bytes as a key file are refused.
 */

#include "fuzz.h"
#include "base/error.h"
#include "crypt/keyring.h"
#include "crypt/seal.h"

static void check_seal(struct str in)
{
    static const uint8_t key[CRYPT_KEY_LEN];
    uint8_t data_key[CRYPT_KEY_LEN];
    struct seal s;
    if (seal_parse(in, &s) < 0)
        return;
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    seal_pack(&s, &b);
    CHECK(buf_error(&b) == 0 && str_eq(buf_str(&b), in));
    CHECK(seal_unwrap(&s, (struct bucket_id){1}, STR("key"), key, data_key) == -ERR_WRONG_KEY);
}

static void check_file(struct str in)
{
    struct keyring *k = NULL;
    bool wants;
    if (keyring_unpack(in, STR(""), &k, &wants) == 0) {
        CHECK(k->count <= KEYRING_KEYS_MAX);
        for (size_t i = 0; i < k->count; i++)
            CHECK(keyring_name_is_valid(str_from(k->keys[i].name)) && k->keys[i].version > 0);
    }
    keyring_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str in = str_make(data, len);
    check_seal(in);
    check_file(in);
    return 0;
}
