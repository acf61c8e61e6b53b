/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The 64 steps of one MD5 block (RFC 1321, section 3.4) over any word type: uint32_t for one
 * stream, a SIMD vector for as many streams as it has lanes. Private to base/md5.c.
 */

#define MD5_F(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
/* A sum, for its halves have no bit in common: only one of them waits for the step before. */
#define MD5_G(b, c, d) (((b) & (d)) + ((c) & ~(d)))
#define MD5_H(b, c, d) ((b) ^ (c) ^ (d))
#define MD5_I(b, c, d) ((c) ^ ((b) | ~(d)))

#define MD5_STEP(f, a, b, c, d, word, constant, turn) \
    a += f(b, c, d) + (word) + (constant);            \
    a = (a << (turn) | a >> (32 - (turn))) + b

#define MD5_FOUR(step, f, i0, i1, i2, i3, k0, k1, k2, k3, s0, s1, s2, s3) \
    step(f, a, b, c, d, i0, k0, s0);                                      \
    step(f, d, a, b, c, i1, k1, s1);                                      \
    step(f, c, d, a, b, i2, k2, s2);                                      \
    step(f, b, c, d, a, i3, k3, s3)

/*
 * step(f, a, b, c, d, i, k, s) is a step with word `i` of the block, made of MD5_STEP: for one
 * stream, or for each of several, whose names it makes of these letters. Adds nothing to the state.
 */
#define MD5_ALL_STEPS(step)                                                                        \
    MD5_FOUR(step, MD5_F, 0, 1, 2, 3, 0xD76AA478u, 0xE8C7B756u, 0x242070DBu, 0xC1BDCEEEu, 7, 12,   \
             17, 22);                                                                              \
    MD5_FOUR(step, MD5_F, 4, 5, 6, 7, 0xF57C0FAFu, 0x4787C62Au, 0xA8304613u, 0xFD469501u, 7, 12,   \
             17, 22);                                                                              \
    MD5_FOUR(step, MD5_F, 8, 9, 10, 11, 0x698098D8u, 0x8B44F7AFu, 0xFFFF5BB1u, 0x895CD7BEu, 7, 12, \
             17, 22);                                                                              \
    MD5_FOUR(step, MD5_F, 12, 13, 14, 15, 0x6B901122u, 0xFD987193u, 0xA679438Eu, 0x49B40821u, 7,   \
             12, 17, 22);                                                                          \
    MD5_FOUR(step, MD5_G, 1, 6, 11, 0, 0xF61E2562u, 0xC040B340u, 0x265E5A51u, 0xE9B6C7AAu, 5, 9,   \
             14, 20);                                                                              \
    MD5_FOUR(step, MD5_G, 5, 10, 15, 4, 0xD62F105Du, 0x02441453u, 0xD8A1E681u, 0xE7D3FBC8u, 5, 9,  \
             14, 20);                                                                              \
    MD5_FOUR(step, MD5_G, 9, 14, 3, 8, 0x21E1CDE6u, 0xC33707D6u, 0xF4D50D87u, 0x455A14EDu, 5, 9,   \
             14, 20);                                                                              \
    MD5_FOUR(step, MD5_G, 13, 2, 7, 12, 0xA9E3E905u, 0xFCEFA3F8u, 0x676F02D9u, 0x8D2A4C8Au, 5, 9,  \
             14, 20);                                                                              \
    MD5_FOUR(step, MD5_H, 5, 8, 11, 14, 0xFFFA3942u, 0x8771F681u, 0x6D9D6122u, 0xFDE5380Cu, 4, 11, \
             16, 23);                                                                              \
    MD5_FOUR(step, MD5_H, 1, 4, 7, 10, 0xA4BEEA44u, 0x4BDECFA9u, 0xF6BB4B60u, 0xBEBFBC70u, 4, 11,  \
             16, 23);                                                                              \
    MD5_FOUR(step, MD5_H, 13, 0, 3, 6, 0x289B7EC6u, 0xEAA127FAu, 0xD4EF3085u, 0x04881D05u, 4, 11,  \
             16, 23);                                                                              \
    MD5_FOUR(step, MD5_H, 9, 12, 15, 2, 0xD9D4D039u, 0xE6DB99E5u, 0x1FA27CF8u, 0xC4AC5665u, 4, 11, \
             16, 23);                                                                              \
    MD5_FOUR(step, MD5_I, 0, 7, 14, 5, 0xF4292244u, 0x432AFF97u, 0xAB9423A7u, 0xFC93A039u, 6, 10,  \
             15, 21);                                                                              \
    MD5_FOUR(step, MD5_I, 12, 3, 10, 1, 0x655B59C3u, 0x8F0CCC92u, 0xFFEFF47Du, 0x85845DD1u, 6, 10, \
             15, 21);                                                                              \
    MD5_FOUR(step, MD5_I, 8, 15, 6, 13, 0x6FA87E4Fu, 0xFE2CE6E0u, 0xA3014314u, 0x4E0811A1u, 6, 10, \
             15, 21);                                                                              \
    MD5_FOUR(step, MD5_I, 4, 11, 2, 9, 0xF7537E82u, 0xBD3AF235u, 0x2AD7D2BBu, 0xEB86D391u, 6, 10,  \
             15, 21)
