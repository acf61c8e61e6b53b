/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <limits.h>
#include <stdio.h>

static bool cancel_drain;

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option drain_options[] = {
    {"cancel", CLI_FLAG, &cancel_drain, NULL, "take it back: the disk stays, and is filled again"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static struct {
    const char *weight;
    uint64_t zone;
} share = {.zone = UINT64_MAX};

static const struct cli_option set_options[] = {
    {"weight", CLI_TEXT, &share.weight, "BYTES",
     "its share of the data goes by it (8T, 500G, ...); its size if it was never set"},
    {"zone", CLI_NUMBER, &share.zone, "N",
     "disks of one zone are lost together: of a chunk's shards no more lie there than may be lost, "
     "where there are zones enough"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_disk(const json_t *d)
{
    char live[32], available[32], total[32];
    printf("%4llu  %-8s  %-7s  %10s  %10s  %10s  %s\n",
           (unsigned long long)admin_number_of(d, "number"), admin_text_of(d, "role"),
           admin_text_of(d, "state"), admin_format_bytes(admin_number_of(d, "live_bytes"), live),
           admin_format_bytes(admin_number_of(d, "free_bytes"), available),
           admin_format_bytes(admin_number_of(d, "total_bytes"), total), admin_text_of(d, "path"));
}

static void print_audit_copies(const json_t *copies)
{
    if (json_array_size(copies) == 0)
        return;
    printf("; audit log on %zu:", json_array_size(copies));
    for (size_t i = 0; i < json_array_size(copies); i++)
        printf(" %s", admin_text_of(json_array_get(copies, i), "state"));
}

void admin_print_redundancy(const json_t *r)
{
    char raw[32], usable[32];
    const json_t *mirrors = json_object_get(r, "metadata_mirrors");
    printf("%llu disks, %llu there, %llu away; %llu + %llu shards, %llu more losses survived\n",
           (unsigned long long)admin_number_of(r, "disks"),
           (unsigned long long)admin_number_of(r, "usable"),
           (unsigned long long)admin_number_of(r, "away"),
           (unsigned long long)admin_number_of(r, "code_k"),
           (unsigned long long)admin_number_of(r, "code_m"),
           (unsigned long long)admin_number_of(r, "losses_survived"));
    printf("%s raw, %s usable; metadata on %zu:",
           admin_format_bytes(admin_number_of(r, "raw_bytes"), raw),
           admin_format_bytes(admin_number_of(r, "usable_bytes"), usable),
           json_array_size(mirrors));
    for (size_t i = 0; i < json_array_size(mirrors); i++)
        printf(" %s", admin_text(json_array_get(mirrors, i)));
    print_audit_copies(json_object_get(r, "audit_copies"));
    puts("");
    if (admin_number_of(r, "repair_waiting"))
        printf("ATTENTION: %llu chunks want repair and wait for a disk; %llu cannot be read\n",
               (unsigned long long)admin_number_of(r, "repair_waiting"),
               (unsigned long long)admin_number_of(r, "repair_unreadable"));
}

static int get_list(json_t **ret)
{
    return admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/disks"}, ret);
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *d;
    size_t i;
    int r = get_list(&answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    admin_print_redundancy(json_object_get(answer, "redundancy"));
    printf("%4s  %-8s  %-7s  %10s  %10s  %10s  %s\n", "DISK", "ROLE", "STATE", "DATA", "FREE",
           "SIZE", "DIRECTORY");
    json_array_foreach(json_object_get(answer, "disks"), i, d) print_disk(d);
    const json_t *job = json_object_get(answer, "rebalance");
    if (admin_number_of(job, "total") || json_object_get(job, "error"))
        admin_print_job(job);
    json_decref(answer);
    return 0;
}

/* Takes the body over. */
static int change(json_t *body)
{
    json_t *disk = NULL;
    struct admin_call call = {.method = "POST", .path = "/-/admin/v1/disks", .body = body};
    int r = admin_call(&call, &disk);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(disk);
    printf("disk %llu (%s) is %s\n", (unsigned long long)admin_number_of(disk, "number"),
           admin_text_of(disk, "path"), admin_text_of(disk, "role"));
    json_decref(disk);
    return 0;
}

/* A number, or a directory as the server calls it. */
static int resolve(const char *operand, json_int_t *ret)
{
    uint64_t number;
    if (str_to_u64(str_from(operand), &number) == 0) {
        *ret = (json_int_t)number;
        return 0;
    }
    char path[PATH_MAX];
    const char *wanted = realpath(operand, path) ? path : operand;
    json_t *answer = NULL, *d;
    size_t i;
    int r = get_list(&answer);
    if (r != 0)
        return r;
    r = 1;
    json_array_foreach(json_object_get(answer, "disks"), i, d)
    {
        bool same = strcmp(admin_text_of(d, "path"), wanted) == 0 ||
                    strcmp(admin_text_of(d, "path"), operand) == 0;
        if (same && strcmp(admin_text_of(d, "role"), "gone") != 0) {
            *ret = json_integer_value(json_object_get(d, "number"));
            r = 0;
        }
    }
    json_decref(answer);
    return r ? cli_fail("no disk of the server is %s ('cairn admin disk list' shows them)", operand)
             : 0;
}

/* The server's directories go by their whole path; one that is not here yet is as it was given. */
static json_t *whole_path(const char *operand)
{
    char path[PATH_MAX];
    return json_string(realpath(operand, path) ? path : operand);
}

static int add(char **operands, unsigned count)
{
    return change(json_pack("{s:s, s:o}", "action", "add", "path", whole_path(operands[0])));
}

static int replace(char **operands, unsigned count)
{
    json_int_t number;
    int r = resolve(operands[0], &number);
    return r != 0 ? r
                  : change(json_pack("{s:s, s:I, s:o}", "action", "replace", "number", number,
                                     "path", whole_path(operands[1])));
}

static int drain(char **operands, unsigned count)
{
    json_int_t number;
    int r = resolve(operands[0], &number);
    return r != 0 ? r
                  : change(json_pack("{s:s, s:I}", "action", cancel_drain ? "undrain" : "drain",
                                     "number", number));
}

/* A number with K, M, G, T or P behind it. */
static int parse_weight(const char *text, json_int_t *ret)
{
    static const char units[] = "KMGTP";
    struct str number = str_from(text);
    const char *unit = number.len ? strchr(units, number.ptr[number.len - 1]) : NULL;
    uint64_t n, shift = unit && *unit ? 10 * (uint64_t)(unit - units + 1) : 0;
    number.len -= shift ? 1 : 0;
    if (str_to_u64(number, &n) < 0 || n == 0 || n > (UINT64_C(1) << 60) >> shift)
        return cli_fail("--weight is a number of bytes, as 500G or 8T, not %s", text);
    n <<= shift;
    *ret = (json_int_t)n;
    return 0;
}

static int set(char **operands, unsigned count)
{
    json_int_t number, weight = 0;
    int r = share.weight ? parse_weight(share.weight, &weight) : 0;
    if (r == 0)
        r = resolve(operands[0], &number);
    if (r != 0)
        return r;
    json_t *body = json_pack("{s:s, s:I}", "action", "set", "number", number);
    if (share.weight)
        json_object_set_new(body, "weight", json_integer(weight));
    if (share.zone != UINT64_MAX)
        json_object_set_new(body, "zone", json_integer((json_int_t)share.zone));
    return change(body);
}

const struct cli_command cli_admin_disk_set = {
    .name = "admin disk set",
    .operands = "DISK",
    .summary = "change a disk's weight or zone",
    .description = "DISK is a number or a directory. Data moves in the background until each disk "
                   "has its share\nby weight, and no zone more of a chunk than may be lost.",
    .options = set_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = set,
};

const struct cli_command cli_admin_disk_list = {
    .name = "admin disk list",
    .operands = "",
    .summary = "list the disks, and how far data is on its way between them",
    .description = "Lists the disks of the store: number, role, state, what they hold and have "
                   "free.",
    .options = options,
    .run = list,
};

const struct cli_command cli_admin_disk_add = {
    .name = "admin disk add",
    .operands = "DIR",
    .summary = "take an empty directory in as one more disk",
    .description =
        "Takes the directory, which is made if it is missing and else must be empty, in as a disk "
        "while\nthe server serves. New objects use it at once; data moves to it in the "
        "background.\n"
        "The next start of the server is given the directory beside the others.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = add,
};

const struct cli_command cli_admin_disk_replace = {
    .name = "admin disk replace",
    .operands = "DISK DIR",
    .summary = "put an empty directory in the place of a disk that is gone",
    .description =
        "DISK is a number, or the directory it was in. Only a disk that is gone is replaced; what "
        "it held is\nrebuilt from the others, the most endangered first. The old disk is not taken "
        "back any more.",
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
    .run = replace,
};

const struct cli_command cli_admin_disk_drain = {
    .name = "admin disk drain",
    .operands = "DISK",
    .summary = "move everything away from a disk, so that it can be removed",
    .description =
        "DISK is a number or a directory. The disk gets nothing new and stays readable while its "
        "data moves\nto the others; once it is empty it has left the store ('disk list' calls it "
        "gone) and can be\nremoved. 'cairn admin job pause rebalance' stops the move for a while, "
        "--cancel takes it back.",
    .options = drain_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = drain,
};
