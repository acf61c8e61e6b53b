/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The key ring of this server: found at the start, made at its first use, changed by the
 * administrator.
 *
 * Invariants
 *  1. The ring in memory is one whose file is durable in as many places as copies_needed() says; it
 *     is replaced as a whole, never changed. What is missing elsewhere is written as soon as it can
 *     be: at the start, and once a minute.
 *  2. No two rings of one generation were ever written, also where the first was given up.
 *  3. The row `Jkey-ring` in the system space holds the ring's id and is put after the file and
 *     before anything is wrapped.
 */

#include "kms/internal.h"
#include "base/log.h"
#include <stdio.h>

#define ROW     STR("Jkey-ring")
#define MEND_NS (60 * RT_S)

/* ---- which ring it is ----------------------------------------------------------------------- */

struct known {
    uint8_t id[KEYRING_ID_LEN];
    bool found;
};

static int read_id_tx(struct meta_tx *tx, void *arg)
{
    struct known *known = arg;
    struct str value;
    int r = meta_get(tx, ROW, &value);
    known->found = r == 0;
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    if (value.len != sizeof(known->id))
        return -ERR_CORRUPT;
    memcpy(known->id, value.ptr, sizeof(known->id));
    return 0;
}

static int put_id_tx(struct meta_tx *tx, void *arg)
{
    const struct keyring *ring = arg;
    return meta_put(tx, ROW, str_make(ring->id, sizeof(ring->id)));
}

/* ---- the files ------------------------------------------------------------------------------ */

/* Packing and opening take a tenth of a second with a passphrase. */
struct file_job {
    struct str in, phrase;
    const struct keyring *ring;
    struct keyring *opened;
    struct buf *out;
    uint8_t salt[WRAP_SALT_LEN];
    bool wants_phrase;
};

static int BLOCKING open_job(void *arg)
{
    struct file_job *j = arg;
    return keyring_unpack(j->in, j->phrase, &j->opened, &j->wants_phrase);
}

static int BLOCKING pack_job(void *arg)
{
    struct file_job *j = arg;
    return keyring_pack(j->ring, j->phrase, j->salt, j->out);
}

static int explain(const char *path, int r, const struct file_job *j, char why[KMS_WHY_MAX])
{
    if (r == -ERR_WRONG_KEY && j->phrase.len == 0)
        snprintf(why, KMS_WHY_MAX,
                 "the key file %s is sealed with a passphrase: set CAIRN_KMS_PASSPHRASE", path);
    else if (r == -ERR_WRONG_KEY && !j->wants_phrase)
        snprintf(why, KMS_WHY_MAX,
                 "the key file %s is not sealed with a passphrase, but CAIRN_KMS_PASSPHRASE is "
                 "set",
                 path);
    else if (r == -ERR_WRONG_KEY)
        snprintf(why, KMS_WHY_MAX, "the passphrase does not open the key file %s", path);
    else
        snprintf(why, KMS_WHY_MAX, "cannot read the key file %s: %s", path, err_text(r));
    return r;
}

/* -ENOENT: there is none. */
static int FIBER load_one(struct kms *k, const char *path, struct keyring **ret,
                          char why[KMS_WHY_MAX])
{
    struct file_job j = {.phrase = k->phrase};
    size_t len;
    char *bytes = malloc(KEYRING_FILE_MAX);
    if (!bytes)
        return -ENOMEM;
    int r = rt_read_file(path, bytes, KEYRING_FILE_MAX, &len);
    if (r == -ENOENT || r == -ENOTDIR) {
        free(bytes);
        return -ENOENT;
    }
    j.in = str_make(bytes, len);
    if (r == 0)
        r = rt_offload(open_job, &j);
    free(bytes);
    if (r < 0)
        return explain(path, r, &j, why);
    *ret = j.opened;
    return 0;
}

static void place_has(struct kms_place *p, const struct keyring *ring)
{
    p->generation = ring->generation;
    memcpy(p->id, ring->id, sizeof(p->id));
}

static bool is_current(const struct kms_place *p, const struct keyring *ring)
{
    return p->generation == ring->generation && memcmp(p->id, ring->id, sizeof(p->id)) == 0;
}

/* The newest copy that can be read; damaged ones are told of and made anew. */
static int FIBER load_newest(struct kms *k, struct keyring **ret, char why[KMS_WHY_MAX])
{
    struct keyring *best = NULL;
    int fault = -ENOENT;
    for (unsigned i = 0; i < k->place_count; i++) {
        struct keyring *one = NULL;
        int r = load_one(k, k->places[i].path, &one, why);
        if (r < 0 && r != -ENOENT)
            fault = r;
        if (r == -ERR_CORRUPT)
            log_event(LOG_WARN, "a copy of the key file is damaged", "%s", k->places[i].path);
        if (r < 0)
            continue;
        place_has(&k->places[i], one);
        if (!best || one->generation > best->generation) {
            struct keyring *older = best;
            best = one;
            one = older;
        }
        keyring_free(one);
    }
    if (!best)
        return fault;
    *ret = best;
    return 0;
}

/* The disk, not the file: whether there is a copy on it cannot be told. */
static bool is_unreadable(int r)
{
    return r == -EIO || r == -EACCES || r == -EPERM || r == -ESTALE || r == -ENODEV || r == -ENXIO;
}

/* A ring that somebody else put there: the only copy, perhaps. So may be what cannot be read, where
 * no ring is in use that says what it was. */
static int FIBER test_place(struct kms *k, const char *path, const struct keyring *ring)
{
    _cleanup_keyring_ struct keyring *there = NULL;
    char why[KMS_WHY_MAX];
    int r = load_one(k, path, &there, why);
    if (r < 0)
        return !k->ring && is_unreadable(r) ? r : 0;
    if (memcmp(there->id, ring->id, sizeof(ring->id)) == 0)
        return 0;
    log_event(LOG_ERROR, "another store's key file is in the way", "%s", path);
    return -ERR_KEY_LOST;
}

/*
 * Of the places that are there: data are on more disks than one, so are the keys of data. At least
 * two, and half of them where there are many, for so many may be lost without a loss of data.
 */
static unsigned copies_needed(unsigned there)
{
    return MIN(there, MAX(2u, (there + 1) / 2));
}

static bool is_missing(int r)
{
    return r == -ENOENT || r == -ENOTDIR;
}

static int FIBER write_copy(struct kms *k, struct kms_place *p, const struct keyring *ring,
                            const struct buf *file)
{
    int r = test_place(k, p->path, ring);
    if (r == 0)
        r = rt_write_file(p->path, buf_str(file));
    if (r == 0)
        place_has(p, ring);
    else if (!is_missing(r))
        log_event(LOG_WARN, "the key file cannot be written", "%s: %s", p->path, err_text(r));
    return r;
}

/* Into every place that has not got it; an error when too few have. */
static int FIBER save(struct kms *k, const struct keyring *ring)
{
    _cleanup_buf_ struct buf file;
    struct file_job j = {.phrase = k->phrase, .ring = ring, .out = &file};
    unsigned done = 0, there = 0;
    int fault = -ENOENT;
    buf_init(&file, KEYRING_FILE_MAX);
    rt_random(j.salt, sizeof(j.salt));
    int r = rt_offload(pack_job, &j);
    if (r == 0)
        r = buf_error(&file);
    if (r < 0)
        return r;
    k->tried = MAX(k->tried, ring->generation);
    for (unsigned i = 0; i < k->place_count; i++) {
        struct kms_place *p = &k->places[i];
        r = is_current(p, ring) ? 0 : write_copy(k, p, ring, &file);
        done += r == 0;
        there += !is_missing(r);
        if (r < 0 && !is_missing(r))
            fault = r;
    }
    return done && done >= copies_needed(there) ? 0 : fault;
}

/* How many of the places have no copy of the ring in use. */
static unsigned copies_missing(struct kms *k)
{
    unsigned n = 0;
    for (unsigned i = 0; k->ring && i < k->place_count; i++)
        n += !is_current(&k->places[i], k->ring);
    __atomic_store_n(&k->behind, n, __ATOMIC_RELAXED);
    __atomic_store_n(&k->copies, k->ring ? k->place_count - n : 0, __ATOMIC_RELAXED);
    return n;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void tell_lost(struct kms *k, bool other)
{
    k->lost = true;
    log_event(LOG_ERROR, "the key file is missing",
              "%s%s; encrypted objects cannot be read, and none can be written, until the file is "
              "put back and the server started again",
              other ? "another store's key file is at " : "it was at ",
              k->place_count ? k->places[0].path : "a place that is not known");
}

int FIBER ring_load(struct kms *k, char why[KMS_WHY_MAX])
{
    struct known known;
    struct keyring *ring = NULL;
    int r = meta_read(k->meta, BUCKET_SYSTEM, read_id_tx, &known);
    if (r < 0) {
        snprintf(why, KMS_WHY_MAX, "cannot read which key file belongs to the store: %s",
                 err_text(r));
        return r;
    }
    r = load_newest(k, &ring, why);
    if (r < 0 && r != -ENOENT && (known.found || !is_unreadable(r)))
        return r;
    if (r < 0 && r != -ENOENT) /* nothing was ever sealed: a disk that is lost keeps nobody back */
        log_event(LOG_WARN, "a copy of the key file, if there is one, cannot be read", "%s", why);
    bool other = ring && known.found && memcmp(ring->id, known.id, sizeof(known.id)) != 0;
    if (known.found && (!ring || other)) {
        keyring_free(ring);
        tell_lost(k, other);
        return 0;
    }
    k->ring = ring;
    if (!ring)
        return 0;
    r = known.found ? 0 : meta_write(k->meta, BUCKET_SYSTEM, put_id_tx, ring);
    if (r < 0)
        snprintf(why, KMS_WHY_MAX, "cannot write which key file belongs to the store: %s",
                 err_text(r));
    else if (copies_missing(k))
        (void)save(k, ring); /* there is one at least; ring_mend() goes on trying */
    copies_missing(k);
    return r;
}

/* ---- changes -------------------------------------------------------------------------------- */

static int FIBER begin_change(struct kms *k)
{
    int r = 0;
    rt_lock(&k->lock);
    while (r == 0 && k->changing)
        r = rt_wait(&k->changed, &k->lock, RT_NEVER);
    if (r == 0)
        k->changing = true;
    rt_unlock(&k->lock);
    return r;
}

/* False: somebody else is at it. */
static bool try_change(struct kms *k)
{
    rt_lock(&k->lock);
    bool mine = !k->changing;
    k->changing = true;
    rt_unlock(&k->lock);
    return mine;
}

static void end_change(struct kms *k)
{
    rt_lock(&k->lock);
    k->changing = false;
    rt_wake_all(&k->changed);
    rt_unlock(&k->lock);
}

/* A copy of the ring there is, or the first. */
static int copy_ring(const struct kms *k, struct keyring **ret)
{
    int r = keyring_new(ret, k->ring ? k->ring->id : k->first_id);
    for (size_t i = 0; r == 0 && k->ring && i < k->ring->count; i++) {
        const struct keyring_key *e = &k->ring->keys[i];
        r = keyring_add(*ret, str_from(e->name), e->created_ms, e->bytes);
    }
    if (r == 0)
        (*ret)->generation = MAX(k->ring ? k->ring->generation : 0, k->tried);
    return r;
}

static int FIBER change(struct kms *k, struct str name, bool exists)
{
    _cleanup_keyring_ struct keyring *next = NULL;
    uint8_t key[CRYPT_KEY_LEN];
    if (k->lost)
        return -ERR_KEY_LOST;
    if (exists != (k->ring && keyring_find(k->ring, name, 0)))
        return exists ? -ERR_KMS_NOT_FOUND : -ERR_EXISTS;
    rt_random(key, sizeof(key));
    int r = copy_ring(k, &next);
    if (r == 0)
        r = keyring_add(next, name, rt_wall_ms(), key);
    explicit_bzero(key, sizeof(key));
    if (r == 0)
        r = save(k, next);
    if (r == 0 && !k->ring)
        r = meta_write(k->meta, BUCKET_SYSTEM, put_id_tx, next);
    if (r < 0)
        return r;
    rt_lock(&k->lock);
    struct keyring *old = k->ring;
    k->ring = next;
    rt_unlock(&k->lock);
    next = old;
    return 0;
}

int FIBER ring_add(struct kms *k, struct str name, bool exists)
{
    int r = begin_change(k);
    if (r < 0)
        return r;
    r = change(k, name, exists);
    copies_missing(k);
    end_change(k);
    if (r == 0)
        log_event(LOG_INFO, exists ? "a master key was rotated" : "a master key was made", "%.*s",
                  STR_FMT(name));
    return r;
}

static bool is_in(const struct kms_place *p, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(p->path, dir, len) == 0 && strcmp(p->path + len, "/" KMS_FILE) == 0;
}

/* NULL: it is not among them. */
static struct kms_place *find_place(struct kms *k, const char *dir)
{
    for (unsigned i = 0; i < k->place_count; i++)
        if (is_in(&k->places[i], dir))
            return &k->places[i];
    return NULL;
}

int FIBER ring_take_dir(struct kms *k, const char *dir)
{
    int r = begin_change(k);
    if (r < 0)
        return r;
    struct kms_place *p = find_place(k, dir);
    if (p)
        p->generation = 0; /* another disk may be there now */
    else
        r = kms_add_place(k, dir, KMS_FILE);
    if (r == 0 && k->ring)
        r = save(k, k->ring);
    copies_missing(k);
    end_change(k);
    return r;
}

static bool is_kept(const struct kms_place *p, const char *const *dirs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_in(p, dirs[i]))
            return true;
    return false;
}

int FIBER ring_keep_dirs(struct kms *k, const char *const *dirs, unsigned count)
{
    unsigned kept = 0;
    if (!try_change(k))
        return -ERR_BUSY;
    for (unsigned i = 0; i < k->place_count; i++) {
        if (is_kept(&k->places[i], dirs, count))
            k->places[kept++] = k->places[i];
        else
            free(k->places[i].path);
    }
    k->place_count = kept;
    copies_missing(k);
    end_change(k);
    return 0;
}

int FIBER ring_mend(void *kms)
{
    struct kms *k = kms;
    while (rt_sleep_until(rt_now() + MEND_NS) == 0 && begin_change(k) == 0) {
        unsigned before = copies_missing(k);
        if (before)
            (void)save(k, k->ring);
        unsigned after = copies_missing(k);
        if (after < before)
            log_event(LOG_INFO, "copies of the key file were made that had been missing", "%u",
                      before - after);
        end_change(k);
    }
    return 0;
}

/* ---- use ------------------------------------------------------------------------------------ */

/* A copy, so that nothing is computed under the lock. Version 0: the newest. */
static int master_key(struct kms *k, struct str name, uint32_t version, struct keyring_key *ret)
{
    rt_lock(&k->lock);
    const struct keyring_key *e = k->ring ? keyring_find(k->ring, name, version) : NULL;
    bool lost = k->lost;
    if (e)
        *ret = *e;
    rt_unlock(&k->lock);
    if (e)
        return 0;
    return lost || version ? -ERR_KEY_LOST : -ERR_KMS_NOT_FOUND;
}

int FIBER ring_wrap(struct kms *k, struct str name, struct str aad, const uint8_t *key,
                    uint8_t ret[KEYRING_WRAPPED])
{
    struct keyring_key by;
    uint8_t salt[WRAP_SALT_LEN];
    int r = master_key(k, name, 0, &by);
    if (r < 0)
        return r;
    rt_random(salt, sizeof(salt));
    r = keyring_wrap(&by, aad, salt, key, ret);
    explicit_bzero(&by, sizeof(by));
    return r;
}

int ring_unwrap(struct kms *k, struct str name, struct str aad, struct str wrapped, uint8_t *ret)
{
    struct keyring_key by;
    uint32_t version = keyring_wrapped_version(wrapped);
    if (version == 0) /* of another service */
        return -ERR_KEY_LOST;
    int r = master_key(k, name, version, &by);
    if (r < 0)
        return r;
    r = keyring_unwrap(&by, aad, wrapped, ret);
    explicit_bzero(&by, sizeof(by));
    return r;
}

uint32_t ring_newest(struct kms *k, struct str name)
{
    struct keyring_key by;
    if (master_key(k, name, 0, &by) < 0)
        return 0;
    explicit_bzero(by.bytes, sizeof(by.bytes));
    return by.version;
}

static struct kms_key *listed(struct kms_key *list, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(list[i].name, name))
            return &list[i];
    return NULL;
}

int ring_list(struct kms *k, struct arena *a, struct kms_key **ret, size_t *ret_count)
{
    size_t count = 0;
    rt_lock(&k->lock);
    size_t most = k->ring ? k->ring->count : 0;
    bool lost = k->lost;
    struct kms_key *list = arena_array(a, struct kms_key, most + 1);
    for (size_t i = 0; list && i < most; i++) {
        const struct keyring_key *e = &k->ring->keys[i];
        struct kms_key *one = listed(list, count, str_from(e->name));
        if (!one) {
            one = &list[count++];
            *one = (struct kms_key){.name = arena_dup(a, str_from(e->name)),
                                    .created_ms = e->created_ms};
        }
        one->newest = e->version;
        one->rotated_ms = e->version > 1 ? e->created_ms : 0;
    }
    rt_unlock(&k->lock);
    if (!list)
        return -ENOMEM;
    *ret = list;
    *ret_count = count;
    return lost ? -ERR_KEY_LOST : 0;
}
