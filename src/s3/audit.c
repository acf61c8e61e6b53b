/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "s3/audit.h"
#include "wire/json.h"

/* ---- which ---------------------------------------------------------------------------------- */

static bool action_reads(struct str operation)
{
    ptrdiff_t colon = str_find_char(operation, ':', 0);
    struct str name = str_from_offset(operation, (size_t)(colon + 1));
    bool gives = str_eq(name, STR("GetSessionToken")) || str_eq(name, STR("GetFederationToken"));
    return !gives && (str_starts(name, STR("List")) || str_starts(name, STR("Get")));
}

static bool is_audited(const struct s3_request *q)
{
    if (!q->s3->audit || !q->op || q->op->flags & (S3_OP_READS | S3_OP_ANYONE))
        return false;
    if (q->audit_operation.ptr)
        return !action_reads(q->audit_operation);
    return q->op->method == S3_PUT || q->op->method == S3_POST || q->op->method == S3_DELETE;
}

/* ---- what ----------------------------------------------------------------------------------- */

/* Where the state before a change is kept as a setting of the bucket. */
static const struct {
    const char *query;
    enum store_setting_kind kind;
} settings[] = {
    {"accelerate", STORE_SETTING_ACCELERATE},
    {"acl", STORE_SETTING_ACL},
    {"cors", STORE_SETTING_CORS},
    {"encryption", STORE_SETTING_ENCRYPTION},
    {"notification", STORE_SETTING_NOTIFICATION},
    {"ownershipControls", STORE_SETTING_OWNERSHIP_CONTROLS},
    {"policy", STORE_SETTING_POLICY},
    {"publicAccessBlock", STORE_SETTING_PUBLIC_ACCESS_BLOCK},
    {"requestPayment", STORE_SETTING_REQUEST_PAYMENT},
    {"tagging", STORE_SETTING_TAGGING},
    {"website", STORE_SETTING_WEBSITE},
};

static struct str text_before(const struct s3_request *q)
{
    if (q->op->level != S3_BUCKET || !q->op->query)
        return STR_NULL;
    for (unsigned i = 0; i < ARRAY_LEN(settings); i++) {
        if (strcmp(settings[i].query, q->op->query) != 0)
            continue;
        const struct store_setting *s = store_setting_of(q->bucket.settings, settings[i].kind);
        /* An access control list is kept in a form of our own. */
        return s && str_is_utf8(s->text) ? s->text : STR_NULL;
    }
    return STR_NULL;
}

static struct audit_record record_of(const struct s3_request *q)
{
    struct audit_record r = {
        .operation = q->audit_operation.ptr ? q->audit_operation : str_from(q->op->name),
        .source = http_client_ip(q->x),
        .agent = http_header(q->x, STR("user-agent")),
        .request_id = str_from(http_request_id(q->x)),
        .bucket = q->bucket_name,
        .key = q->key,
        .version = s3_param(q, "versionId"),
    };
    if (q->signed_in) {
        r.user = q->who.name;
        r.user_id = q->who.user_id;
        r.access_key = q->who.access_key;
    }
    return r;
}

int FIBER s3_audit_begin(struct s3_request *q)
{
    if (!audit_is_required(q->s3->audit) || !is_audited(q))
        return 0;
    struct audit_record r = record_of(q);
    r.outcome = AUDIT_BEGUN;
    return audit_begin(q->s3->audit, &r);
}

/* "GET /bucket/key", without the query, in which a signature may stand. */
static struct str request_line(const struct s3_request *q)
{
    return arena_printf(q->arena, "%.*s %.*s", STR_FMT(q->head->method),
                        STR_FMT(str_prefix(q->path, 1000)));
}

static struct audit_record record_of_refused(const struct s3_request *q)
{
    if (q->op)
        return record_of(q);
    return (struct audit_record){
        .operation = STR("Authenticate"),
        .source = http_client_ip(q->x),
        .agent = http_header(q->x, STR("user-agent")),
        .request_id = str_from(http_request_id(q->x)),
        .after = request_line(q),
    };
}

/* Who signed wrongly has named a key, but is not its user; what was asked was not even looked at.
 */
static void note_refused(const struct s3_request *q)
{
    struct audit_record r = record_of_refused(q);
    r.outcome = AUDIT_FAILED;
    r.status = http_status(q->x);
    r.error = str_from(err_info(q->err)->s3_code);
    r.access_key = q->auth.access_key;
    if (!r.after.ptr && q->document.ptr && str_is_utf8(q->document))
        r.after = q->document;
    audit_put_refused(q->s3->audit, &r);
}

void s3_audit_end(struct s3_request *q)
{
    if (q->s3->audit && !q->signed_in && q->err < 0 && (q->unauthentic || is_audited(q))) {
        note_refused(q);
        return;
    }
    if (!is_audited(q))
        return;
    struct audit_record r = record_of(q);
    r.status = http_status(q->x);
    r.outcome = r.status && r.status < 400 ? AUDIT_DONE : AUDIT_FAILED;
    if (q->err < 0)
        r.error = str_from(err_info(q->err)->s3_code);
    r.bytes = http_bytes_in(q->x);
    r.before = text_before(q);
    if (q->document.ptr && str_is_utf8(q->document))
        r.after = q->document;
    audit_put(q->s3->audit, &r);
}

void s3_audit_key(struct s3_request *q, struct str key, struct str version, int err)
{
    if (!is_audited(q))
        return;
    struct audit_record r = record_of(q);
    r.key = key;
    r.version = version;
    r.outcome = err ? AUDIT_FAILED : AUDIT_DONE;
    if (err)
        r.error = str_from(err_info(err)->s3_code);
    audit_put(q->s3->audit, &r);
}

/* ---- the query APIs ------------------------------------------------------------------------- */

/* What may be told of a form: names and documents; never a token or a password. */
static const char *const told[] = {
    "AccessKeyId",
    "AssumeRolePolicyDocument",
    "GroupName",
    "LDAPUsername",
    "NewGroupName",
    "NewPath",
    "NewUserName",
    "OpenIDConnectProviderArn",
    "Path",
    "PolicyArn",
    "PermissionsBoundary",
    "PolicyDocument",
    "PolicyName",
    "RoleArn",
    "RoleName",
    "RoleSessionName",
    "SetAsDefault",
    "Status",
    "Url",
    "UserName",
    "VersionId",
};

static bool may_be_told(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(told); i++)
        if (str_eq(name, str_from(told[i])))
            return true;
    return false;
}

void s3_audit_action(struct s3_request *q, const char *service, const char *action,
                     const struct uri_query *params)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 4 * AUDIT_TEXT_MAX);
    if (!q->s3->audit)
        return;
    buf_put_char(&b, '{');
    for (size_t i = 0; i < params->count; i++) {
        if (!may_be_told(params->params[i].name))
            continue;
        if (b.len > 1)
            buf_put_char(&b, ',');
        json_put_string(&b, params->params[i].name);
        buf_put_char(&b, ':');
        json_put_string(&b, params->params[i].value);
    }
    buf_put_char(&b, '}');
    if (buf_error(&b) == 0)
        q->document = arena_dup(q->arena, buf_str(&b));
    q->audit_operation = arena_printf(q->arena, "%s:%s", service, action);
}
