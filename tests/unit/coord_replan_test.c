/* Requests under which the ring changes: what stays true of what they were told (coord/place.c). */
#include "unit/coord_joining.h"

/* What the old home of a slot has acknowledged is part of what the new one takes over from it; but the slot
 * is not whole, nor the request over, before the new one has it too. */
static void a_put_goes_on_with_the_twin(void **state)
{
    (void)state;
    struct world *w = joining_create();
    world_put(w, REQ_STRICT, 3, 5, "value");
    assert_int_equal(writes_to(w, 0), 3);
    for (uint32_t p = 0; p < 2; p++)
        world_ack(w, AT(w, p), KV_OK);
    uint64_t last = world_letter(w, AT(w, 2))->message.id;
    world_change(w, &joining);
    assert_int_equal(writes_to(w, 0), 2); /* nobody is sent it again */
    assert_int_equal(writes_to(w, 6), 1);
    world_ack_id(w, AT(w, 2), last, KV_OK); /* under the ring before */
    assert_int_equal(w->answer_count, 0);
    world_ack(w, 6, KV_OK);
    answer_is(world_answer(w), KV_OK, 4, 3, 3);
    go_on(w, RING_SWITCH);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_lose(w, AT(w, 2) == 6 ? w->twins[2] : AT(w, 2));
    world_destroy(w);
}

/* Also when it was answered before. */
static void an_answered_put_cares_for_new_homes(void **state)
{
    (void)state;
    struct world *w = joining_create();
    world_put(w, 0, 2, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    assert_int_equal(world_answer(w)->status, KV_OK);
    world_change(w, &joining);
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 1);
    world_peer(w, 6, false);
    struct letter *l = world_letter(w, AT(w, 3));
    assert_true(letter_hints(l, 6));
    world_ack(w, AT(w, 3), KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_lose(w, 6);
    world_destroy(w);
}

/* A fallback keeps the row only as long as its hint: as a home it is sent the row again. And a home that is
 * none any more does not count as a fallback. */
static void an_acknowledgement_does_not_outlive_its_role(void **state)
{
    (void)state;
    struct world *w = world_create(6, 3, 0);
    struct ring_spec all = {.phase = RING_STABLE, .after = ids_to(6)};
    uint32_t away = AT(w, 2), fallback = AT(w, 3);
    world_peer(w, away, false);
    world_put(w, 0, 3, 5, "value");
    world_ack(w, fallback, KV_OK);
    world_ack(w, AT(w, 0), KV_OK);
    assert_int_equal(w->answer_count, 0);
    /* `away` is removed: the first fallback is home, in its place. */
    struct ring_spec next = {.phase = RING_PENDING, .before = all.after, .after = all.after & ~id_bit(away)};
    next.dead = id_bit(away);
    world_change(w, &next);
    assert_int_equal(w->twins[2], fallback);
    assert_int_equal(writes_to(w, fallback), 1);
    assert_int_equal(world_letter(w, fallback)->message.write.hint_count, 0);
    world_ack(w, AT(w, 1), KV_OK);
    assert_int_equal(w->answer_count, 0);
    world_destroy(w);
}

/* A whole change was missed: a home may be none any more. All are asked again. */
static void nothing_is_known_after_another_change(void **state)
{
    (void)state;
    struct world *w = world_create(6, 3, 0);
    world_put(w, 0, 3, 5, "value");
    uint32_t ex = AT(w, 2), keeper = AT(w, 3);
    world_ack(w, ex, KV_OK);
    world_ack(w, AT(w, 0), KV_OK);
    world_lose(w, AT(w, 1));
    struct ring_spec skipped = {.epoch = 7, .phase = RING_STABLE, .after = ids_to(6) & ~id_bit(ex)};
    world_change(w, &skipped);
    assert_int_equal(AT(w, 2), keeper);
    assert_int_equal(writes_to(w, AT(w, 0)), 1);
    assert_int_equal(writes_to(w, keeper), 1);
    assert_int_equal(w->answer_count, 0);
    for (uint32_t p = 0; p < 3; p++)
        world_serve(w, AT(w, p));
    answer_is(world_answer(w), KV_OK, 4, 3, 3);
    world_destroy(w);
}

/* Within one change nothing is lost when a node has missed some of its rings. */
static void rings_of_one_change_may_be_missed(void **state)
{
    (void)state;
    for (int other_change = 0; other_change < 2; other_change++) {
        struct world *w = joining_create();
        world_put(w, REQ_STRICT, 3, 5, "value");
        world_ack(w, AT(w, 0), KV_OK);
        world_get(w, REQ_STRICT, 3);
        struct ring_spec next = joining;
        next.epoch = 9;
        next.since = other_change ? 3 : 2;
        uint32_t first = AT(w, 0);
        world_lose(w, AT(w, 1));
        world_serve(w, AT(w, 1)); /* the read */
        uint32_t second = AT(w, 1);
        world_change(w, &next);
        assert_int_equal(writes_to(w, first), other_change);
        assert_int_equal(world_letters(w, second, MSG_READ), other_change);
        world_destroy(w);
    }
}

/* A get's answers stay good as long as their members are read. */
static void answers_of_read_homes_stay_good(void **state)
{
    (void)state;
    struct world *w = joining_create();
    for (uint32_t p = 0; p < 3; p++)
        world_holds(w, p, 5, "value");
    uint32_t old = 0;
    world_get(w, REQ_STRICT, 3);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    uint64_t last = world_letter(w, AT(w, 2))->message.id;
    world_change(w, &joining);
    old = read_home(w);
    assert_int_equal(world_letters(w, 0, MSG_READ), 1); /* nobody is asked again */
    go_on(w, RING_SWITCH);
    assert_int_equal(world_letters(w, 6, MSG_READ), 1); /* but who is read now */
    world_reply_id(w, AT(w, 2), last, KV_OK, &w->replicas[AT(w, 2)].row);
    if (old != AT(w, 2) && AT(w, 2) != 6)
        assert_int_equal(w->answer_count, 0);
    while (w->letter_count)
        world_serve(w, w->letters[0].member);
    answer_holds(world_answer(w), "value");
    assert_int_equal(world_answer(w)->acked, 3);
    world_destroy(w);
}

/* A new home that answered as a fallback, before it had taken the partition over, is asked again. */
static void the_answer_of_a_fallback_is_no_homes(void **state)
{
    (void)state;
    struct world *w = world_create(6, 3, 0);
    uint32_t away = AT(w, 2), fallback = AT(w, 3);
    world_peer(w, away, false);
    world_peer(w, AT(w, 1), false);
    world_peer(w, AT(w, 5), false);
    world_get(w, 0, 3);
    world_serve(w, AT(w, 0));
    world_serve(w, fallback);
    assert_int_equal(w->answer_count, 0);
    struct ring_spec next = {.phase = RING_PENDING, .before = ids_to(6), .after = ids_to(6) & ~id_bit(away)};
    next.dead = id_bit(away);
    world_change(w, &next);
    next.phase = RING_SWITCH;
    world_change(w, &next);
    assert_int_equal(AT(w, 2), fallback);
    assert_int_equal(world_letters(w, fallback, MSG_READ), 1);
    assert_int_equal(world_letters(w, AT(w, 0), MSG_READ), 0);
    world_destroy(w);
}

/* Who was read and is the twin now is not asked again what it holds; who is read now is asked. */
static void what_a_home_holds_is_not_forgotten(void **state)
{
    (void)state;
    struct world *w = joining_pending();
    world_peer(w, steady(w, 1), false);
    world_holds(w, mover(w), 5, "value");
    world_holds(w, mover(w) == 0 ? 1 : 0, 5, "value");
    world_get(w, REQ_STRICT, 2);
    world_serve(w, read_home(w));
    world_serve(w, steady(w, 0));
    uint64_t id = world_letter(w, twin(w))->message.id;
    world_apply(w, twin(w));
    go_on(w, RING_SWITCH);
    assert_int_equal(world_letters(w, 6, MSG_READ), 1);
    world_ack_id(w, 6, id, KV_OK); /* under the ring before: it says nothing any more */
    assert_int_equal(w->answer_count, 0);
    world_serve(w, 6);
    assert_int_equal(w->letter_count, 0);
    answer_holds(world_answer(w), "value");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_goes_on_with_the_twin),
        cmocka_unit_test(an_answered_put_cares_for_new_homes),
        cmocka_unit_test(an_acknowledgement_does_not_outlive_its_role),
        cmocka_unit_test(nothing_is_known_after_another_change),
        cmocka_unit_test(rings_of_one_change_may_be_missed),
        cmocka_unit_test(answers_of_read_homes_stay_good),
        cmocka_unit_test(the_answer_of_a_fallback_is_no_homes),
        cmocka_unit_test(what_a_home_holds_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
