/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "wire/uri.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PATH         "/-/admin/v1/batch"
#define PATH_MAX_LEN 8192
#define FILE_MAX     (256 * MIB)
#define LOOK_NS      200000000

static const char *manifest, *manifest_file, *tags, *report, *user, *rate;
static bool bypass, wait_for_end;

static const struct cli_option start_options[] = {
    {"manifest", CLI_TEXT, &manifest, "BUCKET/KEY", "the list of objects"},
    {"manifest-file", CLI_TEXT, &manifest_file, "FILE", "upload this as the manifest first"},
    {"tags", CLI_TEXT, &tags, "K=V,...", "what to tag with, in place of the tags there are"},
    {"report", CLI_TEXT, &report, "BUCKET/PREFIX", "where to report what became of each line"},
    {"bypass-governance", CLI_FLAG, &bypass, NULL,
     "delete what governance retains, as far as the user may"},
    {"as", CLI_TEXT, &user, "USER", "whose rights count; root if not given"},
    {"rate", CLI_TEXT, &rate, "N", "lines a second at most; 5000 if not given"},
    {"wait", CLI_FLAG, &wait_for_end, NULL, "wait until the job is over"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* ---- what is asked -------------------------------------------------------------------------- */

static int add_text(json_t *body, const char *name, struct str text)
{
    int r = json_object_set_new(body, name, json_stringn(text.len ? text.ptr : "", text.len));
    return r == 0 ? 0 : cli_fail("names are UTF-8 text");
}

/* "BUCKET/REST" as two members. */
static int add_place(json_t *body, const char *text, const char *bucket_name, const char *rest_name)
{
    struct str rest = str_from(text), bucket;
    str_cut(&rest, '/', &bucket);
    int r = add_text(body, bucket_name, bucket);
    return r != 0 ? r : add_text(body, rest_name, rest);
}

static int add_tags(json_t *body)
{
    struct str rest = str_from(tags), tag, key;
    json_t *o = json_object();
    int r = json_object_set_new(body, "tags", o);
    while (r == 0 && rest.len && str_cut(&rest, ',', &tag)) {
        if (str_find_char(tag, '=', 0) <= 0)
            return cli_fail("tags are given as KEY=VALUE,KEY=VALUE");
        str_cut(&tag, '=', &key);
        _cleanup_free_ char *name = strndup(key.ptr, key.len);
        if (name && json_object_get(o, name))
            return cli_fail("a tag's key is given twice");
        r = !name || add_text(o, name, tag);
    }
    return r == 0 ? 0 : cli_fail("tags are UTF-8 text");
}

static json_t *make_request(const char *action)
{
    json_t *body = json_pack("{s:s, s:b}", "action", action, "bypass_governance", bypass);
    int r = manifest ? add_place(body, manifest, "manifest_bucket", "manifest_key")
                     : cli_fail("name the manifest: --manifest BUCKET/KEY");
    if (r == 0 && report)
        r = add_place(body, report, "report_bucket", "report_prefix");
    if (r == 0 && user)
        r = add_text(body, "user", str_from(user));
    if (r == 0 && tags)
        r = add_tags(body);
    if (r == 0 && admin_set_number(body, "rate", rate, false) < 0)
        r = cli_fail("%s is no number", rate);
    if (r == 0)
        return body;
    json_decref(body);
    return NULL;
}

/* ---- the manifest --------------------------------------------------------------------------- */

static int upload_bytes(struct str bytes)
{
    struct str rest = str_from(manifest), bucket;
    struct buf path;
    buf_init(&path, PATH_MAX_LEN);
    str_cut(&rest, '/', &bucket);
    buf_put_char(&path, '/');
    uri_encode(&path, bucket, false);
    buf_put_char(&path, '/');
    uri_encode(&path, rest, true);
    int r = !rest.len || buf_error(&path) < 0 ? cli_fail("--manifest is BUCKET/KEY")
                                              : admin_put_object(path.data, bytes);
    buf_release(&path);
    return r;
}

static int upload(void)
{
    struct buf bytes;
    buf_init(&bytes, FILE_MAX);
    int r = manifest ? admin_read_file(manifest_file, &bytes)
                     : cli_fail("say where the file goes: --manifest BUCKET/KEY");
    if (r == 0)
        r = buf_error(&bytes) < 0
                ? cli_fail("%s is longer than 256 MiB: upload it by an S3 client", manifest_file)
                : upload_bytes(buf_str(&bytes));
    buf_release(&bytes);
    return r;
}

/* ---- printing ------------------------------------------------------------------------------- */

static bool is_phase(const json_t *job, const char *phase)
{
    return str_eq(str_from(admin_text_of(job, "phase")), str_from(phase));
}

static bool is_over(const json_t *job)
{
    return is_phase(job, "done") || is_phase(job, "failed") || is_phase(job, "cancelled");
}

static void print_numbers(const json_t *job)
{
    char left[32];
    const json_t *status = json_object_get(job, "job");
    if (json_object_get(job, "total"))
        printf("  %llu of %llu lines done, %llu failed",
               (unsigned long long)admin_number_of(job, "done"),
               (unsigned long long)admin_number_of(job, "total"),
               (unsigned long long)admin_number_of(job, "failed"));
    else
        printf("  %llu lines checked", (unsigned long long)admin_number_of(job, "checked"));
    if (admin_number_of(job, "lines_per_s"))
        printf(", %llu a second", (unsigned long long)admin_number_of(job, "lines_per_s"));
    if (json_object_get(status, "left_s"))
        printf(", %s left", admin_format_duration(admin_number_of(status, "left_s"), left));
    putchar('\n');
}

static void print_job(const json_t *job)
{
    const json_t *status = json_object_get(job, "job");
    printf("%llu  %s  %s  %s/%s as %s\n", (unsigned long long)admin_number_of(job, "id"),
           admin_text_of(job, "phase"), admin_text_of(job, "action"),
           admin_text_of(job, "manifest_bucket"), admin_text_of(job, "manifest_key"),
           admin_text_of(job, "user"));
    print_numbers(job);
    if (json_object_get(job, "report_key"))
        printf("  report: %s/%s\n", admin_text_of(job, "report_bucket"),
               admin_text_of(job, "report_key"));
    if (json_object_get(job, "error"))
        printf("  failed: %s\n", admin_text_of(job, "error"));
    if (str_eq(str_from(admin_text_of(status, "state")), STR("paused")))
        puts("  the job is paused: cairn admin job resume batch");
    else if (json_object_get(status, "error"))
        printf("  ATTENTION: it fails and is tried again: %s\n", admin_text_of(status, "error"));
}

/* Takes it over. */
static int print_answer(json_t *job)
{
    if (admin_options.json)
        return admin_print_json(job);
    print_job(job);
    json_decref(job);
    return 0;
}

/* ---- the commands --------------------------------------------------------------------------- */

static int call_job(const char *method, uint64_t id, json_t **ret)
{
    char path[sizeof(PATH) + 24];
    snprintf(path, sizeof(path), PATH "/%llu", (unsigned long long)id);
    return admin_call(&(struct admin_call){.method = method, .path = path}, ret);
}

/* Takes *job over and gives the last one. */
static int follow(json_t **job)
{
    int r = 0;
    while (r == 0 && !is_over(*job)) {
        uint64_t id = admin_number_of(*job, "id");
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        json_decref(*job);
        *job = NULL;
        r = call_job("GET", id, job);
    }
    return r;
}

static int start(char **operands, unsigned count)
{
    json_t *job = NULL, *body = make_request(operands[0]);
    if (!body)
        return 1;
    int r = manifest_file ? upload() : 0;
    if (r == 0)
        r = admin_call(&(struct admin_call){.method = "POST", .path = PATH, .body = body}, &job);
    json_decref(body);
    if (r == 0 && wait_for_end)
        r = follow(&job);
    if (r != 0)
        return r;
    bool good = !wait_for_end || (is_phase(job, "done") && admin_number_of(job, "failed") == 0);
    (void)print_answer(job);
    return !good;
}

static int list(char **operands, unsigned count)
{
    return admin_print_list(PATH, "jobs", print_job);
}

static int call_named(const char *method, const char *word)
{
    json_t *job = NULL;
    uint64_t id;
    if (str_to_u64(str_from(word), &id) < 0)
        return cli_fail("%s is no job's id", word);
    int r = call_job(method, id, &job);
    return r != 0 ? r : print_answer(job);
}

static int status(char **operands, unsigned count)
{
    return call_named("GET", operands[0]);
}

static int cancel(char **operands, unsigned count)
{
    return call_named("DELETE", operands[0]);
}

const struct cli_command cli_admin_batch_start = {
    .name = "admin batch start",
    .operands = "delete|tag|untag",
    .summary = "delete, tag or untag what a manifest names",
    .description =
        "Goes through a list of objects in the background. The manifest is an object: CSV of S3 "
        "Batch\nOperations (Bucket,Key[,VersionId], keys URL-encoded), or the manifest.json of an "
        "inventory. It\nis checked whole before anything is changed, and may not change until the "
        "job is over.\n"
        "\n"
        "Each line is done once, also over crashes of the server, as if the user (--as) had asked "
        "for it\nby a request of its own: with its rights as they are then, under every lock, with "
        "its events and\nits record in the audit log. A line without a version id deletes as a "
        "client does: where\nversioning is on, it leaves a delete marker. Legal holds and "
        "compliance are never bypassed.\n"
        "\n"
        "The report has a line for each of the manifest's. Jobs wait for one another. With --wait "
        "the exit\nstatus is 0 when every line was done.",
    .options = start_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = start,
};

const struct cli_command cli_admin_batch_list = {
    .name = "admin batch list",
    .operands = "",
    .summary = "list the batch jobs, and the last that are over",
    .description = "Lists batch jobs in the order in which they were begun.",
    .options = options,
    .run = list,
};

const struct cli_command cli_admin_batch_status = {
    .name = "admin batch status",
    .operands = "ID",
    .summary = "tell how far a batch job is",
    .description = "Tells how far a batch job is, or how it ended.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = status,
};

const struct cli_command cli_admin_batch_cancel = {
    .name = "admin batch cancel",
    .operands = "ID",
    .summary = "cancel a batch job",
    .description = "Ends a batch job at its next step. What was done stays done, and is reported.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = cancel,
};
