/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Blobs of every size through chunks and back. */

#include <fcntl.h>
#include "volume_help.h"
#include "blob/blob.h"

struct fixture {
    struct disk_home home;
    struct nodes nodes;
    struct blob *blob;
    struct arena arena;
};

static void fixture_open(struct fixture *f)
{
    home_open(&f->home);
    assert_int_equal(nodes_wrap(&f->nodes, 0, f->home.path, f->home.disk), 0);
    struct blob_config c = {.nodes = &f->nodes, .session = 42};
    assert_int_equal(blob_open(&f->blob, &c), 0);
}

static void fixture_close(struct fixture *f)
{
    blob_close(f->blob);
    nodes_release(&f->nodes);
    home_close(&f->home);
}

static void run_case(int (*fn)(void *))
{
    struct fixture f = {};
    home_init(&f.home);
    arena_init(&f.arena, 0);
    on_fiber(1, fn, &f);
    arena_release(&f.arena);
    home_release(&f.home);
}
#define CASE(name)                 \
    static int name##_(void *arg); \
    static void name(void **state) \
    {                              \
        run_case(name##_);         \
    }                              \
    static int name##_(void *arg)

static uint8_t byte_at(uint64_t seed, uint64_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13 ^ seed ^ i);
}

static void bytes_at(uint8_t *p, uint64_t seed, uint64_t off, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = byte_at(seed, off + i);
}

/* Writes a blob in pieces of `step` bytes. */
static int write_try(struct fixture *f, uint64_t seed, uint64_t len, size_t step,
                     struct blob_layout *ret)
{
    struct blob_writer *w;
    int err = blob_begin(f->blob, BLOB_STANDARD, len, &w);
    if (err)
        return err;
    uint8_t *piece = malloc(step);
    for (uint64_t off = 0, n; err == 0 && off < len; off += n) {
        n = MIN(step, len - off);
        bytes_at(piece, seed, off, n);
        err = blob_write(w, piece, n);
        memset(piece, 0xee, n); /* the bytes were taken */
    }
    free(piece);
    if (err) {
        blob_abort(w);
        return err;
    }
    return blob_finish(w, &f->arena, ret);
}

struct sunk {
    uint64_t seed, off, count;
    size_t piece_max;
    uint64_t stop_after; /* bytes; 0: never */
};

static int sink(const void *data, size_t len, void *arg)
{
    struct sunk *s = arg;
    const uint8_t *p = data;
    rt_yield(); /* a sink suspends: the next piece is read meanwhile */
    for (size_t i = 0; i < len; i++)
        if (p[i] != byte_at(s->seed, s->off + i))
            return -ERR_INTERNAL;
    s->off += len;
    s->count += len;
    s->piece_max = MAX(s->piece_max, len);
    return s->stop_after && s->count >= s->stop_after ? -ECANCELED : 0;
}

static void read_back(struct fixture *f, uint64_t seed, const struct blob_layout *l, uint64_t off,
                      uint64_t len)
{
    struct sunk s = {.seed = seed, .off = off};
    assert_int_equal(blob_read(f->blob, l, off, len, sink, &s, NULL), 0);
    assert_int_equal(s.count, len);
    assert_true(s.piece_max <= BLOB_BUFFER_BYTES);
}

static const uint64_t lengths[] = {0,
                                   1,
                                   4096,
                                   262144,
                                   262145,
                                   512 * KIB - 97,
                                   512 * KIB - 96,
                                   512 * KIB,
                                   512 * KIB + 1,
                                   1 * MIB,
                                   9 * MIB + 5,
                                   64 * MIB - 97,
                                   64 * MIB - 96,
                                   64 * MIB - 1,
                                   64 * MIB,
                                   64 * MIB + 1};

CASE(every_length_reads_back)
{
    struct fixture *f = arg;
    fixture_open(f);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct blob_layout l;
        assert_int_equal(write_try(f, i, lengths[i], 100003, &l), 0);
        assert_int_equal(l.len_bytes, lengths[i]);
        assert_int_equal(l.count, (lengths[i] + BLOB_CHUNK_MAX - 1) / BLOB_CHUNK_MAX);
        read_back(f, i, &l, 0, lengths[i]);
        for (size_t c = 0; c < l.count; c++)
            assert_int_equal(blob_verify(f->blob, &l.chunks[c], true, NULL), 0);
    }
    fixture_close(f);
    return 0;
}

CASE(ranges_cross_pieces_and_chunks)
{
    struct fixture *f = arg;
    uint64_t len = 64 * MIB + 700 * KIB;
    struct blob_layout l;
    fixture_open(f);
    assert_int_equal(write_try(f, 9, len, 1 * MIB, &l), 0);
    uint64_t edges[] = {0, 1, CELL_BYTES, 512 * KIB - 1, 512 * KIB, 64 * MIB - 1, 64 * MIB, len};
    for (size_t a = 0; a < ARRAY_LEN(edges); a++)
        for (size_t b = a; b < ARRAY_LEN(edges); b++)
            if (edges[b] - edges[a] <= 2 * MIB)
                read_back(f, 9, &l, edges[a], edges[b] - edges[a]);
    read_back(f, 9, &l, 3, len - 5);
    fixture_close(f);
    return 0;
}

CASE(blob_survives_a_restart_and_a_lost_index)
{
    struct fixture *f = arg;
    struct blob_layout small, large;
    fixture_open(f);
    assert_int_equal(write_try(f, 1, 5000, 5000, &small), 0);
    assert_int_equal(write_try(f, 2, 3 * MIB, 777777, &large), 0);
    fixture_close(f);
    fixture_open(f);
    read_back(f, 1, &small, 0, 5000);
    read_back(f, 2, &large, 0, 3 * MIB);
    fixture_close(f);
    home_lose_index(&f->home);
    fixture_open(f);
    assert_int_equal(blob_verify(f->blob, small.chunks, true, NULL), 0);
    assert_int_equal(blob_verify(f->blob, large.chunks, true, NULL), 0);
    fixture_close(f);
    return 0;
}

CASE(sink_that_stops_ends_the_read)
{
    struct fixture *f = arg;
    struct blob_layout l;
    fixture_open(f);
    assert_int_equal(write_try(f, 1, 5 * MIB, 1 * MIB, &l), 0);
    struct sunk s = {.seed = 1, .stop_after = 1 * MIB};
    assert_int_equal(blob_read(f->blob, &l, 0, 5 * MIB, sink, &s, NULL), -ECANCELED);
    assert_int_equal(s.count, 1 * MIB);
    fixture_close(f);
    return 0;
}

static unsigned count_needles(struct fixture *f)
{
    struct disk_stats s;
    assert_int_equal(disk_checkpoint(f->home.disk), 0);
    disk_stats(f->home.disk, &s);
    return (unsigned)s.needles;
}

CASE(aborted_blob_leaves_nothing)
{
    struct fixture *f = arg;
    fixture_open(f);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t len = i == 0 ? 1000 : 66 * MIB, part = i == 2 ? 65 * MIB : 500;
        struct blob_writer *w;
        uint8_t *data = calloc(1, part);
        assert_int_equal(blob_begin(f->blob, BLOB_STANDARD, len, &w), 0);
        assert_int_equal(blob_write(w, data, part), 0);
        free(data);
        blob_abort(w);
    }
    blob_abort(NULL);
    assert_int_equal(count_needles(f), 0);
    fixture_close(f);
    return 0;
}

CASE(deleted_chunks_are_gone)
{
    struct fixture *f = arg;
    struct blob_layout a, b;
    fixture_open(f);
    assert_int_equal(write_try(f, 1, 70 * MIB, 1 * MIB, &a), 0);
    assert_int_equal(write_try(f, 2, 4000, 4000, &b), 0);
    struct blob_needle dead[] = {
        {{a.chunks[0].id, 0}, 0}, {{a.chunks[1].id, 0}, BLOB_DISK_ALL}, {{{42, 999}, 0}, 0}};
    assert_int_equal(blob_delete(f->blob, dead, 3), 0);
    assert_int_equal(blob_verify(f->blob, &a.chunks[0], false, NULL), -ERR_NOT_FOUND);
    assert_int_equal(blob_verify(f->blob, &a.chunks[1], false, NULL), -ERR_NOT_FOUND);
    assert_int_equal(blob_verify(f->blob, b.chunks, true, NULL), 0);
    assert_int_equal(count_needles(f), 1);
    fixture_close(f);
    return 0;
}

CASE(shard_that_is_not_the_layouts_is_refused)
{
    struct fixture *f = arg;
    struct blob_layout l[2];
    fixture_open(f);
    uint64_t sizes[] = {1000, 600 * KIB};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(write_try(f, i, sizes[i], 4096, &l[i]), 0);
        struct sunk s = {.seed = i};
        l[i].chunks[0].shards[0].digest.hi ^= 1; /* a stale shard: same key, other bytes */
        assert_int_equal(blob_read(f->blob, &l[i], 0, sizes[i], sink, &s, NULL), -ERR_CORRUPT);
        l[i].chunks[0].shards[0].digest.hi ^= 1;
        l[i].chunks[0].encode_id ^= 1; /* of another encoding */
        assert_int_equal(blob_read(f->blob, &l[i], 0, sizes[i], sink, &s, NULL), -ERR_CORRUPT);
        assert_int_equal(blob_verify(f->blob, l[i].chunks, false, NULL), -ERR_CORRUPT);
        l[i].chunks[0].encode_id ^= 1;
        assert_int_equal(s.count, 0);
        read_back(f, i, &l[i], 0, sizes[i]);
    }
    fixture_close(f);
    return 0;
}

CASE(flipped_bit_ends_the_read_before_its_piece)
{
    struct fixture *f = arg;
    struct blob_layout l;
    fixture_open(f);
    assert_int_equal(write_try(f, 1, 5 * MIB, 1 * MIB, &l), 0);
    char path[128];
    home_volume_path(&f->home, l.chunks[0].shards[0].where.volume, path);
    int fd = open(path, O_RDWR);
    off_t at = (off_t)(l.chunks[0].shards[0].where.offset + 96 + 3 * MIB + 10);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    struct sunk s = {.seed = 1};
    assert_int_equal(blob_read(f->blob, &l, 0, 5 * MIB, sink, &s, NULL), -ERR_CORRUPT);
    assert_int_equal(s.count, 3 * MIB);
    assert_int_equal(blob_verify(f->blob, l.chunks, false, NULL), 0);
    assert_int_equal(blob_verify(f->blob, l.chunks, true, NULL), -ERR_CORRUPT);
    fixture_close(f);
    return 0;
}

CASE(blob_that_cannot_fit_is_refused_at_the_start)
{
    struct fixture *f = arg;
    fixture_open(f);
    struct disk_stats s;
    disk_stats(f->home.disk, &s);
    struct blob_writer *w;
    assert_int_equal(blob_begin(f->blob, BLOB_STANDARD, s.free_bytes + 1 * GIB, &w), -ENOSPC);
    fixture_close(f);
    return 0;
}

static int count_one(unsigned disk, const struct needle_entry *e, void *arg)
{
    *(uint64_t *)arg += e->len_bytes;
    return 0;
}

CASE(each_meets_every_live_chunk)
{
    struct fixture *f = arg;
    struct blob_layout l[3];
    fixture_open(f);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(write_try(f, i, 1000 << i, 999, &l[i]), 0);
    assert_int_equal(blob_delete_layout(f->blob, &l[1]), 0);
    uint64_t total = 0;
    assert_int_equal(blob_each(f->blob, count_one, &total), 0);
    assert_int_equal(total, 1000 + 4000);
    fixture_close(f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_reads_back),
        cmocka_unit_test(ranges_cross_pieces_and_chunks),
        cmocka_unit_test(blob_survives_a_restart_and_a_lost_index),
        cmocka_unit_test(sink_that_stops_ends_the_read),
        cmocka_unit_test(aborted_blob_leaves_nothing),
        cmocka_unit_test(deleted_chunks_are_gone),
        cmocka_unit_test(shard_that_is_not_the_layouts_is_refused),
        cmocka_unit_test(flipped_bit_ends_the_read_before_its_piece),
        cmocka_unit_test(blob_that_cannot_fit_is_refused_at_the_start),
        cmocka_unit_test(each_meets_every_live_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
