/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/config/website.h"
#include "base/error.h"
#include "s3/internal.h"

#define WEBSITE_NODES_MAX 2000

struct parse {
    struct arena *arena;
    struct str *why;
};

static int refuse(struct parse *p, int err, const char *format, struct str value)
{
    *p->why = arena_printf(p->arena, format, STR_FMT(value));
    return err;
}

/* It becomes part of a header. */
static bool is_line(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* An element of that name, once; *ret NULL: none. */
static int take_child(const struct xml_node *n, const char *name, const struct xml_node **ret)
{
    *ret = NULL;
    for (const struct xml_node *c = n->first_child; c; c = c->next)
        if (str_eq(c->name, str_from(name))) {
            if (*ret)
                return -ERR_MALFORMED_XML;
            *ret = c;
        }
    return 0;
}

static int take_text(const struct xml_node *n, const char *name, struct str *ret)
{
    const struct xml_node *c;
    int r = take_child(n, name, &c);
    *ret = r || !c ? STR_NULL : str_trim(c->text);
    if (c && !ret->ptr)
        *ret = STR("");
    return r ? r : is_line(*ret) ? 0 : -ERR_MALFORMED_XML;
}

/* ---- redirects ------------------------------------------------------------------------------ */

static int test_protocol(struct parse *p, struct str s)
{
    if (!s.ptr || str_eq(s, STR("http")) || str_eq(s, STR("https")))
        return 0;
    return refuse(p, -ERR_INVALID_REQUEST,
                  "Invalid protocol, protocol can be http or https. If not defined the protocol "
                  "will be selected automatically.%.*s",
                  STR(""));
}

/* Letters, digits, dots, hyphens, brackets and a port: what cannot leave the host's place in an
 * address. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && (!c || !strchr(".-:[]_", c)))
            return false;
    }
    return s.len > 0;
}

static int test_host(struct str s)
{
    return !s.ptr || is_host(s) ? 0 : -ERR_MALFORMED_XML;
}

static bool is_redirect_class(uint64_t n)
{
    return n > 300 && n < 400;
}

static bool is_error_class(uint64_t n)
{
    return n >= 400 && n < 600;
}

#define BAD_REDIRECT \
    "The provided HTTP redirect code (%.*s) is not valid. Valid codes are 3XX except 300."
#define BAD_ERROR "The provided HTTP error code (%.*s) is not valid. Valid codes are 4XX or 5XX."

static int read_status(struct parse *p, struct str text, bool (*test)(uint64_t n),
                       const char *format, unsigned *ret)
{
    uint64_t n;
    if (!text.ptr)
        return 0;
    if (str_to_u64(text, &n))
        return -ERR_MALFORMED_XML;
    if (!test(n))
        return refuse(p, -ERR_INVALID_REQUEST, format, text);
    *ret = (unsigned)n;
    return 0;
}

static int read_redirect(struct parse *p, const struct xml_node *n, struct s3_website_redirect *to)
{
    struct str code;
    int r = take_text(n, "HostName", &to->host);
    if (!r)
        r = take_text(n, "Protocol", &to->protocol);
    if (!r)
        r = take_text(n, "ReplaceKeyPrefixWith", &to->replace_prefix);
    if (!r)
        r = take_text(n, "ReplaceKeyWith", &to->replace_key);
    if (!r)
        r = take_text(n, "HttpRedirectCode", &code);
    if (!r)
        r = test_host(to->host);
    if (!r)
        r = test_protocol(p, to->protocol);
    if (!r)
        r = read_status(p, code, is_redirect_class, BAD_REDIRECT, &to->code);
    if (r)
        return r;
    if (to->replace_prefix.ptr && to->replace_key.ptr)
        return refuse(p, -ERR_INVALID_REQUEST,
                      "You can only define ReplaceKeyPrefix or ReplaceKey but not both.%.*s",
                      STR(""));
    return n->first_child ? 0 : -ERR_MALFORMED_XML;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static int read_condition(struct parse *p, const struct xml_node *n, struct s3_website_rule *rule)
{
    struct str error;
    int r = take_text(n, "KeyPrefixEquals", &rule->prefix);
    if (!r)
        r = take_text(n, "HttpErrorCodeReturnedEquals", &error);
    if (!r)
        r = read_status(p, error, is_error_class, BAD_ERROR, &rule->error);
    if (r || rule->prefix.ptr || error.ptr)
        return r;
    return refuse(p, -ERR_INVALID_REQUEST,
                  "Condition cannot be empty. To redirect all requests without a condition, the "
                  "condition element shouldn't be present.%.*s",
                  STR(""));
}

static int read_rule(struct parse *p, const struct xml_node *n, struct s3_website_rule *ret)
{
    const struct xml_node *condition, *redirect;
    int r = str_eq(n->name, STR("RoutingRule")) ? 0 : -ERR_MALFORMED_XML;
    if (!r)
        r = take_child(n, "Condition", &condition);
    if (!r && condition)
        r = read_condition(p, condition, ret);
    if (!r)
        r = take_child(n, "Redirect", &redirect);
    if (r)
        return r;
    return redirect ? read_redirect(p, redirect, &ret->to) : -ERR_MALFORMED_XML;
}

static int too_many_rules(struct parse *p, size_t count)
{
    *p->why = arena_printf(p->arena,
                           "%zu routing rules provided, the number of routing rules in a website "
                           "configuration is limited to 50.",
                           count);
    return -ERR_INVALID_REQUEST;
}

static int read_rules(struct parse *p, const struct xml_node *n, struct s3_website *site)
{
    size_t count = 0;
    for (const struct xml_node *c = n->first_child; c; c = c->next)
        count++;
    if (count == 0)
        return -ERR_MALFORMED_XML;
    if (count > S3_WEBSITE_RULES_MAX)
        return too_many_rules(p, count);
    site->rules = arena_zalloc(p->arena, count * sizeof(*site->rules));
    if (!site->rules)
        return -ENOMEM;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        r = read_rule(p, c, &site->rules[site->rule_count++]);
    return r;
}

/* ---- the document --------------------------------------------------------------------------- */

/* With it goes nothing else. */
static int read_all(struct parse *p, const struct xml_node *root, const struct xml_node *all,
                    struct s3_website *site)
{
    site->redirects_all = true;
    int r = root->first_child == all && !all->next ? 0 : -ERR_MALFORMED_XML;
    if (!r)
        r = take_text(all, "HostName", &site->all.host);
    if (!r)
        r = take_text(all, "Protocol", &site->all.protocol);
    if (!r)
        r = site->all.host.ptr ? test_host(site->all.host) : -ERR_MALFORMED_XML;
    return r ? r : test_protocol(p, site->all.protocol);
}

static int read_index(struct parse *p, const struct xml_node *root, struct s3_website *site)
{
    const struct xml_node *index;
    int r = take_child(root, "IndexDocument", &index);
    if (!r && index)
        r = take_text(index, "Suffix", &site->index);
    if (r)
        return r;
    if (site->index.len && str_find_char(site->index, '/', 0) < 0)
        return 0;
    return refuse(p, -ERR_INVALID_ARGUMENT,
                  index ? "The IndexDocument Suffix is not well formed%.*s"
                        : "A value for IndexDocument Suffix must be provided if "
                          "RedirectAllRequestsTo is empty%.*s",
                  STR(""));
}

static int read_error(struct parse *p, const struct xml_node *root, struct s3_website *site)
{
    const struct xml_node *error;
    int r = take_child(root, "ErrorDocument", &error);
    if (!r && error)
        r = take_text(error, "Key", &site->error_key);
    if (r || !error || site->error_key.len)
        return r;
    return refuse(p, -ERR_INVALID_ARGUMENT, "The ErrorDocument Key is not well formed%.*s",
                  STR(""));
}

static int read_site(struct parse *p, const struct xml_node *root, struct s3_website *site)
{
    const struct xml_node *all, *rules;
    int r = take_child(root, "RedirectAllRequestsTo", &all);
    if (r || all)
        return r ? r : read_all(p, root, all, site);
    r = read_index(p, root, site);
    if (!r)
        r = read_error(p, root, site);
    if (!r)
        r = take_child(root, "RoutingRules", &rules);
    return r || !rules ? r : read_rules(p, rules, site);
}

int s3_website_parse(struct arena *a, struct str body, struct s3_website *ret, struct str *ret_why)
{
    struct parse p = {a, ret_why};
    struct s3_website site = {0};
    struct xml_node *root;
    *ret_why = STR_NULL;
    int r = xml_parse(a, body, WEBSITE_NODES_MAX, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    r = str_eq(root->name, STR("WebsiteConfiguration")) ? read_site(&p, root, &site)
                                                        : -ERR_MALFORMED_XML;
    if (!r)
        *ret = site;
    return r;
}

/* ---- codes ---------------------------------------------------------------------------------- */

/* Those that have a meaning: RFC 9110 15.4 without Multiple Choices and the unused 306. */
static bool is_redirect_code(unsigned n)
{
    return n == 0 || (n >= 301 && n <= 305) || n == 307 || n == 308;
}

/* Up to the last one of RFC 2616, as in S3. */
static bool is_error_code(unsigned n)
{
    return n == 0 || (n >= 400 && n <= 417) || (n >= 500 && n <= 505);
}

static int refuse_code(struct parse *p, const char *format, unsigned code)
{
    return refuse(p, -ERR_INVALID_REQUEST, format, arena_printf(p->arena, "%u", code));
}

int s3_website_check(struct arena *a, const struct s3_website *site, struct str *ret_why)
{
    struct parse p = {a, ret_why};
    for (size_t i = 0; i < site->rule_count; i++) {
        const struct s3_website_rule *rule = &site->rules[i];
        if (!is_redirect_code(rule->to.code))
            return refuse_code(&p, BAD_REDIRECT, rule->to.code);
        if (!is_error_code(rule->error))
            return refuse_code(&p, BAD_ERROR, rule->error);
    }
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *element, struct str text)
{
    if (text.ptr)
        xml_element(b, element, text);
}

static void put_status(struct buf *b, const char *element, unsigned status)
{
    if (status)
        xml_element_u64(b, element, status);
}

static void put_redirect(struct buf *b, const char *element, const struct s3_website_redirect *to)
{
    xml_open(b, element);
    put_text(b, "HostName", to->host);
    put_text(b, "Protocol", to->protocol);
    put_text(b, "ReplaceKeyPrefixWith", to->replace_prefix);
    put_text(b, "ReplaceKeyWith", to->replace_key);
    put_status(b, "HttpRedirectCode", to->code);
    xml_close(b, element);
}

static void put_rule(struct buf *b, const struct s3_website_rule *r)
{
    xml_open(b, "RoutingRule");
    if (r->prefix.ptr || r->error) {
        xml_open(b, "Condition");
        put_text(b, "KeyPrefixEquals", r->prefix);
        put_status(b, "HttpErrorCodeReturnedEquals", r->error);
        xml_close(b, "Condition");
    }
    put_redirect(b, "Redirect", &r->to);
    xml_close(b, "RoutingRule");
}

static void put_parent(struct buf *b, const char *parent, const char *element, struct str text)
{
    if (!text.ptr)
        return;
    xml_open(b, parent);
    xml_element(b, element, text);
    xml_close(b, parent);
}

void s3_website_xml(struct buf *b, const struct s3_website *site)
{
    xml_begin(b);
    xml_open_ns(b, "WebsiteConfiguration", S3_XMLNS);
    if (site->redirects_all)
        put_redirect(b, "RedirectAllRequestsTo", &site->all);
    put_parent(b, "IndexDocument", "Suffix", site->index);
    put_parent(b, "ErrorDocument", "Key", site->error_key);
    if (site->rule_count)
        xml_open(b, "RoutingRules");
    for (size_t i = 0; i < site->rule_count; i++)
        put_rule(b, &site->rules[i]);
    if (site->rule_count)
        xml_close(b, "RoutingRules");
    xml_close(b, "WebsiteConfiguration");
}

/* ---- matching ------------------------------------------------------------------------------- */

const struct s3_website_rule *s3_website_match(const struct s3_website *site, struct str key,
                                               unsigned error)
{
    for (size_t i = 0; i < site->rule_count; i++) {
        const struct s3_website_rule *r = &site->rules[i];
        if (r->error == error && str_starts(key, r->prefix))
            return r;
    }
    return NULL;
}

void s3_website_location(struct buf *b, const struct s3_website_redirect *to, struct str prefix,
                         struct str key, struct str protocol, struct str host)
{
    buf_put_str(b, to->protocol.ptr ? to->protocol : protocol);
    buf_put_cstr(b, "://");
    buf_put_str(b, to->host.ptr ? to->host : host);
    buf_put_char(b, '/');
    if (to->replace_key.ptr) {
        uri_encode(b, to->replace_key, true);
        return;
    }
    if (to->replace_prefix.ptr) {
        uri_encode(b, to->replace_prefix, true);
        key = str_from_offset(key, prefix.len);
    }
    uri_encode(b, key, true);
}
