/* What was decoded, encoded, decoded and encoded once more: both encodings must be the same. Shared by the
 * harnesses of messages. */
#ifndef TESTS_FUZZ_AGAIN_H
#define TESTS_FUZZ_AGAIN_H

#include "base/assert.h"
#include "kv_error.h"
#include "wire/wire.h"

/* Takes over `m`'s references. */
static inline void send_again(struct message *m, uint32_t value_max_bytes)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    static struct buf first, second;
    struct wire_frame frame;
    struct wire_header h;
    struct message copy;
    buf_clear(&first);
    buf_clear(&second);
    KV_ASSERT(wire_encode(m, &first, &frame) == KV_OK && frame.payload_count <= 1);
    KV_ASSERT(wire_decode_header(first.data, UINT32_MAX, &h) == KV_OK);
    struct blob *payload = frame.payload_count ? frame.payloads[0] : NULL;
    struct bytes body = bytes_of(first.data + WIRE_HEADER_BYTES, h.body_size);
    arena_reset(&arena);
    KV_ASSERT(wire_decode(&h, body, payload, value_max_bytes, &arena, &copy) == KV_OK);
    KV_ASSERT(wire_encode(&copy, &second, &frame) == KV_OK);
    KV_ASSERT(bytes_eq(buf_bytes(&first), buf_bytes(&second)));
    KV_ASSERT((frame.payload_count ? frame.payloads[0] : NULL) == payload);
    message_release(&copy);
    message_release(m);
}

#endif
