/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * ListParts and ListMultipartUploads.
 */

#include "s3/lifecycle.h"
#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/checksum.h"

#define MAX_MOST 2147483647 /* taken, though a page holds STORE_LIST_MAX */

static void put_checksum_kind(struct buf *b, const struct store_upload *u)
{
    if (!u->has_checksum)
        return;
    xml_element(b, "ChecksumAlgorithm", str_from(s3_checksum_name(u->kind)));
    xml_element(b, "ChecksumType", u->composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
}

static void put_people(struct s3_request *q, struct buf *b, const struct store_upload *u)
{
    s3_xml_owner(q, b, "Initiator", s3_initiator_of(u));
    s3_xml_owner(q, b, "Owner", u->attrs.owner);
    xml_element(b, "StorageClass", s3_storage_class_name(u->attrs.storage_class));
}

/* ---- parts ---------------------------------------------------------------------------------- */

struct list_parts {
    struct store_upload upload;
    struct store_part_page page;
    uint64_t max, after;
    bool url;
};

static void put_part(struct buf *b, const struct store_part *p)
{
    struct store_etag etag = {.parts = 0};
    memcpy(etag.md5, p->md5, sizeof(etag.md5));
    xml_open(b, "Part");
    xml_element_u64(b, "PartNumber", p->number);
    s3_xml_time(b, "LastModified", p->mtime_ms);
    s3_xml_etag(b, &etag);
    xml_element_u64(b, "Size", p->len_bytes);
    s3_xml_checksum(b, &p->checksum, 0, false);
    xml_close(b, "Part");
}

/* Told on the last page as well, as S3 does. */
static uint64_t next_marker(const struct store_part_page *page)
{
    if (page->truncated)
        return page->next;
    return page->count ? page->parts[page->count - 1].number : 0;
}

static int FIBER respond_parts(struct s3_request *q, const struct list_parts *l)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    s3_set_abort(q, l->upload.created_ms);
    xml_begin(&b);
    xml_open_ns(&b, "ListPartsResult", S3_XMLNS);
    xml_element(&b, "Bucket", q->bucket_name);
    s3_xml_text(&b, "Key", q->key, l->url);
    xml_element(&b, "UploadId", l->upload.upload);
    put_people(q, &b, &l->upload);
    xml_element_u64(&b, "PartNumberMarker", l->after);
    xml_element_u64(&b, "NextPartNumberMarker", next_marker(&l->page));
    xml_element_u64(&b, "MaxParts", l->max);
    xml_element_bool(&b, "IsTruncated", l->page.truncated);
    put_checksum_kind(&b, &l->upload);
    for (size_t i = 0; i < l->page.count; i++)
        put_part(&b, &l->page.parts[i]);
    xml_close(&b, "ListPartsResult");
    return s3_respond_xml(q, &b);
}

int FIBER s3_list_parts(struct s3_request *q)
{
    struct list_parts l;
    struct str upload = s3_param(q, "uploadId");
    int r = s3_param_encoding(q, &l.url);
    if (!r)
        r = s3_param_number(q, "max-parts", 0, MAX_MOST, STORE_LIST_MAX, &l.max);
    if (!r)
        r = s3_param_number(q, "part-number-marker", 0, MAX_MOST, 0, &l.after);
    if (!r)
        r = store_upload_get(q->s3->store, q->arena, q->bucket.id, q->key, upload, &l.upload);
    if (r)
        return r;
    l.max = MIN(l.max, (uint64_t)STORE_LIST_MAX);
    r = store_part_list(q->s3->store, q->arena, q->bucket.id, q->key, upload, (uint32_t)l.after,
                        l.max, &l.page);
    return r ? r : respond_parts(q, &l);
}

/* ---- uploads -------------------------------------------------------------------------------- */

struct list_uploads {
    struct store_upload_query query;
    struct store_upload_page page;
    uint64_t max;
    bool url;
};

static int read_uploads_query(struct s3_request *q, struct list_uploads *l)
{
    l->query = (struct store_upload_query){
        .prefix = s3_param(q, "prefix"),
        .delimiter = s3_param(q, "delimiter"),
        .key_after = s3_param(q, "key-marker"),
        .upload_after = s3_param(q, "upload-id-marker"),
    };
    if (l->query.key_after.len == 0) /* alone it says nothing (API reference) */
        l->query.upload_after = STR_NULL;
    int r = s3_param_encoding(q, &l->url);
    if (!r)
        r = s3_param_number(q, "max-uploads", 0, MAX_MOST, STORE_LIST_MAX, &l->max);
    l->max = MIN(l->max, (uint64_t)STORE_LIST_MAX);
    l->query.max = l->max;
    return r;
}

static void put_upload(struct s3_request *q, struct buf *b, const struct store_upload *u, bool url)
{
    xml_open(b, "Upload");
    s3_xml_text(b, "Key", u->key, url);
    xml_element(b, "UploadId", u->upload);
    put_people(q, b, u);
    s3_xml_time(b, "Initiated", u->created_ms);
    put_checksum_kind(b, u);
    xml_close(b, "Upload");
}

static void put_uploads(struct s3_request *q, struct buf *b, const struct list_uploads *l)
{
    for (size_t i = 0; i < l->page.count; i++)
        if (!l->page.entries[i].is_prefix)
            put_upload(q, b, &l->page.entries[i].upload, l->url);
    for (size_t i = 0; i < l->page.count; i++) {
        if (!l->page.entries[i].is_prefix)
            continue;
        xml_open(b, "CommonPrefixes");
        s3_xml_text(b, "Prefix", l->page.entries[i].upload.key, l->url);
        xml_close(b, "CommonPrefixes");
    }
}

static int FIBER respond_uploads(struct s3_request *q, const struct list_uploads *l)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "ListMultipartUploadsResult", S3_XMLNS);
    xml_element(&b, "Bucket", q->bucket_name);
    s3_xml_text(&b, "KeyMarker", l->query.key_after, l->url);
    xml_element(&b, "UploadIdMarker", l->query.upload_after);
    if (l->page.truncated) {
        s3_xml_text(&b, "NextKeyMarker", l->page.next_key, l->url);
        xml_element(&b, "NextUploadIdMarker", l->page.next_upload);
    }
    s3_xml_text(&b, "Prefix", l->query.prefix, l->url);
    if (l->query.delimiter.len)
        s3_xml_text(&b, "Delimiter", l->query.delimiter, l->url);
    if (l->url)
        xml_element(&b, "EncodingType", STR("url"));
    xml_element_u64(&b, "MaxUploads", l->max);
    xml_element_bool(&b, "IsTruncated", l->page.truncated);
    put_uploads(q, &b, l);
    xml_close(&b, "ListMultipartUploadsResult");
    return s3_respond_xml(q, &b);
}

int FIBER s3_list_multipart_uploads(struct s3_request *q)
{
    struct list_uploads l = {0};
    int r = read_uploads_query(q, &l);
    struct store_upload_query query = l.query;
    query.key_after = s3_past_common(query.key_after, query.prefix, query.delimiter);
    if (!r)
        r = store_upload_list(q->s3->store, q->arena, q->bucket.id, &query, &l.page);
    return r ? r : respond_uploads(q, &l);
}
