/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Memory for those who cannot do without (docs/adr/023).
 *
 * Our code copes where malloc gives NULL: the request gets 503. RocksDB does not: there it becomes
 * an exception in the middle of its invariants, or a NULL that nobody looks at, and either ends the
 * process. So a piece of address space is set apart at the start, and when malloc has nothing left
 * (src/malloc.c) it serves, and serves only, threads that do not cope: those that are not ours, and
 * ours inside a RESERVE_SCOPE. When it is used up as well they wait until something is freed.
 *
 * Whoever begins work that leans on it asks reserve_low() first: so what is under way has half of
 * it at least.
 *
 * Invariant: nothing here allocates, and everything may be called from inside malloc.
 */

#include "base/defs.h"

/*
 * Sets so many bytes apart, once; no page of them is touched before it is needed. Until then, and
 * where malloc is the sanitizer's, nobody is served. -ENOMEM.
 */
int reserve_open(size_t bytes);
/* For tests: nothing may be in use. */
void reserve_close(void);

/* ---- whom it serves ------------------------------------------------------------------------- */

extern __thread bool reserve_coping;

/* The compiler believes that malloc looks at nothing of ours, and would drop such a store. */
static inline void reserve_set_coping(bool copes)
{
    reserve_coping = copes;
    __asm__ volatile("" ::: "memory");
}

/* Once, by each thread of ours: NULL is coped with from now on. */
static inline void reserve_thread_copes(void)
{
    reserve_set_coping(true);
}

static inline bool reserve_enter(void)
{
    bool was = reserve_coping;
    reserve_set_coping(false);
    return was;
}
static inline void reserve_leave(const bool *was)
{
    __asm__ volatile("" ::: "memory");
    reserve_set_coping(*was);
}
/* To the end of the block NULL is not coped with. The block must not suspend the fiber. */
#define RESERVE_SCOPE \
    bool __attribute__((unused)) _cleanup_(reserve_leave) reserve_scope_ = reserve_enter()

/* Less than half is left, or somebody waits: no time to begin anything. Cheap. */
bool reserve_low(void);

/* ---- for malloc ----------------------------------------------------------------------------- */

/* NULL when it is not open or has no such piece. `align` is a power of two. */
void *reserve_take(size_t size, size_t align);
/* True of what reserve_take gave: each free() asks. */
extern uintptr_t reserve_start_;
extern size_t reserve_bytes_;
static inline bool reserve_owns(const void *p)
{
    return (uintptr_t)p - reserve_start_ < reserve_bytes_;
}
void reserve_give(void *p);
/* What may be used of it, at least what was asked for. */
size_t reserve_usable(const void *p);
/* Whether waiting for so much may ever help. */
bool reserve_may_wait(size_t size);
/* Sleeps for a moment; `first` of this allocation, for the count. */
void reserve_wait(bool first);
/* Counts an allocation that failed and is coped with. */
void reserve_count_refusal(void);

/* ---- what may be asked ---------------------------------------------------------------------- */

struct reserve_stats {
    uint64_t size_bytes, used_bytes;
    uint64_t refused; /* allocations that failed, which was coped with */
    uint64_t served;  /* allocations from the reserve */
    uint64_t waits;   /* allocations that had to wait, the reserve being used up */
    uint64_t waiting; /* threads that do now */
};
void reserve_stats(struct reserve_stats *ret);
