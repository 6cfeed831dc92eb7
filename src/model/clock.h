/* The hybrid logical clock (Kulkarni et al. 2014) as one number: wall milliseconds << 16, the low 16 bits a
 * counter. A carry out of the counter into the milliseconds is legal: only order matters.
 *
 * Invariants: minted values strictly increase over the life of a store, restarts included (the floor); nobody
 * can push the clock more than CLOCK_DRIFT_MAX_MS beyond the wall clock in one step. */
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

struct clock {
    uint64_t hlc;   /* the largest value minted or seen */
    uint64_t floor; /* durable: values at or below it may have been minted before a restart */
};

/* Starts at the floor that a former life reserved on disk (0 for a new store). */
void clock_init(struct clock *c, uint64_t floor);

/* A new value, above all minted or seen: max(own + 1, wall << 16). */
uint64_t clock_mint(struct clock *c, uint64_t wall_ms);

/* Learns of a value without minting: max(own, seen). The caller has checked it with clock_accepts, except
 * where the design says that rows are never refused. */
void clock_receive(struct clock *c, uint64_t seen);

/* Whether a stamp from a member or client may be taken: up to max(wall + CLOCK_DRIFT_MAX_MS, own + 1 ms). */
bool clock_accepts(const struct clock *c, uint64_t wall_ms, uint64_t stamp_hlc);

/* Now on this clock without advancing it: max(own, wall << 16). What expiry is tested against. */
uint64_t clock_peek(const struct clock *c, uint64_t wall_ms);

/* If the clock has come within half of HLC_RESERVE_MS of the floor, the new floor to write and sync; else 0.
 * The caller calls clock_floor_written when it is durable. */
uint64_t clock_floor_wanted(const struct clock *c, uint64_t wall_ms);
void clock_floor_written(struct clock *c, uint64_t floor);

#endif
