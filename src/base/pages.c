/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "base/pages.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE (2 * MIB)
#define UNITS     (PAGES_SLAB / PAGES_UNIT)

typedef unsigned __int128 unit_set; /* bit i is unit i */

static_assert(UNITS == 8 * sizeof(unit_set), "a bit a unit");
static_assert(PAGES_SLAB % HUGE_PAGE == 0, "a slab is whole huge pages");

struct slab {
    struct list link;
    char *bytes;
    unit_set used;
};

void pages_init(struct pages *p)
{
    list_init(&p->slabs);
    p->mapped_bytes = p->taken_bytes = 0;
}

void pages_release(struct pages *p)
{
    CHECK(list_empty(&p->slabs));
}

/* ---- slabs ---------------------------------------------------------------------------------- */

/* Aligned to a huge page: what lies before and behind is given back. NULL: no memory. */
static char *map_slab(void)
{
    size_t room = PAGES_SLAB + HUGE_PAGE;
    char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)map % HUGE_PAGE;
    if (before > 0)
        munmap(map, before);
    munmap(map + before + PAGES_SLAB, HUGE_PAGE - before);
    madvise(map + before, PAGES_SLAB, MADV_HUGEPAGE); /* without: pages as they are */
    return map + before;
}

static struct slab *slab_new(struct pages *p)
{
    struct slab *s = malloc(sizeof(*s));
    char *bytes = s ? map_slab() : NULL;
    if (!bytes) {
        free(s);
        return NULL;
    }
    *s = (struct slab){.bytes = bytes};
    list_push_front(&p->slabs, &s->link);
    __atomic_fetch_add(&p->mapped_bytes, PAGES_SLAB, __ATOMIC_RELAXED);
    return s;
}

static void slab_free(struct pages *p, struct slab *s)
{
    list_remove(&s->link);
    __atomic_fetch_sub(&p->mapped_bytes, PAGES_SLAB, __ATOMIC_RELAXED);
    munmap(s->bytes, PAGES_SLAB);
    free(s);
}

/* ---- blocks --------------------------------------------------------------------------------- */

static unsigned units_of(size_t size)
{
    return (unsigned)((size + PAGES_UNIT - 1) / PAGES_UNIT);
}

/* The first `count` units. */
static unit_set units_first(unsigned count)
{
    return count == UNITS ? ~(unit_set)0 : ((unit_set)1 << count) - 1;
}

/* The lowest place with `count` free units in a row; -1: none. */
static int slab_find(const struct slab *s, unsigned count)
{
    for (unsigned at = 0; at + count <= UNITS; at++)
        if (!(s->used & units_first(count) << at))
            return (int)at;
    return -1;
}

static void *slab_cut(struct pages *p, struct slab *s, unsigned at, unsigned count)
{
    s->used |= units_first(count) << at;
    p->taken_bytes += count * PAGES_UNIT;
    list_remove(&s->link);
    list_push_front(&p->slabs, &s->link);
    return s->bytes + at * PAGES_UNIT;
}

void *pages_take(struct pages *p, size_t size)
{
    unsigned count = units_of(size);
    struct slab *s;
    if (size == 0 || size > PAGES_SLAB)
        return NULL;
    LIST_FOR (s, &p->slabs, link) {
        int at = slab_find(s, count);
        if (at >= 0)
            return slab_cut(p, s, (unsigned)at, count);
    }
    s = slab_new(p);
    return s ? slab_cut(p, s, 0, count) : NULL;
}

bool pages_give(struct pages *p, void *block, size_t size)
{
    struct slab *s;
    LIST_FOR (s, &p->slabs, link) {
        uintptr_t off = (uintptr_t)block - (uintptr_t)s->bytes; /* wraps for what lies before */
        if (off >= PAGES_SLAB)
            continue;
        unit_set units = units_first(units_of(size)) << off / PAGES_UNIT;
        CHECK(off % PAGES_UNIT == 0 && (s->used & units) == units);
        s->used &= ~units;
        p->taken_bytes -= units_of(size) * PAGES_UNIT;
        if (!s->used)
            slab_free(p, s);
        return true;
    }
    return false;
}
