/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The error body: Code, Message, what the code calls for, Resource, RequestId, HostId.
 * Source: Amazon S3 API Reference, "Error responses".
 */

#include "s3/internal.h"

#define RETRY_AFTER "1" /* seconds */

void s3_error_detail(struct s3_request *q, const char *name, struct str value)
{
    if (q->detail_count < S3_DETAILS_MAX)
        q->details[q->detail_count++] = (struct s3_detail){name, value};
}

int s3_error(struct s3_request *q, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    q->message = arena_vprintf(q->arena, fmt, ap);
    va_end(ap);
    return err;
}

int s3_error_argument(struct s3_request *q, const char *name, struct str value, const char *message)
{
    s3_error_detail(q, "ArgumentName", str_from(name));
    if (value.ptr)
        s3_error_detail(q, "ArgumentValue", value);
    q->message = str_from(message);
    return -ERR_INVALID_ARGUMENT;
}

static void put_error(struct buf *b, struct http_exchange *x, int err, struct str message,
                      struct str path)
{
    const struct err_info *info = err_info(err);
    xml_begin(b);
    xml_open(b, "Error");
    xml_element(b, "Code", str_from(info->s3_code));
    /* What goes wrong inside is for the log, not for the client. */
    bool internal = info->http_status == 500;
    struct str text = message.ptr && !internal ? message : str_from(info->text);
    /* AWS's have their quotes as they are, and clients look for words in them. */
    xml_open(b, "Message");
    xml_prose(b, internal ? str_from(err_text(-ERR_INTERNAL)) : text);
    xml_close(b, "Message");
    if (path.ptr)
        xml_element(b, "Resource", path);
    xml_element(b, "RequestId", str_from(http_request_id(x)));
    xml_element(b, "HostId", STR("cairn"));
}

void s3_error_body(struct http_exchange *x, int err, struct buf *ret_body, struct str *ret_type)
{
    *ret_type = STR("application/xml");
    put_error(ret_body, x, err, STR_NULL, STR_NULL);
    xml_close(ret_body, "Error");
}

/* The elements that clients look for beside a code: boto3's redirector reads Region, for one. */
static void add_usual_details(struct s3_request *q, int err)
{
    switch (-err) {
    case ERR_NO_SUCH_KEY:
    case ERR_KEY_TOO_LONG:
        if (q->key.len)
            s3_error_detail(q, "Key", q->key);
        break;
    case ERR_NO_SUCH_VERSION:
        s3_error_detail(q, "Key", q->key);
        s3_error_detail(q, "VersionId", s3_param(q, "versionId"));
        break;
    case ERR_NO_SUCH_BUCKET:
    case ERR_BUCKET_EXISTS:
    case ERR_BUCKET_OWNED:
    case ERR_BUCKET_NOT_EMPTY:
    case ERR_INVALID_BUCKET_NAME:
    case ERR_NO_SUCH_BUCKET_POLICY:
    case ERR_NO_SUCH_CORS:
    case ERR_NO_OBJECT_LOCK_CONFIG:
    case ERR_NO_SUCH_ENCRYPTION:
    case ERR_NO_SUCH_LIFECYCLE:
    case ERR_NO_SUCH_TAG_SET:
    case ERR_NO_SUCH_WEBSITE:
    case ERR_NO_OWNERSHIP_CONTROLS:
    case ERR_NO_SUCH_PUBLIC_ACCESS_BLOCK:
        s3_error_detail(q, "BucketName", q->bucket_name);
        break;
    case ERR_NO_SUCH_UPLOAD:
    case ERR_INVALID_PART:
    case ERR_INVALID_PART_ORDER:
        s3_error_detail(q, "UploadId", s3_param(q, "uploadId"));
        break;
    case ERR_INVALID_ACCESS_KEY:
        s3_error_detail(q, "AWSAccessKeyId", q->auth.access_key);
        break;
    }
}

static void set_error_headers(struct s3_request *q, int status)
{
    if (status == 503)
        (void)http_set_header(q->x, "Retry-After", STR(RETRY_AFTER));
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
}

static int FIBER respond_error(struct s3_request *q, int err)
{
    int status = err_info(err)->http_status;
    if (status == 304)
        return http_respond(q->x, status, STR_NULL);
    set_error_headers(q, status);
    if (q->head && str_eq(q->head->method, STR("HEAD")))
        return http_respond(q->x, status, STR_NULL);
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    add_usual_details(q, err);
    put_error(&b, q->x, err, q->message, q->path);
    for (unsigned i = 0; i < q->detail_count; i++)
        xml_element(&b, q->details[i].name, q->details[i].value);
    xml_close(&b, "Error");
    return http_respond(q->x, status, buf_error(&b) ? STR_NULL : buf_str(&b));
}

/* What a client says of its body does not fit: nor may its length, which tells the next request. */
static bool is_body_doubtful(int err)
{
    return err == -ERR_BAD_DIGEST || err == -ERR_SHA256_MISMATCH || err == -ERR_INCOMPLETE_BODY;
}

/* Who goes away in the midst of a download is no failure of ours. */
static bool is_client_gone(struct s3_request *q, int err)
{
    return http_responding(q->x) && (err == -EPIPE || err == -ECONNRESET);
}

void FIBER s3_respond_error(struct s3_request *q, int err)
{
    CHECK(err < 0);
    q->err = is_client_gone(q, err) ? -ERR_CLIENT_GONE : err;
    if (is_body_doubtful(err))
        http_close_after(q->x, false);
    /* Past the head there is nothing to tell: the cut connection is the error. */
    if (http_responding(q->x))
        http_close_after(q->x, true);
    else if (respond_error(q, err))
        http_close_after(q->x, true);
}
