/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <stdio.h>

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_disk(const json_t *d)
{
    char live[32], dead[32], available[32], total[32];
    const char *state = admin_text_of(d, "state");
    printf("  %llu %s  %s, %s\n", (unsigned long long)admin_number_of(d, "number"),
           json_string_value(json_object_get(d, "path")), state,
           json_string_value(json_object_get(d, "role")));
    if (strcmp(state, "gone") == 0) {
        printf("    ATTENTION: %s; %s\n", admin_text_of(d, "fault"),
               strcmp(admin_text_of(d, "role"), "away") == 0
                   ? "the others have taken over what it held, as far as they can"
                   : "what it holds is read from the others");
        return;
    }
    printf("    %s free of %s; volumes: %s live, %s dead in %llu files\n",
           admin_format_bytes(admin_number_of(d, "free_bytes"), available),
           admin_format_bytes(admin_number_of(d, "total_bytes"), total),
           admin_format_bytes(admin_number_of(d, "live_bytes"), live),
           admin_format_bytes(admin_number_of(d, "dead_bytes"), dead),
           (unsigned long long)admin_number_of(d, "volumes"));
    if (admin_number_of(d, "volumes_read_only") || admin_number_of(d, "sync_errors") ||
        admin_number_of(d, "corrupt_reads"))
        printf("    ATTENTION: %llu read-only volumes, %llu failed syncs, %llu corrupt reads\n",
               (unsigned long long)admin_number_of(d, "volumes_read_only"),
               (unsigned long long)admin_number_of(d, "sync_errors"),
               (unsigned long long)admin_number_of(d, "corrupt_reads"));
}

static int run(char **operands, unsigned count)
{
    json_t *info = NULL, *disk, *job;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/info"}, &info);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(info);
    char bytes[32];
    const json_t *usage = json_object_get(info, "usage");
    printf("cairn %s, up %llu s, %llu threads\n",
           json_string_value(json_object_get(info, "version")),
           (unsigned long long)admin_number_of(info, "uptime_s"),
           (unsigned long long)admin_number_of(info, "threads"));
    printf("%llu buckets, %llu objects, %s; %llu uploads under way\n",
           (unsigned long long)admin_number_of(usage, "buckets"),
           (unsigned long long)admin_number_of(usage, "objects"),
           admin_format_bytes(admin_number_of(usage, "bytes"), bytes),
           (unsigned long long)admin_number_of(usage, "uploads"));
    admin_print_redundancy(json_object_get(info, "redundancy"));
    puts("disks");
    json_array_foreach(json_object_get(info, "disks"), i, disk) print_disk(disk);
    admin_print_damages(json_object_get(info, "scrub"));
    puts("jobs");
    json_array_foreach(json_object_get(info, "jobs"), i, job) admin_print_job(job);
    json_decref(info);
    return 0;
}

const struct cli_command cli_admin_info = {
    .name = "admin info",
    .operands = "",
    .summary = "tell what a server holds and how it fares",
    .description = "Prints version, usage and the state of each disk.",
    .options = options,
    .run = run,
};
