/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How far the inventories have come: the cursor of their job. A place is that of the last row in a
 * data file that was put, so what is in no file yet is listed again after a restart.
 */

#include "base/ids.h"
#include "inventory/report.h"
#include "store/store.h"

#define INVENTORY_FILES_MAX  8192 /* of one report */
#define INVENTORY_FAILED_MAX 1024 /* reports of a day that are tried again */

struct inventory_state {
    uint64_t begun_ms; /* of the pass under way, or the last; 0: there was none */
    bool walking;
    bool again; /* the pass is over those that failed */
    uint64_t bucket_len, id_len;
    char bucket[64]; /* all before it, and of it the configurations up to `id`, are done */
    char id[INVENTORY_ID_MAX];
    /* the report of that configuration, in the making: */
    bool open;
    struct bucket_id source;
    uint64_t put_ms; /* of the configuration as it was then */
    uint64_t report_ms;
    bool placed; /* behind: */
    uint64_t key_len;
    char key[STORE_KEY_MAX];
    struct store_version_ref version;
    uint64_t rows;
    uint32_t file_count;
    struct inventory_file_note *files; /* room for INVENTORY_FILES_MAX */
    /* what failed today, and in the pass before it; hashes of bucket and id */
    size_t failed_count, retried_count;
    uint64_t failed[INVENTORY_FAILED_MAX], retried[INVENTORY_FAILED_MAX];
    uint64_t retry_ms; /* not before it */
    uint32_t retries;
};

/* NULL: out of memory. */
struct inventory_state *inventory_state_new(void);
void inventory_state_free(struct inventory_state *s); /* accepts NULL */
/* What job_keep() takes; the caller frees ret->ptr. */
int inventory_state_pack(const struct inventory_state *s, struct str *ret);
/* -ERR_CORRUPT, and `s` is what it was; an empty cursor is a state of zeros. */
int inventory_state_unpack(struct str cursor, struct inventory_state *s);
