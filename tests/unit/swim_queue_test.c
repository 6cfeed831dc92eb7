/* What is piggy-backed, and when: the least told first, once for each member, a limited number of times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swim/internal.h"

static struct swim_queue queue;
static struct swim_member members[8];

static int setup(void **state)
{
    (void)state;
    swim_queue_init(&queue);
    memset(members, 0, sizeof members);
    for (uint32_t i = 0; i < 8; i++)
        members[i].id = i;
    return 0;
}

static void assert_order(const char *ids)
{
    struct swim_member *out[8];
    uint32_t count = swim_queue_peek(&queue, 8, out);
    assert_int_equal(count, strlen(ids));
    assert_int_equal(count, queue.count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(out[i]->id, ids[i] - '0');
}

static void test_newest_of_the_untold_first(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        swim_queue_push(&queue, &members[i]);
    assert_order("321");
    struct swim_member *one[1];
    assert_int_equal(swim_queue_peek(&queue, 1, one), 1);
    assert_int_equal(one[0]->id, 3);
}

static void test_least_told_first(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        swim_queue_push(&queue, &members[i]);
    swim_queue_sent(&queue, &members[3], 10);
    assert_order("213");
    swim_queue_sent(&queue, &members[3], 10);
    swim_queue_sent(&queue, &members[2], 10);
    assert_order("123");
    swim_queue_push(&queue, &members[4]);
    assert_order("4123");
}

static void test_newer_belief_replaces_and_starts_again(void **state)
{
    (void)state;
    swim_queue_push(&queue, &members[1]);
    swim_queue_push(&queue, &members[2]);
    swim_queue_sent(&queue, &members[1], 10);
    swim_queue_sent(&queue, &members[1], 10);
    assert_order("21");
    swim_queue_push(&queue, &members[1]);
    assert_order("12");
    assert_int_equal(members[1].transmits, 0);
}

static void test_leaves_after_the_limit(void **state)
{
    (void)state;
    swim_queue_push(&queue, &members[1]);
    swim_queue_push(&queue, &members[2]);
    for (int i = 0; i < 3; i++)
        swim_queue_sent(&queue, &members[1], 3);
    assert_order("2");
    assert_false(list_linked(&members[1].queued));
    swim_queue_drop(&queue, &members[1]); /* harmless */
    swim_queue_drop(&queue, &members[2]);
    assert_order("");
}

static void test_limit_grows_with_the_logarithm(void **state)
{
    (void)state;
    assert_int_equal(swim_retransmit_limit(4, 1), 4);
    assert_int_equal(swim_retransmit_limit(4, 5), 4);
    assert_int_equal(swim_retransmit_limit(4, 9), 4);
    assert_int_equal(swim_retransmit_limit(4, 10), 8);
    assert_int_equal(swim_retransmit_limit(4, 2000), 16);
    assert_int_equal(swim_retransmit_limit(1000, 2000), SWIM_TRANSMITS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_newest_of_the_untold_first, setup),
        cmocka_unit_test_setup(test_least_told_first, setup),
        cmocka_unit_test_setup(test_newer_belief_replaces_and_starts_again, setup),
        cmocka_unit_test_setup(test_leaves_after_the_limit, setup),
        cmocka_unit_test(test_limit_grows_with_the_logarithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
