/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Decompresses gzip, bzip2 and zstd as they come, one member, stream or frame behind another. Sans
 * I/O and bounded: memory is that of a window of 32 KiB (gzip), a block of 900 kB (bzip2, 4 MiB in
 * all) or 8 MiB (zstd, above which a frame is refused); how much may come out is the caller's to
 * limit.
 *
 * Sources: RFC 1952, RFC 8878; bzip2 and libbzip2, version 1.0.8, "Low-level interface".
 */

#include "base/str.h"

enum unzip_form { UNZIP_NONE, UNZIP_GZIP, UNZIP_ZSTD, UNZIP_BZIP2 };

/* GZIP, ZSTD or neither by the first bytes, UNZIP_SNIFF of which are enough. */
#define UNZIP_SNIFF 4
enum unzip_form unzip_form_of(struct str first);

struct unzip;
/* Of a form that is not NONE. -ENOMEM. */
int unzip_new(struct unzip **ret, enum unzip_form form);
/* Accepts NULL. */
void unzip_free(struct unzip *z);

/*
 * Takes *ret_used bytes of `in` and makes *ret_made bytes in `out`. All was done when it takes all
 * of `in` and leaves room in `out`. -ERR_PARSE for good, -ENOMEM.
 */
int unzip_next(struct unzip *z, struct str in, size_t *ret_used, char *out, size_t cap,
               size_t *ret_made);
/* The input ended: 0 behind a member or frame, else -ERR_PARSE. */
int unzip_eof(const struct unzip *z);
