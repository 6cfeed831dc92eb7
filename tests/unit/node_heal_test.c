/* Anti-entropy inside a node: who may ask, what reaches the store, what an operator is told. */
#include "node_support.h"

#include "repair/digest.h"

static uint32_t shared_with(struct bench *b, uint32_t i)
{
    const struct ring *r = node_ring(b->node);
    for (uint32_t p = 0;; p++)
        if (ring_is_home(r, p, 1) && ring_is_home(r, p, i))
            return p;
}

static void tree(struct bench *b, uint64_t op, uint32_t partition, const uint64_t *leaves)
{
    struct event e = {.type = EV_STORE_TREE, .tree = {op, KV_OK, partition, leaves}};
    step(b, &e);
}

static void a_member_is_told_where_we_differ(void **state)
{
    (void)state;
    struct bench b;
    uint64_t leaves[TREE_LEAVES] = {[3] = 77};
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    struct partition_root root = {shared_with(&b, 2), 1};
    struct message m = message_of(&b, MSG_ROOTS);
    m.roots = (struct msg_roots){1, &root};
    say(&b, at, &m);
    const struct effect *f = effect(&b, EF_STORE_TREE);
    assert_non_null(f);
    assert_int_equal(f->tree.partition, root.partition);
    assert_int_equal(f->tree.partitions, 64);
    assert_false(f->tree.rehash);
    tree(&b, f->op, root.partition, leaves);
    const struct message *answer = sent_to(&b, MSG_LEAVES, at);
    assert_non_null(answer);
    assert_int_equal(answer->leaves.status, KV_OK);
    assert_int_equal(answer->leaves.count, 1);
    assert_int_equal(answer->leaves.partitions[0].filled, 1 << 3);
    bench_destroy(&b);
}

static void under_another_ring_nothing_is_compared(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    struct message m = message_of(&b, MSG_ROOTS);
    m.ring_epoch = 0;
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_LEAVES, at)->leaves.status, KV_E_WRONG_RING);
    bench_destroy(&b);
}

static void a_client_has_no_business_with_it(void **state)
{
    (void)state;
    static const enum message_type types[] = {MSG_ROOTS, MSG_COMPARE, MSG_MERGE, MSG_LEAVES};
    struct bench b;
    bench_member(&b, 3);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct endpoint at = client(&b);
        struct message m = message_of(&b, types[i]);
        say(&b, at, &m);
        assert_int_equal(sent_to(&b, MSG_REFUSED, at)->refused.status, KV_E_NOT_PERMITTED);
    }
    bench_destroy(&b);
}

static void an_operator_orders_a_repair(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = client(&b);
    struct message m = message_of(&b, MSG_REPAIR);
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_REPAIR_REPLY, at)->repair_reply.status, KV_E_UNAVAILABLE); /* alone */
    peer_up(&b, 2);
    peer_up(&b, 3);
    m = message_of(&b, MSG_REPAIR);
    say(&b, at, &m);
    const struct message *reply = sent_to(&b, MSG_REPAIR_REPLY, at);
    assert_int_equal(reply->repair_reply.status, KV_OK);
    assert_int_equal(reply->repair_reply.partitions, 64);
    assert_int_equal(reply->repair_reply.peers, 2);
    tick_at(&b, b.now.mono_us);
    const struct effect *f = effect(&b, EF_STORE_TREE);
    assert_non_null(f);
    assert_true(f->tree.rehash);
    assert_int_equal(id_owner(f->op), ID_ENTROPY);
    bench_destroy(&b);
}

static void before_there_is_a_ring_there_is_nothing_to_repair(void **state)
{
    (void)state;
    struct bench b;
    bench_founder(&b, 3);
    struct endpoint at = client(&b);
    struct message m = message_of(&b, MSG_REPAIR);
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_REPAIR_REPLY, at)->repair_reply.status, KV_E_UNAVAILABLE);
    bench_destroy(&b);
}

static uint64_t first_us(uint64_t round_us)
{
    struct bench b;
    struct node_config *c = bench_config(2);
    c->ring = bench_ring(2);
    c->repair_round_us = round_us;
    bench_start(&b, c);
    peer_up(&b, 2);
    uint64_t at = heal_deadline_us(b.node);
    bench_destroy(&b);
    return at;
}

static void rounds_can_be_switched_off(void **state)
{
    (void)state;
    assert_true(first_us(UINT64_MAX) == UINT64_MAX);
    assert_in_range(first_us(0), ENTROPY_RETURN_US, 2 * ENTROPY_RETURN_US);
    assert_in_range(first_us(1000000), ENTROPY_RETURN_US, 2 * ENTROPY_RETURN_US);
}

static void who_stops_begins_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 2);
    peer_up(&b, 2);
    assert_true(heal_deadline_us(b.node) != UINT64_MAX);
    struct event stop = {.type = EV_STOP};
    step(&b, &stop);
    assert_true(heal_deadline_us(b.node) == UINT64_MAX);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_told_where_we_differ),
        cmocka_unit_test(under_another_ring_nothing_is_compared),
        cmocka_unit_test(a_client_has_no_business_with_it),
        cmocka_unit_test(an_operator_orders_a_repair),
        cmocka_unit_test(before_there_is_a_ring_there_is_nothing_to_repair),
        cmocka_unit_test(rounds_can_be_switched_off),
        cmocka_unit_test(who_stops_begins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
