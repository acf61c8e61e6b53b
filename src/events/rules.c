/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/rules.h"
#include <assert.h>
#include "base/error.h"
#include "wire/xml.h"

#define NODES_MAX_XML 8192
#define ID_MAX        255
#define FILTER_MAX    1024
#define NAMES_MAX     64 /* events a rule */
#define ROOT          "NotificationConfiguration"
#define S3_NAMESPACE  "http://s3.amazonaws.com/doc/2006-03-01/"

/* ---- names ---------------------------------------------------------------------------------- */

static const struct str kind_texts[] = {
#define X(name, text) {text, sizeof(text) - 1},
    EVENT_KINDS(X)
#undef X
};
static_assert(EVENT_KIND_COUNT <= 32, "a set of kinds is 32 bits");

struct str event_kind_text(enum event_kind kind)
{
    CHECK(kind < EVENT_KIND_COUNT);
    return kind_texts[kind];
}

/* The kinds that a name stands for; 0: none. "s3:ObjectCreated:*" stands for its family. */
static uint32_t kinds_named(struct str name)
{
    uint32_t kinds = 0;
    if (!str_starts(name, STR("s3:")))
        return 0;
    name = str_from_offset(name, 3);
    bool family = str_ends(name, STR(":*"));
    struct str prefix = family ? str_prefix(name, name.len - 1) : STR_NULL;
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++)
        if (family ? str_starts(kind_texts[i], prefix) : str_eq(kind_texts[i], name))
            kinds |= 1u << i;
    return kinds;
}

static const struct rule_kind {
    const char *element, *arn;
    struct str service; /* of AWS */
} rule_kinds[] = {
    [EVENT_RULE_TOPIC] = {"TopicConfiguration", "Topic", {"sns", 3}},
    [EVENT_RULE_QUEUE] = {"QueueConfiguration", "Queue", {"sqs", 3}},
    [EVENT_RULE_FUNCTION] = {"CloudFunctionConfiguration", "CloudFunction", {"lambda", 6}},
};

/* ---- faults --------------------------------------------------------------------------------- */

struct parse {
    struct arena *arena;
    struct event_fault *fault;
};

static int refuse(struct parse *p, const char *name, struct str value, const char *why)
{
    *p->fault = (struct event_fault){str_from(why), value, name};
    return -ERR_INVALID_ARGUMENT;
}

/* ---- destinations --------------------------------------------------------------------------- */

#define ARN_PARTS 7

static unsigned split_arn(struct str arn, struct str parts[ARN_PARTS])
{
    unsigned n = 0;
    struct str part;
    while (str_cut(&arn, ':', &part)) {
        if (n == ARN_PARTS)
            return 0;
        parts[n++] = part;
    }
    return n;
}

static bool aws_arn(const struct event_rule *rule, const struct str parts[ARN_PARTS], unsigned n,
                    struct str *ret_name)
{
    bool function = rule->kind == EVENT_RULE_FUNCTION;
    if (!str_eq(parts[1], STR("aws")) || n != (function ? 7u : 6u) ||
        !str_eq(parts[2], rule_kinds[rule->kind].service) ||
        (function && !str_eq(parts[5], STR("function"))))
        return false;
    *ret_name = parts[n - 1];
    return true;
}

static int parse_arn(struct parse *p, struct event_rule *rule)
{
    struct str parts[ARN_PARTS] = {{0}};
    unsigned n = split_arn(rule->arn, parts);
    bool known = false;
    if (n > 3 && str_eq(parts[0], STR("arn"))) {
        if (n == 5 && str_eq(parts[1], STR("cairn")) && str_eq(parts[2], STR("events")) &&
            parts[3].len == 0) {
            rule->target = parts[4];
            known = true;
        } else if (n == 6 && str_eq(parts[1], STR("minio")) && str_eq(parts[2], STR("sqs"))) {
            rule->target = parts[4];
            /* What is called so elsewhere. */
            struct str type = str_eq(parts[5], STR("postgresql")) ? STR("postgres") : parts[5];
            known = rule->typed = event_type_parse(type, &rule->type);
        } else {
            known = aws_arn(rule, parts, n, &rule->target);
        }
    }
    if (!known || !event_name_valid(rule->target))
        return refuse(p, rule_kinds[rule->kind].arn, rule->arn, "The ARN could not be parsed.");
    return 0;
}

/* ---- filters -------------------------------------------------------------------------------- */

static int parse_filter_rule(struct parse *p, const struct xml_node *n, struct event_rule *rule)
{
    struct str name = xml_child_text(n, "Name"), value = STR_NULL;
    unsigned names = 0, values = 0;
    for (const struct xml_node *c = n->first_child; c; c = c->next) {
        if (str_eq(c->name, STR("Name")))
            names++;
        else if (str_eq(c->name, STR("Value")))
            values++;
        else
            return -ERR_MALFORMED_XML;
        if (str_eq(c->name, STR("Value")))
            value = c->text; /* as it is: keys may begin or end in spaces */
    }
    if (names != 1 || values != 1)
        return -ERR_MALFORMED_XML;
    bool prefix = str_eq_nocase(name, STR("prefix")), suffix = str_eq_nocase(name, STR("suffix"));
    if (!prefix && !suffix)
        return refuse(p, "FilterRule.Name", name,
                      "filter rule name must be either prefix or suffix");
    if (value.len > FILTER_MAX)
        return refuse(p, "FilterRule.Value", STR_NULL,
                      "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation");
    if (prefix ? rule->has_prefix : rule->has_suffix)
        return refuse(p, "FilterRule.Name", name,
                      prefix ? "Cannot specify more than one prefix rule in a filter."
                             : "Cannot specify more than one suffix rule in a filter.");
    if (prefix) {
        rule->has_prefix = true;
        rule->prefix = value;
    } else {
        rule->has_suffix = true;
        rule->suffix = value;
    }
    return 0;
}

static int parse_filter(struct parse *p, const struct xml_node *filter, struct event_rule *rule)
{
    int r = 0;
    const struct xml_node *s3_key = filter->first_child;
    if (!s3_key)
        return 0;
    if (s3_key->next || !str_eq(s3_key->name, STR("S3Key")))
        return -ERR_MALFORMED_XML;
    for (const struct xml_node *n = s3_key->first_child; n && r == 0; n = n->next)
        r = str_eq(n->name, STR("FilterRule")) ? parse_filter_rule(p, n, rule) : -ERR_MALFORMED_XML;
    return r;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static int add_name(struct parse *p, struct event_rule *rule, struct str name)
{
    uint32_t kinds = kinds_named(name);
    if (!kinds)
        return refuse(p, "Event", name, "A specified event is not supported for notifications.");
    if (rule->name_count == NAMES_MAX)
        return -ERR_MALFORMED_XML;
    if (!rule->names)
        rule->names = arena_array(p->arena, struct str, NAMES_MAX);
    if (!rule->names)
        return -ENOMEM;
    rule->names[rule->name_count++] = name;
    rule->kinds |= kinds;
    return 0;
}

static int parse_child(struct parse *p, const struct xml_node *n, struct event_rule *rule,
                       bool *ret_filtered)
{
    struct str text = str_trim(n->text);
    if (str_eq(n->name, STR("Event")))
        return add_name(p, rule, text);
    if (str_eq(n->name, STR("Filter"))) {
        if (*ret_filtered)
            return -ERR_MALFORMED_XML;
        *ret_filtered = true;
        return parse_filter(p, n, rule);
    }
    struct str *to = str_eq(n->name, STR("Id"))                              ? &rule->id
                     : str_eq(n->name, str_from(rule_kinds[rule->kind].arn)) ? &rule->arn
                                                                             : NULL;
    if (!to || to->ptr || n->first_child)
        return -ERR_MALFORMED_XML;
    *to = text;
    return 0;
}

static int parse_rule(struct parse *p, const struct xml_node *node, struct event_rule *rule)
{
    bool filtered = false;
    int r = 0;
    for (const struct xml_node *n = node->first_child; n && r == 0; n = n->next)
        r = parse_child(p, n, rule, &filtered);
    if (r)
        return r;
    if (!rule->arn.ptr || rule->name_count == 0)
        return -ERR_MALFORMED_XML;
    if (rule->id.len > ID_MAX)
        return refuse(p, "Id", STR_NULL, "An ID cannot be longer than 255 characters.");
    return parse_arn(p, rule);
}

static bool is_one_of_the_other(struct str a, struct str b,
                                bool (*is)(struct str s, struct str part))
{
    return is(a, b) || is(b, a);
}

static bool overlap(const struct event_rule *a, const struct event_rule *b)
{
    return (a->kinds & b->kinds) && is_one_of_the_other(a->prefix, b->prefix, str_starts) &&
           is_one_of_the_other(a->suffix, b->suffix, str_ends);
}

static int check_pair(struct parse *p, const struct event_rule *a, const struct event_rule *b)
{
    if (a->id.len && str_eq(a->id, b->id))
        return refuse(p, "Id", a->id,
                      "Same ID used for multiple configurations. IDs must be unique.");
    if (!overlap(a, b))
        return 0;
    return refuse(p, NULL, STR_NULL,
                  a->has_prefix || a->has_suffix || b->has_prefix || b->has_suffix
                      ? "Configuration is ambiguously defined. Cannot have overlapping suffixes in "
                        "two rules if the prefixes are overlapping for the same event type."
                      : "Configurations overlap. Configurations on the same bucket cannot share a "
                        "common event type.");
}

static int check_rules(struct parse *p, const struct event_rules *rules)
{
    int r = 0;
    for (size_t i = 0; i < rules->count; i++)
        for (size_t j = 0; j < i && r == 0; j++)
            r = check_pair(p, &rules->rules[i], &rules->rules[j]);
    return r;
}

static int parse_node(struct parse *p, const struct xml_node *n, struct event_rules *rules)
{
    if (str_eq(n->name, STR("EventBridgeConfiguration")))
        return -ERR_NOT_IMPLEMENTED;
    for (unsigned i = 0; i < ARRAY_LEN(rule_kinds); i++) {
        if (!str_eq(n->name, str_from(rule_kinds[i].element)))
            continue;
        if (rules->count == EVENT_RULES_MAX)
            return refuse(p, NULL, STR_NULL,
                          "A bucket has 100 notification configurations at most.");
        struct event_rule *rule = &rules->rules[rules->count++];
        *rule = (struct event_rule){.kind = i};
        return parse_rule(p, n, rule);
    }
    return -ERR_MALFORMED_XML;
}

int event_rules_parse(struct arena *a, struct str body, struct event_rules *ret,
                      struct event_fault *ret_fault)
{
    struct parse p = {a, ret_fault};
    struct event_rules rules = {.count = 0};
    struct xml_node *root;
    *ret_fault = (struct event_fault){{0}};
    int r = xml_parse(a, body, NODES_MAX_XML, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    if (!str_eq(root->name, STR(ROOT)))
        return -ERR_MALFORMED_XML;
    rules.rules = arena_array(a, struct event_rule, EVENT_RULES_MAX);
    if (!rules.rules)
        return -ENOMEM;
    for (const struct xml_node *n = root->first_child; n && r == 0; n = n->next)
        r = parse_node(&p, n, &rules);
    if (r == 0)
        r = check_rules(&p, &rules);
    if (r == 0)
        *ret = rules;
    return r;
}

/* ---- the document --------------------------------------------------------------------------- */

static void put_filter_rule(struct buf *b, const char *name, struct str value)
{
    xml_open(b, "FilterRule");
    xml_element(b, "Name", str_from(name));
    xml_element(b, "Value", value);
    xml_close(b, "FilterRule");
}

static void put_rule(struct buf *b, const struct event_rule *rule)
{
    const struct rule_kind *k = &rule_kinds[rule->kind];
    xml_open(b, k->element);
    if (rule->id.len)
        xml_element(b, "Id", rule->id);
    xml_element(b, k->arn, rule->arn);
    for (size_t i = 0; i < rule->name_count; i++)
        xml_element(b, "Event", rule->names[i]);
    if (rule->has_prefix || rule->has_suffix) {
        xml_open(b, "Filter");
        xml_open(b, "S3Key");
        if (rule->has_prefix)
            put_filter_rule(b, "Prefix", rule->prefix);
        if (rule->has_suffix)
            put_filter_rule(b, "Suffix", rule->suffix);
        xml_close(b, "S3Key");
        xml_close(b, "Filter");
    }
    xml_close(b, k->element);
}

void event_rules_xml(struct buf *b, const struct event_rules *rules)
{
    xml_begin(b);
    xml_open_ns(b, ROOT, S3_NAMESPACE);
    for (size_t i = 0; i < rules->count; i++)
        put_rule(b, &rules->rules[i]);
    xml_close(b, ROOT);
}

const struct event_rule *event_rules_match(const struct event_rules *rules, enum event_kind kind,
                                           struct str key)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct event_rule *rule = &rules->rules[i];
        if ((rule->kinds & 1u << kind) && str_starts(key, rule->prefix) &&
            str_ends(key, rule->suffix))
            return rule;
    }
    return NULL;
}
