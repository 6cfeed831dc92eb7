/* The time a suspect has: the pure function against a table (Lifeguard section 4.2), and what feeds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swim/internal.h"
#include "unit/swim_support.h"

static void test_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t confirmed, wanted;
        uint64_t elapsed_us, min_us, max_us, remaining_us;
    } table[] = {
        /* Nobody confirms: the maximum, less what has passed. */
        {0, 3, 0, 2000000, 30000000, 30000000},
        {0, 3, 2000000, 2000000, 30000000, 28000000},
        {0, 3, 31000000, 2000000, 30000000, 0},
        /* log 2 / log 4 = 1/2, log 3 / log 4 = 0.7925: the first confirmation weighs most. */
        {1, 3, 0, 2000000, 30000000, 16000000},
        {1, 3, 4000000, 2000000, 30000000, 12000000},
        {2, 3, 0, 2000000, 30000000, 7810525},
        {2, 3, 7810525, 2000000, 30000000, 0},
        /* All that were wanted, or more: the minimum. */
        {3, 3, 0, 2000000, 30000000, 2000000},
        {4, 3, 500000, 2000000, 30000000, 1500000},
        {3, 3, 2000000, 2000000, 30000000, 0},
        /* Nobody could confirm: the minimum at once. */
        {0, 0, 0, 2000000, 30000000, 2000000},
        {0, 0, 1999999, 2000000, 30000000, 1},
        {1, 1, 0, 2000000, 30000000, 2000000},
        /* min = max: confirmations change nothing. */
        {0, 3, 0, 2000000, 2000000, 2000000},
        {2, 3, 0, 2000000, 2000000, 2000000},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(swim_remaining_suspicion_us(table[i].confirmed, table[i].wanted, table[i].elapsed_us,
                                                     table[i].min_us, table[i].max_us),
                         table[i].remaining_us);
}

/* Ten members, three confirmations wanted. */
static struct swim *ten(void)
{
    struct swim_config config = swim_config_default();
    config.self = 1;
    config.generation = 1;
    config.addr = net_addr(1);
    struct swim *s;
    assert_int_equal(swim_create(&config, &s), 0);
    for (uint32_t i = 2; i <= 10; i++) {
        struct addr addr = net_addr(i);
        assert_int_equal(swim_add(s, (struct now){1000, 0}, i, &addr, true), 0);
    }
    return s;
}

static void test_independent_suspicions(void **state)
{
    (void)state;
    struct swim *s = ten();
    struct swim_member *m = swim_member_find(s, 5);
    swim_believe(s, m, (struct swim_belief){1, 0, MEMBER_SUSPECT}, 2);
    uint64_t first_us = m->suspicion.timer.at;
    assert_false(swim_suspicion_confirm(s, m, 2)); /* that is the one who began */
    assert_int_equal(m->suspicion.timer.at, first_us);
    assert_true(swim_suspicion_confirm(s, m, 3));
    uint64_t second_us = m->suspicion.timer.at;
    assert_true(second_us < first_us);
    assert_false(swim_suspicion_confirm(s, m, 3));
    assert_true(swim_suspicion_confirm(s, m, 4));
    assert_true(swim_suspicion_confirm(s, m, 6));
    assert_true(m->suspicion.timer.at < second_us);
    assert_false(swim_suspicion_confirm(s, m, 7)); /* no more are wanted */
    /* Alive again with a higher incarnation: nothing is left of it. */
    swim_believe(s, m, (struct swim_belief){1, 1, MEMBER_ALIVE}, 0);
    assert_false(heap_contains(&m->suspicion.timer));
    swim_check(s);
    swim_destroy(s);
}

/* Before it is buried it is called three times, a time-out apart; then it is dead. */
static void test_last_calls(void **state)
{
    (void)state;
    struct swim *s = ten();
    struct outbox out;
    assert_int_equal(outbox_init(&out), 0);
    struct swim_member *m = swim_member_find(s, 5);
    swim_believe(s, m, (struct swim_belief){1, 0, MEMBER_SUSPECT}, 2);
    uint64_t end_us = m->suspicion.started_us + m->suspicion.max_us;
    uint32_t calls = 0;
    while (m->belief.state == MEMBER_SUSPECT) {
        s->now_us = heap_deadline(&s->suspicions);
        swim_bury(s, &out);
        for (uint32_t i = 0; i < out.count; i++) {
            const struct message *msg = &out.effects[i].datagram.message;
            assert_int_equal(msg->type, MSG_PING);
            assert_int_equal(msg->probe.target, 5);
            assert_int_equal(msg->probe.gossip[1].member, 5); /* behind what we say of ourselves */
            assert_int_equal(msg->probe.gossip[1].state, MEMBER_SUSPECT);
            calls++;
        }
        outbox_reset(&out);
    }
    assert_int_equal(calls, 3);
    assert_int_equal(s->now_us, end_us);
    assert_int_equal(m->belief.state, MEMBER_DEAD);
    swim_check(s);
    outbox_deinit(&out);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_independent_suspicions),
        cmocka_unit_test(test_last_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
