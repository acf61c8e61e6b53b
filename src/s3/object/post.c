/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PostObject: an upload from a browser's form. Who asks and what they may is in the form itself, in
 * fields before the file, which are read into memory up to FORM_HEAD_MAX; then signature, policy
 * and right are tested, in this order and before anything is looked up; then the file streams.
 *
 * How long the file is stands nowhere: it ends at a boundary, behind which browsers may send the
 * form's further fields (they do not count). But a form holds FORM_HEAD_MAX at most beside its
 * file, so all but the last bytes are known to be the file's, and the store takes it from there.
 *
 * Sources: S3 API Reference, "POST Object", "Browser-based uploads using POST".
 */

#include "iam/authenticate.h"
#include "s3/attrs.h"
#include "s3/body.h"
#include "s3/lifecycle.h"
#include "s3/notice.h"
#include "s3/sse.h"
#include "s3/post_policy.h"
#include "s3/version.h"
#include "base/encode.h"
#include "wire/date.h"

#define FORM_HEAD_MAX (20 * KIB) /* S3's limit of a form without its file */

struct post {
    struct s3_request *q;
    struct str boundary;
    struct str head;       /* the first bytes of the body; the request's key points into them */
    struct form_head form; /* points into `head` */
    struct s3_post_policy policy;
    struct form_data data;
    struct s3_body body;
    struct store_writer *writer;
    struct s3_data_key key; /* wiped at the end */
    uint64_t least, most;   /* bytes the file may have */
};

/* ---- the form ------------------------------------------------------------------------------- */

static struct str field(const struct post *p, const char *name)
{
    for (size_t i = 0; i < p->form.count; i++)
        if (str_eq_nocase(p->form.fields[i].name, str_from(name)))
            return p->form.fields[i].value;
    return STR_NULL;
}

static int need_field(struct post *p, const char *name)
{
    if (field(p, name).ptr)
        return 0;
    return s3_error_argument(p->q, name, STR(""),
                             arena_printf(p->q->arena,
                                          "Bucket POST must contain a field named '%s'.  If it is "
                                          "specified, please check the order of the fields.",
                                          name)
                                 .ptr);
}

static int FIBER read_head(struct post *p, uint64_t total)
{
    struct http_exchange *x = p->q->x;
    size_t most = (size_t)MIN(total, (uint64_t)FORM_HEAD_MAX), len = 0;
    char *head = arena_alloc(p->q->arena, most + 1);
    if (!head)
        return -ENOMEM;
    while (len < most) {
        struct str piece;
        int r = http_body_next(x, &piece);
        if (r)
            return r;
        if (piece.len == 0)
            break;
        size_t take = MIN(piece.len, most - len);
        memcpy(head + len, piece.ptr, take);
        len += take;
        if (take < piece.len)
            http_body_unread(x, piece.len - take);
    }
    p->head = str_make(head, len);
    return 0;
}

static int explain_form(struct post *p, int err)
{
    switch (err) {
    case -EAGAIN:
        return http_body_length(p->q->x) > FORM_HEAD_MAX ? -ERR_FORM_TOO_LARGE
                                                         : -ERR_MALFORMED_FORM;
    case -ERR_TOO_LARGE:
        return -ERR_FORM_TOO_LARGE;
    case -ERR_NOT_FOUND:
        return s3_error_argument(p->q, "file", STR("0"),
                                 "POST requires exactly one file upload per request.");
    default:
        return err == -ERR_PARSE ? -ERR_MALFORMED_FORM : err;
    }
}

/* Which of two values would be the tested one, and which the used one? */
static int check_single(struct post *p)
{
    for (size_t i = 1; i < p->form.count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq_nocase(p->form.fields[i].name, p->form.fields[k].name))
                return s3_error(p->q, -ERR_INVALID_ARGUMENT,
                                "POST requires exactly one field of a name: %.*s",
                                STR_FMT(p->form.fields[i].name));
    return 0;
}

static int FIBER read_form(struct post *p)
{
    uint64_t total = http_body_length(p->q->x);
    if (total == UINT64_MAX)
        return -ERR_MISSING_LENGTH;
    int r = form_boundary(http_header(p->q->x, STR("content-type")), &p->boundary);
    if (!r)
        r = read_head(p, total);
    if (!r)
        r = form_head_parse(p->q->arena, p->boundary, p->head, &p->form);
    if (r)
        return explain_form(p, r);
    uint64_t rest = total - p->form.data_off;
    p->least = rest > FORM_HEAD_MAX ? rest - FORM_HEAD_MAX : 0;
    p->most = MIN(rest, (uint64_t)STORE_OBJECT_MAX);
    p->q->form = &p->form;
    return p->least > STORE_OBJECT_MAX ? -ERR_ENTITY_TOO_LARGE : check_single(p);
}

/* ---- the key -------------------------------------------------------------------------------- */

#define FILENAME STR("${filename}")

/* Some browsers send the path on their machine. */
static struct str last_component(struct str path)
{
    size_t from = path.len;
    while (from > 0 && path.ptr[from - 1] != '/' && path.ptr[from - 1] != '\\')
        from--;
    return str_from_offset(path, from);
}

static int replace_filename(struct post *p, struct str *value)
{
    _cleanup_buf_ struct buf b;
    struct str rest = *value, name = last_component(p->form.filename);
    ptrdiff_t at;
    buf_init(&b, STORE_KEY_MAX * 4);
    if (str_find(rest, FILENAME, 0) < 0)
        return 0;
    while ((at = str_find(rest, FILENAME, 0)) >= 0) {
        buf_put_str(&b, str_prefix(rest, (size_t)at));
        buf_put_str(&b, name);
        rest = str_from_offset(rest, (size_t)at + FILENAME.len);
    }
    buf_put_str(&b, rest);
    if (buf_error(&b))
        return -ERR_KEY_TOO_LONG;
    *value = arena_dup(p->q->arena, buf_str(&b));
    return value->ptr ? 0 : -ENOMEM;
}

/* The field takes the key's place, so that the policy is about what is stored. */
static int read_key(struct post *p)
{
    int r = need_field(p, "key");
    if (r)
        return r;
    for (size_t i = 0; !r && i < p->form.count; i++)
        if (str_eq_nocase(p->form.fields[i].name, STR("key")))
            r = replace_filename(p, &p->form.fields[i].value);
    struct str key = field(p, "key");
    if (r)
        return r;
    if (key.len == 0)
        return s3_error_argument(p->q, "key", key, "User key must have a length greater than 0.");
    if (!str_is_utf8(key))
        return -ERR_INVALID_URI;
    if (key.len > STORE_KEY_MAX)
        return -ERR_KEY_TOO_LONG;
    p->q->key = key;
    return 0;
}

/* ---- who asks ------------------------------------------------------------------------------- */

static int read_policy(struct post *p)
{
    struct str text = field(p, "policy"), why = STR_NULL;
    size_t len;
    char *decoded = arena_alloc(p->q->arena, text.len + 1);
    if (!decoded)
        return -ENOMEM;
    if (base64_decode(text, decoded, text.len, &len))
        return s3_error(p->q, -ERR_INVALID_POLICY_DOCUMENT, "Invalid Policy: Invalid base64.");
    int r = s3_post_policy_parse(p->q->arena, str_make(decoded, len), &p->policy, &why);
    if (r && why.ptr)
        p->q->message = why;
    return r;
}

static int test_policy(struct post *p)
{
    struct form_field *all = arena_array(p->q->arena, struct form_field, p->form.count + 1);
    struct str why = STR_NULL;
    if (!all)
        return -ENOMEM;
    all[0] = (struct form_field){STR("bucket"), p->q->bucket_name};
    if (p->form.count)
        memcpy(all + 1, p->form.fields, p->form.count * sizeof(*all));
    int r =
        s3_post_policy_test(p->q->arena, &p->policy, all, p->form.count + 1, rt_wall_ms(), &why);
    if (r && why.ptr)
        p->q->message = why;
    return r;
}

static int check_signature_v2(struct post *p)
{
    static const char *const needed[] = {"policy", "AWSAccessKeyId", "signature"};
    struct s3_request *q = p->q;
    int r = 0;
    if (!q->s3->sigv2)
        return -ERR_SIGNATURE_VERSION;
    for (unsigned i = 0; !r && i < ARRAY_LEN(needed); i++)
        r = need_field(p, needed[i]);
    if (r)
        return r;
    r = iam_authenticate_form_v2(q->s3->iam, q->arena, field(p, "AWSAccessKeyId"),
                                 field(p, "signature"), field(p, "policy"), &q->auth, &q->who);
    q->signed_in = r == 0;
    return r;
}

/* What is no signature of the one kind that forms may bear, in S3's words. */
static int explain_signature(struct s3_request *q, int err, const struct sigv4_form *form)
{
    uint64_t time_ms;
    if (err == -ERR_SIGNATURE_VERSION)
        return s3_error_argument(q, "X-Amz-Algorithm", form->algorithm,
                                 "Only AWS4-HMAC-SHA256 is supported");
    if (err != -ERR_AUTH_QUERY_MALFORMED)
        return err;
    if (date_parse_amz(form->date, &time_ms))
        return s3_error_argument(q, "X-Amz-Date", form->date,
                                 "X-Amz-Date must be formated via ISO8601 Long format");
    return s3_error_argument(q, "x-amz-credential", form->credential,
                             "the Credential is mal-formed; expecting "
                             "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
}

static int check_signature(struct post *p)
{
    static const char *const needed[] = {"policy", "x-amz-algorithm", "x-amz-credential",
                                         "x-amz-date", "x-amz-signature"};
    struct s3_request *q = p->q;
    int r = 0;
    for (unsigned i = 0; !r && i < ARRAY_LEN(needed); i++)
        r = need_field(p, needed[i]);
    if (r)
        return r;
    struct sigv4_form form = {
        .algorithm = field(p, "x-amz-algorithm"),
        .credential = field(p, "x-amz-credential"),
        .date = field(p, "x-amz-date"),
        .signature = field(p, "x-amz-signature"),
        .token = field(p, "x-amz-security-token"),
        .policy = field(p, "policy"),
    };
    r = iam_authenticate_form(q->s3->iam, q->arena, &form, rt_wall_ms(), &q->auth, &q->who);
    q->signed_in = r == 0; /* from here on q->who is to be released */
    if (r == 0 || r == -ERR_SIGNATURE_MISMATCH) {
        int scope = s3_check_scope(q);
        if (!scope && !str_eq(q->auth.service, STR("s3")))
            scope = s3_error_argument(q, "x-amz-credential", form.credential,
                                      "the Credential is mal-formed; incorrect service. This "
                                      "endpoint belongs to \"s3\".");
        r = scope ? scope : r;
    }
    if (r == -ERR_SIGNATURE_MISMATCH) {
        s3_error_detail(q, "AWSAccessKeyId", q->auth.access_key);
        s3_error_detail(q, "SignatureProvided", form.signature);
        s3_error_detail(q, "StringToSign", form.policy);
    }
    return explain_signature(q, r, &form);
}

/* A form without any of these is anonymous, and needs no policy. */
static bool is_signed(const struct post *p)
{
    static const char *const names[] = {"policy",          "x-amz-algorithm", "x-amz-credential",
                                        "x-amz-signature", "signature",       "AWSAccessKeyId"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (field(p, names[i]).ptr)
            return true;
    return false;
}

static int authenticate(struct post *p)
{
    p->policy.max_bytes = UINT64_MAX;
    p->q->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
    if (!is_signed(p))
        return 0;
    bool v2 = field(p, "signature").ptr || field(p, "AWSAccessKeyId").ptr;
    int r = v2 ? check_signature_v2(p) : check_signature(p);
    if (!r)
        r = s3_check_rate(p->q);
    if (!r)
        r = read_policy(p);
    return r ? r : test_policy(p);
}

static int FIBER enter(struct post *p)
{
    struct s3_request *q = p->q;
    int r = s3_open_bucket(q, q->op->action, q->key, &q->bucket);
    if (!r)
        r = s3_check_headers(q);
    return r;
}

/* ---- the file ------------------------------------------------------------------------------- */

static int too_large(struct post *p, uint64_t size)
{
    s3_error_detail(p->q, "ProposedSize",
                    arena_printf(p->q->arena, "%llu", (unsigned long long)size));
    s3_error_detail(p->q, "MaxSizeAllowed",
                    arena_printf(p->q->arena, "%llu", (unsigned long long)p->policy.max_bytes));
    return -ERR_ENTITY_TOO_LARGE;
}

static int too_small(struct post *p)
{
    s3_error_detail(p->q, "ProposedSize",
                    arena_printf(p->q->arena, "%llu", (unsigned long long)p->body.seen));
    s3_error_detail(p->q, "MinSizeAllowed",
                    arena_printf(p->q->arena, "%llu", (unsigned long long)p->policy.min_bytes));
    return -ERR_ENTITY_TOO_SMALL;
}

static int FIBER write_piece(const void *data, size_t len, void *arg)
{
    return store_write(arg, data, len);
}

static int FIBER take_data(const void *data, size_t len, void *arg)
{
    struct post *p = arg;
    if (p->body.seen + len > p->policy.max_bytes)
        return too_large(p, p->body.seen + len);
    return s3_body_feed(&p->body, str_make(data, len), write_piece, p->writer);
}

static int FIBER stream_file(struct post *p)
{
    struct str piece = str_from_offset(p->head, p->form.data_off);
    int r = form_data_feed(&p->data, piece, take_data, p);
    while (!r) {
        r = http_body_next(p->q->x, &piece);
        if (r || piece.len == 0)
            break;
        r = form_data_feed(&p->data, piece, take_data, p);
    }
    if (r)
        return r;
    if (!p->data.ended)
        return -ERR_MALFORMED_FORM;
    if (p->body.seen < p->least) /* what came behind the file is more than a form holds */
        return -ERR_FORM_TOO_LARGE;
    if (p->body.seen < p->policy.min_bytes)
        return too_small(p);
    return s3_body_finish(&p->body);
}

static int FIBER store_file(struct post *p, struct store_attrs *attrs, struct store_etag *ret_etag)
{
    struct s3_request *q = p->q;
    struct store_conditions conditions;
    struct store_written written;
    if (p->least > p->policy.max_bytes)
        return too_large(p, p->least);
    int r = store_put_begin_sealed(q->s3->store, q->bucket.id, q->key, p->least, p->most,
                                   s3_data_key_or_null(&p->key), &p->writer);
    if (!r)
        r = s3_writer_class(q, &p->writer, attrs->storage_class);
    if (!r)
        r = stream_file(p);
    if (r)
        return r;
    *ret_etag = s3_sse_etag(attrs->seal, &p->key, p->body.md5_value);
    r = s3_conditions_write(q, &conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_POST), &conditions.notice);
    if (r)
        return r;
    r = store_put_commit(TAKE_PTR(p->writer), attrs, ret_etag, &p->body.checksum, &conditions,
                         &written);
    if (!r) {
        s3_set_written(q, &written);
        s3_set_expiration(q, &(struct store_object){.mtime_ms = written.mtime_ms,
                                                    .len_bytes = p->body.seen,
                                                    .attrs = *attrs});
    }
    return r ? s3_explain_condition(q, r, &conditions) : 0;
}

/* ---- the answer ----------------------------------------------------------------------------- */

static struct str location_of(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    bool in_path = q->path.len > 1; /* else the host names the bucket */
    buf_put_cstr(&b, http_is_tls(q->x) ? "https://" : "http://");
    buf_put_str(&b, q->head->host);
    buf_put_char(&b, '/');
    if (in_path) {
        buf_put_str(&b, q->bucket_name);
        buf_put_char(&b, '/');
    }
    uri_encode(&b, q->key, true);
    return buf_error(&b) ? STR_NULL : arena_dup(q->arena, buf_str(&b));
}

/* An address that is none is as not there (API reference, success_action_redirect). */
static bool is_address(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return str_starts_nocase(s, STR("http://")) || str_starts_nocase(s, STR("https://"));
}

static int FIBER respond_redirect(struct s3_request *q, struct str address, struct str etag)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    buf_put_str(&b, address);
    buf_put_cstr(&b, str_find_char(address, '?', 0) < 0 ? "?bucket=" : "&bucket=");
    uri_encode(&b, q->bucket_name, false);
    buf_put_cstr(&b, "&key=");
    uri_encode(&b, q->key, false);
    buf_put_cstr(&b, "&etag=");
    uri_encode(&b, etag, false);
    if (buf_error(&b))
        return buf_error(&b);
    (void)http_set_header(q->x, "Location", buf_str(&b));
    return s3_respond_empty(q, 303);
}

static int FIBER respond_created(struct s3_request *q, struct str location,
                                 const struct store_etag *etag)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open(&b, "PostResponse");
    xml_element(&b, "Location", location);
    xml_element(&b, "Bucket", q->bucket_name);
    xml_element(&b, "Key", q->key);
    s3_xml_etag(&b, etag);
    xml_close(&b, "PostResponse");
    if (buf_error(&b))
        return buf_error(&b);
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
    return http_respond(q->x, 201, buf_str(&b));
}

static int FIBER respond(struct post *p, const struct store_etag *etag)
{
    struct s3_request *q = p->q;
    char text[S3_ETAG_MAX];
    struct str redirect = field(p, "success_action_redirect"), location = location_of(q);
    struct str status = field(p, "success_action_status");
    if (!redirect.ptr)
        redirect = field(p, "redirect");
    s3_set_etag(q, etag);
    s3_set_checksum(q, &p->body.checksum, 0);
    if (is_address(redirect))
        return respond_redirect(q, redirect, s3_etag_format(etag, text));
    (void)http_set_header(q->x, "Location", location);
    if (str_eq(status, STR("201")))
        return respond_created(q, location, etag);
    return s3_respond_empty(q, str_eq(status, STR("200")) ? 200 : 204);
}

/* ---- the operation -------------------------------------------------------------------------- */

static int FIBER post(struct post *p)
{
    struct store_attrs attrs;
    struct store_etag etag;
    int r = read_form(p);
    if (!r)
        r = read_key(p);
    if (!r)
        r = authenticate(p);
    if (!r)
        r = enter(p);
    if (!r)
        r = s3_attrs_read(p->q, &attrs);
    if (!r)
        r = s3_tags_read(p->q, &attrs);
    if (!r)
        r = s3_body_open_form(&p->body, p->q, p->most);
    if (!r)
        r = s3_sse_begin(p->q, &p->key, &attrs.seal);
    if (!r)
        r = store_file(p, &attrs, &etag);
    if (r)
        return r;
    s3_sse_headers(p->q, attrs.seal);
    return respond(p, &etag);
}

bool s3_is_form(const struct s3_request *q)
{
    return q->op && (q->op->flags & S3_OP_FORM) &&
           str_starts_nocase(http_header(q->x, STR("content-type")), STR("multipart/form-data"));
}

int FIBER s3_post_object(struct s3_request *q)
{
    if (!s3_is_form(q)) {
        s3_error_detail(q, "Condition",
                        STR("Bucket POST must be of the enclosure-type multipart/form-data"));
        return -ERR_PRECONDITION_FAILED;
    }
    if (q->auth.form != SIGV4_NONE) /* the form is signed, or nothing is */
        return s3_error(q, -ERR_INVALID_ARGUMENT,
                        "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                        "parameter, Signature query string parameter or the Authorization header "
                        "should be specified");
    struct post *p = arena_new(q->arena, struct post);
    if (!p)
        return -ENOMEM;
    p->q = q;
    int r = form_boundary(http_header(q->x, STR("content-type")), &p->boundary);
    if (!r) {
        form_data_init(&p->data, p->boundary);
        r = post(p);
    }
    s3_body_release(&p->body);
    store_write_abort(p->writer);
    s3_data_key_release(&p->key);
    q->form = NULL;
    return r == -ERR_PARSE ? -ERR_MALFORMED_FORM : r;
}
