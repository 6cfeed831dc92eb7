/* The hybrid clock: order of what is minted, bounds of what is accepted, and the floor over lives that end at
 * any moment, with a wall clock that jumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "model/clock.h"
#include "model/limits.h"
#include "unit/death.h"

#define WALL_MS UINT64_C(1700000000000)
#define HOUR_MS UINT64_C(3600000)

static struct clock running(uint64_t wall_ms)
{
    struct clock c;
    clock_init(&c, 0);
    clock_floor_written(&c, clock_floor_wanted(&c, wall_ms));
    return c;
}

static void mint_follows_the_wall_clock(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    assert_true(clock_mint(&c, WALL_MS) == hlc_from_ms(WALL_MS));
    assert_true(clock_mint(&c, WALL_MS + 7) == hlc_from_ms(WALL_MS + 7));
    assert_true(hlc_to_ms(c.hlc) == WALL_MS + 7);
}

static void mint_strictly_increases(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t last = 0;
    const uint64_t walls[] = {WALL_MS, WALL_MS, WALL_MS + 5, WALL_MS - HOUR_MS, 0, WALL_MS + 5, WALL_MS + 6};
    for (size_t i = 0; i < sizeof walls / sizeof walls[0]; i++) {
        uint64_t minted = clock_mint(&c, walls[i]);
        assert_true(minted > last);
        last = minted;
    }
}

static void counter_carries_into_the_milliseconds(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t last = clock_mint(&c, WALL_MS);
    for (int i = 0; i < 1 << HLC_COUNTER_BITS; i++) {
        uint64_t minted = clock_mint(&c, WALL_MS);
        assert_true(minted == last + 1);
        last = minted;
    }
    assert_true(hlc_to_ms(last) == WALL_MS + 1);
    /* The wall clock catches up to the millisecond that the carry has begun. */
    assert_true(clock_mint(&c, WALL_MS + 1) == last + 1);
}

static void receive_takes_the_larger_and_adds_nothing(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t own = clock_mint(&c, WALL_MS);
    clock_receive(&c, own - 1);
    assert_true(c.hlc == own);
    clock_receive(&c, own);
    assert_true(c.hlc == own);
    clock_receive(&c, own + 12345);
    assert_true(c.hlc == own + 12345);
    assert_true(clock_mint(&c, WALL_MS) == own + 12346);
}

static void peek_advances_nothing(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t own = clock_mint(&c, WALL_MS);
    assert_true(clock_peek(&c, WALL_MS + 3) == hlc_from_ms(WALL_MS + 3));
    assert_true(clock_peek(&c, WALL_MS - 3) == own);
    assert_true(c.hlc == own);
}

static void accepts_up_to_the_drift_beyond_the_wall(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    clock_mint(&c, WALL_MS);
    uint64_t most = hlc_from_ms(WALL_MS + CLOCK_DRIFT_MAX_MS);
    assert_true(clock_accepts(&c, WALL_MS, 0));
    assert_true(clock_accepts(&c, WALL_MS, most));
    assert_false(clock_accepts(&c, WALL_MS, most + 1));
    assert_false(clock_accepts(&c, WALL_MS, UINT64_MAX));
}

/* A cluster whose clock once ran ahead goes on, a millisecond at a time. */
static void accepts_up_to_a_millisecond_beyond_its_own(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t ahead = hlc_from_ms(WALL_MS + HOUR_MS) + 99;
    clock_receive(&c, ahead);
    assert_true(clock_accepts(&c, WALL_MS, ahead + hlc_from_ms(1)));
    assert_false(clock_accepts(&c, WALL_MS, ahead + hlc_from_ms(1) + 1));
}

static void the_end_of_time_does_not_wrap(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    clock_receive(&c, UINT64_MAX);
    assert_true(clock_accepts(&c, WALL_MS, UINT64_MAX));
    clock_floor_written(&c, clock_floor_wanted(&c, WALL_MS));
    assert_false(clock_can_mint(&c, WALL_MS));
    assert_true(clock_floor_wanted(&c, WALL_MS) == 0);
}

/* ---- the floor ------------------------------------------------------------------------------- */

static void nothing_is_minted_before_the_floor_is_durable(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, 0);
    assert_false(clock_can_mint(&c, WALL_MS));
    assert_dies(clock_mint(&c, WALL_MS));
    uint64_t wanted = clock_floor_wanted(&c, WALL_MS);
    assert_true(wanted == hlc_from_ms(WALL_MS + HLC_RESERVE_MS));
    clock_floor_written(&c, wanted);
    assert_true(clock_can_mint(&c, WALL_MS));

    /* A value seen beyond the floor: the next one minted would not be covered. */
    clock_receive(&c, wanted - 1);
    assert_true(clock_can_mint(&c, WALL_MS));
    clock_receive(&c, wanted);
    assert_false(clock_can_mint(&c, WALL_MS));
    clock_floor_written(&c, clock_floor_wanted(&c, WALL_MS));
    assert_true(clock_mint(&c, WALL_MS) == wanted + 1);

    /* An older word of the disk takes nothing back. */
    uint64_t floor = c.floor;
    clock_floor_written(&c, wanted);
    assert_true(c.floor == floor);

    /* A wall clock that has jumped ahead. */
    assert_false(clock_can_mint(&c, WALL_MS + HOUR_MS));
}

static void the_floor_is_wanted_again_when_half_is_used_up(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    const uint64_t half_ms = HLC_RESERVE_MS / 2;
    assert_true(clock_floor_wanted(&c, WALL_MS + half_ms - 1) == 0);
    assert_true(clock_floor_wanted(&c, WALL_MS + half_ms) == hlc_from_ms(WALL_MS + half_ms + HLC_RESERVE_MS));
}

/* While the disk takes less than half of the reserve, no mint ever waits for it. */
static void raised_in_time_it_stops_nobody(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t pending = 0, done_ms = 0;
    uint32_t writes = 0;
    for (uint64_t ms = WALL_MS; ms < WALL_MS + 60000; ms++) {
        if (pending && ms >= done_ms) {
            clock_floor_written(&c, pending);
            pending = 0;
        }
        if (!pending && (pending = clock_floor_wanted(&c, ms)) != 0) {
            done_ms = ms + HLC_RESERVE_MS / 2 - 1;
            writes++;
        }
        assert_true(clock_can_mint(&c, ms));
        clock_mint(&c, ms);
    }
    assert_in_range(writes, 50, 150);
}

static void a_restart_with_the_wall_set_back_mints_above(void **state)
{
    (void)state;
    struct clock c = running(WALL_MS);
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++)
        last = clock_mint(&c, WALL_MS + 499);
    uint64_t disk = c.floor;

    clock_init(&c, disk);
    assert_false(clock_can_mint(&c, WALL_MS - HOUR_MS));
    clock_floor_written(&c, clock_floor_wanted(&c, WALL_MS - HOUR_MS));
    assert_true(clock_mint(&c, WALL_MS - HOUR_MS) > last);
    assert_true(clock_peek(&c, WALL_MS - HOUR_MS) > last);
}

/* A store's whole history: what is on disk, and the largest value that was ever minted. */
struct history {
    struct prng prng;
    uint64_t wall_ms;
    uint64_t disk_floor;
    uint64_t last_minted;
    uint32_t minted;
    uint32_t waited;
};

static void maybe_jump(struct history *h)
{
    uint64_t jump_ms = prng_below(&h->prng, 2 * HOUR_MS);
    switch (prng_below(&h->prng, 40)) {
    case 0: h->wall_ms -= jump_ms < h->wall_ms ? jump_ms : 0; break;
    case 1: h->wall_ms += jump_ms; break;
    default: h->wall_ms += prng_below(&h->prng, 30); break;
    }
}

/* Random steps until a crash; a floor on its way may or may not have reached the disk by then. */
static void live(struct history *h)
{
    struct clock c;
    uint64_t pending = 0;
    clock_init(&c, h->disk_floor);
    for (uint64_t steps = prng_below(&h->prng, 60); steps > 0; steps--) {
        maybe_jump(h);
        if (!pending)
            pending = clock_floor_wanted(&c, h->wall_ms);
        if (pending && prng_below(&h->prng, 3) == 0) {
            h->disk_floor = pending;
            if (prng_below(&h->prng, 2) == 0) {
                clock_floor_written(&c, pending);
                pending = 0;
            }
        }
        if (prng_below(&h->prng, 4) == 0)
            clock_receive(&c, clock_peek(&c, h->wall_ms) + prng_below(&h->prng, hlc_from_ms(3000)));
        if (!clock_can_mint(&c, h->wall_ms)) {
            h->waited++;
            continue;
        }
        uint64_t minted = clock_mint(&c, h->wall_ms);
        assert_true(minted > h->last_minted);
        assert_true(minted <= h->disk_floor);
        h->last_minted = minted;
        h->minted++;
    }
}

static void no_life_mints_below_another(void **state)
{
    (void)state;
    struct history h = {.wall_ms = WALL_MS};
    prng_init(&h.prng, 1);
    for (int i = 0; i < 20000; i++)
        live(&h);
    /* Both really happened. */
    assert_true(h.minted > 100000);
    assert_true(h.waited > 10000);
}

/* Restarted again and again, its clock must not run away from its peers. */
static void many_short_lives_do_not_drive_the_clock_ahead(void **state)
{
    (void)state;
    uint64_t wall_ms = WALL_MS, floor = 0;
    for (int i = 0; i < 1000; i++, wall_ms += HLC_RESERVE_AHEAD_MS) {
        struct clock c;
        clock_init(&c, floor);
        uint64_t wanted = clock_floor_wanted(&c, wall_ms);
        floor = wanted ? wanted : floor;
        clock_floor_written(&c, floor);
        clock_mint(&c, wall_ms);
        assert_true(hlc_to_ms(c.hlc) <= wall_ms + HLC_RESERVE_MS);
    }
    assert_true(hlc_to_ms(floor) <= wall_ms + HLC_RESERVE_MS);
}

static void a_quick_restart_settles_until_peers_accept(void **state)
{
    (void)state;
    struct clock before = running(WALL_MS), peer = running(WALL_MS), c;
    clock_init(&c, before.floor);
    uint32_t wait_ms = clock_settle_ms(&c, WALL_MS);
    assert_int_equal(wait_ms, HLC_RESERVE_MS - CLOCK_DRIFT_MAX_MS);
    assert_false(clock_accepts(&peer, WALL_MS + wait_ms - 1, c.hlc));
    assert_true(clock_accepts(&peer, WALL_MS + wait_ms, c.hlc));
    assert_int_equal(clock_settle_ms(&c, WALL_MS + wait_ms), 0);
    assert_int_equal(clock_settle_ms(&c, WALL_MS + wait_ms + 100), 0);
    assert_int_equal(clock_settle_ms(&c, WALL_MS + HOUR_MS), 0);
    /* No waiting heals a wall clock that was set back. */
    assert_int_equal(clock_settle_ms(&c, WALL_MS - HOUR_MS), HLC_RESERVE_MS - CLOCK_DRIFT_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mint_follows_the_wall_clock),
        cmocka_unit_test(mint_strictly_increases),
        cmocka_unit_test(counter_carries_into_the_milliseconds),
        cmocka_unit_test(receive_takes_the_larger_and_adds_nothing),
        cmocka_unit_test(peek_advances_nothing),
        cmocka_unit_test(accepts_up_to_the_drift_beyond_the_wall),
        cmocka_unit_test(accepts_up_to_a_millisecond_beyond_its_own),
        cmocka_unit_test(the_end_of_time_does_not_wrap),
        cmocka_unit_test(nothing_is_minted_before_the_floor_is_durable),
        cmocka_unit_test(the_floor_is_wanted_again_when_half_is_used_up),
        cmocka_unit_test(raised_in_time_it_stops_nobody),
        cmocka_unit_test(a_restart_with_the_wall_set_back_mints_above),
        cmocka_unit_test(no_life_mints_below_another),
        cmocka_unit_test(many_short_lives_do_not_drive_the_clock_ahead),
        cmocka_unit_test(a_quick_restart_settles_until_peers_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
