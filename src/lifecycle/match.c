/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Which rules fit, and when they are due. A key's rules are found by one search in the order of
 * prefixes and a walk up the chain of shorter ones, so that a thousand rules cost little more than
 * one.
 */

#include "lifecycle/internal.h"

#define NONE UINT16_MAX

/* ---- finding -------------------------------------------------------------------------------- */

static struct str prefix_at(const struct lifecycle *l, uint16_t i)
{
    return l->rules[l->order[i]].prefix;
}

/* The last place whose prefix is not behind the key. */
static uint16_t place_of(const struct lifecycle *l, struct str key)
{
    size_t lo = 0, hi = l->enabled;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (str_cmp(prefix_at(l, (uint16_t)mid), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? (uint16_t)(lo - 1) : NONE;
}

/* Everything between a prefix of the key and the key begins with that prefix, so the chain from
 * there up holds every rule whose prefix fits. */
static uint16_t first_for(const struct lifecycle *l, struct str key)
{
    uint16_t i = place_of(l, key);
    while (i != NONE && !str_starts(key, prefix_at(l, i)))
        i = l->parent[i];
    return i;
}

static const struct lifecycle_rule *rule_at(const struct lifecycle *l, uint16_t i)
{
    return i == NONE ? NULL : &l->rules[l->order[i]];
}

const struct lifecycle_rule *lifecycle_first(const struct lifecycle *l, struct str key,
                                             uint16_t *ret_at)
{
    return rule_at(l, *ret_at = first_for(l, key));
}

const struct lifecycle_rule *lifecycle_next(const struct lifecycle *l, uint16_t *at)
{
    return rule_at(l, *at = l->parent[*at]);
}

static bool has_tag(const struct lifecycle_subject *s, const struct store_pair *tag)
{
    for (size_t i = 0; i < s->tag_count; i++)
        if (str_eq(s->tags[i].name, tag->name) && str_eq(s->tags[i].value, tag->value))
            return true;
    return false;
}

static bool size_fits(const struct lifecycle_rule *r, const struct lifecycle_subject *s)
{
    if (!r->has_greater && !r->has_less)
        return true;
    return s->sized && (!r->has_greater || s->len_bytes > r->greater) &&
           (!r->has_less || s->len_bytes < r->less);
}

int lifecycle_fits(const struct lifecycle_rule *r, struct lifecycle_subject *s)
{
    if (!size_fits(r, s))
        return 0;
    if (r->tag_count && s->load) {
        int err = s->load(s);
        if (err < 0)
            return err;
        s->load = NULL;
    }
    for (size_t i = 0; i < r->tag_count; i++)
        if (!has_tag(s, &r->tags[i]))
            return 0;
    return 1;
}

/* ---- dates ---------------------------------------------------------------------------------- */

uint64_t lifecycle_due_ms(uint64_t from_ms, uint64_t days, uint64_t day_ms)
{
    uint64_t passed, at;
    if (__builtin_mul_overflow(days, day_ms, &passed) ||
        __builtin_add_overflow(from_ms, passed, &at) || at > LIFECYCLE_NEVER - day_ms)
        return LIFECYCLE_NEVER;
    return (at + day_ms - 1) / day_ms * day_ms;
}

/* What a rule says of a subject; LIFECYCLE_NEVER: nothing. */
struct question {
    uint64_t from_ms, newer, day_ms;
};
typedef uint64_t when_fn(const struct lifecycle_rule *r, const struct question *q);

static uint64_t when_expired(const struct lifecycle_rule *r, const struct question *q)
{
    if (r->has_date)
        return r->date_ms;
    return r->days ? lifecycle_due_ms(q->from_ms, r->days, q->day_ms) : LIFECYCLE_NEVER;
}

static uint64_t when_noncurrent(const struct lifecycle_rule *r, const struct question *q)
{
    if (!r->noncurrent_days || q->newer < r->newer)
        return LIFECYCLE_NEVER;
    return lifecycle_due_ms(q->from_ms, r->noncurrent_days, q->day_ms);
}

/* Days clean markers up, too (User Guide, "ExpiredObjectDeleteMarker"). */
static uint64_t when_marker(const struct lifecycle_rule *r, const struct question *q)
{
    return r->marker ? q->from_ms : when_expired(r, q);
}

static uint64_t when_aborted(const struct lifecycle_rule *r, const struct question *q)
{
    return r->abort_days ? lifecycle_due_ms(q->from_ms, r->abort_days, q->day_ms) : LIFECYCLE_NEVER;
}

static int earliest(const struct lifecycle *l, struct lifecycle_subject *s, when_fn *when,
                    const struct question *q, struct lifecycle_due *ret)
{
    struct lifecycle_due due = {.due_ms = LIFECYCLE_NEVER};
    uint16_t i;
    for (const struct lifecycle_rule *rule = lifecycle_first(l, s->key, &i); rule;
         rule = lifecycle_next(l, &i)) {
        uint64_t at = when(rule, q);
        int r = at < due.due_ms ? lifecycle_fits(rule, s) : 0;
        if (r < 0)
            return r;
        if (r > 0)
            due = (struct lifecycle_due){at, rule};
    }
    *ret = due;
    return 0;
}

int lifecycle_expiry(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t mtime_ms,
                     uint64_t day_ms, struct lifecycle_due *ret)
{
    struct question q = {.from_ms = mtime_ms, .day_ms = day_ms};
    return earliest(l, s, when_expired, &q, ret);
}

int lifecycle_noncurrent(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t since_ms,
                         uint64_t newer, uint64_t day_ms, struct lifecycle_due *ret)
{
    struct question q = {.from_ms = since_ms, .newer = newer, .day_ms = day_ms};
    return earliest(l, s, when_noncurrent, &q, ret);
}

int lifecycle_marker(const struct lifecycle *l, struct str key, uint64_t mtime_ms, uint64_t day_ms,
                     struct lifecycle_due *ret)
{
    struct lifecycle_subject s = {.key = key};
    struct question q = {.from_ms = mtime_ms, .day_ms = day_ms};
    return earliest(l, &s, when_marker, &q, ret);
}

int lifecycle_abort(const struct lifecycle *l, struct str key, uint64_t created_ms, uint64_t day_ms,
                    struct lifecycle_due *ret)
{
    struct lifecycle_subject s = {.key = key};
    struct question q = {.from_ms = created_ms, .day_ms = day_ms};
    return earliest(l, &s, when_aborted, &q, ret);
}
