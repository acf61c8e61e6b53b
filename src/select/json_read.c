/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The reader of JSON: a machine of one state a byte.
 *
 * Each open object or array has a level, which knows how many steps of the path lead to it: as many
 * as there are, and it is (in) a record; OFF, and nothing in it counts.
 *
 * Invariant: `record_level` is the depth at which the value that is the record began, or NO_RECORD;
 * its bytes are those in `carry` and those of the piece from `record_at`.
 */

#include "select/json.h"

#include "base/error.h"

#define OFF       (-1)
#define NO_RECORD (-1)
#define KEY_MAX   (64 * KIB)

enum state {
    AT_VALUE,
    AT_FIRST_VALUE, /* or ] */
    AT_FIRST_KEY,   /* or } */
    AT_KEY,
    AT_COLON,
    AT_COMMA, /* or the end of the level */
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    IN_LITERAL,
    /* numbers */
    NUM_MINUS,
    NUM_ZERO,
    NUM_INT,
    NUM_DOT,
    NUM_FRACTION,
    NUM_E,
    NUM_SIGN,
    NUM_EXPONENT,
};

struct level {
    char type; /* { or [ */
    int16_t matched;
    bool found; /* what the next step names */
    uint32_t index;
};

struct select_json {
    struct select_path from;
    select_json_sink *sink;
    void *arg;
    enum state state;
    bool is_key, keep_key;
    unsigned hex_left;
    const char *literal; /* what is still to come of it */
    int depth;
    int matched; /* of the value that begins next */
    struct level levels[SELECT_JSON_DEPTH_MAX];
    int record_level;
    const char *record_at;
    struct buf carry, key;
    uint64_t offset; /* of the piece */
};

int select_json_new(struct select_json **ret, const struct select_path *from,
                    select_json_sink *sink, void *arg)
{
    struct select_json *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->from = *from;
    if (from->count && from->steps[0].kind == STEP_ALL) {
        j->from.steps++;
        j->from.count--;
    }
    j->sink = sink;
    j->arg = arg;
    j->record_level = NO_RECORD;
    buf_init(&j->carry, SELECT_RECORD_MAX);
    buf_init(&j->key, KEY_MAX);
    *ret = j;
    return 0;
}

void select_json_free(struct select_json *j)
{
    if (!j)
        return;
    buf_release(&j->carry);
    buf_release(&j->key);
    free(j);
}

/* ---- the path ------------------------------------------------------------------------------- */

static const struct select_step *step_of(const struct select_json *j, int matched)
{
    return matched == OFF || matched >= (int)j->from.count ? NULL : &j->from.steps[matched];
}

/* From here on the path has no [*], so that what is not there is a record, too. */
static bool leads_to_one(const struct select_json *j, int matched)
{
    for (unsigned i = (unsigned)matched; i < j->from.count; i++)
        if (j->from.steps[i].kind == STEP_ALL)
            return false;
    return true;
}

static int FIBER tell_missing(struct select_json *j, int matched)
{
    return leads_to_one(j, matched) ? j->sink(STR_NULL, j->arg) : 0;
}

/* The level's step leads to the key at hand. */
static bool key_fits(struct select_json *j, const struct select_step *s)
{
    struct str key = buf_str(&j->key), plain = key;
    struct arena a = {0};
    bool fits = false;
    if (j->key.failed)
        return false;
    if (key.len && memchr(key.ptr, '\\', key.len)) {
        arena_init(&a, 0);
        plain = select_json_string(&a, arena_printf(&a, "\"%.*s\"", STR_FMT(key)));
    }
    fits = s->quoted ? str_eq(plain, s->name) : str_eq_nocase(plain, s->name);
    arena_release(&a);
    return fits;
}

/* Of the value behind the key at hand. The first of several that fit counts. */
static int matched_by_key(struct select_json *j)
{
    struct level *l = &j->levels[j->depth - 1];
    const struct select_step *s = step_of(j, l->matched);
    if (!s)
        return l->matched;
    if (s->kind != STEP_NAME || l->found || !key_fits(j, s))
        return OFF;
    l->found = true;
    return l->matched + 1;
}

static int matched_by_index(struct select_json *j, struct level *l)
{
    const struct select_step *s = step_of(j, l->matched);
    if (!s)
        return l->matched;
    bool fits = s->kind == STEP_ALL || (s->kind == STEP_INDEX && s->index == l->index);
    l->found |= fits;
    return fits ? l->matched + 1 : OFF;
}

/* ---- values --------------------------------------------------------------------------------- */

/* A value begins at `at`, with that character. */
static int FIBER begin_value(struct select_json *j, const char *at)
{
    const struct select_step *s;
    if (j->record_level != NO_RECORD || j->matched == OFF)
        return 0;
    while (*at != '[' && (s = step_of(j, j->matched)) && s->kind == STEP_ALL)
        j->matched++; /* what is no array is its only element */
    if (j->matched == (int)j->from.count) {
        j->record_level = j->depth;
        j->record_at = at;
        return 0;
    }
    s = step_of(j, j->matched);
    if ((s->kind == STEP_NAME && *at == '{') || (s->kind != STEP_NAME && *at == '['))
        return 0;
    int r = tell_missing(j, j->matched);
    j->matched = OFF;
    return r;
}

static int FIBER tell_record(struct select_json *j, const char *end)
{
    struct str last = str_make(j->record_at, (size_t)(end - j->record_at));
    j->record_level = NO_RECORD;
    if (last.len > SELECT_RECORD_MAX - j->carry.len)
        return -ERR_SELECT_RECORD_SIZE;
    if (j->carry.len == 0)
        return j->sink(last, j->arg);
    buf_put_str(&j->carry, last);
    int r = buf_error(&j->carry);
    if (!r)
        r = j->sink(buf_str(&j->carry), j->arg);
    buf_reset(&j->carry);
    return r;
}

/* A value ended before `end`. */
static int FIBER end_value(struct select_json *j, const char *end)
{
    int r = 0;
    if (j->record_level == j->depth)
        r = tell_record(j, end);
    j->state = j->depth ? AT_COMMA : AT_VALUE;
    j->matched = 0;
    return r;
}

static int open_level(struct select_json *j, char type)
{
    if (j->depth == SELECT_JSON_DEPTH_MAX)
        return -ERR_SELECT_JSON;
    j->levels[j->depth++] = (struct level){.type = type, .matched = (int16_t)j->matched};
    j->state = type == '{' ? AT_FIRST_KEY : AT_FIRST_VALUE;
    if (type == '[')
        j->matched = matched_by_index(j, &j->levels[j->depth - 1]);
    return 0;
}

/* Nothing in it was what the path names. */
static bool lacks(const struct select_json *j, const struct level *l)
{
    const struct select_step *s = step_of(j, l->matched);
    return j->record_level == NO_RECORD && s && s->kind != STEP_ALL && !l->found;
}

static int FIBER close_level(struct select_json *j, char type, const char *at)
{
    struct level *l = &j->levels[j->depth - 1];
    if (l->type != (type == '}' ? '{' : '['))
        return -ERR_SELECT_JSON;
    /* An empty array has told of its first element, which is none. */
    if (j->state == AT_FIRST_VALUE)
        l->found = false;
    int r = lacks(j, l) ? tell_missing(j, l->matched) : 0;
    j->depth--;
    return r ? r : end_value(j, at + 1);
}

static int begin_literal(struct select_json *j, const char *rest)
{
    j->literal = rest;
    j->state = IN_LITERAL;
    return 0;
}

static int FIBER take_value(struct select_json *j, const char *at)
{
    int r = begin_value(j, at);
    if (r)
        return r;
    switch (*at) {
    case '{':
    case '[':
        return open_level(j, *at);
    case '"':
        j->is_key = false;
        j->state = IN_STRING;
        return 0;
    case 't':
        return begin_literal(j, "rue");
    case 'f':
        return begin_literal(j, "alse");
    case 'n':
        return begin_literal(j, "ull");
    case '-':
        j->state = NUM_MINUS;
        return 0;
    default:
        j->state = *at == '0' ? NUM_ZERO : NUM_INT;
        return *at >= '0' && *at <= '9' ? 0 : -ERR_SELECT_JSON;
    }
}

/* ---- keys and what stands between ----------------------------------------------------------- */

static int take_key(struct select_json *j, char c)
{
    const struct level *l = &j->levels[j->depth - 1];
    if (c != '"')
        return -ERR_SELECT_JSON;
    j->is_key = true;
    j->keep_key = j->record_level == NO_RECORD && step_of(j, l->matched) && !l->found;
    buf_reset(&j->key);
    j->state = IN_STRING;
    return 0;
}

static int take_comma(struct select_json *j)
{
    struct level *l = &j->levels[j->depth - 1];
    j->state = l->type == '{' ? AT_KEY : AT_VALUE;
    if (l->type == '[') {
        l->index++;
        j->matched = matched_by_index(j, l);
    }
    return 0;
}

static int FIBER take_between(struct select_json *j, const char *at)
{
    char c = *at;
    bool first = j->state == AT_FIRST_KEY || j->state == AT_FIRST_VALUE;
    if ((c == '}' || c == ']') && (j->state == AT_COMMA || first))
        return close_level(j, c, at);
    switch (j->state) {
    case AT_FIRST_KEY:
    case AT_KEY:
        return take_key(j, c);
    case AT_COLON:
        j->state = AT_VALUE;
        j->matched = matched_by_key(j);
        return c == ':' ? 0 : -ERR_SELECT_JSON;
    case AT_COMMA:
        return c == ',' ? take_comma(j) : -ERR_SELECT_JSON;
    default:
        return take_value(j, at);
    }
}

/* ---- strings, literals, numbers ------------------------------------------------------------- */

static int FIBER end_string(struct select_json *j, const char *at)
{
    if (!j->is_key)
        return end_value(j, at + 1);
    j->state = AT_COLON;
    return 0;
}

/* The run of what stands for itself. */
static const char *skip_plain(const char *at, const char *end)
{
    while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= ' ')
        at++;
    return at;
}

static int FIBER take_string(struct select_json *j, const char **at, const char *end)
{
    const char *from = *at, *to = skip_plain(from, end);
    if (j->is_key && j->keep_key)
        buf_put(&j->key, from, (size_t)(to - from));
    *at = to;
    if (to == end)
        return 0;
    (*at)++;
    if (*to == '"')
        return end_string(j, to);
    if (*to != '\\')
        return -ERR_SELECT_JSON;
    if (j->is_key && j->keep_key)
        buf_put_char(&j->key, '\\');
    j->state = IN_ESCAPE;
    return 0;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int take_escape(struct select_json *j, char c)
{
    if (j->is_key && j->keep_key)
        buf_put_char(&j->key, c);
    if (j->state == IN_HEX) {
        if (--j->hex_left == 0)
            j->state = IN_STRING;
        return is_hex(c) ? 0 : -ERR_SELECT_JSON;
    }
    j->state = c == 'u' ? IN_HEX : IN_STRING;
    j->hex_left = 4;
    return c && strchr("\"\\/bfnrtu", c) ? 0 : -ERR_SELECT_JSON;
}

static int FIBER take_literal(struct select_json *j, const char *at)
{
    if (*at != *j->literal)
        return -ERR_SELECT_JSON;
    return *++j->literal ? 0 : end_value(j, at + 1);
}

/* The state behind `c`, or -1: the number ends before it. */
static int number_state(enum state state, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool e = c == 'e' || c == 'E';
    switch (state) {
    case NUM_MINUS:
        return !digit ? -1 : c == '0' ? NUM_ZERO : NUM_INT;
    case NUM_ZERO:
        return c == '.' ? NUM_DOT : e ? NUM_E : -1;
    case NUM_INT:
        return digit ? NUM_INT : c == '.' ? NUM_DOT : e ? NUM_E : -1;
    case NUM_DOT:
        return digit ? NUM_FRACTION : -1;
    case NUM_FRACTION:
        return digit ? NUM_FRACTION : e ? NUM_E : -1;
    case NUM_E:
        return digit ? NUM_EXPONENT : c == '+' || c == '-' ? NUM_SIGN : -1;
    default:
        return digit ? NUM_EXPONENT : -1;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static int FIBER end_number(struct select_json *j, const char *at)
{
    enum state s = j->state;
    bool whole = s == NUM_ZERO || s == NUM_INT || s == NUM_FRACTION || s == NUM_EXPONENT;
    if (!whole || (j->depth == 0 && *at && !is_blank(*at)))
        return -ERR_SELECT_JSON;
    return end_value(j, at);
}

/* ---- the input ------------------------------------------------------------------------------ */

static int FIBER take_token(struct select_json *j, const char **at, const char *end)
{
    switch (j->state) {
    case IN_STRING:
        return take_string(j, at, end);
    case IN_ESCAPE:
    case IN_HEX:
        return take_escape(j, *(*at)++);
    case IN_LITERAL:
        return take_literal(j, (*at)++);
    default:
        break;
    }
    int state = number_state(j->state, **at);
    if (state < 0)
        return end_number(j, *at);
    j->state = (enum state)state;
    (*at)++;
    return 0;
}

/* The piece ends inside a record. */
static int carry_on(struct select_json *j, const char *end)
{
    if (j->record_level == NO_RECORD)
        return 0;
    size_t len = (size_t)(end - j->record_at);
    if (len > SELECT_RECORD_MAX - j->carry.len)
        return -ERR_SELECT_RECORD_SIZE;
    buf_put(&j->carry, j->record_at, len);
    return buf_error(&j->carry);
}

int FIBER select_json_feed(struct select_json *j, struct str in, uint64_t most)
{
    const char *at = in.ptr, *end = in.ptr + in.len;
    int r = 0;
    j->record_at = at;
    while (!r && at < end) {
        if (j->state >= IN_STRING)
            r = take_token(j, &at, end);
        else if (is_blank(*at))
            at++;
        else if (j->depth == 0 && j->state == AT_VALUE && j->offset + (size_t)(at - in.ptr) >= most)
            return 1;
        else
            r = take_between(j, at++);
    }
    if (!r)
        r = carry_on(j, end);
    j->offset += in.len;
    return r;
}

int FIBER select_json_end(struct select_json *j)
{
    static const char nothing[] = "";
    j->record_at = nothing;
    if (j->depth == 0 && j->state >= NUM_MINUS)
        return end_number(j, nothing);
    return j->depth == 0 && j->state == AT_VALUE ? 0 : -ERR_SELECT_JSON;
}
