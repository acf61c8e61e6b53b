/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The shared write and sync. Who wants something committed queues it; the first to come leads: it
 * takes what is queued, writes all its needles by one write into one extent, syncs each volume
 * concerned once, answers everyone and, its own part done, hands the lead to the first in the
 * queue. Members may sit on any thread: their frames stand still while they wait, which is
 * uncancelled.
 *
 * Invariants
 *  - At most one fiber leads (`leading`); the queue is not empty without a leader.
 *  - A member is answered under the lock and not touched afterwards: its frame may be gone.
 *  - An answer of 0 comes after a good sync that began after the member's last byte was written.
 *
 * Left to themselves, writers that come back quickly fall into two halves that wait for one
 * another's syncs. So a leader that knows of more writers than are queued waits for them, for a
 * part of what a sync takes; where they do not come in time it stops trying for a while.
 */

#include "base/plant.h"
#include "volume/internal.h"

#define GATHER_MAX_NS (1 * RT_MS)
#define GATHER_SKIP   16

struct commit_group {
    size_t left; /* members not answered */
    bool lead;   /* the lead was handed to it */
    struct rt_waitq done;
};

/* What a leader has taken from the queue. */
struct batch {
    struct list members;
    enum space_use use; /* of its needles */
    uint64_t bytes;     /* of its needles' spans */
    unsigned needles, iov_count, members_count;
    struct extent extent; /* of its needles */
    unsigned syncs, sync_errors;
    bool stranded;   /* nobody can say what is on the disk */
    uint32_t reread; /* rows that were found by reading after a bad write */
};

static const uint8_t zeros[SECTOR_BYTES];

/* ---- one member ----------------------------------------------------------------------------- */

struct needle_header header_of(struct needle_key key, const struct needle_info *info,
                               uint16_t flags)
{
    return (struct needle_header){
        .flags = flags,
        .shard = key.shard,
        .code_k = info->code_k,
        .code_m = info->code_m,
        .chunk = key.chunk,
        .encode_id = info->encode_id,
        .len_bytes = info->len_bytes,
    };
}

struct index_row row_of_header(const struct needle_header *h, const struct volume *v)
{
    return (struct index_row){
        .key = {.chunk = h->chunk, .shard = h->shard},
        .lsn = h->lsn,
        .offset = h->offset,
        .volume = v->number,
        .len_bytes = (uint32_t)h->len_bytes,
        .cell_bytes = v->cell_bytes,
        .tombstone = h->flags & NEEDLE_TOMBSTONE,
    };
}

void append_init(struct append *a, struct needle_key key, const struct needle_info *info,
                 const struct iovec *iov, unsigned iov_count, struct append_footer *footer)
{
    CHECK(info->len_bytes <= APPEND_PAYLOAD_MAX);
    *a = (struct append){
        .kind = APPEND_NEEDLE,
        .header = header_of(key, info, 0),
        .iov = iov,
        .iov_count = iov_count,
        .footer = &footer->fixed,
    };
    struct needle_sum_room room;
    struct needle_sum *sum = needle_sum_init(&room, a->footer, CELL_BYTES);
    for (unsigned i = 0; i < iov_count; i++)
        needle_sum_add(sum, iov[i].iov_base, iov[i].iov_len);
    CHECK(needle_sum_len(sum) == info->len_bytes);
    needle_sum_finish(sum);
}

void tombstone_init(struct append *a, struct needle_key key, struct append_footer *footer)
{
    static const struct needle_info nothing = {};
    append_init(a, key, &nothing, NULL, 0, footer);
    a->header.flags = NEEDLE_TOMBSTONE;
    a->use = SPACE_UPKEEP;
}

/* What is written in place takes whole blocks. */
static uint64_t member_span(const struct append *a)
{
    uint64_t span = needle_span(a->header.len_bytes, CELL_BYTES);
    return a->placed ? align_up(span, RT_DIRECT_ALIGN) : span;
}

/* ---- taking a batch ------------------------------------------------------------------------- */

static bool batch_has_room(const struct disk *d, const struct batch *b, const struct append *a)
{
    if (b->needles == 0)
        return true;
    uint64_t most = MIN(BATCH_BYTES_MAX, d->volume_bytes_max - VOLUME_DATA);
    return a->use == b->use && b->bytes + member_span(a) <= most &&
           b->iov_count + a->iov_count + 3 < BATCH_IOV_MAX;
}

/* The next one in the order of arrival; those in place come first in the write, for they want to
 * begin on a block. Under the lock. */
static void batch_add(struct disk *d, struct batch *b, struct append *a)
{
    list_remove(&a->link);
    if (a->kind == APPEND_NEEDLE) {
        a->header.lsn = a->lsn ? a->lsn : d->next_lsn++;
        b->use = a->use;
        b->bytes += member_span(a);
        b->iov_count += a->iov_count + 3;
        b->needles++;
    }
    if (a->placed)
        list_push_front(&b->members, &a->link);
    else
        list_push_back(&b->members, &a->link);
    b->members_count++;
    d->gather.queued--;
}

/* As many as one write may carry. Under the lock. */
static void batch_take(struct disk *d, struct batch *b)
{
    *b = (struct batch){};
    list_init(&b->members);
    while (!list_empty(&d->queue)) {
        struct append *a = container_of(d->queue.next, struct append, link);
        if (a->kind == APPEND_NEEDLE && !batch_has_room(d, b, a))
            break;
        batch_add(d, b, a);
    }
}

/* ---- the write ------------------------------------------------------------------------------ */

/* Header and footer to where they are written from, and zeros to the end of the block. */
static void place_around(struct append *a)
{
    uint64_t len = a->header.len_bytes;
    uint32_t footer_len = needle_footer_len(len, CELL_BYTES);
    uint8_t *end = a->placed + sizeof(a->header) + len;
    memcpy(a->placed, &a->header, sizeof(a->header));
    memcpy(end, a->footer, footer_len);
    memset(end + footer_len, 0, member_span(a) - needle_len(len, CELL_BYTES));
}

/* Gives each needle its place. */
static void batch_place(struct batch *b)
{
    struct volume *v = b->extent.volume;
    uint64_t offset = b->extent.offset;
    struct append *a;
    LIST_FOR (a, &b->members, link) {
        if (a->kind != APPEND_NEEDLE)
            continue;
        a->at = v;
        a->header.offset = offset;
        a->header.incarnation = v->incarnation;
        needle_header_seal(&a->header);
        needle_footer_seal(a->footer, &a->header);
        if (a->placed)
            place_around(a);
        offset += member_span(a);
    }
}

static struct iovec iov_of(const void *p, size_t len)
{
    return (struct iovec){(void *)p, len};
}

static unsigned member_iov(const struct append *a, struct iovec *iov)
{
    uint64_t len = a->header.len_bytes;
    unsigned n = 0;
    if (a->placed) {
        iov[n++] = iov_of(a->placed, member_span(a));
        return n;
    }
    iov[n++] = iov_of(&a->header, sizeof(a->header));
    for (unsigned i = 0; i < a->iov_count; i++)
        iov[n++] = a->iov[i];
    iov[n++] = iov_of(a->footer, needle_footer_len(len, CELL_BYTES));
    uint64_t pad = member_span(a) - needle_len(len, CELL_BYTES);
    if (pad > 0)
        iov[n++] = iov_of(zeros, pad);
    return n;
}

static int FIBER batch_write(struct batch *b)
{
    batch_place(b);
    _cleanup_free_ struct iovec *iov = malloc((b->iov_count + 1) * sizeof(*iov));
    if (!iov)
        return -ENOMEM;
    unsigned n = 0;
    struct append *a;
    LIST_FOR (a, &b->members, link)
        if (a->kind == APPEND_NEEDLE)
            n += member_iov(a, iov + n);
    if (b->extent.len_bytes > b->bytes)
        iov[n++] = iov_of(zeros, b->extent.len_bytes - b->bytes);
    return rt_file_write(b->extent.volume->file, iov, n, b->extent.offset);
}

static void batch_fail(struct batch *b, int err, const struct volume *v)
{
    struct append *a;
    LIST_FOR (a, &b->members, link)
        if (a->err == 0 && (!v || a->at == v))
            a->err = err;
}

static void batch_fail_needles(struct batch *b, int err)
{
    struct append *a;
    LIST_FOR (a, &b->members, link)
        if (a->kind == APPEND_NEEDLE)
            a->err = err;
}

int FIBER extent_reread(struct disk *d, const struct extent *e, uint32_t promised, uint32_t *used)
{
    uint32_t left = promised;
    int err = rt_file_sync(e->volume->file);
    if (err == 0)
        err = replay(d, e->volume, e->offset, e->offset + e->len_bytes, &left);
    *used = promised - left;
    return err;
}

/*
 * A write failed half-way. If the disk was full, what did get there is found by reading, as a
 * replay would (unacknowledged needles may be there whole), and the volume goes on; after any other
 * error nobody writes to it again.
 */
static void FIBER batch_after_bad_write(struct disk *d, struct batch *b, int err)
{
    if (no_space(err) && extent_reread(d, &b->extent, b->needles, &b->reread) == 0)
        return;
    volume_fail(d, b->extent.volume);
    b->stranded = true;
}

/* Errors go to the needles. */
static void FIBER batch_write_needles(struct disk *d, struct batch *b)
{
    int err = extent_open(d, b->bytes, b->use, &b->extent);
    if (err) {
        b->extent.volume = NULL;
        batch_fail_needles(b, err);
        return;
    }
    err = batch_write(b);
    if (err) {
        batch_fail_needles(b, no_space(err) ? err : -ERR_READ_ONLY);
        batch_after_bad_write(d, b, err);
    }
}

/* ---- the sync ------------------------------------------------------------------------------- */

/* The volumes of the members in good state by number, so that each is met once: they are few. */
static struct volume *batch_unsynced(const struct batch *b, const struct volume *after)
{
    struct volume *next = NULL;
    struct append *a;
    LIST_FOR (a, &b->members, link) {
        struct volume *v = a->at;
        if (a->err) /* it may have no volume */
            continue;
        bool later = !after || v->number > after->number;
        if (later && (!next || v->number < next->number))
            next = v;
    }
    return next;
}

/* Only a leader syncs, so nobody else touches this. */
static void gather_learn(struct gather *g, uint64_t sync_ns)
{
    g->sync_ns = g->sync_ns ? (7 * g->sync_ns + sync_ns) / 8 : sync_ns;
}

static void FIBER batch_sync(struct disk *d, struct batch *b)
{
    for (struct volume *v = NULL; (v = batch_unsynced(b, v));) {
        uint64_t start = rt_now();
        int err = volume_failed(d, v) ? -ERR_READ_ONLY : 0;
        if (err == 0 && !PLANTED(SYNC_ORDER))
            err = rt_file_sync(v->file);
        gather_learn(&d->gather, rt_now() - start);
        if (err && err != -ERR_READ_ONLY) {
            b->sync_errors++;
            volume_fail(d, v);
        }
        if (err) {
            batch_fail(b, no_space(err) ? err : -ERR_READ_ONLY, v);
            b->stranded |= b->extent.volume == v;
        }
        b->syncs++;
    }
}

/* ---- the answers ---------------------------------------------------------------------------- */

/* Its row goes into the window, or the promise back. Under the lock. */
static void member_index(struct disk *d, struct batch *b, struct append *a)
{
    if (a->err == 0) {
        struct index_row row = row_of_header(&a->header, a->at);
        index_add(d, &row, 1, 0);
        a->volume = a->at->number;
        d->stats.appends++;
    } else if (b->reread > 0) {
        b->reread--; /* the promise went to a row that was found by reading */
    } else {
        index_add(d, NULL, 0, 1);
    }
}

/* Under the lock. */
static void member_finish(struct disk *d, struct batch *b, struct append *a)
{
    if (a->kind != APPEND_SYNC)
        member_index(d, b, a);
    if (a->kind == APPEND_STREAM && a->err)
        extent_strand(a->extent);
    else if (a->kind == APPEND_STREAM)
        extent_settle(a->extent);
    struct commit_group *g = a->group;
    if (--g->left == 0)
        rt_wake_all(&g->done);
}

/* The rows are in the window before the extent is settled, both under one hold of the lock. */
static void batch_finish(struct disk *d, struct batch *b)
{
    rt_lock(&d->lock);
    for (struct list *l; (l = list_pop_front(&b->members));)
        member_finish(d, b, container_of(l, struct append, link));
    if (b->extent.volume && b->stranded)
        extent_strand(&b->extent);
    else if (b->extent.volume)
        extent_settle(&b->extent);
    d->stats.syncs += b->syncs;
    d->stats.sync_errors += b->sync_errors;
    rt_unlock(&d->lock);
    if (b->extent.volume)
        volume_put(d, b->extent.volume);
}

/* ---- leading -------------------------------------------------------------------------------- */

/* Waits a little for writers that were just answered and may come again. Under the lock. */
static void FIBER gather_wait(struct disk *d)
{
    struct gather *g = &d->gather;
    if (g->skip > 0) {
        g->skip--;
        return;
    }
    unsigned before = g->queued;
    uint64_t deadline = rt_now() + MIN(g->sync_ns / 4, GATHER_MAX_NS);
    int err = 0;
    g->waiting = true;
    while (err == 0 && g->queued < g->expected)
        err = rt_wait_uncancelled(&g->enough, &d->lock, deadline);
    g->waiting = false;
    if (err && g->queued - before < (g->expected - before) / 2)
        g->skip = GATHER_SKIP;
}

/* Called and left with the lock. */
static void FIBER lead_batch(struct disk *d)
{
    struct batch b;
    gather_wait(d);
    batch_take(d, &b);
    rt_unlock(&d->lock);
    if (b.needles > 0)
        batch_write_needles(d, &b);
    batch_sync(d, &b);
    batch_finish(d, &b);
    rt_lock(&d->lock);
    d->gather.expected = b.members_count + d->gather.queued;
}

/* Under the lock. */
static void lead_hand_over(struct disk *d)
{
    if (list_empty(&d->queue)) {
        d->leading = false;
        return;
    }
    struct commit_group *next = container_of(d->queue.next, struct append, link)->group;
    next->lead = true;
    rt_wake_all(&next->done);
}

int FIBER commit(struct disk *d, struct append *appends, size_t count)
{
    struct commit_group g = {.left = count};
    rt_waitq_init(&g.done);
    rt_lock(&d->lock);
    for (size_t i = 0; i < count; i++) {
        appends[i].err = 0;
        appends[i].group = &g;
        list_push_back(&d->queue, &appends[i].link);
    }
    d->gather.queued += (unsigned)count;
    if (d->gather.waiting && d->gather.queued >= d->gather.expected)
        rt_wake_all(&d->gather.enough);
    if (!d->leading)
        d->leading = g.lead = true;
    while (g.left > 0 && !g.lead)
        rt_wait_uncancelled(&g.done, &d->lock, RT_NEVER); /* the leader answers or hands over */
    while (g.left > 0)
        lead_batch(d);
    if (g.lead)
        lead_hand_over(d);
    rt_unlock(&d->lock);
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = appends[i].err;
    return err;
}
