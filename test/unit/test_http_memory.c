/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Out of memory: each allocation that serving a connection makes fails once. The client gets an
 * answer or a closed connection, and the server serves on.
 */

#include "http_help.h"
#include "rt/sanitize.h"

#if !RT_ASAN

static long fail_after; /* 0: never; n: the n-th allocation from now */
static unsigned failed;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool fails(void)
{
    if (fail_after == 0 || --fail_after > 0)
        return false;
    failed++;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    return fails() ? NULL : __libc_realloc(p, size);
}

/* What the server said until it closed or fell silent; nothing when the connection failed. */
static struct str FIBER try_requests(struct env *e, struct raw *r, bool arm_first, long nth)
{
    static char head[40000];
    size_t len = 0;
    memset(head, 'a', sizeof(head) - 1);
    r->len = 0;
    fail_after = arm_first ? nth : 0;
    if (rt_connect(&r->socket, &e->address, SOON) < 0)
        return STR("");
    fail_after = arm_first ? fail_after : nth;
    raw_try_send(r, STR("PUT /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    raw_try_send(r, STR("4\r\nabcd\r\n0\r\n\r\nGET /thirty HTTP/1.1\r\nHost: h\r\nX: "));
    raw_try_send(r, str_from(head));
    raw_try_send(r, STR("\r\n\r\nPUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n"
                        "Connection: close\r\n\r\n"));
    raw_try_send(r, str_make(head, 40000));
    while (rt_recv(r->socket, r->data + r->len, sizeof(r->data) - r->len, SOON, &len) == 0 && len)
        r->len += len;
    fail_after = 0;
    rt_socket_close(r->socket);
    return str_make(r->data, r->len);
}

static int FIBER every_allocation_may_fail(struct env *e)
{
    struct raw *r = calloc(1, sizeof(*r));
    unsigned refused = 0;
    for (int arm_first = 0; arm_first < 2; arm_first++) {
        for (long nth = 1;; nth++) {
            failed = 0;
            struct str answer = try_requests(e, r, arm_first, nth);
            CHECK(answer.len == 0 || str_starts(answer, STR("HTTP/1.1 ")));
            refused += has(answer, "HTTP/1.1 503 ");
            if (!failed)
                break;
            answer = try_requests(e, r, false, 0);
            CHECK(has(answer, "\r\n\r\nabcd") && has(answer, "\r\n\r\n0 40000 "));
        }
    }
    free(r);
    printf("%u answers of 503\n", refused);
    return 0;
}

static void serving_survives_each_failed_allocation(void **state)
{
    struct env e = {.config = {.server_name = "Cairn"}};
    help_run(&e, every_allocation_may_fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(serving_survives_each_failed_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* the sanitizer's allocator cannot be stood in for */
}

#endif
