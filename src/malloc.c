/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The program's malloc: the C library's, and behind it the reserve for threads that do not cope
 * with NULL (base/reserve.h). The C library's manual says which functions stand in for malloc
 * together ("Replacing malloc"); everything that is linked, operator new included, comes here.
 *
 * Part of the program and of the test of this, not of a library: nothing else should have its
 * malloc replaced by the way. A sanitizer brings its own.
 */

#include "base/error.h"
#include "base/reserve.h"
#include "rt/sanitize.h"

#if !RT_ASAN && !RT_TSAN

#    include <dlfcn.h>
#    include <malloc.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

/* The C library had none. `size` and `align` are as it would have taken them. */
static __attribute__((noinline)) void *last_resort(size_t size, size_t align)
{
    void *p = NULL;
    if (reserve_coping || !reserve_may_wait(size)) {
        reserve_count_refusal();
        errno = ENOMEM;
        return NULL;
    }
    for (bool first = true; !(p = reserve_take(size, align)); first = false) {
        reserve_wait(first);
        if ((p = __libc_memalign(align, size)))
            break;
    }
    return p;
}

#    define ALIGN _Alignof(max_align_t)

void *malloc(size_t size)
{
    void *p = __libc_malloc(size);
    return likely(p) ? p : last_resort(size, ALIGN);
}

void *calloc(size_t count, size_t size)
{
    size_t total;
    void *p = __libc_calloc(count, size);
    if (likely(p) || __builtin_mul_overflow(count, size, &total))
        return p;
    p = last_resort(total, ALIGN);
    return p ? memset(p, 0, total) : NULL;
}

void free(void *p)
{
    if (unlikely(reserve_owns(p)))
        reserve_give(p);
    else
        __libc_free(p);
}

/* The C library's malloc_usable_size: it has no other name there. */
static size_t libc_usable(void *p)
{
    static size_t (*next)(void *p);
    size_t (*fn)(void *) = __atomic_load_n(&next, __ATOMIC_RELAXED);
    if (!fn) {
        fn = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
        CHECK(fn);
        __atomic_store_n(&next, fn, __ATOMIC_RELAXED);
    }
    return fn(p);
}

size_t malloc_usable_size(void *p)
{
    return unlikely(reserve_owns(p)) ? reserve_usable(p) : libc_usable(p);
}

/* Into another place, where the C library cannot make it larger. */
static __attribute__((noinline)) void *move(void *p, size_t size)
{
    void *to = reserve_owns(p) ? malloc(size) : last_resort(size, ALIGN);
    if (!to)
        return NULL;
    memcpy(to, p, MIN(size, malloc_usable_size(p)));
    free(p);
    return to;
}

void *realloc(void *p, size_t size)
{
    if (!p)
        return malloc(size);
    if (unlikely(reserve_owns(p)))
        return move(p, size);
    void *grown = __libc_realloc(p, size);
    return likely(grown) || size == 0 ? grown : move(p, size);
}

void *memalign(size_t align, size_t size)
{
    void *p = __libc_memalign(align, size);
    return likely(p) ? p : last_resort(size, align);
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
    if (align % sizeof(void *) != 0 || align == 0 || (align & (align - 1)) != 0)
        return EINVAL;
    void *p = memalign(align, size);
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}

#endif
