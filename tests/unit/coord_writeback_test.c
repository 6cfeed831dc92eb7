/* Gets whose replicas differ: the newest row is written back before it is the answer. Homes are at positions
 * 0..2 of five. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/coord_support.h"

static void the_newest_is_written_back_before_it_is_the_answer(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    world_get(w, 0, 2);
    world_serve(w, AT(w, 1));
    world_serve(w, AT(w, 0));
    assert_int_equal(w->answer_count, 0);
    const struct letter *l = world_letter(w, AT(w, 0));
    assert_int_equal(l->message.type, MSG_WRITE);
    assert_int_equal(l->message.write.flags, WRITE_BACK);
    assert_int_equal(l->message.write.hint_count, 0);
    assert_int_equal(l->message.write.began_hlc, w->hlc);
    assert_int_equal(w->letter_count, 1);
    world_serve(w, AT(w, 0));
    answer_holds(world_answer(w), "new");
    answer_is(world_answer(w), KV_OK, 2, 2, 2);
    assert_int_equal(coord_counters(w->coord).write_backs, 1);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_true(stamp_cmp(w->replicas[AT(w, 0)].row.stamp, w->replicas[AT(w, 1)].row.stamp) == 0);
    world_destroy(w);
}

/* R=3 and only one of them has it: a later reader with R=2 could miss that one. */
static void all_r_is_no_excuse_for_a_single_holder(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 1, 6, "new");
    world_get(w, REQ_STRICT, 3);
    for (uint32_t p = 0; p < 3; p++)
        world_serve(w, AT(w, p));
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 2);
    world_serve(w, AT(w, 2));
    answer_holds(world_answer(w), "new");
    world_destroy(w);
}

static void another_takes_the_write_back_that_one_refuses(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    world_get(w, REQ_STRICT, 2);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    world_ack(w, AT(w, 0), KV_E_FULL);
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(world_letter(w, AT(w, 2))->message.type, MSG_WRITE);
    world_serve(w, AT(w, 2));
    answer_holds(world_answer(w), "new");
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    world_destroy(w);
}

static void a_lost_or_silent_write_back_is_replaced(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    for (int silent = 0; silent < 2; silent++) {
        uint32_t answers = w->answer_count;
        world_get(w, REQ_STRICT, 2);
        world_serve(w, AT(w, 0));
        world_serve(w, AT(w, 1));
        world_lose(w, AT(w, 0));
        if (silent)
            world_wait(w, COORD_WRITE_PATIENCE_US);
        else
            world_peer(w, AT(w, 0), false);
        assert_int_equal(world_letters(w, AT(w, 2), MSG_WRITE), 1);
        assert_int_equal(w->answer_count, answers);
        world_serve(w, AT(w, 2));
        assert_int_equal(w->answer_count, answers + 1);
        answer_holds(world_answer(w), "new");
        row_release(&w->replicas[AT(w, 2)].row);
        world_peer(w, AT(w, 0), true);
    }
    world_destroy(w);
}

/* Strict may not answer what a later reader could miss; sloppy promises no more than what it found. */
static void nobody_to_write_back_to(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world *w = world_create(3, 3, 0);
        world_holds(w, 0, 5, "old");
        world_holds(w, 1, 6, "new");
        world_get(w, strict ? REQ_STRICT : 0, 2);
        world_serve(w, AT(w, 0));
        world_serve(w, AT(w, 1));
        world_ack(w, AT(w, 0), KV_E_FULL);
        world_ack(w, AT(w, 2), KV_E_FULL);
        if (strict) {
            answer_is(world_answer(w), KV_E_TIMEOUT, 3, 2, 2);
            assert_null(world_answer(w)->row.payload);
        } else {
            answer_holds(world_answer(w), "new");
        }
        assert_int_equal(coord_in_flight(w->coord), 0);
        world_destroy(w);
    }
}

static void a_write_back_that_never_ends(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world *w = world_create(3, 3, 0);
        world_holds(w, 0, 5, "old");
        world_holds(w, 1, 6, "new");
        world_peer(w, AT(w, 2), false);
        world_get(w, strict ? REQ_STRICT : 0, 2);
        world_serve(w, AT(w, 0));
        world_serve(w, AT(w, 1));
        world_wait(w, COORD_WRITE_PATIENCE_US);
        assert_int_equal(w->answer_count, !strict);
        world_wait(w, 2000000);
        assert_int_equal(w->answer_count, 1);
        assert_int_equal(world_answer(w)->status, strict ? KV_E_TIMEOUT : KV_OK);
        world_destroy(w);
    }
}

static void below_a_majority_nobody_waits_for_the_repair(void **state)
{
    (void)state;
    struct world *w = world_create(5, 5, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    world_get(w, 0, 2);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    answer_holds(world_answer(w), "new");
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(world_letters(w, AT(w, 0), MSG_WRITE), 1); /* but it is sent */
    world_serve_all(w);
    assert_int_equal(coord_counters(w->coord).late_answers, 1);
    assert_int_equal(w->replicas[AT(w, 0)].row.payload->data[0], 'n');
    world_destroy(w);
}

/* A fallback was asked since a home was silent; once all homes have answered, it is no stand-in for anybody,
 * and is not given a row that nobody would take away from it again. */
static void a_fallback_is_no_place_for_a_row_without_a_hint(void **state)
{
    (void)state;
    struct world *w = world_create(4, 3, 0);
    world_get(w, 0, 3);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    world_wait(w, COORD_WRITE_PATIENCE_US);
    assert_int_equal(world_letters(w, AT(w, 3), MSG_READ), 1);
    world_holds(w, 2, 5, "value");
    world_serve(w, AT(w, 2));
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    world_serve_all(w);
    answer_holds(world_answer(w), "value");
    assert_int_equal(w->replicas[AT(w, 3)].writes, 0);
    world_destroy(w);
}

static void the_winner_is_picked_before_it_is_asked_whether_it_is_dead(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "value");
    world_holds(w, 1, 6, NULL); /* deleted */
    world_get(w, 0, 2);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    assert_int_equal(w->answer_count, 0);
    world_serve(w, AT(w, 0)); /* the tombstone is written back as any row */
    answer_is(world_answer(w), KV_E_NOT_FOUND, 2, 2, 2);
    assert_int_equal(world_answer(w)->proven, 1);
    assert_true(w->replicas[AT(w, 0)].row.flags & ROW_TOMBSTONE);
    world_destroy(w);
}

static void an_expired_row_reads_as_absent(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "new");
    w->replicas[AT(w, 1)].row.expires_hlc = w->hlc + 10;
    world_get(w, 0, 2);
    world_serve_all(w);
    answer_holds(world_answer(w), "new");
    w->hlc += 9;
    world_get(w, 0, 2);
    world_serve_all(w);
    answer_holds(world_answer(w), "new");
    w->hlc += 1;
    world_get(w, 0, 2);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 2, 2, 2);
    assert_int_equal(world_answer(w)->proven, 1);
    assert_null(world_answer(w)->row.payload);
    assert_int_equal(w->replicas[AT(w, 0)].row.payload->data[0], 'n'); /* though it went there */
    world_destroy(w);
}

/* A row that came after the write-back began is newer still: that is what is answered then. */
static void a_newer_row_that_comes_late_is_the_answer(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_holds(w, 0, 5, "old");
    world_holds(w, 1, 6, "newer");
    world_holds(w, 2, 7, "newest");
    world_get(w, REQ_STRICT, 2);
    world_wait(w, COORD_HEDGE_MAX_US); /* all are asked */
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    uint64_t older = world_letter(w, AT(w, 0))->message.id;
    world_serve(w, AT(w, 2));
    assert_int_equal(w->answer_count, 0);
    world_lose(w, AT(w, 0));
    world_ack_id(w, AT(w, 0), older, KV_OK); /* holds "newer" now, which is not enough */
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 2); /* "newest" to both */
    world_serve(w, AT(w, 0));
    answer_holds(world_answer(w), "newest");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_is_written_back_before_it_is_the_answer),
        cmocka_unit_test(all_r_is_no_excuse_for_a_single_holder),
        cmocka_unit_test(another_takes_the_write_back_that_one_refuses),
        cmocka_unit_test(a_lost_or_silent_write_back_is_replaced),
        cmocka_unit_test(nobody_to_write_back_to),
        cmocka_unit_test(a_write_back_that_never_ends),
        cmocka_unit_test(below_a_majority_nobody_waits_for_the_repair),
        cmocka_unit_test(a_fallback_is_no_place_for_a_row_without_a_hint),
        cmocka_unit_test(the_winner_is_picked_before_it_is_asked_whether_it_is_dead),
        cmocka_unit_test(an_expired_row_reads_as_absent),
        cmocka_unit_test(a_newer_row_that_comes_late_is_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
