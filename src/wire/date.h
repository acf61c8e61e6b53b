/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Points in time as text, to and from milliseconds since 1970 (UTC, no leap seconds). Years 1970
 * to 9999; an HTTP date before 1970 reads as 0, which orders rightly against anything stored.
 *
 * Formats write exactly the length named, without a NUL. Readers are strict: fixed widths, real
 * calendar days, nothing before or after; -EINVAL otherwise.
 */

#include "base/str.h"

#define DATE_MS_MAX 253402300799999ULL /* 9999-12-31T23:59:59.999Z; formats clamp to it */

/* RFC 9110 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`. */
#define DATE_HTTP_LEN 29
void date_format_http(uint64_t time_ms, char ret[DATE_HTTP_LEN]);
/*
 * Also the two obsolete forms, `Sunday, 06-Nov-94 08:49:37 GMT` (a year that seems more than fifty
 * years ahead of `now_ms` is the last one with those digits) and `Sun Nov  6 08:49:37 1994`. The
 * name of the day is not held against the date.
 */
int date_parse_http(struct str s, uint64_t now_ms, uint64_t *ret_ms);

/* ISO 8601 as S3 prints it: `2026-01-02T03:04:05.000Z`. */
#define DATE_ISO_LEN 24
void date_format_iso(uint64_t time_ms, char ret[DATE_ISO_LEN]);
/* With no fraction or one of 1 to 9 digits (cut to milliseconds); `Z` or `+hh:mm`. */
int date_parse_iso(struct str s, uint64_t *ret_ms);

/* The basic form of signatures: `20260102T030405Z`. */
#define DATE_AMZ_LEN 16
void date_format_amz(uint64_t time_ms, char ret[DATE_AMZ_LEN]);
int date_parse_amz(struct str s, uint64_t *ret_ms);
