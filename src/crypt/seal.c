/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "crypt/seal.h"
#include "base/encode.h"
#include "base/error.h"

#define FORMAT     1
#define BUCKET_KEY 1u
#define HEAD_LEN   3 /* format, kind, flags */
#define AAD_MAX    (9 + 1024)

static void put_field(struct buf *b, struct str s)
{
    uint8_t len[2];
    put_be16(len, (uint16_t)s.len);
    buf_put(b, len, sizeof(len));
    buf_put_str(b, s);
}

void seal_pack(const struct seal *s, struct buf *b)
{
    CHECK(s->name.len <= SEAL_NAME_MAX && s->context.len <= SEAL_CONTEXT_MAX &&
          s->middle.len <= SEAL_SERVICE_MAX);
    uint8_t head[HEAD_LEN] = {FORMAT, (uint8_t)s->kind, s->bucket_key ? BUCKET_KEY : 0};
    buf_put(b, head, sizeof(head));
    put_field(b, s->name);
    put_field(b, s->context);
    put_field(b, s->middle);
    buf_put(b, s->wrapped, sizeof(s->wrapped));
}

static bool cut_field(struct str *rest, size_t max, struct str *ret)
{
    if (rest->len < 2)
        return false;
    size_t len = get_be16(rest->ptr);
    if (len > max || len > rest->len - 2)
        return false;
    *ret = str_make(rest->ptr + 2, len);
    *rest = str_from_offset(*rest, 2 + len);
    return true;
}

int seal_parse(struct str packed, struct seal *ret)
{
    struct seal s = {0};
    if (packed.len < HEAD_LEN || packed.ptr[0] != FORMAT || packed.ptr[1] < SEAL_S3 ||
        packed.ptr[1] > SEAL_C || packed.ptr[2] & ~BUCKET_KEY)
        return -ERR_CORRUPT;
    s.kind = (enum seal_kind)packed.ptr[1];
    s.bucket_key = packed.ptr[2] & BUCKET_KEY;
    struct str rest = str_from_offset(packed, HEAD_LEN);
    if (!cut_field(&rest, SEAL_NAME_MAX, &s.name) ||
        !cut_field(&rest, SEAL_CONTEXT_MAX, &s.context) ||
        !cut_field(&rest, SEAL_SERVICE_MAX, &s.middle) || rest.len != sizeof(s.wrapped))
        return -ERR_CORRUPT;
    bool customers = s.kind == SEAL_C;
    if (customers ? s.name.len || s.context.len || s.middle.len || s.bucket_key
                  : !s.name.len || !s.middle.len)
        return -ERR_CORRUPT;
    memcpy(s.wrapped, rest.ptr, sizeof(s.wrapped));
    *ret = s;
    return 0;
}

static struct str additional(struct bucket_id bucket, enum seal_kind kind, struct str key,
                             char room[AAD_MAX])
{
    CHECK(key.len <= AAD_MAX - 9);
    put_be64(room, bucket.n);
    room[8] = (char)kind;
    memcpy(room + 9, key.ptr, key.len);
    return str_make(room, 9 + key.len);
}

int seal_wrap(struct seal *s, struct bucket_id bucket, struct str key,
              const uint8_t by[CRYPT_KEY_LEN], const uint8_t salt[WRAP_SALT_LEN],
              const uint8_t data_key[CRYPT_KEY_LEN])
{
    char room[AAD_MAX];
    return wrap_key(by, additional(bucket, s->kind, key, room), salt, data_key, s->wrapped);
}

int seal_unwrap(const struct seal *s, struct bucket_id bucket, struct str key,
                const uint8_t by[CRYPT_KEY_LEN], uint8_t ret_data_key[CRYPT_KEY_LEN])
{
    char room[AAD_MAX];
    return unwrap_key(by, additional(bucket, s->kind, key, room), s->wrapped, ret_data_key);
}
