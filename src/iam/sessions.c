/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Session tokens: made, opened, and who they stand for.
 *
 * A token is base64 of a version byte, a nonce, the sealed record and the seal's tag; the access
 * key is authenticated with it, so a token opens with its own key alone. What was opened is kept
 * for the next request that brings it, in a table of bounded size that is emptied when it is full.
 *
 * Invariants
 *  1. The sealing key is made once for a store, lies in the row "Iseal" and leaves it for nowhere.
 *  2. A session gives what its user or role has now: nothing of a right is kept with it but what
 *     narrows it.
 */

#include "iam/internal.h"

#include <openssl/evp.h>
#include "base/encode.h"
#include "base/error.h"
#include "iam/user.pb-c.h"
#include "wire/date.h"

#define SEAL_ROW      "Iseal"
#define SEAL_BYTES    32
#define NONCE_BYTES   12
#define TAG_BYTES     16
#define TOKEN_VERSION 1
#define HEAD_BYTES    (1 + NONCE_BYTES)
#define SEALED_MAX    (IAM_SESSION_TOKEN_MAX / 4 * 3)
#define CACHE_MAX     4096
#define SECRET_BYTES  30

struct cached {
    struct table_node node; /* by token */
    Iam__Session *session;
    const struct policy *policy;   /* of session->policy; NULL: none */
    struct iam_grants_slot grants; /* of a user of the directory */
    char token[];
};

struct iam_sessions {
    uint8_t key[SEAL_BYTES];
    struct table opened; /* struct cached; under iam's lock */
};

/* ---- the key -------------------------------------------------------------------------------- */

static int load_seal(struct iam *iam, struct str value)
{
    if (value.len != SEAL_BYTES)
        return -ERR_CORRUPT;
    memcpy(iam->sessions->key, value.ptr, SEAL_BYTES);
    return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

int iam_sessions_new(struct iam *iam)
{
    iam->sessions = calloc(1, sizeof(*iam->sessions));
    if (!iam->sessions)
        return -ENOMEM;
    table_init(&iam->sessions->opened, CACHE_MAX);
    return 0;
}

int FIBER iam_sessions_load(struct iam *iam)
{
    int r = iam_sessions_new(iam);
    if (r)
        return r;
    r = iam_rows_load(iam, SEAL_ROW, load_seal);
    if (r || !is_zero(iam->sessions->key, SEAL_BYTES))
        return r;
    rt_random(iam->sessions->key, SEAL_BYTES);
    return iam_row_write(iam, SEAL_ROW, STR(""), str_make(iam->sessions->key, SEAL_BYTES));
}

static int free_cached(struct table_node *n, void *arg)
{
    struct cached *c = container_of(n, struct cached, node);
    wipe(c->session->secret.data, c->session->secret.len);
    iam__session__free_unpacked(c->session, NULL);
    policy_unref(c->policy);
    iam_grants_unref(c->grants.grants);
    free(c);
    return 0;
}

static void forget_all(struct iam_sessions *s)
{
    table_each(&s->opened, free_cached, NULL);
    table_release(&s->opened);
    table_init(&s->opened, CACHE_MAX);
}

void iam_sessions_release(struct iam *iam)
{
    if (!iam->sessions)
        return;
    forget_all(iam->sessions);
    table_release(&iam->sessions->opened);
    explicit_bzero(iam->sessions, sizeof(*iam->sessions));
    free(iam->sessions);
}

/* ---- the seal ------------------------------------------------------------------------------- */

static EVP_CIPHER_CTX *cipher_new(const uint8_t *key, const uint8_t *nonce, struct str bound,
                                  bool seal)
{
    int len;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
        EVP_CipherUpdate(c, NULL, &len, (const uint8_t *)bound.ptr, (int)bound.len) == 1)
        return c;
    EVP_CIPHER_CTX_free(c);
    return NULL;
}

/* `out`: version, nonce, sealed, tag; of plain.len + HEAD_BYTES + TAG_BYTES. */
static int seal(const struct iam_sessions *s, struct str bound, struct str plain, uint8_t *out)
{
    int len, last;
    out[0] = TOKEN_VERSION;
    rt_random(out + 1, NONCE_BYTES);
    EVP_CIPHER_CTX *c = cipher_new(s->key, out + 1, bound, true);
    bool ok =
        c &&
        EVP_CipherUpdate(c, out + HEAD_BYTES, &len, (const uint8_t *)plain.ptr, (int)plain.len) ==
            1 &&
        EVP_CipherFinal_ex(c, out + HEAD_BYTES + len, &last) == 1 &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + HEAD_BYTES + plain.len) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok ? 0 : -ENOMEM;
}

/* In place; *ret_plain lies in `in`. */
static int unseal(const struct iam_sessions *s, struct str bound, uint8_t *in, size_t in_len,
                  struct str *ret_plain)
{
    int len, last;
    if (in_len < HEAD_BYTES + TAG_BYTES || in[0] != TOKEN_VERSION)
        return -ERR_INVALID_TOKEN;
    size_t plain_len = in_len - HEAD_BYTES - TAG_BYTES;
    uint8_t *body = in + HEAD_BYTES;
    EVP_CIPHER_CTX *c = cipher_new(s->key, in + 1, bound, false);
    if (!c)
        return -ENOMEM;
    bool ok = EVP_CipherUpdate(c, body, &len, body, (int)plain_len) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, body + plain_len) == 1 &&
              EVP_CipherFinal_ex(c, body + len, &last) == 1;
    EVP_CIPHER_CTX_free(c);
    *ret_plain = str_make(body, plain_len);
    return ok ? 0 : -ERR_INVALID_TOKEN;
}

/* ---- making --------------------------------------------------------------------------------- */

bool iam_session_name_is_valid(struct str name)
{
    if (name.len < 2 || name.len > 64)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        if (!letter && !digit && (!c || !strchr("_+=,.@-", c)))
            return false;
    }
    return true;
}

static ProtobufCBinaryData binary(struct str s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

static int fill_claims(struct arena *a, const struct iam_session_spec *spec, Iam__Session *pb)
{
    size_t count = MIN(spec->attribute_count, (size_t)IAM_SESSION_CLAIMS_MAX);
    pb->claims = arena_array(a, Iam__Claim *, count + 1);
    for (size_t i = 0; pb->claims && i < count; i++) {
        const struct iam_attribute *from = &spec->attributes[i];
        Iam__Claim *to = pb->claims[pb->n_claims++] = arena_new(a, Iam__Claim);
        if (!to)
            return -ENOMEM;
        iam__claim__init(to);
        to->key = arena_cstr(a, from->name);
        to->values = arena_array(a, char *, from->values.count + 1);
        for (size_t k = 0; to->values && k < from->values.count; k++)
            if (!(to->values[to->n_values++] = arena_cstr(a, from->values.items[k])))
                return -ENOMEM;
        if (!to->key || !to->values)
            return -ENOMEM;
    }
    return pb->claims ? 0 : -ENOMEM;
}

static int fill_policies(struct arena *a, const struct iam_session_spec *spec, Iam__Session *pb)
{
    pb->policy = binary(spec->policy);
    pb->policies = arena_array(a, char *, spec->policy_count + 1);
    for (size_t i = 0; pb->policies && i < spec->policy_count; i++)
        if (!(pb->policies[pb->n_policies++] = arena_cstr(a, spec->policies[i])))
            return -ENOMEM;
    return pb->policies ? 0 : -ENOMEM;
}

static int fill_ldap(struct arena *a, const struct ldap_user *user, Iam__Session *pb)
{
    pb->ldap_user = arena_cstr(a, user->dn);
    pb->ldap_groups = arena_array(a, char *, user->group_count + 1);
    for (size_t i = 0; pb->ldap_groups && i < user->group_count; i++)
        if (!(pb->ldap_groups[pb->n_ldap_groups++] = arena_cstr(a, user->groups[i])))
            return -ENOMEM;
    return pb->ldap_user && pb->ldap_groups ? 0 : -ENOMEM;
}

/* Whose session it is to be. */
static int fill_parent(struct iam *iam, struct arena *a, const struct iam_session_spec *spec,
                       Iam__Session *pb)
{
    if (spec->parent) {
        if (spec->parent->credential != IAM_OWN_KEY)
            return -ERR_ACCESS_DENIED;
        pb->user_id = arena_cstr(a, spec->parent->user_id);
        pb->parent_key = arena_cstr(a, spec->parent->access_key);
        return pb->user_id && pb->parent_key ? 0 : -ENOMEM;
    }
    if (spec->ldap)
        return fill_ldap(a, spec->ldap, pb);
    rt_lock(&iam->lock);
    const struct iam_role_entry *e = iam_find_role(iam, spec->role);
    pb->role_id = e ? arena_cstr(a, e->info.id) : NULL;
    rt_unlock(&iam->lock);
    pb->role = arena_cstr(a, spec->role);
    return !e ? -ERR_NOT_FOUND : pb->role && pb->role_id ? 0 : -ENOMEM;
}

static int check_policies(struct iam *iam, const struct iam_session_spec *spec,
                          struct policy_fault *ret_fault)
{
    struct policy *tested;
    if (spec->policy.len > IAM_SESSION_POLICY_MAX || spec->policy_count > IAM_SESSION_POLICIES_MAX)
        return -ERR_TOO_LARGE;
    int r = 0;
    rt_lock(&iam->lock);
    for (size_t i = 0; !r && i < spec->policy_count; i++)
        if (iam_is_inline(spec->policies[i]) || !iam_find_policy(iam, spec->policies[i]))
            r = -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    if (r || !spec->policy.len)
        return r;
    r = policy_compile(POLICY_IDENTITY, STR(""), spec->policy, &tested, ret_fault);
    if (!r)
        policy_unref(tested);
    return r;
}

int iam_token_seal(struct iam *iam, struct arena *a, struct str access_key, struct str plain,
                   struct str *ret)
{
    size_t all = plain.len + HEAD_BYTES + TAG_BYTES;
    if (all > SEALED_MAX)
        return -ERR_TOO_LARGE;
    uint8_t *sealed = arena_alloc(a, all);
    char *text = arena_alloc(a, BASE64_LEN(all));
    int r = sealed && text ? seal(iam->sessions, access_key, plain, sealed) : -ENOMEM;
    if (!r)
        *ret = str_make(text, base64_encode(sealed, all, text));
    return r;
}

static int make_token(struct iam *iam, struct arena *a, const Iam__Session *pb, struct str *ret)
{
    size_t len = iam__session__get_packed_size(pb);
    uint8_t *packed = arena_alloc(a, len);
    if (!packed)
        return -ENOMEM;
    iam__session__pack(pb, packed);
    int r = iam_token_seal(iam, a, str_from(pb->access_key), str_make(packed, len), ret);
    wipe(packed, len);
    return r;
}

static int fill_session(struct iam *iam, struct arena *a, const struct iam_session_spec *spec,
                        struct iam_session *s, Iam__Session *pb)
{
    uint8_t raw[SECRET_BYTES];
    char text[BASE64_LEN(SECRET_BYTES)];
    rt_random(raw, sizeof(raw));
    s->access_key = iam_make_id(a, "ASIA");
    s->secret = arena_dup(a, str_make(text, base64_encode(raw, sizeof(raw), text)));
    explicit_bzero(raw, sizeof(raw));
    explicit_bzero(text, sizeof(text));
    pb->issued_ms = rt_wall_ms();
    pb->expires_ms = s->expires_ms = pb->issued_ms + spec->duration_s * 1000;
    pb->access_key = arena_cstr(a, s->access_key);
    pb->secret = binary(s->secret);
    pb->name = arena_cstr(a, spec->name);
    pb->provider = arena_cstr(a, spec->provider);
    if (!s->secret.ptr || !pb->access_key || !pb->name || !pb->provider)
        return -ENOMEM;
    int r = fill_parent(iam, a, spec, pb);
    if (!r)
        r = fill_policies(a, spec, pb);
    return r ? r : fill_claims(a, spec, pb);
}

int iam_session_make(struct iam *iam, struct arena *a, const struct iam_session_spec *spec,
                     struct iam_session *ret, struct policy_fault *ret_fault)
{
    Iam__Session pb = IAM__SESSION__INIT;
    struct iam_session s = {0};
    CHECK(!spec->parent + !spec->role.len + !spec->ldap == 2);
    if (spec->role.len && !iam_session_name_is_valid(spec->name))
        return -EINVAL;
    int r = check_policies(iam, spec, ret_fault);
    if (!r)
        r = fill_session(iam, a, spec, &s, &pb);
    if (!r)
        r = make_token(iam, a, &pb, &s.token);
    if (!r)
        *ret = s;
    return r;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* What the token holds, unpacked and compiled. */
static int open_token(const struct iam_sessions *s, struct str access_key, struct str token,
                      struct cached **ret)
{
    uint8_t raw[SEALED_MAX];
    size_t raw_len;
    struct str plain;
    struct policy_fault why;
    struct policy *policy = NULL;
    if (token.len > IAM_SESSION_TOKEN_MAX || base64_decode(token, raw, sizeof(raw), &raw_len))
        return -ERR_INVALID_TOKEN;
    int r = unseal(s, access_key, raw, raw_len, &plain);
    if (r)
        return r;
    Iam__Session *session = iam__session__unpack(NULL, plain.len, (const uint8_t *)plain.ptr);
    wipe(raw, raw_len);
    if (!session)
        return -ERR_INVALID_TOKEN;
    struct str document = {(const char *)session->policy.data, session->policy.len};
    if (document.len)
        r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, &why);
    struct cached *c = r ? NULL : calloc(1, sizeof(*c) + token.len);
    if (!c) {
        iam__session__free_unpacked(session, NULL);
        policy_unref(policy);
        return r == -ERR_MALFORMED_POLICY ? -ERR_INVALID_TOKEN : -ENOMEM;
    }
    memcpy(c->token, token.ptr, token.len);
    c->session = session;
    c->policy = policy;
    *ret = c;
    return 0;
}

/* Under the lock. */
static int find_session(struct iam *iam, struct str access_key, struct str token,
                        struct cached **ret)
{
    struct iam_sessions *s = iam->sessions;
    struct table_node *n = table_get(&s->opened, token);
    struct cached *c;
    if (n) {
        *ret = container_of(n, struct cached, node);
        return str_eq(str_from((*ret)->session->access_key), access_key) ? 0 : -ERR_INVALID_TOKEN;
    }
    int r = open_token(s, access_key, token, &c);
    if (r)
        return r;
    if (s->opened.count >= CACHE_MAX)
        forget_all(s);
    r = table_put(&s->opened, &c->node, str_make(c->token, token.len));
    if (r)
        free_cached(&c->node, NULL);
    else
        *ret = c;
    return r;
}

/* ---- who it is ------------------------------------------------------------------------------ */

/* The user has it while its key, of which the session was asked for, is good. Under the lock. */
static int identify_user(struct iam *iam, struct arena *a, const Iam__Session *s,
                         struct iam_identity *ret)
{
    struct iam_entry *e = iam_find_by_id(iam, str_from(s->user_id));
    const struct iam_key_entry *k = iam_find_key(iam, str_from(s->parent_key));
    if (!e || !k || k->owner != e || !iam_key_opens(k))
        return -ERR_INVALID_ACCESS_KEY;
    int r = iam_identify(iam, a, e, ret);
    ret->credential = IAM_USER_SESSION;
    return r;
}

static int role_texts(struct arena *a, const struct iam_role *role, const Iam__Session *s,
                      const struct iam_entry *account, struct iam_identity *ret)
{
    struct str local = iam_local_name(role->account, role->name);
    *ret = (struct iam_identity){
        .user_id = arena_printf(a, "%.*s:%s", STR_FMT(role->id), s->name),
        .display_name = arena_dup(a, account->user.display_name),
        .name = arena_dup(a, str_from(s->name)),
        .account = arena_dup(a, role->account),
        .arn = arena_printf(a, "arn:aws:sts::%.*s:assumed-role/%.*s/%s", STR_FMT(role->account),
                            STR_FMT(local), s->name),
        .alias_arn = STR(""),
        .role_arn = arena_dup(a, role->arn),
        .credential = IAM_ROLE_SESSION,
    };
    return ret->user_id.ptr && ret->display_name.ptr && ret->name.ptr && ret->account.ptr &&
                   ret->arn.ptr && ret->role_arn.ptr
               ? 0
               : -ENOMEM;
}

/* Under the lock. A role of that name that was made anew is another. */
static int identify_role(struct iam *iam, struct arena *a, const Iam__Session *s,
                         struct iam_identity *ret)
{
    struct iam_role_entry *e = iam_find_role(iam, str_from(s->role));
    struct iam_entry *account = e ? iam_find_by_id(iam, e->info.account) : NULL;
    if (!account || !str_eq(e->info.id, str_from(s->role_id)))
        return -ERR_INVALID_ACCESS_KEY;
    struct iam_held held = {.policies = e->info.policies,
                            .policy_count = e->info.policy_count,
                            .boundary = e->info.boundary};
    int r = role_texts(a, &e->info, s, account, ret);
    if (!r && e->info.tags.count)
        r = iam_tag_attributes(a, &e->info.tags, ret);
    return r ? r : iam_grants_of(iam, &e->grants, &held, &ret->grants);
}

/*
 * Under the lock. A user of the directory is in the server's own account, as whoever is made by its
 * administrator. What was taken away since gives nothing any more; the directory itself is not
 * asked again before the session has ended.
 */
static int identify_ldap(struct iam *iam, struct arena *a, struct cached *c,
                         struct iam_identity *ret)
{
    const Iam__Session *s = c->session;
    struct str *names = arena_array(a, struct str, IAM_LDAP_POLICIES_MAX);
    struct iam_held held = {.policies = names};
    if (!iam->ldap)
        return -ERR_INVALID_ACCESS_KEY;
    *ret = (struct iam_identity){
        .user_id = arena_dup(a, str_from(s->ldap_user)),
        .display_name = arena_dup(a, str_from(s->name)),
        .name = arena_dup(a, str_from(s->name)),
        .account = STR("root"),
        .arn = arena_printf(a, "arn:aws:iam:::ldap/%s", s->ldap_user),
        .alias_arn = STR(""),
        .credential = IAM_LDAP_SESSION,
    };
    if (!names || !ret->user_id.ptr || !ret->display_name.ptr || !ret->name.ptr || !ret->arn.ptr)
        return -ENOMEM;
    held.policy_count =
        iam_ldap_policies(iam, ret->user_id, s->ldap_groups, s->n_ldap_groups, names);
    return iam_grants_of(iam, &c->grants, &held, &ret->grants);
}

/* Under the lock. A policy that was attached by name and is gone denies. */
static int narrow(struct iam *iam, struct arena *a, const struct cached *c,
                  struct iam_identity *who)
{
    const Iam__Session *s = c->session;
    struct iam_named_policy *items = arena_array(a, struct iam_named_policy, s->n_policies + 1);
    size_t count = 0;
    if (!items)
        return -ENOMEM;
    if (c->policy)
        items[count++].policy = policy_ref(c->policy);
    for (size_t i = 0; i < s->n_policies; i++) {
        const struct iam_policy_entry *e = iam_find_policy(iam, str_from(s->policies[i]));
        items[count].name = arena_dup(a, str_from(s->policies[i]));
        items[count++].policy = policy_ref(e ? e->policy : iam->deny_all);
    }
    who->session = (struct iam_policy_set){items, count};
    who->narrowed = count > 0;
    return 0;
}

static int add_attribute(struct arena *a, struct iam_identity *who, struct iam_attribute *list,
                         enum iam_key key, struct str name, struct str value)
{
    struct str *one = arena_new(a, struct str);
    if (!one || !name.ptr || !value.ptr)
        return -ENOMEM;
    *one = value;
    list[who->attribute_count++] = (struct iam_attribute){key, name, {one, 1}};
    return 0;
}

/* A claim is known as "jwt:CLAIM" and as "ISSUER:CLAIM". */
static int add_claim(struct arena *a, const Iam__Session *s, const Iam__Claim *claim,
                     struct iam_identity *who, struct iam_attribute *list)
{
    struct str *values = arena_array(a, struct str, claim->n_values + 1);
    struct str name = arena_dup(a, str_from(claim->key));
    struct str full = arena_printf(a, "%s:%s", s->provider, claim->key);
    if (!values || !name.ptr || !full.ptr)
        return -ENOMEM;
    for (size_t i = 0; i < claim->n_values; i++)
        if (!(values[i] = arena_dup(a, str_from(claim->values[i]))).ptr)
            return -ENOMEM;
    struct iam_values v = {values, claim->n_values};
    list[who->attribute_count++] = (struct iam_attribute){IAM_KEY_JWT, name, v};
    list[who->attribute_count++] = (struct iam_attribute){IAM_KEY_OIDC, full, v};
    return 0;
}

static int add_ldap(struct arena *a, const Iam__Session *s, struct iam_identity *who,
                    struct iam_attribute *list)
{
    struct str *groups = arena_array(a, struct str, s->n_ldap_groups + 1);
    if (!groups)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_ldap_groups; i++)
        if (!(groups[i] = arena_dup(a, str_from(s->ldap_groups[i]))).ptr)
            return -ENOMEM;
    list[who->attribute_count++] =
        (struct iam_attribute){IAM_KEY_LDAP, STR("groups"), {groups, s->n_ldap_groups}};
    int r = add_attribute(a, who, list, IAM_KEY_LDAP, STR("user"), who->user_id);
    return r ? r : add_attribute(a, who, list, IAM_KEY_LDAP, STR("username"), who->name);
}

static int add_attributes(struct arena *a, const Iam__Session *s, struct iam_identity *who)
{
    char issued[DATE_ISO_LEN];
    size_t tags = who->attribute_count; /* are there already */
    struct iam_attribute *list = arena_array(a, struct iam_attribute, tags + 2 * s->n_claims + 6);
    if (!list)
        return -ENOMEM;
    if (tags)
        memcpy(list, who->attributes, tags * sizeof(*list));
    who->attributes = list;
    date_format_iso(s->issued_ms, issued);
    int r = add_attribute(a, who, list, IAM_KEY_TOKEN_ISSUE_TIME, STR(""),
                          arena_dup(a, str_make(issued, sizeof(issued))));
    if (!r && who->credential == IAM_USER_SESSION)
        r = add_attribute(a, who, list, IAM_KEY_STS_AUTHENTICATION, STR(""), STR("true"));
    if (!r && s->ldap_user[0])
        r = add_ldap(a, s, who, list);
    if (!r && s->provider[0])
        r = add_attribute(a, who, list, IAM_KEY_FEDERATED_PROVIDER, STR(""),
                          arena_dup(a, str_from(s->provider)));
    for (size_t i = 0; !r && i < s->n_claims; i++)
        r = add_claim(a, s, s->claims[i], who, list);
    return r;
}

/* Under the lock. */
static int identify(struct iam *iam, struct arena *a, struct cached *c, struct iam_identity *ret,
                    struct str *ret_secret)
{
    const Iam__Session *s = c->session;
    struct iam_identity who = {0};
    int r = s->user_id[0]     ? identify_user(iam, a, s, &who)
            : s->ldap_user[0] ? identify_ldap(iam, a, c, &who)
                              : identify_role(iam, a, s, &who);
    if (r)
        return r;
    who.access_key = arena_dup(a, str_from(s->access_key));
    who.expires_ms = s->expires_ms;
    *ret_secret = arena_dup(a, str_make(s->secret.data, s->secret.len));
    r = who.access_key.ptr && ret_secret->ptr ? narrow(iam, a, c, &who) : -ENOMEM;
    if (!r)
        r = add_attributes(a, s, &who);
    if (r)
        iam_identity_release(&who);
    else
        *ret = who;
    return r;
}

int iam_session_lookup(struct iam *iam, struct arena *a, struct str access_key, struct str token,
                       uint64_t now_ms, struct iam_identity *ret, struct str *ret_secret)
{
    struct cached *c;
    rt_lock(&iam->lock);
    int r = find_session(iam, access_key, token, &c);
    if (!r && now_ms >= c->session->expires_ms)
        r = -ERR_EXPIRED_TOKEN;
    if (!r)
        r = identify(iam, a, c, ret, ret_secret);
    rt_unlock(&iam->lock);
    return r;
}
