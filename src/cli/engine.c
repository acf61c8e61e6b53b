/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/engine.h"
#include "cli/cli.h"
#include <limits.h>
#include <stdio.h>

struct rocks_open {
    struct kv_rocks_shared *shared;
    char path[PATH_MAX];
    bool with_log;
    struct kv *kv;
};

static int BLOCKING open_rocks(void *arg)
{
    struct rocks_open *o = arg;
    int r = kv_rocks_open(&o->kv, o->shared, o->path, o->with_log);
    if (r != -ERR_CORRUPT || o->with_log)
        return r;
    /* A store without a log can be made anew: the volumes are the needle index's log. */
    r = kv_rocks_destroy(o->path);
    return r < 0 ? r : kv_rocks_open(&o->kv, o->shared, o->path, o->with_log);
}

static int FIBER open_store(struct engine *e, const char *name, bool with_log, struct kv **ret)
{
    struct rocks_open o = {.shared = e->shared, .with_log = with_log};
    snprintf(o.path, sizeof(o.path), "%s/%s", e->dir, name);
    int r = rt_offload(open_rocks, &o);
    if (r < 0)
        cli_fail("cannot open %s: %s", o.path, err_text(r));
    else
        *ret = o.kv;
    return r;
}

static int FIBER lock_directory(struct engine *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/lock", e->dir);
    int r = rt_mkdir(e->dir);
    if (r == 0)
        r = rt_file_open(&e->lock, path, RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (r == 0)
        r = rt_file_lock(e->lock);
    if (r == -ERR_BUSY)
        cli_fail("another process uses %s: stop it first", e->dir);
    else if (r < 0)
        cli_fail("cannot use the directory %s: %s", e->dir, err_text(r));
    return r;
}

static int FIBER open_metadata(struct engine *e)
{
    struct kv *kv;
    int r = open_store(e, "meta", true, &kv);
    if (r < 0)
        return r;
    r = meta_local_open(&e->meta, kv, 0);
    if (r == 0)
        r = store_new_session(e->meta, &e->session);
    if (r < 0)
        cli_fail("cannot open the metadata in %s: %s", e->dir, err_text(r));
    return r;
}

static int FIBER open_data(struct engine *e, const struct engine_config *config)
{
    struct disk_config disk = {.path = e->dir, .volume_bytes_max = config->volume_bytes_max};
    int r = open_store(e, "index", false, &disk.index);
    if (r < 0)
        return r;
    r = disk_open(&e->disk, &disk);
    if (r == 0)
        r = nodes_wrap(&e->nodes, 0, e->dir, e->disk);
    if (r == 0)
        r = blob_open(&e->blob, &(struct blob_config){&e->nodes, e->session});
    if (r == 0)
        r = store_open(&e->store, &(struct store_config){.meta = e->meta, .blob = e->blob});
    if (r < 0)
        cli_fail("cannot open the volumes in %s: %s", e->dir, err_text(r));
    return r;
}

static int FIBER open_identities(struct engine *e, const struct engine_config *config)
{
    struct iam_config iam = {e->meta, config->root_access_key, config->root_secret_key};
    int r = iam_open(&e->iam, &iam);
    if (r < 0)
        cli_fail("cannot read the users from the metadata in %s: %s", e->dir, err_text(r));
    return r;
}

static int FIBER start_jobs(struct engine *e, const struct engine_config *config)
{
    struct jobs_config jobs = {.store = e->store,
                               .nodes = &e->nodes,
                               .meta = e->meta,
                               .session = e->session,
                               .compact_interval_ms = config->compact_interval_ms};
    int r = jobs_start(&e->jobs, &jobs);
    if (r < 0)
        cli_fail("cannot start the background jobs: %s", err_text(r));
    return r;
}

int FIBER engine_open(struct engine *ret, const struct engine_config *config)
{
    *ret = (struct engine){.dir = config->dir};
    int r = lock_directory(ret);
    if (r == 0)
        r = kv_rocks_shared_new(&ret->shared, &(struct kv_rocks_config){0});
    if (r == 0)
        r = open_metadata(ret);
    if (r == 0)
        r = open_data(ret, config);
    if (r == 0)
        r = open_identities(ret, config);
    if (r == 0 && !config->no_jobs)
        r = start_jobs(ret, config);
    if (r < 0)
        engine_close(ret);
    return r;
}

void FIBER engine_close(struct engine *e)
{
    jobs_stop(e->jobs);
    if (e->iam)
        iam_close(e->iam);
    if (e->store)
        store_close(e->store);
    if (e->blob)
        blob_close(e->blob);
    nodes_release(&e->nodes);
    disk_close(e->disk);
    meta_close(e->meta);
    if (e->shared)
        kv_rocks_shared_free(e->shared);
    rt_file_close(e->lock);
    *e = (struct engine){0};
}
