/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The token that Vault is asked with: had, and kept from ending.
 * Source: Vault's HTTP API, "Token auth method" (lookup-self, renew-self), "AppRole auth method".
 */

#include "kms/vault.h"
#include "base/log.h"

#define RETRY_NS    (1 * RT_S) /* and then twice as long, up to */
#define RETRY_MAX   (30 * RT_S)
#define LOOK_NS     (3600 * RT_S) /* at one that never ends, or cannot be renewed */
#define LEAST_MS    500           /* between two renewals, however short the lease */
#define LEASE_S_MAX (10ULL * 365 * 24 * 3600)
#define AGAIN_NS    (10 * RT_S) /* between logins after refusals, */
#define AGAIN_MAX   5           /* of which so many may come at once */
#define LOGIN_MAX   2048        /* bytes of an AppRole's id or secret */

void vault_token_set(struct vault *v, struct str token)
{
    CHECK(token.len <= sizeof(v->token));
    rt_lock(&v->lock);
    explicit_bzero(v->token, sizeof(v->token));
    if (token.len)
        memcpy(v->token, token.ptr, token.len);
    v->token_len = token.len;
    v->serial++;
    rt_unlock(&v->lock);
}

uint64_t vault_token_serial(struct vault *v, bool *ret_has)
{
    rt_lock(&v->lock);
    uint64_t serial = v->serial;
    *ret_has = v->token_len > 0;
    rt_unlock(&v->lock);
    return serial;
}

/* It becomes a header. */
static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return text.len > 0 && text.len <= VAULT_TOKEN_MAX;
}

/* ---- a file --------------------------------------------------------------------------------- */

static bool take_other(struct vault *v, struct str text)
{
    rt_lock(&v->lock);
    bool same = str_eq(text, str_make(v->token, v->token_len));
    rt_unlock(&v->lock);
    if (same || !is_token(text))
        return false;
    vault_token_set(v, text);
    log_event(LOG_INFO, "Vault's token was read anew", "%s", v->token_file);
    return true;
}

bool FIBER vault_token_reread(struct vault *v)
{
    char line[VAULT_TOKEN_MAX + 2];
    size_t len = 0;
    if (!v->token_file || rt_read_file(v->token_file, line, sizeof(line), &len) < 0)
        return false; /* it may be being replaced: there is a next time */
    struct str text = str_make(line, len);
    for (size_t i = 0; i < len; i++)
        if (line[i] == '\r' || line[i] == '\n') {
            text.len = i;
            break;
        }
    bool other = take_other(v, text);
    explicit_bzero(line, sizeof(line));
    return other;
}

/* ---- questions ------------------------------------------------------------------------------ */

/* What an answer says of the lease. */
static void note_lease(struct vault *v, const json_t *told, const char *name)
{
    json_int_t s = json_integer_value(json_object_get(told, name));
    uint64_t ms = s > 0 ? MIN((uint64_t)s, LEASE_S_MAX) * 1000 : 0;
    atomic_store_explicit(&v->lease_ms, ms, memory_order_relaxed);
    atomic_store_explicit(&v->expires_ms, ms ? rt_wall_ms() + ms : 0, memory_order_relaxed);
}

static int FIBER ask_token(struct vault *v, const char *method, struct str path, json_t **ret)
{
    struct vault_question q = {VAULT_TOKEN, method, path,
                               str_eq(str_from(method), STR("POST")) ? STR("{}") : STR_NULL,
                               -ERR_KMS_UNAVAILABLE};
    int status;
    return vault_ask_once(v, &q, ret, &status);
}

/* ---- AppRole -------------------------------------------------------------------------------- */

static int take_token(struct vault *v, const json_t *auth)
{
    const json_t *token = json_object_get(auth, "client_token");
    struct str text = str_make(json_string_value(token), json_string_length(token));
    if (!json_is_string(token) || !is_token(text))
        return -ERR_KMS_UNAVAILABLE;
    vault_token_set(v, text);
    wipe((char *)text.ptr, text.len);
    return 0;
}

static int FIBER login(struct vault *v)
{
    json_t *answer = NULL, *in = json_pack("{s:s%, s:s%}", "role_id", v->role.ptr, v->role.len,
                                           "secret_id", v->secret.ptr, v->secret.len);
    char *body = in ? json_dumps(in, JSON_COMPACT) : NULL;
    struct vault_question q = {VAULT_TOKEN, "POST", STR("/v1/auth/approle/login"),
                               str_from(body ? body : ""), -ERR_KMS_UNAVAILABLE};
    int status, r = body ? vault_ask_once(v, &q, &answer, &status) : -ENOMEM;
    const json_t *auth = json_object_get(answer, "auth");
    if (r == 0)
        r = take_token(v, auth);
    if (r == 0)
        note_lease(v, auth, "lease_duration");
    if (body)
        wipe(body, strlen(body));
    free(body);
    json_decref(in);
    json_decref(answer);
    return r;
}

/* Under the lock. Whoever logged in may have been called off: then another does. */
static int FIBER await_login(struct vault *v, uint64_t serial)
{
    int r = 0;
    while (r == 0 && v->logging_in) { /* which has a deadline of its own */
        r = rt_wait(&v->logged_in, &v->lock, RT_NEVER);
        if (r == 0 && v->serial == serial && v->login_err != -ECANCELED)
            r = v->login_err;
    }
    return r;
}

int FIBER vault_login(struct vault *v, uint64_t serial)
{
    rt_lock(&v->lock);
    int r = await_login(v, serial);
    bool mine = r == 0 && v->serial == serial;
    v->logging_in = v->logging_in || mine;
    rt_unlock(&v->lock);
    if (!mine)
        return r;
    r = login(v);
    rt_lock(&v->lock);
    v->logging_in = false;
    v->login_err = r;
    rt_wake_all(&v->logged_in);
    rt_unlock(&v->lock);
    return r;
}

int FIBER vault_login_again(struct vault *v, uint64_t serial)
{
    uint64_t now = rt_now();
    rt_lock(&v->lock);
    bool others = v->serial != serial || v->logging_in; /* somebody else has one, or will */
    uint64_t next = MAX(v->again_ns, now) + AGAIN_NS;
    bool may = others || next <= now + (AGAIN_MAX * AGAIN_NS);
    if (may && !others)
        v->again_ns = next;
    rt_unlock(&v->lock);
    return may ? vault_login(v, serial) : -ERR_KMS_UNAVAILABLE;
}

/* ---- renewal -------------------------------------------------------------------------------- */

static int FIBER look_up(struct vault *v, bool *ret_renewable)
{
    json_t *answer = NULL;
    int r = ask_token(v, "GET", STR("/v1/auth/token/lookup-self"), &answer);
    if (r < 0)
        return r;
    const json_t *data = json_object_get(answer, "data");
    note_lease(v, data, "ttl");
    *ret_renewable = json_is_true(json_object_get(data, "renewable"));
    json_decref(answer);
    return 0;
}

static int FIBER renew(struct vault *v)
{
    json_t *answer = NULL;
    int r = ask_token(v, "POST", STR("/v1/auth/token/renew-self"), &answer);
    if (r == 0)
        note_lease(v, json_object_get(answer, "auth"), "lease_duration");
    json_decref(answer);
    return r;
}

struct keeping {
    uint64_t serial; /* of the token that was looked at */
    bool looked, renewable;
    uint64_t retry_ns; /* 0: the last time it went well */
};

static int FIBER keep_given(struct vault *v, struct keeping *k)
{
    int r = 0;
    bool has;
    (void)vault_token_reread(v);
    uint64_t serial = vault_token_serial(v, &has);
    k->looked = k->looked && k->serial == serial;
    k->serial = serial;
    if (k->looked && k->renewable)
        r = renew(v);
    else
        r = look_up(v, &k->renewable);
    if (r == 0 && !k->looked && v->lease_ms && !k->renewable)
        log_event(LOG_WARN, "Vault's token will end", "%s: it cannot be renewed", v->url);
    k->looked = k->looked || r == 0;
    return r;
}

/* Half of the lease: there is time for another try. */
static uint64_t pause_ns(const struct vault *v, struct keeping *k, int err)
{
    bool renews = v->role.len || k->renewable;
    uint64_t lease_ms = atomic_load_explicit(&v->lease_ms, memory_order_relaxed);
    uint64_t half_ns = MAX(lease_ms / 2, (uint64_t)LEAST_MS) * RT_MS;
    k->retry_ns = err < 0 ? MIN(MAX(2 * k->retry_ns, RETRY_NS), RETRY_MAX) : 0;
    return k->retry_ns ? k->retry_ns : lease_ms && renews ? half_ns : LOOK_NS;
}

static int FIBER log_in_again(struct vault *v)
{
    bool has;
    return vault_login(v, vault_token_serial(v, &has));
}

static int FIBER keeper_main(void *arg)
{
    struct vault *v = arg;
    struct keeping k = {0};
    int r = 0;
    while (r != -ECANCELED) {
        r = v->role.len ? log_in_again(v) : keep_given(v, &k);
        if (r != -ECANCELED && rt_sleep_until(rt_now() + pause_ns(v, &k, r)) < 0)
            r = -ECANCELED;
    }
    return 0;
}

int FIBER vault_keep_token(struct vault *v)
{
    if (v->role.len > LOGIN_MAX || v->secret.len > LOGIN_MAX)
        return -EINVAL;
    return rt_spawn(&v->keeper, "vault-token", keeper_main, v);
}
