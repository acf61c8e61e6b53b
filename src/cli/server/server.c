/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/admin.h"
#include "base/log.h"
#include "base/reserve.h"
#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/engine/engine.h"
#include "cli/server/disk_changes.h"
#include "cli/server/keys.h"
#include "cli/server/memory_watch.h"
#include "cli/server/trim.h"
#include "cli/world.h"
#include "http/access_log.h"
#include "iam/jwt.h"
#include "iam/ldap.h"
#include "jobs/objects.h"
#include "s3/s3.h"
#include <limits.h>
#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_GRACE           (10 * RT_S)
#define ADDRESS_WAIT_S       10 /* longer than the kernel takes to end the sockets of the killed */
#define ADDRESS_PAUSE        (50 * RT_MS)
#define SETTLE_FIRST         (1100 * RT_MS) /* the jobs begin after a second */
#define SETTLE_LAST          (60 * RT_S)
#define CONNECTIONS_MAX      16384
#define THREADS_MAX          1024
#define MANY_DISKS_THREADS   8 /* that may block: the usual four, and those of a disk that hangs */
#define FILES_KEPT           512 /* descriptors that connections leave to volumes and tables */
#define VOLUME_MIB_MIN       128 /* room for the longest chunk beside others */
#define VOLUME_MIB_MAX       (1024 * 1024)
#define COMPACT_INTERVAL_MAX 86400 /* seconds */
#define SCRUB_DAYS_MAX       3650
#define AUDIT_KEEP_MAX       (16 * 1024 * 1024) /* MiB */
#define AUDIT_DAYS_MAX       36500
#define LIFECYCLE_DAY_MAX    (365 * 86400) /* seconds */
#define SPARE_AFTER_MAX      (365 * 86400) /* seconds */

static struct {
    const char *address, *tls_cert, *tls_key, *domain, *website_domain, *region, *log_format,
        *log_level, *object_ownership;
    const char *audit, *audit_dir, *trusted_proxies;
    uint64_t audit_keep_mib, audit_days;
    const char *oidc_algorithms, *oidc_ca;
    struct iam_ldap_config ldap;
    bool sigv2, force_metadata, allow_local_events, allow_local_oidc, encrypt, insecure_sse_c;
    struct keys_options keys;
    struct cli_texts classes;
    uint64_t threads, volume_mib, compact_interval_s, scrub_days, spare_after_s, lifecycle_day_s;
} options = {
    .address = "127.0.0.1:9000",
    .region = "us-east-1",
    .log_format = "text",
    .log_level = "info",
    .audit = "on",
    .ldap = {.user_filter = "(uid=%s)", .group_filter = "(&(objectClass=groupOfNames)(member=%d))"},
    .scrub_days = 14,
    .spare_after_s = 14400,
    .lifecycle_day_s = 86400};

static const struct cli_option option_table[] = {
    {"address", CLI_TEXT, &options.address, "HOST:PORT",
     "where to listen; 127.0.0.1:9000 if not given"},
    {"tls-cert", CLI_TEXT, &options.tls_cert, "FILE",
     "certificate chain (PEM); with --tls-key serves https"},
    {"tls-key", CLI_TEXT, &options.tls_key, "FILE", "private key (PEM)"},
    {"domain", CLI_TEXT, &options.domain, "D[,D...]", "also serve virtual-host style: BUCKET.D"},
    {"website-domain", CLI_TEXT, &options.website_domain, "D[,D...]",
     "serve buckets' websites: BUCKET.D"},
    {"object-ownership", CLI_TEXT, &options.object_ownership, "WORD",
     "ownership controls of new buckets: BucketOwnerEnforced (no ACLs, as AWS makes them), "
     "BucketOwnerPreferred, ObjectWriter; none if not given, which allows ACLs"},
    {"sigv2", CLI_FLAG, &options.sigv2, NULL,
     "also take AWS Signature Version 2, which covers neither bodies nor most parameters"},
    {"encrypt", CLI_FLAG, &options.encrypt, NULL,
     "encrypt what is written without other words (SSE-S3)"},
    {"vault", CLI_TEXT, &options.keys.vault, "URL",
     "have HashiCorp Vault's transit engine keep the master keys; $CAIRN_VAULT_TOKEN"},
    {"vault-mount", CLI_TEXT, &options.keys.vault_mount, "PATH",
     "where the transit engine is; transit if not given"},
    {"vault-ca", CLI_TEXT, &options.keys.vault_ca, "FILE", "certificates to trust there (PEM)"},
    {"insecure-sse-c", CLI_FLAG, &options.insecure_sse_c, NULL,
     "take customers' keys (SSE-C) over plain http, for a proxy in front that ends TLS"},
    {"region", CLI_TEXT, &options.region, "REGION", "the region's name; us-east-1 if not given"},
    {"threads", CLI_NUMBER, &options.threads, "N", "loop threads; one a core if not given"},
    {"volume-size", CLI_NUMBER, &options.volume_mib, "MIB",
     "largest volume file, 128 or more; 8192, less on a small disk, if not given"},
    {"compact-interval", CLI_NUMBER, &options.compact_interval_s, "SECONDS",
     "between looks for volumes to compact; 1 if not given"},
    {"scrub-days", CLI_NUMBER, &options.scrub_days, "DAYS",
     "every stored byte is read and verified within as many days; 14 if not given, 0: only when "
     "'cairn admin scrub start' asks for it"},
    {"lifecycle-day", CLI_NUMBER, &options.lifecycle_day_s, "SECONDS",
     "for tests: what the lifecycle job takes for a day; 86400 if not given"},
    {"storage-class", CLI_TEXTS, &options.classes, "NAME=K+M[,archive]",
     "a storage class by the name NAME whose objects have K shards of data and M of parity, given "
     "as often as there are classes; with 'archive' they are read only after RestoreObject; "
     "STANDARD goes by the number of disks, REDUCED_REDUNDANCY has one parity less"},
    {"spare-after", CLI_NUMBER, &options.spare_after_s, "SECONDS",
     "a disk that has been gone for so long is done without: what it held is rebuilt on the others "
     "where they have room; 14400 if not given, 0: only when an administrator replaces it"},
    {"audit", CLI_TEXT, &options.audit, "on|required|off",
     "record who changes what; 'required' refuses changes while that cannot be written; 'on' if "
     "not given"},
    {"audit-dir", CLI_TEXT, &options.audit_dir, "DIR",
     "where the audit log lies; 'audit' on up to three disks if not given"},
    {"audit-keep", CLI_NUMBER, &options.audit_keep_mib, "MIB",
     "of the audit log at most, the oldest goes; 1024 if not given"},
    {"audit-days", CLI_NUMBER, &options.audit_days, "DAYS",
     "after which the audit log's files go; 90 if not given"},
    {"trusted-proxies", CLI_TEXT, &options.trusted_proxies, "NET[,NET...]",
     "addresses or networks whose X-Forwarded-For is believed"},
    {"allow-local-events", CLI_FLAG, &options.allow_local_events, NULL,
     "let targets of events be loopback and link-local addresses"},
    {"oidc-algorithms", CLI_TEXT, &options.oidc_algorithms, "A[,A...]",
     "signatures that tokens of web identities may bear; RS256,RS384,RS512,ES256,ES384 if not "
     "given"},
    {"oidc-ca", CLI_TEXT, &options.oidc_ca, "FILE",
     "certificates (PEM) to trust providers of web identities by; the system's if not given"},
    {"ldap-url", CLI_TEXT, &options.ldap.url, "URL",
     "a directory whose users may have sessions: ldaps://HOST:PORT or ldap://HOST:PORT"},
    {"ldap-start-tls", CLI_FLAG, &options.ldap.start_tls, NULL,
     "go over to TLS on a ldap:// connection"},
    {"ldap-ca", CLI_TEXT, &options.ldap.ca_path, "FILE",
     "certificates (PEM) to trust the directory by; the system's if not given"},
    {"insecure-ldap", CLI_FLAG, &options.ldap.insecure, NULL,
     "send passwords over ldap:// without TLS"},
    {"ldap-bind-dn", CLI_TEXT, &options.ldap.bind_dn, "DN",
     "who looks up users and groups; the password is in CAIRN_LDAP_PASSWORD (or _FILE)"},
    {"ldap-user-base", CLI_TEXT, &options.ldap.user_base, "DN", "below which users are"},
    {"ldap-user-filter", CLI_TEXT, &options.ldap.user_filter, "FILTER",
     "what finds a user, with %s for the login name; (uid=%s) if not given"},
    {"ldap-group-base", CLI_TEXT, &options.ldap.group_base, "DN",
     "below which groups are; none are looked up if not given"},
    {"ldap-group-filter", CLI_TEXT, &options.ldap.group_filter, "FILTER",
     "what finds a user's groups, with %d for its DN and %s for the login name; "
     "(&(objectClass=groupOfNames)(member=%d)) if not given"},
    {"allow-local-oidc", CLI_FLAG, &options.allow_local_oidc, NULL,
     "let providers of web identities be at loopback and link-local addresses, and without TLS"},
    {"force-metadata", CLI_FLAG, &options.force_metadata, NULL,
     "start with fewer than a majority of the metadata's mirrors; what only the others know is "
     "lost"},
    {"log-format", CLI_TEXT, &options.log_format, "text|json", "form of the log on standard error"},
    {"log-level", CLI_TEXT, &options.log_level, "debug|info|warn|error",
     "least level that is logged; requests are info"},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* All that one server holds, in the order it is made. */
struct server {
    const char *const *dirs;
    unsigned dir_count;
    struct store_class classes[STORE_CLASSES_MAX];
    unsigned class_count;
    unsigned oidc_algorithms; /* bits of iam/jwt.h */
    struct rt_address address;
    struct arena arena;
    struct credentials credentials;
    struct engine engine;
    struct kms *kms;
    struct audit *audit;
    struct http_networks trusted_proxies;
    struct access_log *log;
    struct s3 *s3;
    struct admin *admin;
    struct http_server *http;
    /* Under the lock: whether SIGTERM or SIGINT came, and which. */
    struct rt_lock lock;
    struct rt_waitq asked;
    bool stop;
    int signal;
};

static void FIBER dispatch(struct http_exchange *x, void *arg)
{
    struct server *s = arg;
    if (!s3_is_bucket_host(s->s3, http_request(x)->host) && admin_wants(x))
        admin_handle(x, s->admin);
    else
        s3_handle(x, s->s3);
}

static void request_done(struct http_exchange *x, void *arg)
{
    struct server *s = arg;
    s3_done(x, s->s3);
}

/* What the jobs give way to. */
static void report_load(struct job_load *ret, void *arg)
{
    s3_load(arg, &ret->requests, &ret->took_ns);
}

static int FIBER open_doors(struct server *s)
{
    struct s3_config s3 = {.store = s->engine.store,
                           .iam = s->engine.iam,
                           .events = s->engine.events,
                           .audit = s->audit,
                           .region = str_from(options.region),
                           .domains = options.domain,
                           .sigv2 = options.sigv2,
                           .object_ownership = str_from(options.object_ownership),
                           .kms = s->kms,
                           .encrypt_all = options.encrypt,
                           .insecure_sse_c = options.insecure_sse_c,
                           .lifecycle_day_ms = options.lifecycle_day_s * 1000,
                           .website_domains = options.website_domain};
    struct jobs_objects objects;
    int r = access_log_open(&s->log);
    s3.log = s->log;
    if (r == 0)
        r = s3_new(&s->s3, &s3);
    if (r == 0)
        r = s3_logs_start(s->s3);
    if (r < 0)
        return cli_fail("cannot set up the S3 door: %s", err_text(r));
    schedule_watch_load(jobs_schedule(s->engine.jobs), report_load, s->s3);
    s3_lend_objects(s->s3, &objects);
    jobs_set_objects(s->engine.jobs, &objects);
    struct admin_config admin = {.iam = s->engine.iam,
                                 .region = str_from(options.region),
                                 .meta = s->engine.meta,
                                 .store = s->engine.store,
                                 .jobs = s->engine.jobs,
                                 .events = s->engine.events,
                                 .audit = s->audit,
                                 .kms = s->kms,
                                 .nodes = &s->engine.nodes,
                                 .change_disk = disk_change,
                                 .disks_arg = &s->engine,
                                 .blob = s->engine.blob,
                                 .door_metrics = s3_metrics,
                                 .door_metrics_arg = s->s3};
    r = admin_new(&s->admin, &admin);
    return r < 0 ? cli_fail("cannot set up the admin door: %s", err_text(r)) : 0;
}

/*
 * The store must never want for a descriptor because clients hold them all: metadata that cannot
 * open its next log takes no more writes until a restart. A small allowance is halved.
 */
static unsigned connections_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return CONNECTIONS_MAX;
    uint64_t kept = MIN(files.rlim_cur / 2, (rlim_t)FILES_KEPT);
    return (unsigned)MIN(files.rlim_cur - kept, (rlim_t)CONNECTIONS_MAX);
}

/* ---- being asked to stop --------------------------------------------------------------------- */

static int FIBER signal_fiber(void *arg)
{
    struct server *s = arg;
    int signal = 0;
    int r = rt_wait_signal(&signal);
    rt_lock(&s->lock);
    s->stop = true;
    s->signal = signal;
    rt_wake_all(&s->asked);
    rt_unlock(&s->lock);
    return r;
}

/* Waits for it until the deadline; whether it was. */
static bool FIBER wait_stop(struct server *s, uint64_t deadline_ns)
{
    int r = 0;
    rt_lock(&s->lock);
    while (!s->stop && r == 0)
        r = rt_wait(&s->asked, &s->lock, deadline_ns);
    bool stop = s->stop;
    rt_unlock(&s->lock);
    return stop;
}

/* ---- serving --------------------------------------------------------------------------------- */

/*
 * A killed server holds its address until the kernel has taken down its rings, which goes on after
 * its parent has been told of its end: who starts it again at once would meet a used address.
 * -ECANCELED when asked to stop meanwhile.
 */
static int FIBER start_when_free(struct server *s, const struct http_server_config *http)
{
    uint64_t until = rt_now() + ADDRESS_WAIT_S * RT_S;
    int r = http_server_start(&s->http, http);
    if (r == -EADDRINUSE)
        log_event(LOG_WARN, "address in use", "waiting up to %d s for %s", ADDRESS_WAIT_S,
                  options.address);
    while (r == -EADDRINUSE && rt_now() < until) {
        if (wait_stop(s, rt_now() + ADDRESS_PAUSE))
            return -ECANCELED;
        r = http_server_start(&s->http, http);
    }
    return r;
}

/* Whoever can read it can be this server to its clients. */
static void warn_of_open_key(void)
{
    struct stat st;
    if (options.tls_key && stat(options.tls_key, &st) == 0 && (st.st_mode & S_IROTH))
        log_event(LOG_WARN, "everybody may read the private key", "%s: chmod o-r", options.tls_key);
}

static int FIBER listen_on(struct server *s)
{
    struct http_tls_config tls = {.cert_path = options.tls_cert, .key_path = options.tls_key};
    struct http_server_config http = {.address = s->address,
                                      .tls = options.tls_cert ? &tls : NULL,
                                      .handler = dispatch,
                                      .arg = s,
                                      .limits.connections = connections_max(),
                                      .trusted_proxies = &s->trusted_proxies,
                                      .server_name = "Cairn",
                                      .error_body = s3_error_body,
                                      .done = request_done};
    warn_of_open_key();
    int r = start_when_free(s, &http);
    if (r == -EADDRINUSE)
        return cli_fail("%s is in use, still after %d s: stop what listens there, or give another "
                        "--address",
                        options.address, ADDRESS_WAIT_S);
    if (r == -EINVAL && options.tls_cert)
        return cli_fail("%s and %s are no certificate and its private key (PEM)", options.tls_cert,
                        options.tls_key);
    if (r < 0 && r != -ECANCELED)
        return cli_fail("cannot listen on %s: %s", options.address, err_text(r));
    return r;
}

/* A word of a line to paste: quoted where a shell would read something into it. */
static void print_shell_word(struct str word)
{
    if (strspn(word.ptr,
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/+@%-") >=
        word.len) {
        printf("%.*s", STR_FMT(word));
        return;
    }
    putchar('\'');
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] == '\'')
            fputs("'\\''", stdout);
        else
            putchar(word.ptr[i]);
    putchar('\'');
}

static void print_aws(struct str access_key, struct str secret, const char *url)
{
    printf("\n  aws:\n    AWS_ACCESS_KEY_ID=");
    print_shell_word(access_key);
    printf(" AWS_SECRET_ACCESS_KEY=%.*s AWS_DEFAULT_REGION=", STR_FMT(secret));
    print_shell_word(str_from(options.region));
    printf(" \\\n      aws --endpoint-url %s s3 ls\n", url);
}

/* How many disks, what they survive, which are missing. */
static void print_disks(const struct server *s)
{
    unsigned active, usable;
    blob_disks(s->engine.blob, &active, &usable);
    struct blob_code code = blob_code_for(BLOB_STANDARD, active, BLOB_CHUNK_MAX);
    printf("  disks       %u, %u of them there; %u + %u shards: any %u may be lost\n", active,
           usable, code.k, code.m, code.m);
    for (uint32_t i = 0; i < nodes_count(&s->engine.nodes); i++) {
        const struct node *n = nodes_get(&s->engine.nodes, i);
        if (!n || node_role(n) == NODE_RETIRED)
            continue;
        if (node_state(n) == NODE_GONE)
            printf("  MISSING     disk %u, last at %s: %s\n", i,
                   *node_path(n) ? node_path(n) : "another place", err_text(node_fault(n)));
        else
            printf("  disk %-6u %s\n", i, node_path(n));
    }
}

/* What a person needs to begin: shown on standard output, the log goes to standard error. */
static void print_banner(const struct server *s)
{
    struct rt_address bound;
    char address[64], url[96], path[PATH_MAX];
    http_server_address(s->http, &bound);
    rt_address_format(&bound, address);
    snprintf(url, sizeof(url), "%s://%s", options.tls_cert ? "https" : "http", address);
    const char *full = realpath(s->dirs[0], path) ? path : s->dirs[0];
    const struct credentials *c = &s->credentials;
    /* A secret is shown once, when it is made; later the file or the environment has it. */
    struct str secret = c->generated ? c->secret_key : STR("SECRET");

    if (s->dir_count > 1)
        printf("cairn " CAIRN_VERSION " serves %u directories at %s\n\n", s->dir_count, url);
    else
        printf("cairn " CAIRN_VERSION " serves %s at %s\n\n", full, url);
    if (s->dir_count > 1)
        print_disks(s);
    printf("  access key  %.*s\n", STR_FMT(c->access_key));
    if (c->generated)
        printf("  secret key  %.*s\n              shown this once; kept in %s/" CREDENTIALS_FILE
               "\n",
               STR_FMT(secret), full);
    else if (c->from_environment)
        puts("  secret key  as set in the environment");
    else
        printf("  secret key  in %s/" CREDENTIALS_FILE "\n", full);
    print_aws(c->access_key, secret, url);
    printf("\n  rclone.conf:\n    [cairn]\n    type = s3\n    provider = Other\n"
           "    access_key_id = %.*s\n    secret_access_key = %.*s\n    endpoint = %s\n"
           "    region = %s\n",
           STR_FMT(c->access_key), STR_FMT(secret), url, options.region);
    if (s->dir_count == 1)
        printf("\n  data lies in %s", full);
    printf("\n  health at %s/health/ready, metrics at %s/metrics\n\n", url, url);
    fflush(stdout);
}

/* After the start, and after the first looks of the jobs, of which some come seconds later. */
static void FIBER trim_as_it_settles(struct server *s)
{
    rt_offload(trim_memory, NULL);
    for (uint64_t pause = SETTLE_FIRST; pause < SETTLE_LAST; pause *= 2) {
        if (wait_stop(s, rt_now() + pause))
            return;
        rt_offload(trim_memory, NULL);
    }
}

/* From the first request to the last. */
static void FIBER serve_until_asked(struct server *s)
{
    admin_set_server(s->admin, s->http);
    print_banner(s);
    trim_as_it_settles(s);
    /* RT_NEVER: to serve until then is what it is for. */
    wait_stop(s, RT_NEVER);
    log_event(LOG_INFO, "stopping", "signal %d: requests under way may finish", s->signal);
    admin_set_draining(s->admin);
    http_server_stop(s->http, rt_now() + STOP_GRACE);
    s3_logs_stop(s->s3);
}

static int FIBER serve(struct server *s)
{
    struct rt_fiber *signals, *memory;
    int r = open_doors(s);
    if (r != 0)
        return r;
    r = rt_spawn(&signals, "signals", signal_fiber, s);
    if (r < 0)
        return cli_fail("cannot wait for signals: %s", err_text(r));
    bool watched = rt_spawn(&memory, "memory-watch", memory_watch, NULL) == 0;
    r = listen_on(s);
    if (r == 0)
        serve_until_asked(s);
    else if (r == -ECANCELED)
        log_event(LOG_INFO, "stopping", "signal %d: %s has not become free", s->signal,
                  options.address);
    if (watched) {
        rt_cancel(memory);
        rt_join(memory);
    }
    rt_cancel(signals);
    rt_join(signals);
    return r == -ECANCELED ? 0 : r;
}

/* Where the audit log may have its copies: disks that stay. */
struct audit_dirs {
    struct audit_place places[NODES_MAX];
    char paths[NODES_MAX][STORE_DISK_PATH_MAX + 8];
    unsigned count;
};

/* NULL: no memory, or the log is elsewhere. */
static struct audit_dirs *audit_dirs_new(struct server *s)
{
    struct audit_dirs *d = options.audit_dir ? NULL : calloc(1, sizeof(*d));
    for (uint32_t i = 0; d && i < nodes_count(&s->engine.nodes); i++) {
        const struct node *n = nodes_get(&s->engine.nodes, i);
        if (!n || node_role(n) != NODE_ACTIVE || !*node_path(n))
            continue;
        snprintf(d->paths[d->count], sizeof(*d->paths), "%s/audit", node_path(n));
        d->places[d->count] = (struct audit_place){d->paths[d->count], node_state(n) != NODE_GONE};
        d->count++;
    }
    return d;
}

static void disks_moved(void *arg)
{
    struct server *s = arg;
    struct audit_dirs *audit = s->audit ? audit_dirs_new(s) : NULL;
    if (audit)
        audit_set_places(s->audit, audit->places, audit->count);
    free(audit);
}

/* What is on several disks goes by which they are. Disks that have left the store hold no copy of
 * the keys that anybody counts on. */
static void FIBER disks_looked(void *arg)
{
    struct server *s = arg;
    const char *dirs[NODES_MAX];
    unsigned count = 0;
    for (uint32_t i = 0; i < nodes_count(&s->engine.nodes); i++) {
        const struct node *n = nodes_get(&s->engine.nodes, i);
        if (n && node_role(n) != NODE_RETIRED && *node_path(n))
            dirs[count++] = node_path(n);
    }
    (void)kms_keep_dirs(s->kms, dirs, count);
    disks_moved(s);
}

/* A log that cannot be opened keeps the server from serving only if it is required. */
static int FIBER open_audit(struct server *s)
{
    struct audit_place elsewhere = {options.audit_dir, true};
    struct audit_config config = {.places = &elsewhere,
                                  .place_count = 1,
                                  .required = str_eq(str_from(options.audit), STR("required")),
                                  .keep_bytes = options.audit_keep_mib * MIB,
                                  .keep_days = (unsigned)options.audit_days};
    if (str_eq(str_from(options.audit), STR("off")))
        return 0;
    struct audit_dirs *dirs = audit_dirs_new(s);
    if (dirs) {
        config.places = dirs->places;
        config.place_count = dirs->count;
    }
    int r = dirs || options.audit_dir ? audit_open(&s->audit, &config) : -ENOMEM;
    const char *dir = config.place_count && config.places->dir ? config.places->dir : "-";
    bool fails = r < 0 && config.required;
    if (fails)
        cli_fail("cannot write the audit log in %s: %s", dir, err_text(r));
    else if (r < 0)
        log_event(LOG_ERROR, "serving without an audit log", "%s: %s", dir, err_text(r));
    free(dirs);
    return fails;
}

/* The password of lookups, and whether the directory can be asked so. */
static int prepare_ldap(struct server *s)
{
    struct str password;
    if (!options.ldap.url)
        return 0;
    int r = credentials_variable(&s->arena, "CAIRN_LDAP_PASSWORD", &password);
    if (r < 0)
        return 1;
    options.ldap.password = r > 0 ? password.ptr : NULL;
    const char *fault = iam_ldap_config_fault(&options.ldap);
    return fault ? cli_fail("%s", fault) : 0;
}

/* Before anything is made in the directories. */
static int FIBER find_address(struct server *s)
{
    int r = rt_address_parse(&s->address, options.address);
    if (r == -EINVAL)
        return cli_fail("--address is HOST:PORT, such as 127.0.0.1:9000, not %s", options.address);
    return r < 0 ? cli_fail("cannot listen on %s: %s", options.address, err_text(r)) : 0;
}

static int FIBER server_fiber(void *arg)
{
    struct server *s = arg;
    arena_init(&s->arena, 0);
    rt_lock_init(&s->lock);
    rt_waitq_init(&s->asked);
    int r = find_address(s);
    if (r == 0 && engine_prepare(s->dirs, s->dir_count) < 0)
        r = 1;
    if (r == 0 && credentials_for_server(&s->arena, s->dirs, s->dir_count, &s->credentials) < 0)
        r = 1;
    if (r == 0)
        r = prepare_ldap(s);
    struct engine_config engine = {.dirs = s->dirs,
                                   .dir_count = s->dir_count,
                                   .root_access_key = s->credentials.access_key,
                                   .root_secret_key = s->credentials.secret_key,
                                   .oidc = {.algorithms = s->oidc_algorithms,
                                            .allow_local = options.allow_local_oidc,
                                            .ca_path = options.oidc_ca},
                                   .ldap = options.ldap.url ? &options.ldap : NULL,
                                   .force_metadata = options.force_metadata,
                                   .region = str_from(options.region),
                                   .allow_local_events = options.allow_local_events,
                                   .volume_bytes_max = options.volume_mib * MIB,
                                   .compact_interval_ms =
                                       (unsigned)options.compact_interval_s * 1000,
                                   .scrub_days = (unsigned)options.scrub_days,
                                   .classes = s->classes,
                                   .class_count = s->class_count,
                                   .lifecycle_day_ms = options.lifecycle_day_s * 1000,
                                   .spare_after_ms = options.spare_after_s * 1000};
    if (r == 0 && engine_open(&s->engine, &engine) < 0)
        r = 1;
    if (r == 0 && keys_open(&s->kms, &options.keys, s->dirs, s->dir_count, s->engine.meta) < 0)
        r = 1;
    if (r == 0)
        r = open_audit(s);
    if (r == 0)
        jobs_set_audit(s->engine.jobs, s->audit);
    s->engine.looked_arg = s;
    if (r == 0) {
        s->engine.looked = disks_looked;
        s->engine.moved = disks_moved;
    }
    if (r == 0)
        r = serve(s);
    admin_free(s->admin);
    if (s->engine.jobs) {
        schedule_watch_load(jobs_schedule(s->engine.jobs), NULL, NULL);
        jobs_set_objects(s->engine.jobs, NULL);
    }
    s3_logs_stop(s->s3);
    s3_free(s->s3);
    access_log_close(s->log);
    engine_close(&s->engine);
    kms_close(s->kms);
    audit_close(s->audit); /* jobs write there */
    explicit_bzero(&s->credentials, sizeof(s->credentials));
    arena_release(&s->arena);
    return r;
}

static int set_up_log(void)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct str format = str_from(options.log_format), level = str_from(options.log_level);
    if (!str_eq(format, STR("text")) && !str_eq(format, STR("json")))
        return cli_fail("--log-format is text or json, not %s", options.log_format);
    for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
        if (!str_eq(level, str_from(levels[i])))
            continue;
        log_setup((enum log_level)i, str_eq(format, STR("json")) ? LOG_JSON : LOG_TEXT);
        return 0;
    }
    return cli_fail("--log-level is debug, info, warn or error, not %s", options.log_level);
}

static int check_tls(void)
{
    const char *const files[] = {options.tls_cert, options.tls_key};
    if (!options.tls_cert != !options.tls_key)
        return cli_fail("--tls-cert and --tls-key go together");
    for (unsigned i = 0; options.tls_cert && i < ARRAY_LEN(files); i++)
        if (access(files[i], R_OK) < 0)
            return cli_fail("cannot read %s: %s", files[i], strerror(errno));
    return 0;
}

static int check_options(void)
{
    uint64_t mib = options.volume_mib;
    if (!*options.region)
        return cli_fail("--region is the region's name: us-east-1 if not given");
    if (options.threads > THREADS_MAX)
        return cli_fail("--threads is %d at most", THREADS_MAX);
    if (mib != 0 && (mib < VOLUME_MIB_MIN || mib > VOLUME_MIB_MAX))
        return cli_fail("--volume-size is %d to %d MiB", VOLUME_MIB_MIN, VOLUME_MIB_MAX);
    if (options.compact_interval_s > COMPACT_INTERVAL_MAX)
        return cli_fail("--compact-interval is %d seconds at most", COMPACT_INTERVAL_MAX);
    struct str audit = str_from(options.audit);
    struct http_networks proxies;
    if (!str_eq(audit, STR("on")) && !str_eq(audit, STR("off")) && !str_eq(audit, STR("required")))
        return cli_fail("--audit is on, required or off, not %s", options.audit);
    if (options.audit_keep_mib > AUDIT_KEEP_MAX || options.audit_days > AUDIT_DAYS_MAX)
        return cli_fail("--audit-keep is %d MiB and --audit-days %d at most", AUDIT_KEEP_MAX,
                        AUDIT_DAYS_MAX);
    if (http_networks_parse(&proxies, options.trusted_proxies) < 0)
        return cli_fail("--trusted-proxies is a list of up to %d addresses or networks, not %s",
                        HTTP_NETWORKS_MAX, options.trusted_proxies);
    if (options.scrub_days > SCRUB_DAYS_MAX)
        return cli_fail("--scrub-days is %d at most", SCRUB_DAYS_MAX);
    if (options.lifecycle_day_s < 1 || options.lifecycle_day_s > LIFECYCLE_DAY_MAX)
        return cli_fail("--lifecycle-day is 1 to %d seconds", LIFECYCLE_DAY_MAX);
    if (options.spare_after_s > SPARE_AFTER_MAX)
        return cli_fail("--spare-after is %d seconds at most", SPARE_AFTER_MAX);
    return 0;
}

static int parse_classes(struct server *s)
{
    if (options.classes.count > STORE_CLASSES_MAX)
        return cli_fail("there are %d storage classes at most", STORE_CLASSES_MAX);
    for (unsigned i = 0; i < options.classes.count; i++) {
        const char *text = options.classes.at[i];
        if (store_class_parse(str_from(text), &s->classes[s->class_count++]) < 0)
            return cli_fail("--storage-class is NAME=K+M or NAME=K+M,archive, the name of A-Z, "
                            "0-9 and _, K and M together %d at most, not %s",
                            RING_SLOTS_MAX, text);
    }
    return 0;
}

static int parse_algorithms(struct server *s)
{
    if (options.oidc_algorithms &&
        jwt_algorithms_parse(str_from(options.oidc_algorithms), &s->oidc_algorithms) < 0)
        return cli_fail("--oidc-algorithms is a list of RS256, RS384, RS512, PS256, ES256, ES384 "
                        "and ES512, not %s",
                        options.oidc_algorithms);
    return 0;
}

/* What these are sent for comes back as an error as well: a log whose reader is gone loses lines, a
 * target of events that goes away is tried again (not every client's library tells the kernel so
 * itself), a file that may grow no longer (RLIMIT_FSIZE) is a disk that is full. */
static void outlive_signals(void)
{
    static const int deadly[] = {SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
        signal(deadly[i], SIG_IGN);
}

static int run(char **operands, unsigned count)
{
    outlive_signals();
    if (check_tls() != 0 || check_options() != 0 || set_up_log() != 0)
        return 1;
    struct server s = {.dirs = (const char *const *)operands, .dir_count = count};
    CHECK(http_networks_parse(&s.trusted_proxies, options.trusted_proxies) == 0);
    if (parse_classes(&s) != 0 || parse_algorithms(&s) != 0)
        return 1;
    if (reserve_open(MEMORY_RESERVE_BYTES) < 0)
        return cli_fail("cannot set %llu MiB of memory apart", MEMORY_RESERVE_BYTES / MIB);
    struct rt_config world = {.threads = (unsigned)options.threads,
                              .offload_threads = count > 1 ? MANY_DISKS_THREADS : 0};
    int r = rt_run(&world, server_fiber, &s);
    return r < 0 ? world_fail(r) : r;
}

const struct cli_command cli_server = {
    .name = "server",
    .operands = "DIR...",
    .summary = "serve a directory, or several disks as one store, over the S3 API",
    .description =
        "Serves the directory over the S3 API, and health, metrics and administration beside it.\n"
        "Given several, each is a disk of one store: objects are spread over them so that any few "
        "may\n"
        "be lost (two disks: 1, four: 2, twelve: 4). Missing directories are made at the first "
        "start;\n"
        "later one that is missing is a disk that is missing, and the store serves without it.\n\n"
        "Root credentials come from CAIRN_ROOT_USER and CAIRN_ROOT_PASSWORD (or the same names "
        "with\n"
        "_FILE, which name files; MINIO_ROOT_USER and MINIO_ROOT_PASSWORD are accepted too). "
        "Without\n"
        "them the first start generates a pair, keeps it in DIR/root.credentials (mode 0600) and\n"
        "shows it once.\n\n"
        "Master keys of encryption lie in DIR/master.keys (mode 0600), made when one is first "
        "needed:\n"
        "who loses that file loses what it encrypted. CAIRN_KMS_KEY_FILE names another place,\n"
        "CAIRN_KMS_PASSPHRASE (or _FILE) seals it.\n\n"
        "SIGTERM and SIGINT stop the server; requests under way have ten seconds to finish.",
    .options = option_table,
    .operands_min = 1,
    .operands_max = 64,
    .run = run,
};
