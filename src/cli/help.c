/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/cli.h"
#include <stdio.h>

static bool as_man;

static const struct cli_option options[] = {
    {"man", CLI_FLAG, &as_man, NULL, "print the manual page's source (roff) instead"},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_line(FILE *to, const struct cli_command *c)
{
    fprintf(to, "  cairn %-26s %-26s %s\n", c->name, c->operands, c->summary);
}

static void print_overview(void)
{
    puts("cairn - an S3-compatible store: one binary, one directory\n\nusage:");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        print_line(stdout, *c);
    puts("  cairn --version\n\n'cairn help COMMAND' tells each one's options.");
}

/* Whether the name, which may go without its "admin", begins with these words and goes on. */
static bool is_in_group(struct str name, struct str words)
{
    struct str admin = STR("admin ");
    if (str_starts(name, admin) && !str_starts(words, STR("admin")))
        name = str_from(name.ptr + admin.len);
    return words.len > 0 && name.len > words.len && str_starts(name, words) &&
           name.ptr[words.len] == ' ';
}

bool cli_help_group(const char *words, FILE *to)
{
    bool any = false;
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        if (!is_in_group(str_from((*c)->name), str_from(words)))
            continue;
        print_line(to, *c);
        any = true;
    }
    return any;
}

static void print_text(const struct cli_command *c)
{
    printf("usage: cairn %s %s%s\n\n%s\n", c->name, c->operands, c->options ? " [options]" : "",
           c->description);
    if (!c->options)
        return;
    puts("\noptions:");
    for (const struct cli_option *o = c->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", o->name, o->argument ? o->argument : "");
        printf("  %-28s %s\n", left, o->help);
    }
}

/* roff: a backslash, and a dot or quote at a line's start, need an escape. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (*text == '\\' || *text == '-')
            putchar('\\');
        else if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        putchar(*text);
        line_start = *text == '\n';
    }
}

static void print_man(const struct cli_command *c)
{
    printf(".TH \"CAIRN%s", c == &cli_help ? "" : "-");
    for (const char *p = c->name; c != &cli_help && *p; p++)
        putchar(*p == ' ' ? '-' : *p - 'a' + 'A');
    printf("\" 1 \"\" \"cairn " CAIRN_VERSION "\" \"Cairn\"\n.SH NAME\ncairn ");
    print_roff(c->name);
    fputs(" \\- ", stdout);
    print_roff(c->summary);
    printf("\n.SH SYNOPSIS\n.B cairn %s\n%s%s\n.SH DESCRIPTION\n", c->name, c->operands,
           c->options ? " [options]" : "");
    for (struct str rest = str_from(c->description), line; str_cut(&rest, '\n', &line);) {
        char text[1024];
        snprintf(text, sizeof(text), "%.*s", STR_FMT(line));
        if (line.len)
            print_roff(text);
        else
            fputs(".PP", stdout);
        putchar('\n');
    }
    if (c->options)
        puts(".SH OPTIONS");
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        printf(".TP\n.BI \\-\\-%s", o->name);
        printf("%s%s\n", o->argument ? " \" \" " : "", o->argument ? o->argument : "");
        print_roff(o->help);
        putchar('\n');
    }
    puts(".SH SEE ALSO\nOther commands: cairn help");
}

static int run(char **operands, unsigned count)
{
    unsigned used;
    if (count == 0) {
        print_overview();
        return 0;
    }
    /* The name comes as one word (from --help) or as several. */
    char joined[128] = "";
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof(joined) - len, "%s%s", i ? " " : "", operands[i]);
    }
    const struct cli_command *c = NULL;
    for (const struct cli_command *const *each = cli_commands; *each; each++)
        if (str_eq(str_from((*each)->name), str_from(joined)))
            c = *each;
    if (!c)
        c = cli_find(operands, count, &used);
    if (!c && cli_help_group(joined, stdout))
        return 0;
    if (!c)
        return cli_fail("unknown command: %s ('cairn help' lists them)", joined);
    if (as_man)
        print_man(c);
    else
        print_text(c);
    return 0;
}

const struct cli_command cli_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "list the commands, or tell one's options",
    .description = "Without a command, lists them all. With one, tells what it does and its\n"
                   "options; with the first words of several, lists those.",
    .options = options,
    .operands_max = 4,
    .run = run,
};
