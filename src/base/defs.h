/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What every file may use without asking: attributes, asserts, cleanup, arithmetic.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* May suspend the calling fiber; must be called on a fiber. Checked by tools/check-annotations. */
#define FIBER
/* May block the calling thread; never called on a loop thread. Checked likewise. */
#define BLOCKING

#define _cleanup_(f)      __attribute__((cleanup(f)))
#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))
#define MUST_CHECK        __attribute__((warn_unused_result))
#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* The counter keeps the names of nested uses apart. */
#define MIN(a, b)          PICK_(a, b, <, __COUNTER__)
#define MAX(a, b)          PICK_(a, b, >, __COUNTER__)
#define PICK_(a, b, op, n) PICK_NAMED_(a, b, op, n)
#define PICK_NAMED_(a, b, op, n)                            \
    ({                                                      \
        __auto_type pick_a_##n = (a);                       \
        __auto_type pick_b_##n = (b);                       \
        pick_a_##n op pick_b_##n ? pick_a_##n : pick_b_##n; \
    })
#define container_of(ptr, type, member) \
    ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

/* `align` is a power of two. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

/* Hands a pointer on and forgets it, so that its _cleanup_ does nothing. */
#define TAKE_PTR(p)                \
    ({                             \
        __auto_type take_p_ = (p); \
        (p) = NULL;                \
        take_p_;                   \
    })

#define KIB (1024ULL)
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

/*
 * An assert that stays in release builds: a broken invariant stops the process before it can lie.
 * Never used on external input. Prints file, line, expression and a backtrace, then aborts.
 */
#define CHECK(cond)                                            \
    do {                                                       \
        if (unlikely(!(cond)))                                 \
            check_failed(__FILE__, __LINE__, __func__, #cond); \
    } while (0)

_Noreturn void check_failed(const char *file, int line, const char *func, const char *expr);

/* Zeroes a secret, which no optimiser leaves out. NULL of no length is fine. */
static inline void wipe(void *p, size_t len)
{
    if (len > 0)
        explicit_bzero(p, len);
}

static inline void free_ptr_(void *p)
{
    free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(free_ptr_)
