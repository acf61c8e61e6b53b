/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * DeleteObject and DeleteObjects.
 */

#include "base/reserve.h"
#include "s3/attrs.h"
#include "s3/audit.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/notice.h"
#include "s3/object/lock.h"
#include "s3/version.h"

#define JUDGED_AT_ONCE 16 /* keys */

/*
 * Gone already is deleted, also where its size or time was to be tested (API reference,
 * DeleteObject); but who names the tag that the current object must have is told that there is
 * none (User Guide, "How to perform conditional deletes"). Which version is to go says its id.
 */
static bool is_done(int err, const struct store_deletion *d)
{
    bool tagged =
        d->conditions && d->conditions->if_match.len && d->version.kind == STORE_VERSION_CURRENT;
    return err == 0 || (err == -ERR_NO_SUCH_KEY && !tagged);
}

/* What a deletion left at the key, as the store tells it: an object by its version id alone. */
static struct store_object version_of(const struct store_deletion *d)
{
    return (struct store_object){.seq = d->seq, .null_version = d->null_version};
}

static void set_headers(struct s3_request *q, const struct store_deletion *d)
{
    struct store_object o = version_of(d);
    if (d->marker)
        (void)http_set_header(q->x, "x-amz-delete-marker", STR("true"));
    if (d->seq)
        s3_set_version(q, &o);
}

int FIBER s3_delete_object(struct s3_request *q)
{
    struct store_conditions conditions;
    struct s3_context c = {.q = q, .bucket = &q->bucket, .key = q->key, .version = q->version};
    int r = s3_conditions_delete(q, &conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_PUT), &conditions.notice);
    if (r)
        return r;
    struct store_deletion d = {
        .key = q->key,
        .version = q->version,
        .conditions = &conditions,
        .bypass = s3_may_bypass(&c),
        .owner = q->bucket.owner,
    };
    r = store_delete_many(q->s3->store, q->bucket.id, &d, 1, conditions.notice);
    if (!r)
        r = d.result;
    if (!is_done(r, &d))
        return s3_explain_condition(q, r, &conditions);
    set_headers(q, &d);
    return s3_respond_empty(q, 204);
}

/* ---- many ----------------------------------------------------------------------------------- */

/* A condition tells something of what is there: it needs the right to read. */
static int FIBER authorise_one(struct s3_request *q, struct s3_deletion *item)
{
    bool of_version = item->version_id.len > 0;
    struct s3_context c = {.q = q,
                           .bucket = &q->bucket,
                           .key = item->key,
                           .version = item->version,
                           .version_id = of_version ? item->version_id : STR("")};
    int r = s3_authorise_in(&c, s3_action(q->op->action, of_version));
    if (!r && s3_deletion_is_conditional(item))
        r = s3_authorise_in(&c, s3_action("s3:GetObject", of_version));
    item->bypass = !r && s3_may_bypass(&c);
    return r;
}

static void FIBER authorise_each(struct s3_request *q, struct s3_deletions *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (!d->items[i].err)
            d->items[i].err = authorise_one(q, &d->items[i]);
        if (i % JUDGED_AT_ONCE == JUDGED_AT_ONCE - 1)
            rt_yield(); /* policies may be long */
    }
}

/* An ETag as DeleteObjects takes it, with or without quotes, to the form of If-Match. */
static struct str quoted(struct s3_request *q, struct str etag)
{
    if (etag.len == 0 || str_eq(etag, STR("*")) || str_starts(etag, STR("\"")))
        return etag;
    return arena_printf(q->arena, "\"%.*s\"", STR_FMT(etag));
}

static struct store_deletion deletion_of(struct s3_request *q, struct s3_deletion *item)
{
    item->conditions.if_match = quoted(q, item->conditions.if_match);
    return (struct store_deletion){
        .key = item->key,
        .version = item->version,
        .conditions = s3_deletion_is_conditional(item) ? &item->conditions : NULL,
        .bypass = item->bypass,
        .owner = q->bucket.owner,
    };
}

/* Those that may go, in one transaction and in the order of the list. */
static int FIBER delete_items(struct s3_request *q, struct s3_deletions *d,
                              struct store_deletion *list, struct store_notice *notice)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < d->count; i++)
        if (!d->items[i].err)
            list[count++] = deletion_of(q, &d->items[i]);
    int r = count ? store_delete_many(q->s3->store, q->bucket.id, list, count, notice) : 0;
    if (r)
        return r;
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].err)
            continue;
        d->items[i].done = list[at++];
        d->items[i].err = d->items[i].done.result;
        if (is_done(d->items[i].err, &d->items[i].done))
            d->items[i].err = 0;
    }
    return 0;
}

static void put_error(struct buf *b, const struct s3_deletion *item)
{
    const struct err_info *info = err_info(item->err);
    xml_open(b, "Error");
    xml_element(b, "Key", item->key);
    if (item->version_id.len)
        xml_element(b, "VersionId", item->version_id);
    xml_element(b, "Code", str_from(info->s3_code));
    xml_element(b, "Message", str_from(info->text));
    xml_close(b, "Error");
}

static void put_deleted(struct buf *b, const struct s3_deletion *item)
{
    struct store_object o = version_of(&item->done);
    char text[S3_VERSION_ID_MAX];
    xml_open(b, "Deleted");
    xml_element(b, "Key", item->key);
    if (item->version_id.len)
        xml_element(b, "VersionId", item->version_id);
    if (item->done.marker) {
        xml_element_bool(b, "DeleteMarker", true);
        xml_element(b, "DeleteMarkerVersionId", s3_version_id_format(&o, text));
    }
    xml_close(b, "Deleted");
}

/* What is done must not be told as refused for want of memory for the words. */
static void put_results(struct buf *b, const struct s3_deletions *d)
{
    RESERVE_SCOPE;
    xml_begin(b);
    xml_open_ns(b, "DeleteResult", S3_XMLNS);
    for (size_t i = 0; i < d->count; i++) {
        if (d->items[i].err)
            put_error(b, &d->items[i]);
        else if (!d->quiet)
            put_deleted(b, &d->items[i]);
    }
    xml_close(b, "DeleteResult");
}

static int FIBER respond_results(struct s3_request *q, const struct s3_deletions *d)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_results(&b, d);
    for (size_t i = 0; i < d->count; i++)
        s3_audit_key(q, d->items[i].key, d->items[i].version_id, d->items[i].err);
    return s3_respond_xml(q, &b);
}

int FIBER s3_delete_objects(struct s3_request *q)
{
    struct str body;
    struct s3_deletions d;
    struct store_notice *notice;
    int r = s3_body_config(q, &body);
    if (!r)
        r = s3_body_deletions(q->arena, body, &d);
    if (r)
        return r;
    struct store_deletion *list = arena_array(q->arena, struct store_deletion, d.count);
    if (!list)
        return -ENOMEM;
    authorise_each(q, &d);
    r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_PUT), &notice);
    if (!r)
        r = delete_items(q, &d, list, notice);
    return r ? r : respond_results(q, &d);
}
