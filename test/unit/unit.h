/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What every unit test includes first: cmocka wants these before it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/defs.h"
