/* Who is asked: pure functions over the positions of a preference list (homes first, then fallbacks). A set
 * of positions is a bit mask, bit p for position p; a set of homes is its lowest REPLICAS_MAX bits. Nothing
 * here knows members, messages or time: what is slow or broken has been taken out of the sets by the caller.
 */
#ifndef COORD_PLAN_H
#define COORD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/limits.h"

typedef uint32_t position_set;

#define PLAN_NONE UINT32_MAX

static inline position_set position_bit(uint32_t p)
{
    return (position_set)1 << p;
}

static inline uint32_t position_count(position_set s)
{
    return (uint32_t)__builtin_popcount(s);
}

/* Positions 0..n-1. */
static inline position_set positions_below(uint32_t n)
{
    return n >= 32 ? UINT32_MAX : position_bit(n) - 1;
}

/* The smallest number of n that every other such number of them meets. */
static inline uint32_t plan_majority(uint32_t n)
{
    return n / 2 + 1;
}

/* How many have to hold a row so that every majority of n meets one of them; and how many homes' word proves
 * that no majority holds one: N - M + 1. */
static inline uint32_t plan_cover(uint32_t n)
{
    return n - plan_majority(n) + 1;
}

/* Who counts: strict, the homes; sloppy, the first `homes` members of the list among `good`. */
position_set plan_window(uint32_t homes, position_set good, bool strict);

/* How a put stands. A home is `covered` when nothing has to be done for it now: it has the row, or a write or
 * a hint for it is on its way, or a hint for it is kept. */
struct plan_view {
    uint32_t homes;
    uint32_t self;         /* position of this node; PLAN_NONE: not on the list */
    position_set idle;     /* can be sent the row, which they have not */
    position_set carriers; /* have the row, and can be sent it again with a hint */
    position_set no_hints; /* have refused hints */
    position_set covered;  /* homes */
};

/* The writes to send now: to every position of `send` one, with hints for the homes in hints[position]. */
struct plan {
    position_set send;
    uint8_t hints[PREFERENCE_MAX];
};

/* Every idle home gets the row. For each home that is not covered then, the next idle fallback stands in,
 * with a hint; when there is none left, the hint goes to a member that has or gets the row anyway: this node
 * if it is one of them, else one that is sent to in this plan, else the first that can be sent to again. */
struct plan plan_write(const struct plan_view *view);

/* Whom to read from next among `candidates`: a home before a fallback, the nearer home before the farther
 * one, and the order of the list otherwise. PLAN_NONE: nobody is left. */
uint32_t plan_reader(uint32_t homes, position_set candidates, const uint8_t distance[PREFERENCE_MAX]);

#endif
