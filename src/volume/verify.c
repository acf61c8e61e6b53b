/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Verification, in both directions: every row of the index leads to its needle, whose bytes hold if
 * it lives; every whole needle of a volume has its row; the volumes' live bytes are the rows' sum.
 * It runs beside everything else, so what looks like a fault is looked at again before it is told:
 * compaction may just have moved the needle.
 */

#include <stdio.h>
#include "volume/internal.h"

#define PAGE_ROWS      128
#define PIECE_BYTES    (256 * KIB)
#define PROGRESS_BYTES (16 * MIB)
#define SCRUB_PROGRESS (1 * MIB)

struct verify {
    struct disk *d;
    int (*fn)(const struct disk_verify_event *e, void *arg);
    void *arg;
    uint64_t done_bytes, told_bytes, total_bytes;
    uint64_t progress_bytes; /* told of each time as many are done */
    uint64_t changes;        /* of the disk, when it began */
    struct volume_draft *sums;
    size_t sum_count;
    uint8_t *piece;
};

/* ---- telling -------------------------------------------------------------------------------- */

static int FIBER tell(struct verify *f, int err, struct needle_key key, const char *text)
{
    struct disk_verify_event e = {
        .err = err,
        .text = text,
        .key = key,
        .done_bytes = f->done_bytes,
        .total_bytes = MAX(f->total_bytes, f->done_bytes),
    };
    return f->fn(&e, f->arg);
}

static int FIBER tell_row(struct verify *f, int err, const struct index_row *row, const char *what)
{
    char text[160];
    snprintf(text, sizeof(text), "volume %u offset %llu: %s", row->volume,
             (unsigned long long)row->offset, what);
    return tell(f, err, row->key, text);
}

static int FIBER tell_volume(struct verify *f, int err, uint32_t number, const char *what)
{
    char text[160];
    snprintf(text, sizeof(text), "volume %u: %s", number, what);
    return tell(f, err, (struct needle_key){}, text);
}

static int FIBER progress(struct verify *f, uint64_t bytes)
{
    f->done_bytes += bytes;
    if (f->done_bytes - f->told_bytes < f->progress_bytes)
        return 0;
    f->told_bytes = f->done_bytes;
    return tell(f, 0, (struct needle_key){}, NULL);
}

/* ---- looking again -------------------------------------------------------------------------- */

static bool row_eq(const struct index_row *a, const struct index_row *b)
{
    return needle_key_eq(a->key, b->key) && a->lsn == b->lsn && a->volume == b->volume &&
           a->offset == b->offset;
}

/* Whether the store has exactly this row: 1, 0 or an error. */
static int FIBER row_stored(struct disk *d, const struct index_row *row)
{
    struct index_row before = *row, is;
    before.offset++; /* rows descend: this one sorts just before */
    size_t n;
    int err = index_page(d, &before, &is, 1, &n);
    return err ? err : n == 1 && row_eq(&is, row);
}

static bool volume_there(struct disk *d, uint32_t number)
{
    rt_lock(&d->lock);
    bool there = volume_find(d, number) != NULL;
    rt_unlock(&d->lock);
    return there;
}

/* Appends (tombstones and copies are some) and compactions: whatever alters the live bytes. */
static uint64_t disk_changes(struct disk *d)
{
    rt_lock(&d->lock);
    uint64_t n = d->stats.appends + d->stats.compactions + d->volume_count;
    rt_unlock(&d->lock);
    return n;
}

/* ---- from the index to the volumes ---------------------------------------------------------- */

static int FIBER read_needle(struct verify *f, struct needle_reader *r)
{
    uint64_t len = needle_reader_info(r)->len_bytes;
    for (uint64_t off = 0, n; off < len; off += n) {
        n = MIN(PIECE_BYTES, len - off);
        int err = needle_read(r, off, f->piece, n);
        if (err)
            return err;
        int stop = progress(f, n);
        if (stop)
            return stop;
    }
    return 0;
}

/* Every byte of a living needle, wherever it is by now. */
static int FIBER check_living(struct verify *f, const struct index_row *row)
{
    struct needle_hint hint = {.volume = row->volume, .offset = row->offset};
    struct needle_reader *r;
    int err = needle_open(f->d, row->key, &hint, &r);
    if (err == 0) {
        err = read_needle(f, r);
        needle_reader_close(r);
    }
    if (err != -ERR_CORRUPT && err != -EIO && err != -ERR_NOT_FOUND)
        return err;
    int still = row_stored(f->d, row);
    return still == 1 ? tell_row(f, err, row, "the needle cannot be read") : MIN(still, 0);
}

/* A dead needle or a tombstone: its header is enough. */
static int FIBER check_dead(struct verify *f, const struct index_row *row)
{
    struct volume *v = volume_get(f->d, row->volume);
    struct needle_header h;
    size_t got = 0;
    int err = v ? rt_file_read(v->file, &h, sizeof(h), row->offset, &got) : -ERR_NOT_FOUND;
    bool good = err == 0 && got == sizeof(h) &&
                needle_header_valid(&h, v->incarnation, row->offset) && h.lsn == row->lsn;
    if (v)
        volume_put(f->d, v);
    if (good)
        return 0;
    int still = row_stored(f->d, row);
    return still == 1
               ? tell_row(f, err ? err : -ERR_CORRUPT, row, "no needle where the index has one")
               : MIN(still, 0);
}

static void sum_row(struct verify *f, const struct index_row *row)
{
    struct volume_draft *sum = draft_find(f->sums, f->sum_count, row->volume);
    if (!sum)
        return;
    sum->row.live_bytes += row_span(row);
    sum->row.live_needles++;
}

static int FIBER check_rows(struct verify *f)
{
    _cleanup_free_ struct index_row *rows = malloc(PAGE_ROWS * sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    struct index_row last;
    bool any = false;
    int err = 0;
    for (size_t n = PAGE_ROWS; err == 0 && n == PAGE_ROWS;) {
        err = index_page(f->d, any ? &last : NULL, rows, PAGE_ROWS, &n);
        for (size_t i = 0; err == 0 && i < n; i++) {
            bool newest = !any || !needle_key_eq(last.key, rows[i].key);
            bool living = newest && !rows[i].tombstone;
            if (living)
                sum_row(f, &rows[i]);
            err = living ? check_living(f, &rows[i]) : check_dead(f, &rows[i]);
            last = rows[i];
            any = true;
        }
    }
    return err;
}

/* ---- from the volumes to the index ---------------------------------------------------------- */

/* A needle without a row: it must be one that a replay would not take either. */
static int FIBER check_unknown(struct verify *f, struct scan *s, const struct index_row *row)
{
    int whole = scan_check(s);
    if (whole != 1)
        return whole;
    int err = index_flush(f->d, false); /* its row may have been on its way */
    int stored = err ? err : row_stored(f->d, row);
    if (stored != 0)
        return MIN(stored, 0);
    return volume_there(f->d, row->volume)
               ? tell_row(f, -ERR_NOT_FOUND, row, "the index does not know this needle")
               : 0;
}

static int FIBER check_needle(struct verify *f, struct scan *s)
{
    struct index_row row = row_of_header(&s->header, s->volume), found;
    int err = index_find(f->d, row.key, &found);
    if (err && err != -ERR_NOT_FOUND)
        return err;
    if (err == 0 && row_eq(&found, &row))
        return 0; /* the usual case, from memory */
    int stored = row_stored(f->d, &row);
    return stored ? MIN(stored, 0) : check_unknown(f, s, &row);
}

static int FIBER check_needles(struct verify *f, struct volume *v, uint64_t low)
{
    struct scan s;
    int err = scan_init(&s, v, VOLUME_DATA, low);
    if (err)
        return err;
    while ((err = scan_next(&s)) == 1) {
        err = check_needle(f, &s);
        if (err)
            break;
    }
    scan_release(&s);
    return err;
}

static int FIBER check_superblocks(struct verify *f, struct volume *v)
{
    for (unsigned i = 0; i < SUPERBLOCK_COUNT; i++) {
        struct superblock s;
        size_t got;
        int err = rt_file_read(v->file, &s, sizeof(s), i * SUPERBLOCK_STEP, &got);
        if (err == 0 && got == sizeof(s) && superblock_valid(&s, v->number))
            continue;
        err = tell_volume(f, err ? err : -ERR_CORRUPT, v->number, "a superblock is damaged");
        if (err)
            return err;
    }
    return 0;
}

static int FIBER check_volume(struct verify *f, struct volume *v)
{
    rt_lock(&f->d->lock);
    uint64_t low = volume_low(v);
    bool failed = v->failed;
    rt_unlock(&f->d->lock);
    int err = check_superblocks(f, v);
    if (err == 0 && failed)
        err = tell_volume(f, -ERR_READ_ONLY, v->number,
                          "takes no writes since a sync error; what it holds was read again");
    return err ? err : check_needles(f, v, low);
}

static int FIBER check_volumes(struct verify *f)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < f->sum_count; i++) {
        struct volume *v = volume_get(f->d, f->sums[i].number);
        if (!v)
            continue;
        err = check_volume(f, v);
        volume_put(f->d, v);
    }
    return err;
}

/* The counts are only told to be wrong when nothing changed while they were made. */
static int FIBER check_sums(struct verify *f)
{
    for (size_t i = 0; i < f->sum_count; i++) {
        rt_lock(&f->d->lock);
        struct volume *v = volume_find(f->d, f->sums[i].number);
        bool differs = v && (v->row.live_bytes != f->sums[i].row.live_bytes ||
                             v->row.live_needles != f->sums[i].row.live_needles);
        rt_unlock(&f->d->lock);
        if (!differs || disk_changes(f->d) != f->changes)
            continue;
        int err = tell_volume(f, -ERR_CORRUPT, f->sums[i].number, "its live bytes are miscounted");
        if (err)
            return err;
    }
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int FIBER verify_begin(struct verify *f)
{
    struct disk *d = f->d;
    f->changes = disk_changes(d);
    int err = index_settle(d);
    if (err)
        return err;
    rt_lock(&d->lock);
    f->sum_count = d->volume_count;
    f->sums = calloc(f->sum_count + 1, sizeof(*f->sums));
    for (size_t i = 0; f->sums && i < f->sum_count; i++) {
        f->sums[i].number = d->volumes[i]->number;
        f->total_bytes += d->volumes[i]->row.live_bytes;
    }
    rt_unlock(&d->lock);
    f->piece = malloc(PIECE_BYTES);
    return f->sums && f->piece ? 0 : -ENOMEM;
}

int FIBER disk_verify(struct disk *d, int (*fn)(const struct disk_verify_event *e, void *arg),
                      void *arg)
{
    struct verify f = {.d = d, .fn = fn, .arg = arg, .progress_bytes = PROGRESS_BYTES};
    int err = verify_begin(&f);
    if (err == 0)
        err = check_rows(&f);
    if (err == 0)
        err = check_volumes(&f);
    if (err == 0)
        err = check_sums(&f);
    if (err == 0 && d->stats.volumes_unreadable > 0)
        err = tell(&f, -ERR_CORRUPT, (struct needle_key){},
                   "there are volume files without a superblock of this disk");
    free(f.sums);
    free(f.piece);
    return err;
}

/* ---- a piece at a time ---------------------------------------------------------------------- */

/* What sorts just behind every place of the needle. */
static struct index_row row_past(struct needle_key key)
{
    return (struct index_row){.key = key};
}

static int FIBER scrub_rows(struct verify *f, struct disk_scrub_place *place, uint64_t bytes,
                            const struct index_row *rows, size_t n)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < n && f->done_bytes < bytes; i++) {
        uint64_t before = f->done_bytes;
        bool newest = !place->begun || !needle_key_eq(place->last, rows[i].key);
        if (newest && !rows[i].tombstone)
            err = check_living(f, &rows[i]);
        if (err)
            break;
        place->last = rows[i].key;
        place->begun = true;
        place->bytes += f->done_bytes - before;
    }
    return err;
}

int FIBER disk_scrub(struct disk *d, struct disk_scrub_place *place, uint64_t bytes,
                     int (*fn)(const struct disk_verify_event *e, void *arg), void *arg)
{
    struct verify f = {.d = d, .fn = fn, .arg = arg, .progress_bytes = SCRUB_PROGRESS};
    _cleanup_free_ struct index_row *rows = malloc(PAGE_ROWS * sizeof(*rows));
    _cleanup_free_ uint8_t *piece = malloc(PIECE_BYTES);
    if (!rows || !piece)
        return -ENOMEM;
    f.piece = piece;
    int err = place->begun ? 0 : index_flush(d, false);
    while (err == 0 && !place->end && f.done_bytes < bytes) {
        struct index_row past = row_past(place->last);
        size_t n;
        err = index_page(d, place->begun ? &past : NULL, rows, PAGE_ROWS, &n);
        if (err == 0)
            err = scrub_rows(&f, place, bytes, rows, n);
        place->end = err == 0 && n == 0;
    }
    return err;
}
