/* The zone test of Gibbons and Korach 1997 ("Testing shared memories", section 4): whether reads and writes
 * of distinct values can all be put in one order, in O(n log n).
 *
 * The write of a value and the reads that returned it form a cluster; in any order that explains the reads,
 * a cluster is one uninterrupted run. Of a cluster only two times matter: `ended`, when the first of its
 * operations ended, and `began`, when the last of them began.
 *
 *     forward   ended < began     |--w--|      |-r-|     the value was there from `ended` to `began`
 *                                       [zone..]
 *     backward  began <= ended    |---w---|              all of them have a moment in common; the value was
 *                                   |-r-|                there for a moment between `began` and `ended`
 *
 * Two clusters contradict each other when each has an operation that ended before one of the other began:
 * two forward zones that overlap, or a backward zone inside a forward one. Two backward zones never do. The
 * theorem: if no two clusters contradict each other, the order exists. */
#ifndef SIM_CHECK_ZONE_H
#define SIM_CHECK_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_zone {
    uint64_t ended, began;
    uint32_t write; /* the operations that made the zone, for the proof */
    uint32_t first_ended;
    uint32_t last_began;
    bool absent; /* the value is "absent" */
    /* A read of "absent" that may belong to any of several zones of it: contradicts only other values. */
    bool loose;
};

static inline bool check_zone_is_forward(const struct check_zone *z)
{
    return z->ended < z->began;
}

/* Looks for two zones that contradict each other. Sorts `zones`. */
bool check_zones(struct check_zone *zones, size_t count, const struct check_zone **a,
                 const struct check_zone **b);

#endif
