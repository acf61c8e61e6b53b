/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What was asked: bucket, key, query and operation from target and host, and the rules for headers
 * that hold for every operation.
 */

#include "s3/acl.h"
#include "s3/internal.h"
#include "s3/version.h"

/* ---- the resource --------------------------------------------------------------------------- */

static struct str without_port(struct str host)
{
    for (size_t i = host.len; i > 0; i--) {
        char c = host.ptr[i - 1];
        if (c == ':')
            return str_prefix(host, i - 1);
        if (c < '0' || c > '9')
            break;
    }
    return host;
}

/* Virtual-host style: what stands before one of the door's domains. */
static struct str bucket_of_host(const struct str *domains, unsigned count, struct str host)
{
    host = without_port(host);
    for (unsigned i = 0; i < count; i++) {
        struct str domain = domains[i];
        if (host.len < domain.len + 2)
            continue;
        size_t dot = host.len - domain.len - 1;
        if (host.ptr[dot] == '.' && str_eq_nocase(str_from_offset(host, dot + 1), domain))
            return str_prefix(host, dot);
    }
    return STR_NULL;
}

bool s3_is_bucket_host(const struct s3 *s3, struct str host)
{
    return bucket_of_host(s3->domains, s3->domain_count, host).len > 0 ||
           bucket_of_host(s3->website_domains, s3->website_domain_count, host).len > 0;
}

/* A key is any UTF-8 of 1 to 1,024 bytes (S3 User Guide, "Naming Amazon S3 objects"). */
static int set_key(struct s3_request *q, struct str raw)
{
    int r = uri_decode(q->arena, raw, &q->key);
    if (r)
        return r;
    if (!str_is_utf8(q->key))
        return -ERR_INVALID_URI;
    if (q->key.len <= STORE_KEY_MAX)
        return 0;
    s3_error_detail(q, "Size", arena_printf(q->arena, "%zu", q->key.len));
    s3_error_detail(q, "MaxSizeAllowed", arena_printf(q->arena, "%d", STORE_KEY_MAX));
    q->key = STR_NULL;
    return -ERR_KEY_TOO_LONG;
}

/* "TENANT:BUCKET" as Ceph writes it, ":BUCKET" of those without a tenant: no name has a colon. */
static void cut_tenant(struct s3_request *q)
{
    if (str_find_char(q->bucket_name, ':', 0) >= 0)
        (void)str_cut(&q->bucket_name, ':', &q->tenant);
}

static int split_path(struct s3_request *q)
{
    struct str path = q->path, bucket;
    if (path.len == 0 || path.ptr[0] != '/')
        return -ERR_INVALID_URI;
    path = str_from_offset(path, 1);
    q->bucket_name = bucket_of_host(q->s3->domains, q->s3->domain_count, q->head->host);
    if (q->bucket_name.len > 0)
        return set_key(q, path);
    if (path.len == 0)
        return 0;
    ptrdiff_t slash = str_find_char(path, '/', 0);
    bucket = slash < 0 ? path : str_prefix(path, (size_t)slash);
    int r = uri_decode(q->arena, bucket, &q->bucket_name);
    if (r)
        return r;
    cut_tenant(q);
    if (q->bucket_name.len == 0)
        return -ERR_INVALID_BUCKET_NAME;
    return slash < 0 ? 0 : set_key(q, str_from_offset(path, (size_t)slash + 1));
}

struct str s3_bucket_path(const struct s3_request *q)
{
    struct str b = bucket_of_host(q->s3->domains, q->s3->domain_count, q->head->host);
    return b.len ? arena_printf(q->arena, "/%.*s", STR_FMT(b)) : STR("");
}

bool s3_request_website(struct s3_request *q)
{
    q->bucket_name =
        bucket_of_host(q->s3->website_domains, q->s3->website_domain_count, q->head->host);
    return q->bucket_name.len > 0;
}

int s3_website_key(struct s3_request *q)
{
    if (q->path.len == 0 || q->path.ptr[0] != '/')
        return -ERR_INVALID_URI;
    return set_key(q, str_from_offset(q->path, 1));
}

int s3_request_parse(struct s3_request *q)
{
    struct str raw_query;
    uri_split(q->head->target, &q->path, &raw_query);
    int r = uri_parse_query(q->arena, raw_query, &q->query);
    if (r == -ERR_TOO_LARGE)
        return s3_error(q, -ERR_INVALID_URI, "The URI has more than %d query parameters",
                        URI_PARAMS_MAX);
    return r ? r : split_path(q);
}

/* ---- the operation -------------------------------------------------------------------------- */

static int explain_route(struct s3_request *q, int err, struct str culprit, const char *level)
{
    if (err == -ERR_INVALID_REQUEST)
        return s3_error(q, err, "There is no such thing as the ?%.*s sub-resource for a %s",
                        STR_FMT(culprit), level);
    if (err == -ERR_NOT_IMPLEMENTED)
        return s3_error(q, err, "The sub-resource ?%.*s is not implemented", STR_FMT(culprit));
    if (err == -ERR_INVALID_ARGUMENT)
        return s3_error(q, err, "Conflicting query string parameters: %.*s", STR_FMT(culprit));
    if (str_eq(culprit, STR("list-type")))
        return s3_error_argument(q, "list-type", s3_param(q, "list-type"),
                                 "Invalid List Type specified in Request");
    s3_error_detail(q, "Method", q->head->method);
    s3_error_detail(q, "ResourceType", culprit.len ? culprit : str_from(level));
    return err;
}

int s3_request_route(struct s3_request *q)
{
    static const char *const names[] = {"service", "bucket", "key"};
    enum s3_level level = q->key.len ? S3_OBJECT : q->bucket_name.len ? S3_BUCKET : S3_SERVICE;
    static const struct uri_query none;
    enum s3_method method = s3_method_parse(q->head->method);
    struct s3_route route = {
        .method = method,
        .level = level,
        /* A preflight has the target of the request to come: it asks for all of the resource. */
        .query = method == S3_OPTIONS ? &none : &q->query,
        .head = q->head,
    };
    struct str culprit;
    /* One that is none is told of once it is known who asks: s3_check_version_id(). */
    (void)s3_version_id_parse(s3_param(q, "versionId"), &q->version);
    int r = s3_route(&route, &q->op, &culprit);
    return r ? explain_route(q, r, culprit, names[level]) : 0;
}

/* ---- parameters ----------------------------------------------------------------------------- */

struct str s3_param(const struct s3_request *q, const char *name)
{
    return uri_query_get(&q->query, str_from(name));
}

struct str s3_field(const struct s3_request *q, struct str lower_name)
{
    if (!q->form)
        return http_header(q->x, lower_name);
    if (str_eq(lower_name, STR("x-amz-acl")))
        lower_name = STR("acl");
    for (size_t i = 0; i < q->form->count; i++)
        if (str_eq_nocase(q->form->fields[i].name, lower_name))
            return q->form->fields[i].value;
    return STR_NULL;
}

struct str s3_presigned(const struct s3_request *q, struct str lower_name)
{
    for (size_t i = 0; s3_is_presigned(q) && i < q->query.count; i++)
        if (str_eq_nocase(q->query.params[i].name, lower_name))
            return q->query.params[i].value;
    return STR_NULL;
}

/* A canned ACL without a name is none, to what heeds it and to policies alike: some clients send
 * the header always. */
struct str s3_header(const struct s3_request *q, struct str lower_name)
{
    struct str field = s3_field(q, lower_name);
    struct str value = field.ptr ? field : s3_presigned(q, lower_name);
    return value.len == 0 && str_eq(lower_name, STR("x-amz-acl")) ? STR_NULL : value;
}

int s3_param_number(struct s3_request *q, const char *name, uint64_t least, uint64_t most,
                    uint64_t otherwise, uint64_t *ret)
{
    struct str text = s3_param(q, name);
    uint64_t v;
    if (text.len == 0) {
        *ret = otherwise;
        return 0;
    }
    if (str_to_u64(text, &v) || v < least || v > most)
        return s3_error_argument(
            q, name, text,
            arena_printf(q->arena, "Argument %s must be an integer between %llu and %llu", name,
                         (unsigned long long)least, (unsigned long long)most)
                .ptr);
    *ret = v;
    return 0;
}

int s3_param_encoding(struct s3_request *q, bool *ret_url)
{
    struct str text = s3_param(q, "encoding-type");
    if (text.ptr && !str_eq(text, STR("url")))
        return s3_error_argument(q, "encoding-type", text,
                                 "Invalid Encoding Method specified in Request");
    *ret_url = text.ptr != NULL;
    return 0;
}

/* What makes a new version has no version to name. */
static bool makes_version(const struct s3_op *op)
{
    static const char *const makers[] = {"PutObject", "CopyObject", "CreateMultipartUpload",
                                         "CompleteMultipartUpload", "RenameObject"};
    for (unsigned i = 0; i < ARRAY_LEN(makers); i++)
        if (strcmp(op->name, makers[i]) == 0)
            return true;
    return false;
}

int s3_check_version_id(struct s3_request *q)
{
    struct str id = s3_param(q, "versionId");
    if (!id.ptr)
        return 0;
    if (id.len == 0)
        return s3_error_argument(q, "versionId", id, "Version id cannot be the empty string");
    if (q->version.kind == STORE_VERSION_CURRENT)
        return s3_error_argument(q, "versionId", id, "Invalid version id specified");
    if (makes_version(q->op))
        return s3_error_argument(q, "versionId", id,
                                 "This operation does not accept a version-id.");
    return 0;
}

/* ---- headers of every operation ------------------------------------------------------------- */

/*
 * Headers (names after "x-amz-") that change what an operation means and are not served. `taken`
 * lists the values that ask for nothing beyond what is done anyway.
 */
#define WORD(lit)               \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }
static const struct refused {
    struct str name;
    bool prefix;
    struct str taken[2];
    const char *served; /* by this operation it is not refused */
    bool acl;           /* nor by those that take an ACL */
} refused_headers[] = {
    {WORD("acl"), false, {WORD("private"), WORD("bucket-owner-full-control")}, .acl = true},
    {WORD("bucket-namespace"), false, {WORD("global")}},
    {WORD("create-session-mode"), false},
    {WORD("grant-"), true, .acl = true},
    {WORD("if-match-initiated-time"), false, .served = "AbortMultipartUpload"},
    {WORD("if-match-"), true, .served = "DeleteObject"},
    {WORD("mfa"), false},
    {WORD("object-lock-event-hold"), true, {WORD("OFF")}},
    {WORD("object-ownership"), false, .served = "CreateBucket"},
    {WORD("rename-source"), true, .served = "RenameObject"},
    {WORD("write-offset-bytes"), false},
};

static bool is_taken(const struct refused *f, struct str value)
{
    for (unsigned i = 0; i < ARRAY_LEN(f->taken); i++)
        if (f->taken[i].ptr && str_eq(value, f->taken[i]))
            return true;
    return false;
}

/* The canned ACLs there are (S3 User Guide, "Canned ACL"); one that is none is a mistake. */
static int check_acl(struct s3_request *q)
{
    struct str acl = s3_header(q, STR("x-amz-acl"));
    if (!acl.ptr || s3_acl_is_canned(acl))
        return 0;
    return s3_error_argument(q, "x-amz-acl", acl, "Invalid Argument");
}

static bool is_refused(const struct s3_op *op, struct str name, struct str value)
{
    if (str_starts_nocase(name, STR("x-cairn-")) || str_starts_nocase(name, STR("x-minio-")))
        return true; /* internal words of this and another store: never from a client */
    if (!str_starts_nocase(name, STR("x-amz-")))
        return false;
    name = str_from_offset(name, strlen("x-amz-"));
    for (unsigned i = 0; i < ARRAY_LEN(refused_headers); i++) {
        const struct refused *f = &refused_headers[i];
        if (f->prefix ? str_starts_nocase(name, f->name) : str_eq_nocase(name, f->name))
            return !is_taken(f, value) && !(f->acl && (op->flags & S3_OP_ACL)) &&
                   !(f->served && strcmp(f->served, op->name) == 0);
    }
    return false;
}

static int refuse(struct s3_request *q, struct str name)
{
    s3_error_detail(q, "Header", name);
    return s3_error(q, -ERR_NOT_IMPLEMENTED,
                    "A header you provided implies functionality that is not implemented");
}

/* A presigned URL may carry such a header as a parameter; a checksum there is no promise of the
 * body (JavaScript signs that of an empty one), so those are passed over. */
static bool is_refused_param(const struct s3_op *op, const struct uri_param *p)
{
    if (str_starts_nocase(p->name, STR("x-amz-checksum-")))
        return false;
    return is_refused(op, p->name, p->value) || str_eq_nocase(p->name, STR("x-amz-copy-source"));
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f) && s.ptr[i] != '\t')
            return true;
    return false;
}

/* Those of a presigned URL that stand for headers: what they bring is kept and told as one. */
static int check_params(struct s3_request *q)
{
    for (size_t i = 0; s3_is_presigned(q) && i < q->query.count; i++) {
        const struct uri_param *p = &q->query.params[i];
        if (str_starts_nocase(p->name, STR("x-amz-")) && has_control(p->value))
            return s3_error(q, -ERR_INVALID_ARGUMENT,
                            "The parameter %.*s contains a control character", STR_FMT(p->name));
    }
    return 0;
}

/* Fields become headers one day: what cannot be one is refused now. */
static int check_fields(struct s3_request *q)
{
    for (size_t i = 0; q->form && i < q->form->count; i++) {
        struct str name = q->form->fields[i].name, value = q->form->fields[i].value;
        if (str_eq_nocase(name, STR("acl")))
            name = STR("x-amz-acl");
        if (is_refused(q->op, name, value))
            return refuse(q, name);
        if (has_control(value) && !str_eq_nocase(name, STR("tagging")) &&
            !str_starts_nocase(name, STR("x-ignore-")) && !str_eq_nocase(name, STR("key")))
            return s3_error(q, -ERR_INVALID_ARGUMENT, "The field %.*s contains a control character",
                            STR_FMT(name));
    }
    return 0;
}

int s3_check_headers(struct s3_request *q)
{
    int r = check_acl(q);
    if (!r)
        r = check_fields(q);
    if (!r)
        r = check_params(q);
    if (r)
        return r;
    for (unsigned i = 0; i < q->head->header_count; i++)
        if (is_refused(q->op, q->head->headers[i].name, q->head->headers[i].value))
            return refuse(q, q->head->headers[i].name);
    for (size_t i = 0; i < q->query.count; i++)
        if (is_refused_param(q->op, &q->query.params[i]))
            return refuse(q, q->query.params[i].name);
    return 0;
}
