/* Hinted handoff: how much is kept. What is known of it is an upper bound, and the store counts when that
 * leaves no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/repair_support.h"

static void room_is_limited(void **state)
{
    (void)state;
    struct world *w = world_create();
    assert_true(hints_room(w->hints, w->now, HINTS_MAX_BYTES));
    assert_false(hints_room(w->hints, w->now, HINTS_MAX_BYTES + 1));
    assert_int_equal(hints_noted(w->hints, w->now, 3, HINTS_MAX_BYTES / 2), KV_OK);
    assert_int_equal(hints_noted(w->hints, w->now, 4, HINTS_MAX_BYTES / 2 - 10), KV_OK);
    assert_true(hints_room(w->hints, w->now, 10));
    assert_false(hints_room(w->hints, w->now, 11));
    assert_false(hints_room(w->hints, w->now, UINT64_MAX));
    world_destroy(w);
}

static void note_again(struct world *w, struct item *it)
{
    it->row.stamp.hlc += 1000;
    it->notes[3] = it->row.stamp;
    assert_int_equal(hints_noted(w->hints, w->now, 3, item_weight(it)), KV_OK);
    world_tick(w);
}

/* Each put of a key adds its note's bytes, but there is only one note. */
static void a_key_put_again_and_again_uses_no_room(void **state)
{
    (void)state;
    enum { MAX_BYTES = 10000, PUTS = 2000 };
    struct world *w = world_create_with(MAX_BYTES);
    uint32_t counted = 0;
    world_fill(w, 2, 100, 3);
    for (uint32_t i = 0; i < PUTS; i++) {
        w->now.mono_us += 20000;
        world_tick(w);
        if (w->counting && i % 4 == 0) { /* it takes its time */
            world_count(w, KV_OK);
            counted++;
        }
        assert_true(hints_room(w->hints, w->now, item_weight(&w->items[0])));
        note_again(w, &w->items[0]);
        assert_true(hints_bytes(w->hints) <= MAX_BYTES);
    }
    assert_in_range(counted, PUTS * 100 / MAX_BYTES, PUTS / 20);
    if (w->counting)
        world_count(w, KV_OK);
    assert_true(hints_waiting(w->hints, 3) >= 2);
    world_peer(w, 3, true);
    world_tick(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* What was noted while the store counts is added to what it finds; what was handed over is not. */
static void counting_forgets_nothing(void **state)
{
    (void)state;
    struct world *w = world_create_with(10000);
    world_fill(w, 60, 100, 3);
    world_tick(w);
    assert_true(w->counting);
    uint64_t exact = hints_bytes(w->hints);
    note_again(w, &w->items[0]);
    note_again(w, &w->items[0]);
    world_count(w, KV_OK);
    assert_int_equal(hints_waiting(w->hints, 3), 60 + 2);
    assert_int_equal(hints_bytes(w->hints), exact + 2 * item_weight(&w->items[0]));

    w->now.mono_us += 1000000;
    for (uint32_t i = 0; !w->counting; i++) {
        assert_in_range(i, 0, 40);
        note_again(w, &w->items[0]);
    }
    world_peer(w, 3, true);
    world_tick(w);
    w->counting = false; /* ... but it is slow, and finds what it held before: */
    world_serve(w);
    for (uint32_t i = 0; i < 60; i++)
        w->items[i].notes[3] = w->items[i].row.stamp;
    w->counting = true;
    world_count(w, KV_OK);
    for (uint32_t i = 0; i < 60; i++)
        w->items[i].notes[3] = (struct stamp){0, 0};
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* A walk over many notes is dear: not at every refusal, and not for what is known. */
static void counting_rests(void **state)
{
    (void)state;
    enum { TOOK_US = 3000000, WEIGHT = 104 };
    struct world *w = world_create_with(6000);
    world_fill(w, 50, 100, 3);
    world_tick(w);
    assert_true(w->counting);
    w->now.mono_us += TOOK_US;
    world_count(w, KV_OK);
    uint64_t counted_us = w->now.mono_us;
    assert_false(hints_room(w->hints, w->now, 1000));
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX); /* nothing was added since */
    while (hints_room(w->hints, w->now, WEIGHT + 1))
        note_again(w, &w->items[0]);
    assert_false(w->counting);
    assert_int_equal(hints_deadline_us(w->hints), counted_us + 9 * TOOK_US);
    world_wait(w);
    assert_true(w->counting);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX); /* one at a time */
    assert_false(hints_room(w->hints, w->now, WEIGHT + 1));
    world_tick(w);

    world_count(w, KV_E_IO); /* nothing is known: it has to be done again */
    assert_false(hints_room(w->hints, w->now, WEIGHT + 1));
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + 1000000);
    world_wait(w);
    world_count(w, KV_OK);
    assert_true(hints_room(w->hints, w->now, WEIGHT + 1));
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_limited),
        cmocka_unit_test(a_key_put_again_and_again_uses_no_room),
        cmocka_unit_test(counting_forgets_nothing),
        cmocka_unit_test(counting_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
