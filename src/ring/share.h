/* Fair shares with bounds: how many homes each zone, and each member of a zone, should have. In proportion to
 * weight, as far as the bounds allow; what one cannot take is divided among the others. Whole numbers only,
 * so that every node on every machine finds the same. */
#ifndef RING_SHARE_H
#define RING_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct ring_share {
    uint32_t weight; /* at least 1 */
    uint64_t least;
    uint64_t most;
    uint64_t amount; /* result */
    bool settled;    /* at a bound; used by ring_share_out */
};

/* Divides `total` in proportion to weight with least <= amount <= most. Amounts are rounded down, so the sum
 * may fall short of `total` by less than `count`. Asserts that the bounds can be kept: sum of least <= total
 * <= sum of most. */
void ring_share_out(uint64_t total, struct ring_share *shares, uint32_t count);

#endif
