/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Patterns: `*` any run of characters, `?` one character, ${key} a value of the request. What a
 * variable brings in is text: a `*` inside a user's name is no wildcard.
 *
 * Between two stars lies a run of text and `?`. The first run is tied to the start, the last to the
 * end, each other one is taken where it is found first: no run is ever tried again, so a match
 * costs text times run at worst and a plain search as a rule. A document may be made of worst
 * cases: what one decision compares is limited (EVAL_WORK_MAX).
 *
 * Source: IAM User Guide, "IAM policy elements: Variables and tags".
 */

#include "iam/policy_internal.h"

#include <limits.h>
#include "base/error.h"

/* ---- compiling ------------------------------------------------------------------------------ */

struct compiler {
    struct arena *arena;
    struct segment segments[PATTERN_SEGMENTS_MAX];
    unsigned count;
    bool variables;
    char *text; /* room for all the text there is */
    size_t used;
    size_t open_at; /* where the text segment under way begins in `text` */
};

static int add_segment(struct compiler *c, struct segment s)
{
    if (c->count == PATTERN_SEGMENTS_MAX)
        return -ERR_MALFORMED_POLICY;
    c->segments[c->count++] = s;
    return 0;
}

static int close_text(struct compiler *c)
{
    size_t len = c->used - c->open_at;
    struct str text = str_make(c->text + c->open_at, len);
    c->open_at = c->used;
    return len ? add_segment(c, (struct segment){.kind = SEGMENT_TEXT, .text = text}) : 0;
}

static void add_char(struct compiler *c, char ch)
{
    c->text[c->used++] = ch;
}

static int add_wildcard(struct compiler *c, char ch)
{
    int r = close_text(c);
    bool again = c->count && c->segments[c->count - 1].kind == SEGMENT_STAR;
    if (r || (ch == '*' && again))
        return r;
    return add_segment(c, (struct segment){.kind = ch == '*' ? SEGMENT_STAR : SEGMENT_ONE});
}

/* "key, 'default'" into its halves: 0 or -EINVAL. */
static int split_default(struct str inside, struct str *ret_key, struct segment *s)
{
    ptrdiff_t comma = str_find_char(inside, ',', 0);
    *ret_key = str_trim(comma < 0 ? inside : str_prefix(inside, (size_t)comma));
    if (comma < 0)
        return 0;
    struct str value = str_trim(str_from_offset(inside, (size_t)comma + 1));
    if (value.len < 2 || value.ptr[0] != '\'' || value.ptr[value.len - 1] != '\'')
        return -EINVAL;
    s->has_default = true;
    s->when_absent = str_make(value.ptr + 1, value.len - 2);
    return 0;
}

/* What stands between the braces. */
static int add_variable(struct compiler *c, struct str inside)
{
    struct segment s = {.kind = SEGMENT_VARIABLE};
    struct str key, name;
    if (inside.len == 1 && strchr("*?$", inside.ptr[0])) {
        add_char(c, inside.ptr[0]);
        return 0;
    }
    if (split_default(inside, &key, &s))
        return -ERR_MALFORMED_POLICY;
    int id = iam_key_find(key, &name);
    if (id < 0)
        return -ERR_MALFORMED_POLICY;
    s.key = (uint16_t)id;
    s.text = arena_dup(c->arena, name);
    if (s.has_default)
        s.when_absent = arena_dup(c->arena, s.when_absent);
    if (!s.text.ptr || (s.has_default && !s.when_absent.ptr))
        return -ENOMEM;
    c->variables = true;
    int r = close_text(c);
    return r ? r : add_segment(c, s);
}

static int compile_all(struct compiler *c, struct str text, unsigned flags, struct str *ret_bad)
{
    int r = 0;
    for (size_t i = 0; !r && i < text.len; i++) {
        struct str rest = str_from_offset(text, i);
        *ret_bad = rest;
        if ((flags & PATTERN_VARIABLES) && str_starts(rest, STR("${"))) {
            ptrdiff_t end = str_find_char(rest, '}', 2);
            if (end < 0)
                return -ERR_MALFORMED_POLICY;
            *ret_bad = str_prefix(rest, (size_t)end + 1);
            r = add_variable(c, str_make(rest.ptr + 2, (size_t)end - 2));
            i += (size_t)end;
        } else if ((flags & PATTERN_WILD) && (text.ptr[i] == '*' || text.ptr[i] == '?')) {
            r = add_wildcard(c, text.ptr[i]);
        } else {
            add_char(c, text.ptr[i]);
        }
    }
    return r ? r : close_text(c);
}

int pattern_compile(struct arena *a, struct str text, unsigned flags, struct pattern *ret,
                    struct str *ret_bad)
{
    struct compiler c = {.arena = a, .text = arena_alloc(a, text.len + 1)};
    if (!c.text)
        return -ENOMEM;
    int r = compile_all(&c, text, flags, ret_bad);
    if (r)
        return r;
    struct segment *kept = arena_array(a, struct segment, c.count + 1);
    if (!kept)
        return -ENOMEM;
    memcpy(kept, c.segments, c.count * sizeof(*kept));
    *ret = (struct pattern){kept, c.count, c.variables};
    return 0;
}

/* ---- matching ------------------------------------------------------------------------------- */

/* Segments without a star. */
struct run {
    const struct segment *from, *to;
};

static bool starts(struct str text, struct str with, bool nocase)
{
    return nocase ? str_starts_nocase(text, with) : str_starts(text, with);
}

/* One character from `at`: a whole one of UTF-8. */
static size_t one_character(struct str text, size_t at)
{
    size_t end = at + 1;
    while (end < text.len && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
        end++;
    return end;
}

/* Does the run fit at `at`? Then *ret_end is behind it. `work`: comparisons left; with none, none
 * fits. */
static bool run_fits(struct run run, struct str text, size_t at, bool nocase, unsigned *work,
                     size_t *ret_end)
{
    for (const struct segment *s = run.from; s < run.to; s++) {
        if (*work == 0)
            return false;
        --*work;
        if (s->kind == SEGMENT_ONE) {
            if (at >= text.len)
                return false;
            at = one_character(text, at);
        } else if (starts(str_from_offset(text, at), s->text, nocase)) {
            at += s->text.len;
        } else {
            return false;
        }
    }
    *ret_end = at;
    return true;
}

/* The first place from `at` where the run fits. */
static bool run_find(struct run run, struct str text, size_t at, bool nocase, unsigned *work,
                     size_t *ret_end)
{
    if (!nocase && run.to - run.from == 1 && run.from->kind == SEGMENT_TEXT) {
        ptrdiff_t found = str_find(text, run.from->text, at);
        *ret_end = (size_t)found + run.from->text.len;
        return found >= 0;
    }
    for (; at <= text.len && *work; at++)
        if (run_fits(run, text, at, nocase, work, ret_end))
            return true;
    return false;
}

/* Does the run fit somewhere from `at` so that it ends with the text? */
static bool run_ends(struct run run, struct str text, size_t at, bool nocase, unsigned *work)
{
    size_t end;
    if (run.to - run.from == 1 && run.from->kind == SEGMENT_TEXT) {
        struct str last = run.from->text;
        return text.len >= at + last.len &&
               starts(str_from_offset(text, text.len - last.len), last, nocase);
    }
    for (; at <= text.len && *work; at++)
        if (run_fits(run, text, at, nocase, work, &end) && end == text.len)
            return true;
    return false;
}

static struct run next_run(const struct segment *from, const struct segment *end)
{
    const struct segment *to = from;
    while (to < end && to->kind != SEGMENT_STAR)
        to++;
    return (struct run){from, to};
}

static bool match_segments(const struct segment *s, unsigned count, struct str text, bool nocase,
                           unsigned *work)
{
    const struct segment *end = s + count;
    struct run run = next_run(s, end);
    size_t at = 0;
    if (!run_fits(run, text, 0, nocase, work, &at))
        return false;
    if (run.to == end)
        return at == text.len;
    while (run.to < end) {
        run = next_run(run.to + 1, end);
        if (run.from == run.to && run.to == end) /* it ends in a star */
            return true;
        if (run.to == end)
            return run_ends(run, text, at, nocase, work);
        if (!run_find(run, text, at, nocase, work, &at))
            return false;
    }
    return true;
}

bool pattern_matches(const struct pattern *p, struct str text, bool nocase)
{
    unsigned work = UINT_MAX;
    CHECK(!p->variables);
    return match_segments(p->segments, p->count, text, nocase, &work);
}

/* A variable has one value: none, or several, and it cannot stand for text. */
static bool resolve(struct eval *e, const struct segment *s, struct segment *ret)
{
    struct iam_values v = eval_values(e, s->key, s->text);
    *ret = (struct segment){.kind = SEGMENT_TEXT, .text = s->when_absent};
    if (v.count == 1)
        ret->text = v.items[0];
    return v.count == 1 || (v.count == 0 && s->has_default);
}

/* A document that is longer at it than any needs decides nothing, and so denies. */
static enum match match_within(struct eval *e, const struct segment *s, unsigned count,
                               struct str text, bool nocase)
{
    bool yes = match_segments(s, count, text, nocase, &e->work);
    if (e->work == 0 && !e->err)
        e->err = -ERR_ACCESS_DENIED;
    return yes ? MATCH_YES : MATCH_NO;
}

enum match pattern_match(struct eval *e, const struct pattern *p, struct str text, bool nocase)
{
    struct segment resolved[PATTERN_SEGMENTS_MAX];
    if (!p->variables)
        return match_within(e, p->segments, p->count, text, nocase);
    for (unsigned i = 0; i < p->count; i++) {
        resolved[i] = p->segments[i];
        if (resolved[i].kind == SEGMENT_VARIABLE && !resolve(e, &p->segments[i], &resolved[i]))
            return MATCH_UNKNOWN;
    }
    return match_within(e, resolved, p->count, text, nocase);
}
