/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The service: life, middle keys, those in memory.
 */

#include "kms/internal.h"
#include "base/encode.h"
#include <stdio.h>

/* ---- life ----------------------------------------------------------------------------------- */

int kms_add_place(struct kms *k, const char *dir, const char *name)
{
    char *path = NULL;
    struct kms_place *more = reallocarray(k->places, k->place_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    k->places = more;
    if (asprintf(&path, "%s%s%s", dir, *name ? "/" : "", name) < 0)
        return -ENOMEM;
    k->places[k->place_count++] = (struct kms_place){.path = path};
    return 0;
}

static int copy_config(struct kms *k, const struct kms_config *config)
{
    unsigned count = config->file ? 1 : config->dir_count;
    char *phrase = malloc(config->phrase.len + 1);
    k->phrase = str_make(phrase, config->phrase.len);
    if (!phrase)
        return -ENOMEM;
    if (config->phrase.len)
        memcpy(phrase, config->phrase.ptr, config->phrase.len);
    if (config->file)
        return kms_add_place(k, config->file, "");
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = kms_add_place(k, config->dirs[i], KMS_FILE);
    return r;
}

int FIBER kms_open(struct kms **ret, const struct kms_config *config, char why[KMS_WHY_MAX])
{
    struct kms *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->meta = config->meta;
    k->elsewhere = config->file || config->vault.url;
    rt_random(k->first_id, sizeof(k->first_id));
    rt_lock_init(&k->lock);
    rt_waitq_init(&k->changed);
    int r = copy_config(k, config);
    if (r == 0 && config->vault.url) {
        k->kept = calloc(KEPT_MAX, sizeof(*k->kept));
        r = k->kept ? vault_new(&k->vault, &config->vault, why) : -ENOMEM;
    } else if (r == 0) {
        r = ring_load(k, why);
        if (r == 0)
            r = rt_spawn(&k->mender, "key-mend", ring_mend, k);
    }
    if (r < 0) {
        kms_close(k);
        return r;
    }
    *ret = k;
    return 0;
}

static void wipe_free(void *p, size_t len)
{
    if (p)
        wipe(p, len);
    free(p);
}

void FIBER kms_close(struct kms *k)
{
    if (!k)
        return;
    if (k->mender) {
        rt_cancel(k->mender);
        rt_join(k->mender);
    }
    for (unsigned i = 0; i < k->place_count; i++)
        free(k->places[i].path);
    free(k->places);
    wipe_free((char *)k->phrase.ptr, k->phrase.len);
    wipe_free(k->kept, KEPT_MAX * sizeof(*k->kept));
    vault_free(k->vault);
    keyring_free(k->ring);
    free(k);
}

int FIBER kms_take_dir(struct kms *k, const char *dir)
{
    return k->elsewhere ? 0 : ring_take_dir(k, dir);
}

int FIBER kms_keep_dirs(struct kms *k, const char *const *dirs, unsigned count)
{
    return k->elsewhere ? 0 : ring_keep_dirs(k, dirs, count);
}

void kms_metrics(struct buf *out, void *kms)
{
    const struct kms *k = kms;
    if (k->vault) {
        vault_metrics(out, k->vault);
        return;
    }
    metrics_single(out, "cairn_key_copies", "gauge", "Copies of the key file.",
                   __atomic_load_n(&k->copies, __ATOMIC_RELAXED));
    metrics_single(out, "cairn_key_copies_missing", "gauge",
                   "Directories that should have a copy of the key file and have none.",
                   __atomic_load_n(&k->behind, __ATOMIC_RELAXED));
}

const char *kms_source(const struct kms *k)
{
    return k->vault ? vault_url(k->vault) : "the key ring";
}

/* ---- what a key is for ---------------------------------------------------------------------- */

struct str kms_plain_name(struct str name)
{
    static const char *const before[] = {":key/", ":alias/"};
    if (str_starts(name, STR("arn:")))
        for (unsigned i = 0; i < ARRAY_LEN(before); i++) {
            ptrdiff_t at = str_find(name, str_from(before[i]), 0);
            if (at >= 0)
                return str_from_offset(name, (size_t)at + strlen(before[i]));
        }
    if (str_starts(name, STR("alias/")))
        name = str_from_offset(name, strlen("alias/"));
    return str_eq(name, STR("aws/s3")) ? KMS_KEY_DEFAULT : name;
}

void kms_additional(const struct kms_use *use, struct buf *b)
{
    uint8_t bucket[8];
    struct str name = kms_plain_name(use->name);
    put_be64(bucket, use->bucket.n);
    buf_put_cstr(b, "cairn middle key 1");
    buf_put(b, bucket, sizeof(bucket));
    buf_put_str(b, name);
    buf_put_char(b, 0);
    buf_put_str(b, use->context);
}

/* The two that the server names itself are made when they are first wanted. */
static bool is_own(struct str name)
{
    return str_eq(name, KMS_KEY_S3) || str_eq(name, KMS_KEY_DEFAULT);
}

/* ---- keys in memory ------------------------------------------------------------------------- */

/* With `wrapped` ptr NULL: any that may be shared. */
static bool find_kept(struct kms *k, struct str aad, struct str wrapped, struct kept_key *ret)
{
    uint8_t use[HASH_SHA256_LEN];
    uint64_t now = rt_now();
    bool found = false;
    hash_sha256(aad, use);
    rt_lock(&k->lock);
    for (unsigned i = 0; !found && i < KEPT_MAX; i++) {
        const struct kept_key *e = &k->kept[i];
        found = e->until_ns > now && memcmp(e->use, use, sizeof(use)) == 0 &&
                (wrapped.ptr ? str_eq(wrapped, str_make(e->wrapped, e->wrapped_len)) : e->shared);
        if (found)
            *ret = *e;
    }
    rt_unlock(&k->lock);
    return found;
}

static void keep(struct kms *k, struct str aad, bool shared, struct str wrapped, const uint8_t *key)
{
    if (wrapped.len > SEAL_SERVICE_MAX)
        return;
    uint8_t use[HASH_SHA256_LEN];
    hash_sha256(aad, use);
    rt_lock(&k->lock);
    struct kept_key *e = &k->kept[k->kept_next++ % KEPT_MAX];
    e->until_ns = rt_now() + KEPT_FOR;
    memcpy(e->use, use, sizeof(use));
    e->shared = shared;
    e->wrapped_len = wrapped.len;
    memcpy(e->wrapped, wrapped.ptr, wrapped.len);
    memcpy(e->key, key, sizeof(e->key));
    rt_unlock(&k->lock);
}

static void forget_kept(struct kms *k)
{
    if (!k->kept)
        return;
    rt_lock(&k->lock);
    explicit_bzero(k->kept, KEPT_MAX * sizeof(*k->kept));
    rt_unlock(&k->lock);
}

/* ---- middle keys ---------------------------------------------------------------------------- */

static int FIBER wrap_by_ring(struct kms *k, struct str name, struct str aad, const uint8_t *key,
                              struct arena *a, struct str *ret)
{
    uint8_t *wrapped = arena_alloc(a, KEYRING_WRAPPED);
    if (!wrapped)
        return -ENOMEM;
    *ret = str_make(wrapped, KEYRING_WRAPPED);
    return ring_wrap(k, name, aad, key, wrapped);
}

static int FIBER wrap(struct kms *k, const struct kms_use *use, struct str aad, const uint8_t *key,
                      struct arena *a, struct str *ret)
{
    struct str name = kms_plain_name(use->name);
    int r = k->vault ? vault_wrap(k->vault, name, aad, key, a, ret)
                     : wrap_by_ring(k, name, aad, key, a, ret);
    if (r != -ERR_KMS_NOT_FOUND || !is_own(name))
        return r;
    r = kms_create(k, name);
    if (r < 0 && r != -ERR_EXISTS) /* somebody else was faster */
        return r;
    return k->vault ? vault_wrap(k->vault, name, aad, key, a, ret)
                    : wrap_by_ring(k, name, aad, key, a, ret);
}

static int FIBER new_key(struct kms *k, const struct kms_use *use, struct str aad, struct arena *a,
                         uint8_t *ret_key, struct str *ret_wrapped)
{
    uint8_t key[CRYPT_KEY_LEN];
    rt_random(key, sizeof(key));
    int r = wrap(k, use, aad, key, a, ret_wrapped);
    if (r == 0 && ret_wrapped->len > SEAL_SERVICE_MAX)
        r = -ERR_KMS_UNAVAILABLE;
    if (r == 0) {
        memcpy(ret_key, key, sizeof(key));
        if (k->kept)
            keep(k, aad, use->shared, *ret_wrapped, key);
    }
    explicit_bzero(key, sizeof(key));
    return r;
}

int FIBER kms_new_key(struct kms *k, const struct kms_use *use, struct arena *a,
                      uint8_t ret_key[CRYPT_KEY_LEN], struct str *ret_wrapped)
{
    _cleanup_buf_ struct buf aad;
    struct kept_key kept;
    buf_init(&aad, 0);
    kms_additional(use, &aad);
    if (buf_error(&aad))
        return buf_error(&aad);
    if (!k->kept || !use->shared || !find_kept(k, buf_str(&aad), STR_NULL, &kept))
        return new_key(k, use, buf_str(&aad), a, ret_key, ret_wrapped);
    memcpy(ret_key, kept.key, sizeof(kept.key));
    *ret_wrapped = arena_dup(a, str_make(kept.wrapped, kept.wrapped_len));
    explicit_bzero(kept.key, sizeof(kept.key));
    return ret_wrapped->ptr ? 0 : -ENOMEM;
}

static int FIBER open_by_vault(struct kms *k, const struct kms_use *use, struct str aad,
                               struct str wrapped, uint8_t *ret_key)
{
    struct kept_key kept;
    if (find_kept(k, aad, wrapped, &kept)) {
        memcpy(ret_key, kept.key, sizeof(kept.key));
        explicit_bzero(kept.key, sizeof(kept.key));
        return 0;
    }
    int r = vault_unwrap(k->vault, kms_plain_name(use->name), aad, wrapped, ret_key);
    if (r == 0)
        keep(k, aad, false, wrapped, ret_key);
    return r;
}

int FIBER kms_open_key(struct kms *k, const struct kms_use *use, struct str wrapped,
                       uint8_t ret_key[CRYPT_KEY_LEN])
{
    _cleanup_buf_ struct buf aad;
    buf_init(&aad, 0);
    kms_additional(use, &aad);
    if (buf_error(&aad))
        return buf_error(&aad);
    if (k->vault)
        return open_by_vault(k, use, buf_str(&aad), wrapped, ret_key);
    return ring_unwrap(k, kms_plain_name(use->name), buf_str(&aad), wrapped, ret_key);
}

int FIBER kms_rewrap_key(struct kms *k, const struct kms_use *use, struct arena *a,
                         struct str wrapped, struct str *ret_wrapped)
{
    _cleanup_buf_ struct buf aad;
    uint8_t key[CRYPT_KEY_LEN];
    uint32_t version = k->vault ? 0 : keyring_wrapped_version(wrapped);
    *ret_wrapped = wrapped;
    buf_init(&aad, 0);
    if (version && version == ring_newest(k, kms_plain_name(use->name)))
        return 0;
    kms_additional(use, &aad);
    int r = buf_error(&aad);
    if (r == 0)
        r = kms_open_key(k, use, wrapped, key);
    if (r == 0)
        r = wrap(k, use, buf_str(&aad), key, a, ret_wrapped);
    explicit_bzero(key, sizeof(key));
    return r;
}

/* ---- for the administrator ------------------------------------------------------------------ */

int FIBER kms_list(struct kms *k, struct arena *a, struct kms_key **ret, size_t *ret_count)
{
    return k->vault ? vault_list(k->vault, a, ret, ret_count) : ring_list(k, a, ret, ret_count);
}

int FIBER kms_create(struct kms *k, struct str name)
{
    if (!keyring_name_is_valid(name) || str_find_char(name, '/', 0) >= 0)
        return -EINVAL;
    return k->vault ? vault_create(k->vault, name) : ring_add(k, name, false);
}

int FIBER kms_rotate(struct kms *k, struct str name)
{
    int r = k->vault ? vault_rotate(k->vault, name) : ring_add(k, name, true);
    forget_kept(k); /* also what came meanwhile: new objects take the new version */
    return r;
}
