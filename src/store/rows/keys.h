/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The keys of the store's rows (docs/FORMATS.md has the table). The first byte names the kind of
 * row; numbers are big-endian, so bytewise order is their order.
 *
 * An object's key that ends the row's key goes in as it is. One that is followed by more is framed:
 * groups of eight bytes, the last one padded with zeros, each followed by a byte that is 9 when
 * another group follows and else says how many of the eight count. Frames sort as the keys do, end
 * where they say, and grow by an eighth whatever the bytes are.
 */

#include "meta/meta.h"
#include "store/store.h"

/* The text of an upload id: 11 characters of time, 22 of chance. */
#define UPLOAD_ID_LEN 33

/* Where a row's key is put together; the `struct str` returned points into it. */
struct key_buf {
    size_t len;
    char bytes[META_KEY_MAX];
};

#define KEY_OBJECTS  STR("O")
#define KEY_VERSIONS STR("V")
#define KEY_TOPS     STR("Z")
#define KEY_BESIDE   STR("I") /* META_BULK */
#define KEY_UPLOADS  STR("M")
#define KEY_PARTS    STR("P")
#define KEY_GARBAGE  STR("G")
#define KEY_REPAIRS  STR("R")
#define KEY_OUTBOX   STR("Q")
#define KEY_DEAD     STR("X")
#define KEY_STEPS    STR("W")
#define KEY_COUNTERS STR("C")
#define KEY_CONFIG   STR("B")
/* In the system space. */
#define KEY_NAMES    STR("N")
#define KEY_SESSIONS STR("S")
#define KEY_EPOCHS   STR("E")
#define KEY_DROPS    STR("Jdrop ")
#define KEY_IDS      STR("Jbucket-id")
#define KEY_RESTORES STR("Jrestore ")

/* One letter (or prefix) and raw bytes: O key, N name. */
struct str key_raw(struct key_buf *k, struct str kind, struct str rest);
/* One letter (or prefix) and a number: S session, Jdrop id. */
struct str key_number(struct key_buf *k, struct str kind, uint64_t n);
/* V key inv_seq: newer versions of a key sort before older ones. */
struct str key_version(struct key_buf *k, struct str key, uint64_t seq);
/* V key: what the rows of all versions of the key start with. */
struct str key_versions(struct key_buf *k, struct str key);
/* I beside key: the bytes of an object that lie in a row of their own */
struct str key_beside(struct key_buf *k, struct str key, uint64_t beside);
/* M key upload; with an empty upload, what all uploads of the key start with. */
struct str key_upload(struct key_buf *k, struct str key, struct str upload);
/* P upload part attempt; the second form is what all attempts of a part start with. */
struct str key_part(struct key_buf *k, struct str upload, uint32_t number, uint64_t attempt);
struct str key_part_prefix(struct key_buf *k, struct str upload, uint32_t number);
/* P upload */
struct str key_parts(struct key_buf *k, struct str upload);
/* G due chunk */
struct str key_garbage(struct key_buf *k, uint64_t due_ms, struct chunk_id chunk);
/* R priority partition chunk: the lowest priority number is the most endangered. */
struct str key_repair(struct key_buf *k, uint8_t priority, uint16_t partition,
                      struct chunk_id chunk);

/* Jrestore rank due number */
struct str key_restore(struct key_buf *k, uint8_t rank, uint64_t due_ms, uint64_t number);

/* Q target shard seq, or X ...; the second form is what all of a shard start with. */
struct str key_outbox(struct key_buf *k, bool dead, struct str target, unsigned shard,
                      uint64_t seq);
struct str key_outbox_shard(struct key_buf *k, bool dead, struct str target, unsigned shard);

/* The reverse. -ERR_CORRUPT unless the row's key is exactly of that kind. */
int key_parse_version(struct str row, char ret_key[STORE_KEY_MAX], size_t *ret_key_len,
                      uint64_t *ret_seq);
/* The key is borrowed from the row. */
int key_parse_beside(struct str row, struct str *ret_key, uint64_t *ret_beside);
int key_parse_upload(struct str row, char ret_key[STORE_KEY_MAX], size_t *ret_key_len,
                     struct str *ret_upload);
int key_parse_part(struct str row, struct str *ret_upload, uint32_t *ret_number,
                   uint64_t *ret_attempt);
int key_parse_garbage(struct str row, uint64_t *ret_due_ms, struct chunk_id *ret_chunk);
int key_parse_repair(struct str row, uint8_t *ret_priority, struct chunk_id *ret_chunk);
/* The target is borrowed from the row. */
int key_parse_outbox(struct str row, struct str *ret_target, unsigned *ret_shard,
                     uint64_t *ret_seq);
int key_parse_restore(struct str row, uint8_t *ret_rank, uint64_t *ret_due_ms,
                      uint64_t *ret_number);
int key_parse_number(struct str row, struct str kind, uint64_t *ret);

/*
 * The least key greater than every key that starts with `prefix`, in `ret` (which holds
 * prefix.len bytes); ptr NULL when there is none (a prefix of 0xff bytes, or an empty one).
 */
struct str key_past_prefix(struct str prefix, char *ret);
