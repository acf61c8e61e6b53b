/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/arena.h"
#include <stdio.h>

#define BLOCK_BYTES (8 * KIB)
#define ALIGNMENT   16

struct arena_block {
    struct arena_block *next;
    size_t size; /* of the whole block, header included */
    char data[] __attribute__((aligned(ALIGNMENT)));
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes ? limit_bytes : ARENA_LIMIT_DEFAULT};
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_release(struct arena *a)
{
    free_blocks(a->blocks);
    a->blocks = NULL;
    a->cur = a->end = NULL;
    a->held_bytes = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->blocks;
    if (!kept)
        return;
    free_blocks(kept->next);
    kept->next = NULL;
    if (kept->size > 8 * BLOCK_BYTES) {
        free(kept);
        a->blocks = NULL;
        a->cur = a->end = NULL;
        a->held_bytes = 0;
        return;
    }
    a->cur = kept->data;
    a->end = (char *)kept + kept->size;
    a->held_bytes = kept->size;
}

static bool add_block(struct arena *a, size_t payload)
{
    size_t size = MAX(payload + sizeof(struct arena_block), (size_t)BLOCK_BYTES);
    if (a->held_bytes + size > a->limit_bytes)
        return false;
    struct arena_block *b = malloc(size);
    if (!b)
        return false;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->cur = b->data;
    a->end = (char *)b + size;
    a->held_bytes += size;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > a->limit_bytes)
        return NULL;
    size = align_up(MAX(size, (size_t)1), ALIGNMENT);
    if ((size_t)(a->end - a->cur) < size && !add_block(a, size))
        return NULL;
    void *p = a->cur;
    a->cur += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    return p ? memset(p, 0, size) : NULL;
}

void *arena_calloc_(struct arena *a, size_t size, size_t count)
{
    size_t total;
    if (__builtin_mul_overflow(size, count, &total))
        return NULL;
    return arena_zalloc(a, total);
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    return p ? str_make(p, s.len) : STR_NULL;
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    for (size_t i = 0; p && i < s.len; i++)
        p[i] = char_lower(p[i]);
    return p ? str_make(p, s.len) : STR_NULL;
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (!p)
        return NULL;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

/* Straight into the block where it fits; only what does not is formatted again. */
struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    va_list again;
    char *at = a->cur;
    size_t room = (size_t)(a->end - a->cur);
    va_copy(again, ap);
    int len = vsnprintf(at, room, fmt, again);
    va_end(again);
    char *p = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (!p)
        return STR_NULL;
    if (p != at || (size_t)len >= room)
        vsnprintf(p, (size_t)len + 1, fmt, ap);
    return str_make(p, (size_t)len);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}
