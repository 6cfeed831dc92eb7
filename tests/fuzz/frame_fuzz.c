/* Any bytes as a frame of a connection. What is accepted must survive being sent again, byte for byte. */
#include "fuzz/again.h"
#include "kv_error.h"

#define VALUE_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    uint8_t header[WIRE_HEADER_BYTES];
    struct wire_header h;
    struct message m;
    if (size < WIRE_HEADER_BYTES)
        return 0;
    memcpy(header, data, sizeof header);
    be32_put(header, (uint32_t)size - 4); /* else nearly all inputs die here */
    if (wire_decode_header(header, FRAME_EXTRA_MAX_BYTES + VALUE_MAX, &h))
        return 0;
    struct bytes body = bytes_of(data + WIRE_HEADER_BYTES, h.body_size);
    struct blob *payload = blob_copy(bytes_of(body.data + body.len, wire_payload_bytes(&h)));
    arena_reset(&arena);
    if (wire_decode(&h, body, payload, VALUE_MAX, &arena, &m) == KV_OK)
        send_again(&m, VALUE_MAX);
    blob_unref(payload);
    return 0;
}
