/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The load generator: a number of keep-alive connections, each a fiber that signs, sends and reads
 * one request after another. In C over rt, so that the client is not what is measured.
 *
 *   load --address H:P --bucket B --op put|get|delete|list|mix [--size N] [--connections N]
 *        [--threads N] [--seconds S | --requests N] [--rate N] [--keys N] [--prefix P]
 *        [--unsigned-payload] [--scatter] [--query Q] [--access-key A --secret-key S] [--path /P]
 *
 * Keys are PREFIX followed by a number below --keys, spread over the connections: in rising order,
 * or with --scatter in one that has nothing to do with the keys' own. --path asks for one fixed
 * path instead, without a signature when no keys are given (a plain web server). A list asks for
 * --query, to which one that ends in = has the number added. With --rate so many requests are due a
 * second, all connections together, and each one's latency counts from when it was due. Prints one
 * JSON object: requests, errors, seconds, rate, MB/s, and latencies in microseconds.
 */

#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/encode.h"
#include "base/hash.h"
#include "rt/rt.h"
#include "wire/date.h"
#include "wire/sigv4.h"

#define REPLY_HEAD_MAX (64 * KIB)
#define READ_BYTES     (256 * KIB)
#define LATENCIES      (64 * 64) /* buckets: 64 a power of two */

static struct {
    const char *address, *bucket, *op, *prefix, *access_key, *secret_key, *path, *query;
    uint64_t size, connections, threads, seconds, requests, keys, rate;
    bool unsigned_payload, scatter;
} options = {.op = "get",
             .prefix = "k",
             .bucket = "bench",
             .size = 4096,
             .connections = 64,
             .threads = 1,
             .seconds = 5,
             .keys = 1000,
             .query = ""};

static struct {
    struct rt_address address;
    char *payload;
    char payload_sha256[64];
    char length_header[48];
    _Atomic uint64_t issued, done, errors, bytes, next_key;
    _Atomic uint64_t latencies[LATENCIES];
    uint64_t began_ns, stop_ns;
    _Atomic unsigned running;
    struct rt_lock lock;
    struct rt_waitq finished;
    _Atomic int first_bad_status;
} run;

struct connection {
    struct rt_socket *socket;
    struct arena arena;
    char *in; /* READ_BYTES */
    size_t in_len;
    struct sigv4_key key;
    char key_day[8];
    unsigned number;
};

/* ---- latencies ------------------------------------------------------------------------------ */

/* 64 steps in each power of two: within 1.6 %. */
static unsigned latency_bucket(uint64_t us)
{
    if (us < 64)
        return (unsigned)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    return MIN((power - 5) * 64 + (unsigned)(us >> (power - 6) & 63), (unsigned)LATENCIES - 1);
}

static uint64_t bucket_us(unsigned bucket)
{
    if (bucket < 64)
        return bucket;
    return (64ULL + bucket % 64) << (bucket / 64 - 1);
}

static uint64_t percentile(double share)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < LATENCIES; i++)
        total += run.latencies[i];
    for (unsigned i = 0; i < LATENCIES; i++) {
        seen += run.latencies[i];
        if (total && (double)seen >= share * (double)total)
            return bucket_us(i);
    }
    return 0;
}

/* ---- one request ---------------------------------------------------------------------------- */

struct operation {
    const char *method;
    bool has_body;
};

static struct operation pick_operation(uint64_t number)
{
    struct str op = str_from(options.op);
    if (str_eq(op, STR("mix")))
        return number % 4 == 0 ? (struct operation){"PUT", true} : (struct operation){"GET", false};
    if (str_eq(op, STR("put")))
        return (struct operation){"PUT", true};
    if (str_eq(op, STR("delete")))
        return (struct operation){"DELETE", false};
    return (struct operation){"GET", false};
}

/* A prime number of steps meets every key once, unless --keys is a multiple of it. */
static unsigned long long key_number(uint64_t number)
{
    return (options.scatter ? number % options.keys * 2654435761 : number) % options.keys;
}

static struct str make_target(struct connection *c, uint64_t number)
{
    unsigned long long key = key_number(number);
    if (options.path)
        return str_from(options.path);
    if (!str_eq(str_from(options.op), STR("list")))
        return arena_printf(&c->arena, "/%s/%s%08llu", options.bucket, options.prefix, key);
    if (!str_ends(str_from(options.query), STR("=")))
        return arena_printf(&c->arena, "/%s?%s", options.bucket, options.query);
    return arena_printf(&c->arena, "/%s?%s%s%08llu", options.bucket, options.query, options.prefix,
                        key);
}

/* The signing key of the day, made anew at midnight. */
static const struct sigv4_key *day_key(struct connection *c, struct str day)
{
    if (memcmp(c->key_day, day.ptr, sizeof(c->key_day)) != 0) {
        memcpy(c->key_day, day.ptr, sizeof(c->key_day));
        sigv4_key_init(&c->key, str_from(options.secret_key), day, STR("us-east-1"), STR("s3"));
    }
    return &c->key;
}

static struct str join(struct arena *a, const struct str *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    char *at = arena_alloc(a, len), *begin = at;
    CHECK(at);
    for (size_t i = 0; i < count; i++)
        at = mempcpy(at, parts[i].ptr, parts[i].len);
    return str_make(begin, len);
}

static struct str make_head(struct connection *c, const struct operation *op, struct str target)
{
    struct str host = str_from(options.address), method = str_from(op->method);
    struct str length = op->has_body ? str_from(run.length_header) : STR("");
    if (!options.access_key) {
        const struct str plain[] = {method, STR(" "),    target, STR(" HTTP/1.1\r\nHost: "),
                                    host,   STR("\r\n"), length, STR("\r\n")};
        return join(&c->arena, plain, ARRAY_LEN(plain));
    }
    char date[DATE_AMZ_LEN];
    date_format_amz(rt_wall_ms(), date);
    struct str amz_date = str_make(date, sizeof(date)), day = str_prefix(amz_date, 8);
    static const char empty_sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct str digest = !op->has_body              ? str_from(empty_sha256)
                        : options.unsigned_payload ? STR("UNSIGNED-PAYLOAD")
                                                   : str_make(run.payload_sha256, 64);
    struct http1_request *r = arena_new(&c->arena, struct http1_request);
    r->method = method;
    r->target = target;
    r->host = host;
    r->headers[0] = (struct http1_header){STR("host"), r->host};
    r->headers[1] = (struct http1_header){STR("x-amz-content-sha256"), digest};
    r->headers[2] = (struct http1_header){STR("x-amz-date"), amz_date};
    r->header_count = 3;
    struct str authorization;
    CHECK(sigv4_sign(&c->arena, r, str_from(options.access_key), day_key(c, day), day,
                     STR("us-east-1"), STR("s3"), &authorization) == 0);
    const struct str parts[] = {method,        STR(" "),
                                target,        STR(" HTTP/1.1\r\nHost: "),
                                host,          STR("\r\nx-amz-content-sha256: "),
                                digest,        STR("\r\nx-amz-date: "),
                                amz_date,      STR("\r\nAuthorization: "),
                                authorization, STR("\r\n"),
                                length,        STR("\r\n")};
    return join(&c->arena, parts, ARRAY_LEN(parts));
}

static int FIBER receive(struct connection *c)
{
    size_t got;
    int r = rt_recv(c->socket, c->in + c->in_len, READ_BYTES - c->in_len, RT_NEVER, &got);
    if (r == 0 && got == 0)
        r = -EPIPE;
    if (r == 0)
        c->in_len += got;
    return r;
}

/* Reads and drops a body of known length; what is in the buffer belongs to it. */
static int FIBER skip_body(struct connection *c, uint64_t len)
{
    uint64_t held = MIN((uint64_t)c->in_len, len);
    memmove(c->in, c->in + held, c->in_len - held);
    c->in_len -= held;
    for (len -= held; len > 0;) {
        size_t got;
        int r = rt_recv(c->socket, c->in, MIN(len, (uint64_t)READ_BYTES), RT_NEVER, &got);
        if (r < 0 || got == 0)
            return r < 0 ? r : -EPIPE;
        len -= got;
    }
    return 0;
}

static int FIBER skip_chunked(struct connection *c, uint64_t *ret_len)
{
    struct http1_chunked decoder;
    http1_chunked_init(&decoder);
    for (;;) {
        size_t used;
        struct str data;
        int r = http1_chunked_next(&decoder, str_make(c->in, c->in_len), &used, &data);
        if (r < 0)
            return r;
        *ret_len += data.len;
        memmove(c->in, c->in + used, c->in_len - used);
        c->in_len -= used;
        if (r == 1)
            return 0;
        if (used == 0 && (r = receive(c)) < 0)
            return r;
    }
}

static int FIBER read_reply(struct connection *c, int *ret_status, uint64_t *ret_len)
{
    struct http1_response *reply = arena_new(&c->arena, struct http1_response);
    ptrdiff_t head;
    while ((head = http1_parse_response(str_make(c->in, c->in_len), false, reply)) == 0) {
        int r = c->in_len < REPLY_HEAD_MAX ? receive(c) : -ERR_TOO_LARGE;
        if (r < 0)
            return r;
    }
    if (head < 0)
        return (int)head;
    enum http1_body body = reply->body;
    *ret_status = reply->status;
    *ret_len = body == HTTP1_BODY_LENGTH ? reply->content_length : 0;
    memmove(c->in, c->in + head, c->in_len - (size_t)head);
    c->in_len -= (size_t)head;
    return body == HTTP1_BODY_CHUNKED ? skip_chunked(c, ret_len) : skip_body(c, *ret_len);
}

static int FIBER do_request(struct connection *c, uint64_t number, uint64_t began)
{
    struct operation op = pick_operation(number);
    struct str head = make_head(c, &op, make_target(c, number));
    struct iovec iov[2] = {{(void *)(uintptr_t)head.ptr, head.len},
                           {run.payload, op.has_body ? options.size : 0}};
    uint64_t len = 0;
    int status = 0;
    int r = rt_send(c->socket, iov, op.has_body ? 2 : 1, RT_NEVER);
    if (r == 0)
        r = read_reply(c, &status, &len);
    arena_reset(&c->arena);
    if (r < 0)
        return r;
    atomic_fetch_add(&run.latencies[latency_bucket((rt_now() - began) / RT_US)], 1);
    atomic_fetch_add(&run.done, 1);
    atomic_fetch_add(&run.bytes, op.has_body ? options.size : len);
    if (status / 100 != 2) {
        atomic_fetch_add(&run.errors, 1);
        atomic_store(&run.first_bad_status, status);
    }
    return 0;
}

/* ---- the run -------------------------------------------------------------------------------- */

static void FIBER connection_loop(struct connection *c)
{
    while (rt_now() < run.stop_ns) {
        uint64_t number = atomic_fetch_add(&run.issued, 1);
        if (options.requests && number >= options.requests)
            return;
        uint64_t due = options.rate ? run.began_ns + number * RT_S / options.rate : 0;
        if (due > rt_now())
            rt_sleep_until(due);
        if (do_request(c, number, due ? due : rt_now()) < 0) {
            atomic_fetch_add(&run.errors, 1);
            return;
        }
    }
}

static void FIBER connection_fiber(void *arg)
{
    struct connection *c = arg;
    arena_init(&c->arena, 0);
    c->in = malloc(READ_BYTES);
    CHECK(c->in);
    if (rt_connect(&c->socket, &run.address, rt_now() + 5 * RT_S) == 0)
        connection_loop(c);
    else
        atomic_fetch_add(&run.errors, 1);
    rt_socket_close(c->socket);
    free(c->in);
    arena_release(&c->arena);
    rt_lock(&run.lock);
    if (--run.running == 0)
        rt_wake_all(&run.finished);
    rt_unlock(&run.lock);
}

static void print_result(uint64_t elapsed_ns)
{
    double seconds = (double)elapsed_ns / 1e9;
    printf("{\"op\": \"%s\", \"size\": %llu, \"connections\": %llu, \"requests\": %llu, "
           "\"errors\": %llu, "
           "\"bad_status\": %d, \"seconds\": %.3f, \"rate\": %.0f, \"mb_per_s\": %.1f, "
           "\"p50_us\": %llu, \"p99_us\": %llu, \"p999_us\": %llu}\n",
           options.op, (unsigned long long)options.size, (unsigned long long)options.connections,
           (unsigned long long)run.done, (unsigned long long)run.errors, run.first_bad_status,
           seconds, (double)run.done / seconds, (double)run.bytes / seconds / 1e6,
           (unsigned long long)percentile(0.5), (unsigned long long)percentile(0.99),
           (unsigned long long)percentile(0.999));
}

static int FIBER run_fiber(void *arg)
{
    int r = rt_address_parse(&run.address, options.address);
    if (r < 0)
        return r;
    rt_lock_init(&run.lock);
    rt_waitq_init(&run.finished);
    run.running = (unsigned)options.connections;
    run.began_ns = rt_now();
    run.stop_ns = options.requests ? RT_NEVER : run.began_ns + options.seconds * RT_S;
    _cleanup_free_ struct connection *all = calloc(options.connections, sizeof(*all));
    CHECK(all);
    for (unsigned i = 0; i < options.connections; i++) {
        all[i].number = i;
        CHECK(rt_spawn_on(i % rt_thread_count(), "connection", connection_fiber, &all[i]) == 0);
    }
    rt_lock(&run.lock);
    while (run.running > 0)
        rt_wait(&run.finished, &run.lock, RT_NEVER);
    rt_unlock(&run.lock);
    print_result(rt_now() - run.began_ns);
    return 0;
}

static void make_payload(void)
{
    uint64_t x = 88172645463325252ULL;
    uint8_t digest[HASH_SHA256_LEN];
    run.payload = malloc(options.size + 8);
    CHECK(run.payload);
    for (size_t i = 0; i < options.size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64: does not compress */
        memcpy(run.payload + i, &x, 8);
    }
    hash_sha256(str_make(run.payload, options.size), digest);
    hex_encode(digest, sizeof(digest), run.payload_sha256);
    snprintf(run.length_header, sizeof(run.length_header), "Content-Length: %llu\r\n",
             (unsigned long long)options.size);
}

static uint64_t number(const char *text)
{
    uint64_t v = 0;
    if (str_to_u64(str_from(text), &v) < 0) {
        fprintf(stderr, "load: not a number: %s\n", text);
        exit(2);
    }
    return v;
}

static void parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"address", 1, NULL, 'a'},    {"bucket", 1, NULL, 'b'},
        {"op", 1, NULL, 'o'},         {"prefix", 1, NULL, 'x'},
        {"access-key", 1, NULL, 'k'}, {"secret-key", 1, NULL, 's'},
        {"path", 1, NULL, 'p'},       {"query", 1, NULL, 'q'},
        {"size", 1, NULL, 'z'},       {"connections", 1, NULL, 'c'},
        {"threads", 1, NULL, 't'},    {"seconds", 1, NULL, 'd'},
        {"requests", 1, NULL, 'n'},   {"rate", 1, NULL, 'f'},
        {"keys", 1, NULL, 'm'},       {"unsigned-payload", 0, NULL, 'u'},
        {"scatter", 0, NULL, 'r'},    {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        switch (c) {
        case 'a':
            options.address = optarg;
            break;
        case 'b':
            options.bucket = optarg;
            break;
        case 'o':
            options.op = optarg;
            break;
        case 'x':
            options.prefix = optarg;
            break;
        case 'k':
            options.access_key = optarg;
            break;
        case 's':
            options.secret_key = optarg;
            break;
        case 'p':
            options.path = optarg;
            break;
        case 'q':
            options.query = optarg;
            break;
        case 'z':
            options.size = number(optarg);
            break;
        case 'c':
            options.connections = number(optarg);
            break;
        case 't':
            options.threads = number(optarg);
            break;
        case 'd':
            options.seconds = number(optarg);
            break;
        case 'n':
            options.requests = number(optarg);
            break;
        case 'f':
            options.rate = number(optarg);
            break;
        case 'm':
            options.keys = number(optarg);
            break;
        case 'u':
            options.unsigned_payload = true;
            break;
        case 'r':
            options.scatter = true;
            break;
        default:
            exit(2);
        }
    }
    if (!options.address || !options.access_key != !options.secret_key || options.keys == 0) {
        fprintf(stderr, "load: needs --address, and both keys or none\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    make_payload();
    struct rt_config world = {.threads = (unsigned)options.threads};
    int r = rt_run(&world, run_fiber, NULL);
    if (r < 0)
        fprintf(stderr, "load: %s\n", err_text(r));
    free(run.payload);
    return r < 0 ? 1 : 0;
}
