/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Tags of users and roles, the same for both. */

#include "s3/query/query.h"

#include <stdlib.h>

static int refuse_tags(struct query *y)
{
    return s3_error(y->q, -ERR_INVALID_INPUT,
                    "Tags have keys of 1 to %d and values of up to %d letters, digits, blanks and "
                    "_.:/=+-@, and no key starts with aws:",
                    IAM_TAG_KEY_MAX, IAM_TAG_VALUE_MAX);
}

static int explain(struct query *y, int r)
{
    if (r == -EINVAL)
        return refuse_tags(y);
    if (r == -ERR_LIMIT)
        return s3_error(y->q, -ERR_LIMIT_EXCEEDED,
                        "The number of tags has reached the maximum limit.");
    return r;
}

static int check_keys(struct query *y, const struct iam_tags *tags)
{
    for (size_t i = 0; i < tags->count; i += 2)
        for (size_t k = 0; k < i; k += 2)
            if (str_eq_nocase(tags->texts[k], tags->texts[i]))
                return s3_error(y->q, -ERR_INVALID_INPUT,
                                "Duplicate tag keys found. Please note that Tag keys are case "
                                "insensitive.");
    return iam_tags_are_valid(tags) ? 0 : refuse_tags(y);
}

/* Tags.member.N.Key and Tags.member.N.Value, with one beyond the limit. */
static int gather_tags(struct query *y, struct iam_tags *ret)
{
    struct str *texts = arena_array(y->arena, struct str, 2 * IAM_TAGS_MAX + 2);
    size_t count = 0;
    for (; texts && count <= 2 * (size_t)IAM_TAGS_MAX; count += 2) {
        struct str key = arena_printf(y->arena, "Tags.member.%zu.Key", count / 2 + 1);
        struct str value = arena_printf(y->arena, "Tags.member.%zu.Value", count / 2 + 1);
        if (!key.ptr || !value.ptr)
            return -ENOMEM;
        texts[count] = uri_query_get(&y->params, key);
        if (!texts[count].ptr)
            break;
        texts[count + 1] = uri_query_get(&y->params, value);
        if (!texts[count + 1].ptr)
            texts[count + 1] = STR("");
    }
    *ret = (struct iam_tags){texts, count};
    return texts ? 0 : -ENOMEM;
}

static int read_tags(struct query *y, struct iam_tags *ret)
{
    int r = gather_tags(y, ret);
    if (!r && ret->count > 2 * (size_t)IAM_TAGS_MAX)
        return explain(y, -ERR_LIMIT);
    return r ? r : check_keys(y, ret);
}

/* ---- for conditions ------------------------------------------------------------------------- */

/* What the request would give, or take away. Other actions have no tags, whatever is sent. */
static int request_tags(struct query *y, struct iam_tags *ret)
{
    query_handler *h = y->action->handler;
    struct str *keys, *texts;
    size_t count;
    *ret = (struct iam_tags){0};
    if (h == query_tag || h == query_create_user || h == query_create_role)
        return gather_tags(y, ret);
    if (h != query_untag)
        return 0;
    int r = query_list(y, "TagKeys", IAM_TAGS_MAX, &keys, &count);
    if (r)
        return r;
    texts = arena_array(y->arena, struct str, 2 * count + 1);
    for (size_t i = 0; texts && i < count; i++)
        texts[2 * i] = keys[i];
    *ret = (struct iam_tags){texts, 2 * count};
    return texts ? 0 : -ENOMEM;
}

static int put_keys(struct query *y, const struct iam_tags *tags, struct iam_values *ret)
{
    struct str *keys = arena_array(y->arena, struct str, tags->count / 2 + 1);
    for (size_t i = 0; keys && i < tags->count; i += 2)
        keys[i / 2] = tags->texts[i];
    *ret = (struct iam_values){keys, tags->count / 2};
    return keys ? 0 : -ENOMEM;
}

static void put_value(const struct iam_tags *tags, struct str key, struct iam_values *ret)
{
    for (size_t i = 0; i < tags->count; i += 2)
        if (str_eq_nocase(tags->texts[i], key) && tags->texts[i + 1].ptr)
            *ret = (struct iam_values){&tags->texts[i + 1], 1};
}

int query_tag_values(struct query *y, enum iam_key key, struct str name, struct iam_values *ret)
{
    struct iam_tags tags = y->action->on == QUERY_ON_USER ? y->user.tags : y->role.tags;
    int r = key == IAM_KEY_RESOURCE_TAG ? 0 : request_tags(y, &tags);
    if (r)
        return r;
    if (key == IAM_KEY_TAG_KEYS)
        return put_keys(y, &tags, ret);
    put_value(&tags, name, ret);
    return 0;
}

/* ---- what is made with tags ----------------------------------------------------------------- */

int FIBER query_new_tags(struct query *y, const char *action, struct iam_tags *ret)
{
    int r = read_tags(y, ret);
    return r || !ret->count ? r : query_authorise(y, action, y->arn, y->alias_arn);
}

int query_no_tags(struct query *y)
{
    if (!query_param(y, "Tags.member.1.Key").ptr)
        return 0;
    return s3_error(y->q, -ERR_NOT_IMPLEMENTED, "The parameter Tags of %s is not implemented",
                    y->action->name);
}

void query_put_tags(struct query *y, const struct iam_tags *tags)
{
    if (!tags->count)
        return;
    xml_open(&y->out, "Tags");
    for (size_t i = 0; i < tags->count; i += 2) {
        xml_open(&y->out, "member");
        xml_element(&y->out, "Key", tags->texts[i]);
        xml_element(&y->out, "Value", tags->texts[i + 1]);
        xml_close(&y->out, "member");
    }
    xml_close(&y->out, "Tags");
}

/* ---- the actions ---------------------------------------------------------------------------- */

static int FIBER change(struct query *y, const struct iam_tag_change *c)
{
    int r = y->action->on == QUERY_ON_ROLE ? iam_role_tag(y->iam, y->arena, y->role.name, c)
                                           : iam_user_tag(y->iam, y->arena, y->user.name, c);
    return explain(y, r);
}

int FIBER query_tag(struct query *y)
{
    struct iam_tag_change c = {.drop = NULL};
    int r = read_tags(y, &c.put);
    return r ? r : change(y, &c);
}

int FIBER query_untag(struct query *y)
{
    struct iam_tag_change c = {.drop = NULL};
    struct str *keys;
    int r = query_list(y, "TagKeys", IAM_TAGS_MAX, &keys, &c.drop_count);
    c.drop = r ? NULL : keys;
    return r ? r : change(y, &c);
}

struct tag {
    struct str key, value;
};

static int by_key(const void *a, const void *b)
{
    return query_cmp(((const struct tag *)a)->key, ((const struct tag *)b)->key);
}

static struct str key_at(const void *items, size_t i)
{
    return ((const struct tag *)items)[i].key;
}

static struct tag *sort_tags(struct query *y, const struct iam_tags *tags)
{
    struct tag *list = arena_array(y->arena, struct tag, tags->count / 2 + 1);
    for (size_t i = 0; list && i < tags->count; i += 2)
        list[i / 2] = (struct tag){tags->texts[i], tags->texts[i + 1]};
    if (list)
        qsort(list, tags->count / 2, sizeof(*list), by_key);
    return list;
}

int query_list_tags(struct query *y)
{
    const struct iam_tags *tags = y->action->on == QUERY_ON_ROLE ? &y->role.tags : &y->user.tags;
    struct tag *list = sort_tags(y, tags);
    struct query_page page;
    int r = list ? query_page(y, key_at, list, tags->count / 2, &page) : -ENOMEM;
    if (r)
        return r;
    xml_open(&y->out, "Tags");
    for (size_t i = page.from; i < page.to; i++) {
        xml_open(&y->out, "member");
        xml_element(&y->out, "Key", list[i].key);
        xml_element(&y->out, "Value", list[i].value);
        xml_close(&y->out, "member");
    }
    xml_close(&y->out, "Tags");
    query_put_page(y, &page, page.to ? list[page.to - 1].key : STR(""));
    return 0;
}
