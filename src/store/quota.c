/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Quotas of buckets. One is a setting of the bucket whose text the store itself reads: two numbers.
 * It is held against the counters in the transaction that commits a write, which sees all that were
 * committed before it, so a quota is never passed, however many write at once.
 */

#include "store/internal.h"
#include "base/encode.h"

#define TEXT_LEN 16

int FIBER store_quota_put(struct store *s, struct bucket_id b, const struct store_quota *quota)
{
    char text[TEXT_LEN];
    if (!quota->bytes && !quota->objects)
        return store_setting_delete(s, b, STORE_SETTING_QUOTA);
    put_be64(text, quota->bytes);
    put_be64(text + 8, quota->objects);
    return store_setting_put(s, b, STORE_SETTING_QUOTA, str_make(text, sizeof(text)));
}

bool store_quota_of(const struct store_settings *set, struct store_quota *ret)
{
    const struct store_setting *s = store_setting_of(set, STORE_SETTING_QUOTA);
    *ret = (struct store_quota){0};
    if (!s)
        return false;
    if (s->text.len == TEXT_LEN)
        *ret = (struct store_quota){get_be64(s->text.ptr), get_be64(s->text.ptr + 8)};
    else
        *ret = (struct store_quota){1, 1}; /* cannot be read: nothing may grow */
    return true;
}

/* What grows beyond the limit; what only becomes less is never refused. */
static bool passes(uint64_t limit, int64_t used, int64_t delta)
{
    return limit && delta > 0 && (used + delta < 0 || (uint64_t)(used + delta) > limit);
}

static bool is_limited(const struct store_quota *q)
{
    return q->bytes || q->objects || q->bytes_full || q->objects_full;
}

int quota_test(struct meta_tx *tx, const struct store_quota *q, const int64_t deltas[COUNTERS])
{
    int64_t used[META_COUNTERS_MAX];
    if (!q || !is_limited(q))
        return 0;
    int r = meta_get_counters(tx, KEY_COUNTERS, used);
    if (r < 0)
        return r;
    int64_t kept = used[COUNT_OBJECTS] + used[COUNT_VERSIONS];
    int64_t more = deltas[COUNT_OBJECTS] + deltas[COUNT_VERSIONS];
    int64_t held = used[COUNT_BYTES] + MAX(used[COUNT_PART_BYTES], (int64_t)0);
    int64_t grown = deltas[COUNT_BYTES] + deltas[COUNT_PART_BYTES];
    if ((q->bytes_full && grown > 0) || (q->objects_full && more > 0))
        return -ERR_QUOTA_EXCEEDED;
    return passes(q->bytes, held, grown) || passes(q->objects, kept, more) ? -ERR_QUOTA_EXCEEDED
                                                                           : 0;
}
