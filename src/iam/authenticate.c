/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "iam/authenticate.h"
#include "iam/internal.h"

#include "base/encode.h"
#include "base/error.h"
#include "base/hash.h"
#include "rt/rt.h"
#include "wire/sigv2.h"

/*
 * Deriving a day's signing key costs four HMACs; a client uses one for a day. One cache a loop
 * thread, so no lock; direct-mapped; the secret is part of what is compared, so a changed user
 * never meets a stale key.
 */
#define KEY_SLOTS    64
#define KEY_TEXT_MAX 448

struct key_slot {
    size_t len;
    char text[KEY_TEXT_MAX]; /* access key, day, region, service, secret, each ended by NUL */
    struct sigv4_key key;
};

struct iam_key_cache {
    struct key_slot slots[KEY_SLOTS];
};

struct iam_key_cache *iam_key_caches_new(unsigned count)
{
    return calloc(count, sizeof(struct iam_key_cache));
}

void iam_key_caches_free(struct iam_key_cache *caches, unsigned count)
{
    if (caches)
        explicit_bzero(caches, count * sizeof(*caches));
    free(caches);
}

/* 0 when it does not fit. */
static size_t key_text(const struct sigv4_auth *auth, struct str secret, char ret[KEY_TEXT_MAX])
{
    const struct str fields[] = {auth->access_key, auth->date, auth->region, auth->service, secret};
    size_t len = 0;
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        if (len + fields[i].len + 1 > KEY_TEXT_MAX)
            return 0;
        if (fields[i].len)
            memcpy(ret + len, fields[i].ptr, fields[i].len);
        len += fields[i].len;
        ret[len++] = 0;
    }
    return len;
}

static void signing_key(struct iam_key_cache *c, const struct sigv4_auth *auth, struct str secret,
                        struct sigv4_key *ret)
{
    char text[KEY_TEXT_MAX];
    size_t len = key_text(auth, secret, text);
    if (len == 0) {
        sigv4_key_init(ret, secret, auth->date, auth->region, auth->service);
        return;
    }
    struct key_slot *slot = &c->slots[hash_xxh3(text, len) % KEY_SLOTS];
    if (slot->len == len && memcmp(slot->text, text, len) == 0) {
        *ret = slot->key;
    } else {
        sigv4_key_init(ret, secret, auth->date, auth->region, auth->service);
        explicit_bzero(slot->text, sizeof(slot->text));
        slot->len = len;
        memcpy(slot->text, text, len);
        slot->key = *ret;
    }
    explicit_bzero(text, len);
}

/* The request's copy goes with its use: arenas go back to the heap as they are. */
static void forget(struct str secret)
{
    if (secret.len)
        wipe((char *)(uintptr_t)secret.ptr, secret.len);
}

/* Who the credential stands for: with a session token, its session; without, its user. */
static int look_up(struct iam *iam, struct arena *a, const struct sigv4_auth *auth, uint64_t now_ms,
                   struct iam_identity *ret_who, struct str *ret_secret)
{
    if (auth->security_token.len > 0)
        return iam_session_lookup(iam, a, auth->access_key, auth->security_token, now_ms, ret_who,
                                  ret_secret);
    return iam_lookup(iam, a, auth->access_key, ret_who, ret_secret);
}

/* The digest of a body that was read beforehand stands in for the header that says it. */
static int take_body(struct arena *a, struct str body, struct sigv4_auth *auth)
{
    char *hex = arena_alloc(a, 2 * HASH_SHA256_LEN);
    if (!body.ptr)
        return -ERR_MISSING_SECURITY_HEADER;
    if (!hex)
        return -ENOMEM;
    hash_sha256(body, auth->payload_hash);
    hex_encode(auth->payload_hash, HASH_SHA256_LEN, hex);
    auth->payload_text = str_make(hex, 2 * HASH_SHA256_LEN);
    auth->payload = SIGV4_PAYLOAD_HASH;
    return 0;
}

int iam_authenticate(struct iam *iam, struct arena *a, const struct http1_request *r,
                     struct str body, uint64_t now_ms, struct sigv4_auth *ret_auth,
                     const struct sigv4_key **ret_key, struct iam_identity *ret_who)
{
    struct iam_identity who;
    struct str secret;
    *ret_auth = (struct sigv4_auth){.form = SIGV4_NONE};
    int err = sigv4_parse(a, r, ret_auth);
    if (err || ret_auth->form == SIGV4_NONE)
        return err;
    if (ret_auth->payload == SIGV4_PAYLOAD_UNSAID)
        err = take_body(a, body, ret_auth);
    if (!err)
        err = look_up(iam, a, ret_auth, now_ms, &who, &secret);
    if (err)
        return err;
    struct sigv4_key *key = arena_new(a, struct sigv4_key);
    if (key) {
        signing_key(&iam->key_caches[rt_thread_index()], ret_auth, secret, key);
        err = sigv4_verify(a, r, ret_auth, key, now_ms);
    }
    forget(secret);
    if (!key || err) {
        iam_identity_release(&who);
        return key ? err : -ENOMEM;
    }
    *ret_key = key;
    *ret_who = who;
    return 0;
}

int iam_authenticate_form(struct iam *iam, struct arena *a, const struct sigv4_form *form,
                          uint64_t now_ms, struct sigv4_auth *ret_auth,
                          struct iam_identity *ret_who)
{
    struct iam_identity who;
    struct sigv4_key key;
    struct str secret;
    int err = sigv4_parse_form(form, ret_auth);
    if (err)
        return err;
    if (ret_auth->time_ms > now_ms + SIGV4_SKEW_MS)
        return -ERR_TIME_SKEWED;
    err = look_up(iam, a, ret_auth, now_ms, &who, &secret);
    if (err)
        return err;
    signing_key(&iam->key_caches[rt_thread_index()], ret_auth, secret, &key);
    forget(secret);
    err = sigv4_verify_form(form, ret_auth, &key);
    if (err)
        iam_identity_release(&who);
    else
        *ret_who = who;
    return err;
}

/* ---- version 2 ------------------------------------------------------------------------------ */

static struct sigv4_auth auth_of_v2(enum sigv4_form_kind form, struct str access_key,
                                    struct str signature)
{
    return (struct sigv4_auth){.form = form,
                               .v2 = true,
                               .payload = SIGV4_PAYLOAD_UNSIGNED,
                               .access_key = access_key,
                               .service = STR("s3"),
                               .region = STR(""),
                               .signature_hex = signature};
}

int iam_authenticate_v2(struct iam *iam, struct arena *a, const struct http1_request *r,
                        struct str bucket_path, uint64_t now_ms, struct sigv4_auth *ret_auth,
                        struct iam_identity *ret_who, struct str *ret_to_sign)
{
    struct sigv2_auth v2;
    struct iam_identity who;
    struct str secret;
    *ret_to_sign = STR_NULL;
    int err = sigv2_parse(a, r, &v2);
    if (!err && v2.form == SIGV2_NONE)
        err = -ERR_SIGNATURE_VERSION;
    if (err)
        return err;
    *ret_auth = auth_of_v2(v2.form == SIGV2_QUERY ? SIGV4_QUERY : SIGV4_HEADER, v2.access_key,
                           v2.signature_text);
    err = iam_lookup(iam, a, v2.access_key, &who, &secret);
    if (err)
        return err;
    err = sigv2_verify(a, r, &v2, bucket_path, secret, now_ms, ret_to_sign);
    forget(secret);
    if (err)
        iam_identity_release(&who);
    else
        *ret_who = who;
    return err;
}

int iam_authenticate_form_v2(struct iam *iam, struct arena *a, struct str access_key,
                             struct str signature, struct str policy, struct sigv4_auth *ret_auth,
                             struct iam_identity *ret_who)
{
    struct iam_identity who;
    struct str secret;
    *ret_auth = auth_of_v2(SIGV4_POST, access_key, signature);
    int err = iam_lookup(iam, a, access_key, &who, &secret);
    if (err)
        return err;
    err = sigv2_verify_text(policy, signature, secret);
    forget(secret);
    if (err)
        iam_identity_release(&who);
    else
        *ret_who = who;
    return err;
}
