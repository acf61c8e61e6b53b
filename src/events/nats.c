/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/nats.h"
#include "base/error.h"

#define WORDS_MAX 5 /* HMSG subject sid reply-to header-bytes all-bytes, without the verb */

/* The line's words; separated by one or more spaces or tabs. -ERR_CORRUPT: too many. */
static int split(struct str line, struct str words[WORDS_MAX], size_t *ret_count)
{
    size_t count = 0, at = 0;
    while (at < line.len) {
        size_t from = at;
        while (at < line.len && line.ptr[at] != ' ' && line.ptr[at] != '\t')
            at++;
        if (at > from && count == WORDS_MAX)
            return -ERR_CORRUPT;
        if (at > from)
            words[count++] = str_make(line.ptr + from, at - from);
        at++;
    }
    *ret_count = count;
    return 0;
}

/* MSG subject sid [reply-to] bytes, or HMSG with the headers' bytes before the last. */
static int parse_message(struct str line, bool headers, struct str after, struct nats_said *ret,
                         size_t *ret_body)
{
    struct str words[WORDS_MAX];
    size_t count, fixed = headers ? 4 : 3;
    uint64_t head = 0, all;
    if (split(line, words, &count) < 0 || (count != fixed && count != fixed + 1) ||
        str_to_u64(words[count - 1], &all) < 0 || all > NATS_MESSAGE_MAX ||
        (headers && (str_to_u64(words[count - 2], &head) < 0 || head > all)))
        return -ERR_CORRUPT;
    *ret_body = (size_t)all + 2;
    if (after.len < *ret_body)
        return 0;
    if (!str_eq(str_make(after.ptr + all, 2), STR("\r\n")))
        return -ERR_CORRUPT;
    *ret = (struct nats_said){.verb = NATS_MSG,
                              .subject = words[0],
                              .headers = str_prefix(after, (size_t)head),
                              .body = str_make(after.ptr + head, (size_t)(all - head))};
    return 0;
}

/* -ERR 'Authorization Violation' */
static struct str unquoted(struct str text)
{
    text = str_trim(text);
    if (text.len >= 2 && text.ptr[0] == '\'' && text.ptr[text.len - 1] == '\'')
        text = str_make(text.ptr + 1, text.len - 2);
    return text;
}

static bool verb_is(struct str line, struct str verb, struct str *ret_rest)
{
    if (!str_starts_nocase(line, verb) ||
        (line.len > verb.len && line.ptr[verb.len] != ' ' && line.ptr[verb.len] != '\t'))
        return false;
    *ret_rest = str_from_offset(line, verb.len);
    return true;
}

/* A line that stands alone. */
static int parse_line(struct str line, struct nats_said *ret)
{
    struct str rest;
    *ret = (struct nats_said){.verb = NATS_OK};
    if (verb_is(line, STR("+OK"), &rest))
        return 0;
    if (verb_is(line, STR("PING"), &rest))
        ret->verb = NATS_PING;
    else if (verb_is(line, STR("PONG"), &rest))
        ret->verb = NATS_PONG;
    else if (verb_is(line, STR("INFO"), &rest))
        *ret = (struct nats_said){.verb = NATS_INFO, .text = str_trim(rest)};
    else if (verb_is(line, STR("-ERR"), &rest))
        *ret = (struct nats_said){.verb = NATS_ERR, .text = unquoted(rest)};
    else
        return -ERR_CORRUPT;
    return 0;
}

int nats_next(struct str in, struct nats_said *ret, size_t *ret_used)
{
    ptrdiff_t end = str_find(in, STR("\r\n"), 0);
    struct str rest;
    *ret_used = 0;
    if (end < 0 || (size_t)end > NATS_LINE_MAX)
        return in.len > NATS_LINE_MAX ? -ERR_CORRUPT : 0;
    struct str line = str_prefix(in, (size_t)end);
    size_t used = line.len + 2, body = 0;
    bool headers = verb_is(line, STR("HMSG"), &rest);
    int r = headers || verb_is(line, STR("MSG"), &rest)
                ? parse_message(rest, headers, str_from_offset(in, used), ret, &body)
                : parse_line(line, ret);
    if (r == 0 && in.len - used >= body)
        *ret_used = used + body;
    return r;
}

unsigned nats_status(const struct nats_said *m)
{
    static const struct str version = {"NATS/1.0 ", 9};
    uint64_t status;
    if (m->body.len || !str_starts(m->headers, version) || m->headers.len < version.len + 3 ||
        str_to_u64(str_make(m->headers.ptr + version.len, 3), &status) < 0)
        return 0;
    return (unsigned)status;
}

bool nats_subject_valid(struct str subject)
{
    struct str token;
    if (subject.len == 0 || subject.len > 255)
        return false;
    while (str_cut(&subject, '.', &token)) {
        if (token.len == 0)
            return false;
        for (size_t i = 0; i < token.len; i++)
            if ((unsigned char)token.ptr[i] <= ' ' || strchr("*>\x7f", token.ptr[i]))
                return false;
    }
    return true;
}
