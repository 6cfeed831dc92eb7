/* Forward zones that do not overlap lie one behind the other, so that for each backward zone only one of them
 * can be around it. */
#include "sim/check_zone.h"

#include <stdlib.h>

/* Forward zones first, by their beginning; then the others, in an order that is always the same. */
static int compare_zones(const void *left, const void *right)
{
    const struct check_zone *a = left, *b = right;
    bool a_forward = check_zone_is_forward(a), b_forward = check_zone_is_forward(b);
    if (a_forward != b_forward)
        return a_forward ? -1 : 1;
    if (a->ended != b->ended)
        return a->ended < b->ended ? -1 : 1;
    if (a->began != b->began)
        return a->began < b->began ? -1 : 1;
    return (a->first_ended > b->first_ended) - (a->first_ended < b->first_ended);
}

/* The last of the forward zones that begins before `ns`. */
static const struct check_zone *zone_before(const struct check_zone *forward, size_t count, uint64_t ns)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (forward[middle].ended < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &forward[low - 1] : NULL;
}

bool check_zones(struct check_zone *zones, size_t count, const struct check_zone **a,
                 const struct check_zone **b)
{
    size_t forward = 0;
    qsort(zones, count, sizeof *zones, compare_zones);
    while (forward < count && check_zone_is_forward(&zones[forward]))
        forward++;
    for (size_t i = 1; i < forward; i++) {
        if (zones[i].ended < zones[i - 1].began) {
            *a = &zones[i - 1];
            *b = &zones[i];
            return true;
        }
    }
    for (size_t i = forward; i < count; i++) {
        const struct check_zone *around = zone_before(zones, forward, zones[i].began);
        if (around && zones[i].ended < around->began && !(zones[i].loose && around->absent)) {
            *a = around;
            *b = &zones[i];
            return true;
        }
    }
    return false;
}
