/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The rows of batch jobs in the system space: "Jbatch " id, the state; "Jbatchlog " id number, of
 * the report; "Jbatchmd5 " id number, of the objects of the report.
 */

#include "base/encode.h"
#include "base/log.h"
#include "jobs/batch/internal.h"

#define STATES    STR("Jbatch ")
#define LOG       STR("Jbatchlog ")
#define DIGESTS   STR("Jbatchmd5 ")
#define KEY_BYTES 32

static struct str row_key(struct str kind, uint64_t id, char ret[KEY_BYTES])
{
    memcpy(ret, kind.ptr, kind.len);
    put_be64(ret + kind.len, id);
    return str_make(ret, kind.len + 8);
}

static struct str numbered_key(struct str kind, uint64_t id, uint64_t number, char ret[KEY_BYTES])
{
    struct str all = row_key(kind, id, ret);
    put_be64(ret + all.len, number);
    return str_make(ret, all.len + 8);
}

/* ---- writing -------------------------------------------------------------------------------- */

struct keep {
    const struct batch_state *state;
    const struct batch_keep *also;
    struct str packed;
};

static int drop_all(struct meta_tx *tx, struct str kind, const struct batch_state *s,
                    uint64_t first, uint64_t next)
{
    char key[KEY_BYTES];
    int r = 0;
    for (uint64_t i = first; r == 0 && i < next; i++)
        r = meta_del(tx, numbered_key(kind, s->id, i, key));
    return r;
}

/* The state is as it is to be: a row of the report more is the last, those dropped are before the
 * first. */
static int keep_tx(struct meta_tx *tx, void *arg)
{
    const struct keep *k = arg;
    const struct batch_state *s = k->state;
    const struct batch_keep *also = k->also;
    char key[KEY_BYTES];
    if (s->action == BATCH_DELETE)
        meta_use_reserve(tx);
    int r = meta_put(tx, row_key(STATES, s->id, key), k->packed);
    if (r == 0 && also->text.ptr)
        r = meta_put(tx, numbered_key(LOG, s->id, s->log_next - 1, key), also->text);
    if (r == 0 && also->drop_log)
        r = drop_all(tx, LOG, s, also->log_from, s->log_first);
    if (r == 0 && also->md5)
        r = meta_put(tx, numbered_key(DIGESTS, s->id, s->files, key), str_make(also->md5, 16));
    if (r == 0 && also->drop_files)
        r = drop_all(tx, DIGESTS, s, 1, s->files + 1);
    return r;
}

int FIBER batch_rows_keep(struct meta *m, const struct batch_state *s,
                          const struct batch_keep *also)
{
    static const struct batch_keep nothing;
    struct keep k = {.state = s, .also = also ? also : &nothing};
    int r = batch_pack(s, &k.packed);
    if (r == 0)
        r = meta_write(m, BUCKET_SYSTEM, keep_tx, &k);
    free((void *)(uintptr_t)k.packed.ptr);
    return r;
}

static int delete_tx(struct meta_tx *tx, void *arg)
{
    const uint64_t *id = arg;
    char key[KEY_BYTES];
    meta_use_reserve(tx);
    return meta_del(tx, row_key(STATES, *id, key));
}

int FIBER batch_rows_delete(struct meta *m, uint64_t id)
{
    return meta_write(m, BUCKET_SYSTEM, delete_tx, &id);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The next state behind `after`, its id then. */
struct next {
    uint64_t after, id;
    bool found, sound;
    struct batch_state state;
};

static int next_tx(struct meta_tx *tx, void *arg)
{
    struct next *n = arg;
    struct meta_cursor *c;
    char key[KEY_BYTES];
    n->found = n->sound = false;
    int r = meta_cursor_open(tx, STATES, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, row_key(STATES, n->after + 1, key));
    n->found = r == 0 && meta_cursor_valid(c) && meta_cursor_key(c).len == STATES.len + 8;
    if (n->found) {
        n->id = get_be64(meta_cursor_key(c).ptr + STATES.len);
        n->sound = batch_unpack(meta_cursor_value(c), &n->state) == 0 && n->state.id == n->id;
    }
    meta_cursor_close(c);
    return r;
}

static void tell_unsound(uint64_t id)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a batch job's state cannot be read: it does not go on");
    log_u64(&line, "id", id);
    log_end(&line);
}

int FIBER batch_rows_load(struct meta *m, int (*fn)(const struct batch_state *s, void *arg),
                          void *arg)
{
    _cleanup_free_ struct next *n = calloc(1, sizeof(*n));
    int r = n ? 0 : -ENOMEM;
    while (r == 0) {
        r = meta_read(m, BUCKET_SYSTEM, next_tx, n);
        if (r < 0 || !n->found)
            break;
        if (n->sound)
            r = fn(&n->state, arg);
        else
            tell_unsound(n->id);
        n->after = n->id;
    }
    return r;
}

struct read_log {
    const struct batch_state *state;
    struct buf *to;
};

static int log_tx(struct meta_tx *tx, void *arg)
{
    struct read_log *l = arg;
    const struct batch_state *s = l->state;
    char key[KEY_BYTES];
    int r = 0;
    buf_reset(l->to);
    for (uint64_t i = s->log_first; r == 0 && i < s->log_next; i++) {
        struct str text;
        r = meta_get(tx, numbered_key(LOG, s->id, i, key), &text);
        if (r == 0)
            buf_put_str(l->to, text);
    }
    return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
}

int FIBER batch_rows_log(struct meta *m, const struct batch_state *s, struct buf *ret)
{
    struct read_log l = {s, ret};
    int r = meta_read(m, BUCKET_SYSTEM, log_tx, &l);
    return r < 0 ? r : buf_error(ret);
}

struct read_md5 {
    uint64_t id, number;
    uint8_t *to;
};

static int md5_tx(struct meta_tx *tx, void *arg)
{
    const struct read_md5 *m = arg;
    char key[KEY_BYTES];
    struct str value;
    int r = meta_get(tx, numbered_key(DIGESTS, m->id, m->number, key), &value);
    if (r < 0 || value.len != 16)
        return r < 0 && r != -ERR_NOT_FOUND ? r : -ERR_CORRUPT;
    memcpy(m->to, value.ptr, value.len);
    return 0;
}

int FIBER batch_rows_md5(struct meta *m, uint64_t id, uint64_t number, uint8_t ret[16])
{
    struct read_md5 one = {id, number, ret};
    return meta_read(m, BUCKET_SYSTEM, md5_tx, &one);
}
