/* What one node believes of others, message by message: the order of beliefs, refutation, and what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_error.h"
#include "swim/internal.h"
#include "unit/swim_support.h"

enum { SELF = 1, MEMBERS = 5, GENERATION = 10 };

static struct swim *s;
static struct outbox out;
static struct now now;

static int setup(void **state)
{
    (void)state;
    struct swim_config config = swim_config_default();
    config.self = SELF;
    config.generation = GENERATION;
    config.addr = net_addr(SELF);
    assert_int_equal(swim_create(&config, &s), 0);
    assert_int_equal(outbox_init(&out), 0);
    now = (struct now){SECOND_US, 0};
    swim_tick(s, now, &out);
    for (uint32_t i = 2; i <= MEMBERS; i++) {
        struct addr addr = net_addr(i);
        assert_int_equal(swim_add(s, now, i, &addr, false), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    swim_check(s);
    swim_destroy(s);
    outbox_deinit(&out);
    return 0;
}

static struct gossip about(uint32_t member, uint64_t generation, uint32_t incarnation,
                           enum member_state state, uint32_t from)
{
    return (struct gossip){member, generation, incarnation, (uint8_t)state, from, net_addr(member)};
}

/* An unasked ACK of `from` that carries one piece of gossip. */
static void tell(uint32_t from, uint64_t from_generation, struct gossip g)
{
    outbox_reset(&out);
    struct message m = {
        .type = MSG_ACK,
        .probe = {
            .from = from, .from_generation = from_generation, .target = from, .count = 1, .gossip = &g}};
    struct addr addr = net_addr(from);
    swim_datagram(s, now, &addr, &m, &out);
    swim_check(s);
}

static void assert_view(uint32_t member, enum member_state state, uint64_t generation, uint32_t incarnation)
{
    struct member_view view;
    assert_int_equal(swim_lookup(s, member, &view), 0);
    assert_int_equal(view.state, state);
    assert_int_equal(view.generation, generation);
    assert_int_equal(view.incarnation, incarnation);
}

static void assert_change(uint32_t member, enum member_state before, enum member_state after)
{
    struct member_change c;
    assert_true(swim_next_change(s, &c));
    assert_int_equal(c.member, member);
    assert_int_equal(c.before, before);
    assert_int_equal(c.now.state, after);
}

static void assert_no_change(void)
{
    struct member_change c;
    assert_false(swim_next_change(s, &c));
}

static void test_order(void **state)
{
    (void)state;
    static const struct swim_belief rising[] = {
        {0, 0, MEMBER_DEAD},  {1, 0, MEMBER_ALIVE},   {1, 0, MEMBER_SUSPECT}, {1, 0, MEMBER_DEAD},
        {1, 0, MEMBER_LEFT},  {1, 1, MEMBER_ALIVE},   {1, 1, MEMBER_DEAD},    {1, 7, MEMBER_SUSPECT},
        {2, 0, MEMBER_ALIVE}, {2, 0, MEMBER_SUSPECT}, {9, 0, MEMBER_ALIVE},
    };
    enum { COUNT = sizeof rising / sizeof rising[0] };
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COUNT; k++)
            assert_int_equal(swim_belief_newer(rising[i], rising[k]), i > k);
}

static void test_newer_replaces_older_only(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    assert_view(2, MEMBER_ALIVE, 4, 0);
    assert_change(2, MEMBER_DEAD, MEMBER_ALIVE);
    tell(2, 4, about(3, 7, 2, MEMBER_DEAD, 2));
    tell(2, 4, about(3, 7, 2, MEMBER_ALIVE, 2));
    assert_view(3, MEMBER_DEAD, 7, 2);
    tell(2, 4, about(3, 7, 3, MEMBER_ALIVE, 2));
    assert_view(3, MEMBER_ALIVE, 7, 3);
    tell(2, 4, about(3, 6, 9, MEMBER_DEAD, 2));
    assert_view(3, MEMBER_ALIVE, 7, 3);
    tell(2, 4, about(3, 8, 0, MEMBER_SUSPECT, 2));
    assert_view(3, MEMBER_SUSPECT, 8, 0);
    tell(2, 4, about(3, 8, 0, MEMBER_LEFT, 3));
    assert_view(3, MEMBER_LEFT, 8, 0);
    assert_int_equal(swim_counters(s).deaths,
                     0); /* it went by itself, and before that was dead from the start */
    assert_change(3, MEMBER_DEAD, MEMBER_LEFT); /* one change, the latest */
    assert_no_change();
}

static void test_came_and_went_is_no_change(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    assert_change(2, MEMBER_DEAD, MEMBER_ALIVE);
    tell(3, 1, about(3, 1, 0, MEMBER_ALIVE, 3));
    assert_change(3, MEMBER_DEAD, MEMBER_ALIVE);
    tell(3, 1, about(2, 4, 0, MEMBER_SUSPECT, 3));
    tell(2, 4, about(2, 4, 1, MEMBER_ALIVE, 2));
    assert_no_change();
}

static void test_refutes_what_is_said_of_itself(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2)); /* somebody to tell it to */
    tell(2, 4, about(SELF, GENERATION, 0, MEMBER_SUSPECT, 2));
    assert_view(SELF, MEMBER_ALIVE, GENERATION, 1);
    assert_true(out.count > 0); /* at once, unasked */
    const struct msg_probe *p = &out.effects[0].datagram.message.probe;
    assert_int_equal(p->gossip[0].member, SELF);
    assert_int_equal(p->gossip[0].incarnation, 1);
    tell(2, 4, about(SELF, GENERATION, 0, MEMBER_DEAD, 2)); /* refuted already */
    assert_view(SELF, MEMBER_ALIVE, GENERATION, 1);
    tell(2, 4, about(SELF, GENERATION, 1, MEMBER_DEAD, 2));
    assert_view(SELF, MEMBER_ALIVE, GENERATION, 2);
    tell(2, 4, about(SELF, GENERATION, 6, MEMBER_SUSPECT, 2)); /* outbid */
    assert_view(SELF, MEMBER_ALIVE, GENERATION, 7);
    assert_int_equal(swim_counters(s).refutations, 3);
    assert_int_equal(swim_counters(s).awareness, 3);
    assert_int_equal(swim_counters(s).ignored, 0);
}

static void test_claims_of_another_life_are_not_refuted(void **state)
{
    (void)state;
    tell(2, 4, about(SELF, GENERATION - 1, 5, MEMBER_DEAD, 2)); /* our former life: true enough */
    assert_int_equal(swim_counters(s).ignored, 0);
    tell(2, 4, about(SELF, GENERATION + 1, 0, MEMBER_DEAD, 2)); /* not of this process */
    assert_int_equal(swim_counters(s).ignored, 1);
    tell(2, 4, about(SELF, GENERATION, UINT32_MAX, MEMBER_DEAD, 2)); /* could not be outbid */
    tell(2, 4, about(SELF, GENERATION, SWIM_INCARNATION_JUMP + 1, MEMBER_DEAD, 2));
    assert_int_equal(swim_counters(s).ignored, 3);
    assert_view(SELF, MEMBER_ALIVE, GENERATION, 0);
}

static void test_leaps_are_refused(void **state)
{
    (void)state;
    tell(2, 4, about(3, 100, 5, MEMBER_ALIVE, 2)); /* the first value may be any */
    tell(2, 4, about(3, 100 + SWIM_GENERATION_JUMP + 1, 0, MEMBER_DEAD, 2));
    tell(2, 4, about(3, 100, 5 + SWIM_INCARNATION_JUMP + 1, MEMBER_DEAD, 2));
    assert_view(3, MEMBER_ALIVE, 100, 5);
    assert_int_equal(swim_counters(s).ignored, 2);
    tell(2, 4, about(3, 100 + SWIM_GENERATION_JUMP, 0, MEMBER_ALIVE, 2)); /* relative to the last seen */
    tell(2, 4, about(3, 100 + 2 * SWIM_GENERATION_JUMP, 0, MEMBER_ALIVE, 2));
    assert_view(3, MEMBER_ALIVE, 100 + 2 * SWIM_GENERATION_JUMP, 0);
}

static void test_strangers(void **state)
{
    (void)state;
    struct gossip g = about(2, 4, 0, MEMBER_ALIVE, 2);
    struct message ping = {
        .type = MSG_PING,
        .probe = {.from = 77, .from_generation = 1, .target = SELF, .sequence = 5, .count = 1, .gossip = &g}};
    struct addr addr = net_addr(77);
    outbox_reset(&out);
    swim_datagram(s, now, &addr, &ping, &out);
    assert_int_equal(out.count, 0); /* not answered */
    assert_view(2, MEMBER_DEAD, 0, 0);
    assert_int_equal(swim_counters(s).ignored, 1);
    tell(2, 4, about(77, 1, 0, MEMBER_ALIVE, 2));
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    tell(2, 4, about(3, 1, 0, MEMBER_SUSPECT, 77)); /* accused by a stranger */
    tell(2, 4, about(3, 0, 0, MEMBER_ALIVE, 2));    /* nobody has generation 0 */
    tell(2, 4, (struct gossip){.member = 3, .generation = 1, .state = 9});
    assert_int_equal(swim_counters(s).ignored, 5);
    assert_view(3, MEMBER_DEAD, 0, 0);
    struct member_view view;
    assert_int_equal(swim_lookup(s, 77, &view), KV_E_NOT_FOUND);
}

static void test_removed_stays_removed(void **state)
{
    (void)state;
    tell(2, 4, about(3, 1, 0, MEMBER_ALIVE, 2));
    swim_remove(s, 3);
    swim_remove(s, 3);
    swim_check(s);
    tell(2, 4, about(3, 1, 1, MEMBER_ALIVE, 2));
    tell(3, 1, about(3, 2, 0, MEMBER_ALIVE, 3));
    struct addr addr = net_addr(3);
    swim_heard(s, now, 3, 3, &addr);
    struct member_view view;
    assert_int_equal(swim_lookup(s, 3, &view), KV_E_NOT_FOUND);
    struct member_change c;
    while (swim_next_change(s, &c))
        assert_int_not_equal(c.member, 3);
}

static void test_former_life_is_not_heard(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    tell(2, 3, about(3, 1, 0, MEMBER_ALIVE, 2)); /* what generation 3 of member 2 still says */
    assert_view(3, MEMBER_DEAD, 0, 0);
    assert_int_equal(swim_counters(s).ignored, 1);
    struct addr addr = net_addr(2);
    swim_heard(s, now, 2, 3, &addr);
    assert_view(2, MEMBER_ALIVE, 4, 0);
    assert_int_equal(swim_counters(s).ignored, 2);
}

static void test_heard_first_hand(void **state)
{
    (void)state;
    struct addr elsewhere = {.host = "127.0.0.9", .port = 99};
    swim_heard(s, now, 2, 1, &elsewhere);
    assert_change(2, MEMBER_DEAD, MEMBER_ALIVE);
    assert_view(2, MEMBER_ALIVE, 1, 0);
    struct member_view view;
    assert_int_equal(swim_lookup(s, 2, &view), 0);
    assert_true(addr_eq(&view.addr, &elsewhere));

    tell(3, 1, about(2, 1, 0, MEMBER_DEAD, 3));
    assert_view(2, MEMBER_DEAD, 1, 0);
    assert_int_equal(swim_counters(s).deaths, 1);
    swim_heard(s, now, 2, 1, &elsewhere); /* the same life: it has to refute, and is told so at once */
    assert_view(2, MEMBER_DEAD, 1, 0);
    assert_int_equal(swim_deadline_us(s), now.mono_us);
    outbox_reset(&out);
    swim_tick(s, now, &out);
    assert_int_equal(out.effects[0].datagram.message.type, MSG_PING);
    assert_int_equal(out.effects[0].datagram.message.probe.target, 2);
    assert_int_equal(out.effects[0].datagram.message.probe.gossip[1].state, MEMBER_DEAD);
    swim_heard(s, now, 2, 2, &elsewhere); /* a new life needs no proof */
    assert_view(2, MEMBER_ALIVE, 2, 0);
}

static void test_addresses(void **state)
{
    (void)state;
    struct addr moved = {.host = "127.0.0.9", .port = 99}, ring = {.host = "127.0.0.8", .port = 98};
    struct member_view view;
    assert_int_equal(swim_add(s, now, 2, &ring, false), 0); /* never heard: the ring knows best */
    assert_int_equal(swim_lookup(s, 2, &view), 0);
    assert_true(addr_eq(&view.addr, &ring));
    struct gossip g = about(2, 5, 0, MEMBER_ALIVE, 2);
    g.addr = moved;
    tell(2, 5, g);
    assert_int_equal(swim_add(s, now, 2, &ring, false), 0); /* heard: it knows best */
    assert_int_equal(swim_lookup(s, 2, &view), 0);
    assert_true(addr_eq(&view.addr, &moved));
    tell(3, 1, about(2, 5, 1, MEMBER_ALIVE, 2)); /* hearsay of the same life moves nothing */
    assert_int_equal(swim_lookup(s, 2, &view), 0);
    assert_true(addr_eq(&view.addr, &moved));
}

/* Another island's table calls everybody dead: those we see alive get time to refute. */
static void test_dead_by_sync_is_a_suspicion(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    tell(3, 4, about(3, 4, 0, MEMBER_ALIVE, 3));
    struct gossip table[] = {about(3, 4, 0, MEMBER_DEAD, 2), about(4, 1, 0, MEMBER_DEAD, 2),
                             about(5, 1, 0, MEMBER_ALIVE, 2)};
    struct message m = {.type = MSG_SYNC, .id = 123, .sync = {.from = 2, .count = 3, .gossip = table}};
    outbox_reset(&out);
    swim_sync(s, now, to_conn(8), &m, &out);
    assert_view(3, MEMBER_SUSPECT, 4, 0);
    assert_view(4, MEMBER_DEAD, 1, 0);
    assert_view(5, MEMBER_ALIVE, 1, 0);
    assert_int_equal(out.count, 1);
    const struct effect *reply = &out.effects[0];
    assert_int_equal(reply->type, EF_SEND);
    assert_int_equal(reply->send.to.conn, 8);
    assert_int_equal(reply->send.message.type, MSG_SYNC_REPLY);
    assert_int_equal(reply->send.message.id, 123);
    assert_int_equal(reply->send.message.sync.count, MEMBERS);
    assert_int_equal(swim_counters(s).deaths, 0);
}

/* Whom nobody ever heard of is no news, in neither direction. */
static void test_unproven_do_not_travel(void **state)
{
    (void)state;
    tell(2, 4, about(2, 4, 0, MEMBER_ALIVE, 2));
    struct message m = {.type = MSG_SYNC, .sync = {.from = 2}};
    outbox_reset(&out);
    swim_sync(s, now, to_conn(8), &m, &out);
    const struct msg_sync *reply = &out.effects[0].send.message.sync;
    assert_int_equal(reply->count, 2); /* ourselves and member 2 */
    for (uint32_t i = 0; i < reply->count; i++)
        assert_int_not_equal(reply->gossip[i].generation, 0);
}

/* That its sender lives, every datagram says, and where. */
static void test_a_word_proves_its_life(void **state)
{
    (void)state;
    struct addr from = {.host = "127.0.0.9", .port = 99};
    struct message m = {.type = MSG_ACK,
                        .probe = {.from = 2, .from_generation = 4, .from_incarnation = 3, .target = 2}};
    swim_datagram(s, now, &from, &m, &out);
    assert_view(2, MEMBER_ALIVE, 4, 3);
    struct member_view view;
    assert_int_equal(swim_lookup(s, 2, &view), 0);
    assert_true(addr_eq(&view.addr, &from));
    tell(3, 1, about(2, 4, 3, MEMBER_SUSPECT, 3));
    m.probe.from_incarnation = 4; /* its refutation, whatever was lost */
    swim_datagram(s, now, &from, &m, &out);
    assert_view(2, MEMBER_ALIVE, 4, 4);
}

/* How often the last call told of this member. */
static uint32_t told_of(uint32_t member)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < out.count; i++) {
        const struct effect *e = &out.effects[i];
        for (uint32_t k = 0; e->type == EF_DATAGRAM && k < e->datagram.message.probe.count; k++)
            count += e->datagram.message.probe.gossip[k].member == member;
    }
    return count;
}

/* What is heard is passed on within the gossip interval, as often as the limit says, and not for ever. */
static void test_news_is_passed_on(void **state)
{
    (void)state;
    const struct swim_config c = swim_config_default();
    for (uint32_t i = 2; i <= 4; i++)
        tell(i, 1, about(i, 1, 0, MEMBER_ALIVE, i));
    swim_hush(s);
    s->next_gossip_us = s->now_us; /* as if that were long ago */
    tell(2, 1, about(5, 1, 0, MEMBER_ALIVE, 2));
    uint32_t told = told_of(5);
    assert_in_range(told, 2, 3);                           /* at once, and member 5 itself need not be told */
    uint64_t until_us = now.mono_us + c.probe_deadline_us; /* before anybody is suspected */
    while (swim_deadline_us(s) < until_us) {
        now.mono_us = swim_deadline_us(s);
        outbox_reset(&out);
        swim_tick(s, now, &out);
        told += told_of(5);
    }
    assert_int_equal(told, swim_retransmit_limit(c.retransmit_mult, 5));
    assert_int_equal(swim_gossip_deadline_us(s), UINT64_MAX);
}

/* News that comes after a long quiet is due when it comes: a deadline in the past would look like a stall. */
static void test_news_is_not_late(void **state)
{
    (void)state;
    struct addr addr = net_addr(2);
    tell(2, 1, about(2, 1, 0, MEMBER_ALIVE, 2));
    swim_hush(s);
    s->next_gossip_us = 0; /* the last news was long ago */
    swim_heard(s, now, 2, 2, &addr);
    assert_int_equal(swim_deadline_us(s), now.mono_us);
    outbox_reset(&out);
    swim_tick(s, now, &out);
    assert_true(swim_deadline_us(s) > now.mono_us);
}

static const struct effect *answer_to_sync(enum message_type type, uint64_t id, uint64_t digest)
{
    struct message m = {.type = type, .id = id, .sync = {.from = 2, .digest = digest}};
    outbox_reset(&out);
    swim_sync(s, now, to_conn(8), &m, &out);
    for (uint32_t i = 0; i < out.count; i++)
        if (out.effects[i].type == EF_SEND)
            return &out.effects[i];
    return NULL;
}

/* Tables that are equal are not sent; those that differ are, each way once. */
static void test_sync_by_digest(void **state)
{
    (void)state;
    for (uint32_t i = 2; i <= 4; i++)
        tell(i, 1, about(i, 1, 0, MEMBER_ALIVE, i));
    const struct effect *reply = answer_to_sync(MSG_SYNC, 5, 0);
    assert_int_equal(reply->send.message.sync.count, 4);
    uint64_t digest = reply->send.message.sync.digest;
    reply = answer_to_sync(MSG_SYNC, 6, digest);
    assert_int_equal(reply->send.message.sync.count, 1);
    assert_int_equal(reply->send.message.sync.gossip[0].member, SELF);
    tell(2, 1, about(3, 1, 0, MEMBER_SUSPECT, 2)); /* gossip's, not push-pull's */
    assert_int_equal(answer_to_sync(MSG_SYNC, 7, digest)->send.message.sync.count, 1);
    tell(2, 1, about(3, 1, 1, MEMBER_ALIVE, 3));
    assert_int_equal(answer_to_sync(MSG_SYNC, 8, digest)->send.message.sync.count, 4);

    const struct effect *ask = NULL;
    while (!ask) {
        now.mono_us = swim_deadline_us(s);
        outbox_reset(&out);
        swim_tick(s, now, &out);
        for (uint32_t i = 0; i < out.count; i++)
            if (out.effects[i].type == EF_SEND)
                ask = &out.effects[i];
    }
    assert_int_equal(ask->send.message.type, MSG_SYNC);
    assert_int_equal(ask->send.message.sync.count, 1);
    uint64_t id = ask->send.message.id;
    assert_null(answer_to_sync(MSG_SYNC_REPLY, id + 1, 0)); /* to nothing that we asked */
    const struct effect *whole = answer_to_sync(MSG_SYNC_REPLY, id, 0);
    assert_int_equal(whole->send.to.peer, 2);
    assert_int_equal(whole->send.message.type, MSG_SYNC);
    assert_true(whole->send.message.sync.count > 1);
    assert_null(answer_to_sync(MSG_SYNC_REPLY, whole->send.message.id, 0)); /* the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test_setup_teardown(test_newer_replaces_older_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_came_and_went_is_no_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refutes_what_is_said_of_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims_of_another_life_are_not_refuted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaps_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_stays_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_former_life_is_not_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heard_first_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_by_sync_is_a_suspicion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unproven_do_not_travel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_word_proves_its_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_news_is_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_news_is_not_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync_by_digest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
