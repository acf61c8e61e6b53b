/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/cli.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

const struct cli_command *const cli_commands[] = {
    &cli_server,
    &cli_admin_info,
    &cli_admin_check,
    &cli_admin_durability,
    &cli_admin_key_create,
    &cli_admin_key_list,
    &cli_admin_key_rewrap,
    &cli_admin_key_rotate,
    &cli_admin_user_add,
    &cli_admin_user_limit,
    &cli_admin_user_list,
    &cli_admin_user_rm,
    &cli_admin_accesskey_add,
    &cli_admin_accesskey_list,
    &cli_admin_accesskey_enable,
    &cli_admin_accesskey_disable,
    &cli_admin_accesskey_rm,
    &cli_admin_serviceaccount_add,
    &cli_admin_serviceaccount_list,
    &cli_admin_serviceaccount_rm,
    &cli_admin_role_add,
    &cli_admin_role_list,
    &cli_admin_role_rm,
    &cli_admin_policy_add,
    &cli_admin_policy_list,
    &cli_admin_policy_show,
    &cli_admin_policy_rm,
    &cli_admin_policy_attach,
    &cli_admin_policy_detach,
    &cli_admin_policy_explain,
    &cli_admin_group_add,
    &cli_admin_group_list,
    &cli_admin_group_rm,
    &cli_admin_group_join,
    &cli_admin_group_leave,
    &cli_admin_iam_import,
    &cli_admin_ldap_attach,
    &cli_admin_ldap_detach,
    &cli_admin_ldap_list,
    &cli_admin_audit_verify,
    &cli_admin_audit,
    &cli_admin_event_target_add,
    &cli_admin_event_target_list,
    &cli_admin_event_target_rm,
    &cli_admin_event_test,
    &cli_admin_event_dead,
    &cli_admin_events,
    &cli_admin_quota_set,
    &cli_admin_quota_show,
    &cli_admin_purge_status,
    &cli_admin_purge_stop,
    &cli_admin_purge,
    &cli_admin_batch_start,
    &cli_admin_batch_list,
    &cli_admin_batch_status,
    &cli_admin_batch_cancel,
    &cli_admin_retention_set,
    &cli_admin_retention_list,
    &cli_admin_retention_rm,
    &cli_admin_job_list,
    &cli_admin_job_pause,
    &cli_admin_job_resume,
    &cli_admin_scrub_start,
    &cli_admin_scrub_status,
    &cli_admin_scrub_stop,
    &cli_admin_disk_list,
    &cli_admin_disk_add,
    &cli_admin_disk_replace,
    &cli_admin_disk_drain,
    &cli_admin_disk_set,
    &cli_admin_heal,
    &cli_admin_bucket_class,
    &cli_help,
    NULL,
};

int cli_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("cairn: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

/* How many of the words the name spells, or 0 when they differ. */
static unsigned words_spelled(const char *name, char **words, unsigned count)
{
    struct str rest = str_from(name), word;
    unsigned used = 0;
    while (str_cut(&rest, ' ', &word)) {
        if (used == count || !str_eq(word, str_from(words[used])))
            return 0;
        used++;
    }
    return used;
}

const struct cli_command *cli_find(char **words, unsigned count, unsigned *ret_used)
{
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        unsigned used = words_spelled((*c)->name, words, count);
        if (used > 0) {
            *ret_used = used;
            return *c;
        }
    }
    return NULL;
}

static int bad_word(const struct cli_command *c, const char *fault, const char *word)
{
    fprintf(stderr, "cairn %s: %s: %s\ncairn: 'cairn help %s' tells more\n", c->name, fault, word,
            c->name);
    return 2;
}

static const struct cli_option *find_option(const struct cli_command *c, struct str name)
{
    for (const struct cli_option *o = c->options; o && o->name; o++)
        if (str_eq(name, str_from(o->name)))
            return o;
    return NULL;
}

static int add_text(const struct cli_command *c, struct cli_texts *to, const char *value)
{
    if (to->count == CLI_TEXTS_MAX)
        return bad_word(c, "one too many", value);
    to->at[to->count++] = value;
    return 0;
}

static int set_option(const struct cli_command *c, const struct cli_option *o, const char *value)
{
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)o->to = true;
        return 0;
    case CLI_TEXT:
        *(const char **)o->to = value;
        return 0;
    case CLI_NUMBER:
        if (str_to_u64(str_from(value), o->to) < 0)
            return bad_word(c, "not a number", value);
        return 0;
    case CLI_TEXTS:
        return add_text(c, o->to, value);
    }
    return 2;
}

/* words[*at] begins with two dashes. Moves *at past what it takes. */
static int parse_option(const struct cli_command *c, char **words, unsigned count, unsigned *at)
{
    char *word = words[(*at)++];
    struct str rest = str_from(word + 2), name;
    str_cut(&rest, '=', &name);
    const struct cli_option *o = find_option(c, name);
    if (!o)
        return bad_word(c, "unknown option", word);
    if (o->kind == CLI_FLAG)
        return rest.ptr ? bad_word(c, "takes no value", word) : set_option(c, o, NULL);
    if (rest.ptr)
        return set_option(c, o, rest.ptr);
    if (*at == count)
        return bad_word(c, "a value is missing", word);
    return set_option(c, o, words[(*at)++]);
}

int cli_parse(const struct cli_command *c, char **words, unsigned count, unsigned *ret_operands)
{
    unsigned operands = 0;
    bool only_operands = false;
    for (unsigned at = 0; at < count;) {
        struct str word = str_from(words[at]);
        if (only_operands || !str_starts(word, STR("--"))) {
            words[operands++] = words[at++];
        } else if (word.len == 2) {
            only_operands = true;
            at++;
        } else {
            int r = parse_option(c, words, count, &at);
            if (r != 0)
                return r;
        }
    }
    if (operands < c->operands_min)
        return bad_word(c, "missing", c->operands);
    if (operands > c->operands_max)
        return bad_word(c, "one too many", words[c->operands_max]);
    *ret_operands = operands;
    return 0;
}

static bool is_help(const char *word)
{
    struct str s = str_from(word);
    return str_eq(s, STR("--help")) || str_eq(s, STR("-h"));
}

static bool asks_for_help(char **words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_help(words[i]))
            return true;
    return false;
}

static char words_under_way[256];

const char *cli_words(void)
{
    return words_under_way;
}

static void note_words(const struct cli_command *c, char **operands, unsigned count)
{
    size_t cap = sizeof(words_under_way);
    snprintf(words_under_way, cap, "%s", c->name);
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(words_under_way);
        if (len + 1 + strlen(operands[i]) < cap)
            snprintf(words_under_way + len, cap - len, " %s", operands[i]);
    }
}

/* None has this name: the commands that share most of its first words are told. */
static int no_command(char **words, unsigned count)
{
    bool help = asks_for_help(words, count);
    FILE *to = help ? stdout : stderr;
    char joined[256] = "";
    size_t ends[4], n = 0;
    for (unsigned i = 0; i < count && n < ARRAY_LEN(ends) && words[i][0] != '-'; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof(joined) - len, "%s%s", i ? " " : "", words[i]);
        ends[n++] = strlen(joined);
    }
    if (!help && n > 0 && cli_help_group(joined, NULL))
        fprintf(to, "cairn: '%s' goes on with one of\n", joined);
    else if (!help)
        fprintf(to, "cairn: unknown command: %s\n", n ? joined : words[0]);
    while (n > 0) {
        joined[ends[--n]] = '\0';
        if (cli_help_group(joined, to))
            return help ? 0 : 2;
    }
    fprintf(to, "cairn: 'cairn help' lists them\n");
    return 2;
}

/*
 * Whoever starts us with 0, 1 or 2 closed would have the first files that are opened get these
 * numbers: a database's, say, into which all that is printed would be written then.
 */
static bool hold_standard_files(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
    return fd > STDERR_FILENO;
}

int cli_main(int argc, char **argv)
{
    if (!hold_standard_files())
        return 1; /* there may be nowhere to say why */
    char **words = argv + 1;
    unsigned count = argc > 1 ? (unsigned)argc - 1 : 0, used, operands;
    if (count == 0) {
        cli_help.run(NULL, 0);
        return 2;
    }
    if (str_eq(str_from(words[0]), STR("--version"))) {
        puts("cairn " CAIRN_VERSION);
        return 0;
    }
    if (is_help(words[0]))
        return cli_help.run(NULL, 0);
    const struct cli_command *c = cli_find(words, count, &used);
    if (!c)
        return no_command(words, count);
    words += used;
    count -= used;
    if (asks_for_help(words, count)) {
        char *name = (char *)(uintptr_t)c->name;
        return cli_help.run(&name, 1);
    }
    int r = cli_parse(c, words, count, &operands);
    if (r != 0)
        return r;
    note_words(c, words, operands);
    return c->run(words, operands);
}
