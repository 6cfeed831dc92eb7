/* How often a test goes round that draws its runs at random, or how much it piles up. A sanitizer makes each
 * round three to ten times as long, and what it looks for shows in the first ones: a quarter of them runs
 * there, and all in other builds. KV_LONG=1, as in `make test-long`: all everywhere. */
#ifndef UNIT_ROUNDS_H
#define UNIT_ROUNDS_H

#include <stdint.h>
#include <stdlib.h>

static inline uint32_t rounds_of(uint32_t all)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    if (!getenv("KV_LONG"))
        return (all + 3) / 4;
#endif
    return all;
}

#endif
