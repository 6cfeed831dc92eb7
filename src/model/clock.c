/* The hybrid logical clock: see clock.h. Sums saturate rather than wrap, because a row that comes by repair
 * is never refused and may carry any number. */
#include "model/clock.h"

#include "base/assert.h"
#include "model/limits.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t add_ms(uint64_t hlc, uint64_t ms)
{
    uint64_t step = hlc_from_ms(ms);
    return hlc > UINT64_MAX - step ? UINT64_MAX : hlc + step;
}

void clock_init(struct clock *c, uint64_t floor)
{
    c->hlc = floor;
    c->floor = floor;
}

bool clock_can_mint(const struct clock *c, uint64_t wall_ms)
{
    return c->hlc < c->floor && hlc_from_ms(wall_ms) <= c->floor;
}

uint64_t clock_mint(struct clock *c, uint64_t wall_ms)
{
    KV_ASSERT(clock_can_mint(c, wall_ms));
    c->hlc = max_u64(c->hlc + 1, hlc_from_ms(wall_ms));
    return c->hlc;
}

void clock_receive(struct clock *c, uint64_t seen)
{
    c->hlc = max_u64(c->hlc, seen);
}

bool clock_accepts(const struct clock *c, uint64_t wall_ms, uint64_t stamp_hlc)
{
    return stamp_hlc <= max_u64(hlc_from_ms(wall_ms + CLOCK_DRIFT_MAX_MS), add_ms(c->hlc, 1));
}

uint64_t clock_peek(const struct clock *c, uint64_t wall_ms)
{
    return max_u64(c->hlc, hlc_from_ms(wall_ms));
}

/* Far ahead of the wall clock, but only a little ahead of a logical clock that runs before it. Otherwise each
 * of many short lives would begin at the floor of the one before and raise it by the whole reserve, until
 * peers refuse the stamps. */
uint64_t clock_floor_wanted(const struct clock *c, uint64_t wall_ms)
{
    uint64_t wall = hlc_from_ms(wall_ms);
    if (c->floor > add_ms(wall, HLC_RESERVE_MS / 2) && c->floor > add_ms(c->hlc, HLC_RESERVE_AHEAD_MS / 2))
        return 0;
    uint64_t wanted = max_u64(add_ms(wall, HLC_RESERVE_MS), add_ms(c->hlc, HLC_RESERVE_AHEAD_MS));
    return wanted > c->floor ? wanted : 0;
}

void clock_floor_written(struct clock *c, uint64_t floor)
{
    c->floor = max_u64(c->floor, floor);
}

uint32_t clock_settle_ms(const struct clock *c, uint64_t wall_ms)
{
    uint64_t own_ms = hlc_to_ms(c->hlc);
    uint64_t fine_ms = wall_ms + CLOCK_DRIFT_MAX_MS;
    if (own_ms <= fine_ms)
        return 0;
    uint64_t most_ms = HLC_RESERVE_MS - CLOCK_DRIFT_MAX_MS;
    return (uint32_t)(own_ms - fine_ms < most_ms ? own_ms - fine_ms : most_ms);
}
