/* Planning (Dynamo section 4.6, sloppy quorum and hinted handoff): see plan.h. */
#include "coord/plan.h"

#include "base/assert.h"

_Static_assert(PREFERENCE_MAX <= 32 && REPLICAS_MAX <= 8, "positions fit their masks");

static uint32_t lowest(position_set s)
{
    return s ? (uint32_t)__builtin_ctz(s) : PLAN_NONE;
}

position_set plan_window(uint32_t homes, position_set good, bool strict)
{
    if (strict)
        return good & positions_below(homes);
    position_set window = 0;
    for (uint32_t taken = 0; taken < homes && good; taken++) {
        window |= good & -good;
        good &= good - 1;
    }
    return window;
}

/* The member that takes the hints no fallback can take. */
static uint32_t carrier(const struct plan_view *v, position_set send)
{
    position_set sent = send & ~v->no_hints;
    position_set all = sent | (v->carriers & ~v->no_hints);
    if (v->self != PLAN_NONE && (all & position_bit(v->self)))
        return v->self;
    return lowest(sent ? sent : all);
}

struct plan plan_write(const struct plan_view *v)
{
    KV_ASSERT(v->homes >= 1 && v->homes <= REPLICAS_MAX);
    position_set homes = positions_below(v->homes);
    struct plan plan = {.send = v->idle & homes};
    position_set bare = homes & ~v->covered & ~plan.send; /* homes that nobody cares for yet */
    position_set spare = v->idle & ~homes & ~v->no_hints; /* fallbacks */
    while (bare && spare) {
        uint32_t p = lowest(spare);
        plan.send |= position_bit(p);
        plan.hints[p] = (uint8_t)(bare & -bare);
        bare &= bare - 1;
        spare &= spare - 1;
    }
    uint32_t last = bare ? carrier(v, plan.send) : PLAN_NONE;
    if (last != PLAN_NONE) {
        plan.send |= position_bit(last);
        plan.hints[last] |= (uint8_t)bare;
    }
    return plan;
}

uint32_t plan_reader(uint32_t homes, position_set candidates, const uint8_t distance[PREFERENCE_MAX])
{
    uint32_t best = PLAN_NONE;
    for (position_set s = candidates & positions_below(homes); s; s &= s - 1) {
        uint32_t p = lowest(s);
        if (best == PLAN_NONE || distance[p] < distance[best])
            best = p;
    }
    return best != PLAN_NONE ? best : lowest(candidates);
}
