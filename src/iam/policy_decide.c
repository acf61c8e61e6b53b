/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The decision: every policy is scanned once, denials first, and what the scans found is put
 * together in AWS's order (policy_decide.h).
 *
 * A scan tests what is cheapest first: one bit for the action, then the principal, the resource,
 * and only then the conditions, whose values are asked for once and remembered.
 */

#include "iam/policy_internal.h"

#include <stdio.h>
#include "wire/date.h"

/* ---- values of the request ------------------------------------------------------------------ */

static const char *const principal_types[] = {
    [IAM_ANONYMOUS] = "Anonymous", [IAM_ACCOUNT] = "Account",         [IAM_USER] = "User",
    [IAM_SESSION] = "AssumedRole", [IAM_FEDERATED] = "FederatedUser", [IAM_SERVICE] = "Service",
};

/* Whose the resource is. */
static struct str resource_account(const struct iam_request *r)
{
    return r->resource_account.len ? r->resource_account : r->who->account;
}

static struct str time_text(struct eval *e)
{
    date_format_iso(e->r->now_ms, e->time_text);
    return str_make(e->time_text, sizeof(e->time_text));
}

static struct str epoch_text(struct eval *e)
{
    int len = snprintf(e->epoch_text, sizeof(e->epoch_text), "%llu",
                       (unsigned long long)(e->r->now_ms / 1000));
    return str_make(e->epoch_text, (size_t)len);
}

/* What iam knows by itself. True: it does, and *ret may still be empty (absent). */
static bool own_value(struct eval *e, enum iam_key key, struct str *ret)
{
    const struct iam_principal *who = e->r->who;
    switch (key) {
    case IAM_KEY_USERNAME:
        *ret = who->kind == IAM_USER || who->kind == IAM_ACCOUNT ? who->name : STR_NULL;
        return true;
    case IAM_KEY_USERID:
        *ret = who->kind == IAM_ANONYMOUS ? STR("anonymous") : who->user_id;
        return true;
    case IAM_KEY_PRINCIPAL_ARN:
        *ret = who->role_arn.len ? who->role_arn : who->arn;
        return true;
    case IAM_KEY_PRINCIPAL_ACCOUNT:
        *ret = who->account;
        return true;
    case IAM_KEY_PRINCIPAL_TYPE:
        *ret = str_from(principal_types[who->kind]);
        return true;
    case IAM_KEY_PRINCIPAL_IS_SERVICE:
        *ret = who->kind == IAM_SERVICE ? STR("true") : STR("false");
        return true;
    case IAM_KEY_PRINCIPAL_SERVICE:
        *ret = who->kind == IAM_SERVICE ? who->name : STR_NULL;
        return true;
    case IAM_KEY_RESOURCE_ACCOUNT:
    case IAM_KEY_S3_RESOURCE_ACCOUNT:
        *ret = resource_account(e->r);
        return true;
    case IAM_KEY_CURRENT_TIME:
        *ret = time_text(e);
        return true;
    case IAM_KEY_EPOCH_TIME:
        *ret = epoch_text(e);
        return true;
    default:
        return false;
    }
}

static const struct iam_attribute *find_attribute(const struct iam_principal *who, enum iam_key key,
                                                  struct str name)
{
    for (size_t i = 0; i < who->attribute_count; i++)
        if (who->attributes[i].key == key && str_eq_nocase(who->attributes[i].name, name))
            return &who->attributes[i];
    return NULL;
}

static struct iam_values ask(struct eval *e, enum iam_key key, struct str name)
{
    const struct iam_attribute *mine = find_attribute(e->r->who, key, name);
    struct iam_values v = {0};
    if (mine)
        return mine->values;
    int r = e->r->context ? e->r->context(e->r->context_arg, key, name, &v) : 0;
    if (r < 0) {
        e->err = r;
        v.count = 0;
    }
    return v;
}

struct iam_values eval_values(struct eval *e, enum iam_key key, struct str name)
{
    if (e->err)
        return (struct iam_values){0};
    if (name.len)
        return ask(e, key, name);
    if (e->asked[key / 64] >> (key % 64) & 1)
        return e->memo[key].values;
    e->asked[key / 64] |= 1ULL << (key % 64);
    struct str *own = &e->memo[key].own;
    *own = STR_NULL;
    e->memo[key].values =
        own_value(e, key, own) ? (struct iam_values){own, own->len > 0} : ask(e, key, name);
    return e->memo[key].values;
}

/* ---- principals ----------------------------------------------------------------------------- */

/* How a statement names who asks: the more directly, the more its Allow is worth. */
enum named {
    NAMED_NOT,
    NAMED_ACCOUNT, /* delegated to the account */
    NAMED_ROLE,    /* by the role, or as anybody: a session's limits still hold */
    NAMED_SELF,
};

static enum named named_by_arn(const struct iam_principal *who, struct str arn)
{
    if (str_eq(who->arn, arn) || (who->alias_arn.len && str_eq(who->alias_arn, arn)))
        return NAMED_SELF;
    return who->role_arn.len && str_eq(who->role_arn, arn) ? NAMED_ROLE : NAMED_NOT;
}

static enum named named_by_account(const struct iam_principal *who, struct str account)
{
    if (!who->account.len || !str_eq(who->account, account))
        return NAMED_NOT;
    return who->kind == IAM_ACCOUNT ? NAMED_SELF : NAMED_ACCOUNT;
}

static enum named named_by(const struct iam_principal *who, const struct principal_match *m)
{
    switch (m->kind) {
    case PRINCIPAL_ANYBODY:
        return who->kind == IAM_SESSION || who->kind == IAM_FEDERATED ? NAMED_ROLE : NAMED_SELF;
    case PRINCIPAL_ACCOUNT_ID:
        return named_by_account(who, m->text);
    case PRINCIPAL_ARN:
        return named_by_arn(who, m->text);
    case PRINCIPAL_CANONICAL: /* of an account: it is the account */
        return who->canonical_id.len && str_eq(who->canonical_id, m->text)
                   ? NAMED_SELF
                   : named_by_account(who, m->text);
    case PRINCIPAL_FEDERATED:
        return who->kind == IAM_FEDERATED && str_eq(who->name, m->text) ? NAMED_SELF : NAMED_NOT;
    case PRINCIPAL_SERVICE:
        return who->kind == IAM_SERVICE && str_eq(who->name, m->text) ? NAMED_SELF : NAMED_NOT;
    }
    return NAMED_NOT;
}

/*
 * NotPrincipal names everybody but those in it. To name an account there spares its root alone
 * (IAM User Guide, "NotPrincipal"), so a delegated match does not count.
 */
static enum named find_named(const struct iam_principal *who, const struct principals *p)
{
    enum named best = NAMED_NOT;
    if (!p->present)
        return NAMED_SELF;
    for (unsigned i = 0; i < p->count; i++)
        best = MAX(best, named_by(who, &p->items[i]));
    if (!p->negated)
        return best;
    if (best >= NAMED_ROLE)
        return NAMED_NOT;
    return who->kind == IAM_SESSION || who->kind == IAM_FEDERATED ? NAMED_ROLE : NAMED_SELF;
}

/* ---- resources ------------------------------------------------------------------------------ */

static enum match match_s3(struct eval *e, const struct resource_match *m)
{
    struct str text = e->resource;
    if (!str_starts(text, m->head))
        return MATCH_NO;
    if (m->head_only)
        return MATCH_YES;
    if (m->exact)
        return text.len == m->head.len ? MATCH_YES : MATCH_NO;
    return pattern_match(e, &m->pattern, text, false);
}

static enum match match_arn(struct eval *e, const struct pattern *pattern)
{
    enum match m = pattern_match(e, pattern, e->r->arn, false);
    return m == MATCH_NO && e->r->alias_arn.len ? pattern_match(e, pattern, e->r->alias_arn, false)
                                                : m;
}

static enum match match_resource(struct eval *e, const struct resource_match *m,
                                 enum iam_resource_kind on)
{
    if (m->kind == RESOURCE_ANYTHING)
        return MATCH_YES;
    if (on == IAM_ON_ARN)
        return m->kind == RESOURCE_ARN ? match_arn(e, &m->pattern) : MATCH_NO;
    return m->kind == RESOURCE_S3 ? match_s3(e, m) : MATCH_NO;
}

static bool resource_fits(struct eval *e, const struct statement *s)
{
    enum iam_resource_kind on = iam_action_kind(e->r->action);
    enum match best = MATCH_NO;
    if (on == IAM_ON_NOTHING || s->no_resource)
        return true;
    for (unsigned i = 0; best != MATCH_YES && i < s->resource_count; i++) {
        enum match m = match_resource(e, &s->resources[i], on);
        if (m != MATCH_NO)
            best = m;
    }
    /* An unresolved variable lies nowhere; where not to lie is what counts, it holds a Deny up. */
    if (best == MATCH_UNKNOWN)
        return s->resources_negated && s->deny;
    return (best == MATCH_YES) != s->resources_negated;
}

/* ---- scans ---------------------------------------------------------------------------------- */

struct hit {
    const struct statement *statement; /* NULL: none */
    struct str policy;
    enum iam_source source;
    enum named named;
};

static bool conditions_hold(struct eval *e, const struct statement *s)
{
    for (unsigned i = 0; i < s->condition_count; i++)
        if (!condition_holds(e, &s->conditions[i], s->deny))
            return false;
    return true;
}

/* How the statement names who asks, if all of it fits. */
static enum named statement_fits(struct eval *e, const struct statement *s)
{
    enum named n = find_named(e->r->who, &s->principals);
    return n != NAMED_NOT && resource_fits(e, s) && conditions_hold(e, s) ? n : NAMED_NOT;
}

/* The first fitting Deny into `deny`, and the best Allow into `allow` when that is better. True:
 * denied. */
static bool scan(struct eval *e, const struct iam_named_policy *from, enum iam_source source,
                 struct hit *deny, struct hit *allow)
{
    const struct policy *p = from->policy;
    for (unsigned i = 0; i < p->count; i++) {
        bool is_deny = i < p->deny_count;
        if (!is_deny && allow->named == NAMED_SELF)
            return false;
        if (!action_set_has(&p->actions[i], e->r->action))
            continue;
        enum named n = statement_fits(e, &p->statements[i]);
        if (n == NAMED_NOT || (!is_deny && n <= allow->named))
            continue;
        struct hit hit = {&p->statements[i], from->name, source, n};
        *(is_deny ? deny : allow) = hit;
        if (is_deny)
            return true;
    }
    return false;
}

static bool scan_set(struct eval *e, const struct iam_policy_set *set, enum iam_source source,
                     struct hit *deny, struct hit *allow)
{
    for (size_t i = 0; i < set->count; i++)
        if (scan(e, &set->items[i], source, deny, allow))
            return true;
    return false;
}

struct findings {
    struct hit deny;
    struct hit identity, bucket, boundary;
    bool sessions_allow;
    struct hit session; /* of the last level */
};

/* S3's way out of a policy that locks its own owner out. */
static bool is_spared(const struct iam_request *r)
{
    bool root = r->who->everywhere ||
                (r->who->kind == IAM_ACCOUNT && str_eq(r->who->account, resource_account(r)));
    return root && (r->action == IAM_s3_GetBucketPolicy || r->action == IAM_s3_PutBucketPolicy ||
                    r->action == IAM_s3_DeleteBucketPolicy);
}

static bool scan_bucket(struct eval *e, struct findings *f)
{
    struct iam_named_policy bucket = {STR_NULL, e->p->bucket};
    struct hit deny = {0};
    if (!bucket.policy || !scan(e, &bucket, IAM_BY_BUCKET, &deny, &f->bucket))
        return false;
    if (is_spared(e->r))
        return false;
    f->deny = deny;
    return true;
}

static bool scan_boundary(struct eval *e, struct findings *f)
{
    struct iam_named_policy boundary = {STR_NULL, e->p->boundary};
    return boundary.policy && scan(e, &boundary, IAM_BY_BOUNDARY, &f->deny, &f->boundary);
}

static bool scan_sessions(struct eval *e, struct findings *f)
{
    f->sessions_allow = true;
    for (unsigned i = 0; i < e->p->session_count; i++) {
        f->session = (struct hit){0};
        if (scan_set(e, &e->p->sessions[i], IAM_BY_SESSION, &f->deny, &f->session))
            return true;
        f->sessions_allow &= f->session.statement != NULL;
    }
    return false;
}

/* True: somewhere it is denied. */
static bool find_all(struct eval *e, struct findings *f)
{
    return scan_bucket(e, f) ||
           scan_set(e, &e->p->identity, IAM_BY_IDENTITY, &f->deny, &f->identity) ||
           scan_boundary(e, f) || scan_sessions(e, f);
}

/* ---- putting it together -------------------------------------------------------------------- */

static void decide_by(struct iam_decision *ret, enum iam_outcome outcome, const struct hit *hit)
{
    ret->outcome = outcome;
    ret->source = hit->source;
    ret->policy = hit->policy;
    ret->sid = hit->statement->sid;
    ret->statement = (int)hit->statement->index;
}

static void decide_plain(struct iam_decision *ret, enum iam_outcome outcome, enum iam_source source)
{
    *ret = (struct iam_decision){.outcome = outcome, .source = source, .statement = -1};
}

static bool is_same_account(const struct iam_request *r)
{
    const struct iam_principal *who = r->who;
    return who->everywhere || (who->account.len > 0 && str_eq(who->account, resource_account(r)));
}

/* What the resource's side grants, after the public access block. */
struct grants {
    enum named bucket;
    enum iam_acl_grant acl;
    bool blocked; /* something was taken away */
};

static struct grants find_grants(const struct eval *e, const struct findings *f, bool same)
{
    struct grants g = {.bucket = f->bucket.named, .acl = e->p->acl};
    if (e->p->bucket_denies_only)
        g.bucket = NAMED_NOT;
    bool restricted = (e->p->block & IAM_RESTRICT_PUBLIC_BUCKETS) && e->p->bucket &&
                      e->p->bucket->is_public && !same && e->r->who->kind != IAM_SERVICE;
    if (restricted && g.bucket != NAMED_NOT) {
        g.bucket = NAMED_NOT;
        g.blocked = true;
    }
    if ((e->p->block & IAM_IGNORE_PUBLIC_ACLS) && g.acl == IAM_ACL_PUBLIC) {
        g.acl = IAM_ACL_NONE;
        g.blocked = true;
    }
    return g;
}

static void allow_by_grant(struct iam_decision *ret, const struct findings *f,
                           const struct grants *g)
{
    if (g->bucket != NAMED_NOT)
        decide_by(ret, IAM_ALLOW, &f->bucket);
    else
        decide_plain(ret, IAM_ALLOW, IAM_BY_ACL);
}

/* The identity's side: 0 allows; else the gate that is shut. */
static enum iam_source identity_gate(const struct eval *e, const struct findings *f)
{
    const struct iam_principal *who = e->r->who;
    if (!who->everywhere && who->kind != IAM_ACCOUNT && !f->identity.statement)
        return IAM_BY_NOTHING;
    if (e->p->boundary && !f->boundary.statement)
        return IAM_BY_BOUNDARY;
    return f->sessions_allow ? IAM_BY_IDENTITY : IAM_BY_SESSION;
}

static void allow_by_identity(struct iam_decision *ret, const struct findings *f)
{
    if (f->identity.statement)
        decide_by(ret, IAM_ALLOW, &f->identity);
    else
        decide_plain(ret, IAM_ALLOW, IAM_BY_OWNER);
}

/*
 * Inside the account: what the bucket's policy grants the user itself is not cut by a boundary,
 * what it grants the session itself by nothing; anybody's grants are.
 */
static bool grant_suffices(const struct eval *e, const struct findings *f, const struct grants *g)
{
    bool session = e->r->who->kind == IAM_SESSION || e->r->who->kind == IAM_FEDERATED;
    bool cut = !f->sessions_allow || (session && e->p->boundary && !f->boundary.statement);
    if (session && g->bucket == NAMED_SELF)
        return true;
    return !cut && (g->bucket >= NAMED_ROLE || g->acl == IAM_ACL_PUBLIC);
}

static void decide_same(const struct eval *e, const struct findings *f, const struct grants *g,
                        struct iam_decision *ret)
{
    enum iam_source gate = identity_gate(e, f);
    if (gate == IAM_BY_IDENTITY)
        allow_by_identity(ret, f);
    else if (grant_suffices(e, f, g))
        allow_by_grant(ret, f, g);
    else
        decide_plain(ret, IAM_IMPLICIT_DENY, gate);
}

static void decide_cross(const struct eval *e, const struct findings *f, const struct grants *g,
                         struct iam_decision *ret)
{
    enum iam_source gate = identity_gate(e, f);
    bool granted = g->bucket != NAMED_NOT || g->acl != IAM_ACL_NONE;
    if (!granted)
        decide_plain(ret, IAM_IMPLICIT_DENY, g->blocked ? IAM_BY_PUBLIC_BLOCK : IAM_BY_NOTHING);
    else if (gate == IAM_BY_IDENTITY)
        allow_by_grant(ret, f, g);
    else
        decide_plain(ret, IAM_IMPLICIT_DENY, gate);
}

/* Those of no account: the anonymous, and services. */
static void decide_stranger(const struct eval *e, const struct findings *f, const struct grants *g,
                            struct iam_decision *ret)
{
    bool listed =
        g->acl == IAM_ACL_PUBLIC || (g->acl == IAM_ACL_GRANTED && e->r->who->kind == IAM_SERVICE);
    if (f->sessions_allow && (g->bucket != NAMED_NOT || listed))
        allow_by_grant(ret, f, g);
    else
        decide_plain(ret, IAM_IMPLICIT_DENY, g->blocked ? IAM_BY_PUBLIC_BLOCK : IAM_BY_NOTHING);
}

static void conclude(struct eval *e, const struct findings *f, struct iam_decision *ret)
{
    bool same = is_same_account(e->r);
    struct grants g = find_grants(e, f, same);
    if (e->p->bucket_must && g.bucket == NAMED_NOT)
        decide_plain(ret, IAM_IMPLICIT_DENY, IAM_BY_TRUST);
    else if (same)
        decide_same(e, f, &g, ret);
    else if (e->r->who->account.len > 0)
        decide_cross(e, f, &g, ret);
    else
        decide_stranger(e, f, &g, ret);
}

/* "bucket" or "bucket/key", what the resources of S3 are compared with. */
static int make_resource(struct eval *e)
{
    struct str bucket = e->r->bucket, key = e->r->key;
    if (bucket.len + key.len + 1 > sizeof(e->resource_text))
        return -EINVAL;
    if (key.len == 0) {
        e->resource = bucket;
        return 0;
    }
    memcpy(e->resource_text, bucket.ptr, bucket.len);
    e->resource_text[bucket.len] = '/';
    memcpy(e->resource_text + bucket.len + 1, key.ptr, key.len);
    e->resource = str_make(e->resource_text, bucket.len + 1 + key.len);
    return 0;
}

int iam_decide(const struct iam_request *r, const struct iam_policies *p, struct iam_decision *ret)
{
    struct eval e; /* its memo is read only where `asked` says so */
    struct findings f = {.sessions_allow = true};
    CHECK(r->action < IAM_ACTION_COUNT && p->session_count <= IAM_SESSION_LEVELS_MAX);
    e.r = r;
    e.p = p;
    e.err = 0;
    e.work = EVAL_WORK_MAX;
    e.last_address.text = STR_NULL;
    memset(e.asked, 0, sizeof(e.asked));
    int err = make_resource(&e);
    if (err)
        return err;
    bool denied = find_all(&e, &f);
    if (e.err)
        return e.err;
    if (denied)
        decide_by(ret, IAM_EXPLICIT_DENY, &f.deny);
    else
        conclude(&e, &f, ret);
    return 0;
}

const char *iam_source_text(enum iam_source s)
{
    static const char *const texts[] = {
#define X(id, words) words,
        IAM_SOURCES(X)
#undef X
    };
    CHECK(s < ARRAY_LEN(texts));
    return texts[s];
}
