/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/internal.h"

/* The writer, its key, its upload and its inline bytes are one block. */
static struct store_writer *writer_new(const struct store_writer *like, size_t inline_len)
{
    struct store_writer *w = malloc(sizeof(*w) + like->key.len + like->upload.len + inline_len);
    if (!w)
        return NULL;
    char *at = (char *)(w + 1);
    *w = *like;
    w->key.ptr = memcpy(at, like->key.ptr, like->key.len);
    at += like->key.len;
    w->upload.ptr = at;
    if (like->upload.len)
        memcpy(at, like->upload.ptr, like->upload.len);
    at += like->upload.len;
    w->data = inline_len ? at : NULL;
    arena_init(&w->arena, 0);
    return w;
}

int FIBER store_writer_begin(struct store_writer **ret, const struct store_writer *like)
{
    int r = store_key_test(like->key);
    if (r < 0)
        return r;
    if (like->len_bytes > STORE_OBJECT_MAX - MIN(like->open_bytes, (uint64_t)STORE_OPEN_MAX))
        return -ERR_ENTITY_TOO_LARGE;
    struct store_writer *w = writer_new(like, like->chunked ? like->open_bytes : like->len_bytes);
    if (!w)
        return -ENOMEM;
    /* A part without bytes has no chunk. */
    if (w->chunked && w->len_bytes) {
        r = blob_begin(w->store->blob, w->len_bytes, &w->blob);
        if (r < 0) {
            free(w);
            return r;
        }
    }
    *ret = w;
    return 0;
}

/* What is sure goes to the blob; what comes behind it, when the end is open, waits. */
static int FIBER write_chunked(struct store_writer *w, const char *data, size_t len)
{
    size_t sure = w->written < w->len_bytes ? MIN(len, w->len_bytes - w->written) : 0;
    int r = sure ? blob_write(w->blob, data, sure) : 0;
    if (r == 0 && len > sure)
        memcpy(w->data + (w->written + sure - w->len_bytes), data + sure, len - sure);
    return r;
}

int FIBER store_write(struct store_writer *w, const void *data, size_t len)
{
    if (w->error < 0)
        return w->error;
    if (len > w->len_bytes + w->open_bytes - w->written)
        return w->error = -EINVAL;
    if (len == 0)
        return 0;
    if (w->chunked)
        w->error = write_chunked(w, data, len);
    else
        memcpy(w->data + w->written, data, len);
    if (w->error == 0)
        w->written += len;
    return w->error;
}

/* The bytes beyond the sure ones are a blob of their own; the layout has the chunks of both. */
static int FIBER append_open(struct store_writer *w, uint64_t len)
{
    struct blob_layout first = w->layout, last;
    struct blob_writer *blob;
    int r = blob_begin(w->store->blob, len, &blob);
    if (r < 0)
        return r;
    r = blob_write(blob, w->data, len);
    if (r < 0) {
        blob_abort(blob);
        return r;
    }
    r = blob_finish(blob, &w->arena, &last);
    if (r < 0)
        return r;
    struct blob_chunk *chunks = arena_array(&w->arena, struct blob_chunk, first.count + last.count);
    if (!chunks) {
        blob_delete_layout(w->store->blob, &last);
        return -ENOMEM;
    }
    if (first.count)
        memcpy(chunks, first.chunks, first.count * sizeof(*chunks));
    memcpy(chunks + first.count, last.chunks, last.count * sizeof(*chunks));
    w->layout = (struct blob_layout){.chunks = chunks,
                                     .count = first.count + last.count,
                                     .len_bytes = first.len_bytes + last.len_bytes};
    return 0;
}

/* An open end is known now: the length is what came. */
static int FIBER close_end(struct store_writer *w)
{
    uint64_t extra = w->written - w->len_bytes;
    uint64_t short_max = MAX(w->store->inline_max_bytes, w->store->beside_max_bytes);
    int r = 0;
    if (w->len_bytes == 0 && extra <= short_max) { /* `data` is all of it */
        w->chunked = false;
        w->beside = extra > w->store->inline_max_bytes;
    } else if (extra) {
        r = append_open(w, extra);
    }
    w->len_bytes = w->written;
    w->open_bytes = 0;
    return r;
}

int FIBER store_writer_finish(struct store_writer *w)
{
    if (w->error < 0)
        return w->error;
    if (w->written < w->len_bytes)
        return -ERR_INCOMPLETE_BODY;
    int r = w->blob ? blob_finish(TAKE_PTR(w->blob), &w->arena, &w->layout) : 0;
    return r == 0 && w->open_bytes ? close_end(w) : r;
}

/* Chunks that no row will ever name. When this fails, the sweep after the next start finds them. */
static void FIBER delete_chunks(struct store_writer *w)
{
    blob_delete_layout(w->store->blob, &w->layout);
}

void FIBER store_writer_end(struct store_writer *w)
{
    blob_abort(w->blob);
    if (!w->named)
        delete_chunks(w);
    arena_release(&w->arena);
    free(w);
}

void FIBER store_write_abort(struct store_writer *w)
{
    if (w)
        store_writer_end(w);
}
