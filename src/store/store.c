/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/internal.h"

#define INLINE_DEFAULT 512
#define BESIDE_DEFAULT (8 * KIB)
#define INLINE_MAX     (1 * MIB) /* a row stays far below META_VALUE_MAX */
#define CACHE_DEFAULT  (32 * MIB)

int FIBER store_open(struct store **ret, const struct store_config *config)
{
    struct store *s = aligned_alloc(_Alignof(struct store), sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (struct store){
        .meta = config->meta,
        .blob = config->blob,
        .inline_max_bytes = config->inline_max_bytes ? config->inline_max_bytes : INLINE_DEFAULT,
        .classes = config->classes,
        .class_count = config->class_count,
        .beside_max_bytes = config->beside_max_bytes ? config->beside_max_bytes : BESIDE_DEFAULT,
        .gc_delay_ms = config->gc_delay_ms,
    };
    s->inline_max_bytes = MIN(s->inline_max_bytes, (size_t)INLINE_MAX);
    s->beside_max_bytes = MIN(s->beside_max_bytes, (size_t)INLINE_MAX);
    int r = cache_init(&s->cache, config->cache_bytes ? config->cache_bytes : CACHE_DEFAULT);
    if (r < 0) {
        free(s);
        return r;
    }
    rt_lock_init(&s->moves_lock);
    rt_lock_init(&s->noted_lock);
    pins_init(&s->pins);
    buckets_init(&s->buckets);
    arena_init(&s->batch.arena, 64 * MIB);
    r = buckets_load(s);
    if (r < 0)
        store_close(s);
    else
        *ret = s;
    return r;
}

void FIBER store_close(struct store *s)
{
    if (!s)
        return;
    CHECK(pins_open(&s->pins, 0) == 0 && pins_open(&s->pins, 1) == 0);
    arena_release(&s->batch.arena);
    buckets_release(&s->buckets);
    cache_release(&s->cache);
    free(s);
}

/* ---- sessions and sequences ----------------------------------------------------------------- */

static int last_session(struct meta_tx *tx, uint64_t *ret)
{
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, KEY_SESSIONS, &c);
    if (r < 0)
        return r;
    struct key_buf k;
    r = meta_cursor_seek_before(c, key_number(&k, STR("S"), UINT64_MAX));
    *ret = 0;
    if (r == 0 && meta_cursor_valid(c))
        r = key_parse_number(meta_cursor_key(c), KEY_SESSIONS, ret);
    meta_cursor_close(c);
    return r;
}

static int new_session_tx(struct meta_tx *tx, void *arg)
{
    uint64_t *session = arg, last = 0;
    meta_use_reserve(tx); /* a full disk is started on, to be read and to be emptied */
    int r = last_session(tx, &last);
    if (r < 0)
        return r;
    *session = last + 1;
    struct key_buf k;
    /* Only the newest row matters. */
    if (last && (r = meta_del(tx, key_number(&k, KEY_SESSIONS, last))) < 0)
        return r;
    Cairn__Session pb = CAIRN__SESSION__INIT;
    pb.started_ms = rt_wall_ms();
    uint8_t packed[32];
    CHECK(cairn__session__get_packed_size(&pb) <= sizeof(packed));
    size_t len = cairn__session__pack(&pb, packed);
    return meta_put(tx, key_number(&k, KEY_SESSIONS, last + 1), str_make(packed, len));
}

int FIBER store_new_session(struct meta *meta, uint64_t *ret)
{
    uint64_t session;
    int r = meta_write(meta, BUCKET_SYSTEM, new_session_tx, &session);
    if (r == 0)
        *ret = session;
    return r;
}

uint64_t store_next_seq(struct store *s, uint64_t previous)
{
    uint64_t last = __atomic_load_n(&s->last_seq, __ATOMIC_RELAXED), next;
    do {
        next = MAX(MAX(last, previous) + 1, rt_wall_ms() << 20);
    } while (!__atomic_compare_exchange_n(&s->last_seq, &last, next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return next;
}

uint64_t store_gc_due_ms(const struct store *s)
{
    return rt_wall_ms() + s->gc_delay_ms;
}

int store_key_test(struct str key)
{
    if (key.len == 0)
        return -EINVAL;
    return key.len <= STORE_KEY_MAX ? 0 : -ERR_KEY_TOO_LONG;
}

int FIBER store_compact(struct store *s, uint64_t *ret_freed_bytes)
{
    return meta_compact(s->meta, ret_freed_bytes);
}

int FIBER store_erase(struct store *s)
{
    return meta_erase(s->meta);
}

/* ---- watching ------------------------------------------------------------------------------- */

static int usage_tx(struct meta_tx *tx, void *arg)
{
    struct store_usage *ret = arg;
    int64_t n[META_COUNTERS_MAX] = {0};
    int r = meta_get_counters(tx, KEY_COUNTERS, n);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    *ret = (struct store_usage){
        .objects = n[COUNT_OBJECTS],
        .bytes = n[COUNT_BYTES],
        .versions = n[COUNT_VERSIONS],
        .uploads = n[COUNT_UPLOADS],
        .part_bytes = MAX(n[COUNT_PART_BYTES], (int64_t)0),
    };
    return 0;
}

int FIBER store_usage(struct store *s, struct bucket_id b, struct store_usage *ret)
{
    return meta_read(s->meta, b, usage_tx, ret);
}

void store_stats(struct store *s, struct store_stats *ret)
{
    struct store_stats t = {
        .cache_bytes = __atomic_load_n(&s->cache.bytes, __ATOMIC_RELAXED),
        .readers_open = pins_open(&s->pins, 0) + pins_open(&s->pins, 1),
        .gc_chunks = __atomic_load_n(&s->gc_chunks, __ATOMIC_RELAXED),
        .gc_bytes = __atomic_load_n(&s->gc_bytes, __ATOMIC_RELAXED),
        .gc_refused = __atomic_load_n(&s->gc_refused, __ATOMIC_RELAXED),
        .repairs_queued = __atomic_load_n(&s->repairs_queued, __ATOMIC_RELAXED),
    };
    rt_lock(&s->buckets.lock);
    t.buckets = s->buckets.by_name.count;
    t.settings_bytes = s->buckets.cached_bytes;
    rt_unlock(&s->buckets.lock);
    for (unsigned i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *shard = &s->cache.shards[i];
        rt_lock(&shard->lock);
        t.cache_hits += shard->hits;
        t.cache_misses += shard->misses;
        t.cache_records += shard->records;
        rt_unlock(&shard->lock);
    }
    *ret = t;
}
