/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The XML bodies that requests carry, read into structs. Pure: what is wrong inside an entry of a
 * list is noted in that entry where S3 tells it of the entry alone.
 */

#include "s3/checksum.h"
#include "wire/xml.h"

/* ---- CreateBucketConfiguration -------------------------------------------------------------- */

struct s3_new_bucket {
    struct str location;         /* "": no constraint, or no body */
    const struct xml_node *tags; /* above its Tag elements; NULL: none */
};

/* -ERR_MALFORMED_XML; -ERR_NOT_IMPLEMENTED for directory buckets. */
int s3_body_new_bucket(struct arena *a, struct str body, struct s3_new_bucket *ret);

/* ---- VersioningConfiguration ---------------------------------------------------------------- */

/* -ERR_MALFORMED_XML; -ERR_NOT_IMPLEMENTED for MFA delete. */
int s3_body_versioning(struct arena *a, struct str body, enum store_versioning *ret);

/* ---- object lock ---------------------------------------------------------------------------- */

/* "GOVERNANCE" and "COMPLIANCE", "ON" and "OFF"; -EINVAL for any other text. */
int s3_retention_parse(struct str text, enum store_retention *ret);
struct str s3_retention_name(enum store_retention r);
int s3_hold_parse(struct str text, enum store_hold *ret);
struct str s3_hold_name(enum store_hold h);

/* ObjectLockConfiguration. -ERR_MALFORMED_XML, -ERR_INVALID_RETENTION_PERIOD. */
struct s3_default_retention {
    enum store_retention mode; /* STORE_RETENTION_NONE: there is no default */
    uint32_t days, years;      /* one of them */
};
int s3_body_object_lock(struct arena *a, struct str body, struct s3_default_retention *ret);
/* Retention; an empty one asks for none. Sets mode and date. */
int s3_body_retention(struct arena *a, struct str body, struct store_lock *ret);
/* LegalHold */
int s3_body_legal_hold(struct arena *a, struct str body, enum store_hold *ret);

/* ---- RestoreRequest ------------------------------------------------------------------------- */

/* -ERR_MALFORMED_XML, -ERR_INVALID_ARGUMENT (less than a day), -ERR_NOT_IMPLEMENTED (restores to
 * another place, or of what a query selects). */
struct s3_restore {
    uint32_t days;
    struct str tier; /* "Expedited", "Standard" or "Bulk"; empty: none is named */
};
int s3_body_restore(struct arena *a, struct str body, struct s3_restore *ret);

/* ---- ObjectEncryption ----------------------------------------------------------------------- */

/* -ERR_MALFORMED_XML; -ERR_INVALID_REQUEST: anything but SSE-KMS by a key that is named. */
struct s3_object_encryption {
    struct str key; /* its name or ARN, as it is told */
    bool bucket_key;
};
int s3_body_object_encryption(struct arena *a, struct str body, struct s3_object_encryption *ret);

/* ---- Delete --------------------------------------------------------------------------------- */

#define S3_DELETE_KEYS_MAX 1000

struct s3_deletion {
    struct str key;
    struct store_conditions conditions; /* if_match (quoted or not), mtime and len */
    struct str version_id;              /* as it was named; empty: none is */
    struct store_version_ref version;
    bool bypass;                /* of governance: the caller's judgement */
    struct store_deletion done; /* what came of it, without an `err` */
    int err;                    /* of this key alone: 0 or a negative code */
};
static inline bool s3_deletion_is_conditional(const struct s3_deletion *d)
{
    return d->conditions.if_match.len || d->conditions.has_mtime || d->conditions.has_len;
}
struct s3_deletions {
    struct s3_deletion *items;
    size_t count; /* 1 to S3_DELETE_KEYS_MAX */
    bool quiet;
};
int s3_body_deletions(struct arena *a, struct str body, struct s3_deletions *ret);

/* ---- CompleteMultipartUpload ---------------------------------------------------------------- */

/*
 * `kind`: the parts' checksums that count, those of other kinds are passed over; NULL: none count.
 * -ERR_MALFORMED_XML, -ERR_INVALID_PART (an ETag or checksum that is none), -ERR_INVALID_ARGUMENT
 * (a part number out of range).
 */
struct s3_completion {
    struct store_complete_part *parts;
    size_t count; /* 1 to STORE_PARTS_MAX */
};
int s3_body_completion(struct arena *a, struct str body, const enum store_checksum_kind *kind,
                       struct s3_completion *ret);
