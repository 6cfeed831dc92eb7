/* Numbers for people: what they look like, and that none is wider than promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cmd/common_human.h"

static char out[HUMAN_MAX];

static void counts(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } CASES[] = {{0, "0"},          {-3, "0"},        {0.04, "0"},     {0.5, "0.5"},     {7.4, "7.4"},
                 {7, "7"},          {9.99, "10"},     {10.4, "10"},    {1234, "1234"},   {9999, "9999"},
                 {9999.6, "10.0k"}, {12345, "12.3k"}, {99960, "100k"}, {999400, "999k"}, {999600, "1.0M"},
                 {1234567, "1.2M"}, {5e9, "5.0G"},    {1e18, "1.0E"},  {1e30, "999E"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_string_equal(human_count(CASES[i].v, out), CASES[i].text);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } CASES[] = {{0, "0 B"},           {999, "999 B"},    {1000, "1.0 KiB"},
                 {1536, "1.5 KiB"},    {10240, "10 KiB"}, {999 * 1024.0, "999 KiB"},
                 {1048576, "1.0 MiB"}, {64e6, "61 MiB"},  {5368709120.0, "5.0 GiB"},
                 {1e30, "999 EiB"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_string_equal(human_bytes(CASES[i].v, out), CASES[i].text);
}

static void times(void **state)
{
    (void)state;
    assert_string_equal(human_seconds(0, out), "0:00");
    assert_string_equal(human_seconds(-1, out), "0:00");
    assert_string_equal(human_seconds(7.4, out), "0:07");
    assert_string_equal(human_seconds(59.6, out), "1:00");
    assert_string_equal(human_seconds(754, out), "12:34");
    assert_string_equal(human_seconds(3600, out), "1:00:00");
    assert_string_equal(human_seconds(11045, out), "3:04:05");
}

static void percents(void **state)
{
    (void)state;
    assert_string_equal(human_percent(0, 0, out), "0 %");
    assert_string_equal(human_percent(0, 7, out), "0 %");
    assert_string_equal(human_percent(7, 7, out), "100 %");
    assert_string_equal(human_percent(1, 2, out), "50.0 %");
    assert_string_equal(human_percent(1, 1000000, out), "0.01 %");       /* something is not nothing */
    assert_string_equal(human_percent(999999, 1000000, out), "99.99 %"); /* nor nearly all all */
    assert_string_equal(human_percent(9995, 10000, out), "99.95 %");
}

static void never_wider_than_promised(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (int i = 0; i < 100000; i++) {
        double v = (double)(prng_u64(&p) >> prng_below(&p, 64)) / (1 + (double)prng_below(&p, 9));
        uint64_t whole = 1 + prng_below(&p, 100000);
        assert_in_range(strlen(human_count(v, out)), 1, 5);
        assert_in_range(strlen(human_bytes(v, out)), 3, 8);
        assert_in_range(strlen(human_percent(prng_below(&p, whole + 1), whole, out)), 3, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(sizes),
        cmocka_unit_test(times),
        cmocka_unit_test(percents),
        cmocka_unit_test(never_wider_than_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
