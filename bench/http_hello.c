/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The HTTP layer by itself: a server on one thread whose handler answers GET with 4 KiB from memory
 * and takes PUT bodies. For wrk, beside nginx with a static file:
 *
 *     http_hello 127.0.0.1:9080 [CERT KEY] & wrk -t1 -c64 -d5 http://127.0.0.1:9080/
 *
 * With LOG=1 in the environment each request is logged.
 */
#include <signal.h>
#include <stdio.h>
#include "http/access_log.h"

static char page[4096];
static struct access_log *access_lines;

static void FIBER hello(struct http_exchange *x, void *arg)
{
    struct str piece;
    int rc;
    while ((rc = http_body_next(x, &piece)) == 0 && piece.len)
        ;
    http_set_header(x, "Content-Type", STR("application/octet-stream"));
    http_respond(x, rc < 0 ? 400 : 200, str_make(page, sizeof(page)));
}

static void log_request(struct http_exchange *x, void *arg)
{
    struct access_entry e = {STR("root"), STR("GetObject"), STR("bucket"), STR("a/key"), STR_NULL};
    if (access_lines)
        access_log_put(access_lines, x, &e);
}

static int FIBER serve(void *arg)
{
    char **argv = arg;
    struct http_tls_config tls = {.cert_path = argv[2], .key_path = argv[2] ? argv[3] : NULL};
    struct http_server_config config = {
        .tls = tls.key_path ? &tls : NULL,
        .handler = hello,
        .server_name = "Cairn",
        .done = log_request,
    };
    struct http_server *server;
    int signal, rc = rt_address_parse(&config.address, argv[1]);
    if (rc == 0 && getenv("LOG"))
        rc = access_log_open(&access_lines);
    if (rc == 0)
        rc = http_server_start(&server, &config);
    if (rc < 0)
        return rc;
    rt_wait_signal(&signal);
    http_server_stop(server, rt_now() + RT_S);
    access_log_close(access_lines);
    return 0;
}

int main(int argc, char **argv)
{
    struct rt_config c = {.threads = 1};
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: %s HOST:PORT [CERT KEY]\n", argv[0]);
        return 2;
    }
    memset(page, 'x', sizeof(page));
    int rc = rt_run(&c, serve, argv);
    if (rc < 0)
        fprintf(stderr, "%s\n", err_text(rc));
    return rc < 0;
}
