/* What becomes of a request when nodes die under it, stop, refuse, or are not there: it is tried elsewhere
 * with the same stamp and within its time, and its owner is told what is known of its fate, no more and no
 * less. */
#include "client_support.h"

#include <stdio.h>

/* The homes of "key", and a client that is connected to everybody. */
static void begin(struct world *w, uint32_t homes[PREFERENCE_MAX], const struct kv_options *options)
{
    world_init(w, 5, 0, options);
    world_warm_all(w);
    world_homes(w, "key", homes);
}

static void all_say(struct world *w, int status, uint8_t asked)
{
    for (uint32_t i = 1; i <= w->count; i++) {
        w->nodes[i].say = status;
        w->nodes[i].say_asked = asked;
    }
}

static void assert_one_stamp(const struct world *w)
{
    for (uint32_t i = 1; i < w->seen_count; i++) {
        assert_int_equal(w->seen[i].stamp.hlc, w->seen[0].stamp.hlc);
        assert_int_equal(w->seen[i].stamp.origin, w->seen[0].stamp.origin);
    }
}

static void lost_connection_goes_to_the_next_home_with_the_same_stamp(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    w.nodes[homes[0]].say = ANSWER_NOTHING;
    world_put(&w, "key", "v", NULL, &o);
    world_run(&w, MS);
    assert_int_equal(w.seen_count, 1);
    world_mode(&w, homes[0], NODE_AWAY);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 2);
    assert_true(o.us < 5 * MS); /* at once, not after the hedge delay */
    assert_int_equal(w.seen_count, 2);
    assert_int_equal(w.seen[1].node, homes[1]);
    assert_true(w.seen[1].timeout_us < w.seen[0].timeout_us); /* what is left */
    assert_in_range(w.seen[0].timeout_us, 1900 * MS,
                    1990 * MS); /* so that its word arrives before we give up */
    assert_one_stamp(&w);
    assert_int_equal(o.stamp.hlc, w.seen[0].stamp.hlc);
    world_deinit(&w);
}

static void stopped_node_is_hedged_with_the_same_stamp(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    world_mode(&w, homes[0], NODE_STOPPED);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_in_range(o.us, CLIENT_HEDGE_MIN_US, CLIENT_HEDGE_MAX_US + MS);
    world_mode(&w, homes[0], NODE_UP);
    world_run(&w, 10 * MS);
    assert_int_equal(w.seen_count, 2); /* it takes it late: the same write */
    assert_one_stamp(&w);
    assert_int_equal(w.rows > 0, 1);
    assert_int_equal(world_row(&w, "key")->stamp.hlc, o.stamp.hlc);
    world_deinit(&w);
}

static void stopped_before_it_is_dialled(void **state)
{
    (void)state;
    for (enum node_mode mode = NODE_AWAY; mode <= NODE_HOLE; mode++) {
        struct world w;
        struct outcome o;
        world_init(&w, 5, 0, NULL);
        for (uint32_t i = 1; i <= 4; i++)
            world_mode(&w, i, mode);
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
        assert_true(o.us < 450 * MS);
        world_deinit(&w);
    }
}

/* An overloaded cluster must not get twice the load: hedges against nodes that are merely slow are rationed.
 */
static void slow_but_talking_nodes_are_not_hedged_without_bound(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].delay_us = 400 * MS;
    struct kv_request q = {.timeout_ms = 20000};
    for (uint32_t i = 0; i < 1500; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i % 100);
        world_get(&w, key, &q, NULL);
        world_run(&w, 2 * MS);
    }
    world_drain(&w);
    assert_int_equal(w.statuses[0] + w.statuses[-KV_E_NOT_FOUND], 1500);
    /* The first ones find them silent; from then on answers come all the time. */
    assert_in_range(w.seen_count, 1510, 1500 + 1500 / CLIENT_HEDGE_EARN + 2 * CLIENT_HEDGE_BURST + 500);
    world_deinit(&w);
}

static void large_values_are_given_more_time(void **state)
{
    (void)state;
    struct world w;
    struct outcome o = {0};
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].delay_us = 500 * MS;
    static uint8_t value[4 << 20];
    struct client_order order = {.op = CLIENT_PUT,
                                 .key = bytes_str("key"),
                                 .value = bytes_of(value, sizeof value),
                                 .callback.result = on_outcome,
                                 .arg = &o};
    assert_int_equal(world_order(&w, &order), KV_OK);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 1);
    assert_in_range(w.seen[0].timeout_us, 5 * SECOND, 6 * SECOND); /* 2 s, and 1 s per MiB */
    world_deinit(&w);
}

static void unavailable_is_believed_of_three(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    w.nodes[homes[0]].say = KV_E_UNAVAILABLE;
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 2);

    all_say(&w, KV_E_UNAVAILABLE, 0);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_UNAVAILABLE);
    assert_false(o.unknown);
    assert_int_equal(o.attempts, CLIENT_UNAVAILABLE_MAX);
    assert_int_equal(o.needed, 2);
    assert_true(o.us < 10 * MS); /* said at once, not at the deadline */
    world_deinit(&w);
}

/* One try was lost after it was sent: it may have been applied whatever the others say. */
static void lost_and_then_unavailable_is_a_timeout(void **state)
{
    (void)state;
    for (int get = 0; get <= 1; get++) {
        struct world w;
        struct outcome o;
        uint32_t homes[PREFERENCE_MAX];
        begin(&w, homes, NULL);
        all_say(&w, KV_E_UNAVAILABLE, 0);
        w.nodes[homes[0]].say = w.nodes[homes[1]].say = w.nodes[homes[2]].say = ANSWER_NOTHING;
        get ? world_get(&w, "key", NULL, &o) : world_put(&w, "key", "v", NULL, &o);
        world_run(&w, MS);
        world_mode(&w, w.seen[0].node, NODE_AWAY);
        w.nodes[homes[0]].say = w.nodes[homes[1]].say = w.nodes[homes[2]].say = KV_E_UNAVAILABLE;
        world_finish(&w, &o);
        assert_int_equal(o.status, get ? KV_E_UNAVAILABLE : KV_E_TIMEOUT);
        assert_int_equal(o.unknown, !get);
        world_deinit(&w);
    }
}

static void silence_until_the_deadline_is_a_timeout(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    all_say(&w, ANSWER_NOTHING, 0);
    struct kv_request q = {.timeout_ms = 700};
    world_put(&w, "key", "v", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_TIMEOUT);
    assert_true(o.unknown);
    assert_int_equal(o.us, 700 * MS);
    assert_int_equal(o.attempts, CLIENT_TRIES_MAX);
    assert_one_stamp(&w);
    world_get(&w, "key", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_TIMEOUT);
    assert_false(o.unknown);
    world_deinit(&w);
}

static void the_nodes_word_on_a_timeout_leaves_the_fate_open(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    all_say(&w, KV_E_TIMEOUT, 3);
    struct kv_request q = {.timeout_ms = 300};
    world_put(&w, "key", "v", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_TIMEOUT);
    assert_true(o.unknown);
    assert_int_equal(o.asked, 3); /* with numbers */
    world_deinit(&w);
}

static void overloaded_is_tried_again_after_pauses(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    all_say(&w, KV_E_OVERLOADED, 0);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_OVERLOADED);
    assert_false(o.unknown);
    assert_int_equal(o.attempts, CLIENT_OVERLOADED_MAX);
    for (uint32_t i = 1; i < w.seen_count; i++)
        assert_true(w.seen[i].at_us - w.seen[i - 1].at_us > 10 * MS);
    assert_one_stamp(&w);

    all_say(&w, KV_E_OVERLOADED, 3); /* a full disk: some replica may have taken it */
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_OVERLOADED);
    assert_true(o.unknown);

    all_say(&w, 0, 0);
    w.nodes[homes[0]].say = KV_E_OVERLOADED;
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    world_deinit(&w);
}

static void overloaded_via_is_asked_again(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_options options = {.via = "127.0.0.1:7602"};
    world_init(&w, 5, 1, &options);
    world_warm(&w);
    w.nodes[2].say = KV_E_OVERLOADED;
    w.nodes[2].say_times = 2;
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 3);
    world_deinit(&w);
}

static void wrong_ring_passes(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    all_say(&w, KV_E_WRONG_RING, 0);
    world_put(&w, "key", "v", NULL, &o);
    world_run(&w, 100 * MS);
    assert_false(o.over);
    all_say(&w, 0, 0);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_one_stamp(&w);
    all_say(&w, KV_E_AGAIN, 0);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_UNAVAILABLE); /* users are told words they know */
    assert_int_equal(o.us, 2 * SECOND);
    world_deinit(&w);
}

/* A stamp too far ahead for one node's clock may be fine for another; and the node's clock is learned anew.
 */
static void refused_stamp_is_tried_at_another(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    uint32_t connections = w.nodes[homes[0]].connections;
    w.nodes[homes[0]].say = KV_E_INVALID;
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 2);
    assert_one_stamp(&w);
    world_run(&w, 10 * MS);
    assert_int_equal(w.nodes[homes[0]].connections, connections + 1);

    all_say(&w, KV_E_INVALID, 0);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_INVALID);
    assert_int_equal(o.attempts, 2);
    world_get(&w, "key", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_INVALID);
    assert_int_equal(o.attempts, 1);
    world_deinit(&w);
}

static void refusals_are_final(void **state)
{
    (void)state;
    const int codes[] = {KV_E_TOO_LARGE, KV_E_NOT_PERMITTED};
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        all_say(&w, codes[i], 0);
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, codes[i]);
        assert_int_equal(o.attempts, 1);
    }
    world_deinit(&w);
}

static void nobody_there_is_said_at_once(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        world_mode(&w, i, NODE_AWAY);
    for (uint32_t i = 0; i < 3; i++) {
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_E_NO_NODE);
        assert_false(o.unknown);
        assert_true(o.us < 5 * MS);
        assert_non_null(strstr(o.message, "connection refused"));
    }
    for (uint32_t i = 1; i <= 5; i++)
        assert_true(w.nodes[i].connections >= 3); /* each request asked everybody */
    world_deinit(&w);
}

/* A cluster that was there and is away: requests wait for it, within their time. */
static void whole_cluster_restarts(void **state)
{
    (void)state;
    struct world w;
    struct outcome put, get, early;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        world_mode(&w, i, NODE_AWAY);
    world_run(&w, MS);
    struct kv_request q = {.timeout_ms = 300};
    world_put(&w, "key", "v", &q, &early);
    world_put(&w, "key", "v", NULL, &put);
    world_get(&w, "key", NULL, &get);
    world_finish(&w, &early);
    assert_int_equal(early.status, KV_E_NO_NODE);
    assert_int_equal(early.us, 300 * MS);
    for (uint32_t i = 1; i <= 5; i++)
        world_mode(&w, i, NODE_UP);
    world_finish(&w, &put);
    world_finish(&w, &get);
    assert_int_equal(put.status, KV_OK);
    assert_true(get.status == KV_OK || get.status == KV_E_NOT_FOUND);
    assert_true(put.us < 1500 * MS);
    world_deinit(&w);
}

/* Each node dies in turn with many requests in flight; nothing fails, nothing is written twice. */
static void nodes_die_under_load(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    for (uint32_t i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i % 200);
        i % 2 ? world_put(&w, key, "v", NULL, NULL) : world_get(&w, key, NULL, NULL);
        world_run(&w, 50);
        if (i % 400 == 200)
            world_mode(&w, 1 + i / 400, NODE_AWAY);
        if (i % 400 == 399)
            world_mode(&w, 1 + i / 400, NODE_UP);
    }
    world_drain(&w);
    assert_int_equal(w.done_count, 2000);
    assert_int_equal(w.statuses[0] + w.statuses[-KV_E_NOT_FOUND], 2000);
    assert_true(w.slowest_us < 5 * MS);
    world_deinit(&w);
}

static void wrong_cluster_is_named(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_options options = {.cluster = "mine"};
    world_init(&w, 2, 0, &options);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_WRONG_CLUSTER);
    assert_int_equal(w.seen_count, 0);
    world_deinit(&w);

    /* The first node's word counts when nothing was said; another one of another cluster gets nothing. */
    world_init(&w, 5, 0, NULL);
    w.nodes[3].cluster = "other";
    world_warm(&w);
    bool odd_one_first = strcmp(w.client->cluster, "other") == 0;
    assert_false(odd_one_first);
    for (uint32_t i = 0; i < 60; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        world_put(&w, key, "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
    }
    assert_int_equal(w.nodes[3].requests, 0);
    world_deinit(&w);
}

/* Another process got the address, and speaks for another cluster over what it thinks is its connection. */
static void foreign_frames_close_the_connection(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    w.nodes[homes[0]].cluster = "other";
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.attempts, 2);
    assert_int_equal(w.nodes[homes[0]].conn, 0);
    world_run(&w, 5 * SECOND);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.attempts, 1);
    assert_int_equal(w.seen[w.seen_count - 1].node, homes[1]);
    world_deinit(&w);
}

/* Requests beyond what a connection may carry wait here; beyond the handle's limits they are refused at once.
 */
static void limits(void **state)
{
    (void)state;
    struct world w;
    struct kv_options options = {.via = "127.0.0.1:7601"};
    world_init(&w, 1, 0, &options);
    world_warm(&w);
    world_mode(&w, 1, NODE_STOPPED);
    struct kv_request q = {.timeout_ms = 60000};
    for (uint32_t i = 0; i < KV_REQUESTS_MAX; i++)
        assert_int_equal(
            client_submit(w.client, w.now_us,
                          &(struct client_order){.op = CLIENT_GET, .key = bytes_str("k"), .request = &q}),
            KV_OK);
    assert_int_equal(world_get(&w, "k", &q, NULL), KV_E_OVERLOADED);
    assert_true(w.client->peers[0]->in_flight < CONN_REQUESTS_MAX);
    world_close(&w);
    assert_int_equal(w.statuses[-KV_E_CLOSED], KV_REQUESTS_MAX);
    assert_int_equal(world_get(&w, "k", &q, NULL), KV_E_CLOSED);
    world_deinit(&w);

    world_init(&w, 1, 0, NULL);
    static uint8_t value[VALUE_MAX_CEILING_BYTES + 1];
    struct client_order order = {
        .op = CLIENT_PUT, .key = bytes_str("k"), .value = bytes_of(value, sizeof value)};
    assert_int_equal(world_order(&w, &order), KV_E_TOO_LARGE);
    order.value.len = VALUE_MAX_CEILING_BYTES;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(world_order(&w, &order),
                         i < 3 ? KV_OK : KV_E_OVERLOADED); /* 256 MiB, keys included */
    world_drain(&w);
    assert_int_equal(w.statuses[-KV_E_TOO_LARGE], 3); /* the node takes 8 MiB */
    order.key.len = 0;
    order.value.len = 1;
    assert_int_equal(world_order(&w, &order), KV_E_INVALID);
    order.key = bytes_of(value, KEY_MAX_BYTES + 1);
    assert_int_equal(world_order(&w, &order), KV_E_TOO_LARGE);
    struct kv_request both = {.flags = KV_STRICT | KV_SLOPPY}, many = {.w = 8};
    assert_int_equal(world_put(&w, "k", "v", &both, NULL), KV_E_INVALID);
    assert_int_equal(world_put(&w, "k", "v", &many, NULL), KV_E_INVALID);
    world_deinit(&w);
}

static void puts_wait_for_room_on_the_connection(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    uint32_t count = 4 * CONN_REQUESTS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        client_submit(w.client, w.now_us, &(struct client_order){.op = CLIENT_GET, .key = bytes_str("key")});
        if (i % 1000 == 0)
            w.seen_count = 0;
    }
    while (client_pending(w.client)) {
        w.seen_count = 0;
        world_run(&w, 20);
    }
    assert_int_equal(w.statuses[-KV_E_NOT_FOUND], count);
    world_deinit(&w);
}

static void closing_ends_everything(void **state)
{
    (void)state;
    struct world w;
    struct outcome put, get, unsent;
    uint32_t homes[PREFERENCE_MAX];
    begin(&w, homes, NULL);
    all_say(&w, ANSWER_NOTHING, 0);
    world_put(&w, "key", "v", NULL, &put);
    world_get(&w, "key", NULL, &get);
    world_run(&w, MS);
    struct kv_request q = {.via = "127.0.0.1:7601", .flags = KV_STRICT};
    world_put(&w, "key", "v", &q, &unsent);
    world_close(&w);
    assert_int_equal(put.status, KV_E_TIMEOUT);
    assert_true(put.unknown);
    assert_int_equal(get.status, KV_E_CLOSED);
    assert_int_equal(unsent.status, KV_E_CLOSED); /* it asked for a stamp, and wrote nothing */
    assert_false(unsent.unknown);
    assert_true(client_deadline_us(w.client) == UINT64_MAX);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_connection_goes_to_the_next_home_with_the_same_stamp),
        cmocka_unit_test(stopped_node_is_hedged_with_the_same_stamp),
        cmocka_unit_test(stopped_before_it_is_dialled),
        cmocka_unit_test(slow_but_talking_nodes_are_not_hedged_without_bound),
        cmocka_unit_test(large_values_are_given_more_time),
        cmocka_unit_test(unavailable_is_believed_of_three),
        cmocka_unit_test(lost_and_then_unavailable_is_a_timeout),
        cmocka_unit_test(silence_until_the_deadline_is_a_timeout),
        cmocka_unit_test(the_nodes_word_on_a_timeout_leaves_the_fate_open),
        cmocka_unit_test(overloaded_is_tried_again_after_pauses),
        cmocka_unit_test(overloaded_via_is_asked_again),
        cmocka_unit_test(wrong_ring_passes),
        cmocka_unit_test(refused_stamp_is_tried_at_another),
        cmocka_unit_test(refusals_are_final),
        cmocka_unit_test(nobody_there_is_said_at_once),
        cmocka_unit_test(whole_cluster_restarts),
        cmocka_unit_test(nodes_die_under_load),
        cmocka_unit_test(wrong_cluster_is_named),
        cmocka_unit_test(foreign_frames_close_the_connection),
        cmocka_unit_test(limits),
        cmocka_unit_test(puts_wait_for_room_on_the_connection),
        cmocka_unit_test(closing_ends_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
