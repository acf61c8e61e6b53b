/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/cli.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define PAGE_NAME_MAX 128
#define TEXT_WIDTH    96 /* the descriptions' */
#define OPTION_INDENT 31

static bool as_man;
static const char *pages_dir;

static const struct cli_option options[] = {
    {"man", CLI_FLAG, &as_man, NULL, "print the manual page's source (roff) instead"},
    {"man-pages", CLI_TEXT, &pages_dir, "DIR",
     "write every command's manual page into a directory"},
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
        if (to)
            print_line(to, *c);
        any = true;
    }
    return any;
}

void cli_print_folded(FILE *to, const char *text, int indent, int width)
{
    int at = indent;
    bool first = true;
    for (struct str rest = str_from(text), word; str_cut(&rest, ' ', &word);) {
        if (!first && at + 1 + (int)word.len > width) {
            fprintf(to, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        at += fprintf(to, "%s%.*s", first ? "" : " ", STR_FMT(word));
        first = false;
    }
    putc('\n', to);
}

/* What is too long for its column stands on a line of its own. */
static void print_option(const struct cli_option *o)
{
    int len = printf("  --%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    if (len < OPTION_INDENT)
        printf("%*s", OPTION_INDENT - len, "");
    else
        printf("\n%*s", OPTION_INDENT, "");
    cli_print_folded(stdout, o->help, OPTION_INDENT, TEXT_WIDTH);
}

static void print_text(const struct cli_command *c)
{
    printf("usage: cairn %s%s%s%s\n\n%s\n", c->name, *c->operands ? " " : "", c->operands,
           c->options ? " [options]" : "", c->description);
    if (!c->options)
        return;
    puts("\noptions:");
    for (const struct cli_option *o = c->options; o->name; o++)
        print_option(o);
}

/* roff: a backslash, and a dot or quote at a line's start, need an escape. */
static void print_roff(FILE *to, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (*text == '\\' || *text == '-')
            putc('\\', to);
        else if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", to);
        putc(*text, to);
        line_start = *text == '\n';
    }
}

/* The page's name without its section: "cairn-admin-info", and "cairn" for the program's own. */
static void page_name(const struct cli_command *c, char ret[PAGE_NAME_MAX])
{
    snprintf(ret, PAGE_NAME_MAX, "cairn%s%s", c == &cli_help ? "" : "-",
             c == &cli_help ? "" : c->name);
    for (char *p = ret; *p; p++)
        if (*p == ' ')
            *p = '-';
}

static void print_head(FILE *to, const struct cli_command *c)
{
    char name[PAGE_NAME_MAX];
    page_name(c, name);
    fputs(".TH \"", to);
    for (const char *p = name; *p; p++)
        putc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, to);
    fprintf(to, "\" 1 \"\" \"cairn " CAIRN_VERSION "\" \"Cairn\"\n.SH NAME\n");
    print_roff(to, name);
    fputs(" \\- ", to);
    print_roff(to,
               c == &cli_help ? "an S3-compatible store: one binary, one directory" : c->summary);
    fputs("\n.SH SYNOPSIS\n", to);
    if (c == &cli_help)
        fputs(".B cairn\nCOMMAND [OPERAND...] [options]\n.br\n", to);
    fprintf(to, ".B cairn %s\n", c->name);
    if (*c->operands || c->options)
        fprintf(to, "%s%s%s\n", c->operands, *c->operands && c->options ? " " : "",
                c->options ? "[options]" : "");
}

static void print_description(FILE *to, const struct cli_command *c)
{
    fputs(".SH DESCRIPTION\n", to);
    for (struct str rest = str_from(c->description), line; str_cut(&rest, '\n', &line);) {
        char text[1024];
        snprintf(text, sizeof(text), "%.*s", STR_FMT(line));
        if (line.len)
            print_roff(to, text);
        else
            fputs(".PP", to);
        putc('\n', to);
    }
}

/* What the program's own page has besides. */
static void print_commands(FILE *to)
{
    fputs(".SH COMMANDS\n", to);
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        fprintf(to, ".TP\n.B cairn %s\n", (*c)->name);
        print_roff(to, (*c)->summary);
        putc('\n', to);
    }
}

static void print_man(FILE *to, const struct cli_command *c)
{
    print_head(to, c);
    print_description(to, c);
    if (c->options)
        fputs(".SH OPTIONS\n", to);
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        fprintf(to, ".TP\n.BI \\-\\-%s", o->name);
        fprintf(to, "%s%s\n", o->argument ? " \" \" " : "", o->argument ? o->argument : "");
        print_roff(to, o->help);
        putc('\n', to);
    }
    if (c == &cli_help)
        print_commands(to);
    else
        fputs(".SH SEE ALSO\n.BR cairn (1)\n", to);
}

/* Every command's page in a directory, which is made. */
static int write_pages(const char *dir)
{
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return cli_fail("%s: %s", dir, strerror(errno));
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        char name[PAGE_NAME_MAX], path[PATH_MAX];
        page_name(*c, name);
        snprintf(path, sizeof(path), "%s/%s.1", dir, name);
        FILE *to = fopen(path, "we");
        if (!to)
            return cli_fail("%s: %s", path, strerror(errno));
        print_man(to, *c);
        bool bad = ferror(to);
        if (fclose(to) != 0 || bad)
            return cli_fail("%s: cannot be written", path);
    }
    return 0;
}

static int run(char **operands, unsigned count)
{
    unsigned used;
    if (pages_dir)
        return write_pages(pages_dir);
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
    if (!c) {
        cli_fail("unknown command: %s ('cairn help' lists them)", joined);
        return 2;
    }
    if (as_man)
        print_man(stdout, c);
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
