/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/damage.h"
#include "base/encode.h"
#include "jobs/job.pb-c.h"

#define PREFIX    "Jdamage "
#define KEY_LEN   (sizeof(PREFIX) - 1 + 18)
#define PAGE_ROWS 128

const char *damage_state_text(enum damage_state state)
{
    static const char *const texts[] = {"found", "repairable", "waiting", "lost"};
    return texts[state];
}

/* ---- a row ---------------------------------------------------------------------------------- */

static struct str row_key(struct needle_key needle, char ret[KEY_LEN])
{
    char *at = ret + sizeof(PREFIX) - 1;
    memcpy(ret, PREFIX, sizeof(PREFIX) - 1);
    put_be64(at, needle.chunk.session);
    put_be64(at + 8, needle.chunk.counter);
    put_be16(at + 16, needle.shard);
    return str_make(ret, KEY_LEN);
}

static struct needle_key parse_key(struct str key)
{
    const char *at = key.ptr + sizeof(PREFIX) - 1;
    return (struct needle_key){.chunk = {get_be64(at), get_be64(at + 8)},
                               .shard = get_be16(at + 16)};
}

static struct str copy_bytes(struct arena *a, ProtobufCBinaryData b, bool *ok)
{
    struct str s = arena_dup(a, str_make(b.data, b.len));
    *ok = *ok && s.ptr;
    return s;
}

int damage_decode(struct str key, struct str value, struct arena *a, struct damage *ret)
{
    if (key.len != KEY_LEN)
        return -ERR_CORRUPT;
    Jobs__Damage *pb = jobs__damage__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!pb || pb->state >= DAMAGE_STATES) {
        if (pb)
            jobs__damage__free_unpacked(pb, NULL);
        return -ERR_CORRUPT;
    }
    bool ok = true;
    *ret = (struct damage){
        .needle = parse_key(key),
        .state = (enum damage_state)pb->state,
        .pass = pb->pass,
        .found_ms = pb->found_ms,
        .disk = pb->disk,
        .bucket = {pb->bucket},
        .seq = pb->seq,
        .text = arena_dup(a, str_from(pb->text)),
        .bucket_name = copy_bytes(a, pb->bucket_name, &ok),
        .key = copy_bytes(a, pb->key, &ok),
        .upload = copy_bytes(a, pb->upload, &ok),
    };
    jobs__damage__free_unpacked(pb, NULL);
    return ok && ret->text.ptr ? 0 : -ENOMEM;
}

static ProtobufCBinaryData bytes_of(struct str s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr};
}

static int put_row(struct meta_tx *tx, const struct damage *d, uint64_t found_ms)
{
    char key[KEY_LEN];
    Jobs__Damage pb = JOBS__DAMAGE__INIT;
    pb.state = d->state;
    pb.pass = d->pass;
    pb.found_ms = found_ms;
    pb.disk = d->disk;
    pb.text = arena_cstr(meta_arena(tx), d->text);
    pb.bucket = d->bucket.n;
    pb.bucket_name = bytes_of(d->bucket_name);
    pb.key = bytes_of(d->key);
    pb.upload = bytes_of(d->upload);
    pb.seq = d->seq;
    uint8_t *packed =
        pb.text ? arena_alloc(meta_arena(tx), jobs__damage__get_packed_size(&pb)) : NULL;
    if (!packed)
        return -ENOMEM;
    size_t len = jobs__damage__pack(&pb, packed);
    return meta_put(tx, row_key(d->needle, key), str_make(packed, len));
}

/* ---- changes -------------------------------------------------------------------------------- */

/* One row's change: `old` is set to the state it had, DAMAGE_STATES when it was not there. */
struct change {
    const struct damage *put; /* NULL: removed */
    struct needle_key needle;
    bool full;
    enum damage_state old;
};

static int change_tx(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    char key[KEY_LEN];
    struct str row = row_key(c->needle, key), value;
    struct damage old = {.found_ms = c->put ? c->put->found_ms : 0};
    meta_use_reserve(tx);
    int r = meta_get(tx, row, &value);
    if (r == 0)
        r = damage_decode(row, value, meta_arena(tx), &old);
    c->old = r == 0 ? old.state : DAMAGE_STATES;
    if (r == -ERR_NOT_FOUND)
        r = 0;
    if (r < 0 || (c->full && c->old == DAMAGE_STATES))
        return r;
    return c->put ? put_row(tx, c->put, old.found_ms) : meta_del(tx, row);
}

static uint64_t listed(const struct damages *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < DAMAGE_STATES; i++)
        n += damages_count(t, i);
    return n;
}

static void count(struct damages *t, enum damage_state state, int64_t n)
{
    if (state < DAMAGE_STATES)
        __atomic_fetch_add(&t->counts[state], n, __ATOMIC_RELAXED);
}

uint64_t damages_count(const struct damages *t, enum damage_state state)
{
    return __atomic_load_n(&t->counts[state], __ATOMIC_RELAXED);
}

int FIBER damages_put(struct damages *t, const struct damage *d)
{
    struct change c = {.put = d, .needle = d->needle, .full = listed(t) >= DAMAGES_MAX};
    int r = meta_write(t->meta, BUCKET_SYSTEM, change_tx, &c);
    if (r < 0)
        return r;
    if (c.full && c.old == DAMAGE_STATES) {
        __atomic_fetch_add(&t->unlisted, 1, __ATOMIC_RELAXED);
        return 0;
    }
    count(t, c.old, -1);
    count(t, d->state, 1);
    return 0;
}

int FIBER damages_remove(struct damages *t, struct needle_key needle)
{
    struct change c = {.needle = needle};
    int r = meta_write(t->meta, BUCKET_SYSTEM, change_tx, &c);
    if (r == 0)
        count(t, c.old, -1);
    return r;
}

/* ---- walking -------------------------------------------------------------------------------- */

struct page {
    struct arena arena;
    char after[KEY_LEN];
    struct str prefix;
    bool any, last;
    struct damage rows[PAGE_ROWS];
    size_t count;
};

static int page_tx(struct meta_tx *tx, void *arg)
{
    struct page *p = arg;
    struct meta_cursor *c;
    p->count = 0;
    arena_reset(&p->arena);
    int r = meta_cursor_open(tx, p->prefix, &c);
    if (r < 0)
        return r;
    struct str after = str_make(p->after, KEY_LEN);
    r = meta_cursor_seek(c, p->any ? after : p->prefix);
    if (r == 0 && p->any && meta_cursor_valid(c) && str_eq(meta_cursor_key(c), after))
        r = meta_cursor_next(c);
    while (r == 0 && meta_cursor_valid(c) && p->count < PAGE_ROWS) {
        r = damage_decode(meta_cursor_key(c), meta_cursor_value(c), &p->arena, &p->rows[p->count]);
        p->count += r == 0;
        if (r == 0)
            r = meta_cursor_next(c);
    }
    p->last = r == 0 && !meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

int FIBER damages_each(struct damages *t, int (*fn)(const struct damage *d, void *arg), void *arg)
{
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->prefix = STR(PREFIX);
    arena_init(&p->arena, 0);
    int r = 0;
    while (r == 0 && !p->last) {
        r = meta_read(t->meta, BUCKET_SYSTEM, page_tx, p);
        for (size_t i = 0; r == 0 && i < p->count; i++)
            r = fn(&p->rows[i], arg);
        if (r == 0 && p->count) {
            row_key(p->rows[p->count - 1].needle, p->after);
            p->any = true;
        }
    }
    arena_release(&p->arena);
    free(p);
    return r;
}

static int count_one(const struct damage *d, void *arg)
{
    count(arg, d->state, 1);
    return 0;
}

int FIBER damages_load(struct damages *t)
{
    memset(t->counts, 0, sizeof(t->counts));
    return damages_each(t, count_one, t);
}
