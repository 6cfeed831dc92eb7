/* The acceptor: what it answers to which question, and that nothing is answered before it is on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "unit/paxos_support.h"

enum { SELF = 1, EPOCH = 2 };

static struct world *w;
static struct blob *value, *other_value;

static int setup(void **state)
{
    (void)state;
    w = world_create(1, 5);
    value = ring_blob(EPOCH, 4, 1);
    other_value = ring_blob(EPOCH, 5, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_destroy(w);
    blob_unref(value);
    blob_unref(other_value);
    return 0;
}

static struct paxos *self(void)
{
    return w->machines[SELF].paxos;
}

/* Asks; what it says and writes at once stays in w->out. */
static void ask(enum message_type type, uint64_t round, uint32_t from, struct blob *v)
{
    struct message m = {.type = type, .id = round, .from = from};
    m.paxos = (struct msg_paxos){.epoch = EPOCH, .ballot = {round, from}, .value = v};
    outbox_reset(&w->out);
    paxos_message(self(), w->now, to_conn(from), &m, &w->out);
    paxos_check(self());
}

static bool writes(void)
{
    return w->out.count > 0 && w->out.effects[w->out.count - 1].type == EF_STORE_META;
}

/* The write that ask() began ends. */
static void written(int status)
{
    assert_true(writes());
    struct machine *m = &w->machines[SELF];
    const struct effect *e = &w->out.effects[w->out.count - 1];
    struct event in = {.type = EV_STORE_WRITTEN, .written = {.op = e->op, .status = status}};
    if (status == KV_OK)
        assert_int_equal(buf_set(&m->disk, e->meta.value), KV_OK);
    outbox_reset(&w->out);
    paxos_written(self(), &in, &w->out);
    paxos_check(self());
}

/* The n-th effect is this answer to that member. */
static const struct msg_paxos *answer(uint32_t n, enum message_type type, uint64_t round, uint32_t to)
{
    assert_true(n < w->out.count);
    const struct effect *e = &w->out.effects[n];
    assert_int_equal(e->type, EF_SEND);
    assert_int_equal(e->send.message.type, type);
    assert_int_equal(e->send.message.id, round);
    assert_int_equal(e->send.to.conn, to);
    assert_int_equal(e->send.message.paxos.epoch, EPOCH);
    assert_int_equal(e->send.message.paxos.ballot.round, round);
    return &e->send.message.paxos;
}

static void restart(void)
{
    w->machines[SELF].op = 0;
    outbox_reset(&w->out);
    world_crash(w, SELF);
    world_start(w, SELF);
}

/* Promised {5, 2}, accepted `value` under {4, 3}. */
static void begin(void)
{
    ask(MSG_ACCEPT, 4, 3, value);
    written(KV_OK);
    answer(0, MSG_ACCEPTED, 4, 3);
    ask(MSG_PREPARE, 5, 2, NULL);
    written(KV_OK);
    const struct msg_paxos *x = answer(0, MSG_PROMISE, 5, 2);
    assert_int_equal(x->other.round, 4);
    assert_int_equal(x->other.member, 3);
    assert_true(x->value == value);
}

/* What is answered in that state, at once or after a write; MSG_NONE: nothing. */
static const struct {
    const char *what;
    enum message_type type;
    uint64_t round;
    uint32_t from;
    bool write;
    enum message_type answer;
} cases[] = {
    {"an older ballot", MSG_PREPARE, 3, 5, false, MSG_PREEMPTED},
    {"the same round of a smaller member", MSG_PREPARE, 5, 1, false, MSG_PREEMPTED},
    {"the same ballot once more", MSG_PREPARE, 5, 2, false, MSG_PROMISE},
    {"the same round of a larger member", MSG_PREPARE, 5, 3, true, MSG_PROMISE},
    {"a newer ballot", MSG_PREPARE, 9, 1, true, MSG_PROMISE},
    {"an older proposal", MSG_ACCEPT, 3, 5, false, MSG_PREEMPTED},
    {"the accepted proposal once more, overtaken", MSG_ACCEPT, 4, 3, false, MSG_PREEMPTED},
    {"the promised proposal", MSG_ACCEPT, 5, 2, true, MSG_ACCEPTED},
    {"a newer proposal, not promised", MSG_ACCEPT, 6, 1, true, MSG_ACCEPTED},
    {"another member's ballot", MSG_PREPARE, 0, 4, false, MSG_NONE},
    {"a round that could wrap around", MSG_PREPARE, UINT64_MAX, 4, false, MSG_NONE},
    {"no acceptor", MSG_PREPARE, 9, 7, false, MSG_NONE},
};

static void test_table(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setup(state);
        begin();
        ask(cases[i].type, cases[i].round, cases[i].from, cases[i].type == MSG_ACCEPT ? value : NULL);
        if (writes() != cases[i].write)
            fail_msg("%s", cases[i].what);
        if (cases[i].write) {
            assert_int_equal(w->out.count, 1); /* and nothing is said yet */
            written(KV_OK);
        }
        if (cases[i].answer == MSG_NONE)
            assert_int_equal(w->out.count, 0);
        else
            answer(0, cases[i].answer, cases[i].round, cases[i].from);
        if (cases[i].answer == MSG_PREEMPTED)
            assert_int_equal(w->out.effects[0].send.message.paxos.other.round, 5);
        outbox_reset(&w->out);
        teardown(state);
    }
}

static void test_nothing_is_forgotten(void **state)
{
    (void)state;
    begin();
    restart();
    ask(MSG_PREPARE, 5, 1, NULL);
    answer(0, MSG_PREEMPTED, 5, 1);
    ask(MSG_PREPARE, 6, 1, NULL);
    written(KV_OK);
    const struct msg_paxos *x = answer(0, MSG_PROMISE, 6, 1);
    assert_int_equal(x->other.round, 4);
    assert_true(bytes_eq(blob_bytes(x->value), blob_bytes(value)));
    assert_true(bytes_eq(blob_bytes(paxos_accepted(self())), blob_bytes(value)));
}

static void test_a_full_disk_promises_nothing(void **state)
{
    (void)state;
    begin();
    ask(MSG_ACCEPT, 5, 2, other_value);
    written(KV_E_FULL);
    assert_int_equal(w->out.count, 0);
    assert_true(paxos_accepted(self()) == value);
    ask(MSG_ACCEPT, 5, 2, other_value); /* asked again */
    written(KV_OK);
    answer(0, MSG_ACCEPTED, 5, 2);
    assert_true(paxos_accepted(self()) == other_value);
}

/* While one write is under way, the highest ballot waits for its turn; a lower one is told of it. */
static void test_questions_while_writing(void **state)
{
    (void)state;
    ask(MSG_PREPARE, 5, 2, NULL);
    struct effect first = w->out.effects[0];
    ask(MSG_PREPARE, 4, 3, NULL);
    assert_int_equal(answer(0, MSG_PREEMPTED, 4, 3)->other.round, 5);
    ask(MSG_PREPARE, 6, 3, NULL);
    assert_int_equal(w->out.count, 0);
    ask(MSG_PREPARE, 7, 4, NULL);
    assert_int_equal(answer(0, MSG_PREEMPTED, 6, 3)->other.round, 7);
    outbox_reset(&w->out);
    struct event in = {.type = EV_STORE_WRITTEN, .written = {.op = first.op}};
    paxos_written(self(), &in, &w->out);
    answer(0, MSG_PROMISE, 5, 2);
    written(KV_OK);
    answer(0, MSG_PROMISE, 7, 4);
}

static void test_values_that_make_no_sense(void **state)
{
    (void)state;
    struct blob *wrong[] = {blob_copy(bytes_str("no ring")), ring_blob(EPOCH + 1, 3, 0), NULL};
    for (size_t i = 0; i < 3; i++) {
        ask(MSG_ACCEPT, 4, 3, wrong[i]);
        assert_int_equal(w->out.count, 0);
        blob_unref(wrong[i]);
    }
    assert_null(paxos_accepted(self()));
}

/* The next instance knows nothing of this one, nor of a write that was still under way. */
static void test_the_next_instance(void **state)
{
    (void)state;
    begin();
    ask(MSG_ACCEPT, 8, 2, value);
    struct effect late = w->out.effects[0];
    w->chosen[EPOCH] = blob_copy(blob_bytes(value));
    world_adopt(w, SELF, EPOCH);
    assert_null(paxos_accepted(self()));
    ask(MSG_PREPARE, 9, 2, NULL); /* of the old instance */
    assert_int_equal(w->out.count, 0);
    struct message m = {.type = MSG_PREPARE, .id = 1, .from = 2};
    m.paxos = (struct msg_paxos){.epoch = EPOCH + 1, .ballot = {1, 2}};
    paxos_message(self(), w->now, to_conn(2), &m, &w->out);
    assert_int_equal(w->out.count, 0); /* waits for the disk */
    struct event in = {.type = EV_STORE_WRITTEN, .written = {.op = late.op}};
    paxos_written(self(), &in, &w->out);
    paxos_check(self());
    assert_int_equal(w->out.count, 1); /* nobody is told of the old one */
    assert_true(writes());
    in.written.op = w->out.effects[0].op;
    outbox_reset(&w->out);
    paxos_written(self(), &in, &w->out);
    assert_int_equal(w->out.effects[0].send.message.type, MSG_PROMISE);
    assert_null(w->out.effects[0].send.message.paxos.value);
}

static void test_damaged_state(void **state)
{
    (void)state;
    begin();
    struct bytes good = buf_bytes(&w->machines[SELF].disk);
    struct buf bad = {0};
    for (size_t len = 0; len < 34; len++) {
        struct paxos *p;
        assert_int_equal(paxos_create(SELF, 1, "paxos", &p), KV_OK);
        assert_int_equal(buf_set(&bad, bytes_of(good.data, len)), KV_OK);
        assert_int_equal(paxos_restore(p, buf_bytes(&bad)), KV_E_CORRUPT);
        paxos_destroy(p);
    }
    buf_deinit(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_nothing_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk_promises_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_questions_while_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_that_make_no_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_instance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
