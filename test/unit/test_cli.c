/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/world.h"
#include <stdio.h>

static struct {
    const char *text;
    bool flag;
    uint64_t number;
} given;

static const struct cli_option options[] = {
    {"text", CLI_TEXT, &given.text, "T", "a text"},
    {"flag", CLI_FLAG, &given.flag, NULL, "a flag"},
    {"number", CLI_NUMBER, &given.number, "N", "a number"},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_command command = {
    .name = "test", .operands = "A [B]", .options = options, .operands_min = 1, .operands_max = 2};

/* The words up to NULL; returns what cli_parse does. */
static int parse(char **words, unsigned *ret_operands)
{
    unsigned count = 0;
    while (words[count])
        count++;
    memset(&given, 0, sizeof(given));
    return cli_parse(&command, words, count, ret_operands);
}

static void options_and_operands_may_mix(void **state)
{
    unsigned operands;
    char *words[] = {"--number=7", "a", "--text", "t", "--flag", "b", NULL};
    assert_int_equal(parse(words, &operands), 0);
    assert_int_equal(operands, 2);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[1], "b");
    assert_string_equal(given.text, "t");
    assert_true(given.flag);
    assert_int_equal(given.number, 7);
}

static void after_two_dashes_all_are_operands(void **state)
{
    unsigned operands;
    char *words[] = {"--", "--flag", "x", NULL};
    assert_int_equal(parse(words, &operands), 0);
    assert_int_equal(operands, 2);
    assert_string_equal(words[0], "--flag");
    assert_false(given.flag);
}

static void wrong_words_are_refused(void **state)
{
    unsigned operands;
    char *cases[][4] = {
        {NULL},                           /* too few operands */
        {"a", "b", "c", NULL},            /* too many */
        {"a", "--unknown", NULL},         /* no such option */
        {"a", "--text", NULL},            /* its value is missing */
        {"a", "--flag=yes", NULL},        /* a flag has none */
        {"a", "--number", "seven", NULL}, /* not a number */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(parse(cases[i], &operands), 2);
}

static void commands_are_found_by_all_their_words(void **state)
{
    unsigned used;
    char *words[] = {"admin", "user", "add", "alice"};
    assert_ptr_equal(cli_find(words, 4, &used), &cli_admin_user_add);
    assert_int_equal(used, 3);
    assert_null(cli_find(words, 2, &used));
    char *server[] = {"server", "dir"};
    assert_ptr_equal(cli_find(server, 2, &used), &cli_server);
}

static void first_words_of_commands_list_them(void **state)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    assert_true(cli_help_group("admin user", to));
    assert_true(cli_help_group("quota", to));
    assert_false(cli_help_group("admin us", to));
    assert_false(cli_help_group("admin user add", to));
    assert_false(cli_help_group("", to));
    assert_int_equal(fclose(to), 0);
    assert_non_null(strstr(text, "cairn admin user add "));
    assert_non_null(strstr(text, "cairn admin quota show "));
    assert_null(strstr(text, "policy"));
}

static void long_texts_fold_between_words(void **state)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    cli_print_folded(to, "one two three a-word-that-is-longer-than-a-line four", 4, 14);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, "one two\n    three\n    a-word-that-is-longer-than-a-line\n"
                              "    four\n");
}

static void every_command_has_its_texts(void **state)
{
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        assert_non_null((*c)->run);
        assert_true(strlen((*c)->summary) > 10 && strlen((*c)->description) > 10);
        for (const struct cli_option *o = (*c)->options; o && o->name; o++) {
            assert_true((o->kind == CLI_FLAG) == (o->argument == NULL));
            assert_non_null(o->help);
        }
    }
}

static void clear_environment(void)
{
    static const char *const names[] = {"CAIRN_ROOT_USER", "CAIRN_ROOT_PASSWORD", "MINIO_ROOT_USER",
                                        "MINIO_ROOT_PASSWORD"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char file[64];
        snprintf(file, sizeof(file), "%s_FILE", names[i]);
        unsetenv(names[i]);
        unsetenv(file);
    }
}

static void root_credentials_come_whole_or_not_at_all(void **state)
{
    struct arena a;
    struct credentials c;
    arena_init(&a, 0);
    clear_environment();
    assert_int_equal(credentials_from_environment(&a, &c), 0);
    setenv("MINIO_ROOT_USER", "older", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    setenv("MINIO_ROOT_PASSWORD", "older-password", 1);
    assert_int_equal(credentials_from_environment(&a, &c), 1);
    assert_true(str_eq(c.access_key, STR("older")));
    setenv("CAIRN_ROOT_USER", "newer", 1);
    setenv("CAIRN_ROOT_PASSWORD", "short", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    setenv("CAIRN_ROOT_PASSWORD", "newer-password", 1);
    assert_int_equal(credentials_from_environment(&a, &c), 1);
    assert_true(str_eq(c.access_key, STR("newer")));
    assert_true(c.from_environment && !c.generated);
    clear_environment();
    setenv("CAIRN_ROOT_USER", "newer", 1);
    setenv("CAIRN_ROOT_PASSWORD_FILE", "/nonexistent/file", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    setenv("CAIRN_ROOT_PASSWORD_FILE", "/dev/null", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    clear_environment();
    setenv("CAIRN_ROOT_USER", "some/body", 1); /* a slash ends the key in a credential scope */
    setenv("CAIRN_ROOT_PASSWORD", "long-enough", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    setenv("CAIRN_ROOT_USER", "somebody", 1);
    setenv("CAIRN_ROOT_PASSWORD", "long enough", 1);
    assert_int_equal(credentials_from_environment(&a, &c), -EINVAL);
    clear_environment();
    arena_release(&a);
}

static void a_refused_ring_says_what_to_change(void **state)
{
    static const struct {
        int err;
        struct world_facts facts;
        const char *part;
    } cases[] = {
        {-EPERM, {.disabled = 1}, "kernel.io_uring_group"},
        {-EPERM, {.disabled = 2}, "sysctl -w kernel.io_uring_disabled=0"},
        {-EPERM, {.disabled = 2, .filtered = true}, "sysctl -w"},
        {-EPERM, {.filtered = true}, "seccomp"},
        {-EACCES, {.filtered = true}, "seccomp"},
        {-ENOSYS, {.filtered = true}, "seccomp"},
        {-ENOSYS, {0}, "Linux 5.11"},
        {-EPERM, {0}, "security module"},
        {-ENOMEM, {0}, "LimitMEMLOCK="},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *advice = world_advice(cases[i].err, &cases[i].facts);
        assert_non_null(advice);
        assert_non_null(strstr(advice, cases[i].part));
    }
    assert_null(world_advice(-EMFILE, &cases[0].facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_may_mix),
        cmocka_unit_test(after_two_dashes_all_are_operands),
        cmocka_unit_test(wrong_words_are_refused),
        cmocka_unit_test(commands_are_found_by_all_their_words),
        cmocka_unit_test(first_words_of_commands_list_them),
        cmocka_unit_test(long_texts_fold_between_words),
        cmocka_unit_test(every_command_has_its_texts),
        cmocka_unit_test(root_credentials_come_whole_or_not_at_all),
        cmocka_unit_test(a_refused_ring_says_what_to_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
