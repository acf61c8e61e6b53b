/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "select/output.h"

#include "select/json.h"
#include "wire/json.h"

/* ---- CSV ------------------------------------------------------------------------------------ */

static bool has_byte_of(struct str s, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (str_find_char(s, bytes.ptr[i], 0) >= 0)
            return true;
    return false;
}

static bool wants_quotes(const struct select_output_options *o, struct str s)
{
    return o->always || has_byte_of(s, o->field) || has_byte_of(s, o->record) ||
           has_byte_of(s, str_make(&o->quote, 1)) || has_byte_of(s, STR("\r\n"));
}

static void put_field(struct select_output *o, struct str s)
{
    const struct select_output_options *opt = o->options;
    if (!wants_quotes(opt, s)) {
        buf_put_str(o->to, s);
        return;
    }
    buf_put_char(o->to, opt->quote);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == opt->quote || s.ptr[i] == opt->escape)
            buf_put_char(o->to, opt->escape);
        buf_put_char(o->to, s.ptr[i]);
    }
    buf_put_char(o->to, opt->quote);
}

/* ---- values --------------------------------------------------------------------------------- */

/* What needs no escaping in either form. */
static void put_plain(struct buf *b, const struct select_value *v)
{
    switch (v->type) {
    case SELECT_BOOL:
        buf_put_cstr(b, v->truth ? "true" : "false");
        break;
    case SELECT_INT:
        buf_printf(b, "%lld", (long long)v->integer);
        break;
    case SELECT_REAL:
        select_real_put(b, v->real);
        break;
    case SELECT_TIME:
        select_time_put(b, &v->time);
        break;
    default:
        break;
    }
}

static void put_json(struct select_output *o, struct str name, const struct select_value *v)
{
    struct buf *b = o->to;
    if (v->type == SELECT_MISSING)
        return;
    buf_put_char(b, o->first ? '{' : ',');
    o->first = false;
    json_put_string(b, name);
    buf_put_char(b, ':');
    if (v->type == SELECT_NULL)
        buf_put_cstr(b, "null");
    else if (v->type == SELECT_STRING)
        json_put_string(b, v->text);
    else if (v->type == SELECT_JSON)
        select_json_put(b, v->text);
    else if (v->type == SELECT_TIME) {
        buf_put_char(b, '"');
        put_plain(b, v);
        buf_put_char(b, '"');
    } else
        put_plain(b, v);
}

/* The text of JSON: a string without its quotes, null as nothing, all else as it is. */
static void put_json_field(struct select_output *o, struct str text)
{
    _cleanup_buf_ struct buf plain;
    struct arena a = {0};
    struct str s;
    buf_init(&plain, 0);
    arena_init(&a, 0);
    if (text.len && text.ptr[0] == '"') {
        s = select_json_string(&a, text);
        o->to->failed |= !s.ptr;
    } else {
        select_json_put(&plain, text);
        o->to->failed |= plain.failed;
        s = str_eq(text, STR("null")) ? STR("") : buf_str(&plain);
    }
    put_field(o, s);
    arena_release(&a);
}

static void put_other_field(struct select_output *o, const struct select_value *v)
{
    _cleanup_buf_ struct buf plain;
    buf_init(&plain, 0);
    put_plain(&plain, v);
    put_field(o, buf_str(&plain));
}

static void put_csv(struct select_output *o, const struct select_value *v)
{
    if (!o->first)
        buf_put_str(o->to, o->options->field);
    o->first = false;
    if (v->type == SELECT_STRING)
        put_field(o, v->text);
    else if (v->type == SELECT_JSON)
        put_json_field(o, v->text);
    else if (select_is_unknown(v))
        put_field(o, STR(""));
    else
        put_other_field(o, v);
}

/* ---- rows ----------------------------------------------------------------------------------- */

void select_output_begin(struct select_output *o)
{
    o->first = true;
}

void select_output_put(struct select_output *o, struct str name, const struct select_value *v)
{
    if (o->options->json)
        put_json(o, name, v);
    else
        put_csv(o, v);
}

void select_output_end(struct select_output *o)
{
    if (o->options->json)
        buf_put_cstr(o->to, o->first ? "{}" : "}");
    buf_put_str(o->to, o->options->record);
}
