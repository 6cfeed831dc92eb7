/* One node under the microscope: what it sends when, and what it makes of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_error.h"
#include "swim/internal.h"
#include "unit/swim_support.h"

enum { SELF = 1 };

static struct swim *s;
static struct outbox out;
static struct now now;

static void start(uint32_t members, bool alive)
{
    struct swim_config config = swim_config_default();
    config.self = SELF;
    config.generation = 1;
    config.addr = net_addr(SELF);
    assert_int_equal(swim_create(&config, &s), 0);
    assert_int_equal(outbox_init(&out), 0);
    now = (struct now){SECOND_US, 0};
    for (uint32_t i = 2; i <= members; i++) {
        struct addr addr = net_addr(i);
        assert_int_equal(swim_add(s, now, i, &addr, alive), 0);
        if (alive)
            swim_heard(s, now, i, 1, &addr);
    }
}

static int teardown(void **state)
{
    (void)state;
    swim_check(s);
    swim_destroy(s);
    outbox_deinit(&out);
    return 0;
}

/* The datagrams of this type that the last call wanted sent. */
static uint32_t sent(enum message_type type, const struct msg_probe **last)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < out.count; i++) {
        if (out.effects[i].type == EF_DATAGRAM && out.effects[i].datagram.message.type == type) {
            if (last)
                *last = &out.effects[i].datagram.message.probe;
            count++;
        }
    }
    return count;
}

/* To the next deadline, until something of this type is sent. */
static struct msg_probe wait_for(enum message_type type)
{
    const struct msg_probe *p = NULL;
    for (int i = 0; i < 100; i++) {
        now.mono_us = swim_deadline_us(s);
        outbox_reset(&out);
        swim_tick(s, now, &out);
        if (sent(type, &p) > 0)
            return *p;
    }
    fail_msg("%s is not sent", message_name(type));
    return (struct msg_probe){0};
}

static void answer(enum message_type type, uint32_t from, uint32_t target, uint32_t sequence)
{
    struct message m = {
        .type = type, .probe = {.from = from, .from_generation = 1, .target = target, .sequence = sequence}};
    struct addr addr = net_addr(from);
    outbox_reset(&out);
    swim_datagram(s, now, &addr, &m, &out);
}

static enum member_state state_of(uint32_t member)
{
    struct member_view view;
    assert_int_equal(swim_lookup(s, member, &view), 0);
    return view.state;
}

static void test_answered_directly(void **state)
{
    (void)state;
    start(5, true);
    struct msg_probe ping = wait_for(MSG_PING);
    uint64_t began_us = now.mono_us;
    assert_int_equal(ping.gossip[0].member, SELF);
    now.mono_us += 3000;
    answer(MSG_ACK, ping.target, ping.target, ping.sequence);
    struct member_view view;
    assert_int_equal(swim_lookup(s, ping.target, &view), 0);
    assert_int_equal(view.rtt_us, 3000);
    assert_int_equal(swim_counters(s).acks, 1);
    struct msg_probe next = wait_for(MSG_PING);
    assert_int_equal(now.mono_us - began_us, swim_config_default().probe_interval_us);
    assert_int_not_equal(next.target, ping.target);
    assert_int_not_equal(next.sequence, ping.sequence);
    assert_int_equal(swim_counters(s).indirect_probes, 0);
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    start(5, true);
    struct msg_probe ping = wait_for(MSG_PING);
    uint32_t other = ping.target == 2 ? 3 : 2;
    answer(MSG_ACK, ping.target, ping.target, ping.sequence + 1);
    answer(MSG_ACK, other, other, ping.sequence); /* an answer from another id */
    assert_int_equal(swim_counters(s).acks, 0);
    wait_for(MSG_PING_REQ);
}

/* Time-out: PING again and k x PING_REQ; period: suspect, told at once to a few. */
static void test_unanswered(void **state)
{
    (void)state;
    start(5, true);
    const struct swim_config c = swim_config_default();
    struct msg_probe ping = wait_for(MSG_PING);
    uint64_t began_us = now.mono_us;
    struct msg_probe req = wait_for(MSG_PING_REQ);
    assert_int_equal(now.mono_us - began_us, c.probe_timeout_us);
    assert_int_equal(sent(MSG_PING_REQ, NULL), 3);
    assert_int_equal(sent(MSG_PING, NULL), 1);
    assert_int_equal(req.target, ping.target);
    assert_int_equal(req.sequence, ping.sequence);
    for (uint32_t i = 0; i < out.count; i++) {
        struct addr to = net_addr(ping.target);
        bool to_target = addr_eq(&out.effects[i].datagram.to, &to);
        assert_int_equal(to_target, out.effects[i].datagram.message.type == MSG_PING);
    }
    wait_for(MSG_ACK); /* the news */
    assert_int_equal(now.mono_us - began_us, c.probe_deadline_us);
    assert_int_equal(state_of(ping.target), MEMBER_SUSPECT);
    assert_int_equal(swim_counters(s).suspicions, 1);
    assert_int_equal(swim_counters(s).awareness, 3); /* not even a NACK came */
}

static void test_nacks_keep_us_healthy(void **state)
{
    (void)state;
    start(5, true);
    struct msg_probe req = wait_for(MSG_PING_REQ);
    for (uint32_t i = 2; i <= 5; i++) {
        if (i != req.target) {
            answer(MSG_NACK, i, req.target, req.sequence);
            answer(MSG_NACK, i, req.target, req.sequence); /* once is enough */
        }
    }
    assert_int_equal(swim_counters(s).nacks, 3);
    wait_for(MSG_ACK);
    assert_int_equal(state_of(req.target), MEMBER_SUSPECT);
    assert_int_equal(swim_counters(s).awareness, 0);
}

static void test_answered_through_another(void **state)
{
    (void)state;
    start(5, true);
    struct msg_probe req = wait_for(MSG_PING_REQ);
    uint32_t relay = req.target == 2 ? 3 : 2;
    now.mono_us += 1000;
    answer(MSG_ACK, relay, req.target, req.sequence);
    wait_for(MSG_PING);
    assert_int_equal(state_of(req.target), MEMBER_ALIVE);
    struct member_view view;
    assert_int_equal(swim_lookup(s, req.target, &view), 0);
    assert_int_equal(view.rtt_us, 0); /* nobody knows which way was how long */
}

/* Lifeguard 4.1: local health stretches the time-out and the period of a probe that is not answered. */
static void test_awareness_stretches(void **state)
{
    (void)state;
    start(5, true);
    const struct swim_config c = swim_config_default();
    swim_awareness_add(&s->awareness, 2);
    wait_for(MSG_PING);
    uint64_t began_us = now.mono_us;
    wait_for(MSG_PING_REQ);
    assert_int_equal(now.mono_us - began_us, 3 * c.probe_timeout_us);
    wait_for(MSG_ACK);
    assert_int_equal(now.mono_us - began_us, 3 * c.probe_deadline_us);

    struct swim_awareness a = {.score = 0, .max = 8};
    swim_awareness_add(&a, -1);
    assert_int_equal(a.score, 0);
    swim_awareness_add(&a, 100);
    assert_int_equal(a.score, 8);
    assert_int_equal(swim_awareness_scale(&a, 10), 90);
}

static void test_relays_for_others(void **state)
{
    (void)state;
    start(5, true);
    const struct swim_config c = swim_config_default();
    answer(MSG_PING_REQ, 2, 3, 777);
    const struct msg_probe *ping = NULL;
    assert_int_equal(sent(MSG_PING, &ping), 1);
    assert_int_equal(ping->target, 3);
    uint32_t own_sequence = ping->sequence;
    uint64_t began_us = now.mono_us;

    struct msg_probe nack = wait_for(MSG_NACK);
    assert_int_equal(now.mono_us - began_us, c.probe_timeout_us * 4 / 5);
    assert_int_equal(nack.target, 3);
    assert_int_equal(nack.sequence, 777);

    answer(MSG_ACK, 4, 3, own_sequence); /* 4 cannot answer for 3 */
    assert_int_equal(out.count, 0);
    answer(MSG_ACK, 3, 3, own_sequence); /* late, but better than never */
    const struct msg_probe *ack = NULL;
    assert_int_equal(sent(MSG_ACK, &ack), 1);
    assert_int_equal(ack->target, 3);
    assert_int_equal(ack->sequence, 777);
    answer(MSG_ACK, 3, 3, own_sequence); /* once */
    assert_int_equal(out.count, 0);

    answer(MSG_PING_REQ, 2, 99, 778); /* a stranger cannot be aimed at */
    assert_int_equal(out.count, 0);
}

static void test_relays_are_bounded(void **state)
{
    (void)state;
    start(5, true);
    for (uint32_t i = 0; i < 3 * SWIM_RELAYS_MAX; i++) {
        answer(MSG_PING_REQ, 2, 3, i + 1);
        assert_int_equal(sent(MSG_PING, NULL), i < SWIM_RELAYS_MAX);
        swim_check(s);
    }
    uint64_t until_us = now.mono_us + swim_config_default().probe_interval_us;
    while (swim_deadline_us(s) <= until_us) {
        now.mono_us = swim_deadline_us(s);
        outbox_reset(&out);
        swim_tick(s, now, &out);
    }
    assert_int_equal(s->relays.count, 0);
    answer(MSG_PING_REQ, 2, 3, 5);
    assert_int_equal(sent(MSG_PING, NULL), 1);
}

/* A PING is answered where it came from; an answer to an unknown place brings no more than the PING did. */
static void test_answers_pings(void **state)
{
    (void)state;
    start(5, true);
    struct message ping = {.type = MSG_PING,
                           .probe = {.from = 2, .from_generation = 1, .target = SELF, .sequence = 9}};
    struct addr from = net_addr(2);
    swim_datagram(s, now, &from, &ping, &out);
    assert_int_equal(out.count, 1);
    const struct effect *e = &out.effects[0];
    assert_int_equal(e->datagram.message.type, MSG_ACK);
    assert_int_equal(e->datagram.message.probe.target, SELF);
    assert_int_equal(e->datagram.message.probe.sequence, 9);
    assert_true(addr_eq(&e->datagram.to, &from));
    assert_true(e->datagram.message.probe.count > 1);

    struct addr elsewhere = {.host = "127.0.0.2", .port = 1};
    outbox_reset(&out);
    swim_datagram(s, now, &elsewhere, &ping, &out);
    assert_true(addr_eq(&out.effects[0].datagram.to, &elsewhere));
    assert_int_equal(out.effects[0].datagram.message.probe.count, 1);

    ping.probe.target = 4; /* who lived here before us */
    outbox_reset(&out);
    swim_datagram(s, now, &from, &ping, &out);
    assert_int_equal(out.count, 0);
}

/* However much there is to tell, and however long the names: a bound on the encoded size, counted as
 * proto3 does for the largest numbers. */
static void test_datagram_size(void **state)
{
    (void)state;
    start(2, true);
    for (uint32_t i = 3; i <= 200; i++) {
        struct addr addr = {.port = 65535};
        memset(addr.host, 'x', i % 2 ? HOST_MAX_BYTES : 9);
        assert_int_equal(swim_add(s, now, i, &addr, false), 0);
        swim_heard(s, now, i, UINT64_MAX, &addr);
    }
    for (int round = 0; round < 50; round++) {
        answer(MSG_PING, 2, SELF, 1);
        const struct msg_probe *p = NULL;
        assert_int_equal(sent(MSG_ACK, &p), 1);
        size_t bytes = 44 + 6 + 11 + 6 + 6;
        for (uint32_t i = 0; i < p->count; i++) {
            size_t addr = 2 + strlen(p->gossip[i].addr.host) + 4;
            bytes += 3 + 6 + 11 + 6 + 2 + 6 + 2 + addr;
        }
        assert_in_range(bytes, 1, DATAGRAM_MAX_BYTES);
        if (round == 0)
            assert_in_range(p->count, 8, SWIM_DATAGRAM_GOSSIPS);
    }
}

/* The unproven are asked after at once, several a period; after a while only now and then. They are never
 * suspected. */
static void test_unproven(void **state)
{
    (void)state;
    start(5, false);
    const struct swim_config c = swim_config_default();
    assert_int_equal(swim_deadline_us(s), now.mono_us);
    swim_tick(s, now, &out);
    assert_int_equal(sent(MSG_PING, NULL), 3);
    uint64_t began_us = now.mono_us;
    wait_for(MSG_PING);
    assert_int_equal(now.mono_us - began_us, c.probe_interval_us);
    while (now.mono_us < began_us + SWIM_YOUNG_US)
        wait_for(MSG_PING);
    began_us = now.mono_us;
    wait_for(MSG_PING);
    assert_int_equal(now.mono_us - began_us, c.dead_probe_interval_us);
    assert_int_equal(sent(MSG_PING, NULL), 1);
    struct member_change change;
    assert_false(swim_next_change(s, &change));
    assert_int_equal(swim_counters(s).suspicions + swim_counters(s).deaths, 0);
}

/* Stopped for ten seconds in the middle of a probe: nobody is to blame but ourselves. */
static void test_stalled(void **state)
{
    (void)state;
    start(5, true);
    struct msg_probe req = wait_for(MSG_PING_REQ);
    now.mono_us = swim_deadline_us(s) - 1000;
    answer(MSG_NACK, 2, 99, 0); /* of no meaning, but a call: own time has a millisecond left */
    now.mono_us += 10 * SECOND_US;
    outbox_reset(&out);
    swim_tick(s, now, &out); /* before the socket is read, as a loop does it */
    assert_int_equal(state_of(req.target), MEMBER_ALIVE);
    assert_int_equal(swim_counters(s).awareness, swim_config_default().awareness_max);
    uint64_t grace_us = swim_config_default().probe_timeout_us; /* there is time to read it */
    assert_true(swim_deadline_us(s) >= now.mono_us + grace_us);
    answer(MSG_ACK, req.target, req.target, req.sequence);
    assert_int_equal(swim_counters(s).acks, 1);
    wait_for(MSG_PING);
    for (uint32_t i = 2; i <= 5; i++)
        assert_int_equal(state_of(i), MEMBER_ALIVE);

    /* And after that, time goes on: who really is gone is found out. */
    uint32_t target = wait_for(MSG_PING_REQ).target;
    for (int i = 0; i < 1000 && state_of(target) != MEMBER_DEAD; i++) {
        now.mono_us = swim_deadline_us(s);
        outbox_reset(&out);
        swim_tick(s, now, &out);
    }
    assert_int_equal(state_of(target), MEMBER_DEAD);
}

/* Before the first tick nothing is due, so nothing is late, whatever it hears meanwhile. */
static void test_first_tick_may_wait(void **state)
{
    (void)state;
    start(5, true);
    for (int i = 0; i < 10; i++) {
        now.mono_us += SECOND_US;
        answer(MSG_PING, 2, SELF, 1);
        assert_int_equal(sent(MSG_ACK, NULL), 1);
    }
    assert_int_equal(swim_counters(s).awareness, 0);
    uint64_t began_us = now.mono_us;
    wait_for(MSG_PING);
    assert_in_range(now.mono_us, began_us, began_us + swim_config_default().probe_interval_us);
}

static void test_leaving(void **state)
{
    (void)state;
    start(5, true);
    swim_leave(s, now, &out);
    const struct msg_probe *p = NULL;
    assert_int_equal(sent(MSG_ACK, &p), 4);
    assert_int_equal(p->gossip[0].member, SELF);
    assert_int_equal(p->gossip[0].state, MEMBER_LEFT);
    assert_int_equal(swim_deadline_us(s), UINT64_MAX);
    struct gossip g = {.member = SELF, .generation = 1, .state = MEMBER_DEAD, .from = 2};
    struct message m = {.type = MSG_ACK,
                        .probe = {.from = 2, .from_generation = 1, .target = 2, .count = 1, .gossip = &g}};
    struct addr addr = net_addr(2);
    outbox_reset(&out);
    swim_datagram(s, now, &addr, &m, &out);
    assert_int_equal(out.count, 0); /* so be it */
    assert_int_equal(state_of(SELF), MEMBER_LEFT);
}

/* A probe that began in a member's former life says nothing of this one; nor one from before it refuted. */
static void test_former_life_is_not_accused(void **state)
{
    (void)state;
    start(5, true);
    uint32_t target = wait_for(MSG_PING_REQ).target;
    struct addr addr = net_addr(target);
    swim_heard(s, now, target, 2, &addr);
    wait_for(MSG_PING);
    assert_int_equal(state_of(target), MEMBER_ALIVE);
    assert_int_equal(swim_counters(s).suspicions, 0);
    wait_for(MSG_PING_REQ); /* of another one, in its own life */
    while (swim_counters(s).suspicions == 0)
        wait_for(MSG_ACK);
}

/* With nothing to tell a datagram holds no gossip, and nobody is told unasked. */
static void test_quiet(void **state)
{
    (void)state;
    start(5, true);
    swim_tick(s, now, &out);
    swim_hush(s);
    for (int i = 0; i < 20; i++) {
        struct msg_probe ping = wait_for(MSG_PING);
        assert_int_equal(ping.count, 0);
        assert_int_equal(out.count, 1);
        answer(MSG_ACK, ping.target, ping.target, ping.sequence);
        assert_int_equal(out.count, 0);
        answer(MSG_PING, 2, SELF, 5);
        assert_int_equal(out.count, 1);
        assert_int_equal(out.effects[0].datagram.message.probe.count, 0);
    }
}

/* Who asks whether we live need not be asked in this round. */
static void test_probes_go_to_the_silent(void **state)
{
    (void)state;
    start(5, true);
    for (int round = 0; round < 50; round++) {
        struct msg_probe first = wait_for(MSG_PING);
        answer(MSG_ACK, first.target, first.target, first.sequence);
        uint32_t silent = 2 + (uint32_t)round % 4;
        silent = silent == first.target ? 2 + (silent - 1) % 4 : silent;
        for (uint32_t i = 2; i <= 5; i++)
            if (i != first.target && i != silent)
                answer(MSG_PING, i, SELF, 7);
        struct msg_probe second = wait_for(MSG_PING);
        assert_int_equal(second.target, silent);
        answer(MSG_ACK, silent, silent, second.sequence);
    }
}

/* A connection that broke: it is probed at once, whoever's turn it is, and if it lives nothing comes of it.
 */
static void test_the_lost_are_looked_at(void **state)
{
    (void)state;
    start(5, true);
    for (int round = 0; round < 50; round++) {
        struct msg_probe first = wait_for(MSG_PING);
        uint32_t lost = 2 + (uint32_t)round % 4;
        answer(MSG_ACK, first.target, first.target, first.sequence);
        uint64_t lost_us = now.mono_us += 1000;
        swim_lost(s, now, lost);
        struct msg_probe next = wait_for(MSG_PING);
        assert_int_equal(next.target, lost);
        assert_int_equal(now.mono_us, lost_us);
        answer(MSG_ACK, lost, lost, next.sequence);
        assert_int_equal(state_of(lost), MEMBER_ALIVE);
    }
    swim_lost(s, now, 99); /* a stranger */
    assert_int_equal(swim_counters(s).suspicions, 0);
}

static void test_full_outbox(void **state)
{
    (void)state;
    start(5, true);
    while (outbox_room(&out) > 0)
        outbox_add(&out, EF_NONE);
    for (int i = 0; i < 50; i++) {
        now.mono_us = swim_deadline_us(s);
        swim_tick(s, now, &out);
        swim_check(s);
    }
    assert_int_equal(outbox_room(&out), 0);
}

static void test_config(void **state)
{
    (void)state;
    struct swim_config config = swim_config_default();
    config.self = 1;
    config.generation = 1;
    struct swim_config bad[] = {config, config, config, config};
    bad[0].self = 0;
    bad[1].generation = 0;
    bad[2].probe_timeout_us = bad[2].probe_interval_us;
    bad[3].indirect_probes = SWIM_INDIRECT_MAX + 1;
    struct swim *created;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(swim_create(&bad[i], &created), KV_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_answered_directly, teardown),
        cmocka_unit_test_teardown(test_answers_that_are_none, teardown),
        cmocka_unit_test_teardown(test_unanswered, teardown),
        cmocka_unit_test_teardown(test_nacks_keep_us_healthy, teardown),
        cmocka_unit_test_teardown(test_answered_through_another, teardown),
        cmocka_unit_test_teardown(test_awareness_stretches, teardown),
        cmocka_unit_test_teardown(test_relays_for_others, teardown),
        cmocka_unit_test_teardown(test_relays_are_bounded, teardown),
        cmocka_unit_test_teardown(test_answers_pings, teardown),
        cmocka_unit_test_teardown(test_datagram_size, teardown),
        cmocka_unit_test_teardown(test_unproven, teardown),
        cmocka_unit_test_teardown(test_stalled, teardown),
        cmocka_unit_test_teardown(test_first_tick_may_wait, teardown),
        cmocka_unit_test_teardown(test_leaving, teardown),
        cmocka_unit_test_teardown(test_former_life_is_not_accused, teardown),
        cmocka_unit_test_teardown(test_quiet, teardown),
        cmocka_unit_test_teardown(test_probes_go_to_the_silent, teardown),
        cmocka_unit_test_teardown(test_the_lost_are_looked_at, teardown),
        cmocka_unit_test_teardown(test_the_lost_are_looked_at, teardown),
        cmocka_unit_test_teardown(test_full_outbox, teardown),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
