/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/chars.h"

#define T CHAR_TOKEN
#define G CHAR_TARGET
#define F CHAR_FIELD
#define H CHAR_HOST
#define P CHAR_PLAIN
#define X CHAR_HEX

const uint8_t wire_chars[256] = {
    ['\t'] = F,
    [' '] = F,
    ['!'] = T | G | F | H,
    ['"'] = G | F,
    ['#'] = T | F,
    ['$' ... '\''] = T | G | F | H, /* $ % & ' */
    ['(' ... ')'] = G | F | H,
    ['*' ... '+'] = T | G | F | H,
    [','] = G | F | H,
    ['-' ... '.'] = T | G | F | H | P,
    ['/'] = G | F,
    ['0' ... '9'] = T | G | F | H | P | X,
    [':'] = G | F,
    [';'] = G | F | H,
    ['<'] = G | F,
    ['='] = G | F | H,
    ['>' ... '@'] = G | F, /* > ? @ */
    ['A' ... 'F'] = T | G | F | H | P | X,
    ['G' ... 'Z'] = T | G | F | H | P,
    ['[' ... ']'] = G | F, /* [ \ ] */
    ['^'] = T | G | F,
    ['_'] = T | G | F | H | P,
    ['`'] = T | G | F,
    ['a' ... 'f'] = T | G | F | H | P | X,
    ['g' ... 'z'] = T | G | F | H | P,
    ['{'] = G | F,
    ['|'] = T | G | F,
    ['}'] = G | F,
    ['~'] = T | G | F | H | P,
    [0x80 ... 0xff] = G | F,
};
