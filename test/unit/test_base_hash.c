/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/encode.h"
#include "base/hash.h"
#include "base/md5.h"

static void assert_hex(const void *bytes, size_t len, const char *expected)
{
    char text[129] = "";
    hex_encode(bytes, len, text);
    assert_string_equal(text, expected);
}

static const struct str nine = {"123456789", 9};

static void crcs_match_their_published_check_values(void **state)
{
    assert_int_equal(hash_crc32(0, nine.ptr, nine.len), 0xCBF43926);
    assert_int_equal(hash_crc32c(0, nine.ptr, nine.len), 0xE3069283);
    assert_true(hash_crc64nvme(0, nine.ptr, nine.len) == 0xAE8B14860A799888ULL);
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (uint8_t)(seed >> 24);
    }
}

/* A bit at a time, by the definition. */
static uint64_t crc64_slow(const uint8_t *p, size_t len)
{
    uint64_t crc = ~0ULL;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x9A6C9329AC4BC9B5ULL : crc >> 1;
    }
    return ~crc;
}

static void crc64_by_folding_equals_the_definition_at_every_length(void **state)
{
    uint8_t data[700];
    fill(data, sizeof(data), 1);
    for (size_t len = 0; len < 600; len++)
        assert_true(hash_crc64nvme(0, data + len % 7, len) == crc64_slow(data + len % 7, len));
}

static void crcs_continue_and_combine(void **state)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 2);
    for (size_t cut = 0; cut <= sizeof(data); cut += 37) {
        size_t rest = sizeof(data) - cut;
        uint64_t whole = hash_crc64nvme(0, data, sizeof(data));
        uint64_t head = hash_crc64nvme(0, data, cut), tail = hash_crc64nvme(0, data + cut, rest);
        assert_true(hash_crc64nvme(head, data + cut, rest) == whole);
        assert_true(hash_crc64nvme_combine(head, tail, rest) == whole);
        uint32_t h = hash_crc32(0, data, cut), t = hash_crc32(0, data + cut, rest);
        assert_int_equal(hash_crc32_combine(h, t, rest), hash_crc32(0, data, sizeof(data)));
        h = hash_crc32c(0, data, cut);
        t = hash_crc32c(0, data + cut, rest);
        assert_int_equal(hash_crc32c_combine(h, t, rest), hash_crc32c(0, data, sizeof(data)));
        assert_int_equal(hash_crc32c(h, data + cut, rest), hash_crc32c(0, data, sizeof(data)));
    }
}

static void md5_matches_rfc_1321(void **state)
{
    uint8_t digest[16];
    md5_of(STR(""), digest);
    assert_hex(digest, 16, "d41d8cd98f00b204e9800998ecf8427e");
    md5_of(STR("abc"), digest);
    assert_hex(digest, 16, "900150983cd24fb0d6963f7d28e17f72");
    md5_of(STR("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
           digest);
    assert_hex(digest, 16, "57edf4a22be3c955ac49da2e2107b67a");
}

/* Any number of streams of any lengths, in any pieces, hash as each would alone. */
static void md5_many_streams_hash_as_each_alone(void **state)
{
    enum { STREAMS = 40, PIECES = 5, MOST = 1500 };
    static uint8_t data[STREAMS][PIECES * MOST];
    for (unsigned count = 1; count <= STREAMS; count++) {
        struct md5 alone[STREAMS], together[STREAMS];
        size_t done[STREAMS] = {0};
        for (unsigned i = 0; i < count; i++) {
            fill(data[i], sizeof(data[i]), 77 * count + i);
            md5_init(&alone[i]);
            md5_init(&together[i]);
        }
        for (unsigned piece = 0; piece < PIECES; piece++) {
            struct md5_job jobs[STREAMS];
            for (unsigned i = 0; i < count; i++) {
                size_t len = (i * 131 + piece * 517 + count * 29) % MOST;
                jobs[i] = (struct md5_job){&together[i], data[i] + done[i], len};
                md5_update(&alone[i], data[i] + done[i], len);
                done[i] += len;
            }
            md5_update_many(jobs, count);
        }
        for (unsigned i = 0; i < count; i++) {
            uint8_t a[16], b[16];
            md5_finish(&alone[i], a);
            md5_finish(&together[i], b);
            assert_memory_equal(a, b, 16);
        }
    }
}

/* Two streams in pieces of any lengths, on the border of a block and off it, hash as each alone. */
static void sha256_of_two_streams_is_that_of_each_alone(void **state)
{
    static uint8_t data[2][20000];
    static const size_t lens[] = {64, 0, 640, 4096, 1, 63, 128, 65, 127, 3000, 64};
    fill(data[0], sizeof(data[0]), 1);
    fill(data[1], sizeof(data[1]), 2);
    for (unsigned seed = 0; seed < 500; seed++) {
        struct hash_stream *alone[2], *together[2];
        size_t done[2] = {0};
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(hash_stream_new(&alone[i], HASH_SHA256), 0);
            assert_int_equal(hash_stream_new(&together[i], HASH_SHA256), 0);
        }
        for (unsigned piece = 0; piece < 4; piece++) {
            struct str part[2];
            for (unsigned i = 0; i < 2; i++) {
                size_t len = lens[(seed * 7 + piece * (3 + i) + i * seed / 11) % ARRAY_LEN(lens)];
                part[i] = str_make((const char *)data[i] + done[i], len);
                hash_stream_update(alone[i], part[i].ptr, len);
                done[i] += len;
            }
            hash_stream_update_two(together[0], part[0], together[1], part[1]);
        }
        for (unsigned i = 0; i < 2; i++) {
            uint8_t a[32], b[32];
            hash_stream_finish(alone[i], a);
            hash_stream_finish(together[i], b);
            assert_memory_equal(a, b, 32);
        }
    }
}

static void sha_and_hmac_match_their_published_vectors(void **state)
{
    uint8_t digest[32];
    hash_sha256(STR("abc"), digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct hash_stream *h;
    assert_int_equal(hash_stream_new(&h, HASH_SHA1), 0);
    hash_stream_update(h, "ab", 2);
    hash_stream_update(h, "c", 1);
    hash_stream_finish(h, digest);
    assert_hex(digest, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
    struct hmac_key k; /* RFC 4231, case 2 */
    hmac_key_init(&k, STR("Jefe"));
    hmac_sha256(&k, STR("what do ya want for nothing?"), digest);
    assert_hex(digest, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char long_key[131]; /* RFC 4231, case 6: a key longer than a block is hashed first */
    memset(long_key, 0xAA, sizeof(long_key));
    hmac_key_init(&k, str_make(long_key, sizeof(long_key)));
    hmac_sha256(&k, STR("Test Using Larger Than Block-Size Key - Hash Key First"), digest);
    assert_hex(digest, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crcs_match_their_published_check_values),
        cmocka_unit_test(crc64_by_folding_equals_the_definition_at_every_length),
        cmocka_unit_test(crcs_continue_and_combine),
        cmocka_unit_test(md5_matches_rfc_1321),
        cmocka_unit_test(md5_many_streams_hash_as_each_alone),
        cmocka_unit_test(sha256_of_two_streams_is_that_of_each_alone),
        cmocka_unit_test(sha_and_hmac_match_their_published_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
