/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's notification configuration: the document, and which rule an event falls under. Pure.
 * Source: S3 API Reference, "PutBucketNotificationConfiguration"; S3 User Guide, "Supported event
 * types", "Configuring event notifications using object key name filtering".
 *
 * A destination is a target by one of its names:
 *
 *   arn:cairn:events::NAME
 *   arn:minio:sqs:REGION:NAME:TYPE
 *   arn:aws:sqs|sns|lambda:REGION:ACCOUNT:[function:]NAME, each in its own kind of rule
 *
 * Invariant: at most one rule fits an event, since no two overlap.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "events/target.h"

#define EVENT_RULES_MAX 100

/* X(NAME, text), as S3 calls them, without "s3:". */
#define EVENT_KINDS(X)                                                   \
    X(CREATED_PUT, "ObjectCreated:Put")                                  \
    X(CREATED_POST, "ObjectCreated:Post")                                \
    X(CREATED_COPY, "ObjectCreated:Copy")                                \
    X(CREATED_COMPLETE, "ObjectCreated:CompleteMultipartUpload")         \
    X(REMOVED_DELETE, "ObjectRemoved:Delete")                            \
    X(REMOVED_MARKER, "ObjectRemoved:DeleteMarkerCreated")               \
    X(RESTORE_POST, "ObjectRestore:Post")                                \
    X(RESTORE_COMPLETED, "ObjectRestore:Completed")                      \
    X(RESTORE_DELETE, "ObjectRestore:Delete")                            \
    X(REPLICATION_FAILED, "Replication:OperationFailedReplication")      \
    X(REPLICATION_MISSED, "Replication:OperationMissedThreshold")        \
    X(REPLICATION_LATE, "Replication:OperationReplicatedAfterThreshold") \
    X(REPLICATION_NOT_TRACKED, "Replication:OperationNotTracked")        \
    X(EXPIRATION_DELETE, "LifecycleExpiration:Delete")                   \
    X(EXPIRATION_MARKER, "LifecycleExpiration:DeleteMarkerCreated")      \
    X(LOST, "ReducedRedundancyLostObject")                               \
    X(TRANSITION, "LifecycleTransition")                                 \
    X(TIERING, "IntelligentTiering")                                     \
    X(TAGGING_PUT, "ObjectTagging:Put")                                  \
    X(TAGGING_DELETE, "ObjectTagging:Delete")                            \
    X(ACL_PUT, "ObjectAcl:Put")

enum event_kind {
#define X(name, text) EVENT_##name,
    EVENT_KINDS(X)
#undef X
        EVENT_KIND_COUNT
};
struct str event_kind_text(enum event_kind kind);

enum event_rule_kind { EVENT_RULE_TOPIC, EVENT_RULE_QUEUE, EVENT_RULE_FUNCTION };

struct event_rule {
    enum event_rule_kind kind;
    struct str id; /* empty: none was given */
    struct str arn;
    struct str target; /* the name in the ARN */
    bool typed;        /* the ARN says of which type it is: */
    enum event_type type;
    uint32_t kinds;    /* bits, 1 << enum event_kind */
    struct str *names; /* as they were given, with "s3:" */
    size_t name_count;
    bool has_prefix, has_suffix;
    struct str prefix, suffix; /* empty: every key */
};

struct event_rules {
    struct event_rule *rules;
    size_t count;
};

/*
 * -ERR_MALFORMED_XML; -ERR_INVALID_ARGUMENT with a text in *ret_why and what it is about in
 * *ret_name and *ret_value (live in `a`); -ERR_NOT_IMPLEMENTED (EventBridge); -ENOMEM. Strings live
 * in `a`.
 */
struct event_fault {
    struct str why, value;
    const char *name; /* NULL: of the document */
};
int event_rules_parse(struct arena *a, struct str body, struct event_rules *ret,
                      struct event_fault *ret_fault);
/* The whole document, in one form. */
void event_rules_xml(struct buf *b, const struct event_rules *rules);
/* NULL: none fits. */
const struct event_rule *event_rules_match(const struct event_rules *rules, enum event_kind kind,
                                           struct str key);
