/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The administrator's door, beside the S3 door on the same port:
 *
 * - GET /health/live, /health/ready, /minio/health/{live,ready,cluster}: no credentials
 * - GET /metrics, /minio/v2/metrics/cluster: no credentials; numbers only, no names of anyone
 *
 * and for root
 *
 * - GET /-/admin/v1/info
 * - GET /-/admin/v1/users; POST: name, access_key, secret_key, id, email, display_name
 * - DELETE /-/admin/v1/users/NAME
 * - GET /-/admin/v1/accesskeys/USER: access keys and service accounts; POST /-/admin/v1/accesskeys:
 * user, service, and perhaps access_key, secret_key, policy, name, description, expires_ms
 * - POST /-/admin/v1/accesskeys/ID: active (true or false); DELETE
 * - GET /-/admin/v1/ldap; POST: dn, policy, attach (true or false)
 * - POST /-/admin/v1/imports: kind, name, dry_run, and what the kind has: one thing of another
 *   server's users (imports.c)
 * - GET /-/admin/v1/roles; POST: name, trust, account, description, max_session_s; DELETE .../NAME
 * - POST /-/admin/v1/check[?deep=true]: a line of JSON for each fault and for progress
 * - POST /-/admin/v1/heal: bucket, key, repair (true or false)
 * - POST /-/admin/v1/bucket-class: bucket; class, to change what objects get that name none
 * - GET /-/admin/v1/disks; POST: action (add, replace, drain, undrain, set), number, path, weight,
 *   zone
 * - GET /-/admin/v1/scrub: how it stands, what is damaged; POST: action (start or stop)
 * - GET /-/admin/v1/purge: the purge under way, or the last; POST: action (start or stop), and to
 *   start bucket and perhaps prefix, or tag_key and tag_value, or all of
 *   them; erase
 * - POST /-/admin/v1/purge-look: the same: a line for each that would go or stay, nothing is
 * removed
 * - GET /-/admin/v1/batch: the batch jobs; POST: action (delete, tag, untag), manifest_bucket,
 *   manifest_key and perhaps tags, report_bucket, report_prefix, user, bypass_governance, rate
 * - GET /-/admin/v1/batch/ID; DELETE: cancels it
 * - GET /-/admin/v1/retention; POST /-/admin/v1/retention/BUCKET: class, min_days, mode, max_days;
 *   without days nothing is said of the class any more
 * - GET /-/admin/v1/audit[?from=&to=&user=&bucket=&prefix=&operation=&outcome=&max=]: a line each
 * - GET /-/admin/v1/audit-verify
 * - GET /-/admin/v1/events: a line of JSON for each event as it is committed, until one side ends
 * - GET /-/admin/v1/event-targets; POST: name, type, options; DELETE .../NAME[?force=true]
 * - POST /-/admin/v1/event-tests/NAME: a test message, now
 * - GET /-/admin/v1/dead-events/NAME; POST: action (resend or discard)
 * - GET /-/admin/v1/keys; POST: action (create, rotate, or rewrap: all that there is), name
 * - GET /-/admin/v1/jobs; POST /-/admin/v1/jobs/NAME: paused (true or false)
 *
 * Bodies are JSON; errors are {"error": {"code", "message", "request_id"}}. "-" is no bucket name,
 * and a signed request for /metrics or /health/live is S3's: no bucket name is taken away.
 */

#include "audit/audit.h"
#include "base/metrics.h"
#include "events/events.h"
#include "http/http.h"
#include "iam/iam.h"
#include "jobs/jobs.h"
#include "store/store.h"

struct admin;
struct kms;

/* What is to become of the disks. */
enum admin_disk_action {
    ADMIN_DISK_ADD,
    ADMIN_DISK_REPLACE,
    ADMIN_DISK_DRAIN,
    ADMIN_DISK_UNDRAIN,
    ADMIN_DISK_SET
};
struct admin_disk_change {
    enum admin_disk_action action;
    uint32_t number;  /* but for add */
    const char *path; /* of add and replace: an empty directory */
    uint64_t weight;  /* of set: 0: as it is */
    int64_t zone;     /* likewise, below 0 */
};
#define ADMIN_WHY_MAX 256
/* May be called on any thread. `why` gets a sentence for people on failure. */
typedef int admin_disk_fn(void *arg, const struct admin_disk_change *what, uint32_t *ret_number,
                          char why[ADMIN_WHY_MAX]);

struct admin_config {
    /* All borrowed; they outlive the door. */
    struct iam *iam;
    struct str region; /* that signatures may be for, beside us-east-1 */
    struct meta *meta;
    struct store *store;
    struct jobs *jobs;
    struct events *events;
    struct audit *audit; /* NULL: off */
    struct kms *kms;
    struct nodes *nodes;
    admin_disk_fn *change_disk;
    void *disks_arg;
    metrics_source *door_metrics; /* of the S3 door; may be NULL */
    void *door_metrics_arg;
    struct blob *blob;                /* for what the disks survive */
    const struct http_server *server; /* set by admin_set_server once it listens */
};

int admin_new(struct admin **ret, const struct admin_config *config);
void admin_free(struct admin *a);
void admin_set_server(struct admin *a, const struct http_server *server);
/* After this /health/ready answers 503, so that balancers turn away before the server stops. */
void admin_set_draining(struct admin *a);

/* Whether the request is for this door. */
bool admin_wants(const struct http_exchange *x);
void FIBER admin_handle(struct http_exchange *x, void *admin);
