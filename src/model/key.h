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

/* A partition's tokens are cut into TREE_LEAVES equal runs again: the leaves of its hash tree. */
static inline uint32_t token_leaf(uint64_t token, uint32_t partitions)
{
    return token_partition(token, partitions * TREE_LEAVES) % TREE_LEAVES;
}

/* First token of a leaf; of leaf TREE_LEAVES, where the partition ends: 0 for the last one. */
static inline uint64_t leaf_first_token(uint32_t partition, uint32_t leaf, uint32_t partitions)
{
    return partition_first_token(partition * TREE_LEAVES + leaf, partitions * TREE_LEAVES);
}

static inline bool key_ok(struct bytes key)
{
    return key.len >= 1 && key.len <= KEY_MAX_BYTES;
}

#endif
