/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Manifests: lists of objects that a batch job goes through. Pure: bytes in, a line or "more" out.
 *
 *   - CSV as S3 Batch Operations takes it: Bucket,Key or Bucket,Key,VersionId, without a heading,
 *     each line of as many fields as the first
 *   - the manifest.json of an inventory, which names CSV files and what their columns are
 *
 * Keys are form-encoded: %XX, and + for a space. A field may stand in quotes, with a quote in it
 * doubled. Strict, since what is misread would be deleted: a line that is none is refused with its
 * reason, never passed over. Memory: a line.
 *
 * Sources: S3 User Guide, "Specifying a manifest", "Amazon S3 Inventory list"; RFC 4180.
 */

#include "base/arena.h"

#define MANIFEST_LINE_MAX    (16 * KIB)
#define MANIFEST_COLUMNS_MAX 32
#define MANIFEST_VERSION_MAX 128
#define MANIFEST_JSON_MAX    (4 * MIB)
#define MANIFEST_FILES_MAX   20000

/* Which column is what. */
struct manifest_columns {
    unsigned count; /* 0: not known yet, the first line tells */
    unsigned bucket, key, version;
    bool has_version;
    bool of_versions; /* a list of versions: an empty id is the null version, not the current one */
};

struct manifest_line {
    struct str bucket, key; /* the key decoded; an empty line has no bucket */
    struct str version;     /* empty: the current one */
};

/*
 * The first line of `in`, which ends the file when `last`. 0 with *ret_used bytes taken; -EAGAIN:
 * there is not a whole line yet; -ERR_PARSE or -ERR_TOO_LARGE with the reason in *ret_why, a
 * literal; -ENOMEM. Strings point into `in`, or live in `a`. Once a line was read, `c` is known.
 */
int manifest_next(struct manifest_columns *c, struct arena *a, struct str in, bool last,
                  struct manifest_line *ret, size_t *ret_used, const char **ret_why);

/* A CSV file of an inventory, in the bucket that the inventory was put to. */
struct manifest_file {
    struct str key;
    uint64_t size;
    uint8_t md5[16];
};
struct manifest_inventory {
    struct str bucket; /* where the files are */
    struct manifest_columns columns;
    struct manifest_file *files;
    size_t count;
};
/* -ERR_PARSE or -ERR_TOO_LARGE with the reason in *ret_why, -ENOMEM. Strings live in `a`. */
int manifest_inventory_parse(struct arena *a, struct str text, struct manifest_inventory *ret,
                             const char **ret_why);
/* Whether an object of that key is taken for an inventory's manifest: manifest.json, or
 * a/manifest.json. */
bool manifest_is_inventory(struct str key);
