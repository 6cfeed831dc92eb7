/* The alarm rings when it should, whatever the deadline's value: also at 0, at once, first thing and again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uv/alarm.h"

static uv_loop_t loop;
static struct alarm alarm_clock;
static unsigned rung;

static void on_ring(void *context)
{
    assert_ptr_equal(context, &loop);
    rung++;
}

static int setup(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    alarm_init(&alarm_clock, &loop, on_ring, &loop);
    rung = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uv_close((uv_handle_t *)&alarm_clock.timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void test_it_rings_once_and_not_early(void **state)
{
    (void)state;
    uint64_t at_us = now_us() + 5000;
    alarm_set(&alarm_clock, at_us);
    uv_run(&loop, UV_RUN_DEFAULT); /* returns when no timer runs any more */
    assert_int_equal(rung, 1);
    assert_true(now_us() >= at_us - 1000);
}

static void test_a_deadline_of_0_is_at_once(void **state)
{
    (void)state;
    alarm_set(&alarm_clock, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rung, 1);
    alarm_set(&alarm_clock, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rung, 2);
}

static void test_one_that_stays_rings_in_each_turn(void **state)
{
    (void)state;
    for (unsigned turn = 1; turn <= 10; turn++) {
        alarm_set(&alarm_clock, 7);
        uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(rung, turn);
    }
}

static void test_the_last_setting_counts(void **state)
{
    (void)state;
    alarm_set(&alarm_clock, now_us() + 3600000000);
    alarm_set(&alarm_clock, now_us() + 1000);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rung, 1);
    alarm_set(&alarm_clock, 0);
    alarm_set(&alarm_clock, ALARM_NEVER);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rung, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_rings_once_and_not_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deadline_of_0_is_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_stays_rings_in_each_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_setting_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
