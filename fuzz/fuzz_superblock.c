/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A superblock from a damaged disk, its checksum put right if the first byte says so: what is
 * believed has a cell size that divides and masks safely, and the number that was asked for.
 */

#include "fuzz.h"
#include "base/error.h"
#include "volume/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct superblock s;
    if (len < 1 + sizeof(s))
        return 0;
    memcpy(&s, data + 1, sizeof(s));
    if (data[0] & 1)
        s.crc = hash_crc32c(0, &s, offsetof(struct superblock, crc));
    uint32_t asked = data[0] & 2 ? s.volume : 7;
    if (!superblock_valid(&s, asked))
        return 0;
    CHECK(s.volume == asked && s.version == FORMAT_VERSION);
    CHECK(s.cell_bytes >= CELL_BYTES_MIN && s.cell_bytes <= CELL_BYTES_MAX);
    CHECK((s.cell_bytes & (s.cell_bytes - 1)) == 0);
    CHECK(needle_cells(NEEDLE_PAYLOAD_MAX, s.cell_bytes) * (uint64_t)s.cell_bytes ==
          NEEDLE_PAYLOAD_MAX);
    return 0;
}
