/* The quantile tracker against distributions whose 99th percentile is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/prng.h"
#include "coord/latency.h"

static struct prng prng;

static uint64_t constant(void)
{
    return 1000;
}

static uint64_t uniform(void)
{
    return 1000 + prng_below(&prng, 9001);
}

static uint64_t exponential(void)
{
    return (uint64_t)(-500.0 * log(1.0 - prng_unit(&prng)));
}

/* Mostly fast, one in ten slow: the 99th percentile is among the slow. */
static uint64_t two_humps(void)
{
    return prng_below(&prng, 10) ? 300 + prng_below(&prng, 100) : 20000 + prng_below(&prng, 10001);
}

struct distribution {
    const char *name;
    uint64_t (*draw)(void);
    double p99_us, mean_us, tolerance;
};

static const struct distribution distributions[] = {
    {"constant", constant, 1000, 1000, 0.15},
    {"uniform", uniform, 9910, 5500, 0.15},
    {"exponential", exponential, 2303, 500, 0.25},
    {"two humps", two_humps, 29000, 2850, 0.25},
};

/* The estimate wanders; what must be right is where it wanders around, and how often it is exceeded. */
static void finds_the_99th_percentile(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof distributions / sizeof distributions[0]; d++) {
        const struct distribution *dist = &distributions[d];
        struct latency l = {0};
        double p99 = 0, mean = 0;
        uint32_t above = 0, rounds = 200000;
        prng_init(&prng, 42 + d);
        for (uint32_t i = 0; i < 5000; i++)
            latency_record(&l, dist->draw());
        for (uint32_t i = 0; i < rounds; i++) {
            uint64_t us = dist->draw();
            above += us > l.p99_us;
            latency_record(&l, us);
            p99 += l.p99_us;
            mean += l.mean_us;
        }
        p99 /= rounds;
        mean /= rounds;
        print_message("%s: p99 %.0f (%.0f), mean %.0f (%.0f), above %.4f\n", dist->name, p99, dist->p99_us,
                      mean, dist->mean_us, (double)above / rounds);
        assert_true(fabs(p99 - dist->p99_us) < dist->tolerance * dist->p99_us);
        assert_true(fabs(mean - dist->mean_us) < 0.05 * dist->mean_us);
        assert_true(above > rounds / 200 && above < rounds / 50);
    }
}

static void starts_with_what_it_sees(void **state)
{
    (void)state;
    struct latency l = {0};
    latency_record(&l, 700);
    assert_int_equal(l.p99_us, 700);
    assert_int_equal(l.mean_us, 700);
    struct latency zero = {0};
    latency_record(&zero, 0);
    assert_int_equal(zero.p99_us, 1); /* measured, however fast */
    assert_int_equal(zero.mean_us, 1);
    for (int i = 0; i < 10000; i++)
        latency_record(&zero, 0);
    assert_int_equal(zero.p99_us, 1);
    assert_int_equal(zero.mean_us, 1);
}

static void follows_a_member_that_becomes_slow_and_fast_again(void **state)
{
    (void)state;
    struct latency l = {0};
    uint32_t answers = 0;
    for (int i = 0; i < 1000; i++)
        latency_record(&l, 1000);
    for (; l.p99_us < 50000; answers++)
        latency_record(&l, 50000);
    assert_in_range(answers, 10, 50);
    for (answers = 0; l.p99_us > 2000; answers++)
        latency_record(&l, 1000);
    assert_in_range(answers, 500, 4000);
}

static void cannot_overflow(void **state)
{
    (void)state;
    struct latency l = {0};
    for (int i = 0; i < 1000; i++)
        latency_record(&l, UINT64_MAX);
    assert_true(l.p99_us >= 1u << 30);
    for (int i = 0; i < 100000; i++)
        latency_record(&l, 10);
    assert_true(l.p99_us < 1000);
    assert_int_equal(sizeof l, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_99th_percentile),
        cmocka_unit_test(starts_with_what_it_sees),
        cmocka_unit_test(follows_a_member_that_becomes_slow_and_fast_again),
        cmocka_unit_test(cannot_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
