/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "cli/durability.h"
#include <math.h>
#include <stdio.h>

static struct {
    uint64_t disks;
    const char *code, *afr, *disk_size, *fill, *rebuild_rate, *rebuild_days, *wait_hours, *ure,
        *object;
    bool json;
} options = {.code = "4+2",
             .afr = "1.5",
             .disk_size = "16T",
             .fill = "100",
             .rebuild_rate = "100M",
             .wait_hours = "0",
             .ure = "1e-15",
             .object = "1M"};

static const struct cli_option option_table[] = {
    {"disks", CLI_NUMBER, &options.disks, "N", "of the store; K + M if not given"},
    {"code", CLI_TEXT, &options.code, "K+M", "data and parity shards; 1+2 is three copies (4+2)"},
    {"afr", CLI_TEXT, &options.afr, "PERCENT", "of the disks that fail in a year (1.5)"},
    {"disk-size", CLI_TEXT, &options.disk_size, "BYTES", "of one disk; K to E, Ki to Ei (16T)"},
    {"fill", CLI_TEXT, &options.fill, "PERCENT", "of a disk that is used (100)"},
    {"rebuild-rate", CLI_TEXT, &options.rebuild_rate, "BYTES",
     "a second, at which one lost disk is made good (100M)"},
    {"rebuild-days", CLI_TEXT, &options.rebuild_days, "DAYS", "that it takes, in place of a rate"},
    {"wait-hours", CLI_TEXT, &options.wait_hours, "HOURS",
     "from a failure until its repair begins (0)"},
    {"ure", CLI_TEXT, &options.ure, "RATE", "unreadable sectors for each bit read (1e-15)"},
    {"object-size", CLI_TEXT, &options.object, "BYTES", "of the one object asked about (1M)"},
    {"json", CLI_FLAG, &options.json, NULL, "print JSON"},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* ---- the input ------------------------------------------------------------------------------ */

static int bad(const char *option, const char *value)
{
    cli_fail("--%s: not understood: %s", option, value);
    return -1;
}

static int read_numbers(struct durability_input *in)
{
    double percent, fill, hours;
    if (durability_parse_number(options.afr, &percent) < 0)
        return bad("afr", options.afr);
    if (durability_parse_number(options.fill, &fill) < 0)
        return bad("fill", options.fill);
    if (durability_parse_number(options.wait_hours, &hours) < 0)
        return bad("wait-hours", options.wait_hours);
    if (durability_parse_number(options.ure, &in->ure_bit) < 0)
        return bad("ure", options.ure);
    in->afr = percent / 100;
    in->fill = fill / 100;
    in->wait_s = hours * 3600;
    return 0;
}

static int read_sizes(struct durability_input *in)
{
    double days;
    if (durability_parse_size(options.disk_size, &in->disk_bytes) < 0)
        return bad("disk-size", options.disk_size);
    if (durability_parse_size(options.object, &in->object_bytes) < 0)
        return bad("object-size", options.object);
    if (durability_parse_size(options.rebuild_rate, &in->rebuild_bytes_s) < 0)
        return bad("rebuild-rate", options.rebuild_rate);
    if (!options.rebuild_days)
        return 0;
    if (durability_parse_number(options.rebuild_days, &days) < 0 || days == 0)
        return bad("rebuild-days", options.rebuild_days);
    in->rebuild_bytes_s = in->disk_bytes * in->fill / (days * 86400);
    return 0;
}

static int read_input(struct durability_input *in)
{
    if (durability_parse_code(options.code, &in->k, &in->m) < 0)
        return bad("code", options.code);
    in->disks = options.disks ? (unsigned)MIN(options.disks, UINT32_MAX) : in->k + in->m;
    return read_numbers(in) < 0 ? -1 : read_sizes(in);
}

/* ---- the output ----------------------------------------------------------------------------- */

static void print_line(const char *what, double loss)
{
    if (loss > 0)
        printf("  %-56s %.3e  %4.1f nines\n", what, loss, durability_nines(loss));
    else
        printf("  %-56s not counted\n", what);
}

static void print_text(const struct durability_input *in, const struct durability *d)
{
    printf("%u disks of %g TB, code %u+%u, %g %% fail a year, each made good in %.2f days\n",
           in->disks, in->disk_bytes / 1e12, in->k, in->m, in->afr * 100, d->window_s / 86400);
    puts("\nprobability of loss within a year");
    print_line("anything at all in the whole store", d->loss);
    print_line("  by more disks than the code survives", -expm1(-d->disk_loss));
    print_line("  by an unreadable sector when no shard is spare", -expm1(-d->sector_loss));
    print_line("one given object", d->object_loss);
    print_line("a group of K+M disks, binomial by periods (as published)", d->group_loss);
    puts("\nDisks are taken to fail independently of one another, at a constant rate, and repair "
         "to be\n"
         "as fast as said. A batch of bad disks, a shared power supply, fire, mistakes and bugs "
         "are\n"
         "not in these numbers, and likelier than most of them: docs/DURABILITY.md.");
}

static int print_json(const struct durability_input *in, const struct durability *d)
{
    return admin_print_json(
        json_pack("{s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "disks",
                  (int)in->disks, "k", (int)in->k, "m", (int)in->m, "afr", in->afr, "disk_bytes",
                  in->disk_bytes, "ure_bit", in->ure_bit, "rebuild_days", d->window_s / 86400,
                  "disk_loss_rate", d->disk_loss, "sector_loss_rate", d->sector_loss, "loss",
                  d->loss, "nines", durability_nines(d->loss), "object_loss", d->object_loss,
                  "object_nines", durability_nines(d->object_loss), "group_loss", d->group_loss));
}

static int run(char **operands, unsigned count)
{
    struct durability_input in = {0};
    struct durability d;
    if (read_input(&in) < 0)
        return 2;
    if (durability_calculate(&in, &d) < 0)
        return cli_fail(
            "these numbers make no sense together: K + M above the disks, a rate or size "
            "of nothing, or a rebuild that takes more than a year");
    if (options.json)
        return print_json(&in, &d);
    print_text(&in, &d);
    return 0;
}

const struct cli_command cli_admin_durability = {
    .name = "admin durability",
    .operands = "",
    .summary = "calculate how likely disk failures lose data",
    .description =
        "Needs no server. From the number of disks, the code, the yearly failure rate of a disk,\n"
        "its size and the rate of repair it calculates the probability that data is lost within a\n"
        "year, and the same as a number of nines.\n"
        "\n"
        "The store: every partition has K+M of the N disks, chosen at random. A failure while M\n"
        "others are out loses the partitions that had them all. While M are out, all that is left\n"
        "of a partition must be read, and a sector that cannot be read (--ure) loses its stripe.\n"
        "\n"
        "The group, for comparison with published figures: K+M disks and nothing else, the year "
        "cut\n"
        "into periods of one rebuild, binomial. 17+3 with --afr 0.405 --rebuild-days 6.5 gives "
        "the\n"
        "published 7.354e-12.\n"
        "\n"
        "Failures are taken to be independent; docs/DURABILITY.md tells what that leaves out.",
    .options = option_table,
    .run = run,
};
