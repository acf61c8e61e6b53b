/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Shards moved to where the newest placement wants them. */

#include "disks_help.h"

#define CASE(name, disks)           \
    static int name##_(void *arg);  \
    static void name(void **state)  \
    {                               \
        with_disks(disks, name##_); \
    }                               \
    static int FIBER name##_(void *arg)

#define CHUNKS 40

static uint64_t len_of(unsigned i)
{
    return i % 2 ? 3000 + i : 300000 + 1000 * i;
}

static void write_all(struct disks *d, struct blob_layout *l)
{
    for (unsigned i = 0; i < CHUNKS; i++)
        assert_int_equal(blob_write_bytes(d, i, len_of(i), &l[i]), 0);
}

static void role(struct disks *d, unsigned i, enum node_role role)
{
    node_set_role(nodes_get(&d->nodes, i), role);
}

/* Moves what is misplaced, takes it over, lets the old go, and reads it. Returns the bytes moved.
 */
static uint64_t move_all(struct disks *d, struct blob_layout *l)
{
    uint64_t moved = 0;
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct blob_repaired r;
        assert_int_equal(blob_move(d->blob, &l[i].chunks[0], &d->arena, &r), 0);
        assert_true(r.changed == blob_misplaced(d->blob, &l[i].chunks[0]));
        assert_int_equal(r.left, 0);
        for (uint16_t s = 0; s < l[i].chunks[0].shard_count; s++) {
            const struct blob_shard *old = &l[i].chunks[0].shards[s];
            struct blob_needle n = {blob_key(l[i].chunks[0].id, s), old->disk};
            if (r.changed && (!chunk_id_eq(r.chunk.id, l[i].chunks[0].id) ||
                              r.chunk.shards[s].disk != old->disk))
                assert_int_equal(blob_delete(d->blob, &n, 1), 0);
        }
        l[i].chunks[0] = r.chunk;
        moved += r.written_bytes;
        assert_false(blob_misplaced(d->blob, &r.chunk));
        assert_int_equal(blob_verify(d->blob, &r.chunk, true, NULL), 0);
        blob_reads_all(d, i, &l[i]);
    }
    return moved;
}

static uint64_t needles_of(struct disks *d, unsigned i)
{
    struct node_stats s;
    assert_int_equal(node_checkpoint(nodes_get(&d->nodes, i)), 0); /* what was deleted counts */
    node_stats(nodes_get(&d->nodes, i), &s);
    return s.disk.needles;
}

CASE(a_disk_more_gets_its_share_and_no_more, 6)
{
    struct disks *d = arg;
    struct blob_layout l[CHUNKS];
    disks_open(d);
    write_all(d, l);
    assert_int_equal(move_all(d, l), 0); /* nothing to move */
    disks_add(d);
    disks_open_node(d, 6);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CHUNKS; i++)
        bytes += (uint64_t)l[i].chunks[0].shard_count * l[i].len_bytes / l[i].chunks[0].code_k;
    uint64_t moved = move_all(d, l);
    assert_in_range(moved, bytes / 14, bytes / 4); /* a seventh is ideal */
    assert_int_equal(move_all(d, l), 0);
    assert_in_range(needles_of(d, 6), 10, 50);
    disks_close(d);
    return 0;
}

CASE(a_drained_disk_ends_empty, 7)
{
    struct disks *d = arg;
    struct blob_layout l[CHUNKS];
    disks_open(d);
    write_all(d, l);
    assert_true(needles_of(d, 2) > 0);
    role(d, 2, NODE_DRAINING);
    assert_true(move_all(d, l) > 0);
    assert_int_equal(needles_of(d, 2), 0);
    disks_close(d);
    return 0;
}

CASE(drained_below_the_code_it_is_encoded_anew, 6)
{
    struct disks *d = arg;
    struct blob_layout l[CHUNKS];
    disks_open(d);
    write_all(d, l);
    assert_int_equal(l[0].chunks[0].code_k, 4);
    for (unsigned i = 0; i < 5; i++) { /* down to a single disk */
        role(d, i, NODE_DRAINING);
        move_all(d, l);
        assert_int_equal(needles_of(d, i), 0);
        role(d, i, NODE_RETIRED);
    }
    assert_int_equal(l[0].chunks[0].shard_count, 1);
    disks_close(d);
    return 0;
}

CASE(no_disk_to_take_it_is_waited_for, 7)
{
    struct disks *d = arg;
    struct blob_layout l;
    struct blob_repaired r;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 400000, &l), 0);
    uint32_t mine = l.chunks[0].shards[0].disk, spare = 0;
    while (blob_uses_disk(&l.chunks[0], spare))
        spare++;
    role(d, mine, NODE_DRAINING);
    disk_goes(d, spare);
    assert_true(blob_misplaced(d->blob, &l.chunks[0]));
    assert_int_equal(blob_move(d->blob, &l.chunks[0], &d->arena, &r), 0);
    assert_false(r.changed);
    assert_int_equal(r.left, 1);
    disks_close(d);
    return 0;
}

CASE(what_cannot_be_copied_stays_where_it_is, 7)
{
    struct disks *d = arg;
    struct blob_layout l;
    struct blob_repaired r;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 400000, &l), 0);
    uint32_t mine = l.chunks[0].shards[3].disk, spare = 0;
    while (blob_uses_disk(&l.chunks[0], spare))
        spare++;
    role(d, mine, NODE_DRAINING);
    disk_fails(d, mine, SIM_READ_FLIP);
    assert_int_equal(blob_move(d->blob, &l.chunks[0], &d->arena, &r), 0);
    assert_false(r.changed);
    assert_int_equal(r.left, 1);
    sim_disk_heal(d->at[mine].sim_disk);
    /* The new place does not keep what it is given: it is read back before it counts. */
    disk_fails(d, spare, SIM_WRITE_LOST);
    assert_int_equal(blob_move(d->blob, &l.chunks[0], &d->arena, &r), 0);
    assert_false(r.changed);
    assert_int_equal(r.left, 1);
    sim_disk_heal(d->at[spare].sim_disk);
    assert_int_equal(blob_move(d->blob, &l.chunks[0], &d->arena, &r), 0);
    assert_true(r.changed);
    assert_int_equal(r.chunk.shards[3].disk, spare);
    disks_close(d);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_more_gets_its_share_and_no_more),
        cmocka_unit_test(a_drained_disk_ends_empty),
        cmocka_unit_test(drained_below_the_code_it_is_encoded_anew),
        cmocka_unit_test(no_disk_to_take_it_is_waited_for),
        cmocka_unit_test(what_cannot_be_copied_stays_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
