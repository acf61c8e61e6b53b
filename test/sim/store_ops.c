/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What a client of the model does: each operation with its choices from its own number.
 */

#include <stdio.h>
#include "sim/store_model.h"

struct op {
    struct sm *m;
    unsigned client;
    uint32_t number;
    struct sim_random r;
    unsigned key; /* of the client's */
    char name[32];
    struct sm_object *object;
};

static struct str op_key(const struct op *o)
{
    return str_from(o->name);
}

static void op_pick_key(struct op *o)
{
    o->key = (unsigned)sim_random_below(&o->r, SM_KEYS);
    o->object = &o->m->objects[o->client][o->key];
    sm_key(o->name, o->client, o->key);
}

/* Inline, in a row, one small needle, several cells; the edges between them. */
static uint64_t some_len(struct op *o)
{
    struct sim_random *r = &o->r;
    static const uint32_t edges[] = {
        0,     1,     SM_INLINE_MAX, SM_INLINE_MAX + 1, SM_BESIDE_MAX, SM_BESIDE_MAX + 1, 4096,
        65535, 65536, 65537};
    switch (sim_random_below(r, 8)) {
    case 0:
    case 1:
        return edges[sim_random_below(r, ARRAY_LEN(edges))];
    case 2:
        return sim_random_below(r, o->m->big ? SM_LEN_BIG : SM_LEN_TOP);
    case 3:
    case 4:
        return sim_random_below(r, 40 * KIB);
    default:
        return sim_random_below(r, 3 * KIB);
    }
}

/* A value says its tag as its content type, so that a reader knows which one it met. */
struct attrs_text {
    char text[24];
    struct store_attrs attrs;
};

static void attrs_for(struct attrs_text *ret, uint64_t tag)
{
    snprintf(ret->text, sizeof ret->text, "%llu", (unsigned long long)tag);
    ret->attrs = (struct store_attrs){.content_type = str_from(ret->text), .owner = STR("owner")};
}

static int FIBER write_value(struct op *o, struct store_writer *w, const struct sm_value *v)
{
    _cleanup_free_ uint8_t *data = malloc(v->len_bytes + 1);
    CHECK(data);
    history_fill(data, v->len_bytes, v->tag);
    int err = 0;
    for (uint64_t done = 0; done < v->len_bytes && !err;) {
        size_t piece = MIN(v->len_bytes - done, 1 + sim_random_below(&o->r, 100 * KIB));
        err = store_write(w, data + done, piece);
        done += piece;
    }
    return err;
}

/* Under a fault the object stays open and the next look settles it. */
static void op_end(struct op *o, int err, const char *what)
{
    history_say(o->m->h, "  %u: %s %s: %s", o->number, what, o->name, err ? err_text(err) : "ok");
    if (!sm_excused(o->m, err, what, o->number))
        sm_object_done(o->object);
}

/* ---- single objects ------------------------------------------------------------------------- */

static int FIBER put_value(struct op *o, const struct sm_value *v,
                           const struct store_conditions *conditions)
{
    struct store_writer *w;
    struct attrs_text attrs;
    struct store_etag etag = {0};
    struct store_checksum none = {0};
    struct store_written written;
    attrs_for(&attrs, v->tag);
    memcpy(etag.md5, &v->tag, sizeof v->tag);
    int err = store_put_begin(o->m->store, o->m->bucket, op_key(o), v->len_bytes, &w);
    if (err)
        return err;
    err = write_value(o, w, v);
    if (err) {
        store_write_abort(w);
        return err;
    }
    bool was_there = o->object->now.tag != 0;
    err = store_put_commit(w, &attrs.attrs, &etag, &none, conditions, &written);
    EXPECT(o->m->h, err || written.replaced == was_there, "%s: replaced %d, was there %d", o->name,
           written.replaced, was_there);
    return err;
}

static void FIBER op_put(struct op *o)
{
    struct sm_value v = sm_value_new(o->m, o->number, some_len(o));
    bool only_new = sim_random_one_in(&o->r, 6);
    struct store_conditions c = {.if_none_match = STR("*")};
    bool refused = only_new && o->object->now.tag;
    sm_object_begin(o->object, refused ? o->object->now : v);
    int err = put_value(o, &v, only_new ? &c : NULL);
    EXPECT(o->m->h, !refused || err, "%s: If-None-Match did not hold", o->name);
    if (refused && err == -ERR_PRECONDITION_FAILED)
        err = 0;
    op_end(o, err, "put");
}

static void FIBER op_put_aborted(struct op *o)
{
    struct store_writer *w;
    struct sm_value v = sm_value_new(o->m, o->number, some_len(o));
    int err = store_put_begin(o->m->store, o->m->bucket, op_key(o), v.len_bytes + 1, &w);
    if (!err) {
        err = write_value(o, w, &v);
        store_write_abort(w);
    }
    sm_excused(o->m, err, "put, aborted", o->number);
}

static void FIBER op_get(struct op *o)
{
    uint64_t off = 0, len = UINT64_MAX;
    if (sim_random_one_in(&o->r, 2)) {
        off = sim_random_below(&o->r, o->object->now.len_bytes + 1);
        len = sim_random_below(&o->r, 80 * KIB);
    }
    sm_excused(o->m, sm_read_object(o->m, o->client, o->key, off, len), "get", o->number);
}

static void FIBER op_delete(struct op *o)
{
    bool existed = false, was_there = o->object->now.tag != 0;
    sm_object_begin(o->object, (struct sm_value){0});
    int err = store_delete(o->m->store, o->m->bucket, op_key(o), NULL, &existed);
    EXPECT(o->m->h, err || existed == was_there, "%s: existed %d, was there %d", o->name, existed,
           was_there);
    EXPECT(o->m->h, err == 0 || !o->m->deletes_go_on, "%s cannot be deleted: %d (%s)", o->name, err,
           err_text(err));
    op_end(o, err, "delete");
}

static void FIBER op_delete_many(struct op *o)
{
    char names[SM_KEYS][32];
    struct store_deletion list[SM_KEYS];
    struct sm_object *objects = o->m->objects[o->client];
    for (unsigned i = 0; i < SM_KEYS; i++) {
        sm_key(names[i], o->client, i);
        list[i] = (struct store_deletion){.key = str_from(names[i])};
        sm_object_begin(&objects[i], (struct sm_value){0});
    }
    int err = store_delete_many(o->m->store, o->m->bucket, list, SM_KEYS, NULL);
    EXPECT(o->m->h, err == 0 || !o->m->deletes_go_on, "deleting many: %d (%s)", err, err_text(err));
    for (unsigned i = 0; i < SM_KEYS && !err; i++)
        if (!sm_excused(o->m, list[i].result, "delete many", o->number))
            sm_object_done(&objects[i]);
    sm_excused(o->m, err, "delete many", o->number);
    history_say(o->m->h, "  %u: delete all of client %u: %d", o->number, o->client, err);
}

static void FIBER op_list(struct op *o)
{
    size_t max = 1 + sim_random_below(&o->r, SM_KEYS + 2);
    sm_excused(o->m, sm_list_client(o->m, o->client, max), "list", o->number);
}

static int same_attrs(const struct store_object *object, struct store_attrs *attrs, void *arg)
{
    *attrs = ((struct attrs_text *)arg)->attrs;
    return 0;
}

/* Copy onto itself, or other tags: attributes, which here say the same. */
static void FIBER op_set_attrs(struct op *o)
{
    struct store_written written;
    struct attrs_text attrs;
    attrs_for(&attrs, o->object->now.tag);
    int err = store_change_attrs(o->m->store, o->m->bucket, op_key(o), STORE_CURRENT, NULL,
                                 sim_random_below(&o->r, 2) && !o->m->versioned, same_attrs, &attrs,
                                 &written);
    bool between = o->m->tiers && err == -ERR_BUCKET_STATE; /* it is in another class */
    if (err != -ERR_NO_SUCH_KEY && !between)
        sm_excused(o->m, err, "set attributes", o->number);
}

/* ---- a reader while its object goes ---------------------------------------------------------- */

struct slow_sink {
    struct op *o;
    struct sm_value value;
    uint64_t at;
};

static int FIBER slow_sink(const void *data, size_t len, void *arg)
{
    struct slow_sink *s = arg;
    rt_sleep_until(rt_now() + sim_random_below(&s->o->r, 50) * RT_MS);
    ptrdiff_t differs = history_fill_differs_at(data, len, s->value.tag, s->at);
    EXPECT(s->o->m->h, differs < 0, "%s: a reader met a wrong byte after its object was deleted",
           s->o->name);
    s->at += len;
    return 0;
}

/* Opens, deletes, lets time pass for the collection and compaction, then reads to the end. */
static void FIBER op_read_deleted(struct op *o)
{
    struct store_reader *r;
    int err = store_get(o->m->store, o->m->bucket, op_key(o), STORE_CURRENT, NULL, &r);
    if (err == -ERR_NO_SUCH_KEY || sm_excused(o->m, err, "get", o->number))
        return;
    struct slow_sink sink = {.o = o, .value = o->object->now};
    op_delete(o);
    for (uint64_t len = sink.value.len_bytes; sink.at < len && !err;) {
        rt_sleep_until(rt_now() + sim_random_below(&o->r, 100) * RT_MS);
        err = store_read(r, sink.at, MIN(len - sink.at, 70 * KIB), slow_sink, &sink);
    }
    store_reader_close(r);
    /* Its record, from before repairs, may name disks that have been lost one after another; of the
     * last of them it may be this read that finds out. */
    if (o->m->disk_count && (err == -ERR_DISK_GONE || (err == -EIO && sm_dead_disks(o->m) > 0)))
        return;
    sm_excused(o->m, err, "read after delete", o->number);
}

/* ---- multipart ------------------------------------------------------------------------------ */

static int FIBER put_part(struct op *o, struct str upload, uint32_t number,
                          const struct sm_value *v)
{
    struct store_writer *w;
    struct store_checksum none = {0};
    uint8_t md5[16] = {0};
    uint64_t mtime_ms;
    memcpy(md5, &v->tag, sizeof v->tag);
    int err =
        store_part_begin(o->m->store, o->m->bucket, op_key(o), upload, number, v->len_bytes, &w);
    if (err)
        return err;
    err = write_value(o, w, v);
    if (err) {
        store_write_abort(w);
        return err;
    }
    return store_part_commit(w, md5, &none, NULL, &mtime_ms);
}

static int FIBER complete(struct op *o, struct arena *a, struct str upload,
                          const struct sm_value *v)
{
    struct store_complete_part part = {.number = 3, .has_md5 = true};
    struct store_object done;
    memcpy(part.md5, &v->tag, sizeof v->tag);
    int err = store_upload_complete(o->m->store, a, o->m->bucket, op_key(o), upload, &part, 1, NULL,
                                    UINT64_MAX, NULL, NULL, &done);
    EXPECT(o->m->h, err || done.len_bytes == v->len_bytes, "%s: completed with length %llu",
           o->name, (unsigned long long)done.len_bytes);
    return err;
}

static struct sm_upload *note_upload(struct sm *m, struct str id)
{
    if (m->upload_count == SM_UPLOADS_MAX)
        return NULL;
    struct sm_upload *u = &m->uploads[m->upload_count++];
    CHECK(id.len < sizeof u->id);
    *u = (struct sm_upload){.state = SM_UPLOAD_OPEN};
    memcpy(u->id, id.ptr, id.len);
    return u;
}

/* Creates an upload, puts its part (at times twice: the second counts), then completes, aborts or
 * leaves it. */
static void FIBER op_multipart(struct op *o)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct sm *m = o->m;
    struct sm_value v = sm_value_new(m, o->number, 1 + some_len(o));
    struct sm_value replaced = {.tag = v.tag + 50000, .len_bytes = some_len(o)};
    struct attrs_text attrs;
    struct str id;
    attrs_for(&attrs, v.tag);
    v.multipart = true;
    int err = store_upload_create(m->store, &a, m->bucket, op_key(o), &attrs.attrs, STORE_CRC32,
                                  false, false, &id);
    if (sm_excused(m, err, "create upload", o->number))
        return;
    struct sm_upload *u = note_upload(m, id);
    if (!u)
        return;
    if (sim_random_one_in(&o->r, 3))
        err = put_part(o, id, 3, &replaced);
    if (!err)
        err = put_part(o, id, 3, &v);
    if (sm_excused(m, err, "put part", o->number))
        return;
    uint64_t end = sim_random_below(&o->r, 4);
    if (end == 0)
        return;
    u->state = SM_UPLOAD_MAYBE;
    if (end == 1) {
        err = store_upload_abort(m->store, m->bucket, op_key(o), id);
        sm_excused(m, err, "abort upload", o->number);
    } else {
        sm_object_begin(o->object, v);
        err = complete(o, &a, id, &v);
        op_end(o, err, "complete upload");
    }
    if (!err)
        u->state = SM_UPLOAD_GONE;
}

/* ---- the mix -------------------------------------------------------------------------------- */

static const struct {
    unsigned weight;
    void (*run)(struct op *o);
} mix[] = {
    {30, op_put},      {3, op_put_aborted},  {20, op_get},
    {12, op_delete},   {2, op_delete_many},  {12, op_list},
    {4, op_set_attrs}, {6, op_read_deleted}, {8, op_multipart},
};

static void (*op_choose(struct op *o))(struct op *o)
{
    static void (*const biased[])(struct op *) = {[SM_PUT] = op_put,
                                                  [SM_READ_DELETED] = op_read_deleted,
                                                  [SM_MULTIPART] = op_multipart,
                                                  [SM_LIST] = op_list};
    unsigned total = 0, pick = 0;
    if (o->m->bias && sim_random_one_in(&o->r, 2))
        return biased[o->m->bias];
    for (unsigned i = 0; i < ARRAY_LEN(mix); i++)
        total += mix[i].weight;
    uint64_t at = sim_random_below(&o->r, total);
    while (at >= mix[pick].weight)
        at -= mix[pick++].weight;
    return mix[pick].run;
}

void FIBER sm_client_op(struct sm *m, unsigned client, uint32_t op)
{
    struct op o = {.m = m, .client = client, .number = op, .r = history_op_random(m->h, op)};
    op_pick_key(&o);
    /* what a fault left open is settled before the key is used again */
    for (unsigned key = 0; key < SM_KEYS; key++)
        if (m->objects[client][key].open &&
            sm_excused(m, sm_read_object(m, client, key, 0, 0), "settle", op))
            return;
    void (*run)(struct op *) = op_choose(&o);
    run(&o);
}
