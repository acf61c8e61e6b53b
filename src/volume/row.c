/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The rows of the needle index as bytes (docs/FORMATS.md, "Needle index"). Numbers in keys are
 * big-endian so that they sort; those that shall come greatest first are inverted.
 */

#include "base/encode.h"
#include "volume/internal.h"

#define KIND_DISK   'D'
#define KIND_VOLUME 'V'
#define KIND_NEEDLE 'N'

#define NEEDLE_VALUE_LEN 9

static_assert(1 + 16 + 2 == ROW_PREFIX_LEN, "kind, chunk, shard");
static_assert(ROW_PREFIX_LEN + 8 + 4 + 8 == ROW_KEY_MAX, "then lsn, volume, offset");
static_assert(sizeof(struct volume_row) == ROW_VALUE_MAX, "the row's value is the struct");

struct row_bytes row_of_disk(const uint8_t uuid[16])
{
    struct row_bytes b = {.key = {KIND_DISK}, .key_len = 1, .value_len = 20};
    put_be32(b.value, FORMAT_VERSION);
    memcpy(b.value + 4, uuid, 16);
    return b;
}

struct row_bytes row_of_volume(uint32_t number, const struct volume_row *row)
{
    struct row_bytes b = {.key = {KIND_VOLUME}, .key_len = 5, .value_len = sizeof(*row)};
    put_be32(b.key + 1, number);
    memcpy(b.value, row, sizeof(*row));
    return b;
}

struct row_bytes row_prefix(struct needle_key key)
{
    struct row_bytes b = {.key = {KIND_NEEDLE}, .key_len = ROW_PREFIX_LEN};
    put_be64(b.key + 1, key.chunk.session);
    put_be64(b.key + 9, key.chunk.counter);
    put_be16(b.key + 17, key.shard);
    return b;
}

struct row_bytes row_of_needle(const struct index_row *row)
{
    struct row_bytes b = row_prefix(row->key);
    put_be64(b.key + 19, ~row->lsn);
    put_be32(b.key + 27, ~row->volume);
    put_be64(b.key + 31, ~row->offset);
    b.key_len = ROW_KEY_MAX;
    put_be32(b.value, row->len_bytes);
    put_be32(b.value + 4, row->cell_bytes);
    b.value[8] = row->tombstone ? NEEDLE_TOMBSTONE : 0;
    b.value_len = NEEDLE_VALUE_LEN;
    return b;
}

bool row_is_needle(struct str key, struct str value, struct index_row *ret)
{
    if (key.len != ROW_KEY_MAX || value.len != NEEDLE_VALUE_LEN || key.ptr[0] != KIND_NEEDLE)
        return false;
    *ret = (struct index_row){
        .key.chunk = {.session = get_be64(key.ptr + 1), .counter = get_be64(key.ptr + 9)},
        .key.shard = get_be16(key.ptr + 17),
        .lsn = ~get_be64(key.ptr + 19),
        .volume = ~get_be32(key.ptr + 27),
        .offset = ~get_be64(key.ptr + 31),
        .len_bytes = get_be32(value.ptr),
        .cell_bytes = get_be32(value.ptr + 4),
        .tombstone = value.ptr[8] & NEEDLE_TOMBSTONE,
    };
    return ret->len_bytes <= NEEDLE_PAYLOAD_MAX && ret->cell_bytes >= CELL_BYTES_MIN;
}

bool row_is_volume(struct str key, struct str value, uint32_t *ret_number, struct volume_row *ret)
{
    if (key.len != 5 || value.len != sizeof(*ret) || key.ptr[0] != KIND_VOLUME)
        return false;
    *ret_number = get_be32(key.ptr + 1);
    memcpy(ret, value.ptr, sizeof(*ret));
    return true;
}

bool row_newer(const struct index_row *a, const struct index_row *b)
{
    if (a->lsn != b->lsn)
        return a->lsn > b->lsn;
    if (a->volume != b->volume)
        return a->volume > b->volume;
    return a->offset > b->offset;
}

static int key_order(const struct needle_key *a, const struct needle_key *b)
{
    if (a->chunk.session != b->chunk.session)
        return a->chunk.session < b->chunk.session ? -1 : 1;
    if (a->chunk.counter != b->chunk.counter)
        return a->chunk.counter < b->chunk.counter ? -1 : 1;
    return (int)a->shard - (int)b->shard;
}

int row_order(const struct index_row *a, const struct index_row *b)
{
    int order = key_order(&a->key, &b->key);
    if (order != 0)
        return order;
    return row_newer(a, b) ? -1 : row_newer(b, a) ? 1 : 0;
}
