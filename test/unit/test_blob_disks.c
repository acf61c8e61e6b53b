/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Blobs over several disks: codes, losses, damage, quorums, repair. */

#include "disks_help.h"

#define CASE(name, disks)           \
    static int name##_(void *arg);  \
    static void name(void **state)  \
    {                               \
        with_disks(disks, name##_); \
    }                               \
    static int FIBER name##_(void *arg)

static const uint64_t lengths[] = {1,       5000,         256 * KIB - 1, 256 * KIB, 256 * KIB + 1,
                                   1 * MIB, 1 * MIB + 63, 3 * MIB + 5};

/* No two shards on one disk, and the code that the disks allow. */
static void layout_is_right(const struct blob_layout *l, unsigned disks)
{
    for (size_t c = 0; c < l->count; c++) {
        const struct blob_chunk *k = &l->chunks[c];
        struct blob_code code = blob_code_for(BLOB_STANDARD, disks, k->len_bytes);
        assert_true(k->code_k == code.k && k->code_m == code.m);
        assert_int_equal(k->shard_count, code.k + code.m);
        for (unsigned i = 0; i < k->shard_count; i++)
            for (unsigned j = 0; j < i; j++)
                assert_true(k->shards[i].disk == BLOB_DISK_NONE ||
                            k->shards[i].disk != k->shards[j].disk);
    }
}

static int FIBER lengths_on(struct disks *d)
{
    disks_open(d);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct blob_layout l;
        assert_int_equal(blob_write_bytes(d, i, lengths[i], &l), 0);
        layout_is_right(&l, d->count);
        blob_reads_all(d, i, &l);
        uint64_t len = lengths[i];
        uint64_t edges[] = {0, len / 3, len / 2, MIN(len, 256 * KIB), len - 1};
        for (size_t e = 0; e < ARRAY_LEN(edges); e++)
            assert_int_equal(
                blob_read_bytes(d, i, &l, edges[e], MIN(len - edges[e], 300 * KIB), NULL), 0);
        for (size_t c = 0; c < l.count; c++) {
            assert_int_equal(blob_verify(d->blob, &l.chunks[c], true, NULL), 0);
            assert_false(blob_wants_repair(d->blob, &l.chunks[c]));
        }
    }
    disks_close(d);
    return 0;
}

static int FIBER lengths_(void *arg)
{
    return lengths_on(arg);
}

static void every_number_of_disks_has_its_code(void **state)
{
    static const unsigned counts[] = {1, 2, 3, 4, 5, 6, 9, 12, 14};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        with_disks(counts[i], lengths_);
}

CASE(several_chunks_and_a_short_last_one, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    uint64_t len = 64 * MIB + 70000;
    assert_int_equal(blob_write_bytes(d, 7, len, &l), 0);
    assert_int_equal(l.count, 2);
    layout_is_right(&l, 6);
    assert_int_equal(l.chunks[1].code_k, 1); /* copies */
    blob_reads_all(d, 7, &l);
    assert_int_equal(blob_read_bytes(d, 7, &l, 64 * MIB - 100000, 170000, NULL), 0);
    disks_close(d);
    return 0;
}

/* ---- losses --------------------------------------------------------------------------------- */

/* Every set of up to m disks gone, then one more. */
static int FIBER losses_(void *arg)
{
    struct disks *d = arg;
    struct blob_layout l[2];
    uint64_t sizes[2] = {9000, 2 * MIB + 77};
    disks_open(d);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(blob_write_bytes(d, i, sizes[i], &l[i]), 0);
    for (unsigned set = 1; set < 1u << d->count; set++) {
        for (unsigned i = 0; i < d->count; i++)
            if (set >> i & 1)
                disk_goes(d, i);
        for (unsigned b = 0; b < 2; b++) {
            const struct blob_chunk *c = l[b].chunks;
            unsigned left = c->shard_count;
            for (unsigned i = 0; i < c->shard_count; i++)
                left -= set >> c->shards[i].disk & 1;
            int err = blob_read_bytes(d, b, &l[b], 0, sizes[b], NULL);
            assert_int_equal(err, left >= c->code_k ? 0 : -ERR_DISK_GONE);
            if (left >= c->code_k)
                assert_int_equal(blob_read_bytes(d, b, &l[b], sizes[b] / 2, 1000, NULL), 0);
        }
        nodes_look(&d->nodes); /* back again */
    }
    disks_close(d);
    return 0;
}

static void every_set_of_lost_disks_is_survived_or_told(void **state)
{
    static const unsigned counts[] = {2, 3, 4, 6};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        with_disks(counts[i], losses_);
}

struct damages {
    unsigned count;
    ec_set shards;
    int why;
};

static void note_damage(void *arg, const struct blob_chunk *chunk, unsigned shard, int why)
{
    struct damages *m = arg;
    m->count++;
    m->shards |= EC_SHARD(shard);
    m->why = why;
}

CASE(damaged_and_missing_shards_are_told_and_read_around, 6)
{
    struct disks *d = arg;
    struct blob_layout l[3];
    uint64_t sizes[3] = {9000, 300 * KIB, 2 * MIB + 77}; /* copies, one cell a shard, three */
    disks_open(d);
    for (unsigned b = 0; b < 3; b++) {
        assert_int_equal(blob_write_bytes(d, b, sizes[b], &l[b]), 0);
        struct blob_chunk *c = l[b].chunks;
        struct damages m = {0};
        struct blob_damage damage = {note_damage, &m};
        c->shards[0].digest.lo ^= 1; /* a stale shard */
        struct blob_needle missing = {blob_key(c->id, 1), c->shards[1].disk};
        assert_int_equal(blob_delete(d->blob, &missing, 1), 0);
        assert_int_equal(blob_read_bytes(d, b, &l[b], 0, sizes[b], &damage), 0);
        /* a needle that was deleted may still be read by its hint, and its bytes are right */
        assert_true(m.shards & EC_SHARD(0));
        assert_int_equal(m.why, -ERR_CORRUPT);
        int errors[BLOB_SHARDS_MAX];
        assert_int_equal(blob_verify(d->blob, c, false, errors), -ERR_CORRUPT);
        assert_int_equal(errors[0], -ERR_CORRUPT);
        assert_int_equal(errors[1], -ERR_NOT_FOUND);
        assert_int_equal(errors[2], 0);
    }
    disks_close(d);
    return 0;
}

CASE(shards_of_another_encoding_are_never_mixed_in, 4)
{
    struct disks *d = arg;
    struct blob_layout a, b;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 1 * MIB, &a), 0);
    assert_int_equal(blob_write_bytes(d, 2, 1 * MIB, &b), 0);
    /* the record claims shards of b for the chunk a: everything but the encode id matches */
    for (unsigned i = 0; i < 3; i++)
        a.chunks[0].shards[i].digest = b.chunks[0].shards[i].digest;
    assert_true(blob_read_bytes(d, 1, &a, 0, 1 * MIB, NULL) < 0);
    b.chunks[0].encode_id ^= 1; /* right bytes, of an encoding that the record does not mean */
    assert_int_equal(blob_read_bytes(d, 2, &b, 0, 1 * MIB, NULL), -ERR_CORRUPT);
    disks_close(d);
    return 0;
}

CASE(disk_that_fails_its_reads_is_read_around_and_then_left_out, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 3 * MIB, &l), 0);
    disk_fails(d, l.chunks[0].shards[0].disk, SIM_READ_EIO);
    disk_fails(d, l.chunks[0].shards[2].disk, SIM_READ_EIO);
    for (unsigned i = 0; i < 5; i++)
        blob_reads_all(d, 1, &l);
    /* suspects are read last, so they need not be given up for good */
    assert_true(node_state(nodes_get(&d->nodes, l.chunks[0].shards[0].disk)) != NODE_ONLINE);
    struct blob_stats s;
    blob_stats(d->blob, &s);
    assert_true(s.degraded_reads >= 2);
    assert_int_equal(s.lingering, 0);
    disks_close(d);
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static unsigned missing_of(const struct blob_chunk *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->shard_count; i++)
        n += c->shards[i].disk == BLOB_DISK_NONE;
    return n;
}

CASE(one_disk_that_dies_meanwhile_is_left_to_repair, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    disk_dies(d, 2);
    assert_int_equal(blob_write_bytes(d, 1, 3 * MIB, &l), 0);
    assert_int_equal(l.chunks[0].code_k, 4);
    assert_int_equal(missing_of(l.chunks), 1);
    assert_true(blob_wants_repair(d->blob, l.chunks));
    assert_int_equal(blob_spare_shards(l.chunks), 1);
    blob_reads_all(d, 1, &l);
    disks_close(d);
    return 0;
}

CASE(disk_that_dies_within_a_needle_keeps_nothing_of_it, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    for (unsigned nth = 1; nth < 12; nth++) {
        sim_disk_fault(d->at[2].sim_disk, &(struct sim_fault){SIM_WRITE_EIO, ".vol", nth, 1});
        assert_int_equal(blob_write_bytes(d, nth, 5 * MIB, &l), 0);
        sim_disk_heal(d->at[2].sim_disk);
        blob_reads_all(d, nth, &l);
        rt_sleep_until(rt_now() + 11 * RT_S);
        nodes_look(&d->nodes);
    }
    disks_close(d); /* CHECKs that nobody is inside */
    return 0;
}

CASE(chunk_that_loses_too_many_is_written_anew_onto_the_living, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    struct blob_stats s;
    disks_open(d);
    disk_dies(d, 2);
    disk_dies(d, 4);
    assert_int_equal(blob_write_bytes(d, 1, 3 * MIB, &l), 0);
    assert_int_equal(l.chunks[0].code_k, 2); /* what four disks allow */
    assert_int_equal(l.chunks[0].code_m, 2);
    assert_int_equal(missing_of(l.chunks), 0);
    assert_true(blob_wants_repair(d->blob, l.chunks)); /* to be widened */
    blob_stats(d->blob, &s);
    assert_int_equal(s.reencoded, 1);
    blob_reads_all(d, 1, &l);
    disks_close(d);
    return 0;
}

CASE(chunk_beyond_saving_is_refused, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    for (unsigned i = 0; i < 3; i++)
        disk_dies(d, i);
    assert_true(blob_write_bytes(d, 1, 3 * MIB, &l) < 0);
    disks_close(d);
    return 0;
}

CASE(disks_known_to_be_gone_narrow_the_code, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    static const struct {
        unsigned gone, k, m;
    } steps[] = {{0, 2, 2}, {1, 2, 2}, {2, 2, 1}, {3, 1, 1}, {4, 1, 0}};
    disks_open(d);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        disk_goes(d, (unsigned)i);
        assert_int_equal(blob_write_bytes(d, i, 1 * MIB, &l), 0);
        assert_int_equal(l.chunks[0].code_k, steps[i].k);
        assert_int_equal(l.chunks[0].code_m, steps[i].m);
        blob_reads_all(d, i, &l);
    }
    disk_goes(d, 5);
    assert_int_equal(blob_write_bytes(d, 1, 1 * MIB, &l), -ERR_DISK_GONE);
    assert_int_equal(blob_write_bytes(d, 1, 100, &l), -ERR_DISK_GONE);
    disks_close(d);
    return 0;
}

CASE(copies_need_all_but_one_and_are_tried_elsewhere, 4)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    disk_dies(d, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(blob_write_bytes(d, i, 5000, &l), 0);
        assert_true(missing_of(l.chunks) <= 1);
        blob_reads_all(d, i, &l);
    }
    disk_dies(d, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(blob_write_bytes(d, i, 5000, &l), 0);
        assert_true(l.chunks[0].shard_count - missing_of(l.chunks) >= 2);
        blob_reads_all(d, i, &l);
    }
    disks_close(d);
    return 0;
}

CASE(two_disks_are_a_mirror_and_one_of_them_a_single, 2)
{
    struct disks *d = arg;
    struct blob_layout l;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 1 * MIB, &l), 0);
    assert_true(l.chunks[0].code_k == 1 && l.chunks[0].code_m == 1);
    disk_goes(d, 0);
    blob_reads_all(d, 1, &l);
    assert_int_equal(blob_write_bytes(d, 2, 1 * MIB, &l), 0);
    assert_true(l.chunks[0].code_k == 1 && l.chunks[0].code_m == 0);
    assert_true(blob_wants_repair(d->blob, l.chunks));
    disks_close(d);
    return 0;
}

static int count_one(unsigned disk, const struct needle_entry *e, void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

static unsigned needles_of(struct disks *d)
{
    unsigned n = 0;
    assert_int_equal(blob_each(d->blob, count_one, &n), 0);
    return n;
}

CASE(aborted_and_deleted_blobs_leave_nothing_anywhere, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    struct blob_writer *w;
    disks_open(d);
    uint8_t *data = calloc(1, 65 * MIB);
    assert_int_equal(blob_begin(d->blob, BLOB_STANDARD, 66 * MIB, &w), 0);
    assert_int_equal(blob_write(w, data, 65 * MIB), 0);
    free(data);
    blob_abort(w);
    assert_int_equal(needles_of(d), 0);
    assert_int_equal(blob_write_bytes(d, 1, 3 * MIB, &l), 0);
    assert_int_equal(needles_of(d), 6);
    assert_int_equal(blob_delete_layout(d->blob, &l), 0);
    assert_int_equal(needles_of(d), 0);
    disks_close(d);
    return 0;
}

/* ---- repair --------------------------------------------------------------------------------- */

/* Makes the chunk whole and puts it in the layout's place; what it left behind goes. */
static unsigned repair(struct disks *d, struct blob_layout *l, bool *ret_changed)
{
    struct blob_repaired r;
    assert_int_equal(blob_repair(d->blob, l->chunks, true, &d->arena, &r), 0);
    l->chunks[0] = r.chunk;
    *ret_changed = r.changed;
    return r.left;
}

static uint64_t lingering_of(struct disks *d)
{
    struct blob_stats s;
    blob_stats(d->blob, &s);
    return s.lingering;
}

/* Reads that take longer than anybody waits: what is given up at one stripe is asked again for the
 * next when there are no others. */
static int FIBER slow_reads_(void *arg)
{
    struct disks *d = arg;
    struct blob_layout l;
    uint64_t len = 5 * MIB + 1;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, len, &l), 0);
    for (uint64_t off = 0; off < 4 * MIB; off += 512 * KIB)
        assert_int_equal(blob_read_bytes(d, 1, &l, off, len - off, NULL), 0);
    while (lingering_of(d) > 0)
        rt_sleep_until(rt_now() + RT_S);
    disks_close(d);
    return 0;
}

static void disks_slower_than_anybody_waits_are_read_all_the_same(void **state)
{
    for (unsigned seed = 0; seed < 8; seed++)
        with_disks_of(6, &(struct sim_config){.seed = seed, .latency_max_ns = 2 * RT_S},
                      slow_reads_);
}

static void disk_hangs(struct disks *d, unsigned i)
{
    disk_fails(d, i, SIM_WRITE_HANGS);
    disk_fails(d, i, SIM_SYNC_HANGS);
}

static void all_answer_again(struct disks *d)
{
    for (unsigned i = 0; i < d->count; i++)
        sim_disk_heal(d->at[i].sim_disk);
    while (lingering_of(d) > 0)
        rt_sleep_until(rt_now() + RT_S);
    rt_sleep_until(rt_now() + 11 * RT_S);
    nodes_look(&d->nodes); /* forgives */
}

CASE(one_disk_that_hangs_holds_up_no_write, 6)
{
    struct disks *d = arg;
    static const uint64_t sizes[] = {9000, 300 * KIB, 5 * MIB, 30 * MIB, 66 * MIB};
    disks_open(d);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct blob_layout l;
        bool changed;
        uint64_t begun = rt_now();
        disk_hangs(d, i % 6);
        assert_int_equal(blob_write_bytes(d, i, sizes[i], &l), 0);
        assert_true(rt_now() - begun < 12 * RT_S);
        blob_reads_all(d, i, &l);
        assert_true(lingering_of(d) > 0 || missing_of(l.chunks) == 0);
        all_answer_again(d);
        for (size_t c = 0; c < l.count; c++) {
            struct blob_layout one = {&l.chunks[c], 1, l.chunks[c].len_bytes};
            assert_true(missing_of(&l.chunks[c]) <= 1);
            assert_int_equal(repair(d, &one, &changed), 0);
            assert_int_equal(blob_verify(d->blob, &l.chunks[c], true, NULL), 0);
        }
        blob_reads_all(d, i, &l);
    }
    disks_close(d);
    return 0;
}

CASE(two_disks_that_hang_are_written_around, 6)
{
    struct disks *d = arg;
    static const uint64_t sizes[] = {9000, 300 * KIB, 5 * MIB, 66 * MIB};
    disks_open(d);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct blob_layout l;
        uint64_t begun = rt_now();
        disk_hangs(d, i % 6);
        disk_hangs(d, (i + 3) % 6);
        assert_int_equal(blob_write_bytes(d, i, sizes[i], &l), 0);
        assert_true(rt_now() - begun < 20 * RT_S);
        for (size_t c = 0; c < l.count; c++)
            assert_true(missing_of(&l.chunks[c]) <= 1);
        blob_reads_all(d, i, &l);
        all_answer_again(d);
        blob_reads_all(d, i, &l);
    }
    disks_close(d);
    return 0;
}

CASE(a_write_that_is_aborted_leaves_a_hanging_disk_alone, 6)
{
    struct disks *d = arg;
    struct blob_writer *w;
    static uint8_t data[4 * MIB];
    disks_open(d);
    disk_hangs(d, 1);
    assert_int_equal(blob_begin(d->blob, BLOB_STANDARD, 20 * MIB, &w), 0);
    assert_int_equal(blob_write(w, data, sizeof(data)), 0);
    uint64_t begun = rt_now();
    blob_abort(w);
    assert_true(rt_now() - begun < 8 * RT_S);
    disks_close(d); /* waits for it */
    return 0;
}

CASE(whole_chunk_is_left_as_it_is, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    bool changed;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 3 * MIB, &l), 0);
    assert_int_equal(repair(d, &l, &changed), 0);
    assert_false(changed);
    disks_close(d);
    return 0;
}

static int FIBER repairs_(void *arg)
{
    struct disks *d = arg;
    disks_open(d);
    uint64_t sizes[] = {9000, 2 * MIB + 77};
    for (unsigned b = 0; b < 2; b++) {
        struct blob_layout l;
        bool changed;
        assert_int_equal(blob_write_bytes(d, b, sizes[b], &l), 0);
        for (ec_set set = 1; set < EC_SHARD(l.chunks[0].shard_count); set++) {
            struct blob_chunk *c = l.chunks;
            if (__builtin_popcount(set) > c->code_m)
                continue;
            for (unsigned i = 0; i < c->shard_count; i++) {
                struct blob_needle gone = {blob_key(c->id, (uint16_t)i), c->shards[i].disk};
                if (!(set & EC_SHARD(i)))
                    continue;
                assert_int_equal(blob_delete(d->blob, &gone, 1), 0);
                if (i % 2) /* nowhere, rather than missing */
                    c->shards[i] = (struct blob_shard){.disk = BLOB_DISK_NONE};
            }
            assert_int_equal(repair(d, &l, &changed), 0);
            assert_true(changed);
            assert_int_equal(blob_verify(d->blob, l.chunks, true, NULL), 0);
            layout_is_right(&l, d->count);
            blob_reads_all(d, b, &l);
        }
    }
    disks_close(d);
    return 0;
}

static void every_set_of_lost_shards_is_rebuilt(void **state)
{
    static const unsigned counts[] = {2, 3, 4, 6, 12};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        with_disks(counts[i], repairs_);
}

CASE(replaced_disk_gets_the_lost_shard, 6)
{
    struct disks *d = arg;
    struct blob_layout l;
    bool changed;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 2 * MIB, &l), 0);
    uint32_t lost = l.chunks[0].shards[3].disk;
    disk_goes(d, lost);
    assert_int_equal(repair(d, &l, &changed), 0); /* it may come back */
    assert_false(changed);
    node_set_role(nodes_get(&d->nodes, lost), NODE_AWAY);
    assert_false(blob_wants_repair(d->blob, l.chunks)); /* no disk to take it */
    assert_int_equal(repair(d, &l, &changed), 0);
    assert_false(changed);
    node_set_role(nodes_get(&d->nodes, lost), NODE_RETIRED);
    disks_add(d);
    disks_open_node(d, 6);
    assert_true(blob_wants_repair(d->blob, l.chunks));
    assert_int_equal(repair(d, &l, &changed), 0);
    assert_true(changed);
    assert_int_equal(l.chunks[0].shards[3].disk, 6);
    assert_false(blob_wants_repair(d->blob, l.chunks));
    assert_int_equal(blob_verify(d->blob, l.chunks, true, NULL), 0);
    disks_close(d);
    return 0;
}

CASE(narrow_chunk_is_encoded_anew_when_the_disks_are_back, 6)
{
    struct disks *d = arg;
    struct blob_layout l, narrow;
    bool changed;
    disks_open(d);
    disk_goes(d, 0);
    disk_goes(d, 1);
    assert_int_equal(blob_write_bytes(d, 1, 2 * MIB, &l), 0);
    assert_int_equal(l.chunks[0].code_k, 2);
    narrow = l;
    struct blob_chunk old = l.chunks[0];
    narrow.chunks = &old;
    nodes_look(&d->nodes);
    assert_int_equal(repair(d, &l, &changed), 0);
    assert_true(changed);
    layout_is_right(&l, 6);
    blob_reads_all(d, 1, &l);
    blob_reads_all(d, 1, &narrow); /* nothing is deleted before the record has changed */
    disks_close(d);
    return 0;
}

CASE(chunk_that_lost_shards_and_is_wider_than_the_disks_left_is_encoded_anew, 9)
{
    struct disks *d = arg;
    struct blob_layout l;
    bool changed;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 2 * MIB, &l), 0);
    assert_int_equal(l.chunks[0].code_k, 6);
    disk_goes(d, 3);
    disk_goes(d, 5);
    assert_int_equal(repair(d, &l, &changed), 0); /* they may come back */
    assert_false(changed);
    node_set_role(nodes_get(&d->nodes, 3), NODE_RETIRED);
    assert_int_equal(repair(d, &l, &changed), 1); /* the other may */
    assert_int_equal(l.chunks[0].code_k, 6);
    node_set_role(nodes_get(&d->nodes, 5), NODE_RETIRED);
    assert_true(blob_wants_repair(d->blob, l.chunks));
    assert_int_equal(repair(d, &l, &changed), 0);
    assert_true(changed);
    assert_int_equal(l.chunks[0].code_k, 4); /* of seven disks */
    assert_int_equal(l.chunks[0].code_m, 2);
    assert_false(blob_wants_repair(d->blob, l.chunks));
    assert_int_equal(blob_verify(d->blob, l.chunks, true, NULL), 0);
    blob_reads_all(d, 1, &l);
    disks_close(d);
    return 0;
}

static void expect_code(const struct blob_chunk *c, unsigned k, unsigned m)
{
    assert_int_equal(c->code_k, k);
    assert_int_equal(c->code_m, m);
}

CASE(a_class_keeps_its_code, 6)
{
    struct disks *d = arg;
    static const struct {
        struct blob_class class;
        uint64_t len;
        uint8_t k, m, narrow_k, narrow_m; /* on six disks, on three */
    } cases[] = {
        {{1}, 1 * MIB, 4, 1, 2, 1},           {{1}, 9000, 1, 1, 1, 1},
        {{3 << 8 | 1}, 1 * MIB, 3, 1, 2, 1},  {{3 << 8 | 1}, 9000, 1, 1, 1, 1},
        {{1 << 8 | 3}, 1 * MIB, 1, 3, 2, 1},  {{1 << 8 | 3}, 9000, 1, 3, 1, 2},
        {{12 << 8 | 4}, 1 * MIB, 4, 2, 2, 1}, {{12 << 8 | 4}, 9000, 1, 4, 1, 2},
    };
    disks_open(d);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct blob_layout l;
        bool changed;
        for (unsigned n = 3; n < 6; n++)
            disk_goes(d, n);
        assert_int_equal(blob_write_class(d, cases[i].class, i, cases[i].len, &l), 0);
        expect_code(l.chunks, cases[i].narrow_k, cases[i].narrow_m);
        while (node_state(nodes_get(&d->nodes, 5)) == NODE_GONE)
            nodes_look(&d->nodes);
        bool narrow = cases[i].k + cases[i].m > cases[i].narrow_k + cases[i].narrow_m;
        assert_int_equal(blob_wants_repair(d->blob, l.chunks), narrow);
        assert_int_equal(repair(d, &l, &changed), 0);
        assert_int_equal(changed, narrow);
        if (narrow)
            expect_code(l.chunks, cases[i].k, cases[i].m);
        assert_int_equal(l.chunks[0].class.n, cases[i].class.n);
        assert_false(blob_wants_repair(d->blob, l.chunks));
        blob_reads_all(d, i, &l);
    }
    disks_close(d);
    return 0;
}

CASE(chunk_that_lost_too_many_is_told, 4)
{
    struct disks *d = arg;
    struct blob_layout l;
    struct blob_repaired r;
    disks_open(d);
    assert_int_equal(blob_write_bytes(d, 1, 2 * MIB, &l), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct blob_needle gone = {blob_key(l.chunks[0].id, (uint16_t)i), BLOB_DISK_ALL};
        assert_int_equal(blob_delete(d->blob, &gone, 1), 0);
    }
    assert_int_equal(blob_repair(d->blob, l.chunks, true, &d->arena, &r), -ERR_NOT_FOUND);
    disks_close(d);
    return 0;
}

static void quorum_is_all_but_one_and_more_than_it_takes_to_read(void **state)
{
    static const struct {
        struct blob_code code;
        unsigned quorum;
    } table[] = {{{1, 0}, 1}, {{1, 1}, 2}, {{1, 2}, 2}, {{2, 1}, 3},
                 {{2, 2}, 3}, {{4, 2}, 5}, {{6, 3}, 8}, {{8, 4}, 11}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(blob_quorum(table[i].code), table[i].quorum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorum_is_all_but_one_and_more_than_it_takes_to_read),
        cmocka_unit_test(every_number_of_disks_has_its_code),
        cmocka_unit_test(several_chunks_and_a_short_last_one),
        cmocka_unit_test(every_set_of_lost_disks_is_survived_or_told),
        cmocka_unit_test(damaged_and_missing_shards_are_told_and_read_around),
        cmocka_unit_test(shards_of_another_encoding_are_never_mixed_in),
        cmocka_unit_test(disk_that_fails_its_reads_is_read_around_and_then_left_out),
        cmocka_unit_test(one_disk_that_dies_meanwhile_is_left_to_repair),
        cmocka_unit_test(disk_that_dies_within_a_needle_keeps_nothing_of_it),
        cmocka_unit_test(chunk_that_loses_too_many_is_written_anew_onto_the_living),
        cmocka_unit_test(chunk_beyond_saving_is_refused),
        cmocka_unit_test(disks_known_to_be_gone_narrow_the_code),
        cmocka_unit_test(copies_need_all_but_one_and_are_tried_elsewhere),
        cmocka_unit_test(two_disks_are_a_mirror_and_one_of_them_a_single),
        cmocka_unit_test(aborted_and_deleted_blobs_leave_nothing_anywhere),
        cmocka_unit_test(whole_chunk_is_left_as_it_is),
        cmocka_unit_test(every_set_of_lost_shards_is_rebuilt),
        cmocka_unit_test(replaced_disk_gets_the_lost_shard),
        cmocka_unit_test(narrow_chunk_is_encoded_anew_when_the_disks_are_back),
        cmocka_unit_test(chunk_that_lost_shards_and_is_wider_than_the_disks_left_is_encoded_anew),
        cmocka_unit_test(a_class_keeps_its_code),
        cmocka_unit_test(disks_slower_than_anybody_waits_are_read_all_the_same),
        cmocka_unit_test(one_disk_that_hangs_holds_up_no_write),
        cmocka_unit_test(two_disks_that_hang_are_written_around),
        cmocka_unit_test(a_write_that_is_aborted_leaves_a_hanging_disk_alone),
        cmocka_unit_test(chunk_that_lost_too_many_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
