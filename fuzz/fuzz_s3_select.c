/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The XML of SelectObjectContent. What was read goes together, and makes a query or its error. */

#include "fuzz.h"
#include "s3/object/select_request.h"

static int drop(struct str rows, void *arg)
{
    return 0;
}

static void check(const struct s3_select_request *q)
{
    const struct select_config *c = &q->config;
    CHECK(c->expression.len <= SELECT_EXPRESSION_MAX);
    CHECK(c->csv.record_len >= 1 && c->csv.record_len <= 2);
    CHECK(c->csv.field.len >= 1 && c->csv.field.len <= 4);
    CHECK(c->csv.field.ptr[0] != c->csv.record[0]);
    CHECK(!c->csv.has_quote || c->csv.quote != c->csv.field.ptr[0]);
    CHECK(c->output.record.len && c->output.field.len);
    CHECK(!(q->has_start && q->has_end) || q->start <= q->end);
    CHECK(!(q->has_start || q->has_end) || q->compression == UNZIP_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct s3_select_request q;
    struct str culprit = STR_NULL;
    struct select_fault fault;
    struct select *s;
    struct arena a;
    arena_init(&a, 0);
    if (s3_select_parse(&a, str_make(data, len), &q, &culprit) == 0) {
        check(&q);
        q.config.emit = drop;
        if (select_new(&s, &q.config, &fault) == 0) {
            (void)select_feed(s, STR("{\"a\":1}\n\"x\",2\n"));
            (void)select_end(s);
            select_free(s);
        }
    }
    arena_release(&a);
    return 0;
}
