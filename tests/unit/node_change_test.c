/* One node's part in a ring that changes: guests and what they may ask, what is answered to whom and when,
 * questions of Paxos, what is kept of other stores. Whole clusters: sim_change_test.c. */
#include "node_support.h"

#include <stdio.h>

/* ---- guests ---- */

static struct message stranger_hello(struct bench *b, const char *name, uint64_t store_id)
{
    struct message m = message_of(b, MSG_HELLO);
    m.hello = (struct msg_hello){.role = ROLE_MEMBER,
                                 .cluster = "test",
                                 .name = name,
                                 .store_id = store_id,
                                 .generation = 1,
                                 .addr = addr_of(9)};
    return m;
}

static struct endpoint guest(struct bench *b, const char *name, uint64_t store_id)
{
    struct endpoint at = to_conn(++b->next_conn);
    struct message m = stranger_hello(b, name, store_id);
    say(b, at, &m);
    assert_int_equal(sent_to(b, MSG_REFUSED, at)->refused.status, KV_E_NOT_MEMBER);
    assert_null(effect(b, EF_CLOSE));
    return at;
}

static struct message join_of(struct bench *b, const char *name, uint64_t store_id)
{
    struct message m = message_of(b, MSG_CHANGE);
    m.change.change =
        (struct ring_change){.kind = RING_JOIN, .store_id = store_id, .weight = 1, .addr = addr_of(9)};
    snprintf(m.change.change.name, sizeof m.change.change.name, "%s", name);
    m.change.timeout_us = 1000000;
    return m;
}

static int reply_to(struct bench *b, struct endpoint at)
{
    const struct message *m = sent_to(b, MSG_CHANGE_REPLY, at);
    assert_non_null(m);
    return m->change_reply.status;
}

static void guests_may_ask_for_their_own_place(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = guest(&b, "n9", 99);
    struct message m = join_of(&b, "n8", 99);
    say(&b, at, &m);
    assert_int_equal(reply_to(&b, at), KV_E_NOT_PERMITTED);
    m = join_of(&b, "n9", 98);
    say(&b, at, &m);
    assert_int_equal(reply_to(&b, at), KV_E_NOT_PERMITTED);
    m = message_of(&b, MSG_CHANGE);
    m.change.change = (struct ring_change){.kind = RING_LEAVE, .member = 1};
    say(&b, at, &m);
    assert_int_equal(reply_to(&b, at), KV_E_NOT_PERMITTED);

    m = join_of(&b, "n9", 99);
    say(&b, at, &m);
    assert_non_null(meta_write(&b, META_PAXOS));
    m = message_of(&b, MSG_STATUS_GET); /* and nothing else */
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_NOT_PERMITTED);
    assert_non_null(effect(&b, EF_CLOSE));
    bench_destroy(&b);
}

static void guests_are_few(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    for (uint32_t i = 0; i < GUESTS_MAX; i++)
        guest(&b, "n9", 99 + i);
    struct message m = stranger_hello(&b, "n9", 4711);
    say(&b, to_conn(1000), &m);
    assert_non_null(effect(&b, EF_CLOSE));
    struct event gone = {.type = EV_CONN_CLOSED, .conn = 1};
    step(&b, &gone);
    guest(&b, "n9", 4711);
    assert_int_equal(b.node->conns.clients, 0);
    bench_destroy(&b);
}

/* ---- one member decides alone ---- */

/* Everything that is to be written is, until nothing is. */
static void settle(struct bench *b)
{
    for (int i = 0; i < 50; i++) {
        uint64_t op = 0;
        for (uint32_t k = 0; k < b->out.count && !op; k++)
            if (b->out.effects[k].type == EF_STORE_META)
                op = b->out.effects[k].op;
        if (op)
            written(b, op, KV_OK);
        else
            tick_at(b, b->now.mono_us + 100000);
    }
}

static void a_guest_becomes_a_member(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = guest(&b, "n9", 99);
    struct message m = join_of(&b, "n9", 99);
    say(&b, at, &m);
    assert_null(sent(&b, MSG_CHANGE_REPLY)); /* not before it is decided, and that is on disk */
    uint64_t op = meta_write(&b, META_PAXOS)->op;
    written(&b, op, KV_OK); /* promised */
    op = meta_write(&b, META_PAXOS)->op;
    written(&b, op, KV_OK); /* accepted, and so decided */
    assert_null(sent(&b, MSG_CHANGE_REPLY));
    op = meta_write(&b, META_RING)->op;
    written(&b, op, KV_OK);
    assert_int_equal(reply_to(&b, at), KV_OK);
    assert_int_equal(sent(&b, MSG_CHANGE_REPLY)->change_reply.epoch, 2);
    assert_int_equal(node_ring(b.node)->value.queue_count, 1);
    settle(&b);
    assert_int_equal(node_ring(b.node)->value.phase, RING_PENDING); /* until it has everything */
    assert_int_equal(node_ring(b.node)->value.member_count, 2);

    m = stranger_hello(&b, "n9", 99); /* it is one now */
    say(&b, at, &m);
    assert_non_null(sent_to(&b, MSG_WELCOME, at));
    assert_int_equal(effect(&b, EF_ACCEPT)->conn.member, 2);
    assert_int_equal(b.node->conns.guests, 0);
    bench_destroy(&b);
}

static void plans_change_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = client(&b);
    struct message m = message_of(&b, MSG_CHANGE);
    m.change.plan = 1;
    m.change.change = (struct ring_change){.kind = RING_JOIN, .weight = 1, .name = "n9"};
    say(&b, at, &m);
    assert_int_equal(reply_to(&b, at), KV_OK);
    const struct msg_change_reply *r = &sent(&b, MSG_CHANGE_REPLY)->change_reply;
    assert_int_equal(r->total, 64 * 3);
    assert_true(r->moved >= r->least && r->least > 0 && r->moved < r->total);
    assert_true(r->max_over_mean_milli >= 1000);
    assert_null(meta_write(&b, META_PAXOS));
    m = message_of(&b, MSG_CHANGE); /* nobody can be reached */
    m.change.change = (struct ring_change){.kind = RING_WEIGHT, .weight = 2, .name = "n2"};
    say(&b, at, &m);
    assert_int_equal(reply_to(&b, at), KV_E_UNAVAILABLE);
    bench_destroy(&b);
}

/* A question that nobody decides is answered at its deadline; whether anything may come of it is said. */
static void asking_has_a_deadline(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    peer_up(&b, 3);
    struct endpoint at = client(&b);
    struct message m = message_of(&b, MSG_CHANGE);
    m.change.change = (struct ring_change){.kind = RING_WEIGHT, .weight = 2, .name = "n2"};
    m.change.timeout_us = 700000;
    say(&b, at, &m);
    written(&b, meta_write(&b, META_PAXOS)->op, KV_OK);
    const struct message *prepare = sent_to(&b, MSG_PREPARE, to_peer(2));
    assert_non_null(prepare);
    struct message promise = message_of(&b, MSG_PROMISE);
    promise.paxos = (struct msg_paxos){.epoch = 2, .ballot = prepare->paxos.ballot};
    uint64_t asked_us = b.now.mono_us;
    tick_at(&b, asked_us + 600000);
    assert_null(sent(&b, MSG_CHANGE_REPLY));
    tick_at(&b, asked_us + 700000);
    assert_int_equal(reply_to(&b, at), KV_E_UNAVAILABLE);
    assert_false(paxos_proposing(b.node->paxos));

    m = message_of(&b, MSG_CHANGE); /* once more: it gets as far as ACCEPT */
    m.change.change = (struct ring_change){.kind = RING_WEIGHT, .weight = 2, .name = "n2"};
    m.change.timeout_us = 700000;
    say(&b, at, &m);
    written(&b, meta_write(&b, META_PAXOS)->op, KV_OK);
    promise = message_of(&b, MSG_PROMISE);
    promise.paxos =
        (struct msg_paxos){.epoch = 2, .ballot = sent_to(&b, MSG_PREPARE, to_peer(2))->paxos.ballot};
    say(&b, to_peer(2), &promise);
    assert_non_null(sent_to(&b, MSG_ACCEPT, to_peer(2)));
    tick_at(&b, b.now.mono_us + 700000);
    assert_int_equal(reply_to(&b, at), KV_E_TIMEOUT);
    bench_destroy(&b);
}

/* ---- questions of others ---- */

static void what_is_decided_is_answered_with_the_ring(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint two = member(&b, 2);
    struct message m = message_of(&b, MSG_PREPARE);
    m.paxos = (struct msg_paxos){.epoch = 1, .ballot = {5, 2}};
    say(&b, two, &m);
    assert_non_null(sent_to(&b, MSG_RING, two));
    m = message_of(&b, MSG_PREPARE);
    m.paxos = (struct msg_paxos){.epoch = 2, .ballot = {5, 2}};
    say(&b, two, &m);
    assert_null(sent(&b, MSG_PROMISE));
    written(&b, meta_write(&b, META_PAXOS)->op, KV_OK);
    assert_non_null(sent_to(&b, MSG_PROMISE, two));
    struct endpoint at = client(&b);
    m = message_of(&b, MSG_PREPARE); /* a client decides nothing */
    m.paxos = (struct msg_paxos){.epoch = 2, .ballot = {6, 2}};
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_NOT_PERMITTED);
    bench_destroy(&b);
}

/* ---- the moment that a ring is put in force ---- */

/* The next ring of three members, of whom `without` is none any more (0: all stay), is heard of from n2,
 * which has it not in force either. What is then to be written. */
static uint64_t hear_of_next(struct bench *b, uint32_t without)
{
    struct ring_value v;
    assert_int_equal(ring_value_copy(&node_ring(b->node)->value, &v), KV_OK);
    v.epoch++;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < v.member_count; i++)
        if (v.members[i].id != without)
            v.members[kept++] = v.members[i];
    v.member_count = kept;
    struct buf encoded = {0};
    assert_int_equal(ring_value_encode(&v, &encoded), KV_OK);
    struct message m = message_of(b, MSG_RING);
    m.ring.value = blob_copy(buf_bytes(&encoded));
    say(b, to_peer(2), &m);
    buf_deinit(&encoded);
    ring_value_deinit(&v);
    assert_non_null(meta_write(b, META_RING));
    return meta_write(b, META_RING)->op;
}

static uint64_t in_force(const struct bench *b)
{
    return node_ring(b->node)->value.epoch;
}

/* A write that comes under it is taken at once, though the node itself did not have it before. */
static void a_ring_is_put_in_force_when_somebody_has(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    struct endpoint three = member(&b, 3);
    written(&b, hear_of_next(&b, 0), KV_OK);
    assert_int_equal(in_force(&b), 1);
    struct message m = write_of(&b, "key", "value");
    say(&b, three, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    m = write_of(&b, "key", "value");
    m.ring_epoch = 2;
    say(&b, three, &m);
    assert_int_equal(in_force(&b), 2);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    assert_non_null(sent_to(&b, MSG_PROGRESS, to_peer(2))); /* so that it goes on */
    bench_destroy(&b);
}

static void never_before_it_is_written(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    struct endpoint three = member(&b, 3);
    uint64_t op = hear_of_next(&b, 0);
    struct message m = write_of(&b, "key", "value");
    m.ring_epoch = 2;
    say(&b, three, &m);
    tick_at(&b, b.now.mono_us + 1000000);
    assert_int_equal(in_force(&b), 1);
    written(&b, op, KV_E_FULL);
    assert_int_equal(in_force(&b), 1);
    tick_at(&b, b.now.mono_us + META_RETRY_US);
    assert_int_equal(in_force(&b), 1);
    written(&b, meta_write(&b, META_RING)->op, KV_OK); /* n3 has it: there is nothing to wait for */
    assert_int_equal(in_force(&b), 2);
    bench_destroy(&b);
}

static void somebody_goes_first(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    written(&b, hear_of_next(&b, 0), KV_OK);
    assert_int_equal(in_force(&b), 1);
    uint64_t since_us = b.now.mono_us;
    while (in_force(&b) == 1 && b.now.mono_us < since_us + 1000000)
        tick_at(&b, node_deadline_us(b.node) > b.now.mono_us ? node_deadline_us(b.node) : b.now.mono_us + 1);
    assert_int_equal(in_force(&b), 2);
    bench_destroy(&b);
}

/* Who is no member any more by the ring that its own message brings in force is not served. */
static void who_is_out_of_it_is_not_served(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    struct endpoint three = member(&b, 3);
    written(&b, hear_of_next(&b, 3), KV_OK);
    struct message m = write_of(&b, "key", "value");
    m.ring_epoch = 2;
    say(&b, three, &m);
    assert_int_equal(in_force(&b), 2);
    assert_null(effect(&b, EF_STORE_WRITE));
    assert_non_null(effect(&b, EF_CLOSE));
    bench_destroy(&b);

    bench_member(&b, 3); /* and we ourselves */
    peer_up(&b, 2);
    three = member(&b, 3);
    written(&b, hear_of_next(&b, 1), KV_OK);
    m = write_of(&b, "key", "value");
    m.ring_epoch = 2;
    say(&b, three, &m);
    assert_int_equal(effect(&b, EF_EXIT)->exit.status, KV_E_NOT_MEMBER);
    assert_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

/* ---- what a store was ---- */

static void a_store_that_was_a_member_does_not_join(void **state)
{
    (void)state;
    struct bench b;
    struct node_config *c = bench_config(3);
    c->ring = bench_ring(3);
    c->store_id = 4711; /* not in it */
    bench_start(&b, c);
    assert_false(node_serving(b.node));
    assert_true(join_active(b.node)); /* blank */
    bench_destroy(&b);
    c = bench_config(3);
    c->ring = bench_ring(3);
    c->store_id = 4711;
    c->member = 2;
    bench_start(&b, c);
    assert_int_equal(effect(&b, EF_EXIT)->exit.status, KV_E_NOT_MEMBER);
    bench_destroy(&b);
}

static struct message life_of(struct bench *b, uint64_t generation, uint64_t sequence)
{
    struct message m = member_hello(b, 2);
    m.hello.generation = generation;
    m.hello.sequence = sequence;
    return m;
}

static int hello_status(struct bench *b, uint64_t generation, uint64_t sequence)
{
    struct endpoint at = to_conn(++b->next_conn);
    struct message m = life_of(b, generation, sequence);
    say(b, at, &m);
    const struct message *refused = sent_to(b, MSG_REFUSED, at);
    assert_true(refused || sent_to(b, MSG_WELCOME, at));
    return refused ? refused->refused.status : KV_OK;
}

static void stores_that_go_back_are_refused(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    assert_int_equal(hello_status(&b, 3, 100), KV_OK);
    assert_int_equal(hello_status(&b, 3, 100), KV_OK); /* the same life on another connection */
    assert_int_equal(hello_status(&b, 2, 100), KV_E_STALE_STORE);
    assert_int_equal(hello_status(&b, 3, 99), KV_E_STALE_STORE);
    assert_int_equal(hello_status(&b, 4, 99), KV_E_STALE_STORE);
    assert_int_equal(hello_status(&b, 4, 100), KV_OK);

    /* What it acknowledges counts for the life that introduced itself, and is kept on disk. */
    struct peer *p = peers_find(b.node, 2);
    p->store_id = SELF_STORE(2);
    p->generation = 5;
    stores_acknowledged(b.node, p, 900);
    assert_int_equal(hello_status(&b, 5, 800), KV_OK);
    stores_acknowledged(b.node, p, 900);
    tick_at(&b, b.now.mono_us + 1000000);
    struct effect *e = meta_write(&b, META_STORES);
    assert_non_null(e);
    struct buf kept = {0};
    assert_int_equal(buf_set(&kept, e->meta.value), KV_OK);
    tick_at(&b, b.now.mono_us + 1000000);
    assert_null(meta_write(&b, META_STORES)); /* only news */
    assert_int_equal(hello_status(&b, 6, 899), KV_E_STALE_STORE);
    bench_destroy(&b);

    struct node_config *c = bench_config(3); /* another life of ours */
    c->ring = bench_ring(3);
    c->stores = buf_bytes(&kept);
    bench_start(&b, c);
    assert_int_equal(hello_status(&b, 6, 899), KV_E_STALE_STORE);
    assert_int_equal(hello_status(&b, 6, 900), KV_OK);
    bench_destroy(&b);

    struct node *n;
    char error[256];
    c = bench_config(3);
    c->ring = bench_ring(3);
    c->stores = bytes_of(kept.data, kept.len - 1);
    assert_int_equal(node_create(c, &n, error), KV_E_CORRUPT);
    c->stores = (struct bytes){NULL, 0};
    c->paxos = bytes_str("no state");
    assert_int_equal(node_create(c, &n, error), KV_E_CORRUPT);
    assert_true(error[0] != '\0');
    buf_deinit(&kept);
}

static void a_stale_store_is_not_heard_either(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    assert_int_equal(hello_status(&b, 3, 100), KV_OK);
    struct event e = {.type = EV_PEER_CONNECTED, .peer = 2};
    step(&b, &e);
    struct message m = message_of(&b, MSG_WELCOME);
    m.welcome = (struct msg_welcome){.cluster = "test",
                                     .name = "n2",
                                     .member_id = 2,
                                     .store_id = SELF_STORE(2),
                                     .generation = 4,
                                     .sequence = 50};
    say(&b, to_peer(2), &m);
    assert_false(peers_find(b.node, 2)->up);
    assert_int_equal(effect(&b, EF_LOG)->log.level, LOG_ERROR);

    e.peer = 3; /* the other side of it */
    step(&b, &e);
    m = message_of(&b, MSG_REFUSED);
    m.refused = (struct msg_refused){.status = KV_E_STALE_STORE, .text = "older"};
    say(&b, to_peer(3), &m);
    assert_int_equal(effect(&b, EF_EXIT)->exit.status, KV_E_STALE_STORE);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guests_may_ask_for_their_own_place),
        cmocka_unit_test(guests_are_few),
        cmocka_unit_test(a_guest_becomes_a_member),
        cmocka_unit_test(plans_change_nothing),
        cmocka_unit_test(asking_has_a_deadline),
        cmocka_unit_test(what_is_decided_is_answered_with_the_ring),
        cmocka_unit_test(a_ring_is_put_in_force_when_somebody_has),
        cmocka_unit_test(never_before_it_is_written),
        cmocka_unit_test(somebody_goes_first),
        cmocka_unit_test(who_is_out_of_it_is_not_served),
        cmocka_unit_test(a_store_that_was_a_member_does_not_join),
        cmocka_unit_test(stores_that_go_back_are_refused),
        cmocka_unit_test(a_stale_store_is_not_heard_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
