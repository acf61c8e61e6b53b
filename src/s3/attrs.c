/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/object/lock.h"

#include "wire/chars.h"
#include "wire/date.h"

/* The system headers kept with an object, each with its override in a GET's query. */
#define WORD(lit)               \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }
static const struct kept {
    struct str lower;
    const char *name;
    struct str override;
} kept_headers[] = {
    {WORD("cache-control"), "Cache-Control", WORD("response-cache-control")},
    {WORD("content-disposition"), "Content-Disposition", WORD("response-content-disposition")},
    {WORD("content-encoding"), "Content-Encoding", WORD("response-content-encoding")},
    {WORD("content-language"), "Content-Language", WORD("response-content-language")},
    {WORD("expires"), "Expires", WORD("response-expires")},
};
#define OVERRIDE_TYPE STR("response-content-type")

/* Kept among them, but nothing overrides it. */
#define REDIRECT_HEADER "x-amz-website-redirect-location"
#define REDIRECT_MAX    2048

#define SYSTEM_META_MAX (8 * KIB) /* as much as S3 takes of all headers of a PUT */
#define META_PREFIX     STR("x-amz-meta-")

/* ---- storage class -------------------------------------------------------------------------- */

/* What the bucket has for who names none. */
static struct str default_class(const struct s3_request *q)
{
    const struct store_setting *s =
        store_setting_of(q->bucket.settings, STORE_SETTING_STORAGE_CLASS);
    return s ? s->text : STR("");
}

int s3_storage_class_read(struct s3_request *q, struct str *ret)
{
    struct str name = s3_header(q, STR("x-amz-storage-class"));
    struct blob_class code;
    if (!name.ptr)
        name = default_class(q);
    *ret = STR("");
    if (str_eq(name, STR("STANDARD")))
        return 0;
    if (store_class_find(q->s3->store, name, &code) == 0) {
        *ret = name;
        return 0;
    }
    s3_error_detail(q, "StorageClassRequested", name);
    return -ERR_INVALID_STORAGE_CLASS;
}

int FIBER s3_writer_class(struct s3_request *q, struct store_writer **w, struct str name)
{
    struct blob_class code;
    int r = store_class_find(q->s3->store, name, &code);
    if (!r)
        r = store_write_class(*w, code);
    if (r) {
        store_write_abort(*w);
        *w = NULL;
    }
    return r;
}

struct str s3_storage_class_name(struct str storage_class)
{
    return storage_class.len ? storage_class : STR("STANDARD");
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The codings without aws-chunked, which is framing and was taken off. */
static struct str strip_aws_chunked(struct s3_request *q, struct str codings)
{
    struct str rest = codings, coding;
    size_t len = 0;
    char *out = arena_alloc(q->arena, codings.len + 1);
    if (codings.len == 0 || !out)
        return codings;
    while (str_cut(&rest, ',', &coding)) {
        if (str_trim(coding).len == 0 || str_eq_nocase(str_trim(coding), STR("aws-chunked")))
            continue;
        if (len)
            out[len++] = ',';
        memcpy(out + len, coding.ptr, coding.len);
        len += coding.len;
    }
    return str_trim(str_make(out, len));
}

/* Where a site sends who asks for the object; the last of the headers. */
static int read_redirect(struct s3_request *q, struct store_attrs *a)
{
    struct str to = s3_header(q, STR(REDIRECT_HEADER));
    if (!to.ptr)
        return 0;
    if (to.len > REDIRECT_MAX)
        return s3_error(q, -ERR_INVALID_REDIRECT_LOCATION,
                        "The length of website redirect location cannot exceed 2,048 characters.");
    if (!str_starts(to, STR("/")) && !str_starts(to, STR("http://")) &&
        !str_starts(to, STR("https://")))
        return -ERR_INVALID_REDIRECT_LOCATION;
    a->headers[a->header_count++] = (struct store_pair){STR(REDIRECT_HEADER), to};
    return 0;
}

static bool is_redirect(const struct store_pair *p)
{
    return str_eq(p->name, STR(REDIRECT_HEADER));
}

struct str s3_redirect_of(const struct store_attrs *a)
{
    for (size_t i = 0; i < a->header_count; i++)
        if (is_redirect(&a->headers[i]))
            return a->headers[i].value;
    return STR_NULL;
}

int s3_redirect_replace(struct arena *arena, struct store_attrs *a, struct str to)
{
    struct store_pair *pairs = arena_array(arena, struct store_pair, a->header_count + 1);
    size_t count = 0;
    if (!pairs)
        return -ENOMEM;
    for (size_t i = 0; i < a->header_count; i++)
        if (!is_redirect(&a->headers[i]))
            pairs[count++] = a->headers[i];
    if (to.ptr)
        pairs[count++] = (struct store_pair){STR(REDIRECT_HEADER), to};
    a->headers = pairs;
    a->header_count = count;
    return 0;
}

static int read_system(struct s3_request *q, struct store_attrs *a)
{
    size_t size = 0;
    a->headers = arena_array(q->arena, struct store_pair, ARRAY_LEN(kept_headers) + 1);
    if (!a->headers)
        return -ENOMEM;
    a->content_type = s3_field(q, STR("content-type"));
    if (a->content_type.len == 0)
        a->content_type = S3_CONTENT_TYPE_DEFAULT;
    size += a->content_type.len;
    for (unsigned i = 0; i < ARRAY_LEN(kept_headers); i++) {
        struct str value = s3_field(q, kept_headers[i].lower);
        if (str_eq(kept_headers[i].lower, STR("content-encoding")))
            value = strip_aws_chunked(q, value);
        if (value.len == 0)
            continue;
        size += value.len;
        a->headers[a->header_count++] = (struct store_pair){str_from(kept_headers[i].name), value};
    }
    return size > SYSTEM_META_MAX ? -ERR_METADATA_TOO_LARGE : read_redirect(q, a);
}

static struct store_pair *find_meta(const struct store_attrs *a, struct str name)
{
    for (size_t i = 0; i < a->meta_count; i++)
        if (str_eq(a->meta[i].name, name))
            return &a->meta[i];
    return NULL;
}

/* It is told as a header's: of a form's field or a parameter it may be anything. */
static int check_meta_name(struct s3_request *q, struct str header)
{
    for (size_t i = 0; i < header.len; i++)
        if (!char_is(header.ptr[i], CHAR_TOKEN))
            return s3_error_argument(q, "x-amz-meta", header,
                                     "The name of user metadata must be one of a header");
    return 0;
}

/* One x-amz-meta-*; a repeated one is joined by a comma (S3 User Guide, "User-defined metadata").
 */
static int add_meta(struct s3_request *q, struct store_attrs *a, struct str header,
                    struct str value)
{
    struct str name = arena_lower(q->arena, str_from_offset(header, META_PREFIX.len));
    int r = check_meta_name(q, header);
    if (r || !name.ptr)
        return r ? r : -ENOMEM;
    struct store_pair *known = find_meta(a, name);
    if (!known) {
        a->meta[a->meta_count++] = (struct store_pair){name, value.ptr ? value : STR("")};
        return 0;
    }
    known->value = arena_printf(q->arena, "%.*s,%.*s", STR_FMT(known->value), STR_FMT(value));
    return known->value.ptr ? 0 : -ENOMEM;
}

static int check_meta_size(struct s3_request *q, const struct store_attrs *a)
{
    size_t size = 0;
    for (size_t i = 0; i < a->meta_count; i++)
        size += a->meta[i].name.len + a->meta[i].value.len;
    if (size <= STORE_META_MAX)
        return 0;
    s3_error_detail(q, "Size", arena_printf(q->arena, "%zu", size));
    s3_error_detail(q, "MaxSizeAllowed", arena_printf(q->arena, "%d", STORE_META_MAX));
    return -ERR_METADATA_TOO_LARGE;
}

static int read_form_meta(struct s3_request *q, struct store_attrs *a)
{
    int r = 0;
    a->meta = arena_array(q->arena, struct store_pair, q->form->count + 1);
    if (!a->meta)
        return -ENOMEM;
    for (size_t i = 0; !r && i < q->form->count; i++)
        if (str_starts_nocase(q->form->fields[i].name, META_PREFIX))
            r = add_meta(q, a, q->form->fields[i].name, q->form->fields[i].value);
    return r ? r : check_meta_size(q, a);
}

static int read_meta(struct s3_request *q, struct store_attrs *a)
{
    if (q->form)
        return read_form_meta(q, a);
    size_t most = q->head->header_count;
    if (s3_is_presigned(q)) /* a presigned URL may carry them */
        most += q->query.count;
    a->meta = arena_array(q->arena, struct store_pair, most + 1);
    int r = a->meta ? 0 : -ENOMEM;
    for (unsigned i = 0; !r && i < q->head->header_count; i++)
        if (str_starts_nocase(q->head->headers[i].name, META_PREFIX))
            r = add_meta(q, a, q->head->headers[i].name, q->head->headers[i].value);
    for (size_t i = 0; !r && s3_is_presigned(q) && i < q->query.count; i++)
        if (str_starts_nocase(q->query.params[i].name, META_PREFIX))
            r = add_meta(q, a, q->query.params[i].name, q->query.params[i].value);
    return r ? r : check_meta_size(q, a);
}

int FIBER s3_attrs_read(struct s3_request *q, struct store_attrs *ret)
{
    struct store_attrs a = {0};
    int r = read_system(q, &a);
    if (!r)
        r = read_meta(q, &a);
    if (!r)
        r = s3_storage_class_read(q, &a.storage_class);
    if (!r)
        r = s3_lock_read(q, &a.lock);
    if (!r)
        r = s3_acl_of_write(q, &a);
    if (!r)
        *ret = a;
    return r;
}

/* ---- telling -------------------------------------------------------------------------------- */

static bool is_header_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return true;
}

int s3_overrides_check(struct s3_request *q)
{
    for (unsigned i = 0; i <= ARRAY_LEN(kept_headers); i++) {
        struct str name = i < ARRAY_LEN(kept_headers) ? kept_headers[i].override : OVERRIDE_TYPE;
        struct str value = uri_query_get(&q->query, name);
        /* Else anybody made a page out of what is served to everybody as a text. */
        if (value.len && !q->signed_in)
            return s3_error(q, -ERR_INVALID_REQUEST,
                            "Request specific response headers cannot be used for anonymous GET "
                            "requests.");
        if (!is_header_value(value))
            return s3_error_argument(q, name.ptr, value,
                                     "The header value contains a control character");
    }
    return 0;
}

static void set(struct s3_request *q, const char *name, struct str value)
{
    /* Stored values came as headers, overrides were checked: a failure can only be of memory, and
     * then the response fails as a whole. */
    (void)http_set_header(q->x, name, value);
}

static struct str stored_header(const struct store_object *o, const char *name)
{
    for (size_t i = 0; i < o->attrs.header_count; i++)
        if (str_eq(o->attrs.headers[i].name, str_from(name)))
            return o->attrs.headers[i].value;
    return STR_NULL;
}

static void set_system(struct s3_request *q, const struct store_object *o)
{
    struct str type = uri_query_get(&q->query, OVERRIDE_TYPE);
    set(q, "Content-Type", type.len ? type : o->attrs.content_type);
    for (unsigned i = 0; i < ARRAY_LEN(kept_headers); i++) {
        struct str value = uri_query_get(&q->query, kept_headers[i].override);
        if (value.len == 0)
            value = stored_header(o, kept_headers[i].name);
        if (value.len)
            set(q, kept_headers[i].name, value);
    }
}

static void set_meta(struct s3_request *q, const struct store_object *o)
{
    char name[sizeof("x-amz-meta-") + STORE_META_MAX] = "x-amz-meta-";
    for (size_t i = 0; i < o->attrs.meta_count; i++) {
        struct str n = o->attrs.meta[i].name;
        CHECK(n.len <= STORE_META_MAX);
        memcpy(name + META_PREFIX.len, n.ptr, n.len);
        name[META_PREFIX.len + n.len] = 0;
        set(q, name, o->attrs.meta[i].value);
    }
}

void s3_set_modified(struct s3_request *q, const struct store_object *o)
{
    char text[DATE_HTTP_LEN];
    date_format_http(o->mtime_ms, text);
    set(q, "Last-Modified", str_make(text, sizeof(text)));
}

void s3_object_headers(struct s3_request *q, const struct store_object *o)
{
    s3_set_etag(q, &o->etag);
    s3_set_modified(q, o);
    set(q, "Accept-Ranges", STR("bytes"));
    set_system(q, o);
    set_meta(q, o);
    if (o->attrs.storage_class.len)
        set(q, "x-amz-storage-class", o->attrs.storage_class);
    if (s3_redirect_of(&o->attrs).ptr)
        set(q, REDIRECT_HEADER, s3_redirect_of(&o->attrs));
    s3_set_tag_count(q, o);
}

void s3_not_modified_headers(struct s3_request *q, const struct store_object *o)
{
    s3_set_etag(q, &o->etag);
    s3_set_modified(q, o);
    for (unsigned i = 0; i < ARRAY_LEN(kept_headers); i++) {
        struct str value = stored_header(o, kept_headers[i].name);
        bool caching = str_eq(kept_headers[i].lower, STR("cache-control")) ||
                       str_eq(kept_headers[i].lower, STR("expires"));
        if (caching && value.len)
            set(q, kept_headers[i].name, value);
    }
}

/* ---- conditions ----------------------------------------------------------------------------- */

int s3_date_read(struct str text, uint64_t *ret_ms)
{
    return date_parse_http(text, rt_wall_ms(), ret_ms) ? date_parse_iso(text, ret_ms) : 0;
}

static bool read_date(struct str text, uint64_t *ret_ms)
{
    return text.len && s3_date_read(text, ret_ms) == 0;
}

static const char *const condition_names[3][4] = {
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"},
    {"x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match",
     "x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-unmodified-since"},
    {"x-amz-rename-source-if-match", "x-amz-rename-source-if-none-match",
     "x-amz-rename-source-if-modified-since", "x-amz-rename-source-if-unmodified-since"},
};

/* AWS takes those of a presigned URL from its query, too: who signs one that may only make an
 * object, or replace a known one, must be heeded, whatever unsigned header comes with it. Fields
 * of a form are none. */
struct str s3_condition(const struct s3_request *q, struct str lower_name)
{
    struct str value = s3_presigned(q, lower_name);
    return value.ptr ? value : http_header(q->x, lower_name);
}

static void read_conditions(struct s3_request *q, const char *const n[4],
                            struct store_conditions *ret)
{
    struct store_conditions c = {
        .if_match = s3_condition(q, str_from(n[0])),
        .if_none_match = s3_condition(q, str_from(n[1])),
    };
    c.has_modified_since = read_date(s3_condition(q, str_from(n[2])), &c.modified_since_ms);
    c.has_unmodified_since = read_date(s3_condition(q, str_from(n[3])), &c.unmodified_since_ms);
    if (c.has_modified_since && c.modified_since_ms > rt_wall_ms())
        c.has_modified_since = false; /* a date to come says nothing: RFC 9110 13.1.3 */
    *ret = c;
}

void s3_conditions_read(struct s3_request *q, bool copy_source, struct store_conditions *ret)
{
    read_conditions(q, condition_names[copy_source], ret);
}

void s3_conditions_rename(struct s3_request *q, struct store_conditions *ret_source,
                          struct store_conditions *ret)
{
    read_conditions(q, condition_names[2], ret_source);
    read_conditions(q, condition_names[0], ret);
}

int FIBER s3_quota_renew(struct s3_request *q, struct store_conditions *c)
{
    store_quota_of(q->bucket.settings, &c->quota);
    return account_quota_apply(q->s3->account_quotas, q->s3->store, q->s3->iam, &q->bucket,
                               &c->quota);
}

int FIBER s3_conditions_write(struct s3_request *q, struct store_conditions *ret)
{
    *ret = (struct store_conditions){
        .if_match = s3_condition(q, STR("if-match")),
        .if_none_match = s3_condition(q, STR("if-none-match")),
    };
    return s3_quota_renew(q, ret);
}

int s3_conditions_delete(struct s3_request *q, struct store_conditions *ret)
{
    static const char *const names[] = {"x-amz-if-match-last-modified-time", "x-amz-if-match-size"};
    struct str time = s3_condition(q, str_from(names[0]));
    struct str size = s3_condition(q, str_from(names[1]));
    struct store_conditions c = {
        .if_match = s3_condition(q, STR("if-match")),
        .has_mtime = time.ptr != NULL,
        .has_len = size.ptr != NULL,
    };
    if (time.ptr && s3_date_read(time, &c.mtime_ms))
        return s3_error_argument(q, names[0], time, "The value is not a date");
    if (size.ptr && str_to_u64(size, &c.len_bytes))
        return s3_error_argument(q, names[1], size, "The value is not a size");
    *ret = c;
    return 0;
}

int s3_explain_condition(struct s3_request *q, int err, const struct store_conditions *c)
{
    if (err != -ERR_PRECONDITION_FAILED)
        return err;
    const char *name = c->if_match.len           ? "If-Match"
                       : c->has_unmodified_since ? "If-Unmodified-Since"
                       : c->if_none_match.len    ? "If-None-Match"
                       : c->has_mtime            ? "x-amz-if-match-last-modified-time"
                                                 : "x-amz-if-match-size";
    s3_error_detail(q, "Condition", str_from(name));
    return err;
}

int s3_explain_source_condition(struct s3_request *q, int err, const struct store_conditions *c,
                                const char *prefix)
{
    const char *name;
    if (err == -ERR_NOT_MODIFIED)
        name = c->if_none_match.len ? "If-None-Match" : "If-Modified-Since";
    else if (err == -ERR_PRECONDITION_FAILED)
        name = c->if_match.len ? "If-Match" : "If-Unmodified-Since";
    else
        return err;
    s3_error_detail(q, "Condition", arena_printf(q->arena, "%s%s", prefix, name));
    return -ERR_PRECONDITION_FAILED;
}
