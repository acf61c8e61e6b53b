/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What the disks together survive, and what of their bytes objects can have. */

#include "admin/internal.h"
#include "ring/ring.h"

static json_t *mirrors_json(struct admin *a)
{
    static const char *const states[] = {"in", "rebuilding", "lost"};
    struct meta_mirror_stats stats[META_MIRRORS_MAX];
    unsigned count = meta_mirror_stats(a->config.meta, stats);
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_string(states[stats[i].state]));
    return list;
}

static json_t *audit_copies_json(struct admin *a)
{
    struct audit_copy_status copies[AUDIT_COPIES_MAX];
    unsigned count = a->config.audit ? audit_copies(a->config.audit, copies) : 0;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "path", copies[i].dir, "state",
                                              copies[i].in ? "in" : "behind"));
    return list;
}

/* The bytes of the disks that are there, and what of them objects can have: a disk gets one shard
 * of a chunk at most, so one that is larger than the others is not filled. */
static uint64_t FIBER raw_bytes(struct admin *a, struct blob_code code, uint64_t *ret_usable)
{
    uint64_t sum = 0, sizes[NODES_MAX];
    unsigned count = 0, slots = code.k + code.m;
    for (uint32_t i = 0; i < nodes_count(a->config.nodes); i++) {
        struct node *n = nodes_get(a->config.nodes, i);
        struct node_stats s;
        if (!n || node_role(n) != NODE_ACTIVE)
            continue;
        node_stats(n, &s);
        sizes[count++] = s.disk.total_bytes;
        sum += s.disk.total_bytes;
    }
    *ret_usable = count >= slots ? ring_slot_bytes(sizes, count, slots) * code.k : 0;
    return sum;
}

static unsigned away_count(const struct nodes *nodes)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        const struct node *n = nodes_get(nodes, i);
        count += n && node_role(n) == NODE_AWAY;
    }
    return count;
}

/* A disk that is away counts as lost until the others have taken over what it held, and for good
 * where that cannot be, because every disk has a shard of every chunk. */
unsigned admin_losses_survived(struct admin *a)
{
    unsigned active, usable, away = away_count(a->config.nodes);
    struct jobs_stats jobs;
    jobs_stats(a->config.jobs, &jobs);
    blob_disks(a->config.blob, &active, &usable);
    struct blob_code code = blob_code_for(BLOB_STANDARD, active + away, BLOB_CHUNK_MAX);
    bool made_good = (unsigned)code.k + code.m <= active && !jobs.repair_pending;
    unsigned missing = active - usable + (made_good ? 0 : away);
    return code.m > missing ? code.m - missing : 0;
}

json_t *FIBER admin_redundancy_json(struct admin *a)
{
    unsigned active, usable;
    struct jobs_stats jobs;
    jobs_stats(a->config.jobs, &jobs);
    blob_disks(a->config.blob, &active, &usable);
    struct blob_code code = blob_code_for(BLOB_STANDARD, active, BLOB_CHUNK_MAX);
    uint64_t usable_bytes, raw = raw_bytes(a, code, &usable_bytes);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "disks",
                     (json_int_t)active, "away", (json_int_t)away_count(a->config.nodes), "usable",
                     (json_int_t)usable, "code_k", (json_int_t)code.k, "code_m", (json_int_t)code.m,
                     "losses_survived", (json_int_t)admin_losses_survived(a), "raw_bytes",
                     (json_int_t)raw, "usable_bytes", (json_int_t)usable_bytes, "repair_waiting",
                     (json_int_t)jobs.repair_left, "repair_unreadable",
                     (json_int_t)jobs.repair_lost, "metadata_mirrors", mirrors_json(a),
                     "audit_copies", audit_copies_json(a));
}
