/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "unit.h"

#include "s3/ops.h"

#include <stdio.h>

/* The request that a row describes, and where routing sends it. */
struct probe {
    struct uri_param params[4];
    struct uri_query query;
    struct http1_request head;
};

static void add_param(struct probe *p, const char *name, size_t name_len, const char *value)
{
    p->params[p->query.count++] =
        (struct uri_param){.name = {name, name_len}, .value = str_from(value), .has_value = true};
}

static void probe_init(struct probe *p, const struct s3_op *op)
{
    memset(p, 0, sizeof(*p));
    p->query.params = p->params;
    for (const char *q = op->query; q && *q;) {
        size_t len = strcspn(q, "&"), name = strcspn(q, "&=");
        static char value[32];
        snprintf(value, sizeof(value), "%.*s", name < len ? (int)(len - name - 1) : 0,
                 q + name + 1);
        add_param(p, q, name, value);
        q += len + (q[len] == '&');
    }
    if (op->header)
        p->head.headers[p->head.header_count++] =
            (struct http1_header){str_from(op->header), STR("x")};
}

static int route(struct probe *p, enum s3_method m, enum s3_level l, const struct s3_op **ret,
                 struct str *culprit)
{
    struct s3_route r = {.method = m, .level = l, .query = &p->query, .head = &p->head};
    return s3_route(&r, ret, culprit);
}

static void every_operation_is_reached_by_its_request(void **state)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        struct probe p;
        const struct s3_op *op = NULL;
        struct str culprit;
        probe_init(&p, &s3_ops[i]);
        assert_int_equal(route(&p, s3_ops[i].method, s3_ops[i].level, &op, &culprit), 0);
        if (op != &s3_ops[i])
            fail_msg("%s is answered by %s", s3_ops[i].name, op->name);
    }
}

static void names_are_unique_and_actions_named(void **state)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        assert_int_equal(strncmp(s3_ops[i].action, "s3:", 3), 0);
        for (unsigned j = i + 1; j < s3_op_count; j++)
            assert_string_not_equal(s3_ops[i].name, s3_ops[j].name);
    }
}

/* DELETE /bucket?versioning must not delete the bucket. */
static void known_subresource_never_falls_through(void **state)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        for (enum s3_method m = S3_GET; m <= S3_OPTIONS; m++) {
            struct probe p;
            const struct s3_op *op = NULL;
            struct str culprit;
            probe_init(&p, &s3_ops[i]);
            if (!s3_ops[i].query || route(&p, m, s3_ops[i].level, &op, &culprit))
                continue;
            assert_non_null(op->query);
        }
    }
}

static void subresource_of_another_level_is_refused(void **state)
{
    struct probe p = {.query.params = p.params};
    const struct s3_op *op;
    struct str culprit;
    add_param(&p, "versioning", 10, "");
    assert_int_equal(route(&p, S3_GET, S3_OBJECT, &op, &culprit), -ERR_INVALID_REQUEST);
    assert_true(str_eq(culprit, STR("versioning")));
    assert_int_equal(route(&p, S3_PUT, S3_SERVICE, &op, &culprit), -ERR_INVALID_REQUEST);
}

static void two_subresources_conflict(void **state)
{
    struct probe p = {.query.params = p.params};
    const struct s3_op *op;
    struct str culprit;
    add_param(&p, "acl", 3, "");
    add_param(&p, "policy", 6, "");
    assert_int_equal(route(&p, S3_GET, S3_BUCKET, &op, &culprit), -ERR_INVALID_ARGUMENT);
}

static void foreign_parameters_are_passed_over(void **state)
{
    struct probe p = {.query.params = p.params};
    const struct s3_op *op;
    struct str culprit;
    add_param(&p, "x-id", 4, "GetObject");
    add_param(&p, "", 0, "");
    add_param(&p, "X-Amz-Expires", 13, "60");
    assert_int_equal(route(&p, S3_GET, S3_OBJECT, &op, &culprit), 0);
    assert_string_equal(op->name, "GetObject");
}

static void unknown_list_type_and_method_are_refused(void **state)
{
    struct probe p = {.query.params = p.params};
    const struct s3_op *op;
    struct str culprit;
    assert_int_equal(route(&p, s3_method_parse(STR("PATCH")), S3_OBJECT, &op, &culprit),
                     -ERR_METHOD_NOT_ALLOWED);
    add_param(&p, "list-type", 9, "1");
    assert_int_equal(route(&p, S3_GET, S3_BUCKET, &op, &culprit), -ERR_METHOD_NOT_ALLOWED);
    assert_true(str_eq(culprit, STR("list-type")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_reached_by_its_request),
        cmocka_unit_test(names_are_unique_and_actions_named),
        cmocka_unit_test(known_subresource_never_falls_through),
        cmocka_unit_test(subresource_of_another_level_is_refused),
        cmocka_unit_test(two_subresources_conflict),
        cmocka_unit_test(foreign_parameters_are_passed_over),
        cmocka_unit_test(unknown_list_type_and_method_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
