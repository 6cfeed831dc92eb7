/* The hybrid logical clock (Kulkarni et al. 2014) as one number: wall milliseconds << 16, the low 16 bits a
 * counter. A carry out of the counter into the milliseconds is legal: only order matters.
 *
 * Invariants: minted values strictly increase over the life of a store, restarts included; nobody can push
 * the clock more than CLOCK_DRIFT_MAX_MS beyond the wall clock in one step.
 *
 * What holds over a restart is the floor: a number on disk, synced, that nothing minted ever exceeds. A new
 * life starts at it. So minting has to wait while a raised floor is on its way to the disk (clock_can_mint):
 * at the start of a life, and after a received value has moved the clock past the floor. Otherwise the floor
 * is raised in time and nobody waits. */
#ifndef MODEL_CLOCK_H
#define MODEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* What time it is, handed to pure code with every step. */
struct now {
    uint64_t mono_us; /* monotonic: for deadlines and durations */
    uint64_t wall_ms; /* wall clock since 1970: only ever for the hybrid clock */
};

#define HLC_COUNTER_BITS 16

static inline uint64_t hlc_from_ms(uint64_t wall_ms)
{
    return wall_ms << HLC_COUNTER_BITS;
}

static inline uint64_t hlc_to_ms(uint64_t hlc)
{
    return hlc >> HLC_COUNTER_BITS;
}

/* Whether what began at `began_hlc` is older than this on a clock that shows `hlc`. */
static inline bool hlc_is_older(uint64_t began_hlc, uint64_t hlc, uint32_t age_ms)
{
    uint64_t began_ms = hlc_to_ms(began_hlc), now_ms = hlc_to_ms(hlc);
    return now_ms > began_ms && now_ms - began_ms > age_ms;
}

struct clock {
    uint64_t hlc;   /* the largest value minted or seen */
    uint64_t floor; /* durable: what is minted is at or below it; a restart begins above it */
};

/* Starts at the floor that a former life reserved on disk (0 for a new store). */
void clock_init(struct clock *c, uint64_t floor);

/* Whether the next value is covered by the durable floor. If not: write clock_floor_wanted and wait for it.
 */
bool clock_can_mint(const struct clock *c, uint64_t wall_ms);

/* A new value, above all minted or seen: max(own + 1, wall << 16). Only when clock_can_mint. */
uint64_t clock_mint(struct clock *c, uint64_t wall_ms);

/* Learns of a value without minting: max(own, seen). The caller has checked it with clock_accepts, except
 * where the design says that rows are never refused. */
void clock_receive(struct clock *c, uint64_t seen);

/* Whether a stamp from a member or client may be taken: up to max(wall + CLOCK_DRIFT_MAX_MS, own + 1 ms). */
bool clock_accepts(const struct clock *c, uint64_t wall_ms, uint64_t stamp_hlc);

/* Now on this clock without advancing it: max(own, wall << 16). What expiry is tested against. */
uint64_t clock_peek(const struct clock *c, uint64_t wall_ms);

/* The new floor to write and sync, or 0 when the present one is far enough ahead: HLC_RESERVE_MS ahead of the
 * wall clock, or HLC_RESERVE_AHEAD_MS of a clock that runs before it; wanted when half of either is used up.
 * The caller calls clock_floor_written when it is durable, and asks for no other before. */
uint64_t clock_floor_wanted(const struct clock *c, uint64_t wall_ms);
void clock_floor_written(struct clock *c, uint64_t floor);

/* How long a new life should wait before it serves clients, in ms: after a quick restart the floor is up to
 * HLC_RESERVE_MS ahead of real time, and peers would refuse stamps minted on it. 0..HLC_RESERVE_MS -
 * CLOCK_DRIFT_MAX_MS; bounded because the wall clock itself may have been set back, which no waiting heals.
 */
uint32_t clock_settle_ms(const struct clock *c, uint64_t wall_ms);

#endif
