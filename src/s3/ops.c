/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/ops.h"
#include "s3/internal.h"

#define CONFIG_BODY_MAX    (64 * KIB)
#define LIFECYCLE_BODY_MAX (256 * KIB) /* a thousand rules */
#define DELETE_BODY_MAX    (4 * MIB)   /* 1,000 keys of 1,024 bytes, escaped */
#define SELECT_BODY_MAX    (2 * MIB)   /* 256 KiB of SQL, escaped */
#define COMPLETE_BODY_MAX  (4 * MIB)   /* 10,000 parts with ETag and checksum */

/* name, method, level, sub-resource, header, action, body limit, flags, handler */
/* clang-format off */
const struct s3_op s3_ops[] = {
    /* the service */
    {"ListBuckets", S3_GET, S3_SERVICE, NULL, NULL, "s3:ListAllMyBuckets", 0, 0, s3_list_buckets},
    {"QueryApi", S3_POST, S3_SERVICE, NULL, NULL, "s3:QueryApi", 0, S3_OP_NO_BUCKET, NULL},
    /* buckets */
    {"GetBucketLocation", S3_GET, S3_BUCKET, "location", NULL, "s3:GetBucketLocation", 0, 0, s3_get_bucket_location},
    {"ListObjectsV2", S3_GET, S3_BUCKET, "list-type=2", NULL, "s3:ListBucket", 0, 0, s3_list_objects_v2},
    {"ListMultipartUploads", S3_GET, S3_BUCKET, "uploads", NULL, "s3:ListBucketMultipartUploads", 0, 0, s3_list_multipart_uploads},
    {"DeleteObjects", S3_POST, S3_BUCKET, "delete", NULL, "s3:DeleteObject", DELETE_BODY_MAX, S3_OP_JUDGED_INSIDE, s3_delete_objects},
    {"ListObjectVersions", S3_GET, S3_BUCKET, "versions", NULL, "s3:ListBucketVersions", 0, 0, s3_list_object_versions},
    {"CreateSession", S3_GET, S3_BUCKET, "session", NULL, "s3:CreateSession", 0, 0, NULL},
    /* bucket configuration */
    {"GetBucketAcl", S3_GET, S3_BUCKET, "acl", NULL, "s3:GetBucketAcl", 0, 0, s3_get_bucket_acl},
    {"PutBucketAcl", S3_PUT, S3_BUCKET, "acl", NULL, "s3:PutBucketAcl", CONFIG_BODY_MAX, S3_OP_ACL, s3_put_bucket_acl},
    {"GetBucketAbac", S3_GET, S3_BUCKET, "abac", NULL, "s3:GetBucketAbac", 0, 0, NULL},
    {"PutBucketAbac", S3_PUT, S3_BUCKET, "abac", NULL, "s3:PutBucketAbac", 0, 0, NULL},
    {"GetBucketAccelerateConfiguration", S3_GET, S3_BUCKET, "accelerate", NULL, "s3:GetAccelerateConfiguration", 0, 0, s3_get_bucket_config},
    {"PutBucketAccelerateConfiguration", S3_PUT, S3_BUCKET, "accelerate", NULL, "s3:PutAccelerateConfiguration", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"GetBucketAnalyticsConfiguration", S3_GET, S3_BUCKET, "analytics&id", NULL, "s3:GetAnalyticsConfiguration", 0, 0, NULL},
    {"ListBucketAnalyticsConfigurations", S3_GET, S3_BUCKET, "analytics", NULL, "s3:GetAnalyticsConfiguration", 0, 0, NULL},
    {"PutBucketAnalyticsConfiguration", S3_PUT, S3_BUCKET, "analytics", NULL, "s3:PutAnalyticsConfiguration", 0, 0, NULL},
    {"DeleteBucketAnalyticsConfiguration", S3_DELETE, S3_BUCKET, "analytics", NULL, "s3:PutAnalyticsConfiguration", 0, 0, NULL},
    {"GetBucketIntelligentTieringConfiguration", S3_GET, S3_BUCKET, "intelligent-tiering&id", NULL, "s3:GetIntelligentTieringConfiguration", 0, 0, NULL},
    {"ListBucketIntelligentTieringConfigurations", S3_GET, S3_BUCKET, "intelligent-tiering", NULL, "s3:GetIntelligentTieringConfiguration", 0, 0, NULL},
    {"PutBucketIntelligentTieringConfiguration", S3_PUT, S3_BUCKET, "intelligent-tiering", NULL, "s3:PutIntelligentTieringConfiguration", 0, 0, NULL},
    {"DeleteBucketIntelligentTieringConfiguration", S3_DELETE, S3_BUCKET, "intelligent-tiering", NULL, "s3:PutIntelligentTieringConfiguration", 0, 0, NULL},
    {"GetBucketInventoryConfiguration", S3_GET, S3_BUCKET, "inventory&id", NULL, "s3:GetInventoryConfiguration", 0, 0, s3_get_bucket_inventory},
    {"ListBucketInventoryConfigurations", S3_GET, S3_BUCKET, "inventory", NULL, "s3:GetInventoryConfiguration", 0, 0, s3_list_bucket_inventories},
    {"PutBucketInventoryConfiguration", S3_PUT, S3_BUCKET, "inventory", NULL, "s3:PutInventoryConfiguration", CONFIG_BODY_MAX, S3_OP_JUDGED_INSIDE, s3_put_bucket_inventory},
    {"DeleteBucketInventoryConfiguration", S3_DELETE, S3_BUCKET, "inventory", NULL, "s3:PutInventoryConfiguration", 0, 0, s3_delete_bucket_inventory},
    {"GetBucketMetricsConfiguration", S3_GET, S3_BUCKET, "metrics&id", NULL, "s3:GetMetricsConfiguration", 0, 0, NULL},
    {"ListBucketMetricsConfigurations", S3_GET, S3_BUCKET, "metrics", NULL, "s3:GetMetricsConfiguration", 0, 0, NULL},
    {"PutBucketMetricsConfiguration", S3_PUT, S3_BUCKET, "metrics", NULL, "s3:PutMetricsConfiguration", 0, 0, NULL},
    {"DeleteBucketMetricsConfiguration", S3_DELETE, S3_BUCKET, "metrics", NULL, "s3:PutMetricsConfiguration", 0, 0, NULL},
    {"GetBucketCors", S3_GET, S3_BUCKET, "cors", NULL, "s3:GetBucketCORS", 0, 0, s3_get_bucket_config},
    {"PutBucketCors", S3_PUT, S3_BUCKET, "cors", NULL, "s3:PutBucketCORS", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketCors", S3_DELETE, S3_BUCKET, "cors", NULL, "s3:PutBucketCORS", 0, 0, s3_delete_bucket_config},
    {"GetBucketEncryption", S3_GET, S3_BUCKET, "encryption", NULL, "s3:GetEncryptionConfiguration", 0, 0, s3_get_bucket_config},
    {"PutBucketEncryption", S3_PUT, S3_BUCKET, "encryption", NULL, "s3:PutEncryptionConfiguration", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketEncryption", S3_DELETE, S3_BUCKET, "encryption", NULL, "s3:PutEncryptionConfiguration", 0, 0, s3_delete_bucket_config},
    {"GetBucketLifecycleConfiguration", S3_GET, S3_BUCKET, "lifecycle", NULL, "s3:GetLifecycleConfiguration", 0, 0, s3_get_bucket_config},
    {"PutBucketLifecycleConfiguration", S3_PUT, S3_BUCKET, "lifecycle", NULL, "s3:PutLifecycleConfiguration", LIFECYCLE_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketLifecycle", S3_DELETE, S3_BUCKET, "lifecycle", NULL, "s3:PutLifecycleConfiguration", 0, 0, s3_delete_bucket_config},
    {"GetBucketLogging", S3_GET, S3_BUCKET, "logging", NULL, "s3:GetBucketLogging", 0, 0, s3_get_bucket_logging},
    {"PutBucketLogging", S3_PUT, S3_BUCKET, "logging", NULL, "s3:PutBucketLogging", CONFIG_BODY_MAX, 0, s3_put_bucket_logging},
    {"CreateBucketMetadataConfiguration", S3_POST, S3_BUCKET, "metadataConfiguration", NULL, "s3:CreateBucketMetadataTableConfiguration", 0, 0, NULL},
    {"GetBucketMetadataConfiguration", S3_GET, S3_BUCKET, "metadataConfiguration", NULL, "s3:GetBucketMetadataTableConfiguration", 0, 0, NULL},
    {"DeleteBucketMetadataConfiguration", S3_DELETE, S3_BUCKET, "metadataConfiguration", NULL, "s3:DeleteBucketMetadataTableConfiguration", 0, 0, NULL},
    {"UpdateBucketMetadataAnnotationTableConfiguration", S3_PUT, S3_BUCKET, "metadataAnnotationTable", NULL, "s3:UpdateBucketMetadataAnnotationTableConfiguration", 0, 0, NULL},
    {"UpdateBucketMetadataInventoryTableConfiguration", S3_PUT, S3_BUCKET, "metadataInventoryTable", NULL, "s3:UpdateBucketMetadataInventoryTableConfiguration", 0, 0, NULL},
    {"UpdateBucketMetadataJournalTableConfiguration", S3_PUT, S3_BUCKET, "metadataJournalTable", NULL, "s3:UpdateBucketMetadataJournalTableConfiguration", 0, 0, NULL},
    {"CreateBucketMetadataTableConfiguration", S3_POST, S3_BUCKET, "metadataTable", NULL, "s3:CreateBucketMetadataTableConfiguration", 0, 0, NULL},
    {"GetBucketMetadataTableConfiguration", S3_GET, S3_BUCKET, "metadataTable", NULL, "s3:GetBucketMetadataTableConfiguration", 0, 0, NULL},
    {"DeleteBucketMetadataTableConfiguration", S3_DELETE, S3_BUCKET, "metadataTable", NULL, "s3:DeleteBucketMetadataTableConfiguration", 0, 0, NULL},
    {"GetBucketNotificationConfiguration", S3_GET, S3_BUCKET, "notification", NULL, "s3:GetBucketNotification", 0, 0, s3_get_bucket_notification},
    {"PutBucketNotificationConfiguration", S3_PUT, S3_BUCKET, "notification", NULL, "s3:PutBucketNotification", CONFIG_BODY_MAX, 0, s3_put_bucket_notification},
    {"GetObjectLockConfiguration", S3_GET, S3_BUCKET, "object-lock", NULL, "s3:GetBucketObjectLockConfiguration", 0, 0, s3_get_object_lock_configuration},
    {"PutObjectLockConfiguration", S3_PUT, S3_BUCKET, "object-lock", NULL, "s3:PutBucketObjectLockConfiguration", CONFIG_BODY_MAX, 0, s3_put_object_lock_configuration},
    {"GetBucketOwnershipControls", S3_GET, S3_BUCKET, "ownershipControls", NULL, "s3:GetBucketOwnershipControls", 0, 0, s3_get_bucket_config},
    {"PutBucketOwnershipControls", S3_PUT, S3_BUCKET, "ownershipControls", NULL, "s3:PutBucketOwnershipControls", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketOwnershipControls", S3_DELETE, S3_BUCKET, "ownershipControls", NULL, "s3:PutBucketOwnershipControls", 0, 0, s3_delete_bucket_config},
    {"GetBucketPolicy", S3_GET, S3_BUCKET, "policy", NULL, "s3:GetBucketPolicy", 0, 0, s3_get_bucket_policy},
    {"PutBucketPolicy", S3_PUT, S3_BUCKET, "policy", NULL, "s3:PutBucketPolicy", CONFIG_BODY_MAX, 0, s3_put_bucket_policy},
    {"DeleteBucketPolicy", S3_DELETE, S3_BUCKET, "policy", NULL, "s3:DeleteBucketPolicy", 0, 0, s3_delete_bucket_policy},
    {"GetBucketPolicyStatus", S3_GET, S3_BUCKET, "policyStatus", NULL, "s3:GetBucketPolicyStatus", 0, 0, s3_get_bucket_policy_status},
    {"GetPublicAccessBlock", S3_GET, S3_BUCKET, "publicAccessBlock", NULL, "s3:GetBucketPublicAccessBlock", 0, 0, s3_get_bucket_config},
    {"PutPublicAccessBlock", S3_PUT, S3_BUCKET, "publicAccessBlock", NULL, "s3:PutBucketPublicAccessBlock", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeletePublicAccessBlock", S3_DELETE, S3_BUCKET, "publicAccessBlock", NULL, "s3:PutBucketPublicAccessBlock", 0, 0, s3_delete_bucket_config},
    {"GetBucketReplication", S3_GET, S3_BUCKET, "replication", NULL, "s3:GetReplicationConfiguration", 0, 0, NULL},
    {"PutBucketReplication", S3_PUT, S3_BUCKET, "replication", NULL, "s3:PutReplicationConfiguration", 0, 0, NULL},
    {"DeleteBucketReplication", S3_DELETE, S3_BUCKET, "replication", NULL, "s3:PutReplicationConfiguration", 0, 0, NULL},
    {"GetBucketRequestPayment", S3_GET, S3_BUCKET, "requestPayment", NULL, "s3:GetBucketRequestPayment", 0, 0, s3_get_bucket_config},
    {"PutBucketRequestPayment", S3_PUT, S3_BUCKET, "requestPayment", NULL, "s3:PutBucketRequestPayment", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"GetBucketTagging", S3_GET, S3_BUCKET, "tagging", NULL, "s3:GetBucketTagging", 0, 0, s3_get_bucket_config},
    {"PutBucketTagging", S3_PUT, S3_BUCKET, "tagging", NULL, "s3:PutBucketTagging", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketTagging", S3_DELETE, S3_BUCKET, "tagging", NULL, "s3:PutBucketTagging", 0, 0, s3_delete_bucket_config},
    {"GetBucketVersioning", S3_GET, S3_BUCKET, "versioning", NULL, "s3:GetBucketVersioning", 0, 0, s3_get_bucket_versioning},
    {"PutBucketVersioning", S3_PUT, S3_BUCKET, "versioning", NULL, "s3:PutBucketVersioning", CONFIG_BODY_MAX, 0, s3_put_bucket_versioning},
    {"GetBucketWebsite", S3_GET, S3_BUCKET, "website", NULL, "s3:GetBucketWebsite", 0, 0, s3_get_bucket_config},
    {"PutBucketWebsite", S3_PUT, S3_BUCKET, "website", NULL, "s3:PutBucketWebsite", CONFIG_BODY_MAX, 0, s3_put_bucket_config},
    {"DeleteBucketWebsite", S3_DELETE, S3_BUCKET, "website", NULL, "s3:DeleteBucketWebsite", 0, 0, s3_delete_bucket_config},
    /* buckets, without a sub-resource */
    {"CreateBucket", S3_PUT, S3_BUCKET, NULL, NULL, "s3:CreateBucket", CONFIG_BODY_MAX, S3_OP_NO_BUCKET | S3_OP_ACL, s3_create_bucket},
    {"HeadBucket", S3_HEAD, S3_BUCKET, NULL, NULL, "s3:ListBucket", 0, 0, s3_head_bucket},
    {"DeleteBucket", S3_DELETE, S3_BUCKET, NULL, NULL, "s3:DeleteBucket", 0, 0, s3_delete_bucket},
    {"ListObjects", S3_GET, S3_BUCKET, NULL, NULL, "s3:ListBucket", 0, 0, s3_list_objects},
    {"PostObject", S3_POST, S3_BUCKET, NULL, NULL, "s3:PutObject", 0, S3_OP_FORM | S3_OP_ACL, s3_post_object},
    {"PreflightBucket", S3_OPTIONS, S3_BUCKET, NULL, NULL, "s3:Preflight", 0, S3_OP_ANYONE, s3_preflight},
    /* multipart */
    {"CreateMultipartUpload", S3_POST, S3_OBJECT, "uploads", NULL, "s3:PutObject", 0, S3_OP_ACL, s3_create_multipart_upload},
    {"UploadPartCopy", S3_PUT, S3_OBJECT, "uploadId", "x-amz-copy-source", "s3:PutObject", 0, 0, s3_upload_part_copy},
    {"UploadPart", S3_PUT, S3_OBJECT, "uploadId", NULL, "s3:PutObject", 0, S3_OP_STREAM, s3_upload_part},
    {"ListParts", S3_GET, S3_OBJECT, "uploadId", NULL, "s3:ListMultipartUploadParts", 0, 0, s3_list_parts},
    {"CompleteMultipartUpload", S3_POST, S3_OBJECT, "uploadId", NULL, "s3:PutObject", COMPLETE_BODY_MAX, 0, s3_complete_multipart_upload},
    {"AbortMultipartUpload", S3_DELETE, S3_OBJECT, "uploadId", NULL, "s3:AbortMultipartUpload", 0, 0, s3_abort_multipart_upload},
    /* objects */
    {"GetObjectAnnotation", S3_GET, S3_OBJECT, "annotation&annotationName", NULL, "s3:GetObjectAnnotation", 0, 0, NULL},
    {"ListObjectAnnotations", S3_GET, S3_OBJECT, "annotation", NULL, "s3:ListObjectAnnotations", 0, 0, NULL},
    {"PutObjectAnnotation", S3_PUT, S3_OBJECT, "annotation", NULL, "s3:PutObjectAnnotation", 0, 0, NULL},
    {"DeleteObjectAnnotation", S3_DELETE, S3_OBJECT, "annotation", NULL, "s3:DeleteObjectAnnotation", 0, 0, NULL},
    {"GetObjectAcl", S3_GET, S3_OBJECT, "acl", NULL, "s3:GetObjectAcl", 0, 0, s3_get_object_acl},
    {"PutObjectAcl", S3_PUT, S3_OBJECT, "acl", NULL, "s3:PutObjectAcl", CONFIG_BODY_MAX, S3_OP_ACL, s3_put_object_acl},
    {"GetObjectAttributes", S3_GET, S3_OBJECT, "attributes", NULL, "s3:GetObjectAttributes", 0, 0, s3_get_object_attributes},
    {"UpdateObjectEncryption", S3_PUT, S3_OBJECT, "encryption", NULL, "s3:UpdateObjectEncryption", CONFIG_BODY_MAX, 0, s3_update_object_encryption},
    {"GetObjectLegalHold", S3_GET, S3_OBJECT, "legal-hold", NULL, "s3:GetObjectLegalHold", 0, 0, s3_get_object_legal_hold},
    {"PutObjectLegalHold", S3_PUT, S3_OBJECT, "legal-hold", NULL, "s3:PutObjectLegalHold", CONFIG_BODY_MAX, S3_OP_JUDGED_INSIDE, s3_put_object_legal_hold},
    {"RenameObject", S3_PUT, S3_OBJECT, "renameObject", NULL, "s3:PutObject", 0, 0, s3_rename_object},
    {"RestoreObject", S3_POST, S3_OBJECT, "restore", NULL, "s3:RestoreObject", CONFIG_BODY_MAX, 0, s3_restore_object},
    {"GetObjectRetention", S3_GET, S3_OBJECT, "retention", NULL, "s3:GetObjectRetention", 0, 0, s3_get_object_retention},
    {"PutObjectRetention", S3_PUT, S3_OBJECT, "retention", NULL, "s3:PutObjectRetention", CONFIG_BODY_MAX, S3_OP_JUDGED_INSIDE, s3_put_object_retention},
    {"SelectObjectContent", S3_POST, S3_OBJECT, "select", NULL, "s3:GetObject", SELECT_BODY_MAX, S3_OP_READS, s3_select_object_content},
    {"GetObjectTagging", S3_GET, S3_OBJECT, "tagging", NULL, "s3:GetObjectTagging", 0, 0, s3_get_object_tagging},
    {"PutObjectTagging", S3_PUT, S3_OBJECT, "tagging", NULL, "s3:PutObjectTagging", CONFIG_BODY_MAX, S3_OP_JUDGED_INSIDE, s3_put_object_tagging},
    {"DeleteObjectTagging", S3_DELETE, S3_OBJECT, "tagging", NULL, "s3:DeleteObjectTagging", 0, 0, s3_delete_object_tagging},
    {"GetObjectTorrent", S3_GET, S3_OBJECT, "torrent", NULL, "s3:GetObjectTorrent", 0, 0, s3_get_object_torrent},
    /* objects, without a sub-resource */
    {"CopyObject", S3_PUT, S3_OBJECT, NULL, "x-amz-copy-source", "s3:PutObject", 0, S3_OP_ACL, s3_copy_object},
    {"PutObject", S3_PUT, S3_OBJECT, NULL, NULL, "s3:PutObject", 0, S3_OP_STREAM | S3_OP_ACL, s3_put_object},
    {"GetObject", S3_GET, S3_OBJECT, NULL, NULL, "s3:GetObject", 0, 0, s3_get_object},
    {"HeadObject", S3_HEAD, S3_OBJECT, NULL, NULL, "s3:GetObject", 0, 0, s3_head_object},
    {"DeleteObject", S3_DELETE, S3_OBJECT, NULL, NULL, "s3:DeleteObject", 0, 0, s3_delete_object},
    {"PreflightObject", S3_OPTIONS, S3_OBJECT, NULL, NULL, "s3:Preflight", 0, S3_OP_ANYONE, s3_preflight},
};
/* clang-format on */
const unsigned s3_op_count = ARRAY_LEN(s3_ops);

static const char *const method_names[] = {
    [S3_GET] = "GET",   [S3_HEAD] = "HEAD",     [S3_PUT] = "PUT",
    [S3_POST] = "POST", [S3_DELETE] = "DELETE", [S3_OPTIONS] = "OPTIONS",
};

enum s3_method s3_method_parse(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(method_names); i++)
        if (str_eq(name, str_from(method_names[i])))
            return i;
    return S3_METHOD_OTHER;
}

const char *s3_method_name(enum s3_method m)
{
    CHECK(m < ARRAY_LEN(method_names));
    return method_names[m];
}

const struct s3_op *s3_op_named(const char *name)
{
    for (unsigned i = 0; i < s3_op_count; i++)
        if (strcmp(s3_ops[i].name, name) == 0)
            return &s3_ops[i];
    CHECK(!"an operation without a row");
    return NULL;
}

/* ---- routing -------------------------------------------------------------------------------- */

/* The first name of a row's query: its sub-resource. */
static struct str subresource(const struct s3_op *op)
{
    struct str q = str_from(op->query);
    return str_prefix(q, strcspn(op->query ? op->query : "", "=&"));
}

/* "a", "a=value" and "a&b": all that is named must be there. */
static bool query_fits(const char *wanted, const struct uri_query *query)
{
    struct str rest = str_from(wanted), one, name;
    while (rest.ptr && str_cut(&rest, '&', &one)) {
        bool with_value = str_find_char(one, '=', 0) >= 0;
        str_cut(&one, '=', &name);
        if (!uri_query_has(query, name))
            return false;
        if (with_value && !str_eq(uri_query_get(query, name), one))
            return false;
    }
    return true;
}

static bool op_fits(const struct s3_op *op, struct str sub, const struct s3_route *r)
{
    if (!op->query != (sub.len == 0)) /* most rows end here */
        return false;
    if (op->query && (!str_eq(subresource(op), sub) || !query_fits(op->query, r->query)))
        return false;
    return !op->header ||
           http1_find(r->head->headers, r->head->header_count, str_from(op->header)).ptr;
}

/* A sub-resource of `level`, or of any level when `any`. */
static bool is_subresource(struct str name, enum s3_level level, bool any)
{
    for (unsigned i = 0; i < s3_op_count; i++)
        if (s3_ops[i].query && s3_ops[i].query[0] == name.ptr[0] && /* most differ here */
            (any || s3_ops[i].level == level) && str_eq(subresource(&s3_ops[i]), name))
            return true;
    return false;
}

/*
 * A bare word that no row has, where something is to be changed: of a younger API
 * (PutObjectAnnotation was one), or of another server's (Ceph's `append`). Passed over, it would
 * overwrite or delete the object instead.
 */
static bool is_unknown_word(const struct s3_route *r, const struct uri_param *p)
{
    static const char *const others[] = {"versionId", "uploadId", "partNumber"};
    if (p->has_value || r->level == S3_SERVICE ||
        (r->method != S3_PUT && r->method != S3_POST && r->method != S3_DELETE))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(p->name, str_from(others[i])))
            return false;
    return true;
}

/*
 * The one sub-resource of the request: empty when there is none. It must belong to the level, and
 * there must not be two (AWS: "Conflicting query string parameters").
 */
static int find_subresource(const struct s3_route *r, struct str *ret)
{
    struct str found = STR_NULL;
    for (size_t i = 0; i < r->query->count; i++) {
        struct str name = r->query->params[i].name;
        if (name.len == 0)
            continue;
        if (!is_subresource(name, r->level, true)) {
            if (!is_unknown_word(r, &r->query->params[i]))
                continue;
            *ret = name;
            return -ERR_NOT_IMPLEMENTED;
        }
        if (!is_subresource(name, r->level, false)) {
            *ret = name;
            return -ERR_INVALID_REQUEST;
        }
        if (found.ptr && !str_eq(found, name)) {
            *ret = name;
            return -ERR_INVALID_ARGUMENT;
        }
        found = name;
    }
    *ret = found;
    return 0;
}

int s3_route(const struct s3_route *r, const struct s3_op **ret, struct str *ret_culprit)
{
    struct str sub = STR_NULL;
    int err = find_subresource(r, &sub);
    if (err) {
        *ret_culprit = sub;
        return err;
    }
    for (unsigned i = 0; i < s3_op_count; i++) {
        const struct s3_op *op = &s3_ops[i];
        if (op->method == r->method && op->level == r->level && op_fits(op, sub, r)) {
            *ret = op;
            return 0;
        }
    }
    *ret_culprit = sub;
    return -ERR_METHOD_NOT_ALLOWED;
}
