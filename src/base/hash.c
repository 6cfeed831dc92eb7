/* The one place that includes xxhash; inlined, so nothing of it is linked or exported. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(struct bytes bytes)
{
    return XXH3_64bits(bytes.data, bytes.len);
}

uint64_t hash64_seeded(struct bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.len, seed);
}
