/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * One question to HashiCorp Vault, and the life of what asks.
 *
 * A connection a question: keys stay in memory for minutes, so questions are few. What Vault says
 * of a failure goes to the log (it names no secret), a door is told a code.
 */

#include "kms/vault.h"
#include "base/log.h"
#include "http/http.h"
#include "wire/json.h"
#include <stdio.h>

#define ANSWER_MAX (256 * KIB)
#define TIMEOUT    (10 * RT_S) /* of a wait, */
#define WHOLE      (30 * RT_S) /* and of a question */
#define ATTEMPTS   2
#define MOUNT      "transit"

/* ---- life ----------------------------------------------------------------------------------- */

static char *copy_text(struct str s)
{
    return strndup(s.ptr ? s.ptr : "", s.len);
}

static int parse_url(struct vault *v, const char *url, char why[KMS_WHY_MAX])
{
    struct str rest = str_from(url);
    bool tls = str_starts(rest, STR("https://"));
    if (!tls && !str_starts(rest, STR("http://"))) {
        snprintf(why, KMS_WHY_MAX, "%s is no address of Vault: write https://HOST:PORT", url);
        return -EINVAL;
    }
    rest = str_from_offset(rest, tls ? strlen("https://") : strlen("http://"));
    if (str_ends(rest, STR("/")))
        rest.len--;
    ptrdiff_t bracket = str_find_char(rest, ']', 0);
    ptrdiff_t colon = str_find_char(rest, ':', bracket > 0 ? (size_t)bracket : 0);
    struct str host = colon < 0 ? rest : str_prefix(rest, (size_t)colon);
    v->url = copy_text(str_from(url));
    v->host = tls ? copy_text(host) : NULL;
    if (asprintf(&v->authority, "%.*s%s", STR_FMT(rest),
                 colon >= 0 ? ""
                 : tls      ? ":443"
                            : ":80") < 0)
        v->authority = NULL;
    return v->url && v->authority && (v->host || !tls) ? 0 : -ENOMEM;
}

static int check_config(const struct kms_vault_config *c, char why[KMS_WHY_MAX])
{
    const char *fault =
        c->token.len && c->role.len      ? "Vault takes a token or an AppRole: set one of "
                                           "CAIRN_VAULT_TOKEN and CAIRN_VAULT_ROLE_ID"
        : !c->token.len && !c->role.len  ? "Vault needs a token: set CAIRN_VAULT_TOKEN or "
                                           "CAIRN_VAULT_TOKEN_FILE, or CAIRN_VAULT_ROLE_ID and "
                                           "CAIRN_VAULT_SECRET_ID"
        : c->role.len && !c->secret.len  ? "Vault's AppRole needs CAIRN_VAULT_SECRET_ID"
        : c->token.len > VAULT_TOKEN_MAX ? "Vault's token is too long"
                                         : NULL;
    if (fault)
        snprintf(why, KMS_WHY_MAX, "%s", fault);
    return fault ? -EINVAL : 0;
}

static int copy_config(struct vault *v, const struct kms_vault_config *config, char *why)
{
    v->mount = copy_text(str_from(config->mount ? config->mount : MOUNT));
    v->ca = config->ca ? copy_text(str_from(config->ca)) : NULL;
    v->token_file = config->token_file ? copy_text(str_from(config->token_file)) : NULL;
    v->role = str_make(copy_text(config->role), config->role.len);
    v->secret = str_make(copy_text(config->secret), config->secret.len);
    vault_token_set(v, config->token);
    int r = parse_url(v, config->url, why);
    if (r == 0 && (!v->mount || !v->role.ptr || !v->secret.ptr || (config->ca && !v->ca) ||
                   (config->token_file && !v->token_file)))
        r = -ENOMEM;
    return r;
}

int FIBER vault_new(struct vault **ret, const struct kms_vault_config *config,
                    char why[KMS_WHY_MAX])
{
    int r = check_config(config, why);
    struct vault *v = r < 0 ? NULL : calloc(1, sizeof(*v));
    if (!v)
        return r < 0 ? r : -ENOMEM;
    rt_lock_init(&v->lock);
    rt_waitq_init(&v->logged_in);
    r = copy_config(v, config, why);
    if (r == 0)
        r = vault_keep_token(v);
    if (r < 0) {
        vault_free(v);
        return r;
    }
    *ret = v;
    return 0;
}

void FIBER vault_free(struct vault *v)
{
    if (!v)
        return;
    if (v->keeper) {
        rt_cancel(v->keeper);
        rt_join(v->keeper);
    }
    if (v->secret.ptr)
        wipe((char *)v->secret.ptr, v->secret.len);
    explicit_bzero(v->token, sizeof(v->token));
    free((char *)v->secret.ptr);
    free((char *)v->role.ptr);
    free(v->url);
    free(v->authority);
    free(v->host);
    free(v->mount);
    free(v->ca);
    free(v->token_file);
    free(v);
}

const char *vault_url(const struct vault *v)
{
    return v->url;
}

/* ---- one question --------------------------------------------------------------------------- */

static int FIBER read_answer(struct http_client *c, struct buf *ret)
{
    struct str piece;
    do {
        int r = http_client_body(c, &piece);
        if (r < 0)
            return r;
        buf_put_str(ret, piece);
    } while (piece.len);
    return buf_error(ret);
}

/* The token's header goes with the token: a login has none. */
static int FIBER send(struct vault *v, struct http_client *c, const struct vault_question *q,
                      struct http_reply *ret)
{
    char token[VAULT_TOKEN_MAX];
    rt_lock(&v->lock);
    size_t len = v->token_len;
    memcpy(token, v->token, len);
    rt_unlock(&v->lock);
    struct http1_header headers[] = {{STR("X-Vault-Request"), STR("true")},
                                     {STR("Content-Type"), STR("application/json")},
                                     {STR("X-Vault-Token"), str_make(token, len)}};
    int r = http_client_request(c, str_from(q->method), q->path, headers,
                                ARRAY_LEN(headers) - (len == 0), q->body, ret);
    explicit_bzero(token, sizeof(token));
    return r;
}

static int FIBER exchange(struct vault *v, const struct vault_question *q, struct buf *ret_answer,
                          int *ret_status)
{
    struct http_client_config config = {
        .tls_host = v->host, .ca_path = v->ca, .timeout_ns = TIMEOUT, .until_ns = rt_now() + WHOLE};
    struct http_client *c;
    struct http_reply reply;
    int r = rt_address_parse(&config.address, v->authority);
    if (r == 0)
        r = http_client_open(&c, &config);
    if (r < 0)
        return r;
    r = send(v, c, q, &reply);
    if (r == 0) {
        *ret_status = reply.status;
        r = read_answer(c, ret_answer);
    }
    http_client_close(c);
    return r;
}

/* The first thing that Vault says is wrong, for the log. */
static struct str told_error(const json_t *answer)
{
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    return json_is_string(first) ? str_from(json_string_value(first)) : STR("no reason given");
}

static int judge(struct vault *v, struct str path, int status, const json_t *answer, int refused)
{
    if (status < 300)
        return 0;
    struct str why = told_error(answer);
    if (status == 404 || (status == 400 && str_find(why, STR("not found"), 0) >= 0))
        return -ERR_KMS_NOT_FOUND;
    log_event(LOG_WARN, "Vault refuses", "%s%.*s: %d, %.*s", v->url, STR_FMT(path), status,
              STR_FMT(str_prefix(why, 200)));
    return status == 400 ? refused : -ERR_KMS_UNAVAILABLE;
}

/* Wipes what may hold a key. */
static void release_text(struct buf *b)
{
    if (b->data)
        wipe(b->data, b->len);
    buf_release(b);
}

int FIBER vault_ask_once(struct vault *v, const struct vault_question *q, json_t **ret,
                         int *ret_status)
{
    _cleanup_(release_text) struct buf text;
    uint64_t began_ns = rt_now();
    int r = -EIO;
    *ret_status = 0;
    buf_init(&text, ANSWER_MAX);
    for (unsigned i = 0; r < 0 && r != -ECANCELED && i < ATTEMPTS; i++) {
        buf_reset(&text);
        r = exchange(v, q, &text, ret_status);
    }
    metrics_observe(&v->took[q->verb], rt_now() - began_ns);
    if (r < 0) {
        atomic_fetch_add_explicit(&v->failures[q->verb], 1, memory_order_relaxed);
        if (r != -ECANCELED)
            log_event(LOG_WARN, "Vault cannot be reached", "%s: %s", v->url, err_text(r));
        return r == -ECANCELED ? r : -ERR_KMS_UNAVAILABLE;
    }
    json_t *answer = json_read(buf_str(&text));
    r = judge(v, q->path, *ret_status, answer, q->refused);
    /* What Vault says of what it was asked, a key that is not there, is an answer. */
    if (r == -ERR_KMS_UNAVAILABLE)
        atomic_fetch_add_explicit(&v->failures[q->verb], 1, memory_order_relaxed);
    if (r == 0 && ret)
        *ret = answer;
    else
        json_decref(answer);
    return r;
}

int FIBER vault_ask(struct vault *v, const struct vault_question *q, json_t **ret)
{
    bool has;
    int status;
    uint64_t serial = vault_token_serial(v, &has);
    int r = has ? 0 : vault_login(v, serial);
    if (r < 0)
        return r;
    serial = vault_token_serial(v, &has);
    r = vault_ask_once(v, q, ret, &status);
    if (r == 0 || status != 403)
        return r;
    /* The token was taken back, or Vault forgot it. */
    if (v->role.len && (r = vault_login_again(v, serial)) < 0)
        return r;
    if (!v->role.len && !vault_token_reread(v))
        return r;
    return vault_ask_once(v, q, ret, &status);
}

/* ---- metrics -------------------------------------------------------------------------------- */

static const char *const verb_texts[] = {
#define X(name, text) text,
    VAULT_VERBS(X)
#undef X
};

void vault_metrics(struct buf *out, const struct vault *v)
{
    static const char *const took = "cairn_kms_request_seconds";
    static const char *const failed = "cairn_kms_request_failures_total";
    metrics_family(out, took, "histogram", "What Vault took to answer.");
    for (unsigned i = 0; i < VAULT_VERB_COUNT; i++) {
        struct metrics_label labels[] = {{"verb", str_from(verb_texts[i])}, {NULL, STR_NULL}};
        metrics_histogram_samples(out, took, labels, &v->took[i]);
    }
    metrics_family(out, failed, "counter", "Questions that Vault refused or did not answer.");
    for (unsigned i = 0; i < VAULT_VERB_COUNT; i++) {
        struct metrics_label labels[] = {{"verb", str_from(verb_texts[i])}, {NULL, STR_NULL}};
        metrics_sample_u64(out, failed, labels,
                           atomic_load_explicit(&v->failures[i], memory_order_relaxed));
    }
    metrics_single(out, "cairn_kms_token_expires_ms", "gauge",
                   "When Vault's token ends, milliseconds since 1970; 0: never, or not known.",
                   atomic_load_explicit(&v->expires_ms, memory_order_relaxed));
}
