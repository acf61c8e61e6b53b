/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Transitions between storage classes: read, held against each other, written, and looked up.
 *
 * S3's own classes have an order from warm to cold, which a rule must keep, and so does whoever
 * asks where an object should be: of what is due by several rules the coldest counts, and among
 * classes that the order does not know the one that was due last.
 */

#include "lifecycle/internal.h"
#include "wire/date.h"

#define STAY_DAYS 30 /* that S3 wants an object to have been, and then to be, in a class of IA */

static const char *const warm_to_cold[] = {
    "STANDARD",   "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA",
    "GLACIER_IR", "GLACIER",     "DEEP_ARCHIVE",
};

int lifecycle_warmth(struct str class)
{
    if (class.len == 0 || str_eq(class, STR("REDUCED_REDUNDANCY")))
        return 0;
    for (unsigned i = 0; i < ARRAY_LEN(warm_to_cold); i++)
        if (str_eq(class, str_from(warm_to_cold[i])))
            return (int)i;
    return -1;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int add_move(struct lifecycle_parse *p, const struct lifecycle_move *m,
                    struct lifecycle_moves **list)
{
    if (!*list)
        *list = arena_zalloc(p->arena, sizeof(**list));
    if (!*list)
        return -ENOMEM;
    if ((*list)->count == LIFECYCLE_MOVES_MAX)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST, "A rule may name 16 transitions at most");
    (*list)->list[(*list)->count++] = *m;
    return 0;
}

static int read_days(struct lifecycle_parse *p, const struct xml_node *n, bool *seen, uint64_t *ret)
{
    int r = lifecycle_read_number(n, seen, INT32_MAX, ret);
    if (r == -ERR_INVALID_ARGUMENT)
        return lifecycle_refuse(p, r, "'Days' for Transition action must be a nonnegative integer");
    return r;
}

static int read_class(const struct xml_node *n, bool *seen, struct str *ret)
{
    int r = lifecycle_read_text(n, seen, ret);
    if (r == 0)
        *ret = str_trim(*ret);
    /* Nothing is moved to where it begins. */
    return r == 0 && lifecycle_warmth(*ret) == 0 ? -ERR_MALFORMED_XML : r;
}

int lifecycle_read_move(struct lifecycle_parse *p, const struct xml_node *n, bool noncurrent,
                        struct lifecycle_rule *rule)
{
    struct lifecycle_move m = {.days = 0};
    bool days = false, class = false, newer = false;
    int r = 0;
    for (const struct xml_node *c = n->first_child; !r && c; c = c->next)
        if (lifecycle_is_named(c, noncurrent ? "NoncurrentDays" : "Days"))
            r = read_days(p, c, &days, &m.days);
        else if (lifecycle_is_named(c, "StorageClass"))
            r = read_class(c, &class, &m.class);
        else if (noncurrent && lifecycle_is_named(c, "NewerNoncurrentVersions"))
            r = lifecycle_read_newer(p, c, &newer, &m.newer);
        else if (!noncurrent && lifecycle_is_named(c, "Date"))
            r = lifecycle_read_date(p, c, &m.has_date, &m.date_ms);
        else
            r = -ERR_MALFORMED_XML;
    if (r || !class || days + m.has_date != 1)
        return r ? r : -ERR_MALFORMED_XML;
    return add_move(p, &m, noncurrent ? &rule->noncurrent_moves : &rule->moves);
}

/* ---- what goes together --------------------------------------------------------------------- */

static bool is_ia(struct str class)
{
    return str_eq(class, STR("STANDARD_IA")) || str_eq(class, STR("ONEZONE_IA"));
}

static int refuse(struct lifecycle_parse *p, const char *format, struct str a, struct str b)
{
    struct str why = arena_printf(p->arena, format, STR_FMT(a), STR_FMT(b));
    p->why = why;
    return why.ptr ? -ERR_INVALID_ARGUMENT : -ENOMEM;
}

/* Two of one rule; `b` is to the colder class, where S3 knows both. */
static int test_pair(struct lifecycle_parse *p, const struct lifecycle_move *a,
                     const struct lifecycle_move *b)
{
    int from = lifecycle_warmth(a->class), to = lifecycle_warmth(b->class);
    if (str_eq(a->class, b->class))
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "A rule may name each StorageClass in one transition only");
    if (a->has_date != b->has_date)
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "Found mixed 'Date' and 'Days' based Transition actions in a rule");
    if (from < 0 || to < 0)
        return 0;
    if (from > to)
        return test_pair(p, b, a);
    if (a->has_date)
        return b->date_ms > a->date_ms
                   ? 0
                   : refuse(p,
                            "'Date' in the Transition action for StorageClass '%.*s' must be later "
                            "than 'Date' in the Transition action for StorageClass '%.*s'",
                            b->class, a->class);
    if (is_ia(a->class) && b->days < a->days + STAY_DAYS)
        return refuse(p,
                      "'Days' in the Transition action for StorageClass '%.*s' must be 30 days "
                      "more than 'Days' in the Transition action for StorageClass '%.*s'",
                      b->class, a->class);
    return b->days > a->days
               ? 0
               : refuse(p,
                        "'Days' in the Transition action for StorageClass '%.*s' must be greater "
                        "than 'Days' in the Transition action for StorageClass '%.*s'",
                        b->class, a->class);
}

static int test_list(struct lifecycle_parse *p, const struct lifecycle_moves *list)
{
    int r = 0;
    for (size_t i = 0; list && !r && i < list->count; i++) {
        const struct lifecycle_move *m = &list->list[i];
        if (is_ia(m->class) && !m->has_date && m->days < STAY_DAYS)
            return refuse(p,
                          "'Days' in Transition action must be greater than or equal to 30 for "
                          "storageClass '%.*s'%.*s",
                          m->class, STR(""));
        for (size_t j = 0; !r && j < i; j++)
            r = test_pair(p, &list->list[j], m);
    }
    return r;
}

/* What expires is not moved first to nowhere. */
static int test_expiry(struct lifecycle_parse *p, const struct lifecycle_rule *rule,
                       const struct lifecycle_move *m)
{
    if ((rule->days && m->has_date) || (rule->has_date && !m->has_date))
        return lifecycle_refuse(p, -ERR_INVALID_REQUEST,
                                "Found mixed 'Date' and 'Days' based Expiration and Transition "
                                "actions in a rule");
    if (rule->days && rule->days <= m->days)
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                "'Days' in the Expiration action must be greater than 'Days' in "
                                "the Transition action");
    if (rule->has_date && rule->date_ms <= m->date_ms)
        return lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                "'Date' in the Expiration action must be later than 'Date' in the "
                                "Transition action");
    return 0;
}

int lifecycle_test_moves(struct lifecycle_parse *p, const struct lifecycle_rule *rule)
{
    const struct lifecycle_moves *now = rule->moves, *old = rule->noncurrent_moves;
    int r = test_list(p, now);
    if (!r)
        r = test_list(p, old);
    for (size_t i = 0; now && !r && i < now->count; i++)
        r = test_expiry(p, rule, &now->list[i]);
    for (size_t i = 0; old && !r && i < old->count; i++)
        if (rule->noncurrent_days && rule->noncurrent_days <= old->list[i].days)
            r = lifecycle_refuse(p, -ERR_INVALID_ARGUMENT,
                                 "'NoncurrentDays' in the NoncurrentVersionExpiration action must "
                                 "be greater than 'NoncurrentDays' in the "
                                 "NoncurrentVersionTransition action");
    return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_move(struct buf *b, const char *name, bool noncurrent,
                     const struct lifecycle_move *m)
{
    char date[DATE_ISO_LEN];
    xml_open(b, name);
    if (m->has_date) {
        date_format_iso(m->date_ms, date);
        xml_element(b, "Date", str_make(date, sizeof(date)));
    } else {
        xml_element_u64(b, noncurrent ? "NoncurrentDays" : "Days", m->days);
    }
    xml_element(b, "StorageClass", m->class);
    if (m->newer)
        xml_element_u64(b, "NewerNoncurrentVersions", m->newer);
    xml_close(b, name);
}

void lifecycle_put_moves(struct buf *b, const struct lifecycle_rule *rule)
{
    const struct lifecycle_moves *now = rule->moves, *old = rule->noncurrent_moves;
    for (size_t i = 0; now && i < now->count; i++)
        put_move(b, "Transition", false, &now->list[i]);
    for (size_t i = 0; old && i < old->count; i++)
        put_move(b, "NoncurrentVersionTransition", true, &old->list[i]);
}

/* ---- looking up ----------------------------------------------------------------------------- */

struct question {
    uint64_t from_ms, newer, now_ms, day_ms;
    enum lifecycle_minimum minimum;
    bool noncurrent;
};

struct answer {
    struct str class;
    int warmth;
    uint64_t due_ms;
};

static uint64_t due_of(const struct lifecycle_move *m, const struct question *q)
{
    if (m->has_date)
        return m->date_ms;
    return q->newer < m->newer ? LIFECYCLE_NEVER : lifecycle_due_ms(q->from_ms, m->days, q->day_ms);
}

static bool is_better(const struct answer *a, const struct answer *than)
{
    if (!than->class.ptr)
        return true;
    if (a->warmth >= 0 && than->warmth >= 0 && a->warmth != than->warmth)
        return a->warmth > than->warmth;
    return a->due_ms > than->due_ms;
}

/* S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle": a size in the rule comes first.
 */
static bool is_too_small(enum lifecycle_minimum minimum, const struct lifecycle_rule *rule,
                         const struct lifecycle_subject *s, struct str class)
{
    if (minimum == LIFECYCLE_MINIMUM_NONE || rule->has_greater || rule->has_less ||
        s->len_bytes > LIFECYCLE_SMALL_MAX)
        return false;
    return minimum == LIFECYCLE_MINIMUM_ALL ||
           !(str_eq(class, STR("GLACIER")) || str_eq(class, STR("DEEP_ARCHIVE")));
}

static int ask_rule(const struct lifecycle_rule *rule, struct lifecycle_subject *s,
                    const struct question *q, struct answer *best)
{
    const struct lifecycle_moves *list = q->noncurrent ? rule->noncurrent_moves : rule->moves;
    for (size_t i = 0; list && i < list->count; i++) {
        const struct lifecycle_move *m = &list->list[i];
        struct answer a = {m->class, lifecycle_warmth(m->class), due_of(m, q)};
        if (a.due_ms > q->now_ms || is_too_small(q->minimum, rule, s, m->class) ||
            !is_better(&a, best))
            continue;
        int r = lifecycle_fits(rule, s);
        if (r <= 0)
            return r;
        *best = a;
    }
    return 0;
}

static int ask(const struct lifecycle *l, struct lifecycle_subject *s, const struct question *q,
               struct str *ret)
{
    struct answer best = {.class = STR_NULL};
    uint16_t at;
    for (const struct lifecycle_rule *rule = lifecycle_first(l, s->key, &at); rule;
         rule = lifecycle_next(l, &at)) {
        int r = ask_rule(rule, s, q, &best);
        if (r < 0)
            return r;
    }
    *ret = best.class;
    return 0;
}

int lifecycle_class(const struct lifecycle *l, struct lifecycle_subject *s, uint64_t mtime_ms,
                    uint64_t now_ms, uint64_t day_ms, struct str *ret)
{
    struct question q = {
        .from_ms = mtime_ms, .now_ms = now_ms, .day_ms = day_ms, .minimum = l->minimum};
    return ask(l, s, &q, ret);
}

int lifecycle_noncurrent_class(const struct lifecycle *l, struct lifecycle_subject *s,
                               uint64_t since_ms, uint64_t newer, uint64_t now_ms, uint64_t day_ms,
                               struct str *ret)
{
    struct question q = {since_ms, newer, now_ms, day_ms, l->minimum, .noncurrent = true};
    return ask(l, s, &q, ret);
}
