/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * XML, both ways: a writer that escapes everything, and a reader over expat that gives a small
 * tree. No DOCTYPE, no entities but the five, no external anything, depth and node limits.
 * Attributes are ignored.
 */

#include "base/arena.h"
#include "base/buf.h"

/* ---- writing: xml_open(b, "Key"); xml_text(b, s); xml_close(b, "Key") ------------------------ */

void xml_begin(struct buf *b); /* the declaration line */
void xml_open(struct buf *b, const char *name);
void xml_open_ns(struct buf *b, const char *name, const char *xmlns);
void xml_close(struct buf *b, const char *name);
/*
 * Escaped, so that a parser gives the same text back (a carriage return too). What XML 1.0 cannot
 * carry becomes U+FFFD: control characters, U+FFFE and U+FFFF, and bytes that are not UTF-8.
 */
void xml_text(struct buf *b, struct str s);
/* The same where quotes stay as they are, which between tags they may. */
void xml_prose(struct buf *b, struct str s);
/* <name>text</name> */
void xml_element(struct buf *b, const char *name, struct str text);
void xml_element_u64(struct buf *b, const char *name, uint64_t v);
void xml_element_bool(struct buf *b, const char *name, bool v);

/* ---- reading -------------------------------------------------------------------------------- */

#define XML_DEPTH_MAX 16

struct xml_node {
    struct str name; /* without namespace */
    struct str text; /* the character data directly inside, joined; "" when none */
    struct xml_node *first_child, *next;
};
/*
 * -ERR_MALFORMED_XML (also deeper than XML_DEPTH_MAX); -ERR_MAX_MESSAGE_LENGTH beyond `max_nodes`;
 * -ENOMEM. The tree lives in `a` and holds no pointer into `in`.
 */
int xml_parse(struct arena *a, struct str in, size_t max_nodes, struct xml_node **ret_root);
/* First child of that name, or NULL. */
const struct xml_node *xml_child(const struct xml_node *n, const char *name);
/* Its text trimmed of spaces, tabs and line ends, or ptr NULL. */
struct str xml_child_text(const struct xml_node *n, const char *name);
