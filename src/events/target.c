/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/target.h"
#include <stdio.h>
#include "base/error.h"
#include "events/nats.h"
#include "events/target.pb-c.h"

/* ---- the table ------------------------------------------------------------------------------ */

enum kind { TEXT, NUMBER, FLAG, WORD, ADDRESS, URL, LIST, SUBJECT };

#define OF(type)   (1u << EVENT_##type)
#define OF_ALL     ((1u << EVENT_TYPE_COUNT) - 1)
#define OF_ADDRESS (OF(REDIS) | OF(POSTGRES) | OF(AMQP) | OF(NATS))

static const struct known_option {
    const char *name;
    unsigned types; /* that have it */
    unsigned needs; /* that cannot be without */
    enum kind kind;
    bool secret;
    const char *preset;   /* NULL: none */
    const char *words;    /* of WORD: separated by spaces */
    uint64_t least, most; /* of NUMBER */
} known[] = {
    {"queue-limit", OF_ALL, 0, NUMBER, false, "100000", NULL, 1, 100000000},
    {"when-full", OF_ALL, 0, WORD, false, "drop", "drop refuse", 0, 0},
    {"attempts", OF_ALL, 0, NUMBER, false, "5", NULL, 1, 100},
    {"dead-limit", OF_ALL, 0, NUMBER, false, "100000", NULL, 0, 100000000},
    {"dead-age", OF_ALL, 0, NUMBER, false, "2592000", NULL, 1, 31536000},
    {"max-age", OF_ALL, 0, NUMBER, false, "86400", NULL, 1, 31536000},
    {"timeout-ms", OF_ALL, 0, NUMBER, false, "5000", NULL, 100, 60000},
    {"accounts", OF_ALL, 0, LIST, false, NULL, NULL, 0, 0},
    {"url", OF(WEBHOOK), OF(WEBHOOK), URL, false, NULL, NULL, 0, 0},
    {"token", OF(WEBHOOK) | OF(NATS), 0, TEXT, true, NULL, NULL, 0, 0},
    {"address", OF_ADDRESS, OF_ADDRESS, ADDRESS, false, NULL, NULL, 0, 0},
    {"brokers", OF(KAFKA), OF(KAFKA), TEXT, false, NULL, NULL, 0, 0},
    {"topic", OF(KAFKA), OF(KAFKA), TEXT, false, NULL, NULL, 0, 0},
    {"tls", OF(KAFKA) | OF(NATS), 0, FLAG, false, "false", NULL, 0, 0},
    {"key", OF(REDIS), OF(REDIS), TEXT, false, NULL, NULL, 0, 0},
    {"format", OF(REDIS), 0, WORD, false, "list", "list publish", 0, 0},
    {"database", OF(POSTGRES), OF(POSTGRES), TEXT, false, NULL, NULL, 0, 0},
    {"table", OF(POSTGRES), OF(POSTGRES), TEXT, false, NULL, NULL, 0, 0},
    {"sslmode", OF(POSTGRES), 0, WORD, false, "prefer", "disable prefer require verify-full", 0, 0},
    {"vhost", OF(AMQP), 0, TEXT, false, "/", NULL, 0, 0},
    {"exchange", OF(AMQP), 0, TEXT, false, "", NULL, 0, 0},
    {"routing-key", OF(AMQP), OF(AMQP), TEXT, false, NULL, NULL, 0, 0},
    {"subject", OF(NATS), OF(NATS), SUBJECT, false, NULL, NULL, 0, 0},
    {"jetstream", OF(NATS), 0, FLAG, false, "false", NULL, 0, 0},
    {"user", OF_ALL & ~OF(WEBHOOK), OF(POSTGRES), TEXT, false, NULL, NULL, 0, 0},
    {"password", OF_ALL & ~OF(WEBHOOK), 0, TEXT, true, NULL, NULL, 0, 0},
    {"ca", OF(WEBHOOK) | OF(POSTGRES) | OF(KAFKA) | OF(NATS), 0, TEXT, false, NULL, NULL, 0, 0},
};

static const char *const type_texts[] = {
#define X(name, text) text,
    EVENT_TYPES(X)
#undef X
};

const char *event_type_text(enum event_type type)
{
    CHECK(type < EVENT_TYPE_COUNT);
    return type_texts[type];
}

bool event_type_parse(struct str text, enum event_type *ret)
{
    for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++)
        if (str_eq(text, str_from(type_texts[i]))) {
            *ret = i;
            return true;
        }
    return false;
}

static const struct known_option *find_known(enum event_type type, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if ((known[i].types & 1u << type) && str_eq(name, str_from(known[i].name)))
            return &known[i];
    return NULL;
}

bool event_option_is_secret(enum event_type type, struct str name)
{
    const struct known_option *k = find_known(type, name);
    return !k || k->secret;
}

static struct str given(const struct event_spec *spec, struct str name)
{
    for (size_t i = 0; i < spec->option_count; i++)
        if (str_eq(spec->options[i].name, name))
            return spec->options[i].value;
    return STR_NULL;
}

struct str event_option_of(const struct event_spec *spec, const char *name)
{
    struct str value = given(spec, str_from(name));
    const struct known_option *k = find_known(spec->type, str_from(name));
    return value.ptr || !k ? value : str_from(k->preset);
}

uint64_t event_number_of(const struct event_spec *spec, const char *name)
{
    uint64_t n = 0;
    CHECK(str_to_u64(event_option_of(spec, name), &n) == 0);
    return n;
}

bool event_spec_serves(const struct event_spec *spec, struct str account)
{
    struct str rest = event_option_of(spec, "accounts"), one;
    if (!rest.ptr)
        return true;
    while (str_cut(&rest, ',', &one))
        if (str_eq(one, account))
            return true;
    return false;
}

bool event_flag_of(const struct event_spec *spec, const char *name)
{
    return str_eq(event_option_of(spec, name), STR("true"));
}

/* ---- validation ----------------------------------------------------------------------------- */

bool event_name_valid(struct str name)
{
    if (name.len == 0 || name.len > EVENT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '_')
            return false;
    }
    return true;
}

/* Text that can stand in a header, a command or a connection string. */
static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return str_is_utf8(s);
}

static bool is_word(struct str value, const char *words)
{
    struct str rest = str_from(words), word;
    while (str_cut(&rest, ' ', &word))
        if (str_eq(word, value))
            return true;
    return false;
}

/* Credentials belong into the options that are secret, not into an address that is shown. */
static bool is_url(struct str url)
{
    struct str rest = str_starts(url, STR("https://"))  ? str_from_offset(url, 8)
                      : str_starts(url, STR("http://")) ? str_from_offset(url, 7)
                                                        : STR_NULL;
    struct str authority = str_prefix(rest, rest.len);
    for (size_t i = 0; i < rest.len; i++)
        if (strchr("/?#", rest.ptr[i])) {
            authority = str_prefix(rest, i);
            break;
        }
    return authority.len && str_find_char(authority, '@', 0) < 0 && str_find_char(url, ' ', 0) < 0;
}

static bool is_address(struct str s)
{
    uint64_t port;
    size_t colon = s.len;
    while (colon > 0 && s.ptr[colon - 1] != ':')
        colon--;
    return colon > 1 && str_to_u64(str_from_offset(s, colon), &port) == 0 && port > 0 &&
           port <= UINT16_MAX && s.ptr[0] != '/';
}

/* Names between commas: none is empty or begins or ends with a space, so that none is meant for
 * another. */
static bool is_list(struct str s)
{
    struct str rest = s, one;
    if (s.len == 0 || s.ptr[s.len - 1] == ',')
        return false;
    while (str_cut(&rest, ',', &one))
        if (one.len == 0 || str_trim(one).len != one.len)
            return false;
    return true;
}

static bool value_fits(const struct known_option *k, struct str value)
{
    uint64_t n;
    switch (k->kind) {
    case NUMBER:
        return str_to_u64(value, &n) == 0 && n >= k->least && n <= k->most;
    case FLAG:
        return str_eq(value, STR("true")) || str_eq(value, STR("false"));
    case WORD:
        return is_word(value, k->words);
    case ADDRESS:
        return is_address(value);
    case URL:
        return is_url(value);
    case LIST:
        return is_list(value);
    case SUBJECT:
        return nats_subject_valid(value);
    case TEXT:
        return value.len > 0;
    }
    return false;
}

static int say(char why[EVENT_WHY_MAX], const char *what, struct str name)
{
    snprintf(why, EVENT_WHY_MAX, "%s: %.*s", what, (int)MIN(name.len, (size_t)64), name.ptr);
    return -ERR_INVALID_ARGUMENT;
}

static int validate_option(const struct event_spec *spec, size_t i, char why[EVENT_WHY_MAX])
{
    const struct event_option *o = &spec->options[i];
    const struct known_option *k = find_known(spec->type, o->name);
    if (!k)
        return say(why, "a target of this type has no such option", o->name);
    for (size_t j = 0; j < i; j++)
        if (str_eq(spec->options[j].name, o->name))
            return say(why, "given twice", o->name);
    if (o->value.len > EVENT_VALUE_MAX || !is_printable(o->value) || !value_fits(k, o->value))
        return say(why, "no value for it", o->name);
    return 0;
}

/* PostgreSQL's identifiers, quoted where they are used. */
static bool table_fits(const struct event_spec *spec)
{
    struct str table = event_option_of(spec, "table");
    return spec->type != EVENT_POSTGRES || table.len <= 63;
}

int event_spec_validate(const struct event_spec *spec, char why[EVENT_WHY_MAX])
{
    if (!event_name_valid(spec->name))
        return say(why, "a target's name is letters, digits, '-' and '_', 64 at most",
                   STR("the name"));
    CHECK(spec->type < EVENT_TYPE_COUNT && spec->option_count <= EVENT_OPTIONS_MAX);
    for (size_t i = 0; i < spec->option_count; i++) {
        int r = validate_option(spec, i, why);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if ((known[i].needs & 1u << spec->type) && !given(spec, str_from(known[i].name)).ptr)
            return say(why, "a target of this type needs", str_from(known[i].name));
    return table_fits(spec) ? 0 : say(why, "no value for it", STR("table"));
}

/* ---- the row -------------------------------------------------------------------------------- */

static ProtobufCBinaryData binary(struct str s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.ptr};
}

int event_spec_encode(const struct event_spec *spec, struct buf *out)
{
    Events__Option options[EVENT_OPTIONS_MAX], *list[EVENT_OPTIONS_MAX];
    Events__Target pb = EVENTS__TARGET__INIT;
    pb.name = binary(spec->name);
    pb.type = binary(str_from(event_type_text(spec->type)));
    pb.created_ms = spec->created_ms;
    pb.options = list;
    pb.n_options = spec->option_count;
    for (size_t i = 0; i < spec->option_count; i++) {
        options[i] = (Events__Option)EVENTS__OPTION__INIT;
        options[i].name = binary(spec->options[i].name);
        options[i].value = binary(spec->options[i].value);
        list[i] = &options[i];
    }
    char *into = buf_reserve(out, events__target__get_packed_size(&pb));
    if (!into)
        return -ENOMEM;
    out->len += events__target__pack(&pb, (uint8_t *)into);
    return 0;
}

static struct str copy(struct arena *a, ProtobufCBinaryData b, bool *ok)
{
    struct str s = arena_dup(a, str_make(b.data, b.len));
    *ok = *ok && s.ptr;
    return s;
}

static int decode(struct arena *a, const Events__Target *pb, struct event_spec *ret)
{
    bool ok = true;
    char why[EVENT_WHY_MAX];
    struct event_spec spec = {.created_ms = pb->created_ms, .option_count = pb->n_options};
    if (pb->n_options > EVENT_OPTIONS_MAX ||
        !event_type_parse(str_make(pb->type.data, pb->type.len), &spec.type))
        return -ERR_CORRUPT;
    spec.name = copy(a, pb->name, &ok);
    for (size_t i = 0; i < pb->n_options; i++)
        spec.options[i] = (struct event_option){copy(a, pb->options[i]->name, &ok),
                                                copy(a, pb->options[i]->value, &ok)};
    if (!ok)
        return -ENOMEM;
    if (event_spec_validate(&spec, why) < 0)
        return -ERR_CORRUPT;
    *ret = spec;
    return 0;
}

int event_spec_decode(struct arena *a, struct str value, struct event_spec *ret)
{
    Events__Target *pb = events__target__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    int r = decode(a, pb, ret);
    events__target__free_unpacked(pb, NULL);
    return r;
}
