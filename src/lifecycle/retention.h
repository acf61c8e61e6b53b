/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Retention by class of data: what a bucket says of objects whose tag `data-class` is public,
 * internal, confidential or restricted. How long they are locked at least (from the write on) and
 * after how many days they go. Pure: the time and the length of a day are given.
 *
 * With Object Lock: the least is a lock as any other, so a bucket without object lock can have
 * none. It strengthens what a request or the bucket's default brings, the later end and the
 * stronger mode, and weakens nothing. The most is no lock: what is locked stays until the lock
 * ends.
 *
 * The document is kept as lines, one a class: "restricted COMPLIANCE 30 365\n", with 0 for what is
 * not said and NONE where nothing is locked; in the order of the classes, each once.
 *
 * Invariant: what retention_parse() took, retention_write() writes to the same text.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

#define RETENTION_TAG      STR("data-class")
#define RETENTION_DAYS_MAX 36500
#define RETENTION_DAY_MS   86400000ULL

enum data_class {
    DATA_CLASS_PUBLIC,
    DATA_CLASS_INTERNAL,
    DATA_CLASS_CONFIDENTIAL,
    DATA_CLASS_RESTRICTED,
    DATA_CLASSES
};
const char *data_class_text(enum data_class c);
/* -EINVAL. */
int data_class_parse(struct str text, enum data_class *ret);

struct retention_rule {
    enum store_retention mode; /* NONE: nothing is locked */
    uint64_t min_days;         /* 0 exactly when the mode is NONE */
    uint64_t max_days;         /* 0: they stay */
};
struct retention {
    struct retention_rule rules[DATA_CLASSES]; /* all zeros: nothing is said of the class */
};

/* -EINVAL: a mode without days or the reverse, too many days, gone before the lock has ended. */
int retention_rule_check(const struct retention_rule *r);
static inline bool retention_rule_is_empty(const struct retention_rule *r)
{
    return r->min_days == 0 && r->max_days == 0;
}
/* Nothing is said of any class. */
bool retention_is_empty(const struct retention *r);
/* -ERR_CORRUPT. As a store_setting_parser: `made` is a struct retention, `a` is not used. */
int retention_parse(struct arena *a, struct str text, void *made);
/* Nothing, where nothing is said of any class. */
void retention_write(struct buf *b, const struct retention *r);

/* NULL: the tags name no class of which something is said. */
const struct retention_rule *retention_find(const struct retention *r,
                                            const struct store_pair *tags, size_t count);
/* Of a version written at `from_ms`: the lock that it must have beside the one it has. */
void retention_lock(const struct retention_rule *r, uint64_t from_ms, struct store_lock *lock);
/* What was written before this has been there for longer than `max_days`. */
uint64_t retention_cutoff_ms(const struct retention_rule *r, uint64_t now_ms, uint64_t day_ms);
