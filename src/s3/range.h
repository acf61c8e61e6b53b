/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The Range header (RFC 9110 14.2) as S3 reads it: one range; several, or what is no range at all,
 * are as if there were none. And the stricter range of UploadPartCopy.
 */

#include "base/str.h"

enum range_result {
    RANGE_WHOLE,         /* none, one to be passed over, or the last bytes of nothing */
    RANGE_PART,          /* at least one byte of the object */
    RANGE_UNSATISFIABLE, /* 416 */
};

struct byte_range {
    uint64_t off, len;
};

/* "bytes=first-last", "bytes=first-", "bytes=-suffix"; `ret` is set for RANGE_PART. */
enum range_result range_parse(struct str text, uint64_t size, struct byte_range *ret);

/* x-amz-copy-source-range, "bytes=first-last" and nothing else: 0; -EINVAL for its form,
 * -ERANGE beyond `size`. */
int range_parse_copy(struct str text, uint64_t size, struct byte_range *ret);
