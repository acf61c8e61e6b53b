/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * ListObjects and ListObjectsV2: two dialects of one listing.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/checksum.h"
#include "s3/object/restore.h"
#include "s3/token.h"

#define MAX_KEYS_MOST 2147483647 /* taken, though a page holds STORE_LIST_MAX */

struct listing {
    struct s3_request *q;
    bool v2, url, with_owner, with_restore;
    uint64_t max_keys; /* as answered: not above STORE_LIST_MAX */
    struct str marker; /* v1: marker; v2: start-after */
    struct str token;  /* v2 */
    struct store_list_query query;
    struct store_list_page page;
};

struct str s3_past_common(struct str marker, struct str prefix, struct str delimiter)
{
    if (delimiter.len == 0 || !str_starts(marker, prefix))
        return marker;
    ptrdiff_t at = str_find(marker, delimiter, prefix.len);
    return at < 0 ? marker : str_prefix(marker, (size_t)at + delimiter.len);
}

static int read_start(struct listing *l)
{
    struct s3_request *q = l->q;
    l->marker = s3_param(q, l->v2 ? "start-after" : "marker");
    l->query.after = l->marker;
    if (!l->v2) {
        l->query.after = s3_past_common(l->marker, l->query.prefix, l->query.delimiter);
        return 0;
    }
    l->token = s3_param(q, "continuation-token");
    if (l->token.len && s3_token_parse(q->arena, q->bucket.id, l->token, &l->query.after))
        return s3_error_argument(q, "continuation-token", l->token,
                                 "The continuation token provided is incorrect");
    return 0;
}

static int read_query(struct listing *l)
{
    struct s3_request *q = l->q;
    l->query.prefix = s3_param(q, "prefix");
    l->query.delimiter = s3_param(q, "delimiter");
    l->with_owner = !l->v2 || str_eq_nocase(s3_param(q, "fetch-owner"), STR("true"));
    int r = s3_param_encoding(q, &l->url);
    if (!r)
        r = s3_param_number(q, "max-keys", 0, MAX_KEYS_MOST, STORE_LIST_MAX, &l->max_keys);
    if (!r)
        r = s3_restore_wanted(q, &l->with_restore);
    if (!r)
        r = read_start(l);
    l->max_keys = MIN(l->max_keys, (uint64_t)STORE_LIST_MAX);
    l->query.max = l->max_keys;
    return r;
}

static void put_object(struct listing *l, struct buf *b, const struct store_object *o)
{
    xml_open(b, "Contents");
    s3_xml_text(b, "Key", o->key, l->url);
    s3_xml_time(b, "LastModified", o->mtime_ms);
    s3_xml_etag(b, &o->etag);
    if (o->checksum.present) {
        xml_element(b, "ChecksumAlgorithm", str_from(s3_checksum_name(o->checksum.kind)));
        xml_element(b, "ChecksumType",
                    o->checksum.composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
    }
    xml_element_u64(b, "Size", o->len_bytes);
    if (l->with_owner)
        s3_xml_owner(l->q, b, "Owner", s3_owner_of(&l->q->bucket, o));
    xml_element(b, "StorageClass", s3_storage_class_name(o->attrs.storage_class));
    if (l->with_restore)
        s3_restore_xml(l->q, b, o);
    xml_close(b, "Contents");
}

static void put_entries(struct listing *l, struct buf *b)
{
    for (size_t i = 0; i < l->page.count; i++)
        if (!l->page.entries[i].is_prefix)
            put_object(l, b, &l->page.entries[i].object);
    for (size_t i = 0; i < l->page.count; i++) {
        if (!l->page.entries[i].is_prefix)
            continue;
        xml_open(b, "CommonPrefixes");
        s3_xml_text(b, "Prefix", l->page.entries[i].object.key, l->url);
        xml_close(b, "CommonPrefixes");
    }
}

static void put_start_v1(struct listing *l, struct buf *b)
{
    s3_xml_text(b, "Marker", l->marker, l->url);
    /* Without a delimiter the last key is the next marker (API reference, ListObjects). */
    if (l->page.truncated && l->query.delimiter.len)
        s3_xml_text(b, "NextMarker", l->page.next, l->url);
}

static void put_start_v2(struct listing *l, struct buf *b)
{
    if (l->token.ptr)
        xml_element(b, "ContinuationToken", l->token);
    if (l->page.truncated)
        xml_element(b, "NextContinuationToken",
                    s3_token_make(l->q->arena, l->q->bucket.id, l->page.next));
    if (l->marker.ptr)
        s3_xml_text(b, "StartAfter", l->marker, l->url);
    xml_element_u64(b, "KeyCount", l->page.count);
}

static int FIBER respond(struct listing *l)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "ListBucketResult", S3_XMLNS);
    xml_element(&b, "Name", l->q->bucket_name);
    s3_xml_text(&b, "Prefix", l->query.prefix, l->url);
    if (l->v2)
        put_start_v2(l, &b);
    else
        put_start_v1(l, &b);
    xml_element_u64(&b, "MaxKeys", l->max_keys);
    if (l->query.delimiter.len)
        s3_xml_text(&b, "Delimiter", l->query.delimiter, l->url);
    if (l->url)
        xml_element(&b, "EncodingType", STR("url"));
    xml_element_bool(&b, "IsTruncated", l->page.truncated);
    put_entries(l, &b);
    xml_close(&b, "ListBucketResult");
    return s3_respond_xml(l->q, &b);
}

static int FIBER list(struct s3_request *q, bool v2)
{
    struct listing l = {.q = q, .v2 = v2};
    int r = read_query(&l);
    if (!r)
        r = store_list(q->s3->store, q->arena, q->bucket.id, &l.query, &l.page);
    return r ? r : respond(&l);
}

int FIBER s3_list_objects(struct s3_request *q)
{
    return list(q, false);
}

int FIBER s3_list_objects_v2(struct s3_request *q)
{
    return list(q, true);
}
