/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A directory of logs while any of them is written: who writes there, and what is known of its
 * files (struct wal_known, wal.h).
 *
 * A note that must be there after a power cut is synced, before what depends on it is done. Others
 * are left to the page cache, behind the sync of what they tell of: after a kill they are exact,
 * after a power cut they say less than there is, and never more.
 *
 * Lock order: a directory's `lock`, a writer's, the directory's `known_lock`. That of all
 * directories is the last, and never held while a file is touched. `known_lock` is never held
 * over a sync.
 */

#include <pthread.h>
#include "base/list.h"
#include "kv/wal.h"

struct wal_dir {
    struct list link; /* under the lock of all directories, as `refs` */
    unsigned refs;
    pthread_mutex_t lock;
    struct list writers; /* the newest last */
    pthread_mutex_t known_lock;
    struct wal_known known; /* what the file says, once it was `read` */
    bool read, named;       /* `named`: its name is on the disk */
    uint64_t newest;        /* the newest log that was noted since then, or 0 */
    int known_fd;           /* or -1 */
    size_t len;             /* of the path, with its slash */
    char path[];            /* ends with a NUL */
};

/* The directory of a file; NULL: out of memory. */
struct wal_dir *wal_dir_of(const char *path);
void BLOCKING wal_dir_unref(struct wal_dir *d);

/* How long a log's file is, which is on the disk, synced. An older log's says nothing any more. */
int BLOCKING wal_dir_note_log(struct wal_dir *d, uint64_t log, uint64_t len);
/* How many frames of a log are on the disk. Not synced. */
void BLOCKING wal_dir_note_frames(struct wal_dir *d, uint64_t log, uint64_t frames);
/* A log, and all before it, will be needed no more: synced, before it goes. */
int BLOCKING wal_dir_note_retired(struct wal_dir *d, uint64_t log);
/* A log is to be cut: no more than that will be there. Synced. */
int BLOCKING wal_dir_shorten(struct wal_dir *d, uint64_t log, uint64_t len, uint64_t frames);
/* What is known of the newest log, for the head of the next one. */
void BLOCKING wal_dir_newest(struct wal_dir *d, uint64_t *ret_log, uint64_t *ret_frames);
