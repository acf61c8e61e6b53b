/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Version ids as clients see them: "null", or the version's sequence as 16 hex digits. To a client
 * it is opaque.
 */

#include "s3/internal.h"

#define S3_VERSION_ID_MAX 16
struct str s3_version_id_format(const struct store_object *o, char ret[S3_VERSION_ID_MAX]);
/* -EINVAL: no such text was ever given out. */
int s3_version_id_parse(struct str text, struct store_version_ref *ret);

/* How the store calls it. */
static inline struct store_version_ref s3_version_of(const struct store_object *o)
{
    return (struct store_version_ref){
        .kind = o->null_version ? STORE_VERSION_NULL : STORE_VERSION_SEQ, .seq = o->seq};
}

/* x-amz-version-id of an object that is answered; nothing where versioning was never on. */
void s3_set_version(struct s3_request *q, const struct store_object *o);
/* The same of a write: of a null version nothing is told. */
void s3_set_written(struct s3_request *q, const struct store_written *w);
/* After store_get(): tells of a delete marker that stands where an object was asked for, if that is
 * why it failed and to whoever may be told that the key is not there. `reader` may be NULL. */
int FIBER s3_explain_marker(struct s3_request *q, const struct store_reader *reader, int err);
/* The same where S3 says MethodNotAllowed of the newest version, too: of tags. */
int FIBER s3_refuse_marker(struct s3_request *q, const struct store_reader *reader, int err);
/* After store_change_attrs(), whatever it returned: likewise. */
int FIBER s3_explain_change(struct s3_request *q, int err);
