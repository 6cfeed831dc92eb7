/* A node's wall clock against its peers': one that is off follows them. */
#include "node_support.h"

static void member_of_five(struct bench *b)
{
    bench_member(b, 5);
    for (uint32_t i = 2; i <= 4; i++)
        peer_up(b, i);
}

/* The wall clock jumps by so much, and a step is made. Returns the node's clock, less what it should show. */
static int64_t shown_after_jump(struct bench *b, int64_t jump_ms)
{
    uint64_t true_ms = b->now.wall_ms + 1;
    b->now.wall_ms = (uint64_t)((int64_t)b->now.wall_ms + jump_ms);
    tick_at(b, b->now.mono_us + 1000);
    return (int64_t)hlc_to_ms(hlc_now(b->node)) - (int64_t)true_ms;
}

static void a_small_lead_is_ones_own(void **state)
{
    (void)state;
    struct bench b;
    member_of_five(&b);
    assert_int_equal(shown_after_jump(&b, CLOCK_WARN_MS), CLOCK_WARN_MS);
    bench_destroy(&b);
}

/* Whoever learned the time here would mint stamps that all others refuse. */
static void a_clock_far_ahead_is_held_back(void **state)
{
    (void)state;
    struct bench b;
    member_of_five(&b);
    assert_int_equal(shown_after_jump(&b, 600000), CLOCK_WARN_MS);
    assert_int_equal(b.node->hlc.ahead_ms, 600000);
    assert_int_equal(effect(&b, EF_LOG)->log.level, LOG_WARN);
    uint64_t before = hlc_now(b.node);
    shown_after_jump(&b, -600000);
    assert_true(hlc_now(b.node) >= before);
    bench_destroy(&b);
}

static void a_clock_behind_is_pulled_along(void **state)
{
    (void)state;
    struct bench b;
    member_of_five(&b);
    assert_in_range(shown_after_jump(&b, -3600000), 0, CLOCK_WARN_MS);
    assert_int_equal(b.node->hlc.ahead_ms, -3600000);
    bench_destroy(&b);
}

/* Two of five are not half: nobody is believed. */
static void a_few_peers_are_not_believed(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 5);
    peer_up(&b, 2);
    assert_int_equal(shown_after_jump(&b, 300), 300);
    bench_destroy(&b);
}

/* It is not even computed with: the difference to it is no number of milliseconds. */
static void what_no_clock_can_show_is_not_believed(void **state)
{
    (void)state;
    struct bench b;
    member_of_five(&b);
    int64_t before = peers_find(b.node, 2)->wall_offset_ms;
    struct message m = message_of(&b, MSG_WELCOME);
    m.welcome = (struct msg_welcome){.cluster = "test", .name = "n2", .wall_ms = UINT64_C(1) << 63};
    say(&b, to_peer(2), &m);
    assert_int_equal(peers_find(b.node, 2)->wall_offset_ms, before);
    m = message_of(&b, MSG_WELCOME);
    m.welcome = (struct msg_welcome){.cluster = "test", .name = "n2", .wall_ms = b.now.wall_ms + 7};
    say(&b, to_peer(2), &m);
    assert_int_equal(peers_find(b.node, 2)->wall_offset_ms, before + 7);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_lead_is_ones_own),
        cmocka_unit_test(a_clock_far_ahead_is_held_back),
        cmocka_unit_test(a_clock_behind_is_pulled_along),
        cmocka_unit_test(a_few_peers_are_not_believed),
        cmocka_unit_test(what_no_clock_can_show_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
