/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What was taken is written as it was; a lock is never weakened. */

#include "fuzz.h"

#include "lifecycle/retention.h"

#define NOW_MS 1700000000000ULL

static void strengthen(const struct retention_rule *rule)
{
    for (unsigned mode = 0; mode < STORE_RETENTIONS; mode++) {
        struct store_lock before = {mode, mode ? NOW_MS + 40 * RETENTION_DAY_MS : 0, STORE_HOLD_ON};
        struct store_lock after = before;
        retention_lock(rule, NOW_MS, &after);
        CHECK(after.retention >= before.retention && after.until_ms >= before.until_ms);
        CHECK(after.hold == before.hold);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct retention r;
    struct buf b;
    if (retention_parse(NULL, str_make(data, len), &r) < 0)
        return 0;
    buf_init(&b, 0);
    retention_write(&b, &r);
    CHECK(str_eq(buf_str(&b), str_make(data, len)));
    buf_release(&b);
    for (unsigned i = 0; i < DATA_CLASSES; i++) {
        struct store_pair tag = {RETENTION_TAG, str_from(data_class_text(i))};
        const struct retention_rule *rule = retention_find(&r, &tag, 1);
        CHECK(!rule || retention_rule_check(rule) == 0);
        if (rule)
            strengthen(rule);
    }
    return 0;
}
