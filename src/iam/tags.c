/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Tags of users and roles, which conditions know as aws:PrincipalTag/KEY. */

#include "iam/internal.h"

#include "base/error.h"

/* ---- the rules ------------------------------------------------------------------------------ */

/* Letters, digits and blanks of any script, and _ . : / = + - @ (IAM API Reference, Tag). */
static bool is_tag_text(struct str s, size_t least, size_t most)
{
    size_t characters = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool word = c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
        if (!word && (!c || !strchr(" _.:/=+-@", c)))
            return false;
        characters += (c & 0xc0) != 0x80;
    }
    return characters >= least && characters <= most && str_is_utf8(s);
}

bool iam_tags_are_valid(const struct iam_tags *tags)
{
    if (tags->count % 2 || tags->count > 2 * IAM_TAGS_MAX)
        return false;
    for (size_t i = 0; i < tags->count; i += 2) {
        struct str key = tags->texts[i];
        if (!is_tag_text(key, 1, IAM_TAG_KEY_MAX) || str_starts_nocase(key, STR("aws:")) ||
            !is_tag_text(tags->texts[i + 1], 0, IAM_TAG_VALUE_MAX))
            return false;
        for (size_t k = 0; k < i; k += 2)
            if (str_eq_nocase(tags->texts[k], key))
                return false;
    }
    return true;
}

/* ---- changes -------------------------------------------------------------------------------- */

static ptrdiff_t find_tag(const struct iam_tags *tags, struct str key)
{
    for (size_t i = 0; i < tags->count; i += 2)
        if (str_eq_nocase(tags->texts[i], key))
            return (ptrdiff_t)i;
    return -1;
}

static bool goes(const struct iam_tag_change *c, struct str key)
{
    for (size_t i = 0; i < c->drop_count; i++)
        if (str_eq_nocase(c->drop[i], key))
            return true;
    return find_tag(&c->put, key) >= 0;
}

static int merge_tags(struct arena *a, const struct iam_tags *old, const struct iam_tag_change *c,
                      struct iam_tags *ret)
{
    struct str *texts = arena_array(a, struct str, old->count + c->put.count + 1);
    size_t count = 0;
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < old->count; i += 2) {
        if (goes(c, old->texts[i]))
            continue;
        texts[count++] = old->texts[i];
        texts[count++] = old->texts[i + 1];
    }
    for (size_t i = 0; i < c->put.count; i++)
        texts[count++] = c->put.texts[i];
    *ret = (struct iam_tags){texts, count};
    return count > 2 * (size_t)IAM_TAGS_MAX ? -ERR_LIMIT : iam_tags_are_valid(ret) ? 0 : -EINVAL;
}

static int FIBER tag_user(struct iam *iam, struct arena *a, struct str name,
                          const struct iam_tag_change *c)
{
    struct iam_entry *e = iam_find_other(iam, name);
    if (!e)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    int r = merge_tags(a, &e->user.tags, c, &changed.tags);
    return r ? r : iam_entry_change(iam, e, &changed);
}

int FIBER iam_user_tag(struct iam *iam, struct arena *a, struct str name,
                       const struct iam_tag_change *c)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = tag_user(iam, a, name, c);
    iam_writer_leave(iam);
    return r;
}

static int FIBER tag_role(struct iam *iam, struct arena *a, struct str name,
                          const struct iam_tag_change *c)
{
    rt_lock(&iam->lock);
    struct iam_role_entry *e = iam_find_role(iam, name);
    rt_unlock(&iam->lock);
    if (!e)
        return -ERR_NOT_FOUND;
    struct iam_role changed = e->info;
    int r = merge_tags(a, &e->info.tags, c, &changed.tags);
    return r ? r : iam_role_change(iam, e, &changed);
}

int FIBER iam_role_tag(struct iam *iam, struct arena *a, struct str name,
                       const struct iam_tag_change *c)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = tag_role(iam, a, name, c);
    iam_writer_leave(iam);
    return r;
}

/* ---- as attributes -------------------------------------------------------------------------- */

int iam_tag_attributes(struct arena *a, const struct iam_tags *tags, struct iam_identity *who)
{
    struct iam_attribute *list = arena_array(a, struct iam_attribute, tags->count / 2 + 1);
    struct str *texts = iam_names_dup(a, tags->texts, tags->count);
    if (!list || !texts)
        return -ENOMEM;
    for (size_t i = 0; i < tags->count; i += 2)
        list[i / 2] = (struct iam_attribute){IAM_KEY_PRINCIPAL_TAG, texts[i], {&texts[i + 1], 1}};
    who->attributes = list;
    who->attribute_count = tags->count / 2;
    return 0;
}
