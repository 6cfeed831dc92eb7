/* A small, seeded, repeatable pseudo-random generator (xoshiro256**, Blackman and Vigna 2018). Pure code is
 * given one; nothing here ever asks the system for randomness. Not for secrets. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_u64(struct prng *p);

/* Uniform in [0, bound), without modulo bias; bound >= 1. */
uint64_t prng_below(struct prng *p, uint64_t bound);

/* Uniform in [0, 1). */
double prng_unit(struct prng *p);

/* Fisher-Yates. */
void prng_shuffle_u32(struct prng *p, uint32_t *items, size_t count);

#endif
