/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Rows committed and not yet in the index: an array in the order of arrival, and chains through it
 * by needle key. A key may have several rows (a needle, its tombstone, a copy): all stay.
 */

#include "volume/internal.h"

#define SLOTS WINDOW_ROWS /* a power of two */
static_assert((SLOTS & (SLOTS - 1)) == 0, "a power of two");

/* The arrays are touched as far as they are used: an idle window costs a page or two. */
struct window {
    uint32_t count;
    uint64_t needles, bytes;
    struct index_row *rows;
    uint32_t *next;  /* index of the row before in the chain, plus one; 0 ends it */
    uint32_t *heads; /* likewise */
};

int window_new(struct window **ret)
{
    struct window *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->rows = malloc(WINDOW_ROWS * sizeof(*w->rows));
    w->next = malloc(WINDOW_ROWS * sizeof(*w->next));
    w->heads = calloc(SLOTS, sizeof(*w->heads));
    if (!w->rows || !w->next || !w->heads) {
        window_free(w);
        return -ENOMEM;
    }
    *ret = w;
    return 0;
}

void window_free(struct window *w)
{
    if (!w)
        return;
    free(w->rows);
    free(w->next);
    free(w->heads);
    free(w);
}

uint32_t window_count(const struct window *w)
{
    return w->count;
}

uint64_t window_needles(const struct window *w)
{
    return w->needles;
}

uint64_t window_bytes(const struct window *w)
{
    return w->bytes;
}

const struct index_row *window_rows(const struct window *w)
{
    return w->rows;
}

static uint32_t slot_of(struct needle_key key)
{
    uint64_t words[3] = {key.chunk.session, key.chunk.counter, key.shard};
    return (uint32_t)(hash_xxh3(words, sizeof(words)) & (SLOTS - 1));
}

void window_add(struct window *w, const struct index_row *row)
{
    CHECK(w->count < WINDOW_ROWS);
    uint32_t slot = slot_of(row->key);
    w->rows[w->count] = *row;
    w->next[w->count] = w->heads[slot];
    w->heads[slot] = ++w->count;
    if (!row->tombstone) {
        w->needles++;
        w->bytes += row_span(row);
    }
}

bool window_find(const struct window *w, struct needle_key key, struct index_row *ret)
{
    const struct index_row *best = NULL;
    for (uint32_t i = w->heads[slot_of(key)]; i != 0; i = w->next[i - 1]) {
        const struct index_row *row = &w->rows[i - 1];
        if (needle_key_eq(row->key, key) && (!best || row_newer(row, best)))
            best = row;
    }
    if (best)
        *ret = *best;
    return best != NULL;
}

void window_clear(struct window *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        w->heads[slot_of(w->rows[i].key)] = 0;
    w->count = 0;
    w->needles = 0;
    w->bytes = 0;
}
