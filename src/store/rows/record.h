/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * An object's row, decoded and encoded (wire/records.proto).
 *
 * Decoded, it is a `struct record`: one block of memory, immutable, counted references; the cache
 * holds some and every open reader holds its own. To be encoded, it is a `struct draft`: all that
 * is known before the transaction is packed beforehand, on the caller's thread, and only the short
 * head (which carries the sequence number) is packed inside it, in front.
 *
 * A stored record is never trusted: what does not decode, or contradicts itself, is -ERR_CORRUPT.
 */

#include "base/list.h"
#include "crypt/frame.h"
#include "crypt/seal.h"
#include "store/rows/keys.h"
#include "wire/records.pb-c.h"

#define RECORD_OWNER_MAX 256 /* bytes of a user id */
#define RECORD_CLASS_MAX 64  /* bytes of a storage class */
#define RECORD_ATTRS_MAX (64 * KIB)
#define RECORD_ACL_MAX   (32 * KIB) /* beside them: 100 grants to ids of 256 bytes */

struct record {
    uint32_t refs; /* atomic */
    uint32_t used; /* the cache's: read since its hand last passed */
    uint64_t hash; /* of bucket and key */
    struct record *next_in_slot;
    struct list age;
    size_t size_bytes; /* of the block */

    struct bucket_id bucket;
    struct store_object object; /* strings in this block */
    /* The bytes are in `layout`, in the row I `beside` key, or here. */
    bool chunked;
    uint64_t beside;       /* 0: in no such row */
    struct hash128 digest; /* of the bytes beside, and of sealed ones in the record */
    struct str salts;      /* of sealed bytes: FRAME_SALT_LEN of each part, or of the whole */
    struct str data;       /* of those beside only when they were given */
    struct blob_layout layout;
    struct str upload; /* the id of the upload that made it; empty: a single PUT */
};

/* How long the object's bytes are where they lie: longer than it when they are sealed. */
uint64_t record_stored_len(const struct store_object *o);

/* A new record with one reference. Bytes that lie beside it are not in it. -ERR_CORRUPT, -ENOMEM.
 */
int record_decode(struct bucket_id bucket, struct str key, struct str value, struct record **ret);
/* The same of a row whose bytes lie beside it, with them: -ERR_CORRUPT also when they are not the
 * ones that the row tells of. */
int record_decode_beside(struct bucket_id bucket, struct str key, struct str value,
                         struct str beside, struct record **ret);
struct record *record_ref(struct record *r);
/* Accepts NULL. */
void record_unref(struct record *r);
#define _cleanup_record_ _cleanup_(record_cleanup_)
static inline void record_cleanup_(struct record **r)
{
    record_unref(*r);
}

/* What a listing, and a write over it, need of a row: cheap whatever the object. */
struct head {
    struct store_object object; /* no key, headers, metadata or parts; strings in `room` */
    bool chunked;
    uint64_t beside;
    char room[1024];
};
int head_decode(struct str value, struct head *ret);

/* ---- encoding ------------------------------------------------------------------------------- */

struct draft {
    char *bytes; /* room for the head, then `rest_len` bytes packed */
    size_t rest_len;
    uint64_t beside; /* for the head; its user sets it */
};

/* What a draft is made of: `data`, or `layout` when it is not NULL, or `digest` likewise, of bytes
 * in a row of their own (or of `data` that is sealed). Everything is borrowed. */
struct draft_parts {
    const struct store_attrs *attrs;
    struct str data;
    const struct hash128 *digest;
    const struct blob_layout *layout;
    const struct store_part_info *parts;
    size_t part_count;
    struct str upload, salts;
};
/* -ERR_METADATA_TOO_LARGE, -EINVAL (owner, class), -ERR_ENTITY_TOO_LARGE (the row would pass
 * META_VALUE_MAX), -ENOMEM. */
int draft_init(struct draft *d, const struct draft_parts *from);
/* What an old record was made of, but for `attrs`: with others in it, the same bytes. */
struct draft_parts draft_parts_of(const struct record *old);
void draft_release(struct draft *d);
/* The whole row, borrowed from the draft until it is sealed again. Owner, class, lengths, ETag,
 * checksum, times and flags are taken from `o`. */
struct str draft_seal(struct draft *d, const struct store_object *o, bool chunked);

/* ---- pieces shared with the other rows (rows.h) --------------------------------------------- */

/* Length of a checksum's value; 0 for an unknown kind. */
uint8_t store_checksum_len(enum store_checksum_kind kind);

/* protobuf-c's memory, taken from an arena and never given back singly. */
struct pb_arena {
    ProtobufCAllocator pb;
    struct arena *arena;
    bool failed; /* memory ran out: else a failed unpack means damage */
};
void pb_arena_init(struct pb_arena *p, struct arena *a);
/* NULL on failure; then *ret_err says which. */
void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct str value,
                int *ret_err);
static inline ProtobufCBinaryData pb_bytes(struct str s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)s.ptr};
}
static inline struct str pb_str(ProtobufCBinaryData b)
{
    return str_make(b.data, b.len);
}

/* `pb` may be NULL: no checksum. */
int checksum_unpack(const Cairn__Checksum *pb, struct store_checksum *ret);
/* What it points to lives as long as `c` does. */
void checksum_pack(const struct store_checksum *c, Cairn__Checksum *ret);
int attrs_unpack(const Cairn__Attrs *pb, struct arena *a, struct store_attrs *ret);
int attrs_pack(const struct store_attrs *attrs, struct arena *a, Cairn__Attrs *ret);
int layout_unpack(const Cairn__Layout *pb, struct arena *a, struct blob_layout *ret);
int layout_pack(const struct blob_layout *layout, struct arena *a, Cairn__Layout *ret);
