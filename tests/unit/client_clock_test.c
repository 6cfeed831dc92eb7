/* The client's clock: strictly increasing, the cluster's and nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "client/clock.h"

#define WALL UINT64_C(1700000000000)

static void carries_the_nodes_wall_clock_forward(void **state)
{
    (void)state;
    struct client_clock c = {0};
    assert_false(client_clock_known(&c));
    client_clock_set(&c, 0, WALL, 5000000);
    assert_true(client_clock_known(&c));
    assert_int_equal(client_clock_mint(&c, 5000000), hlc_from_ms(WALL));
    assert_int_equal(client_clock_mint(&c, 8000000), hlc_from_ms(WALL + 3000));
}

static void never_goes_back(void **state)
{
    (void)state;
    struct client_clock c = {0};
    struct prng prng;
    uint64_t last = 0, now_us = 1000000;
    prng_init(&prng, 7);
    client_clock_set(&c, 0, WALL, now_us);
    for (int i = 0; i < 100000; i++) {
        now_us += prng_below(&prng, 300);
        if (prng_below(&prng, 50) == 0) /* a node says any time at all, years ago included */
            client_clock_set(&c, (uint32_t)prng_below(&prng, 30), WALL - prng_below(&prng, WALL), now_us);
        if (prng_below(&prng, 10) == 0)
            client_clock_receive(&c, hlc_from_ms(WALL) + prng_below(&prng, 1u << 30));
        uint64_t minted = client_clock_mint(&c, now_us);
        assert_true(minted > last);
        last = minted;
    }
}

static void is_above_all_seen(void **state)
{
    (void)state;
    struct client_clock c = {0};
    client_clock_set(&c, 0, WALL, 0);
    client_clock_receive(&c, hlc_from_ms(WALL + 400) + 3);
    assert_int_equal(client_clock_mint(&c, 0), hlc_from_ms(WALL + 400) + 4);
    client_clock_receive(&c, hlc_from_ms(WALL));
    assert_int_equal(client_clock_mint(&c, 0), hlc_from_ms(WALL + 400) + 5);
}

static void takes_the_lower_median_of_the_nodes(void **state)
{
    (void)state;
    struct client_clock c = {0};
    client_clock_set(&c, 0, WALL + 400, 0);
    assert_int_equal(client_clock_peek(&c, 0), hlc_from_ms(WALL + 400));
    client_clock_set(&c, 1, WALL - 400, 0); /* of two, the lower */
    assert_int_equal(client_clock_peek(&c, 0), hlc_from_ms(WALL - 400));
    client_clock_set(&c, 2, WALL, 0);
    assert_int_equal(client_clock_peek(&c, 0), hlc_from_ms(WALL));
    client_clock_set(&c, 2, WALL + 900, 0); /* said again: one voice, not two */
    assert_int_equal(client_clock_peek(&c, 0), hlc_from_ms(WALL + 400));
}

static void remembers_a_bounded_number_of_nodes(void **state)
{
    (void)state;
    struct client_clock c = {0};
    for (uint32_t i = 0; i < 10 * CLIENT_CLOCK_SOURCES; i++)
        client_clock_set(&c, i, WALL + i, 0);
    assert_int_equal(c.count, CLIENT_CLOCK_SOURCES);
    assert_true(client_clock_peek(&c, 0) >= hlc_from_ms(WALL + 9 * CLIENT_CLOCK_SOURCES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_the_nodes_wall_clock_forward),
        cmocka_unit_test(never_goes_back),
        cmocka_unit_test(is_above_all_seen),
        cmocka_unit_test(takes_the_lower_median_of_the_nodes),
        cmocka_unit_test(remembers_a_bounded_number_of_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
