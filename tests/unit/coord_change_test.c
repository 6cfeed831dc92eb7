/* Requests while the ring changes: slots and their twins, homes that are given up, extras. */
#include "unit/coord_joining.h"

/* ---- puts */

static void a_slot_acknowledges_when_both_have_it(void **state)
{
    (void)state;
    for (enum ring_phase phase = RING_PENDING; phase <= RING_SWITCH; phase++) {
        for (int first = 0; first < 2; first++) {
            struct world *w = joining_pending();
            if (phase == RING_SWITCH)
                go_on(w, RING_SWITCH);
            assert_int_equal(twin(w) == 6, phase == RING_PENDING);
            assert_int_equal(read_home(w) == 6, phase == RING_SWITCH);
            world_put(w, REQ_STRICT, 3, 5, "value");
            assert_int_equal(writes_to(w, 0), 4);
            world_ack(w, steady(w, 0), KV_OK);
            world_ack(w, steady(w, 1), KV_OK);
            world_ack(w, first ? read_home(w) : twin(w), KV_OK);
            assert_int_equal(w->answer_count, 0);
            world_ack(w, first ? twin(w) : read_home(w), KV_OK);
            answer_is(world_answer(w), KV_OK, 4, 3, 3);
            assert_int_equal(world_answer(w)->reachable, 3);
            assert_int_equal(coord_in_flight(w->coord), 0);
            world_destroy(w);
        }
    }
}

/* A majority of slots is enough; but every home is cared for before the request is over. */
static void a_put_cares_for_the_twin_too(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    world_put(w, REQ_STRICT, 2, 5, "value");
    world_ack(w, read_home(w), KV_OK);
    world_ack(w, steady(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, steady(w, 1), KV_OK);
    answer_is(world_answer(w), KV_OK, 4, 2, 2);
    assert_int_equal(coord_in_flight(w->coord), 1);
    world_wait(w, COORD_WRITE_PATIENCE_US); /* the twin is silent: a fallback keeps a hint for it */
    struct letter *l = world_letter(w, AT(w, 3));
    assert_true(letter_hints(l, twin(w)));
    assert_int_equal(l->message.write.hint_count, 1);
    world_ack(w, AT(w, 3), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_twin_that_cannot_be_reached_breaks_its_slot(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    world_peer(w, twin(w), false);
    world_put(w, REQ_STRICT, 3, 5, "value");
    assert_int_equal(world_answer(w)->status, KV_E_UNAVAILABLE);
    assert_int_equal(world_answer(w)->reachable, 2);
    world_put(w, REQ_STRICT, 2, 6, "value");
    assert_true(letter_hints(world_letter(w, AT(w, 3)), twin(w)));
    world_ack(w, AT(w, 3), KV_OK);
    world_ack(w, read_home(w), KV_OK);
    world_ack(w, steady(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 1);
    world_ack(w, steady(w, 1), KV_OK);
    answer_is(world_answer(w), KV_OK, 4, 2, 2);
    assert_int_equal(world_answer(w)->hinted, 1);
    /* Sloppy, the fallback stands in for the slot. */
    world_put(w, 0, 3, 7, "value");
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 4, 3, 3);
    assert_int_equal(w->replicas[AT(w, 3)].hints[twin(w)], 1);
    world_destroy(w);
}

/* A whole slot can be away: one hint for each of its homes. */
static void both_homes_of_a_slot_are_hinted(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    world_peer(w, twin(w), false);
    world_peer(w, read_home(w), false);
    world_put(w, 0, 3, 5, "value");
    world_serve_all(w);
    assert_int_equal(world_answer(w)->status, KV_OK);
    assert_int_equal(world_answer(w)->hinted, 2);
    uint32_t for_twin = 0, for_home = 0;
    for (uint32_t p = 0; p < 6; p++) {
        for_twin += w->replicas[p + 1].hints[twin(w)];
        for_home += w->replicas[p + 1].hints[read_home(w)];
    }
    assert_int_equal(for_twin, 1);
    assert_int_equal(for_home, 1);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

/* ---- a home that is given up */

static struct world *create_given_up(uint32_t *dead)
{
    struct world *w = joining_pending();
    struct ring_spec next = joining;
    *dead = read_home(w);
    next.dead = id_bit(*dead);
    world_change(w, &next);
    return w;
}

static void who_is_given_up_is_sent_nothing_and_never_counts(void **state)
{
    (void)state;
    uint32_t dead;
    struct world *w = create_given_up(&dead);
    assert_int_equal(read_home(w), dead);
    assert_false(coord_peer_reachable(w->coord, dead));
    world_peer(w, dead, false);
    world_peer(w, dead, true); /* whatever is said of it */
    assert_false(coord_peer_reachable(w->coord, dead));
    world_put(w, REQ_STRICT, 3, 5, "value");
    assert_int_equal(world_answer(w)->status, KV_E_UNAVAILABLE);
    assert_int_equal(world_answer(w)->reachable, 2);
    world_get(w, REQ_STRICT, 3);
    assert_int_equal(world_answer(w)->status, KV_E_UNAVAILABLE);
    world_put(w, REQ_STRICT, 2, 6, "value");
    assert_int_equal(writes_to(w, 0), 3);
    assert_int_equal(writes_to(w, dead), 0);
    world_ack(w, twin(w), KV_OK); /* has it, and does not acknowledge for the slot */
    world_ack(w, steady(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 2);
    world_ack(w, steady(w, 1), KV_OK);
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    assert_int_equal(coord_in_flight(w->coord), 0); /* nothing is kept for it */
    world_get(w, REQ_STRICT, 2);
    assert_int_equal(world_letters(w, dead, MSG_READ), 0);
    world_serve_all(w);
    world_destroy(w);
}

/* Where W cannot be had without its slot, a fallback stands in, for the twin. */
static void a_fallback_stands_in_for_the_twin_of_who_is_given_up(void **state)
{
    (void)state;
    uint32_t dead;
    struct world *w = create_given_up(&dead);
    world_put(w, 0, 2, 5, "value");
    assert_int_equal(writes_to(w, 0), 3);
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    world_put(w, 0, 3, 6, "value");
    assert_int_equal(writes_to(w, 0), 4);
    assert_true(letter_hints(world_letter(w, AT(w, 3)), twin(w)));
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 4, 3, 3);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

/* In SWITCH the new home acknowledges alone. */
static void the_new_home_of_who_is_given_up_is_a_slot_by_itself(void **state)
{
    (void)state;
    uint32_t dead;
    struct world *w = create_given_up(&dead);
    struct ring_spec next = joining;
    next.phase = RING_SWITCH;
    next.dead = id_bit(dead);
    world_change(w, &next);
    world_put(w, REQ_STRICT, 3, 5, "value");
    assert_int_equal(writes_to(w, 0), 3);
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 3, 3, 3);
    world_get(w, REQ_STRICT, 3);
    assert_int_equal(world_letters(w, 6, MSG_READ), 1);
    world_serve_all(w);
    answer_holds(world_answer(w), "value");
    world_destroy(w);
}

static void what_is_on_its_way_to_who_is_given_up_is_lost(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    uint32_t dead = read_home(w);
    uint64_t acked;
    world_put(w, REQ_STRICT, 2, 5, "value");
    acked = world_letter(w, dead)->message.id;
    world_ack(w, steady(w, 0), KV_OK);
    struct ring_spec next = joining;
    next.dead = id_bit(dead);
    world_change(w, &next);
    world_ack(w, twin(w), KV_OK);
    world_ack_id(w, dead, acked, KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, steady(w, 1), KV_OK);
    assert_int_equal(world_answer(w)->acked, 2);
    world_lose(w, dead);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

/* The change is undone, and it is a home again. */
static void who_was_given_up_can_be_asked_after_an_undo(void **state)
{
    (void)state;
    uint32_t dead;
    struct world *w = create_given_up(&dead);
    world_get(w, REQ_STRICT, 2);
    struct ring_spec next = {.phase = RING_STABLE, .after = joining.before};
    world_serve(w, steady(w, 0));
    uint32_t other = steady(w, 1);
    world_change(w, &next);
    assert_true(coord_peer_reachable(w->coord, dead));
    world_peer(w, other, false);
    world_serve(w, dead);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 3, 2, 2);
    world_lose(w, other);
    world_destroy(w);
}

/* ---- gets */

static void slots_are_read_at_their_read_homes_only(void **state)
{
    (void)state;
    for (enum ring_phase phase = RING_PENDING; phase <= RING_SWITCH; phase++) {
        struct world *w = joining_pending();
        if (phase == RING_SWITCH)
            go_on(w, RING_SWITCH);
        world_get(w, REQ_STRICT, 3);
        assert_int_equal(world_letters(w, 0, MSG_READ), 3);
        assert_int_equal(world_letters(w, twin(w), MSG_READ), 0);
        world_serve_all(w);
        answer_is(world_answer(w), KV_E_NOT_FOUND, 3, 3, 3);
        assert_int_equal(world_answer(w)->proven, 1);
        world_destroy(w);
    }
}

/* Two homes that do not move agree: nothing is written, and so they are asked first, however far they are. */
static void slots_that_move_are_read_last(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    for (int i = 0; i < 20; i++) {
        world_get(w, 0, 0);
        assert_int_equal(world_letters(w, read_home(w), MSG_READ), 0);
        assert_int_equal(world_letters(w, 0, MSG_READ), 2);
        world_serve_all(w);
        answer_is(world_answer(w), KV_OK, 2, 2, 2);
    }
    assert_int_equal(coord_counters(w->coord).write_backs, 0);
    world_get(w, 0, 1); /* with R below a majority nothing is written back anyway: the nearest first */
    world_serve_all(w);
    world_stamp(w, REQ_STRICT, 0);
    world_serve_all(w);
    assert_int_equal(coord_counters(w->coord).write_backs, 0);
    world_destroy(w);
}

/* The answer is on whole slots: the twin is sent the row though all that were asked agree. */
static void a_row_is_written_back_to_both_homes(void **state)
{
    (void)state;
    for (int stale = 0; stale < 2; stale++) {
        struct world *w = joining_pending();
        world_peer(w, steady(w, 1), false);
        world_holds(w, mover(w), stale ? 4 : 5, "value");
        world_holds(w, mover(w) == 0 ? 1 : 0, 5, "value");
        assert_int_equal(w->replicas[steady(w, 0)].row.payload != NULL, 1);
        world_get(w, REQ_STRICT, 2);
        world_serve(w, read_home(w));
        world_serve(w, steady(w, 0));
        assert_int_equal(w->answer_count, 0);
        assert_int_equal(writes_to(w, twin(w)), 1);
        assert_int_equal(writes_to(w, read_home(w)), stale);
        assert_int_equal(world_letter(w, twin(w))->message.write.flags, WRITE_BACK);
        assert_int_equal(world_letter(w, twin(w))->message.write.hint_count, 0);
        if (stale) {
            world_serve(w, twin(w));
            assert_int_equal(w->answer_count, 0);
            world_serve(w, read_home(w));
        } else {
            world_serve(w, twin(w));
        }
        answer_holds(world_answer(w), "value");
        answer_is(world_answer(w), KV_OK, 3, 2, 2);
        world_destroy(w);
    }
}

/* Nobody takes the other half: a strict get cannot answer, a sloppy one does. */
static void without_the_twin_a_strict_get_times_out(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct world *w = joining_pending();
        world_peer(w, steady(w, 1), false);
        world_peer(w, twin(w), false);
        world_peer(w, AT(w, 3), false);
        world_peer(w, AT(w, 4), false);
        world_holds(w, mover(w), 5, "value");
        world_holds(w, mover(w) == 0 ? 1 : 0, 5, "value");
        world_get(w, strict ? REQ_STRICT : 0, 2);
        world_serve_all(w);
        world_wait(w, 2000 * MS);
        assert_int_equal(world_answer(w)->status, strict ? KV_E_TIMEOUT : KV_OK);
        world_destroy(w);
    }
}

static void absence_is_proven_by_homes_that_are_not_given_up(void **state)
{
    (void)state;
    uint32_t dead;
    struct world *w = create_given_up(&dead);
    world_peer(w, steady(w, 1), false);
    world_get(w, 0, 2);
    world_serve_all(w);
    world_wait(w, COORD_WRITE_PATIENCE_US);
    assert_int_equal(world_answer(w)->status, KV_E_NOT_FOUND);
    assert_int_equal(world_answer(w)->proven, 0); /* one home and a fallback */
    world_destroy(w);
}

/* ---- members come while there are fewer than N */

static void an_extra_is_written_and_never_counts(void **state)
{
    (void)state;
    struct world *w = world_create(2, 3, 0);
    struct ring_spec growing = {.phase = RING_PENDING, .before = ids_to(2), .after = ids_to(3)};
    world_change(w, &growing);
    world_peer(w, 3, true);
    assert_int_equal(w->ring->homes, 2);
    world_put(w, REQ_STRICT, 2, 5, "value");
    assert_int_equal(writes_to(w, 0), 3);
    world_ack(w, 3, KV_OK);
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_ack(w, AT(w, 1), KV_OK);
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    world_get(w, 0, 2);
    assert_int_equal(world_letters(w, 3, MSG_READ), 0);
    world_serve_all(w);
    answer_is(world_answer(w), KV_E_NOT_FOUND, 2, 2, 2);
    world_peer(w, 3, false);
    world_put(w, 0, 0, 6, "value");
    world_serve_all(w);
    assert_int_equal(w->replicas[w->self].hints[3], 1);
    assert_int_equal(world_answer(w)->status, KV_OK);
    /* In SWITCH there are three slots. */
    growing.phase = RING_SWITCH;
    world_change(w, &growing);
    world_put(w, REQ_STRICT, 3, 7, "value");
    assert_int_equal(world_answer(w)->status, KV_E_UNAVAILABLE);
    assert_int_equal(world_answer(w)->reachable, 2);
    world_destroy(w);
}

/* Three become two: the slot without a successor goes on until the end. */
static void a_slot_without_a_successor_goes_on(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    uint32_t leaver = AT(w, 2);
    struct ring_spec shrinking = {
        .phase = RING_PENDING, .before = ids_to(3), .after = ids_to(3) & ~id_bit(leaver)};
    world_change(w, &shrinking);
    assert_int_equal(w->ring->homes, 3);
    world_put(w, REQ_STRICT, 3, 5, "value");
    world_serve_all(w);
    answer_is(world_answer(w), KV_OK, 3, 3, 3);
    shrinking.phase = RING_SWITCH;
    world_change(w, &shrinking);
    assert_int_equal(w->ring->homes, 2);
    world_put(w, REQ_STRICT, 2, 6, "value");
    assert_int_equal(writes_to(w, 0), 3); /* it is an extra: the change could still be undone */
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    answer_is(world_answer(w), KV_OK, 3, 2, 2);
    world_serve_all(w);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

/* ---- the story */

static void the_story_names_twins(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    world_peer(w, steady(w, 1), false);
    world_put(w, REQ_EXPLAIN, 0, 5, "value");
    world_serve_all(w);
    const struct msg_response *a = world_answer(w);
    uint32_t beside = 0, asked = 0, hints = 0, skipped = 0;
    for (uint32_t i = 0; i < a->trace_count; i++) {
        const struct trace_line *l = &a->trace[i];
        asked += l->kind == TRACE_ASK;
        beside += l->kind == TRACE_ASK && l->member == twin(w) && l->other == read_home(w);
        hints += l->kind == TRACE_HINT && l->other == steady(w, 1);
        skipped += l->kind == TRACE_SKIP && l->member == steady(w, 1);
        assert_true(l->kind != TRACE_ASK || l->member == twin(w) || l->other == 0);
    }
    assert_int_equal(asked, 3);
    assert_int_equal(beside, 1);
    assert_int_equal(hints, 1);
    assert_int_equal(skipped, 1);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_acknowledges_when_both_have_it),
        cmocka_unit_test(a_put_cares_for_the_twin_too),
        cmocka_unit_test(a_twin_that_cannot_be_reached_breaks_its_slot),
        cmocka_unit_test(both_homes_of_a_slot_are_hinted),
        cmocka_unit_test(who_is_given_up_is_sent_nothing_and_never_counts),
        cmocka_unit_test(a_fallback_stands_in_for_the_twin_of_who_is_given_up),
        cmocka_unit_test(the_new_home_of_who_is_given_up_is_a_slot_by_itself),
        cmocka_unit_test(what_is_on_its_way_to_who_is_given_up_is_lost),
        cmocka_unit_test(who_was_given_up_can_be_asked_after_an_undo),
        cmocka_unit_test(slots_are_read_at_their_read_homes_only),
        cmocka_unit_test(slots_that_move_are_read_last),
        cmocka_unit_test(a_row_is_written_back_to_both_homes),
        cmocka_unit_test(without_the_twin_a_strict_get_times_out),
        cmocka_unit_test(absence_is_proven_by_homes_that_are_not_given_up),
        cmocka_unit_test(an_extra_is_written_and_never_counts),
        cmocka_unit_test(a_slot_without_a_successor_goes_on),
        cmocka_unit_test(the_story_names_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
