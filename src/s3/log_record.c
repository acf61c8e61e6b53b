/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/log_record.h"

#include <stdio.h>
#include "base/error.h"
#include "s3/internal.h"
#include "wire/date.h"

#define PREFIX_MAX    800  /* leaves room for the rest of a key */
#define XML_NODES_MAX 1024 /* a hundred grants */

/* ---- the configuration ---------------------------------------------------------------------- */

static int read_partition(const struct xml_node *n, struct s3_logging *l)
{
    struct str source = xml_child_text(n, "PartitionDateSource");
    l->partitioned = true;
    l->by_event = str_eq(source, STR("EventTime"));
    return !source.ptr || l->by_event || str_eq(source, STR("DeliveryTime")) ? 0
                                                                             : -ERR_MALFORMED_XML;
}

static int read_format(const struct xml_node *n, struct s3_logging *l)
{
    const struct xml_node *format = n->first_child;
    if (!format || format->next)
        return -ERR_MALFORMED_XML;
    if (str_eq(format->name, STR("PartitionedPrefix")))
        return read_partition(format, l);
    return str_eq(format->name, STR("SimplePrefix")) ? 0 : -ERR_MALFORMED_XML;
}

/* READ, WRITE (which says nothing of an object) and FULL_CONTROL are taken. */
static bool is_logs_permission(unsigned permission)
{
    return permission == S3_PERMISSION_READ || permission == S3_PERMISSION_WRITE ||
           permission == S3_PERMISSION_FULL;
}

static int read_grants(struct arena *a, const struct xml_node *n, struct s3_logging *l)
{
    struct s3_acl_fault fault;
    if (!n || !n->first_child)
        return 0;
    l->grants = arena_new(a, struct s3_acl);
    int r = l->grants ? s3_acl_parse_grants(n, l->grants, &fault) : -ENOMEM;
    for (size_t i = 0; !r && i < l->grants->count; i++)
        if (!is_logs_permission(l->grants->grants[i].permission))
            r = -ERR_MALFORMED_XML;
    return r == -ERR_MALFORMED_ACL ? -ERR_MALFORMED_XML : r;
}

static int read_enabled(struct arena *a, const struct xml_node *n, struct s3_logging *l)
{
    const struct xml_node *format = xml_child(n, "TargetObjectKeyFormat");
    l->bucket = xml_child_text(n, "TargetBucket");
    l->prefix = xml_child_text(n, "TargetPrefix");
    if (l->bucket.len == 0 || !l->prefix.ptr || l->prefix.len > PREFIX_MAX ||
        !str_is_utf8(l->prefix))
        return -ERR_MALFORMED_XML;
    int r = read_grants(a, xml_child(n, "TargetGrants"), l);
    return r || !format ? r : read_format(format, l);
}

int s3_logging_parse(struct arena *a, struct str body, struct s3_logging *ret, bool *ret_on)
{
    struct xml_node *root;
    int r = xml_parse(a, body, XML_NODES_MAX, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    const struct xml_node *enabled = root->first_child;
    *ret = (struct s3_logging){0};
    *ret_on = enabled != NULL;
    if (!str_eq(root->name, STR("BucketLoggingStatus")))
        return -ERR_MALFORMED_XML;
    if (!enabled)
        return 0;
    if (!str_eq(enabled->name, STR("LoggingEnabled")) || enabled->next)
        return -ERR_MALFORMED_XML;
    return read_enabled(a, enabled, ret);
}

void s3_logging_xml(struct buf *b, const struct s3_logging *l)
{
    xml_begin(b);
    xml_open_ns(b, "BucketLoggingStatus", S3_XMLNS);
    if (l) {
        xml_open(b, "LoggingEnabled");
        xml_element(b, "TargetBucket", l->bucket);
        xml_element(b, "TargetPrefix", l->prefix);
        if (l->grants) {
            xml_open(b, "TargetGrants");
            s3_acl_xml_grants(b, l->grants, NULL, NULL);
            xml_close(b, "TargetGrants");
        }
        xml_open(b, "TargetObjectKeyFormat");
        xml_open(b, l->partitioned ? "PartitionedPrefix" : "SimplePrefix");
        if (l->partitioned)
            xml_element(b, "PartitionDateSource",
                        l->by_event ? STR("EventTime") : STR("DeliveryTime"));
        xml_close(b, l->partitioned ? "PartitionedPrefix" : "SimplePrefix");
        xml_close(b, "TargetObjectKeyFormat");
        xml_close(b, "LoggingEnabled");
    }
    xml_close(b, "BucketLoggingStatus");
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Where the word is not the sub-resource in capitals. */
static const struct {
    const char *operation, *word;
} words[] = {
    {"ListBuckets", "GET.SERVICE"},
    {"ListObjectsV2", "GET.BUCKET"},
    {"ListObjectVersions", "GET.BUCKETVERSIONS"},
    {"DeleteObjects", "POST.MULTI_OBJECT_DELETE"},
    {"CopyObject", "COPY.OBJECT"},
    {"UploadPart", "PUT.PART"},
    {"UploadPartCopy", "COPY.PART"},
    {"ListParts", "GET.UPLOAD"},
    {"CompleteMultipartUpload", "POST.UPLOAD"},
    {"AbortMultipartUpload", "DELETE.UPLOAD"},
    {"GetObjectTagging", "GET.OBJECT_TAGGING"},
    {"PutObjectTagging", "PUT.OBJECT_TAGGING"},
    {"DeleteObjectTagging", "DELETE.OBJECT_TAGGING"},
    {"GetBucketPolicy", "GET.BUCKETPOLICY"},
    {"PutBucketPolicy", "PUT.BUCKETPOLICY"},
    {"DeleteBucketPolicy", "DELETE.BUCKETPOLICY"},
    {"GetBucketLogging", "GET.LOGGING_STATUS"},
    {"PutBucketLogging", "PUT.LOGGING_STATUS"},
};

/* "publicAccessBlock" to "PUBLIC_ACCESS_BLOCK", "object-lock" to "OBJECT_LOCK". */
static size_t put_capitals(char *at, size_t room, const char *name)
{
    size_t len = 0;
    for (; *name && *name != '=' && *name != '&' && len + 2 < room; name++) {
        bool upper = *name >= 'A' && *name <= 'Z', lower = *name >= 'a' && *name <= 'z';
        if (upper && len)
            at[len++] = '_';
        at[len++] = (char)(lower ? *name - 0x20 : upper ? *name : '_');
    }
    return len;
}

struct str s3_log_operation(const struct s3_op *op, char ret[S3_LOG_OPERATION_MAX])
{
    static const char *const levels[] = {"SERVICE", "BUCKET", "OBJECT"};
    size_t room = S3_LOG_OPERATION_MAX;
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(words[i].operation, op->name) == 0)
            return str_make(ret, (size_t)snprintf(ret, room, "REST.%s", words[i].word));
    size_t len = (size_t)snprintf(ret, room, "REST.%s.", s3_method_name(op->method));
    if (op->query)
        return str_make(ret, len + put_capitals(ret + len, room - len, op->query));
    return str_make(ret, len + (size_t)snprintf(ret + len, room - len, "%s", levels[op->level]));
}

/* ---- the line ------------------------------------------------------------------------------- */

/* Bytes that could end a field or a line, or are none of ASCII, as %XX. */
static void put_safe(struct buf *b, struct str s, bool quoted)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = c > ' ' && c < 0x7f && c != '"' && c != '\\';
        if (plain || (quoted && c == ' '))
            buf_put_char(b, (char)c);
        else
            buf_printf(b, "%%%02X", c);
    }
}

static void put_field(struct buf *b, struct str s)
{
    buf_put_char(b, ' ');
    if (s.len)
        put_safe(b, s, false);
    else
        buf_put_char(b, '-');
}

/* A field that may hold spaces, by what writes it. */
static void put_quoted(struct buf *b, struct str s, void (*put)(struct buf *b, struct str, bool))
{
    buf_put_cstr(b, " \"");
    if (s.len)
        put(b, s, true);
    else
        buf_put_char(b, '-');
    buf_put_char(b, '"');
}

static void put_number(struct buf *b, uint64_t v)
{
    buf_put_char(b, ' ');
    if (v == S3_LOG_NONE)
        buf_put_char(b, '-');
    else
        buf_put_u64(b, v);
}

/* [06/Feb/2019:00:00:38 +0000] */
static void put_time(struct buf *b, uint64_t ms)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char t[DATE_AMZ_LEN]; /* 20260102T030405Z */
    date_format_amz(ms, t);
    unsigned month = (unsigned)(t[4] - '0') * 10 + (unsigned)(t[5] - '0');
    buf_printf(b, " [%.2s/%s/%.4s:%.2s:%.2s:%.2s +0000]", t + 6, months[month - 1], t, t + 9,
               t + 11, t + 13);
}

static bool is_secret(struct str name)
{
    static const char *const secrets[] = {
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "X-Amz-Server-Side-Encryption-Customer-Key",
        "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key",
        "Signature",
        "AWSAccessKeyId",
    };
    for (unsigned i = 0; i < ARRAY_LEN(secrets); i++)
        if (str_eq_nocase(name, str_from(secrets[i])))
            return true;
    return str_find_char(name, '%', 0) >= 0; /* one of them, written in another way */
}

/* A target without the values that let others in, or the address of a page, which may have been had
 * by a presigned URL too. */
static void put_target(struct buf *b, struct str target, bool quoted)
{
    struct str path, query, one, name;
    uri_split(target, &path, &query);
    put_safe(b, path, quoted);
    for (char lead = '?'; query.len && str_cut(&query, '&', &one); lead = '&') {
        buf_put_char(b, lead);
        struct str value = one;
        bool has_value = str_find_char(one, '=', 0) >= 0;
        str_cut(&value, '=', &name);
        put_safe(b, has_value ? name : one, quoted);
        if (!has_value)
            continue;
        buf_put_char(b, '=');
        if (!is_secret(name))
            put_safe(b, value, quoted);
    }
}

static void put_request(struct buf *b, const struct s3_log_entry *e)
{
    buf_put_cstr(b, " \"");
    put_safe(b, e->method, false);
    buf_put_char(b, ' ');
    put_target(b, e->target, false);
    buf_put_cstr(b, " HTTP/1.1\"");
}

void s3_log_line(struct buf *b, const struct s3_log_entry *e)
{
    put_safe(b, e->owner, false);
    put_field(b, e->bucket);
    put_time(b, e->time_ms);
    put_field(b, e->remote);
    put_field(b, e->requester);
    put_field(b, e->request_id);
    put_field(b, e->operation);
    put_field(b, e->key);
    put_request(b, e);
    put_number(b, (uint64_t)e->status);
    put_field(b, e->error);
    put_number(b, e->bytes_sent);
    put_number(b, e->object_size);
    put_number(b, e->total_ms);
    put_number(b, e->turn_ms);
    put_quoted(b, e->referer, put_target);
    put_quoted(b, e->agent, put_safe);
    put_field(b, e->version_id);
    put_field(b, STR("cairn")); /* host id */
    put_field(b, e->signature);
    put_field(b, STR("")); /* cipher */
    put_field(b, e->auth);
    put_field(b, e->host);
    buf_put_cstr(b, " - - -\n"); /* TLS version, access point, whether an ACL decided */
}

/* ---- the key -------------------------------------------------------------------------------- */

void s3_log_key(struct buf *b, const struct s3_logging *l, struct str account, struct str region,
                struct str source, uint64_t event_ms, uint64_t now_ms, uint64_t unique)
{
    char day[DATE_AMZ_LEN], t[DATE_AMZ_LEN];
    date_format_amz(l->by_event ? event_ms : now_ms, day);
    date_format_amz(now_ms, t);
    buf_put_str(b, l->prefix);
    if (l->partitioned)
        buf_printf(b, "%.*s/%.*s/%.*s/%.4s/%.2s/%.2s/", STR_FMT(account), STR_FMT(region),
                   STR_FMT(source), day, day + 4, day + 6);
    buf_printf(b, "%.4s-%.2s-%.2s-%.2s-%.2s-%.2s-%016llX", t, t + 4, t + 6, t + 9, t + 11, t + 13,
               (unsigned long long)unique);
}
