/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "ec/internal.h"

uint8_t field_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0, shifted = a;
    for (; b; b >>= 1) {
        if (b & 1)
            product ^= shifted;
        shifted = shifted & 0x80 ? shifted << 1 ^ 0x11d : shifted << 1;
    }
    return (uint8_t)product;
}

/* a^254, for a^255 is 1: the product of a^2, a^4, ... a^128. */
uint8_t field_inv(uint8_t a)
{
    uint8_t power = a, product = 1;
    for (unsigned i = 1; i < 8; i++) {
        power = field_mul(power, power);
        product = field_mul(product, power);
    }
    return product;
}
