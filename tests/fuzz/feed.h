/* Fuzz input as a conversation: a list of | who 1 | type 1 | body size 2 | payload size 1 | body | payload |.
 * Each gets a header that is right, so that every byte of input is spent on what lies behind it. */
#ifndef TESTS_FUZZ_FEED_H
#define TESTS_FUZZ_FEED_H

#include "base/assert.h"
#include "kv_error.h"
#include "wire/wire.h"

#define FEED_HEAD_BYTES 5u
#define FEED_VALUE_MAX  4096u

/* Takes the next message off `in`; released by the caller. False when there is none left; a message that the
 * wire refuses is passed over. */
static inline bool feed_next(struct bytes *in, uint64_t cluster, uint64_t epoch, struct arena *arena,
                             uint8_t *who, struct message *out)
{
    while (in->len > FEED_HEAD_BYTES) {
        const uint8_t *head = in->data;
        uint32_t rest = (uint32_t)(in->len - FEED_HEAD_BYTES);
        uint32_t body = (uint32_t)head[2] << 8 | head[3], payload = head[4];
        body = body < rest ? body : rest;
        payload = payload < rest - body ? payload : rest - body;
        uint8_t header[WIRE_HEADER_BYTES] = {[4] = PROTOCOL_VERSION, [5] = head[1]};
        struct wire_header h;
        be32_put(header, WIRE_HEADER_BYTES - 4 + body + payload);
        be64_put(header + 8, 77);
        be64_put(header + 16, cluster);
        be64_put(header + 24, epoch);
        be32_put(header + WIRE_HEADER_BYTES - 4, body);
        struct bytes bytes = bytes_of(head + FEED_HEAD_BYTES, body);
        struct blob *blob = payload ? blob_copy(bytes_of(bytes.data + body, payload)) : NULL;
        *in = bytes_of(bytes.data + body + payload, rest - body - payload);
        *who = head[0];
        arena_reset(arena);
        int rc = wire_decode_header(header, FRAME_EXTRA_MAX_BYTES + FEED_VALUE_MAX, &h);
        if (rc == KV_OK)
            rc = wire_decode(&h, bytes, blob, FEED_VALUE_MAX, arena, out);
        blob_unref(blob);
        if (rc == KV_OK)
            return true;
    }
    return false;
}

#endif
