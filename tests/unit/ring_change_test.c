/* The steps of a change, one condition at a time: the value that each leads to, and that it waits for what it
 * must. What the conditions are for is tested by ring_model_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "unit/ring_bench.h"

/* ---- the straight way ------------------------------------------------------------------------ */

static void a_member_joins(void **state)
{
    (void)state;
    struct bench b = bench_of(4);
    assert_step(&b, RING_WAIT);
    ask(&b, join("n5", 50));
    ask(&b, of_member(RING_LEAVE, 1));
    assert_int_equal(value(&b)->phase, RING_STABLE);
    assert_int_equal(value(&b)->queue_count, 2);
    assert_step(&b, RING_BEGIN);

    const struct ring_value *v = value(&b);
    assert_int_equal(v->phase, RING_PENDING);
    assert_true(v->since == 13 && v->source_epoch == 13 && !v->undo && !v->switched);
    assert_int_equal(v->next_id, 6);
    assert_int_equal(v->member_count, 5);
    assert_int_equal(v->queue_count, 2);
    const struct member *m = member(&b, 5);
    assert_true(m->store_id == 50 && m->weight == 2 && m->old_weight == 0 && !m->dead);
    assert_string_equal(m->name, "n5");
    assert_string_equal(m->zone, "z");
    assert_true(addr_eq(&m->addr, &(struct addr){"h", 1}));
    for (uint32_t id = 1; id <= 4; id++)
        assert_true(member(&b, id)->weight == 1 && member(&b, id)->old_weight == 1);

    b.partial[5] = true;
    assert_step(&b, RING_WAIT);
    b.partial[5] = false;
    b.behind[2] = v->epoch - 1;
    assert_step(&b, RING_WAIT);
    b.behind[2] = 0;
    assert_step(&b, RING_TO_SWITCH);

    v = value(&b);
    assert_true(v->phase == RING_SWITCH && v->since == 13 && v->source_epoch == 13);
    b.behind[3] = v->epoch - 1;
    assert_step(&b, RING_WAIT);
    b.behind[3] = 0;
    b.partial[5] = true; /* that it was whole once is enough */
    assert_step(&b, RING_FINISH);

    v = value(&b);
    assert_true(v->phase == RING_STABLE && v->since == 0 && v->source_epoch == 0);
    assert_int_equal(v->member_count, 5);
    assert_int_equal(v->queue_count, 1);
    assert_int_equal(v->queue[0].kind, RING_LEAVE);
    for (uint32_t id = 1; id <= 5; id++)
        assert_int_equal(member(&b, id)->old_weight, 0);
    bench_end(&b);
}

static void a_member_leaves(void **state)
{
    (void)state;
    struct bench b = bench_of(4);
    ask(&b, of_member(RING_LEAVE, 2));
    assert_step(&b, RING_BEGIN);
    assert_true(member(&b, 2)->weight == 0 && member(&b, 2)->old_weight == 1 && !member(&b, 2)->dead);
    b.partial[2] = true; /* it keeps something for others */
    assert_step(&b, RING_WAIT);
    b.partial[2] = false;
    settle(&b);
    assert_null(member(&b, 2));
    assert_int_equal(value(&b)->member_count, 3);
    assert_int_equal(value(&b)->next_id, 5);
    bench_end(&b);
}

/* It is given up from the beginning: nobody waits for it. */
static void a_dead_member_is_removed(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    b.dead_us[2] = 1;
    b.behind[2] = 1;
    ask(&b, of_member(RING_REMOVE, 2));
    assert_step(&b, RING_BEGIN);
    assert_true(member(&b, 2)->weight == 0 && member(&b, 2)->dead);
    for (uint32_t id = 1; id <= 5; id++)
        b.partial[id] = true;
    assert_step(&b, RING_WAIT);
    for (uint32_t id = 1; id <= 5; id++)
        b.partial[id] = false;
    assert_step(&b, RING_TO_SWITCH);
    assert_step(&b, RING_FINISH);
    assert_null(member(&b, 2));
    bench_end(&b);
}

static void a_dead_member_is_replaced(void **state)
{
    (void)state;
    struct bench b = bench_of(3);
    b.dead_us[2] = 1;
    b.behind[2] = 1;
    ask(&b, join("n2", 22));
    assert_step(&b, RING_BEGIN);
    assert_true(member(&b, 2)->dead && member(&b, 2)->weight == 0);
    assert_true(member(&b, 4)->store_id == 22);
    assert_ptr_equal(ring_value_find_name(value(&b), "n2"), member(&b, 4));
    settle(&b);
    assert_null(member(&b, 2));
    assert_string_equal(member(&b, 4)->name, "n2");
    bench_end(&b);
}

static void weights_and_zones_change(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    struct ring_change weight = of_member(RING_WEIGHT, 3), zone = of_member(RING_ZONE, 4);
    weight.weight = 3;
    strcpy(zone.zone, "east");
    ask(&b, weight);
    ask(&b, zone);
    assert_step(&b, RING_BEGIN);
    assert_true(member(&b, 3)->weight == 3 && member(&b, 3)->old_weight == 1);
    assert_step(&b, RING_TO_SWITCH);
    assert_step(&b, RING_FINISH);
    assert_step(&b, RING_BEGIN);
    assert_string_equal(member(&b, 4)->zone, "east");
    assert_string_equal(member(&b, 4)->old_zone, "");
    settle(&b);
    assert_true(member(&b, 3)->weight == 3);
    assert_string_equal(member(&b, 4)->zone, "east");
    bench_end(&b);
}

/* Alone, and with fewer members than N. */
static void from_one_member_to_six_and_back(void **state)
{
    (void)state;
    struct bench b = bench_of(1);
    char name[16];
    for (uint32_t id = 2; id <= 6; id++) {
        snprintf(name, sizeof name, "n%u", id);
        ask(&b, join(name, id));
        settle(&b);
        assert_int_equal(value(&b)->member_count, id);
        check_table(b.ring);
    }
    for (uint32_t id = 1; id <= 5; id++) {
        ask(&b, of_member(RING_LEAVE, id));
        settle(&b);
        assert_int_equal(value(&b)->member_count, 6 - id);
        check_table(b.ring);
    }
    bench_end(&b);
}

/* Of two members one stays, and has to have what only the other may have. */
static void who_stays_of_two_takes_over(void **state)
{
    (void)state;
    struct bench b = bench_of(2);
    ask(&b, of_member(RING_LEAVE, 1));
    assert_step(&b, RING_BEGIN);
    b.partial[2] = true;
    assert_step(&b, RING_WAIT);
    b.partial[2] = false;
    assert_step(&b, RING_TO_SWITCH);
    bench_end(&b);
}

/* ---- what makes no sense --------------------------------------------------------------------- */

static void what_makes_no_sense_is_dropped(void **state)
{
    (void)state;
    struct ring_change same_weight = of_member(RING_WEIGHT, 1), same_zone = of_member(RING_ZONE, 1);
    same_weight.weight = 1;
    const struct ring_change changes[] = {
        of_member(RING_LEAVE, 9),
        of_member(RING_REMOVE, 9),
        same_weight,
        same_zone,
        join("n9", 3),
        of_member(RING_REMOVE, 2), /* it lives */
        join("n2", 22),            /* and so does this one */
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct bench b = bench_of(3);
        struct ring_value next;
        assert_int_equal(ring_change_ask(value(&b), &changes[i], &next), KV_OK);
        become(&b, &next);
        uint64_t before = table_hash(b.ring);
        assert_step(&b, RING_DROP);
        assert_true(value(&b)->phase == RING_STABLE && value(&b)->queue_count == 0);
        assert_int_equal(value(&b)->next_id, 4);
        assert_true(table_hash(b.ring) == before);
        bench_end(&b);
    }
    struct bench b = bench_of(1);
    struct ring_value next;
    assert_int_equal(ring_change_ask(value(&b), &changes[0], &next), KV_OK);
    next.queue[0].member = 1;
    become(&b, &next);
    assert_step(&b, RING_DROP); /* nobody would be left */
    bench_end(&b);
}

/* ---- homes before that die ------------------------------------------------------------------- */

static void a_displaced_home_that_dies_is_given_up(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    ask(&b, of_member(RING_LEAVE, 2));
    assert_step(&b, RING_BEGIN);
    b.dead_us[2] = RING_GIVE_UP_US - 1;
    assert_step(&b, RING_WAIT); /* whole or not: what is gone into must be finished */
    b.dead_us[2] = RING_GIVE_UP_US;
    assert_step(&b, RING_GIVE_UP);
    const struct ring_value *v = value(&b);
    assert_true(v->phase == RING_PENDING && !v->switched && !v->undo);
    assert_true(v->source_epoch == v->epoch && v->since == v->epoch - 1);
    assert_true(member(&b, 2)->dead && member(&b, 2)->weight == 0);
    assert_step(&b, RING_TO_SWITCH);
    b.behind[2] = 1;
    assert_step(&b, RING_FINISH);
    bench_end(&b);
}

static void in_switch_only_who_is_behind_is_given_up(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    ask(&b, of_member(RING_LEAVE, 2));
    assert_step(&b, RING_BEGIN);
    assert_step(&b, RING_TO_SWITCH);
    b.behind[2] = value(&b)->epoch - 1;
    assert_step(&b, RING_WAIT);
    b.dead_us[2] = RING_GIVE_UP_US;
    assert_step(&b, RING_GIVE_UP);
    const struct ring_value *v = value(&b);
    assert_true(v->phase == RING_PENDING && v->switched && v->source_epoch == v->epoch);
    /* Who has read what the new homes have not heard of before does not count. */
    for (uint32_t id = 1; id <= 5; id++)
        b.partial[id] = true;
    assert_step(&b, RING_WAIT);
    for (uint32_t id = 1; id <= 5; id++)
        b.partial[id] = false;
    assert_step(&b, RING_TO_SWITCH);
    assert_false(value(&b)->switched);
    assert_step(&b, RING_FINISH);
    bench_end(&b);

    b = bench_of(5);
    ask(&b, of_member(RING_LEAVE, 2));
    assert_step(&b, RING_BEGIN);
    assert_step(&b, RING_TO_SWITCH);
    b.dead_us[2] = RING_UNDO_US;
    assert_step(&b, RING_FINISH); /* it has adopted SWITCH before it died */
    bench_end(&b);
}

/* In its place somebody might still answer at an older epoch, together with one who is there too. */
static void around_one_given_up_the_others_must_be_past_it(void **state)
{
    (void)state;
    struct bench b = bench_of(4);
    b.dead_us[2] = RING_GIVE_UP_US;
    ask(&b, of_member(RING_REMOVE, 2));
    assert_step(&b, RING_BEGIN);
    b.behind[4] = value(&b)->epoch - 1;
    for (uint32_t p = 0; p < value(&b)->partitions; p++)
        if (ring_is_home(b.ring, p, 4) && ring_is_home(b.ring, p, 2)) {
            assert_step(&b, RING_WAIT);
            b.behind[4] = 0;
            assert_step(&b, RING_TO_SWITCH);
            bench_end(&b);
            return;
        }
    fail();
}

/* Two of three homes are dead: what they acknowledged may be nowhere else, so they are waited for, until
 * somebody who knows asks for the removal of the other one too. */
static void nobody_is_given_up_who_is_needed(void **state)
{
    (void)state;
    struct bench b = bench_of(4);
    b.dead_us[1] = b.dead_us[2] = RING_GIVE_UP_US;
    b.behind[1] = b.behind[2] = value(&b)->epoch;
    ask(&b, of_member(RING_REMOVE, 1));
    assert_step(&b, RING_BEGIN);
    b.partial[3] = b.partial[4] = true;
    assert_step(&b, RING_WAIT);
    ask(&b, of_member(RING_REMOVE, 2));
    assert_step(&b, RING_GIVE_UP);
    assert_true(member(&b, 1)->dead && member(&b, 2)->dead);
    assert_int_equal(member(&b, 2)->weight, 1);
    assert_step(&b, RING_WAIT);
    b.partial[3] = b.partial[4] = false;
    assert_step(&b, RING_TO_SWITCH);
    assert_step(&b, RING_FINISH);
    assert_null(member(&b, 1));
    /* It has gained homes that it has never filled: whoever comes back under its name is somebody else. */
    assert_true(member(&b, 2)->store_id == 0 && !member(&b, 2)->dead);
    settle(&b);
    assert_null(member(&b, 2));
    bench_end(&b);
}

/* One who stays, gains nothing and was away for a while is a member as before. */
static void who_was_given_up_and_stays_keeps_its_store(void **state)
{
    (void)state;
    struct bench b = bench_of(6);
    ask(&b, join("n7", 70));
    assert_step(&b, RING_BEGIN);
    uint32_t lost = 0;
    for (uint32_t id = 1; id <= 6 && !lost; id++) {
        b.dead_us[id] = RING_GIVE_UP_US;
        if (go(&b) == RING_GIVE_UP)
            lost = id;
        else
            b.dead_us[id] = 0;
    }
    assert_int_not_equal(lost, 0);
    assert_true(member(&b, lost)->dead);
    assert_step(&b, RING_TO_SWITCH);
    assert_step(&b, RING_FINISH);
    assert_int_equal(member(&b, lost)->store_id, lost);
    assert_false(member(&b, lost)->dead);
    bench_end(&b);
}

/* ---- homes after that die -------------------------------------------------------------------- */

static void a_new_home_that_dies_undoes_the_change(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    uint64_t before = table_hash(b.ring);
    ask(&b, join("n6", 60));
    assert_step(&b, RING_BEGIN);
    b.dead_us[6] = RING_UNDO_US - 1;
    assert_step(&b, RING_WAIT);
    b.dead_us[6] = RING_UNDO_US;
    for (uint32_t id = 1; id <= 6; id++)
        b.behind[id] = 1; /* nobody has to have heard of it */
    assert_step(&b, RING_UNDO);
    const struct ring_value *v = value(&b);
    assert_true(v->phase == RING_STABLE && v->since == 0 && v->source_epoch == 0);
    assert_int_equal(v->queue_count, 0);
    assert_int_equal(v->member_count, 5);
    assert_int_equal(v->next_id, 7); /* an id is never used again */
    assert_true(table_hash(b.ring) == before);
    bench_end(&b);
}

static void weights_and_zones_are_undone(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    struct ring_change weight = of_member(RING_WEIGHT, 3);
    weight.weight = 16;
    ask(&b, weight);
    assert_step(&b, RING_BEGIN);
    b.dead_us[3] = RING_UNDO_US;
    assert_step(&b, RING_UNDO);
    assert_int_equal(member(&b, 3)->weight, 1);
    b.dead_us[3] = 0;
    struct ring_change zone = of_member(RING_ZONE, 3);
    strcpy(zone.zone, "east");
    ask(&b, zone);
    settle(&b);
    strcpy(zone.zone, "west");
    ask(&b, zone);
    assert_step(&b, RING_BEGIN);
    assert_string_equal(member(&b, 3)->old_zone, "east");
    bench_end(&b);
}

/* After a SWITCH new homes may have been read from. */
static void undoing_a_switch_waits_for_its_readers(void **state)
{
    (void)state;
    struct bench b = pending_join();
    assert_step(&b, RING_TO_SWITCH);
    b.behind[1] = value(&b)->epoch - 1; /* FINISH has to wait */
    b.dead_us[6] = RING_UNDO_US - 1;
    b.behind[6] = value(&b)->epoch;
    assert_step(&b, RING_WAIT);
    b.dead_us[6] = RING_UNDO_US;
    assert_step(&b, RING_BACK);
    const struct ring_value *v = value(&b);
    assert_true(v->phase == RING_PENDING && v->undo && v->switched);
    assert_true(v->source_epoch == v->since);

    b.dead_us[6] = 0; /* it lives after all: it has to leave SWITCH too */
    assert_step(&b, RING_WAIT);
    b.dead_us[6] = RING_UNDO_US;
    for (uint32_t id = 1; id <= 5; id++)
        b.behind[id] = v->epoch - 1; /* they and the dead one are a majority under SWITCH */
    assert_step(&b, RING_WAIT);
    for (uint32_t id = 1; id <= 5; id++)
        b.behind[id] = 0;
    assert_step(&b, RING_UNDO);
    assert_null(member(&b, 6));
    bench_end(&b);
}

/* Nobody is switched to any more, and nobody given up. */
static void undone_is_undone(void **state)
{
    (void)state;
    struct bench b = pending_join();
    assert_step(&b, RING_TO_SWITCH);
    b.behind[1] = value(&b)->epoch - 1;
    b.dead_us[6] = RING_UNDO_US;
    assert_step(&b, RING_BACK);
    b.dead_us[6] = 0;
    b.behind[6] = value(&b)->epoch - 1;
    b.behind[1] = 0;
    b.dead_us[2] = RING_GIVE_UP_US;
    assert_step(&b, RING_WAIT);
    b.behind[6] = 0;
    assert_step(&b, RING_UNDO);
    bench_end(&b);
}

/* Whether it is a home before of a partition that it is no home of after; or the other way round. */
static bool moves(const struct bench *b, uint32_t id, bool loses)
{
    for (uint32_t p = 0; p < value(b)->partitions; p++) {
        struct ring_slot slots[REPLICAS_MAX];
        uint32_t count = ring_slots(b->ring, p, slots);
        for (uint32_t i = 0; i < count; i++)
            if (slots[i].from != slots[i].to && (loses ? slots[i].from : slots[i].to) == id)
                return true;
    }
    return false;
}

/* In the SWITCH its slots were acknowledged without it; undone, they are its own again. */
static void a_home_given_up_before_an_undone_switch_loses_its_store(void **state)
{
    (void)state;
    struct bench b = bench_of(6);
    b.dead_us[2] = RING_GIVE_UP_US;
    ask(&b, of_member(RING_REMOVE, 2));
    assert_step(&b, RING_BEGIN);
    assert_step(&b, RING_TO_SWITCH);
    uint32_t slow = 1, lost = 1;
    while (slow == 2 || !moves(&b, slow, true))
        slow++;
    while (lost == 2 || lost == slow || !moves(&b, lost, false))
        lost++;
    assert_true(slow <= 6 && lost <= 6);
    b.behind[slow] = value(&b)->epoch - 1;
    b.dead_us[lost] = RING_UNDO_US;
    assert_step(&b, RING_BACK);
    b.behind[slow] = 0;
    assert_step(&b, RING_UNDO);
    assert_int_equal(value(&b)->member_count, 6);
    for (uint32_t id = 1; id <= 6; id++)
        assert_int_equal(member(&b, id)->store_id, id == 2 ? 0 : id);
    /* It can be replaced, though nobody can have it removed who does not see it dead. */
    ask(&b, join("n2", 22));
    b.dead_us[lost] = 0;
    settle(&b);
    assert_null(member(&b, 2));
    bench_end(&b);
}

static void members_nobody_has_heard_of_are_waited_for(void **state)
{
    (void)state;
    struct bench b = pending_join();
    b.unheard[6] = true;
    assert_step(&b, RING_WAIT);
    b.unheard[6] = false;
    b.unheard[1] = b.unheard[2] = b.unheard[3] = b.unheard[4] = b.unheard[5] = true;
    assert_step(&b, RING_WAIT);
    memset(b.unheard, 0, sizeof b.unheard);
    assert_step(&b, RING_TO_SWITCH);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_joins),
        cmocka_unit_test(a_member_leaves),
        cmocka_unit_test(a_dead_member_is_removed),
        cmocka_unit_test(a_dead_member_is_replaced),
        cmocka_unit_test(weights_and_zones_change),
        cmocka_unit_test(from_one_member_to_six_and_back),
        cmocka_unit_test(who_stays_of_two_takes_over),
        cmocka_unit_test(what_makes_no_sense_is_dropped),
        cmocka_unit_test(a_displaced_home_that_dies_is_given_up),
        cmocka_unit_test(in_switch_only_who_is_behind_is_given_up),
        cmocka_unit_test(around_one_given_up_the_others_must_be_past_it),
        cmocka_unit_test(nobody_is_given_up_who_is_needed),
        cmocka_unit_test(who_was_given_up_and_stays_keeps_its_store),
        cmocka_unit_test(a_new_home_that_dies_undoes_the_change),
        cmocka_unit_test(weights_and_zones_are_undone),
        cmocka_unit_test(undoing_a_switch_waits_for_its_readers),
        cmocka_unit_test(undone_is_undone),
        cmocka_unit_test(a_home_given_up_before_an_undone_switch_loses_its_store),
        cmocka_unit_test(members_nobody_has_heard_of_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
