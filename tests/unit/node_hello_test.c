/* Who is let in, and what each may say. */
#include "node_support.h"

static void expect_refused(struct bench *b, struct endpoint at, int status)
{
    const struct message *m = sent_to(b, MSG_REFUSED, at);
    assert_non_null(m);
    assert_int_equal(m->refused.status, status);
    assert_true(m->refused.text[0] != '\0');
    const struct effect *e = effect(b, EF_CLOSE);
    assert_true(e && e->conn.at.conn == at.conn);
    assert_null(effect(b, EF_ACCEPT));
    assert_null(sent(b, MSG_WELCOME));
}

/* Refused as no member, but kept: it may ask to become one. */
static void expect_guest(struct bench *b, struct endpoint at)
{
    assert_int_equal(sent_to(b, MSG_REFUSED, at)->refused.status, KV_E_NOT_MEMBER);
    assert_null(effect(b, EF_CLOSE));
    assert_null(effect(b, EF_ACCEPT));
    assert_null(sent(b, MSG_WELCOME));
    assert_true(conns_find(b->node, at.conn)->guest);
}

static void nothing_before_hello(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    const enum message_type types[] = {MSG_REQUEST, MSG_SCAN,  MSG_STATUS_GET, MSG_RING_GET, MSG_WRITE,
                                       MSG_READ,    MSG_RANGE, MSG_FOUND,      MSG_SYNC,     MSG_RING};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct message m = message_of(&b, types[i]);
        say(&b, to_conn(100 + i), &m);
        expect_refused(&b, to_conn(100 + i), KV_E_INVALID);
        assert_int_equal(b.out.count, 2);
    }
    bench_destroy(&b);
}

static void clients_need_not_know_the_cluster(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = client(&b);
    const struct message *w = sent(&b, MSG_WELCOME);
    assert_string_equal(w->welcome.cluster, "test");
    assert_int_equal(w->welcome.wall_ms, b.now.wall_ms);
    assert_int_equal(w->id, 5);
    assert_int_equal(effect(&b, EF_ACCEPT)->conn.member, 0);

    struct message again = {.type = MSG_HELLO};
    again.hello = (struct msg_hello){.role = ROLE_CLIENT, .cluster = "", .name = ""};
    say(&b, at, &again);
    assert_non_null(sent_to(&b, MSG_REFUSED, at));

    struct message other = {.type = MSG_HELLO};
    other.hello = (struct msg_hello){.role = ROLE_CLIENT, .cluster = "else", .name = ""};
    say(&b, to_conn(50), &other);
    expect_refused(&b, to_conn(50), KV_E_WRONG_CLUSTER);

    struct message foreign = message_of(&b, MSG_STATUS_GET); /* by its header */
    foreign.cluster ^= 1;
    say(&b, at, &foreign);
    assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_WRONG_CLUSTER);
    bench_destroy(&b);
}

static void clients_are_no_members(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = client(&b);
    const enum message_type types[] = {MSG_READ, MSG_RANGE, MSG_FOUND, MSG_SYNC, MSG_RING, MSG_WRITE_ACK};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct message m = message_of(&b, types[i]);
        say(&b, at, &m);
        assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_NOT_PERMITTED);
    }
    struct message w = write_of(&b, "k", "v");
    say(&b, at, &w);
    assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_NOT_PERMITTED);
    assert_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

static void members_prove_themselves(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    member(&b, 2);
    assert_int_equal(effect(&b, EF_ACCEPT)->conn.member, 2);

    struct message m = member_hello(&b, 2);
    m.cluster ^= 1; /* another Q */
    say(&b, to_conn(60), &m);
    expect_refused(&b, to_conn(60), KV_E_WRONG_CLUSTER);
    m = member_hello(&b, 2);
    m.hello.cluster = "else";
    say(&b, to_conn(61), &m);
    expect_refused(&b, to_conn(61), KV_E_WRONG_CLUSTER);
    m = member_hello(&b, 2);
    m.hello.member_id = 3;
    say(&b, to_conn(62), &m);
    expect_guest(&b, to_conn(62));
    m = member_hello(&b, 1); /* our own name and store */
    say(&b, to_conn(63), &m);
    expect_refused(&b, to_conn(63), KV_E_DUPLICATE_ID);
    bench_destroy(&b);
}

/* Another store under a member's name hears the ring before it is refused, and `status` shows it. */
static void newcomers_are_told_the_ring(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct message m = member_hello(&b, 2);
    m.hello.store_id = 4711;
    m.hello.member_id = 0;
    say(&b, to_conn(60), &m);
    expect_guest(&b, to_conn(60));
    const struct message *ring = sent_to(&b, MSG_RING, to_conn(60));
    assert_true(ring && bytes_eq(blob_bytes(ring->ring.value), bench_ring(3)));
    assert_true(ring < sent(&b, MSG_REFUSED));

    struct endpoint at = client(&b);
    struct message ask = message_of(&b, MSG_STATUS_GET);
    say(&b, at, &ask);
    const struct msg_status *s = &sent_to(&b, MSG_STATUS, at)->status;
    assert_int_equal(s->count, 4);
    assert_true(s->members[0].in_ring && s->members[0].state == MEMBER_ALIVE);
    assert_true(s->members[1].in_ring && s->members[1].state == MEMBER_DEAD);
    assert_false(s->members[3].in_ring);
    assert_string_equal(s->members[3].name, "n2");
    bench_destroy(&b);
}

/* A second process of a member that is connected: told to come again, and refused for good when the first is
 * still there; but let in when the first is gone. */
static void twins(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    struct endpoint first = member(&b, 2);
    struct message m = member_hello(&b, 2);
    m.hello.generation = 2;
    m.hello.addr.port = 9;
    say(&b, to_conn(60), &m);
    expect_refused(&b, to_conn(60), KV_E_AGAIN);
    b.now.mono_us += TWIN_WATCH_US;
    m = member_hello(&b, 2);
    m.hello.generation = 2;
    m.hello.addr.port = 9;
    say(&b, to_conn(61), &m);
    expect_refused(&b, to_conn(61), KV_E_DUPLICATE_ID);

    /* Its later generation, which was refused, makes no stale store of the first. */
    struct event gone = {.type = EV_CONN_CLOSED};
    gone.conn = first.conn;
    step(&b, &gone);
    first = member(&b, 2); /* welcomed */

    gone.conn = first.conn;
    step(&b, &gone);
    gone = (struct event){.type = EV_PEER_LOST};
    gone.peer = 2;
    step(&b, &gone);
    m = member_hello(&b, 2);
    m.hello.generation = 2;
    m.hello.addr.port = 9;
    say(&b, to_conn(62), &m);
    assert_non_null(sent_to(&b, MSG_WELCOME, to_conn(62)));
    bench_destroy(&b);
}

/* The PING of the last step; NULL: none. */
static const struct msg_probe *ping(const struct bench *b)
{
    for (uint32_t i = 0; i < b->out.count; i++) {
        const struct effect *e = &b->out.effects[i];
        if (e->type == EF_DATAGRAM && e->datagram.message.type == MSG_PING)
            return &e->datagram.message.probe;
    }
    return NULL;
}

/* Whose connection broke is probed now, though it has just answered and it is another's turn later. */
static void the_lost_are_probed(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    peer_up(&b, 2);
    peer_up(&b, 3);
    while (!ping(&b))
        tick_at(&b, node_deadline_us(b.node));
    uint32_t lost = ping(&b)->target;
    struct message ack = message_of(&b, MSG_ACK);
    ack.from = lost;
    ack.probe = (struct msg_probe){
        .from = lost, .from_generation = 1, .target = lost, .sequence = ping(&b)->sequence};
    struct event e = {.type = EV_DATAGRAM};
    e.datagram.from = addr_of(lost);
    e.datagram.message = &ack;
    step(&b, &e);
    e = (struct event){.type = EV_PEER_LOST};
    e.peer = lost;
    step(&b, &e);
    tick_at(&b, b.now.mono_us);
    assert_non_null(ping(&b));
    assert_int_equal(ping(&b)->target, lost);
    bench_destroy(&b);
}

/* The other side of it. */
static void a_duplicate_leaves(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct event e = {.type = EV_PEER_CONNECTED};
    e.peer = 2;
    step(&b, &e);
    struct message m = message_of(&b, MSG_REFUSED);
    m.refused = (struct msg_refused){.status = KV_E_DUPLICATE_ID, .text = "no"};
    m.cluster ^= 1;
    say(&b, to_peer(2), &m); /* another cluster has no say in it */
    assert_null(effect(&b, EF_EXIT));
    assert_true(effect(&b, EF_PEER)->peer.addr.port == 0); /* and is left alone for a while */

    e.peer = 3;
    step(&b, &e);
    m.cluster ^= 1;
    say(&b, to_peer(3), &m);
    assert_int_equal(effect(&b, EF_EXIT)->exit.status, KV_E_DUPLICATE_ID);
    bench_destroy(&b);
}

static void refused_peers_are_tried_slowly(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 2);
    struct event e = {.type = EV_PEER_CONNECTED};
    e.peer = 2;
    step(&b, &e);
    struct message m = message_of(&b, MSG_REFUSED);
    m.refused = (struct msg_refused){.status = KV_E_NOT_MEMBER, .text = "no"};
    say(&b, to_peer(2), &m);
    assert_int_equal(effect(&b, EF_PEER)->peer.addr.port, 0);
    tick_at(&b, b.now.mono_us + REFUSED_RETRY_US - 1);
    assert_null(effect(&b, EF_PEER));
    tick_at(&b, b.now.mono_us + REFUSED_RETRY_US);
    struct addr addr = addr_of(2);
    assert_true(addr_eq(&effect(&b, EF_PEER)->peer.addr, &addr));
    bench_destroy(&b);
}

/* Another store answers at a member's address: it is not reached, and not asked every moment. */
static void wrong_stores_are_not_peers(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 2);
    struct event e = {.type = EV_PEER_CONNECTED};
    e.peer = 2;
    step(&b, &e);
    struct message m = message_of(&b, MSG_WELCOME);
    m.welcome = (struct msg_welcome){.cluster = "test", .name = "n2", .store_id = 4711, .generation = 1};
    say(&b, to_peer(2), &m);
    assert_false(peers_find(b.node, 2)->up);
    assert_int_equal(effect(&b, EF_PEER)->peer.addr.port, 0);
    assert_int_equal(effect(&b, EF_LOG)->log.level, LOG_WARN);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_before_hello),
        cmocka_unit_test(clients_need_not_know_the_cluster),
        cmocka_unit_test(clients_are_no_members),
        cmocka_unit_test(members_prove_themselves),
        cmocka_unit_test(newcomers_are_told_the_ring),
        cmocka_unit_test(twins),
        cmocka_unit_test(the_lost_are_probed),
        cmocka_unit_test(a_duplicate_leaves),
        cmocka_unit_test(refused_peers_are_tried_slowly),
        cmocka_unit_test(wrong_stores_are_not_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
