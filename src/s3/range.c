/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/range.h"

#include <errno.h>

static enum range_result suffix_of(struct str digits, uint64_t size, struct byte_range *ret)
{
    uint64_t n;
    if (str_to_u64(digits, &n))
        return RANGE_WHOLE;
    if (n == 0)
        return RANGE_UNSATISFIABLE;
    if (size == 0) /* all of nothing, which no Content-Range can say */
        return RANGE_WHOLE;
    n = MIN(n, size);
    *ret = (struct byte_range){size - n, n};
    return RANGE_PART;
}

enum range_result range_parse(struct str text, uint64_t size, struct byte_range *ret)
{
    uint64_t first, last = UINT64_MAX;
    if (!str_starts_nocase(text, STR("bytes=")))
        return RANGE_WHOLE;
    text = str_from_offset(text, strlen("bytes=")); /* no space may follow: RFC 9110 14.1.1 */
    ptrdiff_t dash = str_find_char(text, '-', 0);
    if (dash < 0)
        return RANGE_WHOLE;
    struct str left = str_prefix(text, (size_t)dash);
    struct str right = str_from_offset(text, (size_t)dash + 1);
    if (left.len == 0)
        return suffix_of(right, size, ret);
    if (str_to_u64(left, &first) || (right.len && str_to_u64(right, &last)) || first > last)
        return RANGE_WHOLE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    last = MIN(last, size - 1);
    *ret = (struct byte_range){first, last - first + 1};
    return RANGE_PART;
}

int range_parse_copy(struct str text, uint64_t size, struct byte_range *ret)
{
    uint64_t first, last;
    if (!str_starts(text, STR("bytes=")))
        return -EINVAL;
    text = str_from_offset(text, strlen("bytes="));
    ptrdiff_t dash = str_find_char(text, '-', 0);
    if (dash < 0 || str_to_u64(str_prefix(text, (size_t)dash), &first) ||
        str_to_u64(str_from_offset(text, (size_t)dash + 1), &last) || first > last)
        return -EINVAL;
    if (last >= size)
        return -ERANGE;
    *ret = (struct byte_range){first, last - first + 1};
    return 0;
}
