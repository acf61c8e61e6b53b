/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The content of one simulated file.
 *
 * Invariants
 *  1. A page's versions are in the order of their seq, oldest first; all are newer than `durable`.
 *  2. An image is never changed while more than one owner holds it (copy on write).
 *  3. Lengths since the last sync stand in `resizes`, oldest first; `size` is the newest.
 *  4. `current` of a page is its newest version, else `durable`; except after a failed sync, where
 *     the cache holds what the disk may not.
 *
 * A truncation is one step of the file system: a crash that undoes it also undoes it in the pages,
 * so the versions a crash may choose from lie between two neighbouring truncations.
 */

#include "rt/sim/internal.h"

#define INODE_PAGES_MAX (1u << 20) /* 4 GiB: enough for tests, and a wild offset is found out */

struct image {
    unsigned refs;
    uint8_t bytes[SIM_PAGE];
};

struct version {
    uint64_t seq;
    struct image *image; /* NULL: zeros */
    bool truncation;
};

struct page {
    struct image *durable, *current; /* NULL: zeros */
    struct version *versions;
    uint32_t count, cap;
    bool allocated;
};

struct resize {
    uint64_t seq, size;
    bool truncation;
};

struct sim_inode_content {
    struct page *pages;
    uint32_t page_count; /* slots in `pages` */
    uint64_t durable_size;
    struct resize *resizes;
    uint32_t resize_count, resize_cap;
};

/* ---- images --------------------------------------------------------------------------------- */

static struct image *image_ref(struct image *i)
{
    if (i)
        i->refs++;
    return i;
}

static void image_unref(struct image *i)
{
    if (i && --i->refs == 0)
        free(i);
}

static void image_set(struct image **slot, struct image *i)
{
    struct image *old = *slot;
    *slot = image_ref(i);
    image_unref(old);
}

static const uint8_t *image_bytes(const struct image *i)
{
    static const uint8_t zeros[SIM_PAGE];
    return i ? i->bytes : zeros;
}

/* A copy with one owner. */
static struct image *image_copy(const struct image *from)
{
    struct image *i = malloc(sizeof *i);
    CHECK(i);
    i->refs = 1;
    memcpy(i->bytes, image_bytes(from), SIM_PAGE);
    return i;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void page_forget_versions(struct page *p, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        image_unref(p->versions[i].image);
    p->count -= count;
    if (p->count)
        memmove(p->versions, p->versions + count, p->count * sizeof *p->versions);
}

static void page_release(struct page *p)
{
    page_forget_versions(p, p->count);
    free(p->versions);
    image_unref(p->durable);
    image_unref(p->current);
    *p = (struct page){0};
}

/* Takes the image over. */
static void page_push(struct page *p, struct image *image, uint64_t seq, bool truncation)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 4;
        p->versions = realloc(p->versions, p->cap * sizeof *p->versions);
        CHECK(p->versions);
    }
    CHECK(p->count == 0 || p->versions[p->count - 1].seq <= seq);
    p->versions[p->count++] = (struct version){seq, image, truncation};
    image_set(&p->current, image);
}

static void page_sync(struct page *p, uint64_t seq)
{
    uint32_t n = 0;
    while (n < p->count && p->versions[n].seq <= seq)
        n++;
    if (n == 0)
        return;
    image_set(&p->durable, p->versions[n - 1].image);
    page_forget_versions(p, n);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct sim_inode *sim_inode_new(bool is_dir)
{
    struct sim_inode *n = calloc(1, sizeof *n);
    struct sim_inode_content *c = calloc(1, sizeof *c);
    CHECK(n && c);
    n->refs = 1;
    n->is_dir = is_dir;
    n->content = c;
    list_init(&n->link);
    list_init(&n->writing);
    return n;
}

struct sim_inode *sim_inode_ref(struct sim_inode *n)
{
    n->refs++;
    return n;
}

void sim_inode_unref(struct sim_inode *n)
{
    if (!n || --n->refs > 0)
        return;
    for (uint32_t i = 0; i < n->content->page_count; i++)
        page_release(&n->content->pages[i]);
    free(n->content->pages);
    free(n->content->resizes);
    free(n->content);
    list_remove(&n->link);
    free(n);
}

static int inode_grow(struct sim_inode_content *c, uint64_t pages)
{
    if (pages > INODE_PAGES_MAX)
        return -EFBIG;
    if (pages <= c->page_count)
        return 0;
    uint32_t count = MAX((uint32_t)pages, 2 * c->page_count);
    struct page *p = realloc(c->pages, count * sizeof *p);
    if (!p)
        return -ENOMEM;
    memset(p + c->page_count, 0, (count - c->page_count) * sizeof *p);
    c->pages = p;
    c->page_count = count;
    return 0;
}

static void inode_resize(struct sim_inode *n, uint64_t size, uint64_t seq, bool truncation)
{
    struct sim_inode_content *c = n->content;
    if (c->resize_count == c->resize_cap) {
        c->resize_cap = c->resize_cap ? 2 * c->resize_cap : 8;
        c->resizes = realloc(c->resizes, c->resize_cap * sizeof *c->resizes);
        CHECK(c->resizes);
    }
    c->resizes[c->resize_count++] = (struct resize){seq, size, truncation};
    n->size = size;
}

/* ---- space ---------------------------------------------------------------------------------- */

static uint64_t page_end(uint64_t off, uint64_t len)
{
    return len ? (off + len + SIM_PAGE - 1) / SIM_PAGE : off / SIM_PAGE;
}

uint64_t sim_inode_pages_wanted(const struct sim_inode *n, uint64_t off, uint64_t len)
{
    const struct sim_inode_content *c = n->content;
    uint64_t wanted = 0;
    for (uint64_t i = off / SIM_PAGE; i < page_end(off, len); i++)
        wanted += i >= c->page_count || !c->pages[i].allocated;
    return wanted;
}

static void page_allocate(struct sim_inode *n, struct page *p)
{
    n->pages_held += !p->allocated;
    p->allocated = true;
}

static void page_deallocate(struct sim_inode *n, struct page *p)
{
    n->pages_held -= p->allocated;
    p->allocated = false;
}

int sim_inode_reserve(struct sim_inode *n, uint64_t off, uint64_t len)
{
    int err = inode_grow(n->content, page_end(off, len));
    if (err)
        return err;
    for (uint64_t i = off / SIM_PAGE; i < page_end(off, len); i++)
        page_allocate(n, &n->content->pages[i]);
    return 0;
}

/* ---- operations ----------------------------------------------------------------------------- */

size_t sim_inode_read(const struct sim_inode *n, void *buf, size_t len, uint64_t off)
{
    const struct sim_inode_content *c = n->content;
    if (off >= n->size)
        return 0;
    len = MIN(len, n->size - off);
    for (size_t done = 0; done < len;) {
        uint64_t at = off + done, page = at / SIM_PAGE, in = at % SIM_PAGE;
        size_t piece = MIN(len - done, SIM_PAGE - in);
        const struct image *image = page < c->page_count ? c->pages[page].current : NULL;
        memcpy((uint8_t *)buf + done, image_bytes(image) + in, piece);
        done += piece;
    }
    return len;
}

int sim_inode_write(struct sim_inode *n, const void *buf, size_t len, uint64_t off, uint64_t seq)
{
    int err = inode_grow(n->content, page_end(off, len));
    if (err)
        return err;
    for (size_t done = 0; done < len;) {
        uint64_t at = off + done, in = at % SIM_PAGE;
        size_t piece = MIN(len - done, SIM_PAGE - in);
        struct page *p = &n->content->pages[at / SIM_PAGE];
        struct image *image = image_copy(p->current);
        memcpy(image->bytes + in, (const uint8_t *)buf + done, piece);
        page_push(p, image, seq, false);
        page_allocate(n, p);
        done += piece;
    }
    if (len && off + len > n->size)
        inode_resize(n, off + len, seq, false);
    return 0;
}

int sim_inode_truncate(struct sim_inode *n, uint64_t len, uint64_t seq)
{
    int err = inode_grow(n->content, page_end(0, len));
    if (err)
        return err;
    for (uint64_t i = len / SIM_PAGE; i < n->content->page_count; i++) {
        struct page *p = &n->content->pages[i];
        uint64_t keep = i == len / SIM_PAGE ? len % SIM_PAGE : 0;
        struct image *image = keep ? image_copy(p->current) : NULL;
        if (image)
            memset(image->bytes + keep, 0, SIM_PAGE - keep);
        else
            page_deallocate(n, p);
        if (p->current || p->count)
            page_push(p, image, seq, true);
        else
            image_unref(image);
    }
    inode_resize(n, len, seq, true);
    return 0;
}

/* ---- durability ----------------------------------------------------------------------------- */

bool sim_inode_dirty(const struct sim_inode *n)
{
    const struct sim_inode_content *c = n->content;
    for (uint32_t i = 0; i < c->page_count; i++)
        if (c->pages[i].count)
            return true;
    return c->resize_count > 0;
}

static void inode_sync_size(struct sim_inode_content *c, uint64_t seq)
{
    uint32_t n = 0;
    while (n < c->resize_count && c->resizes[n].seq <= seq)
        n++;
    if (n == 0)
        return;
    c->durable_size = c->resizes[n - 1].size;
    c->resize_count -= n;
    if (c->resize_count)
        memmove(c->resizes, c->resizes + n, c->resize_count * sizeof *c->resizes);
}

void sim_inode_sync(struct sim_inode *n, uint64_t seq)
{
    for (uint32_t i = 0; i < n->content->page_count; i++)
        page_sync(&n->content->pages[i], seq);
    inode_sync_size(n->content, seq);
}

void sim_inode_sync_failed(struct sim_inode *n, struct sim_random *r)
{
    for (uint32_t i = 0; i < n->content->page_count; i++) {
        struct page *p = &n->content->pages[i];
        uint32_t kept = (uint32_t)sim_random_below(r, p->count + 1);
        if (kept)
            page_sync(p, p->versions[kept - 1].seq);
        page_forget_versions(p, p->count);
    }
    inode_sync_size(n->content, UINT64_MAX);
}

/* ---- crash ---------------------------------------------------------------------------------- */

/* What a crash chose of a file's lengths, and the neighbouring truncations' seqs. */
struct crash_window {
    uint64_t size;
    uint64_t from_seq, before_seq;
};

static uint32_t crash_choose_index(struct sim *s, enum sim_keep keep, uint32_t count)
{
    return keep == SIM_KEEP_NONE ? 0 : (uint32_t)sim_choose(s, count + 1);
}

static struct crash_window crash_choose_size(const struct sim_inode_content *c, struct sim *s,
                                             enum sim_keep keep, uint64_t prefix_seq)
{
    uint32_t chosen = 0;
    if (keep == SIM_KEEP_PREFIX)
        while (chosen < c->resize_count && c->resizes[chosen].seq <= prefix_seq)
            chosen++;
    else if (c->resize_count)
        chosen = crash_choose_index(s, keep, c->resize_count);
    struct crash_window w = {c->durable_size, 0, UINT64_MAX};
    for (uint32_t i = 0; i < c->resize_count; i++) {
        const struct resize *r = &c->resizes[i];
        if (i < chosen) {
            w.size = r->size;
            w.from_seq = r->truncation ? r->seq : w.from_seq;
        } else if (r->truncation) {
            w.before_seq = r->seq;
            break;
        }
    }
    return w;
}

/* Some sectors of `b`, the others of `a`. */
static struct image *image_tear(const struct image *a, const struct image *b, struct sim *s)
{
    struct image *torn = image_copy(a);
    uint64_t mask = sim_choose(s, 1u << (SIM_PAGE / SIM_SECTOR));
    for (unsigned i = 0; i < SIM_PAGE / SIM_SECTOR; i++)
        if (mask >> i & 1)
            memcpy(torn->bytes + i * SIM_SECTOR, image_bytes(b) + i * SIM_SECTOR, SIM_SECTOR);
    return torn;
}

/* The states the page may be in: index 0 is the oldest, `count` the newest. */
static struct image *page_state(const struct page *p, uint32_t first, uint32_t index)
{
    uint32_t version = first + index;
    return version == 0 ? p->durable : p->versions[version - 1].image;
}

static void page_crash(struct page *p, struct sim *s, enum sim_keep keep, uint64_t prefix_seq,
                       const struct crash_window *w)
{
    uint32_t first = 0, last = 0; /* states: 0 durable, i the version i - 1 */
    for (uint32_t i = 0; i < p->count && p->versions[i].seq < w->before_seq; i++) {
        last = i + 1;
        if (p->versions[i].truncation && p->versions[i].seq <= w->from_seq)
            first = last;
    }
    uint32_t chosen = 0, span = last - first;
    if (keep == SIM_KEEP_PREFIX)
        while (chosen < span && p->versions[first + chosen].seq <= prefix_seq)
            chosen++;
    else if (span)
        chosen = crash_choose_index(s, keep, span);
    struct image *state = page_state(p, first, chosen);
    struct image *torn = NULL;
    if (keep == SIM_KEEP_TORN && chosen > 0)
        state = torn = image_tear(page_state(p, first, chosen - 1), state, s);
    image_set(&p->durable, state);
    image_unref(torn);
    page_forget_versions(p, p->count);
    image_set(&p->current, p->durable);
}

/* Beyond the end nothing remains, so that a later growth reads zeros. */
static void inode_cut(struct sim_inode *n, uint64_t size)
{
    struct sim_inode_content *c = n->content;
    for (uint64_t i = size / SIM_PAGE; i < c->page_count; i++) {
        struct page *p = &c->pages[i];
        uint64_t keep = i == size / SIM_PAGE ? size % SIM_PAGE : 0;
        struct image *image = keep && p->durable ? image_copy(p->durable) : NULL;
        if (image)
            memset(image->bytes + keep, 0, SIM_PAGE - keep);
        image_set(&p->durable, image);
        image_set(&p->current, image);
        image_unref(image);
        if (!keep)
            page_deallocate(n, p);
    }
}

void sim_inode_crash(struct sim_inode *n, struct sim *s, enum sim_keep keep, uint64_t prefix_seq)
{
    struct sim_inode_content *c = n->content;
    struct crash_window w = crash_choose_size(c, s, keep, prefix_seq);
    for (uint32_t i = 0; i < c->page_count; i++)
        page_crash(&c->pages[i], s, keep, prefix_seq, &w);
    n->size = c->durable_size = w.size;
    c->resize_count = 0;
    inode_cut(n, n->size);
}

/* ---- the surface ---------------------------------------------------------------------------- */

int sim_inode_poke(struct sim_inode *n, const void *buf, size_t len, uint64_t off)
{
    if (off > n->size || len > n->size - off)
        return -EINVAL;
    uint64_t seq = UINT64_MAX;
    int err = sim_inode_write(n, buf, len, off, seq);
    if (!err)
        sim_inode_sync(n, seq);
    return err;
}

struct sim_inode *sim_inode_clone(const struct sim_inode *n)
{
    struct sim_inode *copy = sim_inode_new(n->is_dir);
    CHECK(inode_grow(copy->content, n->content->page_count) == 0);
    for (uint32_t i = 0; i < n->content->page_count; i++) {
        const struct page *from = &n->content->pages[i];
        struct page *to = &copy->content->pages[i];
        image_set(&to->durable, from->current);
        image_set(&to->current, from->current);
        to->allocated = from->allocated;
    }
    copy->pages_held = n->pages_held;
    copy->size = copy->content->durable_size = n->size;
    return copy;
}
