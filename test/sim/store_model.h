/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A whole node in the simulator (one disk of volumes, metadata in kv/mem, blob and store above
 * them), a hash map of what it must hold, and clients that use both.
 *
 * Each client owns the keys under its own prefix and works on them one operation after another, so
 * what its keys hold is exact whatever the others do; clients, garbage collection and compaction
 * run at once. An operation under way at a crash, or one that failed under an injected fault,
 * leaves its object open: the old or the new value, settled by the next look.
 *
 * store_model.c has the machine and the model, store_ops.c what clients do, store_check.c what must
 * hold after an open and at the end.
 */

#include "kv/mem.h"
#include "meta/meta.h"
#include "sim/harness.h"
#include "store/store.h"

#define SM_CLIENTS     3u
#define SM_KEYS        8u /* a client */
#define SM_UPLOADS_MAX 64u
#define SM_INLINE_MAX  512u      /* longer objects lie in a row beside their record */
#define SM_BESIDE_MAX  (2 * KIB) /* still longer ones in needles */
#define SM_LEN_TOP     (300 * KIB)
#define SM_LEN_BIG     (1500 * KIB) /* in some seeds: written as streams, past the page cache */

/* What a key holds. The tag says which bytes; 0: nothing. */
struct sm_value {
    uint64_t tag;
    uint64_t len_bytes;
    bool multipart;
};

struct sm_object {
    struct sm_value now;
    struct sm_value other; /* while `open`: may be there instead */
    bool open;
};

enum sm_upload_state { SM_UPLOAD_OPEN, SM_UPLOAD_MAYBE, SM_UPLOAD_GONE };
struct sm_upload {
    char id[128];
    enum sm_upload_state state;
};

#define SM_DISKS_MAX 24u /* with those that replace others */

/* One of several disks. */
struct sm_disk {
    struct sm *m;
    char path[16];
    struct sim_disk *sim;
    struct kv_mem *index;
    enum { SM_DISK_THERE, SM_DISK_DEAD, SM_DISK_REPLACED } state;
};

struct sm {
    struct history *h;
    struct sim *sim;
    struct sim_disk *sim_disk;
    struct kv_mem *index_mem, *meta_mem;
    /* several disks: number 0 is the one above. None: that one alone */
    struct sm_disk at[SM_DISKS_MAX];
    unsigned disk_count, width; /* made so far; those that the store is to have */
    unsigned deaths;            /* since every chunk was whole */
    uint64_t capacity_bytes;
    /* of the present life */
    struct disk *disk;
    struct nodes nodes;
    struct meta *meta;
    struct blob *blob;
    struct store *store;
    uint64_t session;
    struct bucket_id bucket;
    unsigned clients_left;
    bool leftovers; /* of a crash or a failed write may lie about until the sweep */
    /* the model */
    struct sm_object objects[SM_CLIENTS][SM_KEYS];
    struct sm_upload uploads[SM_UPLOADS_MAX];
    unsigned upload_count;
    /* the plan */
    uint32_t ops;
    uint32_t next_op[SM_CLIENTS]; /* client c runs c, c + SM_CLIENTS, … */
    uint32_t life_ops_end;        /* this life goes so far */
    unsigned bias;                /* enum sm_op: what half of the operations are; 0: none */
    bool quiet_disks;             /* none dies */
    bool own_limits;              /* the product chooses sizes and reserve from the disk's */
    bool big;                     /* long objects in larger volumes */
    bool tiers;                   /* objects are in all classes: in the end all go to one */
    bool versioned;               /* what is replaced or removed stays, to the end */
    bool faults;                  /* operations may fail with what a fault gives */
    bool deletes_go_on;           /* but no deletion */
    bool damage;                  /* and what was acknowledged may be refused, never wrong */
};

/* ---- the machine ---------------------------------------------------------------------------- */

void sm_init(struct sm *m, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
             uint32_t ops);
/* The same with several disks, of which as many as the code survives die at a time, come back or
 * are replaced, while clients see nothing of it. */
void sm_init_disks(struct sm *m, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
                   uint32_t ops, unsigned disks);
void sm_release(struct sm *m);

/* For lives of a case's own: everything up to the store and its bucket. */
int FIBER sm_open(struct sm *m);
void FIBER sm_close(struct sm *m);

/* Lives; arg is the sm. */
/* Opens, checks, runs clients and upkeep up to life_ops_end, closes. */
int FIBER sm_life_work(void *sm);
/* Opens, checks; removes all garbage and looks for needles nobody names; closes. */
int FIBER sm_life_final(void *sm);

/* Without a crash; must end well. */
void sm_run(struct sm *m, int (*life)(void *sm), const char *what);
/* With a crash at the event, 0: none. A life under faults may end with their errors. */
void sm_run_to_crash(struct sm *m, uint64_t at_event);

/* ---- for the parts of the model ------------------------------------------------------------- */

/* True when a fault explains the error; otherwise anything but 0 fails the history. */
bool sm_excused(struct sm *m, int err, const char *what, uint32_t op);
void sm_key(char ret[32], unsigned client, unsigned key);
struct sm_value sm_value_new(const struct sm *m, uint32_t op, uint64_t len_bytes);
/* An operation that may give the object `to` begins; it ends well, or stays open. */
void sm_object_begin(struct sm_object *o, struct sm_value to);
void sm_object_done(struct sm_object *o);
/* Reads a piece (or, `len` UINT64_MAX, all) and holds it against the model; -ERR_* as store_get.
 * Settles an open object. */
int FIBER sm_read_object(struct sm *m, unsigned client, unsigned key, uint64_t off, uint64_t len);
/* Lists the client's keys, `max` a page, and holds them against the model. */
int FIBER sm_list_client(struct sm *m, unsigned client, size_t max);

/* store_disks.c: opens the nodes of several disks; something happens to one of them; all are there
 * again, and every chunk is whole. */
int FIBER sm_open_disks(struct sm *m);
/* How many answer nothing but errors now. */
unsigned sm_dead_disks(const struct sm *m);
/* Whatever was wrong with it is no more. */
void FIBER sm_disk_comes_back(struct sm *m, unsigned i);
void FIBER sm_disk_event(struct sm *m, struct sim_random *r);
void FIBER sm_mend_disks(struct sm *m);

/* store_ops.c: one operation of a client; the kinds a case may favour. */
enum sm_op { SM_PUT = 1, SM_READ_DELETED, SM_MULTIPART, SM_LIST };
void FIBER sm_client_op(struct sm *m, unsigned client, uint32_t op);
/* store_check.c */
void FIBER sm_check(struct sm *m);
void FIBER sm_check_no_garbage(struct sm *m);
