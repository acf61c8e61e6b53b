/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Logins: a queue that fibers put theirs into, and threads that take them out. A login lies on its
 * fiber's stack and stays there until a thread is done with it, which takes LOGIN_NS and a step at
 * most, so a fiber that was cancelled waits for that. The library's own timeouts do not hold in the
 * middle of a message nor of a TLS handshake, so at LOGIN_NS the fiber ends the sockets below it.
 */

#include "iam/ldap.h"

#define LDAP_DEPRECATED 0
#include <ldap.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/error.h"
#include "base/library.h"
#include "base/log.h"
#include "base/sonames.h"
#include "rt/rt.h"

#define THREADS_MAX  4
#define QUEUE_MAX    64
#define THREAD_STACK (512 * KIB)
#define STEP_S       10
#define LOGIN_NS     (10 * RT_S) /* in the queue and under way */

#define FUNCTIONS(X)      \
    X(ldap_initialize)    \
    X(ldap_set_option)    \
    X(ldap_start_tls_s)   \
    X(ldap_sasl_bind_s)   \
    X(ldap_search_ext_s)  \
    X(ldap_count_entries) \
    X(ldap_first_entry)   \
    X(ldap_next_entry)    \
    X(ldap_get_dn)        \
    X(ldap_memfree)       \
    X(ldap_msgfree)       \
    X(ldap_unbind_ext_s)  \
    X(ber_sockbuf_ctrl)   \
    X(ldap_err2string)
LIBRARY(lib, SONAME_LDAP, FUNCTIONS)

/* A connection of a login. */
struct link {
    LDAP *ld;
    struct ldap_conncb callbacks; /* whose argument is this link */
    struct ldap *owner;
    struct login *login;
    int fd; /* the socket once more, by which it is ended; -1: none */
};

struct login {
    struct login *next;
    struct arena *arena; /* the fiber's, which waits */
    struct str name, password;
    uint64_t deadline_ns;
    struct ldap_user *user;
    struct link lookup, proof;
    int result;
    bool done, ended; /* ended: past its deadline */
};

struct ldap {
    struct iam_ldap_config config;
    struct rt_lock lock; /* guards: */
    struct rt_waitq to_threads, to_fibers;
    struct login *first, **last;
    unsigned waiting; /* fibers, whether or not theirs was taken out yet */
    unsigned queued, idle, threads;
    pthread_t thread[THREADS_MAX];
    bool stop;
};

/* ---- the configuration ---------------------------------------------------------------------- */

static bool is_balanced(const char *filter)
{
    int depth = 0;
    for (const char *p = filter; *p && depth >= 0; p++)
        depth += (*p == '(') - (*p == ')');
    return filter[0] == '(' && depth == 0;
}

const char *iam_ldap_config_fault(const struct iam_ldap_config *c)
{
    struct str url = str_from(c->url);
    bool tls = str_starts(url, STR("ldaps://"));
    if (!tls && !str_starts(url, STR("ldap://")))
        return "the URL of the directory is ldaps://HOST:PORT or ldap://HOST:PORT";
    if (tls && c->start_tls)
        return "with ldaps:// there is nothing for StartTLS to start";
    if (!tls && !c->start_tls && !c->insecure)
        return "over ldap:// without StartTLS passwords are there for everybody to read: use "
               "ldaps://, --ldap-start-tls, or, if that is wanted, --insecure-ldap";
    if (!c->bind_dn || !c->bind_dn[0] || !c->password || !c->password[0])
        return "lookups need --ldap-bind-dn and the password in CAIRN_LDAP_PASSWORD";
    if (!c->user_base || !c->user_filter || !strstr(c->user_filter, "%s") ||
        !is_balanced(c->user_filter))
        return "users need --ldap-user-base, and --ldap-user-filter with %s in it, as in (uid=%s)";
    if (c->group_base && (!c->group_filter || !is_balanced(c->group_filter) ||
                          (!strstr(c->group_filter, "%d") && !strstr(c->group_filter, "%s"))))
        return "--ldap-group-filter has %d or %s in it, as in (member=%d)";
    return NULL;
}

struct ldap *ldap_new(const struct iam_ldap_config *config)
{
    struct ldap *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->config = *config;
    l->last = &l->first;
    rt_lock_init(&l->lock);
    rt_waitq_init(&l->to_threads);
    rt_waitq_init(&l->to_fibers);
    return l;
}

/* ---- steps; all block ----------------------------------------------------------------------- */

/* What the directory answered of us, not of the user. */
static int failed(const char *what, int code)
{
    log_event(LOG_WARN, "the directory does not serve a login", "%s: %s", what,
              lib.ldap_err2string(code));
    return -ERR_IDP_COMMUNICATION;
}

static int set_options(const struct iam_ldap_config *c, LDAP *ld)
{
    const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, server = 0;
    const struct timeval step = {.tv_sec = STEP_S};
    int r = lib.ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    r |= lib.ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &step);
    r |= lib.ldap_set_option(ld, LDAP_OPT_TIMEOUT, &step);
    r |= lib.ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    r |= lib.ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    if (c->ca_path)
        r |= lib.ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, c->ca_path);
    r |= lib.ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &server);
    return r == LDAP_OPT_SUCCESS ? 0 : -ERR_IDP_COMMUNICATION;
}

/* Under the lock. */
static void end_link(const struct link *k)
{
    if (k->fd >= 0)
        (void)shutdown(k->fd, SHUT_RDWR);
}

/* Called by the library when a socket is connected and nothing was sent yet. */
static int on_connect(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *address,
                      struct ldap_conncb *callbacks)
{
    struct link *k = callbacks->lc_arg;
    int fd = -1;
    if (lib.ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) != 1)
        return -1;
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    rt_lock(&k->owner->lock);
    int old = k->fd;
    k->fd = fd;
    if (k->login->ended)
        end_link(k);
    rt_unlock(&k->owner->lock);
    if (old >= 0)
        (void)close(old);
    return 0;
}

static void on_disconnect(LDAP *ld, Sockbuf *sb, struct ldap_conncb *callbacks)
{
}

static void disconnect(struct link *k)
{
    if (k->ld)
        (void)lib.ldap_unbind_ext_s(k->ld, NULL, NULL);
    k->ld = NULL;
    rt_lock(&k->owner->lock);
    int fd = k->fd;
    k->fd = -1;
    rt_unlock(&k->owner->lock);
    if (fd >= 0)
        (void)close(fd);
}

static int connect_to(const struct iam_ldap_config *c, struct link *k)
{
    if (rt_now() >= k->login->deadline_ns)
        return failed(c->url, LDAP_TIMEOUT);
    int code = lib.ldap_initialize(&k->ld, c->url);
    if (code != LDAP_SUCCESS)
        return failed(c->url, code);
    k->callbacks = (struct ldap_conncb){on_connect, on_disconnect, k};
    int r = set_options(c, k->ld);
    if (r == 0 && lib.ldap_set_option(k->ld, LDAP_OPT_CONNECT_CB, &k->callbacks) != 0)
        r = -ERR_IDP_COMMUNICATION;
    if (r == 0 && c->start_tls && (code = lib.ldap_start_tls_s(k->ld, NULL, NULL)) != LDAP_SUCCESS)
        r = failed("StartTLS", code);
    if (r < 0)
        disconnect(k);
    return r;
}

/* Never without a password or a name: the directory would take that for a bind of nobody, and say
 * that it went well (RFC 4513, 5.1.2). */
static int bind_as(LDAP *ld, const char *dn, struct str password)
{
    struct berval value = {.bv_len = password.len, .bv_val = (char *)password.ptr};
    CHECK(dn[0] && password.len);
    return lib.ldap_sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &value, NULL, NULL, NULL);
}

static int open_lookup(const struct iam_ldap_config *c, struct link *k)
{
    int r = connect_to(c, k);
    if (r < 0)
        return r;
    int code = bind_as(k->ld, c->bind_dn, str_from(c->password));
    if (code != LDAP_SUCCESS) {
        disconnect(k);
        return failed(c->bind_dn, code);
    }
    return 0;
}

/* The names of what fits, as the directory writes them, `most` of them; more are -ERR_TOO_LARGE. */
static int search(LDAP *ld, struct arena *a, const char *base, struct str filter, int most,
                  struct str **ret, size_t *ret_count)
{
    char *attributes[] = {LDAP_NO_ATTRS, NULL};
    struct timeval step = {.tv_sec = STEP_S};
    LDAPMessage *found = NULL;
    int code = filter.ptr ? lib.ldap_search_ext_s(ld, base, LDAP_SCOPE_SUBTREE, filter.ptr,
                                                  attributes, 0, NULL, NULL, &step, most, &found)
                          : LDAP_NO_MEMORY;
    int count = code == LDAP_SUCCESS ? lib.ldap_count_entries(ld, found) : 0;
    struct str *list = arena_array(a, struct str, (size_t)MAX(count, 0) + 1);
    int r = code == LDAP_SIZELIMIT_EXCEEDED ? -ERR_TOO_LARGE
            : code != LDAP_SUCCESS          ? failed(base, code)
            : !list                         ? -ENOMEM
                                            : 0;
    size_t n = 0;
    for (LDAPMessage *e = r < 0 ? NULL : lib.ldap_first_entry(ld, found); e && r == 0;
         e = lib.ldap_next_entry(ld, e)) {
        char *dn = lib.ldap_get_dn(ld, e);
        list[n] = dn ? arena_dup(a, str_from(dn)) : STR_NULL;
        lib.ldap_memfree(dn);
        if (!list[n++].ptr)
            r = -ENOMEM;
    }
    lib.ldap_msgfree(found);
    if (r < 0)
        return r;
    *ret = list;
    *ret_count = n;
    return 0;
}

/* One, whose name is more than nothing. */
static int find_user(const struct iam_ldap_config *c, LDAP *ld, struct login *g, struct str *ret)
{
    struct str *found;
    size_t count;
    int r = search(ld, g->arena, c->user_base,
                   ldap_filter(g->arena, c->user_filter, g->name, STR("")), 2, &found, &count);
    if (r == -ERR_TOO_LARGE || (r == 0 && (count != 1 || !found[0].len)))
        return -ERR_ACCESS_DENIED;
    if (r == 0)
        *ret = found[0];
    return r;
}

/* On a connection of its own: what follows is looked up with our eyes, not with the user's. */
static int prove(const struct iam_ldap_config *c, struct login *g, struct str dn)
{
    int r = connect_to(c, &g->proof);
    if (r < 0)
        return r;
    int code = bind_as(g->proof.ld, dn.ptr, g->password);
    disconnect(&g->proof);
    if (code == LDAP_SERVER_DOWN || code == LDAP_TIMEOUT || code == LDAP_CONNECT_ERROR ||
        code == LDAP_BUSY || code == LDAP_UNAVAILABLE)
        return failed("bind", code);
    return code == LDAP_SUCCESS ? 0 : -ERR_ACCESS_DENIED;
}

/* A name of a group that we cannot read is of no group that anything is attached to. */
static int find_groups(const struct iam_ldap_config *c, LDAP *ld, struct login *g, struct str dn)
{
    struct str *found;
    size_t count, kept = 0;
    if (!c->group_base)
        return 0;
    int r = search(ld, g->arena, c->group_base, ldap_filter(g->arena, c->group_filter, g->name, dn),
                   IAM_LDAP_FOUND_MAX, &found, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct str normal = ldap_dn_normal(g->arena, found[i]);
        if (normal.ptr)
            found[kept++] = normal;
    }
    if (r == 0) {
        g->user->groups = found;
        g->user->group_count = kept;
    }
    return r == -ERR_TOO_LARGE ? failed("more than 1000 groups", LDAP_SIZELIMIT_EXCEEDED) : r;
}

/* Whoever is not there takes as long as a wrong password does: a bind, by a name that nobody has.
 */
static int prove_nobody(const struct iam_ldap_config *c, struct login *g)
{
    uint64_t random[2];
    rt_random(random, sizeof(random));
    struct str dn = arena_printf(g->arena, "cn=%016llx%016llx,%s", (unsigned long long)random[0],
                                 (unsigned long long)random[1], c->user_base);
    int r = dn.ptr ? prove(c, g, dn) : -ENOMEM;
    return r < 0 ? r : -ERR_ACCESS_DENIED;
}

static int find_and_prove(const struct iam_ldap_config *c, struct login *g)
{
    struct str dn;
    LDAP *ld = g->lookup.ld;
    int r = find_user(c, ld, g, &dn);
    if (r == -ERR_ACCESS_DENIED)
        return prove_nobody(c, g);
    if (r == 0)
        r = prove(c, g, dn);
    if (r < 0)
        return r;
    g->user->dn = ldap_dn_normal(g->arena, dn);
    return g->user->dn.ptr ? find_groups(c, ld, g, dn) : -ERR_ACCESS_DENIED;
}

static int BLOCKING carry_out(const struct iam_ldap_config *c, struct login *g)
{
    int r = library_load(&lib.library);
    if (r < 0) {
        log_event(LOG_ERROR, "the directory cannot be asked", "%s is not installed", SONAME_LDAP);
        return -ERR_IDP_COMMUNICATION;
    }
    r = rt_now() < g->deadline_ns ? open_lookup(c, &g->lookup) : -ERR_BUSY;
    if (r < 0)
        return r;
    r = find_and_prove(c, g);
    disconnect(&g->lookup);
    return r;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
    struct ldap *l = arg;
    rt_lock(&l->lock);
    for (;;) {
        l->idle++;
        while (!l->first && !l->stop)
            rt_wait(&l->to_threads, &l->lock, RT_NEVER);
        l->idle--;
        struct login *g = l->first;
        if (!g)
            break;
        l->first = g->next;
        if (!l->first)
            l->last = &l->first;
        l->queued--;
        rt_unlock(&l->lock);
        int r = carry_out(&l->config, g);
        rt_lock(&l->lock);
        g->result = r;
        g->done = true;
        rt_wake_all(&l->to_fibers);
    }
    rt_unlock(&l->lock);
    return NULL;
}

/* Under the lock: one more when there is none for the login that is about to be queued. */
static int start_thread(struct ldap *l)
{
    pthread_attr_t attr;
    if (l->queued < l->idle || l->threads == THREADS_MAX)
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    bool started = pthread_create(&l->thread[l->threads], &attr, thread_main, l) == 0;
    pthread_attr_destroy(&attr);
    l->threads += started;
    return l->threads ? 0 : -ENOMEM;
}

/* Under the lock, until a thread is done with it. */
static void FIBER await(struct ldap *l, struct login *g)
{
    while (!g->done && rt_wait_uncancelled(&l->to_fibers, &l->lock, g->deadline_ns) == 0)
        ;
    g->ended = true;
    end_link(&g->lookup);
    end_link(&g->proof);
    while (!g->done)
        (void)rt_wait_uncancelled(&l->to_fibers, &l->lock, RT_NEVER);
}

static int FIBER hand_over(struct ldap *l, struct login *g)
{
    rt_lock(&l->lock);
    int r = l->stop ? -ERR_CLOSED : l->waiting == QUEUE_MAX ? -ERR_BUSY : start_thread(l);
    if (r == 0) {
        l->waiting++;
        l->queued++;
        *l->last = g;
        l->last = &g->next;
        rt_wake_one(&l->to_threads);
        await(l, g);
        l->waiting--;
        r = g->result;
    }
    rt_unlock(&l->lock);
    return r;
}

static bool is_word(struct str s, size_t max)
{
    return s.len > 0 && s.len <= max && str_is_utf8(s) && str_find_char(s, 0, 0) < 0;
}

int FIBER ldap_login(struct ldap *l, struct arena *a, struct str name, struct str password,
                     struct ldap_user *ret)
{
    struct ldap_user user = {0};
    struct login g = {.arena = a,
                      .name = name,
                      .password = password,
                      .deadline_ns = rt_now() + LOGIN_NS,
                      .user = &user,
                      .lookup = {.owner = l, .login = &g, .fd = -1},
                      .proof = {.owner = l, .login = &g, .fd = -1}};
    if (!is_word(name, IAM_LDAP_NAME_MAX) || !is_word(password, IAM_LDAP_PASSWORD_MAX))
        return -EINVAL;
    int r = hand_over(l, &g);
    if (r == 0)
        *ret = user;
    return r;
}

static int BLOCKING join_threads(void *arg)
{
    struct ldap *l = arg;
    for (unsigned i = 0; i < l->threads; i++)
        (void)pthread_join(l->thread[i], NULL);
    return 0;
}

void FIBER ldap_free(struct ldap *l)
{
    if (!l)
        return;
    rt_lock(&l->lock);
    l->stop = true;
    rt_wake_all(&l->to_threads);
    rt_unlock(&l->lock);
    if (l->threads)
        (void)rt_offload(join_threads, l);
    free(l);
}
