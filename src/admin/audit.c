/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The audit log: what this door puts there of its own requests, and the log read.
 */

#include "admin/internal.h"
#include "wire/date.h"
#include "wire/json.h"
#include "wire/uri.h"

#define QUERY_MAX 1000000 /* records an answer */

/* ---- recording ------------------------------------------------------------------------------ */

/* What may be told of a body: never a secret, so only what is known to be none. */
static const char *const told[] = {
    "name",
    "access_key",
    "id",
    "email",
    "display_name",
    "account",
    "policy",
    "policies",
    "user",
    "group",
    "type",
    "action",
    "number",
    "path",
    "bucket",
    "key",
    "repair",
    "paused",
    "attach",
    "member",
    "document",
    "class",
    "objects",
    "bytes",
    "kind",
    "parent",
    "active",
    "dry_run",
    "prefix",
    "tag_key",
    "tag_value",
    "erase",
    "min_days",
    "max_days",
    "mode",
    "dn",
    "rate",
    "tags",
    "manifest_bucket",
    "manifest_key",
    "report_bucket",
    "report_prefix",
    "bypass_governance",
};

static bool may_be_told(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (strcmp(told[i], name) == 0)
            return true;
    return false;
}

static struct str told_of(struct http_exchange *x, struct str body)
{
    json_t *in = json_read(body), *value;
    json_t *out = json_object();
    const char *name;
    json_object_foreach(in, name, value)
    {
        if (may_be_told(name))
            json_object_set(out, name, value);
    }
    char *text = json_object_size(out) ? json_dumps(out, JSON_COMPACT) : NULL;
    struct str copy = text ? arena_dup(http_arena(x), str_from(text)) : STR_NULL;
    free(text);
    json_decref(out);
    json_decref(in);
    return copy;
}

bool admin_is_audited(const struct admin *a, struct http_exchange *x)
{
    struct str method = http_request(x)->method;
    return a->config.audit && !str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"));
}

struct audit_record admin_audit_record(struct http_exchange *x, const struct admin_caller *who,
                                       struct str body)
{
    struct str path, query;
    uri_split(http_request(x)->target, &path, &query);
    return (struct audit_record){
        .operation = arena_printf(http_arena(x), "admin:%.*s %.*s",
                                  STR_FMT(http_request(x)->method), STR_FMT(path)),
        .user = who->name,
        .access_key = who->access_key,
        .source = http_client_ip(x),
        .agent = http_header(x, STR("user-agent")),
        .request_id = str_from(http_request_id(x)),
        .after = told_of(x, body),
    };
}

void admin_audit_refused(struct admin *a, struct http_exchange *x, int err)
{
    struct audit_record r = admin_audit_record(x, &(struct admin_caller){0}, STR_NULL);
    r.outcome = AUDIT_FAILED;
    r.status = http_status(x);
    r.error = str_from(err_info(err)->s3_code);
    audit_put_refused(a->config.audit, &r);
}

void admin_audit_end(struct admin *a, struct http_exchange *x, struct audit_record *r)
{
    r->status = http_status(x);
    r->outcome = r->status && r->status < 400 ? AUDIT_DONE : AUDIT_FAILED;
    r->bytes = http_bytes_in(x);
    audit_put(a->config.audit, r);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool absent(struct admin *a, struct http_exchange *x)
{
    if (!a->config.audit)
        admin_respond_error(x, -ERR_UNAVAILABLE, "the audit log is off");
    return !a->config.audit;
}

static int read_time(const struct uri_query *q, struct str name, uint64_t *ret)
{
    struct str text = uri_query_get(q, name);
    return text.len ? date_parse_iso(text, ret) : 0;
}

static int read_filter(struct http_exchange *x, struct audit_filter *ret)
{
    struct str path, raw;
    struct uri_query q;
    uri_split(http_request(x)->target, &path, &raw);
    int r = uri_parse_query(http_arena(x), raw, &q);
    if (r < 0)
        return r;
    *ret = (struct audit_filter){.user = uri_query_get(&q, STR("user")),
                                 .bucket = uri_query_get(&q, STR("bucket")),
                                 .prefix = uri_query_get(&q, STR("prefix")),
                                 .operation = uri_query_get(&q, STR("operation")),
                                 .outcome = uri_query_get(&q, STR("outcome")),
                                 .max = QUERY_MAX};
    struct str max = uri_query_get(&q, STR("max"));
    if (max.len && str_to_u64(max, &ret->max) < 0)
        return -ERR_INVALID_ARGUMENT;
    ret->max = MIN(ret->max, (uint64_t)QUERY_MAX);
    if (read_time(&q, STR("from"), &ret->from_ms) < 0 || read_time(&q, STR("to"), &ret->to_ms) < 0)
        return -ERR_INVALID_ARGUMENT;
    return 0;
}

static int FIBER send_line(struct str line, void *arg)
{
    struct http_exchange *x = arg;
    int r = http_write(x, line.ptr, line.len);
    return r < 0 ? r : http_write(x, "\n", 1);
}

void FIBER admin_audit(struct admin *a, struct http_exchange *x, struct str body)
{
    struct audit_filter filter;
    char dir[AUDIT_PATH_MAX];
    if (absent(a, x))
        return;
    int r = read_filter(x, &filter);
    if (r < 0) {
        admin_respond_error(x, -ERR_INVALID_ARGUMENT,
                            "times are written 2026-01-02T03:04:05Z, max is a number");
        return;
    }
    (void)audit_flush(a->config.audit); /* what cannot be written is told of by verify */
    http_set_header(x, "Content-Type", STR("application/x-ndjson"));
    r = http_begin(x, 200, UINT64_MAX);
    audit_dir(a->config.audit, dir);
    if (r == 0)
        r = audit_query(dir, &filter, send_line, x);
    if (r == 0)
        r = http_end(x);
    if (r < 0)
        http_close_after(x, true);
}

/* Of each copy that is not behind: the first that is not sound, else one of them. */
static int FIBER verify_copies(struct admin *a, struct audit_verdict *ret)
{
    struct audit_copy_status copies[AUDIT_COPIES_MAX];
    unsigned count = audit_copies(a->config.audit, copies);
    int r = -ERR_UNAVAILABLE;
    ret->sound = true;
    for (unsigned i = 0; i < count && ret->sound; i++) {
        if (!copies[i].in)
            continue;
        r = audit_verify(copies[i].dir, ret);
        if (r < 0)
            return r;
        char fault[sizeof(ret->fault)];
        memcpy(fault, ret->fault, sizeof(fault));
        if (!ret->sound && count > 1)
            snprintf(ret->fault, sizeof(ret->fault), "%.80s: %.70s", copies[i].dir, fault);
    }
    return r;
}

void FIBER admin_audit_verify(struct admin *a, struct http_exchange *x, struct str body)
{
    struct audit_verdict v;
    if (absent(a, x))
        return;
    int r = audit_flush(a->config.audit);
    if (r == 0)
        r = verify_copies(a, &v);
    if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        admin_respond_json(x, 200,
                           json_pack("{s:b, s:I, s:I, s:I, s:I, s:s, s:s}", "sound", v.sound,
                                     "files", (json_int_t)v.files, "records", (json_int_t)v.records,
                                     "first_seq", (json_int_t)v.first_seq, "last_seq",
                                     (json_int_t)v.last_seq, "last_hash", v.last_hash, "fault",
                                     v.fault));
}
