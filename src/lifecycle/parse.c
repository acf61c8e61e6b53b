/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The document, read strictly: an element that is not known, or comes twice, is MalformedXML; a
 * value out of range InvalidArgument; what does not go together InvalidRequest.
 */

#include "base/hash.h"
#include "lifecycle/internal.h"
#include "wire/date.h"

#define ELEMENTS_MAX  65536
#define PREFIX_MAX    STORE_KEY_MAX
#define TAG_KEY_MAX   (4 * 128) /* bytes of as many characters */
#define TAG_VALUE_MAX (4 * 256)
#define XMLNS         "http://s3.amazonaws.com/doc/2006-03-01/"
#define MINIMUM       "TransitionDefaultMinimumObjectSize"

int lifecycle_refuse(struct lifecycle_parse *p, int err, const char *why)
{
    p->why = str_from(why);
    return err;
}

bool lifecycle_is_named(const struct xml_node *n, const char *name)
{
    return str_eq(n->name, str_from(name));
}

int lifecycle_read_text(const struct xml_node *n, bool *seen, struct str *ret)
{
    if (*seen || n->first_child)
        return -ERR_MALFORMED_XML;
    *seen = true;
    *ret = n->text.ptr ? n->text : STR("");
    return 0;
}

/* What is no number, or beyond the range, is MalformedXML. */
int lifecycle_read_number(const struct xml_node *n, bool *seen, uint64_t most, uint64_t *ret)
{
    struct str text;
    int r = lifecycle_read_text(n, seen, &text);
    text = r ? text : str_trim(text);
    if (r == 0 && text.len && text.ptr[0] == '-')
        return -ERR_INVALID_ARGUMENT;
    if (r == 0 && (str_to_u64(text, ret) || *ret > most))
        r = -ERR_MALFORMED_XML;
    return r;
}

/* ---- filters -------------------------------------------------------------------------------- */

static int add_tag(struct lifecycle_parse *p, const struct xml_node *n, struct lifecycle_rule *rule)
{
    struct store_pair tag = {0};
    bool key = false, value = false;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        r = lifecycle_is_named(c, "Key")     ? lifecycle_read_text(c, &key, &tag.name)
            : lifecycle_is_named(c, "Value") ? lifecycle_read_text(c, &value, &tag.value)
                                             : -ERR_MALFORMED_XML;
    if (r || !key || !value)
        return -ERR_MALFORMED_XML;
    if (tag.name.len == 0 || tag.name.len > TAG_KEY_MAX || tag.value.len > TAG_VALUE_MAX)
        return lifecycle_refuse(p, -ERR_INVALID_TAG,
                                "The TagKey or TagValue you have provided is invalid");
    if (rule->tag_count == LIFECYCLE_TAGS_MAX)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST, "A rule may name 10 tags at most");
    for (size_t i = 0; i < rule->tag_count; i++)
        if (str_eq(rule->tags[i].name, tag.name))
            return lifecycle_refuse(p, -ERR_INVALID_REQUEST, "Duplicate Tag Keys are not allowed.");
    if (!rule->tags)
        rule->tags = arena_array(p->arena, struct store_pair, LIFECYCLE_TAGS_MAX);
    if (!rule->tags)
        return -ENOMEM;
    rule->tags[rule->tag_count++] = tag;
    return 0;
}

static int read_prefix(struct lifecycle_parse *p, const struct xml_node *n,
                       struct lifecycle_rule *rule)
{
    int r = lifecycle_read_text(n, &rule->has_prefix, &rule->prefix);
    if (!r && rule->prefix.len > PREFIX_MAX)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "The maximum size of a prefix is 1024 bytes of UTF-8.");
    return r;
}

/* One condition, in Filter itself or in And. */
static int read_condition(struct lifecycle_parse *p, const struct xml_node *n,
                          struct lifecycle_rule *rule)
{
    if (lifecycle_is_named(n, "Prefix"))
        return read_prefix(p, n, rule);
    if (lifecycle_is_named(n, "Tag"))
        return add_tag(p, n, rule);
    if (lifecycle_is_named(n, "ObjectSizeGreaterThan"))
        return lifecycle_read_number(n, &rule->has_greater, INT64_MAX, &rule->greater);
    if (lifecycle_is_named(n, "ObjectSizeLessThan"))
        return lifecycle_read_number(n, &rule->has_less, INT64_MAX, &rule->less);
    return -ERR_MALFORMED_XML;
}

static unsigned count_children(const struct xml_node *n)
{
    unsigned count = 0;
    for (const struct xml_node *c = n->first_child; c; c = c->next)
        count++;
    return count;
}

static int read_filter(struct lifecycle_parse *p, const struct xml_node *filter,
                       struct lifecycle_rule *rule)
{
    const struct xml_node *n = filter;
    int r = 0;
    if (count_children(n) > 1)
        return -ERR_MALFORMED_XML;
    rule->all = n->first_child && lifecycle_is_named(n->first_child, "And");
    if (rule->all)
        n = n->first_child;
    if (rule->all && count_children(n) < 2)
        return -ERR_MALFORMED_XML;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        r = read_condition(p, c, rule);
    if (!r && rule->has_greater && rule->has_less && rule->greater >= rule->less)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "ObjectSizeLessThan must be greater than ObjectSizeGreaterThan");
    return r;
}

/* ---- actions -------------------------------------------------------------------------------- */

static int read_days(struct lifecycle_parse *p, const struct xml_node *n, const char *why,
                     bool *seen, uint64_t *ret)
{
    int r = lifecycle_read_number(n, seen, INT32_MAX, ret);
    if (r == -ERR_INVALID_ARGUMENT || (r == 0 && *ret == 0))
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT, why);
    return r;
}

int lifecycle_read_date(struct lifecycle_parse *p, const struct xml_node *n, bool *seen,
                        uint64_t *ret_ms)
{
    struct str text;
    int r = lifecycle_read_text(n, seen, &text);
    if (r)
        return r;
    text = str_trim(text);
    if (text.len == 10) /* a day alone */
        text = arena_printf(p->arena, "%.*sT00:00:00Z", STR_FMT(text));
    if (!text.ptr)
        return -ENOMEM;
    if (date_parse_iso(text, ret_ms))
        return -ERR_MALFORMED_XML;
    if (*ret_ms % LIFECYCLE_DAY_MS)
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT, "'Date' must be at midnight GMT");
    return 0;
}

static int read_bool(const struct xml_node *n, bool *seen, bool *ret)
{
    struct str text;
    int r = lifecycle_read_text(n, seen, &text);
    text = r ? text : str_trim(text);
    if (r == 0 && !str_eq(text, STR("true")) && !str_eq(text, STR("false")))
        r = -ERR_MALFORMED_XML;
    if (r == 0)
        *ret = str_eq(text, STR("true"));
    return r;
}

static int read_expiration(struct lifecycle_parse *p, const struct xml_node *n,
                           struct lifecycle_rule *rule)
{
    bool days = false;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        if (lifecycle_is_named(c, "Days"))
            r = read_days(p, c, "'Days' for Expiration action must be a positive integer", &days,
                          &rule->days);
        else if (lifecycle_is_named(c, "Date"))
            r = lifecycle_read_date(p, c, &rule->has_date, &rule->date_ms);
        else if (lifecycle_is_named(c, "ExpiredObjectDeleteMarker"))
            r = read_bool(c, &rule->has_marker, &rule->marker);
        else
            r = -ERR_MALFORMED_XML;
    return r || days + rule->has_date + rule->has_marker == 1 ? r : -ERR_MALFORMED_XML;
}

int lifecycle_read_newer(struct lifecycle_parse *p, const struct xml_node *n, bool *seen,
                         uint64_t *ret)
{
    int r = lifecycle_read_number(n, seen, INT32_MAX, ret);
    if (r == -ERR_INVALID_ARGUMENT || (r == 0 && (*ret == 0 || *ret > LIFECYCLE_NEWER_MAX)))
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                "'NewerNoncurrentVersions' must be an integer from 1 to 100");
    return r;
}

static int read_noncurrent(struct lifecycle_parse *p, const struct xml_node *n,
                           struct lifecycle_rule *rule)
{
    bool days = false, newer = false;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        if (lifecycle_is_named(c, "NoncurrentDays"))
            r = read_days(p, c,
                          "'NoncurrentDays' for NoncurrentVersionExpiration action must be a "
                          "positive integer",
                          &days, &rule->noncurrent_days);
        else if (lifecycle_is_named(c, "NewerNoncurrentVersions"))
            r = lifecycle_read_newer(p, c, &newer, &rule->newer);
        else
            r = -ERR_MALFORMED_XML;
    return r || days ? r : -ERR_MALFORMED_XML;
}

static int read_abort(struct lifecycle_parse *p, const struct xml_node *n,
                      struct lifecycle_rule *rule)
{
    bool days = false;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        r = lifecycle_is_named(c, "DaysAfterInitiation")
                ? read_days(p, c,
                            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must "
                            "be a positive integer",
                            &days, &rule->abort_days)
                : -ERR_MALFORMED_XML;
    return r || days ? r : -ERR_MALFORMED_XML;
}

/* ---- rules ---------------------------------------------------------------------------------- */

struct seen {
    bool id, status, filter, expiration, noncurrent, abort;
};

static int read_id(struct lifecycle_parse *p, const struct xml_node *n, struct seen *seen,
                   struct str *ret)
{
    int r = lifecycle_read_text(n, &seen->id, ret);
    if (!r && ret->len > LIFECYCLE_ID_MAX)
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                "ID length should not exceed allowed limit of 255");
    return r;
}

static int read_status(const struct xml_node *n, struct seen *seen, bool *ret)
{
    struct str text;
    int r = lifecycle_read_text(n, &seen->status, &text);
    text = r ? text : str_trim(text);
    if (r == 0 && !str_eq(text, STR("Enabled")) && !str_eq(text, STR("Disabled")))
        r = -ERR_MALFORMED_XML;
    if (r == 0)
        *ret = str_eq(text, STR("Enabled"));
    return r;
}

static int once(bool *seen)
{
    bool before = *seen;
    *seen = true;
    return before ? -ERR_MALFORMED_XML : 0;
}

static int read_element(struct lifecycle_parse *p, const struct xml_node *n, struct seen *seen,
                        struct lifecycle_rule *rule)
{
    if (lifecycle_is_named(n, "ID"))
        return read_id(p, n, seen, &rule->id);
    if (lifecycle_is_named(n, "Status"))
        return read_status(n, seen, &rule->enabled);
    if (lifecycle_is_named(n, "Prefix")) {
        rule->legacy = true;
        return seen->filter ? -ERR_MALFORMED_XML : read_prefix(p, n, rule);
    }
    if (lifecycle_is_named(n, "Filter"))
        return once(&seen->filter) || rule->legacy ? -ERR_MALFORMED_XML : read_filter(p, n, rule);
    if (lifecycle_is_named(n, "Expiration"))
        return once(&seen->expiration) ? -ERR_MALFORMED_XML : read_expiration(p, n, rule);
    if (lifecycle_is_named(n, "NoncurrentVersionExpiration"))
        return once(&seen->noncurrent) ? -ERR_MALFORMED_XML : read_noncurrent(p, n, rule);
    if (lifecycle_is_named(n, "AbortIncompleteMultipartUpload"))
        return once(&seen->abort) ? -ERR_MALFORMED_XML : read_abort(p, n, rule);
    if (lifecycle_is_named(n, "Transition"))
        return lifecycle_read_move(p, n, false, rule);
    if (lifecycle_is_named(n, "NoncurrentVersionTransition"))
        return lifecycle_read_move(p, n, true, rule);
    return -ERR_MALFORMED_XML;
}

/* What the parts of a rule allow each other. */
static int test_rule(struct lifecycle_parse *p, const struct seen *seen,
                     const struct lifecycle_rule *rule)
{
    if (!seen->status || (!seen->filter && !rule->legacy))
        return -ERR_MALFORMED_XML;
    if (!seen->expiration && !seen->noncurrent && !seen->abort && !rule->moves &&
        !rule->noncurrent_moves)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "At least one action needs to be specified in a rule");
    if (seen->abort && rule->tag_count)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "AbortIncompleteMultipartUpload cannot be specified with Tags.");
    if (rule->has_marker && rule->tag_count)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "ExpiredObjectDeleteMarker cannot be specified with Tags.");
    return lifecycle_test_moves(p, rule);
}

/* Of a rule without one, the same whenever the same is put. */
static int make_id(struct lifecycle_parse *p, size_t place, struct lifecycle_rule *rule)
{
    if (rule->id.len)
        return 0;
    struct hash128 h = hash_xxh128(rule->prefix.ptr ? rule->prefix.ptr : "", rule->prefix.len);
    rule->id = arena_printf(p->arena, "rule-%zu-%016llx", place + 1, (unsigned long long)h.lo);
    return rule->id.ptr ? 0 : -ENOMEM;
}

static int read_rule(struct lifecycle_parse *p, const struct xml_node *n, size_t place,
                     struct lifecycle_rule *rule)
{
    struct seen seen = {0};
    int r = lifecycle_is_named(n, "Rule") ? 0 : -ERR_MALFORMED_XML;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        r = read_element(p, c, &seen, rule);
    if (!r)
        r = test_rule(p, &seen, rule);
    return r ? r : make_id(p, place, rule);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
    const struct lifecycle_rule *const *x = a, *const *y = b;
    return str_cmp((*x)->id, (*y)->id);
}

static int test_ids(struct lifecycle_parse *p, const struct lifecycle *l)
{
    const struct lifecycle_rule **all =
        arena_array(p->arena, const struct lifecycle_rule *, l->count);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < l->count; i++)
        all[i] = &l->rules[i];
    qsort(all, l->count, sizeof(*all), by_id);
    for (size_t i = 1; i < l->count; i++)
        if (str_eq(all[i - 1]->id, all[i]->id))
            return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                    "Rule ID must be unique. Found same ID for more than one rule");
    return 0;
}

struct place {
    struct str prefix;
    uint16_t rule;
};

static int by_prefix(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int c = str_cmp(x->prefix, y->prefix);
    return c ? c : (int)x->rule - (int)y->rule;
}

static void note_actions(struct lifecycle *l, const struct lifecycle_rule *r)
{
    l->expires |= r->days || r->has_date;
    l->expires_noncurrent |= r->noncurrent_days || r->days || r->has_date || r->marker;
    l->aborts |= r->abort_days > 0;
    l->moves |= r->moves != NULL;
    l->moves_noncurrent |= r->noncurrent_moves != NULL;
}

static int compile(struct lifecycle_parse *p, struct lifecycle *l)
{
    struct place *places = arena_array(p->arena, struct place, l->count);
    l->order = arena_array(p->arena, uint16_t, l->count);
    l->parent = arena_array(p->arena, uint16_t, l->count);
    if (!places || !l->order || !l->parent)
        return -ENOMEM;
    for (size_t i = 0; i < l->count; i++)
        if (l->rules[i].enabled) {
            places[l->enabled++] = (struct place){l->rules[i].prefix, (uint16_t)i};
            note_actions(l, &l->rules[i]);
        }
    if (l->enabled)
        qsort(places, l->enabled, sizeof(*places), by_prefix);
    for (size_t i = 0; i < l->enabled; i++) {
        uint16_t up = i ? (uint16_t)(i - 1) : UINT16_MAX;
        while (up != UINT16_MAX && !str_starts(places[i].prefix, places[up].prefix))
            up = l->parent[up];
        l->order[i] = places[i].rule;
        l->parent[i] = up;
    }
    return 0;
}

static const char *const minima[] = {"", "all_storage_classes_128K", "varies_by_storage_class"};

struct str lifecycle_minimum_name(enum lifecycle_minimum minimum)
{
    return str_from(minima[minimum]);
}

int lifecycle_minimum_parse(struct str word, enum lifecycle_minimum *ret)
{
    for (unsigned i = LIFECYCLE_MINIMUM_ALL; i < ARRAY_LEN(minima); i++)
        if (str_eq(word, str_from(minima[i]))) {
            *ret = (enum lifecycle_minimum)i;
            return 0;
        }
    return -EINVAL;
}

/* Ours, and only ever the first: S3 has it in a header. */
static int read_minimum(const struct xml_node *n, enum lifecycle_minimum *ret)
{
    bool seen = false;
    struct str word;
    if (!n || !lifecycle_is_named(n, MINIMUM))
        return 0;
    int r = lifecycle_read_text(n, &seen, &word);
    if (r)
        return r;
    return lifecycle_minimum_parse(word, ret) ? -ERR_MALFORMED_XML : 0;
}

static int read_rules(struct lifecycle_parse *p, const struct xml_node *root, struct lifecycle *l)
{
    const struct xml_node *first = root->first_child;
    if (!lifecycle_is_named(root, "LifecycleConfiguration"))
        return -ERR_MALFORMED_XML;
    int r = read_minimum(first, &l->minimum);
    if (r)
        return r;
    bool has_minimum = l->minimum != LIFECYCLE_MINIMUM_NONE;
    size_t count = count_children(root) - has_minimum;
    if (count == 0 || count > LIFECYCLE_RULES_MAX)
        return -ERR_MALFORMED_XML;
    l->rules = arena_zalloc(p->arena, count * sizeof(*l->rules));
    r = l->rules ? 0 : -ENOMEM;
    for (const struct xml_node *n = has_minimum ? first->next : first; !r && n; n = n->next) {
        r = read_rule(p, n, l->count, &l->rules[l->count]);
        l->count++;
    }
    return r;
}

int lifecycle_parse(struct arena *a, struct str body, struct lifecycle *ret, struct str *ret_why)
{
    struct lifecycle_parse p = {.arena = a};
    struct lifecycle l = {0};
    struct xml_node *root;
    int r = xml_parse(a, body, ELEMENTS_MAX, &root);
    if (r == -ERR_MAX_MESSAGE_LENGTH)
        r = -ERR_MALFORMED_XML;
    if (!r)
        r = read_rules(&p, root, &l);
    if (!r)
        r = test_ids(&p, &l);
    if (!r)
        r = compile(&p, &l);
    *ret_why = p.why;
    if (!r)
        *ret = l;
    return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_conditions(struct buf *b, const struct lifecycle_rule *r)
{
    if (r->has_prefix)
        xml_element(b, "Prefix", r->prefix);
    for (size_t i = 0; i < r->tag_count; i++) {
        xml_open(b, "Tag");
        xml_element(b, "Key", r->tags[i].name);
        xml_element(b, "Value", r->tags[i].value);
        xml_close(b, "Tag");
    }
    if (r->has_greater)
        xml_element_u64(b, "ObjectSizeGreaterThan", r->greater);
    if (r->has_less)
        xml_element_u64(b, "ObjectSizeLessThan", r->less);
}

static void put_filter(struct buf *b, const struct lifecycle_rule *r)
{
    if (r->legacy) {
        xml_element(b, "Prefix", r->prefix);
        return;
    }
    xml_open(b, "Filter");
    if (r->all)
        xml_open(b, "And");
    put_conditions(b, r);
    if (r->all)
        xml_close(b, "And");
    xml_close(b, "Filter");
}

static void put_expiration(struct buf *b, const struct lifecycle_rule *r)
{
    char date[DATE_ISO_LEN];
    if (!r->days && !r->has_date && !r->has_marker)
        return;
    xml_open(b, "Expiration");
    if (r->days)
        xml_element_u64(b, "Days", r->days);
    if (r->has_date) {
        date_format_iso(r->date_ms, date);
        xml_element(b, "Date", str_make(date, sizeof(date)));
    }
    if (r->has_marker)
        xml_element_bool(b, "ExpiredObjectDeleteMarker", r->marker);
    xml_close(b, "Expiration");
}

static void put_others(struct buf *b, const struct lifecycle_rule *r)
{
    if (r->noncurrent_days) {
        xml_open(b, "NoncurrentVersionExpiration");
        xml_element_u64(b, "NoncurrentDays", r->noncurrent_days);
        if (r->newer)
            xml_element_u64(b, "NewerNoncurrentVersions", r->newer);
        xml_close(b, "NoncurrentVersionExpiration");
    }
    if (r->abort_days) {
        xml_open(b, "AbortIncompleteMultipartUpload");
        xml_element_u64(b, "DaysAfterInitiation", r->abort_days);
        xml_close(b, "AbortIncompleteMultipartUpload");
    }
}

void lifecycle_xml(struct buf *b, const struct lifecycle *l)
{
    xml_begin(b);
    xml_open_ns(b, "LifecycleConfiguration", XMLNS);
    if (l->minimum != LIFECYCLE_MINIMUM_NONE)
        xml_element(b, MINIMUM, lifecycle_minimum_name(l->minimum));
    for (size_t i = 0; i < l->count; i++) {
        const struct lifecycle_rule *r = &l->rules[i];
        xml_open(b, "Rule");
        xml_element(b, "ID", r->id);
        put_filter(b, r);
        xml_element(b, "Status", r->enabled ? STR("Enabled") : STR("Disabled"));
        lifecycle_put_moves(b, r);
        put_expiration(b, r);
        put_others(b, r);
        xml_close(b, "Rule");
    }
    xml_close(b, "LifecycleConfiguration");
}
