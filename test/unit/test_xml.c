/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include <stdio.h>
#include "base/error.h"
#include "wire/xml.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static struct xml_node *parse(const char *text)
{
    struct xml_node *root = NULL;
    return xml_parse(&arena, str_from(text), 100, &root) == 0 ? root : NULL;
}

static void writer_makes_a_document(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "Result", "http://s3.amazonaws.com/doc/2006-03-01/");
    xml_element(&b, "Key", STR("a&b<c>\"d'"));
    xml_element_u64(&b, "Size", 18446744073709551615ULL);
    xml_element_bool(&b, "Last", true);
    xml_element(&b, "Empty", STR(""));
    xml_close(&b, "Result");
    assert_string_equal(b.data, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<Result xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                                "<Key>a&amp;b&lt;c&gt;&quot;d'</Key>"
                                "<Size>18446744073709551615</Size><Last>true</Last><Empty></Empty>"
                                "</Result>");
}

static void what_xml_cannot_carry_is_replaced(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_text(&b, STR("a\x01"
                     "b\xff"
                     "c\xc3"
                     "d\xed\xa0\x80"
                     "e\xef\xbf\xbf"
                     "f\0g\x7f\xe2\x82\xac"));
    assert_string_equal(b.data, "a\xef\xbf\xbd"
                                "b\xef\xbf\xbd"
                                "c\xef\xbf\xbd"
                                "d\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                "e\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                "f\xef\xbf\xbdg\x7f"
                                "\xe2\x82\xac");
}

static void prose_keeps_its_quotes(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_prose(&b, STR("[\"eq\", \"$a<b>\", \"&\"]\r\x01"));
    assert_string_equal(b.data, "[\"eq\", \"$a&lt;b&gt;\", \"&amp;\"]&#13;\xef\xbf\xbd");
}

static void only_noncharacters_are_taken_for_such(void **state)
{
    _cleanup_buf_ struct buf b;
    const struct str fine = STR("\xef\xbc\xa1 \xe2\xbf\xbe \xef\xbf\xbd \xe0\xa4\x85 "
                                "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf \xc2\x80");
    buf_init(&b, 0);
    xml_text(&b, fine);
    assert_true(str_eq(buf_str(&b), fine));
    buf_reset(&b);
    xml_text(&b, STR("\xef\xbf\xbe"));
    assert_string_equal(b.data, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void written_text_reads_back(void **state)
{
    const struct str texts[] = {STR("plain"), STR(" a\tb\r\nc\n "), STR("]]>&amp;<![CDATA["),
                                STR("\xf0\x9f\x98\x80\xc3\xa9"), STR("\r\r")};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        _cleanup_buf_ struct buf b;
        struct xml_node *root;
        buf_init(&b, 0);
        xml_begin(&b);
        xml_element(&b, "K", texts[i]);
        assert_int_equal(xml_parse(&arena, buf_str(&b), 1, &root), 0);
        assert_true(str_eq(root->text, texts[i]));
    }
}

static void tree_keeps_order_and_drops_namespaces(void **state)
{
    struct xml_node *root =
        parse("<?xml version='1.0'?>\n<!-- c -->"
              "<a:Delete xmlns:a='http://s3.amazonaws.com/doc/2006-03-01/' x='y'>\n"
              " <a:Quiet> true\r\n</a:Quiet>\n <Object><Key>a&amp;&#x42;</Key></Object>\n"
              " <Object xmlns='urn:other'><Key><![CDATA[<b>]]></Key></Object>\n</a:Delete>");
    assert_non_null(root);
    assert_true(str_eq(root->name, STR("Delete")));
    assert_true(str_eq(xml_child_text(root, "Quiet"), STR("true")));
    const struct xml_node *first = xml_child(root, "Object");
    assert_true(str_eq(xml_child_text(first, "Key"), STR("a&B")));
    assert_true(str_eq(first->next->name, STR("Object")));
    assert_true(str_eq(xml_child_text(first->next, "Key"), STR("<b>")));
    assert_null(first->next->next);
    assert_null(xml_child(root, "object"));
    assert_null(xml_child_text(root, "Absent").ptr);
    assert_non_null(xml_child_text(first, "Key").ptr);
}

static void text_around_children_is_joined(void **state)
{
    struct xml_node *root = parse("<r>a<b>x<c/>y</b>&lt;<b>z</b>d<e></e></r>");
    assert_true(str_eq(root->text, STR("a<d")));
    assert_true(str_eq(root->first_child->text, STR("xy")));
    assert_true(str_eq(xml_child_text(root, "e"), STR("")));
    assert_non_null(xml_child_text(root, "e").ptr);
}

static void malformed_documents_are_refused(void **state)
{
    const char *const bad[] = {
        "",
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a>&nbsp;</a>",
        "<a>&#0;</a>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<p:a/>",
        "<a b='1' b='2'/>",
        "<a/>x",
        "<a",
        "<a>]]></a>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://h/'> %b;]><a/>",
        "<?xml version='1.0' encoding='UTF-16'?><a>\xff\xfe</a>",
    };
    struct xml_node *root = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int rc = xml_parse(&arena, str_from(bad[i]), 100, &root);
        if (rc != -ERR_MALFORMED_XML)
            fail_msg("%d: %s", rc, bad[i]);
    }
    assert_null(root);
}

static void depth_is_limited(void **state)
{
    char text[256] = "";
    for (int i = 0; i < XML_DEPTH_MAX; i++)
        strcat(text, "<a>");
    for (int i = 0; i < XML_DEPTH_MAX; i++)
        strcat(text, "</a>");
    assert_non_null(parse(text));
    char deeper[300];
    snprintf(deeper, sizeof(deeper), "<a>%s</a>", text);
    struct xml_node *root;
    assert_int_equal(xml_parse(&arena, str_from(deeper), 100, &root), -ERR_MALFORMED_XML);
}

static void nodes_are_limited(void **state)
{
    struct xml_node *root;
    struct str three = STR("<a><b/><c/></a>");
    assert_int_equal(xml_parse(&arena, three, 3, &root), 0);
    assert_int_equal(xml_parse(&arena, three, 2, &root), -ERR_MAX_MESSAGE_LENGTH);
}

static void memory_running_out_is_an_error(void **state)
{
    struct arena tiny;
    struct xml_node *root;
    arena_init(&tiny, 64);
    assert_int_equal(xml_parse(&tiny, STR("<a>b</a>"), 10, &root), -ENOMEM);
    arena_release(&tiny);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(writer_makes_a_document),
        T(what_xml_cannot_carry_is_replaced),
        T(prose_keeps_its_quotes),
        T(only_noncharacters_are_taken_for_such),
        T(written_text_reads_back),
        T(tree_keeps_order_and_drops_namespaces),
        T(text_around_children_is_joined),
        T(malformed_documents_are_refused),
        T(depth_is_limited),
        T(nodes_are_limited),
        T(memory_running_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
