/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Tells the sanitizers and valgrind about stack switches and about memory the kernel fills
 * behind their backs. Costs nothing where none is in use.
 */

#include "base/defs.h"

#if defined(__SANITIZE_ADDRESS__)
#    define RT_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define RT_ASAN 1
#    endif
#endif
#ifndef RT_ASAN
#    define RT_ASAN 0
#endif

#if RT_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
#    define RT_TSAN 1
#    include <sanitizer/tsan_interface.h>
#else
#    define RT_TSAN 0
#endif

#if __has_include(<valgrind/memcheck.h>)
#    include <valgrind/memcheck.h>
#    define RT_VALGRIND    1
#    define RT_ON_VALGRIND RUNNING_ON_VALGRIND
#else
#    define RT_VALGRIND    0
#    define RT_ON_VALGRIND 0
#endif

/* Before a switch to the stack [bottom, bottom + size); `keep` NULL when the left one never runs
 * again. */
static inline void rt_asan_leave(void **keep, const void *bottom, size_t size)
{
#if RT_ASAN
    __sanitizer_start_switch_fiber(keep, bottom, size);
#endif
}

/* First thing after a switch; the bounds are of the stack that was left. */
static inline void rt_asan_arrive(void *kept, const void **ret_bottom, size_t *ret_size)
{
#if RT_ASAN
    __sanitizer_finish_switch_fiber(kept, ret_bottom, ret_size);
#endif
}

/* ThreadSanitizer takes each fiber for a thread of its own, and each loop for another. */
static inline void *rt_tsan_new(void)
{
#if RT_TSAN
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

static inline void *rt_tsan_self(void)
{
#if RT_TSAN
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

static inline void rt_tsan_free(void *fiber)
{
#if RT_TSAN
    __tsan_destroy_fiber(fiber);
#endif
}

/* Just before a switch. */
static inline void rt_tsan_switch(void *fiber)
{
#if RT_TSAN
    __tsan_switch_to_fiber(fiber, 0);
#endif
}

/* A stack that is used again: what its last fiber poisoned no longer counts. */
static inline void rt_asan_clean(const void *from, size_t len)
{
#if RT_ASAN
    __asan_unpoison_memory_region(from, len);
#endif
}

static inline unsigned rt_valgrind_stack(void *from, void *to)
{
#if RT_VALGRIND
    return VALGRIND_STACK_REGISTER(from, to);
#else
    return 0;
#endif
}

static inline void rt_valgrind_stack_gone(unsigned id)
{
#if RT_VALGRIND
    VALGRIND_STACK_DEREGISTER(id);
#endif
}

/* While dead frames are read on purpose. */
static inline void rt_valgrind_look_away(bool away)
{
#if RT_VALGRIND
    if (away)
        VALGRIND_DISABLE_ERROR_REPORTING;
    else
        VALGRIND_ENABLE_ERROR_REPORTING;
#endif
}

/* The kernel wrote here through a ring, which valgrind does not see; or it is known to be sound. */
static inline void rt_mark_defined(const void *from, size_t len)
{
#if RT_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(from, len);
#endif
}
