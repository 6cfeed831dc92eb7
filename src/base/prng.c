/* xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators"), seeded by splitmix64.
 */
#include "base/prng.h"

#include "base/assert.h"
#include "base/hash.h"

/* splitmix64 fills the state, as the authors of xoshiro advise: no seed gives the forbidden all-zero state.
 */
void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        p->s[i] = hash64_mix(seed);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* Lemire 2019, "Fast random integer generation in an interval": the high half of a product is uniform once
 * the few low halves that would favour some results are rejected. */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
    KV_ASSERT(bound >= 1);
    unsigned __int128 product = (unsigned __int128)prng_u64(p) * bound;
    if ((uint64_t)product < bound) {
        uint64_t rejected = -bound % bound; /* 2^64 mod bound */
        while ((uint64_t)product < rejected)
            product = (unsigned __int128)prng_u64(p) * bound;
    }
    return (uint64_t)(product >> 64);
}

double prng_unit(struct prng *p)
{
    return (double)(prng_u64(p) >> 11) * 0x1.0p-53;
}

void prng_shuffle_u32(struct prng *p, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)prng_below(p, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
