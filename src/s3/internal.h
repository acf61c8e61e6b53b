/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of s3/ share: the door, a request under way, and the helpers every operation
 * uses. A handler returns 0 once it has responded, or a negative code, for which errors.c answers.
 */

#include "base/buf.h"
#include "base/md5.h"
#include "s3/account_quota.h"
#include "s3/ops.h"
#include "s3/s3.h"
#include "wire/form.h"
#include "wire/sigv4.h"
#include "wire/uri.h"
#include "wire/xml.h"

#define S3_XMLNS "http://s3.amazonaws.com/doc/2006-03-01/"

struct s3_counters;

struct s3 {
    struct store *store;
    struct iam *iam;
    struct events *events;
    struct audit *audit;
    struct access_log *log;
    struct kms *kms;
    bool encrypt_all, insecure_sse_c;
    bool sigv2; /* is taken, too */
    uint64_t lifecycle_day_ms;
    struct str region;
    struct str object_ownership; /* of new buckets; empty: none */
    struct str domains[S3_DOMAINS_MAX];
    unsigned domain_count;
    struct str website_domains[S3_DOMAINS_MAX];
    unsigned website_domain_count;
    char *strings; /* region and domains point here */
    struct s3_counters *counters;
    struct md5_pool *md5_pools; /* one a loop thread */
    struct s3_logs *logs;
    _Atomic unsigned selects;   /* under way */
    uint64_t select_silence_ns; /* after which one gives a sign of life */
    struct account_quotas *account_quotas;
};

/* An element that the error body of some code carries beside the usual ones. */
struct s3_detail {
    const char *name;
    struct str value;
};
#define S3_DETAILS_MAX 8

/* Whose an object is, and who else may: its list's bytes (acl.h). */
struct s3_owned {
    struct str owner, acl;
};

/* One request, from its head to its log line; lives in the exchange's arena. */
#define S3_REQUEST_MAGIC 0x53335251u
struct s3_request {
    uint32_t magic; /* tells a note of this door from another's */
    struct s3 *s3;
    struct http_exchange *x;
    const struct http1_request *head;
    struct arena *arena;
    struct uri_query query;
    struct str path; /* as received, without the query */
    struct str bucket_name, key;
    struct str tenant; /* whose the bucket must be: "TENANT:BUCKET"; ptr NULL: not said */
    struct store_version_ref version; /* versionId */
    const struct s3_op *op;           /* NULL: nothing fits */
    struct sigv4_auth auth;
    struct str form_body;                /* of the query API, read beforehand; else ptr NULL */
    const struct form_head *form;        /* an upload form: its fields stand in for headers */
    const struct sigv4_key *signing_key; /* when `signed_in` */
    struct iam_identity who;
    bool signed_in;
    bool unauthentic;                /* its credentials were no good */
    bool judged;                     /* an object's owner and list were part of a judgement: */
    struct s3_owned judged_object;   /* the last; no owner: there was none */
    struct store_bucket bucket;      /* looked up unless S3_OP_NO_BUCKET */
    struct str owner_id, owner_name; /* the last that was looked up */
    struct str document;             /* a body that was read whole; ptr NULL: none */
    struct str audit_operation;      /* of a query API; ptr NULL: the operation's name */
    struct str logging, log_owner;   /* of a bucket that logs: its configuration; empty: none */
    int err;                         /* what was answered: 0 or a negative code */
    struct str message;              /* in place of the error table's text */
    struct s3_detail details[S3_DETAILS_MAX];
    unsigned detail_count;
};

/* ---- request.c: what was asked -------------------------------------------------------------- */

/* Bucket, key and query from target and host; then the operation. */
int s3_request_parse(struct s3_request *q);
int s3_request_route(struct s3_request *q);
/* A header, or where the client presigned it into the query, that parameter; ptr NULL if absent. */
struct str s3_header(const struct s3_request *q, struct str lower_name);
/* That parameter alone; ptr NULL: there is none, or nothing was presigned. */
struct str s3_presigned(const struct s3_request *q, struct str lower_name);
/* A header of the object to be written: of an upload form the field that stands for it. */
struct str s3_field(const struct s3_request *q, struct str lower_name);
/* Presigned so that the query's parameters are signed, and may stand for headers. */
static inline bool s3_is_presigned(const struct s3_request *q)
{
    return q->auth.form == SIGV4_QUERY && !q->auth.v2;
}
/* If-Match and its like: what was presigned, or else a header; attrs.c. */
struct str s3_condition(const struct s3_request *q, struct str lower_name);
/* "/bucket" when the host names the bucket, else "". */
struct str s3_bucket_path(const struct s3_request *q);
/* A query parameter's value; ptr NULL when absent. */
struct str s3_param(const struct s3_request *q, const char *name);
/* A whole number of a query parameter from `least` to `most`, `otherwise` when absent or empty;
 * -ERR_INVALID_ARGUMENT with message and details. */
int s3_param_number(struct s3_request *q, const char *name, uint64_t least, uint64_t most,
                    uint64_t otherwise, uint64_t *ret);
/* encoding-type: 0 with *ret_url, or -ERR_INVALID_ARGUMENT. */
int s3_param_encoding(struct s3_request *q, bool *ret_url);
/* -ERR_INVALID_ARGUMENT: a versionId that is none, or that the operation does not take. */
int s3_check_version_id(struct s3_request *q);
/* A host below a website domain: its bucket is set. */
bool s3_request_website(struct s3_request *q);
/* The key alone, which may be empty, of the path. */
int s3_website_key(struct s3_request *q);
/* Headers that would change the operation and are not served: -ERR_NOT_IMPLEMENTED; values that no
 * operation takes: -ERR_INVALID_ARGUMENT. */
int s3_check_headers(struct s3_request *q);

/* ---- auth.c: who asks ----------------------------------------------------------------------- */

int s3_authenticate(struct s3_request *q);
/* Whether the user may ask that often: -ERR_SLOW_DOWN. */
int s3_check_rate(struct s3_request *q);
/* Is it signed for this endpoint: -ERR_AUTH_… with a message. */
int s3_check_scope(struct s3_request *q);
/* May this request's identity do `action` on the object of that bucket? */
int FIBER s3_authorise(struct s3_request *q, const char *action, const struct store_bucket *bucket,
                       struct str key);
/* The same, with what else the conditions may ask for. */
struct s3_context;
int FIBER s3_authorise_in(struct s3_context *c, const char *action);
/* For S3_OP_JUDGED_INSIDE: -ERR_ACCESS_DENIED when nothing can come of judging each part. */
int FIBER s3_authorise_later(struct s3_request *q, const struct store_bucket *bucket);
/* The action, or what it is called when it is about one version. */
const char *s3_action(const char *plain, bool of_version);
/* public_access.c: whether the bucket's public access block refuses public policies, and ACLs. */
bool s3_blocks_public_policy(const struct store_bucket *bucket);
bool s3_blocks_public_acls(const struct store_bucket *bucket);
/* That a key is not there is told to who may list the bucket: `err`, or -ERR_ACCESS_DENIED. */
int FIBER s3_hide_absence(struct s3_request *q, const struct store_bucket *bucket, struct str key,
                          int err);
/* Whoever may not read the request's object, but may list, is told that there is none:
 * -ERR_NO_SUCH_KEY or -ERR_NO_SUCH_VERSION, else -ERR_ACCESS_DENIED. */
int FIBER s3_tell_absence(struct s3_request *q);
/* The request's bucket: -ERR_NO_SUCH_BUCKET, also when it is of another tenant than was named.
 * store_bucket_release() it. */
int FIBER s3_get_bucket(struct s3_request *q, struct store_bucket *ret);
/* The same, and authorises: -ERR_ACCESS_DENIED. */
int FIBER s3_open_bucket(struct s3_request *q, const char *action, struct str key,
                         struct store_bucket *ret);
/* `header` names the owner the client expects, if present: -ERR_ACCESS_DENIED when it is another.
 */
int s3_check_owner(struct s3_request *q, struct str header, const struct store_bucket *bucket);

/* ---- errors.c and respond.c: what is answered ----------------------------------------------- */

/* Gives `err` back after noting a message for the body. */
int s3_error(struct s3_request *q, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
void s3_error_detail(struct s3_request *q, const char *name, struct str value);
/* An InvalidArgument with ArgumentName and, unless it is STR_NULL, ArgumentValue. */
int s3_error_argument(struct s3_request *q, const char *name, struct str value,
                      const char *message);
void FIBER s3_respond_error(struct s3_request *q, int err);

/* 200 with an XML body (or the buffer's error). */
int FIBER s3_respond_xml(struct s3_request *q, const struct buf *xml);
int FIBER s3_respond_empty(struct s3_request *q, int status);
/* "quoted" ETag text in `ret`. */
#define S3_ETAG_MAX 48
struct str s3_etag_format(const struct store_etag *etag, char ret[S3_ETAG_MAX]);
void s3_set_etag(struct s3_request *q, const struct store_etag *etag);
/* "COMPOSITE" or "FULL_OBJECT" */
struct str s3_checksum_type(const struct store_checksum *c);
/* x-amz-checksum-KIND and x-amz-checksum-type; nothing when it is not present. */
void s3_set_checksum(struct s3_request *q, const struct store_checksum *c, uint32_t parts);
/* Without the type, as for parts. */
void s3_set_checksum_value(struct s3_request *q, const struct store_checksum *c, uint32_t parts);
/* The same as elements: ChecksumKIND and, `with_type`, ChecksumType. */
void s3_xml_checksum(struct buf *b, const struct store_checksum *c, uint32_t parts, bool with_type);
/* <ETag>, quoted. */
void s3_xml_etag(struct buf *b, const struct store_etag *etag);
/* Of a user; the id itself when nobody has it. */
struct str s3_display_name(struct s3_request *q, struct str user_id);
/* <Owner> or another element with ID and DisplayName. */
void s3_xml_owner(struct s3_request *q, struct buf *b, const char *element, struct str user_id);
/* ISO 8601 time with milliseconds. */
void s3_xml_time(struct buf *b, const char *element, uint64_t ms);
/* Text, percent-encoded when `url` (encoding-type=url). */
void s3_xml_text(struct buf *b, const char *element, struct str text, bool url);

/* ---- list.c --------------------------------------------------------------------------------- */

/* Where a listing goes on behind a client's marker: S3 tells nothing of a common prefix that the
 * marker lies inside of. */
struct str s3_past_common(struct str marker, struct str prefix, struct str delimiter);

/* ---- object/tagging.c ----------------------------------------------------------------------- */

struct s3_tags_fault;
/* Names in the error body what is wrong with tags; gives `err` back. */
int s3_explain_tags(struct s3_request *q, int err, const struct s3_tags_fault *fault);
/* x-amz-tagging into attributes to be written, with the right to do so. */
int s3_tags_read(struct s3_request *q, struct store_attrs *attrs);
/* Tags of an object that come along to the request's key: the right to read them there, and to
 * write them here. */
int FIBER s3_tags_along(struct s3_context *from, const struct store_object *o);
/* x-amz-tagging-count, for whoever may read the tags. */
void s3_set_tag_count(struct s3_request *q, const struct store_object *o);

/* ---- object/post.c -------------------------------------------------------------------------- */

/* An upload form, which carries its credentials inside. */
bool s3_is_form(const struct s3_request *q);

/* ---- config/cors_ops.c ---------------------------------------------------------------------- */

/* The headers for a browser, on whatever is answered; nothing without an Origin. */
void FIBER s3_cors_apply(struct s3_request *q);
/* Vary, for caches, on answers of a bucket that has rules. */
void s3_cors_vary(struct s3_request *q);
/* The headers, and Vary, where the bucket is open already. */
void s3_cors_on_bucket(struct s3_request *q);

/* ---- config/website_ops.c and object/get.c -------------------------------------------------- */

int FIBER s3_website(struct s3_request *q);
/* The object of q->key, as a site has it: a place it points to is gone to. `status` 0: as of any
 * GET; else the object is what goes with that error. */
int FIBER s3_get_website_object(struct s3_request *q, int status);

/* ---- config/config.c ------------------------------------------------------------------------ */

/* Requester pays: -ERR_ACCESS_DENIED for others who do not say that they would. */
int s3_check_payer(struct s3_request *q, const struct store_bucket *bucket);
/* The ownership word for a new bucket: x-amz-object-ownership, else the server's; ptr NULL: none.
 */
int FIBER s3_ownership_read(struct s3_request *q, struct str *ret);
/* The document of that word. */
void s3_ownership_xml(struct buf *b, struct str word);
/* Whether there is such a word. */
bool s3_ownership_is_word(struct str word);

/* ---- acl_ops.c ------------------------------------------------------------------------------ */

/* The list that CreateBucket asks for (its bytes; empty: none), with the right to set one. */
int FIBER s3_acl_of_new_bucket(struct s3_request *q, struct str ownership, struct str *ret);
/* Of one's own bucket that is created again: its list becomes this one, as in AWS. */
int FIBER s3_acl_reset(struct s3_request *q, struct str bytes);
/* Nobody but the owner has a grant. */
bool s3_acl_is_only_owners(const struct store_bucket *bucket);

/* md5_update and, unless it is NULL, the other's, with the thread's other fibers (md5_pool.h). */
void FIBER s3_digests_update(struct s3 *s3, struct md5 *md5, struct hash_stream *sha256,
                             struct str data);

/* ---- log_delivery.c ------------------------------------------------------------------------- */

/* Writes what is due, or all that has gathered. */
void FIBER s3_logs_deliver(struct s3 *s3, bool all);

/* ---- metrics.c ------------------------------------------------------------------------------ */

struct s3_counters *s3_counters_new(void);
void s3_counters_free(struct s3_counters *c);

/* ---- operations ----------------------------------------------------------------------------- */

s3_op_handler s3_list_buckets, s3_create_bucket, s3_head_bucket, s3_delete_bucket,
    s3_get_bucket_location, s3_list_objects, s3_list_objects_v2, s3_put_object, s3_get_object,
    s3_head_object, s3_delete_object, s3_delete_objects, s3_copy_object, s3_create_multipart_upload,
    s3_upload_part, s3_upload_part_copy, s3_complete_multipart_upload, s3_abort_multipart_upload,
    s3_list_parts, s3_list_multipart_uploads, s3_get_object_attributes, s3_get_object_torrent,
    s3_put_object_tagging, s3_get_object_tagging, s3_delete_object_tagging, s3_put_bucket_config,
    s3_get_bucket_config, s3_delete_bucket_config, s3_preflight, s3_post_object,
    s3_put_bucket_policy, s3_get_bucket_policy, s3_delete_bucket_policy,
    s3_get_bucket_policy_status, s3_get_bucket_acl, s3_put_bucket_acl, s3_get_object_acl,
    s3_put_object_acl, s3_put_bucket_notification, s3_get_bucket_notification,
    s3_put_bucket_versioning, s3_get_bucket_versioning, s3_list_object_versions,
    s3_put_object_lock_configuration, s3_get_object_lock_configuration, s3_put_object_retention,
    s3_get_object_retention, s3_put_object_legal_hold, s3_get_object_legal_hold,
    s3_put_bucket_logging, s3_get_bucket_logging, s3_rename_object, s3_restore_object,
    s3_select_object_content, s3_update_object_encryption, s3_put_bucket_inventory,
    s3_get_bucket_inventory, s3_delete_bucket_inventory, s3_list_bucket_inventories;
