/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/event_stream.h"

#include "base/hash.h"

#define PRELUDE     12 /* two lengths, their CRC */
#define SUM         4
#define TYPE_STRING 7

static void put_be32(char *to, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (char)(v >> (24 - 8 * i));
}

static size_t header_len(const struct event_stream_header *h)
{
    CHECK(h->name.len >= 1 && h->name.len <= 255 && h->value.len <= EVENT_STREAM_VALUE_MAX);
    return 1 + h->name.len + 1 + 2 + h->value.len;
}

static char *put_header(char *to, const struct event_stream_header *h)
{
    *to++ = (char)h->name.len;
    memcpy(to, h->name.ptr, h->name.len);
    to += h->name.len;
    *to++ = TYPE_STRING;
    *to++ = (char)(h->value.len >> 8);
    *to++ = (char)h->value.len;
    if (h->value.len)
        memcpy(to, h->value.ptr, h->value.len);
    return to + h->value.len;
}

void event_stream_put(struct buf *b, const struct event_stream_header *headers, unsigned count,
                      struct str payload)
{
    size_t headers_len = 0;
    CHECK(payload.len <= EVENT_STREAM_PAYLOAD_MAX);
    for (unsigned i = 0; i < count; i++)
        headers_len += header_len(&headers[i]);
    size_t len = PRELUDE + headers_len + payload.len + SUM;
    char *from = buf_reserve(b, len), *to = from;
    if (!from)
        return;
    put_be32(from, (uint32_t)len);
    put_be32(from + 4, (uint32_t)headers_len);
    put_be32(from + 8, hash_crc32(0, from, 8));
    to += PRELUDE;
    for (unsigned i = 0; i < count; i++)
        to = put_header(to, &headers[i]);
    if (payload.len)
        memcpy(to, payload.ptr, payload.len);
    put_be32(to + payload.len, hash_crc32(0, from, len - SUM));
    from[len] = 0;
    b->len += len;
}

void event_stream_put_event(struct buf *b, struct str type, struct str content_type,
                            struct str payload)
{
    struct event_stream_header headers[3] = {{STR(":message-type"), STR("event")},
                                             {STR(":event-type"), type},
                                             {STR(":content-type"), content_type}};
    event_stream_put(b, headers, content_type.len ? 3 : 2, payload);
}

void event_stream_put_error(struct buf *b, struct str code, struct str message)
{
    struct event_stream_header headers[3] = {
        {STR(":message-type"), STR("error")},
        {STR(":error-code"), code},
        {STR(":error-message"), str_prefix(message, EVENT_STREAM_VALUE_MAX)}};
    event_stream_put(b, headers, 3, STR_NULL);
}
