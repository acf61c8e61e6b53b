/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A packed ring. What unpacks is sound, and packs to what unpacks the same. An epoch is large, so
 * inputs that begin with a zero byte are taken for a recipe: a small ring is made of it, packed,
 * and spoilt at the places that the rest of the input names.
 */

#include "fuzz.h"
#include "base/buf.h"
#include "base/error.h"
#include "ring/ring.h"

static void check_sound(const struct ring *r)
{
    unsigned count, slots = ring_config(r)->slots;
    const struct ring_disk *disks = ring_disks(r, &count);
    CHECK(count > 0 && ring_epoch(r) > 0 && slots >= 1 && slots <= RING_SLOTS_MAX);
    for (unsigned i = 1; i < count; i++)
        CHECK(disks[i - 1].number < disks[i].number);
    for (unsigned p = 0; p < RING_PARTITIONS; p++)
        for (unsigned i = 0; i < slots; i++)
            for (unsigned j = 0; j < i; j++)
                CHECK(ring_disk_at(r, p, i) != ring_disk_at(r, p, j));
}

static void check(struct str in)
{
    _cleanup_ring_ struct ring *r = NULL, *again = NULL;
    _cleanup_buf_ struct buf first, second;
    struct ring_report report;
    buf_init(&first, 0);
    buf_init(&second, 0);
    if (ring_unpack(in, &r) < 0) {
        CHECK(!r);
        return;
    }
    check_sound(r);
    CHECK(ring_inspect(r, &report) != -EINVAL);
    CHECK(ring_pack(r, &first) == 0);
    CHECK(ring_unpack(buf_str(&first), &again) == 0);
    CHECK(ring_pack(again, &second) == 0);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
}

#define MADE 4

/* Packed rings of 1 to MADE slots, made once: making one takes longer than all that is tested. */
static struct str good_ring(unsigned slots)
{
    static struct buf made[MADE];
    struct buf *packed = &made[slots - 1];
    struct ring_config config = {.slots = slots, .seed = slots};
    struct ring_disk disks[8];
    _cleanup_ring_ struct ring *r = NULL;
    if (packed->len)
        return buf_str(packed);
    buf_init(packed, 0);
    for (unsigned i = 0; i < 8; i++)
        disks[i] = (struct ring_disk){.number = i * 100, .zone = i % 3, .weight = 1000};
    CHECK(ring_new(&r, &config, disks, 8) == 0);
    CHECK(ring_pack(r, packed) == 0);
    return buf_str(packed);
}

/* The first byte chooses the ring; then threes: a place, of two bytes, and what to put there. Of
 * the two, the highest bit says that the place is near the front, where the fields are. */
static void check_spoilt(const uint8_t *data, size_t len)
{
    struct str good = good_ring(1 + data[0] % MADE);
    _cleanup_buf_ struct buf packed;
    buf_init(&packed, 0);
    buf_put_str(&packed, good);
    CHECK(buf_error(&packed) == 0);
    for (size_t i = 1; i + 3 <= len; i += 3) {
        size_t place = data[i] | (data[i + 1] & 0x7f) << 8;
        packed.data[place % (data[i + 1] & 0x80 ? 200 : packed.len)] = (char)data[i + 2];
    }
    check(buf_str(&packed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 1 && data[0] == 0)
        check_spoilt(data + 1, len - 1);
    else
        check(str_make(data, len));
    return 0;
}
