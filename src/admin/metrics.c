/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <stdio.h>
#include <unistd.h>
#include "admin/internal.h"
#include "jobs/batch/batch.h"
#include "base/reserve.h"
#include "kms/kms.h"

/*
 * Numbers of the rooms below the doors, a table for each room's stats; the S3 door writes its own
 * (door_metrics).
 */

/* One family: a uint64_t member of a stats structure. */
struct field {
    const char *name, *type, *help;
    size_t offset;
    bool in_ns; /* told in seconds */
};

/* clang-format off */
#define GAUGE(structure, member, name, help)   {name, "gauge", help, offsetof(struct structure, member), false}
#define COUNTER(structure, member, name, help) {name, "counter", help, offsetof(struct structure, member), false}
#define GAUGE_NS(structure, member, name, help) {name, "gauge", help, offsetof(struct structure, member), true}

static const struct field rt_fields[] = {
    GAUGE(rt_stats, fibers, "cairn_rt_fibers",
        "Fibers alive."),
    GAUGE(rt_stats, fibers_peak, "cairn_rt_fibers_peak",
        "Most fibers alive at once."),
    GAUGE(rt_stats, stacks, "cairn_rt_stacks",
        "Fiber stacks allocated."),
    GAUGE(rt_stats, stack_used_max_bytes, "cairn_rt_stack_used_max_bytes",
        "Deepest stack use seen."),
    GAUGE(rt_stats, parked, "cairn_rt_sockets_parked",
        "Idle connections without a stack."),
    GAUGE(rt_stats, offload_queued, "cairn_rt_offload_queued",
        "Blocking jobs waiting for a thread."),
};

static const struct field reserve_fields[] = {
    GAUGE(reserve_stats, used_bytes, "cairn_memory_reserve_used_bytes",
        "Of the reserve of memory, in use: there was no other."),
    GAUGE(reserve_stats, size_bytes, "cairn_memory_reserve_bytes",
        "The reserve of memory."),
    COUNTER(reserve_stats, refused, "cairn_memory_refused_total",
        "Allocations that failed; what wanted them was refused."),
    COUNTER(reserve_stats, served, "cairn_memory_reserve_served_total",
        "Allocations that failed and were served from the reserve."),
    COUNTER(reserve_stats, waits, "cairn_memory_reserve_waits_total",
        "Allocations that had to wait, the reserve being used up."),
};

static const struct field http_fields[] = {
    GAUGE(http_server_stats, connections, "cairn_http_connections",
        "Connections open."),
    COUNTER(http_server_stats, connections_total, "cairn_http_connections_total",
        "Connections accepted."),
    GAUGE(http_server_stats, requests_active, "cairn_http_requests_active",
        "Requests being served."),
    COUNTER(http_server_stats, requests_total, "cairn_http_requests_total",
        "Requests read."),
    COUNTER(http_server_stats, bytes_in, "cairn_http_received_bytes_total",
        "Bytes received."),
    COUNTER(http_server_stats, bytes_out, "cairn_http_sent_bytes_total",
        "Bytes sent."),
    COUNTER(http_server_stats, refused, "cairn_http_refused_total",
        "Connections and requests refused by a limit."),
    COUNTER(http_server_stats, tls_handshakes, "cairn_tls_handshakes_total",
        "TLS handshakes completed."),
    COUNTER(http_server_stats, tls_failures, "cairn_tls_failures_total",
        "TLS handshakes failed."),
};

static const struct field meta_fields[] = {
    COUNTER(meta_stats, reads, "cairn_meta_reads_total",
        "Read transactions."),
    COUNTER(meta_stats, reads_cold, "cairn_meta_reads_cold_total",
        "Read transactions that needed the disk."),
    COUNTER(meta_stats, writes, "cairn_meta_writes_total",
        "Write transactions."),
    COUNTER(meta_stats, write_batches, "cairn_meta_write_batches_total",
        "Synced batches of write transactions."),
    COUNTER(meta_stats, write_errors, "cairn_meta_write_errors_total",
        "Write transactions that the store refused."),
    COUNTER(meta_stats, recoveries, "cairn_meta_recoveries_total",
        "Times the store was opened anew after it lacked space or descriptors."),
    GAUGE(meta_stats, mirrors_in, "cairn_meta_mirrors_in",
        "Copies of the metadata that hold all of it."),
    GAUGE(meta_stats, mirrors_rebuilding, "cairn_meta_mirrors_rebuilding",
        "Copies of the metadata that are being made like the others."),
    GAUGE(meta_stats, mirrors_lost, "cairn_meta_mirrors_lost",
        "Copies of the metadata that failed or hang."),
    GAUGE(meta_stats, kv.disk_bytes, "cairn_meta_disk_bytes",
        "Bytes of metadata on disk."),
    GAUGE(meta_stats, kv.memory_bytes, "cairn_meta_memory_bytes",
        "Memory of the metadata store."),
};

static const struct field store_fields[] = {
    COUNTER(store_stats, cache_hits, "cairn_store_cache_hits_total",
        "Records found in the cache."),
    COUNTER(store_stats, cache_misses, "cairn_store_cache_misses_total",
        "Records not found in the cache."),
    GAUGE(store_stats, cache_bytes, "cairn_store_cache_bytes",
        "Bytes of cached records."),
    GAUGE(store_stats, settings_bytes, "cairn_store_settings_bytes",
        "Bytes of buckets' settings in memory."),
    GAUGE(store_stats, readers_open, "cairn_store_readers",
        "Objects open for reading."),
    COUNTER(store_stats, gc_chunks, "cairn_store_gc_chunks_total",
        "Chunks garbage-collected."),
    COUNTER(store_stats, gc_bytes, "cairn_store_gc_bytes_total",
        "Bytes garbage-collected."),
};

static const struct field jobs_fields[] = {
    COUNTER(jobs_stats, gc_errors, "cairn_jobs_gc_errors_total",
        "Failed rounds of collection."),
    COUNTER(jobs_stats, compact_runs, "cairn_jobs_compact_runs_total",
        "Volumes compacted."),
    COUNTER(jobs_stats, compact_freed_bytes, "cairn_jobs_compact_freed_bytes_total",
        "Bytes freed by compaction."),
    COUNTER(jobs_stats, compact_errors, "cairn_jobs_compact_errors_total",
        "Failed compactions."),
    COUNTER(jobs_stats, repaired_chunks, "cairn_repair_chunks_total",
        "Chunks made whole."),
    COUNTER(jobs_stats, repaired_bytes, "cairn_repair_bytes_total",
        "Bytes written by repairs."),
    COUNTER(jobs_stats, repair_errors, "cairn_repair_errors_total",
        "Failed passes of repair."),
    GAUGE(jobs_stats, repair_left, "cairn_repair_waiting_chunks",
        "Chunks that want repair and wait for a disk."),
    GAUGE(jobs_stats, repair_lost, "cairn_repair_unreadable_chunks",
        "Of those, chunks that cannot be read at present."),
    COUNTER(jobs_stats, sweep_errors, "cairn_jobs_sweep_errors_total",
        "Failed sweeps."),
    COUNTER(jobs_stats, sweep_orphans, "cairn_jobs_sweep_orphans_total",
        "Needles without a record removed by the sweep."),
};

static const struct field blob_fields[] = {
    COUNTER(blob_stats, degraded_reads, "cairn_blob_degraded_reads_total",
        "Shards that could not be read and were replaced by others."),
    COUNTER(blob_stats, hedged_reads, "cairn_blob_hedged_reads_total",
        "Reads for which others were begun because they were slow."),
    COUNTER(blob_stats, damaged_shards, "cairn_blob_damaged_shards_total",
        "Shards that reads found missing or wrong."),
    COUNTER(blob_stats, lost_writes, "cairn_blob_lost_writes_total",
        "Shards that could not be written."),
    COUNTER(blob_stats, reencoded, "cairn_blob_reencoded_chunks_total",
        "Chunks written anew because too many of their disks failed meanwhile."),
    GAUGE(blob_stats, lingering, "cairn_blob_lingering_reads",
        "Slow reads and writes that nobody waits for."),
    GAUGE(blob_stats, pooled_bytes, "cairn_blob_pooled_bytes",
        "Memory kept for the next reads and writes of long objects."),
    GAUGE(blob_stats, slab_bytes, "cairn_blob_slab_bytes",
        "Memory on huge pages that reads and writes of long objects use or keep."),
};

static const struct field disk_fields[] = {
    GAUGE(node_stats, state, "cairn_disk_state",
        "0: online, 1: suspect, 2: gone."),
    COUNTER(node_stats, faults, "cairn_disk_faults_total",
        "Operations that the disk failed."),
    COUNTER(node_stats, returns, "cairn_disk_returns_total",
        "Times that a gone disk came back."),
    GAUGE_NS(node_stats, read_p95_ns, "cairn_disk_read_p95_seconds",
        "What 95 of a hundred reads take."),
    GAUGE(node_stats, disk.total_bytes, "cairn_disk_total_bytes",
        "Size of the file system."),
    GAUGE(node_stats, disk.free_bytes, "cairn_disk_free_bytes",
        "Free space of the file system."),
    GAUGE(node_stats, disk.live_bytes, "cairn_disk_live_bytes",
        "Bytes of live needles."),
    GAUGE(node_stats, disk.dead_bytes, "cairn_disk_dead_bytes",
        "Bytes that compaction can free."),
    GAUGE(node_stats, disk.needles, "cairn_disk_needles",
        "Live needles."),
    GAUGE(node_stats, disk.volumes, "cairn_disk_volumes",
        "Volume files."),
    GAUGE(node_stats, disk.volumes_read_only, "cairn_disk_volumes_read_only",
        "Volumes that take no writes after a sync error."),
    COUNTER(node_stats, disk.appends, "cairn_disk_appends_total",
        "Needles written."),
    COUNTER(node_stats, disk.syncs, "cairn_disk_syncs_total",
        "Syncs of volumes."),
    COUNTER(node_stats, disk.sync_errors, "cairn_disk_sync_errors_total",
        "Syncs that failed."),
    COUNTER(node_stats, disk.reads, "cairn_disk_reads_total",
        "Needles read."),
    COUNTER(node_stats, disk.corrupt_reads, "cairn_disk_corrupt_reads_total",
        "Reads whose check failed."),
    COUNTER(node_stats, disk.index_lookups, "cairn_disk_index_lookups_total",
        "Reads that asked the needle index."),
    GAUGE(node_stats, disk.replayed_bytes, "cairn_disk_replayed_bytes",
        "Bytes of volumes replayed at the last start."),
};

#undef GAUGE
#undef GAUGE_NS
#undef COUNTER
/* clang-format on */

static void write_fields(struct buf *out, const struct field *fields, size_t count,
                         const void *stats)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)stats + fields[i].offset, sizeof(value));
        metrics_single(out, fields[i].name, fields[i].type, fields[i].help, value);
    }
}
#define WRITE_FIELDS(out, fields, stats) write_fields(out, fields, ARRAY_LEN(fields), stats)

static void write_process(struct admin *a, struct buf *out)
{
    struct rt_stats rt;
    struct reserve_stats reserve;
    rt_stats(&rt);
    metrics_family(out, "cairn_build_info", "gauge", "The version that serves; always 1.");
    metrics_sample_u64(out, "cairn_build_info",
                       (struct metrics_label[]){{"version", STR(CAIRN_VERSION)}, {NULL, STR_NULL}},
                       1);
    metrics_single(out, "cairn_uptime_seconds", "gauge", "Seconds since the start.",
                   (rt_now() - a->started_ns) / RT_S);
    WRITE_FIELDS(out, rt_fields, &rt);
    reserve_stats(&reserve);
    WRITE_FIELDS(out, reserve_fields, &reserve);
}

/* The resident set, from /proc/self/statm's second field. */
static void write_memory(struct buf *out)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f)
        return;
    if (fscanf(f, "%*u %llu", &pages) == 1)
        metrics_single(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                       pages * (uint64_t)sysconf(_SC_PAGESIZE));
    fclose(f);
}

static void write_rooms(struct admin *a, struct buf *out)
{
    struct http_server_stats http;
    struct store_stats store;
    struct meta_stats meta;
    struct jobs_stats jobs;
    if (a->config.server) {
        http_server_stats(a->config.server, &http);
        WRITE_FIELDS(out, http_fields, &http);
    }
    store_stats(a->config.store, &store);
    WRITE_FIELDS(out, store_fields, &store);
    meta_stats(a->config.meta, &meta);
    WRITE_FIELDS(out, meta_fields, &meta);
    jobs_stats(a->config.jobs, &jobs);
    WRITE_FIELDS(out, jobs_fields, &jobs);
    metrics_single(out, "cairn_jobs_sweep_done", "gauge",
                   "1 once the sweep after the start is done.", jobs.sweep_done);
    schedule_metrics(out, jobs_schedule(a->config.jobs));
    jobs_scrub_metrics(out, a->config.jobs);
    jobs_lifecycle_metrics(out, a->config.jobs);
    jobs_retention_metrics(out, a->config.jobs);
    jobs_restore_metrics(out, a->config.jobs);
    jobs_batch_metrics(out, a->config.jobs);
    jobs_inventory_metrics(out, a->config.jobs);
    if (a->config.audit)
        audit_metrics(out, a->config.audit);
    if (a->config.kms)
        kms_metrics(out, a->config.kms);
    if (a->config.events)
        events_metrics(out, a->config.events);
}

/* What the disks survive. */
static void write_redundancy(struct admin *a, struct buf *out)
{
    unsigned active, usable;
    struct blob_stats blob;
    blob_stats(a->config.blob, &blob);
    WRITE_FIELDS(out, blob_fields, &blob);
    blob_disks(a->config.blob, &active, &usable);
    metrics_single(out, "cairn_disks", "gauge", "Disks that the store is to have.", active);
    metrics_single(out, "cairn_disks_usable", "gauge", "Of those, disks that take writes.", usable);
    metrics_single(out, "cairn_losses_survived", "gauge",
                   "Further disks that may be lost without losing data.", admin_losses_survived(a));
    metrics_single(out, "cairn_ring_epoch", "gauge", "The epoch by which chunks are placed.",
                   blob_epoch(a->config.blob));
}

static void write_disks(struct admin *a, struct buf *out)
{
    uint32_t count = nodes_count(a->config.nodes);
    _cleanup_free_ struct node_stats *stats = calloc(count, sizeof(*stats));
    if (!stats) {
        out->failed = true;
        return;
    }
    for (uint32_t d = 0; d < count; d++)
        if (nodes_get(a->config.nodes, d))
            node_stats(nodes_get(a->config.nodes, d), &stats[d]);
    for (size_t f = 0; f < ARRAY_LEN(disk_fields); f++) {
        const struct field *family = &disk_fields[f];
        metrics_family(out, family->name, family->type, family->help);
        for (uint32_t d = 0; d < count; d++) {
            char number[16];
            if (!nodes_get(a->config.nodes, d))
                continue;
            int len = snprintf(number, sizeof(number), "%u", d);
            uint64_t value;
            memcpy(&value, (const char *)&stats[d] + family->offset, sizeof(value));
            struct metrics_label labels[] = {{"disk", str_make(number, (size_t)len)},
                                             {NULL, STR_NULL}};
            if (family->in_ns)
                metrics_sample(out, family->name, labels, (double)value / RT_S);
            else
                metrics_sample_u64(out, family->name, labels, value);
        }
    }
}

void FIBER admin_metrics(struct admin *a, struct http_exchange *x, struct str body)
{
    struct buf out;
    buf_init(&out, 4 * MIB);
    write_process(a, &out);
    write_memory(&out);
    if (a->config.door_metrics)
        a->config.door_metrics(&out, a->config.door_metrics_arg);
    write_rooms(a, &out);
    write_redundancy(a, &out);
    write_disks(a, &out);
    if (buf_error(&out) < 0) {
        admin_respond_error(x, -ENOMEM, NULL);
    } else {
        http_set_header(x, "Content-Type", STR("text/plain; version=0.0.4; charset=utf-8"));
        http_respond(x, 200, buf_str(&out));
    }
    buf_release(&out);
}
