/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A notification configuration that is taken comes out the same after it is written and read, and
 * no key falls under two of its rules. */

#include "events/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_match(const struct event_rules *rules, struct str key)
{
    for (unsigned kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        const struct event_rule *first = event_rules_match(rules, kind, key);
        if (!first)
            continue;
        size_t next = (size_t)(first - rules->rules) + 1;
        struct event_rules rest = {rules->rules + next, rules->count - next};
        CHECK(!event_rules_match(&rest, kind, key));
    }
}

static void check_again(struct arena *a, const struct event_rules *rules)
{
    struct event_rules again;
    struct event_fault fault;
    struct buf b;
    buf_init(&b, 0);
    event_rules_xml(&b, rules);
    CHECK(buf_error(&b) == 0);
    int r = event_rules_parse(a, buf_str(&b), &again, &fault);
    CHECK(r == -ENOMEM || (r == 0 && again.count == rules->count));
    for (size_t i = 0; r == 0 && i < again.count; i++)
        CHECK(again.rules[i].kinds == rules->rules[i].kinds &&
              str_eq(again.rules[i].target, rules->rules[i].target));
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena a;
    struct event_rules rules;
    struct event_fault fault;
    arena_init(&a, 0);
    if (event_rules_parse(&a, str_make(data, len), &rules, &fault) == 0) {
        check_again(&a, &rules);
        check_match(&rules, STR("in/x.jpg"));
        for (size_t i = 0; i < rules.count; i++)
            check_match(&rules, rules.rules[i].prefix);
    }
    arena_release(&a);
    return 0;
}
