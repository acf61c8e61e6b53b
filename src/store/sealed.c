/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing what is to be sealed: the bytes pass through the cipher on their way into the blob, or,
 * of a short object, when they are all there. Reading it is in get.c.
 */

#include "store/internal.h"

int writer_seal_begin(struct store_writer *w, const uint8_t data_key[CRYPT_KEY_LEN])
{
    w->run = (struct frame_id){.part = w->number};
    rt_random(w->run.salt, sizeof(w->run.salt));
    return frame_seal_begin(&w->sealer, data_key, &w->run,
                            w->open_bytes ? FRAME_UNKNOWN : w->len_bytes);
}

int FIBER writer_seal_write(struct store_writer *w, struct str in)
{
    struct str block;
    int r = 0;
    do {
        frame_seal(&w->sealer, &in, &block);
        if (block.len)
            r = blob_write(w->blob, block.ptr, block.len);
    } while (r == 0 && in.len);
    return r;
}

int writer_seal_data(struct store_writer *w, uint64_t len)
{
    struct str in = str_make(w->data, len), block;
    char *out = malloc(frame_sealed_len(len));
    size_t done = 0;
    if (!out)
        return -ENOMEM;
    if (w->sealer.total == FRAME_UNKNOWN)
        frame_seal_total(&w->sealer, w->written);
    do {
        frame_seal(&w->sealer, &in, &block);
        if (block.len)
            memcpy(out + done, block.ptr, block.len);
        done += block.len;
    } while (in.len);
    CHECK(done == frame_sealed_len(len));
    wipe(w->data, len);
    w->sealed = str_make(out, done);
    return 0;
}

void writer_seal_end(struct store_writer *w)
{
    frame_seal_end(&w->sealer);
    free((char *)w->sealed.ptr);
}
