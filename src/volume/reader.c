/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reading needles. A hint is tried first and believed only if the header there is the wanted one;
 * else the index is asked. A reader holds a reference to its volume, so compaction may copy the
 * needle elsewhere and forget the volume: the file stays until the reader is closed.
 */

#include "volume/internal.h"

#define INDEX_TRIES 8 /* a needle may be moved between the index's answer and our reading */

static_assert(DISK_READ_ROOM(0) >= sizeof(struct needle_header) + sizeof(struct needle_footer),
              "room for the ends");
static_assert(DISK_READ_MAX == NEEDLE_WHOLE_MAX && NEEDLE_LEN_MAX == NEEDLE_PAYLOAD_MAX,
              "one limit each");

struct needle_reader {
    struct disk *d;
    struct volume *volume; /* referenced */
    struct needle_header header;
    struct needle_info info;
    struct needle_footer *footer;
    uint8_t *bounce; /* one cell, for reads that begin or end inside one */
};

static void count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static struct needle_info info_of(const struct needle_header *h)
{
    return (struct needle_info){
        .len_bytes = h->len_bytes,
        .encode_id = h->encode_id,
        .code_k = h->code_k,
        .code_m = h->code_m,
    };
}

/* Of a valid header: a needle, and the wanted one. */
static bool header_is(const struct needle_header *h, struct needle_key key)
{
    return !(h->flags & NEEDLE_TOMBSTONE) && chunk_id_eq(h->chunk, key.chunk) &&
           h->shard == key.shard;
}

/* Some of the bytes; `now`: those in memory. */
static int FIBER read_some(struct volume *v, void *buf, size_t len, uint64_t off, bool now,
                           size_t *ret_got)
{
    if (!now)
        return rt_file_read(v->file, buf, len, off, ret_got);
    *ret_got = rt_file_read_now(v->file, buf, len, off);
    return 0;
}

/* All of the bytes; the end of the file counts as damage. */
static int FIBER read_all(struct volume *v, void *buf, size_t len, uint64_t off, bool now)
{
    size_t got;
    int err = read_some(v, buf, len, off, now, &got);
    return err ? err : got == len ? 0 : -ERR_CORRUPT;
}

/* ---- finding the place ---------------------------------------------------------------------- */

/* Looks at one place: 0, or -ERR_CORRUPT when the needle is not there in good state. */
typedef int look_fn(struct disk *d, struct volume *v, uint64_t offset, void *arg);

static int FIBER look_at(struct disk *d, uint32_t number, uint64_t offset, look_fn *look, void *arg)
{
    struct volume *v = volume_get(d, number);
    if (!v)
        return -ERR_NOT_FOUND;
    int err = look(d, v, offset, arg);
    if (err)
        volume_put(d, v);
    return err; /* on success the reference is the caller's */
}

static int FIBER look_by_index(struct disk *d, struct needle_key key, look_fn *look, void *arg)
{
    for (unsigned i = 0; i < INDEX_TRIES; i++) {
        struct index_row row;
        int err = index_find(d, key, &row);
        if (err)
            return err;
        if (row.tombstone)
            return -ERR_NOT_FOUND;
        err = look_at(d, row.volume, row.offset, look, arg);
        if (err != -ERR_NOT_FOUND)
            return err;
    }
    return -ERR_CORRUPT; /* the index insists on a volume that is not there */
}

/* Calls `look` for the hinted place, then for the index's, until one is good. */
static int FIBER look_for(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                          look_fn *look, void *arg)
{
    count(&d->reads);
    if (hint && hint->volume != 0) {
        int err = look_at(d, hint->volume, hint->offset, look, arg);
        if (err == 0 || err == -ENOMEM || err == -ERR_TOO_LARGE)
            return err;
    }
    int err = look_by_index(d, key, look, arg);
    if (err == -ERR_CORRUPT)
        count(&d->corrupt_reads);
    return err;
}

/* The hinted place only, by a `look` that does not wait. */
static int FIBER look_now(struct disk *d, const struct needle_hint *hint, look_fn *look, void *arg)
{
    if (hint->volume == 0 || look_at(d, hint->volume, hint->offset, look, arg) != 0)
        return -EAGAIN;
    count(&d->reads);
    return 0;
}

/* ---- readers -------------------------------------------------------------------------------- */

struct open_look {
    struct needle_key key;
    bool now;
    struct needle_reader *reader;
};

static int FIBER read_footer(struct needle_reader *r, struct volume *v, bool now)
{
    const struct needle_header *h = &r->header;
    uint32_t len = needle_footer_len(h->len_bytes, v->cell_bytes);
    struct needle_footer *f = malloc(len);
    if (!f)
        return -ENOMEM;
    int err = read_all(v, f, len, h->offset + sizeof(*h) + h->len_bytes, now);
    if (err == 0 && !needle_footer_valid(f, len, h, v->cell_bytes))
        err = -ERR_CORRUPT;
    if (err) {
        free(f);
        return err;
    }
    r->footer = f;
    return 0;
}

static int FIBER open_look(struct disk *d, struct volume *v, uint64_t offset, void *arg)
{
    struct open_look *o = arg;
    struct needle_reader *r = o->reader;
    int err = read_all(v, &r->header, sizeof(r->header), offset, o->now);
    if (err == 0 && (!needle_header_valid(&r->header, v->incarnation, offset) ||
                     !header_is(&r->header, o->key)))
        err = -ERR_CORRUPT;
    if (err == 0)
        err = read_footer(r, v, o->now);
    if (err == 0)
        r->volume = v;
    return err;
}

static int FIBER reader_open(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                             bool now, struct needle_reader **ret)
{
    struct needle_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->d = d;
    struct open_look o = {.key = key, .now = now, .reader = r};
    int err = now ? look_now(d, hint, open_look, &o) : look_for(d, key, hint, open_look, &o);
    if (err) {
        free(r);
        return err;
    }
    r->info = info_of(&r->header);
    *ret = r;
    return 0;
}

int FIBER needle_open(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                      struct needle_reader **ret)
{
    return reader_open(d, key, hint, false, ret);
}

int FIBER needle_open_now(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                          struct needle_reader **ret)
{
    return reader_open(d, key, hint, true, ret);
}

const struct needle_info *needle_reader_info(const struct needle_reader *r)
{
    return &r->info;
}

struct hash128 needle_reader_digest(const struct needle_reader *r)
{
    return r->footer->digest;
}

void FIBER needle_reader_close(struct needle_reader *r)
{
    if (!r)
        return;
    volume_put(r->d, r->volume);
    free(r->footer);
    free(r->bounce);
    free(r);
}

/* Cells from `first` on, `len` bytes of them, read and verified. */
static int FIBER read_cells(struct needle_reader *r, uint32_t first, void *buf, size_t len)
{
    uint32_t cell = r->volume->cell_bytes;
    uint64_t off = r->header.offset + sizeof(r->header) + (uint64_t)first * cell;
    int err = read_all(r->volume, buf, len, off, false);
    if (err == 0 && !needle_cells_valid(r->footer, cell, first, buf, len))
        err = -ERR_CORRUPT;
    if (err == -ERR_CORRUPT)
        count(&r->d->corrupt_reads);
    return err;
}

/* The part of one cell that begins at `off`, by way of the bounce buffer; *ret_len says how much.
 */
static int FIBER read_part(struct needle_reader *r, uint64_t off, void *buf, size_t len,
                           size_t *ret_len)
{
    uint32_t cell = r->volume->cell_bytes;
    if (!r->bounce)
        r->bounce = malloc(cell);
    if (!r->bounce)
        return -ENOMEM;
    uint64_t start = off & ~(uint64_t)(cell - 1);
    size_t in_cell = MIN((uint64_t)cell, r->info.len_bytes - start);
    int err = read_cells(r, (uint32_t)(start / cell), r->bounce, in_cell);
    if (err)
        return err;
    size_t n = MIN(len, in_cell - (off - start));
    memcpy(buf, r->bounce + (off - start), n);
    *ret_len = n;
    return 0;
}

int FIBER needle_read(struct needle_reader *r, uint64_t off, void *buf, size_t len)
{
    CHECK(off <= r->info.len_bytes && len <= r->info.len_bytes - off);
    uint32_t cell = r->volume->cell_bytes;
    uint8_t *to = buf;
    while (len > 0) {
        bool to_end = off + len == r->info.len_bytes;
        size_t n = to_end ? len : len & ~(size_t)(cell - 1); /* whole cells at once */
        int err = (off & (cell - 1)) == 0 && n > 0 ? read_cells(r, (uint32_t)(off / cell), to, n)
                                                   : read_part(r, off, to, len, &n);
        if (err)
            return err;
        off += n;
        to += n;
        len -= n;
    }
    return 0;
}

int needle_read_now(struct needle_reader *r, uint64_t off, void *buf, size_t len)
{
    CHECK(off <= r->info.len_bytes && len <= r->info.len_bytes - off);
    uint32_t cell = r->volume->cell_bytes;
    bool whole = off % cell == 0 && (len % cell == 0 || off + len == r->info.len_bytes);
    uint64_t at = r->header.offset + sizeof(r->header) + off;
    if (!whole || rt_file_read_now(r->volume->file, buf, len, at) != len ||
        !needle_cells_valid(r->footer, cell, (uint32_t)(off / cell), buf, len))
        return -EAGAIN;
    return 0;
}

/* ---- whole small needles -------------------------------------------------------------------- */

struct whole_look {
    struct needle_key key;
    uint8_t *buf;
    size_t cap;
    bool now;
    struct needle_header header;
    struct hash128 digest;
};

static int FIBER whole_look(struct disk *d, struct volume *v, uint64_t offset, void *arg)
{
    struct whole_look *w = arg;
    size_t got;
    int err = read_some(v, w->buf, w->cap, offset, w->now, &got);
    if (err == 0)
        err = needle_whole_check(w->buf, got, w->cap, v->incarnation, offset, v->cell_bytes,
                                 &w->header, &w->digest);
    if (err == 0 && !header_is(&w->header, w->key))
        err = -ERR_CORRUPT;
    if (err == 0)
        volume_put(d, v);
    return err;
}

static int FIBER read_whole(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                            bool now, void *buf, size_t cap, const void **ret_payload,
                            struct needle_info *ret_info, struct hash128 *ret_digest)
{
    if (cap < DISK_READ_ROOM(0))
        return -ERR_TOO_LARGE;
    struct whole_look w = {.key = key, .buf = buf, .cap = cap, .now = now};
    int err = now ? look_now(d, hint, whole_look, &w) : look_for(d, key, hint, whole_look, &w);
    if (err)
        return err;
    *ret_payload = w.buf + sizeof(w.header);
    *ret_info = info_of(&w.header);
    *ret_digest = w.digest;
    return 0;
}

int FIBER disk_read(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                    void *buf, size_t cap, const void **ret_payload, struct needle_info *ret_info,
                    struct hash128 *ret_digest)
{
    return read_whole(d, key, hint, false, buf, cap, ret_payload, ret_info, ret_digest);
}

int FIBER disk_read_now(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                        void *buf, size_t cap, const void **ret_payload,
                        struct needle_info *ret_info, struct hash128 *ret_digest)
{
    return read_whole(d, key, hint, true, buf, cap, ret_payload, ret_info, ret_digest);
}
