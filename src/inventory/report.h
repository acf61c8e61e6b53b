/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a report consists of, and what it is called. Rows of CSV, all values in quotes, keys
 * percent-encoded; in gzipped files; a manifest that names these, with its MD5 beside it, and the
 * same for Hive. All of a report is derived from when it was begun, so one that is gone on with
 * after a restart writes the same names again.
 *
 * Source: S3 User Guide, "Locating your inventory list".
 */

#include "base/md5.h"
#include "inventory/inventory.h"

/* ---- rows ----------------------------------------------------------------------------------- */

/* One object, version or delete marker; `grants` (JSON) when INVENTORY_ObjectAccessControlList is
 * wanted. Its attributes have seal and list when fields tell of them. */
void inventory_row(struct buf *b, const struct inventory *i, struct str bucket,
                   const struct store_object *o, bool is_latest, struct str grants);
/* Fields that need more than the head of a record. */
bool inventory_wants_records(const struct inventory *i);

/* ---- names ---------------------------------------------------------------------------------- */

struct inventory_report {
    const struct inventory *config;
    struct str bucket; /* the source */
    struct bucket_id id;
    uint64_t begun_ms;
};
enum inventory_part { INVENTORY_MANIFEST, INVENTORY_CHECKSUM, INVENTORY_SYMLINKS, INVENTORY_DATA };
/* The key of a part in the destination; `number` of INVENTORY_DATA. */
void inventory_key(struct buf *b, const struct inventory_report *r, enum inventory_part part,
                   uint32_t number);

/* ---- manifests ------------------------------------------------------------------------------ */

/* A data file that was written; on disk in the job's cursor as it is here, big-endian. */
struct inventory_file_note {
    uint64_t len_bytes;
    uint8_t md5[HASH_MD5_LEN];
};
void inventory_manifest(struct buf *b, const struct inventory_report *r,
                        const struct inventory_file_note *files, uint32_t count);
void inventory_symlinks(struct buf *b, const struct inventory_report *r, uint32_t count);
