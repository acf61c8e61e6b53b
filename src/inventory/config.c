/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/error.h"
#include "inventory/inventory.h"
#include "wire/xml.h"

#define XMLNS        "http://s3.amazonaws.com/doc/2006-03-01/"
#define ARN          "arn:aws:s3:::"
#define ELEMENTS_MAX 64

static const char *const field_names[] = {
#define X(name) #name,
    INVENTORY_FIELDS(X)
#undef X
};

const char *inventory_field_name(enum inventory_field f)
{
    CHECK(f < INVENTORY_FIELD_COUNT);
    return field_names[f];
}

bool inventory_id_is_valid(struct str id)
{
    if (id.len == 0 || id.len > INVENTORY_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
            return false;
    }
    return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct parse {
    struct inventory *i;
    struct str *why;
};

typedef int reader(struct parse *p, const struct xml_node *n);

struct member {
    const char *name;
    bool must;
    reader *read;
};
#define MEMBERS_MAX 8

static int refuse(struct parse *p, int err, const char *why)
{
    *p->why = str_from(why);
    return err;
}

static bool is_named(const struct xml_node *n, const char *name)
{
    return str_eq(n->name, str_from(name));
}

static int find_member(const struct xml_node *n, const struct member *list, size_t count,
                       size_t *ret)
{
    for (size_t i = 0; i < count; i++)
        if (is_named(n, list[i].name)) {
            *ret = i;
            return 0;
        }
    return -ERR_MALFORMED_XML;
}

/* Each child is one of the list, once; all that must be are there. */
static int read_members(struct parse *p, const struct xml_node *n, const struct member *list,
                        size_t count)
{
    bool seen[MEMBERS_MAX] = {false};
    CHECK(count <= MEMBERS_MAX);
    for (const struct xml_node *c = n->first_child; c; c = c->next) {
        size_t i = 0;
        int r = find_member(c, list, count, &i);
        if (r == 0 && seen[i])
            r = -ERR_MALFORMED_XML;
        if (r == 0)
            r = list[i].read(p, c);
        if (r < 0)
            return r;
        seen[i] = true;
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].must && !seen[i])
            return -ERR_MALFORMED_XML;
    return 0;
}
#define READ(p, n, list) read_members(p, n, list, ARRAY_LEN(list))

static int read_text(const struct xml_node *n, struct str *ret)
{
    if (n->first_child)
        return -ERR_MALFORMED_XML;
    *ret = n->text.ptr ? n->text : STR("");
    return 0;
}

/* One of two words. */
static int read_choice(const struct xml_node *n, const char *no, const char *yes, bool *ret)
{
    struct str text;
    int r = read_text(n, &text);
    if (r < 0)
        return r;
    text = str_trim(text);
    *ret = str_eq(text, str_from(yes));
    return *ret || str_eq(text, str_from(no)) ? 0 : -ERR_MALFORMED_XML;
}

static int read_id(struct parse *p, const struct xml_node *n)
{
    int r = read_text(n, &p->i->id);
    if (r == 0 && !inventory_id_is_valid(p->i->id))
        r = refuse(p, -ERR_INVALID_ARGUMENT,
                   "An id has 1 to 64 letters, digits, periods, dashes and underscores");
    return r;
}

static int read_enabled(struct parse *p, const struct xml_node *n)
{
    return read_choice(n, "false", "true", &p->i->enabled);
}

static int read_versions(struct parse *p, const struct xml_node *n)
{
    return read_choice(n, "Current", "All", &p->i->all_versions);
}

static int read_frequency(struct parse *p, const struct xml_node *n)
{
    return read_choice(n, "Daily", "Weekly", &p->i->weekly);
}

static int read_schedule(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {{"Frequency", true, read_frequency}};
    return READ(p, n, members);
}

static int read_prefix(struct parse *p, const struct xml_node *n)
{
    int r = read_text(n, &p->i->prefix);
    if (r == 0 && p->i->prefix.len > STORE_KEY_MAX)
        r = refuse(p, -ERR_INVALID_ARGUMENT, "The prefix of the filter is longer than any key");
    return r;
}

static int read_filter(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {{"Prefix", true, read_prefix}};
    return READ(p, n, members);
}

/* ---- the optional fields -------------------------------------------------------------------- */

static int read_field(struct parse *p, struct str name)
{
    for (unsigned f = 0; f < INVENTORY_FIELD_COUNT; f++) {
        if (!str_eq(name, str_from(field_names[f])))
            continue;
        if (inventory_has(p->i, f))
            return -ERR_MALFORMED_XML;
        p->i->fields |= 1u << f;
        return 0;
    }
    if (str_eq(name, STR("LifecycleExpirationDate")))
        return refuse(p, -ERR_NOT_IMPLEMENTED,
                      "The field LifecycleExpirationDate is not implemented");
    return -ERR_MALFORMED_XML;
}

static int read_fields(struct parse *p, const struct xml_node *n)
{
    for (const struct xml_node *c = n->first_child; c; c = c->next) {
        struct str name;
        int r = is_named(c, "Field") ? read_text(c, &name) : -ERR_MALFORMED_XML;
        if (r == 0)
            r = read_field(p, str_trim(name));
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the destination ------------------------------------------------------------------------ */

static int read_account(struct parse *p, const struct xml_node *n)
{
    int r = read_text(n, &p->i->account);
    if (r == 0 && (p->i->account.len == 0 || p->i->account.len > INVENTORY_ACCOUNT_MAX))
        r = refuse(p, -ERR_INVALID_ARGUMENT, "Invalid account id");
    return r;
}

static int read_bucket(struct parse *p, const struct xml_node *n)
{
    struct str arn;
    int r = read_text(n, &arn);
    if (r < 0)
        return r;
    p->i->bucket = str_from_offset(arn, strlen(ARN));
    if (!str_starts(arn, STR(ARN)) || p->i->bucket.len == 0 ||
        str_find_char(p->i->bucket, '/', 0) >= 0 || str_find_char(p->i->bucket, ':', 0) >= 0)
        return refuse(p, -ERR_INVALID_DESTINATION, "Invalid bucket ARN.");
    return 0;
}

static int read_bucket_prefix(struct parse *p, const struct xml_node *n)
{
    int r = read_text(n, &p->i->bucket_prefix);
    if (r == 0 && p->i->bucket_prefix.len > INVENTORY_PREFIX_MAX)
        r = refuse(p, -ERR_INVALID_ARGUMENT, "The prefix of the destination is too long");
    return r;
}

static int read_format(struct parse *p, const struct xml_node *n)
{
    struct str text;
    int r = read_text(n, &text);
    if (r < 0)
        return r;
    text = str_trim(text);
    if (str_eq(text, STR("ORC")) || str_eq(text, STR("Parquet")))
        return refuse(p, -ERR_NOT_IMPLEMENTED, "Inventories are written as CSV only");
    return str_eq(text, STR("CSV")) ? 0 : -ERR_MALFORMED_XML;
}

static int read_sse_s3(struct parse *p, const struct xml_node *n)
{
    if (n->first_child || p->i->seal != SEAL_NONE)
        return -ERR_MALFORMED_XML;
    p->i->seal = SEAL_S3;
    return 0;
}

static int read_key_id(struct parse *p, const struct xml_node *n)
{
    int r = read_text(n, &p->i->master_key);
    if (r == 0 && (p->i->master_key.len == 0 || p->i->master_key.len > SEAL_NAME_MAX))
        r = refuse(p, -ERR_INVALID_ARGUMENT, "Invalid KMS keyId");
    return r;
}

static int read_sse_kms(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {{"KeyId", true, read_key_id}};
    if (p->i->seal != SEAL_NONE)
        return -ERR_MALFORMED_XML;
    p->i->seal = SEAL_KMS;
    return READ(p, n, members);
}

static int read_encryption(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {{"SSE-S3", false, read_sse_s3},
                                            {"SSE-KMS", false, read_sse_kms}};
    return READ(p, n, members);
}

static int read_bucket_destination(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {
        {"AccountId", false, read_account},     {"Bucket", true, read_bucket},
        {"Encryption", false, read_encryption}, {"Format", true, read_format},
        {"Prefix", false, read_bucket_prefix},
    };
    return READ(p, n, members);
}

static int read_destination(struct parse *p, const struct xml_node *n)
{
    static const struct member members[] = {{"S3BucketDestination", true, read_bucket_destination}};
    return READ(p, n, members);
}

int inventory_parse(struct arena *a, struct str body, struct inventory *ret, struct str *ret_why)
{
    static const struct member members[] = {
        {"Destination", true, read_destination},
        {"Filter", false, read_filter},
        {"Id", true, read_id},
        {"IncludedObjectVersions", true, read_versions},
        {"IsEnabled", true, read_enabled},
        {"OptionalFields", false, read_fields},
        {"Schedule", true, read_schedule},
    };
    struct xml_node *root;
    struct inventory i = {.id = STR("")};
    struct parse p = {&i, ret_why};
    *ret_why = STR_NULL;
    int r = xml_parse(a, body, ELEMENTS_MAX, &root);
    if (r < 0)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    r = is_named(root, "InventoryConfiguration") ? READ(&p, root, members) : -ERR_MALFORMED_XML;
    if (r == 0)
        *ret = i;
    return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_encryption(struct buf *b, const struct inventory *i)
{
    if (i->seal == SEAL_NONE)
        return;
    xml_open(b, "Encryption");
    if (i->seal == SEAL_KMS) {
        xml_open(b, "SSE-KMS");
        xml_element(b, "KeyId", i->master_key);
        xml_close(b, "SSE-KMS");
    } else {
        xml_element(b, "SSE-S3", STR(""));
    }
    xml_close(b, "Encryption");
}

static void put_destination(struct buf *b, const struct inventory *i)
{
    xml_open(b, "Destination");
    xml_open(b, "S3BucketDestination");
    if (i->account.len)
        xml_element(b, "AccountId", i->account);
    xml_open(b, "Bucket");
    xml_text(b, STR(ARN));
    xml_text(b, i->bucket);
    xml_close(b, "Bucket");
    put_encryption(b, i);
    xml_element(b, "Format", STR("CSV"));
    if (i->bucket_prefix.len)
        xml_element(b, "Prefix", i->bucket_prefix);
    xml_close(b, "S3BucketDestination");
    xml_close(b, "Destination");
}

static void put_fields(struct buf *b, const struct inventory *i)
{
    if (!i->fields)
        return;
    xml_open(b, "OptionalFields");
    for (unsigned f = 0; f < INVENTORY_FIELD_COUNT; f++)
        if (inventory_has(i, f))
            xml_element(b, "Field", str_from(field_names[f]));
    xml_close(b, "OptionalFields");
}

static void put_filter(struct buf *b, const struct inventory *i)
{
    if (!i->prefix.len)
        return;
    xml_open(b, "Filter");
    xml_element(b, "Prefix", i->prefix);
    xml_close(b, "Filter");
}

void inventory_xml(struct buf *b, const struct inventory *i, bool document)
{
    if (document) {
        xml_begin(b);
        xml_open_ns(b, "InventoryConfiguration", XMLNS);
    } else {
        xml_open(b, "InventoryConfiguration");
    }
    put_destination(b, i);
    xml_element_bool(b, "IsEnabled", i->enabled);
    put_filter(b, i);
    xml_element(b, "Id", i->id);
    xml_element(b, "IncludedObjectVersions", i->all_versions ? STR("All") : STR("Current"));
    put_fields(b, i);
    xml_open(b, "Schedule");
    xml_element(b, "Frequency", i->weekly ? STR("Weekly") : STR("Daily"));
    xml_close(b, "Schedule");
    xml_close(b, "InventoryConfiguration");
}
