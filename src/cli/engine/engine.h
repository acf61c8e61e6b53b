/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The rooms put together over the directories of one store, each a disk: metadata, nodes, blob,
 * store, identities, jobs. `cairn server` serves it, `cairn admin check --dir` walks it.
 *
 * A directory (docs/FORMATS.md): `lock` (held while open), `disk.id`, `index/`, `volumes/`,
 * `root.credentials` where they were generated, and on up to three of them `meta/`, a mirror of the
 * metadata.
 *
 * Directories are known by their `disk.id`, in whatever order and under whatever path they are
 * given. Any of them may be missing, as far as the codes survive it: its disk is gone then, and is
 * taken in again when it is back under its path. One that is not given is looked for where it was,
 * unless others have moved: the store may be a copy of one that is still there. The first start
 * takes every directory as a disk; later an empty one is none until engine_disk_replace or
 * engine_disk_add.
 */

#include <limits.h>
#include "blob/blob.h"
#include "events/events.h"
#include "iam/iam.h"
#include "jobs/jobs.h"
#include "meta/meta.h"
#include "store/disks.h"
#include "store/store.h"

#define ENGINE_DIRS_MAX 64

struct engine;

/* A disk of the table. */
struct engine_disk {
    struct engine *engine;
    uint32_t number;
    uint8_t uuid[16];
    char path[PATH_MAX];
    struct rt_file *lock; /* NULL: not held */
    bool mirror_cleared;  /* its mirror of the metadata was damaged, and made anew */
};

struct engine {
    char meta_dir[PATH_MAX]; /* of the first mirror that was opened; for people */
    struct kv_rocks_shared *shared;
    struct meta *meta;
    struct store_disks table;
    struct engine_disk *disks[NODES_MAX]; /* by number */
    struct nodes nodes;
    struct blob *blob;
    struct store *store;
    struct iam *iam;
    struct events *events;
    struct jobs *jobs;
    uint64_t session;
    uint64_t volume_bytes_max;
    unsigned widest; /* shards of the widest code among the storage classes */
    bool only_look;  /* for a check: no epoch is made at the start */
    bool forced;     /* mirrors of the metadata that know more may be elsewhere */
    bool changing;   /* the table: one change at a time */
    /* Every few seconds, on thread 0: the disks are as they are now. May be NULL. */
    void (*looked)(void *arg);
    /* A disk has gone or is back. It must not suspend. Likewise. */
    void (*moved)(void *arg);
    void *looked_arg; /* of both */
};

struct engine_config {
    const char *const *dirs;
    unsigned dir_count;
    struct str root_access_key, root_secret_key;
    struct iam_oidc oidc;
    const struct iam_ldap_config *ldap; /* NULL: none */
    bool force_metadata;                /* start with fewer than a majority of its mirrors */
    bool no_jobs;                       /* nothing in the background: for a check */
    uint64_t volume_bytes_max;          /* 0: struct disk_config's choice */
    unsigned compact_interval_ms;       /* 0: struct jobs_config's choice */
    unsigned scrub_days;                /* 0: no scrub but when asked */
    const struct store_class *classes;  /* borrowed until the close, as are the paths */
    unsigned class_count;
    uint64_t lifecycle_day_ms; /* 0: a day */
    uint64_t spare_after_ms;   /* a disk that is gone for so long is done without; 0: never */
    struct str region;         /* that events tell; borrowed */
    bool allow_local_events;   /* targets may be loopback and link-local */
};

/* Makes the directories if none of them is a store's yet. The fault is told on standard error. */
int FIBER engine_prepare(const char *const *dirs, unsigned count);
/* The fault is told on standard error. On failure nothing stays open. */
int FIBER engine_open(struct engine *ret, const struct engine_config *config);
/* Accepts a zeroed engine. */
void FIBER engine_close(struct engine *e);

/*
 * Changes of the table while it serves; `why` gets a sentence for people on failure. A disk that is
 * gone makes way for the empty directory `dir`, which gets a number of its own; or `dir` is one
 * more.
 */
#define ENGINE_WHY_MAX 256
int FIBER engine_disk_replace(struct engine *e, uint32_t number, const char *dir,
                              uint32_t *ret_number, char why[ENGINE_WHY_MAX]);
int FIBER engine_disk_add(struct engine *e, const char *dir, uint32_t *ret_number,
                          char why[ENGINE_WHY_MAX]);

/*
 * The disk gets nothing new, and what it has goes to the others (or, `cancel`, no more of it); it
 * stays readable meanwhile and leaves the store by engine_disk_retire once it is empty.
 */
int FIBER engine_disk_drain(struct engine *e, uint32_t number, bool cancel,
                            char why[ENGINE_WHY_MAX]);
/* Another weight (0: as it is) or zone (below 0: likewise): another share of the data. */
int FIBER engine_disk_set(struct engine *e, uint32_t number, uint64_t weight, int64_t zone,
                          char why[ENGINE_WHY_MAX]);
/* For the jobs; `engine` is the argument. */
int FIBER engine_disk_retire(void *engine, uint32_t number);

/*
 * engine/ring.c. What the table says of a disk; the table with the ring that it asks for, durably,
 * which writers go by once it is published; at the start, and when the rebalance has done what the
 * last epoch asked for, the next one if there is any. `engine` is the argument.
 */
enum node_role engine_role_of(const struct store_disk *d);
int FIBER engine_save_table(struct engine *e);
int FIBER engine_publish_ring(struct engine *e);
int FIBER engine_refresh_ring(struct engine *e);
int FIBER engine_ring_step(void *engine);
/*
 * For the jobs: the others take over what a disk that stays gone has held, where that is in their
 * means; or it is back. 1 when that was changed.
 */
int FIBER engine_disk_away(void *engine, uint32_t number, bool away);
/* A mirror of the metadata that could not be made, or not yet, when the disks changed. */
void FIBER engine_disks_look(void *engine);

/* Whether the metadata has a mirror on the disk; and mirrors on up to three disks that are there
 * and stay. */
bool engine_has_mirror(struct engine *e, const uint8_t uuid[16]);
void FIBER engine_fill_mirrors(struct engine *e);

/* engine/disks.c: finds the directories' identities, opens the metadata and then the disks. */
int FIBER engine_open_disks(struct engine *e, const struct engine_config *config);
/* A RocksDB store `name` in `dir`; one without a log is made anew when it is damaged. */
int FIBER engine_open_rocks(struct engine *e, const char *dir, const char *name, bool with_log,
                            struct kv **ret);
