/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * SelectObjectContent's queries, by tables of (input, SQL, output). Every case is run whole and
 * byte by byte: how the input was cut must not show.
 */

#include "unit.h"

#include <stdio.h>
#include "base/error.h"
#include "select/json.h"
#include "select/select.h"

#define NOW_MS 1700000000123ULL

static struct select_csv_options csv_default(void)
{
    return (struct select_csv_options){
        .field = STR(","),
        .record = "\n",
        .record_len = 1,
        .crlf = true,
        .has_quote = true,
        .quote = '"',
        .escape = '"',
        .has_comment = true,
        .comment = '#',
    };
}

static struct select_config config_of(const char *sql, bool json_in, bool json_out)
{
    return (struct select_config){
        .expression = str_from(sql),
        .json = json_in,
        .csv = csv_default(),
        .output =
            {.json = json_out, .field = STR(","), .record = STR("\n"), .quote = '"', .escape = '"'},
        .now_ms = NOW_MS,
        .most = UINT64_MAX,
    };
}

static int keep(struct str rows, void *arg)
{
    buf_put_str(arg, rows);
    return 0;
}

/* What came of it: rows, or behind them the code of an error. */
static struct buf run(struct select_config *c, struct str in, size_t step)
{
    struct select_fault fault;
    struct select *s;
    struct buf out;
    buf_init(&out, 0);
    c->emit = keep;
    c->arg = &out;
    int r = select_new(&s, c, &fault);
    if (r == 0) {
        while (r == 0 && in.len) {
            size_t n = MIN(step, in.len);
            /* Exactly as long, so that a sanitizer sees a read beyond. */
            char *piece = malloc(n);
            assert_non_null(piece);
            memcpy(piece, in.ptr, n);
            r = select_feed(s, str_make(piece, n));
            free(piece);
            in = str_from_offset(in, n);
        }
        if (r >= 0)
            r = select_end(s);
        select_free(s);
    }
    if (r < 0)
        buf_put_cstr(&out, err_info(r)->s3_code);
    return out;
}

static void expect(struct select_config *c, const char *in, const char *out)
{
    static const size_t steps[] = {SIZE_MAX, 1, 3};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct buf b = run(c, str_from(in), steps[i]);
        if (!str_eq(buf_str(&b), str_from(out)))
            fail_msg("%.*s\nof:  %s\ngave %.*s\nnot  %s", STR_FMT(c->expression), in,
                     STR_FMT(buf_str(&b)), out);
        buf_release(&b);
    }
}

struct sql_case {
    const char *sql, *out;
};

/* ---- expressions ---------------------------------------------------------------------------- */

/* One record: 1,2.5,abc,,Zoë,2017-03-04T05:06:07Z */
#define RECORD "1,2.5,abc,,Zoë,2017-03-04T05:06:07Z\n"

static void expressions_are_evaluated(void **state)
{
    static const struct sql_case cases[] = {
        {"1 + 2 * 3 - 4", "3"},
        {"(1 + 2) * 3", "9"},
        {"10 - 2 - 3", "5"},
        {"100 / 5 / 2", "10"},
        {"7 / 2", "3"},
        {"7.0 / 2", "3.5"},
        {"7 % 4", "3"},
        {"-7 + 2", "-5"},
        {"- -3", "3"},
        {"2 - -3", "5"},
        {"0.1 + 0.2", "0.30000000000000004"},
        {"0.5 + 0.25", "0.75"},
        {"1e3", "1000"},
        {"1.5E-3", "0.0015"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775807 + 1", "IntegerOverflow"},
        {"99999999999999999999", "1e+20"},
        {"1 / 0", "EvaluatorInvalidArguments"},
        {"1 % 0", "EvaluatorInvalidArguments"},
        {"_1 + _2", "3.5"},
        {"_3 + 1", "CastFailed"},
        {"_9 + 1", ""},
        {"_3 || '-' || _1", "abc-1"},
        {"_3 || NULL", ""},
        {"'it''s'", "it's"},
        {"\"_3\"", "abc"},
        {"s._3", "abc"},
        {"S._3", "abc"},
        {"CASE WHEN _1 = 1 THEN 'one' ELSE 'more' END", "one"},
        {"CASE _1 WHEN 2 THEN 'two' WHEN 1 THEN 'one' END", "one"},
        {"CASE WHEN _1 > 1 THEN 'x' END", ""},
        {"CAST(_1 AS INT) * 2", "2"},
        {"CAST(_2 AS INT)", "2"},
        {"CAST('-3.9' AS INTEGER)", "-3"},
        {"CAST(_2 AS DECIMAL(10, 2))", "2.5"},
        {"CAST(_1 AS BOOL)", "true"},
        {"CAST('FALSE' AS BOOL)", "false"},
        {"CAST(_3 AS INT)", "CastFailed"},
        {"CAST(_3 AS BOOL)", "CastFailed"},
        {"CAST('1e30' AS INT)", "CastFailed"},
        {"CAST(NULL AS INT)", ""},
        {"CAST(12 AS STRING) || 'x'", "12x"},
        {"CAST(_6 AS TIMESTAMP)", "2017-03-04T05:06:07Z"},
        {"CHAR_LENGTH(_5)", "3"},
        {"CHARACTER_LENGTH('')", "0"},
        {"UPPER(_5)", "ZOË"},
        {"LOWER('ÀÉzÖß')", "àézöß"},
        {"SUBSTRING('123456789', 0)", "123456789"},
        {"SUBSTRING('123456789', 2, 3)", "234"},
        {"SUBSTRING('123456789', -1, 4)", "12"},
        {"SUBSTRING('123456789' FROM 8 FOR 9)", "89"},
        {"SUBSTRING('123', 9, 1)", ""},
        {"SUBSTRING('123', 1, -1)", "EvaluatorInvalidArguments"},
        {"SUBSTRING(_5, 3, 1)", "ë"},
        {"SUBSTRING('1', 9223372036854775807, 9223372036854775807)", ""},
        {"TRIM('  a b ')", "a b"},
        {"TRIM(LEADING FROM '  a ')", "a "},
        {"TRIM(TRAILING FROM '  a ')", "  a"},
        {"TRIM(BOTH 'ë1' FROM '1ëaë1')", "a"},
        {"TRIM('x' FROM 'xax')", "a"},
        {"COALESCE(NULL, _9, 'x', 'y')", "x"},
        {"COALESCE(NULL)", ""},
        {"NULLIF(_1, 1)", ""},
        {"NULLIF(_1, 2)", "1"},
        {"TO_TIMESTAMP('2007T')", "2007T"},
        {"TO_TIMESTAMP('2007-02-23T12:14:33.079-08:00')", "2007-02-23T12:14:33.079-08:00"},
        {"TO_TIMESTAMP('2007-02-30T')", "ValueParseFailure"},
        {"UTCNOW()", "2023-11-14T22:13:20.123Z"},
        {"DATE_ADD(year, 5, `2010-01-01T`)", "2015-01-01T"},
        {"DATE_ADD(month, 1, `2010T`)", "2010-02T"},
        {"DATE_ADD(month, 13, `2010T`)", "2011-02T"},
        {"DATE_ADD(month, 1, `2010-01-31T`)", "2010-02-28T"},
        {"DATE_ADD(day, -1, `2017-01-10T`)", "2017-01-09T"},
        {"DATE_ADD(hour, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T04:04:05.006Z"},
        {"DATE_ADD(minute, 1, `2017-01-02T23:59:05Z`)", "2017-01-03T00:00:05Z"},
        {"DATE_ADD(second, 1, `0001-01-01T`)", "0001-01-01T00:00:01Z"},
        {"DATE_ADD(second, -1, `0001-01-01T`)", "EvaluatorInvalidArguments"},
        {"DATE_ADD(year, 8000, `2010T`)", "EvaluatorInvalidArguments"},
        {"DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)", "1"},
        {"DATE_DIFF(year, `2010T`, `2010-05T`)", "0"},
        {"DATE_DIFF(month, `2010T`, `2011T`)", "12"},
        {"DATE_DIFF(month, `2011T`, `2010T`)", "-12"},
        {"DATE_DIFF(day, `2010-01-01T23:00:00Z`, `2010-01-02T01:00:00Z`)", "0"},
        {"DATE_DIFF(hour, `2010-01-01T23:00:00Z`, `2010-01-02T01:00:00Z`)", "2"},
        {"EXTRACT(YEAR FROM `2010-01-01T`)", "2010"},
        {"EXTRACT(MONTH FROM TO_TIMESTAMP(_6))", "3"},
        {"EXTRACT(HOUR FROM `2017-01-02T03:04:05+07:08`)", "3"},
        {"EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05+07:08`)", "7"},
        {"EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05-07:08`)", "-8"},
        {"TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", "\"July 20, 1969\""},
        {"TO_STRING(`1969-07-20T20:18Z`, 'MMM d yyyy')", "Jul 20 1969"},
        {"TO_STRING(`1969-07-20T20:18Z`, 'M-d-yy')", "7-20-69"},
        {"TO_STRING(`1969-07-20T20:18Z`, 'MM-d-y')", "07-20-1969"},
        {"TO_STRING(`1969-07-20T20:18:01Z`, 'h:m:s a')", "8:18:1 PM"},
        {"TO_STRING(`1969-07-20T20:18Z`, 'y-MM-dd''T''H:m:ssX')", "1969-07-20T20:18:00Z"},
        {"TO_STRING(`1969-07-20T20:18:00.5+08:30`, 'HH.SSS n XXXXX xx')",
         "20.500 500000000 +08:30 +0830"},
        {"TO_STRING(`1969T`, 'b')", "EvaluatorInvalidTimestampFormatPattern"},
        {"TO_STRING(`1969T`, '''b')", "EvaluatorUnterminatedTimestampFormatPatternToken"},
    };
    char sql[256], out[128];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool error = cases[i].out[0] >= 'A' && cases[i].out[0] <= 'Z' && strlen(cases[i].out) > 9 &&
                     !strchr(cases[i].out, ' ');
        snprintf(sql, sizeof(sql), "SELECT %s FROM S3Object s", cases[i].sql);
        snprintf(out, sizeof(out), error ? "%s" : "%s\n", cases[i].out);
        struct select_config c = config_of(sql, false, false);
        expect(&c, RECORD, out);
    }
}

static void conditions_are_evaluated(void **state)
{
    /* 1: true, 0: false, -: unknown */
    static const struct sql_case cases[] = {
        {"_1 = 1", "1"},
        {"_1 = '1'", "1"},
        {"_1 = 1.0", "1"},
        {"_3 = 1", "-"},
        {"_3 <> 1", "-"},
        {"_3 = 'abc'", "1"},
        {"_3 = 'ABC'", "0"},
        {"_3 < 'abd'", "1"},
        {"'10' < '9'", "1"},
        {"10 < '9'", "0"},
        {"_2 > 2 AND _2 < 3", "1"},
        {"_2 >= 2.5 AND _2 <= 2.5", "1"},
        {"_1 != 1 OR _3 == 'abc'", "1"},
        {"NOT _1 = 1", "0"},
        {"NOT NOT _1 = 1", "1"},
        {"NULL = NULL", "-"},
        {"NULL AND FALSE", "0"},
        {"NULL AND TRUE", "-"},
        {"NULL OR TRUE", "1"},
        {"NOT NULL", "-"},
        {"_9 IS MISSING", "1"},
        {"_9 IS NULL", "1"},
        {"_4 IS NULL", "0"},
        {"_4 = ''", "1"},
        {"_4 IS NOT MISSING", "1"},
        {"NULL IS MISSING", "0"},
        {"(_1 = 1) IS TRUE", "1"},
        {"(NULL) IS NOT FALSE", "1"},
        {"_1 BETWEEN 0 AND 1", "1"},
        {"_1 NOT BETWEEN 0 AND 1", "0"},
        {"_1 BETWEEN 2 AND NULL", "-"},
        {"_3 IN ('x', 'abc')", "1"},
        {"_3 NOT IN ('x', 'y')", "1"},
        {"_1 IN (3, 2, 1)", "1"},
        {"_1 IN (3, NULL)", "-"},
        {"_3 LIKE 'a%'", "1"},
        {"_3 LIKE '%c'", "1"},
        {"_3 LIKE 'a_c'", "1"},
        {"_3 LIKE 'a_'", "0"},
        {"_3 LIKE '%%%'", "1"},
        {"_3 LIKE ''", "0"},
        {"_3 NOT LIKE 'b%'", "1"},
        {"_5 LIKE 'Zo_'", "1"},
        {"'aaab' LIKE '%ab'", "1"},
        {"'mississippi' LIKE 'm%iss%pi'", "1"},
        {"'50%' LIKE '%!%' ESCAPE '!'", "1"},
        {"'50' LIKE '%!%' ESCAPE '!'", "0"},
        {"'a_b' LIKE 'a\\_b' ESCAPE '\\'", "1"},
        {"'axb' LIKE 'a\\_b' ESCAPE '\\'", "0"},
        {"_9 LIKE 'a'", "-"},
        {"TRIM(_3) = 'abc' = true", "1"},
        {"1 = 1 AND 2 = 2 OR 3 = 4 AND 5 = 6", "1"},
        {"TO_TIMESTAMP(_6) > `2017T`", "1"},
        {"`2017-01-01T00:00:00+01:00` < `2017-01-01T00:00:00Z`", "1"},
    };
    char sql[256];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(sql, sizeof(sql),
                 "SELECT CASE WHEN %s THEN 1 WHEN NOT (%s) THEN 0 ELSE '-' END FROM S3Object",
                 cases[i].sql, cases[i].sql);
        struct select_config c = config_of(sql, false, false);
        char out[4] = {cases[i].out[0], '\n', 0};
        expect(&c, RECORD, out);
    }
}

static void what_is_wrong_has_aws_code(void **state)
{
    static const struct sql_case cases[] = {
        {"", "ParseUnsupportedSelect"},
        {"DELETE FROM S3Object", "ParseUnsupportedSelect"},
        {"SELECT FROM S3Object", "ParseEmptySelect"},
        {"SELECT", "ParseEmptySelect"},
        {"SELECT *", "ParseSelectMissingFrom"},
        {"SELECT * x", "ParseUnexpectedToken"},
        {"SELECT *, _1 FROM S3Object", "ParseAsteriskIsNotAloneInSelectList"},
        {"SELECT _1, * FROM S3Object", "ParseAsteriskIsNotAloneInSelectList"},
        {"SELECT * FROM mytable", "InvalidDataSource"},
        {"SELECT * FROM S3Object WHERE", "ParseExpectedExpression"},
        {"SELECT * FROM S3Object WHERE FROM", "ParseUnexpectedKeyword"},
        {"SELECT * FROM S3Object LIMIT x", "ParseExpectedNumber"},
        {"SELECT * FROM S3Object LIMIT 1.5", "ParseExpectedNumber"},
        {"SELECT * FROM S3Object LIMIT -1", "EvaluatorNegativeLimit"},
        {"SELECT * FROM S3Object GROUP BY _1", "UnsupportedSqlStructure"},
        {"SELECT * FROM S3Object s ORDER BY _1", "UnsupportedSqlStructure"},
        {"SELECT DISTINCT _1 FROM S3Object", "UnsupportedSqlStructure"},
        {"SELECT * FROM S3Object a, S3Object b", "UnsupportedSqlStructure"},
        {"SELECT * FROM S3Object s s", "ParseUnexpectedToken"},
        {"SELECT * FROM S3Object s 1", "ParseUnexpectedTerm"},
        {"SELECT * FROM S3Object s )", "ParseUnexpectedOperator"},
        {"SELECT * FROM S3Object AS WHERE", "ParseExpectedIdentForAlias"},
        {"SELECT _1 AS FROM S3Object", "ParseExpectedIdentForAlias"},
        {"SELECT 'x FROM S3Object", "LexerInvalidLiteral"},
        {"SELECT 12x FROM S3Object", "LexerInvalidLiteral"},
        {"SELECT 1e FROM S3Object", "LexerInvalidLiteral"},
        {"SELECT `x` FROM S3Object", "LexerInvalidIONLiteral"},
        {"SELECT ? FROM S3Object", "LexerInvalidChar"},
        {"SELECT 1 ! 2 FROM S3Object", "LexerInvalidOperator"},
        {"SELECT \xff FROM S3Object", "LexerInvalidChar"},
        {"SELECT foo(1) FROM S3Object", "UnsupportedFunction"},
        {"SELECT SUM(*) FROM S3Object", "ParseUnsupportedCallWithStar"},
        {"SELECT SUM() FROM S3Object", "ParseNonUnaryAgregateFunctionCall"},
        {"SELECT SUM(_1, _2) FROM S3Object", "ParseNonUnaryAgregateFunctionCall"},
        {"SELECT SUM(MAX(_1)) FROM S3Object", "UnsupportedSqlOperation"},
        {"SELECT _1 FROM S3Object WHERE COUNT(*) > 1", "UnsupportedSqlOperation"},
        {"SELECT _1, COUNT(*) FROM S3Object", "UnsupportedSqlStructure"},
        {"SELECT CAST _1 AS INT FROM S3Object", "ParseExpectedLeftParenAfterCast"},
        {"SELECT CAST(_1 INT) FROM S3Object", "ParseExpectedKeyword"},
        {"SELECT CAST(_1, 2 AS INT) FROM S3Object", "ParseCastArity"},
        {"SELECT CAST(_1 AS thing) FROM S3Object", "ParseExpectedTypeName"},
        {"SELECT CAST(_1 AS DECIMAL(x)) FROM S3Object", "ParseInvalidTypeParam"},
        {"SELECT LOWER(_1 FROM S3Object", "ParseExpectedRightParenBuiltinFunctionCall"},
        {"SELECT LOWER() FROM S3Object", "IllegalSqlFunctionArgument"},
        {"SELECT NULLIF(1, 2, 3) FROM S3Object", "IllegalSqlFunctionArgument"},
        {"SELECT _1 IN 1 FROM S3Object", "ParseExpectedLeftParenValueConstructor"},
        {"SELECT EXTRACT(eon FROM _1) FROM S3Object", "ParseExpectedDatePart"},
        {"SELECT DATE_ADD(timezone_hour, 1, _1) FROM S3Object", "ParseExpectedDatePart"},
        {"SELECT CASE END FROM S3Object", "ParseUnexpectedKeyword"},
        {"SELECT CASE 1 END FROM S3Object", "ParseExpectedWhenClause"},
        {"SELECT _1[*] FROM S3Object", "ParseInvalidContextForWildcardInSelectList"},
        {"SELECT s.1 FROM S3Object s", "ParseUnexpectedToken"},
        {"SELECT s. FROM S3Object s", "ParseUnexpectedToken"},
        {"SELECT s[x] FROM S3Object s", "ParseInvalidPathComponent"},
        {"SELECT x.* FROM S3Object s", "EvaluatorBindingDoesNotExist"},
        {"SELECT x._1 FROM S3Object s", "EvaluatorBindingDoesNotExist"},
        {"SELECT s FROM S3Object s", "EvaluatorBindingDoesNotExist"},
        {"SELECT name FROM S3Object s", "InvalidColumnIndex"},
        {"SELECT _0 FROM S3Object s", "InvalidColumnIndex"},
        {"SELECT _99999 FROM S3Object s", "InvalidColumnIndex"},
        {"SELECT * FROM S3Object[*].path", "ParseInvalidPathComponent"},
        {"SELECT _1 LIKE 'a!b' ESCAPE '!' FROM S3Object",
         "EvaluatorLikePatternInvalidEscapeSequence"},
        {"SELECT _1 LIKE 'a' ESCAPE 'ab' FROM S3Object",
         "EvaluatorLikePatternInvalidEscapeSequence"},
        {"SELECT _1 LIKE 1 FROM S3Object", "LikeInvalidInputs"},
        {"SELECT 1 FROM S3Object WHERE _1", "EvaluatorInvalidArguments"},
        {"SELECT 1 FROM S3Object WHERE _1 + 1", "EvaluatorInvalidArguments"},
        {"SELECT 1 FROM S3Object WHERE _1 AND TRUE", "EvaluatorInvalidArguments"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct select_config c = config_of(cases[i].sql, false, false);
        expect(&c, RECORD, cases[i].out);
    }
}

static void nesting_has_a_limit_and_rows_of_operators_have_not(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    buf_put_cstr(&b, "SELECT 0");
    for (unsigned i = 0; i < 5000; i++)
        buf_put_cstr(&b, " + 1");
    buf_put_cstr(&b, " FROM S3Object WHERE _1 = 'x'");
    for (unsigned i = 0; i < 3000; i++)
        buf_put_cstr(&b, " OR _1 = 1 AND _2 = 2.5");
    struct select_config c = config_of(b.data, false, false);
    expect(&c, RECORD, "5000\n");

    static const char *const openers[] = {"(", "- ", "NOT ", "LOWER(", "CASE WHEN ", "1 IN ("};
    for (size_t i = 0; i < ARRAY_LEN(openers); i++) {
        buf_reset(&b);
        buf_put_cstr(&b, "SELECT ");
        for (unsigned n = 0; n < 20000; n++)
            buf_put_cstr(&b, openers[i]);
        c = config_of(b.data, false, false);
        expect(&c, RECORD, "ParseUnsupportedSyntax");
    }
    buf_reset(&b);
    buf_put_cstr(&b, "SELECT ");
    while (b.len <= SELECT_EXPRESSION_MAX)
        buf_put_cstr(&b, "1, ");
    c = config_of(b.data, false, false);
    expect(&c, RECORD, "ExpressionTooLong");
    buf_release(&b);
}

/* ---- queries -------------------------------------------------------------------------------- */

#define PEOPLE "name,Age,city\nAnn,31,Oslo\nBob,27,Rome\n\"Cid, Jr\",45,Oslo\n"

static void queries_of_csv(void **state)
{
    static const struct sql_case cases[] = {
        {"SELECT * FROM S3Object", "Ann,31,Oslo\nBob,27,Rome\n\"Cid, Jr\",45,Oslo\n"},
        {"select s.* from s3object as s limit 1;", "Ann,31,Oslo\n"},
        {"SELECT name FROM S3Object WHERE age > 30", "Ann\n\"Cid, Jr\"\n"},
        {"SELECT \"name\", \"Age\" FROM S3Object[*] WHERE city = 'Rome'", "Bob,27\n"},
        {"SELECT \"age\" FROM S3Object", "MissingHeaders"},
        {"SELECT nothing FROM S3Object", "MissingHeaders"},
        {"SELECT _2, S3Object.name FROM S3Object LIMIT 2", "31,Ann\n27,Bob\n"},
        {"SELECT COUNT(*) FROM S3Object", "3\n"},
        {"SELECT COUNT(*), SUM(age), AVG(age), MIN(age), MAX(age) FROM S3Object",
         "3,103,34.333333333333336,27,45\n"},
        {"SELECT MAX(age) - MIN(age) + 1 FROM S3Object WHERE city = 'Oslo'", "15\n"},
        {"SELECT SUM(age) FROM S3Object WHERE city = 'Bonn'", "\n"},
        {"SELECT COUNT(_4) FROM S3Object", "0\n"},
        {"SELECT SUM(name) FROM S3Object", "CastFailed"},
        {"SELECT COUNT(*) FROM S3Object LIMIT 2", "3\n"},
        {"SELECT COUNT(*) FROM S3Object LIMIT 0", ""},
        {"SELECT * FROM S3Object LIMIT 0", ""},
        {"SELECT MIN(CAST(name || '' AS STRING)) FROM S3Object", "CastFailed"},
        {"SELECT MAX(TO_TIMESTAMP('2007T')) FROM S3Object", "2007T\n"},
        {"SELECT -- a comment\n 1 FROM S3Object LIMIT 1", "1\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct select_config c = config_of(cases[i].sql, false, false);
        c.header = SELECT_HEADER_USE;
        expect(&c, PEOPLE, cases[i].out);
    }
}

static void csv_becomes_json(void **state)
{
    struct select_config c = config_of("SELECT * FROM S3Object", false, true);
    expect(&c, "a,\"q\"\"\tz\",\n", "{\"_1\":\"a\",\"_2\":\"q\\\"\\u0009z\",\"_3\":\"\"}\n");
    c.header = SELECT_HEADER_USE;
    expect(&c, "x,y\n1,2,3\n4\n", "{\"x\":\"1\",\"y\":\"2\",\"_3\":\"3\"}\n{\"x\":\"4\"}\n");
    c = config_of("SELECT _1 AS a, _1 + 1, _9, NULL n, TRUE t, `2010T` FROM S3Object", false, true);
    expect(&c, "1\n", "{\"a\":\"1\",\"_2\":2,\"n\":null,\"t\":true,\"_6\":\"2010T\"}\n");
}

static void csv_is_read_as_described(void **state)
{
    struct select_config c = config_of("SELECT _1, _2 FROM S3Object", false, false);
    c.output.field = STR("|");
    expect(&c, "a,b\r\nc,d\r\n", "a|b\nc|d\n");
    expect(&c, "a,b\n\n\n#x,y\nc,d", "a|b\nc|d\n");
    expect(&c,
           "\xEF\xBB\xBF"
           "a,b\n",
           "a|b\n");
    expect(&c, "a\n,\n", "a|\n|\n");
    expect(&c, "\"a\"\"b\",\"\"\n", "\"a\"\"b\"|\n");
    expect(&c, "a\"b\"c,d\n", "\"a\"\"b\"\"c\"|d\n");
    expect(&c, "\"a\nb\",c\n", "CSVParsingError");
    expect(&c, "\"a\"x,c\n", "CSVParsingError");
    expect(&c, "a,\"b", "CSVParsingError");
    expect(&c, "a,b\n\xff,c\n", "InvalidTextEncoding");
    c.csv.quoted_records = true;
    expect(&c, "\"a\nb\",c\nd,e\n", "\"a\nb\"|c\nd|e\n");
    expect(&c, "\"a\"\"\n\"\"\",c\nd,e\n", "\"a\"\"\n\"\"\"|c\nd|e\n");
    c.csv.escape = '\\';
    expect(&c, "\"a\\\"\nb\",c\nd,e\n", "\"a\"\"\nb\"|c\nd|e\n");
    expect(&c, "\"a\\x\\\\\\,\",c\\d\n", "ax\\,|c\\d\n");
    c = config_of("SELECT _1, _2 FROM S3Object", false, false);
    c.csv.field = STR("╦");
    expect(&c, "a╦\"b\"\n╦╥╦c\n", "a,b\n,╥\n");
    expect(&c, "\"d\"╥\n", "CSVParsingError");
    c.csv.quoted_records = true;
    expect(&c, "\"a\n╦\"╦b\nx╥y╦\"c\n\"\n", "\"a\n╦\",b\nx╥y,\"c\n\"\n");
    c.csv.quoted_records = false;
    c.csv.field = STR("\t");
    c.csv.record_len = 2;
    memcpy(c.csv.record, "|\r", 2);
    c.csv.crlf = false;
    expect(&c, "a\tb|\rc|\td|\r|\re\tf|", "a,b\nc|,d\ne,f|\n");
    c.csv.has_quote = false;
    expect(&c, "\"a\t\"|\r", "\"\"\"a\",\"\"\"\"\n");
    c.output.always = true;
    c.output.quote = '\'';
    c.output.escape = '\\';
    c.output.record = STR(";");
    expect(&c, "a'\tb|\r", "'a\\'','b';");
    c = config_of("SELECT * FROM S3Object", false, false);
    c.header = SELECT_HEADER_IGNORE;
    expect(&c, "x,y\n1,2\n", "1,2\n");
    expect(&c, "", "");
    c = config_of("SELECT a FROM S3Object", false, false);
    c.header = SELECT_HEADER_USE;
    expect(&c, "a,A,b\n1,2,3\n", "AmbiguousFieldName");
    expect(&c, "", "");
    c = config_of("SELECT \"A\" FROM S3Object", false, false);
    c.header = SELECT_HEADER_USE;
    expect(&c, "a,A,b\n1,2,3\n", "2\n");
}

#define DOCUMENT                                                                              \
    "{\"Rules\": [{\"id\": \"1\"}, {\"expr\": \"y > x\"}, {\"id\": \"2\", \"expr\": null}], " \
    "\"n\": 1.10}\n{\"created\": \"June 27\", \"Rules\": []}"

static void queries_of_json(void **state)
{
    static const struct sql_case cases[] = {
        {"SELECT id FROM S3Object[*].Rules[*].id", "{\"id\":\"1\"}\n{}\n{\"id\":\"2\"}\n"},
        {"SELECT id FROM S3Object[*].Rules[*].id WHERE id IS NOT MISSING",
         "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"},
        {"SELECT r.id, r.expr FROM S3Object[*].rules[*] r",
         "{\"id\":\"1\"}\n{\"expr\":\"y > x\"}\n{\"id\":\"2\",\"expr\":null}\n"},
        {"SELECT * FROM S3Object[*].Rules[1]", "{\"expr\":\"y > x\"}\n{}\n"},
        {"SELECT s.Rules[2].id x, s.n FROM S3Object s", "{\"x\":\"2\",\"n\":1.10}\n{}\n"},
        {"SELECT s.n * 2 d FROM S3Object s WHERE s.n IS NOT NULL", "{\"d\":2.2}\n"},
        {"SELECT s['created'] FROM S3Object[*] AS s LIMIT 1", "{}\n"},
        {"SELECT created FROM S3Object WHERE created LIKE 'June%'", "{\"created\":\"June 27\"}\n"},
        {"SELECT \"Created\" FROM S3Object WHERE created = 'June 27'", "{}\n"},
        {"SELECT * FROM S3Object WHERE created IS NOT MISSING",
         "{\"created\":\"June 27\",\"Rules\":[]}\n"},
        {"SELECT s FROM S3Object s WHERE s.n = 1.1",
         "{\"s\":{\"Rules\":[{\"id\":\"1\"},{\"expr\":\"y > "
         "x\"},{\"id\":\"2\",\"expr\":null}],\"n\":1.10}}\n"},
        {"SELECT COUNT(*) FROM S3Object[*].Rules[*]", "{\"_1\":3}\n"},
        {"SELECT COUNT(*) c FROM S3Object[*].n[*]", "{\"c\":1}\n"},
        {"SELECT COUNT(*) c FROM S3Object[*].n.x", "{\"c\":2}\n"},
        {"SELECT * FROM S3Object[*].n", "{\"_1\":1.10}\n{}\n"},
        {"SELECT * FROM S3Object[*].Rules[*].\"ID\"", "{}\n{}\n{}\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct select_config c = config_of(cases[i].sql, true, true);
        expect(&c, DOCUMENT, cases[i].out);
    }
}

static void json_becomes_csv(void **state)
{
    struct select_config c = config_of("SELECT * FROM S3Object", true, false);
    expect(&c, "{\"a\":\"x,\\u00eb\\ud83d\\ude00\\ud800\",\"b\":[1, 2],\"c\":null,\"d\":-1.50e1}",
           "\"x,ë😀\xEF\xBF\xBD\",\"[1,2]\",,-1.50e1\n");
    expect(&c, "1 true \"s\"", "1\ntrue\ns\n");
    c = config_of("SELECT \"a b\", d.e FROM S3Object", true, false);
    expect(&c, "{\"a\\u0020b\":1,\"d\":{\"e\":[]}}\n{}", "1,[]\n,\n");
}

static void json_that_is_none(void **state)
{
    static const char *const texts[] = {
        "{",     "}",        "[1,]",      "{\"a\"}", "{\"a\":}",    "{\"a\":1,}", "{a:1}",
        "[1 2]", "01",       "1.",        "1e",      "-",           "+1",         "tru",
        "truex", "nul",      "\"a",       "\"\\x\"", "\"\\u12g4\"", "\"\n\"",     "[}",
        "{]",    "{\"a\":1", "{\"a\" 1}", "{,}",     "[,1]",        "'a'",        "\x01",
    };
    struct select_config c = config_of("SELECT COUNT(*) FROM S3Object", true, false);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect(&c, texts[i], "JSONParsingError");
    expect(&c, " [1, {\"a\": [], \"b\": {}}, -0.5e-7, \"\\\"\\u0041\"] \n", "1\n");
    char deep[SELECT_JSON_DEPTH_MAX + 2];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = 0;
    expect(&c, deep, "JSONParsingError");
}

/* ---- limits --------------------------------------------------------------------------------- */

static void expect_long(struct select_config *c, char fill, size_t len, const char *around,
                        const char *out)
{
    struct buf b;
    buf_init(&b, 0);
    buf_put_char(&b, around[0]);
    memset(buf_reserve(&b, len), fill, len);
    b.len += len;
    buf_put_char(&b, around[1]);
    for (size_t step = 60000; step; step = step == 60000 ? SIZE_MAX : 0) {
        struct buf got = run(c, buf_str(&b), step);
        assert_string_equal(got.data, out);
        buf_release(&got);
    }
    buf_release(&b);
}

static void a_record_has_a_limit(void **state)
{
    struct select_config c = config_of("SELECT CHAR_LENGTH(_1) FROM S3Object", false, false);
    expect_long(&c, 'x', SELECT_RECORD_MAX - 2, "a\n", "1048575\n");
    expect_long(&c, 'x', SELECT_RECORD_MAX, "a\n", "OverMaxRecordSize");
    c = config_of("SELECT _1, _1 FROM S3Object", false, false);
    expect_long(&c, 'x', SELECT_RECORD_MAX - 2, "a\n", "OverMaxRecordSize");
    c = config_of("SELECT COUNT(*) FROM S3Object", false, false);
    expect_long(&c, ',', 100000, "a\n", "1\n");
    c = config_of("SELECT * FROM S3Object", false, false);
    expect_long(&c, ',', SELECT_COLUMNS_MAX, "a\n", "OverMaxColumn");
    c = config_of("SELECT COUNT(*) FROM S3Object s WHERE s = 'x'", true, false);
    expect_long(&c, 'x', SELECT_RECORD_MAX, "\"\"", "OverMaxRecordSize");
    /* What is not on the path has none. */
    c = config_of("SELECT COUNT(*) FROM S3Object[*].x", true, false);
    expect_long(&c, ' ', 3 * SELECT_RECORD_MAX, "{}", "1\n");
}

static int count_pause(void *arg)
{
    struct buf *b = arg;
    b->limit_bytes--; /* a counter at hand */
    return 0;
}

static int stop(void *arg)
{
    return -ECANCELED;
}

/* The worst pattern on the longest record lets others run again and again, and can be stopped. */
static void long_work_pauses(void **state)
{
    struct select_config c = config_of("SELECT COUNT(*) FROM S3Object WHERE _1 LIKE "
                                       "'%xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy'",
                                       false, false);
    struct buf line;
    struct select_fault fault;
    struct select *s;
    struct buf out;
    buf_init(&line, 0);
    buf_init(&out, 0);
    memset(buf_reserve(&line, 100000), 'x', 100000);
    line.len = 100000;
    buf_put_char(&line, '\n');
    c.emit = keep;
    c.pause = count_pause;
    c.arg = &out;
    assert_int_equal(select_new(&s, &c, &fault), 0);
    assert_int_equal(select_feed(s, buf_str(&line)), 0);
    assert_true(BUF_LIMIT_DEFAULT - out.limit_bytes > 30); /* 100,000 times 49 steps */
    select_free(s);
    c.pause = stop;
    assert_int_equal(select_new(&s, &c, &fault), 0);
    assert_int_equal(select_feed(s, buf_str(&line)), -ECANCELED);
    select_free(s);
    buf_release(&line);
    buf_release(&out);
}

/* Functions and lists that look at a long text again and again. */
static void long_texts_pause_however_they_are_looked_at(void **state)
{
    static const char *const items[] = {"SUBSTRING(_1, 99999, 1)",
                                        "CASE WHEN _1 LIKE _1 THEN 1 END", "_1 = _1",
                                        "_1 IN (1, 2, 3)", "CASE _1 WHEN 1 THEN 2 END"};
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        struct buf sql, line, out;
        buf_init(&sql, 0);
        buf_init(&line, 0);
        buf_init(&out, 0);
        buf_printf(&sql, "SELECT 1");
        for (unsigned j = 0; j < 50; j++)
            buf_printf(&sql, ", %s", items[i]);
        buf_printf(&sql, " FROM S3Object");
        memset(buf_reserve(&line, 100000), ' ', 100000);
        line.len = 100000;
        buf_put_char(&line, '\n');
        struct select_config c = config_of("", false, false);
        struct select_fault fault;
        struct select *s;
        c.expression = buf_str(&sql);
        c.emit = keep;
        c.pause = count_pause;
        c.arg = &out;
        assert_int_equal(select_new(&s, &c, &fault), 0);
        assert_int_equal(select_feed(s, buf_str(&line)), 0);
        assert_true(BUF_LIMIT_DEFAULT - out.limit_bytes > 20); /* 5 MB, looked at in twos */
        select_free(s);
        buf_release(&sql);
        buf_release(&line);
        buf_release(&out);
    }
}

/* ---- scan ranges ---------------------------------------------------------------------------- */

/* However an object is cut in two ranges, each record is in one of them. */
static void ranges_share_the_records(void **state)
{
    static const char lines[] = "aa,1\nb,2\n\nccc,3\nd,4\n";
    size_t len = sizeof(lines) - 1;
    for (size_t cut = 1; cut < len; cut++) {
        struct select_config c = config_of("SELECT _2 FROM S3Object", false, false);
        c.most = cut;
        struct buf one = run(&c, str_make(lines, len), 2);
        c = config_of("SELECT _2 FROM S3Object", false, false);
        c.drop_first = true;
        c.most = len - cut + 1; /* it is fed from the byte before */
        struct buf two = run(&c, str_make(lines + cut - 1, len - cut + 1), 2);
        buf_put_str(&one, buf_str(&two));
        assert_string_equal(one.data, "1\n2\n3\n4\n");
        buf_release(&one);
        buf_release(&two);
    }
}

static void ranges_of_json_lines(void **state)
{
    static const char lines[] = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    size_t len = sizeof(lines) - 1;
    for (size_t cut = 1; cut < len; cut++) {
        struct select_config c = config_of("SELECT a FROM S3Object", true, false);
        c.most = cut;
        struct buf one = run(&c, str_make(lines, len), 2);
        c = config_of("SELECT a FROM S3Object", true, false);
        c.drop_first = true;
        c.most = len - cut + 1;
        struct buf two = run(&c, str_make(lines + cut - 1, len - cut + 1), 2);
        buf_put_str(&one, buf_str(&two));
        assert_string_equal(one.data, "1\n2\n3\n");
        buf_release(&one);
        buf_release(&two);
    }
}

static void a_range_behind_the_header_has_its_names(void **state)
{
    struct select_config c = config_of("SELECT b FROM S3Object", false, false);
    struct select_fault fault;
    struct select *s;
    struct buf out;
    buf_init(&out, 0);
    c.header = SELECT_HEADER_USE;
    c.drop_first = true;
    c.emit = keep;
    c.arg = &out;
    assert_int_equal(select_new(&s, &c, &fault), 0);
    assert_true(select_wants_header(s));
    assert_int_equal(select_header(s, STR("a,")), 0);
    assert_int_equal(select_header(s, STR("b\nc")), 1);
    assert_false(select_wants_header(s));
    assert_int_equal(select_feed(s, STR("st\n1,2\n3,4\n")), 0);
    assert_int_equal(select_end(s), 0);
    assert_string_equal(out.data, "2\n4\n");
    select_free(s);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_are_evaluated),
        cmocka_unit_test(conditions_are_evaluated),
        cmocka_unit_test(what_is_wrong_has_aws_code),
        cmocka_unit_test(nesting_has_a_limit_and_rows_of_operators_have_not),
        cmocka_unit_test(queries_of_csv),
        cmocka_unit_test(csv_becomes_json),
        cmocka_unit_test(csv_is_read_as_described),
        cmocka_unit_test(queries_of_json),
        cmocka_unit_test(json_becomes_csv),
        cmocka_unit_test(json_that_is_none),
        cmocka_unit_test(a_record_has_a_limit),
        cmocka_unit_test(long_work_pauses),
        cmocka_unit_test(long_texts_pause_however_they_are_looked_at),
        cmocka_unit_test(ranges_share_the_records),
        cmocka_unit_test(ranges_of_json_lines),
        cmocka_unit_test(a_range_behind_the_header_has_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
