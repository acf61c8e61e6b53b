/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "base/buf.h"
#include "wire/date.h"
#include "wire/uri.h"
#include <stdio.h>

#define TARGETS "/-/admin/v1/event-targets"

static struct {
    const char *type;
    struct cli_texts set, set_file;
    bool force, resend, discard, follow;
} spec;

static const struct cli_option add_options[] = {
    {"type", CLI_TEXT, &spec.type, "TYPE",
     "webhook, redis, postgres, kafka, amqp or nats (needed)"},
    {"set", CLI_TEXTS, &spec.set, "OPTION=VALUE", "an option of the target; several may be given"},
    {"set-file", CLI_TEXTS, &spec.set_file, "OPTION=FILE",
     "an option whose value is the first line of a file: for secrets"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option rm_options[] = {
    {"force", CLI_FLAG, &spec.force, NULL, "also while events wait for it: they are lost"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option dead_options[] = {
    {"resend", CLI_FLAG, &spec.resend, NULL, "send all of them again"},
    {"discard", CLI_FLAG, &spec.discard, NULL, "forget all of them"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option follow_options[] = {
    {"follow", CLI_FLAG, &spec.follow, NULL,
     "show events as they happen, until interrupted (needed)"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* ---- adding --------------------------------------------------------------------------------- */

static int set_option(json_t *options, struct str name, struct str value)
{
    json_t *text = json_stringn(value.ptr ? value.ptr : "", value.len);
    if (!text || json_object_setn_new(options, name.ptr, name.len, text) < 0)
        return cli_fail("options are UTF-8 text");
    return 0;
}

static int read_first_line(const char *path, char *ret, size_t cap)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return cli_fail("cannot read %s: %s", path, strerror(errno));
    bool read = fgets(ret, (int)cap, f) != NULL;
    fclose(f);
    if (!read)
        return cli_fail("%s is empty", path);
    ret[strcspn(ret, "\r\n")] = 0;
    return 0;
}

static int take_option(json_t *options, const char *text, bool from_file)
{
    struct str rest = str_from(text), name;
    char line[4096];
    str_cut(&rest, '=', &name);
    if (!rest.ptr || name.len == 0)
        return cli_fail("%s: write OPTION=%s", text, from_file ? "FILE" : "VALUE");
    if (!from_file)
        return set_option(options, name, rest);
    int r = read_first_line(rest.ptr, line, sizeof(line));
    if (r == 0)
        r = set_option(options, name, str_from(line));
    explicit_bzero(line, sizeof(line));
    return r;
}

static int add(char **operands, unsigned count)
{
    if (!spec.type)
        return cli_fail("a target needs a --type");
    json_t *options = json_object(), *answer = NULL;
    json_t *body =
        json_pack("{s:s, s:s, s:o}", "name", operands[0], "type", spec.type, "options", options);
    int r = body ? 0 : cli_fail("names are UTF-8 text");
    for (unsigned i = 0; r == 0 && i < spec.set.count; i++)
        r = take_option(options, spec.set.at[i], false);
    for (unsigned i = 0; r == 0 && i < spec.set_file.count; i++)
        r = take_option(options, spec.set_file.at[i], true);
    if (r == 0)
        r = admin_call(&(struct admin_call){.method = "POST", .path = TARGETS, .body = body},
                       &answer);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_decref(answer);
    printf("target %s added: name it in a bucket's notifications as arn:cairn:events::%s\n",
           operands[0], operands[0]);
    return 0;
}

/* ---- listing and removing ------------------------------------------------------------------- */

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *t;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = TARGETS}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    printf("%-20s %-9s %10s %10s %10s  %s\n", "NAME", "TYPE", "WAITING", "DELIVERED", "GIVEN UP",
           "STATE");
    json_array_foreach(json_object_get(answer, "targets"), i, t)
        printf("%-20s %-9s %10llu %10llu %10llu  %s%s\n", admin_text_of(t, "name"),
               admin_text_of(t, "type"), (unsigned long long)admin_number_of(t, "pending"),
               (unsigned long long)admin_number_of(t, "delivered"),
               (unsigned long long)admin_number_of(t, "dead"),
               json_object_get(t, "failing_since_ms") ? "ATTENTION: " : "works",
               admin_text_of(t, "fault"));
    json_decref(answer);
    return 0;
}

static int call_named(const char *method, const char *prefix, const char *name, const char *suffix,
                      json_t *body, json_t **ret)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, prefix);
    uri_encode(&path, str_from(name), false);
    buf_put_cstr(&path, suffix);
    int r = buf_error(&path) < 0
                ? cli_fail("the name is too long")
                : admin_call(
                      &(struct admin_call){.method = method, .path = path.data, .body = body}, ret);
    buf_release(&path);
    return r;
}

static int rm(char **operands, unsigned count)
{
    int r =
        call_named("DELETE", TARGETS "/", operands[0], spec.force ? "?force=true" : "", NULL, NULL);
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:s}", "removed", operands[0]));
    if (r == 0)
        printf("target %s removed\n", operands[0]);
    return r;
}

static int test(char **operands, unsigned count)
{
    json_t *answer = NULL;
    int r = call_named("POST", "/-/admin/v1/event-tests/", operands[0], "", NULL, &answer);
    if (r != 0)
        return r;
    bool delivered = json_is_true(json_object_get(answer, "delivered"));
    if (admin_options.json)
        admin_print_json(json_incref(answer));
    else if (delivered)
        printf("target %s took a test message\n", operands[0]);
    else
        cli_fail("target %s did not take a test message: %s", operands[0],
                 admin_text_of(answer, "why"));
    json_decref(answer);
    return delivered ? 0 : 1;
}

/* ---- what was given up ---------------------------------------------------------------------- */

static void print_dead(const json_t *e)
{
    char time[DATE_ISO_LEN];
    date_format_iso(admin_number_of(e, "time_ms"), time);
    printf("%.*s  %s  %s/%s  %llu attempts: %s\n", DATE_ISO_LEN, time, admin_text_of(e, "event"),
           admin_text_of(e, "bucket"), admin_text_of(e, "key"),
           (unsigned long long)admin_number_of(e, "attempts"), admin_text_of(e, "why"));
}

static int list_dead(const char *target)
{
    json_t *answer = NULL, *e;
    size_t i;
    int r = call_named("GET", "/-/admin/v1/dead-events/", target, "", NULL, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, "dead"), i, e) print_dead(e);
    json_decref(answer);
    return 0;
}

static int dead(char **operands, unsigned count)
{
    json_t *answer = NULL;
    if (spec.resend && spec.discard)
        return cli_fail("--resend and --discard exclude one another");
    if (!spec.resend && !spec.discard)
        return list_dead(operands[0]);
    json_t *body = json_pack("{s:s}", "action", spec.resend ? "resend" : "discard");
    int r = call_named("POST", "/-/admin/v1/dead-events/", operands[0], "", body, &answer);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    printf("%llu events %s\n", (unsigned long long)admin_number_of(answer, "count"),
           spec.resend ? "will be sent again" : "forgotten");
    json_decref(answer);
    return 0;
}

/* ---- following ------------------------------------------------------------------------------ */

static void print_record(const json_t *r)
{
    const json_t *s3 = json_object_get(r, "s3"), *object = json_object_get(s3, "object"),
                 *params = json_object_get(r, "requestParameters");
    printf("%s  %-28s %s/%s  %llu bytes  from %s\n", admin_text_of(r, "eventTime"),
           admin_text_of(r, "eventName"), admin_text_of(json_object_get(s3, "bucket"), "name"),
           admin_text_of(object, "key"), (unsigned long long)admin_number_of(object, "size"),
           admin_text_of(params, "sourceIPAddress"));
}

static void on_line(json_t *line, void *arg)
{
    json_t *record;
    size_t i;
    if (admin_options.json) {
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (json_object_get(line, "lost")) {
        printf("(%llu events were too many to be shown)\n",
               (unsigned long long)admin_number_of(line, "lost"));
    } else {
        json_array_foreach(json_object_get(line, "Records"), i, record) print_record(record);
    }
    fflush(stdout);
}

static int follow(char **operands, unsigned count)
{
    if (!spec.follow)
        return cli_fail("say --follow: events that have happened are not kept here");
    struct admin_call call = {.method = "GET", .path = "/-/admin/v1/events", .on_line = on_line};
    return admin_call(&call, NULL);
}

/* ---- commands ------------------------------------------------------------------------------- */

const struct cli_command cli_admin_event_target_add = {
    .name = "admin event target add",
    .operands = "NAME",
    .summary = "add a target that events can be sent to",
    .description =
        "Adds a target, which buckets' notifications then name as arn:cairn:events::NAME.\n"
        "Options by type, those marked * are needed, secrets better with --set-file:\n\n"
        "webhook   url*, token, ca\n"
        "redis     address*, key*, format (list or publish), user, password\n"
        "postgres  address*, database*, user*, table*, password, sslmode, ca\n"
        "kafka     brokers*, topic*, tls (true or false), user, password, ca\n"
        "amqp      address*, routing-key*, exchange, vhost, user, password\n"
        "nats      address*, subject*, jetstream (true or false), tls (true or false), ca, token,\n"
        "          user, password\n\n"
        "all       queue-limit (100000), when-full (drop or refuse), attempts (5, of a message\n"
        "          that the target refuses), max-age (86400 seconds, of one that it cannot take),\n"
        "          dead-limit (100000) and dead-age (2592000 seconds) of what was given up,\n"
        "          timeout-ms (5000), accounts (whose buckets may send to it: the ids that\n"
        "          admin user list shows, separated by commas; root: the server's own; all)",
    .options = add_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = add,
};

const struct cli_command cli_admin_event_target_list = {
    .name = "admin event target list",
    .operands = "",
    .summary = "list the targets of events and how they do",
    .description = "Lists the targets: what waits, was delivered and was given up, and what is "
                   "wrong with\nthose that fail. Secrets are not shown.",
    .options = common_options,
    .run = list,
};

const struct cli_command cli_admin_event_target_rm = {
    .name = "admin event target rm",
    .operands = "NAME",
    .summary = "remove a target of events",
    .description = "Removes a target. Refused while events wait for it or were given up, unless "
                   "--force.\nBuckets' notifications that name it then lead nowhere.",
    .options = rm_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = rm,
};

const struct cli_command cli_admin_event_test = {
    .name = "admin event test",
    .operands = "NAME",
    .summary = "send a test message to a target of events",
    .description = "Sends a test message at once, over a new connection, and says what came of it.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = test,
};

const struct cli_command cli_admin_event_dead = {
    .name = "admin event dead",
    .operands = "TARGET",
    .summary = "list the events that were given up, send them again or forget them",
    .description = "Lists events that the target would not take, or not in time (1,000 at most); "
                   "with --resend\nall of them are sent again, with --discard forgotten.",
    .options = dead_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = dead,
};

const struct cli_command cli_admin_events = {
    .name = "admin events",
    .operands = "",
    .summary = "show what happens to objects as it happens",
    .description = "Shows each event of every bucket, whether or not its notifications ask for it, "
                   "until it is\ninterrupted. With --json a line of JSON each, as targets get it.",
    .options = follow_options,
    .run = follow,
};
