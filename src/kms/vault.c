/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * HashiCorp Vault's transit engine: encrypt, decrypt, and the upkeep of its keys.
 * Source: Vault's HTTP API, "Transit secrets engine".
 */

#include "kms/vault.h"
#include "base/encode.h"
#include "wire/uri.h"

#define KEYS_LISTED 1000

/* Wipes what may hold a key. */
static void release_text(struct buf *b)
{
    if (b->data)
        wipe(b->data, b->len);
    buf_release(b);
}

/* What Vault takes for the name of a key. Others would be sent where they say: they come from
 * requests, and whatever lies on the way may read "..%2F" as a step up. */
static bool is_key_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool word =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        bool inside = (c == '-' || c == '.') && i > 0 && i + 1 < s.len;
        if (!word && !inside)
            return false;
    }
    return s.len > 0;
}

static void put_path(struct buf *b, const struct vault *v, const char *verb, struct str name)
{
    buf_printf(b, "/v1/%s/%s", v->mount, verb);
    if (name.len) {
        buf_put_char(b, '/');
        uri_encode(b, name, false);
    }
}

static int FIBER ask(struct vault *v, enum vault_verb verb, const char *method,
                     const struct buf *path, struct str body, int refused, json_t **ret)
{
    struct vault_question q = {verb, method, buf_str(path), body, refused};
    return buf_error(path) ? buf_error(path) : vault_ask(v, &q, ret);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void put_base64(struct buf *b, struct str bytes)
{
    char *at = buf_reserve(b, BASE64_LEN(bytes.len));
    if (at)
        b->len += base64_encode(bytes.ptr, bytes.len, at);
}

/* A text of the answer's `data`; ptr NULL when it is not there. */
static struct str data_text(const json_t *answer, const char *name)
{
    const json_t *value = json_object_get(json_object_get(answer, "data"), name);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_NULL;
}

int FIBER vault_wrap(struct vault *v, struct str name, struct str aad, const uint8_t *key,
                     struct arena *a, struct str *ret)
{
    _cleanup_buf_ struct buf path;
    _cleanup_(release_text) struct buf body;
    json_t *answer = NULL;
    buf_init(&path, 0);
    buf_init(&body, 0);
    if (!is_key_name(name))
        return -ERR_KMS_NOT_FOUND;
    put_path(&path, v, "encrypt", name);
    buf_put_cstr(&body, "{\"plaintext\":\"");
    put_base64(&body, str_make(key, CRYPT_KEY_LEN));
    buf_put_cstr(&body, "\",\"associated_data\":\"");
    put_base64(&body, aad);
    buf_put_cstr(&body, "\"}");
    int r = buf_error(&body);
    if (r == 0)
        r = ask(v, VAULT_ENCRYPT, "POST", &path, buf_str(&body), -ERR_KMS_UNAVAILABLE, &answer);
    if (r < 0)
        return r;
    struct str text = data_text(answer, "ciphertext");
    *ret = text.len ? arena_dup(a, text) : STR_NULL;
    json_decref(answer);
    if (!text.len)
        return -ERR_KMS_UNAVAILABLE;
    return ret->ptr ? 0 : -ENOMEM;
}

static int take_key(const json_t *answer, uint8_t *ret)
{
    struct str text = data_text(answer, "plaintext");
    uint8_t key[CRYPT_KEY_LEN + 3];
    size_t len;
    bool ok = text.ptr && base64_decode(text, key, sizeof(key), &len) == 0 && len == CRYPT_KEY_LEN;
    if (ok)
        memcpy(ret, key, CRYPT_KEY_LEN);
    explicit_bzero(key, sizeof(key));
    if (text.ptr)
        wipe((char *)text.ptr, text.len);
    return ok ? 0 : -ERR_KMS_UNAVAILABLE;
}

/* What is wrapped is base64 behind "vault:vN:"; anything else would end the JSON text early. */
static bool is_ciphertext(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '"' || s.ptr[i] == '\\')
            return false;
    return str_starts(s, STR("vault:"));
}

int FIBER vault_unwrap(struct vault *v, struct str name, struct str aad, struct str wrapped,
                       uint8_t *ret)
{
    _cleanup_buf_ struct buf path, body;
    json_t *answer = NULL;
    buf_init(&path, 0);
    buf_init(&body, 0);
    if (!is_key_name(name))
        return -ERR_KEY_LOST;
    if (!is_ciphertext(wrapped)) /* of a key ring, from before Vault was asked */
        return -ERR_KEY_LOST;
    put_path(&path, v, "decrypt", name);
    buf_printf(&body, "{\"ciphertext\":\"%.*s\",\"associated_data\":\"", STR_FMT(wrapped));
    put_base64(&body, aad);
    buf_put_cstr(&body, "\"}");
    int r = buf_error(&body);
    if (r == 0)
        r = ask(v, VAULT_DECRYPT, "POST", &path, buf_str(&body), -ERR_WRONG_KEY, &answer);
    if (r < 0)
        return r == -ERR_KMS_NOT_FOUND ? -ERR_KEY_LOST : r;
    r = take_key(answer, ret);
    json_decref(answer);
    return r;
}

/* ---- for the administrator ------------------------------------------------------------------ */

int FIBER vault_create(struct vault *v, struct str name)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 0);
    if (!is_key_name(name))
        return -EINVAL;
    put_path(&path, v, "keys", name);
    return ask(v, VAULT_KEYS, "POST", &path, STR("{\"type\":\"aes256-gcm96\"}"), -EINVAL, NULL);
}

int FIBER vault_rotate(struct vault *v, struct str name)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 0);
    if (!is_key_name(name))
        return -ERR_KMS_NOT_FOUND;
    put_path(&path, v, "keys", name);
    buf_put_cstr(&path, "/rotate");
    return ask(v, VAULT_KEYS, "POST", &path, STR("{}"), -ERR_KMS_NOT_FOUND, NULL);
}

static int FIBER newest_version(struct vault *v, struct str name, uint32_t *ret)
{
    _cleanup_buf_ struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 0);
    put_path(&path, v, "keys", name);
    int r = ask(v, VAULT_KEYS, "GET", &path, STR_NULL, -ERR_KMS_UNAVAILABLE, &answer);
    if (r < 0)
        return r;
    const json_t *n = json_object_get(json_object_get(answer, "data"), "latest_version");
    *ret = (uint32_t)json_integer_value(n);
    json_decref(answer);
    return 0;
}

static int FIBER take_names(struct vault *v, struct arena *a, const json_t *names,
                            struct kms_key *list, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        list[i].name = arena_dup(a, str_from(name ? name : ""));
        r = list[i].name.ptr ? newest_version(v, list[i].name, &list[i].newest) : -ENOMEM;
    }
    return r;
}

int FIBER vault_list(struct vault *v, struct arena *a, struct kms_key **ret, size_t *ret_count)
{
    _cleanup_buf_ struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 0);
    put_path(&path, v, "keys?list=true", STR_NULL);
    int r = ask(v, VAULT_KEYS, "GET", &path, STR_NULL, -ERR_KMS_UNAVAILABLE, &answer);
    if (r == -ERR_KMS_NOT_FOUND) { /* so Vault says that there is no key yet */
        *ret_count = 0;
        return 0;
    }
    if (r < 0)
        return r;
    const json_t *names = json_object_get(json_object_get(answer, "data"), "keys");
    size_t count = MIN(json_array_size(names), (size_t)KEYS_LISTED);
    *ret = arena_array(a, struct kms_key, count + 1);
    *ret_count = count;
    r = *ret ? take_names(v, a, names, *ret, count) : -ENOMEM;
    json_decref(answer);
    return r;
}
