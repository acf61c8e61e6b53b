/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PATH      "/-/admin/v1/purge"
#define PATH_LOOK "/-/admin/v1/purge-look"

static const char *tag;
static bool dry_run, wait_for_end, list_all, erase;

static const struct cli_option purge_options[] = {
    {"tag", CLI_TEXT, &tag, "KEY=VALUE", "versions and uploads that carry this tag"},
    {"dry-run", CLI_FLAG, &dry_run, NULL, "tell what would go and what would stay, remove nothing"},
    {"list", CLI_FLAG, &list_all, NULL, "with --dry-run: name what would go, too"},
    {"erase", CLI_FLAG, &erase, NULL,
     "then rewrite every file of the store that still holds deleted bytes"},
    {"wait", CLI_FLAG, &wait_for_end, NULL,
     "also wait until the garbage collector has deleted all that went, and for --erase"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* ---- what is meant -------------------------------------------------------------------------- */

static int add_tag(json_t *body)
{
    struct str value = str_from(tag), key;
    if (!tag)
        return 0;
    if (str_find_char(value, '=', 0) <= 0)
        return cli_fail("a tag is given as KEY=VALUE");
    str_cut(&value, '=', &key);
    int r = json_object_set_new(body, "tag_key", json_stringn(key.ptr, key.len));
    r |=
        json_object_set_new(body, "tag_value", json_stringn(value.len ? value.ptr : "", value.len));
    return r == 0 ? 0 : cli_fail("a tag is UTF-8 text");
}

/* A whole bucket is named with the slash behind it: nobody means it by mistake. */
static int add_where(json_t *body, const char *operand)
{
    struct str prefix = str_from(operand), bucket;
    if (!operand)
        return tag ? 0 : cli_fail("say BUCKET/PREFIX, or --tag KEY=VALUE");
    bool slash = str_find_char(prefix, '/', 0) >= 0;
    if (!slash && !tag)
        return cli_fail("say BUCKET/PREFIX, or %s/ for all that is in the bucket", operand);
    str_cut(&prefix, '/', &bucket);
    int r = json_object_set_new(body, "bucket", json_stringn(bucket.ptr, bucket.len));
    r |=
        json_object_set_new(body, "prefix", json_stringn(prefix.len ? prefix.ptr : "", prefix.len));
    return r == 0 ? 0 : cli_fail("a bucket and a prefix are UTF-8 text");
}

/* ---- printing ------------------------------------------------------------------------------- */

static bool goes(const json_t *item)
{
    return str_eq(str_from(admin_text_of(item, "fate")), STR("goes"));
}

static void print_why(const json_t *item)
{
    const char *fate = admin_text_of(item, "fate");
    if (json_is_true(json_object_get(item, "legal_hold")))
        printf(" under a legal hold");
    if (*admin_text_of(item, "until"))
        printf(" retained (%s) until %s", admin_text_of(item, "mode"),
               admin_text_of(item, "until"));
    if (str_eq(str_from(fate), STR("hides")))
        printf(" hides what is kept");
    putchar('\n');
}

static void print_item(const json_t *item)
{
    bool upload = json_object_get(item, "upload") != NULL;
    printf("%-8s %-8s %s/%s %s %s", admin_text_of(item, "fate"), admin_text_of(item, "kind"),
           admin_text_of(item, "bucket"), admin_text_of(item, "key"), upload ? "upload" : "version",
           admin_text_of(item, upload ? "upload" : "version"));
    print_why(item);
}

static void print_removed(const char *what, const json_t *removed)
{
    char bytes[32];
    printf("%s %llu versions, %llu delete markers, %llu uploads with %llu parts, %s\n", what,
           (unsigned long long)admin_number_of(removed, "versions"),
           (unsigned long long)admin_number_of(removed, "markers"),
           (unsigned long long)admin_number_of(removed, "uploads"),
           (unsigned long long)admin_number_of(removed, "parts"),
           admin_format_bytes(admin_number_of(removed, "bytes"), bytes));
}

static void print_kept(const json_t *report)
{
    printf("kept %llu by a legal hold, %llu by a retention, %llu delete markers over them; "
           "left %llu\n",
           (unsigned long long)admin_number_of(report, "held"),
           (unsigned long long)admin_number_of(report, "retained"),
           (unsigned long long)admin_number_of(report, "hides"),
           (unsigned long long)admin_number_of(report, "left"));
}

static const char *proof_of(const json_t *report)
{
    const char *phase = admin_text_of(report, "phase");
    if (json_is_true(json_object_get(report, "proved")))
        return "proved: a second walk found nothing else, and no record or needle of it is left";
    if (str_eq(str_from(phase), STR("erasing")))
        return "no record or needle of it is left; files with deleted bytes are being rewritten";
    if (str_eq(str_from(phase), STR("collecting")))
        return "a second walk has been made; the garbage collector is at work (--wait)";
    if (admin_number_of(report, "left"))
        return "NOT proved: something came or changed meanwhile: purge again";
    if (admin_number_of(report, "refused"))
        return "NOT proved: the garbage collector would not delete something: cairn admin check";
    return "not proved";
}

static void print_report(const json_t *report)
{
    const char *phase = admin_text_of(report, "phase");
    if (str_eq(str_from(phase), STR("none"))) {
        puts("there was no purge yet");
        return;
    }
    const char *bucket = admin_text_of(report, "bucket");
    bool tagged = json_object_get(report, "tag_key");
    printf("purge of %s%s%s%s%s%s%s, begun %s: %s\n", *bucket ? bucket : "all buckets",
           *bucket ? "/" : "", admin_text_of(report, "prefix"), tagged ? " with tag " : "",
           admin_text_of(report, "tag_key"), tagged ? "=" : "", admin_text_of(report, "tag_value"),
           admin_text_of(report, "started"), phase);
    print_removed("removed", json_object_get(report, "removed"));
    print_kept(report);
    puts(proof_of(report));
    if (json_is_true(json_object_get(report, "erased")))
        puts("erased: every file that held deleted bytes has been rewritten");
    if (admin_number_of(report, "stuck"))
        printf(
            "NOT erased: %llu volumes are damaged, or disks or copies of the metadata are gone\n",
            (unsigned long long)admin_number_of(report, "stuck"));
}

/* ---- the look ------------------------------------------------------------------------------- */

/* What the lines of a look came to. */
struct look {
    json_t *items, *removed, *counts;
    bool all; /* what goes, too */
    bool end;
    char error[160];
};

static void add(json_t *to, const char *name, uint64_t n)
{
    json_object_set_new(to, name,
                        json_integer((json_int_t)admin_number_of(to, name) + (json_int_t)n));
}

static void count_gone(struct look *l, const json_t *item)
{
    char name[32];
    snprintf(name, sizeof(name), "%ss", admin_text_of(item, "kind"));
    add(l->removed, name, 1);
    add(l->removed, "parts", admin_number_of(item, "parts"));
    add(l->removed, "bytes", admin_number_of(item, "bytes"));
}

static void on_line(json_t *line, void *arg)
{
    struct look *l = arg;
    if (json_object_get(line, "end")) {
        l->end = json_is_true(json_object_get(line, "end"));
        snprintf(l->error, sizeof(l->error), "%s", admin_text_of(line, "error"));
    } else if (json_object_get(line, "fate")) {
        if (goes(line))
            count_gone(l, line);
        else
            add(l->counts, admin_text_of(line, "fate"), 1);
        if (l->all || !goes(line))
            json_array_append(l->items, line);
    }
}

/* 0, or 1 with the fault told. The caller has the values. */
static int look(json_t *body, struct look *l)
{
    struct admin_call call = {
        .method = "POST", .path = PATH_LOOK, .body = body, .on_line = on_line, .arg = l};
    l->items = json_array();
    l->removed = json_object();
    l->counts = json_object();
    snprintf(l->error, sizeof(l->error), "the server ended the answer early");
    int r = admin_call(&call, NULL);
    if (r == 0 && !l->end)
        r = cli_fail("the look did not reach its end: %s", l->error);
    return r;
}

static void print_items(const json_t *items)
{
    json_t *item;
    size_t i;
    json_array_foreach(items, i, item) print_item(item);
}

static void look_release(struct look *l)
{
    json_decref(l->items);
    json_decref(l->removed);
    json_decref(l->counts);
}

static int run_dry(json_t *body)
{
    struct look l = {.all = list_all};
    int r = look(body, &l);
    if (r == 0 && admin_options.json) {
        json_t *o =
            json_pack("{s:b, s:O, s:O}", "dry_run", true, "removed", l.removed, "items", l.items);
        json_object_update(o, l.counts);
        admin_print_json(o);
    } else if (r == 0) {
        print_items(l.items);
        print_removed("would remove", l.removed);
        print_kept(l.counts);
    }
    look_release(&l);
    return r;
}

/* ---- the purge ------------------------------------------------------------------------------ */

static int get_report(json_t **ret)
{
    return admin_call(&(struct admin_call){.method = "GET", .path = PATH}, ret);
}

static bool is_phase(const json_t *report, const char *phase)
{
    return str_eq(str_from(admin_text_of(report, "phase")), str_from(phase));
}

static bool is_over(const json_t *report)
{
    return is_phase(report, "done") || is_phase(report, "stopped") ||
           (!wait_for_end && (is_phase(report, "collecting") || is_phase(report, "erasing")));
}

static void show_progress(const json_t *report)
{
    const json_t *removed = json_object_get(report, "removed");
    char bytes[32];
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %llu versions, %llu uploads, %s removed",
            admin_text_of(report, "phase"),
            (unsigned long long)admin_number_of(removed, "versions"),
            (unsigned long long)admin_number_of(removed, "uploads"),
            admin_format_bytes(admin_number_of(removed, "bytes"), bytes));
    fflush(stderr);
}

/* It is tried again: whoever waits should know why it takes so long. */
static void tell_failure(const json_t *report, bool *told)
{
    const char *error = admin_text_of(json_object_get(report, "job"), "error");
    if (*error && !*told)
        fprintf(stderr, "%scairn: the purge fails and is tried again: %s\n",
                isatty(STDERR_FILENO) ? "\r\033[K" : "", error);
    *told = *error != 0;
}

/* Takes *report over and gives the last one. */
static int follow(json_t **report)
{
    uint64_t id = admin_number_of(*report, "id");
    bool told = false;
    int r = 0;
    while (r == 0 && !is_over(*report)) {
        show_progress(*report);
        tell_failure(*report, &told);
        if (str_eq(str_from(admin_text_of(json_object_get(*report, "job"), "state")),
                   STR("paused")))
            return cli_fail("the job is paused: cairn admin job resume purge");
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        json_decref(*report);
        *report = NULL;
        r = get_report(report);
        if (r == 0 && admin_number_of(*report, "id") != id)
            r = cli_fail("another purge has begun meanwhile");
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    return r;
}

/* What is kept, by name: as it is now. */
static int show(json_t *body, const json_t *report)
{
    struct look l = {0};
    int r = look(body, &l);
    if (r == 0 && admin_options.json) {
        admin_print_json(json_pack("{s:O, s:O}", "report", report, "kept", l.items));
    } else if (r == 0) {
        print_items(l.items);
        print_report(report);
    }
    look_release(&l);
    return r;
}

static bool is_good(const json_t *report)
{
    return admin_number_of(report, "left") == 0 && admin_number_of(report, "refused") == 0 &&
           admin_number_of(report, "stuck") == 0 && !is_phase(report, "stopped");
}

static int run_purge(json_t *body)
{
    json_t *report = NULL;
    json_object_set_new(body, "action", json_string("start"));
    json_object_set_new(body, "erase", json_boolean(erase));
    int r = admin_call(&(struct admin_call){.method = "POST", .path = PATH, .body = body}, &report);
    if (r == 0)
        r = follow(&report);
    json_object_del(body, "action");
    if (r == 0)
        r = show(body, report);
    if (r == 0)
        r = !is_good(report);
    json_decref(report);
    return r;
}

static int purge(char **operands, unsigned count)
{
    json_t *body = json_object();
    int r = add_tag(body);
    if (r == 0)
        r = add_where(body, count ? operands[0] : NULL);
    if (r == 0)
        r = dry_run ? run_dry(body) : run_purge(body);
    json_decref(body);
    return r;
}

static int print_answer(json_t *report)
{
    if (admin_options.json)
        return admin_print_json(report);
    print_report(report);
    json_decref(report);
    return 0;
}

static int status(char **operands, unsigned count)
{
    json_t *report = NULL;
    int r = get_report(&report);
    return r != 0 ? r : print_answer(report);
}

static int stop(char **operands, unsigned count)
{
    json_t *report = NULL, *body = json_pack("{s:s}", "action", "stop");
    int r = admin_call(&(struct admin_call){.method = "POST", .path = PATH, .body = body}, &report);
    json_decref(body);
    return r != 0 ? r : print_answer(report);
}

const struct cli_command cli_admin_purge = {
    .name = "admin purge",
    .operands = "[BUCKET/PREFIX]",
    .summary = "remove everything stored of somebody, and prove it",
    .description =
        "Removes every version, delete marker and incomplete upload under a prefix, or with a tag "
        "(in\nthe bucket that is named, or in all). What a legal hold or a retention locks stays, "
        "and is told of\nby name, version and until when; nothing overrides a lock here. Nothing "
        "that was hidden comes to\nlight: over a version that is kept there is a delete marker.\n"
        "\n"
        "A second walk then proves that nothing else is left. With --wait the command ends when "
        "the garbage\ncollector has deleted every piece of what went, and the proof says so. It "
        "is a job that goes on\nover restarts, with or without the command that began it; 'cairn "
        "admin purge status' tells of it.\nEach removal is a record of the audit log.\n"
        "\n"
        "The exit status is 0 when nothing but what a lock keeps is left.",
    .options = purge_options,
    .operands_max = 1,
    .run = purge,
};

const struct cli_command cli_admin_purge_status = {
    .name = "admin purge status",
    .operands = "",
    .summary = "tell of the purge under way, or of the last",
    .description = "Tells how far the purge is that is under way, or the report of the last one.",
    .options = options,
    .run = status,
};

const struct cli_command cli_admin_purge_stop = {
    .name = "admin purge stop",
    .operands = "",
    .summary = "stop the purge under way",
    .description = "Stops the purge at its next page. What went stays gone.",
    .options = options,
    .run = stop,
};
