/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Webhooks: a POST of the JSON over libcurl, which keeps the connection. Every address it is about
 * to connect to is judged (open_socket), no proxy is taken from the environment, no redirect is
 * followed.
 */

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "base/library.h"
#include "events/sender.h"
#include "base/sonames.h"
#include "http/outgoing.h"

/* clang-format off */
#define FUNCTIONS(X)       \
    X(curl_easy_cleanup)   \
    X(curl_easy_getinfo)   \
    X(curl_easy_init)      \
    X(curl_easy_perform)   \
    X(curl_easy_setopt)    \
    X(curl_easy_strerror)  \
    X(curl_global_init)    \
    X(curl_slist_append)   \
    X(curl_slist_free_all)
/* clang-format on */
LIBRARY(lib, SONAME_CURL, FUNCTIONS)

#define REPLY_MAX (64 * KIB) /* of the answer, which nobody reads */

struct webhook {
    CURL *curl;
    struct curl_slist *headers;
    bool allow_local, denied;
    const bool *stop;
    size_t reply_bytes;
};

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct webhook *w = arg;
    if (http_outgoing_test(&a->addr, w->allow_local) < 0) {
        w->denied = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_reply(char *data, size_t size, size_t count, void *arg)
{
    struct webhook *w = arg;
    w->reply_bytes += size * count;
    return w->reply_bytes > REPLY_MAX ? 0 : size * count;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct webhook *w = arg;
    return __atomic_load_n(w->stop, __ATOMIC_RELAXED);
}

static bool add_header(struct webhook *w, const char *line)
{
    struct curl_slist *longer = lib.curl_slist_append(w->headers, line);
    if (longer)
        w->headers = longer;
    return longer != NULL;
}

/* A token alone is a bearer's; with a scheme it is sent as it is. */
static bool add_token(struct webhook *w, const struct sender_config *c)
{
    struct str token = event_option_of(c->spec, "token");
    char line[EVENT_VALUE_MAX + 32];
    if (!token.len)
        return true;
    const char *scheme = str_find_char(token, ' ', 0) < 0 ? "Bearer " : "";
    snprintf(line, sizeof(line), "Authorization: %s%.*s", scheme, STR_FMT(token));
    bool ok = add_header(w, line);
    explicit_bzero(line, sizeof(line));
    return ok;
}

static bool set_up(struct webhook *w, const struct sender_config *c)
{
    char url[EVENT_VALUE_MAX + 1], ca[EVENT_VALUE_MAX + 1];
    CURL *h = w->curl;
    long timeout_ms = (long)event_number_of(c->spec, "timeout-ms");
    bool ok = add_header(w, "Content-Type: application/json") && add_header(w, "Expect:") &&
              add_token(w, c);
    ok = ok && !lib.curl_easy_setopt(h, CURLOPT_URL, sender_text(c, "url", url, sizeof(url))) &&
         !lib.curl_easy_setopt(h, CURLOPT_HTTPHEADER, w->headers) &&
         !lib.curl_easy_setopt(h, CURLOPT_USERAGENT, "cairn/" CAIRN_VERSION) &&
         !lib.curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") &&
         !lib.curl_easy_setopt(h, CURLOPT_PROXY, "") &&
         !lib.curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
         !lib.curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L) &&
         !lib.curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) &&
         !lib.curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, timeout_ms) &&
         !lib.curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
         !lib.curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, w) &&
         !lib.curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_reply) &&
         !lib.curl_easy_setopt(h, CURLOPT_WRITEDATA, w) &&
         !lib.curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L) &&
         !lib.curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress) &&
         !lib.curl_easy_setopt(h, CURLOPT_XFERINFODATA, w);
    if (ok && *sender_text(c, "ca", ca, sizeof(ca)))
        ok = !lib.curl_easy_setopt(h, CURLOPT_CAINFO, ca);
    return ok;
}

static void close_webhook(void *self)
{
    struct webhook *w = self;
    lib.curl_easy_cleanup(w->curl);
    lib.curl_slist_free_all(w->headers);
    free(w);
}

static void init_curl(void)
{
    lib.curl_global_init(CURL_GLOBAL_ALL);
}

static int open_webhook(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    struct webhook *w = calloc(1, sizeof(*w));
    if (!w)
        return sender_say(why, -ENOMEM, "out of memory");
    w->allow_local = c->allow_local;
    w->stop = c->stop;
    w->curl = lib.curl_easy_init();
    if (!w->curl || !set_up(w, c)) {
        close_webhook(w);
        return sender_say(why, -ENOMEM, "cannot set up the connection");
    }
    *ret = w;
    return 0;
}

/* 408, 425 and 429 say "later"; other 4xx, and redirects, that it is not wanted. */
static int judge_status(long status, char why[EVENT_WHY_MAX])
{
    bool later = status >= 500 || status == 408 || status == 425 || status == 429;
    if (status / 100 == 2)
        return 0;
    return sender_say(why, later ? -ERR_UNAVAILABLE : -ERR_INVALID_REQUEST,
                      "the endpoint answered %ld", status);
}

static int send_webhook(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct webhook *w = self;
    long status = 0;
    w->denied = false;
    w->reply_bytes = 0;
    if (lib.curl_easy_setopt(w->curl, CURLOPT_POSTFIELDSIZE, (long)m->body.len) ||
        lib.curl_easy_setopt(w->curl, CURLOPT_POSTFIELDS, m->body.ptr))
        return sender_say(why, -ENOMEM, "out of memory");
    CURLcode code = lib.curl_easy_perform(w->curl);
    if (code != CURLE_OK && w->denied) /* else another of the name's addresses has taken it */
        return sender_say_address(why, -ERR_ACCESS_DENIED);
    /* An answer that is too long is an answer. */
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && w->reply_bytes > REPLY_MAX))
        return sender_say(why, -ERR_UNAVAILABLE, "%s", lib.curl_easy_strerror(code));
    lib.curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
    return judge_status(status, why);
}

const struct sender_type sender_webhook = {&lib.library, open_webhook, send_webhook, close_webhook};
