/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What no request did, in the audit log: without a user, from the source "lifecycle". The
 * operations are called as S3's access logs call them.
 */

#include "base/encode.h"
#include "jobs/internal.h"

#define SOURCE STR("lifecycle")

void jobs_trace(struct jobs *j, const char *operation, struct str bucket, struct str key,
                const struct store_version_ref *version, struct str after)
{
    char text[17];
    uint8_t be[8];
    struct audit_record r = {
        .operation = str_from(operation),
        .outcome = AUDIT_DONE,
        .source = SOURCE,
        .bucket = bucket,
        .key = key,
        .after = after,
    };
    if (version->kind == STORE_VERSION_NULL)
        r.version = STR("null");
    if (version->kind == STORE_VERSION_SEQ) {
        put_be64(be, version->seq);
        hex_encode(be, sizeof(be), text);
        r.version = str_make(text, 2 * sizeof(be));
    }
    audit_put(j->audit, &r);
}
