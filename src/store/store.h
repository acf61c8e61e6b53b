/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Buckets, objects, versions, multipart uploads, listings and usage: what is stored, under which
 * rules, knowing no protocol and no identity beyond an owner's id. Doors authorise before they
 * call.
 *
 * Promises
 *  - A write returns 0 only when its bytes and its record are durable; readers then see it.
 *  - Preconditions are tested in the transaction that commits.
 *  - A failed or abandoned write leaves nothing visible, only chunks that garbage collection finds.
 *  - A listing is one snapshot a page; its cost is the rows it returns, not those it skips.
 *  - An open object stays readable to its end whatever is deleted meanwhile.
 */

#include "base/arena.h"
#include "blob/blob.h"
#include "meta/meta.h"
#include "store/settings.h"

#define STORE_KEY_MAX       1024             /* bytes of an object's key; S3's limit */
#define STORE_OBJECT_MAX    (5 * GIB)        /* of one PUT or one part; S3's limit */
#define STORE_ASSEMBLED_MAX (5 * 1024 * GIB) /* of a multipart object; S3's limit */
#define STORE_PARTS_MAX     10000
#define STORE_PART_MIN      (5 * MIB) /* of every part but the last */
#define STORE_META_MAX      2048      /* bytes of user metadata, names and values; S3's limit */
#define STORE_BUCKETS_MAX   1000      /* an owner */
#define STORE_LIST_MAX      1000      /* entries a page */

struct store;
struct store_notice;

/* ---- storage classes ------------------------------------------------------------------------ */

#define STORE_CLASSES_MAX    32
#define STORE_CLASS_NAME_MAX 40 /* with a 0 at the end */

/* One of the configuration: STANDARD and REDUCED_REDUNDANCY are there without. */
struct store_class {
    char name[STORE_CLASS_NAME_MAX];
    struct blob_class code;
    bool archive; /* its objects are read only after they were restored (tiers.h) */
};
/* NAME=K+M or NAME=K+M,archive, the name of A-Z, 0-9 and _: -EINVAL for anything else. */
int store_class_parse(struct str text, struct store_class *ret);
/* The number of shards of the widest code among them; 0: there is none. */
unsigned store_classes_widest(const struct store_class *classes, unsigned count);
/* What the chunks of new objects of the class get; "" is STANDARD. -ERR_INVALID_STORAGE_CLASS. */
int store_class_find(const struct store *s, struct str name, struct blob_class *ret);
/* False of a name that is not known. */
bool store_class_is_archive(const struct store *s, struct str name);

struct store_config {
    struct meta *meta; /* borrowed, as are the others; outlive the store */
    struct blob *blob;
    const struct store_class *classes;
    unsigned class_count;
    size_t inline_max_bytes; /* objects up to this lie in their record; 0: 512 */
    size_t beside_max_bytes; /* longer ones up to this in a row beside it; 0: 8 KiB */
    size_t cache_bytes;      /* decoded records; 0: 32 MiB */
    unsigned gc_delay_ms;    /* between a commit and its chunks' deletion at the earliest */
};
int FIBER store_open(struct store **ret, const struct store_config *config);
void FIBER store_close(struct store *s);

/* A number never given before in this store's life (durable): the session of this start. */
int FIBER store_new_session(struct meta *meta, uint64_t *ret);

/* ---- buckets -------------------------------------------------------------------------------- */

/* Whether writes keep what they replace. Once switched on it can only be suspended. */
enum store_versioning {
    STORE_VERSIONING_NEVER,
    STORE_VERSIONING_ENABLED,
    STORE_VERSIONING_SUSPENDED,
    STORE_VERSIONINGS
};

struct store_bucket {
    struct bucket_id id;
    struct str name;
    struct str owner; /* user id */
    uint64_t created_ms;
    struct str region; /* location constraint as given; empty: none */
    /* of store_bucket_get() alone: */
    struct store_settings *settings; /* NULL: none (settings.h) */
    enum store_versioning versioning;
    bool object_lock; /* versions may be locked */
};

/* Name rules: S3's general purpose bucket naming rules. -ERR_BUCKET_EXISTS or -ERR_BUCKET_OWNED
 * (with the bucket filled), -ERR_INVALID_BUCKET_NAME, -ERR_TOO_MANY_BUCKETS. Strings in `a`. */
int FIBER store_bucket_create(struct store *s, struct arena *a, struct str name, struct str owner,
                              struct str region, struct store_bucket *ret);
/* The same with settings that it has from its first moment on. */
struct store_bucket_setting {
    enum store_setting_kind kind;
    struct str text;
};
struct store_bucket_spec {
    struct str name, owner, region;
    const struct store_bucket_setting *settings;
    size_t setting_count;
    bool object_lock; /* with versioning on, for good */
};
int FIBER store_bucket_make(struct store *s, struct arena *a, const struct store_bucket_spec *spec,
                            struct store_bucket *ret);
/* -ERR_BUCKET_STATE: a bucket with object lock keeps its versions. */
int FIBER store_bucket_set_versioning(struct store *s, struct bucket_id b,
                                      enum store_versioning versioning);
/* Lets versions be locked, for good. -ERR_BUCKET_STATE unless versioning is on. */
int FIBER store_bucket_set_object_lock(struct store *s, struct bucket_id b);
/* -ERR_NO_SUCH_BUCKET. Takes a reference to the bucket's settings: store_bucket_release(). */
int FIBER store_bucket_get(struct store *s, struct arena *a, struct str name,
                           struct store_bucket *ret);
/* -ERR_BUCKET_NOT_EMPTY while it holds any version or marker. Open uploads do not count, as in S3:
 * they are aborted. The name is free again at once. */
int FIBER store_bucket_delete(struct store *s, struct str name);
struct store_bucket_page {
    struct store_bucket *buckets;
    size_t count;
    struct str next; /* continue after this name; empty: the end */
};
/* In name order, those of `owner` (all when empty) with `prefix`, after `after`, up to `max`. */
int FIBER store_bucket_list(struct store *s, struct arena *a, struct str owner, struct str prefix,
                            struct str after, size_t max, struct store_bucket_page *ret);
/* How much a bucket may hold; 0: as much as there is room for. */
struct store_quota {
    uint64_t bytes, objects;       /* all versions count */
    bool bytes_full, objects_full; /* of a write: they may not grow at all */
};
/* A bucket's quota, durably; none when both are 0. -ERR_NO_SUCH_BUCKET. Writes hold the one that
 * their conditions bring, as store_quota_of() gives it. */
int FIBER store_quota_put(struct store *s, struct bucket_id b, const struct store_quota *quota);
/* False: there is none. */
bool store_quota_of(const struct store_settings *set, struct store_quota *ret);
/* Current objects; versions that are not, and delete markers; bytes of all of them. */
struct store_usage {
    int64_t objects, bytes, versions, uploads;
    int64_t part_bytes; /* of uploads under way */
};
int FIBER store_usage(struct store *s, struct bucket_id b, struct store_usage *ret);

/* ---- objects -------------------------------------------------------------------------------- */

struct store_pair {
    struct str name, value;
};

/* S3's flexible checksums; records keep the numbers. */
enum store_checksum_kind {
    STORE_CRC32,
    STORE_CRC32C,
    STORE_CRC64NVME,
    STORE_SHA1,
    STORE_SHA256,
    STORE_SHA512,
    STORE_MD5,
    STORE_XXHASH64,
    STORE_XXHASH3,
    STORE_XXHASH128,
    STORE_CHECKSUM_KINDS
};
/* A CRC can be of the whole of several parts; a digest only of their digests. */
static inline bool store_checksum_is_crc(enum store_checksum_kind kind)
{
    return kind <= STORE_CRC64NVME;
}
/* That digest; `kind` is no CRC. */
enum hash_kind store_checksum_hash(enum store_checksum_kind kind);

struct store_checksum {
    bool present;
    bool composite; /* of the parts' values; else of the whole object's bytes */
    enum store_checksum_kind kind;
    uint8_t len;
    uint8_t bytes[HASH_LEN_MAX]; /* big-endian for the CRCs, as S3 encodes them */
};

struct store_etag {
    uint8_t md5[16];
    uint32_t parts; /* 0: a single PUT; else the count behind the dash */
};

/* One part of an object put together from parts. */
struct store_part_info {
    uint32_t number;
    uint64_t len_bytes;
    struct store_checksum checksum;
};

enum store_retention {
    STORE_RETENTION_NONE,
    STORE_RETENTION_GOVERNANCE, /* whoever may bypass it can end it */
    STORE_RETENTION_COMPLIANCE, /* nobody can */
    STORE_RETENTIONS
};

enum store_hold {
    STORE_HOLD_NEVER, /* it had none */
    STORE_HOLD_OFF,
    STORE_HOLD_ON,
    STORE_HOLDS
};

/* What keeps a version from being removed. */
struct store_lock {
    enum store_retention retention;
    uint64_t until_ms; /* of the retention */
    enum store_hold hold;
};

/* Of an object in an archived class. */
struct store_restore {
    bool ongoing;      /* it was asked for */
    uint64_t until_ms; /* it can be read until then; 0: it was not restored */
};

/* What the client gives and gets back as it was. */
struct store_attrs {
    struct str content_type;
    struct store_pair
        *headers; /* Cache-Control, Content-Disposition, -Encoding, -Language, Expires, … */
    size_t header_count;
    struct store_pair *meta; /* x-amz-meta-*: names without the prefix, lower case */
    size_t meta_count;
    struct str storage_class; /* empty: STANDARD */
    struct str owner;         /* user id */
    struct str initiator;     /* of an upload: the account that began it; empty: the owner */
    struct store_pair *tags;  /* of the object, in order of their keys */
    size_t tag_count;
    struct str seal; /* how the bytes are encrypted (crypt/seal.h); empty: they are not */
    struct str acl;  /* a door's list of grants, which the store does not read; empty: none */
    struct store_lock lock;
    struct store_restore restore; /* of an object; nobody gives it */
};

/* An object's record, decoded; strings live in the arena or in the held record. */
struct store_object {
    struct str key;
    uint64_t seq;      /* version sequence; the version id is its text form */
    bool null_version; /* written while versioning was off */
    bool delete_marker;
    uint64_t mtime_ms;
    uint64_t len_bytes;
    struct store_etag etag;
    struct store_checksum checksum;
    struct store_attrs attrs;
    struct store_part_info *parts; /* of a multipart object; NULL otherwise */
    size_t part_count;
};

/*
 * Which version of a key. A bucket that never had versioning on has null versions only: what is
 * written there is one, and so is what is written while it is suspended. A key has at most one.
 */
struct store_version_ref {
    enum { STORE_VERSION_CURRENT, STORE_VERSION_NULL, STORE_VERSION_SEQ } kind;
    uint64_t seq; /* of STORE_VERSION_SEQ; a null version is not found by its sequence */
};
#define STORE_CURRENT ((struct store_version_ref){.kind = STORE_VERSION_CURRENT})

/* Tested in this order inside the transaction (writes) or on the snapshot (reads): RFC 9110 13.2.2.
 * ETag lists as the client sent them ("*", or quoted tags separated by commas); empty: not given.
 */
struct store_conditions {
    struct str if_match, if_none_match;
    bool has_modified_since, has_unmodified_since;
    uint64_t modified_since_ms, unmodified_since_ms; /* whole seconds */
    bool has_mtime, has_len;                         /* of a deletion: the object must have these */
    uint64_t mtime_ms;                               /* its second counts */
    uint64_t len_bytes;
    bool has_seq;    /* likewise: exactly this object */
    bool superseded; /* of a version's deletion or change: it is not the newest */
    uint64_t seq;
    uint64_t newer; /* of a version's deletion: so many superseded ones are there before it */
    struct store_quota quota;    /* of a write: -ERR_QUOTA_EXCEEDED */
    struct store_notice *notice; /* no condition: who is told of the write (outbox.h); NULL: none */
};

/* An object opened for reading: its record and its chunks stay until it is closed. */
struct store_reader;
/*
 * -ERR_NO_SUCH_KEY; -ERR_NO_SUCH_VERSION for a version that is named. `conditions` may be NULL;
 * when one does not hold, -ERR_NOT_MODIFIED or -ERR_PRECONDITION_FAILED, and *ret is given all the
 * same (the answer tells the ETag): a non-NULL reader must be closed whatever is returned. So it is
 * with a delete marker, whose object says that it is one: -ERR_NO_SUCH_KEY when it is the newest
 * version and none was named, else -ERR_METHOD_NOT_ALLOWED. *ret is NULL after every other failure.
 */
int FIBER store_get(struct store *s, struct bucket_id b, struct str key,
                    struct store_version_ref version, const struct store_conditions *conditions,
                    struct store_reader **ret);
const struct store_object *store_reader_object(const struct store_reader *r);
/*
 * Of an object whose attributes have a seal: the data key that it holds, copied, before anything is
 * read; without it reading gives -ERR_WRONG_KEY. -ERR_CORRUPT: the bytes are not what was sealed.
 */
int store_reader_unseal(struct store_reader *r, const uint8_t data_key[32]);
/* The object's bytes in memory, when it is inline (else ptr NULL): no copy, until the close. */
struct str store_reader_inline(const struct store_reader *r);
/* As blob_read; -EINVAL beyond the object. `len` 0 is fine. */
int FIBER store_read(struct store_reader *r, uint64_t off, uint64_t len,
                     int (*sink)(const void *data, size_t len, void *arg), void *arg);
/* All bytes as they lie, sealed ones sealed: for who wants to know that they are there. */
int FIBER store_read_raw(struct store_reader *r,
                         int (*sink)(const void *data, size_t len, void *arg), void *arg);
void FIBER store_reader_close(struct store_reader *r);

/*
 * A write in three steps: begin with the length, write the bytes, commit with what the door
 * computed of them. Nothing is visible before the commit; abort, or a failed commit, leaves
 * nothing.
 */
struct store_writer;
int FIBER store_put_begin(struct store *s, struct bucket_id b, struct str key, uint64_t len_bytes,
                          struct store_writer **ret);
/*
 * The same when only bounds of the length are known: `least` bytes come in any case, `most` at
 * most. What comes beyond `least` is held in memory to the end, so they lie close together
 * (-EINVAL when farther apart than STORE_OPEN_MAX).
 */
#define STORE_OPEN_MAX (64 * KIB)
int FIBER store_put_begin_open(struct store *s, struct bucket_id b, struct str key, uint64_t least,
                               uint64_t most, struct store_writer **ret);
/*
 * Either of the two, the bytes being sealed with `data_key` (crypt/frame.h; NULL: as they are) on
 * their way. The attributes of the commit carry the seal that holds that key. Lengths here and
 * everywhere are of the plaintext.
 */
int FIBER store_put_begin_sealed(struct store *s, struct bucket_id b, struct str key,
                                 uint64_t least, uint64_t most, const uint8_t *data_key,
                                 struct store_writer **ret);
int FIBER store_write(struct store_writer *w, const void *data, size_t len);
/* Before the first byte: the code that its chunks are to have, STANDARD otherwise. As blob_begin;
 * then the writer is good for store_write_abort only. */
int FIBER store_write_class(struct store_writer *w, struct blob_class class);
/* What became of a commit. */
struct store_written {
    uint64_t seq;
    uint64_t mtime_ms;
    bool replaced; /* a live object was there before */
    bool null_version;
};
/* Frees the writer, also on failure. -ERR_NO_SUCH_BUCKET when it went meanwhile,
 * -ERR_PRECONDITION_FAILED, -ERR_NO_SUCH_KEY (If-Match on a missing key), -ERR_INCOMPLETE_BODY. */
int FIBER store_put_commit(struct store_writer *w, const struct store_attrs *attrs,
                           const struct store_etag *etag, const struct store_checksum *checksum,
                           const struct store_conditions *conditions, struct store_written *ret);
void FIBER store_write_abort(struct store_writer *w); /* also for parts; accepts NULL */

/*
 * A deletion. Of no version in particular: the current object goes; in a bucket with versioning on
 * it becomes a version under a new delete marker instead, and while that is suspended the null
 * version goes for a null marker. Of a version: that, marker or not, goes for good, and the newest
 * of those left becomes current if it is live.
 *
 * Removes nothing that is locked: -ERR_OBJECT_LOCKED, but for governance when `bypass`. What cannot
 * be read may be locked: -ERR_CORRUPT.
 */
struct store_deletion {
    struct str key;
    struct store_version_ref version;
    const struct store_conditions *conditions; /* may be NULL: if_match, mtime and len */
    bool bypass;
    struct str owner; /* of a delete marker */
    /* what came of it */
    int result;        /* of this key alone: 0, -ERR_PRECONDITION_FAILED, -ERR_NO_SUCH_KEY, … */
    bool existed;      /* a current object, or the version */
    bool marker;       /* a delete marker was made, or removed */
    bool null_version; /* of the marker made, or what was removed */
    uint64_t seq;      /* likewise; 0: there is none */
};
/* All in one transaction. `notice` may be NULL; those of the conditions do not count. */
int FIBER store_delete_many(struct store *s, struct bucket_id b, struct store_deletion *list,
                            size_t count, struct store_notice *notice);
/* One, of no version in particular. Absent is no error: *ret_existed tells. */
int FIBER store_delete(struct store *s, struct bucket_id b, struct str key,
                       const struct store_conditions *conditions, bool *ret_existed);
/*
 * Changes an object's attributes, its bytes untouched. `fn` runs inside the transaction,
 * perhaps more than once, and must not suspend: it is given the object as it is, and in `attrs` its
 * attributes to alter; what it lets them point to lives until this returns. `renew`: a write of its
 * own, with a new sequence and time (copy onto itself), of the current object, only where
 * versioning was never on, since two versions cannot share their bytes, and only where these are of
 * the code of the class that `fn` leaves: else -ERR_BUCKET_STATE;
 * without it the version stays what it was (tags).
 * -ERR_NO_SUCH_KEY, -ERR_NO_SUCH_VERSION, -ERR_METHOD_NOT_ALLOWED (a delete marker),
 * -ERR_PRECONDITION_FAILED, what `fn` returns.
 */
typedef int store_attrs_fn(const struct store_object *o, struct store_attrs *attrs, void *arg);
int FIBER store_change_attrs(struct store *s, struct bucket_id b, struct str key,
                             struct store_version_ref version,
                             const struct store_conditions *conditions, bool renew,
                             store_attrs_fn *fn, void *arg, struct store_written *ret);

/* ---- listing -------------------------------------------------------------------------------- */

struct store_list_query {
    struct str prefix, delimiter;
    struct str after; /* exclusive: a key, or a common prefix as returned before (then all of it is
                         skipped) */
    size_t max;  /* entries and prefixes together, up to STORE_LIST_MAX; 0 gives an empty page */
    bool sealed; /* attrs.seal and attrs.acl, too: of every entry the whole record is read */
};
struct store_list_entry {
    bool is_prefix; /* a common prefix: only object.key is set */
    struct store_object
        object; /* attrs.owner, storage_class, etag, checksum kind, lengths; no metadata */
};
struct store_list_page {
    struct store_list_entry *entries; /* objects and prefixes in one bytewise order */
    size_t count;
    bool truncated;
    struct str next; /* the `after` of the next page */
};
int FIBER store_list(struct store *s, struct arena *a, struct bucket_id b,
                     const struct store_list_query *q, struct store_list_page *ret);

/* Every version of every key: keys in bytewise order, the versions of one newest first. */
struct store_versions_query {
    struct str prefix, delimiter;
    /* Exclusive: all versions of this key, or of the keys under a common prefix as returned before,
     * are skipped; with `version` only those up to and with that. */
    struct str after;
    bool has_version;
    struct store_version_ref
        version; /* not CURRENT; the null version that is not there: skips none of the key's */
    size_t max;
    bool sealed; /* as above */
};
struct store_version_entry {
    bool is_prefix; /* as above */
    bool is_latest;
    struct store_object object; /* as above; a delete marker says so */
};
struct store_versions_page {
    struct store_version_entry *entries;
    size_t count;
    bool truncated; /* then the last entry says where the next page begins */
};
int FIBER store_list_versions(struct store *s, struct arena *a, struct bucket_id b,
                              const struct store_versions_query *q,
                              struct store_versions_page *ret);

/*
 * Gives the current object of `from` another name in the bucket, `to`, whose object goes if there
 * is one. No byte is read: chunks, time, ETag and attributes are what they were; the sequence is
 * new. One transaction. `seq` and `old_seal` are of the object that the caller looked at, `seal` is
 * what its attributes carry from now on (a seal is bound to the key). The conditions are about
 * `to`; their quota is not asked, for nothing grows.
 *
 * -ERR_CONFLICT: `from` is another object by now, or none; -ERR_BUCKET_STATE: the bucket
 * has, or had, versioning on: the name that is left would be a version's. -EINVAL: one name.
 * -ERR_PRECONDITION_FAILED, -ERR_NO_SUCH_KEY (If-Match on a missing key), as of any write.
 */
struct store_renaming {
    struct str from, to;
    uint64_t seq;
    struct str old_seal, seal;
    const struct store_conditions *conditions; /* may be NULL */
};
int FIBER store_rename(struct store *s, struct bucket_id b, const struct store_renaming *what,
                       struct store_written *ret);

/* ---- multipart ------------------------------------------------------------------------------ */

/* Upload ids are text of [A-Za-z0-9_-], unguessable, unique in the bucket. */
int FIBER store_upload_create(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                              const struct store_attrs *attrs, enum store_checksum_kind kind,
                              bool has_checksum, bool composite, struct str *ret_upload);
struct store_upload {
    struct str key, upload;
    struct store_attrs attrs;
    uint64_t created_ms;
    bool has_checksum, composite;
    enum store_checksum_kind kind;
};
/* -ERR_NO_SUCH_UPLOAD, also when the key is another's. */
int FIBER store_upload_get(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                           struct str upload, struct store_upload *ret);
/* Then store_write, and store_part_commit or store_write_abort. */
int FIBER store_part_begin(struct store *s, struct bucket_id b, struct str key, struct str upload,
                           uint32_t number, uint64_t len_bytes, struct store_writer **ret);
/* The same of an upload whose attributes have a seal: `data_key` is the one it holds. */
int FIBER store_part_begin_sealed(struct store *s, struct bucket_id b, struct str key,
                                  struct str upload, uint32_t number, uint64_t len_bytes,
                                  const uint8_t *data_key, struct store_writer **ret);
/* -ERR_QUOTA_EXCEEDED: beyond `quota`, which may be NULL. */
int FIBER store_part_commit(struct store_writer *w, const uint8_t md5[16],
                            const struct store_checksum *checksum, const struct store_quota *quota,
                            uint64_t *ret_mtime_ms);
struct store_part {
    uint32_t number;
    uint64_t len_bytes, mtime_ms;
    uint8_t md5[16];
    struct store_checksum checksum;
};
struct store_part_page {
    struct store_part *parts;
    size_t count;
    bool truncated;
    uint32_t next; /* part-number marker of the next page */
};
int FIBER store_part_list(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                          struct str upload, uint32_t after, size_t max,
                          struct store_part_page *ret);
struct store_upload_query {
    struct str prefix, delimiter, key_after, upload_after;
    size_t max;
};
struct store_upload_entry {
    bool is_prefix;             /* only upload.key is set */
    struct store_upload upload; /* of attrs: owner, initiator, class */
};
struct store_upload_page {
    struct store_upload_entry *entries;
    size_t count;
    bool truncated;
    struct str next_key, next_upload;
};
int FIBER store_upload_list(struct store *s, struct arena *a, struct bucket_id b,
                            const struct store_upload_query *q, struct store_upload_page *ret);
/* A part as the client lists it in Complete. */
struct store_complete_part {
    uint32_t number;
    bool has_md5;
    uint8_t md5[16];
    struct store_checksum checksum; /* present: must match the stored one */
};
/* Which of the listed parts is not as it must be. */
struct store_part_fault {
    const struct store_complete_part *part; /* NULL: it is not about one part */
    uint64_t len_bytes;                     /* of one that is too small */
};
/*
 * -ERR_NO_SUCH_UPLOAD, -ERR_INVALID_PART, -ERR_INVALID_PART_ORDER, -ERR_ENTITY_TOO_SMALL,
 * preconditions. Completing twice with the same parts answers as the first time while the object is
 * still that one. `whole` (present) is the client's checksum of the object, held against the
 * computed one: -ERR_BAD_DIGEST. `ret_fault` may be NULL.
 */
int FIBER store_upload_complete(struct store *s, struct arena *a, struct bucket_id b,
                                struct str key, struct str upload,
                                const struct store_complete_part *parts, size_t count,
                                const struct store_checksum *whole, uint64_t expected_len_or_max,
                                const struct store_conditions *conditions,
                                struct store_part_fault *ret_fault, struct store_object *ret);
int FIBER store_upload_abort(struct store *s, struct bucket_id b, struct str key,
                             struct str upload);

/* ---- upkeep (called by jobs and the administrator) ------------------------------------------ */

/* One round of garbage collection: due chunks that no reader can hold are re-checked, deleted, and
 * their rows dropped. *ret_chunks says how many; 0 means nothing can be deleted yet. One caller at
 * a time (-ERR_BUSY). */
int FIBER store_gc(struct store *s, size_t max_chunks, uint64_t *ret_chunks);
/* Waits until a round may have work: 0, -ETIMEDOUT at the deadline, -ECANCELED. */
int FIBER store_gc_wait(struct store *s, uint64_t deadline_ns);

/* Gives back, a piece of the work, space of deleted objects whose bytes lay beside their records;
 * *ret_freed_bytes 0: there is nothing worth doing now. One caller at a time. */
int FIBER store_compact(struct store *s, uint64_t *ret_freed_bytes);
/* Rewrites the metadata without anything that was deleted (kv_erase). -ERR_BUSY: again later. */
int FIBER store_erase(struct store *s);

/*
 * Deletes the needles that a crash left behind: of sessions before `session` (this start's) and
 * named by no record. Every reference is gathered first; a walk that fails anywhere deletes
 * nothing. `pause` (may be NULL) is called between steps, may suspend, and ends the sweep when it
 * returns non-zero.
 */
struct store_sweep_result {
    uint64_t needles_seen, orphans_deleted, bytes_freed;
};
int FIBER store_sweep(struct store *s, uint64_t session, int (*pause)(void *arg), void *arg,
                      struct store_sweep_result *ret);

/*
 * Repair. A chunk that lacks shards has a row that says so: put by the write that could not place
 * them, by a read that found one damaged, or by store_repair_scan, which walks every record for
 * shards that are nowhere or on disks that were replaced, and codes narrower than the disks allow.
 *
 * store_repair works through the rows, the most endangered of all buckets first; *ret is kept up
 * to date as it goes. `pace` (may be
 * NULL) is told of the bytes written after each chunk, may suspend, and ends the pass when it
 * returns non-zero. -ERR_BUSY while a sweep runs, as a sweep waits for a repair under way: a shard
 * on the move would look like an orphan to it.
 */
struct store_repair_result {
    uint64_t total;           /* rows there were when the pass began */
    uint64_t rows;            /* looked at */
    uint64_t repaired, bytes; /* chunks made whole or wider; bytes written */
    uint64_t left;            /* rows that stay: disks are missing, or too many shards are */
    uint64_t lost;            /* of those, chunks that cannot be read at present */
};
int FIBER store_repair(struct store *s, int (*pace)(uint64_t bytes, void *arg), void *arg,
                       struct store_repair_result *ret);
int FIBER store_repair_scan(struct store *s, int (*pace)(uint64_t rows, void *arg), void *arg,
                            uint64_t *ret_chunks);
/* Where the record of a chunk is. */
struct store_place {
    struct bucket_id bucket;
    struct str key, upload; /* upload: of a part, else empty */
    uint32_t part;
    uint64_t seq; /* of the object's row; 0: not known */
};
/* One chunk now, without a row; every byte of its shards is read. */
int FIBER store_repair_one(struct store *s, const struct store_place *place, struct chunk_id id,
                           struct store_repair_result *ret);
/* A row for one chunk, if its record still has it. `deep`: a shard was found wrong. */
int FIBER store_repair_queue(struct store *s, const struct store_place *place,
                             struct chunk_id chunk, bool deep);
/*
 * Puts `new` in the place of `old` in the record, if that has exactly these shards still, and lets
 * those go that `new` has not: for whoever moves shards. 0, or -ERR_CONFLICT: the record is
 * another, or gone; then the shards that only `new` has are the caller's to delete.
 */
int FIBER store_relayout(struct store *s, const struct store_place *place,
                         const struct blob_chunk *old, const struct blob_chunk *new);
/*
 * After it, or the like of it, ended with `err`: deletes the shards that only `new` has. Not where
 * it is unknown before the next start what became of the change, for then they may be the ones that
 * are named; nor once the metadata take no more for that reason: those of another try have the same
 * names.
 */
void FIBER store_relayout_undo(struct store *s, const struct blob_chunk *old,
                               const struct blob_chunk *new, int err);

/*
 * Walks the whole store and tests the invariants of its records, and that each chunk they name is
 * on its disk; when `deep`, reads every byte of them. May run while the store serves: what changes
 * meanwhile is no fault. `fn` gets each fault (err negative) and progress (err 0; with a text it is
 * a remark for people); a non-zero return stops the walk. It may suspend.
 */
struct store_check_event {
    int err;
    const char *text;
    struct str bucket, key; /* of the fault; may be empty */
    uint64_t done, total;   /* records, or bytes when deep */
};
int FIBER store_check(struct store *s, bool deep,
                      int (*fn)(const struct store_check_event *e, void *arg), void *arg);

/*
 * Gives each object, version and upload whose attributes have a seal to `fn`, which may suspend,
 * and takes the seal it makes in its place (`a` is of the row): for keys that were wrapped by
 * another. A failure is counted and the walk goes on; `pace` is called now and then and ends it by
 * a non-zero return. *ret is kept up to date.
 */
typedef int store_reseal_fn(struct bucket_id b, struct str key, struct str seal, struct arena *a,
                            struct str *ret, void *arg);
struct store_reseal_result {
    uint64_t seen, changed, failed;
};
int FIBER store_reseal(struct store *s, store_reseal_fn *fn, int (*pace)(void *arg), void *arg,
                       struct store_reseal_result *ret);

/*
 * A place in a walk over records, which goes on there, also after a restart; zeros: the beginning.
 */
struct store_walk_place {
    uint64_t bucket; /* this one is being walked; all before it are done */
    uint32_t kind;
    bool end;
    uint64_t rows;  /* met so far */
    struct str row; /* the last done, in the buffer; empty: none of this kind */
    char buffer[META_KEY_MAX];
};

/*
 * The scrub's walk, a piece at a time. Every row of objects, versions, uploads and parts is read
 * and decoded, bytes kept in the metadata are held against their digests, and every shard that a
 * record names is looked for. What seems wrong is looked at again and told only while the row is
 * still the same, so a change meanwhile is no fault.
 */
struct store_scrub_fault {
    const char *text;
    struct bucket_id bucket;
    struct str bucket_name, key; /* for people: an upload's parts have no key of their own */
    struct str upload;           /* of a part; else empty */
    uint32_t part;
    uint64_t seq;                   /* of an object or version; 0: of a part, or not known */
    const struct blob_chunk *chunk; /* NULL: the record itself */
    int errors[BLOB_SHARDS_MAX];    /* of each of its shards */
};
struct store_scrub_hooks {
    /* Whether this shard was found damaged where it lies: then it is read anew. */
    bool (*suspect)(void *arg, struct chunk_id chunk, unsigned shard);
    int (*fault)(const struct store_scrub_fault *f, void *arg); /* may suspend */
    int (*pace)(void *arg, uint64_t chunks);                    /* after each row; may suspend */
    void *arg;
};
/* A hook's non-zero return ends it and is handed back; the place is then as before. */
int FIBER store_scrub(struct store *s, struct store_walk_place *place,
                      const struct store_scrub_hooks *hooks);
/* About as many rows as that walks over: objects, versions and uploads of all buckets. */
int FIBER store_count_rows(struct store *s, uint64_t *ret);
/* Whether the row of this object (version, part) still names the chunk: 1, 0 or an error. What a
 * fault said; a chunk of all zeros asks for the row alone. */
int FIBER store_names_chunk(struct store *s, struct bucket_id b, struct str key, uint64_t seq,
                            struct str upload, struct chunk_id chunk);

/*
 * Moves. store_chunks calls `fn` for the chunks of a page of objects and parts, behind the place,
 * and moves that on; `fn` may suspend, and ends the page when it returns non-zero, the place then
 * being as before. store_move has the shards of one chunk moved to where the newest placement wants
 * them (blob_move); a record that changed meanwhile is left alone. -ERR_BUSY while a sweep runs.
 */
typedef int store_chunk_fn(const struct store_place *p, const struct blob_chunk *c, void *arg);
int FIBER store_chunks(struct store *s, struct store_walk_place *place, store_chunk_fn *fn,
                       void *arg);
struct store_moved {
    bool moved;
    unsigned left; /* shards that should move and cannot at present */
    uint64_t bytes;
};
int FIBER store_move(struct store *s, const struct store_place *place,
                     const struct blob_chunk *chunk, struct arena *a, struct store_moved *ret);
/* The chunks of the current object. -ERR_NO_SUCH_KEY. */
int FIBER store_object_chunks(struct store *s, struct bucket_id b, struct str key,
                              store_chunk_fn *fn, void *arg);

/*
 * The lifecycle's walk, a page at a time: objects, then versions, then uploads of each bucket, in
 * the order of the buckets' ids. Of a page every row is shown from one snapshot; then `done` may
 * change what it likes before the walk moves on. A hook's failure ends the page and is handed back;
 * the walk is then where it was. Rows that cannot be read are passed over: the scrub tells of them.
 */
enum store_life_kind { STORE_LIFE_OBJECT, STORE_LIFE_VERSION, STORE_LIFE_UPLOAD, STORE_LIFE_KINDS };
struct store_life_row {
    enum store_life_kind kind;
    const struct store_object *object; /* as a listing has it; of an upload its key and creation */
    struct str upload;                 /* of an upload */
    /* Of a version: */
    uint64_t since_ms; /* when the next one superseded it; 0: it is the newest, a delete marker */
    uint64_t newer;    /* superseded ones between it and the newest */
    bool alone;        /* the newest, with nothing behind it */
    /* The store's own: */
    struct bucket_id bucket;
    struct str value;
};
struct store_life_hooks {
    /* Which kinds of the bucket's rows are wanted, bits of 1 << enum store_life_kind; 0: none. The
     * bucket lives until `done` has returned. May suspend. */
    int (*bucket)(void *arg, const struct store_bucket *b);
    /* Must not suspend. 1: this was the last row of the page; less than 0: a failure. */
    int (*row)(void *arg, const struct store_life_row *row);
    int (*done)(void *arg, uint64_t rows); /* may suspend */
    void *arg;
};
struct store_life_walk {
    struct store_walk_place place; /* what is to be kept over a restart */
    /* The key whose versions are being walked; without it the walk goes back to the first of them.
     */
    size_t key_len;
    uint64_t since_ms, newer;
    char key[STORE_KEY_MAX];
};
int FIBER store_life_page(struct store *s, struct store_life_walk *w,
                          const struct store_life_hooks *hooks);
/* The tags of an object or version, in `a`; inside `row` alone. -ERR_CORRUPT, -ENOMEM. */
int store_life_tags(const struct store_life_row *row, struct arena *a,
                    const struct store_pair **ret, size_t *ret_count);

struct store_stats {
    uint64_t buckets;
    uint64_t settings_bytes; /* in memory */
    uint64_t cache_hits, cache_misses, cache_bytes, cache_records;
    uint64_t readers_open;
    uint64_t gc_chunks; /* deleted since the start */
    uint64_t gc_bytes;
    uint64_t gc_refused;     /* rows that named a chunk still referenced: 0, or a fault to report */
    uint64_t repairs_queued; /* rows put since the start */
};
void store_stats(struct store *s, struct store_stats *ret);
