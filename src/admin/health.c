/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"

void FIBER admin_health_live(struct admin *a, struct http_exchange *x, struct str body)
{
    http_respond(x, 200, STR_NULL);
}

/* Ready: serving, and able to write somewhere. A full disk still serves reads and deletes. */
void FIBER admin_health_ready(struct admin *a, struct http_exchange *x, struct str body)
{
    if (!atomic_load(&a->draining)) {
        http_respond(x, 200, STR_NULL);
        return;
    }
    http_set_header(x, "Retry-After", STR("5"));
    http_respond(x, 503, STR_NULL);
}
