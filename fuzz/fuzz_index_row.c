/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A row of the needle index: what is read as one is, written again, the same bytes. */

#include "fuzz.h"
#include "volume/internal.h"

static void check_needle_row(struct str key, struct str value)
{
    struct index_row row;
    if (!row_is_needle(key, value, &row))
        return;
    CHECK(row.len_bytes <= NEEDLE_PAYLOAD_MAX);
    struct row_bytes again = row_of_needle(&row), prefix = row_prefix(row.key);
    CHECK(str_eq(row_key(&again), key));
    CHECK(str_starts(key, row_key(&prefix)));
    struct index_row back;
    CHECK(row_is_needle(row_key(&again), row_value(&again), &back));
    CHECK(row_order(&row, &back) == 0 && back.len_bytes == row.len_bytes &&
          back.tombstone == row.tombstone && row_span(&back) == row_span(&row));
    struct index_row newer = row;
    if (row.lsn == UINT64_MAX)
        return;
    newer.lsn++;
    struct row_bytes first = row_of_needle(&newer);
    CHECK(row_newer(&newer, &row) && row_order(&newer, &row) < 0);
    CHECK(str_cmp(row_key(&first), key) < 0);
}

static void check_volume_row(struct str key, struct str value)
{
    uint32_t number;
    struct volume_row row;
    if (!row_is_volume(key, value, &number, &row))
        return;
    struct row_bytes again = row_of_volume(number, &row);
    CHECK(str_eq(row_key(&again), key) && str_eq(row_value(&again), value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1)
        return 0;
    struct str all = str_make(data + 1, len - 1);
    size_t cut = MIN((size_t)data[0], all.len);
    struct str key = fuzz_exact_prefix(all, cut);
    struct str value = fuzz_exact_prefix(str_from_offset(all, cut), all.len - cut);
    check_needle_row(key, value);
    check_volume_row(key, value);
    free((void *)key.ptr);
    free((void *)value.ptr);
    return 0;
}
