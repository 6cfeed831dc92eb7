/* The pace of a transfer, and what is left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/common_progress.h"

#define SECOND UINT64_C(1000000)

static void an_even_pace_is_found(void **state)
{
    (void)state;
    struct progress p = {0};
    assert_true(progress_left_s(&p) < 0);
    for (uint64_t s = 1; s <= 10; s++)
        progress_look(&p, s * SECOND, 10 * s, 400, 1000 * s);
    assert_true(p.done_per_s > 9.99 && p.done_per_s < 10.01);
    assert_true(p.bytes_per_s > 999 && p.bytes_per_s < 1001);
    assert_true(progress_left_s(&p) > 29.9 && progress_left_s(&p) < 30.1);
    progress_look(&p, 11 * SECOND, 400, 400, 90000);
    assert_true(progress_left_s(&p) == 0);
}

static void a_new_pace_is_followed(void **state)
{
    (void)state;
    struct progress p = {0};
    uint64_t done = 0;
    for (uint64_t s = 1; s <= 60; s++)
        progress_look(&p, s * SECOND, done += 100, 100000, 0);
    for (uint64_t s = 61; s <= 90; s++)
        progress_look(&p, s * SECOND, done += 10, 100000, 0);
    assert_true(p.done_per_s > 9 && p.done_per_s < 12);
}

static void too_little_time_says_nothing(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_look(&p, SECOND, 0, 100, 0);
    progress_look(&p, SECOND + 200000, 50, 100, 0);
    assert_true(progress_left_s(&p) < 0);
    progress_look(&p, SECOND + 200000, 90, 100, 0); /* the same moment: not looked at */
    assert_int_equal(p.done, 50);
}

static void another_transfer_begins_anew(void **state)
{
    (void)state;
    struct progress p = {0};
    for (uint64_t s = 1; s <= 5; s++)
        progress_look(&p, s * SECOND, 10 * s, 100, 10 * s);
    progress_look(&p, 6 * SECOND, 3, 100, 3); /* fewer: another one */
    assert_true(progress_left_s(&p) < 0);
    assert_true(p.done_per_s == 0 && p.done == 3);
    progress_look(&p, 8 * SECOND, 5, 100, 5);
    progress_look(&p, 9 * SECOND, 5, 200, 5); /* another total */
    assert_true(p.done_per_s == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_even_pace_is_found),
        cmocka_unit_test(a_new_pace_is_followed),
        cmocka_unit_test(too_little_time_says_nothing),
        cmocka_unit_test(another_transfer_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
