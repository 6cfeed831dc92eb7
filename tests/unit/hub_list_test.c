/* The hub and a member by hand: which heartbeats count, which lists are taken over, what is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/hub_support.h"

struct fixture {
    struct hub *hub;
    struct outbox out;
    struct now now;
};

static void begin(struct fixture *f, uint32_t self, uint64_t generation)
{
    struct hub_config config = star_config(self, generation);
    *f = (struct fixture){.now = {.mono_us = SECOND_US}};
    assert_int_equal(outbox_init(&f->out), KV_OK);
    assert_int_equal(hub_create(&config, &f->hub), KV_OK);
    for (uint32_t i = 1; i <= 4; i++) {
        struct addr addr = star_addr(i);
        if (i != self)
            assert_int_equal(hub_add(f->hub, f->now, i, &addr), KV_OK);
    }
    hub_tick(f->hub, f->now, &f->out);
}

static void end(struct fixture *f)
{
    hub_check(f->hub);
    hub_destroy(f->hub);
    outbox_deinit(&f->out);
}

static void beat(struct fixture *f, uint32_t from, uint64_t generation, uint8_t flags, uint32_t at)
{
    struct message m = {.type = MSG_HEARTBEAT, .heartbeat = {from, generation, 0, flags}};
    struct addr addr = star_addr(at);
    outbox_reset(&f->out);
    hub_datagram(f->hub, f->now, &addr, &m, &f->out);
    hub_check(f->hub);
}

static struct member_view view(const struct fixture *f, uint32_t member)
{
    struct member_view v;
    assert_int_equal(hub_lookup(f->hub, member, &v), KV_OK);
    return v;
}

static bool lives_at(const struct fixture *f, uint32_t member, const struct addr *addr)
{
    struct member_view v = view(f, member);
    return addr_eq(&v.addr, addr);
}

static void heartbeats_of_former_lives_do_not_count(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, 1);
    beat(&f, 2, 5, 0, 2);
    assert_int_equal(view(&f, 2).state, MEMBER_ALIVE);
    assert_int_equal(f.out.effects[0].datagram.message.type, MSG_HEARTBEAT_ACK);
    uint64_t ignored = hub_counters(f.hub).ignored;
    beat(&f, 2, 4, HEARTBEAT_LEAVING, 2);       /* of the life before */
    beat(&f, 2, 0, 0, 2);                       /* of none */
    beat(&f, 2, 6 + HUB_GENERATION_JUMP, 0, 2); /* made up */
    beat(&f, 9, 1, 0, 9);                       /* no member */
    assert_int_equal(hub_counters(f.hub).ignored - ignored, 4);
    assert_int_equal(f.out.count, 0); /* strangers are not answered */
    assert_int_equal(view(&f, 2).generation, 5);
    beat(&f, 2, 5, 0, 7); /* another address of the same life is not where it lives */
    struct addr home = star_addr(2), moved = star_addr(7);
    assert_true(lives_at(&f, 2, &home));
    beat(&f, 2, 6, 0, 7); /* a new life may have moved */
    assert_true(lives_at(&f, 2, &moved));
    beat(&f, 2, 6, HEARTBEAT_LEAVING, 7);
    beat(&f, 2, 6, 0, 7); /* overtaken by its farewell */
    assert_int_equal(view(&f, 2).state, MEMBER_LEFT);
    hub_heard(f.hub, f.now, 2, 6, &moved);
    assert_int_equal(view(&f, 2).state, MEMBER_LEFT);
    hub_heard(f.hub, f.now, 2, 7, &home); /* HELLO of the next */
    assert_int_equal(view(&f, 2).state, MEMBER_ALIVE);
    end(&f);
}

/* No list is shown before it has listened: not before all were heard, or an interval is over. */
static void a_new_hub_listens_first(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, 1);
    beat(&f, 2, 1, 0, 2);
    assert_int_equal(f.out.effects[0].datagram.message.heartbeat.version, 0);
    beat(&f, 3, 1, 0, 3);
    hub_tick(f.hub, f.now, &f.out);
    assert_int_equal(f.hub->phase, HUB_LISTENING);
    beat(&f, 4, 1, 0, 4);
    hub_tick(f.hub, f.now, &f.out);
    assert_int_equal(f.hub->phase, HUB_JUDGING);
    assert_int_equal(hub_counters(f.hub).lists, 3);
    end(&f);

    begin(&f, 1, 2);
    f.now.mono_us = hub_deadline_us(f.hub);
    hub_tick(f.hub, f.now, &f.out);
    assert_int_equal(f.hub->phase, HUB_JUDGING); /* nobody was heard: then nobody is there */
    assert_int_equal(hub_counters(f.hub).lists, 0);
    end(&f);
}

static uint32_t shown(struct fixture *f)
{
    struct message m = {.type = MSG_LIST_GET, .from = 2};
    outbox_reset(&f->out);
    hub_message(f->hub, f->now, to_conn(2), &m, &f->out);
    hub_check(f->hub);
    return f->out.count;
}

static void a_hub_that_stops_shows_no_list(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, 1);
    for (uint32_t i = 2; i <= 4; i++)
        beat(&f, i, 1, 0, i);
    assert_int_equal(shown(&f), 0); /* it listens until the next tick */
    hub_tick(f.hub, f.now, &f.out);
    assert_int_equal(shown(&f), 1);
    hub_leave(f.hub, f.now, &f.out);
    assert_int_equal(f.hub->phase, HUB_LEFT);
    assert_int_equal(shown(&f), 0);
    assert_true(hub_deadline_us(f.hub) == UINT64_MAX);
    assert_int_equal(view(&f, 1).state, MEMBER_LEFT);
    end(&f);
}

static void a_member_says_farewell_once(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, 1);
    assert_int_equal(f.hub->phase, HUB_FOLLOWING);
    outbox_reset(&f.out);
    hub_leave(f.hub, f.now, &f.out);
    assert_int_equal(f.out.count, 1);
    assert_int_equal(f.out.effects[0].datagram.message.heartbeat.flags, HEARTBEAT_LEAVING);
    hub_leave(f.hub, f.now, &f.out);
    hub_tick(f.hub, f.now, &f.out); /* nor does it go on */
    assert_int_equal(f.out.count, 1);
    end(&f);
}

static void take(struct fixture *f, uint64_t generation, uint64_t since, uint64_t version, uint8_t of_3)
{
    struct gossip entry = {.member = 3, .generation = 1, .state = of_3, .addr = star_addr(3)};
    struct message m = {.type = MSG_LIST, .from = 1, .list = {generation, since, version, 1, &entry}};
    hub_message(f->hub, f->now, to_conn(1), &m, &f->out);
    hub_check(f->hub);
}

static void lists_are_taken_over_in_order(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, 1);
    assert_int_equal(view(&f, 1).state, MEMBER_ALIVE); /* the hub, always */
    assert_int_equal(view(&f, 3).state, MEMBER_DEAD);
    const struct {
        const char *what;
        uint64_t generation, since, version;
        uint8_t says, seen;
    } steps[] = {
        {"a part, before there is a whole", 5, 2, 3, MEMBER_ALIVE, MEMBER_DEAD},
        {"the whole", 5, 0, 3, MEMBER_ALIVE, MEMBER_ALIVE},
        {"the next", 5, 3, 4, MEMBER_SUSPECT, MEMBER_SUSPECT},
        {"one that tells more than is missed", 5, 2, 6, MEMBER_ALIVE, MEMBER_ALIVE},
        {"a gap", 5, 7, 8, MEMBER_DEAD, MEMBER_ALIVE},
        {"an old one", 5, 3, 4, MEMBER_DEAD, MEMBER_ALIVE},
        {"an old whole one", 5, 0, 5, MEMBER_DEAD, MEMBER_ALIVE},
        {"of the hub's life before", 4, 0, 99, MEMBER_DEAD, MEMBER_ALIVE},
        {"a part of the next life's", 6, 1, 2, MEMBER_DEAD, MEMBER_ALIVE},
        {"the whole of the next life's", 6, 0, 2, MEMBER_DEAD, MEMBER_DEAD},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        take(&f, steps[i].generation, steps[i].since, steps[i].version, steps[i].says);
        if (view(&f, 3).state != (enum member_state)steps[i].seen)
            fail_msg("%s", steps[i].what);
    }
    struct message m = {.type = MSG_LIST, .from = 3, .list = {9, 0, 9, 0, NULL}};
    hub_message(f.hub, f.now, to_conn(1), &m, &f.out); /* nobody else has lists */
    assert_int_equal(hub_counters(f.hub).version, 2);
    end(&f);
}

static const struct message *asked(struct fixture *f, uint64_t generation, uint64_t version, uint8_t flags)
{
    struct message m = {.type = MSG_HEARTBEAT_ACK, .heartbeat = {1, generation, version, flags}};
    struct addr addr = star_addr(1);
    outbox_reset(&f->out);
    hub_datagram(f->hub, f->now, &addr, &m, &f->out);
    for (uint32_t i = 0; i < f->out.count; i++)
        if (f->out.effects[i].type == EF_SEND)
            return &f->out.effects[i].send.message;
    return NULL;
}

static void what_was_missed_is_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, 1);
    assert_null(asked(&f, 5, 0, 0)); /* it has none yet */
    assert_non_null(asked(&f, 5, 3, 0));
    take(&f, 5, 0, 3, MEMBER_ALIVE);
    assert_null(asked(&f, 5, 3, 0));
    const struct message *m = asked(&f, 5, 4, 0);
    assert_int_equal(m->type, MSG_LIST_GET);
    assert_int_equal(m->list.since, 3);
    assert_non_null(asked(&f, 6, 3, 0)); /* another life's version 3 */
    assert_null(asked(&f, 4, 9, 0));
    assert_null(asked(&f, 5, 3, HEARTBEAT_CALL)); /* a call is answered at once */
    assert_int_equal(f.out.effects[0].datagram.message.type, MSG_HEARTBEAT);
    struct addr addr = star_addr(9);
    assert_int_equal(hub_add(f.hub, f.now, 9, &addr), KV_OK);
    assert_int_equal(asked(&f, 5, 3, 0)->list.since, 0); /* the list may have told of it: all of it again */
    end(&f);
}

static void configurations_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct hub *hub;
    struct hub_config good = star_config(2, 1), c;
#define REFUSED(change)                                       \
    do {                                                      \
        c = good;                                             \
        c.change;                                             \
        assert_int_equal(hub_create(&c, &hub), KV_E_INVALID); \
    } while (0)
    REFUSED(self = 0);
    REFUSED(hub = 0);
    REFUSED(generation = 0);
    REFUSED(heartbeat_interval_us = 0);
    REFUSED(answer_timeout_us = 0);
    REFUSED(deadline_us = 0);
    REFUSED(suspicion_mult = 0);
    REFUSED(push_interval_us = 0);
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heartbeats_of_former_lives_do_not_count),
        cmocka_unit_test(a_new_hub_listens_first),
        cmocka_unit_test(a_hub_that_stops_shows_no_list),
        cmocka_unit_test(a_member_says_farewell_once),
        cmocka_unit_test(lists_are_taken_over_in_order),
        cmocka_unit_test(what_was_missed_is_asked_for),
        cmocka_unit_test(configurations_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
