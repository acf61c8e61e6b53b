/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The ring in memory, and what it wraps. The file is keyring_file.c.
 */

#include "crypt/keyring.h"
#include "base/encode.h"
#include "base/error.h"

int keyring_new(struct keyring **ret, const uint8_t id[KEYRING_ID_LEN])
{
    struct keyring *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    memcpy(k->id, id, sizeof(k->id));
    *ret = k;
    return 0;
}

static void wipe_keys(struct keyring_key *keys, size_t count)
{
    if (keys)
        explicit_bzero(keys, count * sizeof(*keys));
    free(keys);
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    wipe_keys(k->keys, k->cap);
    free(k);
}

bool keyring_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
            return false;
    return name.len > 0 && name.len <= KEYRING_NAME_MAX;
}

/* Not realloc: it would leave keys in memory that was given back. */
static int make_room(struct keyring *k)
{
    if (k->count < k->cap)
        return 0;
    size_t cap = MAX(k->cap * 2, (size_t)8);
    struct keyring_key *keys = calloc(cap, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    if (k->count)
        memcpy(keys, k->keys, k->count * sizeof(*keys));
    wipe_keys(k->keys, k->cap);
    k->keys = keys;
    k->cap = cap;
    return 0;
}

int keyring_add(struct keyring *k, struct str name, uint64_t now_ms,
                const uint8_t key[CRYPT_KEY_LEN])
{
    if (!keyring_name_is_valid(name))
        return -EINVAL;
    if (k->count == KEYRING_KEYS_MAX)
        return -ERR_LIMIT;
    int r = make_room(k);
    if (r < 0)
        return r;
    const struct keyring_key *newest = keyring_find(k, name, 0);
    struct keyring_key *e = &k->keys[k->count];
    e->version = newest ? newest->version + 1 : 1;
    e->created_ms = now_ms;
    memcpy(e->name, name.ptr, name.len);
    e->name[name.len] = 0;
    memcpy(e->bytes, key, sizeof(e->bytes));
    k->count++;
    k->generation++;
    return 0;
}

const struct keyring_key *keyring_find(const struct keyring *k, struct str name, uint32_t version)
{
    for (size_t i = k->count; i-- > 0;)
        if ((version == 0 || k->keys[i].version == version) &&
            str_eq(name, str_from(k->keys[i].name)))
            return &k->keys[i];
    return NULL;
}

int keyring_wrap(const struct keyring_key *by, struct str aad, const uint8_t salt[WRAP_SALT_LEN],
                 const uint8_t key[CRYPT_KEY_LEN], uint8_t ret[KEYRING_WRAPPED])
{
    put_be32(ret, by->version);
    return wrap_key(by->bytes, aad, salt, key, ret + 4);
}

uint32_t keyring_wrapped_version(struct str wrapped)
{
    return wrapped.len == KEYRING_WRAPPED ? get_be32(wrapped.ptr) : 0;
}

int keyring_unwrap(const struct keyring_key *by, struct str aad, struct str wrapped,
                   uint8_t ret[CRYPT_KEY_LEN])
{
    if (keyring_wrapped_version(wrapped) != by->version)
        return -ERR_CORRUPT;
    return unwrap_key(by->bytes, aad, (const uint8_t *)wrapped.ptr + 4, ret);
}
