/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Configurations of buckets: Get, Put and Delete of each, from one table. A document is validated
 * when it is put and kept in one canonical form, so that reading it back is handing it out.
 */

#include "s3/body.h"
#include "s3/bucket_config.h"

static int canonical_tagging(struct s3_request *q, struct str body, struct buf *ret)
{
    struct s3_tags tags;
    struct s3_tags_fault fault;
    int r = s3_tags_parse_xml(q->arena, body, S3_BUCKET_TAGS_MAX, &tags, &fault);
    if (r)
        return s3_explain_tags(q, r, &fault);
    s3_tags_xml(ret, tags.pairs, tags.count);
    return 0;
}

static const struct s3_config_kind configs[] = {
    {"cors", STORE_SETTING_CORS, -ERR_NO_SUCH_CORS, s3_canonical_cors},
    {"tagging", STORE_SETTING_TAGGING, -ERR_NO_SUCH_TAG_SET, canonical_tagging, .put_status = 204},
};

/* The row of the operation's sub-resource: every operation that leads here has one. */
static const struct s3_config_kind *config_of(const struct s3_request *q)
{
    for (unsigned i = 0; i < ARRAY_LEN(configs); i++)
        if (strcmp(q->op->query, configs[i].query) == 0)
            return &configs[i];
    CHECK(!"a configuration without a row");
    return NULL;
}

int FIBER s3_put_bucket_config(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct s3_config_kind *c = config_of(q);
    struct str body;
    buf_init(&b, STORE_SETTING_MAX);
    int r = s3_body_config(q, &body);
    if (!r)
        r = c->canonical(q, body, &b);
    if (!r)
        r = buf_error(&b);
    if (!r)
        r = store_setting_put(q->s3->store, q->bucket.id, c->kind, buf_str(&b));
    return r ? r : s3_respond_empty(q, c->put_status ? c->put_status : 200);
}

int FIBER s3_get_bucket_config(struct s3_request *q)
{
    const struct s3_config_kind *c = config_of(q);
    const struct store_setting *s = store_setting_of(q->bucket.settings, c->kind);
    if (!s)
        return c->absent;
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
    return http_respond(q->x, 200, s->text);
}

int FIBER s3_delete_bucket_config(struct s3_request *q)
{
    int r = store_setting_delete(q->s3->store, q->bucket.id, config_of(q)->kind);
    return r ? r : s3_respond_empty(q, 204);
}
