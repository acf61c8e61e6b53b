/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * RFC 9110, 13.2.2: the order in which preconditions are tested; 8.8.3.2: how entity tags compare.
 * S3 clients also send tags without quotes; they are taken as if quoted.
 */

#include "store/internal.h"
#include <stdio.h>
#include "base/encode.h"

struct str etag_text(const struct store_etag *etag, char *ret)
{
    hex_encode(etag->md5, sizeof(etag->md5), ret);
    size_t len = 2 * sizeof(etag->md5);
    if (etag->parts)
        len += (size_t)snprintf(ret + len, ETAG_TEXT_MAX - len, "-%u", (unsigned)etag->parts);
    return str_make(ret, len);
}

/* One member of a list: quotes and a weakness mark are taken off. */
static struct str tag_text(struct str member, bool *ret_weak)
{
    member = str_trim(member);
    *ret_weak = str_starts(member, STR("W/"));
    if (*ret_weak)
        member = str_from_offset(member, 2);
    if (member.len >= 2 && member.ptr[0] == '"' && member.ptr[member.len - 1] == '"')
        member = str_make(member.ptr + 1, member.len - 2);
    return member;
}

/* `strong`: weak tags match nothing. */
static bool list_matches(struct str list, const struct store_object *o, bool strong)
{
    if (!o)
        return false;
    if (str_eq(str_trim(list), STR("*")))
        return true;
    char text[ETAG_TEXT_MAX];
    struct str etag = etag_text(&o->etag, text), rest = list, member;
    while (str_cut(&rest, ',', &member)) {
        bool weak;
        struct str tag = tag_text(member, &weak);
        if (!(strong && weak) && str_eq_nocase(tag, etag))
            return true;
    }
    return false;
}

static bool modified_after(const struct store_object *o, uint64_t since_ms)
{
    return o->mtime_ms / 1000 > since_ms / 1000;
}

int conditions_test_read(const struct store_conditions *c, const struct store_object *o)
{
    if (!c)
        return 0;
    if (c->if_match.len) {
        if (!list_matches(c->if_match, o, true))
            return -ERR_PRECONDITION_FAILED;
    } else if (c->has_unmodified_since && modified_after(o, c->unmodified_since_ms)) {
        return -ERR_PRECONDITION_FAILED;
    }
    if (c->if_none_match.len) {
        if (list_matches(c->if_none_match, o, false))
            return -ERR_NOT_MODIFIED;
    } else if (c->has_modified_since && !modified_after(o, c->modified_since_ms)) {
        return -ERR_NOT_MODIFIED;
    }
    return 0;
}

/* What a deletion asks of the object beside its tag. */
static int test_shape(const struct store_conditions *c, const struct store_object *o)
{
    if (!c->has_mtime && !c->has_len && !c->has_seq)
        return 0;
    if (!o)
        return -ERR_NO_SUCH_KEY;
    if (c->has_mtime && o->mtime_ms / 1000 != c->mtime_ms / 1000)
        return -ERR_PRECONDITION_FAILED;
    if (c->has_seq && o->seq != c->seq)
        return -ERR_PRECONDITION_FAILED;
    return c->has_len && o->len_bytes != c->len_bytes ? -ERR_PRECONDITION_FAILED : 0;
}

int conditions_test_write(const struct store_conditions *c, const struct store_object *o)
{
    if (!c)
        return 0;
    if (c->if_match.len) {
        if (!o)
            return -ERR_NO_SUCH_KEY;
        if (!list_matches(c->if_match, o, true))
            return -ERR_PRECONDITION_FAILED;
    } else if (c->has_unmodified_since && o && modified_after(o, c->unmodified_since_ms)) {
        return -ERR_PRECONDITION_FAILED;
    }
    if (c->if_none_match.len && list_matches(c->if_none_match, o, false))
        return -ERR_PRECONDITION_FAILED;
    return test_shape(c, o);
}
