/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Event stream messages: known ones to the byte, and whether what is written has its sums. */

#include "unit.h"

#include "base/hash.h"
#include "wire/event_stream.h"

static uint32_t be32(const char *at)
{
    const uint8_t *p = (const uint8_t *)at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One whole message at the start of `s`; its length. */
static size_t check_message(struct str s)
{
    assert_true(s.len >= 16);
    size_t len = be32(s.ptr), headers = be32(s.ptr + 4);
    assert_true(len <= s.len && headers + 16 <= len);
    assert_int_equal(be32(s.ptr + 8), hash_crc32(0, s.ptr, 8));
    assert_int_equal(be32(s.ptr + len - 4), hash_crc32(0, s.ptr, len - 4));
    return len;
}

/* The first vectors of the encoding's public test suite: nothing, a payload, a string header. */
static void known_messages_are_written(void **state)
{
    static const char empty[] = "\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
    static const char payload[] = "\x00\x00\x00\x1d\x00\x00\x00\x00\xfd\x52\x8c\x5a"
                                  "{'foo':'bar'}\xc3\x65\x39\x36";
    static const char header[] = "\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96"
                                 "\x0c"
                                 "content-type"
                                 "\x07\x00\x10"
                                 "application/json"
                                 "{'foo':'bar'}\x8d\x9c\x08\xb1";
    struct event_stream_header type = {STR("content-type"), STR("application/json")};
    struct buf b;
    buf_init(&b, 0);
    event_stream_put(&b, NULL, 0, STR_NULL);
    assert_true(str_eq(buf_str(&b), str_make(empty, sizeof(empty) - 1)));
    buf_reset(&b);
    event_stream_put(&b, NULL, 0, STR("{'foo':'bar'}"));
    assert_true(str_eq(buf_str(&b), str_make(payload, sizeof(payload) - 1)));
    buf_reset(&b);
    event_stream_put(&b, &type, 1, STR("{'foo':'bar'}"));
    assert_true(str_eq(buf_str(&b), str_make(header, sizeof(header) - 1)));
    buf_release(&b);
}

static void messages_follow_each_other(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    event_stream_put_event(&b, STR("Records"), STR("application/octet-stream"), STR("1,2\n"));
    event_stream_put_event(&b, STR("End"), STR_NULL, STR_NULL);
    event_stream_put_error(&b, STR("CastFailed"), STR("no number"));
    struct str rest = buf_str(&b);
    unsigned count = 0;
    for (; rest.len; count++)
        rest = str_from_offset(rest, check_message(rest));
    assert_int_equal(count, 3);
    assert_true(str_find(buf_str(&b),
                         STR(":error-code\x07\x00\x0a"
                             "CastFailed"),
                         0) > 0);
    buf_release(&b);
}

static void a_full_buffer_takes_no_part_of_one(void **state)
{
    struct buf b;
    buf_init(&b, 20);
    event_stream_put_event(&b, STR("End"), STR_NULL, STR_NULL);
    assert_true(buf_error(&b) != 0);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_messages_are_written),
        cmocka_unit_test(messages_follow_each_other),
        cmocka_unit_test(a_full_buffer_takes_no_part_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
