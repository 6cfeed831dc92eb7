/* Puts: who is sent the row, whose acknowledgement counts, what the client is told, and what becomes of the
 * hints. Homes are at positions 0..2 of five. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/coord_support.h"

static void check_numbers(const struct msg_response *a, int status, uint8_t asked, uint8_t acked,
                          uint8_t needed, uint8_t hinted)
{
    answer_is(a, status, asked, acked, needed);
    assert_int_equal(a->hinted, hinted);
}

static void every_home_is_sent_and_w_is_the_answer(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    uint64_t id = world_put(w, 0, 0, 5, "value");
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 3);
    for (uint32_t p = 0; p < 3; p++) {
        const struct msg_write *m = &world_letter(w, AT(w, p))->message.write;
        assert_int_equal(m->hint_count, 0);
        assert_int_equal(m->flags, 0);
        assert_int_equal(m->began_hlc, m->row.stamp.hlc);
        assert_int_equal(m->row.payload->len, 5);
    }
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(w->answer_count, 0);
    w->now.mono_us += 1500;
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(w->answers[0].id, id);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 0);
    assert_int_equal(world_answer(w)->us, 1500);
    assert_int_equal(world_answer(w)->coordinator, w->self);
    assert_int_equal(world_answer(w)->reachable, 3);
    assert_int_equal(coord_unanswered(w->coord), 0);
    assert_int_equal(coord_in_flight(w->coord), 1); /* the last home is still waited for */
    world_ack(w, AT(w, 1), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(coord_bytes_in_flight(w->coord), 0);
    assert_true(coord_deadline_us(w->coord) == UINT64_MAX);
    assert_int_equal(w->answer_count, 1);
    assert_int_equal(coord_counters(w->coord).puts[OUTCOME_OK], 1);
    world_destroy(w);
}

/* However often it is sent again, through whichever coordinator: a put is as old as its stamp. One that is
 * ahead of our clock began now. */
static void a_put_began_when_its_stamp_was_minted(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    struct row row = world_row(w, 5, "value");
    struct msg_request q = {.op = OP_PUT, .timeout_us = 600000000, .key = w->key, .row = row};
    uint64_t minted = row.stamp.hlc, now = w->hlc;
    world_request(w, &q);
    assert_true(minted < now);
    assert_true(world_letter(w, AT(w, 0))->message.write.began_hlc == minted);
    world_peer(w, AT(w, 1), false);
    world_wait(w, 10000000);
    assert_true(world_letter(w, AT(w, 3))->message.write.began_hlc == minted);
    world_wait(w, ROW_AGE_MAX_MS * MS); /* nobody would take it any more: nobody waits for it */
    assert_int_equal(world_answer(w)->status, KV_E_TIMEOUT);
    q.row.stamp.hlc = now + 7;
    world_request(w, &q);
    assert_true(w->letters[w->letter_count - 1].message.write.began_hlc == now);
    row_release(&row);
    world_destroy(w);
}

static void a_resent_acknowledgement_counts_once(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    uint64_t id = world_letter(w, AT(w, 1))->message.id;
    world_ack(w, AT(w, 1), KV_OK);
    for (int i = 0; i < 5; i++)
        world_ack_id(w, AT(w, 1), id, KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack_id(w, AT(w, 1), id, KV_E_FULL); /* nor does a contradiction change anything */
    world_ack(w, AT(w, 0), KV_OK);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 0);
    world_destroy(w);
}

static void an_answer_is_only_taken_from_whom_it_was_asked(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    uint64_t id = world_letter(w, AT(w, 1))->message.id;
    world_ack_id(w, AT(w, 3), id, KV_OK); /* on the list, but not asked */
    world_ack_id(w, 77, id, KV_OK);       /* a stranger */
    world_reply_id(w, AT(w, 1), id, KV_OK, NULL);
    world_ack_id(w, AT(w, 1), id ^ UINT64_C(1) << 60, KV_OK); /* another part's id */
    world_ack_id(w, AT(w, 1), id + 12345, KV_OK);             /* a slot that never was */
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(coord_counters(w->coord).late_answers, 5);
    world_serve_all(w);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 0);
    world_destroy(w);
}

static void answers_to_a_former_request_of_the_slot_are_ignored(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    uint64_t old[3];
    world_put(w, 0, 2, 5, "old");
    for (uint32_t p = 0; p < 3; p++)
        old[p] = world_letter(w, AT(w, p))->message.id;
    world_serve_all(w);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_put(w, 0, 2, 6, "new");
    assert_int_equal(world_letter(w, AT(w, 0))->message.id & (REQUESTS_MAX - 1), old[0] & (REQUESTS_MAX - 1));
    for (uint32_t p = 0; p < 3; p++)
        world_ack_id(w, AT(w, p), old[p], KV_OK);
    assert_int_equal(w->answer_count, 1);
    assert_int_equal(coord_counters(w->coord).late_answers, 3);
    world_serve_all(w);
    assert_int_equal(w->answer_count, 2);
    world_destroy(w);
}

static void an_unreachable_home_gets_a_hint_on_a_fallback(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 1), false);
    world_put(w, 0, 2, 5, "value");
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 3);
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 1)));
    assert_int_equal(world_letter(w, AT(w, 0))->message.write.hint_count, 0);
    world_ack(w, AT(w, 3), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, AT(w, 0), KV_OK);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 1); /* the fallback counts, as it has the row */
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(coord_counters(w->coord).hinted, 1);
    world_destroy(w);
}

static void under_strict_fallbacks_keep_hints_but_do_not_count(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 1), false);
    world_put(w, REQ_STRICT, 2, 5, "value");
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 1)));
    world_ack(w, AT(w, 3), KV_OK);
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, AT(w, 2), KV_OK);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 1);
    world_destroy(w);
}

static void too_few_reachable_is_unavailable_and_nothing_is_sent(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    for (uint32_t p = 1; p < 5; p++)
        world_peer(w, AT(w, p), false);
    world_put(w, 0, 0, 5, "value");
    assert_int_equal(w->letter_count, 0);
    check_numbers(world_answer(w), KV_E_UNAVAILABLE, 0, 0, 2, 0);
    assert_int_equal(world_answer(w)->reachable, 1);
    world_put(w, 0, 1, 5, "value"); /* W=1 is no problem */
    world_serve_all(w);
    check_numbers(world_answer(w), KV_OK, 1, 1, 1, 2);
    for (uint32_t p = 2; p < 5; p++)
        world_peer(w, AT(w, p), true);
    world_peer(w, AT(w, 2), false);
    world_put(w, REQ_STRICT, 2, 5, "value"); /* one home and two fallbacks */
    check_numbers(world_answer(w), KV_E_UNAVAILABLE, 0, 0, 2, 0);
    assert_int_equal(world_answer(w)->reachable, 1);
    assert_int_equal(coord_counters(w->coord).puts[OUTCOME_UNAVAILABLE], 2);
    world_destroy(w);
}

static void w_beyond_the_homes_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 4, 5, "value");
    check_numbers(world_answer(w), KV_E_INVALID, 0, 0, 0, 0);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_put(w, 0, 3, 5, "value");
    world_serve_all(w);
    check_numbers(world_answer(w), KV_OK, 3, 3, 3, 0);
    world_destroy(w);
    w = world_create(2, 3, 0); /* fewer members than N: a majority of two */
    world_put(w, 0, 3, 5, "value");
    check_numbers(world_answer(w), KV_E_INVALID, 0, 0, 0, 0);
    world_put(w, 0, 0, 5, "value");
    world_serve_all(w);
    check_numbers(world_answer(w), KV_OK, 2, 2, 2, 0);
    world_destroy(w);
}

static void a_slow_home_gets_a_hint_after_the_answer(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    check_numbers(world_answer(w), KV_OK, 3, 2, 2, 0);
    world_wait(w, COORD_WRITE_PATIENCE_US - 1);
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 1);
    world_wait(w, 1);
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 2)));
    world_ack(w, AT(w, 3), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(w->answer_count, 1);
    world_destroy(w);
}

/* Two disks have the row, the slow home's and its stand-in's: both count. */
static void a_slow_home_and_its_stand_in_are_two(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 3, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_wait(w, COORD_WRITE_PATIENCE_US); /* for both others */
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 1)));
    assert_true(letter_hints(world_letter(w, AT(w, 4)), AT(w, 2)));
    world_ack(w, AT(w, 3), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, AT(w, 1), KV_OK);
    check_numbers(world_answer(w), KV_OK, 5, 3, 3, 1);
    world_destroy(w);
}

static void a_silent_fallback_is_replaced_too(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 2), false);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    world_wait(w, COORD_WRITE_PATIENCE_US);
    assert_true(letter_hints(world_letter(w, AT(w, 4)), AT(w, 2)));
    world_wait(w, COORD_WRITE_PATIENCE_US);
    /* Nobody is left who has not been tried: a member that has the row carries the hint, this node. */
    assert_true(letter_hints(world_letter(w, AT(w, 0)), AT(w, 2)));
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_lost_home_is_replaced_at_once(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_peer(w, AT(w, 1), false);
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 1)));
    world_ack(w, AT(w, 3), KV_OK);
    check_numbers(world_answer(w), KV_OK, 4, 2, 2, 1);
    /* After the answer, too. */
    world_peer(w, AT(w, 2), false);
    assert_true(letter_hints(world_letter(w, AT(w, 4)), AT(w, 2)));
    world_ack(w, AT(w, 4), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_home_that_is_back_is_sent_the_row_again(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, REQ_STRICT, 3, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_lose(w, AT(w, 1));
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 1), true);
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(w->answer_count, 0);
    assert_int_equal(world_letter(w, AT(w, 1))->message.write.hint_count, 0);
    world_ack(w, AT(w, 1), KV_OK);
    check_numbers(world_answer(w), KV_OK, 4, 3, 3, 0);
    world_destroy(w);
}

/* The acknowledgement of the first attempt was on its way all the time. */
static void an_answer_to_a_former_attempt_counts(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    uint64_t first = world_letter(w, AT(w, 1))->message.id;
    world_lose(w, AT(w, 1));
    world_ack(w, AT(w, 0), KV_OK);
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 1), true);
    assert_true(world_letter(w, AT(w, 1))->message.id != first);
    world_ack_id(w, AT(w, 1), first, KV_OK);
    check_numbers(world_answer(w), KV_OK, 4, 2, 2, 0);
    world_ack(w, AT(w, 1), KV_E_FULL); /* the second attempt's refusal changes nothing any more */
    world_destroy(w);
}

/* ... but says nothing of the hint that only the second attempt carried. */
static void an_answer_to_a_former_attempt_keeps_no_hint(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    world_put(w, 0, 2, 5, "value");
    uint64_t first = world_letter(w, AT(w, 0))->message.id;
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    world_lose(w, AT(w, 2));
    world_peer(w, AT(w, 2), false);
    assert_true(letter_hints(world_letter(w, AT(w, 0)), AT(w, 2)));
    world_ack_id(w, AT(w, 0), first, KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 1);
    assert_int_equal(coord_counters(w->coord).hinted, 0);
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(coord_counters(w->coord).hinted, 1);
    world_destroy(w);
}

static void too_few_left_is_timeout_before_the_deadline(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, REQ_STRICT, 3, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_peer(w, AT(w, 1), false);
    assert_int_equal(w->answer_count, 0); /* the third may still say something */
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(w->answer_count, 0); /* and the fallback */
    world_ack(w, AT(w, 3), KV_OK);
    check_numbers(world_answer(w), KV_E_TIMEOUT, 4, 2, 3, 1);
    assert_int_equal(world_answer(w)->reachable, 2);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void without_fallbacks_a_home_carries_the_hint(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 1); /* self is the second home */
    world_peer(w, AT(w, 2), false);
    world_put(w, 0, 2, 5, "value");
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 2); /* with its own copy: one write, not two */
    assert_true(letter_hints(world_letter(w, AT(w, 1)), AT(w, 2)));
    world_serve_all(w);
    check_numbers(world_answer(w), KV_OK, 2, 2, 2, 1);
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(w->replicas[AT(w, 1)].hints[AT(w, 2)], 1);
    world_destroy(w);
}

static void a_home_without_room_for_hints_still_takes_its_own_row(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    world_peer(w, AT(w, 2), false);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_E_FULL); /* of the hint, perhaps */
    assert_int_equal(world_letter(w, AT(w, 0))->message.write.hint_count, 0);
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    check_numbers(world_answer(w), KV_OK, 2, 2, 2, 1);
    assert_true(letter_hints(world_letter(w, AT(w, 1)), AT(w, 2))); /* now the other is asked to keep it */
    world_ack(w, AT(w, 1), KV_E_FULL);
    assert_int_equal(coord_in_flight(w->coord), 0); /* nobody can: nothing more to be done */
    world_destroy(w);
}

static void a_refusing_member_is_replaced_by_the_next(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_E_FULL);
    assert_true(letter_hints(world_letter(w, AT(w, 3)), AT(w, 0)));
    world_ack(w, AT(w, 3), KV_E_OVERLOADED);
    assert_true(letter_hints(world_letter(w, AT(w, 4)), AT(w, 0)));
    world_ack(w, AT(w, 4), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    check_numbers(world_answer(w), KV_OK, 5, 2, 2, 1);
    world_destroy(w);
}

static void all_refusing_is_overloaded_and_over(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    for (uint32_t p = 0; p < 5; p++) {
        assert_int_equal(w->answer_count, 0);
        world_ack(w, AT(w, p), p % 2 ? KV_E_FULL : KV_E_OVERLOADED);
    }
    check_numbers(world_answer(w), KV_E_OVERLOADED, 5, 0, 2, 0);
    assert_int_equal(coord_in_flight(w->coord), 0); /* nothing of it may be applied later */
    assert_int_equal(w->letter_count, 0);
    assert_int_equal(coord_counters(w->coord).puts[OUTCOME_OVERLOADED], 1);
    world_put(w, 0, 2, 5, "value");
    for (uint32_t p = 0; p < 5; p++)
        world_ack(w, AT(w, p), KV_E_INVALID);
    check_numbers(world_answer(w), KV_E_INVALID, 5, 0, 2, 0);
    assert_int_equal(coord_counters(w->coord).puts[OUTCOME_REFUSED], 1);
    world_destroy(w);
}

static void one_acknowledgement_among_refusals_is_timeout(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 1), KV_OK);
    world_ack(w, AT(w, 0), KV_E_FULL);
    world_ack(w, AT(w, 3), KV_E_FULL);
    world_ack(w, AT(w, 4), KV_E_FULL);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, AT(w, 2), KV_E_FULL);
    check_numbers(world_answer(w), KV_E_TIMEOUT, 5, 1, 2, 1); /* it may still be applied, so hints are kept */
    world_ack(w, AT(w, 1), KV_OK);
    assert_true(letter_hints(world_letter(w, AT(w, 1)), AT(w, 2)));
    world_ack(w, AT(w, 1), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

/* It may have been applied before the connection broke, whatever it says afterwards. */
static void a_lost_member_that_refuses_later_is_still_unknown(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 1), true);
    world_lose(w, AT(w, 1));
    world_ack(w, AT(w, 1), KV_E_FULL);
    world_ack(w, AT(w, 0), KV_E_FULL);
    world_ack(w, AT(w, 2), KV_E_FULL);
    check_numbers(world_answer(w), KV_E_TIMEOUT, 3, 0, 2, 0);
    world_destroy(w);
}

static void silence_until_the_deadline_is_timeout(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_wait(w, 2000000 - 1);
    assert_int_equal(w->answer_count, 0);
    world_wait(w, 1);
    check_numbers(world_answer(w), KV_E_TIMEOUT, 3, 1, 2, 2);
    assert_int_equal(world_answer(w)->us, 2000000);
    world_ack(w, AT(w, 0), KV_OK); /* the hints for both */
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_request_that_nobody_answers_ends_after_its_patience(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    struct row row = world_row(w, 5, "value");
    struct msg_request q = {.op = OP_PUT, .timeout_us = 50000, .key = w->key, .row = row};
    world_request(w, &q);
    row_release(&row);
    world_wait(w, 50000);
    check_numbers(world_answer(w), KV_E_TIMEOUT, 3, 0, 2, 0);
    assert_int_equal(coord_in_flight(w->coord), 1);
    world_wait(w, COORD_WRITE_PATIENCE_US - 50000); /* fallbacks are tried */
    assert_int_equal(world_letters(w, 0, MSG_WRITE), 5);
    world_wait(w, 50000);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void the_default_timeout_grows_with_the_value(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    struct msg_request q = {.op = OP_PUT, .key = w->key, .row = world_row(w, 5, NULL)};
    q.row.raw_size = 3u << 20;
    world_request(w, &q);
    world_wait(w, 4999999);
    assert_int_equal(w->answer_count, 0);
    world_wait(w, 1);
    assert_int_equal(world_answer(w)->status, KV_E_TIMEOUT);
    world_destroy(w);
}

static void the_story_is_told(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_peer(w, AT(w, 1), false);
    world_put(w, REQ_EXPLAIN, 2, 5, "value");
    w->now.mono_us += 250;
    world_ack(w, AT(w, 0), KV_E_FULL);
    world_ack(w, AT(w, 3), KV_OK);
    world_ack(w, AT(w, 2), KV_OK);
    const struct msg_response *a = world_answer(w);
    const struct trace_line want[] = {
        {0, TRACE_SKIP, AT(w, 1), 0, 0, {0, 0}},
        {0, TRACE_ASK, AT(w, 0), 0, 0, {0, 0}},
        {0, TRACE_ASK, AT(w, 2), 0, 0, {0, 0}},
        {0, TRACE_HINT, AT(w, 3), AT(w, 1), 0, {0, 0}},
        {250, TRACE_ANSWER, AT(w, 0), 0, KV_E_FULL, {0, 0}},
        {250, TRACE_HINT, AT(w, 4), AT(w, 0), 0, {0, 0}},
        {250, TRACE_ANSWER, AT(w, 3), 0, 0, {0, 0}},
        {250, TRACE_ANSWER, AT(w, 2), 0, 0, {0, 0}},
        {250, TRACE_DECIDE, w->self, 0, 0, {0, 0}},
    };
    assert_int_equal(a->trace_count, sizeof want / sizeof want[0]);
    for (uint32_t i = 0; i < a->trace_count; i++) {
        assert_int_equal(a->trace[i].at_us, want[i].at_us);
        assert_int_equal(a->trace[i].kind, want[i].kind);
        assert_int_equal(a->trace[i].member, want[i].member);
        assert_int_equal(a->trace[i].other, want[i].other);
        assert_int_equal(a->trace[i].status, want[i].status);
    }
    world_put(w, 0, 2, 6, "value"); /* and only when asked for */
    world_serve_all(w);
    assert_int_equal(world_answer(w)->trace_count, 0);
    world_destroy(w);
}

/* However long the story, it fits, and ends with the decision. */
static void a_long_story_is_cut(void **state)
{
    (void)state;
    struct world *w = world_create(16, 3, 0);
    world_put(w, REQ_EXPLAIN, 2, 5, "value");
    for (uint32_t p = 0; p < 16; p++)
        world_ack(w, AT(w, p), KV_E_FULL);
    const struct msg_response *a = world_answer(w);
    check_numbers(a, KV_E_OVERLOADED, 16, 0, 2, 0);
    assert_int_equal(a->trace_count, TRACE_MAX);
    assert_int_equal(a->trace[TRACE_MAX - 1].kind, TRACE_DECIDE);
    assert_int_equal(a->trace[TRACE_MAX - 1].status, KV_E_OVERLOADED);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_home_is_sent_and_w_is_the_answer),
        cmocka_unit_test(a_put_began_when_its_stamp_was_minted),
        cmocka_unit_test(a_resent_acknowledgement_counts_once),
        cmocka_unit_test(an_answer_is_only_taken_from_whom_it_was_asked),
        cmocka_unit_test(answers_to_a_former_request_of_the_slot_are_ignored),
        cmocka_unit_test(an_unreachable_home_gets_a_hint_on_a_fallback),
        cmocka_unit_test(under_strict_fallbacks_keep_hints_but_do_not_count),
        cmocka_unit_test(too_few_reachable_is_unavailable_and_nothing_is_sent),
        cmocka_unit_test(w_beyond_the_homes_is_invalid),
        cmocka_unit_test(a_slow_home_gets_a_hint_after_the_answer),
        cmocka_unit_test(a_slow_home_and_its_stand_in_are_two),
        cmocka_unit_test(a_silent_fallback_is_replaced_too),
        cmocka_unit_test(a_lost_home_is_replaced_at_once),
        cmocka_unit_test(a_home_that_is_back_is_sent_the_row_again),
        cmocka_unit_test(an_answer_to_a_former_attempt_counts),
        cmocka_unit_test(an_answer_to_a_former_attempt_keeps_no_hint),
        cmocka_unit_test(too_few_left_is_timeout_before_the_deadline),
        cmocka_unit_test(without_fallbacks_a_home_carries_the_hint),
        cmocka_unit_test(a_home_without_room_for_hints_still_takes_its_own_row),
        cmocka_unit_test(a_refusing_member_is_replaced_by_the_next),
        cmocka_unit_test(all_refusing_is_overloaded_and_over),
        cmocka_unit_test(one_acknowledgement_among_refusals_is_timeout),
        cmocka_unit_test(a_lost_member_that_refuses_later_is_still_unknown),
        cmocka_unit_test(silence_until_the_deadline_is_timeout),
        cmocka_unit_test(a_request_that_nobody_answers_ends_after_its_patience),
        cmocka_unit_test(the_default_timeout_grows_with_the_value),
        cmocka_unit_test(the_story_is_told),
        cmocka_unit_test(a_long_story_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
