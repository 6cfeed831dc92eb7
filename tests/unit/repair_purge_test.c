/* Purging dead rows: what goes, what stays, and when (repair/purge.h). */
#include "unit/purge_world.h"

/* From a delete to its purge: a look, a wait, and what the paces add. */
#define ROUND_US (INTERVAL + ROW_AGE_MAX_MS * UINT64_C(1000) + 10 * SECOND)

static struct row now_dead(struct world *w)
{
    return dead_row(hlc_of(w, 1));
}

static void a_deleted_key_is_purged_everywhere(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    assert_true(world_run(w, ROW_AGE_MAX_MS * UINT64_C(1000)));
    assert_int_equal(rows_left(w), HOMES); /* never sooner than this after a look */
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    assert_int_equal(w->deleted, HOMES);
    struct purge_counters c = counters_of(w, nth(w, 0, 0));
    assert_int_equal(c.ends[PURGE_DONE], 1);
    assert_int_equal(c.seen, 1);
    assert_int_equal(c.purged, 1);
    assert_int_equal(c.marked + c.in_flight + c.watched, 0);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        assert_int_equal(counters_of(w, id).watched, 0);
    assert_true(world_deadline(w) == UINT64_MAX); /* nothing is left to be done */
    world_destroy(w);
}

static void what_lives_stays(void **state)
{
    (void)state;
    struct world *w = world_create(40, false);
    for (uint32_t i = 0; i < 40; i++) {
        struct row row = i % 3 ? alive_row(hlc_of(w, 1)) : now_dead(w);
        write_homes(w, i, &row);
    }
    assert_true(world_run(w, 2 * ROUND_US));
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(homes_with(w, i), i % 3 ? HOMES : 0);
    world_destroy(w);
}

/* Rows that come by repair are never refused for their stamp: it may be any number. */
static void a_row_of_the_last_moment_of_all_stays(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = mortal_row(UINT64_MAX - 1, hlc_of(w, 1));
    write_homes(w, 0, &row);
    assert_true(world_run(w, 2 * ROUND_US));
    assert_int_equal(rows_left(w), HOMES);
    world_destroy(w);
}

static void an_expired_row_is_purged_when_it_is_dead(void **state)
{
    (void)state;
    struct world *w = world_create(2, false);
    uint64_t hlc = hlc_of(w, 1);
    struct row row = mortal_row(hlc, hlc + hlc_from_ms(500000)), late = mortal_row(hlc, hlc + hlc_from_ms(1));
    write_homes(w, 0, &row);
    write_homes(w, 1, &late);
    assert_true(world_run(w, 2 * ROUND_US));
    assert_int_equal(homes_with(w, 0), HOMES);
    assert_int_equal(homes_with(w, 1), 0);
    uint64_t sent = w->sent;
    assert_true(world_run(w, 499 * SECOND - 2 * ROUND_US));
    assert_int_equal(w->sent, sent); /* a mark that knows when: nobody asks before */
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* Hundreds of rows of one partition: pages of a store, rounds of STORE_KEYS_MAX, side by side. */
static void whole_partitions_are_purged_at_a_time(void **state)
{
    (void)state;
    struct world *w = world_create(KEYS_MAX, false);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        struct row row = now_dead(w);
        write_homes(w, i, &row);
    }
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    uint64_t rounds = (KEYS_MAX + STORE_KEYS_MAX - 1) / STORE_KEYS_MAX;
    assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_DONE], rounds);
    /* To three homes three times, to two others twice, and as many answers. */
    assert_int_equal(w->sent, 2 * rounds * (3 * HOMES + 2 * (MEMBERS - HOMES)));
    world_destroy(w);
}

static void nothing_is_asked_while_a_member_is_away(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < MEMBERS; i++) {
        struct world *w = world_create(1, false);
        uint32_t away = nth(w, 0, i);
        struct row row = now_dead(w);
        world_kill(w, away);
        write_homes(w, 0, &row);
        assert_true(world_run(w, 10 * ROUND_US));
        assert_int_equal(w->sent, 0);
        assert_int_equal(homes_with(w, 0), HOMES);
        world_start(w, away);
        world_reach(w, away, true);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

static void a_home_with_another_row_keeps_the_key(void **state)
{
    (void)state;
    for (uint32_t older = 0; older < 2; older++) {
        struct world *w = world_create(2, false);
        uint64_t hlc = hlc_of(w, 1);
        struct row row = dead_row(hlc), other = alive_row(older ? hlc - 1 : hlc + 1);
        uint32_t home = nth(w, 0, 2);
        for (uint32_t i = 0; i < 2; i++)
            world_write(w, nth(w, 0, i), 0, &row, false);
        world_write(w, home, 0, &other, false);
        write_homes(w, 1, &row);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(homes_with(w, 1), 0); /* the others go on */
        assert_true(counters_of(w, nth(w, 0, 0)).differed >= 1);
        /* Anti-entropy makes them equal. */
        for (uint32_t i = 0; i < HOMES; i++)
            world_write(w, nth(w, 0, i), 0, older ? &row : &other, false);
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(homes_with(w, 0), older ? 0 : HOMES);
        world_destroy(w);
    }
}

static void a_fallback_with_a_row_or_a_hint_keeps_the_key(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct world *w = world_create(2, false);
        uint32_t fallback = nth(w, 0, HOMES + kind % 2);
        struct cell *c = &w->places[fallback].cells[0];
        struct row old = alive_row(hlc_of(w, 1)), row = dead_row(hlc_of(w, 1) + 1);
        if (kind < 2)
            world_write(w, fallback, 0, kind ? &row : &old, true);
        else
            c->noted = true; /* a hint whose row is gone */
        write_homes(w, 0, &row);
        write_homes(w, 1, &row);
        assert_true(world_run(w, 20 * INTERVAL));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(homes_with(w, 1), 0);
        assert_true(counters_of(w, nth(w, 0, 0)).found >= 1);
        /* It is handed over. */
        if (kind < 2)
            write_homes(w, 0, &c->row);
        c->row = row_absent();
        c->noted = false;
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

static void silence_at_any_step_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t step = PURGE_SAME; step <= PURGE_STILL; step++) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            struct world *w = world_create(1, false);
            struct row row = now_dead(w);
            bool asked = step == PURGE_STILL || (i < HOMES) == (step == PURGE_SAME);
            write_homes(w, 0, &row);
            w->silent_step = (uint8_t)step;
            w->silent = nth(w, 0, i);
            assert_true(world_run(w, 4 * ROUND_US));
            assert_int_equal(homes_with(w, 0), asked ? HOMES : 0);
            assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_SILENCE] > 0, asked);
            w->silent = 0;
            assert_true(world_run(w, 2 * ROUND_US));
            assert_int_equal(rows_left(w), 0);
            world_destroy(w);
        }
    }
}

/* It keeps its dead row; anti-entropy gives it to the others; then all are rid of it. */
static void a_home_that_misses_the_delete(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HOMES; i++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        w->silent_step = PURGE_DELETE;
        w->silent = nth(w, 0, i);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(homes_with(w, 0), 1);
        assert_true(world_run(w, PURGE_HOLD_US));
        assert_int_equal(w->places[w->silent].held[partition_of(w, 0)], 0); /* nor is it held for ever */
        w->silent = 0;
        assert_true(world_run(w, 4 * INTERVAL));
        assert_int_equal(homes_with(w, 0), 1);
        write_homes(w, 0, &row);
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deleted_key_is_purged_everywhere),
        cmocka_unit_test(what_lives_stays),
        cmocka_unit_test(a_row_of_the_last_moment_of_all_stays),
        cmocka_unit_test(an_expired_row_is_purged_when_it_is_dead),
        cmocka_unit_test(whole_partitions_are_purged_at_a_time),
        cmocka_unit_test(nothing_is_asked_while_a_member_is_away),
        cmocka_unit_test(a_home_with_another_row_keeps_the_key),
        cmocka_unit_test(a_fallback_with_a_row_or_a_hint_keeps_the_key),
        cmocka_unit_test(silence_at_any_step_stops_the_round),
        cmocka_unit_test(a_home_that_misses_the_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
