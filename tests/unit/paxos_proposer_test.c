/* The proposer: rounds, what it proposes, whom it asks and when again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/paxos_support.h"

enum { EPOCH = 2 };

static struct world *w;
static struct blob *mine, *yours;

static int setup(void **state)
{
    (void)state;
    w = world_create(1, 5);
    mine = ring_blob(EPOCH, 4, 1);
    yours = ring_blob(EPOCH, 5, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_destroy(w);
    blob_unref(mine);
    blob_unref(yours);
    return 0;
}

static struct paxos *node(uint32_t id)
{
    return w->machines[id].paxos;
}

static uint32_t letters(enum message_type type, uint32_t from)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->mail_count; i++)
        count += w->mail[i].message.type == type && w->mail[i].from == from;
    return count;
}

static void lose_all(void)
{
    while (w->mail_count)
        message_release(&w->mail[--w->mail_count].message);
}

/* Nobody but these takes part. */
static void only(uint32_t a, uint32_t b, uint32_t c)
{
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++)
        if (id != a && id != b && id != c && node(id))
            world_crash(w, id);
}

static void assert_decided(uint32_t id, const struct blob *value)
{
    assert_non_null(paxos_decided(node(id)));
    assert_true(bytes_eq(blob_bytes(paxos_decided(node(id))), blob_bytes(value)));
}

static void test_one_proposer(void **state)
{
    (void)state;
    assert_int_equal(world_propose(w, 3, mine), KV_OK);
    assert_true(paxos_proposing(node(3)));
    assert_int_equal(world_propose(w, 3, yours), KV_E_BUSY);
    world_settle(w);
    assert_decided(3, mine);
    assert_false(paxos_proposing(node(3)));
    assert_int_equal(paxos_deadline_us(node(3)), UINT64_MAX);
    assert_int_equal(world_propose(w, 3, yours), KV_E_BUSY); /* that is over */
    assert_int_equal(paxos_counters(node(3)).rounds, 1);
    world_adopt(w, 3, EPOCH);
    assert_null(paxos_decided(node(3)));
}

/* Its own promise is on disk before anybody else hears of the ballot. */
static void test_own_promise_first(void **state)
{
    (void)state;
    world_propose(w, 3, mine);
    assert_int_equal(w->mail_count, 1);
    assert_int_equal(w->mail[0].to, 3);
    world_deliver(w, 0);
    assert_int_equal(w->mail_count, 0);
    world_sync(w, 3, KV_OK);
    world_deliver(w, 0);
    assert_int_equal(letters(MSG_PREPARE, 3), 4);
    uint64_t round = w->mail[0].message.paxos.ballot.round;
    lose_all();
    world_crash(w, 3);
    world_start(w, 3);
    world_propose(w, 3, yours);
    assert_true(w->mail[0].message.paxos.ballot.round > round);
}

static void test_who_may_propose(void **state)
{
    (void)state;
    assert_int_equal(world_propose(w, 6, mine), KV_E_NOT_MEMBER);
    struct blob *late = ring_blob(EPOCH + 1, 4, 1);
    assert_int_equal(world_propose(w, 1, late), KV_E_INVALID);
    assert_false(paxos_proposing(node(1)));
    blob_unref(late);
}

/* A value that may be chosen already is completed in place of the proposer's own. */
static void test_completes_what_was_accepted(void **state)
{
    (void)state;
    only(1, 2, 3);
    world_propose(w, 1, yours);
    world_settle(w);
    assert_decided(1, yours); /* and node 1 tells nobody */
    world_crash(w, 1);
    world_start(w, 4);
    world_start(w, 5);
    world_propose(w, 4, mine);
    world_settle(w);
    assert_decided(4, yours);
    assert_true(bytes_eq(blob_bytes(paxos_accepted(node(2))), blob_bytes(yours)));
}

static void test_a_minority_decides_nothing(void **state)
{
    (void)state;
    only(1, 2, 0);
    world_propose(w, 1, mine);
    uint64_t asked = 0, before_us = w->now.mono_us;
    for (int i = 0; i < 20; i++) {
        world_settle(w);
        uint64_t due_us = paxos_deadline_us(node(1));
        assert_true(due_us > w->now.mono_us && due_us <= w->now.mono_us + 2 * PAXOS_RETRY_MAX_US);
        w->now.mono_us = due_us;
        world_tick(w, 1);
        asked += w->mail_count;
    }
    assert_null(paxos_decided(node(1)));
    assert_int_equal(asked, 20 * 3); /* only the silent */
    assert_true(w->now.mono_us - before_us > 10 * PAXOS_RETRY_MAX_US);
    assert_false(paxos_withdraw(node(1))); /* nobody was asked to accept it */
    assert_false(paxos_proposing(node(1)));
    assert_int_equal(paxos_deadline_us(node(1)), UINT64_MAX);
    world_start(w, 3);
    world_settle(w);
    assert_null(w->chosen[EPOCH]);
}

/* Withdrawn after an ACCEPT: it may be chosen all the same. */
static void test_withdrawn_late(void **state)
{
    (void)state;
    world_propose(w, 1, mine);
    while (letters(MSG_ACCEPT, 1) == 0) {
        world_deliver(w, 0);
        for (uint32_t id = 1; id <= 5; id++)
            world_sync(w, id, KV_OK);
    }
    assert_true(paxos_withdraw(node(1)));
    world_settle(w);
    assert_null(paxos_decided(node(1)));
    assert_non_null(w->chosen[EPOCH]);
}

/* Preempted: it comes again, later and later, above what it has heard of. */
static void test_backs_off(void **state)
{
    (void)state;
    world_propose(w, 1, mine);
    uint64_t longest_us = 0;
    for (int i = 0; i < 12; i++) {
        struct proposer *r = &node(1)->proposer;
        assert_int_equal(r->phase, PROPOSER_PREPARE);
        struct message m = {.type = MSG_PREEMPTED, .from = 2};
        m.paxos = (struct msg_paxos){EPOCH, r->ballot, {r->ballot.round + 10, 2}, NULL};
        struct ballot above = m.paxos.other;
        paxos_message(node(1), w->now, to_peer(2), &m, &w->out);
        paxos_check(node(1));
        paxos_message(node(1), w->now, to_peer(2), &m, &w->out); /* twice is once */
        assert_int_equal(r->phase, PROPOSER_BACKOFF);
        uint64_t pause_us = paxos_deadline_us(node(1)) - w->now.mono_us;
        assert_true(pause_us >= 1 && pause_us <= PAXOS_BACKOFF_MAX_US);
        longest_us = pause_us > longest_us ? pause_us : longest_us;
        w->now.mono_us += pause_us;
        world_tick(w, 1);
        assert_true(ballot_compare(r->ballot, above) > 0);
    }
    assert_true(longest_us > 10 * PAXOS_BACKOFF_US);
}

/* Answers that are late, double or from nobody do not count. */
static void test_answers_that_do_not_count(void **state)
{
    (void)state;
    world_propose(w, 1, mine);
    world_deliver(w, 0);
    world_sync(w, 1, KV_OK);
    world_deliver(w, 0);
    struct proposer *r = &node(1)->proposer;
    assert_int_equal(r->answers, 1);
    const struct {
        uint32_t from;
        uint64_t epoch, round;
        enum message_type type;
    } cases[] = {
        {1, EPOCH, 0, MSG_PROMISE},     /* its own, twice */
        {2, EPOCH, 1, MSG_PROMISE},     /* of another round */
        {2, EPOCH, 0, MSG_ACCEPTED},    /* of another phase */
        {2, EPOCH + 1, 0, MSG_PROMISE}, /* of another instance */
        {7, EPOCH, 0, MSG_PROMISE},     /* of no acceptor */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message m = {.type = cases[i].type, .from = cases[i].from};
        m.paxos = (struct msg_paxos){cases[i].epoch, r->ballot, {0}, NULL};
        m.paxos.ballot.round += cases[i].round;
        paxos_message(node(1), w->now, to_peer(cases[i].from), &m, &w->out);
        paxos_check(node(1));
        assert_int_equal(r->answers, 1);
    }
    struct message m = {.type = MSG_PROMISE, .from = 2}; /* with a value that is none */
    m.paxos = (struct msg_paxos){EPOCH, r->ballot, {1, 5}, NULL};
    paxos_message(node(1), w->now, to_peer(2), &m, &w->out);
    assert_int_equal(r->answers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_proposer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_promise_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may_propose, setup, teardown),
        cmocka_unit_test_setup_teardown(test_completes_what_was_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_minority_decides_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_withdrawn_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backs_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_that_do_not_count, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
