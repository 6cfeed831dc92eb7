/* One node where there is a hub: what it answers as the hub and as another, whom it takes for its like, and
 * what it believes of the others. */
#include "node_support.h"

#include <stdio.h>

static int response_to(struct bench *b, struct endpoint at, struct message m)
{
    say(b, at, &m);
    const struct message *r = sent_to(b, MSG_RESPONSE, at);
    return r ? r->response.status : KV_OK; /* it is being coordinated */
}

static struct message get_of(struct bench *b, uint8_t flags, uint64_t epoch)
{
    struct message m = message_of(b, MSG_REQUEST);
    m.ring_epoch = epoch;
    m.request = (struct msg_request){.op = OP_GET, .flags = flags, .key = bytes_str("k")};
    return m;
}

static void others_send_clients_to_the_hub(void **state)
{
    (void)state;
    static const enum message_type questions[] = {MSG_RING_GET, MSG_STATUS_GET};
    for (enum topology t = TOPOLOGY_CENTRAL; t <= TOPOLOGY_DIRECTORY; t++) {
        struct bench b;
        bench_member_of(&b, 3, t, 2);
        struct endpoint at = client(&b);
        const struct msg_welcome *w = &sent_to(&b, MSG_WELCOME, at)->welcome;
        struct addr hub = addr_of(2);
        assert_int_equal(w->topology, t);
        assert_int_equal(w->hub, 2);
        assert_string_equal(w->hub_name, "n2");
        assert_true(addr_eq(&w->hub_addr, &hub));
        for (size_t i = 0; i < 2; i++) {
            struct message m = message_of(&b, questions[i]);
            say(&b, at, &m);
            const struct message *r = sent_to(&b, MSG_REFUSED, at);
            assert_int_equal(r->id, 77); /* this question, not the connection */
            assert_int_equal(r->refused.status, KV_E_NOT_COORDINATOR);
            assert_non_null(strstr(r->refused.text, "n2 at 127.0.0.1:7602"));
            assert_null(effect(&b, EF_CLOSE));
        }
        struct message m = message_of(&b, MSG_CHANGE);
        m.change.change = (struct ring_change){.kind = RING_WEIGHT, .member = 3, .weight = 2};
        say(&b, at, &m);
        assert_int_equal(sent_to(&b, MSG_CHANGE_REPLY, at)->change_reply.status, KV_E_NOT_COORDINATOR);
        m = message_of(&b, MSG_STATS_GET);
        say(&b, at, &m);
        assert_non_null(sent_to(&b, MSG_STATS, at));
        bench_destroy(&b);
    }
}

static void who_coordinates_hangs_on_the_topology(void **state)
{
    (void)state;
    const struct {
        enum topology topology;
        uint32_t hub;
        uint64_t epoch;
        bool coordinates;
    } cases[] = {
        {TOPOLOGY_RING, 0, 0, true},       {TOPOLOGY_RING, 0, 1, true},      {TOPOLOGY_CENTRAL, 2, 0, false},
        {TOPOLOGY_CENTRAL, 2, 1, false},   {TOPOLOGY_CENTRAL, 1, 0, true},   {TOPOLOGY_CENTRAL, 1, 1, true},
        {TOPOLOGY_DIRECTORY, 2, 0, false}, {TOPOLOGY_DIRECTORY, 2, 1, true}, {TOPOLOGY_DIRECTORY, 1, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench b;
        bench_member_of(&b, 3, cases[i].topology, cases[i].hub);
        struct endpoint at = client(&b);
        int status = response_to(&b, at, get_of(&b, 0, cases[i].epoch));
        if ((status != KV_E_NOT_COORDINATOR) != cases[i].coordinates)
            fail_msg("case %zu: %s", i, kv_error_word(status));
        assert_int_equal(response_to(&b, at, get_of(&b, REQ_LOCAL, cases[i].epoch)), KV_OK);
        struct message m = message_of(&b, MSG_SCAN);
        m.ring_epoch = cases[i].epoch;
        say(&b, at, &m);
        const struct message *page = sent_to(&b, MSG_SCAN_PAGE, at);
        assert_int_equal(page && page->scan_page.status == KV_E_NOT_COORDINATOR, !cases[i].coordinates);
        bench_destroy(&b);
    }
}

/* ---- the ring ---- */

static void the_hub_decides_alone(void **state)
{
    (void)state;
    struct bench b;
    bench_member_of(&b, 3, TOPOLOGY_CENTRAL, 1);
    struct endpoint at = client(&b);
    struct message m = message_of(&b, MSG_CHANGE);
    m.change.change = (struct ring_change){.kind = RING_LEAVE, .member = 1};
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_CHANGE_REPLY, at)->change_reply.status, KV_E_NOT_PERMITTED);
    m = message_of(&b, MSG_CHANGE);
    m.change.change = (struct ring_change){.kind = RING_WEIGHT, .member = 1, .weight = 2};
    m.change.timeout_us = 1000000;
    say(&b, at, &m);
    const struct message *r = NULL;
    for (int i = 0; i < 20 && !r; i++) { /* promised, accepted, adopted: on its own disk only */
        uint64_t op = 0;
        for (uint32_t k = 0; k < b.out.count && !op; k++)
            if (b.out.effects[k].type == EF_STORE_META)
                op = b.out.effects[k].op;
        if (op)
            written(&b, op, KV_OK);
        else
            tick_at(&b, b.now.mono_us + 10000);
        r = sent_to(&b, MSG_CHANGE_REPLY, at);
    }
    assert_non_null(r);
    assert_int_equal(r->change_reply.status, KV_OK);
    assert_true(node_ring(b.node)->value.epoch > 1);
    assert_int_equal(node_ring(b.node)->value.hub, 1);
    bench_destroy(&b);
}

/* ---- like and unlike ---- */

static void refused_as(struct bench *b, enum topology topology, const char *hub, const char *text)
{
    struct endpoint at = to_conn(++b->next_conn);
    struct message m = member_hello(b, 2);
    m.hello.topology = (uint8_t)topology;
    m.hello.hub = hub;
    say(b, at, &m);
    const struct message *r = sent_to(b, MSG_REFUSED, at);
    assert_non_null(r);
    assert_int_equal(r->refused.status, KV_E_WRONG_CLUSTER);
    assert_string_equal(r->refused.text, text);
    assert_non_null(effect(b, EF_CLOSE));
}

static void nodes_of_another_opinion_are_refused_by_name(void **state)
{
    (void)state;
    struct bench b, ring;
    bench_member_of(&b, 3, TOPOLOGY_CENTRAL, 1);
    refused_as(&b, TOPOLOGY_RING, "",
               "this is a cluster of topology central with hub n1; n2 was started as ring");
    refused_as(&b, TOPOLOGY_DIRECTORY, "n1",
               "this is a cluster of topology central with hub n1; n2 was started as directory with hub n1");
    refused_as(&b, TOPOLOGY_CENTRAL, "n2",
               "this is a cluster of topology central with hub n1; n2 was started as central with hub n2");
    member(&b, 2);
    bench_member(&ring, 3);
    assert_true(node_cluster_hash(b.node) != node_cluster_hash(ring.node));
    assert_true(node_cluster_hash(ring.node) == cluster_hash("test", 64)); /* as ever */
    bench_destroy(&b);
    bench_destroy(&ring);
}

static void create_fails(const struct node_config *c, const char *why)
{
    struct node *n;
    char error[256];
    assert_int_equal(node_create(c, &n, error), KV_E_INVALID);
    if (!strstr(error, why))
        fail_msg("'%s' is not in '%s'", why, error);
}

static void a_node_cannot_be_started_as_another(void **state)
{
    (void)state;
    static const enum topology ring = TOPOLOGY_RING, central = TOPOLOGY_CENTRAL;
    struct node_config *c = bench_config(3);
    c->topology = &central;
    c->hub = "n9";
    create_fails(c, "n9 is not among the founders");
    c = bench_config(0);
    c->topology = &central;
    c->join = &c->addr;
    c->join_count = 1;
    create_fails(c, "must be told which node is the hub");

    struct bench b;
    struct buf stored = {0};
    bench_member_of(&b, 3, TOPOLOGY_CENTRAL, 2);
    assert_int_equal(ring_value_encode(&node_ring(b.node)->value, &stored), KV_OK);
    c = bench_config(3);
    c->ring = buf_bytes(&stored);
    c->topology = &ring;
    create_fails(c, "ring is central, its hub n2");
    c->topology = &central;
    c->hub = "n1";
    create_fails(c, "ring is central, its hub n2");
    bench_destroy(&b);
    buf_deinit(&stored);
}

static void leaves_as_a_hub_without_its_store(struct bench *b)
{
    const struct effect *e = effect(b, EF_EXIT);
    assert_non_null(e);
    assert_int_equal(e->exit.status, KV_E_NOT_MEMBER);
    assert_non_null(strstr(e->exit.text, "this node is the hub"));
    bench_destroy(b);
}

/* Who else comes with another store joins as new; but nobody can take the hub in. It says so, as often as it
 * is started. */
static void a_hub_that_lost_its_disk_does_not_wait_for_ever(void **state)
{
    (void)state;
    static const enum topology central = TOPOLOGY_CENTRAL;
    struct bench b;
    struct buf stored = {0};
    bench_member_of(&b, 3, TOPOLOGY_CENTRAL, 1);
    assert_int_equal(ring_value_encode(&node_ring(b.node)->value, &stored), KV_OK);
    bench_destroy(&b);

    struct node_config *c = bench_config(3);
    c->topology = &central;
    c->store_id = 4711;
    bench_start(&b, c);
    struct event e = {.type = EV_PEER_CONNECTED, .peer = 2};
    step(&b, &e);
    struct message m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(buf_bytes(&stored));
    say(&b, to_peer(2), &m);
    written(&b, meta_write(&b, META_RING)->op, KV_OK);
    leaves_as_a_hub_without_its_store(&b);

    c = bench_config(3);
    c->store_id = 4711;
    c->ring = buf_bytes(&stored);
    bench_start(&b, c);
    leaves_as_a_hub_without_its_store(&b);
    buf_deinit(&stored);
}

static void founders_take_the_first_by_name(void **state)
{
    (void)state;
    static const enum topology central = TOPOLOGY_CENTRAL;
    struct bench a, b, ring;
    struct node_config *c = bench_config(3);
    c->topology = &central;
    bench_start(&a, c);
    assert_string_equal(a.node->hub, "n1");
    c->hub = "n2";
    bench_start(&b, c);
    c->topology = NULL;
    bench_start(&ring, c);
    assert_true(a.node->form.initial_hash != b.node->form.initial_hash);
    assert_true(a.node->form.initial_hash != ring.node->form.initial_hash);
    assert_string_equal(ring.node->hub, "");
    bench_destroy(&a);
    bench_destroy(&b);
    bench_destroy(&ring);
}

/* ---- who lives ---- */

static void list_says(struct bench *b, uint32_t of, enum member_state state, uint64_t version)
{
    struct gossip g = {.member = of, .generation = 1, .state = (uint8_t)state, .addr = addr_of(of)};
    struct message m = message_of(b, MSG_LIST);
    m.list = (struct msg_list){.generation = 1, .since = 0, .version = version, .count = 1, .members = &g};
    say(b, member(b, 2), &m);
}

static void members_believe_the_hub_and_nobody_else(void **state)
{
    (void)state;
    struct bench b;
    bench_member_of(&b, 3, TOPOLOGY_DIRECTORY, 2);
    peer_up(&b, 2);
    peer_up(&b, 3);
    assert_true(coord_peer_reachable(b.node->coord, 2));  /* the hub */
    assert_false(coord_peer_reachable(b.node->coord, 3)); /* no list yet */
    tick_at(&b, node_deadline_us(b.node));
    const struct effect *e = effect(&b, EF_DATAGRAM);
    struct addr hub = addr_of(2);
    assert_int_equal(e->datagram.message.type, MSG_HEARTBEAT);
    assert_true(addr_eq(&e->datagram.to, &hub));
    list_says(&b, 3, MEMBER_ALIVE, 1);
    assert_true(coord_peer_reachable(b.node->coord, 3));
    list_says(&b, 3, MEMBER_DEAD, 2);
    assert_false(coord_peer_reachable(b.node->coord, 3));

    struct gossip g = {.member = 3, .generation = 1, .state = MEMBER_ALIVE, .addr = addr_of(3)};
    struct message m = message_of(&b, MSG_LIST);
    m.list = (struct msg_list){1, 0, 3, 1, &g};
    say(&b, member(&b, 3), &m); /* from another than the hub */
    assert_false(coord_peer_reachable(b.node->coord, 3));
    m = message_of(&b, MSG_PING); /* SWIM is not spoken here */
    m.probe = (struct msg_probe){.from = 3, .from_generation = 1, .target = 1, .sequence = 5};
    struct event in = {.type = EV_DATAGRAM, .datagram = {.from = addr_of(3), .message = &m, .bytes = 60}};
    step(&b, &in);
    assert_null(effect(&b, EF_DATAGRAM));
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_send_clients_to_the_hub),
        cmocka_unit_test(who_coordinates_hangs_on_the_topology),
        cmocka_unit_test(the_hub_decides_alone),
        cmocka_unit_test(nodes_of_another_opinion_are_refused_by_name),
        cmocka_unit_test(a_node_cannot_be_started_as_another),
        cmocka_unit_test(a_hub_that_lost_its_disk_does_not_wait_for_ever),
        cmocka_unit_test(founders_take_the_first_by_name),
        cmocka_unit_test(members_believe_the_hub_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
