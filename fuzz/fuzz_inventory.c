/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A document that was read is written, and kept, and both read again are the same. */

#include "fuzz.h"

#include "inventory/inventory.h"

static void same_again(struct arena *a, const struct inventory *i)
{
    struct inventory_set set = {(struct inventory *)i, 1}, again;
    struct inventory other;
    struct str why;
    struct buf one, two, kept;
    buf_init(&one, 0);
    buf_init(&two, 0);
    buf_init(&kept, 0);
    inventory_xml(&one, i, true);
    CHECK(inventory_parse(a, buf_str(&one), &other, &why) == 0);
    inventory_xml(&two, &other, true);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    inventory_set_pack(&kept, &set);
    CHECK(inventory_set_parse(a, buf_str(&kept), &again) == 0 && again.count == 1);
    buf_reset(&two);
    inventory_xml(&two, &again.list[0], true);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_release(&one);
    buf_release(&two);
    buf_release(&kept);
}

static void kept_again(struct arena *a, const struct inventory_set *set)
{
    struct inventory_set again;
    struct buf one, two;
    buf_init(&one, 0);
    buf_init(&two, 0);
    inventory_set_pack(&one, set);
    CHECK(inventory_set_parse(a, buf_str(&one), &again) == 0 && again.count == set->count);
    inventory_set_pack(&two, &again);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    for (size_t n = 0; n < set->count; n++)
        CHECK(inventory_set_find(set, again.list[n].id) == &set->list[n]);
    buf_release(&one);
    buf_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str body = str_make(data, len), why;
    struct inventory i;
    struct inventory_set set;
    struct arena a;
    arena_init(&a, 0);
    if (inventory_parse(&a, body, &i, &why) == 0)
        same_again(&a, &i);
    if (inventory_set_parse(&a, body, &set) == 0)
        kept_again(&a, &set);
    arena_release(&a);
    return 0;
}
