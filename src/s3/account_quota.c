/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "s3/account_quota.h"
#include "base/error.h"
#include "base/table.h"

/* What one bucket held when its account was looked at. */
struct share {
    struct bucket_id bucket;
    struct store_quota used;
};

/* One account, allocated whole. */
struct holding {
    struct table_node node;
    uint64_t at_ns;
    struct store_quota used; /* of all */
    size_t count;
    struct share *shares; /* behind the account's name */
    char account[];
};

struct account_quotas {
    struct rt_lock lock; /* guards: */
    struct table holdings;
};

struct account_quotas *account_quotas_new(void)
{
    struct account_quotas *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    rt_lock_init(&q->lock);
    table_init(&q->holdings, ACCOUNT_QUOTAS_MAX);
    return q;
}

static int free_holding(struct table_node *n, void *arg)
{
    struct holding *h = container_of(n, struct holding, node);
    free(h->shares);
    free(h);
    return 0;
}

static void forget_all(struct account_quotas *q)
{
    table_each(&q->holdings, free_holding, NULL);
    table_release(&q->holdings);
    table_init(&q->holdings, ACCOUNT_QUOTAS_MAX);
}

void account_quotas_free(struct account_quotas *q)
{
    if (!q)
        return;
    table_each(&q->holdings, free_holding, NULL);
    table_release(&q->holdings);
    free(q);
}

/* ---- looking -------------------------------------------------------------------------------- */

static int add_share(struct holding *h, const struct store_bucket *b, const struct store_usage *u)
{
    struct share *more = reallocarray(h->shares, h->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    struct store_quota used = {.bytes = (uint64_t)MAX(u->bytes + u->part_bytes, (int64_t)0),
                               .objects = (uint64_t)MAX(u->objects + u->versions, (int64_t)0)};
    h->shares = more;
    h->shares[h->count++] = (struct share){b->id, used};
    h->used.bytes += used.bytes;
    h->used.objects += used.objects;
    return 0;
}

/* A bucket that goes meanwhile holds nothing. */
static int FIBER sum_page(struct store *store, const struct store_bucket_page *page,
                          struct holding *h)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < page->count; i++) {
        struct store_usage usage;
        r = store_usage(store, page->buckets[i].id, &usage);
        if (r == 0)
            r = add_share(h, &page->buckets[i], &usage);
        else if (r == -ERR_NO_SUCH_BUCKET)
            r = 0;
    }
    return r;
}

static int FIBER sum_buckets(struct store *store, struct str account, struct holding *h)
{
    _cleanup_(arena_release) struct arena a;
    struct store_bucket_page page = {.next = STR("")};
    int r;
    arena_init(&a, 0);
    do {
        r = store_bucket_list(store, &a, account, STR(""), page.next, 1000, &page);
        if (r == 0)
            r = sum_page(store, &page, h);
    } while (r == 0 && page.next.len);
    return r;
}

static int FIBER look(struct store *store, struct str account, struct holding **ret)
{
    struct holding *h = calloc(1, sizeof(*h) + account.len);
    if (!h)
        return -ENOMEM;
    memcpy(h->account, account.ptr, account.len);
    h->at_ns = rt_now();
    int r = sum_buckets(store, account, h);
    if (r < 0)
        free_holding(&h->node, NULL);
    else
        *ret = h;
    return r;
}

/* ---- what is left --------------------------------------------------------------------------- */

/* What the account's buckets but this one held. */
static struct store_quota others(const struct holding *h, struct bucket_id b)
{
    struct store_quota sum = h->used;
    for (size_t i = 0; i < h->count; i++) {
        if (h->shares[i].bucket.n != b.n)
            continue;
        sum.bytes -= h->shares[i].used.bytes;
        sum.objects -= h->shares[i].used.objects;
    }
    return sum;
}

/* Under the lock. False: it must be looked up. */
static bool find_others(struct account_quotas *q, struct str account, struct bucket_id b,
                        struct store_quota *ret)
{
    struct table_node *n = table_get(&q->holdings, account);
    const struct holding *h = n ? container_of(n, struct holding, node) : NULL;
    if (!h || rt_now() - h->at_ns > ACCOUNT_QUOTA_AGE_NS)
        return false;
    *ret = others(h, b);
    return true;
}

static void keep(struct account_quotas *q, struct holding *h, struct str account)
{
    struct str key = str_make(h->account, account.len);
    rt_lock(&q->lock);
    struct table_node *old = table_del(&q->holdings, key);
    if (old)
        free_holding(old, NULL);
    if (q->holdings.count == ACCOUNT_QUOTAS_MAX)
        forget_all(q);
    if (table_put(&q->holdings, &h->node, key) < 0)
        free_holding(&h->node, NULL); /* no memory: the next write looks again */
    rt_unlock(&q->lock);
}

static int FIBER get_others(struct account_quotas *q, struct store *store, struct str account,
                            struct bucket_id b, struct store_quota *ret)
{
    struct holding *h;
    rt_lock(&q->lock);
    bool found = find_others(q, account, b, ret);
    rt_unlock(&q->lock);
    if (found)
        return 0;
    int r = look(store, account, &h);
    if (r < 0)
        return r;
    *ret = others(h, b);
    keep(q, h, account);
    return 0;
}

static void narrow(uint64_t limit, uint64_t used, uint64_t *quota, bool *full)
{
    if (!limit)
        return;
    uint64_t rest = limit > used ? limit - used : 0;
    *full = *full || rest == 0;
    *quota = *quota ? MIN(*quota, rest) : rest;
}

int FIBER account_quota_apply(struct account_quotas *q, struct store *store, struct iam *iam,
                              const struct store_bucket *b, struct store_quota *quota)
{
    struct iam_limits limits;
    struct store_quota used;
    if (!iam_account_limits(iam, b->owner, &limits))
        return 0;
    int r = get_others(q, store, b->owner, b->id, &used);
    if (r < 0)
        return r;
    narrow(limits.bytes, used.bytes, &quota->bytes, &quota->bytes_full);
    narrow(limits.objects, used.objects, &quota->objects, &quota->objects_full);
    return 0;
}
