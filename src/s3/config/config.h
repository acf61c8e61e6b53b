/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A configuration of buckets that is validated, kept and read back.
 */

#include "s3/internal.h"
#include "s3/tags.h"

struct s3_config_kind {
    const char *query; /* its sub-resource */
    enum store_setting_kind kind;
    int absent; /* what reading answers when there is none; 0: a default document, `otherwise` */
    /* Validates `body` and appends what is to be kept: the document as reading gives it. */
    int (*canonical)(struct s3_request *q, struct str body, struct buf *ret);
    /* What reading gives, where that is not what is kept; NULL: it is. */
    int (*shown)(struct s3_request *q, struct buf *ret);
    int put_status; /* 0: 200 */
    void (*otherwise)(struct buf *b);
    bool undigested; /* S3 wants no digest of the document */
};

/* website_ops.c */
int s3_canonical_website(struct s3_request *q, struct str body, struct buf *ret);
/* public_access.c */
int s3_canonical_public_access(struct s3_request *q, struct str body, struct buf *ret);
/* sse.c */
int s3_canonical_encryption(struct s3_request *q, struct str body, struct buf *ret);
/* lifecycle.c */
int s3_canonical_lifecycle(struct s3_request *q, struct str body, struct buf *ret);
int s3_shown_lifecycle(struct s3_request *q, struct buf *ret);
/* cors_ops.c */
int s3_canonical_cors(struct s3_request *q, struct str body, struct buf *ret);
