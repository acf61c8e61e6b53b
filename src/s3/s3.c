/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The door itself: life cycle, and the order in which every request is judged:
 * signature, resource, right, what is served, headers; then the operation.
 */

#include "lifecycle/lifecycle.h"
#include "s3/audit.h"
#include "s3/log_delivery.h"
#include "s3/md5_pool.h"
#include "s3/query/query.h"
#include "wire/sigv2.h"

#define REGION_DEFAULT STR("us-east-1")
#define SILENCE_NS     (3 * RT_S)

/* ---- life cycle ----------------------------------------------------------------------------- */

static int split_domains(struct str list, struct str domains[S3_DOMAINS_MAX], unsigned *ret_count)
{
    struct str domain;
    while (list.len && str_cut(&list, ',', &domain)) {
        domain = str_trim(domain);
        if (domain.len == 0)
            continue;
        if (*ret_count == S3_DOMAINS_MAX)
            return -EINVAL;
        domains[(*ret_count)++] = domain;
    }
    return 0;
}

static struct str copy_string(char **at, struct str s)
{
    struct str copy = str_make(*at, s.len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static int copy_strings(struct s3 *s3, const struct s3_config *config)
{
    struct str region = config->region.len ? config->region : REGION_DEFAULT;
    struct str domains = str_from(config->domains), sites = str_from(config->website_domains);
    s3->strings = malloc(region.len + domains.len + sites.len + config->object_ownership.len + 1);
    if (!s3->strings)
        return -ENOMEM;
    char *at = s3->strings;
    s3->region = copy_string(&at, region);
    s3->object_ownership = copy_string(&at, config->object_ownership);
    if (s3->object_ownership.len && !s3_ownership_is_word(s3->object_ownership))
        return -EINVAL;
    int r = split_domains(copy_string(&at, domains), s3->domains, &s3->domain_count);
    return r ? r
             : split_domains(copy_string(&at, sites), s3->website_domains,
                             &s3->website_domain_count);
}

int s3_new(struct s3 **ret, const struct s3_config *config)
{
    struct s3 *s3 = calloc(1, sizeof(*s3));
    if (!s3)
        return -ENOMEM;
    s3->store = config->store;
    s3->iam = config->iam;
    s3->events = config->events;
    s3->audit = config->audit;
    s3->log = config->log;
    s3->sigv2 = config->sigv2;
    s3->lifecycle_day_ms = config->lifecycle_day_ms ? config->lifecycle_day_ms : LIFECYCLE_DAY_MS;
    s3->kms = config->kms;
    s3->select_silence_ns = SILENCE_NS;
    s3->encrypt_all = config->encrypt_all;
    s3->insecure_sse_c = config->insecure_sse_c;
    int r = copy_strings(s3, config);
    s3->counters = s3_counters_new();
    s3->md5_pools = md5_pools_new(rt_thread_count());
    s3->logs = s3_logs_new();
    s3->account_quotas = account_quotas_new();
    if (!r && (!s3->logs || !s3->account_quotas || !s3->counters || !s3->md5_pools))
        r = -ENOMEM;
    if (r) {
        s3_free(s3);
        return r;
    }
    *ret = s3;
    return 0;
}

void s3_free(struct s3 *s3)
{
    if (!s3)
        return;
    s3_counters_free(s3->counters);
    md5_pools_free(s3->md5_pools);
    s3_logs_free(s3->logs);
    account_quotas_free(s3->account_quotas);
    free(s3->strings);
    free(s3);
}

void FIBER s3_digests_update(struct s3 *s3, struct md5 *md5, struct hash_stream *sha256,
                             struct str data)
{
    md5_pool_update(md5_pool_at(s3->md5_pools, rt_thread_index()), md5, sha256, data);
}

/* ---- a request ------------------------------------------------------------------------------ */

static int not_served(struct s3_request *q)
{
    return s3_error(q, -ERR_NOT_IMPLEMENTED, "The operation %s is not implemented", q->op->name);
}

static bool has_condition(const struct s3_request *q)
{
    return s3_condition(q, STR("if-match")).ptr ||
           s3_condition(q, STR("x-amz-if-match-size")).ptr ||
           s3_condition(q, STR("x-amz-if-match-last-modified-time")).ptr;
}

/* A condition on what is there tells something of it: it needs the right to read (S3 User Guide,
 * "Conditional requests"). */
static int FIBER authorise_condition(struct s3_request *q)
{
    if (q->op->level != S3_OBJECT || q->op->method == S3_GET || q->op->method == S3_HEAD ||
        !has_condition(q))
        return 0;
    const char *action = s3_action("s3:GetObject", s3_param(q, "versionId").ptr != NULL);
    return s3_authorise(q, action, &q->bucket, q->key);
}

int FIBER s3_tell_absence(struct s3_request *q)
{
    struct store_reader *reader = NULL;
    if (s3_hide_absence(q, &q->bucket, q->key, -ERR_NO_SUCH_KEY) != -ERR_NO_SUCH_KEY)
        return -ERR_ACCESS_DENIED;
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    if (reader)
        store_reader_close(reader);
    return r == -ERR_NO_SUCH_KEY || r == -ERR_NO_SUCH_VERSION ? r : -ERR_ACCESS_DENIED;
}

static int FIBER enter_bucket(struct s3_request *q)
{
    if (q->op->flags & S3_OP_JUDGED_INSIDE)
        return s3_authorise_later(q, &q->bucket);
    const char *action = s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL);
    int r = s3_authorise(q, action, &q->bucket, q->key);
    if (r == -ERR_ACCESS_DENIED && q->op->level == S3_OBJECT && strcmp(action, "s3:GetObject") == 0)
        return s3_tell_absence(q);
    return r ? r : authorise_condition(q);
}

static int FIBER enter_resource(struct s3_request *q)
{
    if (q->op->level == S3_SERVICE || (q->op->flags & S3_OP_NO_BUCKET))
        return s3_authorise(q, q->op->action, NULL, q->key);
    int r = s3_get_bucket(q, &q->bucket);
    if (!r)
        r = enter_bucket(q);
    if (!r)
        r = s3_check_payer(q, &q->bucket);
    if (!r)
        s3_cors_vary(q);
    return r ? r : s3_check_owner(q, STR("x-amz-expected-bucket-owner"), &q->bucket);
}

/* IAM and STS requests come to the same port, as forms to "/", signed for their service. */
static int check_service(struct s3_request *q)
{
    if (q->op->method == S3_POST && q->op->level == S3_SERVICE)
        return 0;
    if (str_eq(q->auth.service, STR("s3")))
        return 0;
    return s3_error(q, -ERR_AUTH_HEADER_MALFORMED,
                    "The authorization header is malformed; incorrect service \"%.*s\". This "
                    "endpoint belongs to \"s3\".",
                    STR_FMT(q->auth.service));
}

/* A URL of version 2 is not signed with sub-resources that are younger than it: whoever it was
 * given to would make another operation of it. Listings in either dialect are one right. */
static int check_cover(struct s3_request *q)
{
    const char *query = q->op->query ? q->op->query : "";
    struct str name = str_make(query, strcspn(query, "=&"));
    if (!q->auth.v2 || q->auth.form != SIGV4_QUERY || name.len == 0 || sigv2_signs_param(name) ||
        str_eq(name, STR("list-type")))
        return 0;
    return s3_error(q, -ERR_SIGNATURE_VERSION,
                    "A URL presigned by Signature Version 2 does not cover ?%.*s. Please use "
                    "AWS4-HMAC-SHA256.",
                    STR_FMT(name));
}

/* What anyone may ask, whoever they say they are. */
static int FIBER serve_anyone(struct s3_request *q)
{
    int r = s3_request_parse(q);
    if (!r)
        r = s3_request_route(q);
    if (r || !(q->op->flags & S3_OP_ANYONE))
        return -ERR_ACCESS_DENIED;
    return q->op->handler(q);
}

static int FIBER handle(struct s3_request *q)
{
    int r = s3_audit_begin(q);
    return r ? r : q->op->handler(q);
}

/* A form posted to a key rather than its bucket is told so, as in AWS: whatever is there, nothing
 * can be asked of it like this. */
static int refuse_unsigned(struct s3_request *q, int err)
{
    bool form_to_key =
        err == -ERR_METHOD_NOT_ALLOWED && q->key.len && str_eq(q->head->method, STR("POST"));
    return form_to_key ? err : -ERR_ACCESS_DENIED;
}

static int FIBER serve(struct s3_request *q)
{
    if (s3_request_website(q))
        return s3_website(q);
    if (s3_query_wants(q))
        return s3_query(q);
    if (str_eq(q->head->method, STR("OPTIONS")))
        return serve_anyone(q);
    s3_cors_apply(q);
    int r = s3_authenticate(q);
    if (!r)
        r = s3_check_rate(q);
    if (r)
        return r;
    r = s3_request_parse(q);
    if (!r)
        r = s3_request_route(q);
    if (!q->signed_in && (r || s3_is_form(q)))
        return r ? refuse_unsigned(q, r) : handle(q);
    if (!r && q->signed_in)
        r = check_service(q);
    if (!r)
        r = check_cover(q);
    if (!r)
        r = enter_resource(q);
    if (!r && !q->op->handler)
        r = not_served(q);
    if (!r)
        r = s3_check_headers(q);
    if (!r)
        r = s3_check_version_id(q);
    if (r)
        return r;
    r = handle(q);
    if (q->op->level != S3_OBJECT || q->op->header) /* a copy judges its source itself */
        return r;
    return s3_hide_absence(q, &q->bucket, q->key, r);
}

/* MinIO's mc and consoles ask for its administrative API under /minio/, which is a bucket's name
 * to everybody else: they are told what is missing where there is no such bucket. */
static int explain_foreign(struct s3_request *q, int err)
{
    bool unrouted = err == -ERR_METHOD_NOT_ALLOWED || err == -ERR_INVALID_REQUEST ||
                    err == -ERR_INVALID_ARGUMENT;
    if (!q->signed_in || (err != -ERR_NO_SUCH_BUCKET && (q->op || !unrouted)) ||
        !str_eq(q->bucket_name, STR("minio")) ||
        (!str_starts(q->key, STR("admin/v")) && !str_starts(q->key, STR("kms/v"))))
        return err;
    return s3_error(q, -ERR_NOT_IMPLEMENTED,
                    "MinIO's administrative API is not served: users, policies, keys, quotas and "
                    "settings are administered with 'cairn admin'.");
}

/* The bucket's settings go before the request has ended. */
static void note_logging(struct s3_request *q)
{
    const struct store_setting *s = store_setting_of(q->bucket.settings, STORE_SETTING_LOGGING);
    if (!s)
        return;
    q->logging = arena_dup(q->arena, s->text); /* without memory there is no line */
    q->log_owner = q->bucket.owner;
}

void FIBER s3_handle(struct http_exchange *x, void *arg)
{
    struct s3_request *q = arena_new(http_arena(x), struct s3_request);
    if (!q) {
        (void)http_set_header(x, "Retry-After", STR("1"));
        (void)http_respond(x, 503, STR_NULL);
        return;
    }
    struct str query;
    q->magic = S3_REQUEST_MAGIC;
    q->s3 = arg;
    q->x = x;
    q->head = http_request(x);
    q->arena = http_arena(x);
    uri_split(q->head->target, &q->path, &query);
    http_set_note(x, q);
    int r = explain_foreign(q, serve(q));
    if (r < 0)
        s3_respond_error(q, r);
    s3_audit_end(q);
    note_logging(q);
    store_bucket_release(&q->bucket);
    if (q->signed_in)
        iam_identity_release(&q->who);
}
