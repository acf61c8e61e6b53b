/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The setting: a line for each configuration, name=value pairs as in a query, percent-encoded. A
 * thousand of them of usual length are 200 KiB; as documents they would not fit a setting.
 */

#include "base/error.h"
#include "inventory/inventory.h"
#include "wire/uri.h"

/* ---- writing -------------------------------------------------------------------------------- */

static void put_pair(struct buf *b, const char *name, struct str value)
{
    if (!value.len)
        return;
    buf_printf(b, "&%s=", name);
    uri_encode(b, value, true);
}

static void put_line(struct buf *b, const struct inventory *i)
{
    buf_put_cstr(b, "id=");
    uri_encode(b, i->id, true);
    buf_printf(b, "&on=%d&all=%d&weekly=%d&fields=%u&put=%llu", i->enabled, i->all_versions,
               i->weekly, i->fields, (unsigned long long)i->put_ms);
    put_pair(b, "prefix", i->prefix);
    put_pair(b, "account", i->account);
    put_pair(b, "bucket", i->bucket);
    put_pair(b, "to", i->bucket_prefix);
    if (i->seal != SEAL_NONE)
        put_pair(b, "seal", i->seal == SEAL_S3 ? STR("s3") : STR("kms"));
    put_pair(b, "key", i->master_key);
    buf_put_char(b, '\n');
}

void inventory_set_pack(struct buf *b, const struct inventory_set *set)
{
    for (size_t n = 0; n < set->count; n++)
        put_line(b, &set->list[n]);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int get_number(const struct uri_query *q, const char *name, uint64_t most, uint64_t *ret)
{
    struct str text = uri_query_get(q, str_from(name));
    return str_to_u64(text, ret) || *ret > most ? -ERR_CORRUPT : 0;
}

static int get_bool(const struct uri_query *q, const char *name, bool *ret)
{
    uint64_t n = 0;
    int r = get_number(q, name, 1, &n);
    *ret = n;
    return r;
}

static int get_seal(const struct uri_query *q, struct inventory *i)
{
    struct str text = uri_query_get(q, STR("seal"));
    i->master_key = uri_query_get(q, STR("key"));
    i->seal = !text.ptr                  ? SEAL_NONE
              : str_eq(text, STR("s3"))  ? SEAL_S3
              : str_eq(text, STR("kms")) ? SEAL_KMS
                                         : SEAL_C;
    return i->seal == SEAL_C || i->master_key.len > SEAL_NAME_MAX ||
                   (i->seal == SEAL_KMS) != (i->master_key.len > 0)
               ? -ERR_CORRUPT
               : 0;
}

static int get_texts(const struct uri_query *q, struct inventory *i)
{
    i->id = uri_query_get(q, STR("id"));
    i->prefix = uri_query_get(q, STR("prefix"));
    i->account = uri_query_get(q, STR("account"));
    i->bucket = uri_query_get(q, STR("bucket"));
    i->bucket_prefix = uri_query_get(q, STR("to"));
    bool fits = inventory_id_is_valid(i->id) && i->prefix.len <= STORE_KEY_MAX &&
                i->account.len <= INVENTORY_ACCOUNT_MAX && i->bucket.len > 0 &&
                i->bucket_prefix.len <= INVENTORY_PREFIX_MAX;
    return fits ? get_seal(q, i) : -ERR_CORRUPT;
}

static int get_line(struct arena *a, struct str line, struct inventory *i)
{
    struct uri_query q;
    uint64_t fields = 0;
    int r = uri_parse_query(a, line, &q);
    if (r == 0)
        r = get_texts(&q, i);
    if (r == 0)
        r = get_bool(&q, "on", &i->enabled);
    if (r == 0)
        r = get_bool(&q, "all", &i->all_versions);
    if (r == 0)
        r = get_bool(&q, "weekly", &i->weekly);
    if (r == 0)
        r = get_number(&q, "fields", (1u << INVENTORY_FIELD_COUNT) - 1, &fields);
    i->fields = (uint32_t)fields;
    if (r == 0)
        r = get_number(&q, "put", UINT64_MAX, &i->put_ms);
    return r == 0 || r == -ENOMEM ? r : -ERR_CORRUPT;
}

static size_t count_lines(struct str text)
{
    size_t count = 0;
    for (size_t n = 0; n < text.len; n++)
        count += text.ptr[n] == '\n';
    return count;
}

int inventory_set_parse(struct arena *a, struct str text, void *made)
{
    struct inventory_set set = {.count = count_lines(text)};
    struct str line;
    if (set.count == 0 || set.count > INVENTORY_CONFIGS_MAX || text.ptr[text.len - 1] != '\n')
        return -ERR_CORRUPT;
    set.list = arena_array(a, struct inventory, set.count);
    if (!set.list)
        return -ENOMEM;
    for (size_t n = 0; n < set.count; n++) {
        CHECK(str_cut(&text, '\n', &line));
        int r = get_line(a, line, &set.list[n]);
        if (r == 0 && n && str_cmp(set.list[n - 1].id, set.list[n].id) >= 0)
            r = -ERR_CORRUPT;
        if (r < 0)
            return r;
    }
    *(struct inventory_set *)made = set;
    return 0;
}

/* ---- in memory ------------------------------------------------------------------------------ */

size_t inventory_set_from(const struct inventory_set *set, struct str id)
{
    size_t n = 0;
    while (n < set->count && str_cmp(set->list[n].id, id) < 0)
        n++;
    return n;
}

const struct inventory *inventory_set_find(const struct inventory_set *set, struct str id)
{
    size_t n = inventory_set_from(set, id);
    return n < set->count && str_eq(set->list[n].id, id) ? &set->list[n] : NULL;
}

/* `list[0..at)`, `i` unless it is NULL, `list[rest..)`. */
static int join(struct arena *a, const struct inventory_set *set, size_t at,
                const struct inventory *i, size_t rest, struct inventory_set *ret)
{
    struct inventory_set s = {.count = at + (i != NULL) + (set->count - rest)};
    s.list = arena_array(a, struct inventory, s.count + 1);
    if (!s.list)
        return -ENOMEM;
    if (at)
        memcpy(s.list, set->list, at * sizeof(*s.list));
    if (i)
        s.list[at] = *i;
    if (rest < set->count)
        memcpy(s.list + at + (i != NULL), set->list + rest, (set->count - rest) * sizeof(*s.list));
    *ret = s;
    return 0;
}

int inventory_set_with(struct arena *a, const struct inventory_set *set, const struct inventory *i,
                       struct inventory_set *ret)
{
    size_t at = inventory_set_from(set, i->id);
    bool there = at < set->count && str_eq(set->list[at].id, i->id);
    if (!there && set->count == INVENTORY_CONFIGS_MAX)
        return -ERR_TOO_MANY_CONFIGURATIONS;
    return join(a, set, at, i, at + there, ret);
}

int inventory_set_without(struct arena *a, const struct inventory_set *set, size_t at,
                          struct inventory_set *ret)
{
    CHECK(at < set->count);
    return join(a, set, at, NULL, at + 1, ret);
}
