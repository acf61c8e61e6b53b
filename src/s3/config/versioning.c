/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * GetBucketVersioning, PutBucketVersioning, ListObjectVersions.
 */

#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/checksum.h"
#include "s3/object/restore.h"
#include "s3/version.h"

#define MAX_KEYS_MOST 2147483647 /* taken, though a page holds STORE_LIST_MAX */

/* ---- the configuration ---------------------------------------------------------------------- */

static int explain_state(struct s3_request *q, int err)
{
    if (err != -ERR_BUCKET_STATE)
        return err;
    return s3_error(q, err,
                    "An Object Lock configuration is present on this bucket, so the versioning "
                    "state cannot be changed.");
}

int FIBER s3_put_bucket_versioning(struct s3_request *q)
{
    struct str body;
    enum store_versioning versioning;
    int r = s3_body_all(q, 0, &body, NULL); /* no digest is asked for */
    if (!r)
        r = s3_body_versioning(q->arena, body, &versioning);
    if (!r)
        r = explain_state(q, store_bucket_set_versioning(q->s3->store, q->bucket.id, versioning));
    return r ? r : s3_respond_empty(q, 200);
}

int FIBER s3_get_bucket_versioning(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "VersioningConfiguration", S3_XMLNS);
    if (q->bucket.versioning == STORE_VERSIONING_ENABLED)
        xml_element(&b, "Status", STR("Enabled"));
    else if (q->bucket.versioning == STORE_VERSIONING_SUSPENDED)
        xml_element(&b, "Status", STR("Suspended"));
    xml_close(&b, "VersioningConfiguration");
    return s3_respond_xml(q, &b);
}

/* ---- the listing ---------------------------------------------------------------------------- */

struct listing {
    struct s3_request *q;
    bool url, with_restore;
    uint64_t max_keys;
    struct str version_marker;
    struct store_versions_query query;
    struct store_versions_page page;
};

static int read_markers(struct listing *l)
{
    struct s3_request *q = l->q;
    l->query.after = s3_param(q, "key-marker");
    l->version_marker = s3_param(q, "version-id-marker");
    l->query.has_version = l->version_marker.len > 0;
    if (!l->query.has_version)
        return 0;
    if (!l->query.after.len)
        return s3_error_argument(q, "version-id-marker", l->version_marker,
                                 "A version-id marker cannot be specified without a key marker.");
    if (s3_version_id_parse(l->version_marker, &l->query.version))
        return s3_error_argument(q, "version-id-marker", l->version_marker,
                                 "Invalid version id specified");
    return 0;
}

static int read_query(struct listing *l)
{
    struct s3_request *q = l->q;
    l->query.prefix = s3_param(q, "prefix");
    l->query.delimiter = s3_param(q, "delimiter");
    int r = s3_param_encoding(q, &l->url);
    if (!r)
        r = s3_param_number(q, "max-keys", 0, MAX_KEYS_MOST, STORE_LIST_MAX, &l->max_keys);
    if (!r)
        r = s3_restore_wanted(q, &l->with_restore);
    if (!r)
        r = read_markers(l);
    l->max_keys = MIN(l->max_keys, (uint64_t)STORE_LIST_MAX);
    l->query.max = l->max_keys;
    return r;
}

static void put_object(struct listing *l, struct buf *b, const struct store_object *o)
{
    s3_xml_etag(b, &o->etag);
    if (o->checksum.present) {
        xml_element(b, "ChecksumAlgorithm", str_from(s3_checksum_name(o->checksum.kind)));
        xml_element(b, "ChecksumType", s3_checksum_type(&o->checksum));
    }
    xml_element_u64(b, "Size", o->len_bytes);
    xml_element(b, "StorageClass", s3_storage_class_name(o->attrs.storage_class));
    if (l->with_restore)
        s3_restore_xml(l->q, b, o);
}

static void put_version(struct listing *l, struct buf *b, const struct store_version_entry *e)
{
    const struct store_object *o = &e->object;
    const char *element = o->delete_marker ? "DeleteMarker" : "Version";
    char text[S3_VERSION_ID_MAX];
    xml_open(b, element);
    s3_xml_text(b, "Key", o->key, l->url);
    xml_element(b, "VersionId", s3_version_id_format(o, text));
    xml_element_bool(b, "IsLatest", e->is_latest);
    s3_xml_time(b, "LastModified", o->mtime_ms);
    if (!o->delete_marker)
        put_object(l, b, o);
    s3_xml_owner(l->q, b, "Owner", o->attrs.owner);
    xml_close(b, element);
}

static void put_entries(struct listing *l, struct buf *b)
{
    for (size_t i = 0; i < l->page.count; i++)
        if (!l->page.entries[i].is_prefix)
            put_version(l, b, &l->page.entries[i]);
    for (size_t i = 0; i < l->page.count; i++) {
        if (!l->page.entries[i].is_prefix)
            continue;
        xml_open(b, "CommonPrefixes");
        s3_xml_text(b, "Prefix", l->page.entries[i].object.key, l->url);
        xml_close(b, "CommonPrefixes");
    }
}

static void put_next(struct listing *l, struct buf *b)
{
    char text[S3_VERSION_ID_MAX];
    if (!l->page.truncated)
        return;
    const struct store_version_entry *last = &l->page.entries[l->page.count - 1];
    s3_xml_text(b, "NextKeyMarker", last->object.key, l->url);
    if (!last->is_prefix)
        xml_element(b, "NextVersionIdMarker", s3_version_id_format(&last->object, text));
}

static int FIBER respond(struct listing *l)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "ListVersionsResult", S3_XMLNS);
    xml_element(&b, "Name", l->q->bucket_name);
    s3_xml_text(&b, "Prefix", l->query.prefix, l->url);
    s3_xml_text(&b, "KeyMarker", l->query.after, l->url);
    xml_element(&b, "VersionIdMarker", l->version_marker);
    put_next(l, &b);
    xml_element_u64(&b, "MaxKeys", l->max_keys);
    if (l->query.delimiter.len)
        s3_xml_text(&b, "Delimiter", l->query.delimiter, l->url);
    if (l->url)
        xml_element(&b, "EncodingType", STR("url"));
    xml_element_bool(&b, "IsTruncated", l->page.truncated);
    put_entries(l, &b);
    xml_close(&b, "ListVersionsResult");
    return s3_respond_xml(l->q, &b);
}

int FIBER s3_list_object_versions(struct s3_request *q)
{
    struct listing l = {.q = q};
    int r = read_query(&l);
    struct store_versions_query query = l.query;
    query.after = s3_past_common(query.after, query.prefix, query.delimiter);
    if (!r)
        r = store_list_versions(q->s3->store, q->arena, q->bucket.id, &query, &l.page);
    return r ? r : respond(&l);
}
