/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/engine/engine.h"
#include "base/log.h"
#include "cli/cli.h"
#include <stdio.h>

struct rocks_open {
    struct kv_rocks_shared *shared;
    char path[PATH_MAX + 16];
    bool with_log;
    struct kv *kv;
    char why[KV_ROCKS_WHY];
};

static int BLOCKING open_rocks(void *arg)
{
    struct rocks_open *o = arg;
    int r = kv_rocks_open(&o->kv, o->shared, o->path, o->with_log);
    bool damaged = r == -ERR_CORRUPT || r == -EIO; /* which is also what has no code of its own */
    if (r == -ERR_CORRUPT && o->with_log)
        (void)kv_rocks_why(o->path, o->why);
    if (!damaged || o->with_log)
        return r;
    /* A store without a log can be made anew: the volumes are the needle index's log. */
    r = kv_rocks_destroy(o->path);
    return r < 0 ? r : kv_rocks_open(&o->kv, o->shared, o->path, o->with_log);
}

int FIBER engine_open_rocks(struct engine *e, const char *dir, const char *name, bool with_log,
                            struct kv **ret)
{
    struct rocks_open o = {.shared = e->shared, .with_log = with_log};
    snprintf(o.path, sizeof(o.path), "%s/%s", dir, name);
    int r = rt_offload(open_rocks, &o);
    if (r == 0)
        *ret = o.kv;
    else if (o.why[0])
        log_event(LOG_ERROR, "a part of the metadata is gone or damaged", "%s: %s", o.path, o.why);
    return r;
}

static int FIBER open_store(struct engine *e, const struct engine_config *config)
{
    int r = blob_open(&e->blob, &(struct blob_config){&e->nodes, e->session});
    if (r == 0)
        r = engine_publish_ring(e);
    if (r == 0)
        r = store_open(&e->store, &(struct store_config){.meta = e->meta,
                                                         .blob = e->blob,
                                                         .classes = config->classes,
                                                         .class_count = config->class_count});
    if (r < 0)
        cli_fail("cannot read the buckets from the metadata in %s: %s", e->meta_dir, err_text(r));
    return r;
}

static int FIBER open_identities(struct engine *e, const struct engine_config *config)
{
    struct iam_config iam = {e->meta, config->root_access_key, config->root_secret_key,
                             config->oidc, config->ldap};
    int r = iam_open(&e->iam, &iam);
    if (r < 0)
        cli_fail("cannot read the users from the metadata in %s: %s", e->meta_dir, err_text(r));
    return r;
}

static int FIBER open_events(struct engine *e, const struct engine_config *config)
{
    struct events_config events = {.meta = e->meta,
                                   .store = e->store,
                                   .region = config->region,
                                   .allow_local = config->allow_local_events};
    int r = events_open(&e->events, &events);
    if (r < 0)
        cli_fail("cannot read the targets of events from the metadata in %s: %s", e->meta_dir,
                 err_text(r));
    return r;
}

static void disk_changed(void *arg, const struct node *n, enum node_state state)
{
    const struct engine *e = arg;
    if (e->moved)
        e->moved(e->looked_arg);
    if (node_role(n) == NODE_RETIRED)
        return; /* replaced or drained: it is no disk of the store, and nobody misses it */
    if (state == NODE_ONLINE)
        log_event(LOG_INFO, "a disk is online again", "disk %u, %s", node_number(n), node_path(n));
    else if (state == NODE_SUSPECT)
        log_event(LOG_WARN, "a disk fails", "disk %u, %s: %s", node_number(n), node_path(n),
                  err_text(node_fault(n)));
    else
        log_event(LOG_ERROR, "a disk is gone",
                  "disk %u, %s: %s; cairn admin info tells what is left", node_number(n),
                  node_path(n), err_text(node_fault(n)));
}

static int FIBER start_jobs(struct engine *e, const struct engine_config *config)
{
    struct jobs_config jobs = {.store = e->store,
                               .nodes = &e->nodes,
                               .meta = e->meta,
                               .blob = e->blob,
                               .events = e->events,
                               .disk_emptied = engine_disk_retire,
                               .ring_step = engine_ring_step,
                               .disk_away = engine_disk_away,
                               .disks_look = engine_disks_look,
                               .spare_after_ms = config->spare_after_ms,
                               .disks_arg = e,
                               .session = e->session,
                               .compact_interval_ms = config->compact_interval_ms,
                               .scrub_days = config->scrub_days,
                               .lifecycle_day_ms = config->lifecycle_day_ms};
    e->nodes.changed = disk_changed;
    e->nodes.changed_arg = e;
    int r = nodes_watch(&e->nodes, 0);
    if (r == 0)
        r = jobs_start(&e->jobs, &jobs);
    if (r < 0)
        cli_fail("cannot start the background jobs: %s", err_text(r));
    return r;
}

int FIBER engine_open(struct engine *ret, const struct engine_config *config)
{
    *ret = (struct engine){.volume_bytes_max = config->volume_bytes_max,
                           .widest = store_classes_widest(config->classes, config->class_count),
                           .only_look = config->no_jobs,
                           .forced = config->force_metadata};
    int r = store_disks_init(&ret->table);
    if (r == 0)
        r = kv_rocks_shared_new(&ret->shared,
                                &(struct kv_rocks_config){.several_disks = config->dir_count > 1});
    if (r == 0)
        r = engine_open_disks(ret, config);
    if (r == 0)
        r = open_store(ret, config);
    if (r == 0)
        r = open_identities(ret, config);
    if (r == 0 && !config->no_jobs)
        r = open_events(ret, config);
    if (r == 0 && !config->no_jobs)
        r = start_jobs(ret, config);
    if (r < 0)
        engine_close(ret);
    return r;
}

void FIBER engine_close(struct engine *e)
{
    jobs_stop(e->jobs);
    events_close(e->events);
    if (e->iam)
        iam_close(e->iam);
    if (e->store)
        store_close(e->store);
    blob_close(e->blob);
    nodes_release(&e->nodes);
    meta_close(e->meta);
    if (e->shared)
        kv_rocks_shared_free(e->shared);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (e->disks[i])
            rt_file_close(e->disks[i]->lock);
        free(e->disks[i]);
    }
    store_disks_release(&e->table);
    *e = (struct engine){0};
}
