/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The codes, and the plans to decode that they keep. A plan in the list is read by those who hold
 * one of its `users`; who is dropped from the list while in use is freed by the last of them.
 */

#include "base/error.h"
#include "ec/internal.h"

static ec_set first_shards(unsigned count)
{
    return (ec_set)((1ULL << count) - 1);
}

/* ---- life ----------------------------------------------------------------------------------- */

int ec_new(struct ec **ret, unsigned k, unsigned m)
{
    if (k < 2 || k > EC_K_MAX || m < 1 || m > EC_M_MAX)
        return -EINVAL;
    _cleanup_free_ struct ec *ec = calloc(1, sizeof(*ec));
    if (!ec)
        return -ENOMEM;
    ec->k = k;
    ec->m = m;
    list_init(&ec->recent);
    int r = plan_new(&ec->encode, k, m, first_shards(k), first_shards(k + m) & ~first_shards(k));
    if (r < 0)
        return r;
    pthread_mutex_init(&ec->lock, NULL);
    *ret = TAKE_PTR(ec);
    return 0;
}

struct ec *ec_free(struct ec *ec)
{
    struct list *n;
    if (!ec)
        return NULL;
    while ((n = list_pop_front(&ec->recent))) {
        struct plan *p = container_of(n, struct plan, recent);
        CHECK(p->users == 1);
        free(p);
    }
    pthread_mutex_destroy(&ec->lock);
    free(ec->encode);
    free(ec);
    return NULL;
}

unsigned ec_k(const struct ec *ec)
{
    return ec->k;
}

unsigned ec_m(const struct ec *ec)
{
    return ec->m;
}

/* ---- encoding ------------------------------------------------------------------------------- */

int ec_encode(const struct ec *ec, const void *const *data, void *const *parity, size_t len)
{
    uint8_t *cells[EC_SHARDS_MAX];
    if (len == 0 || len > EC_LEN_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < ec->k; i++)
        cells[i] = (uint8_t *)(uintptr_t)data[i];
    for (unsigned i = 0; i < ec->m; i++) {
        CHECK(parity[i]);
        cells[ec->k + i] = parity[i];
    }
    return plan_run(ec->encode, cells, len);
}

int ec_verify(const struct ec *ec, const void *const *shards, size_t len)
{
    uint8_t *cells[EC_SHARDS_MAX];
    if (len == 0 || len > EC_LEN_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < ec->k + ec->m; i++)
        cells[i] = (uint8_t *)(uintptr_t)shards[i];
    return plan_check(ec->encode, cells, len);
}

/* ---- plans ---------------------------------------------------------------------------------- */

/* Under the lock. */
static void unref_locked(struct plan *p)
{
    CHECK(p->users > 0);
    if (--p->users == 0)
        free(p);
}

static void put_plan(struct ec *ec, struct plan *p)
{
    pthread_mutex_lock(&ec->lock);
    unref_locked(p);
    pthread_mutex_unlock(&ec->lock);
}

/* Under the lock: one more user, and the latest. */
static struct plan *find_locked(struct ec *ec, ec_set from, ec_set to)
{
    struct plan *p;
    LIST_FOR (p, &ec->recent, recent) {
        if (p->from != from || p->to != to)
            continue;
        p->users++;
        list_remove(&p->recent);
        list_push_front(&ec->recent, &p->recent);
        return p;
    }
    return NULL;
}

/* Under the lock. */
static void keep_locked(struct ec *ec, struct plan *p)
{
    p->users++;
    list_push_front(&ec->recent, &p->recent);
    if (++ec->plan_count <= EC_PLANS_MAX)
        return;
    struct plan *oldest = container_of(ec->recent.prev, struct plan, recent);
    list_remove(&oldest->recent);
    unref_locked(oldest);
    ec->plan_count--;
}

/* Made outside the lock: when two make the same one at once, the later is not kept. */
static int get_plan(struct ec *ec, ec_set from, ec_set to, struct plan **ret)
{
    struct plan *made;
    pthread_mutex_lock(&ec->lock);
    struct plan *p = find_locked(ec, from, to);
    pthread_mutex_unlock(&ec->lock);
    if (p) {
        *ret = p;
        return 0;
    }
    int r = plan_new(&made, ec->k, ec->m, from, to);
    if (r < 0)
        return r;
    pthread_mutex_lock(&ec->lock);
    p = find_locked(ec, from, to);
    if (!p)
        keep_locked(ec, made);
    pthread_mutex_unlock(&ec->lock);
    if (p)
        free(made);
    *ret = p ? p : made;
    return 0;
}

/* ---- decoding ------------------------------------------------------------------------------- */

ec_set ec_sources(const struct ec *ec, ec_set have)
{
    ec_set taken = 0;
    have &= first_shards(ec->k + ec->m);
    if ((unsigned)__builtin_popcount(have) < ec->k)
        return 0;
    for (unsigned i = 0; i < ec->k; i++, have &= have - 1)
        taken |= have & -have;
    return taken;
}

/* The cells of a plan from those of all shards. */
static void pick_cells(const struct plan *p, void *const *shards, uint8_t **ret)
{
    for (ec_set s = p->from; s; s &= s - 1)
        *ret++ = shards[__builtin_ctz(s)];
    for (ec_set s = p->to; s; s &= s - 1) {
        *ret = shards[__builtin_ctz(s)];
        CHECK(*ret);
        ret++;
    }
}

int ec_decode(struct ec *ec, void *const *shards, ec_set have, ec_set want, size_t len)
{
    uint8_t *cells[EC_SHARDS_MAX];
    struct plan *p;
    ec_set from = ec_sources(ec, have);
    if (!from || have & want || (have | want) & ~first_shards(ec->k + ec->m))
        return -EINVAL;
    if (len == 0 || len > EC_LEN_MAX)
        return -EINVAL;
    if (!want)
        return 0;
    int r = get_plan(ec, from, want, &p);
    if (r < 0)
        return r;
    pick_cells(p, shards, cells);
    r = plan_run(p, cells, len);
    put_plan(ec, p);
    return r;
}
