/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/disks.h"
#include "store/keys.h"
#include "store/record.h"

const char *store_disk_state_text(enum store_disk_state state)
{
    static const char *const texts[] = {"active", "draining", "gone"};
    return texts[state];
}

int store_disks_init(struct store_disks *t)
{
    *t = (struct store_disks){.list = calloc(STORE_DISKS_MAX, sizeof(*t->list))};
    return t->list ? 0 : -ENOMEM;
}

void store_disks_release(struct store_disks *t)
{
    free(t->list);
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

struct store_disk *store_disks_find(const struct store_disks *t, const uint8_t uuid[16])
{
    for (uint32_t i = 0; i < t->count; i++)
        if (memcmp(t->list[i].uuid, uuid, 16) == 0)
            return &t->list[i];
    return NULL;
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
    memcpy(d->uuid, pb->uuid.data, 16);
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

static int table_pack(const struct store_disks *t, struct arena *a, struct str *ret)
{
    Cairn__Disks pb = CAIRN__DISKS__INIT;
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
    uint64_t epoch;
    meta_use_reserve(tx);
    int r = newest(tx, &c, &epoch);
    meta_cursor_close(c);
    if (r == 0 && epoch != t->epoch)
        r = -ERR_CONFLICT;
    if (r == 0)
        r = table_pack(t, meta_arena(tx), &value);
    return r < 0 ? r : meta_put(tx, key_number(&k, KEY_EPOCHS, epoch + 1), value);
}

int FIBER store_disks_save(struct meta *meta, struct store_disks *t)
{
    int r = meta_write(meta, BUCKET_SYSTEM, save_tx, t);
    if (r == 0)
        t->epoch++;
    return r;
}
