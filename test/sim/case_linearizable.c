/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Several clients on the same few keys: what they are answered must be explained by some order of
 * their operations, one at a time, in which each takes effect between its call and its answer
 * (Herlihy, Wing: Linearizability, 1990). An operation cut off by a crash may have taken effect or
 * not. The search is Wing and Gong's with Lowe's memory of the configurations seen (Lowe: Testing
 * for linearizability, 2017), one key at a time.
 */

#include <stdio.h>
#include "base/encode.h"
#include "sim/cases.h"
#include "sim/store_model.h"

#define LIN_KEYS     2u
#define LIN_CLIENTS  4u
#define LIN_OPS      14u /* a client and life */
#define LIN_LIVES    2u
#define LIN_OPS_MAX  64u /* a key: one bit each */
#define LIN_PENDING  UINT64_MAX
#define LIN_SEEN_MAX (1u << 20)

enum lin_kind { LIN_PUT, LIN_PUT_NEW, LIN_PUT_MATCH, LIN_DELETE, LIN_GET };
static const char *const lin_names[] = {"put", "put if none", "put if match", "delete", "get"};

struct lin_op {
    enum lin_kind kind;
    unsigned client;
    uint64_t called, answered; /* moments; LIN_PENDING: never answered */
    uint64_t tag;              /* written, or read (0: nothing) */
    uint64_t expected;         /* LIN_PUT_MATCH: the tag of the ETag given */
    bool refused;              /* the condition did not hold */
    bool was_there;            /* what a write or deletion said of the key before it */
};

struct lin {
    struct sm m;
    uint64_t moment, next_tag;
    struct lin_op ops[LIN_KEYS][LIN_OPS_MAX];
    unsigned count[LIN_KEYS];
    unsigned life;
};

/* ---- the search ----------------------------------------------------------------------------- */

struct lin_search {
    const struct lin_op *ops;
    unsigned count;
    uint64_t completed; /* the operations that were answered */
    struct {
        uint64_t done, tag;
        bool used;
    } * seen;
    unsigned seen_count;
};

/* Whether the operation, taking effect on a key that holds `tag`, is answered as it was. */
static bool lin_apply(const struct lin_op *op, uint64_t *tag)
{
    bool pending = op->answered == LIN_PENDING, there = *tag != 0;
    switch (op->kind) {
    case LIN_GET:
        return pending || op->tag == *tag;
    case LIN_DELETE:
        *tag = 0;
        return pending || op->was_there == there;
    case LIN_PUT_NEW:
    case LIN_PUT_MATCH: {
        bool holds = op->kind == LIN_PUT_NEW ? !there : *tag == op->expected;
        if (!pending && op->refused == holds)
            return false;
        *tag = holds ? op->tag : *tag;
        return pending || op->refused || op->was_there == there;
    }
    default:
        *tag = op->tag;
        return pending || op->was_there == there;
    }
}

/* True the first time; a full table only costs time. */
static bool lin_first_seen(struct lin_search *s, uint64_t done, uint64_t tag)
{
    if (s->seen_count > LIN_SEEN_MAX / 2)
        return true;
    uint64_t slot = (done * 0x9e3779b97f4a7c15ULL ^ tag * 0xbf58476d1ce4e5b9ULL) >> 44;
    for (;; slot++) {
        slot %= LIN_SEEN_MAX;
        if (!s->seen[slot].used)
            break;
        if (s->seen[slot].done == done && s->seen[slot].tag == tag)
            return false;
    }
    s->seen[slot].used = true;
    s->seen[slot].done = done;
    s->seen[slot].tag = tag;
    s->seen_count++;
    return true;
}

/* The first answer among the operations left: whatever was called after it comes later. */
static uint64_t lin_first_answer(const struct lin_search *s, uint64_t done)
{
    uint64_t first = LIN_PENDING;
    for (unsigned i = 0; i < s->count; i++)
        if (!(done >> i & 1))
            first = MIN(first, s->ops[i].answered);
    return first;
}

static bool lin_explain(struct lin_search *s, uint64_t done, uint64_t tag)
{
    if ((done & s->completed) == s->completed)
        return true;
    if (!lin_first_seen(s, done, tag))
        return false;
    uint64_t before = lin_first_answer(s, done);
    for (unsigned i = 0; i < s->count; i++) {
        uint64_t next = tag;
        if (done >> i & 1 || s->ops[i].called > before || !lin_apply(&s->ops[i], &next))
            continue;
        if (lin_explain(s, done | 1ULL << i, next))
            return true;
    }
    return false;
}

static bool lin_check(const struct lin_op *ops, unsigned count)
{
    struct lin_search s = {.ops = ops, .count = count};
    s.seen = calloc(LIN_SEEN_MAX, sizeof *s.seen);
    CHECK(s.seen);
    for (unsigned i = 0; i < count; i++)
        s.completed |= (uint64_t)(ops[i].answered != LIN_PENDING) << i;
    bool explained = lin_explain(&s, 0, 0);
    free(s.seen);
    return explained;
}

static void lin_print(const struct history *h, const struct lin_op *op)
{
    history_say(h, "    %llu..%lld client %u: %s tag %llu%s%s", (unsigned long long)op->called,
                (long long)op->answered, op->client, lin_names[op->kind],
                (unsigned long long)op->tag, op->refused ? ", refused" : "",
                op->was_there ? ", was there" : "");
}

/* ---- operations ----------------------------------------------------------------------------- */

static void lin_key(char ret[16], unsigned key)
{
    snprintf(ret, 16, "shared-%u", key);
}

static struct lin_op *lin_call(struct lin *l, unsigned key, unsigned client, enum lin_kind kind)
{
    if (l->count[key] == LIN_OPS_MAX)
        return NULL;
    struct lin_op *op = &l->ops[key][l->count[key]++];
    *op = (struct lin_op){.kind = kind,
                          .client = client,
                          .called = ++l->moment,
                          .answered = LIN_PENDING,
                          .tag = kind == LIN_GET || kind == LIN_DELETE ? 0 : ++l->next_tag};
    return op;
}

struct lin_etag {
    char text[40];
};

static struct lin_etag etag_text(uint64_t tag)
{
    struct lin_etag e = {"\""};
    uint8_t md5[16] = {0};
    memcpy(md5, &tag, sizeof tag);
    hex_encode(md5, sizeof md5, e.text + 1);
    e.text[33] = '"';
    return e;
}

/* Lengths by tag, so that a reader knows what to expect: inline, and chunked. */
static uint64_t len_of(uint64_t tag)
{
    return tag % 2 ? 100 + tag : 5000 + tag;
}

static int FIBER lin_put(struct lin *l, const char *key, struct lin_op *op, struct sim_random *r)
{
    struct store_conditions c = {0};
    struct lin_etag match;
    if (op->kind == LIN_PUT_NEW)
        c.if_none_match = STR("*");
    if (op->kind == LIN_PUT_MATCH) {
        op->expected = 1 + sim_random_below(r, l->next_tag);
        match = etag_text(op->expected);
        c.if_match = str_from(match.text);
    }
    struct store_writer *w;
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_etag etag = {0};
    struct store_checksum none = {0};
    struct store_written written;
    uint8_t data[6000];
    memcpy(etag.md5, &op->tag, sizeof op->tag);
    history_fill(data, len_of(op->tag), op->tag);
    int err = store_put_begin(l->m.store, l->m.bucket, str_from(key), len_of(op->tag), &w);
    if (err)
        return err;
    err = store_write(w, data, len_of(op->tag));
    EXPECT_OK(l->m.h, err, "write");
    err = store_put_commit(w, &attrs, &etag, &none, &c, &written);
    op->refused = err == -ERR_PRECONDITION_FAILED || err == -ERR_NO_SUCH_KEY;
    op->was_there = !err && written.replaced;
    return op->refused ? 0 : err;
}

struct lin_sink {
    struct lin *l;
    uint64_t tag, at;
};

static int lin_sink(const void *data, size_t len, void *arg)
{
    struct lin_sink *s = arg;
    EXPECT(s->l->m.h, history_fill_differs_at(data, len, s->tag, s->at) < 0, "wrong bytes");
    s->at += len;
    return 0;
}

static int FIBER lin_get(struct lin *l, const char *key, struct lin_op *op)
{
    struct store_reader *r;
    struct lin_sink sink = {.l = l};
    int err = store_get(l->m.store, l->m.bucket, str_from(key), STORE_CURRENT, NULL, &r);
    if (err == -ERR_NO_SUCH_KEY)
        return 0;
    if (err)
        return err;
    memcpy(&sink.tag, store_reader_object(r)->etag.md5, sizeof sink.tag);
    err = store_read(r, 0, len_of(sink.tag), lin_sink, &sink);
    store_reader_close(r);
    op->tag = sink.tag;
    return err;
}

static void FIBER lin_do(struct lin *l, unsigned key, unsigned client, enum lin_kind kind,
                         struct sim_random *r)
{
    char name[16];
    int err;
    struct lin_op *op = lin_call(l, key, client, kind);
    if (!op)
        return;
    lin_key(name, key);
    if (kind == LIN_GET)
        err = lin_get(l, name, op);
    else if (kind == LIN_DELETE)
        err = store_delete(l->m.store, l->m.bucket, str_from(name), NULL, &op->was_there);
    else
        err = lin_put(l, name, op, r);
    EXPECT_OK(l->m.h, err, lin_names[kind]);
    op->answered = ++l->moment;
}

/* ---- lives ---------------------------------------------------------------------------------- */

struct lin_client {
    struct lin *l;
    unsigned number;
    struct rt_fiber *fiber;
};

static int FIBER lin_client(void *arg)
{
    static const enum lin_kind kinds[] = {LIN_PUT,    LIN_PUT, LIN_PUT_NEW, LIN_PUT_MATCH,
                                          LIN_DELETE, LIN_GET, LIN_GET,     LIN_GET};
    struct lin_client *c = arg;
    struct lin *l = c->l;
    for (unsigned i = 0; i < LIN_OPS; i++) {
        uint32_t number = (l->life * LIN_CLIENTS + c->number) * LIN_OPS + i;
        struct sim_random r = history_op_random(l->m.h, number);
        unsigned key = (unsigned)sim_random_below(&r, LIN_KEYS);
        enum lin_kind kind = kinds[sim_random_below(&r, ARRAY_LEN(kinds))];
        if (history_skips(l->m.h, number))
            continue;
        lin_do(l, key, c->number, kind, &r);
        if (sim_random_one_in(&r, 4))
            rt_sleep_until(rt_now() + sim_random_below(&r, RT_MS));
    }
    return 0;
}

static int FIBER lin_life(void *arg)
{
    struct lin *l = arg;
    struct lin_client clients[LIN_CLIENTS];
    uint64_t collected;
    EXPECT_OK(l->m.h, sm_open(&l->m), "open");
    for (unsigned i = 0; i < LIN_CLIENTS; i++) {
        clients[i] = (struct lin_client){.l = l, .number = i};
        EXPECT_OK(l->m.h, rt_spawn(&clients[i].fiber, "client", lin_client, &clients[i]), "spawn");
    }
    for (unsigned i = 0; i < LIN_CLIENTS; i++) {
        EXPECT_OK(l->m.h, store_gc(l->m.store, 10, &collected), "gc");
        rt_join(clients[i].fiber);
    }
    sm_close(&l->m);
    return 0;
}

static int FIBER lin_last_look(void *arg)
{
    struct lin *l = arg;
    EXPECT_OK(l->m.h, sm_open(&l->m), "open");
    for (unsigned key = 0; key < LIN_KEYS; key++)
        lin_do(l, key, LIN_CLIENTS, LIN_GET, NULL);
    sm_close(&l->m);
    return 0;
}

void case_linearizable_per_key(struct history *h)
{
    static struct lin l;
    memset(&l, 0, sizeof l);
    sm_init(&l.m, h, SIM_KEEP_SEED, 16 * MIB, LIN_LIVES * LIN_CLIENTS * LIN_OPS);
    struct sim_random r = history_op_random(h, h->op_count);
    for (; l.life < LIN_LIVES; l.life++) {
        sim_crash_at(l.m.sim, sim_events(l.m.sim) + 1 + sim_random_below(&r, 400));
        int err = sim_rt_run(l.m.sim, lin_life, &l);
        EXPECT(h, err == 0 || err == SIM_CRASHED, "life: %d", err);
    }
    sim_crash_at(l.m.sim, 0);
    EXPECT_OK(h, sim_rt_run(l.m.sim, lin_last_look, &l), "last look");
    for (unsigned key = 0; key < LIN_KEYS; key++) {
        history_say(h, "  key %u:", key);
        for (unsigned i = 0; i < l.count[key]; i++)
            lin_print(h, &l.ops[key][i]);
        EXPECT(h, lin_check(l.ops[key], l.count[key]), "no order explains what key %u answered",
               key);
    }
    sm_release(&l.m);
}

/* The checker itself: a history with an explanation, and one with a stale read. */
void case_linearizable_checker(struct history *h)
{
    struct lin_op ops[] = {
        {.kind = LIN_PUT, .called = 1, .answered = 4, .tag = 1},
        {.kind = LIN_PUT, .called = 2, .answered = 3, .tag = 2, .was_there = true},
        {.kind = LIN_GET, .called = 5, .answered = 6, .tag = 2},
        {.kind = LIN_DELETE, .called = 7, .answered = LIN_PENDING},
        {.kind = LIN_GET, .called = 8, .answered = 9, .tag = 2},
        {.kind = LIN_GET, .called = 10, .answered = 11},
    };
    EXPECT(h, lin_check(ops, ARRAY_LEN(ops)), "an explanation was not found");
    ops[2].tag = 1;
    EXPECT(h, !lin_check(ops, ARRAY_LEN(ops)), "a stale read was explained");
    ops[2].tag = 2;
    ops[4].tag = 0;
    ops[5].tag = 2;
    EXPECT(h, !lin_check(ops, ARRAY_LEN(ops)), "a deleted object that returns was explained");
}
