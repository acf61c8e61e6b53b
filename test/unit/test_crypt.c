/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/encode.h"
#include "base/error.h"
#include "crypt/frame.h"
#include "crypt/keyring.h"
#include "crypt/seal.h"
#include <openssl/evp.h>

static const uint8_t key_a[CRYPT_KEY_LEN] = {1, 2, 3}, key_b[CRYPT_KEY_LEN] = {1, 2, 4};
static const uint8_t salt[WRAP_SALT_LEN] = {7};
static const struct frame_id run = {.part = 0, .salt = {9}};

/* ---- AES-256-GCM ----------------------------------------------------------------------------- */

/* The last test case of "The Galois/Counter Mode of Operation" (McGrew, Viega) with a 256-bit key
 * and additional data: case 16. */
static void aead_is_aes_256_gcm(void **state)
{
    uint8_t key[32], nonce[12], plain[60], aad[20], want[60], tag[16], out[60], got[16];
    struct aead a;
    hex_decode(STR("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), key, 32);
    hex_decode(STR("cafebabefacedbaddecaf888"), nonce, 12);
    hex_decode(
        STR("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532f"
            "cf0e2449a6b525b16aedf5aa0de657ba637b39"),
        plain, 60);
    hex_decode(STR("feedfacedeadbeeffeedfacedeadbeefabaddad2"), aad, 20);
    hex_decode(
        STR("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7"
            "b08b1056828838c5f61e6393ba7a0abcc9f662"),
        want, 60);
    hex_decode(STR("76fc6ece0f4e1768cddf8853bb2d551b"), tag, 16);
    assert_int_equal(aead_init(&a, key, true), 0);
    aead_begin(&a, nonce, str_make(aad, 20));
    aead_add(&a, plain, 7, out);
    aead_add(&a, plain + 7, 53, out + 7);
    aead_seal_end(&a, got);
    assert_memory_equal(out, want, 60);
    assert_memory_equal(got, tag, 16);
    aead_release(&a);
}

/* Whatever makes the ciphertext here, OpenSSL reads it: of every length and cut anywhere. */
static void what_is_sealed_openssl_opens(void **state)
{
    static uint8_t plain[3000], out[3000], back[3016];
    uint8_t nonce[CRYPT_NONCE_LEN] = {5}, tag[CRYPT_TAG_LEN];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof(plain); len += 1 + len / 9) {
        struct aead a;
        assert_int_equal(aead_init(&a, key_a, true), 0);
        aead_begin(&a, nonce, str_make(plain, len % 40));
        aead_add(&a, plain, len / 3, out);
        aead_add(&a, plain + len / 3, len - len / 3, out + len / 3);
        aead_seal_end(&a, tag);
        aead_release(&a);
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n;
        assert_int_equal(EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key_a, nonce), 1);
        assert_int_equal(EVP_DecryptUpdate(ctx, NULL, &n, plain, (int)(len % 40)), 1);
        assert_int_equal(EVP_DecryptUpdate(ctx, back, &n, out, (int)len), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_LEN, tag), 1);
        assert_int_equal(EVP_DecryptFinal_ex(ctx, back + len, &n), 1);
        assert_memory_equal(back, plain, len);
        EVP_CIPHER_CTX_free(ctx);
    }
}

/* ---- runs of bytes --------------------------------------------------------------------------- */

struct sealed {
    char *plain, *bytes;
    size_t len, sealed_len;
};

static struct sealed seal_run(const uint8_t *key, const struct frame_id *id, size_t len,
                              size_t piece)
{
    struct sealed s = {malloc(len + 1), NULL, len, 0};
    struct frame_sealer f;
    struct str block;
    for (size_t i = 0; i < len; i++)
        s.plain[i] = (char)(i * 31 + i / 251);
    s.bytes = malloc(frame_sealed_len(len));
    assert_int_equal(frame_seal_begin(&f, key, id, len), 0);
    size_t at = 0;
    do {
        struct str in = str_make(s.plain + at, MIN(piece, len - at));
        at += in.len;
        do {
            frame_seal(&f, &in, &block);
            if (block.len)
                memcpy(s.bytes + s.sealed_len, block.ptr, block.len);
            s.sealed_len += block.len;
        } while (in.len);
    } while (at < len);
    frame_seal_end(&f);
    assert_int_equal(s.sealed_len, frame_sealed_len(len));
    return s;
}

static void sealed_free(struct sealed *s)
{
    free(s->plain);
    free(s->bytes);
}

/* Opens what is given as the span of a run of `total` bytes; *ret_len how much came out. */
static int open_span(const uint8_t *key, const struct frame_id *id, uint64_t total,
                     const struct frame_span *span, struct str in, size_t piece, char *out,
                     size_t *ret_len)
{
    struct frame_opener o;
    struct str plain;
    int r = frame_open_begin(&o, key, id, total, span);
    *ret_len = 0;
    while (r == 0 && in.len) {
        struct str part = str_prefix(in, piece);
        in = str_from_offset(in, part.len);
        while (r == 0 && part.len) {
            r = frame_open(&o, &part, &plain);
            if (r == 0 && plain.ptr) {
                memcpy(out + *ret_len, plain.ptr, plain.len);
                *ret_len += plain.len;
            }
        }
    }
    frame_open_end(&o);
    return r;
}

static int open_run(const uint8_t *key, const struct frame_id *id, uint64_t total, struct str in,
                    size_t piece, char *out, size_t *ret_len)
{
    struct frame_span all;
    frame_span(total, 0, total, &all);
    return open_span(key, id, total, &all, in, piece, out, ret_len);
}

static const size_t lengths[] = {0, 1, 15, 4096, 65535, 65536, 65537, 131072, 131072 + 5, 300000};

static void what_is_sealed_opens_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1000, 65536, 65552, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
            struct sealed s = seal_run(key_a, &run, lengths[i], pieces[p]);
            char *out = malloc(s.len + 1);
            size_t len;
            assert_int_equal(open_run(key_a, &run, s.len, str_make(s.bytes, s.sealed_len),
                                      pieces[p] - 1, out, &len),
                             0);
            assert_int_equal(len, s.len);
            assert_memory_equal(out, s.plain, len);
            free(out);
            sealed_free(&s);
        }
}

/* Every byte for short runs; of long ones those around the edges of blocks, and a sample. */
static void every_byte_flipped_is_refused(void **state)
{
    static const size_t few[] = {0, 1, 100, 65537, 131072, FRAME_OPENED + 65537};
    for (size_t i = 0; i < ARRAY_LEN(few); i++) {
        struct sealed s = seal_run(key_a, &run, few[i], 65536);
        char *out = malloc(s.len + 1);
        size_t len;
        for (size_t at = 0; at < s.sealed_len; at++) {
            size_t in_block = at % FRAME_SEALED;
            bool edge = in_block < 40 || in_block > FRAME_BLOCK - 40 || s.sealed_len - at < 40;
            if (!edge && at % 997)
                continue;
            s.bytes[at] ^= 0x40;
            assert_int_equal(
                open_run(key_a, &run, s.len, str_make(s.bytes, s.sealed_len), 65552, out, &len),
                -ERR_CORRUPT);
            /* nothing of that block, nor of those that would have been given with it */
            assert_int_equal(len, at / FRAME_SEALED * FRAME_BLOCK / FRAME_OPENED * FRAME_OPENED);
            s.bytes[at] ^= 0x40;
        }
        free(out);
        sealed_free(&s);
    }
}

static void truncated_extended_swapped_and_foreign_blocks_are_refused(void **state)
{
    struct sealed s = seal_run(key_a, &run, 3 * FRAME_BLOCK, FRAME_BLOCK);
    char *out = malloc(s.len + FRAME_BLOCK), *swapped = malloc(s.sealed_len);
    size_t len;
    /* cut off after a block, the record told so: the block that is now last was not */
    assert_int_equal(open_run(key_a, &run, 2 * FRAME_BLOCK, str_make(s.bytes, 2 * FRAME_SEALED),
                              FRAME_SEALED, out, &len),
                     -ERR_CORRUPT);
    assert_int_equal(open_run(key_a, &run, 0, str_make(s.bytes, CRYPT_TAG_LEN), 16, out, &len),
                     -ERR_CORRUPT);
    /* longer: the last block is none any more */
    assert_int_equal(open_run(key_a, &run, 4 * FRAME_BLOCK, str_make(s.bytes, s.sealed_len),
                              FRAME_SEALED, out, &len),
                     -ERR_CORRUPT);
    /* more than the whole */
    memcpy(swapped, s.bytes, s.sealed_len);
    struct frame_opener o;
    struct str in = str_make(s.bytes + 2 * FRAME_SEALED, FRAME_SEALED), plain;
    struct frame_span third;
    frame_span(s.len, 2 * FRAME_BLOCK, FRAME_BLOCK, &third);
    assert_int_equal(frame_open_begin(&o, key_a, &run, s.len, &third), 0);
    assert_int_equal(frame_open(&o, &in, &plain), 0);
    while (in.len)
        assert_int_equal(frame_open(&o, &in, &plain), 0);
    in = STR("x");
    assert_int_equal(frame_open(&o, &in, &plain), -ERR_CORRUPT);
    frame_open_end(&o);
    /* two blocks in each other's place */
    memcpy(swapped, s.bytes + FRAME_SEALED, FRAME_SEALED);
    memcpy(swapped + FRAME_SEALED, s.bytes, FRAME_SEALED);
    assert_int_equal(
        open_run(key_a, &run, s.len, str_make(swapped, s.sealed_len), FRAME_SEALED, out, &len),
        -ERR_CORRUPT);
    /* another key, another part, another salt */
    struct frame_id part = {.part = 1, .salt = {9}}, other = {.part = 0, .salt = {8}};
    struct str all = str_make(s.bytes, s.sealed_len);
    assert_int_equal(open_run(key_b, &run, s.len, all, FRAME_SEALED, out, &len), -ERR_CORRUPT);
    assert_int_equal(open_run(key_a, &part, s.len, all, FRAME_SEALED, out, &len), -ERR_CORRUPT);
    assert_int_equal(open_run(key_a, &other, s.len, all, FRAME_SEALED, out, &len), -ERR_CORRUPT);
    free(swapped);
    free(out);
    sealed_free(&s);
}

static void a_range_needs_its_blocks_only(void **state)
{
    struct sealed s = seal_run(key_a, &run, 300000, 300000);
    char *out = malloc(s.len);
    static const size_t offs[] = {0, 1, 65535, 65536, 131071, 200000, 299999, 300000};
    for (size_t i = 0; i < ARRAY_LEN(offs); i++)
        for (size_t n = 0; n <= s.len - offs[i]; n = n * 7 + 1) {
            struct frame_span at;
            size_t len;
            frame_span(s.len, offs[i], n, &at);
            assert_true(at.len <= (n / FRAME_BLOCK + 2) * FRAME_SEALED);
            assert_true(at.off + at.len <= s.sealed_len);
            assert_int_equal(open_span(key_a, &run, s.len, &at, str_make(s.bytes + at.off, at.len),
                                       5000, out, &len),
                             0);
            assert_true(len >= at.skip + n);
            assert_memory_equal(out + at.skip, s.plain + offs[i], n);
        }
    free(out);
    sealed_free(&s);
}

/* An upload whose length is known at its end only. */
static void a_run_may_learn_its_length_late(void **state)
{
    struct sealed want = seal_run(key_a, &run, 3 * FRAME_BLOCK, FRAME_BLOCK);
    struct frame_sealer f;
    struct str in = str_make(want.plain, 2 * FRAME_BLOCK), block;
    assert_int_equal(frame_seal_begin(&f, key_a, &run, FRAME_UNKNOWN), 0);
    for (size_t i = 0; i < 3; i++) {
        if (i == 2) {
            in = str_make(want.plain + 2 * FRAME_BLOCK, FRAME_BLOCK);
            frame_seal_total(&f, want.len);
        }
        frame_seal(&f, &in, &block);
        assert_int_equal(block.len, FRAME_SEALED);
        assert_memory_equal(block.ptr, want.bytes + i * FRAME_SEALED, block.len);
    }
    frame_seal_end(&f);
    sealed_free(&want);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void a_wrapped_key_opens_for_its_key_and_place_only(void **state)
{
    uint8_t wrapped[WRAP_LEN], key[CRYPT_KEY_LEN];
    assert_int_equal(wrap_key(key_a, STR("place"), salt, key_b, wrapped), 0);
    assert_int_equal(unwrap_key(key_a, STR("place"), wrapped, key), 0);
    assert_memory_equal(key, key_b, sizeof(key));
    memset(key, 0, sizeof(key));
    assert_int_equal(unwrap_key(key_b, STR("place"), wrapped, key), -ERR_WRONG_KEY);
    assert_int_equal(unwrap_key(key_a, STR("plaice"), wrapped, key), -ERR_WRONG_KEY);
    for (size_t i = 0; i < sizeof(wrapped); i++) {
        wrapped[i] ^= 1;
        assert_int_equal(unwrap_key(key_a, STR("place"), wrapped, key), -ERR_WRONG_KEY);
        wrapped[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof(key); i++)
        assert_int_equal(key[i], 0); /* untouched on failure */
}

static void a_seal_packs_and_is_bound_to_bucket_and_key(void **state)
{
    _cleanup_buf_ struct buf b;
    struct seal s = {.kind = SEAL_KMS,
                     .bucket_key = true,
                     .name = STR("team-key"),
                     .context = STR("{\"a\":\"b\"}"),
                     .middle = STR("vault:v1:abc")},
                got;
    uint8_t key[CRYPT_KEY_LEN];
    buf_init(&b, 0);
    assert_int_equal(seal_wrap(&s, (struct bucket_id){3}, STR("o/k"), key_a, salt, key_b), 0);
    seal_pack(&s, &b);
    assert_int_equal(seal_parse(buf_str(&b), &got), 0);
    assert_int_equal(got.kind, SEAL_KMS);
    assert_true(got.bucket_key && str_eq(got.name, s.name) && str_eq(got.context, s.context) &&
                str_eq(got.middle, s.middle));
    assert_int_equal(seal_unwrap(&got, (struct bucket_id){3}, STR("o/k"), key_a, key), 0);
    assert_memory_equal(key, key_b, sizeof(key));
    assert_int_equal(seal_unwrap(&got, (struct bucket_id){4}, STR("o/k"), key_a, key),
                     -ERR_WRONG_KEY);
    assert_int_equal(seal_unwrap(&got, (struct bucket_id){3}, STR("o/kk"), key_a, key),
                     -ERR_WRONG_KEY);
    got.kind = SEAL_S3;
    assert_int_equal(seal_unwrap(&got, (struct bucket_id){3}, STR("o/k"), key_a, key),
                     -ERR_WRONG_KEY);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(seal_parse(str_make(b.data, len), &got), -ERR_CORRUPT);
    buf_put_char(&b, 0);
    assert_int_equal(seal_parse(buf_str(&b), &got), -ERR_CORRUPT);
}

/* ---- the ring -------------------------------------------------------------------------------- */

static const uint8_t ring_id[KEYRING_ID_LEN] = {5};

static struct keyring *make_ring(void)
{
    struct keyring *k;
    assert_int_equal(keyring_new(&k, ring_id), 0);
    assert_int_equal(keyring_add(k, STR("aws/s3"), 1000, key_a), 0);
    return k;
}

static void rotation_keeps_what_was_wrapped_before(void **state)
{
    _cleanup_keyring_ struct keyring *k = make_ring();
    uint8_t old[KEYRING_WRAPPED], new[KEYRING_WRAPPED], key[CRYPT_KEY_LEN];
    struct str old_text = str_make(old, sizeof(old)), new_text = str_make(new, sizeof(new));
    const struct str name = STR("aws/s3");
    assert_int_equal(keyring_wrap(keyring_find(k, name, 0), STR("x"), salt, key_b, old), 0);
    assert_int_equal(keyring_add(k, name, 2000, key_b), 0);
    assert_int_equal(keyring_wrap(keyring_find(k, name, 0), STR("x"), salt, key_b, new), 0);
    assert_int_equal(keyring_wrapped_version(old_text), 1);
    assert_int_equal(keyring_wrapped_version(new_text), 2);
    assert_int_equal(keyring_unwrap(keyring_find(k, name, 1), STR("x"), old_text, key), 0);
    assert_int_equal(keyring_unwrap(keyring_find(k, name, 2), STR("x"), new_text, key), 0);
    assert_int_equal(keyring_unwrap(keyring_find(k, name, 2), STR("x"), old_text, key),
                     -ERR_CORRUPT);
    assert_int_equal(keyring_unwrap(keyring_find(k, name, 1), STR("y"), old_text, key),
                     -ERR_WRONG_KEY);
    assert_int_equal(keyring_unwrap(keyring_find(k, name, 1), STR("x"), STR("short"), key),
                     -ERR_CORRUPT);
    assert_null(keyring_find(k, name, 3));
    assert_null(keyring_find(k, STR("other"), 0));
    assert_int_equal(keyring_add(k, STR("no good"), 1, key_a), -EINVAL);
}

static void file_round_trip(struct str phrase)
{
    _cleanup_keyring_ struct keyring *k = make_ring(), *got = NULL;
    _cleanup_buf_ struct buf b;
    bool wants;
    buf_init(&b, 0);
    assert_int_equal(keyring_add(k, STR("team"), 3000, key_b), 0);
    assert_int_equal(keyring_pack(k, phrase, salt, &b), 0);
    assert_int_equal(keyring_unpack(buf_str(&b), phrase, &got, &wants), 0);
    assert_int_equal(wants, phrase.len > 0);
    assert_int_equal(got->generation, k->generation);
    assert_memory_equal(got->id, ring_id, sizeof(ring_id));
    assert_int_equal(got->count, 2);
    assert_memory_equal(keyring_find(got, STR("team"), 0)->bytes, key_b, sizeof(key_b));
    assert_int_equal(keyring_find(got, STR("team"), 0)->created_ms, 3000);
    /* the keys are not in the file as they are */
    assert_true(str_find(buf_str(&b), str_make(key_a, sizeof(key_a)), 0) < 0);
}

static void the_key_file_reads_back(void **state)
{
    file_round_trip(STR(""));
    file_round_trip(STR("correct horse battery"));
}

static void a_damaged_key_file_and_a_wrong_passphrase_are_told_apart(void **state)
{
    _cleanup_keyring_ struct keyring *k = make_ring(), *got = NULL;
    _cleanup_buf_ struct buf plain, locked;
    bool wants = false;
    buf_init(&plain, 0);
    buf_init(&locked, 0);
    assert_int_equal(keyring_pack(k, STR(""), salt, &plain), 0);
    assert_int_equal(keyring_pack(k, STR("passphrase"), salt, &locked), 0);
    for (size_t i = 0; i < plain.len; i++) {
        plain.data[i] ^= 1;
        int r = keyring_unpack(buf_str(&plain), STR(""), &got, &wants);
        assert_true(r == -ERR_CORRUPT || (i == 9 && r == -ERR_WRONG_KEY));
        plain.data[i] ^= 1;
    }
    for (size_t len = 0; len < plain.len; len++)
        assert_int_equal(keyring_unpack(str_make(plain.data, len), STR(""), &got, &wants),
                         -ERR_CORRUPT);
    assert_int_equal(keyring_unpack(buf_str(&plain), STR("passphrase"), &got, &wants),
                     -ERR_WRONG_KEY);
    assert_false(wants);
    assert_int_equal(keyring_unpack(buf_str(&locked), STR(""), &got, &wants), -ERR_WRONG_KEY);
    assert_true(wants);
    assert_int_equal(keyring_unpack(buf_str(&locked), STR("Passphrase"), &got, &wants),
                     -ERR_WRONG_KEY);
    assert_null(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aead_is_aes_256_gcm),
        cmocka_unit_test(what_is_sealed_openssl_opens),
        cmocka_unit_test(what_is_sealed_opens_in_any_pieces),
        cmocka_unit_test(every_byte_flipped_is_refused),
        cmocka_unit_test(truncated_extended_swapped_and_foreign_blocks_are_refused),
        cmocka_unit_test(a_range_needs_its_blocks_only),
        cmocka_unit_test(a_run_may_learn_its_length_late),
        cmocka_unit_test(a_wrapped_key_opens_for_its_key_and_place_only),
        cmocka_unit_test(a_seal_packs_and_is_bound_to_bucket_and_key),
        cmocka_unit_test(rotation_keeps_what_was_wrapped_before),
        cmocka_unit_test(the_key_file_reads_back),
        cmocka_unit_test(a_damaged_key_file_and_a_wrong_passphrase_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
