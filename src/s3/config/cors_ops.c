/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CORS at work: the preflight, and the headers on what a browser asked for, errors included: a page
 * can read those only when they carry them. Both look the bucket up before anybody is known; what
 * they tell is what its owner published to the origins of the rules, and a bucket that is not there
 * looks like one without rules.
 */

#include "s3/config/config.h"
#include "s3/config/cors.h"

#define ORIGIN  STR("origin")
#define METHOD  STR("access-control-request-method")
#define HEADERS STR("access-control-request-headers")

/* ---- a bucket's rules, parsed once ---------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct str why;
    return s3_cors_parse(a, text, made, &why);
}

/* NULL: the bucket has none. */
static int rules_of(const struct store_bucket *b, const struct s3_cors **ret)
{
    const void *made;
    int r = store_setting_made(b->settings, STORE_SETTING_CORS, sizeof(**ret), parse, &made);
    *ret = r ? NULL : made;
    return r;
}

int s3_canonical_cors(struct s3_request *q, struct str body, struct buf *ret)
{
    struct s3_cors cors;
    struct str why;
    int r = s3_cors_parse(q->arena, body, &cors, &why);
    if (r && why.ptr)
        q->message = why;
    if (!r)
        s3_cors_xml(ret, &cors);
    return r;
}

/* ---- headers -------------------------------------------------------------------------------- */

static void set_list(struct s3_request *q, const char *name, const struct s3_cors_list *l)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < l->count; i++) {
        if (i)
            buf_put_cstr(&b, ", ");
        buf_put_str(&b, l->items[i]);
    }
    if (l->count && !buf_error(&b))
        (void)http_set_header(q->x, name, buf_str(&b));
}

static void set_rule(struct s3_request *q, const struct s3_cors_rule *r, struct str origin,
                     bool any)
{
    (void)http_set_header(q->x, "Access-Control-Allow-Origin", any ? STR("*") : origin);
    if (!any) /* the Fetch Standard lets nobody send credentials to `*` */
        (void)http_set_header(q->x, "Access-Control-Allow-Credentials", STR("true"));
    set_list(q, "Access-Control-Allow-Methods", &r->methods);
    set_list(q, "Access-Control-Expose-Headers", &r->exposed);
    if (r->max_age.ptr)
        (void)http_set_header(q->x, "Access-Control-Max-Age", r->max_age);
}

static void set_vary(struct s3_request *q)
{
    (void)http_set_header(
        q->x, "Vary", STR("Origin, Access-Control-Request-Headers, Access-Control-Request-Method"));
}

/* The method a rule is asked for: the one that is to come, else the one that is here. */
static struct str asked_method(struct s3_request *q)
{
    struct str method = http_header(q->x, METHOD);
    return method.ptr ? method : q->head->method;
}

static void apply(struct s3_request *q, const struct store_bucket *b)
{
    struct str origin = http_header(q->x, ORIGIN);
    const struct s3_cors *cors;
    bool any;
    if (rules_of(b, &cors) || !cors)
        return;
    set_vary(q);
    const struct s3_cors_rule *r =
        origin.len ? s3_cors_match(cors, origin, asked_method(q), http_header(q->x, HEADERS), &any)
                   : NULL;
    if (r)
        set_rule(q, r, origin, any);
}

void FIBER s3_cors_apply(struct s3_request *q)
{
    struct store_bucket bucket = {0};
    if (!http_header(q->x, ORIGIN).len)
        return;
    if (s3_request_parse(q) == 0 && q->bucket_name.len && s3_get_bucket(q, &bucket) == 0)
        apply(q, &bucket);
    store_bucket_release(&bucket);
    q->detail_count = 0; /* it is parsed again, and then what is wrong is told */
    q->message = STR_NULL;
}

void s3_cors_on_bucket(struct s3_request *q)
{
    apply(q, &q->bucket);
}

void s3_cors_vary(struct s3_request *q)
{
    if (!http_header(q->x, ORIGIN).len && /* else s3_cors_apply() has told it */
        store_setting_of(q->bucket.settings, STORE_SETTING_CORS))
        set_vary(q);
}

/* ---- the preflight -------------------------------------------------------------------------- */

static int bad_preflight(struct s3_request *q, const char *message)
{
    return s3_error(q, -ERR_BAD_REQUEST, "%s", message);
}

static int forbidden(struct s3_request *q, const char *type, const char *message)
{
    struct str method = http_header(q->x, METHOD);
    s3_error_detail(q, "Method", method.len ? method : q->head->method);
    s3_error_detail(q, "ResourceType", str_from(type));
    return s3_error(q, -ERR_CORS_FORBIDDEN, "CORSResponse: %s", message);
}

/* In lower case and with a blank after each comma, as S3 answers. */
static void set_allowed_headers(struct s3_request *q, struct str headers)
{
    _cleanup_buf_ struct buf b;
    struct str rest = arena_lower(q->arena, headers), name;
    buf_init(&b, 0);
    while (rest.len && str_cut(&rest, ',', &name)) {
        if (buf_str(&b).len)
            buf_put_cstr(&b, ", ");
        buf_put_str(&b, str_trim(name));
    }
    if (!buf_error(&b))
        (void)http_set_header(q->x, "Access-Control-Allow-Headers", buf_str(&b));
}

static int FIBER answer_preflight(struct s3_request *q, const struct s3_cors *cors)
{
    struct str origin = http_header(q->x, ORIGIN), headers = http_header(q->x, HEADERS);
    bool any;
    set_vary(q);
    const struct s3_cors_rule *r =
        s3_cors_match(cors, origin, http_header(q->x, METHOD), headers, &any);
    if (!r)
        return forbidden(q, q->key.len ? "OBJECT" : "BUCKET",
                         "This CORS request is not allowed. This is usually because the evalution "
                         "of Origin, request method / Access-Control-Request-Method or "
                         "Access-Control-Request-Headers are not whitelisted by the resource's "
                         "CORS spec.");
    set_rule(q, r, origin, any);
    if (headers.len)
        set_allowed_headers(q, headers);
    return s3_respond_empty(q, 200);
}

/* What a browser would send. */
static int check_preflight(struct s3_request *q)
{
    struct str method = http_header(q->x, METHOD), rest = http_header(q->x, HEADERS), name;
    if (!method.len)
        return bad_preflight(q, "Invalid Access-Control-Request-Method: null");
    if (!s3_cors_is_method(method))
        return s3_error(q, -ERR_BAD_REQUEST, "Invalid Access-Control-Request-Method: %.*s",
                        STR_FMT(method));
    while (rest.len && str_cut(&rest, ',', &name))
        if (str_trim(name).len && !s3_cors_is_header(str_trim(name)))
            return s3_error(q, -ERR_BAD_REQUEST,
                            "Access-Control-Request-Headers \"%.*s\" contains invalid character.",
                            STR_FMT(str_trim(name)));
    return 0;
}

int FIBER s3_preflight(struct s3_request *q)
{
    const struct s3_cors *cors = NULL;
    if (!http_header(q->x, ORIGIN).len)
        return bad_preflight(q, "Insufficient information. Origin request header needed.");
    int r = s3_get_bucket(q, &q->bucket);
    if (r == -ERR_NO_SUCH_BUCKET)
        return forbidden(q, "BUCKET", "Bucket not found");
    if (r == 0)
        r = rules_of(&q->bucket, &cors);
    if (r == 0 && !cors)
        return forbidden(q, "BUCKET", "CORS is not enabled for this bucket.");
    if (r == 0)
        r = check_preflight(q);
    return r ? r : answer_preflight(q, cors);
}
