/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * DeleteObject and DeleteObjects.
 */

#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/notice.h"

/* Gone already is deleted, also under a condition (API reference, DeleteObject, If-Match). */
static bool is_gone(int err)
{
    return err == -ERR_NO_SUCH_KEY;
}

int FIBER s3_delete_object(struct s3_request *q)
{
    struct store_conditions conditions;
    bool existed;
    int r = s3_conditions_delete(q, &conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_PUT), &conditions.notice);
    if (r)
        return r;
    r = store_delete(q->s3->store, q->bucket.id, q->key, &conditions, &existed);
    if (r && !is_gone(r))
        return s3_explain_condition(q, r, &conditions);
    return s3_respond_empty(q, 204);
}

/* ---- many ----------------------------------------------------------------------------------- */

/* A condition tells something of what is there: it needs the right to read. */
static int FIBER authorise_one(struct s3_request *q, const struct s3_deletion *item)
{
    const char *action = s3_action(q->op->action, item->of_version);
    int r = s3_authorise(q, action, &q->bucket, item->key);
    if (r || !s3_deletion_is_conditional(item))
        return r;
    return s3_authorise(q, "s3:GetObject", &q->bucket, item->key);
}

static void FIBER authorise_each(struct s3_request *q, struct s3_deletions *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (!d->items[i].err)
            d->items[i].err = authorise_one(q, &d->items[i]);
}

/* An ETag as DeleteObjects takes it, with or without quotes, to the form of If-Match. */
static struct str quoted(struct s3_request *q, struct str etag)
{
    if (str_eq(etag, STR("*")) || str_starts(etag, STR("\"")))
        return etag;
    return arena_printf(q->arena, "\"%.*s\"", STR_FMT(etag));
}

static void FIBER delete_conditional(struct s3_request *q, struct s3_deletions *d,
                                     struct store_notice *notice)
{
    for (size_t i = 0; i < d->count; i++) {
        struct s3_deletion *item = &d->items[i];
        bool existed;
        if (item->err || !s3_deletion_is_conditional(item))
            continue;
        struct store_conditions c = item->conditions;
        c.notice = notice;
        if (c.if_match.len)
            c.if_match = quoted(q, c.if_match);
        item->err = store_delete(q->s3->store, q->bucket.id, item->key, &c, &existed);
        if (is_gone(item->err))
            item->err = 0;
    }
}

static int FIBER delete_plain(struct s3_request *q, struct s3_deletions *d,
                              struct store_notice *notice)
{
    struct str *keys = arena_array(q->arena, struct str, d->count);
    int *results = arena_array(q->arena, int, d->count);
    size_t count = 0, at = 0;
    if (!keys || !results)
        return -ENOMEM;
    for (size_t i = 0; i < d->count; i++)
        if (!d->items[i].err && !s3_deletion_is_conditional(&d->items[i]))
            keys[count++] = d->items[i].key;
    int r = count ? store_delete_many(q->s3->store, q->bucket.id, keys, count, notice, results) : 0;
    if (r)
        return r;
    for (size_t i = 0; i < d->count; i++)
        if (!d->items[i].err && !s3_deletion_is_conditional(&d->items[i]))
            d->items[i].err = results[at++];
    return 0;
}

static void put_result(struct buf *b, const struct s3_deletion *item, bool quiet)
{
    const struct err_info *info = err_info(item->err);
    if (!item->err && quiet)
        return;
    xml_open(b, item->err ? "Error" : "Deleted");
    xml_element(b, "Key", item->key);
    if (item->err) {
        xml_element(b, "Code", str_from(info->s3_code));
        xml_element(b, "Message", str_from(info->text));
    }
    xml_close(b, item->err ? "Error" : "Deleted");
}

static int FIBER respond_results(struct s3_request *q, const struct s3_deletions *d)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "DeleteResult", S3_XMLNS);
    for (size_t i = 0; i < d->count; i++)
        put_result(&b, &d->items[i], d->quiet);
    xml_close(&b, "DeleteResult");
    return s3_respond_xml(q, &b);
}

int FIBER s3_delete_objects(struct s3_request *q)
{
    struct str body;
    struct s3_deletions d;
    struct store_notice *notice;
    int r = s3_body_config(q, &body);
    if (r)
        return r;
    r = s3_body_deletions(q->arena, body, &d);
    if (r)
        return r;
    authorise_each(q, &d);
    /* In the order of the list only the plain ones share a transaction. */
    r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_PUT), &notice);
    if (r)
        return r;
    delete_conditional(q, &d, notice);
    r = delete_plain(q, &d, notice);
    return r ? r : respond_results(q, &d);
}
