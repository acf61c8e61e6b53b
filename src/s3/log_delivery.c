/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/log_delivery.h"

#include "base/list.h"
#include "base/log.h"
#include "http/http.h"
#include "s3/acl_request.h"
#include "s3/log_record.h"
#include "s3/service_objects.h"

#define SERVICE      "logging.s3.amazonaws.com"
#define LINE_MAX     (16 * KIB)
#define TICK_NS      (1 * RT_S)
#define CONTENT_TYPE STR("text/plain")

/* What has gathered for one bucket under one configuration. */
struct batch {
    struct list link;
    struct buf lines;
    uint64_t count, first_ns, first_ms;
    struct str source, owner, config;
    char bytes[];
};

struct s3_logs {
    struct rt_lock lock;
    struct list batches;
    size_t batch_count, pending_bytes;
    struct s3_logs_counts counts;
    struct rt_fiber *fiber;
};

struct s3_logs *s3_logs_new(void)
{
    struct s3_logs *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    rt_lock_init(&l->lock);
    list_init(&l->batches);
    return l;
}

static void batch_free(struct batch *b)
{
    buf_release(&b->lines);
    free(b);
}

void s3_logs_free(struct s3_logs *l)
{
    struct list *n;
    while (l && (n = list_pop_front(&l->batches)))
        batch_free(container_of(n, struct batch, link));
    free(l);
}

void s3_logs_count(struct s3_logs *l, struct s3_logs_counts *ret)
{
    rt_lock(&l->lock);
    *ret = l->counts;
    rt_unlock(&l->lock);
}

/* ---- gathering ------------------------------------------------------------------------------ */

static struct str copy_behind(char **at, struct str s)
{
    struct str copy = str_make(*at, s.len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static struct batch *batch_new(const struct s3_request *q)
{
    struct batch *b =
        calloc(1, sizeof(*b) + q->bucket_name.len + q->log_owner.len + q->logging.len);
    if (!b)
        return NULL;
    char *at = b->bytes;
    b->source = copy_behind(&at, q->bucket_name);
    b->owner = copy_behind(&at, q->log_owner);
    b->config = copy_behind(&at, q->logging);
    b->first_ns = rt_now();
    b->first_ms = rt_wall_ms();
    buf_init(&b->lines, S3_LOG_BATCH_BYTES + LINE_MAX);
    return b;
}

/* Under the lock: the batch that takes the line, or NULL. */
static struct batch *find_batch(struct s3_logs *l, const struct s3_request *q)
{
    for (struct list *n = l->batches.next; n != &l->batches; n = n->next) {
        struct batch *b = container_of(n, struct batch, link);
        if (b->lines.len < S3_LOG_BATCH_BYTES && str_eq(b->source, q->bucket_name) &&
            str_eq(b->config, q->logging))
            return b;
    }
    struct batch *b = l->batch_count < S3_LOG_BATCHES_MAX ? batch_new(q) : NULL;
    if (b) {
        list_push_back(&l->batches, &b->link);
        l->batch_count++;
    }
    return b;
}

static void keep_line(struct s3_logs *l, const struct s3_request *q, struct str line)
{
    rt_lock(&l->lock);
    bool room = l->pending_bytes + line.len <= S3_LOG_PENDING_MAX;
    struct batch *b = room ? find_batch(l, q) : NULL;
    l->counts.lines++;
    if (b) {
        buf_put_str(&b->lines, line);
        b->count++;
        l->pending_bytes += line.len;
    } else {
        l->counts.dropped++;
    }
    rt_unlock(&l->lock);
}

static struct str auth_of(const struct s3_request *q)
{
    if (!q->signed_in)
        return STR("");
    return q->auth.form == SIGV4_HEADER  ? STR("AuthHeader")
           : q->auth.form == SIGV4_QUERY ? STR("QueryString")
                                         : STR("");
}

void s3_logs_add(struct s3_logs *l, const struct s3_request *q)
{
    _cleanup_buf_ struct buf line;
    char operation[S3_LOG_OPERATION_MAX];
    uint64_t now = rt_now(), began = http_started_ns(q->x), first = http_first_byte_ns(q->x);
    bool out = http_bytes_out(q->x) > 0;
    struct s3_log_entry e = {
        .owner = q->log_owner,
        .bucket = q->bucket_name,
        .time_ms = rt_wall_ms() - (now - began) / RT_MS,
        .remote = http_client_ip(q->x),
        .requester = q->signed_in ? q->who.arn : STR(""),
        .request_id = str_from(http_request_id(q->x)),
        .operation = q->op ? s3_log_operation(q->op, operation) : STR(""),
        .key = q->key,
        .method = q->head->method,
        .target = q->head->target,
        .status = http_status(q->x),
        .error = q->err ? str_from(err_info(q->err)->s3_code) : STR(""),
        .bytes_sent = out ? http_bytes_out(q->x) : S3_LOG_NONE,
        .object_size = http_bytes_in(q->x) ? http_bytes_in(q->x) : S3_LOG_NONE,
        .total_ms = (now - began) / RT_MS,
        .turn_ms = first > began ? (first - began) / RT_MS : S3_LOG_NONE,
        .referer = http_header(q->x, STR("referer")),
        .agent = http_header(q->x, STR("user-agent")),
        .version_id = s3_param(q, "versionId"),
        .signature = !q->signed_in ? STR("")
                     : q->auth.v2  ? STR("SigV2")
                                   : STR("SigV4"),
        .auth = auth_of(q),
        .host = q->head->host,
    };
    buf_init(&line, LINE_MAX);
    s3_log_line(&line, &e);
    if (!buf_error(&line)) /* a longer one than LINE_MAX has no room */
        keep_line(l, q, buf_str(&line));
}

/* ---- delivery ------------------------------------------------------------------------------- */

static bool lets_logs_in(const struct store_bucket *target)
{
    const struct store_setting *s = store_setting_of(target->settings, STORE_SETTING_ACL);
    struct s3_acl acl;
    if (!s || s3_ownership_of(target) == S3_OWNER_ENFORCED ||
        s3_acl_decode(s->text, target->owner, &acl))
        return false;
    for (size_t i = 0; i < acl.count; i++)
        if (acl.grants[i].kind == S3_GRANTEE_LOGS &&
            (acl.grants[i].permission & S3_PERMISSION_WRITE))
            return true;
    return false;
}

static struct jobs_actor actor_of(struct str source, struct str account)
{
    return (struct jobs_actor){STR("access-logs"), STR(SERVICE), source, account};
}

int FIBER s3_logs_authorise(struct s3 *s3, const struct store_bucket *target, struct str key,
                            struct str source, struct str account)
{
    struct jobs_actor who = actor_of(source, account);
    if (store_setting_of(target->settings, STORE_SETTING_OBJECT_LOCK)) /* as in AWS */
        return -ERR_ACCESS_DENIED;
    return s3_service_authorise(s3, target, key, &who, lets_logs_in(target));
}

/* The list of the object to be written: its owner's all, and what the configuration grants. */
static int list_of(struct s3_request *q, const struct s3_logging *l, struct str *ret)
{
    struct s3_grant owners = {S3_GRANTEE_ACCOUNT, S3_PERMISSION_FULL, q->bucket.owner};
    *ret = STR("");
    if (!l->grants || s3_ownership_of(&q->bucket) == S3_OWNER_ENFORCED)
        return 0;
    if (l->grants->count < S3_ACL_GRANTS_MAX)
        l->grants->grants[l->grants->count++] = owners;
    return s3_acl_encode(q->arena, l->grants, q->bucket.owner, ret);
}

static int FIBER deliver_to(struct s3_request *q, const struct s3_logging *l, const struct batch *b)
{
    _cleanup_buf_ struct buf key;
    uint64_t unique;
    buf_init(&key, STORE_KEY_MAX);
    rt_random(&unique, sizeof(unique));
    s3_log_key(&key, l, b->owner, q->s3->region, b->source, b->first_ms, rt_wall_ms(), unique);
    q->key = buf_str(&key);
    int r = buf_error(&key) ? -ERR_KEY_TOO_LONG : 0;
    if (!r && !str_eq(q->bucket.owner, b->owner))
        r = -ERR_ACCESS_DENIED;
    if (!r)
        r = s3_logs_authorise(q->s3, &q->bucket, q->key, b->source, b->owner);
    struct jobs_actor who = actor_of(b->source, b->owner);
    struct jobs_writing what = {.content_type = CONTENT_TYPE};
    if (!r)
        r = list_of(q, l, &what.acl);
    return r ? r : s3_service_put(q, &who, &what, buf_str(&b->lines));
}

static int FIBER deliver(struct s3 *s3, const struct batch *b)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = s3, .arena = &a};
    struct s3_logging l;
    bool on;
    arena_init(&a, 0);
    int r = s3_logging_parse(&a, b->config, &l, &on);
    if (!r && !on)
        r = -ERR_CORRUPT;
    if (!r)
        r = store_bucket_get(s3->store, &a, l.bucket, &q.bucket);
    if (r)
        return r;
    q.bucket_name = l.bucket;
    r = deliver_to(&q, &l, b);
    store_bucket_release(&q.bucket);
    return r;
}

static void tell_failure(const struct batch *b, int err)
{
    struct log_line line;
    log_begin(&line, LOG_WARN, "access log not delivered");
    log_str(&line, "bucket", b->source);
    log_u64(&line, "lines", b->count);
    log_err(&line, err);
    log_end(&line);
}

static struct batch *take_due(struct s3_logs *l, bool all)
{
    struct batch *due = NULL;
    rt_lock(&l->lock);
    for (struct list *n = l->batches.next; !due && n != &l->batches; n = n->next) {
        struct batch *b = container_of(n, struct batch, link);
        if (all || b->lines.len >= S3_LOG_BATCH_BYTES || rt_now() - b->first_ns >= S3_LOG_DELAY_NS)
            due = b;
    }
    if (due) {
        list_remove(&due->link);
        l->batch_count--;
        l->pending_bytes -= due->lines.len;
    }
    rt_unlock(&l->lock);
    return due;
}

void FIBER s3_logs_deliver(struct s3 *s3, bool all)
{
    struct s3_logs *l = s3->logs;
    struct batch *b;
    while ((b = take_due(l, all))) {
        int r = deliver(s3, b);
        if (r)
            tell_failure(b, r);
        rt_lock(&l->lock);
        l->counts.objects += r == 0;
        l->counts.dropped += r ? b->count : 0;
        rt_unlock(&l->lock);
        batch_free(b);
    }
}

/* ---- its fiber ------------------------------------------------------------------------------ */

static int FIBER delivery_fiber(void *arg)
{
    struct s3 *s3 = arg;
    while (rt_sleep_until(rt_now() + TICK_NS) == 0)
        s3_logs_deliver(s3, false);
    return 0;
}

int FIBER s3_logs_start(struct s3 *s3)
{
    return rt_spawn(&s3->logs->fiber, "access-logs", delivery_fiber, s3);
}

void FIBER s3_logs_stop(struct s3 *s3)
{
    if (!s3 || !s3->logs->fiber)
        return;
    rt_cancel(s3->logs->fiber);
    (void)rt_join(s3->logs->fiber);
    s3->logs->fiber = NULL;
    s3_logs_deliver(s3, true);
}
