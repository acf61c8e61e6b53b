/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/config/cors.h"
#include "base/error.h"
#include "s3/internal.h"
#include "wire/xml.h"

#define CORS_NODES_MAX 20000 /* a document of 64 KiB holds fewer */

/* ---- what an entry may be ------------------------------------------------------------------- */

struct parse {
    struct arena *arena;
    struct str *why;
};

static int refuse(struct parse *p, const char *format, struct str value)
{
    *p->why = arena_printf(p->arena, format, STR_FMT(value));
    return -ERR_INVALID_REQUEST;
}

static size_t count_stars(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '*';
    return n;
}

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0;
}

/* A header's name (RFC 9110 5.6.2), or a pattern of one: a star is among its characters. */
static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80 || strchr("\"(),/:;<=>?@[\\]{}", s.ptr[i]))
            return false;
    return is_visible(s);
}

static int test_origin(struct parse *p, struct str s)
{
    if (count_stars(s) > 1)
        return refuse(p, "AllowedOrigin \"%.*s\" can not have more than one wildcard.", s);
    return s.len == 0 || is_visible(s) ? 0 : -ERR_MALFORMED_XML; /* S3 takes an empty one */
}

bool s3_cors_is_method(struct str s)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "HEAD"};
    for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(s, str_from(methods[i])))
            return true;
    return false;
}

bool s3_cors_is_header(struct str s)
{
    return count_stars(s) == 0 && is_token(s);
}

static int test_method(struct parse *p, struct str s)
{
    if (s3_cors_is_method(s))
        return 0;
    return refuse(p, "Found unsupported HTTP method in CORS config. Unsupported method is %.*s", s);
}

/* S3 says AllowedHeader of both kinds. */
static int bad_character(struct parse *p, struct str s)
{
    return refuse(p, "AllowedHeader \"%.*s\" contains invalid character.", s);
}

static int test_header(struct parse *p, struct str s)
{
    if (count_stars(s) > 1)
        return refuse(p, "AllowedHeader \"%.*s\" can not have more than one wildcard.", s);
    return is_token(s) ? 0 : bad_character(p, s);
}

static int test_exposed(struct parse *p, struct str s)
{
    if (count_stars(s) > 0)
        return refuse(p,
                      "ExposeHeader \"%.*s\" contains wildcard. We currently do not support "
                      "wildcard for ExposeHeader.",
                      s);
    return is_token(s) ? 0 : bad_character(p, s); /* it becomes part of a header */
}

/* ---- reading -------------------------------------------------------------------------------- */

static const struct entry {
    const char *element;
    size_t offset; /* of its list in a rule */
    int (*test)(struct parse *p, struct str s);
} entries[] = {
    {"AllowedHeader", offsetof(struct s3_cors_rule, headers), test_header},
    {"AllowedMethod", offsetof(struct s3_cors_rule, methods), test_method},
    {"AllowedOrigin", offsetof(struct s3_cors_rule, origins), test_origin},
    {"ExposeHeader", offsetof(struct s3_cors_rule, exposed), test_exposed},
};

static struct s3_cors_list *list_of(struct s3_cors_rule *r, const struct entry *e)
{
    return (struct s3_cors_list *)((char *)r + e->offset);
}

static int add_entry(struct parse *p, struct s3_cors_list *l, struct str value)
{
    if (!l->items)
        l->items = arena_array(p->arena, struct str, S3_CORS_ENTRIES_MAX);
    if (!l->items)
        return -ENOMEM;
    if (l->count == S3_CORS_ENTRIES_MAX)
        return -ERR_MALFORMED_XML;
    l->items[l->count++] = value;
    return 0;
}

/* S3 takes negative ones too; to a browser they mean: not kept. */
static bool is_max_age(struct str s)
{
    uint64_t n;
    return str_to_u64(str_from_offset(s, str_starts(s, STR("-"))), &n) == 0 && n <= INT32_MAX;
}

static int read_element(struct parse *p, const struct xml_node *n, struct s3_cors_rule *r)
{
    struct str text = str_trim(n->text);
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++)
        if (str_eq(n->name, str_from(entries[i].element))) {
            int err = entries[i].test(p, text);
            return err ? err : add_entry(p, list_of(r, &entries[i]), text);
        }
    if (str_eq(n->name, STR("ID")) && !r->id.ptr && text.len <= S3_CORS_ID_MAX) {
        r->id = text.ptr ? text : STR("");
        return 0;
    }
    if (str_eq(n->name, STR("MaxAgeSeconds")) && !r->max_age.ptr) {
        r->max_age = text;
        return is_max_age(text) ? 0 : -ERR_MALFORMED_XML;
    }
    return -ERR_MALFORMED_XML;
}

static int read_rule(struct parse *p, const struct xml_node *rule, struct s3_cors_rule *ret)
{
    int r = str_eq(rule->name, STR("CORSRule")) ? 0 : -ERR_MALFORMED_XML;
    for (const struct xml_node *n = rule->first_child; !r && n; n = n->next)
        r = read_element(p, n, ret);
    return r || (ret->methods.count && ret->origins.count) ? r : -ERR_MALFORMED_XML;
}

int s3_cors_parse(struct arena *a, struct str body, struct s3_cors *ret, struct str *ret_why)
{
    struct parse p = {a, ret_why};
    struct s3_cors cors = {0};
    struct xml_node *root;
    size_t count = 0;
    *ret_why = STR_NULL;
    int r = xml_parse(a, body, CORS_NODES_MAX, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    for (const struct xml_node *n = root->first_child; n; n = n->next)
        count++;
    if (!str_eq(root->name, STR("CORSConfiguration")) || count == 0)
        return -ERR_MALFORMED_XML;
    if (count > S3_CORS_RULES_MAX)
        return refuse(&p,
                      "The number of CORS rules should not exceed allowed limit of 100 rules.%.*s",
                      STR(""));
    cors.rules = arena_zalloc(a, count * sizeof(*cors.rules));
    if (!cors.rules)
        return -ENOMEM;
    for (const struct xml_node *n = root->first_child; !r && n; n = n->next)
        r = read_rule(&p, n, &cors.rules[cors.count++]);
    if (!r)
        *ret = cors;
    return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_rule(struct buf *b, struct s3_cors_rule *r)
{
    xml_open(b, "CORSRule");
    if (r->id.ptr)
        xml_element(b, "ID", r->id);
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        const struct s3_cors_list *l = list_of(r, &entries[i]);
        for (size_t k = 0; k < l->count; k++)
            xml_element(b, entries[i].element, l->items[k]);
    }
    if (r->max_age.ptr)
        xml_element(b, "MaxAgeSeconds", r->max_age);
    xml_close(b, "CORSRule");
}

void s3_cors_xml(struct buf *b, const struct s3_cors *cors)
{
    xml_begin(b);
    xml_open_ns(b, "CORSConfiguration", S3_XMLNS);
    for (size_t i = 0; i < cors->count; i++)
        put_rule(b, &cors->rules[i]);
    xml_close(b, "CORSConfiguration");
}

/* ---- matching ------------------------------------------------------------------------------- */

static bool starts(struct str s, struct str prefix, bool nocase)
{
    return nocase ? str_starts_nocase(s, prefix) : str_starts(s, prefix);
}

static bool pattern_fits(struct str pattern, struct str s, bool nocase)
{
    ptrdiff_t star = str_find_char(pattern, '*', 0);
    if (star < 0)
        return s.len == pattern.len && starts(s, pattern, nocase);
    struct str head = str_prefix(pattern, (size_t)star);
    struct str tail = str_from_offset(pattern, (size_t)star + 1);
    return s.len >= head.len + tail.len && starts(s, head, nocase) &&
           starts(str_from_offset(s, s.len - tail.len), tail, nocase);
}

static bool list_fits(const struct s3_cors_list *l, struct str s, bool nocase)
{
    for (size_t i = 0; i < l->count; i++)
        if (pattern_fits(l->items[i], s, nocase))
            return true;
    return false;
}

static bool headers_fit(const struct s3_cors_rule *r, struct str names)
{
    struct str rest = names, name;
    while (rest.len && str_cut(&rest, ',', &name)) {
        name = str_trim(name);
        if (name.len && !list_fits(&r->headers, name, true))
            return false;
    }
    return true;
}

const struct s3_cors_rule *s3_cors_match(const struct s3_cors *cors, struct str origin,
                                         struct str method, struct str headers, bool *ret_any)
{
    for (size_t i = 0; i < cors->count; i++) {
        const struct s3_cors_rule *r = &cors->rules[i];
        if (!list_fits(&r->origins, origin, false) || !list_fits(&r->methods, method, false) ||
            !headers_fit(r, headers))
            continue;
        *ret_any = false;
        for (size_t k = 0; k < r->origins.count; k++)
            *ret_any |= str_eq(r->origins.items[k], STR("*"));
        return r;
    }
    return NULL;
}
