/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The ring as it is wired: from the table of disks by its epochs to where chunks are put. */

#include "farm_help.h"
#include "store/disks.h"
#include <math.h>
#include "node/internal.h"

#define DISKS 10
#define SLOTS 9 /* RS(6,3) */
#define CODE  ((struct blob_code){6, 3})

/* Nodes that take writes and are never asked for one. */
static void node_new(struct nodes *t, const struct store_disk *row)
{
    struct node *n;
    struct node_config c = {.number = row->number,
                            .path = "/none",
                            .weight = row->weight,
                            .zone = row->zone,
                            .disk = (struct disk *)t};
    assert_int_equal(node_open(&n, &c), 0);
    nodes_add(t, n);
}

struct placing {
    struct store_disks table;
    struct nodes nodes;
    struct blob *blob;
    struct chunk_id ids[RING_PARTITIONS];      /* one of each partition */
    uint32_t disks[2][RING_PARTITIONS][SLOTS]; /* before and now */
};

static void find_ids(struct placing *p)
{
    unsigned found = 0;
    for (uint64_t i = 1; found < RING_PARTITIONS; i++) {
        struct chunk_id id = {7, i};
        struct chunk_id *of = &p->ids[ring_partition(id)];
        found += of->session == 0;
        *of = id;
    }
}

static struct store_disk *add_disk(struct placing *p, uint64_t weight)
{
    struct store_disk *d = store_disks_add(&p->table);
    d->weight = weight;
    node_new(&p->nodes, d);
    return d;
}

static struct ring_report step(struct placing *p)
{
    struct ring *next;
    struct ring_report report;
    assert_int_equal(store_disks_next_ring(&p->table, 0, &next, &report), 0);
    if (next) {
        ring_free(p->table.ring);
        p->table.ring = next;
        assert_int_equal(blob_set_ring(p->blob, next), 0);
    }
    memcpy(p->disks[0], p->disks[1], sizeof(p->disks[0]));
    for (unsigned i = 0; i < RING_PARTITIONS; i++)
        assert_int_equal(blob_place(p->blob, p->ids[i], NULL, CODE, p->disks[1][i]), SLOTS);
    return report;
}

static struct placing *placing_new(void)
{
    struct placing *p = calloc(1, sizeof(*p));
    assert_int_equal(store_disks_init(&p->table), 0);
    find_ids(p);
    for (unsigned i = 0; i < DISKS; i++)
        add_disk(p, i % 2 ? 1000 * GIB : 960 * GIB);
    struct blob_config c = {.nodes = &p->nodes, .session = 1};
    assert_int_equal(blob_open(&p->blob, &c), 0);
    step(p);
    return p;
}

static void placing_free(struct placing *p)
{
    blob_close(p->blob);
    nodes_release(&p->nodes);
    store_disks_release(&p->table);
    free(p);
}

static unsigned chunks_on(const struct placing *p, uint32_t disk, unsigned width)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RING_PARTITIONS; i++)
        for (unsigned s = 0; s < width; s++)
            n += p->disks[1][i][s] == disk;
    return n;
}

static bool has(const uint32_t *row, uint32_t disk)
{
    for (unsigned s = 0; s < SLOTS; s++)
        if (row[s] == disk)
            return true;
    return false;
}

/* Shards that are elsewhere than before. */
static unsigned moved(const struct placing *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RING_PARTITIONS; i++)
        for (unsigned s = 0; s < SLOTS; s++)
            n += !has(p->disks[0][i], p->disks[1][i][s]);
    return n;
}

/* The largest deviation of the first `width` shards from the disks' shares. */
static double worst(const struct placing *p, unsigned width)
{
    double most = 0;
    for (uint32_t d = 0; d < p->table.count; d++) {
        double share;
        assert_int_equal(ring_disk_share(p->table.ring, d, &share), 0);
        share *= (double)width / SLOTS;
        if (share > 0)
            most = fmax(most, fabs(chunks_on(p, d, width) / share - 1));
    }
    return most;
}

static int FIBER balance_(void *arg)
{
    struct placing *p = placing_new();
    print_message("10 disks: worst deviation of stripes %.4f, of three copies %.4f\n",
                  worst(p, SLOTS), worst(p, 3));
    assert_true(worst(p, SLOTS) < 0.01);
    assert_true(worst(p, 3) < 0.01);
    placing_free(p);
    return 0;
}

/* What moved, of what had to. */
static void expect_moved(struct placing *p, double ideal, const char *what)
{
    struct ring_report report = step(p);
    double ratio = moved(p) / ideal;
    print_message("%s: %u shards moved, %.4f of what must; worst deviation %.4f\n", what, moved(p),
                  ratio, worst(p, SLOTS));
    assert_true(ratio > 0.9 && ratio <= 1.05);
    assert_true(worst(p, SLOTS) < 0.01);
    assert_int_equal(report.waiting, 0);
}

static int FIBER movement_(void *arg)
{
    struct placing *p = placing_new();
    double share;
    struct store_disk *d = add_disk(p, 1000 * GIB);
    expect_moved(p, SLOTS * RING_PARTITIONS * 1000.0 / (5 * 1960.0 + 1000.0), "one more");
    p->table.list[3].state = STORE_DISK_DRAINING;
    node_set_role(nodes_get(&p->nodes, 3), NODE_DRAINING);
    assert_int_equal(ring_disk_share(p->table.ring, 3, &share), 0);
    expect_moved(p, share, "one drained");
    p->table.list[5].away = true;
    node_set_role(nodes_get(&p->nodes, 5), NODE_AWAY);
    assert_int_equal(ring_disk_share(p->table.ring, 5, &share), 0);
    expect_moved(p, share, "one away");
    d->weight /= 2;
    double before = share;
    assert_int_equal(ring_disk_share(p->table.ring, d->number, &before), 0);
    step(p);
    assert_int_equal(ring_disk_share(p->table.ring, d->number, &share), 0);
    assert_true(share < before && moved(p) <= 1.05 * (before - share) + 1);
    placing_free(p);
    return 0;
}

static int FIBER nothing_(void *arg)
{
    struct placing *p = placing_new();
    uint64_t epoch = ring_epoch(p->table.ring);
    step(p);
    assert_int_equal(ring_epoch(p->table.ring), epoch);
    assert_int_equal(moved(p), 0);
    placing_free(p);
    return 0;
}

static int FIBER stale_(void *arg)
{
    struct placing *p = placing_new();
    _cleanup_ring_ struct ring *old = NULL;
    struct buf packed;
    buf_init(&packed, RING_BYTES_MAX);
    assert_int_equal(ring_pack(p->table.ring, &packed), 0);
    assert_int_equal(ring_unpack(str_make(packed.data, packed.len), &old), 0);
    buf_release(&packed);
    add_disk(p, 1000 * GIB);
    step(p);
    struct node *n = nodes_get(&p->nodes, 2);
    struct needle_info info = {.len_bytes = 1};
    struct node_writer *w;
    assert_int_equal(node_epoch(n), 2);
    assert_int_equal(blob_set_ring(p->blob, old), -ERR_STALE_EPOCH);
    assert_int_equal(node_begin(n, 1, (struct needle_key){{1, 1}, 0}, &info, &w), -ERR_STALE_EPOCH);
    node_set_epoch(n, 1);
    assert_int_equal(node_epoch(n), 2);
    assert_int_equal(blob_epoch(p->blob), 2);
    placing_free(p);
    return 0;
}

/* ---- zones ---------------------------------------------------------------------------------- */

#define WIDE 6 /* RS(4,2) */

/* The most shards that a zone has of a row. */
static unsigned fullest(const struct placing *p, const uint32_t *row, unsigned count)
{
    unsigned in[3] = {0}, most = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned *n = &in[p->table.list[row[i]].zone];
        ++*n;
        most = MAX(most, *n);
    }
    return most;
}

/* Eight disks in three zones: of 0 to 2, 3 to 5, 6 and 7. */
static struct placing *zones_new(void)
{
    static const uint32_t zones[] = {0, 0, 0, 1, 1, 1, 2, 2};
    struct placing *p = calloc(1, sizeof(*p));
    assert_int_equal(store_disks_init(&p->table), 0);
    find_ids(p);
    for (unsigned i = 0; i < ARRAY_LEN(zones); i++) {
        struct store_disk *d = store_disks_add(&p->table);
        d->weight = zones[i] == 2 ? 1500 * GIB : 1000 * GIB; /* two shards a zone */
        d->zone = zones[i];
        node_new(&p->nodes, d);
    }
    struct blob_config c = {.nodes = &p->nodes, .session = 1};
    assert_int_equal(blob_open(&p->blob, &c), 0);
    assert_int_equal(store_disks_next_ring(&p->table, 0, &p->table.ring, NULL), 0);
    assert_int_equal(blob_set_ring(p->blob, p->table.ring), 0);
    return p;
}

/* The chunk has all its shards but one: where that one goes when its disk has gone. */
static uint32_t rebuilt_on(const struct placing *p, unsigned partition, uint32_t gone)
{
    struct blob_around around = {0};
    uint32_t row[WIDE];
    ring_place(p->table.ring, partition, row);
    for (unsigned i = 0; i < WIDE; i++) {
        disk_set_add(&around.avoid, row[i]);
        if (row[i] != gone)
            disk_set_add(&around.shards, row[i]);
    }
    assert_int_equal(blob_place(p->blob, p->ids[partition], &around, (struct blob_code){4, 2}, row),
                     2);
    return row[0];
}

static int FIBER zones_(void *arg)
{
    struct placing *p = zones_new();
    struct blob_code code = {4, 2};
    uint32_t row[WIDE], now[WIDE];
    unsigned stood_in = 0;
    node_set_gone(nodes_get(&p->nodes, 0), -ENODEV);
    for (unsigned i = 0; i < RING_PARTITIONS; i++) {
        ring_place(p->table.ring, i, row);
        assert_int_equal(fullest(p, row, WIDE), 2);
        assert_int_equal(blob_place(p->blob, p->ids[i], NULL, code, now), WIDE);
        assert_int_equal(fullest(p, now, WIDE), 2);
        for (unsigned k = 0; k < WIDE; k++) {
            if (row[k] != 0)
                continue;
            stood_in++; /* repair, and writers, choose the same one */
            assert_int_equal(rebuilt_on(p, i, 0), now[WIDE - 1]);
        }
    }
    assert_true(stood_in > RING_PARTITIONS / 4);
    node_set_gone(nodes_get(&p->nodes, 6), -ENODEV); /* no zone can take its shard: one does */
    for (unsigned i = 0; i < RING_PARTITIONS; i++) {
        assert_int_equal(blob_place(p->blob, p->ids[i], NULL, code, now), WIDE);
        assert_int_equal(fullest(p, now, WIDE), 3);
    }
    placing_free(p);
    return 0;
}

static void run_in_sim(int (*fn)(void *))
{
    struct sim *sim;
    assert_int_equal(sim_new(&sim, &(struct sim_config){.seed = 1}), 0);
    assert_int_equal(sim_rt_run(sim, fn, NULL), 0);
    sim_free(sim);
}

static void shards_follow_the_weights(void **state)
{
    run_in_sim(balance_);
}
static void a_change_moves_what_it_must(void **state)
{
    run_in_sim(movement_);
}
static void no_change_is_no_epoch(void **state)
{
    run_in_sim(nothing_);
}
static void whoever_steps_in_keeps_the_zones_promise(void **state)
{
    run_in_sim(zones_);
}
static void an_epoch_never_goes_back(void **state)
{
    run_in_sim(stale_);
}

/* ---- the row -------------------------------------------------------------------------------- */

static int count_epochs_tx(struct meta_tx *tx, void *arg)
{
    struct meta_cursor *c;
    unsigned *n = arg;
    *n = 0;
    int r = meta_cursor_open(tx, KEY_EPOCHS, &c);
    if (r == 0)
        r = meta_cursor_seek(c, KEY_EPOCHS);
    for (; r == 0 && meta_cursor_valid(c); r = meta_cursor_next(c))
        ++*n;
    meta_cursor_close(c);
    return r;
}

FARM_CASE(the_row_has_the_whole_epoch, 1)
{
    struct store_disks t, back;
    struct ring *next;
    unsigned rows;
    assert_int_equal(store_disks_init(&t), 0);
    assert_int_equal(store_disks_init(&back), 0);
    for (unsigned i = 0; i < 40; i++) {
        if (i < 6)
            store_disks_add(&t);
        t.list[0].weight = 100 + i;
        t.list[1].away = i == 39;
        assert_int_equal(store_disks_next_ring(&t, 0, &next, NULL), 0);
        assert_non_null(next);
        ring_free(t.ring);
        t.ring = next;
        assert_int_equal(store_disks_save(f->meta, &t), 0);
    }
    assert_int_equal(store_disks_load(f->meta, &back), 0);
    assert_int_equal(back.epoch, 40);
    assert_true(back.list[1].away && !back.list[2].away);
    assert_int_equal(ring_epoch(back.ring), ring_epoch(t.ring));
    for (unsigned p = 0; p < RING_PARTITIONS; p++)
        for (unsigned s = 0; s < ring_config(t.ring)->slots; s++)
            assert_int_equal(ring_disk_at(back.ring, p, s), ring_disk_at(t.ring, p, s));
    assert_int_equal(meta_read(f->meta, BUCKET_SYSTEM, count_epochs_tx, &rows), 0);
    assert_int_equal(rows, STORE_EPOCHS_KEPT);
    store_disks_release(&t);
    store_disks_release(&back);
}

/* ---- while a write is under way ------------------------------------------------------------- */

struct changing {
    struct disks *d;
    struct store_disks table;
};

static void next_epoch(struct changing *c)
{
    struct ring *next;
    assert_int_equal(store_disks_next_ring(&c->table, 0, &next, NULL), 0);
    assert_non_null(next);
    ring_free(c->table.ring);
    c->table.ring = next;
    assert_int_equal(blob_set_ring(c->d->blob, next), 0);
}

/* `early` bytes come, a disk is to be drained, and the rest comes. */
static void write_over_a_change(struct changing *c, uint64_t early, uint64_t len,
                                struct blob_layout *ret)
{
    struct blob_writer *w;
    uint8_t *data = malloc(len);
    for (uint64_t i = 0; i < len; i++)
        data[i] = byte_at(7, i);
    assert_int_equal(blob_begin(c->d->blob, BLOB_STANDARD, len, &w), 0);
    assert_int_equal(blob_write(w, data, early), 0);
    c->table.list[2].state = STORE_DISK_DRAINING;
    node_set_role(nodes_get(&c->d->nodes, 2), NODE_DRAINING);
    next_epoch(c);
    assert_int_equal(blob_write(w, data + early, len - early), 0);
    assert_int_equal(blob_finish(w, &c->d->arena, ret), 0);
    free(data);
}

static unsigned count_on(const struct blob_chunk *c, uint32_t disk)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->shard_count; i++)
        n += c->shards[i].disk == disk;
    return n;
}

static int FIBER change_(void *arg)
{
    struct disks *d = arg;
    struct changing c = {.d = d};
    /* Placed and begun; placed and not begun yet; two chunks, the second placed after it. */
    static const struct {
        uint64_t early, len;
        unsigned left_on_2, missing; /* of the first chunk */
    } cases[] = {{3 * MIB, 5 * MIB, 1, 0}, {1000, 5 * MIB, 0, 1}, {3 * MIB, 66 * MIB, 1, 0}};
    disks_open(d);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct blob_layout l;
        assert_int_equal(store_disks_init(&c.table), 0);
        for (unsigned n = 0; n < d->count; n++)
            store_disks_add(&c.table)->weight = 1 * GIB;
        node_set_role(nodes_get(&d->nodes, 2), NODE_ACTIVE);
        blob_close(d->blob);
        for (unsigned n = 0; n < d->count; n++) /* as after a start */
            nodes_get(&d->nodes, n)->epoch = 0;
        struct blob_config config = {.nodes = &d->nodes, .session = ++d->session};
        assert_int_equal(blob_open(&d->blob, &config), 0);
        next_epoch(&c);
        write_over_a_change(&c, cases[i].early, cases[i].len, &l);
        assert_int_equal(count_on(&l.chunks[0], 2), cases[i].left_on_2);
        assert_int_equal(count_on(&l.chunks[0], BLOB_DISK_NONE), cases[i].missing);
        assert_int_equal(blob_wants_repair(d->blob, &l.chunks[0]), cases[i].missing > 0);
        if (l.count > 1)
            assert_int_equal(count_on(&l.chunks[1], 2), 0);
        blob_reads_all(d, 7, &l);
        store_disks_release(&c.table);
    }
    disks_close(d);
    return 0;
}

static void an_epoch_that_comes_during_a_write(void **state)
{
    with_disks(6, change_);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_follow_the_weights),
        cmocka_unit_test(a_change_moves_what_it_must),
        cmocka_unit_test(no_change_is_no_epoch),
        cmocka_unit_test(an_epoch_never_goes_back),
        cmocka_unit_test(whoever_steps_in_keeps_the_zones_promise),
        cmocka_unit_test(the_row_has_the_whole_epoch),
        cmocka_unit_test(an_epoch_that_comes_during_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
