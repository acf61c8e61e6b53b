/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Whatever a NATS server says, in whatever pieces it comes: what is understood lies within it, and
 * is the same however much of it was there before. */

#include "base/error.h"
#include "events/nats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(struct str in, struct str s)
{
    CHECK(s.len == 0 || (s.ptr >= in.ptr && s.ptr + s.len <= in.ptr + in.len));
}

/* Less of it says that more is needed, or the same is wrong with it. */
static void check_shorter(struct str in, size_t used)
{
    for (size_t n = 0; n < used; n += used / 16 + 1) {
        struct nats_said said;
        size_t again;
        CHECK(nats_next(str_prefix(in, n), &said, &again) == 0 && again == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str in = str_make(data, len);
    struct nats_said said;
    size_t used = 1;
    nats_subject_valid(in);
    while (used > 0 && nats_next(in, &said, &used) == 0) {
        if (used == 0)
            break;
        CHECK(used <= in.len);
        check_shorter(in, used);
        if (said.verb == NATS_MSG) {
            check_within(in, said.subject);
            check_within(in, said.headers);
            check_within(in, said.body);
            CHECK(nats_status(&said) < 1000);
        } else {
            check_within(in, said.text);
        }
        in = str_from_offset(in, used);
    }
    return 0;
}
