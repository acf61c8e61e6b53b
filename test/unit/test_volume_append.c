/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Writing needles and reading them again, and what a restart finds. */

#include <fcntl.h>
#include <sys/stat.h>
#include "volume_help.h"

/* Each case is a fiber with a fresh home. */
static void run_case(int (*fn)(void *))
{
    struct disk_home h;
    home_init(&h);
    on_fiber(1, fn, &h);
    home_release(&h);
}
#define CASE(name)                 \
    static int name##_(void *arg); \
    static void name(void **state) \
    {                              \
        run_case(name##_);         \
    }                              \
    static int name##_(void *arg)

static const size_t lengths[] = {
    0, 1, 63, 64, 4096, 65535, 65536, 65537, 262144, 1 * MIB - 1, 1 * MIB + 12345, 5 * MIB};

CASE(every_length_reads_back_by_hint_and_by_index)
{
    struct disk_home *h = arg;
    home_open(h);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct put p = put(h->disk, i, lengths[i]);
        assert_int_equal(check_try(h->disk, i, lengths[i], &p.hint), 0);
        check(h->disk, i, lengths[i]);
    }
    assert_int_equal(check_try(h->disk, 999, 1, NULL), -ERR_NOT_FOUND);
    home_close(h);
    return 0;
}

CASE(ranges_read_exactly_what_they_name)
{
    struct disk_home *h = arg;
    size_t len = 3 * CELL_BYTES + 777;
    uint8_t *want = malloc(len), *got = malloc(len);
    home_open(h);
    put(h->disk, 5, len);
    fill(want, len, 5);
    struct needle_reader *r;
    assert_int_equal(needle_open(h->disk, key_of(5), NULL, &r), 0);
    size_t points[] = {
        0,       1,  CELL_BYTES - 1, CELL_BYTES, CELL_BYTES + 1, 2 * CELL_BYTES, 3 * CELL_BYTES,
        len - 1, len};
    for (size_t a = 0; a < ARRAY_LEN(points); a++)
        for (size_t b = a; b < ARRAY_LEN(points); b++) {
            size_t n = points[b] - points[a];
            assert_int_equal(needle_read(r, points[a], got, n), 0);
            assert_memory_equal(got, want + points[a], n);
        }
    needle_reader_close(r);
    free(want);
    free(got);
    home_close(h);
    return 0;
}

CASE(whole_read_lies_in_the_callers_buffer)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = put(h->disk, 1, 5000);
    size_t cap = DISK_READ_ROOM(5000);
    uint8_t *buf = malloc(cap), want[5000];
    fill(want, 5000, 1);
    const void *payload;
    struct needle_info info;
    struct hash128 digest;
    assert_int_equal(disk_read(h->disk, key_of(1), &p.hint, buf, cap, &payload, &info, &digest), 0);
    assert_int_equal(info.len_bytes, 5000);
    assert_memory_equal(payload, want, 5000);
    assert_memory_equal(&digest, &p.digest, sizeof(digest));
    struct hash128 whole = hash_xxh128(want, 5000);
    assert_memory_equal(&digest, &whole, sizeof(digest));
    assert_int_equal(disk_read(h->disk, key_of(1), NULL, buf, 4096, &payload, &info, &digest),
                     -ERR_TOO_LARGE);
    free(buf);
    home_close(h);
    return 0;
}

CASE(stream_in_odd_pieces_is_one_needle)
{
    struct disk_home *h = arg;
    size_t len = 2 * MIB + 17;
    uint8_t *data = malloc(len);
    fill(data, len, 3);
    home_open(h);
    struct needle_info info = {.len_bytes = len, .encode_id = 4, .code_k = 1};
    struct needle_writer *w;
    assert_int_equal(needle_begin(h->disk, key_of(3), &info, &w), 0);
    for (size_t off = 0, n = 1; off < len; off += n, n = MIN(n * 3, len - off)) {
        struct iovec iov[2] = {{data + off, n / 2}, {data + off + n / 2, n - n / 2}};
        assert_int_equal(needle_write(w, iov, 2), 0);
        if (n > 1000)
            assert_int_equal(needle_flush(w), 0);
    }
    struct put p;
    assert_int_equal(needle_commit(w, &p.hint, &p.digest), 0);
    struct hash128 whole = hash_xxh128(data, len);
    assert_memory_equal(&p.digest, &whole, sizeof(whole));
    check(h->disk, 3, len);
    free(data);
    home_close(h);
    return 0;
}

CASE(aborted_needle_is_not_there)
{
    struct disk_home *h = arg;
    home_open(h);
    struct needle_info info = {.len_bytes = 100000, .encode_id = 1, .code_k = 1};
    struct needle_writer *w;
    assert_int_equal(needle_begin(h->disk, key_of(1), &info, &w), 0);
    uint8_t half[50000] = {1};
    assert_int_equal(needle_write(w, &(struct iovec){half, sizeof(half)}, 1), 0);
    needle_abort(w);
    put(h->disk, 2, 1000);
    assert_int_equal(check_try(h->disk, 1, 100000, NULL), -ERR_NOT_FOUND);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    assert_int_equal(check_try(h->disk, 1, 100000, NULL), -ERR_NOT_FOUND);
    check(h->disk, 2, 1000);
    home_close(h);
    return 0;
}

CASE(deleted_needle_is_gone_and_stays_gone)
{
    struct disk_home *h = arg;
    home_open(h);
    put(h->disk, 1, 3000);
    put(h->disk, 2, 3000);
    struct needle_key keys[] = {key_of(1), key_of(77)}; /* one of them was never there */
    assert_int_equal(disk_delete(h->disk, keys, 2), 0);
    assert_int_equal(check_try(h->disk, 1, 3000, NULL), -ERR_NOT_FOUND);
    check(h->disk, 2, 3000);
    home_close(h);
    home_open(h);
    assert_int_equal(check_try(h->disk, 1, 3000, NULL), -ERR_NOT_FOUND);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    assert_int_equal(check_try(h->disk, 1, 3000, NULL), -ERR_NOT_FOUND);
    check(h->disk, 2, 3000);
    home_close(h);
    return 0;
}

CASE(wrong_hint_is_not_believed)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put a = put(h->disk, 1, 2000), b = put(h->disk, 2, 2000);
    struct needle_hint off = {a.hint.volume, a.hint.offset + 64}, away = {900, 64};
    assert_int_equal(check_try(h->disk, 1, 2000, &b.hint), 0);
    assert_int_equal(check_try(h->disk, 1, 2000, &off), 0);
    assert_int_equal(check_try(h->disk, 1, 2000, &away), 0);
    assert_int_equal(check_try(h->disk, 3, 2000, &b.hint), -ERR_NOT_FOUND);
    home_close(h);
    return 0;
}

CASE(full_volume_is_followed_by_the_next)
{
    struct disk_home *h = arg;
    h->config.volume_bytes_max = 1 * MIB;
    home_open(h);
    for (uint64_t n = 0; n < 40; n++)
        put(h->disk, n, 100000);
    struct disk_stats s;
    disk_stats(h->disk, &s);
    assert_in_range(s.volumes, 4, 6);
    assert_int_equal(s.needles, 40);
    for (uint64_t n = 0; n < 40; n++)
        check(h->disk, n, 100000);
    struct needle_info info = {.len_bytes = 1 * MIB, .code_k = 1};
    struct needle_writer *w;
    assert_int_equal(needle_begin(h->disk, key_of(99), &info, &w), -ERR_TOO_LARGE);
    home_close(h);
    return 0;
}

/* ---- many at once --------------------------------------------------------------------------- */

#define WRITERS 64
#define EACH    20

struct crowd {
    struct disk *d;
    unsigned first;
};

static int crowd_writer(void *arg)
{
    struct crowd *c = arg;
    for (unsigned i = 0; i < EACH; i++)
        put(c->d, c->first + i, 100 + 37 * i);
    return 0;
}

CASE(one_sync_serves_many)
{
    struct disk_home *h = arg;
    home_open(h);
    struct rt_fiber *f[WRITERS];
    struct crowd c[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        c[i] = (struct crowd){h->disk, i * EACH};
        assert_int_equal(rt_spawn(&f[i], "writer", crowd_writer, &c[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        rt_join(f[i]);
    struct disk_stats s;
    disk_stats(h->disk, &s);
    assert_int_equal(s.appends, WRITERS * EACH);
    assert_true(s.syncs < WRITERS * EACH / 8);
    for (unsigned i = 0; i < WRITERS * EACH; i++)
        check(h->disk, i, 100 + 37 * (i % EACH));
    home_close(h);
    home_lose_index(h);
    home_open(h);
    for (unsigned i = 0; i < WRITERS * EACH; i++)
        check(h->disk, i, 100 + 37 * (i % EACH));
    home_close(h);
    return 0;
}

/* ---- in place ------------------------------------------------------------------------------- */

static const size_t placed_lengths[] = {
    1, 4096, 131071, 131072, 262144, 270336 - 192, 270337, 524288, 700001, DISK_PLACED_MAX};

static size_t placed_len(uint64_t n)
{
    return n % 3 == 1 ? 50 + n : placed_lengths[n % ARRAY_LEN(placed_lengths)];
}

/* Every third one is an ordinary needle that shares the write. */
static int placed_writer(void *arg)
{
    const struct crowd *c = arg;
    for (uint64_t n = c->first; n < c->first + 6; n++) {
        size_t len = placed_len(n);
        if (n % 3 == 1) {
            put(c->d, n, len);
            continue;
        }
        struct needle_info info = {.len_bytes = len, .encode_id = n + 1, .code_k = 1};
        size_t room = DISK_PLACED_ROOM(len);
        uint8_t *base = aligned_alloc(RT_DIRECT_ALIGN, room);
        struct put p;
        memset(base, 0xee, room);
        fill(base + NEEDLE_HEADROOM, len, n);
        struct hash128 digest = hash_xxh128(base + NEEDLE_HEADROOM, len);
        assert_int_equal(disk_append_placed(c->d, key_of(n), &info, base, &p.hint, &p.digest), 0);
        assert_memory_equal(&p.digest, &digest, sizeof(digest));
        free(base);
        assert_int_equal(check_try(c->d, n, len, &p.hint), 0);
    }
    return 0;
}

CASE(needles_in_place_share_a_write_with_others)
{
    struct disk_home *h = arg;
    home_open(h);
    struct rt_fiber *f[10];
    struct crowd c[10];
    for (unsigned i = 0; i < 10; i++) {
        c[i] = (struct crowd){h->disk, 6 * i};
        assert_int_equal(rt_spawn(&f[i], "placed", placed_writer, &c[i]), 0);
    }
    for (unsigned i = 0; i < 10; i++)
        rt_join(f[i]);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    for (unsigned n = 0; n < 60; n++)
        check(h->disk, n, placed_len(n));
    home_close(h);
    return 0;
}

/* ---- two threads ---------------------------------------------------------------------------- */

struct both {
    struct disk_home *h;
    struct rt_lock lock;
    struct rt_waitq ended;
    unsigned running, next;
};

static void both_writer(void *arg)
{
    struct both *b = arg;
    unsigned me = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < EACH; i++) {
        uint64_t n = me * EACH + i;
        struct put p = put(b->h->disk, n, 100 + 37 * i);
        assert_int_equal(check_try(b->h->disk, n, 100 + 37 * i, i % 2 ? &p.hint : NULL), 0);
        struct needle_key k = key_of(n);
        if (i % 3 == 0)
            assert_int_equal(disk_delete(b->h->disk, &k, 1), 0);
    }
    rt_lock(&b->lock);
    if (--b->running == 0)
        rt_wake_all(&b->ended);
    rt_unlock(&b->lock);
}

static int both_threads(void *arg)
{
    struct both *b = arg;
    home_open(b->h);
    rt_lock_init(&b->lock);
    rt_waitq_init(&b->ended);
    b->running = 16;
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rt_spawn_on(i % 2, "writer", both_writer, b), 0);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t freed;
        struct disk_stats s;
        assert_int_equal(disk_compact(b->h->disk, &freed), 0);
        disk_stats(b->h->disk, &s);
    }
    rt_lock(&b->lock);
    while (b->running > 0)
        rt_wait_uncancelled(&b->ended, &b->lock, RT_NEVER);
    rt_unlock(&b->lock);
    for (unsigned n = 0; n < 16 * EACH; n++)
        assert_int_equal(check_try(b->h->disk, n, 100 + 37 * (n % EACH), NULL),
                         n % EACH % 3 ? 0 : -ERR_NOT_FOUND);
    home_close(b->h);
    return 0;
}

static void threads_share_a_disk(void **state)
{
    struct disk_home h;
    home_init(&h);
    h.config.volume_bytes_max = 256 * KIB;
    struct both b = {.h = &h};
    on_fiber(2, both_threads, &b);
    home_release(&h);
}

CASE(no_two_syncs_share_a_sector)
{
    struct disk_home *h = arg;
    home_open(h);
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(put(h->disk, n, 10 + n).hint.offset % SECTOR_BYTES, 0);
    home_close(h);
    return 0;
}

/* ---- restarts ------------------------------------------------------------------------------- */

CASE(restart_finds_everything_and_goes_on)
{
    struct disk_home *h = arg;
    for (uint64_t round = 0; round < 4; round++) {
        home_open(h);
        struct disk_stats s;
        disk_stats(h->disk, &s);
        assert_int_equal(s.needles, round * 10);
        assert_int_equal(s.replayed_bytes, 0); /* it was closed in good order */
        for (uint64_t n = 0; n < round * 10; n++)
            check(h->disk, n, 1000 + n);
        for (uint64_t n = round * 10; n < round * 10 + 10; n++)
            put(h->disk, n, 1000 + n);
        home_close(h);
    }
    return 0;
}

CASE(rebuilt_index_is_the_same_row_for_row)
{
    struct disk_home *h = arg;
    h->config.volume_bytes_max = 1 * MIB;
    home_open(h);
    for (uint64_t n = 0; n < 60; n++)
        put(h->disk, n, n * 1000);
    struct needle_key dead[] = {key_of(3), key_of(30), key_of(500)};
    assert_int_equal(disk_delete(h->disk, dead, 3), 0);
    put(h->disk, 31, 31000); /* a second needle of the same key: the older one is dead */
    home_close(h);
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    home_open(h);
    index_dump(h->disk, &before);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    assert_int_equal(disk_checkpoint(h->disk), 0);
    index_dump(h->disk, &after);
    char *uuid_before = strchr(before.data, '\n'), *uuid_after = strchr(after.data, '\n');
    assert_string_equal(uuid_before, uuid_after);
    assert_string_equal(before.data, after.data);
    buf_release(&before);
    buf_release(&after);
    home_close(h);
    return 0;
}

CASE(index_of_another_disk_is_not_used)
{
    struct disk_home *h = arg, other;
    home_open(h);
    put(h->disk, 1, 100);
    home_close(h);
    home_init(&other);
    kv_mem_free(other.index);
    other.index = h->index;
    home_open(&other);
    assert_int_equal(check_try(other.disk, 1, 100, NULL), -ERR_NOT_FOUND);
    home_close(&other);
    assert_int_equal(kv_mem_new(&other.index, false), 0);
    home_release(&other);
    home_open(h); /* and ours is rebuilt */
    check(h->disk, 1, 100);
    home_close(h);
    return 0;
}

CASE(second_opener_is_refused)
{
    struct disk_home *h = arg;
    home_open(h);
    struct disk_config again = h->config;
    struct kv_mem *index;
    struct disk *d;
    assert_int_equal(kv_mem_new(&index, false), 0);
    assert_int_equal(kv_mem_open(&again.index, index), 0);
    assert_int_equal(disk_open(&d, &again), -ERR_BUSY);
    kv_mem_free(index);
    home_close(h);
    return 0;
}

/* ---- damage --------------------------------------------------------------------------------- */

static void flip(const struct disk_home *h, unsigned volume, uint64_t off)
{
    char path[128];
    home_volume_path(h, volume, path);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
    close(fd);
}

CASE(flipped_bit_anywhere_is_never_read)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = put(h->disk, 1, 300);
    uint64_t span = needle_len(300, CELL_BYTES);
    for (uint64_t i = 0; i < span; i++) {
        flip(h, p.hint.volume, p.hint.offset + i);
        assert_int_equal(check_try(h->disk, 1, 300, &p.hint), -ERR_CORRUPT);
        flip(h, p.hint.volume, p.hint.offset + i);
    }
    assert_int_equal(check_try(h->disk, 1, 300, &p.hint), 0);
    struct disk_stats s;
    disk_stats(h->disk, &s);
    assert_int_equal(s.corrupt_reads, span);
    home_close(h);
    return 0;
}

/* In pieces and whole, without waiting: 0 where both gave the right bytes, or -EAGAIN. */
static int check_now(struct disk *d, uint64_t n, size_t len, const struct needle_hint *hint)
{
    struct needle_reader *r;
    struct needle_info info;
    struct hash128 digest;
    const void *payload;
    size_t cap = DISK_READ_ROOM(len);
    uint8_t *want = malloc(len), *got = malloc(cap);
    fill(want, len, n);
    int pieces = needle_open_now(d, key_of(n), hint, &r);
    if (pieces == 0) {
        pieces = needle_read_now(r, 0, got, len);
        if (pieces == 0)
            assert_memory_equal(got, want, len);
        needle_reader_close(r);
    }
    int whole = disk_read_now(d, key_of(n), hint, got, cap, &payload, &info, &digest);
    if (whole == 0)
        assert_memory_equal(payload, want, len);
    free(want);
    free(got);
    assert_true((pieces == 0 || pieces == -EAGAIN) && (whole == 0 || whole == -EAGAIN));
    return pieces == whole ? whole : 1;
}

CASE(what_is_in_memory_is_checked_as_well)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = put(h->disk, 1, 300);
    struct needle_hint elsewhere = {p.hint.volume, p.hint.offset + 64};
    uint64_t span = needle_len(300, CELL_BYTES);
    check_now(h->disk, 1, 300, &p.hint);
    for (uint64_t i = 0; i < span; i++) {
        flip(h, p.hint.volume, p.hint.offset + i);
        assert_int_equal(check_now(h->disk, 1, 300, &p.hint), -EAGAIN);
        flip(h, p.hint.volume, p.hint.offset + i);
    }
    assert_int_equal(check_now(h->disk, 1, 300, &elsewhere), -EAGAIN);
    assert_int_equal(check_now(h->disk, 2, 300, &p.hint), -EAGAIN);
    assert_int_equal(check_now(h->disk, 1, 300, &(struct needle_hint){0}), -EAGAIN);
    check(h->disk, 1, 300);
    struct disk_stats s;
    disk_stats(h->disk, &s);
    assert_int_equal(s.corrupt_reads, 0);
    home_close(h);
    return 0;
}

CASE(one_superblock_is_enough)
{
    struct disk_home *h = arg;
    home_open(h);
    put(h->disk, 1, 300);
    home_close(h);
    for (unsigned i = 0; i < SUPERBLOCK_COUNT; i++) {
        flip(h, 1, i * SUPERBLOCK_STEP + 30);
        home_lose_index(h);
        home_open(h);
        check(h->disk, 1, 300);
        home_close(h);
        flip(h, 1, i * SUPERBLOCK_STEP + 30);
    }
    return 0;
}

CASE(without_superblocks_the_index_still_reads)
{
    struct disk_home *h = arg;
    home_open(h);
    put(h->disk, 1, 300);
    home_close(h);
    flip(h, 1, 30);
    flip(h, 1, SUPERBLOCK_STEP + 30);
    home_open(h);
    check(h->disk, 1, 300);
    assert_int_equal(put(h->disk, 2, 300).hint.volume, 2); /* nothing more goes into it */
    home_close(h);
    home_lose_index(h);
    home_open(h);
    struct disk_stats s;
    disk_stats(h->disk, &s);
    assert_int_equal(s.volumes_unreadable, 1);
    check(h->disk, 2, 300);
    home_close(h);
    return 0;
}

CASE(torn_tail_is_stepped_over)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p[5];
    for (uint64_t n = 0; n < 5; n++)
        p[n] = put(h->disk, n, 70000);
    home_close(h);
    flip(h, 1, p[1].hint.offset + 20);                                       /* a header */
    flip(h, 1, p[2].hint.offset + sizeof(struct needle_header) + 100);       /* a payload */
    flip(h, 1, p[3].hint.offset + sizeof(struct needle_header) + 70000 + 9); /* a footer */
    home_lose_index(h);
    home_open(h);
    check(h->disk, 0, 70000);
    check(h->disk, 4, 70000);
    for (uint64_t n = 1; n < 4; n++)
        assert_int_equal(check_try(h->disk, n, 70000, NULL), -ERR_NOT_FOUND);
    home_close(h);
    return 0;
}

CASE(payload_that_looks_like_needles_does_not_mislead)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put real = put(h->disk, 1, 300);
    struct volume *v = volume_get(h->disk, 1);
    /* A forged needle, right in every field for the place where the payload will lie. */
    uint8_t payload[1024] = {};
    uint64_t at = real.hint.offset + 512;
    uint64_t inside = align_up(at + sizeof(struct needle_header), NEEDLE_ALIGN);
    struct needle_info info = {.code_k = 1};
    struct needle_header fake = header_of(key_of(66), &info, 0);
    fake.lsn = 1000;
    fake.offset = inside;
    fake.incarnation = v->incarnation;
    needle_header_seal(&fake);
    struct append_footer footer = {};
    struct needle_sum_room room;
    needle_sum_finish(needle_sum_init(&room, &footer.fixed, CELL_BYTES));
    needle_footer_seal(&footer.fixed, &fake);
    memcpy(payload + (inside - at - sizeof(fake)), &fake, sizeof(fake));
    memcpy(payload + (inside - at), &footer.fixed, sizeof(footer.fixed));
    struct needle_info outer = {.len_bytes = sizeof(payload), .encode_id = 3, .code_k = 1};
    struct put p;
    assert_int_equal(disk_append(h->disk, key_of(2), &outer,
                                 &(struct iovec){payload, sizeof(payload)}, 1, &p.hint, &p.digest),
                     0);
    assert_int_equal(p.hint.offset, at);
    volume_put(h->disk, v);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    assert_int_equal(check_try(h->disk, 66, 0, NULL), -ERR_NOT_FOUND);
    home_close(h);
    return 0;
}

CASE(unfinished_volume_file_is_removed)
{
    struct disk_home *h = arg;
    home_open(h);
    put(h->disk, 1, 10);
    home_close(h);
    char path[128];
    home_volume_path(h, 2, path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    home_open(h);
    check(h->disk, 1, 10);
    struct stat st;
    assert_int_equal(stat(path, &st), -1);
    home_close(h);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_reads_back_by_hint_and_by_index),
        cmocka_unit_test(ranges_read_exactly_what_they_name),
        cmocka_unit_test(whole_read_lies_in_the_callers_buffer),
        cmocka_unit_test(stream_in_odd_pieces_is_one_needle),
        cmocka_unit_test(aborted_needle_is_not_there),
        cmocka_unit_test(deleted_needle_is_gone_and_stays_gone),
        cmocka_unit_test(wrong_hint_is_not_believed),
        cmocka_unit_test(full_volume_is_followed_by_the_next),
        cmocka_unit_test(one_sync_serves_many),
        cmocka_unit_test(needles_in_place_share_a_write_with_others),
        cmocka_unit_test(threads_share_a_disk),
        cmocka_unit_test(no_two_syncs_share_a_sector),
        cmocka_unit_test(restart_finds_everything_and_goes_on),
        cmocka_unit_test(rebuilt_index_is_the_same_row_for_row),
        cmocka_unit_test(index_of_another_disk_is_not_used),
        cmocka_unit_test(second_opener_is_refused),
        cmocka_unit_test(flipped_bit_anywhere_is_never_read),
        cmocka_unit_test(what_is_in_memory_is_checked_as_well),
        cmocka_unit_test(one_superblock_is_enough),
        cmocka_unit_test(without_superblocks_the_index_still_reads),
        cmocka_unit_test(torn_tail_is_stepped_over),
        cmocka_unit_test(payload_that_looks_like_needles_does_not_mislead),
        cmocka_unit_test(unfinished_volume_file_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
