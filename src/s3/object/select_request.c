/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/object/select_request.h"

#include "base/error.h"
#include "wire/xml.h"

#define NODES_MAX     64
#define DELIMITER_MAX 16 /* bytes, in the output */

struct reader {
    struct s3_select_request *to;
    struct str culprit;
};

static int fail(struct reader *r, const char *name, int err)
{
    r->culprit = str_from(name);
    return err;
}

/* ---- elements ------------------------------------------------------------------------------- */

static bool is_among(struct str name, const char *const *names)
{
    for (; *names; names++)
        if (str_eq(name, str_from(*names)))
            return true;
    return false;
}

static bool is_again(const struct xml_node *n)
{
    for (const struct xml_node *later = n->next; later; later = later->next)
        if (str_eq(n->name, later->name))
            return true;
    return false;
}

/* Children are among `names`, which end in NULL, and none is there twice. */
static int only(struct reader *r, const struct xml_node *n, const char *const *names)
{
    for (const struct xml_node *c = n->first_child; c; c = c->next)
        if (!is_among(c->name, names) || is_again(c)) {
            r->culprit = c->name;
            return -ERR_MALFORMED_XML;
        }
    return 0;
}

/* The text as it is: delimiters are blanks at times. ptr NULL: there is none. */
static struct str text_of(const struct xml_node *n, const char *name)
{
    const struct xml_node *c = n ? xml_child(n, name) : NULL;
    return c ? c->text : STR_NULL;
}

/* One byte of ASCII; what is absent leaves `*ret`. */
static int read_char(struct reader *r, const struct xml_node *n, const char *name, char *ret)
{
    struct str s = text_of(n, name);
    if (!s.ptr)
        return 0;
    if (s.len != 1 || (uint8_t)s.ptr[0] >= 0x80)
        return fail(r, name, -ERR_SELECT_PARAMETER);
    *ret = s.ptr[0];
    return 0;
}

/* The same of any character. */
static int read_character(struct reader *r, const struct xml_node *n, const char *name,
                          struct str *ret)
{
    struct str s = text_of(n, name);
    if (!s.ptr)
        return 0;
    uint8_t first = s.len ? (uint8_t)s.ptr[0] : 0;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (s.len != len || !str_is_utf8(s))
        return fail(r, name, -ERR_SELECT_PARAMETER);
    *ret = s;
    return 0;
}

/* As read_char; an empty one means that there is no such character. */
static int read_char_or_none(struct reader *r, const struct xml_node *n, const char *name,
                             bool *ret_has, char *ret)
{
    struct str s = text_of(n, name);
    if (s.ptr && s.len == 0) {
        *ret_has = false;
        return 0;
    }
    return read_char(r, n, name, ret);
}

static int read_bool(struct reader *r, const struct xml_node *n, const char *name, bool *ret)
{
    struct str s = n ? xml_child_text(n, name) : STR_NULL;
    if (!s.ptr)
        return 0;
    *ret = str_eq_nocase(s, STR("true"));
    return *ret || str_eq_nocase(s, STR("false")) ? 0 : fail(r, name, -ERR_SELECT_PARAMETER);
}

static int read_delimiter(struct reader *r, const struct xml_node *n, const char *name,
                          struct str *ret)
{
    struct str s = text_of(n, name);
    if (!s.ptr)
        return 0;
    if (s.len == 0 || s.len > DELIMITER_MAX)
        return fail(r, name, -ERR_SELECT_PARAMETER);
    *ret = s;
    return 0;
}

/* ---- the input ------------------------------------------------------------------------------ */

static int read_record_delimiter(struct reader *r, const struct xml_node *n)
{
    struct select_csv_options *o = &r->to->config.csv;
    struct str s = text_of(n, "RecordDelimiter");
    if (!s.ptr)
        return 0;
    bool ascii = s.len && (uint8_t)s.ptr[0] < 0x80 && (uint8_t)s.ptr[s.len - 1] < 0x80;
    if (s.len < 1 || s.len > 2 || !ascii)
        return fail(r, "RecordDelimiter", -ERR_SELECT_PARAMETER);
    memcpy(o->record, s.ptr, s.len);
    o->record_len = (unsigned)s.len;
    o->crlf = str_eq(s, STR("\n"));
    return 0;
}

static int read_header_info(struct reader *r, const struct xml_node *n)
{
    static const char *const words[] = {"NONE", "USE", "IGNORE"};
    struct str s = xml_child_text(n, "FileHeaderInfo");
    for (size_t i = 0; s.ptr && i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(s, str_from(words[i]))) {
            r->to->config.header = (enum select_header_info)i;
            return 0;
        }
    return s.ptr ? fail(r, "FileHeaderInfo", -ERR_SELECT_HEADER_INFO) : 0;
}

static bool is_delimiter(const struct select_csv_options *o, char c)
{
    return (o->field.len == 1 && c == o->field.ptr[0]) || c == o->record[0] ||
           (o->record_len == 2 && c == o->record[1]);
}

/* Characters that would mean two things. */
static int check_csv(struct reader *r)
{
    struct select_csv_options *o = &r->to->config.csv;
    char field = o->field.len == 1 ? o->field.ptr[0] : 0;
    if (field == o->record[0] || (o->record_len == 2 && field == o->record[1]))
        return fail(r, "FieldDelimiter", -ERR_SELECT_PARAMETER);
    if (o->has_quote && is_delimiter(o, o->quote))
        return fail(r, "QuoteCharacter", -ERR_SELECT_PARAMETER);
    if (o->has_quote && is_delimiter(o, o->escape))
        return fail(r, "QuoteEscapeCharacter", -ERR_SELECT_PARAMETER);
    return 0;
}

static int read_csv(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"AllowQuotedRecordDelimiter",
                                        "Comments",
                                        "FieldDelimiter",
                                        "FileHeaderInfo",
                                        "QuoteCharacter",
                                        "QuoteEscapeCharacter",
                                        "RecordDelimiter",
                                        NULL};
    struct select_csv_options *o = &r->to->config.csv;
    bool has_escape = true;
    int e = only(r, n, names);
    if (!e)
        e = read_header_info(r, n);
    if (!e)
        e = read_char_or_none(r, n, "Comments", &o->has_comment, &o->comment);
    if (!e)
        e = read_character(r, n, "FieldDelimiter", &o->field);
    if (!e)
        e = read_char_or_none(r, n, "QuoteCharacter", &o->has_quote, &o->quote);
    o->escape = o->quote;
    if (!e)
        e = read_char_or_none(r, n, "QuoteEscapeCharacter", &has_escape, &o->escape);
    if (!e)
        e = read_record_delimiter(r, n);
    if (!e)
        e = read_bool(r, n, "AllowQuotedRecordDelimiter", &o->quoted_records);
    return e ? e : check_csv(r);
}

static int read_json(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"Type", NULL};
    struct str type = xml_child_text(n, "Type");
    int e = only(r, n, names);
    if (e)
        return e;
    r->to->config.json = true;
    r->to->lines = str_eq_nocase(type, STR("LINES"));
    return r->to->lines || str_eq_nocase(type, STR("DOCUMENT"))
               ? 0
               : fail(r, "Type", -ERR_SELECT_JSON_TYPE);
}

static int read_compression(struct reader *r, const struct xml_node *n)
{
    static const struct {
        const char *word;
        enum unzip_form form;
    } words[] = {{"NONE", UNZIP_NONE}, {"GZIP", UNZIP_GZIP}, {"BZIP2", UNZIP_BZIP2}};
    struct str s = xml_child_text(n, "CompressionType");
    for (size_t i = 0; s.ptr && i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(s, str_from(words[i].word))) {
            r->to->compression = words[i].form;
            return 0;
        }
    return s.ptr ? fail(r, "CompressionType", -ERR_SELECT_COMPRESSION) : 0;
}

static int read_input(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"CSV", "CompressionType", "JSON", "Parquet", NULL};
    if (!n)
        return fail(r, "InputSerialization", -ERR_SELECT_MISSING_PARAMETER);
    const struct xml_node *csv = xml_child(n, "CSV"), *json = xml_child(n, "JSON");
    const struct xml_node *parquet = xml_child(n, "Parquet");
    int e = only(r, n, names);
    if (!e && !!csv + !!json + !!parquet != 1)
        e = fail(r, "InputSerialization", -ERR_SELECT_CONFLICT);
    if (!e && parquet)
        e = fail(r, "Parquet", -ERR_SELECT_SOURCE);
    if (!e)
        e = read_compression(r, n);
    if (e)
        return e;
    return csv ? read_csv(r, csv) : read_json(r, json);
}

/* ---- the output ----------------------------------------------------------------------------- */

static int read_quote_fields(struct reader *r, const struct xml_node *n)
{
    struct str s = xml_child_text(n, "QuoteFields");
    bool always = str_eq_nocase(s, STR("ALWAYS"));
    r->to->config.output.always = always;
    return !s.ptr || always || str_eq_nocase(s, STR("ASNEEDED"))
               ? 0
               : fail(r, "QuoteFields", -ERR_SELECT_QUOTE_FIELDS);
}

static int read_csv_output(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"FieldDelimiter", "QuoteCharacter",  "QuoteEscapeCharacter",
                                        "QuoteFields",    "RecordDelimiter", NULL};
    struct select_output_options *o = &r->to->config.output;
    int e = only(r, n, names);
    if (!e)
        e = read_quote_fields(r, n);
    if (!e)
        e = read_delimiter(r, n, "FieldDelimiter", &o->field);
    if (!e)
        e = read_delimiter(r, n, "RecordDelimiter", &o->record);
    if (!e)
        e = read_char(r, n, "QuoteCharacter", &o->quote);
    o->escape = o->quote;
    return e ? e : read_char(r, n, "QuoteEscapeCharacter", &o->escape);
}

static int read_json_output(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"RecordDelimiter", NULL};
    int e = only(r, n, names);
    r->to->config.output.json = true;
    return e ? e : read_delimiter(r, n, "RecordDelimiter", &r->to->config.output.record);
}

static int read_output(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"CSV", "JSON", NULL};
    if (!n)
        return fail(r, "OutputSerialization", -ERR_SELECT_MISSING_PARAMETER);
    const struct xml_node *csv = xml_child(n, "CSV"), *json = xml_child(n, "JSON");
    int e = only(r, n, names);
    if (!e && !csv == !json)
        e = fail(r, "OutputSerialization", -ERR_SELECT_CONFLICT);
    if (e)
        return e;
    return csv ? read_csv_output(r, csv) : read_json_output(r, json);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static int read_offset(struct reader *r, const struct xml_node *n, const char *name, bool *ret_has,
                       uint64_t *ret)
{
    struct str s = xml_child_text(n, name);
    *ret_has = s.ptr != NULL;
    return s.ptr && str_to_u64(s, ret) ? fail(r, name, -ERR_SELECT_SCAN_RANGE) : 0;
}

static int check_range(struct reader *r)
{
    struct s3_select_request *q = r->to;
    if ((!q->has_start && !q->has_end) || (q->has_start && q->has_end && q->start > q->end))
        return fail(r, "ScanRange", -ERR_SELECT_SCAN_RANGE);
    bool whole_records = q->config.json ? q->lines : !q->config.csv.quoted_records;
    return whole_records && q->compression == UNZIP_NONE
               ? 0
               : fail(r, "ScanRange", -ERR_SELECT_SCAN_INPUT);
}

static int read_range(struct reader *r, const struct xml_node *n)
{
    static const char *const names[] = {"End", "Start", NULL};
    if (!n)
        return 0;
    int e = only(r, n, names);
    if (!e)
        e = read_offset(r, n, "Start", &r->to->has_start, &r->to->start);
    if (!e)
        e = read_offset(r, n, "End", &r->to->has_end, &r->to->end);
    return e ? e : check_range(r);
}

static int read_expression(struct reader *r, const struct xml_node *root)
{
    struct str type = xml_child_text(root, "ExpressionType");
    r->to->config.expression = text_of(root, "Expression");
    if (!r->to->config.expression.ptr)
        return fail(r, "Expression", -ERR_SELECT_MISSING_PARAMETER);
    if (!type.ptr)
        return fail(r, "ExpressionType", -ERR_SELECT_MISSING_PARAMETER);
    if (!str_eq_nocase(type, STR("SQL")))
        return fail(r, "ExpressionType", -ERR_SELECT_EXPRESSION_TYPE);
    return r->to->config.expression.len > SELECT_EXPRESSION_MAX ? -ERR_SELECT_TOO_LONG : 0;
}

static int read_root(struct reader *r, const struct xml_node *root)
{
    static const char *const names[] = {"Expression",
                                        "ExpressionType",
                                        "InputSerialization",
                                        "RequestProgress",
                                        "OutputSerialization",
                                        "ScanRange",
                                        NULL};
    int e = only(r, root, names);
    if (!e)
        e = read_expression(r, root);
    if (!e)
        e = read_input(r, xml_child(root, "InputSerialization"));
    if (!e)
        e = read_output(r, xml_child(root, "OutputSerialization"));
    if (!e)
        e = read_bool(r, xml_child(root, "RequestProgress"), "Enabled", &r->to->progress);
    return e ? e : read_range(r, xml_child(root, "ScanRange"));
}

int s3_select_parse(struct arena *a, struct str body, struct s3_select_request *ret,
                    struct str *ret_culprit)
{
    struct reader r = {.to = ret};
    struct xml_node *root;
    *ret = (struct s3_select_request){
        .config = {.csv = {.field = STR(","),
                           .record = "\n",
                           .record_len = 1,
                           .crlf = true,
                           .has_quote = true,
                           .quote = '"',
                           .escape = '"',
                           .has_comment = true,
                           .comment = '#'},
                   .output = {.field = STR(","), .record = STR("\n"), .quote = '"', .escape = '"'},
                   .most = UINT64_MAX}};
    int e = xml_parse(a, body, NODES_MAX, &root);
    if (e)
        return e == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : e;
    bool named = str_eq(root->name, STR("SelectObjectContentRequest")) ||
                 str_eq(root->name, STR("SelectRequest"));
    e = named ? read_root(&r, root) : -ERR_MALFORMED_XML;
    *ret_culprit = r.culprit;
    return e;
}
