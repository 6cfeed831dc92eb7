/* The generator: the published sequences, bounds without bias, and the mixers it shares with hash.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/prng.h"
#include "unit/death.h"

static void is_xoshiro256starstar(void **state)
{
    (void)state;
    struct prng p = {.s = {1, 2, 3, 4}};
    const uint64_t expected[] = {
        11520,
        0,
        1509978240,
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(prng_u64(&p) == expected[i]);
}

static void is_seeded_by_splitmix64(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1234567);
    const uint64_t expected[] = {
        UINT64_C(6457827717110365317),
        UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423),
        UINT64_C(4593380528125082431),
    };
    for (int i = 0; i < 4; i++)
        assert_true(p.s[i] == expected[i]);
}

static void a_seed_repeats_and_another_differs(void **state)
{
    (void)state;
    struct prng a, b, c;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = prng_u64(&a);
        assert_true(v == prng_u64(&b));
        same += v == prng_u64(&c);
    }
    assert_int_equal(same, 0);
}

/* Chi-squared over `bound` cells of `draws` draws, compared with its mean plus six standard deviations. */
static void below_is_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    const uint64_t bounds[] = {1, 2, 3, 5, 10, 100};
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
        struct prng p;
        prng_init(&p, 7 + b);
        uint32_t cells[100] = {0};
        for (int i = 0; i < DRAWS; i++) {
            uint64_t v = prng_below(&p, bounds[b]);
            assert_true(v < bounds[b]);
            cells[v]++;
        }
        double expected = (double)DRAWS / (double)bounds[b], chi2 = 0;
        for (uint64_t i = 0; i < bounds[b]; i++)
            chi2 += ((double)cells[i] - expected) * ((double)cells[i] - expected) / expected;
        double freedom = (double)bounds[b] - 1;
        /* chi2 < f + 6 sqrt(2f), squared to do without sqrt */
        assert_true(chi2 <= freedom || (chi2 - freedom) * (chi2 - freedom) < 36 * 2 * freedom);
    }
}

/* Three quarters of 2^64: by plain modulo the first third of the results would be twice as likely, by plain
 * multiplication every third of them. */
static void below_has_no_bias(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 9);
    const uint64_t bound = UINT64_C(3) << 62;
    int in_first_third = 0, multiples_of_three = 0;
    for (int i = 0; i < 30000; i++) {
        uint64_t v = prng_below(&p, bound);
        assert_true(v < bound);
        in_first_third += v < UINT64_C(1) << 62;
        multiples_of_three += v % 3 == 0;
    }
    assert_in_range(in_first_third, 9500, 10500);
    assert_in_range(multiples_of_three, 9500, 10500);
    assert_true(prng_below(&p, UINT64_MAX) < UINT64_MAX);
    assert_dies(prng_below(&p, 0));
}

static void unit_is_in_its_interval(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 11);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double v = prng_unit(&p);
        assert_true(v >= 0 && v < 1);
        sum += v;
    }
    assert_true(sum > 49500 && sum < 50500);
}

static void every_permutation_is_as_likely(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 13);
    int seen[3][3][3] = {0};
    for (int i = 0; i < 60000; i++) {
        uint32_t items[3] = {0, 1, 2};
        prng_shuffle_u32(&p, items, 3);
        seen[items[0]][items[1]][items[2]]++;
    }
    int permutations = 0;
    for (int i = 0; i < 27; i++) {
        int n = seen[i / 9][i / 3 % 3][i % 3];
        if (n) {
            permutations++;
            assert_in_range(n, 9600, 10400);
        }
    }
    assert_int_equal(permutations, 6);
    prng_shuffle_u32(&p, NULL, 0);
}

static void hashes_are_xxh3_and_the_mixer_reaches_every_bit(void **state)
{
    (void)state;
    /* The token of the empty key is XXH3's published value; placement of data on disks depends on it. */
    assert_true(hash64((struct bytes){NULL, 0}) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash64(bytes_str("a")) == hash64_seeded(bytes_str("a"), 0));
    assert_true(hash64(bytes_str("a")) != hash64_seeded(bytes_str("a"), 1));
    assert_true(hash64(bytes_str("a")) != hash64(bytes_of("a", 2)));
    assert_true(hash64_mix(0) == 0);
    uint64_t bits = 0;
    for (int i = 0; i < 64; i++)
        bits |= hash64_mix(UINT64_C(1) << i) ^ hash64_mix(0);
    assert_true(bits == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_xoshiro256starstar),
        cmocka_unit_test(is_seeded_by_splitmix64),
        cmocka_unit_test(a_seed_repeats_and_another_differs),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(below_has_no_bias),
        cmocka_unit_test(unit_is_in_its_interval),
        cmocka_unit_test(every_permutation_is_as_likely),
        cmocka_unit_test(hashes_are_xxh3_and_the_mixer_reaches_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
