/* Any bytes as a datagram: probes and gossip come from strangers. */
#include "fuzz/again.h"
#include "kv_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    uint8_t datagram[DATAGRAM_MAX_BYTES];
    struct message m;
    if (size < WIRE_HEADER_BYTES || size > sizeof datagram)
        return 0;
    /* With the lengths right, else nearly all inputs die in the header. */
    memcpy(datagram, data, size);
    be32_put(datagram, (uint32_t)size - 4);
    be32_put(datagram + WIRE_HEADER_BYTES - 4, (uint32_t)(size - WIRE_HEADER_BYTES));
    arena_reset(&arena);
    if (wire_decode_datagram(bytes_of(datagram, size), &arena, &m) == KV_OK)
        send_again(&m, 0);
    arena_reset(&arena);
    if (wire_decode_datagram(bytes_of(data, size), &arena, &m) == KV_OK)
        message_release(&m);
    return 0;
}
