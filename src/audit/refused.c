/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "audit/refused.h"
#include <stdio.h>
#include "wire/date.h"

static bool is_text(const char *cut, size_t room, struct str s)
{
    return str_eq(str_from(cut), str_prefix(s, room - 1));
}

static struct refused_row *find_row(struct refusals *f, const struct audit_record *r)
{
    for (unsigned i = 0; i < f->row_count; i++) {
        struct refused_row *row = &f->rows[i];
        if (is_text(row->source, sizeof(row->source), r->source) &&
            is_text(row->access_key, sizeof(row->access_key), r->access_key) &&
            is_text(row->error, sizeof(row->error), r->error))
            return row;
    }
    return NULL;
}

/* A NUL ends a text, here as in what it is compared with. */
static void cut_text(char *to, size_t room, struct str s)
{
    snprintf(to, room, "%.*s", STR_FMT(s));
}

static struct refused_row *add_row(struct refusals *f, const struct audit_record *r)
{
    if (f->row_count == REFUSED_ROWS)
        return NULL;
    struct refused_row *row = &f->rows[f->row_count++];
    cut_text(row->source, sizeof(row->source), r->source);
    cut_text(row->access_key, sizeof(row->access_key), r->access_key);
    cut_text(row->error, sizeof(row->error), r->error);
    row->count = 0;
    return row;
}

bool refused_take(struct refusals *f, const struct audit_record *r, uint64_t now_ns,
                  uint64_t now_ms)
{
    f->total++;
    if (!f->since_ns) {
        f->since_ns = now_ns;
        f->since_ms = now_ms;
    }
    if (f->whole < REFUSED_WHOLE) {
        f->whole++;
        return true;
    }
    struct refused_row *row = find_row(f, r);
    if (!row)
        row = add_row(f, r);
    if (row)
        row->count++;
    else
        f->others++;
    return false;
}

bool refused_end(struct refusals *f, uint64_t now_ns, bool at_once, struct refusals *ret)
{
    if (!f->since_ns || (!at_once && now_ns - f->since_ns < REFUSED_INTERVAL_NS))
        return false;
    *ret = *f;
    *f = (struct refusals){.total = f->total};
    return true;
}

struct audit_record refused_record(const struct refusals *f, const struct refused_row *row,
                                   char text[96])
{
    char since[DATE_ISO_LEN];
    date_format_iso(f->since_ms, since);
    snprintf(text, 96, "%llu more since %.*s", (unsigned long long)(row ? row->count : f->others),
             DATE_ISO_LEN, since);
    struct audit_record r = {
        .operation = STR("audit:refused"), .outcome = AUDIT_FAILED, .after = str_from(text)};
    if (row) {
        r.source = str_from(row->source);
        r.access_key = str_from(row->access_key);
        r.error = str_from(row->error);
    }
    return r;
}
