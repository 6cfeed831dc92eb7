/* Founding, step by step, and the ring's way to the disk before it is served. */
#include "node_support.h"

static struct message found_of(struct bench *b, uint32_t i, uint64_t accepted_hash)
{
    static const char *const names[] = {"", "n1", "n2", "n3"};
    struct message m = message_of(b, MSG_FOUND);
    m.found = (struct msg_found){.name = names[i],
                                 .store_id = SELF_STORE(i),
                                 .initial_hash = b->node->form.initial_hash,
                                 .accepted_hash = accepted_hash,
                                 .zone = "",
                                 .weight = 1,
                                 .wants_reply = 1};
    return m;
}

static void create_says_what_is_wrong(void **state)
{
    (void)state;
    struct node *n;
    char error[256];
    struct node_config *c = bench_config(3);
    c->name = "other";
    assert_int_equal(node_create(c, &n, error), KV_E_INVALID);
    assert_non_null(strstr(error, "other"));
    c = bench_config(3);
    struct node_founder twice[3];
    memcpy(twice, c->founders, sizeof twice);
    memcpy(twice[2].name, "n2", 3);
    c->founders = twice;
    assert_int_equal(node_create(c, &n, error), KV_E_INVALID);
    assert_non_null(strstr(error, "n2"));
    c = bench_config(3);
    c->partitions = 100;
    assert_int_equal(node_create(c, &n, error), KV_E_INVALID);
    c = bench_config(0);
    assert_int_equal(node_create(c, &n, error), KV_E_INVALID);
    c = bench_config(3);
    c->ring = bytes_str("no ring");
    assert_int_equal(node_create(c, &n, error), KV_E_CORRUPT);
    assert_true(error[0] != '\0');
    c = bench_config(3);
    c->accepted = bytes_str("no ring");
    assert_int_equal(node_create(c, &n, error), KV_E_CORRUPT);
    c = bench_config(3);
    c->accepted = bench_ring(3);
    c->store_id = 4711; /* another store accepted that */
    assert_int_equal(node_create(c, &n, error), KV_E_CORRUPT);
}

/* Every step waits for the one before to be on disk. */
static void agreement_is_durable_before_it_is_told(void **state)
{
    (void)state;
    struct bench b;
    bench_founder(&b, 3);
    assert_int_equal(count_of(&b, EF_PEER), 2);
    peer_up(&b, 2);
    assert_int_equal(sent_to(&b, MSG_FOUND, to_peer(2))->found.accepted_hash, 0);
    peer_up(&b, 3);
    struct endpoint two = member(&b, 2), three = member(&b, 3);

    struct message m = found_of(&b, 2, 0);
    say(&b, two, &m);
    assert_non_null(sent_to(&b, MSG_FOUND, two));
    assert_null(meta_write(&b, META_ACCEPTED)); /* one is not known yet */
    m = found_of(&b, 3, 0);
    say(&b, three, &m);
    assert_int_equal(sent_to(&b, MSG_FOUND, three)->found.accepted_hash, 0); /* not on disk */
    struct effect *accepted = meta_write(&b, META_ACCEPTED);
    assert_true(bytes_eq(accepted->meta.value, bench_ring(3)));
    uint64_t op = accepted->op;
    m = found_of(&b, 2, 0);
    say(&b, two, &m);
    assert_null(meta_write(&b, META_ACCEPTED)); /* once */
    written(&b, op, KV_OK);
    uint64_t hash = sent_to(&b, MSG_FOUND, to_peer(2))->found.accepted_hash;
    assert_true(hash == b.node->form.accepted_hash && hash != 0);
    assert_non_null(sent_to(&b, MSG_FOUND, to_peer(3)));

    m = found_of(&b, 2, hash);
    say(&b, two, &m);
    assert_null(meta_write(&b, META_RING)); /* one has not accepted yet */
    m = found_of(&b, 3, hash);
    say(&b, three, &m);
    op = meta_write(&b, META_RING)->op;
    assert_null(node_ring(b.node));
    written(&b, op, KV_E_FULL); /* a full disk: later */
    assert_null(node_ring(b.node));
    tick_at(&b, b.now.mono_us + META_RETRY_US);
    op = meta_write(&b, META_RING)->op;
    written(&b, op, KV_OK);
    assert_true(node_serving(b.node) && node_self(b.node) == 1);
    assert_non_null(sent_to(&b, MSG_RING, to_peer(2))); /* pushed */

    m = found_of(&b, 2, hash); /* late: hears the ring instead */
    say(&b, two, &m);
    assert_null(sent(&b, MSG_FOUND));
    assert_non_null(sent_to(&b, MSG_RING, two));
    bench_destroy(&b);
}

/* What was accepted is never replaced, whatever the others say afterwards. */
static void accepted_stays(void **state)
{
    (void)state;
    struct bench b;
    struct node_config *c = bench_config(3);
    c->accepted = bench_ring(3);
    bench_start(&b, c);
    struct endpoint two = member(&b, 2), three = member(&b, 3);
    struct message m = found_of(&b, 2, 12345);
    m.found.store_id = 4711; /* wiped meanwhile */
    say(&b, two, &m);
    assert_true(sent_to(&b, MSG_FOUND, two)->found.accepted_hash == b.node->form.accepted_hash);
    assert_null(meta_write(&b, META_ACCEPTED));
    assert_non_null(effect(&b, EF_LOG)); /* founding_stuck */
    m = found_of(&b, 3, 12345);
    say(&b, three, &m);
    assert_null(meta_write(&b, META_ACCEPTED));
    assert_null(meta_write(&b, META_RING));
    assert_null(effect(&b, EF_LOG)); /* once a minute */
    bench_destroy(&b);
}

static void other_lists_are_ignored(void **state)
{
    (void)state;
    struct bench b;
    bench_founder(&b, 2);
    struct endpoint two = member(&b, 2);
    struct message m = found_of(&b, 2, 0);
    m.found.initial_hash ^= 1;
    say(&b, two, &m);
    assert_int_equal(effect(&b, EF_LOG)->log.level, LOG_ERROR);
    assert_null(meta_write(&b, META_ACCEPTED));
    m = found_of(&b, 2, 0);
    say(&b, two, &m);
    assert_non_null(meta_write(&b, META_ACCEPTED));
    bench_destroy(&b);
}

/* A founder with a blank store, whom the members of today call: none of them is a founder. */
static void who_is_called_by_a_member_asks_it_for_the_ring(void **state)
{
    (void)state;
    struct bench b;
    bench_founder(&b, 3);
    struct endpoint caller = to_conn(77);
    struct message m = member_hello(&b, 9);
    say(&b, caller, &m); /* it has no ring either */
    assert_int_equal(sent_to(&b, MSG_REFUSED, caller)->refused.status, KV_E_NOT_MEMBER);
    assert_null(effect(&b, EF_PEER));
    m = member_hello(&b, 9);
    m.ring_epoch = 21;
    say(&b, caller, &m);
    assert_int_equal(sent_to(&b, MSG_REFUSED, caller)->refused.status, KV_E_NOT_MEMBER);
    const struct effect *dialled = effect(&b, EF_PEER);
    struct addr nine = addr_of(9);
    assert_true(dialled && addr_eq(&dialled->peer.addr, &nine));
    uint32_t id = dialled->peer.member;
    assert_true(id > 3);

    step(&b, &(struct event){.type = EV_PEER_CONNECTED, .peer = id});
    assert_non_null(sent_to(&b, MSG_HELLO, to_peer(id)));
    m = member_hello(&b, 10); /* another one, while the first is asked */
    m.ring_epoch = 21;
    say(&b, to_conn(78), &m);
    assert_null(effect(&b, EF_PEER));

    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(bench_ring(2));
    say(&b, to_peer(id), &m);
    const struct effect *write = meta_write(&b, META_RING);
    assert_non_null(write);
    written(&b, write->op, KV_OK);
    assert_int_equal(node_ring(b.node)->value.epoch, 1);
    bench_destroy(&b);
}

/* A ring is adopted only forwards, and only when it is one of this cluster. */
static void epochs_never_go_back(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint two = member(&b, 2);
    struct ring_value v;
    assert_int_equal(ring_value_decode(bench_ring(3), &v), KV_OK);
    struct buf newer = {0};
    v.epoch = 5;
    assert_int_equal(ring_value_encode(&v, &newer), KV_OK);

    struct message m = message_of(&b, MSG_STATUS_GET);
    m.ring_epoch = 5;
    say(&b, two, &m);
    assert_non_null(sent_to(&b, MSG_RING_GET, two));
    m = message_of(&b, MSG_STATUS_GET);
    m.ring_epoch = 5;
    say(&b, two, &m);
    assert_null(sent(&b, MSG_RING_GET)); /* asked a moment ago */

    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(buf_bytes(&newer));
    say(&b, two, &m);
    uint64_t op = meta_write(&b, META_RING)->op;
    assert_int_equal(node_ring(b.node)->value.epoch, 1);
    written(&b, op, KV_OK);
    assert_int_equal(node_ring(b.node)->value.epoch, 5);

    v.epoch = 4;
    buf_clear(&newer);
    assert_int_equal(ring_value_encode(&v, &newer), KV_OK);
    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(buf_bytes(&newer));
    say(&b, two, &m);
    assert_null(meta_write(&b, META_RING));

    v.epoch = 6;
    v.partitions = 128;
    buf_clear(&newer);
    assert_int_equal(ring_value_encode(&v, &newer), KV_OK);
    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(buf_bytes(&newer));
    say(&b, two, &m);
    assert_null(meta_write(&b, META_RING));
    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(bytes_str("garbage"));
    say(&b, two, &m);
    assert_null(meta_write(&b, META_RING));
    ring_value_deinit(&v);
    buf_deinit(&newer);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_says_what_is_wrong),
        cmocka_unit_test(agreement_is_durable_before_it_is_told),
        cmocka_unit_test(accepted_stays),
        cmocka_unit_test(other_lists_are_ignored),
        cmocka_unit_test(who_is_called_by_a_member_asks_it_for_the_ring),
        cmocka_unit_test(epochs_never_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
