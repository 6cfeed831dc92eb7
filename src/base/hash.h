/* Hashing, all of it XXH3-64 (xxhash): tokens of keys, points on the ring, fingerprints of values. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

uint64_t hash64(struct bytes bytes);
uint64_t hash64_seeded(struct bytes bytes, uint64_t seed);

/* A bijective mixer for integers (splitmix64's finaliser). */
static inline uint64_t hash64_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

#endif
