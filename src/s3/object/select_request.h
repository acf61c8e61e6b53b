/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a SelectObjectContent asks for: its XML, read strictly into the terms of select/ and wire/.
 * Pure. Source: S3 API Reference, "SelectObjectContent".
 */

#include "select/select.h"
#include "wire/unzip.h"

/* An expression of SELECT_EXPRESSION_MAX, every character of it escaped. */
#define S3_SELECT_BODY_MAX (2 * MIB)

struct s3_select_request {
    struct select_config config; /* without clock and callbacks */
    enum unzip_form compression; /* of the object */
    bool lines;                  /* of JSON, rather than a document */
    bool progress;               /* is to be told */
    bool has_start, has_end;     /* a scan range: bytes from `start` to `end`, or the last `end` */
    uint64_t start, end;
};

/*
 * Strings live in `a`. -ERR_MALFORMED_XML; -ERR_SELECT_... for what is missing, no value, or does
 * not go together; *ret_culprit is the element's name then, or empty.
 */
int s3_select_parse(struct arena *a, struct str body, struct s3_select_request *ret,
                    struct str *ret_culprit);
