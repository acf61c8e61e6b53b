/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * ListBuckets.
 */

#include "s3/internal.h"
#include "s3/token.h"

#define LIST_BUCKETS_MAX 10000

struct list_buckets {
    struct str prefix, token, after;
    uint64_t max;
};

static int read_query(struct s3_request *q, struct list_buckets *l)
{
    l->prefix = s3_param(q, "prefix");
    l->token = s3_param(q, "continuation-token");
    l->after = STR_NULL;
    int r = s3_param_number(q, "max-buckets", 1, LIST_BUCKETS_MAX, LIST_BUCKETS_MAX, &l->max);
    if (!r && l->token.len && s3_token_parse(q->arena, BUCKET_SYSTEM, l->token, &l->after))
        r = s3_error_argument(q, "continuation-token", l->token,
                              "The continuation token provided is incorrect");
    return r;
}

static void put_bucket(struct s3_request *q, struct buf *b, const struct store_bucket *bucket)
{
    xml_open(b, "Bucket");
    xml_element(b, "Name", bucket->name);
    s3_xml_time(b, "CreationDate", bucket->created_ms);
    xml_element(b, "BucketArn", arena_printf(q->arena, "arn:aws:s3:::%.*s", STR_FMT(bucket->name)));
    xml_element(b, "BucketRegion", q->s3->region);
    xml_close(b, "Bucket");
}

static int FIBER respond_page(struct s3_request *q, const struct list_buckets *l,
                              const struct store_bucket_page *page)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "ListAllMyBucketsResult", S3_XMLNS);
    s3_xml_owner(q, &b, "Owner", q->who.account);
    xml_open(&b, "Buckets");
    for (size_t i = 0; i < page->count; i++)
        put_bucket(q, &b, &page->buckets[i]);
    xml_close(&b, "Buckets");
    if (page->next.len)
        xml_element(&b, "ContinuationToken", s3_token_make(q->arena, BUCKET_SYSTEM, page->next));
    if (l->prefix.ptr)
        xml_element(&b, "Prefix", l->prefix);
    xml_close(&b, "ListAllMyBucketsResult");
    return s3_respond_xml(q, &b);
}

/* Root sees every bucket, others their own. */
int FIBER s3_list_buckets(struct s3_request *q)
{
    struct list_buckets l;
    struct store_bucket_page page = {0};
    struct str owner = q->who.root ? STR_NULL : q->who.account;
    struct str region = s3_param(q, "bucket-region");
    int r = read_query(q, &l);
    if (!r && (region.len == 0 || str_eq(region, q->s3->region)))
        r = store_bucket_list(q->s3->store, q->arena, owner, l.prefix, l.after, l.max, &page);
    return r ? r : respond_page(q, &l, &page);
}
