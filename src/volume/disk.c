/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What of volume.h is about the disk as a whole: counting, listing, checkpoints.
 */

#include "volume/internal.h"

#define PAGE_ROWS 128

/* Under the lock. */
static void stats_of_volumes(const struct disk *d, struct disk_stats *s)
{
    s->needles = window_needles(d->filling) + window_needles(d->flushing);
    s->live_bytes = window_bytes(d->filling) + window_bytes(d->flushing);
    uint64_t used = 0;
    for (size_t i = 0; i < d->volume_count; i++) {
        const struct volume *v = d->volumes[i];
        used += v->tail - VOLUME_DATA;
        s->volumes_read_only += v->failed;
        s->needles += v->row.live_needles;
        s->live_bytes += v->row.live_bytes;
    }
    s->volumes = d->volume_count;
    s->dead_bytes = used > s->live_bytes ? used - s->live_bytes : 0;
}

void FIBER disk_stats(struct disk *d, struct disk_stats *ret)
{
    struct rt_space space = {};
    rt_space(d->path, &space); /* zeros tell that it is not known */
    rt_lock(&d->lock);
    *ret = d->stats;
    stats_of_volumes(d, ret);
    rt_unlock(&d->lock);
    ret->reads = __atomic_load_n(&d->reads, __ATOMIC_RELAXED);
    ret->corrupt_reads = __atomic_load_n(&d->corrupt_reads, __ATOMIC_RELAXED);
    ret->total_bytes = space.total_bytes;
    ret->free_bytes = space.free_bytes;
}

int FIBER disk_checkpoint(struct disk *d)
{
    return index_flush(d, true);
}

/* The rows of a page that are the newest of their keys and no tombstones. */
static int each_of_page(const struct index_row *rows, size_t count, struct index_row *last,
                        bool *any, int (*fn)(const struct needle_entry *, void *), void *arg)
{
    for (size_t i = 0; i < count; i++) {
        bool newest = !*any || !needle_key_eq(last->key, rows[i].key);
        *last = rows[i];
        *any = true;
        if (!newest || rows[i].tombstone)
            continue;
        struct needle_entry e = {
            .key = rows[i].key,
            .where = {.volume = rows[i].volume, .offset = rows[i].offset},
            .len_bytes = rows[i].len_bytes,
        };
        int err = fn(&e, arg);
        if (err)
            return err;
    }
    return 0;
}

int FIBER disk_each(struct disk *d, int (*fn)(const struct needle_entry *e, void *arg), void *arg)
{
    _cleanup_free_ struct index_row *rows = malloc(PAGE_ROWS * sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    int err = index_settle(d);
    struct index_row last;
    bool any = false;
    for (size_t n = PAGE_ROWS; err == 0 && n == PAGE_ROWS;) {
        err = index_page(d, any ? &last : NULL, rows, PAGE_ROWS, &n);
        if (err == 0)
            err = each_of_page(rows, n, &last, &any, fn, arg);
    }
    return err;
}
