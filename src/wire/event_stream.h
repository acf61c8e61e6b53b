/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Messages of application/vnd.amazon.eventstream, the form in which SelectObjectContent answers: a
 * prelude with its own CRC-32, headers, a payload, the CRC-32 of all.
 *
 * Sources: S3 API Reference, "SelectObjectContent" (Response Syntax, "Appendix: SelectObjectContent
 * Response"); Amazon Transcribe Developer Guide, "Event stream encoding".
 */

#include "base/buf.h"

#define EVENT_STREAM_PAYLOAD_MAX (16 * MIB)
#define EVENT_STREAM_VALUE_MAX   32767

struct event_stream_header {
    struct str name;  /* 1 to 255 bytes */
    struct str value; /* at most EVENT_STREAM_VALUE_MAX */
};

/* One message behind what `b` holds, its headers being strings. Lengths beyond the limits CHECK. */
void event_stream_put(struct buf *b, const struct event_stream_header *headers, unsigned count,
                      struct str payload);
/* The same for an event and for an error of S3. `content_type` "": none, as without a payload. */
void event_stream_put_event(struct buf *b, struct str type, struct str content_type,
                            struct str payload);
void event_stream_put_error(struct buf *b, struct str code, struct str message);
