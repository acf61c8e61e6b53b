/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/unzip.h"
#include "base/error.h"
#include <bzlib.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_WINDOW     (15 + 16) /* zlib: the longest, in gzip's framing and no other */
#define ZSTD_WINDOW_LOG 23

struct unzip {
    enum unzip_form form;
    bool ended; /* a member or frame, and nothing came behind it yet */
    bool open;  /* the state of bzip2 */
    z_stream gzip;
    bz_stream bzip2;
    ZSTD_DCtx *zstd;
};

enum unzip_form unzip_form_of(struct str first)
{
    if (str_starts(first, STR("\x1f\x8b")))
        return UNZIP_GZIP;
    return str_starts(first, STR("\x28\xb5\x2f\xfd")) ? UNZIP_ZSTD : UNZIP_NONE;
}

static int begin_bzip2(struct unzip *z)
{
    z->bzip2 = (bz_stream){0};
    z->open = BZ2_bzDecompressInit(&z->bzip2, 0, 0) == BZ_OK;
    return z->open ? 0 : -ENOMEM;
}

static int begin(struct unzip *z)
{
    if (z->form == UNZIP_BZIP2)
        return begin_bzip2(z);
    if (z->form == UNZIP_GZIP)
        return inflateInit2(&z->gzip, GZIP_WINDOW) == Z_OK ? 0 : -ENOMEM;
    z->zstd = ZSTD_createDCtx();
    return z->zstd && !ZSTD_isError(
                          ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))
               ? 0
               : -ENOMEM;
}

int unzip_new(struct unzip **ret, enum unzip_form form)
{
    CHECK(form != UNZIP_NONE);
    struct unzip *z = calloc(1, sizeof(*z));
    if (!z)
        return -ENOMEM;
    z->form = form;
    int r = begin(z);
    if (r < 0) {
        unzip_free(z);
        return r;
    }
    *ret = z;
    return 0;
}

void unzip_free(struct unzip *z)
{
    if (!z)
        return;
    if (z->form == UNZIP_GZIP)
        inflateEnd(&z->gzip);
    if (z->open)
        BZ2_bzDecompressEnd(&z->bzip2);
    ZSTD_freeDCtx(z->zstd);
    free(z);
}

/* ---- gzip ----------------------------------------------------------------------------------- */

static int next_gzip(struct unzip *z, struct str in, size_t *ret_used, char *out, size_t cap,
                     size_t *ret_made)
{
    z_stream *s = &z->gzip;
    if (z->ended && in.len && inflateReset(s) != Z_OK)
        return -ERR_PARSE;
    z->ended = z->ended && in.len == 0;
    s->next_in = (Bytef *)in.ptr;
    s->avail_in = (uInt)MIN(in.len, (size_t)UINT32_MAX);
    s->next_out = (Bytef *)out;
    s->avail_out = (uInt)MIN(cap, (size_t)UINT32_MAX);
    uInt had = s->avail_in, room = s->avail_out;
    int r = z->ended ? Z_OK : inflate(s, Z_NO_FLUSH);
    *ret_used = had - s->avail_in;
    *ret_made = room - s->avail_out;
    if (r == Z_STREAM_END)
        z->ended = true;
    if (r == Z_MEM_ERROR)
        return -ENOMEM;
    return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -ERR_PARSE;
}

/* ---- bzip2 ---------------------------------------------------------------------------------- */

/* Behind the end of a stream another may begin, with a state of its own. */
static int begin_next_stream(struct unzip *z)
{
    BZ2_bzDecompressEnd(&z->bzip2);
    z->open = z->ended = false;
    return begin_bzip2(z);
}

static int next_bzip2(struct unzip *z, struct str in, size_t *ret_used, char *out, size_t cap,
                      size_t *ret_made)
{
    bz_stream *s = &z->bzip2;
    if (z->ended && in.len == 0)
        return 0;
    int r = z->ended ? begin_next_stream(z) : 0;
    if (r)
        return r;
    s->next_in = (char *)in.ptr;
    s->avail_in = (unsigned)MIN(in.len, (size_t)UINT32_MAX);
    s->next_out = out;
    s->avail_out = (unsigned)MIN(cap, (size_t)UINT32_MAX);
    unsigned had = s->avail_in, room = s->avail_out;
    r = BZ2_bzDecompress(s);
    *ret_used = had - s->avail_in;
    *ret_made = room - s->avail_out;
    z->ended = r == BZ_STREAM_END;
    if (r == BZ_MEM_ERROR)
        return -ENOMEM;
    return r == BZ_OK || r == BZ_STREAM_END ? 0 : -ERR_PARSE;
}

/* ---- zstd ----------------------------------------------------------------------------------- */

static int next_zstd(struct unzip *z, struct str in, size_t *ret_used, char *out, size_t cap,
                     size_t *ret_made)
{
    ZSTD_inBuffer from = {in.ptr, in.len, 0};
    ZSTD_outBuffer to = {out, cap, 0};
    if (z->ended && in.len == 0)
        return 0;
    size_t r = ZSTD_decompressStream(z->zstd, &to, &from);
    if (ZSTD_isError(r))
        return -ERR_PARSE;
    z->ended = r == 0;
    *ret_used = from.pos;
    *ret_made = to.pos;
    return 0;
}

int unzip_next(struct unzip *z, struct str in, size_t *ret_used, char *out, size_t cap,
               size_t *ret_made)
{
    *ret_used = *ret_made = 0;
    switch (z->form) {
    case UNZIP_GZIP:
        return next_gzip(z, in, ret_used, out, cap, ret_made);
    case UNZIP_BZIP2:
        return next_bzip2(z, in, ret_used, out, cap, ret_made);
    default:
        return next_zstd(z, in, ret_used, out, cap, ret_made);
    }
}

int unzip_eof(const struct unzip *z)
{
    return z->ended ? 0 : -ERR_PARSE;
}
