/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing needles: small ones whole, by the shared write of commit.c; long ones piece by piece into
 * an extent of their own. Nothing is a needle before its footer is there, so an abandoned stream
 * is a hole and no more.
 */

#include "volume/internal.h"

#define WRITE_IOV_MAX 64

static_assert(NEEDLE_HEADROOM == sizeof(struct needle_header), "the header goes there");
static_assert(NEEDLE_TAILROOM >= sizeof(struct append_footer), "and the footer there");
static_assert(DISK_PLACED_MAX <= APPEND_PAYLOAD_MAX, "one shared write takes it");

struct needle_writer {
    struct disk *d;
    struct extent extent;
    struct needle_header header; /* sealed */
    uint64_t written_bytes;      /* of the payload */
    int err;                     /* of the first write that failed */
    struct needle_footer *footer;
    struct needle_sum *sum;
    struct needle_sum_room room;
};

/* ---- whole needles -------------------------------------------------------------------------- */

static int info_check(const struct needle_info *info)
{
    return info->len_bytes > NEEDLE_LEN_MAX ? -ERR_TOO_LARGE : 0;
}

static int FIBER append_stream(struct disk *d, struct needle_key key,
                               const struct needle_info *info, const struct iovec *iov,
                               unsigned count, struct needle_hint *ret_hint,
                               struct hash128 *ret_digest)
{
    struct needle_writer *w;
    int err = needle_begin(d, key, info, &w);
    if (err)
        return err;
    err = needle_write(w, iov, count);
    if (err) {
        needle_abort(w);
        return err;
    }
    return needle_commit(w, ret_hint, ret_digest);
}

static int FIBER append_whole(struct disk *d, struct append *a, struct needle_hint *ret_hint,
                              struct hash128 *ret_digest)
{
    int err = index_promise(d, 1);
    if (err == 0)
        err = commit(d, a, 1);
    if (err)
        return err;
    *ret_hint = (struct needle_hint){.volume = a->volume, .offset = a->header.offset};
    *ret_digest = a->footer->digest;
    return 0;
}

int FIBER disk_append(struct disk *d, struct needle_key key, const struct needle_info *info,
                      const struct iovec *iov, unsigned count, struct needle_hint *ret_hint,
                      struct hash128 *ret_digest)
{
    int err = info_check(info);
    if (err)
        return err;
    if (info->len_bytes > APPEND_PAYLOAD_MAX || count > WRITE_IOV_MAX)
        return append_stream(d, key, info, iov, count, ret_hint, ret_digest);
    struct append a;
    struct append_footer footer;
    append_init(&a, key, info, iov, count, &footer);
    return append_whole(d, &a, ret_hint, ret_digest);
}

int FIBER disk_append_placed(struct disk *d, struct needle_key key, const struct needle_info *info,
                             void *base, struct needle_hint *ret_hint, struct hash128 *ret_digest)
{
    CHECK(info->len_bytes <= DISK_PLACED_MAX && (uintptr_t)base % RT_DIRECT_ALIGN == 0);
    struct iovec iov = {(uint8_t *)base + NEEDLE_HEADROOM, info->len_bytes};
    struct append a;
    struct append_footer footer;
    append_init(&a, key, info, &iov, 1, &footer);
    a.placed = info->len_bytes >= PLACED_MIN ? base : NULL;
    return append_whole(d, &a, ret_hint, ret_digest);
}

/* ---- streams -------------------------------------------------------------------------------- */

static void writer_free(struct needle_writer *w)
{
    free(w->footer);
    free(w);
}

static int writer_new(struct disk *d, struct needle_key key, const struct needle_info *info,
                      struct needle_writer **ret)
{
    size_t align = _Alignof(struct needle_writer);
    struct needle_writer *w = aligned_alloc(align, align_up(sizeof(*w), align));
    if (!w)
        return -ENOMEM;
    *w = (struct needle_writer){.d = d, .header = header_of(key, info, 0)};
    w->footer = malloc(needle_footer_len(info->len_bytes, CELL_BYTES));
    if (!w->footer) {
        writer_free(w);
        return -ENOMEM;
    }
    w->sum = needle_sum_init(&w->room, w->footer, CELL_BYTES);
    *ret = w;
    return 0;
}

/* Fixes the place, and with it the header. */
static void writer_place(struct needle_writer *w, uint64_t lsn)
{
    rt_lock(&w->d->lock);
    w->header.lsn = lsn ? lsn : w->d->next_lsn++;
    rt_unlock(&w->d->lock);
    w->header.offset = w->extent.offset;
    w->header.incarnation = w->extent.volume->incarnation;
    needle_header_seal(&w->header);
}

int FIBER writer_begin(struct disk *d, struct needle_key key, const struct needle_info *info,
                       enum space_use use, uint64_t lsn, struct needle_writer **ret)
{
    int err = info_check(info);
    if (err)
        return err;
    struct needle_writer *w;
    err = writer_new(d, key, info, &w);
    if (err)
        return err;
    err = extent_open(d, needle_len(info->len_bytes, CELL_BYTES), use, &w->extent);
    if (err) {
        writer_free(w);
        return err;
    }
    writer_place(w, lsn);
    *ret = w;
    return 0;
}

int FIBER needle_begin(struct disk *d, struct needle_key key, const struct needle_info *info,
                       struct needle_writer **ret)
{
    return writer_begin(d, key, info, SPACE_DATA, 0, ret);
}

/* Whether the writer may still write; after a sync error of its volume it may not. */
static int writer_state(struct needle_writer *w)
{
    if (w->err)
        return w->err;
    return volume_failed(w->d, w->extent.volume) ? -ERR_READ_ONLY : 0;
}

static int FIBER writer_write(struct needle_writer *w, const struct iovec *iov, unsigned count,
                              uint64_t off)
{
    w->err = rt_file_write(w->extent.volume->file, iov, count, w->extent.offset + off);
    if (w->err == -EIO) {
        volume_fail(w->d, w->extent.volume);
        w->err = -ERR_READ_ONLY;
    }
    return w->err;
}

/* Up to WRITE_IOV_MAX pieces of the payload; the header goes before the first ones. */
static int FIBER write_some(struct needle_writer *w, const struct iovec *iov, unsigned count)
{
    struct iovec all[WRITE_IOV_MAX + 1];
    unsigned n = 0;
    uint64_t off = sizeof(w->header) + w->written_bytes;
    if (w->written_bytes == 0) {
        all[n++] = (struct iovec){&w->header, sizeof(w->header)};
        off = 0;
    }
    for (unsigned i = 0; i < count; i++) {
        needle_sum_add(w->sum, iov[i].iov_base, iov[i].iov_len);
        w->written_bytes += iov[i].iov_len;
        all[n++] = iov[i];
    }
    return writer_write(w, all, n, off);
}

static uint64_t iov_total(const struct iovec *iov, unsigned count)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

int FIBER needle_write(struct needle_writer *w, const struct iovec *iov, unsigned count)
{
    CHECK(w->written_bytes + iov_total(iov, count) <= w->header.len_bytes);
    int err = writer_state(w);
    while (err == 0 && count > 0) {
        unsigned n = MIN(count, (unsigned)WRITE_IOV_MAX);
        if (iov_total(iov, n) > 0)
            err = write_some(w, iov, n);
        iov += n;
        count -= n;
    }
    return err;
}

int FIBER needle_write_first(struct needle_writer *w, void *data, size_t len)
{
    CHECK(w->written_bytes == 0 && 0 < len && len <= w->header.len_bytes);
    int err = writer_state(w);
    if (err)
        return err;
    char *start = (char *)data - sizeof(w->header);
    memcpy(start, &w->header, sizeof(w->header));
    needle_sum_add(w->sum, data, len);
    w->written_bytes = len;
    struct iovec iov = {start, sizeof(w->header) + len};
    return writer_write(w, &iov, 1, 0);
}

int FIBER needle_flush(struct needle_writer *w)
{
    int err = writer_state(w);
    if (err)
        return err;
    struct append a = {.kind = APPEND_SYNC, .at = w->extent.volume};
    return commit(w->d, &a, 1);
}

/* The footer and the rest of its sector; the header as well when there was no payload. */
static int FIBER write_footer(struct needle_writer *w)
{
    static const uint8_t zeros[SECTOR_BYTES];
    uint64_t len = w->header.len_bytes;
    needle_sum_finish(w->sum);
    needle_footer_seal(w->footer, &w->header);
    struct iovec iov[3];
    unsigned n = 0;
    if (len == 0)
        iov[n++] = (struct iovec){&w->header, sizeof(w->header)};
    iov[n++] = (struct iovec){w->footer, needle_footer_len(len, CELL_BYTES)};
    uint64_t pad = w->extent.len_bytes - needle_len(len, CELL_BYTES);
    iov[n++] = (struct iovec){(void *)zeros, pad};
    return writer_write(w, iov, pad ? n : n - 1, len == 0 ? 0 : sizeof(w->header) + len);
}

/*
 * The footer failed, yet it may be on the disk. Where space was missing, reading tells; else the
 * volume is done for and the next start will tell. The promised row is used or given back.
 */
static void FIBER writer_after_bad_footer(struct needle_writer *w, int err)
{
    struct disk *d = w->d;
    uint32_t used = 0;
    bool settled = no_space(err) && extent_reread(d, &w->extent, 1, &used) == 0;
    if (!settled)
        volume_fail(d, w->extent.volume);
    rt_lock(&d->lock);
    index_add(d, NULL, 0, 1 - used);
    if (settled)
        extent_settle(&w->extent);
    else
        extent_strand(&w->extent);
    rt_unlock(&d->lock);
}

struct hash128 writer_digest(struct needle_writer *w)
{
    return needle_sum_finish(w->sum);
}

static int FIBER writer_commit(struct needle_writer *w)
{
    int err = write_footer(w);
    if (err) {
        writer_after_bad_footer(w, err);
        return err;
    }
    struct append a = {
        .kind = APPEND_STREAM,
        .header = w->header,
        .footer = w->footer,
        .extent = &w->extent,
        .at = w->extent.volume,
    };
    return commit(w->d, &a, 1);
}

int FIBER needle_commit(struct needle_writer *w, struct needle_hint *ret_hint,
                        struct hash128 *ret_digest)
{
    CHECK(w->written_bytes == w->header.len_bytes);
    int err = writer_state(w);
    if (err == 0)
        err = index_promise(w->d, 1);
    if (err) {
        needle_abort(w);
        return err;
    }
    err = writer_commit(w);
    if (err == 0) {
        *ret_hint = (struct needle_hint){w->extent.volume->number, w->header.offset};
        *ret_digest = w->footer->digest;
    }
    volume_put(w->d, w->extent.volume);
    writer_free(w);
    return err;
}

void FIBER needle_abort(struct needle_writer *w)
{
    if (!w)
        return;
    rt_lock(&w->d->lock);
    extent_settle(&w->extent);
    rt_unlock(&w->d->lock);
    volume_put(w->d, w->extent.volume);
    writer_free(w);
}

/* ---- tombstones ----------------------------------------------------------------------------- */

#define DELETE_AT_ONCE 128

static int FIBER delete_some(struct disk *d, const struct needle_key *keys, size_t count)
{
    _cleanup_free_ struct append *appends = malloc(count * sizeof(*appends));
    _cleanup_free_ struct append_footer *footers = malloc(count * sizeof(*footers));
    if (!appends || !footers)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        tombstone_init(&appends[i], keys[i], &footers[i]);
    int err = index_promise(d, (uint32_t)count);
    return err ? err : commit(d, appends, count);
}

int FIBER disk_delete(struct disk *d, const struct needle_key *keys, size_t count)
{
    int err = 0;
    for (size_t n; err == 0 && count > 0; keys += n, count -= n) {
        n = MIN(count, (size_t)DELETE_AT_ONCE);
        err = delete_some(d, keys, n);
    }
    return err;
}
