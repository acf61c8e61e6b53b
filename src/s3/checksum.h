/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * S3's flexible checksums: their names, their text forms, and one under computation.
 * Source: S3 User Guide, "Checking object integrity".
 */

#include "base/hash.h"
#include "store/store.h"

/* "CRC32", as headers and XML values name the algorithm. */
const char *s3_checksum_name(enum store_checksum_kind kind);
/* "x-amz-checksum-crc32" */
const char *s3_checksum_header(enum store_checksum_kind kind);
/* "ChecksumCRC32", the XML element. */
const char *s3_checksum_element(enum store_checksum_kind kind);
/* Bytes of a value. */
unsigned s3_checksum_len(enum store_checksum_kind kind);
/* Algorithm names compare without case. False when it is none of S3's. */
bool s3_checksum_kind_parse(struct str name, enum store_checksum_kind *ret);

/*
 * Base64 of exactly the right length, followed by "-N" for a composite value: 0 with *ret_parts 0
 * or N, or -EINVAL.
 */
int s3_checksum_parse(enum store_checksum_kind kind, struct str text, struct store_checksum *ret,
                      uint32_t *ret_parts);
/* The same text back; `parts` is used for a composite value. Room for CHECKSUM_TEXT_MAX bytes. */
#define CHECKSUM_TEXT_MAX 96
struct str s3_checksum_format(const struct store_checksum *c, uint32_t parts,
                              char ret[CHECKSUM_TEXT_MAX]);
bool s3_checksum_eq(const struct store_checksum *a, const struct store_checksum *b);

/* A checksum being computed. A zeroed one is unused and may be released. */
struct s3_checksum {
    bool used;
    enum store_checksum_kind kind;
    uint64_t crc;
    struct hash_stream *digest;
};
int s3_checksum_init(struct s3_checksum *c, enum store_checksum_kind kind);
void s3_checksum_update(struct s3_checksum *c, const void *data, size_t len);
/* The value of the bytes seen (never composite); `c` is released. */
struct store_checksum s3_checksum_finish(struct s3_checksum *c);
void s3_checksum_release(struct s3_checksum *c);
