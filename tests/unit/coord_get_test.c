/* Gets: whom is asked, when an answer is one, and what absence needs. Homes are at positions 0..2 of five. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/coord_support.h"

static void r_replicas_are_asked_and_agree(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 1);
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    world_get(w, 0, 0);
    assert_int_equal(world_letters(w, 0, MSG_READ), 2);
    assert_int_equal(world_letters(w, AT(w, 1), MSG_READ), 1); /* this node is the nearest */
    assert_int_equal(world_letters(w, AT(w, 0), MSG_READ), 1);
    world_serve(w, AT(w, 0));
    assert_int_equal(w->answer_count, 0);
    world_serve(w, AT(w, 1));
    answer_is(world_answer(w), KV_OK, 2, 2, 2);
    answer_holds(world_answer(w), "value");
    assert_int_equal(world_answer(w)->hinted, 0);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(coord_bytes_in_flight(w->coord), 0);
    assert_int_equal(w->letter_count, 0); /* nothing had to be written back */
    assert_int_equal(coord_counters(w->coord).gets[OUTCOME_OK], 1);
    world_destroy(w);
}

static void the_same_member_twice_is_one_answer(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "value");
    world_get(w, 0, 2);
    uint64_t id = world_letter(w, AT(w, 0))->message.id;
    world_serve(w, AT(w, 0));
    for (int i = 0; i < 3; i++)
        world_reply_id(w, AT(w, 0), id, KV_OK, &w->replicas[AT(w, 0)].row);
    world_reply_id(w, AT(w, 0), id, KV_E_CORRUPT, NULL);
    world_reply_id(w, AT(w, 2), id, KV_OK, NULL); /* was not asked */
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(coord_counters(w->coord).late_answers, 1);
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 2, 2, 2);
    world_destroy(w);
}

static void absence_is_proven_by_a_majority_of_homes(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world *w = world_create(5, 3, 0);
        world_get(w, strict ? REQ_STRICT : 0, 2);
        world_serve_all(w);
        answer_is(world_answer(w), KV_E_NOT_FOUND, 2, 2, 2);
        assert_int_equal(world_answer(w)->proven, 1);
        assert_int_equal(coord_counters(w->coord).gets[OUTCOME_NOT_FOUND], 1);
        world_destroy(w);
    }
}

static void one_absent_answer_is_no_proof(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 2, 5, "value");
    world_get(w, 0, 1);
    assert_int_equal(w->letter_count, 1);
    world_serve(w, AT(w, 0));
    assert_int_equal(w->letter_count, 2); /* the rest of the three */
    world_serve(w, AT(w, 2));
    answer_holds(world_answer(w), "value");
    answer_is(world_answer(w), KV_OK, 3, 2, 1);
    world_destroy(w);
}

static void without_enough_homes_absence_is_not_proven(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 2), false);
    world_get(w, 0, 2);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 3, 3, 2); /* both fallbacks were asked before saying so */
    assert_int_equal(world_answer(w)->proven, 0);
    world_get(w, REQ_STRICT, 1); /* one home, and its word is no proof */
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_TIMEOUT, 1, 1, 1);
    world_destroy(w);
}

/* A silent home keeps an unproven answer waiting for its patience, and never for more than half of the time.
 */
static void proof_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    static const uint32_t timeouts_us[] = {2000000, 100000};
    static const uint64_t waits_us[] = {COORD_WRITE_PATIENCE_US, 50000};
    for (int i = 0; i < 2; i++) {
        struct world *w = world_create(3, 3, 0);
        struct msg_request q = {.op = OP_GET, .r = 1, .timeout_us = timeouts_us[i], .key = w->key};
        world_request(w, &q);
        world_serve(w, AT(w, 0));
        assert_int_equal(world_letters(w, 0, MSG_READ), 2);
        world_wait(w, waits_us[i] - 1);
        assert_int_equal(w->answer_count, 0);
        world_wait(w, 1);
        answer_is(world_answer(w), KV_E_NOT_FOUND, 3, 1, 1);
        assert_int_equal(world_answer(w)->proven, 0);
        world_destroy(w);
    }
}

static void with_two_homes_dead_the_third_is_asked_first(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 3); /* this node is a fallback: near, but no home */
    world_holds(w, 2, 5, "value");
    world_peer(w, AT(w, 0), false);
    world_peer(w, AT(w, 1), false);
    world_get(w, 0, 2);
    assert_int_equal(world_letters(w, AT(w, 2), MSG_READ), 1);
    assert_int_equal(world_letters(w, AT(w, 3), MSG_READ), 1);
    world_serve(w, AT(w, 2));
    world_serve(w, AT(w, 3));
    /* The fallback takes the row as a stand-in, for both. */
    const struct letter *l = world_letter(w, AT(w, 3));
    assert_int_equal(l->message.type, MSG_WRITE);
    assert_int_equal(l->message.write.flags, WRITE_BACK);
    assert_true(letter_hints(l, AT(w, 0)) && letter_hints(l, AT(w, 1)) && !letter_hints(l, AT(w, 2)));
    world_serve_all(w);
    answer_holds(world_answer(w), "value");
    world_destroy(w);
}

/* A dead row that one replica below a majority knows is not proof. */
static void one_tombstone_is_not_proof(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, NULL);
    world_get(w, 0, 1);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 1, 1, 1);
    assert_int_equal(world_answer(w)->proven, 0);
    world_destroy(w);
}

static void a_slow_replica_is_hedged(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    for (int i = 0; i < 20; i++) { /* learn: 1 ms to the others */
        world_get(w, 0, 2);
        w->now.mono_us += 1000;
        world_serve_all(w);
    }
    assert_in_range(coord_rtt_us(w->coord, AT(w, 1)), 900, 1100);
    assert_in_range(coord_rtt_us(w->coord, AT(w, 2)), 900, 1100); /* who is not measured yet is tried */
    assert_int_equal(coord_rtt_us(w->coord, AT(w, 3)), 0);
    assert_int_equal(coord_counters(w->coord).hedges, 0);
    world_get(w, 0, 2);
    world_serve(w, AT(w, 0));
    world_wait(w, COORD_HEDGE_MIN_US - 1);
    assert_int_equal(world_letters(w, AT(w, 2), MSG_READ), 0);
    world_wait(w, 1);
    assert_int_equal(world_letters(w, AT(w, 2), MSG_READ), 1);
    assert_int_equal(coord_counters(w->coord).hedges, 1);
    world_serve(w, AT(w, 2));
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    world_lose(w, AT(w, 1));                              /* never answers */
    assert_true(coord_rtt_us(w->coord, AT(w, 1)) > 1000); /* and that is remembered */
    world_destroy(w);
}

/* A member that has become slow is asked first no longer, though nobody waits for its answers. */
static void who_is_silent_is_asked_less(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    uint32_t first = 0;
    for (int i = 0; i < 200; i++) {
        world_get(w, 0, 2);
        first += world_letters(w, AT(w, 1), MSG_READ);
        for (uint32_t n = w->answer_count; n == w->answer_count; world_wait(w, 1000)) {
            for (uint32_t p = 0; p < 3; p += 2) {
                if (world_letter(w, AT(w, p)))
                    world_serve(w, AT(w, p));
            }
        }
        while (world_letter(w, AT(w, 1)))
            world_lose(w, AT(w, 1));
    }
    assert_in_range(first, 3, 20); /* now and then, to see whether it has recovered */
    world_destroy(w);
}

/* One get in 64 asks the farthest home too, and waits for it no more than any other get does. */
static void who_was_slow_is_measured_again(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    uint32_t slow = AT(w, 1), asked = 0;
    world_get(w, 0, 2);
    world_serve(w, AT(w, 0));
    world_wait(w, 50000);
    world_serve(w, slow);
    assert_int_equal(coord_rtt_us(w->coord, slow), 50000);
    for (int i = 1; i < 64 * 50; i++) {
        world_get(w, 0, 2);
        asked += world_letter(w, slow) != NULL;
        assert_int_equal(world_letter(w, slow) != NULL, i % 64 == 63);
        w->now.mono_us += 400;
        world_serve(w, AT(w, 0));
        world_serve(w, AT(w, 2));
        assert_int_equal(w->answer_count, i + 1);
        if (world_letter(w, slow))
            world_serve(w, slow);
    }
    assert_int_equal(asked, 50);
    assert_int_equal(coord_counters(w->coord).late_answers, 50);
    assert_in_range(coord_rtt_us(w->coord, slow), 400, 50000 / 16);
    world_destroy(w);
}

static void an_unmeasured_replica_is_hedged_after_the_longest_wait(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_get(w, 0, 2);
    world_wait(w, COORD_HEDGE_MAX_US - 1);
    assert_int_equal(w->letter_count, 2);
    world_wait(w, 1);
    assert_int_equal(w->letter_count, 3);
    world_wait(w, COORD_WRITE_PATIENCE_US); /* silent: under sloppy, fallbacks take their places */
    assert_int_equal(w->letter_count, 5);
    world_destroy(w);
}

static void strict_never_asks_a_fallback(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_get(w, REQ_STRICT, 2);
    world_wait(w, 1000000);
    assert_int_equal(w->letter_count, 3);
    world_wait(w, 1000000);
    answer_is(world_answer(w), KV_E_TIMEOUT, 3, 0, 2);
    assert_int_equal(world_answer(w)->reachable, 3);
    world_destroy(w);
}

static void a_failing_replica_is_replaced_at_once(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    world_get(w, 0, 2);
    world_reply(w, AT(w, 0), KV_E_CORRUPT, NULL);
    assert_int_equal(world_letters(w, AT(w, 2), MSG_READ), 1);
    world_peer(w, AT(w, 2), false);
    assert_int_equal(world_letters(w, AT(w, 3), MSG_READ), 1);
    world_serve(w, AT(w, 1));
    world_serve(w, AT(w, 3)); /* absent there; it counts, and is given the row for who is away */
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 0)));
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 2)));
    world_serve(w, AT(w, 3));
    answer_holds(world_answer(w), "value");
    answer_is(world_answer(w), KV_OK, 4, 2, 2);
    world_destroy(w);
}

static void what_can_be_no_row_is_a_failure(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    struct row bad = world_row(w, 9, "value");
    bad.raw_size = 77;
    world_get(w, 0, 2);
    world_reply(w, AT(w, 0), KV_OK, &bad);
    row_release(&bad);
    assert_int_equal(world_letters(w, AT(w, 2), MSG_READ), 1);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 3, 2, 2);
    world_destroy(w);
}

static void too_few_is_unavailable_or_timeout(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 2), false);
    world_get(w, REQ_STRICT, 2);
    answer_is(world_answer(w), KV_E_UNAVAILABLE, 0, 0, 2);
    assert_int_equal(world_answer(w)->reachable, 1);
    assert_int_equal(w->letter_count, 0);
    world_peer(w, AT(w, 1), true);
    world_get(w, REQ_STRICT, 2);
    world_serve(w, AT(w, 0));
    world_peer(w, AT(w, 1), false);
    answer_is(world_answer(w), KV_E_TIMEOUT, 2, 1, 2);
    world_get(w, 0, 4);
    answer_is(world_answer(w), KV_E_INVALID, 0, 0, 0);
    world_destroy(w);
}

static void all_overloaded_is_overloaded(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    for (uint32_t p = 0; p < 5; p++)
        w->replicas[AT(w, p)].refuses = KV_E_OVERLOADED;
    world_get(w, 0, 2);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_OVERLOADED, 5, 0, 2);
    world_destroy(w);
}

static void a_lost_replica_that_is_back_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    world_holds(w, 0, 5, "value");
    world_get(w, 0, 2);
    world_lose(w, AT(w, 1));
    world_peer(w, AT(w, 1), false); /* the third is asked */
    world_peer(w, AT(w, 2), false); /* nobody is left, but this node has not answered yet */
    assert_int_equal(w->answer_count, 0);
    world_peer(w, AT(w, 1), true);
    world_serve_all(w);
    answer_holds(world_answer(w), "value");
    world_destroy(w);
}

static void the_stamp_round_tells_the_newest_stamp(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_stamp(w, REQ_STRICT, 0);
    assert_int_equal(world_letter(w, AT(w, 0))->message.read.stamp_only, 1);
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 2, 2, 2);
    assert_true(row_is_absent(&world_answer(w)->row));
    world_holds(w, 0, 5, "value");
    world_holds(w, 1, 6, NULL);
    world_stamp(w, REQ_STRICT, 0);
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 2, 2, 2);
    assert_true(stamp_cmp(world_answer(w)->row.stamp, w->replicas[AT(w, 1)].row.stamp) == 0);
    assert_int_equal(w->replicas[AT(w, 0)].writes, 0); /* no write-back */
    world_holds(w, 1, 4, "older");
    world_stamp(w, REQ_STRICT, 0);
    world_serve_all(w);
    assert_true(stamp_cmp(world_answer(w)->row.stamp, w->replicas[AT(w, 0)].row.stamp) == 0);
    assert_null(world_answer(w)->row.payload);
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 2), false);
    world_stamp(w, REQ_STRICT, 0);
    answer_is(world_answer(w), KV_E_UNAVAILABLE, 0, 0, 2);
    world_destroy(w);
}

static void the_story_is_told(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    world_peer(w, AT(w, 2), false);
    world_get(w, REQ_EXPLAIN, 2);
    w->now.mono_us += 300;
    world_serve_all(w);
    const struct msg_response *a = world_answer(w);
    static const uint8_t kinds[] = {TRACE_SKIP,   TRACE_ASK,        TRACE_ASK,    TRACE_ANSWER,
                                    TRACE_ANSWER, TRACE_WRITE_BACK, TRACE_ANSWER, TRACE_DECIDE};
    static const uint32_t positions[] = {2, 0, 1, 0, 1, 0, 0, 0};
    assert_int_equal(a->trace_count, sizeof kinds);
    for (uint32_t i = 0; i < a->trace_count; i++) {
        assert_int_equal(a->trace[i].kind, kinds[i]);
        assert_int_equal(a->trace[i].member, AT(w, positions[i]));
    }
    assert_true(stamp_cmp(a->trace[4].stamp, a->row.stamp) == 0);
    assert_true(stamp_cmp(a->trace[3].stamp, a->row.stamp) < 0);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_replicas_are_asked_and_agree),
        cmocka_unit_test(the_same_member_twice_is_one_answer),
        cmocka_unit_test(absence_is_proven_by_a_majority_of_homes),
        cmocka_unit_test(one_absent_answer_is_no_proof),
        cmocka_unit_test(without_enough_homes_absence_is_not_proven),
        cmocka_unit_test(proof_is_not_waited_for_for_ever),
        cmocka_unit_test(with_two_homes_dead_the_third_is_asked_first),
        cmocka_unit_test(one_tombstone_is_not_proof),
        cmocka_unit_test(a_slow_replica_is_hedged),
        cmocka_unit_test(who_is_silent_is_asked_less),
        cmocka_unit_test(who_was_slow_is_measured_again),
        cmocka_unit_test(an_unmeasured_replica_is_hedged_after_the_longest_wait),
        cmocka_unit_test(strict_never_asks_a_fallback),
        cmocka_unit_test(a_failing_replica_is_replaced_at_once),
        cmocka_unit_test(what_can_be_no_row_is_a_failure),
        cmocka_unit_test(too_few_is_unavailable_or_timeout),
        cmocka_unit_test(all_overloaded_is_overloaded),
        cmocka_unit_test(a_lost_replica_that_is_back_is_asked_again),
        cmocka_unit_test(the_stamp_round_tells_the_newest_stamp),
        cmocka_unit_test(the_story_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
