/* Keys and their place: a key's token is XXH3-64 of its bytes; the token space is cut into Q equal
 * partitions. */
#ifndef MODEL_KEY_H
#define MODEL_KEY_H

#include "base/hash.h"
#include "model/limits.h"

static inline uint64_t key_token(struct bytes key)
{
    return hash64(key);
}

/* `partitions` is a power of two. */
static inline uint32_t token_partition(uint64_t token, uint32_t partitions)
{
    return (uint32_t)(((unsigned __int128)token * partitions) >> 64);
}

/* First token of a partition. */
static inline uint64_t partition_first_token(uint32_t partition, uint32_t partitions)
{
    return (uint64_t)(((unsigned __int128)partition << 64) / partitions);
}

static inline bool key_ok(struct bytes key)
{
    return key.len >= 1 && key.len <= KEY_MAX_BYTES;
}

#endif
