/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Compaction: the living needles of a volume are copied into the active one, then the volume goes.
 *
 * The order that makes a crash harmless at every step
 *  1. Copies are committed like any needle, with the lsn of the original: a tombstone that was
 *     written meanwhile has a greater one and still wins, and of two copies the later volume's
 * wins.
 *  2. The index is brought up to date; the volume must have no live byte left, or nothing goes.
 *  3. The volume's own row says that it retires: a restart from here on replays the whole file.
 *  4. The rows of its needles go, then its own, and the index is made to survive (once for several
 *     volumes in which nothing lived).
 *  5. The file is unlinked when the last reader has closed, and its directory synced.
 * A crash before 5 leaves a file whose needles all lose against their copies.
 *
 * A tombstone is needed as long as a needle that it buries lies in some other volume; the rows of
 * the index say so, for they name every needle on the disk, dead ones too. A needle that cannot be
 * read keeps its volume from going: better the dead bytes than the loss of the last copy.
 *
 * What lies in a volume is known from its roll, and only what lives is read; where there is none,
 * all headers are.
 */

#include "volume/internal.h"

#define MOVE_NEEDLES     64
#define MOVE_PAYLOAD_MAX (1 * MIB) /* longer ones are copied as streams */
#define MOVE_BUFFER      (4 * MIB)
#define MOVE_ROOM_MAX    (DISK_PLACED_ROOM(MOVE_PAYLOAD_MAX) + RT_DIRECT_ALIGN)
#define FORGET_ROWS      256
#define MEET_NEEDLES     256
#define MET_MAX          16384 /* kept for the index to forget, rather than walking again */
#define GOING_MAX        8
#define SHORT_PERCENT    87u /* what counts as mostly dead when space is short */
/* What may be dead on a disk: so many of a hundred live bytes; less than DEAD_MIN always. */
#define DEAD_PERCENT 25u
#define DEAD_MIN     (64 * MIB)

static_assert(MOVE_PAYLOAD_MAX <= APPEND_PAYLOAD_MAX && MOVE_PAYLOAD_MAX <= MOVE_BUFFER / 2,
              "a payload fits with what is around it");

/* What compaction finds in a volume. */
struct contents {
    struct roll roll; /* for the index to forget */
    uint64_t moved_bytes;
    bool odd; /* something there is no needle and may have been one */
};

/* Needles whose fate the index is asked for together, and small ones that wait for a commit of
 * their own. */
struct move {
    struct disk *d;
    struct volume *v;
    struct scan scan;
    struct roll *roll; /* of what is met */
    uint64_t moved_bytes;
    bool damaged;
    size_t met_count;
    struct needle_header met[MEET_NEEDLES];
    struct index_ask asks[MEET_NEEDLES];
    size_t count, buf_len;
    uint8_t *buf; /* NULL until there is something for it */
    struct append appends[MOVE_NEEDLES];
    struct append_footer footers[MOVE_NEEDLES];
    struct iovec payloads[MOVE_NEEDLES];
};

/* ---- what has to move ----------------------------------------------------------------------- */

/* The next needles, as far as the bytes of none that may be wanted leave the buffer: 1, 0 at the
 * end, or an error. */
static int FIBER meet(struct move *m)
{
    bool held = false;
    int got = 1;
    m->met_count = 0;
    while (m->met_count < MEET_NEEDLES && !(held && scan_leaves(&m->scan))) {
        got = scan_next(&m->scan);
        if (got != 1)
            break;
        struct index_row row = row_of_header(&m->scan.header, m->v);
        roll_add(m->roll, &row, MET_MAX);
        m->asks[m->met_count].key = row.key;
        m->met[m->met_count++] = m->scan.header;
        held |= row.len_bytes > 0 && scan_holds(&m->scan);
    }
    return got < 0 ? got : m->met_count > 0;
}

/* Whether what lies there has to be copied: it is what the index gives for its key, and if it is a
 * tombstone, there is something for it to bury. */
static bool move_wanted(const struct move *m, uint64_t offset, uint64_t lsn,
                        const struct index_ask *ask)
{
    const struct index_row *row = &ask->newest;
    if (!ask->known || row->volume != m->v->number || row->offset != offset || row->lsn != lsn)
        return false;
    return !row->tombstone || ask->buries;
}

/* ---- copying -------------------------------------------------------------------------------- */

static int FIBER move_commit(struct move *m)
{
    if (m->count == 0)
        return 0;
    int err = index_promise(m->d, (uint32_t)m->count);
    if (err == 0)
        err = commit(m->d, m->appends, m->count);
    m->count = 0;
    m->buf_len = 0;
    return err;
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

static void move_tombstone(struct move *m)
{
    const struct needle_header *h = &m->scan.header;
    struct needle_key key = {.chunk = h->chunk, .shard = h->shard};
    tombstone_init(&m->appends[m->count], key, &m->footers[m->count]);
    m->appends[m->count++].lsn = h->lsn;
}

static bool digest_eq(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

/* A long payload goes where it can be written in place: its room begins on a block. */
static uint8_t *move_room(struct move *m, uint64_t len)
{
    if (len < PLACED_MIN)
        return NULL;
    size_t at = align_up(m->buf_len, RT_DIRECT_ALIGN);
    m->buf_len = at + NEEDLE_HEADROOM;
    return m->buf + at;
}

/* Every cell into the buffer: 1 when all hold, 0 when not, or an error. */
static int FIBER load_payload(struct move *m)
{
    int ok = scan_footer(&m->scan);
    for (uint32_t i = 0; ok == 1 && i < m->scan.footer->cell_count; i++) {
        const uint8_t *p;
        size_t len;
        ok = scan_cell(&m->scan, i, &p, &len);
        if (ok == 1) {
            memcpy(m->buf + m->buf_len, p, len);
            m->buf_len += len;
        }
    }
    return ok;
}

static int FIBER move_small(struct move *m)
{
    const struct needle_header h = m->scan.header;
    size_t before = m->buf_len;
    uint8_t *placed = move_room(m, h.len_bytes);
    size_t start = m->buf_len;
    int ok = load_payload(m);
    if (ok < 0)
        return ok;
    struct append *a = &m->appends[m->count];
    if (ok == 1) {
        struct needle_key key = {.chunk = h.chunk, .shard = h.shard};
        struct needle_info info = info_of(&h);
        m->payloads[m->count] = (struct iovec){m->buf + start, h.len_bytes};
        append_init(a, key, &info, &m->payloads[m->count], 1, &m->footers[m->count]);
        ok = digest_eq(a->footer->digest, m->scan.footer->digest);
    }
    if (!ok) {
        m->damaged = true;
        m->buf_len = before;
        return 0;
    }
    if (placed) {
        a->placed = placed;
        m->buf_len = (size_t)(placed - m->buf) + DISK_PLACED_ROOM(h.len_bytes);
    }
    a->use = SPACE_UPKEEP;
    a->lsn = h.lsn;
    m->count++;
    return 0;
}

/* All cells through the writer: 1 when they hold, 0 when not, or an error. */
static int FIBER copy_cells(struct scan *s, struct needle_writer *w)
{
    int ok = 1;
    for (uint32_t i = 0; ok == 1 && i < s->footer->cell_count; i++) {
        struct iovec iov;
        ok = scan_cell(s, i, (const uint8_t **)&iov.iov_base, &iov.iov_len);
        int err = ok == 1 ? needle_write(w, &iov, 1) : 0;
        ok = err ? err : ok;
    }
    return ok;
}

static int FIBER move_large(struct move *m)
{
    const struct needle_header h = m->scan.header;
    struct needle_key key = {.chunk = h.chunk, .shard = h.shard};
    struct needle_info info = info_of(&h);
    int ok = scan_footer(&m->scan);
    if (ok != 1) {
        m->damaged |= ok == 0;
        return ok;
    }
    struct needle_writer *w;
    int err = writer_begin(m->d, key, &info, SPACE_UPKEEP, h.lsn, &w);
    if (err)
        return err;
    ok = copy_cells(&m->scan, w);
    if (ok == 1 && !digest_eq(writer_digest(w), m->scan.footer->digest))
        ok = 0;
    if (ok != 1) {
        m->damaged |= ok == 0;
        needle_abort(w);
        return ok;
    }
    struct needle_hint hint;
    struct hash128 digest;
    return needle_commit(w, &hint, &digest);
}

static int FIBER move_one(struct move *m)
{
    const struct needle_header *h = &m->scan.header;
    m->moved_bytes += needle_span(h->len_bytes, m->v->cell_bytes);
    int err = 0;
    if (m->count == MOVE_NEEDLES || m->buf_len + MOVE_ROOM_MAX > MOVE_BUFFER)
        err = move_commit(m);
    if (err)
        return err;
    if (h->flags & NEEDLE_TOMBSTONE) {
        move_tombstone(m);
        return 0;
    }
    if (!m->buf)
        m->buf = aligned_alloc(RT_DIRECT_ALIGN, MOVE_BUFFER);
    if (!m->buf)
        return -ENOMEM;
    return h->len_bytes <= MOVE_PAYLOAD_MAX ? move_small(m) : move_large(m);
}

/* What has to be copied of the needles met last. */
static int FIBER move_met(struct move *m)
{
    int err = index_ask(m->d, m->asks, m->met_count);
    for (size_t i = 0; err == 0 && i < m->met_count; i++) {
        if (!move_wanted(m, m->met[i].offset, m->met[i].lsn, &m->asks[i]))
            continue;
        m->scan.header = m->met[i];
        err = move_one(m);
    }
    return err;
}

static int FIBER move_by_walk(struct move *m)
{
    int got;
    while ((got = meet(m)) == 1) {
        int err = move_met(m);
        if (err)
            return err;
    }
    return got;
}

/* A needle whose place is known, read as far as one buffer takes it. */
static int FIBER move_row(struct move *m, const struct index_row *row)
{
    m->scan.pos = row->offset;
    m->scan.ahead = MIN(row_span(row), (uint64_t)SCAN_BUFFER_BYTES);
    int got = scan_next(&m->scan);
    if (got < 0)
        return got;
    if (got == 1 && m->scan.header.offset == row->offset && m->scan.header.lsn == row->lsn)
        return move_one(m);
    m->damaged = true;
    return 0;
}

static int FIBER move_by_roll(struct move *m, const struct roll *roll)
{
    int err = 0;
    for (size_t at = 0, n; err == 0 && at < roll->count; at += n) {
        const struct index_row *rows = roll->rows + at;
        n = MIN(roll->count - at, (size_t)MEET_NEEDLES);
        for (size_t i = 0; i < n; i++)
            m->asks[i].key = rows[i].key;
        err = index_ask(m->d, m->asks, n);
        for (size_t i = 0; err == 0 && i < n; i++)
            if (move_wanted(m, rows[i].offset, rows[i].lsn, &m->asks[i]))
                err = move_row(m, &rows[i]);
    }
    return err;
}

/* What a volume lost track of is found by a walk only. */
static bool roll_is_all(struct disk *d, const struct volume *v, const struct roll *roll)
{
    rt_lock(&d->lock);
    bool is = !roll->partial && v->stuck == UINT64_MAX && !v->failed;
    rt_unlock(&d->lock);
    return is;
}

/* By the volume's roll, or if that is no use, by a walk that makes one. */
static int FIBER move_all(struct move *m, struct roll *roll)
{
    int err;
    if (roll_is_all(m->d, m->v, roll)) {
        err = move_by_roll(m, roll);
    } else {
        roll_release(roll);
        roll->partial = false;
        m->roll = roll;
        err = move_by_walk(m);
    }
    return err ? err : move_commit(m);
}

/* Copies what lives. -ERR_CORRUPT: not all of it could be. */
static int FIBER volume_move(struct disk *d, struct volume *v, struct contents *c)
{
    struct move *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->d = d;
    m->v = v;
    int err = scan_init(&m->scan, v, VOLUME_DATA, v->tail);
    if (err == 0)
        err = move_all(m, &c->roll);
    if (err == 0 && m->damaged)
        err = -ERR_CORRUPT;
    c->moved_bytes = m->moved_bytes;
    c->odd = m->scan.odd;
    scan_release(&m->scan);
    free(m->buf);
    free(m);
    return err;
}

/* ---- retiring ------------------------------------------------------------------------------- */

static int FIBER forget_roll(struct disk *d, const struct roll *r)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < r->count; i += FORGET_ROWS)
        err = index_forget_rows(d, r->rows + i, MIN(r->count - i, (size_t)FORGET_ROWS));
    return err;
}

/* Of a volume with too many for a roll. */
static int FIBER forget_by_walk(struct disk *d, struct volume *v)
{
    _cleanup_free_ struct index_row *rows = malloc(FORGET_ROWS * sizeof(*rows));
    struct scan s;
    int err = rows ? scan_init(&s, v, VOLUME_DATA, v->tail) : -ENOMEM;
    if (err)
        return err;
    size_t n = 0;
    while ((err = scan_next(&s)) == 1) {
        rows[n++] = row_of_header(&s.header, v);
        if (n == FORGET_ROWS) {
            err = index_forget_rows(d, rows, n);
            n = 0;
            if (err < 0)
                break;
        }
    }
    if (err == 0 && n > 0)
        err = index_forget_rows(d, rows, n);
    scan_release(&s);
    return err;
}

/* The rows of what the walk met; where it met something that may have been a needle and cannot be
 * read, the rows of volumes that are not there any more. */
static int FIBER forget_rows(struct disk *d, struct volume *v, const struct contents *c)
{
    int err = c->roll.partial ? forget_by_walk(d, v) : forget_roll(d, &c->roll);
    return err == 0 && c->odd ? index_recount(d) : err;
}

/* The index could not forget it all: the volume stays, to be replayed whole by the next start. */
static void volume_restore(struct disk *d, struct volume *v)
{
    rt_lock(&d->lock);
    volume_insert(d, v);
    v->damaged = true;
    v->indexed = false;
    v->row.low = v->stuck = v->low_swapped = VOLUME_DATA;
    rt_unlock(&d->lock);
}

/* Volumes whose rows have gone, in the order in which their files are to follow. */
struct going {
    struct volume *volumes[GOING_MAX];
    unsigned count;
    uint64_t used_bytes, freed_bytes;
};

/* Steps 3 and 4, but for making the index survive. */
static int FIBER volume_retire(struct disk *d, struct volume *v, const struct contents *c,
                               struct going *g)
{
    CHECK(g->count < GOING_MAX);
    rt_lock(&d->lock);
    volume_remove(d, v);
    rt_unlock(&d->lock);
    int err = index_retire_volume(d, v);
    if (err == 0)
        err = forget_rows(d, v, c);
    if (err == 0)
        err = index_forget_volume(d, v);
    if (err)
        volume_restore(d, v);
    else
        g->volumes[g->count++] = v;
    return err;
}

/* The rest of step 4, and 5. */
static int FIBER going_go(struct disk *d, const struct going *g)
{
    if (g->count == 0)
        return 0;
    int err = index_flush(d, true);
    for (unsigned i = 0; i < g->count; i++) {
        if (err)
            volume_restore(d, g->volumes[i]);
        else
            volume_put(d, g->volumes[i]);
    }
    if (err)
        return err;
    rt_lock(&d->lock);
    d->stats.compactions += g->count;
    d->stats.compacted_bytes += g->used_bytes;
    rt_unlock(&d->lock);
    return 0;
}

/* ---- choosing ------------------------------------------------------------------------------- */

static uint64_t volume_dead(const struct volume *v)
{
    uint64_t used = v->tail - VOLUME_DATA;
    return used > v->row.live_bytes ? used - v->row.live_bytes : 0;
}

/* How much the living may take, and how many of a hundred bytes may live in a volume worth it. */
struct appetite {
    uint64_t room_bytes;
    unsigned percent;
};

/* Volumes that were written together die together: long before the first of them is mostly dead
 * their dead bytes are many. Under the lock. */
static bool too_much_is_dead(const struct disk *d)
{
    uint64_t dead = 0, live = 0;
    for (size_t i = 0; i < d->volume_count; i++) {
        dead += volume_dead(d->volumes[i]);
        live += d->volumes[i]->row.live_bytes;
    }
    return dead > MAX(DEAD_MIN, live / 100 * DEAD_PERCENT);
}

/*
 * A disk that is nearly full takes back what little there is. What lives must have room: a copy
 * that is cut short would take the space that deletes need, of which a part is left in any case.
 */
static int FIBER appetite_now(struct disk *d, struct appetite *ret)
{
    struct rt_space space;
    int err = rt_space(d->path, &space);
    if (err)
        return err;
    rt_lock(&d->lock);
    bool is_short = space.free_bytes < 2 * d->reserve_bytes || too_much_is_dead(d);
    rt_unlock(&d->lock);
    ret->percent = is_short ? MAX(d->compact_percent, SHORT_PERCENT) : d->compact_percent;
    ret->room_bytes = space.free_bytes - MIN(space.free_bytes, d->reserve_bytes / 8);
    return 0;
}

static bool volume_worth_it(const struct volume *v, const struct appetite *a)
{
    uint64_t used = v->tail - VOLUME_DATA, live = v->row.live_bytes;
    return live == 0 || live * 100 < used * a->percent;
}

/* Nobody writes to it, and what lives in it was counted. */
static bool volume_rests(const struct disk *d, const struct volume *v)
{
    return v != d->active && list_empty(&v->inflight) && v->row.low >= MIN(v->tail, v->stuck);
}

/* One that failed goes before all others, then the oldest in which nothing lives, for that costs
 * next to nothing; then the sealed volume with the most dead bytes. */
static struct volume *volume_choose(struct disk *d, const struct appetite *a)
{
    struct volume *best = NULL;
    for (size_t i = 0; i < d->volume_count; i++) {
        struct volume *v = d->volumes[i];
        if (!volume_rests(d, v) || v->damaged || v->row.live_bytes > a->room_bytes)
            continue;
        if (v->failed)
            return v;
        if (best && best->row.live_bytes == 0)
            continue;
        if (volume_worth_it(v, a) &&
            (!best || v->row.live_bytes == 0 || volume_dead(v) > volume_dead(best)))
            best = v;
    }
    return best;
}

/* The active volume is sealed early when that alone brings space back. */
static struct volume *volume_choose_active(struct disk *d, const struct appetite *a)
{
    struct volume *v = d->active;
    if (!v || volume_dead(v) < COMPACT_ACTIVE_MIN || !volume_worth_it(v, a) ||
        v->row.live_bytes > a->room_bytes)
        return NULL;
    volume_seal(d, v);
    return list_empty(&v->inflight) ? v : NULL;
}

/* *ret with a reference; NULL when no volume is worth it. */
static int FIBER compact_begin(struct disk *d, struct volume **ret)
{
    struct appetite a;
    int err = index_flush(d, false);
    if (err == 0)
        err = appetite_now(d, &a);
    if (err)
        return err;
    rt_lock(&d->lock);
    struct volume *v = volume_choose(d, &a);
    if (!v)
        v = volume_choose_active(d, &a);
    if (v)
        v->refs++;
    rt_unlock(&d->lock);
    *ret = v;
    return 0;
}

/* Another one in which nothing lives, with a reference; NULL: none. */
static struct volume *choose_dead(struct disk *d)
{
    rt_lock(&d->lock);
    struct volume *v = volume_choose(d, &(struct appetite){0});
    if (v)
        v->refs++;
    rt_unlock(&d->lock);
    return v;
}

/* Steps 1 to 4, but for making the index survive. */
static int FIBER volume_compact(struct disk *d, struct volume *v, struct going *g)
{
    uint64_t used = v->tail - VOLUME_DATA;
    struct contents c = {};
    rt_lock(&d->lock);
    c.roll = roll_take(d, v);
    rt_unlock(&d->lock);
    int err = volume_move(d, v, &c);
    rt_lock(&d->lock);
    bool rests = volume_rests(d, v); /* else rows of it may come to the index yet */
    rt_unlock(&d->lock);
    if (err == 0 && (c.moved_bytes > 0 || v->row.live_bytes > 0 || !rests))
        err = index_flush(d, false);
    if (err == 0 && v->row.live_bytes > 0)
        err = -ERR_CORRUPT; /* the index knows needles that the walk did not meet */
    rt_lock(&d->lock);
    v->damaged |= err == -ERR_CORRUPT;
    rt_unlock(&d->lock);
    if (err == 0)
        err = volume_retire(d, v, &c, g);
    roll_release(&c.roll);
    if (err == 0) {
        g->used_bytes += used;
        g->freed_bytes += used > c.moved_bytes ? used - c.moved_bytes : 0;
    }
    return err;
}

/* One at a time. */
static bool compacting_begin(struct disk *d)
{
    rt_lock(&d->lock);
    bool busy = d->compacting;
    d->compacting = true;
    rt_unlock(&d->lock);
    return !busy;
}

static void compacting_end(struct disk *d)
{
    rt_lock(&d->lock);
    d->compacting = false;
    rt_unlock(&d->lock);
}

/* The volume most worth it, and as long as nothing lives in them, further ones: making the index
 * survive costs as much for one as for several. */
static int FIBER compact_some(struct disk *d, struct going *g)
{
    struct volume *v = NULL;
    int err = compact_begin(d, &v);
    while (v) {
        bool dead = v->row.live_bytes == 0;
        err = volume_compact(d, v, g);
        volume_put(d, v);
        v = err == 0 && dead && g->count < GOING_MAX ? choose_dead(d) : NULL;
    }
    return err;
}

int FIBER disk_compact(struct disk *d, uint64_t *ret_freed_bytes)
{
    *ret_freed_bytes = 0;
    if (!compacting_begin(d))
        return 0;
    struct going g = {};
    int err = compact_some(d, &g);
    int gone = going_go(d, &g);
    if (gone == 0)
        *ret_freed_bytes = g.freed_bytes;
    compacting_end(d);
    return err ? err : gone;
}

/* ---- erasing -------------------------------------------------------------------------------- */

uint32_t disk_newest(struct disk *d)
{
    uint32_t newest = 0;
    rt_lock(&d->lock);
    for (size_t i = 0; i < d->volume_count; i++)
        newest = MAX(newest, d->volumes[i]->number);
    rt_unlock(&d->lock);
    return newest;
}

/* Copies must not go where something is still to be erased: such an active volume is sealed. */
static struct volume *erase_choose(struct disk *d, uint32_t upto, struct disk_erased *ret)
{
    struct volume *chosen = NULL;
    if (d->active && d->active->number <= upto && volume_dead(d->active))
        volume_seal(d, d->active);
    for (size_t i = 0; i < d->volume_count; i++) {
        struct volume *v = d->volumes[i];
        if (v->number > upto || !volume_dead(v))
            continue;
        ret->stuck += v->damaged;
        ret->more |= !v->damaged;
        if (!chosen && !v->damaged && list_empty(&v->inflight))
            chosen = v;
    }
    if (chosen)
        chosen->refs++;
    return chosen;
}

static int FIBER erase_room(struct disk *d, const struct volume *v)
{
    struct appetite a;
    int err = appetite_now(d, &a);
    return err == 0 && v->row.live_bytes > a.room_bytes ? -ENOSPC : err;
}

static int FIBER erase_one(struct disk *d, uint32_t upto, struct disk_erased *ret)
{
    int err = index_flush(d, false);
    if (err)
        return err;
    rt_lock(&d->lock);
    struct volume *v = erase_choose(d, upto, ret);
    rt_unlock(&d->lock);
    if (!v)
        return 0;
    err = erase_room(d, v);
    struct going g = {};
    if (err == 0)
        err = volume_compact(d, v, &g);
    volume_put(d, v);
    if (err == 0)
        err = going_go(d, &g);
    if (err == 0)
        ret->freed_bytes = g.freed_bytes;
    return err == -ERR_CORRUPT ? 0 : err; /* it is damaged: the next call counts it */
}

int FIBER disk_erase(struct disk *d, uint32_t upto, struct disk_erased *ret)
{
    *ret = (struct disk_erased){0};
    if (!compacting_begin(d)) {
        ret->more = true;
        return 0;
    }
    int err = erase_one(d, upto, ret);
    compacting_end(d);
    return err;
}
