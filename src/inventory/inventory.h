/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's inventory configurations: which of its objects are listed how often, with what, and
 * where the lists go. A document is read strictly, once, on the way in: an element that is not
 * known, or comes twice, is MalformedXML.
 *
 * All configurations of a bucket are one of its settings, a line each of name=value pairs
 * (docs/FORMATS.md), in the order of their ids.
 *
 * Source: Amazon S3 API Reference, "InventoryConfiguration"; S3 User Guide, "Cataloging and
 * analyzing your data with S3 Inventory".
 */

#include "crypt/seal.h"
#include "store/store.h"

#define INVENTORY_CONFIGS_MAX 1000 /* a bucket; S3's limit */
#define INVENTORY_ID_MAX      64   /* S3's limit */
#define INVENTORY_PREFIX_MAX  512  /* of the destination: every key of a report fits behind it */
#define INVENTORY_ACCOUNT_MAX 256

/* X(name) in the order of a report's columns. The places are on disk as bits: they never change. */
#define INVENTORY_FIELDS(X)         \
    X(Size)                         \
    X(LastModifiedDate)             \
    X(ETag)                         \
    X(StorageClass)                 \
    X(IsMultipartUploaded)          \
    X(ReplicationStatus)            \
    X(EncryptionStatus)             \
    X(ObjectLockRetainUntilDate)    \
    X(ObjectLockMode)               \
    X(ObjectLockLegalHoldStatus)    \
    X(IntelligentTieringAccessTier) \
    X(BucketKeyStatus)              \
    X(ChecksumAlgorithm)            \
    X(ObjectAccessControlList)      \
    X(ObjectOwner)

enum inventory_field {
#define X(name) INVENTORY_##name,
    INVENTORY_FIELDS(X)
#undef X
        INVENTORY_FIELD_COUNT
};
const char *inventory_field_name(enum inventory_field f);

struct inventory {
    struct str id;
    bool enabled;
    bool all_versions;                /* else what is current */
    bool weekly;                      /* on Sundays; else daily */
    struct str prefix;                /* of the keys that are listed */
    uint32_t fields;                  /* bits by enum inventory_field */
    struct str account;               /* whose the destination must be; empty: anyone's */
    struct str bucket, bucket_prefix; /* the destination */
    enum seal_kind seal;              /* SEAL_NONE: as the destination has it */
    struct str master_key;            /* of SEAL_KMS */
    uint64_t put_ms;                  /* when it was put */
};
static inline bool inventory_has(const struct inventory *i, enum inventory_field f)
{
    return i->fields >> f & 1;
}

/* -ERR_MALFORMED_XML, -ERR_INVALID_ARGUMENT, -ERR_INVALID_DESTINATION, -ERR_NOT_IMPLEMENTED (ORC,
 * Parquet), -ENOMEM; *ret_why may say why. Strings live in `a`; put_ms is 0. */
int inventory_parse(struct arena *a, struct str body, struct inventory *ret, struct str *ret_why);
/* The element, with the namespace where it is a document of its own. */
void inventory_xml(struct buf *b, const struct inventory *i, bool document);
/* 1 to 64 letters, digits, '.', '-' and '_'. */
bool inventory_id_is_valid(struct str id);

/* ---- as they are kept ----------------------------------------------------------------------- */

struct inventory_set {
    struct inventory *list; /* in the order of their ids */
    size_t count;
};
/* A store_setting_parser. -ERR_CORRUPT, -ENOMEM. Strings point into `text` or live in `a`. */
int inventory_set_parse(struct arena *a, struct str text, void *set);
void inventory_set_pack(struct buf *b, const struct inventory_set *set);
/* The first whose id is not before it; count: there is none. */
size_t inventory_set_from(const struct inventory_set *set, struct str id);
/* NULL: there is none. */
const struct inventory *inventory_set_find(const struct inventory_set *set, struct str id);
/* The set with `i` in it, in the place of the one of its id, in `a`. -ERR_TOO_MANY_CONFIGURATIONS,
 * -ENOMEM. */
int inventory_set_with(struct arena *a, const struct inventory_set *set, const struct inventory *i,
                       struct inventory_set *ret);
/* Without the one at `at`. */
int inventory_set_without(struct arena *a, const struct inventory_set *set, size_t at,
                          struct inventory_set *ret);
