/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Objects as jobs read and write them: manifests and reports. How such an object is encrypted, what
 * it is locked with and counts against, and who is told of it, a door knows, as it does of every
 * other one; the S3 door lends itself by jobs_set_objects() (s3/service_objects.c). Without a door
 * everything here fails with -ERR_UNAVAILABLE, which is worth another try later.
 *
 * Only what has a bound is read and written: pieces into a sink, and whole objects of up to
 * JOBS_OBJECT_MAX out of memory; what is longer is several objects.
 */

#include "crypt/seal.h"
#include "store/store.h"

#define JOBS_OBJECT_MAX (16 * MIB)

struct jobs;

/*
 * For whom the job acts. A service (`service`) puts what the bucket's policy lets it, as the
 * service it is, for that source; without one it is the administrator who has asked, and no policy
 * is.
 */
struct jobs_actor {
    struct str name;    /* of the job: requester of events, user in the audit log */
    struct str service; /* "s3.amazonaws.com"; empty: none */
    struct str source;  /* a bucket's name: aws:SourceArn */
    struct str account; /* whose that is: aws:SourceAccount */
};

/* What an object is that was looked at. */
struct jobs_object {
    uint64_t seq, len_bytes, mtime_ms;
    struct store_etag etag;
};

struct jobs_reading {
    struct str bucket, key;
    struct store_version_ref version;
    uint64_t seq;      /* it must be this one: -ERR_CONFLICT; 0: any */
    uint64_t off, len; /* what there is of that is read */
};

struct jobs_writing {
    struct str bucket, key, content_type;
    struct str owner;      /* whose the bucket must be: -ERR_ACCESS_DENIED; empty: anyone's */
    enum seal_kind seal;   /* SEAL_S3, SEAL_KMS; SEAL_NONE: as the bucket has it */
    struct str master_key; /* SEAL_KMS: its name; empty: the default one */
    struct str acl;        /* who else may read it, as the door has it; empty: nobody */
};

typedef int jobs_object_sink(const void *data, size_t len, void *arg);

/*
 * The object's bytes, decrypted, in order, to `sink`, which may suspend and ends it by a non-zero
 * return. *ret (may be NULL) is filled before the first byte. No right is asked: that is for who
 * gave the job its task. -ERR_NO_SUCH_BUCKET, -ERR_NO_SUCH_KEY, -ERR_NO_SUCH_VERSION,
 * -ERR_CONFLICT, -ERR_ARCHIVED, -ERR_INVALID_REQUEST (a customer's key encrypts it),
 * -ERR_UNAVAILABLE. Any thread.
 */
int FIBER jobs_object_read(struct jobs *j, const struct jobs_reading *what, jobs_object_sink *sink,
                           void *arg, struct jobs_object *ret);
/*
 * Writes one object, durably: with the encryption that `what` or the bucket asks for, the bucket's
 * default retention and quotas, its events, and a record in the audit log. -ERR_ACCESS_DENIED,
 * -ERR_NO_SUCH_BUCKET, -ERR_QUOTA_EXCEEDED, -ERR_UNAVAILABLE. Any thread.
 */
int FIBER jobs_object_put(struct jobs *j, const struct jobs_actor *who,
                          const struct jobs_writing *what, struct str data);
/* Whether that would be let in, so that nothing is made in vain. */
int FIBER jobs_object_may_put(struct jobs *j, const struct jobs_actor *who,
                              const struct jobs_writing *what);

/* Whether that user of the server may do that to the object, as things stand now:
 * -ERR_ACCESS_DENIED, -ERR_NO_SUCH_BUCKET, -ERR_NOT_FOUND (there is no such user). */
int FIBER jobs_object_judge(struct jobs *j, struct str user, const char *action, struct str bucket,
                            struct str key);
/* Whether "k=v&k2=v2" are an object's tags. */
int FIBER jobs_object_batch_tags(struct jobs *j, struct str tags);
/*
 * Does a step of a batch job (batch.h), once: each item as if its user had asked for it by a
 * request, with its rights as they are now, the locks, the events and records in the audit log.
 * What concerns an item alone is its `err`. -ERR_NO_SUCH_BUCKET, -ERR_NOT_FOUND (the user is gone),
 * what store_step_run() returns: nothing was done.
 */
struct batch_state;
struct batch_step;
int FIBER jobs_object_batch(struct jobs *j, const struct batch_state *s, struct batch_step *step);
/* Whether there is a door now. */
bool jobs_objects_are_lent(struct jobs *j);
/* An object's grants, as JSON, appended; its attributes have its owner and list. -ERR_CORRUPT,
 * -ERR_UNAVAILABLE. */
int jobs_object_grants(struct jobs *j, const struct store_object *o, struct buf *ret);

/* ---- for doors ------------------------------------------------------------------------------ */

struct jobs_objects {
    int (*read)(void *arg, const struct jobs_reading *what, jobs_object_sink *sink, void *sink_arg,
                struct jobs_object *ret);
    int (*put)(void *arg, const struct jobs_actor *who, const struct jobs_writing *what,
               struct str data);
    int (*may_put)(void *arg, const struct jobs_actor *who, const struct jobs_writing *what);
    int (*judge)(void *arg, struct str user, const char *action, struct str bucket, struct str key);
    int (*batch_tags)(void *arg, struct str tags);
    int (*batch)(void *arg, const struct batch_state *s, struct batch_step *step);
    /* Appends an object's grants as JSON; its attributes have its owner and list. */
    int (*grants)(void *arg, const struct store_object *o, struct buf *ret);
    void *arg;
};
/* Copied; NULL: none any more, and when it returns none of them is under way. */
void FIBER jobs_set_objects(struct jobs *j, const struct jobs_objects *objects);
