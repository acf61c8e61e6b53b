/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The log of the process: one line an event, to standard error, as text or JSON. A line is built
 * from named fields, each escaped, so nothing from outside can forge a line. Secrets are never
 * fields. Library code does not log; doors, jobs and main do. Thread-safe: one write a line.
 */

#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_form { LOG_TEXT, LOG_JSON };

void log_setup(enum log_level least, enum log_form form);
bool log_enabled(enum log_level level);

/* A line under construction; lives on the caller's stack. */
struct log_line {
    struct buf buf;
    enum log_level level;
    size_t start; /* of the line in `buf` */
};
/* log_begin(&l, LOG_INFO, "listening"); log_str(&l, "address", a); log_end(&l); */
void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *name, struct str value);
void log_u64(struct log_line *l, const char *name, uint64_t value);
void log_i64(struct log_line *l, const char *name, int64_t value);
void log_f64(struct log_line *l, const char *name, double value);
/* err_text of the code under "error". */
void log_err(struct log_line *l, int code);
void log_end(struct log_line *l);

/*
 * For logs of many lines: the line is appended to `to`, which log_write sends later, many at once.
 * Between the two calls `to` is empty: the line has its memory.
 */
void log_begin_in(struct log_line *l, struct buf *to, enum log_level level, const char *event);
void log_end_in(struct log_line *l, struct buf *to);
/* Whole lines. Where standard error is a pipe whose reader is slow it is waited for (BLOCKING);
 * with `hurried` NULL, or once that is true, a tenth of a second at most: then they are lost. */
void log_write(struct str lines, const bool *hurried);

/* For lines with one text and no other field. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
