/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The chunked coding as a byte machine for the framing lines and whole runs for the data:
 *
 *   SIZE_FIRST -> SIZE -> [EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 *                                        SIZE_LF (size 0) -> TRAILER_FIRST
 *   TRAILER_FIRST -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER_FIRST
 *   TRAILER_FIRST -> END_LF -> ENDED                 any -> BROKEN
 *
 * Invariant: `left` is the chunk's size from SIZE_LF on and 0 again at DATA_CR.
 */

#include "wire/http1.h"
#include "base/error.h"
#include "wire/chars.h"

enum {
    SIZE_FIRST,
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    ENDED,
    BROKEN,
};

#define SIZE_LINE_MAX  256
#define EXTENSIONS_MAX (16 * KIB)
#define TRAILERS_MAX   (8 * KIB)

void http1_chunked_init(struct http1_chunked *c)
{
    *c = (struct http1_chunked){.state = SIZE_FIRST};
}

/* At most 15 digits count, so that no size comes near an overflow. */
static int size_digit(struct http1_chunked *c, char byte)
{
    int digit = char_hex(byte);
    if (digit < 0 || c->left >> 56)
        return BROKEN;
    c->left = c->left << 4 | (unsigned)digit;
    return SIZE;
}

static int size_byte(struct http1_chunked *c, char byte)
{
    if (++c->line_bytes > SIZE_LINE_MAX)
        return BROKEN;
    switch (byte) {
    case '\r':
        return SIZE_LF;
    case ';':
        return EXTENSION;
    default:
        return size_digit(c, byte);
    }
}

static int extension_byte(struct http1_chunked *c, char byte)
{
    if (++c->line_bytes > SIZE_LINE_MAX || ++c->extension_bytes > EXTENSIONS_MAX)
        return BROKEN;
    if (byte == '\r')
        return SIZE_LF;
    return char_is(byte, CHAR_FIELD) ? EXTENSION : BROKEN;
}

static int trailer_byte(struct http1_chunked *c, char byte)
{
    if (++c->trailer_bytes > TRAILERS_MAX)
        return BROKEN;
    if (c->state == TRAILER_FIRST && byte == '\r')
        return END_LF;
    if (c->state == TRAILER_VALUE) {
        if (byte == '\r')
            return TRAILER_LF;
        return char_is(byte, CHAR_FIELD) ? TRAILER_VALUE : BROKEN;
    }
    if (c->state == TRAILER_NAME && byte == ':')
        return TRAILER_VALUE;
    return char_is(byte, CHAR_TOKEN) ? TRAILER_NAME : BROKEN;
}

static int next_state(struct http1_chunked *c, char byte)
{
    switch (c->state) {
    case SIZE_FIRST:
        c->line_bytes = 1;
        return size_digit(c, byte);
    case SIZE:
        return size_byte(c, byte);
    case EXTENSION:
        return extension_byte(c, byte);
    case SIZE_LF:
        return byte != '\n' ? BROKEN : c->left ? DATA : TRAILER_FIRST;
    case DATA_CR:
        return byte == '\r' ? DATA_LF : BROKEN;
    case DATA_LF:
        return byte == '\n' ? SIZE_FIRST : BROKEN;
    case TRAILER_FIRST:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return trailer_byte(c, byte);
    case TRAILER_LF:
        return byte == '\n' ? TRAILER_FIRST : BROKEN;
    case END_LF:
        return byte == '\n' ? ENDED : BROKEN;
    default:
        return BROKEN;
    }
}

static struct str take_data(struct http1_chunked *c, struct str in, size_t used)
{
    struct str run = str_prefix(str_from_offset(in, used), c->left);
    c->left -= run.len;
    if (c->left == 0)
        c->state = DATA_CR;
    return run;
}

int http1_chunked_next(struct http1_chunked *c, struct str in, size_t *ret_used,
                       struct str *ret_data)
{
    size_t used = 0;
    while (used < in.len && c->state != DATA && c->state < ENDED)
        c->state = next_state(c, in.ptr[used++]);
    if (c->state == BROKEN)
        return -ERR_PARSE;
    *ret_data = STR("");
    if (c->state == DATA && used < in.len) {
        *ret_data = take_data(c, in, used);
        used += ret_data->len;
    }
    *ret_used = used;
    return c->state == ENDED;
}
