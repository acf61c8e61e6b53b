/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The values that condition keys have in a request (policy_tables.h names the keys; iam knows those
 * of the principal and the time itself). Asked lazily, so a request pays for what policies mention.
 *
 * Source: Service Authorization Reference, "Condition keys for Amazon S3".
 */

#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/context.h"
#include "s3/tags.h"
#include "wire/date.h"

/* ---- what is said ---------------------------------------------------------------------------- */

/*
 * Keys whose value is that of a header. It is the value that the operation goes by: what is said
 * somewhere where nobody heeds it must not open a policy. So `alone` are those that only a header
 * says, neither a parameter of a presigned URL nor a field of a form.
 */
static const struct header_key {
    enum iam_key key;
    bool alone;
    const char *header;
} header_keys[] = {
    {IAM_KEY_REFERER, true, "referer"},
    {IAM_KEY_USER_AGENT, true, "user-agent"},
    {IAM_KEY_S3_ACL, false, "x-amz-acl"},
    {IAM_KEY_S3_GRANT_FULL, false, "x-amz-grant-full-control"},
    {IAM_KEY_S3_GRANT_READ, false, "x-amz-grant-read"},
    {IAM_KEY_S3_GRANT_READ_ACP, false, "x-amz-grant-read-acp"},
    {IAM_KEY_S3_GRANT_WRITE, false, "x-amz-grant-write"},
    {IAM_KEY_S3_GRANT_WRITE_ACP, false, "x-amz-grant-write-acp"},
    {IAM_KEY_S3_IF_MATCH, true, "if-match"},
    {IAM_KEY_S3_IF_NONE_MATCH, true, "if-none-match"},
    {IAM_KEY_S3_LOCK_HOLD, false, "x-amz-object-lock-legal-hold"},
    {IAM_KEY_S3_LOCK_MODE, false, "x-amz-object-lock-mode"},
    {IAM_KEY_S3_LOCK_UNTIL, false, "x-amz-object-lock-retain-until-date"},
    {IAM_KEY_S3_METADATA_DIRECTIVE, true, "x-amz-metadata-directive"},
    {IAM_KEY_S3_OBJECT_OWNERSHIP, false, "x-amz-object-ownership"},
    {IAM_KEY_S3_REDIRECT, false, "x-amz-website-redirect-location"},
    {IAM_KEY_S3_SSE, false, "x-amz-server-side-encryption"},
    {IAM_KEY_S3_SSE_C, false, "x-amz-server-side-encryption-customer-algorithm"},
    {IAM_KEY_S3_SSE_KEY, false, "x-amz-server-side-encryption-aws-kms-key-id"},
    {IAM_KEY_S3_STORAGE_CLASS, false, "x-amz-storage-class"},
};

static bool is_op(const struct s3_request *q, const char *name)
{
    return q->op && strcmp(q->op->name, name) == 0;
}

/* A renamed object stays what it is, whatever the request says of it. */
static bool heeds_attributes(const struct s3_request *q)
{
    return !is_op(q, "RenameObject");
}

static struct str header_value(const struct s3_request *q, enum iam_key key)
{
    for (unsigned i = 0; i < ARRAY_LEN(header_keys); i++) {
        if (header_keys[i].key != key)
            continue;
        struct str name = str_from(header_keys[i].header);
        if (key == IAM_KEY_S3_IF_MATCH || key == IAM_KEY_S3_IF_NONE_MATCH)
            return s3_condition(q, name);
        if (header_keys[i].alone)
            return http_header(q->x, name);
        return heeds_attributes(q) ? s3_header(q, name) : STR_NULL;
    }
    return STR_NULL;
}

/* What the signature says of the body; a presigned URL, a form and version 2 say nothing of it. */
static struct str content_sha256(const struct s3_request *q)
{
    if (!q->signed_in)
        return http_header(q->x, STR("x-amz-content-sha256"));
    return q->auth.payload_text.len ? q->auth.payload_text : STR("UNSIGNED-PAYLOAD");
}

/* Whether it makes an object, of those that take s3:PutObject (S3 User Guide, "Enforce conditional
 * writes on Amazon S3 buckets"). */
static struct str creation_operation(const struct s3_request *q)
{
    static const char *const parts[] = {"CreateMultipartUpload", "UploadPart", "UploadPartCopy"};
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
        if (is_op(q, parts[i]))
            return STR("false");
    return q->op && strcmp(q->op->action, "s3:PutObject") == 0 ? STR("true") : STR_NULL;
}

/* ---- locks ---------------------------------------------------------------------------------- */

#define DAY_MS 86400000ULL

/* When the retention that is asked for ends; false: none is asked for, or none that can be read. */
static bool retained_until(const struct s3_context *c, uint64_t *ret_ms)
{
    if (!c->lock)
        return date_parse_iso(header_value(c->q, IAM_KEY_S3_LOCK_UNTIL), ret_ms) == 0;
    *ret_ms = c->lock->until_ms;
    return c->lock->retention != STORE_RETENTION_NONE;
}

/* A day that has begun counts. */
static struct str days_to(const struct s3_context *c, uint64_t until_ms)
{
    uint64_t now_ms = rt_wall_ms(), left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    return arena_printf(c->q->arena, "%llu", (unsigned long long)((left_ms + DAY_MS - 1) / DAY_MS));
}

static struct str time_text(const struct s3_context *c, uint64_t ms)
{
    char text[DATE_ISO_LEN];
    date_format_iso(ms, text);
    return arena_dup(c->q->arena, str_make(text, sizeof(text)));
}

/* Of the lock that the request asks for, in its body or in its headers. */
static struct str lock_value(const struct s3_context *c, enum iam_key key)
{
    uint64_t until_ms;
    if (key == IAM_KEY_S3_LOCK_DAYS)
        return retained_until(c, &until_ms) ? days_to(c, until_ms) : STR_NULL;
    if (!c->lock)
        return header_value(c->q, key);
    if (key == IAM_KEY_S3_LOCK_HOLD)
        return c->lock->hold == STORE_HOLD_NEVER ? STR_NULL : s3_hold_name(c->lock->hold);
    if (!retained_until(c, &until_ms))
        return STR_NULL;
    return key == IAM_KEY_S3_LOCK_MODE ? s3_retention_name(c->lock->retention)
                                       : time_text(c, until_ms);
}

/* ---- one value ------------------------------------------------------------------------------ */

/* "bucket/key", decoded as the copy will read it (a `+` is a space), without a leading slash or a
 * version; of what copies. */
static struct str copy_source(const struct s3_request *q)
{
    bool copies = q->op && q->op->header;
    struct str text = copies ? http_header(q->x, STR("x-amz-copy-source")) : STR_NULL, decoded;
    ptrdiff_t mark = str_find(text, STR("?versionId="), 0);
    if (mark >= 0)
        text = str_prefix(text, (size_t)mark);
    if (!text.ptr || uri_decode_form(q->arena, text, &decoded))
        return STR_NULL;
    return str_from_offset(decoded, str_starts(decoded, STR("/")));
}

/* Milliseconds since it was signed. */
static struct str signature_age(const struct s3_request *q)
{
    uint64_t signed_ms, now_ms = rt_wall_ms();
    if (q->auth.form == SIGV4_NONE || date_parse_amz(q->auth.amz_date, &signed_ms))
        return STR_NULL;
    return arena_printf(q->arena, "%llu",
                        (unsigned long long)(now_ms > signed_ms ? now_ms - signed_ms : 0));
}

static struct str auth_type(const struct s3_request *q)
{
    switch (q->auth.form) {
    case SIGV4_HEADER:
        return STR("REST-HEADER");
    case SIGV4_QUERY:
        return STR("REST-QUERY-STRING");
    case SIGV4_POST:
        return STR("POST");
    case SIGV4_NONE:
        break;
    }
    return STR_NULL;
}

/* Listings say what they list. Where the right to list decides what a missing key is answered with,
 * the key is what would be listed. */
static struct str list_value(const struct s3_context *c, const char *param)
{
    if (c->absent_key.ptr)
        return strcmp(param, "prefix") == 0 ? c->absent_key : STR_NULL;
    return s3_param(c->q, param);
}

/* Of what no request asks for (batch.c) there is no more to be known. */
static struct str value_without_request(const struct s3_context *c, enum iam_key key)
{
    if (key == IAM_KEY_REQUESTED_REGION)
        return c->q->s3->region;
    return key == IAM_KEY_S3_VERSION_ID && c->version_id.len ? c->version_id : STR_NULL;
}

static struct str one_value(const struct s3_context *c, enum iam_key key)
{
    const struct s3_request *q = c->q;
    if (!q->x)
        return value_without_request(c, key);
    switch (key) {
    case IAM_KEY_SOURCE_IP:
        return http_client_ip(q->x);
    case IAM_KEY_SECURE_TRANSPORT:
        return http_is_tls(q->x) ? STR("true") : STR("false");
    case IAM_KEY_REQUESTED_REGION:
        return q->s3->region;
    case IAM_KEY_S3_PREFIX:
        return list_value(c, "prefix");
    case IAM_KEY_S3_DELIMITER:
        return list_value(c, "delimiter");
    case IAM_KEY_S3_MAX_KEYS:
        return list_value(c, "max-keys");
    case IAM_KEY_S3_VERSION_ID:
        if (!c->version_id.ptr)
            return s3_param(q, "versionId");
        return c->version_id.len ? c->version_id : STR_NULL;
    case IAM_KEY_S3_COPY_SOURCE:
        return copy_source(q);
    case IAM_KEY_S3_AUTH_TYPE:
        return auth_type(q);
    case IAM_KEY_S3_SIGNATURE_VERSION:
        return q->auth.form == SIGV4_NONE ? STR_NULL
               : q->auth.v2               ? STR("AWS")
                                          : STR("AWS4-HMAC-SHA256");
    case IAM_KEY_S3_SIGNATURE_AGE:
        return signature_age(q);
    case IAM_KEY_S3_CONTENT_SHA256:
        return content_sha256(q);
    case IAM_KEY_S3_CREATION_OPERATION:
        return creation_operation(q);
    case IAM_KEY_S3_TLS_VERSION:
        return http_tls_version(q->x);
    case IAM_KEY_S3_LOCK_DAYS:
    case IAM_KEY_S3_LOCK_HOLD:
    case IAM_KEY_S3_LOCK_MODE:
    case IAM_KEY_S3_LOCK_UNTIL:
        return lock_value(c, key);
    default:
        return header_value(q, key);
    }
}

/* ---- tags ----------------------------------------------------------------------------------- */

/* A copy has its source's unless it is told otherwise. */
static bool heeds_tags(const struct s3_request *q)
{
    if (is_op(q, "CopyObject"))
        return str_eq_nocase(http_header(q->x, STR("x-amz-tagging-directive")), STR("REPLACE"));
    return heeds_attributes(q);
}

/* The tags the request brings. Tags that are none are told by the operation; until then they are as
 * good as absent. */
static int request_tags(const struct s3_context *c, struct s3_tags *ret)
{
    const struct s3_request *q = c->q;
    struct str text = !q->x || !heeds_tags(q)
                          ? STR_NULL
                          : s3_header(q, q->form ? STR("tagging") : STR("x-amz-tagging"));
    struct s3_tags_fault fault;
    *ret = c->tags ? *c->tags : (struct s3_tags){0};
    if (c->tags || !text.len)
        return 0;
    int r = q->form ? s3_tags_parse_xml(q->arena, text, S3_TAGS_MAX, ret, &fault)
                    : s3_tags_parse_header(q->arena, text, ret, &fault);
    if (r)
        *ret = (struct s3_tags){0};
    return r == -ENOMEM ? r : 0;
}

/* Those of the object there is; of none: none. */
static int FIBER existing_tags(const struct s3_context *c, struct s3_tags *ret)
{
    struct store_reader *reader = NULL;
    *ret = (struct s3_tags){0};
    if (!c->bucket || !c->key.len)
        return 0;
    int r = store_get(c->q->s3->store, c->bucket->id, c->key, c->version, NULL, &reader);
    if (r) {
        if (reader)
            store_reader_close(reader);
        bool none = r == -ERR_NO_SUCH_KEY || r == -ERR_NO_SUCH_VERSION || reader;
        return none ? 0 : r;
    }
    const struct store_attrs *attrs = &store_reader_object(reader)->attrs;
    struct store_pair *pairs = arena_array(c->q->arena, struct store_pair, attrs->tag_count + 1);
    for (size_t i = 0; pairs && i < attrs->tag_count; i++)
        pairs[i] = (struct store_pair){arena_dup(c->q->arena, attrs->tags[i].name),
                                       arena_dup(c->q->arena, attrs->tags[i].value)};
    *ret = (struct s3_tags){pairs, attrs->tag_count};
    store_reader_close(reader);
    return pairs ? 0 : -ENOMEM;
}

/* The bucket's own tags, for s3:BucketTag. */
static int bucket_tags(const struct s3_context *c, struct s3_tags *ret)
{
    const struct store_setting *s =
        c->bucket ? store_setting_of(c->bucket->settings, STORE_SETTING_TAGGING) : NULL;
    struct s3_tags_fault fault;
    *ret = (struct s3_tags){0};
    return s ? s3_tags_parse_xml(c->q->arena, s->text, S3_BUCKET_TAGS_MAX, ret, &fault) : 0;
}

static int set_tag_value(const struct s3_context *c, const struct s3_tags *tags, struct str name,
                         struct iam_values *ret)
{
    for (size_t i = 0; i < tags->count; i++) {
        if (!str_eq(tags->pairs[i].name, name))
            continue;
        struct str *value = arena_new(c->q->arena, struct str);
        if (!value)
            return -ENOMEM;
        *value = tags->pairs[i].value;
        *ret = (struct iam_values){value, 1};
        return 0;
    }
    return 0;
}

static int set_tag_keys(const struct s3_context *c, const struct s3_tags *tags,
                        struct iam_values *ret)
{
    struct str *names = arena_array(c->q->arena, struct str, tags->count + 1);
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < tags->count; i++)
        names[i] = tags->pairs[i].name;
    *ret = (struct iam_values){names, tags->count};
    return 0;
}

static int FIBER tag_values(const struct s3_context *c, enum iam_key key, struct str name,
                            struct iam_values *ret)
{
    struct s3_tags tags;
    int r = key == IAM_KEY_S3_EXISTING_TAG ? existing_tags(c, &tags)
            : key == IAM_KEY_S3_BUCKET_TAG ? bucket_tags(c, &tags)
                                           : request_tags(c, &tags);
    if (r)
        return r;
    return key == IAM_KEY_S3_REQUEST_TAG_KEYS ? set_tag_keys(c, &tags, ret)
                                              : set_tag_value(c, &tags, name, ret);
}

/* ---- the question --------------------------------------------------------------------------- */

int FIBER s3_context_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    const struct s3_context *c = arg;
    if (key == IAM_KEY_S3_EXISTING_TAG || key == IAM_KEY_S3_REQUEST_TAG ||
        key == IAM_KEY_S3_REQUEST_TAG_KEYS || key == IAM_KEY_S3_BUCKET_TAG)
        return tag_values(c, key, name, ret);
    if (key == IAM_KEY_S3_INVENTORY_FIELDS) {
        *ret = (struct iam_values){c->inventory_fields, c->inventory_field_count};
        return 0;
    }
    struct str value = one_value(c, key);
    if (!value.ptr)
        return 0;
    struct str *kept = arena_new(c->q->arena, struct str);
    if (!kept)
        return -ENOMEM;
    *kept = value;
    *ret = (struct iam_values){kept, 1};
    return 0;
}
