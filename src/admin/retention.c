/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Retention by class of data: what each bucket says (lifecycle/retention.h), set and taken away.
 */

#include "admin/internal.h"
#include "lifecycle/retention.h"
#include "wire/json.h"

#define PAGE 100

static const char *const modes[] = {NULL, "GOVERNANCE", "COMPLIANCE"};

static json_t *rules_json(const struct retention *r)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < DATA_CLASSES; i++) {
        const struct retention_rule *rule = &r->rules[i];
        if (retention_rule_is_empty(rule))
            continue;
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:s?, s:I}", "class", data_class_text(i),
                                        "min_days", (json_int_t)rule->min_days, "mode",
                                        modes[rule->mode], "max_days", (json_int_t)rule->max_days));
    }
    return list;
}

static json_t *bucket_json(struct str name, const struct retention *r)
{
    return json_pack("{s:o, s:o}", "bucket", admin_json_str(name), "rules", rules_json(r));
}

static int rules_of(const struct store_bucket *b, struct retention *ret)
{
    const void *made = NULL;
    int r = store_setting_made(b->settings, STORE_SETTING_DATA_CLASSES, sizeof(*ret),
                               retention_parse, &made);
    *ret = (struct retention){0};
    if (r == 0 && made)
        *ret = *(const struct retention *)made;
    return r;
}

/* ---- listing -------------------------------------------------------------------------------- */

static int FIBER add_bucket(struct admin *a, struct http_exchange *x, struct str name, json_t *list)
{
    struct store_bucket b = {0};
    struct retention rules;
    int r = store_bucket_get(a->config.store, http_arena(x), name, &b);
    if (r == -ERR_NO_SUCH_BUCKET)
        return 0; /* it went just now */
    if (r == 0)
        r = rules_of(&b, &rules);
    if (r == 0 && store_setting_of(b.settings, STORE_SETTING_DATA_CLASSES))
        json_array_append_new(list, bucket_json(name, &rules));
    store_bucket_release(&b);
    return r;
}

static int FIBER add_buckets(struct admin *a, struct http_exchange *x, json_t *list)
{
    struct store_bucket_page page = {.count = 0};
    int r;
    do {
        r = store_bucket_list(a->config.store, http_arena(x), STR_NULL, STR_NULL, page.next, PAGE,
                              &page);
        for (size_t i = 0; r == 0 && i < page.count; i++)
            r = add_bucket(a, x, page.buckets[i].name, list);
    } while (r == 0 && page.next.len);
    return r;
}

void FIBER admin_retention_list(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *list = json_array();
    int r = add_buckets(a, x, list);
    if (r == 0) {
        admin_respond_json(x, 200, json_pack("{s:o}", "buckets", list));
        return;
    }
    json_decref(list);
    admin_respond_error(x, r, NULL);
}

/* ---- changing ------------------------------------------------------------------------------- */

static int read_mode(struct str text, enum store_retention *ret)
{
    for (unsigned i = STORE_RETENTION_GOVERNANCE; i < STORE_RETENTIONS; i++)
        if (str_eq(text, str_from(modes[i]))) {
            *ret = i;
            return 0;
        }
    return -ERR_INVALID_ARGUMENT;
}

static int read_days(const json_t *in, const char *name, uint64_t *ret)
{
    const json_t *v = json_object_get(in, name);
    if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
        return -ERR_INVALID_ARGUMENT;
    *ret = v ? (uint64_t)json_integer_value(v) : 0;
    return 0;
}

/* Whoever says no days says nothing of the class any more. */
static int read_rule(const json_t *in, enum data_class *ret_class, struct retention_rule *ret)
{
    struct str mode = admin_text_member(in, "mode");
    *ret = (struct retention_rule){.mode = STORE_RETENTION_NONE};
    int r = data_class_parse(admin_text_member(in, "class"), ret_class);
    if (r == 0)
        r = read_days(in, "min_days", &ret->min_days);
    if (r == 0)
        r = read_days(in, "max_days", &ret->max_days);
    if (r == 0 && mode.len)
        r = read_mode(mode, &ret->mode);
    else if (r == 0 && ret->min_days)
        ret->mode = STORE_RETENTION_GOVERNANCE;
    return r || retention_rule_check(ret) ? -ERR_INVALID_ARGUMENT : 0;
}

static int FIBER put_rules(struct admin *a, const struct store_bucket *b, const struct retention *r)
{
    _cleanup_buf_ struct buf text;
    buf_init(&text, STORE_SETTING_MAX);
    retention_write(&text, r);
    if (buf_error(&text))
        return buf_error(&text);
    if (text.len == 0)
        return store_setting_delete(a->config.store, b->id, STORE_SETTING_DATA_CLASSES);
    return store_setting_put(a->config.store, b->id, STORE_SETTING_DATA_CLASSES, buf_str(&text));
}

static int FIBER change(struct admin *a, const struct store_bucket *b, const json_t *in,
                        struct retention *rules)
{
    struct retention_rule rule;
    enum data_class c;
    int r = read_rule(in, &c, &rule);
    if (r == 0 && rule.min_days && !b->object_lock)
        r = -ERR_BUCKET_STATE;
    if (r == 0)
        r = rules_of(b, rules);
    if (r < 0)
        return r;
    rules->rules[c] = rule;
    return put_rules(a, b, rules);
}

static void FIBER refuse(struct http_exchange *x, int r)
{
    admin_respond_error(
        x, r,
        r == -ERR_INVALID_ARGUMENT ? "class is public, internal, confidential or restricted; "
                                     "min_days, with mode GOVERNANCE "
                                     "or COMPLIANCE, is at most max_days; both are up to 36500"
        : r == -ERR_BUCKET_STATE   ? "the bucket has no object lock: it can lock nothing"
                                   : NULL);
}

void FIBER admin_retention_set(struct admin *a, struct http_exchange *x, struct str body)
{
    struct store_bucket b = {0};
    struct retention rules;
    struct str name = admin_path_name(x);
    json_t *in = admin_read_object(x, body);
    if (!in)
        return;
    int r = store_bucket_get(a->config.store, http_arena(x), name, &b);
    if (r == 0)
        r = change(a, &b, in, &rules);
    json_decref(in);
    store_bucket_release(&b);
    if (r < 0)
        refuse(x, r);
    else
        admin_respond_json(x, 200, bucket_json(name, &rules));
}
