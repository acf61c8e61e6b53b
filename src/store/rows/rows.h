/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The store's rows other than the object's: each is put into a transaction, or decoded from its
 * value into an arena, where its strings then live. Decoding trusts nothing: -ERR_CORRUPT.
 */

#include "store/rows/record.h"

/* N name: which bucket a name stands for. */
struct name_row {
    uint64_t id;
    struct str owner, region;
    uint64_t created_ms;
};
int name_row_put(struct meta_tx *tx, struct str name, const struct name_row *row);
int name_row_decode(struct str value, struct arena *a, struct name_row *ret);

/* B: that a bucket takes writes, and how. The name is for people who read the store. */
struct config_row {
    struct str name;
    enum store_versioning versioning;
    bool object_lock;
    bool renamed; /* an object in chunks was, at some time */
};
int config_row_put(struct meta_tx *tx, const struct config_row *row);
/* -ERR_NO_SUCH_BUCKET when the bucket is not, or no longer, there. */
int config_row_test(struct meta_tx *tx);
/* The same, decoded into the transaction's arena. */
int config_row_get(struct meta_tx *tx, struct config_row *ret);
int config_row_decode(struct str value, struct arena *a, struct config_row *ret);

/* B name: one of the bucket's settings (settings.h) */
struct setting_row {
    struct str text;
    uint64_t changed_ms;
};
int setting_row_put(struct meta_tx *tx, struct str row_key, const struct setting_row *row);
int setting_row_decode(struct str value, struct arena *a, struct setting_row *ret);
/* The bucket's own row and those of its settings. */
int config_rows_delete(struct meta_tx *tx);

/* Z key: see wire/records.proto. A row that is not there is all zeros, and one of zeros is deleted.
 */
struct tops_row {
    uint64_t null_seq, marker_seq;
};
int tops_row_get(struct meta_tx *tx, struct str key, struct tops_row *ret);
int tops_row_put(struct meta_tx *tx, struct str key, const struct tops_row *row);
int tops_row_decode(struct str value, struct tops_row *ret);

/* M key upload */
struct upload_row {
    struct store_attrs attrs;
    uint64_t created_ms;
    bool has_checksum, composite;
    enum store_checksum_kind kind;
};
int upload_row_put(struct meta_tx *tx, struct str key, struct str upload,
                   const struct upload_row *row);
int upload_row_decode(struct str value, struct arena *a, struct upload_row *ret);

/* P upload part attempt */
struct part_row {
    uint64_t len_bytes, mtime_ms;
    uint8_t md5[16];
    struct store_checksum checksum;
    struct blob_layout layout;
    bool sealed;
    uint8_t salt[FRAME_SALT_LEN]; /* when sealed */
};
int part_row_put(struct meta_tx *tx, struct str row_key, const struct part_row *row);
int part_row_decode(struct str value, struct arena *a, struct part_row *ret);

/* G due chunk: the chunks that one row let go. */
struct garbage_row {
    struct str key; /* of the object, or upload, whose row held them */
    uint64_t seq;   /* of that row; 0: of a part */
    struct chunk_id *chunks;
    size_t count;
    uint64_t len_bytes;
    struct blob_needle *needles; /* of the chunks, in their order */
    size_t needle_count;
    bool moved;        /* the record has the chunk still, but these shards of it elsewhere */
    struct str upload; /* moved, of a part; else empty */
    uint32_t part;
};
/* Nothing is put for an empty layout. */
int garbage_row_put(struct meta_tx *tx, uint64_t due_ms, struct str key, uint64_t seq,
                    const struct blob_layout *layout);
/* Of one chunk that stays at its place: the shards whose disks are not BLOB_DISK_NONE go. */
int garbage_row_put_moved(struct meta_tx *tx, uint64_t due_ms, const struct store_place *place,
                          const struct blob_chunk *gone);
int garbage_row_decode(struct str value, struct arena *a, struct garbage_row *ret);

/* R priority partition chunk: what wants repair, and where its record is. */
struct repair_row {
    struct str key, upload; /* upload: of a part, else empty */
    uint32_t part;
    uint64_t seq; /* of the object's row */
    bool deep;
};
int repair_row_put(struct meta_tx *tx, uint8_t priority, struct chunk_id chunk,
                   const struct repair_row *row);
int repair_row_decode(struct str value, struct arena *a, struct repair_row *ret);

/* Jdrop id: a bucket in the making or unmaking (buckets.c). */
int drop_row_put(struct meta_tx *tx, uint64_t id, struct str name);
int drop_row_decode(struct str value, struct arena *a, struct str *ret_name);
int drop_row_del(struct meta_tx *tx, uint64_t id);

/* The key of the first row of this kind, copied; *ret_found false: there is none. */
int rows_first(struct meta_tx *tx, struct str kind, struct key_buf *ret_row, bool *ret_found);
/* Whether the bucket has a row of this kind. */
int rows_any(struct meta_tx *tx, struct str kind, bool *ret);

/* The counters of a bucket. Part bytes are those of uploads under way, since they are counted: of
 * uploads that are older they may fall below zero. */
enum counter {
    COUNT_OBJECTS,
    COUNT_BYTES,
    COUNT_VERSIONS,
    COUNT_UPLOADS,
    COUNT_PART_BYTES,
    COUNTERS
};
