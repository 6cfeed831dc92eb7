/* Who is asked: pure functions over the positions of a request's members. A set of positions is a bit mask,
 * bit p for position p. Nothing here knows members, messages or time: what is slow or broken has been taken
 * out of the sets by the caller.
 *
 *     0 .. homes-1        the read homes: slot s is read at position s
 *     homes .. listed-1   the fallbacks
 *     listed .. width-1   while the ring changes: the twins of slots that move, and extra homes
 *
 * A position of the list has something *whole* when it counts as one that has it: a fallback by itself, a
 * slot when its twin has it too (DESIGN section 7). A read home that is given up has nothing, ever. */
#ifndef COORD_PLAN_H
#define COORD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/limits.h"

#define POSITIONS_MAX (PREFERENCE_MAX + REPLICAS_MAX)

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

/* What the positions are. In a ring that does not change only the three numbers count, and listed = width. */
struct plan_shape {
    uint8_t homes, listed, width;
    uint8_t twin[REPLICAS_MAX]; /* the position of each slot's twin; 0: it has none */
    position_set given_up;
};

static inline bool plan_moves(const struct plan_shape *s)
{
    return s->listed < s->width || s->given_up;
}

/* Everybody who has to have a row: read homes, twins, extras. */
static inline position_set plan_holders(const struct plan_shape *s)
{
    position_set fallbacks = positions_below(s->listed) & ~positions_below(s->homes);
    return positions_below(s->width) & ~fallbacks & ~s->given_up;
}

/* The positions of the list that are whole when the members of `set` have it. */
position_set plan_whole(const struct plan_shape *s, position_set set);

/* The members that have to have it for a position of the list to be whole. */
position_set plan_unit(const struct plan_shape *s, uint32_t position);

/* Read homes, and in the place of those given up their twins. */
position_set plan_heirs(const struct plan_shape *s, position_set homes);

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

/* How a put stands. A holder is `covered` when nothing has to be done for it now: it has the row, or a write
 * or a hint for it is on its way, or a hint for it is kept. */
struct plan_view {
    uint32_t self;          /* position of this node; PLAN_NONE: none */
    position_set holders;   /* plan_holders */
    position_set fallbacks; /* the others of the list */
    position_set idle;      /* can be sent the row, which they have not */
    position_set carriers;  /* have the row, and can be sent it again with a hint */
    position_set no_hints;  /* have refused hints */
    position_set covered;   /* holders */
    position_set vacant;    /* holders for whom a fallback should stand in whether they have the row or not */
};

/* The writes to send now: to every position of `send` one, with hints for the holders in hints[position]. */
struct plan {
    position_set send;
    position_set hints[POSITIONS_MAX];
};

/* Every idle holder gets the row. For each holder that is not covered then, the next idle fallback stands in,
 * with a hint; when there is none left, the hint goes to a member that has or gets the row anyway: this node
 * if it is one of them, else one that is sent to in this plan, else the first that can be sent to again. */
struct plan plan_write(const struct plan_view *view);

/* Whom to read from next among `candidates`: a home before a fallback, the nearer home before the farther
 * one, and the order of the list otherwise. PLAN_NONE: nobody is left. */
uint32_t plan_reader(uint32_t homes, position_set candidates, const uint8_t distance[PREFERENCE_MAX]);

#endif
