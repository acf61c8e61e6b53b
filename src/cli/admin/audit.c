/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "audit/audit.h"
#include "base/buf.h"
#include "cli/admin/client.h"
#include "cli/world.h"
#include "wire/uri.h"
#include <stdio.h>
#include <unistd.h>

static struct {
    const char *from, *to, *user, *bucket, *prefix, *operation, *outcome, *dir;
    uint64_t max;
    bool csv;
} spec;

static const struct cli_option query_options[] = {
    {"from", CLI_TEXT, &spec.from, "TIME", "not before: 2026-01-02T03:04:05Z"},
    {"to", CLI_TEXT, &spec.to, "TIME", "not after"},
    {"user", CLI_TEXT, &spec.user, "USER", "of this user: a name, an id or an access key"},
    {"bucket", CLI_TEXT, &spec.bucket, "BUCKET", "about this bucket"},
    {"prefix", CLI_TEXT, &spec.prefix, "PREFIX", "about keys that begin so"},
    {"operation", CLI_TEXT, &spec.operation, "NAME", "PutObject, iam:CreateUser, ..."},
    {"outcome", CLI_TEXT, &spec.outcome, "done|failed|begun", "what became of it"},
    {"max", CLI_NUMBER, &spec.max, "N", "as many at most; 1000000 if not given"},
    {"csv", CLI_FLAG, &spec.csv, NULL, "print CSV"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option verify_options[] = {
    {"dir", CLI_TEXT, &spec.dir, "DIR",
     "the log's directory, or a copy of it; else the server looks"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* ---- asking --------------------------------------------------------------------------------- */

static void put_param(struct buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(b, "%s%s=", strchr(b->data, '?') ? "&" : "?", name);
    uri_encode(b, str_from(value), false);
}

static const char *const columns[] = {"time",       "operation", "outcome",    "status",  "error",
                                      "user",       "user_id",   "access_key", "source",  "agent",
                                      "request_id", "bucket",    "key",        "version", "bytes",
                                      "before",     "after",     "seq",        "prev",    "hash"};

/* RFC 4180; a cell that a spreadsheet would take for a formula is kept from it. */
static void print_cell(json_t *value)
{
    if (json_is_integer(value)) {
        printf("%lld", (long long)json_integer_value(value));
        return;
    }
    /* Whole for a program; a terminal shows it to a person. */
    const char *text = isatty(STDOUT_FILENO) ? admin_text(value) : json_string_value(value);
    if (!text || !*text)
        return;
    putchar('"');
    if (strchr("=+-@\t\r", *text))
        putchar('\'');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv(const json_t *line)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        if (i > 0)
            putchar(',');
        print_cell(json_object_get(line, columns[i]));
    }
    fputs("\r\n", stdout);
}

static void print_text(const json_t *line)
{
    const char *user = admin_text_of(line, "user"), *bucket = admin_text_of(line, "bucket"),
               *key = admin_text_of(line, "key"), *error = admin_text_of(line, "error");
    printf("%s  %-6s  %-15s  %-12s  %s", admin_text_of(line, "time"),
           admin_text_of(line, "outcome"), admin_text_of(line, "source"), *user ? user : "-",
           admin_text_of(line, "operation"));
    if (*bucket)
        printf("  %s%s%s", bucket, *key ? "/" : "", key);
    if (*error)
        printf("  (%s)", error);
    putchar('\n');
}

static void on_line(json_t *line, void *arg)
{
    if (spec.csv) {
        print_csv(line);
    } else if (admin_options.json) {
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_text(line);
    }
}

static int query(char **operands, unsigned count)
{
    char max[24];
    struct buf path;
    buf_init(&path, 16 * KIB);
    buf_put_cstr(&path, "/-/admin/v1/audit");
    snprintf(max, sizeof(max), "%llu", (unsigned long long)spec.max);
    put_param(&path, "from", spec.from);
    put_param(&path, "to", spec.to);
    put_param(&path, "user", spec.user);
    put_param(&path, "bucket", spec.bucket);
    put_param(&path, "prefix", spec.prefix);
    put_param(&path, "operation", spec.operation);
    put_param(&path, "outcome", spec.outcome);
    put_param(&path, "max", spec.max ? max : NULL);
    if (spec.csv)
        for (size_t i = 0; i < ARRAY_LEN(columns); i++)
            printf("%s%s", columns[i], i + 1 < ARRAY_LEN(columns) ? "," : "\r\n");
    struct admin_call call = {.method = "GET", .path = path.data, .on_line = on_line};
    int r = buf_error(&path) < 0 ? cli_fail("the filter is too long") : admin_call(&call, NULL);
    buf_release(&path);
    return r;
}

/* ---- verifying ------------------------------------------------------------------------------ */

static int FIBER verify_fiber(void *arg)
{
    return audit_verify(spec.dir, arg);
}

static json_t *verdict_json(const struct audit_verdict *v)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:s, s:s}", "sound", v->sound, "files",
                     (json_int_t)v->files, "records", (json_int_t)v->records, "first_seq",
                     (json_int_t)v->first_seq, "last_seq", (json_int_t)v->last_seq, "last_hash",
                     v->last_hash, "fault", v->fault);
}

static int verify_dir(json_t **ret)
{
    struct audit_verdict v;
    int r = rt_run(&(struct rt_config){.threads = 1}, verify_fiber, &v);
    if (r < 0)
        return cli_fail("cannot read the log in %s: %s", spec.dir, err_text(r));
    *ret = verdict_json(&v);
    return 0;
}

static int verify(char **operands, unsigned count)
{
    json_t *v = NULL;
    int r =
        spec.dir
            ? verify_dir(&v)
            : admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/audit-verify"},
                         &v);
    if (r != 0)
        return r;
    bool sound = json_is_true(json_object_get(v, "sound"));
    if (admin_options.json)
        admin_print_json(json_incref(v));
    else if (sound)
        printf("the audit log is sound: records %llu to %llu in %llu files, the last hash is %s\n",
               (unsigned long long)admin_number_of(v, "first_seq"),
               (unsigned long long)admin_number_of(v, "last_seq"),
               (unsigned long long)admin_number_of(v, "files"), admin_text_of(v, "last_hash"));
    else
        cli_fail("the audit log is BROKEN: %s", admin_text_of(v, "fault"));
    json_decref(v);
    return sound ? 0 : 1;
}

const struct cli_command cli_admin_audit = {
    .name = "admin audit",
    .operands = "",
    .summary = "show who changed what, or tried to",
    .description =
        "Shows the records of the audit log that fit all filters, oldest first. With --json a line "
        "of\n"
        "JSON each, as it stands in the log; with --csv a table with a column for each member.",
    .options = query_options,
    .run = query,
};

const struct cli_command cli_admin_audit_verify = {
    .name = "admin audit verify",
    .operands = "",
    .summary = "verify that nothing was altered in the audit log",
    .description = "Recomputes the chain of the audit log: that each record is as it was written, "
                   "none is missing\n"
                   "and none was put in. What was cut off at its end cannot be seen in the log "
                   "itself: compare\n"
                   "the last number and hash with those noted before. The exit status is 0 only "
                   "when it is sound.",
    .options = verify_options,
    .run = verify,
};
