/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/internal.h"

/*
 * Amazon S3 User Guide, "General purpose bucket naming rules".
 */

#define BUCKET_NAME_MIN 3
#define BUCKET_NAME_MAX 63

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool characters_allowed(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!is_lower_or_digit(c) && c != '-' && c != '.')
            return false;
        if (c == '.' && i > 0 && name.ptr[i - 1] == '.')
            return false;
    }
    return is_lower_or_digit(name.ptr[0]) && is_lower_or_digit(name.ptr[name.len - 1]);
}

/* Four groups of digits between dots, as an IPv4 address is written. */
static bool looks_like_address(struct str name)
{
    unsigned groups = 0;
    struct str rest = name, group;
    while (str_cut(&rest, '.', &group)) {
        uint64_t n;
        if (str_to_u64(group, &n) < 0)
            return false;
        groups++;
    }
    return groups == 4;
}

static bool is_reserved(struct str name)
{
    static const struct str prefixes[] = {STR("xn--"), STR("sthree-"), STR("amzn-s3-demo-")};
    static const struct str suffixes[] = {STR("-s3alias"), STR("--ol-s3"), STR(".mrap"),
                                          STR("--x-s3"), STR("--table-s3")};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(name, prefixes[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(name, suffixes[i]))
            return true;
    return false;
}

int bucket_name_test(struct str name)
{
    bool allowed = name.len >= BUCKET_NAME_MIN && name.len <= BUCKET_NAME_MAX &&
                   characters_allowed(name) && !looks_like_address(name) && !is_reserved(name);
    return allowed ? 0 : -ERR_INVALID_BUCKET_NAME;
}
