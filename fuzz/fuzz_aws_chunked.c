/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The first byte chooses the mode, the second the declared length (in units of 4 KiB and a rest),
 * the third the trailers; what follows is the body. However it is cut, the answer is the same, and
 * an upload that ends well has exactly the declared length.
 */

#include "fuzz.h"
#include "base/buf.h"
#include "wire/aws_chunked.h"

static struct sigv4_key key;

static const struct sigv4_auth auth = {
    .date = STR("20130524"),
    .region = STR("us-east-1"),
    .service = STR("s3"),
    .amz_date = STR("20130524T000000Z"),
    .signature_hex = STR("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"),
};

static struct aws_chunked_config choose(const uint8_t *data)
{
    static const enum sigv4_payload payloads[] = {
        SIGV4_PAYLOAD_UNSIGNED_TRAILER, SIGV4_PAYLOAD_CHUNKED_TRAILER, SIGV4_PAYLOAD_CHUNKED};
    static const struct str trailers[] = {STR(""), STR("x-amz-checksum-crc32"), STR("a, B"),
                                          STR("x-amz-checksum-crc32c")};
    return (struct aws_chunked_config){.payload = payloads[data[0] % 3],
                                       .key = &key,
                                       .auth = &auth,
                                       .decoded_length = (data[1] >> 4) * 4096ULL + (data[1] & 15),
                                       .trailer_names = trailers[data[2] % 4]};
}

/* Feeds [0, cut) and then the rest. */
static int decode(const struct aws_chunked_config *config, struct str in, size_t cut,
                  struct buf *out, size_t *ret_used)
{
    struct arena a;
    struct aws_chunked *c = NULL;
    size_t at = 0;
    arena_init(&a, 0);
    int rc = aws_chunked_new(&c, &a, config);
    while (rc == 0 && at < in.len) {
        size_t used = 0, end = at < cut ? cut : in.len;
        struct str data;
        rc = aws_chunked_next(c, str_make(in.ptr + at, end - at), &used, &data);
        if (rc < 0)
            break;
        CHECK(used > 0 && used <= end - at);
        buf_put_str(out, data);
        at += used;
    }
    CHECK(rc != 0 || !c || aws_chunked_eof(c) < 0);
    aws_chunked_free(c);
    arena_release(&a);
    *ret_used = at;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3)
        return 0;
    sigv4_key_init(&key, STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), auth.date, auth.region,
                   auth.service);
    struct aws_chunked_config config = choose(data);
    struct str in = str_make(data + 3, len - 3);
    _cleanup_buf_ struct buf whole, parts;
    size_t whole_used, parts_used;
    buf_init(&whole, 0);
    buf_init(&parts, 0);
    int rc = decode(&config, in, 0, &whole, &whole_used);
    CHECK(decode(&config, in, fuzz_split(in), &parts, &parts_used) == rc);
    CHECK(rc < 0 || str_eq(buf_str(&whole), buf_str(&parts)));
    CHECK(rc < 0 || whole_used == parts_used);
    CHECK(rc != 1 || whole.len == config.decoded_length);
    CHECK(whole.len <= config.decoded_length);
    return 0;
}
