/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <stdio.h>
#include "admin/internal.h"
#include "base/log.h"
#include "kms/kms.h"
#include "wire/json.h"

#define WEIGHT_MAX (INT64_C(1) << 60)

static const char *role_text(enum node_role role)
{
    static const char *const texts[] = {"active", "draining", "gone", "away"};
    return texts[role];
}

json_t *admin_disk_json(struct node *n)
{
    struct node_stats of;
    node_stats(n, &of);
    struct disk_stats s = of.disk;
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "path", node_path(n), "fault", node_fault(n) ? err_text(node_fault(n)) : "",
                     "number", (json_int_t)node_number(n), "role", role_text(node_role(n)), "state",
                     node_state_text((enum node_state)of.state), "weight",
                     (json_int_t)node_weight(n), "faults", (json_int_t)of.faults, "total_bytes",
                     (json_int_t)s.total_bytes, "free_bytes", (json_int_t)s.free_bytes,
                     "live_bytes", (json_int_t)s.live_bytes, "dead_bytes", (json_int_t)s.dead_bytes,
                     "needles", (json_int_t)s.needles, "volumes", (json_int_t)s.volumes,
                     "volumes_read_only", (json_int_t)s.volumes_read_only, "sync_errors",
                     (json_int_t)s.sync_errors, "corrupt_reads", (json_int_t)s.corrupt_reads);
}

/* Those that have left are not shown, but for who asks for them. */
json_t *admin_disks_json(struct admin *a, bool all)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < nodes_count(a->config.nodes); i++) {
        struct node *n = nodes_get(a->config.nodes, i);
        if (n && (all || node_role(n) != NODE_RETIRED))
            json_array_append_new(list, admin_disk_json(n));
    }
    return list;
}

static json_t *rebalance_json(struct admin *a)
{
    struct job_status s;
    struct job *j = schedule_find(jobs_schedule(a->config.jobs), STR("rebalance"));
    if (!j)
        return json_null();
    job_status(j, &s);
    return admin_job_json(&s);
}

void FIBER admin_disk_list(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_json(x, 200,
                       json_pack("{s:o, s:o, s:o}", "redundancy", admin_redundancy_json(a), "disks",
                                 admin_disks_json(a, true), "rebalance", rebalance_json(a)));
}

static int parse_action(struct str text, enum admin_disk_action *ret)
{
    static const char *const texts[] = {"add", "replace", "drain", "undrain", "set"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        if (str_eq(text, str_from(texts[i]))) {
            *ret = (enum admin_disk_action)i;
            return 0;
        }
    return -ERR_INVALID_ARGUMENT;
}

/* The path lives as long as `o` does. */
static int parse_change(const json_t *o, struct admin_disk_change *ret)
{
    const json_t *number = json_object_get(o, "number"), *path = json_object_get(o, "path");
    int r = parse_action(str_from(json_string_value(json_object_get(o, "action"))), &ret->action);
    if (r < 0)
        return r;
    bool wants_path = ret->action == ADMIN_DISK_ADD || ret->action == ADMIN_DISK_REPLACE;
    json_int_t n = json_integer_value(number);
    if (wants_path != json_is_string(path) ||
        (ret->action != ADMIN_DISK_ADD) != json_is_integer(number) || n < 0 || n >= NODES_MAX)
        return -ERR_INVALID_ARGUMENT;
    const json_t *weight = json_object_get(o, "weight"), *zone = json_object_get(o, "zone");
    if ((weight && json_integer_value(weight) < 1) || json_integer_value(weight) > WEIGHT_MAX ||
        (zone && (!json_is_integer(zone) || json_integer_value(zone) < 0 ||
                  json_integer_value(zone) > UINT32_MAX)))
        return -ERR_INVALID_ARGUMENT;
    ret->weight = (uint64_t)json_integer_value(weight);
    ret->zone = zone ? json_integer_value(zone) : -1;
    ret->number = (uint32_t)n;
    ret->path = json_string_value(path);
    return 0;
}

/* The disk is there whatever comes of it: a copy that cannot be written is told in the log, and
 * tried again. */
static void FIBER give_keys(struct admin *a, const struct admin_disk_change *change,
                            uint32_t number)
{
    bool came = change->action == ADMIN_DISK_ADD || change->action == ADMIN_DISK_REPLACE;
    const char *path = node_path(nodes_get(a->config.nodes, number));
    int r = came && a->config.kms ? kms_take_dir(a->config.kms, path) : 0;
    if (r < 0)
        log_event(LOG_ERROR, "a new disk has no copy of the key file", "%s: %s", path, err_text(r));
}

void FIBER admin_disk_change(struct admin *a, struct http_exchange *x, struct str body)
{
    struct admin_disk_change change = {.number = 0};
    char why[ADMIN_WHY_MAX] = "";
    uint32_t number = 0;
    json_t *in = json_read(body);
    int r = parse_change(in, &change);
    if (r < 0)
        snprintf(why, sizeof(why),
                 "the body needs an action (add, replace, drain, undrain, set) with "
                 "the path or the number that it is about");
    else
        r = a->config.change_disk(a->config.disks_arg, &change, &number, why);
    json_decref(in);
    if (r == 0)
        give_keys(a, &change, number);
    if (r < 0)
        admin_respond_error(x, r, why[0] ? why : NULL);
    else
        admin_respond_json(x, 200, admin_disk_json(nodes_get(a->config.nodes, number)));
}
