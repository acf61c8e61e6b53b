/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/conform/conform.h"

struct row {
    struct str key, value;
    bool del;
    struct buf *ret;
};

static __thread char answer[64 * KIB];

static const char *answered(struct buf *b)
{
    CHECK(buf_error(b) == 0 && b->len < sizeof(answer));
    if (b->len)
        memcpy(answer, b->data, b->len);
    answer[b->len] = 0;
    buf_release(b);
    return answer;
}

static int change(struct meta_tx *tx, void *arg)
{
    struct row *row = arg;
    return row->del ? meta_del(tx, row->key) : meta_put(tx, row->key, row->value);
}

int FIBER conform_put(struct conform *c, struct bucket_id b, struct str key, struct str value)
{
    struct row row = {.key = key, .value = value};
    return meta_write(c->meta, b, change, &row);
}

int FIBER conform_del(struct conform *c, struct bucket_id b, struct str key)
{
    struct row row = {.key = key, .del = true};
    return meta_write(c->meta, b, change, &row);
}

static int get(struct meta_tx *tx, void *arg)
{
    struct row *row = arg;
    struct str value;
    buf_reset(row->ret);
    int r = meta_get(tx, row->key, &value);
    if (r == 0)
        buf_put_str(row->ret, value);
    return r;
}

const char *FIBER conform_get(struct conform *c, struct bucket_id b, struct str key)
{
    struct buf buf;
    struct row row = {.key = key, .ret = &buf};
    buf_init(&buf, 0);
    int r = meta_read(c->meta, b, get, &row);
    CHECK(r == 0 || r == -ERR_NOT_FOUND);
    if (r == -ERR_NOT_FOUND)
        buf_put_cstr(&buf, "(none)");
    return answered(&buf);
}

int conform_list_in(struct meta_tx *tx, struct str prefix, bool backward, struct buf *ret)
{
    struct meta_cursor *cur;
    char end[64];
    int r = meta_cursor_open(tx, prefix, &cur);
    if (r < 0)
        return r;
    memset(end, 0xff, sizeof(end));
    r = backward ? meta_cursor_seek_before(cur, str_make(end, sizeof(end)))
                 : meta_cursor_seek(cur, STR_NULL);
    while (r == 0 && meta_cursor_valid(cur)) {
        struct str k = meta_cursor_key(cur), v = meta_cursor_value(cur);
        buf_printf(ret, "%.*s=%.*s ", STR_FMT(k), STR_FMT(v));
        r = backward ? meta_cursor_prev(cur) : meta_cursor_next(cur);
    }
    meta_cursor_close(cur);
    return r;
}

static int list(struct meta_tx *tx, void *arg)
{
    struct row *row = arg;
    buf_reset(row->ret);
    return conform_list_in(tx, row->key, false, row->ret);
}

const char *FIBER conform_list(struct conform *c, struct bucket_id b, struct str prefix)
{
    struct buf buf;
    struct row row = {.key = prefix, .ret = &buf};
    buf_init(&buf, 0);
    CHECK(meta_read(c->meta, b, list, &row) == 0);
    return answered(&buf);
}
