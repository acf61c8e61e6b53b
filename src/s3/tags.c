/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/tags.h"
#include "s3/internal.h"

#include <stdlib.h>

/* ---- the rules ------------------------------------------------------------------------------ */

/* Code points: every byte of UTF-8 but the continuations starts one. */
static size_t count_characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

/* Letters, digits and blanks of any script (here: all that is not ASCII), and + - = . _ : / @ */
static bool is_tag_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        bool digit = c >= '0' && c <= '9';
        if (c < 0x80 && !letter && !digit && (c == 0 || !strchr(" +-=._:/@", c)))
            return false;
    }
    return str_is_utf8(s);
}

static int refuse(struct s3_tags_fault *fault, const char *text, struct str key)
{
    *fault = (struct s3_tags_fault){.text = str_from(text), .key = key};
    return -ERR_INVALID_TAG;
}

static int refuse_value(struct s3_tags_fault *fault, const struct store_pair *tag)
{
    int r = refuse(fault, "The TagValue you have provided is invalid", tag->name);
    fault->value = tag->value;
    return r;
}

/* Objects' tags have a sentence of their own for it. */
static int refuse_reserved(struct s3_tags_fault *fault, const struct store_pair *tag, size_t max)
{
    return refuse(fault,
                  max == S3_TAGS_MAX ? "Your TagKey cannot be prefixed with aws:"
                                     : "System tags cannot be added/updated by requester",
                  tag->name);
}

static int test_tag(const struct store_pair *tag, size_t max, struct s3_tags_fault *fault)
{
    if (tag->name.len == 0 || count_characters(tag->name) > S3_TAG_KEY_MAX ||
        !is_tag_text(tag->name))
        return refuse(fault, "The TagKey you have provided is invalid", tag->name);
    if (count_characters(tag->value) > S3_TAG_VALUE_MAX || !is_tag_text(tag->value))
        return refuse_value(fault, tag);
    if (str_starts_nocase(tag->name, STR("aws:")))
        return refuse_reserved(fault, tag, max);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return str_cmp(((const struct store_pair *)a)->name, ((const struct store_pair *)b)->name);
}

/* Sorts them; -EEXIST for a key that comes twice. */
static int sort_tags(struct s3_tags *t, struct s3_tags_fault *fault)
{
    if (t->count)
        qsort(t->pairs, t->count, sizeof(*t->pairs), compare_keys);
    for (size_t i = 1; i < t->count; i++)
        if (str_eq(t->pairs[i - 1].name, t->pairs[i].name)) {
            refuse(fault, "Cannot provide multiple Tags with the same key", t->pairs[i].name);
            return -EEXIST;
        }
    return 0;
}

static int test_tags(const struct s3_tags *t, size_t max, struct s3_tags_fault *fault)
{
    for (size_t i = 0; i < t->count; i++) {
        int r = test_tag(&t->pairs[i], max, fault);
        if (r)
            return r;
    }
    return 0;
}

static int too_many(size_t max, struct s3_tags_fault *fault)
{
    return refuse(fault,
                  max == S3_TAGS_MAX ? "Object tags cannot be greater than 10"
                                     : "Bucket tag count cannot be greater than 50",
                  STR_NULL);
}

/* ---- XML ------------------------------------------------------------------------------------ */

static int read_tag(const struct xml_node *n, struct store_pair *ret)
{
    const struct xml_node *key = xml_child(n, "Key"), *value = xml_child(n, "Value");
    if (!str_eq(n->name, STR("Tag")) || !key || !value)
        return -ERR_MALFORMED_XML;
    *ret = (struct store_pair){key->text, value->text};
    return 0;
}

int s3_tags_parse_set(struct arena *a, const struct xml_node *set, size_t max, struct s3_tags *ret,
                      struct s3_tags_fault *fault)
{
    struct s3_tags t = {0};
    *fault = (struct s3_tags_fault){0};
    for (const struct xml_node *n = set->first_child; n; n = n->next)
        t.count++;
    if (t.count > max)
        return too_many(max, fault);
    t.pairs = arena_array(a, struct store_pair, t.count + 1);
    if (!t.pairs)
        return -ENOMEM;
    t.count = 0;
    for (const struct xml_node *n = set->first_child; n; n = n->next) {
        int r = read_tag(n, &t.pairs[t.count++]);
        if (r)
            return r;
    }
    int r = test_tags(&t, max, fault);
    if (!r && sort_tags(&t, fault))
        r = -ERR_INVALID_TAG;
    if (!r)
        *ret = t;
    return r;
}

int s3_tags_parse_xml(struct arena *a, struct str body, size_t max, struct s3_tags *ret,
                      struct s3_tags_fault *fault)
{
    struct xml_node *root;
    *fault = (struct s3_tags_fault){0};
    int r = xml_parse(a, body, 8 * S3_BUCKET_TAGS_MAX, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    const struct xml_node *set = xml_child(root, "TagSet");
    if (!str_eq(root->name, STR("Tagging")) || root->first_child != set || (set && set->next))
        return -ERR_MALFORMED_XML;
    *ret = (struct s3_tags){0};
    return set ? s3_tags_parse_set(a, set, max, ret, fault) : 0; /* S3 takes that for none */
}

void s3_tags_xml(struct buf *b, const struct store_pair *tags, size_t count)
{
    xml_begin(b);
    xml_open_ns(b, "Tagging", S3_XMLNS);
    xml_open(b, "TagSet");
    for (size_t i = 0; i < count; i++) {
        xml_open(b, "Tag");
        xml_element(b, "Key", tags[i].name);
        xml_element(b, "Value", tags[i].value);
        xml_close(b, "Tag");
    }
    xml_close(b, "TagSet");
    xml_close(b, "Tagging");
}

/* ---- the header ----------------------------------------------------------------------------- */

#define HEADER_RULE                                                                              \
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters " \
    "without tag name duplicates."

static int bad_header(struct s3_tags_fault *fault)
{
    refuse(fault, HEADER_RULE, STR_NULL);
    return -ERR_INVALID_ARGUMENT;
}

/* A value's own is to be encoded. */
static bool has_bare_equals(struct str text)
{
    struct str pair;
    while (text.len && str_cut(&text, '&', &pair)) {
        ptrdiff_t at = str_find_char(pair, '=', 0);
        if (at >= 0 && str_find_char(pair, '=', (size_t)at + 1) >= 0)
            return true;
    }
    return false;
}

int s3_tags_parse_header(struct arena *a, struct str text, struct s3_tags *ret,
                         struct s3_tags_fault *fault)
{
    struct uri_query form;
    struct s3_tags t = {0};
    *fault = (struct s3_tags_fault){0};
    int r = uri_parse_query(a, text, &form);
    if (r == -ENOMEM)
        return r;
    if (r)
        return r == -ERR_TOO_LARGE ? too_many(S3_TAGS_MAX, fault) : bad_header(fault);
    if (form.count > S3_TAGS_MAX)
        return too_many(S3_TAGS_MAX, fault);
    if (has_bare_equals(text))
        return bad_header(fault);
    t.pairs = arena_array(a, struct store_pair, form.count + 1);
    if (!t.pairs)
        return -ENOMEM;
    for (; t.count < form.count; t.count++) {
        const struct uri_param *p = &form.params[t.count];
        t.pairs[t.count] = (struct store_pair){p->name, p->value.ptr ? p->value : STR("")};
        if (!p->name.len || !str_is_utf8(p->name) || !str_is_utf8(p->value))
            return bad_header(fault);
    }
    r = test_tags(&t, S3_TAGS_MAX, fault);
    if (!r && sort_tags(&t, fault))
        r = bad_header(fault);
    if (!r)
        *ret = t;
    return r;
}
