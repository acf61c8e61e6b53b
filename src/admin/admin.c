/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"
#include "iam/authenticate.h"
#include "wire/date.h"
#include "wire/uri.h"

#define PREFIX "/-/admin/v1/"

/* ---- routes --------------------------------------------------------------------------------- */

struct route {
    const char *method, *path; /* a path that ends in '/' has one more segment */
    bool open;                 /* needs no credentials */
    void (*handle)(struct admin *a, struct http_exchange *x, struct str body);
};

static const struct route routes[] = {
    {"GET", "/health/live", true, admin_health_live},
    {"GET", "/health/ready", true, admin_health_ready},
    {"GET", "/minio/health/live", true, admin_health_live},
    {"GET", "/minio/health/ready", true, admin_health_ready},
    {"GET", "/minio/health/cluster", true, admin_health_ready},
    {"GET", "/metrics", true, admin_metrics},
    {"GET", "/minio/v2/metrics/cluster", true, admin_metrics},
    {"GET", PREFIX "info", false, admin_info},
    {"GET", PREFIX "users", false, admin_user_list},
    {"POST", PREFIX "users", false, admin_user_add},
    {"POST", PREFIX "users/", false, admin_user_change},
    {"DELETE", PREFIX "users/", false, admin_user_remove},
    {"GET", PREFIX "policies", false, admin_policy_list},
    {"POST", PREFIX "policies", false, admin_policy_add},
    {"GET", PREFIX "policies/", false, admin_policy_get},
    {"DELETE", PREFIX "policies/", false, admin_policy_remove},
    {"POST", PREFIX "attachments", false, admin_policy_attach},
    {"POST", PREFIX "explain", false, admin_policy_explain},
    {"GET", PREFIX "groups", false, admin_group_list},
    {"POST", PREFIX "groups", false, admin_group_add},
    {"DELETE", PREFIX "groups/", false, admin_group_remove},
    {"POST", PREFIX "members", false, admin_group_member},
    {"GET", PREFIX "accesskeys/", false, admin_access_key_list},
    {"POST", PREFIX "accesskeys", false, admin_access_key_add},
    {"POST", PREFIX "accesskeys/", false, admin_access_key_change},
    {"DELETE", PREFIX "accesskeys/", false, admin_access_key_remove},
    {"GET", PREFIX "roles", false, admin_role_list},
    {"POST", PREFIX "roles", false, admin_role_add},
    {"DELETE", PREFIX "roles/", false, admin_role_remove},
    {"GET", PREFIX "ldap", false, admin_ldap_list},
    {"POST", PREFIX "ldap", false, admin_ldap_attach},
    {"POST", PREFIX "imports", false, admin_import},
    {"POST", PREFIX "check", false, admin_check},
    {"GET", PREFIX "keys", false, admin_key_list},
    {"POST", PREFIX "keys", false, admin_key_change},
    {"GET", PREFIX "jobs", false, admin_job_list},
    {"POST", PREFIX "jobs/", false, admin_job_change},
    {"POST", PREFIX "heal", false, admin_heal},
    {"POST", PREFIX "bucket-class", false, admin_bucket_class},
    {"GET", PREFIX "quotas/", false, admin_quota_get},
    {"POST", PREFIX "quotas/", false, admin_quota_set},
    {"GET", PREFIX "disks", false, admin_disk_list},
    {"POST", PREFIX "disks", false, admin_disk_change},
    {"GET", PREFIX "audit", false, admin_audit},
    {"GET", PREFIX "audit-verify", false, admin_audit_verify},
    {"GET", PREFIX "events", false, admin_event_follow},
    {"GET", PREFIX "event-targets", false, admin_event_targets},
    {"POST", PREFIX "event-targets", false, admin_event_target_add},
    {"DELETE", PREFIX "event-targets/", false, admin_event_target_remove},
    {"POST", PREFIX "event-tests/", false, admin_event_test},
    {"GET", PREFIX "dead-events/", false, admin_event_dead},
    {"POST", PREFIX "dead-events/", false, admin_event_dead_change},
    {"GET", PREFIX "purge", false, admin_purge_status},
    {"POST", PREFIX "purge", false, admin_purge_change},
    {"POST", PREFIX "purge-look", false, admin_purge_look},
    {"GET", PREFIX "batch", false, admin_batch_list},
    {"POST", PREFIX "batch", false, admin_batch_start},
    {"GET", PREFIX "batch/", false, admin_batch_status},
    {"DELETE", PREFIX "batch/", false, admin_batch_cancel},
    {"GET", PREFIX "retention", false, admin_retention_list},
    {"POST", PREFIX "retention/", false, admin_retention_set},
    {"GET", PREFIX "scrub", false, admin_scrub_status},
    {"POST", PREFIX "scrub", false, admin_scrub_change},
};

static struct str request_path(const struct http_exchange *x)
{
    struct str path, query;
    uri_split(http_request(x)->target, &path, &query);
    return path;
}

static bool path_matches(const struct route *r, struct str path)
{
    struct str pattern = str_from(r->path);
    if (!str_ends(pattern, STR("/")))
        return str_eq(path, pattern);
    return str_starts(path, pattern) && path.len > pattern.len &&
           str_find_char(path, '/', pattern.len) < 0;
}

/* HEAD is answered as GET. */
static bool method_matches(const struct route *r, struct str method)
{
    return str_eq(method, str_from(r->method)) ||
           (str_eq(method, STR("HEAD")) && str_eq(str_from(r->method), STR("GET")));
}

struct str admin_path_name(struct http_exchange *x)
{
    struct str path = request_path(x), name = STR_NULL;
    for (struct str part; str_cut(&path, '/', &part);)
        name = part;
    struct str decoded;
    return uri_decode(http_arena(x), name, &decoded) == 0 ? decoded : STR_NULL;
}

/* ---- the door ------------------------------------------------------------------------------- */

int admin_new(struct admin **ret, const struct admin_config *config)
{
    struct admin *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->config = *config;
    a->started_ns = rt_now();
    *ret = a;
    return 0;
}

void admin_free(struct admin *a)
{
    free(a);
}

void admin_set_server(struct admin *a, const struct http_server *server)
{
    a->config.server = server;
}

void admin_set_draining(struct admin *a)
{
    atomic_store(&a->draining, true);
}

static bool carries_credentials(const struct http_exchange *x)
{
    struct str path, query;
    uri_split(http_request(x)->target, &path, &query);
    return http_header(x, STR("authorization")).ptr || str_find(query, STR("X-Amz-"), 0) >= 0;
}

bool admin_wants(const struct http_exchange *x)
{
    struct str path = request_path(x);
    if (str_starts(path, STR("/-/")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].open && method_matches(&routes[i], http_request(x)->method) &&
            path_matches(&routes[i], path))
            return !carries_credentials(x);
    return false;
}

/* What was signed for another service or region, perhaps with a key that was derived for it alone,
 * opens nothing here. `cairn admin` knows no region and says us-east-1, others none. */
static bool is_for_us(const struct admin *a, const struct sigv4_auth *auth)
{
    return str_eq(auth->service, STR("s3")) &&
           (auth->region.len == 0 || str_eq(auth->region, STR("us-east-1")) ||
            str_eq(auth->region, a->config.region));
}

/* Reads the body as well: the signature's digest must be its digest. */
static int FIBER require_root(struct admin *a, struct http_exchange *x, struct admin_caller *ret,
                              struct str *ret_body)
{
    struct sigv4_auth auth;
    const struct sigv4_key *key;
    struct iam_identity who;
    int r = iam_authenticate(a->config.iam, http_arena(x), http_request(x), STR_NULL, rt_wall_ms(),
                             &auth, &key, &who);
    if (r < 0)
        return r;
    if (auth.form != SIGV4_NONE)
        *ret = (struct admin_caller){who.name, auth.access_key};
    if (auth.form != SIGV4_NONE)
        iam_identity_release(&who); /* root is all that is asked of it */
    /* Root itself: neither a session nor a service account of it. */
    bool is_root = auth.form == SIGV4_HEADER && who.root && who.credential == IAM_OWN_KEY;
    if (!is_root || !is_for_us(a, &auth) || auth.payload != SIGV4_PAYLOAD_HASH)
        return -ERR_ACCESS_DENIED;
    uint8_t digest[HASH_SHA256_LEN];
    r = http_body_all(x, ADMIN_BODY_MAX, ret_body);
    if (r < 0)
        return r;
    hash_sha256(*ret_body, digest);
    return memcmp(digest, auth.payload_hash, sizeof(digest)) == 0 ? 0 : -ERR_SHA256_MISMATCH;
}

struct str admin_caller_key(struct http_exchange *x)
{
    struct sigv4_auth auth;
    return sigv4_parse(http_arena(x), http_request(x), &auth) < 0 ? STR_NULL : auth.access_key;
}

/* `r`: whether the caller may. */
static void FIBER handle_audited(struct admin *a, struct http_exchange *x,
                                 const struct route *route, int r,
                                 const struct admin_caller *caller, struct str body)
{
    struct audit_record record = admin_audit_record(x, caller, r < 0 ? STR_NULL : body);
    record.outcome = AUDIT_BEGUN;
    if (r == 0)
        r = audit_begin(a->config.audit, &record);
    if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        route->handle(a, x, body);
    if (r < 0)
        record.error = str_from(err_info(r)->s3_code);
    admin_audit_end(a, x, &record);
}

void FIBER admin_handle(struct http_exchange *x, void *arg)
{
    struct admin *a = arg;
    struct str path = request_path(x);
    const struct route *found = NULL;
    bool known_path = false;
    for (size_t i = 0; i < ARRAY_LEN(routes) && !found; i++) {
        if (!path_matches(&routes[i], path))
            continue;
        known_path = true;
        if (method_matches(&routes[i], http_request(x)->method))
            found = &routes[i];
    }
    /* Who has no rights learns nothing, not even which paths exist. */
    struct str body = STR_NULL;
    struct admin_caller caller = {0};
    int r = found && found->open ? 0 : require_root(a, x, &caller, &body);
    if (r < 0 && !caller.access_key.len) {
        admin_respond_error(x, r, NULL);
        admin_audit_refused(a, x, r);
    } else if (found && admin_is_audited(a, x))
        handle_audited(a, x, found, r, &caller, body);
    else if (r < 0)
        admin_respond_error(x, r, NULL);
    else if (found)
        found->handle(a, x, body);
    else
        admin_respond_error(x, known_path ? -ERR_METHOD_NOT_ALLOWED : -ERR_NOT_FOUND,
                            known_path ? NULL : "no such path under /-/admin/v1/");
}

/* ---- answers -------------------------------------------------------------------------------- */

void FIBER admin_respond_json(struct http_exchange *x, int status, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    http_set_header(x, "Content-Type", STR("application/json"));
    http_set_header(x, "Cache-Control", STR("no-store"));
    if (!text)
        http_set_header(x, "Retry-After", STR("1"));
    if (text)
        http_respond(x, status, str_from(text));
    else
        http_respond(x, 503,
                     STR("{\"error\":{\"code\":\"SlowDown\",\"message\":\"out of memory\"}}"));
    free(text);
}

int FIBER admin_send_line(struct http_exchange *x, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text)
        return -ENOMEM;
    size_t len = strlen(text);
    text[len] = '\n'; /* over the NUL: the length travels along */
    int r = http_write(x, text, len + 1);
    free(text);
    return r;
}

void FIBER admin_respond_error(struct http_exchange *x, int err, const char *message)
{
    const struct err_info *info = err_info(err);
    admin_respond_json(x, info->http_status,
                       json_pack("{s:{s:s, s:s, s:s}}", "error", "code", info->s3_code, "message",
                                 message ? message : err_text(err), "request_id",
                                 http_request_id(x)));
}

json_t *admin_json_str(struct str s)
{
    json_t *text = json_stringn(s.len ? s.ptr : "", s.len);
    if (text)
        return text;
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x80)
            buf_put_char(&b, (char)c);
        else
            buf_put_cstr(&b, "\xEF\xBF\xBD"); /* U+FFFD */
    }
    text = json_stringn(b.data ? b.data : "", b.len);
    buf_release(&b);
    return text;
}

json_t *admin_json_time(uint64_t ms)
{
    char text[DATE_ISO_LEN];
    if (ms == 0)
        return json_null();
    date_format_iso(ms, text);
    return json_stringn(text, sizeof(text));
}

json_t *admin_json_names(const struct str *names, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, admin_json_str(names[i]));
    return list;
}
