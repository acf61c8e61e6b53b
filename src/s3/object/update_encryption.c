/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * UpdateObjectEncryption: an object that SSE-S3 or SSE-KMS encrypts goes over to another key of
 * SSE-KMS. The data key stays and is wrapped anew, so no byte of the object is read and everything
 * else about it is as it was, the ETag too.
 *
 * The key service is asked outside of the transaction, which then takes the new seal only in place
 * of the one that was opened; when somebody was faster, all is done again. What is locked stays as
 * it is (S3 User Guide, "Updating server-side encryption for existing data").
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/object/lock.h"
#include "s3/sse.h"
#include "s3/version.h"

#define ATTEMPTS 5

struct update {
    struct s3_object_encryption wanted;
    struct str old_seal, seal;
    uint64_t seq;
};

static bool is_locked(const struct store_lock *lock)
{
    return lock->hold == STORE_HOLD_ON ||
           (lock->retention != STORE_RETENTION_NONE && lock->until_ms > rt_wall_ms());
}

/* The object as it is now, in the request's arena. */
static int FIBER look_at(struct s3_request *q, struct update *u)
{
    struct store_reader *reader = NULL;
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    const struct store_object *o = reader ? store_reader_object(reader) : NULL;
    if (!r)
        r = s3_still_allowed(q, "s3:UpdateObjectEncryption", &q->bucket, q->key, STR_NULL, o);
    if (!r && is_locked(&o->attrs.lock))
        r = -ERR_OBJECT_LOCKED;
    if (!r) {
        u->seq = o->seq;
        u->old_seal = arena_dup(q->arena, o->attrs.seal);
        r = u->old_seal.ptr ? 0 : -ENOMEM;
    } else if (reader) {
        r = s3_explain_marker(q, reader, r);
    }
    store_reader_close(reader);
    return r;
}

static int replace_seal(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct update *u = arg;
    if (is_locked(&attrs->lock))
        return -ERR_OBJECT_LOCKED;
    if (o->seq != u->seq || !str_eq(attrs->seal, u->old_seal))
        return -ERR_CONFLICT;
    attrs->seal = u->seal;
    return 0;
}

static int FIBER update_once(struct s3_request *q, struct update *u, struct store_written *ret)
{
    int r = look_at(q, u);
    if (!r)
        r = s3_sse_rekey(q, q->key, u->old_seal, u->wanted.key, u->wanted.bucket_key, &u->seal);
    return r ? r
             : store_change_attrs(q->s3->store, q->bucket.id, q->key, q->version, NULL, false,
                                  replace_seal, u, ret);
}

int FIBER s3_update_object_encryption(struct s3_request *q)
{
    struct update u;
    struct store_written written;
    struct str body;
    int r = s3_body_config(q, &body);
    if (!r)
        r = s3_body_object_encryption(q->arena, body, &u.wanted);
    if (r == -ERR_INVALID_REQUEST)
        return s3_error(q, r,
                        "Requests that modify an object encryption configuration require SSE-KMS "
                        "as the new encryption type, a key, and true or false in "
                        "BucketKeyEnabled.");
    if (r)
        return r;
    r = -ERR_CONFLICT;
    for (unsigned i = 0; r == -ERR_CONFLICT && i < ATTEMPTS; i++)
        r = update_once(q, &u, &written);
    if (r)
        return r;
    struct store_object o = {.seq = written.seq, .null_version = written.null_version};
    s3_set_version(q, &o);
    return s3_respond_empty(q, 200);
}
