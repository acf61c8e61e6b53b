/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The first byte chooses one of the XML bodies that the S3 door reads; limits hold whatever comes.
 */

#include "s3/bodies.h"
#include "s3/config/cors.h"
#include "s3/config/encryption.h"
#include "s3/log_record.h"
#include "s3/tags.h"
#include "s3/config/website.h"
#include "wire/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_deletions(struct arena *a, struct str body)
{
    struct s3_deletions d;
    if (s3_body_deletions(a, body, &d))
        return;
    CHECK(d.count >= 1 && d.count <= S3_DELETE_KEYS_MAX);
    for (size_t i = 0; i < d.count; i++)
        CHECK(d.items[i].key.len > 0 && (d.items[i].err || d.items[i].key.len <= STORE_KEY_MAX));
}

static void check_completion(struct arena *a, struct str body, enum store_checksum_kind kind)
{
    struct s3_completion c;
    if (s3_body_completion(a, body, &kind, &c))
        return;
    CHECK(c.count >= 1 && c.count <= STORE_PARTS_MAX);
    for (size_t i = 0; i < c.count; i++) {
        CHECK(c.parts[i].number >= 1 && c.parts[i].number <= STORE_PARTS_MAX);
        CHECK(!c.parts[i].checksum.present || c.parts[i].checksum.kind == kind);
    }
}

static void check_pairs(const struct s3_tags *t, size_t max)
{
    CHECK(t->count <= max);
    for (size_t i = 0; i < t->count; i++) {
        CHECK(t->pairs[i].name.len >= 1 && t->pairs[i].name.len <= 4 * S3_TAG_KEY_MAX);
        CHECK(t->pairs[i].value.len <= 4 * S3_TAG_VALUE_MAX);
        CHECK(i == 0 || str_cmp(t->pairs[i - 1].name, t->pairs[i].name) < 0);
    }
}

static void check_tags(struct arena *a, struct str body, size_t max, bool header)
{
    struct s3_tags t;
    struct s3_tags_fault fault;
    int r = header ? s3_tags_parse_header(a, body, &t, &fault)
                   : s3_tags_parse_xml(a, body, max, &t, &fault);
    if (r == 0)
        check_pairs(&t, max);
}

static void check_new_bucket(struct arena *a, struct str body)
{
    struct s3_new_bucket n;
    struct s3_tags t;
    struct s3_tags_fault fault;
    if (s3_body_new_bucket(a, body, &n) || !n.tags)
        return;
    if (s3_tags_parse_set(a, n.tags, S3_BUCKET_TAGS_MAX, &t, &fault) == 0)
        check_pairs(&t, S3_BUCKET_TAGS_MAX);
}

/* What was read is written, and read again is the same text. */
static void check_cors(struct arena *a, struct str body)
{
    struct s3_cors cors, again;
    struct buf one, two;
    struct str why;
    bool any;
    if (s3_cors_parse(a, body, &cors, &why))
        return;
    CHECK(cors.count >= 1 && cors.count <= S3_CORS_RULES_MAX);
    (void)s3_cors_match(&cors, STR("http://a"), STR("GET"), body, &any);
    buf_init(&one, 0);
    buf_init(&two, 0);
    s3_cors_xml(&one, &cors);
    CHECK(s3_cors_parse(a, buf_str(&one), &again, &why) == 0);
    s3_cors_xml(&two, &again);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_release(&one);
    buf_release(&two);
}

static void check_website(struct arena *a, struct str body)
{
    struct s3_website site, again;
    struct buf one, two;
    struct str why;
    if (s3_website_parse(a, body, &site, &why))
        return;
    CHECK(site.redirects_all || site.index.len > 0);
    CHECK(site.rule_count <= S3_WEBSITE_RULES_MAX);
    buf_init(&one, 0);
    buf_init(&two, 0);
    for (size_t i = 0; i < site.rule_count; i++)
        s3_website_location(&two, &site.rules[i].to, site.rules[i].prefix, site.rules[i].prefix,
                            STR("http"), STR("h"));
    CHECK(two.len == 0 || !memchr(two.data, '\n', two.len));
    buf_reset(&two);
    s3_website_xml(&one, &site);
    CHECK(s3_website_parse(a, buf_str(&one), &again, &why) == 0);
    s3_website_xml(&two, &again);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_release(&one);
    buf_release(&two);
}

/* The bodies of versioning and object lock. */
static void check_locks(struct arena *a, struct str body)
{
    enum store_versioning versioning;
    enum store_hold hold;
    struct s3_default_retention d;
    struct store_lock lock;
    if (s3_body_versioning(a, body, &versioning) == 0)
        CHECK(versioning != STORE_VERSIONING_NEVER && versioning < STORE_VERSIONINGS);
    if (s3_body_legal_hold(a, body, &hold) == 0)
        CHECK(hold == STORE_HOLD_ON || hold == STORE_HOLD_OFF);
    if (s3_body_object_lock(a, body, &d) == 0)
        CHECK(d.mode == STORE_RETENTION_NONE ? !d.days && !d.years : !d.days != !d.years);
    if (s3_body_retention(a, body, &lock) == 0)
        CHECK(lock.retention < STORE_RETENTIONS && lock.until_ms <= DATE_MS_MAX);
}

static void check_restore(struct arena *a, struct str body)
{
    struct s3_restore restore;
    if (s3_body_restore(a, body, &restore) == 0)
        CHECK(restore.days >= 1 && restore.days <= 36500 && restore.tier.len <= 9);
}

static void check_object_encryption(struct arena *a, struct str body)
{
    struct s3_object_encryption e;
    if (s3_body_object_encryption(a, body, &e) == 0)
        CHECK(e.key.len > 0);
}

static void check_logging(struct arena *a, struct str body)
{
    struct s3_logging l, again;
    struct buf b;
    bool on;
    if (s3_logging_parse(a, body, &l, &on) || !on)
        return;
    buf_init(&b, 0);
    s3_logging_xml(&b, &l);
    CHECK(s3_logging_parse(a, buf_str(&b), &again, &on) == 0 && on);
    CHECK(str_eq(l.bucket, again.bucket) && str_eq(l.prefix, again.prefix));
    CHECK(l.partitioned == again.partitioned && l.by_event == again.by_event);
    buf_release(&b);
}

static void check_encryption(struct arena *a, struct str body)
{
    struct s3_encryption e, again;
    struct buf one, two;
    struct str why;
    if (s3_encryption_parse(a, body, &e, &why))
        return;
    CHECK(e.kind == SEAL_S3 || e.kind == SEAL_KMS || e.kind == SEAL_NONE);
    CHECK(e.name.len <= SEAL_NAME_MAX && (e.kind == SEAL_KMS || !e.name.len));
    buf_init(&one, 0);
    buf_init(&two, 0);
    s3_encryption_xml(&one, &e);
    CHECK(s3_encryption_parse(a, buf_str(&one), &again, &why) == 0);
    s3_encryption_xml(&two, &again);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_release(&one);
    buf_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size == 0)
        return 0;
    struct str body = str_make(data + 1, size - 1);
    arena_init(&a, 0);
    if (data[0] == 'L')
        check_new_bucket(&a, body);
    else if (data[0] == 'D')
        check_deletions(&a, body);
    else if (data[0] == 'T')
        check_tags(&a, body, S3_TAGS_MAX, false);
    else if (data[0] == 'B')
        check_tags(&a, body, S3_BUCKET_TAGS_MAX, false);
    else if (data[0] == 'C')
        check_cors(&a, body);
    else if (data[0] == 'G')
        check_logging(&a, body);
    else if (data[0] == 'W')
        check_website(&a, body);
    else if (data[0] == 'V')
        check_locks(&a, body);
    else if (data[0] == 'E')
        check_encryption(&a, body);
    else if (data[0] == 'R')
        check_restore(&a, body);
    else if (data[0] == 'O')
        check_object_encryption(&a, body);
    else if (data[0] == 'H')
        check_tags(&a, body, S3_TAGS_MAX, true);
    else
        check_completion(&a, body, data[0] % STORE_CHECKSUM_KINDS);
    arena_release(&a);
    return 0;
}
