/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The S3 door over a real store, on a loopback port, and a client that signs. Everything runs on
 * fibers, where a failed assertion cannot jump out: expectations are CHECKs.
 */

#include "store_help.h"
#include "http/http.h"
#include "iam/iam.h"
#include "s3/internal.h"
#include "base/encode.h"
#include "wire/date.h"

#define OWNER_KEY    "OWNERKEY"
#define OTHER_KEY    "OTHERKEY"
#define ROOT_KEY     "rootkey"
#define SECRET       "a/secret+of=users"
#define DOOR_REGION  "us-east-1"
#define HEADERS_MAX_ 16

struct door {
    struct store_home home;
    struct iam *iam;
    struct s3 *s3;
    struct http_server *server;
    struct http_client *client;
    char host[64];
    struct arena arena; /* of one request: reset by each */
    int (*test)(struct door *d);
};

/* ---- asking --------------------------------------------------------------------------------- */

enum form {
    FORM_SIGNED,
    FORM_NONE,
    FORM_UNSIGNED_HEADER, /* signed, with an x-amz-* header that is not */
    FORM_V2,
    FORM_STALE, /* signed twenty minutes ago */
};

struct ask {
    const char *method, *target;
    struct str body;
    enum form form;
    const char *access_key, *secret; /* NULL: the owner's */
    const char *headers[8][2];       /* beside the usual ones; ends with NULL */
};

struct answer {
    int status;
    struct str body, code; /* in the door's arena, until the next request */
    struct http1_response head;
};

static inline void add_header(struct http1_request *r, const char *name, struct str value)
{
    CHECK(r->header_count < HEADERS_MAX_);
    r->headers[r->header_count++] = (struct http1_header){str_from(name), value};
}

static inline void sign(struct door *d, struct http1_request *r, const struct ask *ask,
                        const char *date)
{
    struct sigv4_key key;
    struct str auth, day = str_make(date, 8);
    struct str access_key = str_from(ask->access_key ? ask->access_key : OWNER_KEY);
    sigv4_key_init(&key, str_from(ask->secret ? ask->secret : SECRET), day, STR(DOOR_REGION),
                   STR("s3"));
    CHECK(sigv4_sign(&d->arena, r, access_key, &key, day, STR(DOOR_REGION), STR("s3"), &auth) == 0);
    add_header(r, "authorization", auth);
}

static inline void authenticate_ask(struct door *d, struct http1_request *r, const struct ask *ask)
{
    char *date = arena_alloc(&d->arena, DATE_AMZ_LEN + 1);
    date_format_amz(rt_wall_ms() - (ask->form == FORM_STALE ? 20 * 60 * 1000 : 0), date);
    date[DATE_AMZ_LEN] = 0;
    if (ask->form == FORM_NONE)
        return;
    if (ask->form == FORM_V2) {
        add_header(r, "authorization", STR("AWS " OWNER_KEY ":bWFkZSB1cA=="));
        return;
    }
    add_header(r, "x-amz-date", str_make(date, DATE_AMZ_LEN));
    add_header(r, "x-amz-content-sha256", STR("UNSIGNED-PAYLOAD"));
    sign(d, r, ask, date);
    if (ask->form == FORM_UNSIGNED_HEADER)
        add_header(r, "x-amz-storage-class", STR("STANDARD"));
}

static inline struct str code_of(struct str body)
{
    ptrdiff_t from = str_find(body, STR("<Code>"), 0);
    ptrdiff_t to = str_find(body, STR("</Code>"), 0);
    return from < 0 || to < 0 ? STR("") : str_make(body.ptr + from + 6, (size_t)(to - from - 6));
}

static inline void FIBER read_answer(struct door *d, struct answer *ret)
{
    struct buf body;
    struct str piece;
    buf_init(&body, 0);
    do {
        CHECK(http_client_body(d->client, &piece) == 0);
        buf_put_str(&body, piece);
    } while (piece.len);
    ret->body = arena_dup(&d->arena, buf_str(&body));
    ret->code = code_of(ret->body);
    buf_release(&body);
}

static inline struct answer FIBER ask(struct door *d, const struct ask *ask)
{
    struct http1_request r = {.method = str_from(ask->method),
                              .target = str_from(ask->target),
                              .host = str_from(d->host),
                              .minor = 1};
    struct http_reply reply;
    struct answer out;
    arena_reset(&d->arena);
    add_header(&r, "host", str_from(d->host));
    for (unsigned i = 0; i < ARRAY_LEN(ask->headers) && ask->headers[i][0]; i++)
        add_header(&r, ask->headers[i][0], str_from(ask->headers[i][1]));
    authenticate_ask(d, &r, ask);
    CHECK(http_client_request(d->client, r.method, r.target, r.headers, r.header_count, ask->body,
                              &reply) == 0);
    out.status = reply.status;
    out.head = reply.head;
    read_answer(d, &out);
    return out;
}

/* A header of the last answer. */
static inline struct str answer_header(const struct answer *a, const char *lower_name)
{
    return http1_find(a->head.headers, a->head.header_count, str_from(lower_name));
}

/* The text of an element's first appearance. */
static inline struct str element_of(const struct answer *a, const char *name)
{
    char open[64], close[64];
    snprintf(open, sizeof(open), "<%s>", name);
    snprintf(close, sizeof(close), "</%s>", name);
    ptrdiff_t from = str_find(a->body, str_from(open), 0);
    if (from < 0)
        return STR_NULL;
    from += (ptrdiff_t)strlen(open);
    ptrdiff_t to = str_find(a->body, str_from(close), (size_t)from);
    return to < 0 ? STR_NULL : str_make(a->body.ptr + from, (size_t)(to - from));
}

#define ASK(d, ...) ask(d, &(struct ask){__VA_ARGS__})

/* ---- operations by their rows --------------------------------------------------------------- */

/* The target that a row describes; `key` false: a key that is not there. */
static inline const char *target_of(const struct s3_op *op, bool present, char *ret, size_t cap)
{
    static const char *const resources[2][3] = {{"/", "/bucket", "/bucket/absent"},
                                                {"/", "/bucket", "/bucket/k"}};
    int len = snprintf(ret, cap, "%s", resources[present][op->level]);
    if (op->query)
        len += snprintf(ret + len, cap - (size_t)len, "?%s", op->query);
    if (op->query && strcmp(op->query, "uploadId") == 0)
        snprintf(ret + len, cap - (size_t)len, "=no-upload&partNumber=1");
    return ret;
}

static inline struct ask ask_of(const struct s3_op *op, bool present, char *target, size_t cap)
{
    struct ask a = {.method = s3_method_name(op->method),
                    .target = target_of(op, present, target, cap)};
    if (op->header) {
        a.headers[0][0] = op->header;
        a.headers[0][1] = "/bucket/k";
    }
    return a;
}

/* ---- the door ------------------------------------------------------------------------------- */

static inline void FIBER add_user(struct door *d, const char *name, const char *key)
{
    struct iam_user user;
    struct iam_user_spec spec = {
        .name = str_from(name),
        .access_key = str_from(key),
        .secret_key = STR(SECRET),
        .user_id = str_from(name),
    };
    CHECK(iam_user_add(d->iam, &d->arena, &spec, &user) == 0);
}

static inline void FIBER door_start(struct door *d)
{
    struct iam_config iam = {d->home.meta, STR(ROOT_KEY), STR(SECRET)};
    CHECK(iam_open(&d->iam, &iam) == 0);
    add_user(d, "owner", OWNER_KEY);
    add_user(d, "other", OTHER_KEY);
    struct s3_config s3 = {.store = d->home.store, .iam = d->iam, .domains = "s3.test"};
    CHECK(s3_new(&d->s3, &s3) == 0);
    struct http_server_config config = {
        .handler = s3_handle, .arg = d->s3, .error_body = s3_error_body, .done = s3_done};
    CHECK(rt_address_parse(&config.address, "127.0.0.1:0") == 0);
    CHECK(http_server_start(&d->server, &config) == 0);
    struct http_client_config client = {.timeout_ns = 60 * RT_S};
    http_server_address(d->server, &client.address);
    rt_address_format(&client.address, d->host);
    CHECK(http_client_open(&d->client, &client) == 0);
}

static inline int FIBER door_world(void *arg)
{
    struct door *d = arg;
    arena_init(&d->arena, 64 * MIB);
    home_open(&d->home);
    door_start(d);
    int r = d->test(d);
    http_client_close(d->client);
    http_server_stop(d->server, rt_now() + RT_S);
    s3_free(d->s3);
    iam_close(d->iam);
    home_close(&d->home);
    arena_release(&d->arena);
    return r;
}

static inline void door_run(int (*test)(struct door *d))
{
    static struct door d;
    struct rt_config config = {.threads = 1};
    d = (struct door){.test = test};
    home_init(&d.home);
    assert_int_equal(rt_run(&config, door_world, &d), 0);
    home_release(&d.home);
}

#define DOOR_CASE(name)                       \
    static int FIBER name##_(struct door *d); \
    static void name(void **state)            \
    {                                         \
        door_run(name##_);                    \
    }                                         \
    static int FIBER name##_(struct door *d)
