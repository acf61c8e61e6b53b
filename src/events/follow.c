/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Whoever follows gets each event's line from where it is committed, over a bounded buffer. */

#include "events/internal.h"
#include "events/message.h"

#define FOLLOW_BYTES (1 * MIB) /* a follower that does not keep up loses lines */

struct events_follower {
    struct events *events;
    struct list link;
    struct rt_waitq wake; /* under events.follow_lock, as are the rest */
    struct buf lines;
    uint64_t lost;
};

bool events_followed(const struct events *e)
{
    return __atomic_load_n(&e->follower_count, __ATOMIC_RELAXED) > 0;
}

int events_follow(struct events *e, struct events_follower **ret)
{
    struct events_follower *f = calloc(1, sizeof(*f));
    int r = 0;
    if (!f)
        return -ENOMEM;
    f->events = e;
    rt_waitq_init(&f->wake);
    buf_init(&f->lines, FOLLOW_BYTES);
    rt_lock(&e->follow_lock);
    if (e->follower_count == FOLLOWERS_MAX) {
        r = -ERR_LIMIT;
    } else {
        list_push_back(&e->followers, &f->link);
        __atomic_store_n(&e->follower_count, e->follower_count + 1, __ATOMIC_RELAXED);
    }
    rt_unlock(&e->follow_lock);
    if (r < 0)
        free(f);
    else
        *ret = f;
    return r;
}

void events_unfollow(struct events_follower *f)
{
    rt_lock(&f->events->follow_lock);
    list_remove(&f->link);
    __atomic_store_n(&f->events->follower_count, f->events->follower_count - 1, __ATOMIC_RELAXED);
    rt_unlock(&f->events->follow_lock);
    buf_release(&f->lines);
    free(f);
}

static void tell_one(struct events_follower *f, struct str line)
{
    if (f->lines.len + line.len + 1 > FOLLOW_BYTES) {
        f->lost++;
        return;
    }
    buf_put_str(&f->lines, line);
    buf_put_char(&f->lines, '\n');
    f->lost += buf_error(&f->lines) < 0;
    rt_wake_all(&f->wake);
}

void followers_tell(struct events *e, const struct outbox_row *row)
{
    _cleanup_buf_ struct buf line;
    buf_init(&line, 64 * KIB);
    event_message_put(&line, row, str_from(e->region));
    if (buf_error(&line))
        return;
    rt_lock(&e->follow_lock);
    struct events_follower *f;
    LIST_FOR (f, &e->followers, link)
        tell_one(f, buf_str(&line));
    rt_unlock(&e->follow_lock);
}

int FIBER events_follow_next(struct events_follower *f, uint64_t deadline_ns, struct buf *out,
                             uint64_t *ret_lost)
{
    int r = 0;
    rt_lock(&f->events->follow_lock);
    while (r == 0 && f->lines.len == 0)
        r = rt_wait(&f->wake, &f->events->follow_lock, deadline_ns);
    if (r == 0) {
        struct buf taken = f->lines;
        buf_init(&f->lines, FOLLOW_BYTES);
        buf_put_str(out, buf_str(&taken));
        buf_release(&taken);
    }
    *ret_lost = f->lost;
    f->lost = 0;
    rt_unlock(&f->events->follow_lock);
    return r;
}
