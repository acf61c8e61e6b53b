/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/cache.h"

/* One slot for this many bytes of the limit: about a slot a small record. */
#define BYTES_A_SLOT 512
/* A record larger than this part of the limit is not kept. */
#define SHARE_MAX 3

int cache_init(struct cache *c, size_t limit_bytes)
{
    *c = (struct cache){.slot_count = 64, .limit_bytes = limit_bytes};
    while (c->slot_count * CACHE_SHARDS * BYTES_A_SLOT < limit_bytes)
        c->slot_count *= 2;
    bool whole = true;
    for (unsigned i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];
        rt_lock_init(&s->lock);
        list_init(&s->ages);
        s->slots = calloc(c->slot_count, sizeof(*s->slots));
        s->turns = calloc(c->slot_count, sizeof(*s->turns));
        whole = whole && s->slots && s->turns;
    }
    if (!whole)
        cache_release(c);
    return whole ? 0 : -ENOMEM;
}

static uint64_t hash_of(struct bucket_id b, struct str key)
{
    return hash_xxh3(key.ptr, key.len) ^ (b.n * 0x9e3779b97f4a7c15u);
}

static struct cache_shard *shard_of(struct cache *c, uint64_t hash)
{
    return &c->shards[hash >> 58];
}

static size_t slot_of(const struct cache *c, uint64_t hash)
{
    return hash & (c->slot_count - 1);
}

/* The pointer that leads to the key's record, or to NULL at the end of its slot. */
static struct record **find(struct cache *c, struct cache_shard *s, uint64_t hash,
                            struct bucket_id b, struct str key)
{
    struct record **p = &s->slots[slot_of(c, hash)];
    while (*p && !((*p)->hash == hash && (*p)->bucket.n == b.n && str_eq((*p)->object.key, key)))
        p = &(*p)->next_in_slot;
    return p;
}

static void take_out(struct cache *c, struct cache_shard *s, struct record **p)
{
    struct record *r = *p;
    *p = r->next_in_slot;
    list_remove(&r->age);
    s->records--;
    __atomic_fetch_sub(&c->bytes, r->size_bytes, __ATOMIC_RELAXED);
    record_unref(r);
}

struct record *cache_get(struct cache *c, struct bucket_id b, struct str key,
                         struct cache_place *ret)
{
    ret->hash = hash_of(b, key);
    struct cache_shard *s = shard_of(c, ret->hash);
    rt_lock(&s->lock);
    struct record *r = *find(c, s, ret->hash, b, key);
    if (r) {
        r->used = 1;
        record_ref(r);
        s->hits++;
    } else {
        ret->turn = s->turns[slot_of(c, ret->hash)];
        s->misses++;
    }
    rt_unlock(&s->lock);
    return r;
}

/* Lets the oldest record of the shard go that was not read since the hand last came by. Those that
 * were get their second chance; false: all of them. */
static bool evict_one(struct cache *c, struct cache_shard *s)
{
    for (uint64_t left = s->records; left > 0; left--) {
        struct record *r = container_of(s->ages.next, struct record, age);
        if (!r->used) {
            take_out(c, s, find(c, s, r->hash, r->bucket, r->object.key));
            return true;
        }
        r->used = 0;
        list_remove(&r->age);
        list_push_back(&s->ages, &r->age);
    }
    return false;
}

/* One record at a time from one shard after the other, until the limit is kept. After a turn
 * without success no record counts as read, so the next turn has some. */
static void shrink(struct cache *c)
{
    unsigned fruitless = 0;
    while (fruitless < 2 * CACHE_SHARDS &&
           __atomic_load_n(&c->bytes, __ATOMIC_RELAXED) > c->limit_bytes) {
        unsigned hand = __atomic_fetch_add(&c->hand, 1, __ATOMIC_RELAXED);
        struct cache_shard *s = &c->shards[hand % CACHE_SHARDS];
        rt_lock(&s->lock);
        fruitless = evict_one(c, s) ? 0 : fruitless + 1;
        rt_unlock(&s->lock);
    }
}

void cache_fill(struct cache *c, struct record *r, const struct cache_place *place)
{
    if (r->size_bytes > c->limit_bytes / SHARE_MAX)
        return;
    struct cache_shard *s = shard_of(c, place->hash);
    rt_lock(&s->lock);
    struct record **p = find(c, s, place->hash, r->bucket, r->object.key);
    bool keep = !*p && s->turns[slot_of(c, place->hash)] == place->turn;
    if (keep) {
        r->hash = place->hash;
        r->next_in_slot = NULL;
        *p = record_ref(r);
        list_push_back(&s->ages, &r->age);
        s->records++;
        __atomic_fetch_add(&c->bytes, r->size_bytes, __ATOMIC_RELAXED);
    }
    rt_unlock(&s->lock);
    if (keep)
        shrink(c);
}

void cache_drop(struct cache *c, struct bucket_id b, struct str key)
{
    uint64_t hash = hash_of(b, key);
    struct cache_shard *s = shard_of(c, hash);
    rt_lock(&s->lock);
    s->turns[slot_of(c, hash)]++;
    struct record **p = find(c, s, hash, b, key);
    if (*p)
        take_out(c, s, p);
    rt_unlock(&s->lock);
}

void cache_release(struct cache *c)
{
    for (unsigned i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &c->shards[i];
        while (s->slots && !list_empty(&s->ages)) {
            struct record *r = container_of(s->ages.next, struct record, age);
            take_out(c, s, find(c, s, r->hash, r->bucket, r->object.key));
        }
        free(s->slots);
        free(s->turns);
        s->slots = NULL;
        s->turns = NULL;
    }
}
