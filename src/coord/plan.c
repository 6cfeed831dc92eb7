/* Planning (Dynamo section 4.6, sloppy quorum and hinted handoff): see plan.h. */
#include "coord/plan.h"

#include "base/assert.h"

_Static_assert(POSITIONS_MAX <= 32, "positions fit their masks");

static uint32_t lowest(position_set s)
{
    return s ? (uint32_t)__builtin_ctz(s) : PLAN_NONE;
}

position_set plan_unit(const struct plan_shape *s, uint32_t position)
{
    KV_ASSERT(position < s->listed);
    uint32_t twin = position < s->homes ? s->twin[position] : 0;
    return position_bit(position) | (twin ? position_bit(twin) : 0);
}

position_set plan_whole(const struct plan_shape *s, position_set set)
{
    position_set whole = set & positions_below(s->listed);
    if (!plan_moves(s))
        return whole;
    whole &= ~s->given_up;
    for (uint32_t p = 0; p < s->homes; p++) {
        if (plan_unit(s, p) & ~set)
            whole &= ~position_bit(p);
    }
    return whole;
}

position_set plan_heirs(const struct plan_shape *s, position_set homes)
{
    position_set heirs = homes & ~s->given_up;
    for (position_set left = homes & s->given_up; left; left &= left - 1)
        heirs |= plan_unit(s, lowest(left));
    return heirs & ~s->given_up;
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
    KV_ASSERT(v->holders && !(v->holders & v->fallbacks));
    struct plan plan = {.send = v->idle & v->holders};
    position_set bare = v->holders & ~v->covered & ~plan.send; /* holders that nobody cares for yet */
    position_set seats = bare | v->vacant;
    position_set spare = v->idle & v->fallbacks & ~v->no_hints;
    while (seats && spare) {
        uint32_t p = lowest(spare);
        plan.send |= position_bit(p);
        plan.hints[p] = seats & -seats;
        seats &= seats - 1;
        spare &= spare - 1;
    }
    bare &= seats;
    uint32_t last = bare ? carrier(v, plan.send) : PLAN_NONE;
    if (last != PLAN_NONE) {
        plan.send |= position_bit(last);
        plan.hints[last] |= bare;
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
