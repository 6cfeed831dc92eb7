/* The histogram against a sorted array: no quantile is off by more than half a percent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cmd/common_histogram.h"

#define COUNT 100000

static struct histogram h, other;
static uint64_t values[COUNT];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void check_quantiles(void)
{
    static const double PARTS[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};
    qsort(values, COUNT, sizeof *values, compare);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        double exact = (double)values[(size_t)(PARTS[i] * COUNT + 0.9999999) - 1];
        double got = (double)histogram_quantile(&h, PARTS[i]);
        assert_true(got >= exact * 0.995 - 1 && got <= exact * 1.005 + 1);
    }
}

static void test_quantiles(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (int round = 0; round < 3; round++) {
        histogram_reset(&h);
        for (size_t i = 0; i < COUNT; i++) {
            /* Spread over many orders of magnitude, then narrow, then huge. */
            values[i] = round == 0   ? prng_u64(&p) >> prng_below(&p, 60)
                        : round == 1 ? 1000 + prng_below(&p, 50)
                                     : (UINT64_C(1) << 62) + prng_below(&p, UINT64_C(1) << 40);
            histogram_record(&h, values[i]);
        }
        check_quantiles();
    }
}

static void test_extremes(void **state)
{
    (void)state;
    histogram_reset(&h);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_record(&h, 0);
    histogram_record(&h, UINT64_MAX);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    assert_int_equal(h.max, UINT64_MAX);
    assert_true(histogram_quantile(&h, 1) > UINT64_MAX / 256 * 255);
}

static void test_addition(void **state)
{
    (void)state;
    histogram_reset(&h);
    histogram_reset(&other);
    for (uint64_t i = 0; i < 100; i++)
        histogram_record(i % 2 ? &h : &other, i);
    histogram_add(&h, &other);
    assert_int_equal(h.count, 100);
    assert_int_equal(h.sum, 4950);
    assert_int_equal(h.max, 99);
    assert_int_equal(histogram_quantile(&h, 0.5), 49);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_addition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
