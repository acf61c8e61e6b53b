/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Temporary credentials. Source: AWS STS API Reference; MinIO's AssumeRole, which names no role: a
 * session of who asks, inside the policy that the form gives.
 */

#include "s3/query/query.h"

#define TOKEN_SESSION_S     43200
#define TOKEN_SESSION_MAX_S 129600
#define OWN_SESSION_S       3600
#define OWN_SESSION_MAX_S   604800 /* MinIO's */

static void put_credentials(struct query *y, const struct iam_session *s)
{
    xml_open(&y->out, "Credentials");
    xml_element(&y->out, "AccessKeyId", s->access_key);
    xml_element(&y->out, "SecretAccessKey", s->secret);
    xml_element(&y->out, "SessionToken", s->token);
    query_put_time(y, "Expiration", s->expires_ms);
    xml_close(&y->out, "Credentials");
}

int query_get_caller_identity(struct query *y)
{
    xml_element(&y->out, "Arn", y->q->who.arn);
    xml_element(&y->out, "UserId", y->q->who.user_id);
    xml_element(&y->out, "Account", y->q->who.account);
    return 0;
}

/* The policy that narrows the session: one that is empty would narrow nothing. */
static int read_policy(struct query *y, struct str *ret)
{
    *ret = query_param(y, "Policy");
    if (!ret->ptr || ret->len)
        return 0;
    return s3_error(y->q, -ERR_VALIDATION,
                    "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
                    "Member must have length greater than or equal to 1");
}

/* ---- a user's own --------------------------------------------------------------------------- */

static int make_own(struct query *y, uint64_t duration_s)
{
    struct iam_session session;
    struct iam_session_spec spec = {
        .parent = &y->q->who,
        .duration_s = duration_s,
    };
    int r = read_policy(y, &spec.policy);
    if (!r)
        r = iam_session_make(y->iam, y->arena, &spec, &session, &y->fault);
    if (r == -ERR_ACCESS_DENIED)
        return s3_error(y->q, r, "Cannot call %s with session or service account credentials",
                        y->action->name);
    if (!r)
        put_credentials(y, &session);
    return r;
}

int query_get_session_token(struct query *y)
{
    uint64_t duration_s;
    int r = query_number(y, "DurationSeconds", IAM_SESSION_MIN_S, TOKEN_SESSION_MAX_S,
                         TOKEN_SESSION_S, &duration_s);
    return r ? r : make_own(y, duration_s);
}

/* One's own session needs no right, as in MinIO; but a Deny on it is one. */
static int FIBER check_not_denied(struct query *y)
{
    struct s3_context context = {.q = y->q};
    struct iam_decision why = {.outcome = IAM_EXPLICIT_DENY};
    struct iam_access a = {
        .who = &y->q->who,
        .action = STR("sts:AssumeRole"),
        .arn = y->q->who.arn,
        .alias_arn = y->q->who.alias_arn,
        .bucket_owner = y->account,
        .context = s3_context_value,
        .context_arg = &context,
    };
    int r = iam_authorise(y->iam, &a, &why);
    if (r != -ERR_ACCESS_DENIED)
        return r;
    return why.outcome == IAM_EXPLICIT_DENY
               ? s3_error(y->q, r, "User: %.*s is not authorized to perform: sts:AssumeRole",
                          STR_FMT(y->q->who.arn))
               : 0;
}

static int FIBER assume_own(struct query *y)
{
    uint64_t duration_s;
    int r = query_number(y, "DurationSeconds", IAM_SESSION_MIN_S, OWN_SESSION_MAX_S, OWN_SESSION_S,
                         &duration_s);
    if (!r)
        r = check_not_denied(y);
    return r ? r : make_own(y, duration_s);
}

/* ---- a role's ------------------------------------------------------------------------------- */

/* What the trust policy may ask for beside what every request says. */
static int FIBER assume_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    struct query *y = arg;
    struct s3_context context = {.q = y->q};
    const char *param = key == IAM_KEY_STS_EXTERNAL_ID    ? "ExternalId"
                        : key == IAM_KEY_STS_SESSION_NAME ? "RoleSessionName"
                        : key == IAM_KEY_STS_DURATION     ? "DurationSeconds"
                                                          : NULL;
    if (key == IAM_KEY_RESOURCE_TAG)
        return query_tag_values(y, key, name, ret);
    if (!param)
        return s3_context_value(&context, key, name, ret);
    struct str *value = arena_new(y->arena, struct str);
    if (!value)
        return -ENOMEM;
    *value = query_param(y, param);
    *ret = (struct iam_values){value, value->len > 0};
    return 0;
}

/* Both sides must agree: the role's trust names who asks, and their own policies let them. */
static int FIBER judge_trust(struct query *y, const struct iam_identity *who, const char *action)
{
    _cleanup_policy_ struct policy *trust = NULL;
    struct policy_fault why;
    int r = policy_compile(POLICY_TRUST, STR(""), y->role.trust, &trust, &why);
    if (r)
        return r == -ERR_MALFORMED_POLICY ? -ERR_ACCESS_DENIED : r;
    struct iam_access a = {
        .who = who,
        .action = str_from(action),
        .arn = y->role.arn,
        .bucket_owner = y->role.account,
        .bucket_policy = trust,
        .resource_must = true,
        .context = assume_value,
        .context_arg = y,
    };
    return iam_authorise(y->iam, &a, NULL);
}

static int refuse_role(struct query *y, struct str arn)
{
    return s3_error(y->q, -ERR_ACCESS_DENIED,
                    "User: %.*s is not authorized to perform: sts:AssumeRole on resource: %.*s",
                    STR_FMT(y->q->who.arn), STR_FMT(arn));
}

/* A role that is not there and one that does not trust look alike. */
static int FIBER enter_role(struct query *y, struct str arn)
{
    int r = iam_role_by_arn(y->iam, y->arena, arn, &y->role);
    if (!r)
        r = judge_trust(y, &y->q->who, "sts:AssumeRole");
    return r == -ERR_ACCESS_DENIED || r == -ERR_NOT_FOUND ? refuse_role(y, arn) : r;
}

/* Policies that narrow the session are of the role's account. */
static int read_policies(struct query *y, struct iam_session_spec *spec)
{
    struct str *names = arena_array(y->arena, struct str, IAM_SESSION_POLICIES_MAX + 1);
    y->account = y->role.account;
    spec->policies = names;
    int r = read_policy(y, &spec->policy);
    for (size_t i = 0; !r && names; i++) {
        struct str key = arena_printf(y->arena, "PolicyArns.member.%zu.arn", i + 1);
        struct str arn = uri_query_get(&y->params, key);
        if (!key.ptr)
            return -ENOMEM;
        if (!arn.ptr)
            return 0;
        if (i == IAM_SESSION_POLICIES_MAX)
            return -ERR_TOO_LARGE;
        r = query_policy_of_arn(y, arn, &names[spec->policy_count++]);
    }
    return r ? r : -ENOMEM;
}

static int put_role_session(struct query *y, const struct iam_session_spec *spec,
                            const struct iam_session *s)
{
    struct str local = iam_local_name(y->role.account, y->role.name);
    struct str arn = arena_printf(y->arena, "arn:aws:sts::%.*s:assumed-role/%.*s/%.*s",
                                  STR_FMT(y->role.account), STR_FMT(local), STR_FMT(spec->name));
    struct str id = arena_printf(y->arena, "%.*s:%.*s", STR_FMT(y->role.id), STR_FMT(spec->name));
    if (!arn.ptr || !id.ptr)
        return -ENOMEM;
    put_credentials(y, s);
    xml_open(&y->out, "AssumedRoleUser");
    xml_element(&y->out, "Arn", arn);
    xml_element(&y->out, "AssumedRoleId", id);
    xml_close(&y->out, "AssumedRoleUser");
    if (spec->policy.len)
        xml_element_u64(&y->out, "PackedPolicySize",
                        MAX(spec->policy.len * 100 / IAM_SESSION_POLICY_MAX, (size_t)1));
    return 0;
}

static int read_duration(struct query *y, uint64_t *ret)
{
    bool chained = y->q->who.credential == IAM_ROLE_SESSION;
    uint64_t most = chained ? IAM_CHAINED_SESSION_MAX_S : y->role.max_session_s;
    int r = query_number(y, "DurationSeconds", IAM_SESSION_MIN_S, IAM_ROLE_SESSION_MAX_S,
                         IAM_ROLE_SESSION_S, ret);
    if (r || *ret <= most)
        return r;
    return s3_error(y->q, -ERR_VALIDATION, "The requested DurationSeconds exceeds the %s",
                    chained ? "1 hour session limit for roles assumed by role chaining."
                            : "MaxSessionDuration set for this role.");
}

static int give_session(struct query *y, struct iam_session_spec *spec)
{
    struct iam_session session;
    int r = read_duration(y, &spec->duration_s);
    if (!r)
        r = read_policies(y, spec);
    if (r)
        return r;
    spec->role = y->role.name;
    r = iam_session_make(y->iam, y->arena, spec, &session, &y->fault);
    return r ? r : put_role_session(y, spec, &session);
}

static int read_session_name(struct query *y, struct str *ret)
{
    int r = query_need(y, "RoleSessionName", ret);
    if (r || iam_session_name_is_valid(*ret))
        return r;
    return s3_error(y->q, -ERR_VALIDATION,
                    "1 validation error detected: Value '%.*s' at 'roleSessionName' failed to "
                    "satisfy constraint: Member must %s",
                    STR_FMT(*ret),
                    ret->len < 2    ? "have length greater than or equal to 2"
                    : ret->len > 64 ? "have length less than or equal to 64"
                                    : "satisfy regular expression pattern: [\\w+=,.@-]*");
}

/* Parameters that would change the session's meaning and are not served. */
static int check_served(struct query *y)
{
    static const char *const refused[] = {"SourceIdentity", "Tags.member.1.Key",
                                          "TransitiveTagKeys.member.1", "SerialNumber",
                                          "ProvidedContexts.member.1.ProviderArn"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (query_param(y, refused[i]).ptr)
            return s3_error(y->q, -ERR_NOT_IMPLEMENTED, "The parameter %s is not implemented",
                            refused[i]);
    return 0;
}

int FIBER query_assume_role(struct query *y)
{
    struct iam_session_spec spec = {0};
    struct str arn = query_param(y, "RoleArn");
    int r = check_served(y);
    if (r)
        return r;
    if (!str_starts(arn, STR("arn:aws:iam::")))
        return assume_own(y);
    r = read_session_name(y, &spec.name);
    if (!r)
        r = enter_role(y, arn);
    return r ? r : give_session(y, &spec);
}

/* ---- a web identity's ----------------------------------------------------------------------- */

/* The account in "arn:aws:iam::ACCOUNT:role/…": whose provider must vouch for the token, whether
 * there is such a role or not. */
static int account_of_role(struct query *y, struct str arn, struct str *ret)
{
    struct str head = STR("arn:aws:iam::"), rest = str_from_offset(arn, head.len);
    ptrdiff_t at = str_find(rest, STR(":role/"), 0);
    if (!str_starts(arn, head) || at < 0)
        return s3_error(y->q, -ERR_VALIDATION, "%.*s is invalid", STR_FMT(arn));
    *ret = at ? str_prefix(rest, (size_t)at) : STR("root");
    return 0;
}

static int explain_token(struct query *y, int r, const struct jwt *t)
{
    if (r != -ERR_INVALID_IDENTITY_TOKEN)
        return r;
    return s3_error(y->q, r,
                    "The web identity token that was passed could not be validated: no provider of "
                    "the account vouches for it (issuer %.*s)",
                    STR_FMT(t->issuer));
}

static int FIBER enter_role_by_token(struct query *y, struct str arn, const struct jwt *t)
{
    struct iam_identity who = {
        .credential = IAM_WEB_IDENTITY, .name = y->provider.arn, .user_id = t->subject};
    struct iam_attribute *attributes;
    int r = iam_web_attributes(y->arena, t, &y->provider, &attributes, &who.attribute_count);
    if (r)
        return r;
    who.attributes = attributes;
    r = iam_role_by_arn(y->iam, y->arena, arn, &y->role);
    if (!r)
        r = judge_trust(y, &who, "sts:AssumeRoleWithWebIdentity");
    return r == -ERR_ACCESS_DENIED || r == -ERR_NOT_FOUND
               ? s3_error(y->q, -ERR_ACCESS_DENIED,
                          "Not authorized to perform sts:AssumeRoleWithWebIdentity")
               : r;
}

/* The claims as the session keeps them. */
static int keep_claims(struct query *y, const struct jwt *t, struct iam_session_spec *spec)
{
    struct iam_attribute *list = arena_array(y->arena, struct iam_attribute, t->claim_count + 1);
    struct str url = y->provider.url;
    ptrdiff_t at = str_find(url, STR("://"), 0);
    for (size_t i = 0; list && i < t->claim_count; i++)
        list[i] = (struct iam_attribute){
            IAM_KEY_JWT, t->claims[i].name, {t->claims[i].values, t->claims[i].count}};
    spec->attributes = list;
    spec->attribute_count = t->claim_count;
    spec->provider = at < 0 ? url : str_from_offset(url, (size_t)at + 3);
    return list ? 0 : -ENOMEM;
}

int FIBER query_assume_role_with_web_identity(struct query *y)
{
    struct iam_session_spec spec = {0};
    struct str arn, token;
    struct jwt *t = arena_new(y->arena, struct jwt);
    int r = t ? query_need(y, "RoleArn", &arn) : -ENOMEM;
    if (!r)
        r = query_need(y, "WebIdentityToken", &token);
    if (!r)
        r = read_session_name(y, &spec.name);
    if (!r)
        r = account_of_role(y, arn, &y->account);
    if (!r)
        r = explain_token(y, iam_web_identity(y->iam, y->arena, y->account, token, t, &y->provider),
                          t);
    if (!r)
        r = enter_role_by_token(y, arn, t);
    if (!r)
        r = keep_claims(y, t, &spec);
    if (!r)
        r = give_session(y, &spec);
    if (r)
        return r;
    xml_element(&y->out, "SubjectFromWebIdentityToken", t->subject);
    xml_element(&y->out, "Audience", t->audience.count ? t->audience.values[0] : STR(""));
    xml_element(&y->out, "Provider", y->provider.arn);
    return 0;
}

/* ---- a user of the directory ---------------------------------------------------------------- */

/* Who has no such name, and who has not its password, are answered alike. */
static int explain_login(struct query *y, int r)
{
    if (r == -EINVAL)
        return s3_error(y->q, -ERR_VALIDATION,
                        "LDAPUsername and LDAPPassword must be given, and none of them empty");
    if (r == -ERR_ACCESS_DENIED)
        return s3_error(y->q, r, "The directory does not know a user of this name and password");
    if (r == -ERR_NOT_FOUND)
        return s3_error(y->q, -ERR_ACCESS_DENIED,
                        "No policy is attached to this user, nor to any of its groups");
    return r;
}

/* MinIO's: no role is named, what is attached to the user and its groups is what it may do. */
int FIBER query_assume_role_with_ldap_identity(struct query *y)
{
    struct iam_session session;
    struct ldap_user user;
    struct iam_session_spec spec = {.ldap = &user, .name = query_param(y, "LDAPUsername")};
    struct str password = query_param(y, "LDAPPassword");
    int r = iam_has_ldap(y->iam)
                ? 0
                : s3_error(y->q, -ERR_INVALID_ACTION, "This server has no directory (LDAP)");
    if (!r)
        r = query_number(y, "DurationSeconds", IAM_SESSION_MIN_S, OWN_SESSION_MAX_S, OWN_SESSION_S,
                         &spec.duration_s);
    if (!r)
        r = read_policy(y, &spec.policy);
    if (!r)
        r = explain_login(y, iam_ldap_login(y->iam, y->arena, spec.name, password,
                                            http_client_ip(y->q->x), &user));
    if (!r)
        r = iam_session_make(y->iam, y->arena, &spec, &session, &y->fault);
    if (!r)
        put_credentials(y, &session);
    return r;
}
