/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "ring/ring.h"
#include "store/rows/rows.h"

/* Packs `pb` into the transaction's own memory and puts it. */
static int put_packed(struct meta_tx *tx, struct str key, const ProtobufCMessage *pb)
{
    size_t len = protobuf_c_message_get_packed_size(pb);
    if (len > META_VALUE_MAX)
        return -ERR_ENTITY_TOO_LARGE;
    uint8_t *bytes = arena_alloc(meta_arena(tx), len);
    if (!bytes)
        return -ENOMEM;
    protobuf_c_message_pack(pb, bytes);
    return meta_put(tx, key, str_make(bytes, len));
}

int name_row_put(struct meta_tx *tx, struct str name, const struct name_row *row)
{
    Cairn__BucketName pb = CAIRN__BUCKET_NAME__INIT;
    pb.id = row->id;
    pb.owner = pb_bytes(row->owner);
    pb.region = pb_bytes(row->region);
    pb.created_ms = row->created_ms;
    struct key_buf k;
    return put_packed(tx, key_raw(&k, KEY_NAMES, name), &pb.base);
}

int name_row_decode(struct str value, struct arena *a, struct name_row *ret)
{
    int r = 0;
    const Cairn__BucketName *pb = pb_unpack(&cairn__bucket_name__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->id == 0)
        return -ERR_CORRUPT;
    *ret = (struct name_row){pb->id, pb_str(pb->owner), pb_str(pb->region), pb->created_ms};
    return 0;
}

int config_row_put(struct meta_tx *tx, const struct config_row *row)
{
    Cairn__BucketConfig pb = CAIRN__BUCKET_CONFIG__INIT;
    pb.name = pb_bytes(row->name);
    pb.versioning = row->versioning;
    pb.object_lock = row->object_lock;
    pb.renamed = row->renamed;
    return put_packed(tx, KEY_CONFIG, &pb.base);
}

int config_row_test(struct meta_tx *tx)
{
    struct str value;
    int r = meta_get(tx, KEY_CONFIG, &value);
    return r == -ERR_NOT_FOUND ? -ERR_NO_SUCH_BUCKET : r;
}

int config_row_decode(struct str value, struct arena *a, struct config_row *ret)
{
    int r = 0;
    const Cairn__BucketConfig *pb = pb_unpack(&cairn__bucket_config__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->versioning >= STORE_VERSIONINGS)
        return -ERR_CORRUPT;
    *ret = (struct config_row){pb_str(pb->name), pb->versioning, pb->object_lock, pb->renamed};
    return 0;
}

int config_row_get(struct meta_tx *tx, struct config_row *ret)
{
    struct str value;
    int r = meta_get(tx, KEY_CONFIG, &value);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? -ERR_NO_SUCH_BUCKET : r;
    return config_row_decode(value, meta_arena(tx), ret);
}

int tops_row_decode(struct str value, struct tops_row *ret)
{
    int r = 0;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    const Cairn__Tops *pb = pb_unpack(&cairn__tops__descriptor, &a, value, &r);
    if (!pb)
        return r;
    *ret = (struct tops_row){pb->null_seq, pb->marker_seq};
    return ret->null_seq || ret->marker_seq ? 0 : -ERR_CORRUPT;
}

int tops_row_get(struct meta_tx *tx, struct str key, struct tops_row *ret)
{
    struct key_buf k;
    struct str value;
    *ret = (struct tops_row){0, 0};
    int r = meta_get(tx, key_raw(&k, KEY_TOPS, key), &value);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    return tops_row_decode(value, ret);
}

int tops_row_put(struct meta_tx *tx, struct str key, const struct tops_row *row)
{
    struct key_buf k;
    struct str row_key = key_raw(&k, KEY_TOPS, key);
    Cairn__Tops pb = CAIRN__TOPS__INIT;
    if (!row->null_seq && !row->marker_seq)
        return meta_del(tx, row_key);
    pb.null_seq = row->null_seq;
    pb.marker_seq = row->marker_seq;
    return put_packed(tx, row_key, &pb.base);
}

int setting_row_put(struct meta_tx *tx, struct str row_key, const struct setting_row *row)
{
    Cairn__BucketSetting pb = CAIRN__BUCKET_SETTING__INIT;
    pb.text = pb_bytes(row->text);
    pb.changed_ms = row->changed_ms;
    return put_packed(tx, row_key, &pb.base);
}

int setting_row_decode(struct str value, struct arena *a, struct setting_row *ret)
{
    int r = 0;
    const Cairn__BucketSetting *pb = pb_unpack(&cairn__bucket_setting__descriptor, a, value, &r);
    if (!pb)
        return r;
    *ret = (struct setting_row){pb_str(pb->text), pb->changed_ms};
    return 0;
}

int config_rows_delete(struct meta_tx *tx)
{
    struct key_buf row;
    bool found = true;
    int r = 0;
    while (r == 0 && found) {
        r = rows_first(tx, KEY_CONFIG, &row, &found);
        if (r == 0 && found)
            r = meta_del(tx, str_make(row.bytes, row.len));
    }
    return r;
}

int upload_row_put(struct meta_tx *tx, struct str key, struct str upload,
                   const struct upload_row *row)
{
    Cairn__Upload pb = CAIRN__UPLOAD__INIT;
    Cairn__Attrs attrs;
    int r = attrs_pack(&row->attrs, meta_arena(tx), &attrs);
    if (r < 0)
        return r;
    pb.attrs = &attrs;
    pb.created_ms = row->created_ms;
    pb.has_checksum = row->has_checksum;
    pb.checksum_kind = row->kind;
    pb.composite = row->composite;
    struct key_buf k;
    return put_packed(tx, key_upload(&k, key, upload), &pb.base);
}

int upload_row_decode(struct str value, struct arena *a, struct upload_row *ret)
{
    int r = 0;
    const Cairn__Upload *pb = pb_unpack(&cairn__upload__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->checksum_kind >= STORE_CHECKSUM_KINDS)
        return -ERR_CORRUPT;
    struct upload_row row = {.created_ms = pb->created_ms,
                             .has_checksum = pb->has_checksum,
                             .composite = pb->composite,
                             .kind = pb->checksum_kind};
    r = attrs_unpack(pb->attrs, a, &row.attrs);
    if (r == 0)
        *ret = row;
    return r;
}

int part_row_put(struct meta_tx *tx, struct str row_key, const struct part_row *row)
{
    Cairn__Part pb = CAIRN__PART__INIT;
    Cairn__Checksum checksum;
    Cairn__Layout layout;
    pb.len_bytes = row->len_bytes;
    pb.mtime_ms = row->mtime_ms;
    pb.md5 = (ProtobufCBinaryData){HASH_MD5_LEN, (uint8_t *)row->md5};
    if (row->checksum.present) {
        checksum_pack(&row->checksum, &checksum);
        pb.checksum = &checksum;
    }
    int r = layout_pack(&row->layout, meta_arena(tx), &layout);
    if (r < 0)
        return r;
    pb.layout = &layout;
    if (row->sealed)
        pb.salt = (ProtobufCBinaryData){sizeof(row->salt), (uint8_t *)row->salt};
    return put_packed(tx, row_key, &pb.base);
}

int part_row_decode(struct str value, struct arena *a, struct part_row *ret)
{
    int r = 0;
    const Cairn__Part *pb = pb_unpack(&cairn__part__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->md5.len != HASH_MD5_LEN)
        return -ERR_CORRUPT;
    struct part_row row = {.len_bytes = pb->len_bytes, .mtime_ms = pb->mtime_ms};
    memcpy(row.md5, pb->md5.data, HASH_MD5_LEN);
    if ((r = checksum_unpack(pb->checksum, &row.checksum)) < 0 ||
        (r = layout_unpack(pb->layout, a, &row.layout)) < 0)
        return r;
    row.sealed = pb->salt.len != 0;
    if ((row.sealed && pb->salt.len != sizeof(row.salt)) ||
        row.layout.len_bytes != (row.sealed ? frame_sealed_len(row.len_bytes) : row.len_bytes))
        return -ERR_CORRUPT;
    if (row.sealed)
        memcpy(row.salt, pb->salt.data, sizeof(row.salt));
    *ret = row;
    return 0;
}

/* Another row of the same moment may name the chunk as well. */
#define MOVED_BIT (UINT64_C(1) << 63)

/* The needles that are somewhere. */
static int needles_pack(const struct blob_layout *layout, struct arena *a, Cairn__Garbage *pb)
{
    size_t most = 0;
    for (size_t i = 0; i < layout->count; i++)
        most += layout->chunks[i].shard_count;
    pb->shards.data = arena_alloc(a, layout->count);
    pb->shard.data = arena_alloc(a, most + 1);
    pb->disk = arena_array(a, uint32_t, most + 1);
    if (!pb->shards.data || !pb->shard.data || !pb->disk)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        size_t before = n;
        for (unsigned j = 0; j < c->shard_count; j++) {
            if (c->shards[j].disk == BLOB_DISK_NONE)
                continue;
            pb->shard.data[n] = (uint8_t)j;
            pb->disk[n++] = c->shards[j].disk;
        }
        pb->shards.data[i] = (uint8_t)(n - before);
    }
    pb->shards.len = layout->count;
    pb->shard.len = pb->n_disk = n;
    return 0;
}

static int put_garbage(struct meta_tx *tx, uint64_t due_ms, const struct store_place *place,
                       const struct blob_layout *layout, bool moved)
{
    size_t n = layout->count;
    if (n == 0)
        return 0;
    Cairn__Garbage pb = CAIRN__GARBAGE__INIT;
    pb.key = pb_bytes(place->key);
    pb.seq = place->seq;
    pb.upload = pb_bytes(place->upload);
    pb.part = place->part;
    pb.len_bytes = layout->len_bytes;
    pb.moved = moved;
    pb.n_session = pb.n_counter = n;
    pb.session = arena_array(meta_arena(tx), uint64_t, n);
    pb.counter = arena_array(meta_arena(tx), int64_t, n);
    if (!pb.session || !pb.counter)
        return -ENOMEM;
    uint64_t counter = 0;
    for (size_t i = 0; i < n; i++) {
        struct chunk_id id = layout->chunks[i].id;
        pb.session[i] = id.session;
        pb.counter[i] = (int64_t)(id.counter - counter);
        counter = id.counter;
    }
    int r = needles_pack(layout, meta_arena(tx), &pb);
    if (r < 0)
        return r;
    struct key_buf k;
    struct chunk_id first = layout->chunks[0].id;
    first.counter |= moved ? MOVED_BIT : 0;
    return put_packed(tx, key_garbage(&k, due_ms, first), &pb.base);
}

int garbage_row_put(struct meta_tx *tx, uint64_t due_ms, struct str key, uint64_t seq,
                    const struct blob_layout *layout)
{
    struct store_place place = {.key = key, .seq = seq};
    return put_garbage(tx, due_ms, &place, layout, false);
}

int garbage_row_put_moved(struct meta_tx *tx, uint64_t due_ms, const struct store_place *place,
                          const struct blob_chunk *gone)
{
    struct blob_layout one = {(struct blob_chunk *)gone, 1, 0};
    return put_garbage(tx, due_ms, place, &one, true);
}

/* Old rows do not tell the needles: each chunk was one shard. */
static int needles_unpack(const Cairn__Garbage *pb, struct arena *a, struct garbage_row *row)
{
    bool old = pb->shards.len == 0;
    row->needle_count = old ? row->count : pb->n_disk;
    row->needles = arena_array(a, struct blob_needle, row->needle_count + 1);
    if (!row->needles)
        return -ENOMEM;
    if (!old && (pb->shards.len != row->count || pb->shard.len != pb->n_disk))
        return -ERR_CORRUPT;
    size_t n = 0;
    for (size_t i = 0; i < row->count; i++) {
        size_t shards = old ? 1 : pb->shards.data[i];
        if (shards > row->needle_count - n)
            return -ERR_CORRUPT;
        for (size_t end = n + shards; n < end; n++) {
            struct needle_key key = {row->chunks[i], old ? 0 : pb->shard.data[n]};
            row->needles[n] = (struct blob_needle){key, old ? BLOB_DISK_ALL : pb->disk[n]};
        }
    }
    return n == row->needle_count ? 0 : -ERR_CORRUPT;
}

int garbage_row_decode(struct str value, struct arena *a, struct garbage_row *ret)
{
    int r = 0;
    const Cairn__Garbage *pb = pb_unpack(&cairn__garbage__descriptor, a, value, &r);
    if (!pb)
        return r;
    size_t n = pb->n_session;
    if (n == 0 || pb->n_counter != n || pb->key.len > STORE_KEY_MAX)
        return -ERR_CORRUPT;
    if ((pb->moved && n != 1) || (pb->upload.len != 0 && pb->upload.len != UPLOAD_ID_LEN))
        return -ERR_CORRUPT;
    struct garbage_row row = {
        .key = pb_str(pb->key),
        .seq = pb->seq,
        .chunks = arena_array(a, struct chunk_id, n),
        .count = n,
        .len_bytes = pb->len_bytes,
        .moved = pb->moved,
        .upload = pb_str(pb->upload),
        .part = pb->part,
    };
    if (!row.chunks)
        return -ENOMEM;
    uint64_t counter = 0;
    for (size_t i = 0; i < n; i++) {
        counter += (uint64_t)pb->counter[i];
        row.chunks[i] = (struct chunk_id){pb->session[i], counter};
    }
    r = needles_unpack(pb, a, &row);
    if (r == 0)
        *ret = row;
    return r;
}

int repair_row_put(struct meta_tx *tx, uint8_t priority, struct chunk_id chunk,
                   const struct repair_row *row)
{
    Cairn__Repair pb = CAIRN__REPAIR__INIT;
    pb.key = pb_bytes(row->key);
    pb.seq = row->seq;
    pb.upload = pb_bytes(row->upload);
    pb.part = row->part;
    pb.deep = row->deep;
    struct key_buf k;
    uint16_t partition = (uint16_t)ring_partition(chunk);
    return put_packed(tx, key_repair(&k, priority, partition, chunk), &pb.base);
}

int repair_row_decode(struct str value, struct arena *a, struct repair_row *ret)
{
    int r = 0;
    const Cairn__Repair *pb = pb_unpack(&cairn__repair__descriptor, a, value, &r);
    if (!pb)
        return r;
    if (pb->key.len > STORE_KEY_MAX || (pb->upload.len != 0 && pb->upload.len != UPLOAD_ID_LEN))
        return -ERR_CORRUPT;
    *ret = (struct repair_row){pb_str(pb->key), pb_str(pb->upload), pb->part, pb->seq, pb->deep};
    return 0;
}

int drop_row_put(struct meta_tx *tx, uint64_t id, struct str name)
{
    Cairn__Drop pb = CAIRN__DROP__INIT;
    pb.name = pb_bytes(name);
    struct key_buf k;
    return put_packed(tx, key_number(&k, KEY_DROPS, id), &pb.base);
}

int drop_row_decode(struct str value, struct arena *a, struct str *ret_name)
{
    int r = 0;
    const Cairn__Drop *pb = pb_unpack(&cairn__drop__descriptor, a, value, &r);
    if (pb)
        *ret_name = pb_str(pb->name);
    return pb ? 0 : r;
}

int drop_row_del(struct meta_tx *tx, uint64_t id)
{
    struct key_buf k;
    meta_use_reserve(tx);
    return meta_del(tx, key_number(&k, KEY_DROPS, id));
}

int rows_first(struct meta_tx *tx, struct str kind, struct key_buf *row, bool *ret_found)
{
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, kind, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, kind);
    *ret_found = r == 0 && meta_cursor_valid(c);
    if (*ret_found)
        key_raw(row, STR(""), meta_cursor_key(c));
    meta_cursor_close(c);
    return r;
}

int rows_any(struct meta_tx *tx, struct str kind, bool *ret)
{
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, kind, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, kind);
    *ret = r == 0 && meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}
