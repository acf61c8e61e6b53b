/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "crypt/frame.h"
#include "base/encode.h"
#include "base/error.h"
#include "crypt/wrap.h"

static uint64_t block_count(uint64_t total)
{
    return total ? (total - 1) / FRAME_BLOCK + 1 : 1;
}

/* Bytes of plaintext in a block. */
static size_t block_len(uint64_t total, uint64_t number)
{
    return (size_t)MIN(FRAME_BLOCK, total - number * FRAME_BLOCK);
}

uint64_t frame_sealed_len(uint64_t len)
{
    return len + block_count(len) * CRYPT_TAG_LEN;
}

void frame_span(uint64_t total, uint64_t off, uint64_t len, struct frame_span *ret)
{
    CHECK(off <= total && len <= total - off);
    uint64_t first = off / FRAME_BLOCK, end = off + len ? (off + len - 1) / FRAME_BLOCK + 1 : 1;
    first = MIN(first, end - 1);
    uint64_t start = first * FRAME_SEALED;
    *ret = (struct frame_span){
        .first = first,
        .off = start,
        .len = MIN(end * FRAME_SEALED, frame_sealed_len(total)) - start,
        .skip = off - first * FRAME_BLOCK,
    };
}

static void derive_run_key(const uint8_t data_key[CRYPT_KEY_LEN], const struct frame_id *id,
                           uint8_t ret[CRYPT_KEY_LEN])
{
    uint8_t context[4 + FRAME_SALT_LEN];
    put_be32(context, id->part);
    memcpy(context + 4, id->salt, FRAME_SALT_LEN);
    derive_key(data_key, "cairn run 1", str_make(context, sizeof(context)), ret);
}

static int init_run(struct aead *a, const uint8_t data_key[CRYPT_KEY_LEN],
                    const struct frame_id *id, bool seals)
{
    uint8_t key[CRYPT_KEY_LEN];
    derive_run_key(data_key, id, key);
    int r = aead_init(a, key, seals);
    explicit_bzero(key, sizeof(key));
    return r;
}

static void begin_block(struct aead *a, uint64_t number, bool last)
{
    uint8_t nonce[CRYPT_NONCE_LEN] = {last};
    put_be64(nonce + CRYPT_NONCE_LEN - 8, number);
    aead_begin(a, nonce, STR_NULL);
}

/* ---- sealing -------------------------------------------------------------------------------- */

int frame_seal_begin(struct frame_sealer *s, const uint8_t data_key[CRYPT_KEY_LEN],
                     const struct frame_id *id, uint64_t total)
{
    size_t most = (size_t)MIN(FRAME_BLOCK, total);
    *s = (struct frame_sealer){.total = total, .block = malloc(most + CRYPT_TAG_LEN)};
    int r = s->block ? init_run(&s->aead, data_key, id, true) : -ENOMEM;
    if (r < 0)
        frame_seal_end(s);
    return r;
}

void frame_seal_total(struct frame_sealer *s, uint64_t total)
{
    CHECK(s->total == FRAME_UNKNOWN && s->at % FRAME_BLOCK == 0 && total >= s->at);
    CHECK(total > s->at || total == 0); /* else the last block went out as one that is not */
    s->total = total;
}

void frame_seal(struct frame_sealer *s, struct str *in, struct str *ret_block)
{
    size_t fill = s->at % FRAME_BLOCK;
    uint64_t number = s->at / FRAME_BLOCK;
    size_t full = s->total == FRAME_UNKNOWN ? FRAME_BLOCK : block_len(s->total, number);
    size_t n = MIN(in->len, full - fill);
    *ret_block = STR_NULL;
    CHECK(s->at + n <= s->total && (n > 0 || s->total == 0));
    if (fill == 0)
        begin_block(&s->aead, number, number + 1 == block_count(s->total));
    aead_add(&s->aead, in->ptr, n, s->block + fill);
    *in = str_from_offset(*in, n);
    s->at += n;
    if (fill + n < full)
        return;
    aead_seal_end(&s->aead, s->block + full);
    *ret_block = str_make(s->block, full + CRYPT_TAG_LEN);
}

void frame_seal_end(struct frame_sealer *s)
{
    aead_release(&s->aead);
    free(s->block);
    *s = (struct frame_sealer){0};
}

/* ---- opening -------------------------------------------------------------------------------- */

int frame_open_begin(struct frame_opener *o, const uint8_t data_key[CRYPT_KEY_LEN],
                     const struct frame_id *id, uint64_t total, const struct frame_span *span)
{
    size_t room = (size_t)MIN(FRAME_OPENED, span->len);
    *o = (struct frame_opener){
        .total = total,
        .number = span->first,
        .end = span->first + (span->len - 1) / FRAME_SEALED + 1,
        .plain = malloc(room),
        .room = room,
    };
    int r = o->plain ? init_run(&o->aead, data_key, id, false) : -ENOMEM;
    if (r < 0)
        frame_open_end(o);
    return r;
}

/* The tag, whose bytes may come in pieces. */
static void take_tag(struct frame_opener *o, size_t len, struct str *in)
{
    size_t at = o->have - len, n = MIN(in->len, CRYPT_TAG_LEN - at);
    memcpy(o->tag + at, in->ptr, n);
    *in = str_from_offset(*in, n);
    o->have += n;
}

/* Of the block at hand what `*in` has of it. Whether that was all of it, or -ERR_CORRUPT. */
static int open_block(struct frame_opener *o, struct str *in)
{
    size_t len = block_len(o->total, o->number);
    if (o->have == 0)
        begin_block(&o->aead, o->number, o->number + 1 == block_count(o->total));
    if (o->have < len) {
        size_t n = MIN(in->len, len - o->have);
        aead_add(&o->aead, in->ptr, n, o->plain + o->opened + o->have);
        *in = str_from_offset(*in, n);
        o->have += n;
    }
    if (o->have >= len && in->len)
        take_tag(o, len, in);
    if (o->have < len + CRYPT_TAG_LEN)
        return false;
    if (!aead_open_end(&o->aead, o->tag))
        return -ERR_CORRUPT;
    o->number++;
    o->have = 0;
    o->opened += len;
    return true;
}

int frame_open(struct frame_opener *o, struct str *in, struct str *ret_plain)
{
    *ret_plain = STR_NULL;
    while (in->len) {
        if (o->number >= o->end)
            return -ERR_CORRUPT;
        int r = open_block(o, in);
        if (r < 0)
            return r;
        if (r && (o->number == o->end || o->opened == FRAME_OPENED)) {
            *ret_plain = str_make(o->plain, o->opened);
            o->opened = 0;
            return 0;
        }
    }
    return 0;
}

void frame_open_end(struct frame_opener *o)
{
    aead_release(&o->aead);
    if (o->plain)
        wipe(o->plain, o->room);
    free(o->plain);
    *o = (struct frame_opener){0};
}
