/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A document that was read, written and read again is the same tree; any bytes can be written. */

#include "fuzz.h"
#include "base/error.h"
#include "wire/xml.h"

#define NODES_MAX 200

static void write_tree(struct arena *a, struct buf *b, const struct xml_node *n)
{
    char *name = arena_cstr(a, n->name);
    CHECK(name);
    xml_open(b, name);
    xml_text(b, n->text);
    for (const struct xml_node *c = n->first_child; c; c = c->next)
        write_tree(a, b, c);
    xml_close(b, name);
}

static void check_same(const struct xml_node *x, const struct xml_node *y)
{
    CHECK(str_eq(x->name, y->name) && str_eq(x->text, y->text));
    const struct xml_node *cx = x->first_child, *cy = y->first_child;
    for (; cx && cy; cx = cx->next, cy = cy->next)
        check_same(cx, cy);
    CHECK(!cx && !cy);
}

static void check_round_trip(struct arena *a, struct str in)
{
    struct xml_node *root, *again;
    if (xml_parse(a, in, NODES_MAX, &root) != 0)
        return;
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    write_tree(a, &b, root);
    CHECK(buf_error(&b) == 0);
    CHECK(xml_parse(a, buf_str(&b), NODES_MAX, &again) == 0);
    check_same(root, again);
}

static void check_any_text(struct arena *a, struct str in)
{
    _cleanup_buf_ struct buf b;
    struct xml_node *root;
    buf_init(&b, 0);
    xml_element(&b, "K", in);
    CHECK(xml_parse(a, buf_str(&b), 1, &root) == 0);
    CHECK(str_is_utf8(root->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena a;
    arena_init(&a, 0);
    check_round_trip(&a, str_make(data, len));
    check_any_text(&a, str_make(data, len));
    arena_release(&a);
    return 0;
}
