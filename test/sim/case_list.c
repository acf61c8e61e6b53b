/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A listing sees every write that was acknowledged before it began.
 */

#include <stdio.h>
#include "sim/cases.h"
#include "sim/store_model.h"

#define LISTED_KEYS 20u

struct listing {
    struct sm m;
    bool there[LISTED_KEYS];
    unsigned changes[LISTED_KEYS]; /* begun and ended: odd while one is under way */
    unsigned writes_left;
};

static int FIBER put_small(struct listing *l, const char *name)
{
    struct store_writer *w;
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_etag etag = {0};
    struct store_checksum none = {0};
    struct store_written written;
    int err = store_put_begin(l->m.store, l->m.bucket, str_from(name), 4, &w);
    if (err)
        return err;
    err = store_write(w, "data", 4);
    if (err) {
        store_write_abort(w);
        return err;
    }
    return store_put_commit(w, &attrs, &etag, &none, NULL, &written);
}

static int FIBER listing_writer(void *arg)
{
    struct listing *l = arg;
    struct sim_random r = history_op_random(l->m.h, 1);
    for (; l->writes_left > 0; l->writes_left--) {
        unsigned i = (unsigned)sim_random_below(&r, LISTED_KEYS);
        char name[32];
        bool existed;
        snprintf(name, sizeof name, "dir-%u/key-%02u", i % 3, i);
        l->changes[i]++;
        if (l->there[i])
            EXPECT_OK(l->m.h, store_delete(l->m.store, l->m.bucket, str_from(name), NULL, &existed),
                      "delete");
        else
            EXPECT_OK(l->m.h, put_small(l, name), "put");
        l->there[i] = !l->there[i];
        l->changes[i]++;
    }
    return 0;
}

static unsigned key_number(const struct listing *l, struct str key)
{
    uint64_t n;
    bool ours = key.len > 2 && str_to_u64(str_from_offset(key, key.len - 2), &n) == 0;
    EXPECT(l->m.h, ours && n < LISTED_KEYS, "a key nobody wrote is listed: %.*s", STR_FMT(key));
    return (unsigned)n;
}

/* One listing by small pages: keys that nobody touched meanwhile are listed exactly when there. */
static void FIBER list_once(struct listing *l, struct sim_random *r)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    bool seen[LISTED_KEYS] = {false};
    unsigned changes[LISTED_KEYS];
    memcpy(changes, l->changes, sizeof changes);
    struct store_list_query q = {.max = 1 + sim_random_below(r, 6)};
    struct store_list_page page;
    do {
        EXPECT_OK(l->m.h, store_list(l->m.store, &a, l->m.bucket, &q, &page), "list");
        for (size_t i = 0; i < page.count; i++) {
            unsigned key = key_number(l, page.entries[i].object.key);
            EXPECT(l->m.h, !seen[key], "key %u is listed twice", key);
            seen[key] = true;
        }
        q.after = page.next;
    } while (page.truncated);
    for (unsigned key = 0; key < LISTED_KEYS; key++) {
        bool quiet = changes[key] == l->changes[key] && changes[key] % 2 == 0;
        EXPECT(l->m.h, !quiet || seen[key] == l->there[key], "key %u is %slisted after its %s", key,
               seen[key] ? "" : "not ", l->there[key] ? "write" : "deletion");
    }
}

static int FIBER listing_reader(void *arg)
{
    struct listing *l = arg;
    struct sim_random r = history_op_random(l->m.h, 2);
    while (l->writes_left > 0) {
        list_once(l, &r);
        rt_sleep_until(rt_now() + sim_random_below(&r, 300 * RT_US));
    }
    list_once(l, &r);
    return 0;
}

static int FIBER listing_life(void *arg)
{
    struct listing *l = arg;
    struct rt_fiber *writer, *reader;
    EXPECT_OK(l->m.h, sm_open(&l->m), "open");
    EXPECT_OK(l->m.h, rt_spawn(&writer, "writer", listing_writer, l), "spawn");
    EXPECT_OK(l->m.h, rt_spawn(&reader, "reader", listing_reader, l), "spawn");
    rt_join(writer);
    rt_join(reader);
    sm_close(&l->m);
    return 0;
}

void case_list_after_write(struct history *h)
{
    static struct listing l;
    memset(&l, 0, sizeof l);
    sm_init(&l.m, h, SIM_KEEP_SEED, 16 * MIB, 0);
    l.writes_left = 120;
    EXPECT_OK(h, sim_rt_run(l.m.sim, listing_life, &l), "life");
    sm_release(&l.m);
}
