/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/token.h"

#include "base/encode.h"
#include "base/hash.h"

#define VERSION   '1'
#define CHECK_LEN 8
#define NAME_MAX_ 2048 /* a key, or an upload id behind a key */

static void checksum_of(struct bucket_id bucket, struct str name, uint8_t ret[CHECK_LEN])
{
    uint8_t id[8];
    put_be64(id, bucket.n);
    put_be64(ret, hash_crc64nvme(hash_crc64nvme(0, id, sizeof(id)), name.ptr, name.len));
}

struct str s3_token_make(struct arena *a, struct bucket_id bucket, struct str after)
{
    size_t len = CHECK_LEN + after.len;
    uint8_t *raw = arena_alloc(a, len);
    char *text = arena_alloc(a, BASE64_LEN(len) + 1);
    if (!raw || !text)
        return STR_NULL;
    checksum_of(bucket, after, raw);
    if (after.len)
        memcpy(raw + CHECK_LEN, after.ptr, after.len);
    text[0] = VERSION;
    size_t text_len = 1 + base64_encode(raw, len, text + 1);
    for (size_t i = 1; i < text_len; i++) {
        if (text[i] == '+')
            text[i] = '-';
        else if (text[i] == '/')
            text[i] = '_';
    }
    while (text[text_len - 1] == '=')
        text_len--;
    return str_make(text, text_len);
}

/* Plain base64 again, padded. */
static char *to_base64(struct arena *a, struct str token, size_t *ret_len)
{
    char *text = arena_alloc(a, token.len + 4);
    if (!text)
        return NULL;
    for (size_t i = 0; i < token.len; i++)
        text[i] = token.ptr[i] == '-' ? '+' : token.ptr[i] == '_' ? '/' : token.ptr[i];
    size_t len = token.len;
    while (len % 4)
        text[len++] = '=';
    *ret_len = len;
    return text;
}

int s3_token_parse(struct arena *a, struct bucket_id bucket, struct str token, struct str *ret)
{
    uint8_t check[CHECK_LEN];
    size_t text_len = 0, len;
    if (token.len < 2 || token.ptr[0] != VERSION || token.len > BASE64_LEN(NAME_MAX_))
        return -EINVAL;
    char *text = to_base64(a, str_from_offset(token, 1), &text_len);
    char *raw = arena_alloc(a, text_len);
    if (!text || !raw)
        return -ENOMEM;
    if (base64_decode(str_make(text, text_len), raw, text_len, &len) || len < CHECK_LEN)
        return -EINVAL;
    struct str name = str_make(raw + CHECK_LEN, len - CHECK_LEN);
    checksum_of(bucket, name, check);
    if (memcmp(check, raw, CHECK_LEN) != 0)
        return -EINVAL;
    *ret = name;
    return 0;
}
