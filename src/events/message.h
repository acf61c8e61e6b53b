/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What is sent of an event: the JSON of S3's event notifications, in an object that also has
 * EventName and Key, which other servers send and their consumers read. Pure.
 * Source: S3 User Guide, "Event message structure".
 */

#include "base/buf.h"
#include "store/outbox.h"

#define EVENT_TEST STR("TestEvent") /* the name of what only tries the way */

/* One line of UTF-8 without a line end. */
void event_message_put(struct buf *out, const struct outbox_row *row, struct str region);
/* The same each time the event is sent, and another for every event. */
void event_message_id(struct buf *out, const struct outbox_row *row);
