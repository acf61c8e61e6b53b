/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Finding a version. A key's rows:
 *
 *   O key          its current object: the newest version, when that is live
 *   V key inv_seq  every other version and every delete marker
 *   Z key          which of the V rows is the null version, and which a marker that is the newest
 *
 * so that what is asked for is found by its key, without a look at the versions between.
 */

#include "store/internal.h"

bool version_is(const struct store_object *o, struct store_version_ref version)
{
    switch (version.kind) {
    case STORE_VERSION_CURRENT:
        return true;
    case STORE_VERSION_NULL:
        return o->null_version;
    case STORE_VERSION_SEQ:
        return !o->null_version && o->seq == version.seq;
    }
    return false;
}

int lock_test(const struct store_lock *lock, bool bypass)
{
    bool retained = lock->retention != STORE_RETENTION_NONE && lock->until_ms > rt_wall_ms();
    if (lock->retention == STORE_RETENTION_GOVERNANCE && bypass)
        retained = false;
    return lock->hold == STORE_HOLD_ON || retained ? -ERR_OBJECT_LOCKED : 0;
}

static int find_current(struct meta_tx *tx, struct str key, struct version_row *ret)
{
    int r = meta_get(tx, key_raw(&ret->key, KEY_OBJECTS, key), &ret->value);
    ret->current = true;
    return r < 0 ? r : head_decode(ret->value, &ret->head);
}

/* `seq` 0 is none. */
static int find_seq(struct meta_tx *tx, struct str key, uint64_t seq, struct version_row *ret)
{
    if (seq == 0)
        return -ERR_NOT_FOUND;
    int r = meta_get(tx, key_version(&ret->key, key, seq), &ret->value);
    ret->current = false;
    if (r == 0)
        r = head_decode(ret->value, &ret->head);
    return r == 0 && ret->head.object.seq != seq ? -ERR_CORRUPT : r;
}

/* Among the rows that are not the current object's. */
static int find_other(struct meta_tx *tx, struct str key, struct store_version_ref version,
                      struct version_row *ret)
{
    struct tops_row tops;
    if (version.kind == STORE_VERSION_SEQ) {
        int r = find_seq(tx, key, version.seq, ret);
        return r == 0 && ret->head.object.null_version ? -ERR_NOT_FOUND : r;
    }
    int r = tops_row_get(tx, key, &tops);
    if (r < 0)
        return r;
    uint64_t seq = version.kind == STORE_VERSION_NULL ? tops.null_seq : tops.marker_seq;
    r = find_seq(tx, key, seq, ret);
    return r == -ERR_NOT_FOUND && seq ? -ERR_CORRUPT : r;
}

int version_find(struct meta_tx *tx, struct str key, struct store_version_ref version,
                 struct version_row *ret)
{
    int r = find_current(tx, key, ret);
    if (r == 0 && version_is(&ret->head.object, version))
        return 0;
    if (r == 0 || r == -ERR_NOT_FOUND)
        r = find_other(tx, key, version, ret);
    if (r != -ERR_NOT_FOUND)
        return r;
    return version.kind == STORE_VERSION_CURRENT ? -ERR_NO_SUCH_KEY : -ERR_NO_SUCH_VERSION;
}
