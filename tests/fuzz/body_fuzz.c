/* Any bytes as the body of every message: the type in front decides which codec reads them. What is accepted
 * must survive being sent again, byte for byte. */
#include "fuzz/again.h"
#include "fuzz/feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    struct bytes in = bytes_of(data, size);
    struct message m;
    uint8_t who;
    while (feed_next(&in, 1, 1, &arena, &who, &m))
        send_again(&m, FEED_VALUE_MAX);
    return 0;
}
