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

/* With an open end the bytes that are in no last block, whatever comes, are sure. */
static void settle_sure(struct store_writer *w)
{
    uint64_t sure = w->len_bytes ? (w->len_bytes - 1) / FRAME_BLOCK * FRAME_BLOCK : 0;
    w->least_bytes = w->len_bytes;
    w->open_bytes += w->len_bytes - sure;
    w->len_bytes = sure;
}

/* Where bytes go that are sure to come. A part without bytes has no chunk, unless it is sealed:
 * then the end of it is. */
static int FIBER begin_blob(struct store_writer *w, bool sealed)
{
    uint64_t len = w->len_bytes;
    if (sealed && !w->open_bytes)
        len = frame_sealed_len(len);
    else if (sealed)
        len = len / FRAME_BLOCK * FRAME_SEALED;
    return w->chunked && len ? blob_begin(w->store->blob, w->class, len, &w->blob) : 0;
}

int FIBER store_writer_begin(struct store_writer **ret, const struct store_writer *from,
                             const uint8_t *data_key)
{
    struct store_writer copy = *from, *like = &copy;
    if (data_key && like->open_bytes)
        settle_sure(like);
    int r = store_key_test(like->key);
    if (r < 0)
        return r;
    if (from->len_bytes > STORE_OBJECT_MAX - MIN(from->open_bytes, (uint64_t)STORE_OPEN_MAX))
        return -ERR_ENTITY_TOO_LARGE;
    struct store_writer *w = writer_new(like, like->chunked ? like->open_bytes : like->len_bytes);
    if (!w)
        return -ENOMEM;
    r = data_key ? writer_seal_begin(w, data_key) : 0;
    if (r == 0)
        r = begin_blob(w, data_key != NULL);
    if (r < 0) {
        writer_seal_end(w);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

int FIBER store_write_class(struct store_writer *w, struct blob_class class)
{
    CHECK(w->written == 0);
    if (w->class.n == class.n)
        return 0;
    w->class = class;
    if (!w->blob)
        return 0;
    blob_abort(TAKE_PTR(w->blob));
    return w->error = begin_blob(w, writer_is_sealed(w));
}

/* What is sure goes to the blob; what comes behind it, when the end is open, waits. */
static int FIBER write_chunked(struct store_writer *w, const char *data, size_t len)
{
    size_t sure = w->written < w->len_bytes ? MIN(len, w->len_bytes - w->written) : 0;
    int r = !sure                 ? 0
            : writer_is_sealed(w) ? writer_seal_write(w, str_make(data, sure))
                                  : blob_write(w->blob, data, sure);
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
static int FIBER append_open(struct store_writer *w, struct str data)
{
    struct blob_layout first = w->layout, last;
    struct blob_writer *blob;
    int r = blob_begin(w->store->blob, w->class, data.len, &blob);
    if (r < 0)
        return r;
    r = blob_write(blob, data.ptr, data.len);
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
    } else if (writer_is_sealed(w)) {
        r = writer_seal_data(w, extra);
        if (r == 0)
            r = append_open(w, w->sealed);
    } else if (extra) {
        r = append_open(w, str_make(w->data, extra));
    }
    w->len_bytes = w->written;
    w->open_bytes = 0;
    return r;
}

int FIBER store_writer_finish(struct store_writer *w)
{
    if (w->error < 0)
        return w->error;
    if (w->written < MAX(w->len_bytes, w->least_bytes))
        return -ERR_INCOMPLETE_BODY;
    int r = 0;
    if (w->blob && writer_is_sealed(w) && w->len_bytes == 0)
        r = writer_seal_write(w, STR_NULL);
    if (r == 0 && w->blob)
        r = blob_finish(TAKE_PTR(w->blob), &w->arena, &w->layout);
    if (r == 0 && w->open_bytes)
        r = close_end(w);
    return r == 0 && writer_is_sealed(w) && !w->chunked ? writer_seal_data(w, w->written) : r;
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
    writer_seal_end(w);
    free(w);
}

void FIBER store_write_abort(struct store_writer *w)
{
    if (w)
        store_writer_end(w);
}
