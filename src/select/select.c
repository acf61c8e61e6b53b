/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From bytes to rows: the readers tell records, each is evaluated and what comes of it is written.
 *
 * Columns of CSV are bound once: by number when the query is read, by name when the header is.
 */

#include "select/select.h"

#include "base/error.h"
#include "select/eval.h"
#include "select/json.h"

#define QUERY_MEMORY  (12 * MIB)
#define RECORD_MEMORY (16 * MIB)
/* A row, and a last value of it each byte of which is escaped. */
#define ROWS_MEMORY (SELECT_EMIT + 8 * SELECT_RECORD_MAX)

struct select {
    struct select_config config;
    struct arena arena, scratch;
    struct select_query query;
    struct select_fault fault;
    struct select_eval eval;
    struct select_csv *csv, *head;
    struct select_json *json;
    struct str *fields; /* of the record; `want` of them and one */
    unsigned want;
    struct str *names; /* of columns, as far as there are */
    unsigned name_count, name_cap;
    bool header; /* is still to come */
    bool begun;  /* a record was seen */
    bool done;
    struct buf rows;
    struct select_output output;
    uint64_t row_count;
};

/* ---- columns -------------------------------------------------------------------------------- */

static int unbound(struct select *s, const struct select_node *n, int err)
{
    struct str name = n->path.count ? n->path.steps[0].name : STR("");
    return select_fail(&s->fault, err, "%s At line %u, column %u: %.*s", err_text(err), n->line,
                       n->column_at, STR_FMT(str_prefix(name, 60)));
}

/* _1, _2, ... */
static bool position_of(struct str name, uint32_t *ret)
{
    uint64_t n;
    if (!str_starts(name, STR("_")) || str_to_u64(str_from_offset(name, 1), &n))
        return false;
    *ret = n >= 1 && n <= SELECT_COLUMNS_MAX ? (uint32_t)n - 1 : SELECT_NO_COLUMN;
    return true;
}

/* How many columns have that name; the first of them. */
static unsigned named(const struct select *s, const struct select_step *step, uint32_t *ret)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->name_count; i++) {
        bool fits =
            step->quoted ? str_eq(s->names[i], step->name) : str_eq_nocase(s->names[i], step->name);
        if (fits && n++ == 0)
            *ret = i;
    }
    return n;
}

static int bind(struct select *s, struct select_node *n)
{
    const struct select_step *step = n->path.steps;
    if (n->path.count != 1 || step->kind != STEP_NAME)
        return unbound(s, n, -ERR_SELECT_BINDING);
    unsigned count = named(s, step, &n->column);
    if (count > 1)
        return unbound(s, n, -ERR_SELECT_AMBIGUOUS);
    if (count == 0 && !position_of(step->name, &n->column))
        return unbound(s, n,
                       s->config.header == SELECT_HEADER_USE ? -ERR_SELECT_HEADERS
                                                             : -ERR_SELECT_COLUMN_INDEX);
    return n->column == SELECT_NO_COLUMN ? unbound(s, n, -ERR_SELECT_COLUMN_INDEX) : 0;
}

static int FIBER bind_all(struct select *s)
{
    s->want = s->query.star ? SELECT_COLUMNS_MAX : 0;
    for (struct select_node *n = s->query.paths; n; n = n->next) {
        int r = select_work(&s->eval, s->name_count);
        if (!r)
            r = bind(s, n);
        if (r)
            return r;
        s->want = MAX(s->want, n->column + 1);
    }
    s->fields = arena_array(&s->arena, struct str, s->want + 1);
    return s->fields ? 0 : -ENOMEM;
}

static int add_name(struct select *s, struct str name)
{
    if (s->name_count == s->name_cap) {
        unsigned cap = s->name_cap ? s->name_cap * 2 : 64;
        struct str *names = arena_array(&s->arena, struct str, cap);
        if (!names)
            return -ENOMEM;
        if (s->name_count)
            memcpy(names, s->names, s->name_count * sizeof(*names));
        s->names = names;
        s->name_cap = cap;
    }
    s->names[s->name_count++] = name;
    return name.ptr ? 0 : -ENOMEM;
}

/* Columns without a name of their own have their number. */
static int name_columns(struct select *s, unsigned count)
{
    int r = 0;
    while (!r && s->name_count < count)
        r = add_name(s, arena_printf(&s->arena, "_%u", s->name_count + 1));
    return r;
}

static int FIBER take_header(struct select *s, struct str record)
{
    unsigned count = 0;
    struct str *fields = arena_array(&s->arena, struct str, SELECT_COLUMNS_MAX + 1);
    if (!fields)
        return -ENOMEM;
    int r =
        select_csv_split(&s->config.csv, &s->arena, record, fields, SELECT_COLUMNS_MAX + 1, &count);
    if (!r && count > SELECT_COLUMNS_MAX)
        r = -ERR_SELECT_COLUMNS;
    for (unsigned i = 0; !r && i < count; i++)
        r = add_name(s, arena_dup(&s->arena, fields[i]));
    return r ? r : bind_all(s);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int FIBER flush(struct select *s)
{
    if (s->rows.len == 0)
        return 0;
    int r = s->config.emit(buf_str(&s->rows), s->config.arg);
    buf_reset(&s->rows);
    return r;
}

static int put(struct select *s, struct str name, const struct select_value *v, size_t begun)
{
    select_output_put(&s->output, name, v);
    if (buf_error(&s->rows))
        return -ENOMEM;
    return s->rows.len - begun > SELECT_RECORD_MAX ? -ERR_SELECT_RECORD_SIZE : 0;
}

static int FIBER put_items(struct select *s, size_t begun)
{
    const struct select_query *q = &s->query;
    int r = 0;
    for (unsigned i = 0; !r && i < q->item_count; i++) {
        struct select_value v;
        r = select_project(&s->eval, q->items[i].node, &v);
        if (!r)
            r = put(s, q->items[i].name, &v, begun);
    }
    return r;
}

static int put_columns(struct select *s, size_t begun)
{
    unsigned count = s->eval.field_count;
    int r = count > SELECT_COLUMNS_MAX ? -ERR_SELECT_COLUMNS : 0;
    if (!r && s->config.output.json)
        r = name_columns(s, count);
    for (unsigned i = 0; !r && i < count; i++) {
        struct select_value v = select_of_text(s->eval.fields[i]);
        r = put(s, s->config.output.json ? s->names[i] : STR_NULL, &v, begun);
    }
    return r;
}

/* What is no object is as if it were the only member, _1. */
static int put_members(struct select *s, size_t begun)
{
    struct str rest = s->eval.record, key;
    struct select_value v = {.type = SELECT_JSON};
    int r = 0;
    if (!rest.ptr)
        return 0;
    if (rest.ptr[0] != '{') {
        v.text = rest;
        return put(s, STR("_1"), &v, begun);
    }
    while (!r && select_json_member(&rest, &key, &v.text)) {
        struct str name = s->config.output.json ? select_json_string(&s->scratch, key) : STR("");
        r = name.ptr ? put(s, name, &v, begun) : -ENOMEM;
    }
    return r;
}

static int FIBER put_row(struct select *s)
{
    size_t begun = s->rows.len;
    int r;
    select_output_begin(&s->output);
    if (!s->query.star)
        r = put_items(s, begun);
    else
        r = s->config.json ? put_members(s, begun) : put_columns(s, begun);
    if (r)
        return r;
    select_output_end(&s->output);
    if (s->rows.len - begun > SELECT_RECORD_MAX)
        return -ERR_SELECT_RECORD_SIZE;
    r = buf_error(&s->rows);
    return r || s->rows.len < SELECT_EMIT ? r : flush(s);
}

/* ---- records -------------------------------------------------------------------------------- */

static int FIBER is_wanted(struct select *s, bool *ret)
{
    int truth = 1;
    int r = s->query.where ? select_truth(&s->eval, s->query.where, &truth) : 0;
    *ret = truth == 1;
    return r;
}

static int FIBER take_record(struct select *s)
{
    bool wanted;
    int r = is_wanted(s, &wanted);
    if (r || !wanted)
        return r;
    if (s->query.aggregates) {
        for (struct select_node *n = s->query.aggregates; n && !r; n = n->next)
            r = select_add(&s->eval, n);
        return r;
    }
    r = put_row(s);
    if (!r && ++s->row_count == s->query.limit)
        s->done = true;
    return r ? r : s->done;
}

/* What holds for every record. */
static int FIBER begin_record(struct select *s, struct str record)
{
    arena_reset(&s->scratch);
    if (!str_is_utf8(record))
        return -ERR_SELECT_ENCODING;
    return select_work(&s->eval, record.len + 32);
}

/* A byte order mark at the start of the object is none of its bytes. */
static struct str skip_mark(struct select *s, struct str record)
{
    static const struct str mark = {"\xEF\xBB\xBF", 3};
    bool first = !s->begun;
    s->begun = true;
    return first && str_starts(record, mark) ? str_from_offset(record, 3) : record;
}

static int FIBER take_csv(struct str record, void *arg)
{
    struct select *s = arg;
    struct select_eval *e = &s->eval;
    int r = begin_record(s, record);
    record = skip_mark(s, record);
    if (r)
        return r;
    if (s->header) {
        s->header = false;
        return s->config.header == SELECT_HEADER_USE ? take_header(s, record) : 0;
    }
    e->field_count = 0;
    if (s->want)
        r = select_csv_split(&s->config.csv, &s->scratch, record, s->fields,
                             s->want + s->query.star, &e->field_count);
    e->fields = s->fields;
    return r ? r : take_record(s);
}

static int FIBER take_json(struct str record, void *arg)
{
    struct select *s = arg;
    int r = begin_record(s, record);
    s->eval.record = record;
    return r ? r : take_record(s);
}

static int FIBER take_head(struct str record, void *arg)
{
    struct select *s = arg;
    int r = begin_record(s, record);
    s->header = false;
    r = r ? r : take_header(s, skip_mark(s, record));
    return r ? r : 1;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Names come from the object's start, also where feeding begins behind it. */
static bool is_behind_header(const struct select *s)
{
    return s->config.drop_first && !s->config.json;
}

static int FIBER open_csv(struct select *s)
{
    const struct select_config *c = &s->config;
    if (s->query.from.count > 1 || (s->query.from.count && s->query.from.steps[0].kind != STEP_ALL))
        return select_fail(&s->fault, -ERR_SELECT_PATH, "CSV has no paths behind S3Object.");
    int r = select_csv_new(&s->csv, &c->csv, c->drop_first, take_csv, s);
    s->header = c->header == SELECT_HEADER_USE ||
                (c->header == SELECT_HEADER_IGNORE && !is_behind_header(s));
    if (!r && c->header == SELECT_HEADER_USE && is_behind_header(s))
        r = select_csv_new(&s->head, &c->csv, false, take_head, s);
    return r || c->header == SELECT_HEADER_USE ? r : bind_all(s);
}

static int FIBER open_reader(struct select *s)
{
    struct select_query *q = &s->query;
    s->eval.json = s->config.json;
    s->eval.sums = arena_array(&s->arena, struct select_sum, q->aggregate_count + 1);
    if (!s->eval.sums)
        return -ENOMEM;
    for (unsigned i = 0; i < q->aggregate_count; i++)
        s->eval.sums[i].value.type = SELECT_NULL;
    s->done = q->limit == 0;
    return s->config.json ? select_json_new(&s->json, &q->from, take_json, s) : open_csv(s);
}

static void init(struct select *s, const struct select_config *config)
{
    s->config = *config;
    arena_init(&s->arena, QUERY_MEMORY);
    arena_init(&s->scratch, RECORD_MEMORY);
    buf_init(&s->rows, ROWS_MEMORY);
    s->output = (struct select_output){.options = &s->config.output, .to = &s->rows};
    s->eval = (struct select_eval){.scratch = &s->scratch,
                                   .now_ms = config->now_ms,
                                   .pause = config->pause,
                                   .pause_arg = config->arg,
                                   .fault = &s->fault};
}

int FIBER select_new(struct select **ret, const struct select_config *config,
                     struct select_fault *fault)
{
    fault->message[0] = 0;
    struct select *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    init(s, config);
    int r = select_parse(&s->arena, config->expression, &s->query, &s->fault);
    if (!r)
        r = open_reader(s);
    if (r) {
        *fault = s->fault;
        select_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void select_free(struct select *s)
{
    if (!s)
        return;
    select_csv_free(s->csv);
    select_csv_free(s->head);
    select_json_free(s->json);
    buf_release(&s->rows);
    arena_release(&s->scratch);
    arena_release(&s->arena);
    free(s);
}

/* ---- the input ------------------------------------------------------------------------------ */

bool select_wants_header(const struct select *s)
{
    return s->head && s->header;
}

int FIBER select_header(struct select *s, struct str in)
{
    return select_csv_feed(s->head, in, UINT64_MAX);
}

/* The rest of a line, whose value began before. */
static bool drop_line(struct select *s, struct str *in)
{
    ptrdiff_t end = str_find_char(*in, '\n', 0);
    size_t used = end < 0 ? in->len : (size_t)end + 1;
    *in = str_from_offset(*in, used);
    s->config.most -= MIN((uint64_t)used, s->config.most);
    return end >= 0;
}

static int FIBER feed_json(struct select *s, struct str in)
{
    if (s->config.drop_first && !drop_line(s, &in))
        return 0;
    s->config.drop_first = false;
    return select_json_feed(s->json, in, s->config.most);
}

int FIBER select_feed(struct select *s, struct str in)
{
    if (s->done)
        return 1;
    int r = select_work(&s->eval, in.len);
    if (!r)
        r = s->config.json ? feed_json(s, in) : select_csv_feed(s->csv, in, s->config.most);
    s->done |= r == 1;
    return r;
}

static int FIBER end_input(struct select *s)
{
    int r = 0;
    if (!s->done)
        r = s->config.json ? select_json_end(s->json) : select_csv_end(s->csv);
    r = r == 1 ? 0 : r;
    if (!r && s->query.aggregates && s->query.limit)
        r = put_row(s);
    return r;
}

int FIBER select_end(struct select *s)
{
    int r = end_input(s);
    return r ? r : flush(s);
}

const char *select_why(const struct select *s)
{
    return s->fault.message;
}
