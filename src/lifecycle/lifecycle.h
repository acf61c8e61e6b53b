/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's lifecycle configuration: the document, which rules an object falls under, and when
 * what they say is due. Pure: the time and the length of a day are given.
 * Source: S3 API Reference, "PutBucketLifecycleConfiguration"; S3 User Guide, "Lifecycle
 * configuration elements", "Examples of lifecycle configurations".
 *
 * Days count from an event (a write, being superseded, the creation of an upload) and end at the
 * next midnight UTC. Where several rules fit, the earliest expiration counts, and of the
 * transitions that are due the one to the coldest class. Which classes there are is not known here,
 * but for the order of those that S3 names.
 *
 * Invariant: what lifecycle_parse() took, lifecycle_xml() writes so that it parses to the same.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

#define LIFECYCLE_RULES_MAX 1000
#define LIFECYCLE_ID_MAX    255
#define LIFECYCLE_TAGS_MAX  10     /* of a rule; an object has no more */
#define LIFECYCLE_NEWER_MAX 100    /* versions that a rule may keep */
#define LIFECYCLE_MOVES_MAX 16     /* transitions of a rule, of each kind */
#define LIFECYCLE_SMALL_MAX 131071 /* bytes of what a minimum leaves where it is */
#define LIFECYCLE_DAY_MS    86400000ULL
#define LIFECYCLE_NEVER     UINT64_MAX

/* What is too small to be moved by a rule that says nothing of sizes. */
enum lifecycle_minimum {
    LIFECYCLE_MINIMUM_NONE,
    LIFECYCLE_MINIMUM_ALL,   /* all_storage_classes_128K */
    LIFECYCLE_MINIMUM_VARIES /* varies_by_storage_class: likewise, but not to S3's archives */
};

/* To another storage class. */
struct lifecycle_move {
    struct str class;
    bool has_date;
    uint64_t days; /* may be 0: at the next midnight */
    uint64_t date_ms;
    uint64_t newer; /* noncurrent versions that are left where they are */
};
struct lifecycle_moves {
    struct lifecycle_move list[LIFECYCLE_MOVES_MAX];
    size_t count;
};

struct lifecycle_rule {
    struct str id; /* given, or made of the rule's place and content */
    bool enabled;
    bool legacy; /* the prefix stands in the rule, not in a filter */
    bool all;    /* the filter's conditions stand in And */
    bool has_prefix, has_greater, has_less;
    struct str prefix; /* empty: every key */
    struct store_pair *tags;
    size_t tag_count;
    uint64_t greater, less; /* bytes of the object: more than, less than */
    /* 0: the action is not there */
    uint64_t days;
    uint64_t noncurrent_days;
    uint64_t newer; /* noncurrent versions that are kept however old */
    uint64_t abort_days;
    bool has_date, has_marker;
    bool marker; /* delete markers with nothing behind them go */
    uint64_t date_ms;
    struct lifecycle_moves *moves, *noncurrent_moves; /* NULL: none */
};

struct lifecycle {
    struct lifecycle_rule *rules;
    size_t count; /* 1 to LIFECYCLE_RULES_MAX */
    enum lifecycle_minimum minimum;
    /* Enabled rules in the order of their prefixes; of each the nearest one before it whose prefix
     * its own begins with, UINT16_MAX: none. A key's rules are one chain. */
    uint16_t *order, *parent;
    size_t enabled;
    bool expires, expires_noncurrent, aborts; /* some rule does so */
    bool moves, moves_noncurrent;
};

/*
 * -ERR_MALFORMED_XML, -ERR_INVALID_ARGUMENT, -ERR_INVALID_REQUEST, -ERR_INVALID_TAG, each with a
 * text in *ret_why or ptr NULL; -ENOMEM. Strings live in `a`.
 */
int lifecycle_parse(struct arena *a, struct str body, struct lifecycle *ret, struct str *ret_why);
/* S3's word for it, none for LIFECYCLE_MINIMUM_NONE; -EINVAL: there is no such word. */
struct str lifecycle_minimum_name(enum lifecycle_minimum minimum);
int lifecycle_minimum_parse(struct str word, enum lifecycle_minimum *ret);
/* The whole document, in one form. */
void lifecycle_xml(struct buf *b, const struct lifecycle *l);

/* What is judged: an object, a version, a delete marker, an upload. */
struct lifecycle_subject {
    struct str key;
    bool sized; /* an object or version */
    uint64_t len_bytes;
    /* Fills tags and tag_count; asked only when a rule has a tag and all else of it fits; NULL:
     * they are filled, or there are none. What it returns below 0 is handed back. */
    int (*load)(struct lifecycle_subject *s);
    const struct store_pair *tags;
    size_t tag_count;
    void *arg; /* of load */
};

/* When something is due, by which rule; due_ms LIFECYCLE_NEVER: by none. */
struct lifecycle_due {
    uint64_t due_ms;
    const struct lifecycle_rule *rule;
};

/* The end of so many days after `from_ms`: the first midnight then, LIFECYCLE_NEVER past the end of
 * time. */
uint64_t lifecycle_due_ms(uint64_t from_ms, uint64_t days, uint64_t day_ms);
/* A current object written at `mtime_ms`. */
int lifecycle_expiry(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t mtime_ms,
                     uint64_t day_ms, struct lifecycle_due *ret);
/* A version superseded at `since_ms`, with `newer` noncurrent ones before it. */
int lifecycle_noncurrent(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t since_ms,
                         uint64_t newer, uint64_t day_ms, struct lifecycle_due *ret);
/* A delete marker that is all there is of its key, made at `mtime_ms`. */
int lifecycle_marker(const struct lifecycle *l, struct str key, uint64_t mtime_ms, uint64_t day_ms,
                     struct lifecycle_due *ret);
/* An upload begun at `created_ms`. */
int lifecycle_abort(const struct lifecycle *l, struct str key, uint64_t created_ms, uint64_t day_ms,
                    struct lifecycle_due *ret);

/*
 * Where S3 has a class in its order from warm to cold; -1: it has none of that name. What is there
 * never goes back to a warmer one.
 */
int lifecycle_warmth(struct str class);
/* The class that a current object written at `mtime_ms` should be in at `now_ms`, by whichever
 * rule; ptr NULL: no rule says one. */
int lifecycle_class(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t mtime_ms,
                    uint64_t now_ms, uint64_t day_ms, struct str *ret);
/* Of a version superseded at `since_ms`, with `newer` noncurrent ones before it. */
int lifecycle_noncurrent_class(const struct lifecycle *l, struct lifecycle_subject *s,
                               uint64_t since_ms, uint64_t newer, uint64_t now_ms, uint64_t day_ms,
                               struct str *ret);
