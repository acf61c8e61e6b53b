/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The S3 door: requests of the S3 REST API in, answers out. It parses, authenticates, authorises
 * and speaks XML; what is stored, and under which rules, is the store's business.
 *
 * Promises
 *  - One table (ops.h) names every operation of S3: routing, authorisation, limits, metrics and
 *    the NotImplemented answers all come from it.
 *  - Nothing is looked at, and nothing told, before the signature is verified and the action
 *    authorised: a condition or a missing key cannot be probed by who may not read it.
 *  - A body is stored only after its length, its digests, its chunk signatures and its trailers
 *    were checked; but for archives, which are unpacked while they come (object/extract.c).
 *  - A header or query that would change an operation's meaning and is not served is refused with
 *    NotImplemented, never ignored.
 *
 * Source: Amazon S3 API Reference. docs/S3.md lists what is served and where it differs.
 */

#include "audit/audit.h"
#include "events/events.h"
#include "http/http.h"
#include "iam/iam.h"
#include "store/store.h"

#define S3_DOMAINS_MAX 8

struct s3;
struct kms;
struct jobs_objects;

struct s3_config {
    struct store *store; /* borrowed, as is iam; outlive the door */
    struct iam *iam;
    struct audit *audit;    /* borrowed; NULL: nothing is recorded */
    struct events *events;  /* borrowed; NULL: nobody is told of anything */
    struct str region;      /* copied; empty: us-east-1 */
    struct access_log *log; /* borrowed; NULL: no access log */
    const char *domains;    /* comma separated hosts of virtual-host style; NULL: path style only */
    bool sigv2;             /* take Signature Version 2, too */
    struct kms *kms;        /* borrowed: who has the keys of encryption */
    bool encrypt_all;       /* what no header and no bucket says otherwise, too */
    uint64_t lifecycle_day_ms;   /* of the days that an object is restored for; 0: a day */
    bool insecure_sse_c;         /* take customers' keys over plain HTTP */
    const char *website_domains; /* likewise, of buckets' websites; NULL: there are none */
    struct str object_ownership; /* of buckets made without a word of their own; copied; empty: no
                                    controls, which is as ObjectWriter */
};

/* Inside a world (there is a state for each loop thread). -EINVAL for too many domains, or no such
 * ownership. */
int s3_new(struct s3 **ret, const struct s3_config *config);
/* Accepts NULL. No request may be under way. */
void s3_free(struct s3 *s3);

/* Access logs are delivered into buckets from the one to the other, which delivers what has
 * gathered; it accepts NULL and a door that was not started. No request may be under way then. */
int FIBER s3_logs_start(struct s3 *s3);
void FIBER s3_logs_stop(struct s3 *s3);

/* What jobs_set_objects() takes: the jobs read and write objects through the door. They give it
 * back before s3_free(). */
void s3_lend_objects(struct s3 *s3, struct jobs_objects *ret);

/* A host below one of the door's domains: all of its paths are keys of a bucket. */
bool s3_is_bucket_host(const struct s3 *s3, struct str host);

/* The http_handler: `arg` is the door. */
void FIBER s3_handle(struct http_exchange *x, void *arg);
/* For http_server_config.error_body: S3's XML for errors the server finds by itself. */
void s3_error_body(struct http_exchange *x, int err, struct buf *ret_body, struct str *ret_type);
/*
 * For http_server_config.done: counts the request and writes its log line. Exchanges that another
 * door answered (no note) are logged too, and not counted. `arg` is the door.
 */
void s3_done(struct http_exchange *x, void *arg);

/* ---- watching ------------------------------------------------------------------------------- */

/* Requests answered since the start, of all operations, and what they took together. */
void s3_load(const struct s3 *s3, uint64_t *ret_requests, uint64_t *ret_took_ns);
/* A metrics_source: requests, errors, bytes and times by operation; `arg` is the door. */
void s3_metrics(struct buf *out, void *arg);
