/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What was read is written, and read again is the same text; dates are never before their cause. */

#include "fuzz.h"

#include "lifecycle/lifecycle.h"

#define NOW_MS 1700000000000ULL

static void ask(const struct lifecycle *l, struct str key)
{
    struct lifecycle_subject s = {.key = key, .sized = true, .len_bytes = key.len};
    struct lifecycle_due due;
    CHECK(lifecycle_expiry(l, &s, NOW_MS, LIFECYCLE_DAY_MS, &due) == 0);
    CHECK(!due.rule || (due.rule->enabled && str_starts(key, due.rule->prefix)));
    CHECK(!due.rule == (due.due_ms == LIFECYCLE_NEVER));
    CHECK(!due.rule || due.rule->has_date || due.due_ms > NOW_MS);
    CHECK(lifecycle_noncurrent(l, &s, NOW_MS, 5, LIFECYCLE_DAY_MS, &due) == 0);
    CHECK(!due.rule || (due.rule->newer <= 5 && due.due_ms > NOW_MS));
    CHECK(lifecycle_abort(l, key, NOW_MS, LIFECYCLE_DAY_MS, &due) == 0);
    CHECK(!due.rule || due.rule->tag_count == 0);
    struct str class;
    CHECK(lifecycle_class(l, &s, NOW_MS, NOW_MS, LIFECYCLE_DAY_MS, &class) == 0);
    CHECK(!class.ptr || (class.len > 0 && lifecycle_warmth(class) != 0));
    CHECK(lifecycle_noncurrent_class(l, &s, NOW_MS, 5, LIFECYCLE_NEVER - 1, LIFECYCLE_DAY_MS,
                                     &class) == 0);
    CHECK(!class.ptr || (class.len > 0 && lifecycle_warmth(class) != 0));
    CHECK(lifecycle_marker(l, key, NOW_MS, LIFECYCLE_DAY_MS, &due) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str body = str_make(data, len), why;
    struct lifecycle l, again;
    struct arena a;
    struct buf one, two;
    arena_init(&a, 0);
    if (lifecycle_parse(&a, body, &l, &why) == 0) {
        CHECK(l.count >= 1 && l.count <= LIFECYCLE_RULES_MAX && l.enabled <= l.count);
        buf_init(&one, 0);
        buf_init(&two, 0);
        lifecycle_xml(&one, &l);
        CHECK(lifecycle_parse(&a, buf_str(&one), &again, &why) == 0);
        lifecycle_xml(&two, &again);
        CHECK(str_eq(buf_str(&one), buf_str(&two)));
        for (size_t i = 0; i < l.count; i++)
            ask(&l, l.rules[i].prefix);
        ask(&l, STR("logs/a"));
        buf_release(&one);
        buf_release(&two);
    }
    arena_release(&a);
    return 0;
}
