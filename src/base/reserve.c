/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The reserve: one mapping, cut into chunks that lie one behind the other; the free ones are in a
 * list, the first that is large enough is taken, neighbours that are free are joined.
 *
 * Invariants, under the lock
 *  1. Chunks fill the mapping; the last is the end mark, in use for ever.
 *  2. chunk->before is the size of the chunk before it, 0 of the first.
 *  3. No two free chunks lie side by side.
 *
 * It is for minutes in which memory is out, so it is made to be right rather than fast.
 */

#include <assert.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include "base/error.h"
#include "base/list.h"
#include "base/reserve.h"

#define UNIT        16 /* sizes of chunks are counted in these, and chunks lie at multiples */
#define CHUNK_LEAST 2  /* the header and the node of the list of free ones */
#define CHUNK_MAGIC 0x7265737365727665ull
#define BYTES_MAX   (1 * GIB) /* of the reserve, and of what is waited for */
#define NAP_NS      5000000
#define KEEP_BYTES  (1 * MIB) /* touched pages above that go back to the kernel when all is free */

struct chunk {
    uint32_t units : 31; /* the header included */
    uint32_t used : 1;
    uint32_t before;
    uint64_t magic;
};
static_assert(sizeof(struct chunk) == UNIT && sizeof(struct list) <= UNIT, "a chunk's least size");

static struct {
    pthread_mutex_t mutex; /* guards all below, but for what is atomic */
    struct list free;
    uint64_t peak_bytes;        /* in use at once, since all was free and untouched */
    struct reserve_stats stats; /* atomic */
} reserve = {.mutex = PTHREAD_MUTEX_INITIALIZER};

__thread bool reserve_coping;
uintptr_t reserve_start_;
size_t reserve_bytes_; /* 0: it is not open */

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- chunks --------------------------------------------------------------------------------- */

static struct chunk *chunk_at(void *start, size_t units)
{
    return (struct chunk *)((char *)start + units * UNIT);
}

static struct chunk *chunk_of(const void *p)
{
    struct chunk *c = (struct chunk *)((char *)p - UNIT);
    CHECK(c->magic == CHUNK_MAGIC && c->used);
    return c;
}

static struct list *node_of(struct chunk *c)
{
    return (struct list *)(c + 1);
}

static struct chunk *next_of(struct chunk *c)
{
    return chunk_at(c, c->units);
}

/* A free chunk, of which the one behind it is told. */
static void chunk_make_free(struct chunk *c, size_t units, size_t before)
{
    *c = (struct chunk){.units = (uint32_t)units, .before = (uint32_t)before, .magic = CHUNK_MAGIC};
    next_of(c)->before = c->units;
    list_push_front(&reserve.free, node_of(c));
}

/* All of it one free chunk. */
static void format(void)
{
    struct chunk *first = (struct chunk *)reserve_start_;
    size_t units = reserve_bytes_ / UNIT - 1;
    *chunk_at(first, units) = (struct chunk){.units = 1, .used = 1, .magic = CHUNK_MAGIC};
    list_init(&reserve.free);
    chunk_make_free(first, units, 0);
    reserve.peak_bytes = 0;
}

/*
 * How many units into the free chunk a chunk must begin for its bytes to be aligned; what is left
 * before it is nothing or a chunk. -1: `units` do not fit there.
 */
static ptrdiff_t fit(struct chunk *c, size_t units, size_t align)
{
    uintptr_t bytes = (uintptr_t)(c + 1), at = align_up(bytes, align);
    while (at != bytes && at - bytes < CHUNK_LEAST * UNIT)
        at += align;
    size_t skipped = (at - bytes) / UNIT;
    return skipped + units <= c->units ? (ptrdiff_t)skipped : -1;
}

/* Cuts the chunk out of a free one, of which nothing or a chunk is left on either side. */
static void *cut(struct chunk *c, size_t skipped, size_t units)
{
    size_t all = c->units, before = c->before;
    list_remove(node_of(c));
    if (skipped > 0) {
        struct chunk *front = c;
        c = chunk_at(front, skipped);
        chunk_make_free(front, skipped, before);
        before = skipped;
        all -= skipped;
    }
    if (all - units < CHUNK_LEAST)
        units = all;
    *c = (struct chunk){
        .units = (uint32_t)units, .used = 1, .before = (uint32_t)before, .magic = CHUNK_MAGIC};
    if (units < all)
        chunk_make_free(next_of(c), all - units, units);
    next_of(c)->before = c->units;
    add(&reserve.stats.used_bytes, units * UNIT);
    return c + 1;
}

static void *take(size_t units, size_t align)
{
    for (struct list *n = reserve.free.next; n != &reserve.free; n = n->next) {
        struct chunk *c = (struct chunk *)n - 1;
        ptrdiff_t skipped = fit(c, units, align);
        if (skipped >= 0)
            return cut(c, (size_t)skipped, units);
    }
    return NULL;
}

void *reserve_take(size_t size, size_t align)
{
    if (size >= reserve_bytes_)
        return NULL;
    size_t units = MAX((size + UNIT - 1) / UNIT + 1, (size_t)CHUNK_LEAST);
    pthread_mutex_lock(&reserve.mutex);
    void *p = take(units, MAX(align, (size_t)UNIT));
    if (p)
        reserve.peak_bytes = MAX(reserve.peak_bytes, get(&reserve.stats.used_bytes));
    pthread_mutex_unlock(&reserve.mutex);
    if (p)
        add(&reserve.stats.served, 1);
    return p;
}

/* Joined with its neighbours where those are free. */
static void give(struct chunk *c)
{
    size_t units = c->units, before = c->before;
    struct chunk *next = next_of(c);
    add(&reserve.stats.used_bytes, -(uint64_t)units * UNIT);
    c->magic = 0;
    if (!next->used) {
        list_remove(node_of(next));
        units += next->units;
    }
    struct chunk *front = (struct chunk *)((char *)c - before * UNIT);
    if (before > 0 && !front->used) {
        list_remove(node_of(front));
        units += front->units;
        before = front->before;
        c = front;
    }
    chunk_make_free(c, units, before);
}

void reserve_give(void *p)
{
    struct chunk *c = chunk_of(p);
    int kept = errno; /* free() leaves it alone */
    pthread_mutex_lock(&reserve.mutex);
    give(c);
    if (get(&reserve.stats.used_bytes) == 0 && reserve.peak_bytes > KEEP_BYTES) {
        madvise((void *)reserve_start_, reserve_bytes_, MADV_DONTNEED);
        format();
    }
    pthread_mutex_unlock(&reserve.mutex);
    errno = kept;
}

size_t reserve_usable(const void *p)
{
    return (size_t)(chunk_of(p)->units - 1) * UNIT;
}

/* ---- opening, waiting, counting ------------------------------------------------------------- */

/* Not MAP_NORESERVE: where the kernel commits no more than it has, this is committed. */
int reserve_open(size_t bytes)
{
    CHECK(!reserve_bytes_ && bytes >= 64 * KIB && bytes <= BYTES_MAX && bytes % (4 * KIB) == 0);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    reserve_start_ = (uintptr_t)map;
    reserve_bytes_ = bytes;
    reserve.stats = (struct reserve_stats){.size_bytes = bytes};
    format();
    return 0;
}

void reserve_close(void)
{
    CHECK(get(&reserve.stats.used_bytes) == 0);
    size_t bytes = reserve_bytes_;
    reserve_bytes_ = 0;
    munmap((void *)reserve_start_, bytes);
}

bool reserve_low(void)
{
    return get(&reserve.stats.used_bytes) > reserve.stats.size_bytes / 2 ||
           get(&reserve.stats.waiting) > 0;
}

bool reserve_may_wait(size_t size)
{
    return reserve_bytes_ > 0 && size <= BYTES_MAX;
}

void reserve_wait(bool first)
{
    add(&reserve.stats.waits, first);
    add(&reserve.stats.waiting, 1);
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    add(&reserve.stats.waiting, -1ull);
}

void reserve_count_refusal(void)
{
    add(&reserve.stats.refused, 1);
}

void reserve_stats(struct reserve_stats *ret)
{
    *ret = (struct reserve_stats){
        .size_bytes = reserve.stats.size_bytes,
        .used_bytes = get(&reserve.stats.used_bytes),
        .refused = get(&reserve.stats.refused),
        .served = get(&reserve.stats.served),
        .waits = get(&reserve.stats.waits),
        .waiting = get(&reserve.stats.waiting),
    };
}
