/* The random round-robin: every member once a round (SWIM section 4.3), whatever comes and goes meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "swim/internal.h"

enum { MEMBERS = 50 };

static struct swim_order order;
static struct swim_member members[MEMBERS];
static struct prng prng;

static int setup(void **state)
{
    (void)state;
    free(order.items);
    order = (struct swim_order){0};
    prng_init(&prng, 7);
    memset(members, 0, sizeof members);
    assert_int_equal(swim_order_reserve(&order, MEMBERS), 0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        members[i].id = i + 1;
        swim_order_insert(&order, &members[i]);
    }
    return 0;
}

static void assert_consistent(void)
{
    assert_true(order.next + order.urgent <= order.count);
    for (size_t i = 0; i < order.count; i++) {
        assert_int_equal(order.items[i]->place, i);
        assert_ptr_equal(order.items[i]->order, &order);
    }
}

static void test_each_once_a_round(void **state)
{
    (void)state;
    uint32_t first_round[MEMBERS];
    int same = 0;
    for (uint32_t round = 1; round <= 20; round++) {
        for (int i = 0; i < MEMBERS; i++) {
            struct swim_member *m = swim_order_pick(&order, &prng);
            m->transmits++; /* used as a tally here */
            if (round == 1)
                first_round[i] = m->id;
            else if (round == 2)
                same += first_round[i] == m->id;
        }
        for (int i = 0; i < MEMBERS; i++)
            assert_int_equal(members[i].transmits, round);
    }
    assert_in_range(same, 0, 10); /* a new permutation each round: about one is where it was */
}

static void test_hurry(void **state)
{
    (void)state;
    struct swim_member *done = NULL;
    for (int i = 0; i < 20; i++)
        done = swim_order_pick(&order, &prng);
    swim_order_hurry(done); /* was in this round, comes again */
    assert_ptr_equal(swim_order_pick(&order, &prng), done);

    struct swim_member *a = order.items[MEMBERS - 1], *b = order.items[MEMBERS - 2];
    swim_order_hurry(a);
    swim_order_hurry(b);
    swim_order_hurry(a); /* already */
    assert_ptr_equal(swim_order_pick(&order, &prng), b);
    assert_ptr_equal(swim_order_pick(&order, &prng), a);
    assert_consistent();
}

/* Those that have passed are not picked in this round; the urgent ones are all the same. */
static void test_pass(void **state)
{
    (void)state;
    struct swim_member *urgent = order.items[7], *late = order.items[9];
    swim_order_hurry(urgent);
    for (int i = 0; i < MEMBERS; i++) {
        struct swim_member *m = &members[i];
        if (m == late)
            continue;
        swim_order_pass(m);
        assert_consistent();
    }
    assert_ptr_equal(swim_order_pick(&order, &prng), urgent);
    assert_ptr_equal(swim_order_pick(&order, &prng), late);
    assert_int_equal(order.next, order.count); /* that was the round */
    swim_order_pass(late);
    assert_int_equal(order.next, order.count);
}

/* All that are alive are dealt with before one is again. */
static void test_deal(void **state)
{
    (void)state;
    for (int i = 0; i < MEMBERS; i++)
        members[i].belief.state = i % 5 ? MEMBER_ALIVE : MEMBER_SUSPECT;
    struct swim_member *out[8];
    size_t place = SIZE_MAX / 2;
    for (int i = 0; i < 3 * MEMBERS * 4 / 5 / 8; i++) {
        assert_int_equal(swim_order_deal(&order, &place, 8, out), 8);
        for (int k = 0; k < 8; k++)
            out[k]->transmits++;
    }
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(members[i].transmits, i % 5 ? 3 : 0);
}

/* Inserting, removing, hurrying and picking at random: the structure holds, and nobody waits longer than
 * its turn, which the urgent ones can only put off. */
static void test_random_use(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct swim_member *m = &members[prng_below(&prng, MEMBERS)];
        switch (prng_below(&prng, 5)) {
        case 0:
            if (m->order)
                swim_order_remove(m);
            break;
        case 1:
            if (!m->order)
                swim_order_insert(&order, m);
            break;
        case 2:
            if (m->order)
                swim_order_hurry(m);
            break;
        case 3:
            if (m->order)
                swim_order_pass(m);
            break;
        default: assert_int_equal(swim_order_pick(&order, &prng) == NULL, order.count == 0);
        }
        assert_consistent();
    }
    uint32_t present = 0;
    for (int i = 0; i < MEMBERS; i++)
        present += members[i].order != NULL;
    assert_int_equal(present, order.count);
}

static void test_sample(void **state)
{
    (void)state;
    for (int i = 0; i < MEMBERS; i++)
        members[i].belief.state = i < 4 ? MEMBER_ALIVE : MEMBER_SUSPECT;
    struct swim_member *out[8];
    for (int i = 0; i < 200; i++) {
        assert_int_equal(swim_order_sample(&order, &prng, 3, 2, out), 3);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(out[k]->belief.state, MEMBER_ALIVE);
            assert_int_not_equal(out[k]->id, 2);
        }
        assert_true(out[0] != out[1] && out[1] != out[2] && out[0] != out[2]);
    }
    assert_int_equal(swim_order_sample(&order, &prng, 8, 2, out), 3); /* no more are there */
}

static int teardown(void **state)
{
    (void)state;
    free(order.items);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_once_a_round, setup),
        cmocka_unit_test_setup(test_hurry, setup),
        cmocka_unit_test_setup(test_pass, setup),
        cmocka_unit_test_setup(test_deal, setup),
        cmocka_unit_test_setup(test_random_use, setup),
        cmocka_unit_test_setup(test_sample, setup),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
