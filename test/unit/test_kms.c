/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The key service: its ring on disk, and Vault as a small server of its own speaks it. */

#include "test/unit/unit.h"
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/encode.h"
#include "http/http.h"
#include "kms/internal.h"
#include "kv/mem.h"

struct home {
    char path[64], second[80];
    const char *dirs[2];
    struct kv_mem *content;
    struct meta *meta;
    struct arena arena;
    struct kms_config config;
    char why[KMS_WHY_MAX];
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void FIBER home_open(struct home *h)
{
    struct kv *kv;
    *h = (struct home){.path = "/tmp/cairn-kms-XXXXXX"};
    assert_non_null(mkdtemp(h->path));
    snprintf(h->second, sizeof(h->second), "%s/second", h->path);
    assert_int_equal(mkdir(h->second, 0700), 0);
    h->dirs[0] = h->path;
    h->dirs[1] = h->second;
    arena_init(&h->arena, 0);
    assert_int_equal(kv_mem_new(&h->content, true), 0);
    assert_int_equal(kv_mem_open(&kv, h->content), 0);
    assert_int_equal(meta_local_open(&h->meta, kv, 0), 0);
    h->config = (struct kms_config){.dirs = h->dirs, .dir_count = 2, .meta = h->meta};
}

static void FIBER home_close(struct home *h)
{
    meta_close(h->meta);
    kv_mem_free(h->content);
    arena_release(&h->arena);
    nftw(h->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct kms *FIBER open_service(struct home *h)
{
    struct kms *k = NULL;
    assert_int_equal(kms_open(&k, &h->config, h->why), 0);
    return k;
}

#define CASE(name)                             \
    static void FIBER name##_(struct home *h); \
    static int FIBER name##_fiber(void *arg)   \
    {                                          \
        struct home h;                         \
        home_open(&h);                         \
        name##_(&h);                           \
        home_close(&h);                        \
        return 0;                              \
    }                                          \
    static void name(void **state)             \
    {                                          \
        struct rt_config c = {.threads = 1};   \
        rt_run(&c, name##_fiber, NULL);        \
    }                                          \
    static void FIBER name##_(struct home *h)

static const struct kms_use s3_use = {.name = {"cairn-s3", 8}, .bucket = {7}, .shared = true};
static const struct kms_use team_use = {
    .name = {"team", 4}, .context = {"{\"a\":\"b\"}", 9}, .bucket = {7}};

struct made {
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
};

static struct made FIBER make(struct home *h, struct kms *k, const struct kms_use *use)
{
    struct made m;
    assert_int_equal(kms_new_key(k, use, &h->arena, m.key, &m.wrapped), 0);
    return m;
}

static void FIBER expect(struct kms *k, const struct kms_use *use, const struct made *m)
{
    uint8_t key[CRYPT_KEY_LEN] = {0};
    assert_int_equal(kms_open_key(k, use, m->wrapped, key), 0);
    assert_memory_equal(key, m->key, sizeof(key));
}

/* ---- the ring -------------------------------------------------------------------------------- */

CASE(the_ring_is_made_at_first_use_and_found_again)
{
    struct stat st;
    char path[128];
    struct kms *k = open_service(h);
    snprintf(path, sizeof(path), "%s/" KMS_FILE, h->path);
    assert_int_equal(stat(path, &st), -1);
    struct made m = make(h, k, &s3_use);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect(k, &s3_use, &m);
    kms_close(k);
    /* one copy is enough, and the other is made again */
    assert_int_equal(unlink(path), 0);
    k = open_service(h);
    expect(k, &s3_use, &m);
    kms_close(k);
    assert_int_equal(stat(path, &st), 0);
}

CASE(a_key_opens_for_its_use_only)
{
    uint8_t key[CRYPT_KEY_LEN];
    struct kms *k = open_service(h);
    assert_int_equal(kms_create(k, STR("team")), 0);
    struct made m = make(h, k, &team_use);
    struct kms_use other = team_use;
    expect(k, &team_use, &m);
    other.bucket.n++;
    assert_int_equal(kms_open_key(k, &other, m.wrapped, key), -ERR_WRONG_KEY);
    other = team_use;
    other.context = STR("{\"a\":\"c\"}");
    assert_int_equal(kms_open_key(k, &other, m.wrapped, key), -ERR_WRONG_KEY);
    other = team_use;
    other.name = STR("arn:aws:kms:eu-1:123:key/team"); /* the same key, in other words */
    expect(k, &other, &m);
    kms_close(k);
}

CASE(unknown_keys_and_names_are_refused)
{
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    struct kms *k = open_service(h);
    assert_int_equal(kms_new_key(k, &team_use, &h->arena, key, &wrapped), -ERR_KMS_NOT_FOUND);
    assert_int_equal(kms_rotate(k, STR("team")), -ERR_KMS_NOT_FOUND);
    assert_int_equal(kms_create(k, STR("a b")), -EINVAL);
    assert_int_equal(kms_create(k, STR("a/b")), -EINVAL);
    assert_int_equal(kms_create(k, STR("team")), 0);
    assert_int_equal(kms_create(k, STR("team")), -ERR_EXISTS);
    kms_close(k);
}

CASE(rotation_wraps_anew_without_a_new_key)
{
    struct kms_key *keys;
    size_t count;
    struct str again;
    struct kms *k = open_service(h);
    struct made before = make(h, k, &s3_use), after = before;
    assert_int_equal(kms_rotate(k, STR("cairn-s3")), 0);
    expect(k, &s3_use, &before);
    assert_int_equal(kms_rewrap_key(k, &s3_use, &h->arena, before.wrapped, &after.wrapped), 0);
    assert_false(str_eq(after.wrapped, before.wrapped));
    expect(k, &s3_use, &after);
    assert_int_equal(kms_rewrap_key(k, &s3_use, &h->arena, after.wrapped, &again), 0);
    assert_true(str_eq(again, after.wrapped));
    assert_int_equal(kms_list(k, &h->arena, &keys, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(keys[0].newest, 2);
    kms_close(k);
    k = open_service(h);
    expect(k, &s3_use, &before);
    expect(k, &s3_use, &after);
    kms_close(k);
}

static void unlink_in(const char *dir)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/" KMS_FILE, dir);
    assert_int_equal(unlink(path), 0);
}

CASE(a_lost_ring_is_never_replaced)
{
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    struct kms *k = open_service(h);
    struct made m = make(h, k, &s3_use);
    kms_close(k);
    unlink_in(h->path);
    unlink_in(h->second);
    k = open_service(h);
    assert_int_equal(kms_open_key(k, &s3_use, m.wrapped, key), -ERR_KEY_LOST);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KEY_LOST);
    assert_int_equal(kms_create(k, STR("new")), -ERR_KEY_LOST);
    kms_close(k);
}

CASE(the_ring_of_another_store_is_not_written_over)
{
    struct kv_mem *content;
    struct kv *kv;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    struct kms_config config = h->config;
    struct kms *k = open_service(h), *other;
    assert_int_equal(kv_mem_new(&content, true), 0);
    assert_int_equal(kv_mem_open(&kv, content), 0);
    assert_int_equal(meta_local_open(&config.meta, kv, 0), 0);
    assert_int_equal(kms_open(&other, &config, h->why), 0); /* neither has made its ring yet */
    struct made m = make(h, k, &s3_use);
    assert_int_equal(kms_new_key(other, &s3_use, &h->arena, key, &wrapped), -ERR_KEY_LOST);
    kms_close(other);
    meta_close(config.meta);
    kv_mem_free(content);
    kms_close(k);
    k = open_service(h);
    expect(k, &s3_use, &m);
    kms_close(k);
}

CASE(a_passphrase_is_needed_where_there_was_one)
{
    struct kms *k = NULL;
    h->config.phrase = STR("a long passphrase");
    k = open_service(h);
    struct made m = make(h, k, &s3_use);
    kms_close(k);
    k = open_service(h);
    expect(k, &s3_use, &m);
    kms_close(k);
    h->config.phrase = STR("");
    assert_int_equal(kms_open(&k, &h->config, h->why), -ERR_WRONG_KEY);
    assert_non_null(strstr(h->why, "CAIRN_KMS_PASSPHRASE"));
    h->config.phrase = STR("another passphrase");
    assert_int_equal(kms_open(&k, &h->config, h->why), -ERR_WRONG_KEY);
    assert_non_null(strstr(h->why, "does not open"));
}

/* Nothing can be written in the place any more: somebody's directory has the file's name. */
static void block(const char *dir, bool blocked)
{
    char path[128], inside[160];
    snprintf(path, sizeof(path), "%s/" KMS_FILE, dir);
    snprintf(inside, sizeof(inside), "%s/in-the-way", path);
    if (blocked) {
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(mkdir(inside, 0700), 0);
    } else {
        assert_int_equal(rmdir(inside), 0);
        assert_int_equal(rmdir(path), 0);
    }
}

static uint64_t gauge(struct kms *k, const char *name)
{
    struct buf b;
    buf_init(&b, 0);
    kms_metrics(&b, k);
    buf_put_char(&b, 0);
    char line[80];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(b.data, line);
    assert_non_null(at);
    uint64_t value = strtoull(at + strlen(line), NULL, 10);
    buf_release(&b);
    return value;
}

CASE(a_key_that_one_disk_alone_would_have_is_none)
{
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    struct kms *k = open_service(h);
    block(h->second, true);
    assert_true(kms_new_key(k, &s3_use, &h->arena, key, &wrapped) < 0);
    assert_true(kms_create(k, STR("team")) < 0);
    block(h->second, false);
    struct made m = make(h, k, &s3_use), team;
    assert_int_equal(kms_create(k, STR("team")), 0);
    team = make(h, k, &team_use);
    assert_int_equal(gauge(k, "cairn_key_copies"), 2);
    kms_close(k);
    /* Either copy opens everything, whatever was given up before. */
    unlink_in(h->path);
    k = open_service(h);
    expect(k, &s3_use, &m);
    expect(k, &team_use, &team);
    kms_close(k);
    unlink_in(h->second);
    k = open_service(h);
    expect(k, &s3_use, &m);
    expect(k, &team_use, &team);
    kms_close(k);
}

/* Opening a socket's name as a file fails as a disk may. */
CASE(a_disk_that_cannot_be_read_keeps_nobody_back_who_has_no_keys)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path, sizeof(name.sun_path), "%s/" KMS_FILE, h->second);
    assert_true(n < (int)sizeof(name.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    struct kms *k = open_service(h);
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    struct stat st;
    assert_true(kms_new_key(k, &s3_use, &h->arena, key, &wrapped) < 0); /* it would be lost */
    assert_true(lstat(name.sun_path, &st) == 0 && S_ISSOCK(st.st_mode));
    kms_close(k);
    assert_int_equal(unlink(name.sun_path), 0);
    k = open_service(h);
    make(h, k, &s3_use);
    kms_close(k);
    unlink_in(h->path);
    unlink_in(h->second);
    assert_int_equal(close(fd), 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_true(kms_open(&k, &h->config, h->why) < 0); /* it may be the one with the keys */
    close(fd);
}

struct taking {
    struct kms *k;
    char dir[96];
};

static int FIBER take_it(void *arg)
{
    struct taking *t = arg;
    (void)kms_take_dir(t->k, t->dir);
    return 0;
}

/* Reading a pipe hangs as long as there is no writer. */
CASE(who_looks_at_the_disks_does_not_wait_for_one_that_hangs)
{
    struct taking t = {.k = open_service(h)};
    struct rt_fiber *taker;
    char path[120];
    make(h, t.k, &s3_use);
    snprintf(t.dir, sizeof(t.dir), "%s.hung", h->path);
    snprintf(path, sizeof(path), "%s/" KMS_FILE, t.dir);
    assert_int_equal(mkdir(t.dir, 0700), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(rt_spawn(&taker, "take", take_it, &t), 0);
    int fd, r;
    while ((r = kms_keep_dirs(t.k, h->dirs, 2)) == 0)
        rt_yield(); /* it has not begun yet */
    assert_int_equal(r, -ERR_BUSY);
    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        rt_sleep_until(rt_now() + RT_MS);
    close(fd);
    rt_join(taker);
    assert_int_equal(kms_keep_dirs(t.k, h->dirs, 2), 0);
    kms_close(t.k);
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(t.dir), 0);
}

CASE(a_disk_that_is_not_there_is_not_waited_for)
{
    char aside[96];
    struct kms *k = open_service(h);
    snprintf(aside, sizeof(aside), "%s.aside", h->second);
    assert_int_equal(rename(h->second, aside), 0);
    struct made m = make(h, k, &s3_use);
    assert_int_equal(gauge(k, "cairn_key_copies_missing"), 1);
    kms_close(k);
    k = open_service(h);
    assert_int_equal(gauge(k, "cairn_key_copies_missing"), 1);
    assert_int_equal(kms_keep_dirs(k, h->dirs, 1), 0); /* it has left the store */
    assert_int_equal(gauge(k, "cairn_key_copies_missing"), 0);
    kms_close(k);
    assert_int_equal(rename(aside, h->second), 0);
    k = open_service(h); /* it is back, and gets its copy */
    assert_int_equal(gauge(k, "cairn_key_copies_missing"), 0);
    kms_close(k);
    unlink_in(h->path);
    k = open_service(h);
    expect(k, &s3_use, &m);
    kms_close(k);
}

CASE(a_start_goes_on_where_a_copy_cannot_be_made)
{
    struct kms *k = open_service(h);
    struct made m = make(h, k, &s3_use);
    kms_close(k);
    unlink_in(h->second);
    block(h->second, true);
    k = open_service(h);
    expect(k, &s3_use, &m);
    assert_int_equal(gauge(k, "cairn_key_copies_missing"), 1);
    kms_close(k);
}

/* ---- Vault ----------------------------------------------------------------------------------- */

#define TOKEN  "vault-token-of-the-test"
#define ROLE   "role-of-the-test"
#define SECRET "secret-id-\"of\" the-test"

/* What the transit engine does, with "keys" that only turn bytes around. */
struct mock {
    struct http_server *server;
    unsigned asked, version;
    bool has_key, sealed;
    unsigned logins, renewals, lease_s; /* of tokens */
    char role_token[32];                /* the one that the AppRole has */
    unsigned tried;                     /* logins */
    bool answer_slowly, role_may_nothing, hold_logins;
    char url[64];
    struct home *home;
    struct kms *writes; /* who writes while a key is being rotated; NULL: nobody */
};

static json_t *mock_encrypt(struct mock *m, const json_t *in)
{
    const char *plain = json_string_value(json_object_get(in, "plaintext"));
    const char *aad = json_string_value(json_object_get(in, "associated_data"));
    char text[1024];
    snprintf(text, sizeof(text), "vault:v%u:%s:%s", m->version, plain, aad);
    return json_pack("{s:{s:s, s:i}}", "data", "ciphertext", text, "key_version", m->version);
}

static json_t *mock_decrypt(const json_t *in)
{
    const char *text = json_string_value(json_object_get(in, "ciphertext"));
    const char *aad = json_string_value(json_object_get(in, "associated_data"));
    char plain[128];
    unsigned version;
    if (sscanf(text, "vault:v%u:%127[^:]", &version, plain) != 2 ||
        strcmp(strrchr(text, ':') + 1, aad) != 0)
        return NULL;
    return json_pack("{s:{s:s}}", "data", "plaintext", plain);
}

static void FIBER mock_answer(struct http_exchange *x, int status, json_t *o)
{
    _cleanup_free_ char *text = json_dumps(o, JSON_COMPACT);
    http_respond(x, status, str_from(text));
    json_decref(o);
}

static json_t *mock_do(struct mock *m, struct str path, const json_t *in, int *ret_status)
{
    *ret_status = 200;
    if (str_starts(path, STR("/v1/transit/keys/cairn-s3/rotate")))
        return json_pack("{s:i}", "version", ++m->version);
    if (str_eq(path, STR("/v1/transit/keys/cairn-s3")))
        return m->has_key = true, json_pack("{s:{s:i}}", "data", "latest_version", m->version);
    if (str_eq(path, STR("/v1/transit/keys?list=true")))
        return json_pack("{s:{s:[s]}}", "data", "keys", "cairn-s3");
    if (str_eq(path, STR("/v1/transit/encrypt/cairn-s3")) && m->has_key)
        return mock_encrypt(m, in);
    json_t *plain = str_eq(path, STR("/v1/transit/decrypt/cairn-s3")) ? mock_decrypt(in) : NULL;
    if (plain)
        return plain;
    *ret_status = 400;
    return json_pack("{s:[s]}", "errors",
                     str_starts(path, STR("/v1/transit/encrypt")) ? "encryption key not found"
                                                                  : "authentication failed");
}

/* What Vault says of the token it is asked with; NULL: it is asked for something else. */
static json_t *mock_lease(struct mock *m, struct str path)
{
    if (str_eq(path, STR("/v1/auth/token/lookup-self")))
        return json_pack("{s:{s:i, s:b}}", "data", "ttl", m->lease_s, "renewable", m->lease_s > 0);
    if (!str_eq(path, STR("/v1/auth/token/renew-self")))
        return NULL;
    m->renewals++;
    return json_pack("{s:{s:i, s:b}}", "auth", "lease_duration", m->lease_s, "renewable", 1);
}

static void FIBER mock_login(struct mock *m, struct http_exchange *x, struct str body)
{
    m->tried++;
    while (m->hold_logins)
        rt_sleep_until(rt_now() + RT_MS);
    json_t *in = json_loadb(body.ptr, body.len, 0, NULL);
    const char *role = json_string_value(json_object_get(in, "role_id"));
    const char *secret = json_string_value(json_object_get(in, "secret_id"));
    bool fits = role && secret && !strcmp(role, ROLE) && !strcmp(secret, SECRET);
    json_decref(in);
    if (!fits) {
        mock_answer(x, 400, json_pack("{s:[s]}", "errors", "invalid role or secret ID"));
        return;
    }
    snprintf(m->role_token, sizeof(m->role_token), "role-token-%u", ++m->logins);
    mock_answer(x, 200,
                json_pack("{s:{s:s, s:i}}", "auth", "client_token", m->role_token, "lease_duration",
                          m->lease_s));
}

static bool mock_takes(const struct mock *m, struct str token)
{
    return str_eq(token, STR(TOKEN)) ||
           (m->logins && !m->role_may_nothing && str_eq(token, str_from(m->role_token)));
}

static void FIBER mock_handle(struct http_exchange *x, void *arg)
{
    struct mock *m = arg;
    struct str body;
    int status = 200;
    CHECK(http_body_all(x, 65536, &body) == 0);
    if (str_eq(http_request(x)->target, STR("/v1/auth/approle/login"))) {
        mock_login(m, x, body);
        return;
    }
    bool taken = mock_takes(m, http_header(x, STR("x-vault-token")));
    json_t *lease = taken && !m->sealed ? mock_lease(m, http_request(x)->target) : NULL;
    if (lease) {
        mock_answer(x, 200, lease);
        return;
    }
    m->asked++;
    if (m->answer_slowly)
        rt_sleep_until(rt_now() + 2 * RT_MS);
    if (!taken) {
        mock_answer(x, 403, json_pack("{s:[s]}", "errors", "permission denied"));
        return;
    }
    if (m->sealed) {
        mock_answer(x, 503, json_pack("{s:[s]}", "errors", "Vault is sealed"));
        return;
    }
    if (m->writes && str_ends(http_request(x)->target, STR("/rotate")))
        make(m->home, TAKE_PTR(m->writes), &s3_use);
    json_t *in = json_loadb(body.ptr ? body.ptr : "", body.len, 0, NULL);
    json_t *out = mock_do(m, http_request(x)->target, in, &status);
    json_decref(in);
    mock_answer(x, status, out);
}

static void FIBER mock_start(struct mock *m, struct home *h)
{
    struct http_server_config config = {.handler = mock_handle, .arg = m};
    struct rt_address bound;
    char text[64];
    *m = (struct mock){.version = 1, .home = h};
    assert_int_equal(rt_address_parse(&config.address, "127.0.0.1:0"), 0);
    assert_int_equal(http_server_start(&m->server, &config), 0);
    http_server_address(m->server, &bound);
    rt_address_format(&bound, text);
    snprintf(m->url, sizeof(m->url), "http://%.50s", text);
    h->config.vault = (struct kms_vault_config){.url = m->url, .token = STR(TOKEN)};
}

CASE(vault_wraps_and_unwraps_over_http)
{
    struct mock m;
    uint8_t key[CRYPT_KEY_LEN];
    struct kms_use other = s3_use;
    struct kms_key *keys;
    size_t count;
    mock_start(&m, h);
    struct kms *k = open_service(h);
    struct made first = make(h, k, &s3_use); /* the key is made in Vault when it is wanted */
    assert_true(m.has_key);
    kms_close(k);
    k = open_service(h); /* nothing in memory */
    expect(k, &s3_use, &first);
    other.bucket.n++;
    assert_int_equal(kms_open_key(k, &other, first.wrapped, key), -ERR_WRONG_KEY);
    assert_int_equal(kms_open_key(k, &s3_use, STR("vault:\"},{\""), key), -ERR_KEY_LOST);
    assert_int_equal(kms_list(k, &h->arena, &keys, &count), 0);
    assert_int_equal(count, 1);
    assert_true(str_eq(keys[0].name, STR("cairn-s3")));
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

CASE(a_keys_name_leads_nowhere_else_in_vault)
{
    static const char *const names[] = {
        "..", ".",      "../../sys/seal", "a/b", "..%2f..%2fsys", "a?b", "a#b", "a%2e", "-a",
        "a.", "\\..\\", "a;b=c",          "a b"};
    struct mock m;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    mock_start(&m, h);
    struct kms *k = open_service(h);
    struct made good = make(h, k, &s3_use);
    unsigned asked = m.asked;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct kms_use use = {.name = str_from(names[i]), .bucket = {7}};
        assert_int_equal(kms_new_key(k, &use, &h->arena, key, &wrapped), -ERR_KMS_NOT_FOUND);
        assert_int_equal(kms_open_key(k, &use, good.wrapped, key), -ERR_KEY_LOST);
        assert_int_equal(kms_create(k, use.name), -EINVAL);
        assert_int_equal(kms_rotate(k, use.name), -ERR_KMS_NOT_FOUND);
    }
    assert_int_equal(m.asked, asked);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

CASE(keys_of_vault_stay_in_memory_for_a_while)
{
    struct mock m;
    mock_start(&m, h);
    struct kms *k = open_service(h);
    struct made first = make(h, k, &s3_use);
    unsigned asked = m.asked;
    struct made second = make(h, k, &s3_use); /* shared: the bucket's */
    assert_true(str_eq(first.wrapped, second.wrapped));
    for (int i = 0; i < 10; i++)
        expect(k, &s3_use, &first);
    assert_int_equal(m.asked, asked);
    m.writes = k; /* an object of that moment has the old version still */
    assert_int_equal(kms_rotate(k, STR("cairn-s3")), 0);
    struct made third = make(h, k, &s3_use);
    assert_false(str_eq(first.wrapped, third.wrapped));
    assert_true(str_starts(third.wrapped, STR("vault:v2:")));
    expect(k, &s3_use, &first);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

CASE(a_vault_that_refuses_is_unavailable)
{
    struct mock m;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    mock_start(&m, h);
    m.sealed = true;
    struct kms *k = open_service(h);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    kms_close(k);
    m.sealed = false;
    h->config.vault.token = STR("wrong");
    k = open_service(h);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
    h->config.vault.token = STR(TOKEN);
    k = open_service(h);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    kms_close(k);
    h->config.vault.token = STR("");
    assert_int_equal(kms_open(&k, &h->config, h->why), -EINVAL);
    assert_non_null(strstr(h->why, "CAIRN_VAULT_TOKEN"));
}

static void FIBER wait_until(const unsigned *n, unsigned wanted)
{
    for (uint64_t end = rt_now() + 60 * RT_S; *n < wanted && rt_now() < end;)
        rt_sleep_until(rt_now() + 5 * RT_MS);
    assert_true(*n >= wanted);
}

CASE(a_token_is_renewed_before_it_ends)
{
    struct mock m;
    _cleanup_buf_ struct buf told;
    buf_init(&told, 0);
    mock_start(&m, h);
    m.lease_s = 1;
    struct kms *k = open_service(h);
    wait_until(&m.renewals, 1);
    (void)make(h, k, &s3_use);
    kms_metrics(&told, k);
    buf_put_char(&told, 0);
    assert_non_null(strstr(told.data, "cairn_kms_request_seconds_count{verb=\"encrypt\"} 2\n"));
    assert_non_null(strstr(told.data, "cairn_kms_request_failures_total{verb=\"encrypt\"} 0\n"));
    assert_null(strstr(told.data, "cairn_kms_token_expires_ms 0\n"));
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

CASE(one_that_never_ends_is_left_alone)
{
    struct mock m;
    _cleanup_buf_ struct buf told;
    buf_init(&told, 0);
    mock_start(&m, h);
    struct kms *k = open_service(h);
    m.sealed = true;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    kms_metrics(&told, k);
    buf_put_char(&told, 0);
    assert_non_null(strstr(told.data, "cairn_kms_request_failures_total{verb=\"encrypt\"} 1\n"));
    assert_non_null(strstr(told.data, "cairn_kms_token_expires_ms 0\n"));
    kms_close(k);
    assert_int_equal(m.renewals, 0);
    http_server_stop(m.server, rt_now() + RT_S);
}

CASE(an_approle_logs_in_and_again_when_its_token_is_taken_back)
{
    struct mock m;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    mock_start(&m, h);
    h->config.vault.token = STR("");
    h->config.vault.role = STR(ROLE);
    assert_null(h->config.vault.secret.ptr);
    struct kms *k = NULL;
    assert_int_equal(kms_open(&k, &h->config, h->why), -EINVAL);
    assert_non_null(strstr(h->why, "CAIRN_VAULT_SECRET_ID"));
    h->config.vault.secret = STR(SECRET);
    k = open_service(h);
    struct made first = make(h, k, &s3_use);
    wait_until(&m.logins, 1);
    expect(k, &s3_use, &first);
    unsigned before = m.logins;
    snprintf(m.role_token, sizeof(m.role_token), "another"); /* taken back */
    assert_int_equal(kms_create(k, STR("cairn-s3")), 0);
    assert_int_equal(m.logins, before + 1);
    kms_close(k);
    h->config.vault.secret = STR("wrong");
    k = open_service(h);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    kms_close(k);
    m.lease_s = 1; /* and before it ends */
    before = m.logins;
    h->config.vault.secret = STR(SECRET);
    k = open_service(h);
    wait_until(&m.logins, before + 2);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

static void write_token(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

CASE(a_token_in_a_file_is_read_again_when_vault_refuses)
{
    struct mock m;
    char path[128];
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    mock_start(&m, h);
    snprintf(path, sizeof(path), "%s/token", h->path);
    write_token(path, "an-old-one\n");
    h->config.vault.token = STR("an-old-one");
    h->config.vault.token_file = path;
    struct kms *k = open_service(h);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    static const char *const none[] = {"", "\n", "an-old-one", "a b\n", "a\x01\n"};
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        write_token(path, none[i]);
        assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    write_token(path, TOKEN "\r\nmore\n");
    struct made made = make(h, k, &s3_use);
    expect(k, &s3_use, &made);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

/* What refuses may be the policy, not the token: that is no reason to log in each time. */
CASE(a_role_that_may_not_does_not_log_in_for_ever)
{
    struct mock m;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    mock_start(&m, h);
    h->config.vault.token = STR("");
    h->config.vault.role = STR(ROLE);
    h->config.vault.secret = STR(SECRET);
    m.role_may_nothing = true;
    struct kms *k = open_service(h);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(kms_new_key(k, &s3_use, &h->arena, key, &wrapped), -ERR_KMS_UNAVAILABLE);
    assert_true(m.logins >= 2 && m.logins < 50); /* 6, and one more each ten seconds */
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

#define ASKERS 32

struct asker {
    struct home *home;
    struct kms *kms;
    struct mock *mock;
    unsigned number;
};

static int FIBER ask_many(void *arg)
{
    const struct asker *a = arg;
    struct kms_use use = s3_use;
    use.bucket.n = 100 + a->number;
    use.shared = false;
    for (unsigned i = 0; i < 5; i++) {
        struct made m = make(a->home, a->kms, &use);
        if (a->number == 0 && i == 1) /* the others are refused in the midst, and one logs in */
            snprintf(a->mock->role_token, sizeof(a->mock->role_token), "another");
        struct kms_use other = use;
        uint8_t key[CRYPT_KEY_LEN];
        expect(a->kms, &use, &m);
        other.bucket.n++;
        assert_int_equal(kms_open_key(a->kms, &other, m.wrapped, key), -ERR_WRONG_KEY);
    }
    return 0;
}

CASE(many_ask_at_once_and_each_gets_its_own)
{
    struct mock m;
    struct asker askers[ASKERS];
    struct rt_fiber *fibers[ASKERS];
    mock_start(&m, h);
    h->config.vault.token = STR("");
    h->config.vault.role = STR(ROLE);
    h->config.vault.secret = STR(SECRET);
    m.answer_slowly = true;
    struct kms *k = open_service(h);
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){h, k, &m, i};
        assert_int_equal(rt_spawn(&fibers[i], "asker", ask_many, &askers[i]), 0);
    }
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(rt_join(fibers[i]), 0);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

struct refused {
    struct home *home;
    struct kms *kms;
    unsigned *begun;
};

static int FIBER ask_in_vain(void *arg)
{
    const struct refused *a = arg;
    struct kms_use use = s3_use;
    uint8_t key[CRYPT_KEY_LEN];
    struct str wrapped;
    use.bucket.n = 100 + (*a->begun)++;
    use.shared = false;
    assert_int_equal(kms_new_key(a->kms, &use, &a->home->arena, key, &wrapped),
                     -ERR_KMS_UNAVAILABLE);
    return 0;
}

/* Each would wait for the logins of all before it. */
CASE(a_login_that_fails_fails_for_all_who_waited_for_it)
{
    struct mock m;
    struct rt_fiber *fibers[ASKERS];
    unsigned begun = 0;
    mock_start(&m, h);
    h->config.vault.token = STR("");
    h->config.vault.role = STR(ROLE);
    h->config.vault.secret = STR("wrong");
    m.hold_logins = true;
    struct kms *k = open_service(h);
    struct refused all = {h, k, &begun};
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(rt_spawn(&fibers[i], "asker", ask_in_vain, &all), 0);
    wait_until(&begun, ASKERS);
    wait_until(&m.tried, 1);
    m.hold_logins = false;
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(rt_join(fibers[i]), 0);
    assert_true(m.tried < ASKERS / 2);
    kms_close(k);
    http_server_stop(m.server, rt_now() + RT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ring_is_made_at_first_use_and_found_again),
        cmocka_unit_test(a_key_opens_for_its_use_only),
        cmocka_unit_test(unknown_keys_and_names_are_refused),
        cmocka_unit_test(rotation_wraps_anew_without_a_new_key),
        cmocka_unit_test(a_key_that_one_disk_alone_would_have_is_none),
        cmocka_unit_test(who_looks_at_the_disks_does_not_wait_for_one_that_hangs),
        cmocka_unit_test(a_disk_that_is_not_there_is_not_waited_for),
        cmocka_unit_test(a_start_goes_on_where_a_copy_cannot_be_made),
        cmocka_unit_test(a_disk_that_cannot_be_read_keeps_nobody_back_who_has_no_keys),
        cmocka_unit_test(a_lost_ring_is_never_replaced),
        cmocka_unit_test(the_ring_of_another_store_is_not_written_over),
        cmocka_unit_test(a_passphrase_is_needed_where_there_was_one),
        cmocka_unit_test(vault_wraps_and_unwraps_over_http),
        cmocka_unit_test(a_keys_name_leads_nowhere_else_in_vault),
        cmocka_unit_test(keys_of_vault_stay_in_memory_for_a_while),
        cmocka_unit_test(a_vault_that_refuses_is_unavailable),
        cmocka_unit_test(a_token_is_renewed_before_it_ends),
        cmocka_unit_test(one_that_never_ends_is_left_alone),
        cmocka_unit_test(an_approle_logs_in_and_again_when_its_token_is_taken_back),
        cmocka_unit_test(a_token_in_a_file_is_read_again_when_vault_refuses),
        cmocka_unit_test(a_role_that_may_not_does_not_log_in_for_ever),
        cmocka_unit_test(many_ask_at_once_and_each_gets_its_own),
        cmocka_unit_test(a_login_that_fails_fails_for_all_who_waited_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
