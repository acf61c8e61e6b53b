/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What is done with the stores of an open meta beside its transactions: space is given back,
 * deleted bytes are erased, mirrors come and go.
 */

#include "meta/internal.h"

/* ---- space ---------------------------------------------------------------------------------- */

struct compaction {
    struct kv *kv;
    uint64_t freed_bytes;
};

static int BLOCKING compact_store(void *arg)
{
    struct compaction *c = arg;
    return kv_compact(c->kv, &c->freed_bytes);
}

/* Each mirror has its own to give back. */
int FIBER meta_compact(struct meta *m, uint64_t *ret_freed_bytes)
{
    uint64_t freed = 0;
    int r = 0;
    for (unsigned i = 0; i < META_MIRRORS_MAX && r == 0; i++) {
        struct mirror *mirror = mirrors_enter_nth(local_mirrors(m), i);
        struct compaction c = {.kv = mirror ? mirror->kv : NULL};
        if (!mirror)
            continue;
        r = rt_offload(compact_store, &c);
        mirrors_leave_cold(local_mirrors(m), mirror);
        freed += c.freed_bytes;
    }
    if (r == 0)
        *ret_freed_bytes = freed;
    return r;
}

static int BLOCKING erase_store(void *arg)
{
    return kv_erase(arg);
}

int FIBER meta_erase(struct meta *m)
{
    int r = 0;
    for (unsigned i = 0; i < META_MIRRORS_MAX && r == 0; i++) {
        struct mirror *mirror = mirrors_enter_nth(local_mirrors(m), i);
        if (!mirror)
            continue;
        r = rt_offload(erase_store, mirror->kv);
        mirrors_leave_cold(local_mirrors(m), mirror);
    }
    return r;
}

/* ---- mirrors that come and go --------------------------------------------------------------- */

struct foreign {
    struct mirrors *mirrors;
    struct kv *kv;
    bool is;
};

static int BLOCKING look_whether_foreign(void *arg)
{
    struct foreign *f = arg;
    return mirror_is_foreign(f->mirrors, f->kv, &f->is);
}

static int FIBER add(struct mirrors *set, const struct meta_mirror *mirror)
{
    struct foreign f = {set, mirror->kv, false};
    int r = rt_offload(look_whether_foreign, &f);
    if (r == 0 && f.is)
        r = -ERR_CONFLICT;
    if (r == 0)
        r = mirrors_make_room(set, mirror->id);
    return r < 0 ? r : mirrors_put(set, mirror->id, mirror->kv);
}

int FIBER meta_mirror_add(struct meta *m, const struct meta_mirror *mirror)
{
    int r = add(local_mirrors(m), mirror);
    if (r < 0) {
        rt_offload(mirror_close_store, mirror->kv);
        return r;
    }
    return mirrors_begin_rebuild(local_mirrors(m), mirror->id);
}

int FIBER meta_mirror_remove(struct meta *m, const uint8_t id[META_MIRROR_ID_BYTES])
{
    int r = mirrors_ask_to_leave(local_mirrors(m), id);
    if (r <= 0)
        return r;
    local_kick(m);
    return mirrors_wait_left(local_mirrors(m), id);
}

unsigned meta_mirror_stats(struct meta *m, struct meta_mirror_stats ret[META_MIRRORS_MAX])
{
    return mirrors_stats(local_mirrors(m), ret);
}
