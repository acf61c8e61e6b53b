/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/disks.h"
#include "blob/blob.h"
#include "store/rows/keys.h"
#include "store/rows/record.h"

int store_disks_init(struct store_disks *t)
{
    *t = (struct store_disks){.list = calloc(STORE_DISKS_MAX, sizeof(*t->list))};
    return t->list ? 0 : -ENOMEM;
}

void store_disks_release(struct store_disks *t)
{
    free(t->list);
    ring_free(t->ring);
    *t = (struct store_disks){0};
}

struct store_disk *store_disks_add(struct store_disks *t)
{
    if (t->count == STORE_DISKS_MAX)
        return NULL;
    struct store_disk *d = &t->list[t->count];
    *d = (struct store_disk){.number = t->count ? d[-1].number + 1 : 0, .weight = 1};
    t->count++;
    return d;
}

struct store_disk *store_disks_number(const struct store_disks *t, uint32_t number)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->list[i].number == number)
            return &t->list[i];
    return NULL;
}

/* ---- the ring ------------------------------------------------------------------------------- */

#define OVERLOAD_PERMILLE 100

unsigned store_disks_active(const struct store_disks *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        n += t->list[i].state == STORE_DISK_ACTIVE && !t->list[i].away;
    return n;
}

/* No hours between two moves of a partition: a step waits until what the last one asked for has
 * moved, which the rebalance tells better than a clock. */
static struct ring_config ring_config_of(const struct store_disks *t, unsigned widest)
{
    unsigned active = store_disks_active(t);
    struct blob_code code = blob_code_for(BLOB_STANDARD, active, BLOB_CHUNK_MAX);
    struct ring_config c = {
        .slots = MIN(MAX((unsigned)code.k + code.m, widest), active),
        .parity = code.m,
        .overload_permille = OVERLOAD_PERMILLE,
    };
    c.slots = MAX(c.slots, MIN(active, (unsigned)BLOB_COPIES));
    memcpy(&c.seed, t->store, sizeof(c.seed));
    return c;
}

static unsigned ring_disks_of(const struct store_disks *t, struct ring_disk *ret)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct store_disk *d = &t->list[i];
        if (d->state == STORE_DISK_GONE || d->away)
            continue;
        ret[n++] = (struct ring_disk){
            .number = d->number,
            .zone = d->zone,
            .state = d->state == STORE_DISK_ACTIVE ? RING_ACTIVE : RING_DRAINING,
            .weight = MAX(d->weight, UINT64_C(1)),
        };
    }
    return n;
}

static bool same_disk(const struct ring_disk *a, const struct ring_disk *b)
{
    return a->number == b->number && a->zone == b->zone && a->node == b->node &&
           a->state == b->state && a->weight == b->weight;
}

static bool same_input(const struct ring *r, const struct ring_config *c,
                       const struct ring_disk *disks, unsigned count)
{
    unsigned had;
    const struct ring_config *old = ring_config(r);
    const struct ring_disk *of = ring_disks(r, &had);
    if (had != count || old->slots != c->slots || old->parity != c->parity ||
        old->min_hours != c->min_hours || old->overload_permille != c->overload_permille ||
        old->seed != c->seed)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!same_disk(&of[i], &disks[i]))
            return false;
    return true;
}

int store_disks_next_ring(const struct store_disks *t, unsigned widest, struct ring **ret,
                          struct ring_report *ret_report)
{
    struct ring_disk disks[STORE_DISKS_MAX];
    struct ring_report report = {0};
    struct ring *next = NULL;
    int r;
    *ret = NULL;
    if (store_disks_active(t) == 0) /* there is nowhere to place anything */
        return 0;
    struct ring_config config = ring_config_of(t, MIN(widest, (unsigned)RING_SLOTS_MAX));
    unsigned count = ring_disks_of(t, disks);
    if (t->ring)
        r = ring_next(&next, t->ring, &config, disks, count, 0, &report);
    else
        r = ring_new(&next, &config, disks, count);
    if (r < 0)
        return r;
    if (t->ring && report.moved + report.filled == 0 && same_input(t->ring, &config, disks, count))
        next = ring_free(next);
    *ret = next;
    if (ret_report)
        *ret_report = report;
    return 0;
}

/* ---- the row -------------------------------------------------------------------------------- */

static int disk_unpack(const Cairn__Disk *pb, struct store_disks *t)
{
    uint32_t least = t->count ? t->list[t->count - 1].number + 1 : 0;
    if (pb->uuid.len != 16 || pb->state > STORE_DISK_GONE || pb->number < least ||
        pb->number >= STORE_DISKS_MAX || pb->path.len >= STORE_DISK_PATH_MAX)
        return -ERR_CORRUPT;
    struct store_disk *d = store_disks_add(t);
    if (!d)
        return -ERR_CORRUPT;
    d->number = pb->number;
    d->state = pb->state;
    d->weight = pb->weight;
    d->zone = pb->zone;
    d->away = pb->away;
    memcpy(d->uuid, pb->uuid.data, 16);
    if (pb->path.len)
        memcpy(d->path, pb->path.data, pb->path.len);
    d->path[pb->path.len] = 0;
    return 0;
}

static int table_unpack(struct str value, struct arena *a, struct store_disks *t)
{
    int r = 0;
    const Cairn__Disks *pb = pb_unpack(&cairn__disks__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->store.len != 16)
        return -ERR_CORRUPT;
    memcpy(t->store, pb->store.data, 16);
    t->count = 0;
    for (size_t i = 0; r == 0 && i < pb->n_disks; i++)
        r = disk_unpack(pb->disks[i], t);
    t->ring = ring_free(t->ring);
    if (r == 0 && pb->ring.len)
        r = ring_unpack(str_make(pb->ring.data, pb->ring.len), &t->ring);
    return r;
}

static int newest(struct meta_tx *tx, struct meta_cursor **ret, uint64_t *ret_epoch)
{
    struct key_buf k;
    int r = meta_cursor_open(tx, KEY_EPOCHS, ret);
    if (r < 0)
        return r;
    *ret_epoch = 0;
    r = meta_cursor_seek_before(*ret, key_number(&k, KEY_EPOCHS, UINT64_MAX));
    if (r == 0 && meta_cursor_valid(*ret))
        r = key_parse_number(meta_cursor_key(*ret), KEY_EPOCHS, ret_epoch);
    return r;
}

static int load_tx(struct meta_tx *tx, void *arg)
{
    struct store_disks *t = arg;
    struct meta_cursor *c = NULL;
    int r = newest(tx, &c, &t->epoch);
    if (r == 0)
        r = t->epoch ? table_unpack(meta_cursor_value(c), meta_arena(tx), t) : -ERR_NOT_FOUND;
    meta_cursor_close(c);
    return r;
}

int FIBER store_disks_load(struct meta *meta, struct store_disks *t)
{
    return meta_read(meta, BUCKET_SYSTEM, load_tx, t);
}

static int table_pack(const struct store_disks *t, struct arena *a, struct buf *ring,
                      struct str *ret)
{
    Cairn__Disks pb = CAIRN__DISKS__INIT;
    int r = t->ring ? ring_pack(t->ring, ring) : 0;
    if (r < 0)
        return r;
    pb.ring = (ProtobufCBinaryData){ring->len, (uint8_t *)ring->data};
    Cairn__Disk *disks = arena_array(a, Cairn__Disk, t->count + 1);
    pb.disks = arena_array(a, Cairn__Disk *, t->count + 1);
    if (!disks || !pb.disks)
        return -ENOMEM;
    pb.store = (ProtobufCBinaryData){16, (uint8_t *)t->store};
    pb.n_disks = t->count;
    for (uint32_t i = 0; i < t->count; i++) {
        struct store_disk *d = &t->list[i];
        cairn__disk__init(&disks[i]);
        disks[i].number = d->number;
        disks[i].uuid = (ProtobufCBinaryData){16, d->uuid};
        disks[i].state = d->state;
        disks[i].weight = d->weight;
        disks[i].zone = d->zone;
        disks[i].away = d->away;
        disks[i].path = pb_bytes(str_from(d->path));
        pb.disks[i] = &disks[i];
    }
    size_t len = cairn__disks__get_packed_size(&pb);
    uint8_t *bytes = arena_alloc(a, len);
    if (!bytes)
        return -ENOMEM;
    cairn__disks__pack(&pb, bytes);
    *ret = str_make(bytes, len);
    return 0;
}

/* Somebody else's epoch in between would be lost: there is one writer, and that is a fault. */
static int save_tx(struct meta_tx *tx, void *arg)
{
    const struct store_disks *t = arg;
    struct meta_cursor *c = NULL;
    struct key_buf k;
    struct str value;
    struct buf ring;
    uint64_t epoch;
    meta_use_reserve(tx);
    int r = newest(tx, &c, &epoch);
    meta_cursor_close(c);
    if (r == 0 && epoch != t->epoch)
        r = -ERR_CONFLICT;
    buf_init(&ring, RING_BYTES_MAX);
    if (r == 0)
        r = table_pack(t, meta_arena(tx), &ring, &value);
    buf_release(&ring);
    if (r == 0)
        r = meta_put(tx, key_number(&k, KEY_EPOCHS, epoch + 1), value);
    if (r == 0 && epoch + 1 > STORE_EPOCHS_KEPT)
        r = meta_del(tx, key_number(&k, KEY_EPOCHS, epoch + 1 - STORE_EPOCHS_KEPT));
    return r;
}

int FIBER store_disks_save(struct meta *meta, struct store_disks *t)
{
    int r = meta_write(meta, BUCKET_SYSTEM, save_tx, t);
    if (r == 0)
        t->epoch++;
    return r;
}
