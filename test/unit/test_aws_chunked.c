/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/aws_chunked.h"

/* The examples of the S3 API Reference: 65 KiB of 'a' in chunks of 64 KiB and 1 KiB. */
#define SECRET     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SEED       "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define CHUNK_1    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
#define CHUNK_2    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
#define CHUNK_END  "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
#define T_SEED     "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
#define T_CHUNK_1  "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
#define T_CHUNK_2  "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
#define T_END      "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
#define T_TRAILERS "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
#define OTHER      "0000000000000000000000000000000000000000000000000000000000000000"

#define CRC_NAME "x-amz-checksum-crc32c"
#define CRC_LINE CRC_NAME ":sOO8/Q=="

static struct arena arena;
static struct sigv4_key key;
static struct sigv4_auth auth;

static int setup(void **state)
{
    arena_init(&arena, 0);
    auth = (struct sigv4_auth){.date = STR("20130524"),
                               .region = STR("us-east-1"),
                               .service = STR("s3"),
                               .amz_date = STR("20130524T000000Z"),
                               .signature_hex = STR(SEED)};
    sigv4_key_init(&key, STR(SECRET), auth.date, auth.region, auth.service);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

struct outcome {
    int rc; /* 1: ended */
    size_t used, decoded;
    bool right; /* every decoded byte was an 'a' */
    struct aws_chunked *stream;
};

/* Feeds `in` in pieces of `step`; an input that ends early gives the code of aws_chunked_eof. */
static struct outcome feed(struct aws_chunked *c, struct str in, size_t step)
{
    struct outcome o = {.right = true, .stream = c};
    while (o.rc == 0 && o.used < in.len) {
        size_t used;
        struct str data;
        o.rc = aws_chunked_next(c, str_prefix(str_from_offset(in, o.used), step), &used, &data);
        if (o.rc < 0)
            break;
        for (size_t i = 0; i < data.len; i++)
            o.right &= data.ptr[i] == 'a';
        o.used += used;
        o.decoded += data.len;
    }
    if (o.rc == 0)
        o.rc = aws_chunked_eof(c);
    aws_chunked_free(c);
    return o;
}

static struct outcome decode(enum sigv4_payload payload, struct str in, uint64_t length,
                             const char *trailers, size_t step)
{
    struct aws_chunked_config config = {.payload = payload,
                                        .key = &key,
                                        .auth = &auth,
                                        .decoded_length = length,
                                        .trailer_names = str_from(trailers)};
    struct aws_chunked *c;
    assert_int_equal(aws_chunked_new(&c, &arena, &config), 0);
    return feed(c, in, step);
}

static void put_chunk(struct buf *b, size_t size, const char *signature)
{
    buf_printf(b, "%zx%s%s\r\n", size, signature ? ";chunk-signature=" : "",
               signature ? signature : "");
    for (size_t i = 0; i < size; i++)
        buf_put_char(b, 'a');
    if (size)
        buf_put_cstr(b, "\r\n");
}

/* ---- signed chunks ------------------------------------------------------------------------------
 */

static void put_published(struct buf *b, const char *first, const char *second, const char *last)
{
    buf_init(b, 0);
    put_chunk(b, 65536, first);
    put_chunk(b, 1024, second);
    put_chunk(b, 0, last);
    buf_put_cstr(b, "\r\n");
}

static void published_upload_is_decoded_in_pieces_of_any_size(void **state)
{
    _cleanup_buf_ struct buf b;
    put_published(&b, CHUNK_1, CHUNK_2, CHUNK_END);
    assert_int_equal(b.len, 66824); /* the published Content-Length */
    const size_t steps[] = {1, 2, 7, 85, 86, 87, 1000, 65536, 100000};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct outcome o = decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 66560, "", steps[i]);
        assert_int_equal(o.rc, 1);
        assert_true(o.used == b.len && o.decoded == 66560 && o.right);
    }
}

static int decode_signed(const char *first, const char *second, const char *last)
{
    _cleanup_buf_ struct buf b;
    put_published(&b, first, second, last);
    return decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 66560, "", SIZE_MAX).rc;
}

static void wrong_missing_and_foreign_chunk_signatures_are_refused(void **state)
{
    assert_int_equal(decode_signed(CHUNK_1, CHUNK_2, CHUNK_END), 1);
    const char *const wrong[] = {NULL, OTHER, CHUNK_2, "", CHUNK_1 "0", T_CHUNK_1};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(decode_signed(wrong[i], CHUNK_2, CHUNK_END), -ERR_SIGNATURE_MISMATCH);
        if (wrong[i] && strcmp(wrong[i], CHUNK_2) != 0)
            assert_int_equal(decode_signed(CHUNK_1, wrong[i], CHUNK_END), -ERR_SIGNATURE_MISMATCH);
        assert_int_equal(decode_signed(CHUNK_1, CHUNK_2, wrong[i]), -ERR_SIGNATURE_MISMATCH);
    }
    auth.signature_hex = STR(OTHER); /* chunks of another request */
    assert_int_equal(decode_signed(CHUNK_1, CHUNK_2, CHUNK_END), -ERR_SIGNATURE_MISMATCH);
}

/* Signs chunks of the sizes given, as a client does. */
static void put_signed(struct buf *b, const size_t *sizes, size_t count)
{
    char chain[65] = SEED;
    static char zeros[65536];
    memset(zeros, 'a', sizeof(zeros));
    for (size_t i = 0; i < count; i++) {
        uint8_t digest[32];
        hash_sha256(str_make(zeros, sizes[i]), digest);
        sigv4_chunk_signature(&key, &auth, chain, digest, chain);
        put_chunk(b, sizes[i], chain);
    }
    buf_put_cstr(b, "\r\n");
}

static void swapped_repeated_and_dropped_chunks_are_refused(void **state)
{
    _cleanup_buf_ struct buf whole, bad;
    buf_init(&whole, 0);
    put_signed(&whole, (size_t[]){9000, 9001, 0}, 3);
    const size_t first = 4 + 17 + 64 + 2 + 9000 + 2, second = first + 1;
    const struct str chunk[] = {str_prefix(buf_str(&whole), first),
                                {whole.data + first, second},
                                str_from_offset(buf_str(&whole), first + second)};
    const struct {
        int order[4];
        uint64_t length;
    } cases[] = {
        {{1, 0, 2, -1}, 18001}, {{0, 0, 2, -1}, 18000}, {{0, 0, 1, 2}, 27001},
        {{0, 2, -1, -1}, 9000}, {{1, 2, -1, -1}, 9001}, {{2, -1, -1, -1}, 0},
    };
    assert_int_equal(decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&whole), 18001, "", 9000).rc, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_init(&bad, 0);
        for (size_t k = 0; k < 4 && cases[i].order[k] >= 0; k++)
            buf_put_str(&bad, chunk[cases[i].order[k]]);
        struct outcome o = decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&bad), cases[i].length, "", 9000);
        assert_int_equal(o.rc, -ERR_SIGNATURE_MISMATCH);
        buf_release(&bad);
    }
    buf_init(&bad, 0);
}

static void a_flipped_byte_of_data_is_refused(void **state)
{
    _cleanup_buf_ struct buf b;
    put_published(&b, CHUNK_1, CHUNK_2, CHUNK_END);
    b.data[30000] ^= 1;
    struct outcome o = decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 66560, "", 4096);
    assert_int_equal(o.rc, -ERR_SIGNATURE_MISMATCH);
}

static void every_truncation_is_refused(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_signed(&b, (size_t[]){20, 0}, 2);
    for (size_t len = 0; len < b.len; len++) {
        struct outcome o =
            decode(SIGV4_PAYLOAD_CHUNKED, str_prefix(buf_str(&b), len), 20, "", SIZE_MAX);
        assert_int_equal(o.rc, -ERR_INCOMPLETE_BODY);
    }
}

static void bytes_after_the_end_are_left_to_the_caller(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_signed(&b, (size_t[]){20, 0}, 2);
    size_t len = b.len;
    buf_put_cstr(&b, "more");
    struct outcome o = decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 20, "", SIZE_MAX);
    assert_int_equal(o.rc, 1);
    assert_int_equal(o.used, len);
}

static void one_empty_line_may_follow_unsigned_trailers(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } cases[] = {{"", 0},
                 {"\r", 0},
                 {"\r\n", 0},
                 {"\r\n\r\n", -ERR_INCOMPLETE_BODY},
                 {"x", -ERR_INCOMPLETE_BODY},
                 {"\n", -ERR_INCOMPLETE_BODY}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct aws_chunked *c;
        struct aws_chunked_config config = {.payload = SIGV4_PAYLOAD_UNSIGNED_TRAILER,
                                            .trailer_names = STR(CRC_NAME)};
        assert_int_equal(aws_chunked_new(&c, &arena, &config), 0);
        size_t used;
        struct str data, end = STR("0\r\n" CRC_LINE "\n\r\n");
        assert_int_equal(aws_chunked_next(c, end, &used, &data), 1);
        assert_int_equal(used, end.len);
        assert_int_equal(aws_chunked_behind(c, str_from(cases[i].text)), cases[i].rc);
        aws_chunked_free(c);
    }
}

static void empty_upload_is_one_chunk(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_signed(&b, (size_t[]){0}, 1);
    assert_int_equal(decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 0, "", 1).rc, 1);
}

static void trailers_do_not_belong_to_the_plain_signed_mode(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_signed(&b, (size_t[]){0}, 1);
    b.len -= 2;
    buf_put_cstr(&b, CRC_LINE "\r\n\r\n");
    assert_int_equal(decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), 0, "", 1).rc,
                     -ERR_MALFORMED_TRAILER);
    struct aws_chunked *c = NULL;
    struct aws_chunked_config config = {.payload = SIGV4_PAYLOAD_CHUNKED,
                                        .key = &key,
                                        .auth = &auth,
                                        .trailer_names = STR(CRC_NAME)};
    assert_int_equal(aws_chunked_new(&c, &arena, &config), -ERR_MALFORMED_TRAILER);
    assert_null(c);
}

/* ---- sizes --------------------------------------------------------------------------------------
 */

static int decode_sizes(const size_t *sizes, size_t count, uint64_t length)
{
    _cleanup_buf_ struct buf b, u;
    buf_init(&b, 0);
    buf_init(&u, 0);
    put_signed(&b, sizes, count);
    for (size_t i = 0; i < count; i++)
        put_chunk(&u, sizes[i], NULL);
    buf_put_cstr(&u, "\r\n");
    int rc = decode(SIGV4_PAYLOAD_CHUNKED, buf_str(&b), length, "", 10000).rc;
    assert_int_equal(decode(SIGV4_PAYLOAD_UNSIGNED_TRAILER, buf_str(&u), length, "", 10000).rc, rc);
    return rc;
}

static void only_the_last_chunk_may_be_small(void **state)
{
    assert_int_equal(decode_sizes((size_t[]){8192, 8192, 1, 0}, 4, 16385), 1);
    assert_int_equal(decode_sizes((size_t[]){8191, 8192, 0}, 3, 16383), -ERR_INVALID_CHUNK_SIZE);
    assert_int_equal(decode_sizes((size_t[]){1, 1, 0}, 3, 2), -ERR_INVALID_CHUNK_SIZE);
}

static void declared_length_must_be_met_exactly(void **state)
{
    assert_int_equal(decode_sizes((size_t[]){8192, 10, 0}, 3, 8202), 1);
    assert_int_equal(decode_sizes((size_t[]){8192, 10, 0}, 3, 8201), -ERR_INCOMPLETE_BODY);
    assert_int_equal(decode_sizes((size_t[]){8192, 10, 0}, 3, 8203), -ERR_INCOMPLETE_BODY);
    assert_int_equal(decode_sizes((size_t[]){0}, 1, 1), -ERR_INCOMPLETE_BODY);
}

static int decode_unsigned(const char *text, uint64_t length, const char *trailers)
{
    int whole =
        decode(SIGV4_PAYLOAD_UNSIGNED_TRAILER, str_from(text), length, trailers, SIZE_MAX).rc;
    int single = decode(SIGV4_PAYLOAD_UNSIGNED_TRAILER, str_from(text), length, trailers, 1).rc;
    assert_int_equal(whole, single);
    return whole;
}

static void an_unsigned_chunk_may_be_the_whole_object(void **state)
{
    struct str line = STR("140000000\r\n"); /* 5 GiB */
    size_t used;
    struct str data;
    struct aws_chunked *c;
    struct aws_chunked_config config = {.payload = SIGV4_PAYLOAD_UNSIGNED_TRAILER,
                                        .decoded_length = 5 * GIB};
    assert_int_equal(aws_chunked_new(&c, &arena, &config), 0);
    assert_int_equal(aws_chunked_next(c, line, &used, &data), 0);
    config = (struct aws_chunked_config){
        .payload = SIGV4_PAYLOAD_CHUNKED, .key = &key, .auth = &auth, .decoded_length = 5 * GIB};
    assert_int_equal(aws_chunked_new(&c, &arena, &config), 0);
    line = STR("4000001;chunk-signature=" CHUNK_1 "\r\n");
    assert_int_equal(aws_chunked_next(c, line, &used, &data), -ERR_INVALID_CHUNK_SIZE);
    assert_int_equal(aws_chunked_next(c, STR("0"), &used, &data), -ERR_INVALID_CHUNK_SIZE);
}

static void malformed_framing_is_refused(void **state)
{
    const char *const bad[] = {
        "\r\n",
        " 5\r\naaaaa\r\n",
        "5 \r\naaaaa\r\n",
        "0x5\r\naaaaa\r\n",
        "+5\r\naaaaa\r\n",
        "-5\r\n",
        "5\naaaaa\r\n",
        "5\r\naaaaa\n",
        "5\r\naaaaaa\r\n",
        "g\r\n",
        "5;a=b\r\n",
        "5\r\r\naaaaa",
        "0000000000000005\r\naaaaa\r\n",
        "hello\r\n",
        "5;chunk-signature=" CHUNK_1 "\r\naaaaa\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (decode_unsigned(bad[i], 5, "") != -ERR_PARSE)
            fail_msg("not refused: %s", bad[i]);
    char line[AWS_CHUNK_LINE_MAX + 2];
    memset(line, '0', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    assert_int_equal(decode_unsigned(line, 5, ""), -ERR_PARSE);
}

/* ---- trailers -----------------------------------------------------------------------------------
 */

static void unsigned_trailer_as_boto3_sends_it(void **state)
{
    struct str in = STR("5\r\naaaaa\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n");
    for (size_t step = 1; step <= in.len; step++) {
        struct outcome o =
            decode(SIGV4_PAYLOAD_UNSIGNED_TRAILER, in, 5, "x-amz-checksum-crc32", step);
        assert_int_equal(o.rc, 1);
        assert_true(o.used == in.len && o.decoded == 5 && o.right);
        assert_true(
            str_eq(aws_chunked_trailer(o.stream, STR("x-amz-checksum-crc32")), STR("NhCmhg==")));
        assert_null(aws_chunked_trailer(o.stream, STR("x-amz-checksum-sha1")).ptr);
    }
}

static void trailers_are_exactly_those_declared(void **state)
{
    assert_int_equal(decode_unsigned("0\r\na: 1\r\nB:2 \r\n\r\n", 0, " A , b"), 1);
    assert_int_equal(decode_unsigned("0\r\n\r\n", 0, ""), 1);
    const struct {
        const char *text, *declared;
    } bad[] = {
        {"0\r\n\r\n", "a"},
        {"0\r\na:1\r\n\r\n", ""},
        {"0\r\na:1\r\n\r\n", "a,b"},
        {"0\r\na:1\r\nb:2\r\n\r\n", "a"},
        {"0\r\na:1\r\na:1\r\n\r\n", "a"},
        {"0\r\na:1\r\nA:1\r\n\r\n", "a"},
        {"0\r\na\r\n\r\n", "a"},
        {"0\r\n:1\r\n\r\n", "a"},
        {"0\r\na :1\r\n\r\n", "a"},
        {"0\r\n a:1\r\n\r\n", "a"},
        {"0\r\na:1\x01\r\n\r\n", "a"},
        {"0\r\na:1\rx\r\n\r\n", "a"},
        {"0\r\na:1\r\nx-amz-trailer-signature:" OTHER "\r\n\r\n", "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (decode_unsigned(bad[i].text, 0, bad[i].declared) != -ERR_MALFORMED_TRAILER)
            fail_msg("not refused: %s", bad[i].text);
}

static void too_many_or_empty_declared_trailers_are_refused(void **state)
{
    struct aws_chunked *c;
    struct aws_chunked_config config = {.payload = SIGV4_PAYLOAD_UNSIGNED_TRAILER};
    config.trailer_names = STR("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p");
    assert_int_equal(aws_chunked_new(&c, &arena, &config), 0);
    config.trailer_names = STR("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q");
    assert_int_equal(aws_chunked_new(&c, &arena, &config), -ERR_MALFORMED_TRAILER);
    config.trailer_names = STR("a,");
    assert_int_equal(aws_chunked_new(&c, &arena, &config), -ERR_MALFORMED_TRAILER);
}

static struct outcome decode_signed_trailer(const char *trailers, const char *declared)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_chunk(&b, 65536, T_CHUNK_1);
    put_chunk(&b, 1024, T_CHUNK_2);
    put_chunk(&b, 0, T_END);
    buf_put_cstr(&b, trailers);
    auth.signature_hex = STR(T_SEED);
    struct outcome one = decode(SIGV4_PAYLOAD_CHUNKED_TRAILER, buf_str(&b), 66560, declared, 1);
    struct outcome all =
        decode(SIGV4_PAYLOAD_CHUNKED_TRAILER, buf_str(&b), 66560, declared, SIZE_MAX);
    assert_int_equal(one.rc, all.rc);
    return all;
}

static void published_signed_trailer_verifies_with_every_line_ending_in_use(void **state)
{
    const char *const good[] = {
        CRC_LINE "\r\nx-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
        CRC_LINE "\nx-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
        CRC_LINE "\n\r\nx-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
        CRC_LINE "\r\n\r\nx-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
        "X-Amz-Checksum-CRC32C: sOO8/Q== \r\nX-Amz-Trailer-Signature: " T_TRAILERS "\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct outcome o = decode_signed_trailer(good[i], CRC_NAME);
        assert_int_equal(o.rc, 1);
        assert_true(str_eq(aws_chunked_trailer(o.stream, STR(CRC_NAME)), STR("sOO8/Q==")));
    }
}

static void signed_trailers_need_their_signature(void **state)
{
    const char *const bad[] = {
        "\r\n",
        CRC_LINE "\r\n\r\n",
        CRC_LINE "\r\n\r\n\r\n",
        CRC_LINE "\r\nx-amz-trailer-signature:" OTHER "\r\n\r\n",
        CRC_LINE "\r\nx-amz-trailer-signature:" T_END "\r\n\r\n",
        CRC_LINE "\r\nx-amz-trailer-signature:\r\n\r\n",
        CRC_NAME ":AAAAAA==\r\nx-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
        "x-amz-trailer-signature:" T_TRAILERS "\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int rc = decode_signed_trailer(bad[i], CRC_NAME).rc;
        if (rc != -ERR_SIGNATURE_MISMATCH && rc != (i == 0 ? -ERR_MALFORMED_TRAILER : 0))
            fail_msg("not refused (%d): %s", rc, bad[i]);
    }
    assert_int_equal(decode_signed_trailer("\r\n", "").rc, -ERR_SIGNATURE_MISMATCH);
}

static void nothing_may_follow_the_trailer_signature(void **state)
{
    assert_int_equal(decode_signed_trailer(CRC_LINE "\r\nx-amz-trailer-signature:" T_TRAILERS
                                                    "\r\nb:1\r\n\r\n",
                                           CRC_NAME ",b")
                         .rc,
                     -ERR_MALFORMED_TRAILER);
    assert_int_equal(decode_signed_trailer(CRC_LINE "\r\n\r\nb:1\r\n\r\n", CRC_NAME).rc,
                     -ERR_MALFORMED_TRAILER);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(published_upload_is_decoded_in_pieces_of_any_size),
        T(wrong_missing_and_foreign_chunk_signatures_are_refused),
        T(swapped_repeated_and_dropped_chunks_are_refused),
        T(a_flipped_byte_of_data_is_refused),
        T(every_truncation_is_refused),
        T(bytes_after_the_end_are_left_to_the_caller),
        T(one_empty_line_may_follow_unsigned_trailers),
        T(empty_upload_is_one_chunk),
        T(trailers_do_not_belong_to_the_plain_signed_mode),
        T(only_the_last_chunk_may_be_small),
        T(declared_length_must_be_met_exactly),
        T(an_unsigned_chunk_may_be_the_whole_object),
        T(malformed_framing_is_refused),
        T(unsigned_trailer_as_boto3_sends_it),
        T(trailers_are_exactly_those_declared),
        T(too_many_or_empty_declared_trailers_are_refused),
        T(published_signed_trailer_verifies_with_every_line_ending_in_use),
        T(signed_trailers_need_their_signature),
        T(nothing_may_follow_the_trailer_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
