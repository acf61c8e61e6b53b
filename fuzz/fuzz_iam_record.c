/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A user's row: whatever bytes stand in it, it is refused or survives a round trip. */

#include "iam/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct iam_entry *e, *again;
    struct buf out;
    if (iam_record_decode(str_make(data, size), &e))
        return 0;
    buf_init(&out, 0);
    CHECK(iam_record_encode(e, &out) == 0);
    CHECK(iam_record_decode(buf_str(&out), &again) == 0);
    CHECK(str_eq(e->user.name, again->user.name) && e->key_count == again->key_count);
    buf_release(&out);
    iam_entry_free(again);
    iam_entry_free(e);
    return 0;
}
