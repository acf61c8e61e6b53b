/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The reader. Expat calls back; the handlers build the tree and note the first failure, after
 * which they do nothing more.
 *
 * Text comes in pieces. Each open element has a list of its pieces, all of them in one run of
 * memory, and joins them when it closes; so the cost is linear whatever the mixture of text and
 * children. The run is as long as the input, which is read as UTF-8 whatever it declares: no
 * reference is shorter than what it stands for.
 */

#include "wire/xml.h"
#include <expat.h>
#include <limits.h>
#include "base/error.h"

#define NAMESPACE_SEPARATOR '\n'

struct piece {
    struct str bytes;
    struct piece *before;
};

struct open_element {
    struct xml_node *node, *last_child;
    struct piece *last_piece;
    size_t text_len;
};

struct reader {
    XML_Parser parser;
    struct arena *arena;
    size_t nodes_left;
    int failure;
    struct xml_node *root;
    struct open_element open[XML_DEPTH_MAX];
    unsigned depth;
    char *text, *text_end; /* where the next piece goes; the space left ends at text_end */
};

static void fail(struct reader *r, int code)
{
    if (!r->failure)
        r->failure = code;
    XML_StopParser(r->parser, XML_FALSE);
}

static struct xml_node *new_node(struct reader *r, const char *name)
{
    const char *separator = strrchr(name, NAMESPACE_SEPARATOR);
    struct xml_node *n = arena_new(r->arena, struct xml_node);
    if (!n)
        return NULL;
    n->name = arena_dup(r->arena, str_from(separator ? separator + 1 : name));
    n->text = STR("");
    return n->name.ptr ? n : NULL;
}

static void link_node(struct reader *r, struct xml_node *n)
{
    if (r->depth == 0) {
        r->root = n;
        return;
    }
    struct open_element *parent = &r->open[r->depth - 1];
    if (parent->last_child)
        parent->last_child->next = n;
    else
        parent->node->first_child = n;
    parent->last_child = n;
}

static void XMLCALL on_start(void *arg, const char *name, const char **attributes)
{
    struct reader *r = arg;
    if (r->failure)
        return;
    if (r->depth == XML_DEPTH_MAX)
        return fail(r, -ERR_MALFORMED_XML);
    if (r->nodes_left-- == 0)
        return fail(r, -ERR_MAX_MESSAGE_LENGTH);
    struct xml_node *n = new_node(r, name);
    if (!n)
        return fail(r, -ENOMEM);
    link_node(r, n);
    r->open[r->depth++] = (struct open_element){.node = n};
}

/* Pieces are linked last to first, so the text is filled from its end. */
static int join_text(struct reader *r, struct open_element *e)
{
    if (e->text_len == 0)
        return 0;
    char *text = arena_alloc(r->arena, e->text_len);
    if (!text)
        return -ENOMEM;
    char *to = text + e->text_len;
    for (struct piece *p = e->last_piece; p; p = p->before) {
        to -= p->bytes.len;
        memcpy(to, p->bytes.ptr, p->bytes.len);
    }
    CHECK(to == text);
    e->node->text = str_make(text, e->text_len);
    return 0;
}

static void XMLCALL on_end(void *arg, const char *name)
{
    struct reader *r = arg;
    if (r->failure)
        return;
    CHECK(r->depth > 0);
    int rc = join_text(r, &r->open[--r->depth]);
    if (rc < 0)
        fail(r, rc);
}

/* Adds to the last piece when that ends where the run of memory does. */
static int add_text(struct reader *r, struct open_element *e, struct str bytes)
{
    char *to = r->text;
    if (bytes.len > (size_t)(r->text_end - to))
        return -ENOMEM;
    memcpy(to, bytes.ptr, bytes.len);
    r->text += bytes.len;
    e->text_len += bytes.len;
    if (e->last_piece && e->last_piece->bytes.ptr + e->last_piece->bytes.len == to) {
        e->last_piece->bytes.len += bytes.len;
        return 0;
    }
    struct piece *p = arena_new(r->arena, struct piece);
    if (!p)
        return -ENOMEM;
    *p = (struct piece){{to, bytes.len}, e->last_piece};
    e->last_piece = p;
    return 0;
}

static void XMLCALL on_text(void *arg, const char *bytes, int len)
{
    struct reader *r = arg;
    if (r->failure || r->depth == 0)
        return;
    int rc = add_text(r, &r->open[r->depth - 1], str_make(bytes, (size_t)len));
    if (rc < 0)
        fail(r, rc);
}

/* Nothing that S3 reads has a DOCTYPE, and every entity trick needs one. */
static void XMLCALL on_doctype(void *arg, const char *name, const char *system_id,
                               const char *public_id, int has_internal)
{
    fail(arg, -ERR_MALFORMED_XML);
}

static int run(struct reader *r, struct str in)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    enum XML_Status status = XML_Parse(r->parser, in.ptr, (int)in.len, 1);
    if (r->failure)
        return r->failure;
    if (status == XML_STATUS_OK)
        return 0;
    return XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -ERR_MALFORMED_XML;
}

int xml_parse(struct arena *a, struct str in, size_t max_nodes, struct xml_node **ret_root)
{
    if (in.len == 0)
        return -ERR_MALFORMED_XML;
    if (in.len > INT_MAX)
        return -ERR_MAX_MESSAGE_LENGTH;
    _cleanup_free_ char *text = malloc(in.len);
    struct reader r = {.arena = a, .nodes_left = max_nodes, .text = text};
    if (!text)
        return -ENOMEM;
    r.text_end = text + in.len;
    r.parser = XML_ParserCreateNS("UTF-8", NAMESPACE_SEPARATOR);
    if (!r.parser)
        return -ENOMEM;
    int rc = run(&r, in);
    XML_ParserFree(r.parser);
    if (rc == 0)
        *ret_root = r.root;
    return rc;
}

const struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
    for (const struct xml_node *child = n->first_child; child; child = child->next)
        if (str_eq(child->name, str_from(name)))
            return child;
    return NULL;
}

static bool is_xml_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct str xml_child_text(const struct xml_node *n, const char *name)
{
    const struct xml_node *child = xml_child(n, name);
    if (!child)
        return STR_NULL;
    struct str s = child->text;
    while (s.len > 0 && is_xml_space(s.ptr[0]))
        s = str_from_offset(s, 1);
    while (s.len > 0 && is_xml_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}
