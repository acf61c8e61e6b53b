/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <stdio.h>

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static int run(char **operands, unsigned count)
{
    json_t *answer = NULL, *body = json_pack("{s:s}", "bucket", operands[0]);
    if (count > 1)
        json_object_set_new(body, "class", json_string(operands[1]));
    struct admin_call call = {.method = "POST", .path = "/-/admin/v1/bucket-class", .body = body};
    int r = admin_call(&call, &answer);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    puts(admin_text_of(answer, "class"));
    json_decref(answer);
    return 0;
}

const struct cli_command cli_admin_bucket_class = {
    .name = "admin bucket class",
    .operands = "BUCKET [CLASS]",
    .summary = "show or set the storage class of a bucket's new objects",
    .description = "The class is what objects get whose request names none (x-amz-storage-class): "
                   "STANDARD,\nREDUCED_REDUNDANCY, or one that the server was started with "
                   "(--storage-class). Objects that are\nthere stay as they are.",
    .options = options,
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
