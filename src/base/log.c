/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/log.h"
#include "base/error.h"
#include "base/reserve.h"
#include <stdio.h>
#include <time.h>

#define LINE_MAX_BYTES (64 * KIB)

static enum log_level least_level = LOG_INFO;
static enum log_form form = LOG_TEXT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level least, enum log_form f)
{
    least_level = least;
    form = f;
}

bool log_enabled(enum log_level level)
{
    return level >= least_level;
}

/* U+0080 to U+009F, by which terminals are told what to do, as below U+0020. */
static bool is_high_control(struct str s, size_t at)
{
    return at + 1 < s.len && (unsigned char)s.ptr[at] == 0xc2 &&
           (unsigned char)s.ptr[at + 1] < 0xa0;
}

/* A JSON string; the text form uses the same quoting, so a value never ends its line. */
static void put_quoted(struct buf *b, struct str s)
{
    bool text = str_is_utf8(s); /* other bytes are shown as \\u0080 to \\u00ff: JSON is UTF-8 */
    buf_put_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        bool high = text && is_high_control(s, i);
        i += high;
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_put_char(b, '\\');
        if (c < 0x20 || c == 0x7F || high || (c >= 0x80 && !text))
            buf_printf(b, "\\u%04x", c);
        else
            buf_put_char(b, (char)c);
    }
    buf_put_char(b, '"');
}

static char *put_bytes(char *to, const char *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

/* At once: a line has a dozen of them. */
static void put_name(struct log_line *l, const char *name)
{
    bool json = form == LOG_JSON;
    size_t len = strlen(name);
    char *to = buf_reserve(&l->buf, len + 4);
    if (!to)
        return;
    to = put_bytes(to, json ? ",\"" : " ", json ? 2 : 1);
    to = put_bytes(to, name, len);
    to = put_bytes(to, json ? "\":" : "=", json ? 2 : 1);
    *to = '\0';
    l->buf.len = (size_t)(to - l->buf.data);
}

/* `v` in `width` digits and the character after it. */
static char *put_digits(char *to, unsigned v, unsigned width, char after)
{
    for (unsigned i = width; i-- > 0; v /= 10)
        to[i] = (char)('0' + v % 10);
    to[width] = after;
    return to + width + 1;
}

/* By hand: printf would be the largest cost of a line. */
static void put_time(struct buf *b)
{
    struct timespec now;
    struct tm utc;
    char text[32], *to = text;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    to = put_digits(to, (unsigned)utc.tm_year + 1900, 4, '-');
    to = put_digits(to, (unsigned)utc.tm_mon + 1, 2, '-');
    to = put_digits(to, (unsigned)utc.tm_mday, 2, 'T');
    to = put_digits(to, (unsigned)utc.tm_hour, 2, ':');
    to = put_digits(to, (unsigned)utc.tm_min, 2, ':');
    to = put_digits(to, (unsigned)utc.tm_sec, 2, '.');
    to = put_digits(to, (unsigned)(now.tv_nsec / 1000000), 3, 'Z');
    buf_put(b, text, (size_t)(to - text));
}

static void put_start(struct log_line *l, enum log_level level, const char *event)
{
    struct buf *b = &l->buf;
    if (form == LOG_JSON)
        buf_put_cstr(b, "{\"time\":\"");
    put_time(b);
    if (form == LOG_JSON) {
        buf_put_cstr(b, "\",\"level\":\"");
        buf_put_cstr(b, level_names[level]);
        buf_put_cstr(b, "\",\"event\":\"");
        buf_put_cstr(b, event);
        buf_put_char(b, '"');
    } else {
        static const char *const columns[] = {" debug ", " info  ", " warn  ", " error "};
        buf_put_cstr(b, columns[level]);
        buf_put_cstr(b, event);
    }
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    l->level = level;
    buf_init(&l->buf, LINE_MAX_BYTES);
    if (log_enabled(level))
        put_start(l, level, event);
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.len > 0;
}

void log_str(struct log_line *l, const char *name, struct str value)
{
    if (!log_enabled(l->level))
        return;
    put_name(l, name);
    if (form == LOG_TEXT && is_plain(value))
        buf_put_str(&l->buf, value);
    else
        put_quoted(&l->buf, value);
}

void log_u64(struct log_line *l, const char *name, uint64_t value)
{
    if (!log_enabled(l->level))
        return;
    put_name(l, name);
    buf_put_u64(&l->buf, value);
}

void log_i64(struct log_line *l, const char *name, int64_t value)
{
    if (!log_enabled(l->level))
        return;
    put_name(l, name);
    buf_printf(&l->buf, "%lld", (long long)value);
}

void log_f64(struct log_line *l, const char *name, double value)
{
    if (!log_enabled(l->level))
        return;
    put_name(l, name);
    buf_printf(&l->buf, "%.6g", value);
}

void log_err(struct log_line *l, int code)
{
    log_str(l, "error", str_from(err_text(code)));
}

void log_end(struct log_line *l)
{
    if (log_enabled(l->level) && !l->buf.failed) {
        buf_put_cstr(&l->buf, form == LOG_JSON ? "}\n" : "\n");
        if (!l->buf.failed)
            log_write(buf_str(&l->buf), NULL); /* one, so that lines of threads never mix */
    }
    buf_release(&l->buf);
}

void log_begin_in(struct log_line *l, struct buf *to, enum log_level level, const char *event)
{
    l->level = level;
    l->buf = *to;
    l->start = to->len;
    *to = (struct buf){.limit_bytes = to->limit_bytes};
    if (log_enabled(level))
        put_start(l, level, event);
}

void log_end_in(struct log_line *l, struct buf *to)
{
    if (log_enabled(l->level))
        buf_put_cstr(&l->buf, form == LOG_JSON ? "}\n" : "\n");
    if (l->buf.failed) { /* without this line */
        l->buf.failed = false;
        l->buf.len = l->start;
    }
    *to = l->buf;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    RESERVE_SCOPE; /* that memory is out is itself worth a line */
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct log_line l;
    log_begin(&l, level, event);
    if (len > 0)
        log_str(&l, "text", str_make(text, MIN((size_t)len, sizeof(text) - 1)));
    log_end(&l);
}
