/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * HashiCorp Vault's transit engine: encrypt, decrypt, and the upkeep of its keys.
 * Source: Vault's HTTP API, "Transit secrets engine".
 *
 * A connection a question: keys stay in memory for minutes, so questions are few. What Vault says
 * of a failure goes to the log (it names no secret), a door is told a code.
 */

#include "kms/internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "http/http.h"
#include "wire/json.h"
#include "wire/uri.h"
#include <jansson.h>
#include <stdio.h>

#define ANSWER_MAX  (256 * KIB)
#define TIMEOUT     (10 * RT_S)
#define ATTEMPTS    2
#define MOUNT       "transit"
#define KEYS_LISTED 1000

struct vault {
    char *url, *authority, *host, *mount, *ca; /* host: NULL for plain HTTP */
    struct str token;
};

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

int FIBER vault_new(struct vault **ret, const struct kms_vault_config *config,
                    char why[KMS_WHY_MAX])
{
    struct vault *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    if (config->token.len == 0) {
        snprintf(why, KMS_WHY_MAX,
                 "Vault needs a token: set CAIRN_VAULT_TOKEN or "
                 "CAIRN_VAULT_TOKEN_FILE");
        free(v);
        return -EINVAL;
    }
    v->mount = copy_text(str_from(config->mount ? config->mount : MOUNT));
    v->token = str_make(copy_text(config->token), config->token.len);
    v->ca = config->ca ? copy_text(str_from(config->ca)) : NULL;
    int r = parse_url(v, config->url, why);
    if (r == 0 && (!v->mount || !v->token.ptr || (config->ca && !v->ca)))
        r = -ENOMEM;
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
    if (v->token.ptr)
        wipe((char *)v->token.ptr, v->token.len);
    free((char *)v->token.ptr);
    free(v->url);
    free(v->authority);
    free(v->host);
    free(v->mount);
    free(v->ca);
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

static int FIBER ask_once(struct vault *v, const char *method, struct str path, struct str body,
                          struct buf *ret_answer, int *ret_status)
{
    struct http_client_config config = {
        .tls_host = v->host, .ca_path = v->ca, .timeout_ns = TIMEOUT};
    struct http1_header headers[] = {{STR("X-Vault-Token"), v->token},
                                     {STR("X-Vault-Request"), STR("true")},
                                     {STR("Content-Type"), STR("application/json")}};
    struct http_client *c;
    struct http_reply reply;
    int r = rt_address_parse(&config.address, v->authority);
    if (r == 0)
        r = http_client_open(&c, &config);
    if (r < 0)
        return r;
    r = http_client_request(c, str_from(method), path, headers, ARRAY_LEN(headers), body, &reply);
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

/* `refused`: what a 400 means. The answer, if asked for, is the caller's. */
static int FIBER ask(struct vault *v, const char *method, struct str path, struct str body,
                     int refused, json_t **ret)
{
    _cleanup_(release_text) struct buf text;
    int r = -EIO, status = 0;
    buf_init(&text, ANSWER_MAX);
    for (unsigned i = 0; r < 0 && r != -ECANCELED && i < ATTEMPTS; i++) {
        buf_reset(&text);
        r = ask_once(v, method, path, body, &text, &status);
    }
    if (r < 0) {
        log_event(LOG_WARN, "Vault cannot be reached", "%s: %s", v->url, err_text(r));
        return r == -ECANCELED ? r : -ERR_KMS_UNAVAILABLE;
    }
    json_t *answer = json_read(buf_str(&text));
    r = judge(v, path, status, answer, refused);
    if (r == 0 && ret)
        *ret = answer;
    else
        json_decref(answer);
    return r;
}

static void put_path(struct buf *b, const struct vault *v, const char *verb, struct str name)
{
    buf_printf(b, "/v1/%s/%s", v->mount, verb);
    if (name.len) {
        buf_put_char(b, '/');
        uri_encode(b, name, false);
    }
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void put_base64(struct buf *b, struct str bytes)
{
    char *at = buf_reserve(b, BASE64_LEN(bytes.len));
    if (at)
        b->len += base64_encode(bytes.ptr, bytes.len, at);
}

/* A text of the answer's `data`; ptr NULL when it is not there. */
static struct str data_text(const json_t *answer, const char *name)
{
    const json_t *value = json_object_get(json_object_get(answer, "data"), name);
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_NULL;
}

int FIBER vault_wrap(struct vault *v, struct str name, struct str aad, const uint8_t *key,
                     struct arena *a, struct str *ret)
{
    _cleanup_buf_ struct buf path;
    _cleanup_(release_text) struct buf body;
    json_t *answer = NULL;
    buf_init(&path, 0);
    buf_init(&body, 0);
    put_path(&path, v, "encrypt", name);
    buf_put_cstr(&body, "{\"plaintext\":\"");
    put_base64(&body, str_make(key, CRYPT_KEY_LEN));
    buf_put_cstr(&body, "\",\"associated_data\":\"");
    put_base64(&body, aad);
    buf_put_cstr(&body, "\"}");
    int r = buf_error(&path) ? buf_error(&path) : buf_error(&body);
    if (r == 0)
        r = ask(v, "POST", buf_str(&path), buf_str(&body), -ERR_KMS_UNAVAILABLE, &answer);
    if (r < 0)
        return r;
    struct str text = data_text(answer, "ciphertext");
    *ret = text.len ? arena_dup(a, text) : STR_NULL;
    json_decref(answer);
    if (!text.len)
        return -ERR_KMS_UNAVAILABLE;
    return ret->ptr ? 0 : -ENOMEM;
}

static int take_key(const json_t *answer, uint8_t *ret)
{
    struct str text = data_text(answer, "plaintext");
    uint8_t key[CRYPT_KEY_LEN + 3];
    size_t len;
    bool ok = text.ptr && base64_decode(text, key, sizeof(key), &len) == 0 && len == CRYPT_KEY_LEN;
    if (ok)
        memcpy(ret, key, CRYPT_KEY_LEN);
    explicit_bzero(key, sizeof(key));
    if (text.ptr)
        wipe((char *)text.ptr, text.len);
    return ok ? 0 : -ERR_KMS_UNAVAILABLE;
}

/* What is wrapped is base64 behind "vault:vN:"; anything else would end the JSON text early. */
static bool is_ciphertext(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '"' || s.ptr[i] == '\\')
            return false;
    return str_starts(s, STR("vault:"));
}

int FIBER vault_unwrap(struct vault *v, struct str name, struct str aad, struct str wrapped,
                       uint8_t *ret)
{
    _cleanup_buf_ struct buf path, body;
    json_t *answer = NULL;
    buf_init(&path, 0);
    buf_init(&body, 0);
    if (!is_ciphertext(wrapped)) /* of a key ring, from before Vault was asked */
        return -ERR_KEY_LOST;
    put_path(&path, v, "decrypt", name);
    buf_printf(&body, "{\"ciphertext\":\"%.*s\",\"associated_data\":\"", STR_FMT(wrapped));
    put_base64(&body, aad);
    buf_put_cstr(&body, "\"}");
    int r = buf_error(&path) ? buf_error(&path) : buf_error(&body);
    if (r == 0)
        r = ask(v, "POST", buf_str(&path), buf_str(&body), -ERR_WRONG_KEY, &answer);
    if (r < 0)
        return r == -ERR_KMS_NOT_FOUND ? -ERR_KEY_LOST : r;
    r = take_key(answer, ret);
    json_decref(answer);
    return r;
}

/* ---- for the administrator ------------------------------------------------------------------ */

int FIBER vault_create(struct vault *v, struct str name)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 0);
    put_path(&path, v, "keys", name);
    return buf_error(&path)
               ? buf_error(&path)
               : ask(v, "POST", buf_str(&path), STR("{\"type\":\"aes256-gcm96\"}"), -EINVAL, NULL);
}

int FIBER vault_rotate(struct vault *v, struct str name)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 0);
    put_path(&path, v, "keys", name);
    buf_put_cstr(&path, "/rotate");
    return buf_error(&path) ? buf_error(&path)
                            : ask(v, "POST", buf_str(&path), STR("{}"), -ERR_KMS_NOT_FOUND, NULL);
}

static int FIBER newest_version(struct vault *v, struct str name, uint32_t *ret)
{
    _cleanup_buf_ struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 0);
    put_path(&path, v, "keys", name);
    int r = buf_error(&path)
                ? buf_error(&path)
                : ask(v, "GET", buf_str(&path), STR_NULL, -ERR_KMS_UNAVAILABLE, &answer);
    if (r < 0)
        return r;
    const json_t *n = json_object_get(json_object_get(answer, "data"), "latest_version");
    *ret = (uint32_t)json_integer_value(n);
    json_decref(answer);
    return 0;
}

static int FIBER take_names(struct vault *v, struct arena *a, const json_t *names,
                            struct kms_key *list, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        list[i].name = arena_dup(a, str_from(name ? name : ""));
        r = list[i].name.ptr ? newest_version(v, list[i].name, &list[i].newest) : -ENOMEM;
    }
    return r;
}

int FIBER vault_list(struct vault *v, struct arena *a, struct kms_key **ret, size_t *ret_count)
{
    _cleanup_buf_ struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 0);
    put_path(&path, v, "keys?list=true", STR_NULL);
    int r = buf_error(&path)
                ? buf_error(&path)
                : ask(v, "GET", buf_str(&path), STR_NULL, -ERR_KMS_UNAVAILABLE, &answer);
    if (r == -ERR_KMS_NOT_FOUND) { /* so Vault says that there is no key yet */
        *ret_count = 0;
        return 0;
    }
    if (r < 0)
        return r;
    const json_t *names = json_object_get(json_object_get(answer, "data"), "keys");
    size_t count = MIN(json_array_size(names), (size_t)KEYS_LISTED);
    *ret = arena_array(a, struct kms_key, count + 1);
    *ret_count = count;
    r = *ret ? take_names(v, a, names, *ret, count) : -ENOMEM;
    json_decref(answer);
    return r;
}
