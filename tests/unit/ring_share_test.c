/* Fair shares: in proportion where the bounds allow, at a bound only for whom the proportion lies beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "ring/share.h"
#include "unit/death.h"

#define COUNT_MAX 30

static uint64_t ones(uint32_t n)
{
    return (uint64_t)n << 16;
}

static void without_bounds_it_is_the_proportion(void **state)
{
    (void)state;
    struct ring_share s[3] = {
        {.weight = 1, .most = ones(100)}, {.weight = 2, .most = ones(100)}, {.weight = 3, .most = ones(100)}};
    ring_share_out(ones(60), s, 3);
    assert_true(s[0].amount == ones(10) && s[1].amount == ones(20) && s[2].amount == ones(30));
}

static void what_one_cannot_take_the_others_divide(void **state)
{
    (void)state;
    struct ring_share s[3] = {
        {.weight = 8, .most = ones(10)}, {.weight = 1, .most = ones(10)}, {.weight = 1, .most = ones(10)}};
    ring_share_out(ones(20), s, 3);
    assert_true(s[0].amount == ones(10) && s[1].amount == ones(5) && s[2].amount == ones(5));
}

static void what_one_must_take_the_others_lose(void **state)
{
    (void)state;
    struct ring_share s[3] = {{.weight = 1, .least = ones(10), .most = ones(10)},
                              {.weight = 4, .most = ones(20)},
                              {.weight = 4, .most = ones(20)}};
    ring_share_out(ones(30), s, 3);
    assert_true(s[0].amount == ones(10) && s[1].amount == ones(10) && s[2].amount == ones(10));
}

static void bounds_that_leave_no_choice_are_met(void **state)
{
    (void)state;
    struct ring_share s[2] = {{.weight = 1, .least = 5, .most = 5}, {.weight = 9, .least = 0, .most = 7}};
    ring_share_out(12, s, 2);
    assert_true(s[0].amount == 5 && s[1].amount == 7);
    assert_dies(ring_share_out(13, s, 2));
    assert_dies(ring_share_out(4, s, 2));
}

/* a is not above its proportion to b, but for one unit of rounding. */
static bool not_favoured(const struct ring_share *a, const struct ring_share *b)
{
    return a->amount * b->weight <= (b->amount + 1) * a->weight;
}

/* Fair: whoever has more than its proportion to another is at its lower bound, or the other at its upper one.
 */
static void random_bounds_are_kept_and_fair(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 23);
    for (int round = 0; round < 20000; round++) {
        struct ring_share s[COUNT_MAX];
        uint32_t count = 1 + (uint32_t)prng_below(&p, COUNT_MAX);
        uint64_t least = 0, most = 0;
        for (uint32_t i = 0; i < count; i++) {
            s[i] = (struct ring_share){.weight = 1 + (uint32_t)prng_below(&p, 16)};
            s[i].least = prng_below(&p, 3) ? 0 : prng_below(&p, 1000);
            s[i].most = s[i].least + prng_below(&p, 1000);
            least += s[i].least;
            most += s[i].most;
        }
        uint64_t total = least + prng_below(&p, most - least + 1), sum = 0;
        ring_share_out(total, s, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(s[i].least <= s[i].amount && s[i].amount <= s[i].most);
            sum += s[i].amount;
            for (uint32_t k = 0; k < count; k++)
                assert_true(s[i].amount == s[i].least || s[k].amount == s[k].most ||
                            not_favoured(&s[i], &s[k]));
        }
        assert_true(sum <= total && total - sum < count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_bounds_it_is_the_proportion),
        cmocka_unit_test(what_one_cannot_take_the_others_divide),
        cmocka_unit_test(what_one_must_take_the_others_lose),
        cmocka_unit_test(bounds_that_leave_no_choice_are_met),
        cmocka_unit_test(random_bounds_are_kept_and_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
