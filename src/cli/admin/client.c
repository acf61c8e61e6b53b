/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "cli/credentials.h"
#include "cli/durability.h"
#include "cli/world.h"
#include "iam/policy.h"
#include "rt/rt.h"
#include "wire/date.h"
#include "wire/sigv4.h"
#include "wire/uri.h"
#include <stdio.h>

#define CALL_TIMEOUT (60 * RT_S)
#define ANSWER_MAX   (64 * MIB)

struct admin_options admin_options;

/* ---- where and who -------------------------------------------------------------------------- */

struct target {
    bool tls;
    struct str authority; /* "host:port", as the Host header has it */
    struct str host;      /* without the port: for TLS */
    struct credentials root;
};

static int parse_endpoint(struct arena *a, struct target *t)
{
    const char *url = admin_options.endpoint ? admin_options.endpoint : getenv("CAIRN_ENDPOINT");
    struct str rest = str_from(url ? url : "http://127.0.0.1:9000");
    if (str_starts(rest, STR("https://")))
        t->tls = true;
    else if (!str_starts(rest, STR("http://")))
        return cli_fail("%s is no endpoint: write http://HOST:PORT or https://HOST:PORT", rest.ptr);
    rest = str_from_offset(rest, t->tls ? strlen("https://") : strlen("http://"));
    if (str_ends(rest, STR("/")))
        rest.len--;
    ptrdiff_t bracket = str_find_char(rest, ']', 0);
    ptrdiff_t colon = str_find_char(rest, ':', bracket > 0 ? (size_t)bracket : 0);
    t->host = colon < 0 ? rest : str_prefix(rest, (size_t)colon);
    t->authority = colon >= 0 ? arena_dup(a, rest)
                              : arena_printf(a, "%.*s:%s", STR_FMT(rest), t->tls ? "443" : "80");
    return t->authority.ptr ? 0 : cli_fail("out of memory");
}

static int find_credentials(struct arena *a, struct target *t)
{
    int r = credentials_from_environment(a, &t->root);
    if (r < 0)
        return 1;
    if (admin_options.access_key)
        t->root.access_key = str_from(admin_options.access_key);
    if (admin_options.secret_key)
        t->root.secret_key = str_from(admin_options.secret_key);
    if (t->root.access_key.len && t->root.secret_key.len)
        return 0;
    return cli_fail("no root credentials: set CAIRN_ROOT_USER and CAIRN_ROOT_PASSWORD, or give "
                    "--access-key and --secret-key (the server keeps generated ones in "
                    "DIR/" CREDENTIALS_FILE ")");
}

/* ---- one call ------------------------------------------------------------------------------- */

struct call_state {
    const struct admin_call *call;
    struct str raw; /* a body that is no JSON */
    json_t *answer;
    struct arena arena;
    struct target target;
    struct http_client *client;
    struct buf text;
    char *refused; /* where a refusal's words go; NULL: standard error */
};

static int FIBER connect_to(struct call_state *s)
{
    struct http_client_config config = {
        .tls_host = s->target.tls ? arena_cstr(&s->arena, s->target.host) : NULL,
        .ca_path = admin_options.ca,
        .insecure = admin_options.insecure,
        .timeout_ns = CALL_TIMEOUT};
    const char *authority = s->target.authority.ptr;
    int r = rt_address_parse(&config.address, authority);
    if (r < 0)
        return cli_fail("there is no address for %s: %s", authority, err_text(r));
    r = http_client_open(&s->client, &config);
    if (r == -EKEYREJECTED)
        return cli_fail("the certificate of %s is not trusted: give --ca FILE, or --insecure",
                        authority);
    if (r == -EPROTO)
        return cli_fail("%s does not speak TLS with us: is it http://%s?", authority, authority);
    if (r < 0)
        return cli_fail("cannot connect to %s: %s (does the server run there?)", authority,
                        err_text(r));
    return 0;
}

/* Signs with the digest of the body; four headers. */
static int sign(struct call_state *s, struct str body, struct http1_header headers[4])
{
    struct str method = str_from(s->call->method), target = str_from(s->call->path);
    char date[DATE_AMZ_LEN], digest[64];
    uint8_t sha256[HASH_SHA256_LEN];
    hash_sha256(body, sha256);
    hex_encode(sha256, sizeof(sha256), digest);
    date_format_amz(rt_wall_ms(), date);
    headers[0] = (struct http1_header){STR("Host"), s->target.authority};
    headers[1] = (struct http1_header){STR("x-amz-date"),
                                       arena_dup(&s->arena, str_make(date, sizeof(date)))};
    headers[2] = (struct http1_header){STR("x-amz-content-sha256"),
                                       arena_dup(&s->arena, str_make(digest, sizeof(digest)))};
    struct http1_request r = {
        .method = method, .target = target, .host = s->target.authority, .header_count = 3};
    memcpy(r.headers, headers, 3 * sizeof(*headers));
    struct sigv4_key key;
    struct str day = str_make(date, 8), authorization;
    sigv4_key_init(&key, s->target.root.secret_key, day, STR("us-east-1"), STR("s3"));
    int err = sigv4_sign(&s->arena, &r, s->target.root.access_key, &key, day, STR("us-east-1"),
                         STR("s3"), &authorization);
    headers[3] = (struct http1_header){STR("Authorization"), authorization};
    return err;
}

static void take_lines(struct call_state *s)
{
    ptrdiff_t end;
    while ((end = str_find_char(buf_str(&s->text), '\n', 0)) >= 0) {
        json_t *line = json_loadb(s->text.data, (size_t)end, 0, NULL);
        if (line)
            s->call->on_line(line, s->call->arg);
        json_decref(line);
        buf_consume(&s->text, (size_t)end + 1);
    }
}

/* The words of the S3 door's answer. */
static struct str message_of_s3(struct str xml)
{
    static const struct str open = {"<Message>", 9};
    ptrdiff_t from = str_find(xml, open, 0);
    ptrdiff_t to = from < 0 ? -1 : str_find_char(xml, '<', (size_t)from + open.len);
    if (to < 0)
        return STR("");
    return str_from_offset(str_prefix(xml, (size_t)to), (size_t)from + open.len);
}

static int refused(struct call_state *s, int status)
{
    const json_t *error = json_object_get(s->answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    struct str of_s3 = message ? str_from(message) : message_of_s3(buf_str(&s->text));
    json_t *clean = of_s3.len ? json_stringn(of_s3.ptr, of_s3.len) : NULL;
    message = clean ? admin_text(clean) : "(no message)"; /* whoever answers may be anybody */
    if (s->refused)
        snprintf(s->refused, ADMIN_CALL_WHY_MAX, "%s", message);
    else
        cli_fail("%s: %s (%d)", cli_words(), message, status);
    json_decref(clean);
    json_decref(s->answer);
    s->answer = NULL;
    return s->refused ? 0 : 1;
}

static int FIBER read_answer(struct call_state *s, int status)
{
    for (;;) {
        struct str piece;
        int r = http_client_body(s->client, &piece);
        if (r < 0)
            return cli_fail("the answer broke off: %s", err_text(r));
        if (piece.len == 0)
            break;
        buf_put_str(&s->text, piece);
        if (s->call->on_line && status == 200)
            take_lines(s);
    }
    if (buf_error(&s->text) < 0)
        return cli_fail("the answer is too large");
    s->answer = s->text.len ? json_loadb(s->text.data, s->text.len, 0, NULL) : NULL;
    if (status < 300)
        return 0;
    return refused(s, status);
}

static int FIBER request(struct call_state *s)
{
    struct http1_header headers[4];
    struct http_reply reply;
    _cleanup_free_ char *text = s->call->body ? json_dumps(s->call->body, JSON_COMPACT) : NULL;
    struct str body = text ? str_from(text) : s->raw;
    int r = sign(s, body, headers);
    if (r == 0)
        r = http_client_request(s->client, str_from(s->call->method), str_from(s->call->path),
                                headers, ARRAY_LEN(headers), body, &reply);
    if (r < 0)
        return cli_fail("%s broke off before it answered: %s%s", s->target.authority.ptr,
                        err_text(r), s->target.tls ? "" : " (does it serve https?)");
    return read_answer(s, reply.status);
}

static int FIBER open_target(struct call_state *s)
{
    int r = parse_endpoint(&s->arena, &s->target);
    if (r == 0)
        r = find_credentials(&s->arena, &s->target);
    return r == 0 ? connect_to(s) : r;
}

static int FIBER call_fiber(void *arg)
{
    struct call_state *s = arg;
    int r = open_target(s);
    if (r == 0)
        r = request(s);
    if (s->client)
        http_client_close(s->client);
    return r;
}

/* In a world of its own. */
static int run(struct call_state *s, int (*fiber)(void *arg), void *arg)
{
    arena_init(&s->arena, 0);
    buf_init(&s->text, ANSWER_MAX);
    int r = rt_run(&(struct rt_config){.threads = 1, .offload_threads = 1}, fiber, arg);
    if (r < 0)
        r = world_fail(r);
    buf_release(&s->text);
    arena_release(&s->arena);
    return r;
}

int admin_call(const struct admin_call *call, json_t **ret_json)
{
    struct call_state s = {.call = call};
    int r = run(&s, call_fiber, &s);
    if (r == 0 && ret_json)
        *ret_json = s.answer;
    else
        json_decref(s.answer);
    return r;
}

int admin_put_object(const char *path, struct str bytes)
{
    const struct admin_call call = {.method = "PUT", .path = path};
    struct call_state s = {.call = &call, .raw = bytes};
    int r = run(&s, call_fiber, &s);
    json_decref(s.answer);
    return r;
}

/* ---- many calls ----------------------------------------------------------------------------- */

struct admin_session {
    struct call_state state;
    int (*fn)(struct admin_session *s, void *arg);
    void *arg;
};

static int FIBER session_fiber(void *arg)
{
    struct admin_session *s = arg;
    int r = open_target(&s->state);
    if (r == 0)
        r = s->fn(s, s->arg);
    if (s->state.client)
        http_client_close(s->state.client);
    return r;
}

int admin_session_run(int (*fn)(struct admin_session *s, void *arg), void *arg)
{
    struct admin_session s = {.fn = fn, .arg = arg};
    return run(&s.state, session_fiber, &s);
}

int FIBER admin_session_call(struct admin_session *s, const struct admin_call *call,
                             json_t **ret_json, char ret_why[ADMIN_CALL_WHY_MAX])
{
    struct call_state one = {
        .call = call, .target = s->state.target, .client = s->state.client, .refused = ret_why};
    arena_init(&one.arena, 0); /* what is signed stays until the answer is there, and no longer */
    buf_init(&one.text, ANSWER_MAX);
    int r = request(&one);
    buf_release(&one.text);
    arena_release(&one.arena);
    *ret_json = r == 0 ? one.answer : NULL;
    return r;
}

/* ---- printing ------------------------------------------------------------------------------- */

int admin_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
    return 0;
}

int admin_say_done(int r, const char *what, const char *name, const char *how)
{
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:s, s:s}", what, name, "done", how));
    if (r == 0)
        printf("%s %s %s\n", what, name, how);
    return r;
}

int admin_print_list(const char *path, const char *member, void (*print)(const json_t *item))
{
    json_t *answer = NULL, *item;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = path}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, member), i, item) print(item);
    json_decref(answer);
    return 0;
}

const char *admin_format_bytes(uint64_t bytes, char ret[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        v /= 1024;
    snprintf(ret, 32, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return ret;
}

/* How long the control character is that begins here; 0: it is none. Those of one byte, and U+0080
 * to U+009F, by which terminals are told what to do too. */
static size_t control_len(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
        return 2;
    return c[0] < ' ' || c[0] == 0x7f;
}

const char *admin_text(json_t *value)
{
    _cleanup_buf_ struct buf b;
    const char *text = json_string_value(value);
    bool any = false;
    buf_init(&b, 0);
    for (size_t len; text && *text; text += len) {
        size_t control = control_len(text);
        len = MAX(control, (size_t)1);
        any |= control > 0;
        if (control)
            buf_printf(&b, "\\x%02x", (unsigned char)text[control - 1]);
        else
            buf_put_char(&b, *text);
    }
    if (any && (buf_error(&b) || json_string_setn(value, b.data, b.len)))
        return "";
    text = json_string_value(value);
    return text ? text : "";
}

const char *admin_text_of(const json_t *o, const char *name)
{
    return admin_text(json_object_get(o, name));
}

uint64_t admin_number_of(const json_t *o, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(o, name));
    return v > 0 ? (uint64_t)v : 0;
}

/* Up to 2^53, which a double holds exactly. */
int admin_set_number(json_t *body, const char *name, const char *text, bool size)
{
    double v;
    if (!text)
        return 0;
    int r = size ? durability_parse_size(text, &v) : durability_parse_number(text, &v);
    if (r < 0 || v < 0 || v > 9007199254740992.0)
        return -EINVAL;
    return json_object_set_new(body, name, json_integer((json_int_t)v));
}

int admin_read_file(const char *path, struct buf *ret)
{
    bool stdin_named = str_eq(str_from(path), STR("-"));
    FILE *f = stdin_named ? stdin : fopen(path, "r");
    if (!f)
        return cli_fail("cannot read %s: %s", path, strerror(errno));
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_put(ret, piece, n);
    int fault = ferror(f) ? errno : 0;
    if (!stdin_named)
        (void)fclose(f);
    return fault ? cli_fail("cannot read %s: %s", path, strerror(fault)) : 0;
}

int admin_read_policy(const char *path, struct buf *ret)
{
    int r = admin_read_file(path, ret);
    if (r != 0)
        return r;
    return buf_error(ret) < 0 ? cli_fail("a policy has at most %llu bytes", POLICY_DOCUMENT_MAX)
                              : 0;
}
