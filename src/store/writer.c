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
    w->data = w->chunked ? NULL : at;
    arena_init(&w->arena, 0);
    return w;
}

int FIBER store_writer_begin(struct store_writer **ret, const struct store_writer *like)
{
    int r = store_key_test(like->key);
    if (r < 0)
        return r;
    if (like->len_bytes > STORE_OBJECT_MAX)
        return -ERR_ENTITY_TOO_LARGE;
    struct store_writer *w = writer_new(like, like->chunked ? 0 : like->len_bytes);
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

int FIBER store_write(struct store_writer *w, const void *data, size_t len)
{
    if (w->error < 0)
        return w->error;
    if (len > w->len_bytes - w->written)
        return w->error = -EINVAL;
    if (len == 0)
        return 0;
    if (w->chunked)
        w->error = blob_write(w->blob, data, len);
    else
        memcpy(w->data + w->written, data, len);
    if (w->error == 0)
        w->written += len;
    return w->error;
}

int FIBER store_writer_finish(struct store_writer *w)
{
    if (w->error < 0)
        return w->error;
    if (w->written != w->len_bytes)
        return -ERR_INCOMPLETE_BODY;
    return w->blob ? blob_finish(TAKE_PTR(w->blob), &w->arena, &w->layout) : 0;
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
