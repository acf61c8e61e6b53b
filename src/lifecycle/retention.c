/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <assert.h>
#include "base/error.h"
#include "lifecycle/retention.h"

static const char *const class_texts[] = {"public", "internal", "confidential", "restricted"};
static_assert(ARRAY_LEN(class_texts) == DATA_CLASSES, "a text a class");
static const char *const mode_texts[] = {"NONE", "GOVERNANCE", "COMPLIANCE"};
static_assert(ARRAY_LEN(mode_texts) == STORE_RETENTIONS, "a text a mode");

const char *data_class_text(enum data_class c)
{
    CHECK(c < DATA_CLASSES);
    return class_texts[c];
}

int data_class_parse(struct str text, enum data_class *ret)
{
    for (unsigned i = 0; i < DATA_CLASSES; i++)
        if (str_eq(text, str_from(class_texts[i]))) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

int retention_rule_check(const struct retention_rule *r)
{
    bool locks = r->mode != STORE_RETENTION_NONE;
    if (locks != (r->min_days > 0) || r->min_days > RETENTION_DAYS_MAX ||
        r->max_days > RETENTION_DAYS_MAX)
        return -EINVAL;
    return r->max_days && r->max_days < r->min_days ? -EINVAL : 0;
}

bool retention_is_empty(const struct retention *r)
{
    for (unsigned i = 0; i < DATA_CLASSES; i++)
        if (!retention_rule_is_empty(&r->rules[i]))
            return false;
    return true;
}

/* ---- the document --------------------------------------------------------------------------- */

static int parse_mode(struct str text, enum store_retention *ret)
{
    for (unsigned i = 0; i < STORE_RETENTIONS; i++)
        if (str_eq(text, str_from(mode_texts[i]))) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

/* As it is written: no sign, no zero in front. */
static int parse_days(struct str text, uint64_t *ret)
{
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
        return -EINVAL;
    return str_to_u64(text, ret);
}

/* `next` is the first class that may come. */
static int parse_line(struct str line, struct retention *r, unsigned *next)
{
    struct str words[4];
    struct retention_rule rule;
    enum data_class c;
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (!str_cut(&line, ' ', &words[i]))
            return -EINVAL;
    int e = line.ptr ? -EINVAL : data_class_parse(words[0], &c);
    if (e == 0)
        e = parse_mode(words[1], &rule.mode);
    if (e == 0)
        e = parse_days(words[2], &rule.min_days);
    if (e == 0)
        e = parse_days(words[3], &rule.max_days);
    if (e == 0)
        e = retention_rule_check(&rule);
    if (e || c < *next || retention_rule_is_empty(&rule))
        return -EINVAL;
    r->rules[c] = rule;
    *next = c + 1;
    return 0;
}

int retention_parse(struct arena *a, struct str text, void *made)
{
    struct retention *r = made;
    unsigned next = 0;
    *r = (struct retention){0};
    if (text.len && text.ptr[text.len - 1] != '\n')
        return -ERR_CORRUPT;
    for (struct str line; text.len && str_cut(&text, '\n', &line);)
        if (parse_line(line, r, &next))
            return -ERR_CORRUPT;
    return 0;
}

void retention_write(struct buf *b, const struct retention *r)
{
    for (unsigned i = 0; i < DATA_CLASSES; i++) {
        const struct retention_rule *rule = &r->rules[i];
        if (!retention_rule_is_empty(rule))
            buf_printf(b, "%s %s %llu %llu\n", class_texts[i], mode_texts[rule->mode],
                       (unsigned long long)rule->min_days, (unsigned long long)rule->max_days);
    }
}

/* ---- what it says --------------------------------------------------------------------------- */

const struct retention_rule *retention_find(const struct retention *r,
                                            const struct store_pair *tags, size_t count)
{
    enum data_class c;
    for (size_t i = 0; r && i < count; i++)
        if (str_eq(tags[i].name, RETENTION_TAG) && data_class_parse(tags[i].value, &c) == 0)
            return retention_rule_is_empty(&r->rules[c]) ? NULL : &r->rules[c];
    return NULL;
}

void retention_lock(const struct retention_rule *r, uint64_t from_ms, struct store_lock *lock)
{
    static_assert(STORE_RETENTION_COMPLIANCE > STORE_RETENTION_GOVERNANCE, "the stronger is more");
    if (r->mode == STORE_RETENTION_NONE)
        return;
    uint64_t until = from_ms + r->min_days * RETENTION_DAY_MS;
    bool locked = lock->retention != STORE_RETENTION_NONE;
    lock->until_ms = locked ? MAX(lock->until_ms, until) : until;
    lock->retention = locked ? MAX(lock->retention, r->mode) : r->mode;
}

uint64_t retention_cutoff_ms(const struct retention_rule *r, uint64_t now_ms, uint64_t day_ms)
{
    uint64_t age = r->max_days * day_ms;
    return r->max_days && now_ms > age ? now_ms - age : 0;
}
