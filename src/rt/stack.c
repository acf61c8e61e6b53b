/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Stacks: mapped when first needed, a guard page below, kept in a small pool a loop.
 *
 * The deepest use is known without touching a page: the kernel tells which of them are there at
 * all, and in the lowest of those the first word that is not zero marks it, however large the
 * arrays above that nobody has filled. It is looked at when a stack is first given back and now and
 * then later, and every few seconds in the stacks of fibers that stay: only below the deepest mark
 * known so far.
 */

#include <sys/mman.h>
#include <unistd.h>
#include "base/reserve.h"
#include "rt/internal.h"
#include "rt/sanitize.h"

#define PAGES_MAX 512 /* that are asked for at once: stacks are smaller */
/* Stacks kept by a pool. What an idle server holds is trimmed further by its world. */
#define POOL_MAX 64

struct rt_stack *rt_stack_map(struct rt_stack_pool *p)
{
    size_t guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = guard_bytes + align_up(p->stack_bytes, guard_bytes);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED || mprotect(map, guard_bytes, PROT_NONE) < 0) {
        if (map != MAP_FAILED)
            munmap(map, bytes);
        reserve_count_refusal();
        return NULL;
    }
    struct rt_stack *s = (struct rt_stack *)(map + bytes) - 1;
    s->map = map;
    s->bottom = map + guard_bytes;
    s->map_bytes = bytes;
    s->valgrind_id = rt_valgrind_stack(s->bottom, map + bytes);
    __atomic_fetch_add(&p->count, 1, __ATOMIC_RELAXED);
    return s;
}

void rt_stack_unmap(struct rt_stack_pool *p, struct rt_stack *s)
{
    rt_valgrind_stack_gone(s->valgrind_id);
    rt_asan_clean(s->bottom, (size_t)(s->map + s->map_bytes - s->bottom));
    __atomic_fetch_sub(&p->count, 1, __ATOMIC_RELAXED);
    munmap(s->map, s->map_bytes);
}

struct rt_stack *rt_stack_take(struct rt_stack_pool *p)
{
    struct rt_stack *s = p->free;
    if (!s)
        return rt_stack_map(p);
    p->free = s->next;
    p->free_count--;
    return s;
}

/* The lowest page below `end` that has been written to; `end`: none. */
static const char *lowest_page(const struct rt_stack *s, const char *end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char there[PAGES_MAX];
    size_t count = ((size_t)(end - s->bottom) + page - 1) / page;
    if (count == 0 || count > PAGES_MAX || mincore(s->bottom, count * page, there) < 0)
        return end;
    for (size_t i = 0; i < count; i++)
        if (there[i] & 1)
            return s->bottom + i * page;
    return end;
}

/* Words of other fibers' frames are read here, on purpose. */
__attribute__((no_sanitize("address"))) static uint64_t stack_depth(const struct rt_stack *s,
                                                                    uint64_t known_bytes)
{
    const uint64_t *known = (const uint64_t *)s - known_bytes / 8;
    const uint64_t *w = (const uint64_t *)lowest_page(s, (const char *)known);
    while (w < known && *w == 0)
        w++;
    return (uint64_t)((const uint64_t *)s - w) * 8;
}

void rt_stack_measure(struct rt_stack_pool *p, const struct rt_stack *s)
{
    rt_valgrind_look_away(true);
    uint64_t depth = stack_depth(s, p->used_max_bytes);
    rt_valgrind_look_away(false);
    rt_mark_defined(&depth, sizeof(depth));
    if (depth > p->used_max_bytes)
        __atomic_store_n(&p->used_max_bytes, depth, __ATOMIC_RELAXED);
}

static void record_depth(struct rt_stack_pool *p, struct rt_stack *s)
{
    if (s->uses++ % 64 == 0)
        rt_stack_measure(p, s);
}

void rt_stack_give(struct rt_stack_pool *p, struct rt_stack *s)
{
    record_depth(p, s);
    if (p->free_count >= POOL_MAX) {
        rt_stack_unmap(p, s);
        return;
    }
    rt_asan_clean(s->bottom, (size_t)((char *)s - s->bottom));
    s->next = p->free;
    p->free = s;
    p->free_count++;
}

void rt_stack_trim(struct rt_stack_pool *p, unsigned keep)
{
    while (p->free_count > keep) {
        struct rt_stack *s = p->free;
        p->free = s->next;
        p->free_count--;
        rt_stack_unmap(p, s);
    }
}
