/* Taking partitions over: from whom, what is asked for, what becomes of pages, and when it is WHOLE. */
#include "unit/repair_moves.h"

/* A sixth member joins five. */
static const struct mover joins[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};

static struct moves *join_world(uint32_t keys, uint32_t bytes)
{
    struct moves *w = moves_create(moves_ring(joins, 6, 3, 5, 5), 6);
    moves_fill(w, keys, bytes);
    moves_start(w);
    return w;
}

static void a_joiner_takes_its_partitions_over(void **state)
{
    (void)state;
    struct moves *w = join_world(2000, 100);
    uint32_t gained = moves_gained(w->ring, 6);
    assert_in_range(gained, 25, 35); /* a sixth of 3 x 64 */
    assert_int_equal(transfer_progress(w->transfer).partitions_total, gained);
    assert_int_equal(transfer_progress(w->transfer).partitions_done, 0);
    assert_int_equal(w->pull_count, 0); /* nobody can be reached yet */
    moves_all_up(w);
    assert_true(w->pull_count > 0);
    moves_finish(w);
    moves_assert_taken_over(w);
    struct transfer_progress p = transfer_progress(w->transfer);
    assert_int_equal(p.partitions_done, gained);
    assert_int_equal(p.source_epoch, 5);
    assert_int_equal(p.bytes, w->written_bytes);
    assert_int_equal(w->asked_total, gained); /* each fits into a page */
    assert_int_equal(w->in_flight_max, TRANSFER_WINDOW);
    assert_true(moves_logged(w, "event=transfer_whole"));
    moves_destroy(w);
}

static void each_partition_comes_from_the_old_home_of_its_slot(void **state)
{
    (void)state;
    struct moves *w = join_world(2000, 100);
    moves_all_up(w);
    moves_finish(w);
    for (uint32_t p = 0; p < PARTS; p++) {
        struct ring_slot slot = {0};
        bool gained = moves_slot(w->ring, 6, p, &slot);
        for (uint32_t m = 1; m <= MOVERS_MAX; m++)
            assert_int_equal(w->asked_of[m][p], gained && m == slot.from);
    }
    moves_destroy(w);
}

static void who_gains_nothing_is_whole_at_once(void **state)
{
    (void)state;
    struct moves *w = moves_create(moves_ring(joins, 6, 3, 5, 5), 2);
    assert_int_equal(moves_gained(w->ring, 2), 0);
    moves_start(w);
    assert_int_equal(transfer_whole(w->transfer), 5);
    assert_int_equal(w->note.len, 0);
    moves_destroy(w);
}

static void whole_is_said_when_it_is_durable(void **state)
{
    (void)state;
    struct moves *w = join_world(200, 10);
    moves_all_up(w);
    while (w->pull_count || w->write_count ||
           transfer_progress(w->transfer).partitions_done < transfer_progress(w->transfer).partitions_total) {
        if (w->write_count)
            moves_written(w, 0, KV_OK);
        else if (w->pull_count)
            moves_answer(w, 0);
        else
            moves_wait(w);
    }
    assert_int_equal(transfer_whole(w->transfer), 0);
    moves_note_written(w, KV_OK); /* the first, of some of it */
    assert_int_equal(transfer_whole(w->transfer), 0);
    moves_note_written(w, KV_E_FULL); /* of all */
    assert_int_equal(transfer_whole(w->transfer), 0);
    assert_int_equal(w->note.len, 0);
    uint64_t failed_us = w->now.mono_us;
    while (!w->note.len)
        moves_wait(w);
    assert_int_equal(w->now.mono_us, failed_us + TRANSFER_RETRY_US);
    moves_note_written(w, KV_OK);
    assert_int_equal(transfer_whole(w->transfer), 5);
    moves_destroy(w);
}

static void large_partitions_come_page_by_page(void **state)
{
    (void)state;
    struct moves *w = join_world(2000, 20000);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    assert_true(w->asked_total > 2 * moves_gained(w->ring, 6));
    assert_true(transfer_counters(w->transfer).rows > 800); /* none twice */
    assert_int_equal(transfer_counters(w->transfer).bytes, w->written_bytes);
    moves_destroy(w);
}

static void a_row_above_the_page_comes_alone(void **state)
{
    (void)state;
    struct moves *w = join_world(40, 3 * TRANSFER_PAGE_BYTES);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

/* ---- old homes that are given up, or were never there */

/* Member 3 is dead and removed from five. */
static const struct mover loses_three[] = {{1, 1, 0}, {1, 1, 0}, {1, 0, 1}, {1, 1, 0}, {1, 1, 0}};

/* A newer version of every key, at a majority of the homes that are left. */
static void newer_at_majority(struct moves *w, uint32_t dead, uint32_t need)
{
    for (uint32_t i = 0; i < w->piece_count; i++) {
        struct piece *p = &w->pieces[i];
        uint32_t given = 0;
        for (uint32_t k = 0; k < MOVERS_MAX && given < need; k++) {
            uint32_t m = (i + k) % MOVERS_MAX + 1; /* not always the same ones */
            if (m == dead || m == w->self || !p->at[m])
                continue;
            p->at[m] = 2;
            given++;
        }
    }
}

static void in_place_of_a_dead_one_a_majority_is_read(void **state)
{
    (void)state;
    for (uint32_t self = 1; self <= 5; self++) {
        struct moves *w = self == 3 ? NULL : moves_create(moves_ring(loses_three, 5, 3, 5, 5), self);
        if (!w)
            continue;
        moves_fill(w, 2000, 50);
        newer_at_majority(w, 3, 1);
        moves_start(w);
        moves_all_up(w);
        moves_finish(w);
        moves_assert_taken_over(w);
        assert_int_equal(transfer_counters(w->transfer).lost, 0);
        assert_true(moves_gained(w->ring, self) > 0);
        for (uint32_t p = 0; p < PARTS; p++) {
            struct ring_slot slot;
            uint32_t asked = 0;
            for (uint32_t m = 1; m <= MOVERS_MAX; m++)
                asked += w->asked_of[m][p];
            assert_int_equal(w->asked_of[3][p], 0);
            if (moves_slot(w->ring, self, p, &slot))
                assert_int_equal(asked, slot.from == 3 ? 2 : 1);
        }
        moves_destroy(w);
    }
}

static void with_more_left_than_needed_others_are_spared(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0},
                                          {1, 0, 1}, {1, 1, 0}, {1, 1, 0}};
    struct moves *w = moves_create(moves_ring(movers, 7, 5, 5, 5), 1);
    moves_fill(w, 2000, 50);
    newer_at_majority(w, 5, 2); /* a majority of five but for the dead one's own */
    moves_start(w);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    for (uint32_t p = 0; p < PARTS; p++) {
        struct ring_slot slot;
        uint32_t read = 0;
        for (uint32_t m = 1; m <= MOVERS_MAX; m++)
            read += w->asked_of[m][p] > 0;
        if (moves_slot(w->ring, 1, p, &slot) && slot.from == 5)
            assert_int_equal(read, 3); /* of four */
    }
    moves_destroy(w);
}

/* Of five homes one is dead; the fourth of those left steps in for one that goes away midway. */
static void another_steps_in_for_a_source_that_is_lost(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0},
                                          {1, 0, 1}, {1, 1, 0}, {1, 1, 0}};
    struct moves *w = moves_create(moves_ring(movers, 7, 5, 5, 5), 1);
    moves_fill(w, 2000, 5000);
    moves_start(w);
    moves_all_up(w);
    uint32_t lost = w->pulls[0].member;
    moves_answer(w, 0);
    moves_written(w, 0, KV_OK);
    moves_peer(w, lost, false);
    for (uint32_t i = w->pull_count; i-- > 0;)
        if (w->pulls[i].member == lost)
            (void)moves_take(w, i);
    /* Those that only it had are waited for. */
    uint32_t only = 0;
    for (uint32_t p = 0; p < PARTS; p++) {
        struct ring_slot slot;
        only += moves_slot(w->ring, 1, p, &slot) && slot.from == lost;
    }
    for (int i = 0; i < 2000; i++) {
        moves_serve(w);
        w->now.mono_us += 10000;
        moves_tick(w);
    }
    struct transfer_progress p = transfer_progress(w->transfer);
    assert_int_equal(p.partitions_done, p.partitions_total - only);
    moves_peer(w, lost, true);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void too_few_within_reach_are_waited_for(void **state)
{
    (void)state;
    struct moves *w = moves_create(moves_ring(loses_three, 5, 3, 5, 5), 1);
    moves_fill(w, 500, 50);
    moves_start(w);
    uint64_t began_us = w->now.mono_us;
    while (!moves_logged(w, "event=transfer_waits"))
        moves_wait(w);
    uint64_t said_us = w->now.mono_us;
    assert_in_range(said_us - began_us, 1, TRANSFER_LOG_US);
    char *first = strstr(w->log, "event=transfer_waits");
    while (!strstr(first + 1, "event=transfer_waits"))
        moves_wait(w);
    assert_int_equal(w->now.mono_us, said_us + TRANSFER_LOG_US);
    assert_int_equal(w->asked_total, 0);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

/* Two of three old homes are given up: what the third has is all there is. */
static void what_cannot_be_proven_complete_is_logged_as_lost(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 1, 0}, {1, 0, 1}, {1, 0, 1}, {0, 1, 0}, {0, 1, 0}};
    struct moves *w = moves_create(moves_ring(movers, 5, 3, 5, 5), 4);
    moves_fill(w, 500, 50);
    moves_start(w);
    assert_int_equal(transfer_counters(w->transfer).lost, PARTS);
    assert_true(moves_logged(w, "event=transfer_loss partitions=64"));
    moves_all_up(w);
    moves_finish(w);
    for (uint32_t i = 0; i < w->piece_count; i++)
        assert_int_equal(w->pieces[i].at[4], w->pieces[i].at[1]);
    moves_destroy(w);
}

static void where_nobody_is_left_there_is_nothing_to_take(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 0, 1}, {0, 1, 0}};
    struct moves *w = moves_create(moves_ring(movers, 2, 1, 5, 5), 2);
    moves_fill(w, 100, 50);
    moves_start(w);
    assert_true(moves_logged(w, "event=transfer_loss"));
    moves_finish(w);
    assert_int_equal(w->asked_total, 0);
    moves_destroy(w);
}

static void a_cluster_that_grows_from_one_gives_copies(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 1, 0}, {1, 1, 0}, {0, 1, 0}};
    for (uint32_t before = 1; before <= 2; before++) {
        struct mover m[3] = {movers[0], movers[1], movers[2]};
        if (before == 1)
            m[1] = (struct mover){0, 1, 0};
        uint32_t self = before + 1;
        struct moves *w = moves_create(moves_ring(m, self, 3, 5, 5), self);
        assert_int_equal(moves_gained(w->ring, self), PARTS);
        moves_fill(w, 500, 50);
        moves_start(w);
        moves_all_up(w);
        moves_finish(w);
        for (uint32_t i = 0; i < w->piece_count; i++)
            assert_int_equal(w->pieces[i].at[self], 1);
        uint32_t read = 0;
        for (uint32_t k = 1; k <= before; k++)
            read += w->asked_of[k][7] > 0;
        assert_int_equal(read, before); /* a majority of one is one, of two it is two */
        moves_destroy(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_joiner_takes_its_partitions_over),
        cmocka_unit_test(each_partition_comes_from_the_old_home_of_its_slot),
        cmocka_unit_test(who_gains_nothing_is_whole_at_once),
        cmocka_unit_test(whole_is_said_when_it_is_durable),
        cmocka_unit_test(large_partitions_come_page_by_page),
        cmocka_unit_test(a_row_above_the_page_comes_alone),
        cmocka_unit_test(in_place_of_a_dead_one_a_majority_is_read),
        cmocka_unit_test(with_more_left_than_needed_others_are_spared),
        cmocka_unit_test(another_steps_in_for_a_source_that_is_lost),
        cmocka_unit_test(too_few_within_reach_are_waited_for),
        cmocka_unit_test(what_cannot_be_proven_complete_is_logged_as_lost),
        cmocka_unit_test(where_nobody_is_left_there_is_nothing_to_take),
        cmocka_unit_test(a_cluster_that_grows_from_one_gives_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
