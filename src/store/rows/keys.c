/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/rows/keys.h"
#include <assert.h>
#include "base/encode.h"

#define GROUP      8
#define GROUP_MORE (GROUP + 1)

static_assert(1 + (STORE_KEY_MAX / GROUP + 1) * (GROUP + 1) + UPLOAD_ID_LEN <= META_KEY_MAX,
              "a framed key and what follows it fit");

static void put(struct key_buf *k, const void *bytes, size_t len)
{
    CHECK(k->len + len <= sizeof(k->bytes));
    if (len)
        memcpy(k->bytes + k->len, bytes, len);
    k->len += len;
}

static void put_u64(struct key_buf *k, uint64_t v)
{
    uint8_t be[8];
    put_be64(be, v);
    put(k, be, sizeof(be));
}

static void put_framed(struct key_buf *k, struct str key)
{
    do {
        char group[GROUP + 1] = {0};
        size_t used = MIN(key.len, (size_t)GROUP);
        if (used)
            memcpy(group, key.ptr, used);
        group[GROUP] = key.len > GROUP ? GROUP_MORE : (char)used;
        put(k, group, sizeof(group));
        key = str_from_offset(key, used);
    } while (k->bytes[k->len - 1] == GROUP_MORE);
}

static struct str finish(const struct key_buf *k)
{
    return str_make(k->bytes, k->len);
}

static void start(struct key_buf *k, struct str kind)
{
    k->len = 0;
    put(k, kind.ptr, kind.len);
}

struct str key_raw(struct key_buf *k, struct str kind, struct str rest)
{
    start(k, kind);
    put(k, rest.ptr, rest.len);
    return finish(k);
}

struct str key_number(struct key_buf *k, struct str kind, uint64_t n)
{
    start(k, kind);
    put_u64(k, n);
    return finish(k);
}

struct str key_versions(struct key_buf *k, struct str key)
{
    start(k, KEY_VERSIONS);
    put_framed(k, key);
    return finish(k);
}

struct str key_version(struct key_buf *k, struct str key, uint64_t seq)
{
    key_versions(k, key);
    put_u64(k, ~seq);
    return finish(k);
}

struct str key_beside(struct key_buf *k, struct str key, uint64_t beside)
{
    start(k, KEY_BESIDE);
    put_u64(k, beside);
    put(k, key.ptr, key.len);
    return finish(k);
}

struct str key_upload(struct key_buf *k, struct str key, struct str upload)
{
    start(k, KEY_UPLOADS);
    put_framed(k, key);
    put(k, upload.ptr, upload.len);
    return finish(k);
}

struct str key_parts(struct key_buf *k, struct str upload)
{
    return key_raw(k, KEY_PARTS, upload);
}

struct str key_part_prefix(struct key_buf *k, struct str upload, uint32_t number)
{
    uint8_t be[4];
    put_be32(be, number);
    key_parts(k, upload);
    put(k, be, sizeof(be));
    return finish(k);
}

struct str key_part(struct key_buf *k, struct str upload, uint32_t number, uint64_t attempt)
{
    key_part_prefix(k, upload, number);
    put_u64(k, attempt);
    return finish(k);
}

struct str key_garbage(struct key_buf *k, uint64_t due_ms, struct chunk_id chunk)
{
    start(k, KEY_GARBAGE);
    put_u64(k, due_ms);
    put_u64(k, chunk.session);
    put_u64(k, chunk.counter);
    return finish(k);
}

struct str key_repair(struct key_buf *k, uint8_t priority, uint16_t partition,
                      struct chunk_id chunk)
{
    start(k, KEY_REPAIRS);
    k->bytes[k->len++] = (char)priority;
    k->bytes[k->len++] = (char)(partition >> 8);
    k->bytes[k->len++] = (char)partition;
    put_u64(k, chunk.session);
    put_u64(k, chunk.counter);
    return finish(k);
}

struct str key_restore(struct key_buf *k, uint8_t rank, uint64_t due_ms, uint64_t number)
{
    start(k, KEY_RESTORES);
    k->bytes[k->len++] = (char)rank;
    put_u64(k, due_ms);
    put_u64(k, number);
    return finish(k);
}

struct str key_outbox_shard(struct key_buf *k, bool dead, struct str target, unsigned shard)
{
    CHECK(target.len > 0 && target.len <= UINT8_MAX && shard <= UINT8_MAX);
    start(k, dead ? KEY_DEAD : KEY_OUTBOX);
    k->bytes[k->len++] = (char)target.len;
    put(k, target.ptr, target.len);
    k->bytes[k->len++] = (char)shard;
    return finish(k);
}

struct str key_outbox(struct key_buf *k, bool dead, struct str target, unsigned shard, uint64_t seq)
{
    key_outbox_shard(k, dead, target, shard);
    put_u64(k, seq);
    return finish(k);
}

/* ---- the reverse ---------------------------------------------------------------------------- */

/* Takes a frame off the front of *rest. */
static int take_framed(struct str *rest, char ret_key[STORE_KEY_MAX], size_t *ret_len)
{
    size_t len = 0;
    for (bool more = true; more;) {
        if (rest->len < GROUP + 1)
            return -ERR_CORRUPT;
        uint8_t mark = (uint8_t)rest->ptr[GROUP];
        more = mark == GROUP_MORE;
        size_t used = more ? GROUP : mark;
        if (used > GROUP || len + used > STORE_KEY_MAX)
            return -ERR_CORRUPT;
        memcpy(ret_key + len, rest->ptr, used);
        len += used;
        *rest = str_from_offset(*rest, GROUP + 1);
    }
    *ret_len = len;
    return 0;
}

int key_parse_version(struct str row, char ret_key[STORE_KEY_MAX], size_t *ret_key_len,
                      uint64_t *ret_seq)
{
    if (!str_starts(row, KEY_VERSIONS))
        return -ERR_CORRUPT;
    struct str rest = str_from_offset(row, KEY_VERSIONS.len);
    int r = take_framed(&rest, ret_key, ret_key_len);
    if (r < 0)
        return r;
    if (rest.len != 8)
        return -ERR_CORRUPT;
    *ret_seq = ~get_be64(rest.ptr);
    return 0;
}

int key_parse_beside(struct str row, struct str *ret_key, uint64_t *ret_beside)
{
    size_t fixed = KEY_BESIDE.len + sizeof(uint64_t);
    if (!str_starts(row, KEY_BESIDE) || row.len <= fixed || row.len > fixed + STORE_KEY_MAX)
        return -ERR_CORRUPT;
    *ret_beside = get_be64(row.ptr + KEY_BESIDE.len);
    *ret_key = str_from_offset(row, fixed);
    return *ret_beside ? 0 : -ERR_CORRUPT;
}

int key_parse_upload(struct str row, char ret_key[STORE_KEY_MAX], size_t *ret_key_len,
                     struct str *ret_upload)
{
    if (!str_starts(row, KEY_UPLOADS))
        return -ERR_CORRUPT;
    struct str rest = str_from_offset(row, KEY_UPLOADS.len);
    int r = take_framed(&rest, ret_key, ret_key_len);
    if (r < 0)
        return r;
    if (rest.len != UPLOAD_ID_LEN)
        return -ERR_CORRUPT;
    *ret_upload = rest;
    return 0;
}

int key_parse_part(struct str row, struct str *ret_upload, uint32_t *ret_number,
                   uint64_t *ret_attempt)
{
    if (row.len != 1 + UPLOAD_ID_LEN + 4 + 8 || !str_starts(row, KEY_PARTS))
        return -ERR_CORRUPT;
    *ret_upload = str_make(row.ptr + 1, UPLOAD_ID_LEN);
    *ret_number = get_be32(row.ptr + 1 + UPLOAD_ID_LEN);
    *ret_attempt = get_be64(row.ptr + 1 + UPLOAD_ID_LEN + 4);
    return 0;
}

int key_parse_garbage(struct str row, uint64_t *ret_due_ms, struct chunk_id *ret_chunk)
{
    if (row.len != 1 + 3 * 8 || !str_starts(row, KEY_GARBAGE))
        return -ERR_CORRUPT;
    *ret_due_ms = get_be64(row.ptr + 1);
    *ret_chunk = (struct chunk_id){get_be64(row.ptr + 9), get_be64(row.ptr + 17)};
    return 0;
}

int key_parse_restore(struct str row, uint8_t *ret_rank, uint64_t *ret_due_ms, uint64_t *ret_number)
{
    size_t at = KEY_RESTORES.len;
    if (row.len != at + 1 + 2 * sizeof(uint64_t) || !str_starts(row, KEY_RESTORES))
        return -ERR_CORRUPT;
    *ret_rank = (uint8_t)row.ptr[at];
    *ret_due_ms = get_be64(row.ptr + at + 1);
    *ret_number = get_be64(row.ptr + at + 9);
    return 0;
}

int key_parse_repair(struct str row, uint8_t *ret_priority, struct chunk_id *ret_chunk)
{
    if (row.len != 1 + 3 + 2 * 8 || !str_starts(row, KEY_REPAIRS))
        return -ERR_CORRUPT;
    *ret_priority = (uint8_t)row.ptr[1];
    *ret_chunk = (struct chunk_id){get_be64(row.ptr + 4), get_be64(row.ptr + 12)};
    return 0;
}

int key_parse_outbox(struct str row, struct str *ret_target, unsigned *ret_shard, uint64_t *ret_seq)
{
    if (row.len < 2 || !(str_starts(row, KEY_OUTBOX) || str_starts(row, KEY_DEAD)))
        return -ERR_CORRUPT;
    size_t len = (uint8_t)row.ptr[1];
    if (len == 0 || row.len != 2 + len + 1 + 8)
        return -ERR_CORRUPT;
    *ret_target = str_make(row.ptr + 2, len);
    *ret_shard = (uint8_t)row.ptr[2 + len];
    *ret_seq = get_be64(row.ptr + 3 + len);
    return 0;
}

int key_parse_number(struct str row, struct str kind, uint64_t *ret)
{
    if (row.len != kind.len + 8 || !str_starts(row, kind))
        return -ERR_CORRUPT;
    *ret = get_be64(row.ptr + kind.len);
    return 0;
}

struct str key_past_prefix(struct str prefix, char *ret)
{
    while (prefix.len && (uint8_t)prefix.ptr[prefix.len - 1] == 0xff)
        prefix.len--;
    if (prefix.len == 0)
        return STR_NULL;
    memcpy(ret, prefix.ptr, prefix.len);
    ret[prefix.len - 1]++;
    return str_make(ret, prefix.len);
}
