/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The rooms put together over one data directory: metadata, disk, blob, store, identities, jobs.
 * `cairn server` serves it, `cairn admin check --dir` walks it.
 *
 * The directory (docs/FORMATS.md): `lock` (held while open), `meta/`, `index/`, `volumes/`,
 * `disk.id`, and `root.credentials` where they were generated.
 */

#include "blob/blob.h"
#include "iam/iam.h"
#include "jobs/jobs.h"
#include "meta/meta.h"
#include "store/store.h"

struct engine {
    const char *dir;
    struct rt_file *lock;
    struct kv_rocks_shared *shared;
    struct meta *meta;
    struct disk *disk;
    struct nodes nodes;
    struct blob *blob;
    struct store *store;
    struct iam *iam;
    struct jobs *jobs;
    uint64_t session;
};

struct engine_config {
    const char *dir; /* made if missing */
    struct str root_access_key, root_secret_key;
    bool no_jobs;                 /* nothing in the background: for a check */
    uint64_t volume_bytes_max;    /* 0: struct disk_config's choice */
    unsigned compact_interval_ms; /* 0: struct jobs_config's choice */
};

/* The fault is told on standard error. On failure nothing stays open. */
int FIBER engine_open(struct engine *ret, const struct engine_config *config);
/* Accepts a zeroed engine. */
void FIBER engine_close(struct engine *e);
