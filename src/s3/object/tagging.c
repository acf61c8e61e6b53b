/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutObjectTagging, GetObjectTagging, DeleteObjectTagging. New tags leave the object's version and
 * time as they are.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/body.h"
#include "s3/context.h"
#include "s3/notice.h"
#include "s3/object/lock.h"
#include "s3/object/tagging.h"
#include "s3/version.h"

int s3_explain_tags(struct s3_request *q, int err, const struct s3_tags_fault *fault)
{
    if (!fault->text.ptr)
        return err;
    q->message = fault->text;
    if (fault->key.ptr)
        s3_error_detail(q, "TagKey", fault->key);
    if (fault->value.ptr)
        s3_error_detail(q, "TagValue", fault->value);
    return err;
}

int s3_tags_read(struct s3_request *q, struct store_attrs *attrs)
{
    struct str text = s3_header(q, q->form ? STR("tagging") : STR("x-amz-tagging"));
    struct s3_tags_fault fault;
    struct s3_tags tags;
    if (!text.len)
        return 0;
    int r = q->form ? s3_tags_parse_xml(q->arena, text, S3_TAGS_MAX, &tags, &fault)
                    : s3_tags_parse_header(q->arena, text, &tags, &fault);
    if (r == -ERR_INVALID_ARGUMENT)
        return s3_error_argument(q, "x-amz-tagging", text, fault.text.ptr);
    if (r)
        return s3_explain_tags(q, r, &fault);
    attrs->tags = tags.pairs;
    attrs->tag_count = tags.count;
    r = s3_lock_by_class(q, attrs, 0);
    if (r)
        return r;
    return tags.count ? s3_authorise(q, "s3:PutObjectTagging", &q->bucket, q->key) : 0;
}

int FIBER s3_tags_along(struct s3_context *from, const struct store_object *o)
{
    struct s3_request *q = from->q;
    struct s3_tags tags = {o->attrs.tags, o->attrs.tag_count};
    struct s3_context to = {.q = q, .bucket = &q->bucket, .key = q->key, .tags = &tags};
    if (tags.count == 0)
        return 0;
    int r = s3_authorise_in(from, s3_action("s3:GetObjectTagging", from->version_id.len > 0));
    return r ? r : s3_authorise_in(&to, "s3:PutObjectTagging");
}

void s3_set_tag_count(struct s3_request *q, const struct store_object *o)
{
    /* Whoever may not read the tags does not learn that there are some. */
    const char *action = s3_action("s3:GetObjectTagging", q->version.kind != STORE_VERSION_CURRENT);
    if (o->attrs.tag_count == 0 || s3_authorise(q, action, &q->bucket, q->key))
        return;
    (void)http_set_header(q->x, "x-amz-tagging-count",
                          arena_printf(q->arena, "%zu", o->attrs.tag_count));
}

/* ---- the operations ------------------------------------------------------------------------- */

int s3_tags_replace(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct s3_new_tags *n = arg;
    attrs->tags = n->tags->pairs;
    attrs->tag_count = n->tags->count;
    return s3_lock_by_class(n->q, attrs, o->mtime_ms);
}

static int FIBER set_tags(struct s3_request *q, struct s3_tags *tags, enum event_kind kind)
{
    struct store_written written = {.seq = 0};
    struct store_conditions conditions = {.notice = NULL};
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    struct s3_new_tags new_tags = {q, tags};
    names.changed = kind;
    int r = s3_notice(q, names, &conditions.notice);
    if (!r)
        r = store_change_attrs(q->s3->store, q->bucket.id, q->key, q->version, &conditions, false,
                               s3_tags_replace, &new_tags, &written);
    struct store_object o = {.seq = written.seq, .null_version = written.null_version};
    if (!r)
        s3_set_version(q, &o);
    return s3_explain_change(q, r);
}

int FIBER s3_put_object_tagging(struct s3_request *q)
{
    struct str body;
    struct s3_tags tags;
    struct s3_tags_fault fault;
    int r = s3_body_config(q, &body);
    if (r)
        return r;
    r = s3_tags_parse_xml(q->arena, body, S3_TAGS_MAX, &tags, &fault);
    if (r)
        return s3_explain_tags(q, r, &fault);
    struct s3_context c = {
        .q = q, .bucket = &q->bucket, .key = q->key, .version = q->version, .tags = &tags};
    r = s3_authorise_in(&c, s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL));
    if (!r)
        r = set_tags(q, &tags, EVENT_TAGGING_PUT);
    return r ? r : s3_respond_empty(q, 200);
}

int FIBER s3_delete_object_tagging(struct s3_request *q)
{
    struct s3_tags none = {0};
    int r = set_tags(q, &none, EVENT_TAGGING_DELETE);
    return r ? r : s3_respond_empty(q, 204);
}

int FIBER s3_get_object_tagging(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    struct store_reader *reader = NULL;
    buf_init(&b, 0);
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    const struct store_object *o = reader ? store_reader_object(reader) : NULL;
    if (!r)
        r = s3_still_allowed(q, s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL),
                             &q->bucket, q->key, STR_NULL, o);
    if (r) {
        r = s3_refuse_marker(q, reader, r);
    } else {
        s3_tags_xml(&b, o->attrs.tags, o->attrs.tag_count);
        s3_set_version(q, o);
    }
    if (reader)
        store_reader_close(reader);
    return r ? r : s3_respond_xml(q, &b);
}
