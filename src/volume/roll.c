/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What lies in a volume, as a list in memory: the rows that went into the index for it. Compaction
 * needs them to ask which live and to have them all forgotten, and a young volume, which is the
 * likeliest to have died, is then not read at all but for what lives. A volume has a roll from its
 * making on; one that was there at the start has none, nor has one of many small needles, whose
 * walk reads them all at once, and the oldest lose theirs when a disk has too many.
 */

#include "volume/internal.h"

void roll_add(struct roll *r, const struct index_row *row, size_t most)
{
    if (r->partial)
        return;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        struct index_row *rows = room > most ? NULL : realloc(r->rows, room * sizeof(*rows));
        if (!rows) {
            roll_release(r);
            return;
        }
        r->rows = rows;
        r->room = room;
    }
    r->rows[r->count++] = *row;
}

void roll_release(struct roll *r)
{
    free(r->rows);
    *r = (struct roll){.partial = true};
}

struct roll roll_take(struct disk *d, struct volume *v)
{
    struct roll r = v->roll;
    d->rolled -= r.count;
    v->roll = (struct roll){.partial = true};
    return r;
}

/* The oldest one that there is. */
static void drop_oldest(struct disk *d)
{
    for (size_t i = 0; i < d->volume_count; i++) {
        if (d->volumes[i]->roll.count == 0)
            continue;
        struct roll r = roll_take(d, d->volumes[i]);
        roll_release(&r);
        return;
    }
}

void roll_note(struct disk *d, const struct index_row *row)
{
    struct volume *v = volume_find(d, row->volume);
    if (!v)
        return;
    d->rolled -= v->roll.count;
    roll_add(&v->roll, row, ROLL_MAX);
    d->rolled += v->roll.count;
    if (d->rolled > ROLLED_MAX)
        drop_oldest(d);
}
