/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How often a user may ask. One number a user is kept: the time at which its next request would be
 * on time, were they evenly spread; a request may come up to a second earlier (the generic cell
 * rate algorithm, ITU-T I.371). The number lives with the user in memory, so a change of the user,
 * or a restart, forgives.
 */

#include "iam/internal.h"

#define EARLY_NS RT_S

bool iam_turn(uint64_t *next_ns, uint32_t rate, uint64_t now_ns)
{
    uint64_t next = MAX(*next_ns, now_ns), step = RT_S / rate;
    if (next + step > now_ns + MAX(EARLY_NS, step))
        return false;
    *next_ns = next + step;
    return true;
}

bool iam_take_turn(struct iam *iam, const struct iam_identity *who)
{
    if (!who->request_rate)
        return true;
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_id(iam, who->user_id);
    bool in_time = !e || iam_turn(&e->next_turn_ns, who->request_rate, rt_now());
    rt_unlock(&iam->lock);
    return in_time;
}

/* ---- limits --------------------------------------------------------------------------------- */

static int FIBER set_limits(struct iam *iam, struct str name, const struct iam_limits *limits,
                            unsigned what)
{
    struct iam_entry *e = iam_find_other(iam, name);
    if (!e)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    bool own = str_eq(e->user.account, e->user.user_id);
    if (what & IAM_LIMIT_RATE)
        changed.limits.request_rate = limits->request_rate;
    if (what & IAM_LIMIT_BYTES)
        changed.limits.bytes = limits->bytes;
    if (what & IAM_LIMIT_OBJECTS)
        changed.limits.objects = limits->objects;
    if (!own && (changed.limits.bytes || changed.limits.objects))
        return -ERR_CONFLICT;
    return iam_entry_change(iam, e, &changed);
}

int FIBER iam_user_set_limits(struct iam *iam, struct str name, const struct iam_limits *limits,
                              unsigned what)
{
    if (limits->request_rate > IAM_RATE_MAX)
        return -EINVAL;
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = set_limits(iam, name, limits, what);
    iam_writer_leave(iam);
    return r;
}

bool iam_account_limits(struct iam *iam, struct str account, struct iam_limits *ret)
{
    *ret = (struct iam_limits){0};
    rt_lock(&iam->lock);
    const struct iam_entry *e = iam_find_by_id(iam, account);
    if (e)
        *ret = e->user.limits;
    rt_unlock(&iam->lock);
    return ret->bytes || ret->objects;
}
