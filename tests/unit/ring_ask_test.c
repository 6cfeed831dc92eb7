/* What may be asked of a ring, what is known already, and what it would do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "kv_error.h"
#include "unit/ring_bench.h"

/* ---- asking ---------------------------------------------------------------------------------- */

static int check(const struct bench *b, struct ring_change c, bool *known, const char *says)
{
    char error[128];
    int status = ring_change_check(value(b), &c, known, error);
    if (says)
        assert_non_null(strstr(error, says));
    else
        assert_int_equal(error[0], '\0');
    return status;
}

static void asking_is_checked(void **state)
{
    (void)state;
    struct bench b = bench_of(2);
    bool known;
    struct ring_change heavy = of_member(RING_WEIGHT, 1), zone = of_member(RING_ZONE, 1);
    heavy.weight = WEIGHT_MAX + 1;
    assert_int_equal(check(&b, heavy, &known, "weight"), KV_E_INVALID);
    strcpy(zone.zone, "a b");
    assert_int_equal(check(&b, zone, &known, "zone"), KV_E_INVALID);
    assert_int_equal(check(&b, of_member(RING_LEAVE, 3), &known, "id 3"), KV_E_INVALID);
    assert_int_equal(check(&b, of_member(99, 1), &known, "no such change"), KV_E_INVALID);

    heavy.weight = 1;
    assert_int_equal(check(&b, heavy, &known, NULL), KV_OK);
    assert_true(known);
    heavy.weight = 2;
    ask(&b, heavy);
    assert_int_equal(check(&b, heavy, &known, NULL), KV_OK);
    assert_true(known);
    heavy.weight = 1; /* back again, after that */
    assert_int_equal(check(&b, heavy, &known, NULL), KV_OK);
    assert_false(known);

    ask(&b, of_member(RING_LEAVE, 1));
    assert_int_equal(check(&b, of_member(RING_LEAVE, 1), &known, NULL), KV_OK);
    assert_true(known);
    assert_int_equal(check(&b, of_member(RING_REMOVE, 1), &known, NULL), KV_OK);
    assert_false(known); /* it may die on the way */
    assert_int_equal(check(&b, heavy, &known, "n1 is leaving"), KV_E_INVALID);
    assert_int_equal(check(&b, of_member(RING_LEAVE, 2), &known, "no member would be left"), KV_E_INVALID);
    ask(&b, join("n3", 3));
    assert_int_equal(check(&b, join("n3", 3), &known, NULL), KV_OK);
    assert_true(known);
    assert_int_equal(check(&b, join("other", 2), &known, NULL), KV_OK);
    assert_true(known); /* it is a member */
    assert_int_equal(check(&b, of_member(RING_LEAVE, 2), &known, NULL), KV_OK);
    assert_false(known);
    settle(&b);
    assert_int_equal(value(&b)->member_count, 2);
    bench_end(&b);
}

static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    struct bench b = bench_of(2);
    bool known;
    char name[16];
    for (uint32_t i = 0; i < RING_QUEUE_MAX; i++) {
        snprintf(name, sizeof name, "new%u", i);
        ask(&b, join(name, 100 + i));
    }
    assert_int_equal(check(&b, join("another", 99), &known, "waiting"), KV_E_OVERLOADED);
    assert_int_equal(check(&b, join("new0", 100), &known, NULL), KV_OK);
    assert_true(known);
    settle(&b);
    assert_int_equal(value(&b)->member_count, 2 + RING_QUEUE_MAX);
    bench_end(&b);
}

/* What is being undone is not known any more. */
static void what_is_undone_can_be_asked_for_again(void **state)
{
    (void)state;
    struct bench b = pending_join();
    bool known;
    assert_int_equal(check(&b, join("n6", 60), &known, NULL), KV_OK);
    assert_true(known);
    assert_step(&b, RING_TO_SWITCH);
    b.behind[1] = value(&b)->epoch - 1;
    b.dead_us[6] = RING_UNDO_US;
    assert_step(&b, RING_BACK);
    assert_int_equal(check(&b, join("n6", 60), &known, NULL), KV_OK);
    assert_false(known);
    assert_int_equal(check(&b, of_member(RING_LEAVE, 6), &known, "id 6"), KV_E_INVALID);
    bench_end(&b);
}

/* ---- planning -------------------------------------------------------------------------------- */

static void a_plan_says_what_would_move(void **state)
{
    (void)state;
    struct bench b = bench_of(5);
    struct ring_plan p;
    char error[128];
    struct ring_change new = join("n6", 0);
    new.weight = 1;
    new.zone[0] = '\0';
    assert_int_equal(ring_change_plan(value(&b), &new, &p, error), KV_OK);
    struct ring_value six = numbered_value(6, 0);
    six.partitions = 256;
    struct ring *after = ring_taking(&six);
    assert_int_equal(p.moved, ring_moved(b.ring, after));
    assert_int_equal(p.total, 256 * 3);
    assert_true(p.max_over_mean == ring_max_over_mean(after));
    assert_true(p.least <= p.moved && p.least >= ring_owned(after, 6));

    /* As many as a real change moves, and the same when it has begun. */
    ask(&b, join("n6", 60));
    assert_step(&b, RING_BEGIN);
    struct ring_change leave = of_member(RING_LEAVE, 6);
    assert_int_equal(ring_change_plan(value(&b), &leave, &p, error), KV_OK);
    assert_true(p.moved > 0 && p.least > 0);

    struct ring_change same = of_member(RING_WEIGHT, 1);
    same.weight = 1;
    assert_int_equal(ring_change_plan(value(&b), &same, &p, error), KV_OK);
    assert_true(p.moved == 0 && p.least == 0 && p.total == 256 * 3);
    assert_int_equal(
        ring_change_plan(value(&b), &(struct ring_change){.kind = RING_LEAVE, .member = 77}, &p, error),
        KV_E_INVALID);
    assert_non_null(strstr(error, "77"));
    ring_destroy(after);
    bench_end(&b);
}

static void everything_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(ring_change_kind_name(RING_JOIN), "join");
    assert_string_equal(ring_change_kind_name(RING_ZONE), "zone");
    assert_string_equal(ring_change_kind_name(0), "?");
    assert_string_equal(ring_change_kind_name(200), "?");
    assert_string_equal(ring_step_name(RING_WAIT), "wait");
    assert_string_equal(ring_step_name(RING_UNDO), "undo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asking_is_checked),
        cmocka_unit_test(a_full_queue_takes_no_more),
        cmocka_unit_test(what_is_undone_can_be_asked_for_again),
        cmocka_unit_test(a_plan_says_what_would_move),
        cmocka_unit_test(everything_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
