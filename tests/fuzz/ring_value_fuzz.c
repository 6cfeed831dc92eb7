/* Any bytes as a ring value: what is accepted is in order and has this one encoding. */
#include "base/assert.h"
#include "kv_error.h"
#include "model/ring_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf again;
    struct ring_value value;
    if (ring_value_decode(bytes_of(data, size), &value) == KV_OK) {
        KV_ASSERT(ring_value_check(&value) == KV_OK);
        buf_clear(&again);
        KV_ASSERT(ring_value_encode(&value, &again) == KV_OK);
        KV_ASSERT(bytes_eq(buf_bytes(&again), bytes_of(data, size)));
    }
    ring_value_deinit(&value);
    return 0;
}
