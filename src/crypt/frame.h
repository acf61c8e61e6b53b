/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A run of bytes (an object, or one part of one) as sealed blocks that are read independently.
 *
 * Each block is up to 64 KiB of plaintext and a tag of 16 bytes behind it; only the last is
 * shorter. A run without bytes is one empty block, so that its end is sealed, too. The key is the
 * run's own: made of the data key, the part's number (0: of no part) and a random salt that the
 * record keeps; so parts share a data key and nothing is sealed twice under one nonce. The nonce is
 * the block's number and whether it is the last: a block changed, moved, left out, repeated or
 * brought from elsewhere does not open, and a run cut off after a block has no last one.
 *
 * No plaintext is given out before its tag was right.
 */

#include "crypt/aead.h"

#define FRAME_BLOCK    (64 * KIB)
#define FRAME_OPENED   (4 * FRAME_BLOCK) /* what an opener gives at once, at most */
#define FRAME_SEALED   (FRAME_BLOCK + CRYPT_TAG_LEN)
#define FRAME_SALT_LEN 16

struct frame_id {
    uint32_t part; /* 0: of none */
    uint8_t salt[FRAME_SALT_LEN];
};

/* How long `len` bytes are once sealed. */
uint64_t frame_sealed_len(uint64_t len);

/* Where the bytes `off` to `off + len` of a run of `total` bytes lie. */
struct frame_span {
    uint64_t first;    /* block */
    uint64_t off, len; /* of the sealed bytes that hold them */
    uint64_t skip;     /* of the plaintext before them */
};
void frame_span(uint64_t total, uint64_t off, uint64_t len, struct frame_span *ret);

/* ---- sealing -------------------------------------------------------------------------------- */

struct frame_sealer {
    struct aead aead;
    uint64_t total; /* FRAME_UNKNOWN: what comes is not the end */
    uint64_t at;    /* bytes taken */
    uint8_t *block; /* sealed, as long as any will be */
};
#define FRAME_UNKNOWN UINT64_MAX

/* -ENOMEM. */
int frame_seal_begin(struct frame_sealer *s, const uint8_t data_key[CRYPT_KEY_LEN],
                     const struct frame_id *id, uint64_t total);
/* At the end of a block, once it is known how much comes in all. */
void frame_seal_total(struct frame_sealer *s, uint64_t total);
/*
 * Takes from `*in` up to the end of a block; *ret_block is the sealed block when it is complete,
 * until the next call, else empty. Of an empty run: with an empty `in`, once.
 */
void frame_seal(struct frame_sealer *s, struct str *in, struct str *ret_block);
/* Accepts a zeroed one. */
void frame_seal_end(struct frame_sealer *s);

/* ---- opening -------------------------------------------------------------------------------- */

struct frame_opener {
    struct aead aead;
    uint64_t total;
    uint64_t number, end; /* the block at hand, and the one after the last */
    size_t have;          /* sealed bytes of the block at hand */
    size_t opened;        /* bytes of the blocks before it in `plain` */
    uint8_t tag[CRYPT_TAG_LEN];
    uint8_t *plain;
    size_t room; /* of `plain` */
};

/* The blocks of `span`, which is of a run of `total` bytes. -ENOMEM. */
int frame_open_begin(struct frame_opener *o, const uint8_t data_key[CRYPT_KEY_LEN],
                     const struct frame_id *id, uint64_t total, const struct frame_span *span);
/*
 * Takes from `*in` until FRAME_OPENED bytes are open or all of the span is; *ret_plain is what they
 * are then, until the next call, else ptr NULL. -ERR_CORRUPT: not what was sealed, or more than it.
 */
int frame_open(struct frame_opener *o, struct str *in, struct str *ret_plain);
/* Accepts a zeroed one; what was plain is wiped. */
void frame_open_end(struct frame_opener *o);
