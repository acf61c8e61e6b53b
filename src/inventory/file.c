/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "inventory/file.h"

#define ROOM  (32 * KIB)
#define LEVEL 6
#define GZIP  (15 + 16) /* the largest window, in gzip's frame */

void inventory_file_init(struct inventory_file *f, size_t limit_bytes)
{
    *f = (struct inventory_file){0};
    buf_init(&f->rows, 0);
    buf_init(&f->gzip, limit_bytes);
    md5_init(&f->md5);
}

/* Its memory is given back: between two reports nothing is held. */
static void empty(struct buf *b)
{
    size_t limit = b->limit_bytes;
    buf_release(b);
    buf_init(b, limit);
}

void inventory_file_reset(struct inventory_file *f)
{
    if (f->begun)
        deflateEnd(&f->z);
    f->z = (z_stream){0};
    f->begun = false;
    f->summed = 0;
    empty(&f->rows);
    empty(&f->gzip);
    md5_init(&f->md5);
}

void inventory_file_release(struct inventory_file *f)
{
    inventory_file_reset(f);
}

static int begin(struct inventory_file *f)
{
    if (f->begun)
        return 0;
    if (deflateInit2(&f->z, LEVEL, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    f->begun = true;
    return 0;
}

/* *ret_done: zlib has given all that it will give for now. */
static int step(struct inventory_file *f, int flush, bool *ret_done)
{
    char *room = buf_reserve(&f->gzip, ROOM);
    if (!room)
        return -ENOMEM;
    f->z.next_out = (Bytef *)room;
    f->z.avail_out = ROOM;
    int r = deflate(&f->z, flush);
    CHECK(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
    f->gzip.len += ROOM - f->z.avail_out;
    *ret_done = flush == Z_FINISH ? r == Z_STREAM_END : f->z.avail_out > 0;
    return 0;
}

int inventory_file_squeeze(struct inventory_file *f, bool end)
{
    bool done = false;
    int r = buf_error(&f->rows);
    if (r == 0)
        r = begin(f);
    f->z.next_in = (Bytef *)f->rows.data;
    f->z.avail_in = (uInt)f->rows.len;
    while (r == 0 && !done)
        r = step(f, end ? Z_FINISH : Z_NO_FLUSH, &done);
    if (r < 0)
        return r;
    if (f->gzip.len > f->summed) {
        f->gzip.data[f->gzip.len] = '\0';
        md5_update(&f->md5, f->gzip.data + f->summed, f->gzip.len - f->summed);
        f->summed = f->gzip.len;
    }
    buf_reset(&f->rows);
    return 0;
}
