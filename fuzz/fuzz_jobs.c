/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What the background jobs keep: their rows, the places of scrub, rebalance, purge and inventory,
 * the states of batch jobs, the list of damage. The first byte of the input chooses one. A scrub's,
 * purge's, batch job's or inventory's that decodes must come out the same after it is packed again.
 */

#include "fuzz.h"
#include "jobs/internal.h"
#include "jobs/inventory.h"
#include "jobs/job.pb-c.h"

static void fuzz_row(struct str value)
{
    Jobs__Job *pb = jobs__job__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (pb)
        jobs__job__free_unpacked(pb, NULL);
}

static void fuzz_scrub(struct str cursor)
{
    static struct scrub_state s, again;
    struct str packed, twice;
    if (scrub_unpack(cursor, &s) < 0)
        return;
    (void)scrub_pace(&s, 14, 1 * MIB, s.started_ms + 1000);
    (void)scrub_due(&s, 14, s.started_ms + 1000);
    CHECK(scrub_pack(&s, &packed) == 0);
    CHECK(scrub_unpack(packed, &again) == 0 && scrub_pack(&again, &twice) == 0);
    CHECK(str_eq(packed, twice));
    free((void *)(uintptr_t)packed.ptr);
    free((void *)(uintptr_t)twice.ptr);
}

static void fuzz_move(struct str cursor)
{
    static struct move_state s;
    if (move_unpack(cursor, &s) == 0)
        CHECK(s.place.row.len <= sizeof(s.place.buffer));
}

static void fuzz_purge(struct str cursor)
{
    static struct purge_state s, again;
    struct str packed, twice;
    if (purge_unpack(cursor, &s) < 0)
        return;
    CHECK(s.place.key_len <= sizeof(s.place.key) && purge_phase_text(s.phase));
    CHECK(purge_pack(&s, &packed) == 0);
    CHECK(purge_unpack(packed, &again) == 0 && purge_pack(&again, &twice) == 0);
    CHECK(str_eq(packed, twice));
    free((void *)(uintptr_t)packed.ptr);
    free((void *)(uintptr_t)twice.ptr);
}

static void fuzz_batch(struct str row)
{
    static struct batch_state s, again;
    struct str packed, twice;
    if (batch_unpack(row, &s) < 0)
        return;
    CHECK(s.tags_len <= sizeof(s.tags) && s.why_len <= sizeof(s.why) && s.id > 0);
    CHECK(batch_phase_text(s.phase) && batch_action_text(s.action));
    CHECK(batch_pack(&s, &packed) == 0);
    CHECK(batch_unpack(packed, &again) == 0 && batch_pack(&again, &twice) == 0);
    CHECK(str_eq(packed, twice));
    free((void *)(uintptr_t)packed.ptr);
    free((void *)(uintptr_t)twice.ptr);
}

static void fuzz_inventory(struct str cursor)
{
    struct inventory_state *s = inventory_state_new();
    struct str packed, twice;
    CHECK(s);
    if (inventory_state_unpack(cursor, s) == 0) {
        CHECK(inventory_state_pack(s, &packed) == 0);
        CHECK(inventory_state_unpack(packed, s) == 0 && inventory_state_pack(s, &twice) == 0);
        CHECK(str_eq(packed, twice));
        free((void *)(uintptr_t)packed.ptr);
        free((void *)(uintptr_t)twice.ptr);
    }
    inventory_state_free(s);
}

static void fuzz_damage(struct str value)
{
    struct damage d;
    struct arena a;
    struct str key = str_prefix(value, MIN(value.len, sizeof("Jdamage ") - 1 + 18));
    arena_init(&a, 0);
    if (damage_decode(key, str_from_offset(value, key.len), &a, &d) == 0)
        CHECK(d.state < DAMAGE_STATES && d.text.ptr);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct str value = str_make(data + 1, len - 1);
    if (data[0] == 0)
        fuzz_row(value);
    else if (data[0] == 1)
        fuzz_scrub(value);
    else if (data[0] == 2)
        fuzz_move(value);
    else if (data[0] == 4)
        fuzz_purge(value);
    else if (data[0] == 5)
        fuzz_batch(value);
    else if (data[0] == 6)
        fuzz_inventory(value);
    else
        fuzz_damage(value);
    return 0;
}
