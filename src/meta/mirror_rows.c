/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What is written down of the set of mirrors, and the choice at the start.
 *
 * Each mirror has two rows outside of every bucket (their keys are shorter than a bucket's id):
 *
 *  "\376mirror"  who takes part, and in which generation. Written when that changes, to those who
 *                take part first and then to one who joins them; or that it is being rebuilt.
 *  "\376batch"   in every batch of several mirrors: its number, and the keys it changed. A batch
 * is begun when all have the one before, so after a crash one of a generation lacks one batch at
 * most, and another one has the keys.
 *
 * The choice. The highest generation's mirrors are the only ones who can know everything that was
 * acknowledged, for a generation is on all of them before anything is acknowledged in it. If a
 * majority of those it names is here, nobody else can have gone on without them: they would have
 * needed a majority at their start, or one of these would know of a newer generation. Of them the
 * highest batch number is right: that batch may or may not have been acknowledged. One that is
 * being rebuilt still tells what generation it knew of.
 *
 * A gap. Of three that lose two in one instant the third goes on alone. If then those two, and not
 * the third, are there at a start, they are believed. When the third comes back later this is seen:
 * every mirror that an older generation names is here and knows no newer one, so nobody of them
 * took part in making the newest. The start is refused, nothing is overwritten.
 */

#include <stdio.h>
#include "base/encode.h"
#include "meta/mirrors.h"

#define KEY_MIRROR STR("\376mirror")
#define KEY_BATCH  STR("\376batch")

#define ROW_VERSION    1
#define ROW_WHOLE      1
#define ROW_REBUILDING 2
#define ROW_HEAD       56
#define ROW_BYTES      (ROW_HEAD + META_MIRRORS_MAX * META_MIRROR_ID_BYTES)
#define BATCH_HEAD     9
#define KEYS_MAX       (4 * MIB) /* a batch with more keys is not listed: who lacks it is rebuilt */

/* ---- rows ----------------------------------------------------------------------------------- */

static int put_row(struct kv_batch *b, const struct mirror_row *r)
{
    char bytes[ROW_BYTES] = {0};
    put_be32(bytes, ROW_VERSION);
    bytes[4] = r->whole ? ROW_WHOLE : ROW_REBUILDING;
    bytes[5] = (char)r->count;
    memcpy(bytes + 8, r->store, 16);
    put_be64(bytes + 24, r->generation);
    put_be64(bytes + 32, r->lineage);
    memcpy(bytes + 40, r->self, 16);
    memcpy(bytes + ROW_HEAD, r->members, sizeof(r->members));
    return kv_batch_put(b, KEY_MIRROR, str_make(bytes, sizeof(bytes)));
}

static int decode_row(struct str bytes, struct mirror_row *ret)
{
    if (bytes.len != ROW_BYTES || get_be32(bytes.ptr) != ROW_VERSION)
        return -ERR_CORRUPT;
    *ret = (struct mirror_row){.whole = bytes.ptr[4] == ROW_WHOLE, .count = (uint8_t)bytes.ptr[5]};
    memcpy(ret->store, bytes.ptr + 8, 16);
    ret->generation = get_be64(bytes.ptr + 24);
    ret->lineage = get_be64(bytes.ptr + 32);
    memcpy(ret->self, bytes.ptr + 40, 16);
    memcpy(ret->members, bytes.ptr + ROW_HEAD, sizeof(ret->members));
    bool known = ret->whole || bytes.ptr[4] == ROW_REBUILDING;
    return known && ret->count <= META_MIRRORS_MAX ? 0 : -ERR_CORRUPT;
}

struct mirror_row mirrors_next_row(struct mirrors *set, const struct mirror *joiner)
{
    static const uint8_t zeros[16];
    struct mirror_row r = {.whole = true, .generation = set->generation + 1};
    rt_random(&r.lineage, sizeof(r.lineage));
    rt_lock(&set->lock);
    memcpy(r.store, set->noted.store, sizeof(r.store));
    for (unsigned i = 0; i < set->count; i++)
        if (set->all[i]->state == META_MIRROR_IN || set->all[i] == joiner)
            memcpy(r.members[r.count++], set->all[i]->id, META_MIRROR_ID_BYTES);
    rt_unlock(&set->lock);
    if (memcmp(r.store, zeros, sizeof(zeros)) == 0)
        rt_random(r.store, sizeof(r.store));
    return r;
}

int mirror_put_row(const struct mirror *m, struct mirror_row row, struct kv_batch *b)
{
    memcpy(row.self, m->id, sizeof(row.self));
    return put_row(b, &row);
}

static int add_key(void *arg, struct str key, struct str value)
{
    struct buf *row = arg;
    char len[2];
    (void)value;
    if (row->len + key.len > KEYS_MAX)
        return -ERR_LIMIT;
    put_be16(len, (uint16_t)key.len);
    buf_put(row, len, sizeof(len));
    buf_put_str(row, key);
    return 0;
}

static int put_number(struct mirrors *set, struct kv_batch *b, uint64_t number, bool with_keys)
{
    char head[BATCH_HEAD] = {0};
    put_be64(head, number);
    buf_reset(&set->row);
    buf_put(&set->row, head, sizeof(head));
    bool listed = with_keys && kv_batch_each(b, add_key, &set->row) == 0;
    if (buf_error(&set->row) < 0)
        return -ENOMEM;
    if (listed)
        set->row.data[BATCH_HEAD - 1] = 1;
    else
        set->row.len = BATCH_HEAD;
    return kv_batch_put(b, KEY_BATCH, buf_str(&set->row));
}

int mirrors_put_number(struct mirrors *set, struct kv_batch *b)
{
    return put_number(set, b, set->number + 1, true);
}

int mirrors_put_last_number(struct mirrors *set, struct kv_batch *b)
{
    return put_number(set, b, set->number, false);
}

/* ---- looking at a mirror -------------------------------------------------------------------- */

/* What a mirror says of itself. */
struct found {
    struct mirror *mirror;
    bool blank, has_row;
    struct mirror_row row;
    uint64_t number;
    bool right; /* of the newest generation */
};

/* 0 with an empty `ret` when the row is not there. */
static int get_row(struct kv *kv, struct str key, struct buf *ret)
{
    buf_reset(ret);
    int r = kv_get(kv, NULL, key, 0, ret);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static int is_blank(struct kv *kv, bool *ret)
{
    struct kv_iter *it;
    int r = kv_iter_new(kv, NULL, NULL, 0, &it);
    if (r < 0)
        return r;
    kv_iter_seek(it, STR_NULL);
    *ret = !kv_iter_valid(it);
    r = kv_iter_error(it);
    kv_iter_free(it);
    return r;
}

static int look_into(struct kv *kv, struct found *ret, struct buf *b)
{
    int r = get_row(kv, KEY_MIRROR, b);
    ret->has_row = b->len > 0;
    if (r == 0 && ret->has_row)
        r = decode_row(buf_str(b), &ret->row);
    if (r == 0 && !ret->has_row)
        return is_blank(kv, &ret->blank);
    if (r == 0)
        r = get_row(kv, KEY_BATCH, b);
    if (r == 0 && b->len > 0)
        ret->number = b->len >= BATCH_HEAD ? get_be64(b->data) : 0;
    return r;
}

int BLOCKING meta_mirror_peek(struct kv *kv, uint64_t *ret_generation)
{
    struct mirror_row row = {.whole = false};
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    int r = get_row(kv, KEY_MIRROR, &b);
    if (r == 0 && b.len > 0)
        r = decode_row(buf_str(&b), &row);
    if (r == 0)
        *ret_generation = row.whole ? row.generation : 0;
    return r;
}

int BLOCKING meta_mirror_whose(struct kv *kv, uint8_t ret_id[META_MIRROR_ID_BYTES])
{
    struct mirror_row row;
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    int r = get_row(kv, KEY_MIRROR, &b);
    if (r == 0 && b.len == 0)
        r = -ERR_NOT_FOUND;
    if (r == 0)
        r = decode_row(buf_str(&b), &row);
    if (r == 0)
        memcpy(ret_id, row.self, META_MIRROR_ID_BYTES);
    return r;
}

/* The only one that is no mirror is not looked into any further. */
static int BLOCKING look(void *arg)
{
    struct found *f = arg;
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    if (f->mirror->set->count == 1) {
        int r = get_row(f->mirror->kv, KEY_MIRROR, &b);
        if (r < 0 || b.len == 0)
            return r;
    }
    return look_into(f->mirror->kv, f, &b);
}

static bool same_store(const struct mirror_row *a, const struct mirror_row *b)
{
    return memcmp(a->store, b->store, sizeof(a->store)) == 0;
}

static bool is_whole(const struct found *f)
{
    return f->has_row && f->row.whole;
}

int BLOCKING mirror_is_foreign(struct mirrors *set, struct kv *kv, bool *ret)
{
    struct found f = {0};
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    int r = look_into(kv, &f, &b);
    rt_lock(&set->lock);
    bool same = f.has_row && same_store(&f.row, &set->noted);
    rt_unlock(&set->lock);
    *ret = !f.blank && !same && (!f.has_row || f.row.whole);
    return r == -ERR_CORRUPT ? 0 : r;
}

/* ---- choosing ------------------------------------------------------------------------------- */

struct choice {
    struct found found[META_MIRRORS_MAX];
    unsigned count;
    struct found *best;
    char *why;
};

static int refuse(struct choice *c, const char *why)
{
    snprintf(c->why, META_WHY_BYTES, "%s", why);
    return -ERR_CONFLICT;
}

static bool names(const struct mirror_row *r, const uint8_t *id)
{
    for (unsigned i = 0; i < r->count; i++)
        if (memcmp(r->members[i], id, META_MIRROR_ID_BYTES) == 0)
            return true;
    return false;
}

static bool same_generation(const struct mirror_row *a, const struct mirror_row *b)
{
    return a->generation == b->generation && a->lineage == b->lineage;
}

/* Whether all it names are here and know of no other: then it may have been written in. */
static bool is_complete(const struct choice *c, const struct mirror_row *r)
{
    unsigned have = 0;
    for (unsigned i = 0; i < c->count; i++) {
        const struct found *f = &c->found[i];
        have += is_whole(f) && same_generation(&f->row, r) && names(r, f->mirror->id);
    }
    return have == r->count;
}

/* Of two of one number, which a crash may leave, the one that not all have is void. */
static bool is_newer(const struct choice *c, const struct mirror_row *r,
                     const struct mirror_row *than)
{
    if (!than || r->generation != than->generation)
        return !than || r->generation > than->generation;
    return is_complete(c, r) && !is_complete(c, than);
}

/*
 * The row of the newest generation, or NULL when there is no whole mirror. One that is being
 * rebuilt may know of a newer one than the whole ones do.
 */
static const struct mirror_row *newest(const struct choice *c)
{
    const struct mirror_row *r = NULL;
    for (unsigned i = 0; i < c->count; i++)
        if (is_whole(&c->found[i]) && is_newer(c, &c->found[i].row, r))
            r = &c->found[i].row;
    for (unsigned i = 0; r && i < c->count; i++)
        if (c->found[i].has_row && same_store(&c->found[i].row, r) &&
            c->found[i].row.generation > r->generation)
            r = &c->found[i].row;
    return r;
}

static int check_whole(struct choice *c, const struct found *f, const struct mirror_row *top)
{
    if (!same_store(&f->row, top))
        return refuse(c, "the mirrors hold the metadata of two different stores: give only those "
                         "of one");
    bool differs = !same_generation(&f->row, top);
    bool parted = f->row.generation == top->generation && !is_complete(c, top);
    if (differs && (parted || is_complete(c, &f->row)))
        return refuse(c, "two mirrors of the metadata went on without each other: leave out the "
                         "one whose changes are to be lost");
    return 0;
}

static int check_one(struct choice *c, const struct found *f, const struct mirror_row *top)
{
    if (f->has_row && memcmp(f->row.self, f->mirror->id, META_MIRROR_ID_BYTES) != 0)
        return refuse(c, "a mirror of the metadata lies on another disk than it was made for");
    if (is_whole(f))
        return check_whole(c, f, top);
    if (!f->has_row && !f->blank && top)
        return refuse(c, "one directory has metadata of its own, which is no mirror of the others");
    return 0;
}

static int check_majority(struct choice *c, const struct mirror_row *top, bool force)
{
    unsigned here = 0;
    for (unsigned i = 0; i < c->count; i++)
        here += c->found[i].has_row && names(top, c->found[i].mirror->id);
    if (2 * here > top->count || force)
        return 0;
    snprintf(c->why, META_WHY_BYTES,
             "only %u of the %u disks with the newest metadata are here: the others may know more. "
             "Bring them back, or start with --force-metadata if they are lost for good",
             here, top->count);
    return -ERR_CONFLICT;
}

/* There are mirrors: the right ones are those of the newest generation, or, forced, of the newest
 * that is here. */
static int pick_newest(struct choice *c, const struct mirror_row *top, bool force)
{
    struct found *older = NULL;
    for (unsigned i = 0; i < c->count; i++) {
        struct found *f = &c->found[i];
        f->right = is_whole(f) && same_generation(&f->row, top);
        if (f->right && (!c->best || f->number > c->best->number))
            c->best = f;
    }
    for (unsigned i = 0; !c->best && force && i < c->count; i++)
        if (is_whole(&c->found[i]) &&
            (!older || c->found[i].row.generation > older->row.generation))
            older = &c->found[i];
    if (older) {
        older->right = true;
        c->best = older;
    }
    return c->best ? 0
                   : refuse(c, "the newest metadata is not here, only a disk that it was being "
                               "copied to: bring its disks back, or start with --force-metadata if "
                               "they are lost for good");
}

/* There are none: a store of its own, or all are blank. */
static int pick_first(struct choice *c)
{
    unsigned stores = 0, half = 0;
    c->best = &c->found[0];
    for (unsigned i = 0; i < c->count; i++) {
        bool own = !c->found[i].has_row && !c->found[i].blank;
        stores += own;
        half += c->found[i].has_row && c->found[i].row.generation > 0;
        if (own)
            c->best = &c->found[i];
    }
    if (stores > 1)
        return refuse(c, "two directories have metadata of their own: give only one of them");
    if (half > 0)
        return refuse(c, "the metadata here was being rebuilt from a mirror that is not here: "
                         "bring that one back");
    for (unsigned i = 0; i < c->count; i++)
        c->found[i].right = stores == 0 || &c->found[i] == c->best;
    return 0;
}

static int pick(struct choice *c, bool force)
{
    const struct mirror_row *top = newest(c);
    int r = 0;
    for (unsigned i = 0; i < c->count && r == 0; i++)
        r = check_one(c, &c->found[i], top);
    if (r == 0 && top)
        r = check_majority(c, top, force);
    if (r == 0 && top)
        r = pick_newest(c, top, force);
    return r == 0 && !top ? pick_first(c) : r;
}

/* ---- catching up ---------------------------------------------------------------------------- */

struct catch_up {
    struct kv *from, *to;
    uint64_t number;
};

/* Puts what `from` has under the listed keys into the batch. */
static int copy_listed(const struct catch_up *c, struct str keys, struct kv_batch *b,
                       struct buf *value)
{
    int r = 0;
    while (r == 0 && keys.len >= 2) {
        size_t len = get_be16(keys.ptr);
        if (len > keys.len - 2)
            return -ERR_CORRUPT;
        struct str key = str_make(keys.ptr + 2, len);
        buf_reset(value);
        r = kv_get(c->from, NULL, key, 0, value);
        if (r == 0)
            r = kv_batch_put(b, key, buf_str(value));
        else if (r == -ERR_NOT_FOUND)
            r = kv_batch_del(b, key);
        keys = str_from_offset(keys, 2 + len);
    }
    return r;
}

static int catch_up_with(const struct catch_up *c, struct buf *row, struct kv_batch *b,
                         struct buf *value)
{
    int r = get_row(c->from, KEY_BATCH, row);
    if (r == 0 && (row->len < BATCH_HEAD || row->data[BATCH_HEAD - 1] != 1))
        r = -ERR_NOT_FOUND;
    if (r == 0)
        r = copy_listed(c, str_from_offset(buf_str(row), BATCH_HEAD), b, value);
    if (r == 0)
        r = kv_batch_put(b, KEY_BATCH, buf_str(row));
    return r == 0 ? kv_write(c->to, b, true) : r;
}

/* Gives one that lacks the last batch that batch. */
static int BLOCKING catch_up(void *arg)
{
    const struct catch_up *c = arg;
    _cleanup_buf_ struct buf row, value;
    struct kv_batch *b;
    int r = kv_batch_new(c->to, &b);
    if (r < 0)
        return r;
    buf_init(&row, 2 * KEYS_MAX);
    buf_init(&value, 2 * META_VALUE_MAX);
    r = catch_up_with(c, &row, b, &value);
    kv_batch_free(b);
    return r;
}

/* ---- the start ------------------------------------------------------------------------------ */

static void FIBER look_at_all(struct mirrors *set, struct choice *c)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct found *f = &c->found[c->count];
        *f = (struct found){.mirror = set->all[i]};
        int r = rt_offload(look, f);
        if (r == 0) {
            c->count++;
        } else {
            set->all[i]->err = r;
            set->all[i]->retired = true;
        }
    }
}

/* A forced start goes above whatever generation is known of. */
static void adopt(struct mirrors *set, const struct choice *c)
{
    const struct found *best = c->best;
    if (!is_whole(best))
        return;
    set->noted = best->row;
    set->generation = best->row.generation;
    set->number = best->number;
    for (unsigned i = 0; i < c->count; i++)
        if (c->found[i].has_row && same_store(&c->found[i].row, &best->row))
            set->generation = MAX(set->generation, c->found[i].row.generation);
}

/* A blank one is marked first: one that is named as taking part never is without a row, unless what
 * it knew was lost. */
static void FIBER take_in(struct mirrors *set, struct choice *c, struct found *f)
{
    struct catch_up up = {c->best->mirror->kv, f->mirror->kv, set->number};
    bool in = f->right && f->number == set->number;
    if (in && f != c->best && f->blank)
        in = rt_offload(mirror_mark, f->mirror) == 0;
    if (f->right && f->number + 1 == set->number)
        in = rt_offload(catch_up, &up) == 0;
    rt_lock(&set->lock);
    if (in)
        mirror_set_state(f->mirror, META_MIRROR_IN, 0);
    else
        mirror_set_rebuilding(f->mirror);
    rt_unlock(&set->lock);
}

/* Whether the newest generation on disk names those who take part, and nobody else. */
static bool is_noted(const struct mirrors *set, const struct found *best)
{
    unsigned in = 0, noted = 0;
    for (unsigned i = 0; i < set->count; i++) {
        bool is_in = set->all[i]->state == META_MIRROR_IN;
        in += is_in;
        noted += is_in && names(&best->row, set->all[i]->id);
    }
    if (!best->has_row)
        return in == 1;
    return in == noted && noted == best->row.count;
}

static int FIBER start_all(struct mirrors *set, struct choice *c)
{
    int r = 0;
    adopt(set, c);
    take_in(set, c, c->best);
    for (unsigned i = 0; i < c->count; i++)
        if (&c->found[i] != c->best)
            take_in(set, c, &c->found[i]);
    set->reading = c->best->mirror;
    for (unsigned i = 0; i < set->count && set->count > 1 && r == 0; i++)
        r = mirror_start_worker(set->all[i]);
    return r == 0 && !is_noted(set, c->best) ? mirrors_record(set, NULL) : r;
}

/* A store that takes part in nothing, or alone. */
static int check_plain(const struct choice *c)
{
    const struct mirror_row *row = &c->found[0].row;
    return !c->found[0].has_row || (row->whole && row->count == 1) ? 0 : -ERR_CONFLICT;
}

int FIBER mirrors_choose(struct mirrors *set, bool force, bool plain, char why[META_WHY_BYTES])
{
    struct choice c = {.why = why};
    look_at_all(set, &c);
    if (c.count == 0)
        return set->all[0]->err;
    int r = plain ? check_plain(&c) : pick(&c, force);
    if (plain) {
        c.best = &c.found[0];
        c.best->right = true;
    }
    return r < 0 ? r : start_all(set, &c);
}
