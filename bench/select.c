/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * select [MIB]: what queries of SelectObjectContent cost on one core, without reading and sending.
 * One line a case: megabytes of input a second of the thread's own time.
 */

#include <stdio.h>
#include <time.h>
#include "base/error.h"
#include "select/select.h"

#define PIECE (64 * KIB)

static const struct query {
    bool json;
    const char *sql;
} queries[] = {
    {false, "SELECT COUNT(*) FROM S3Object"},
    {false, "SELECT COUNT(*) FROM S3Object WHERE _3 = 'Oslo7'"},
    {false, "SELECT COUNT(*) FROM S3Object WHERE CAST(_4 AS FLOAT) > 2500 AND _3 LIKE 'Oslo%'"},
    {false, "SELECT _1, _4 FROM S3Object WHERE _1 > 100"},
    {false, "SELECT * FROM S3Object"},
    {true, "SELECT COUNT(*) FROM S3Object"},
    {true, "SELECT COUNT(*) FROM S3Object WHERE city = 'Oslo7'"},
    {true, "SELECT * FROM S3Object"},
};

static void make_lines(struct buf *b, bool json, size_t len)
{
    const char *const forms[] = {
        "%u,customer%u,Oslo%u,%u.%02u,some longer text here,true,2024-01-01\n",
        "{\"id\":%u,\"name\":\"customer%u\",\"city\":\"Oslo%u\",\"amount\":%u.%02u,"
        "\"comment\":\"some longer text here\",\"flag\":true}\n"};
    buf_init(b, len + 4 * KIB);
    for (unsigned i = 0; b->len < len; i++)
        buf_printf(b, forms[json], i, i, i % 100, i % 5000, i % 100);
    CHECK(buf_error(b) == 0);
}

static int drop(struct str rows, void *arg)
{
    return 0;
}

static struct select *open_query(const struct query *q)
{
    struct select_fault fault;
    struct select *s;
    struct select_config c = {
        .expression = str_from(q->sql),
        .json = q->json,
        .csv = {.field = STR(","),
                .record = "\n",
                .record_len = 1,
                .has_quote = true,
                .quote = '"',
                .escape = '"'},
        .output =
            {.json = q->json, .field = STR(","), .record = STR("\n"), .quote = '"', .escape = '"'},
        .most = UINT64_MAX,
        .emit = drop,
    };
    CHECK(select_new(&s, &c, &fault) == 0);
    return s;
}

static double thread_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(const struct query *q, struct str in)
{
    struct select *s = open_query(q);
    double begun = thread_s(), len = (double)in.len;
    for (; in.len; in = str_from_offset(in, PIECE))
        CHECK(select_feed(s, str_prefix(in, PIECE)) == 0);
    CHECK(select_end(s) == 0);
    printf("%s %6.0f MB/s  %s\n", q->json ? "json" : "csv ", len / 1e6 / (thread_s() - begun),
           q->sql);
    select_free(s);
}

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    struct buf lines[2];
    make_lines(&lines[false], false, mib * MIB);
    make_lines(&lines[true], true, mib * MIB);
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        run(&queries[i], buf_str(&lines[queries[i].json]));
    buf_release(&lines[false]);
    buf_release(&lines[true]);
    return 0;
}
