/* Which node a request goes to. */
#include "client_support.h"

#include <stdio.h>

static uint32_t seen_at(const struct world *w, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->seen_count; i++)
        count += w->seen[i].node == node;
    return count;
}

static bool among(const uint32_t *ids, uint32_t count, uint32_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void dials_nobody_before_it_is_asked(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 0, NULL);
    world_run(&w, 5 * SECOND);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(w.nodes[i].connections, 0);
    assert_true(client_deadline_us(w.client) == UINT64_MAX);
    world_deinit(&w);
}

/* A single request does not wait for the ring, nor is placement computed for it. */
static void first_request_goes_to_any_seed(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_put(&w, "k", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(o.us, 500); /* connect, HELLO, WELCOME, request, response: 100 us each */
    assert_null(w.client->ring);
    uint32_t dialled = 0;
    for (uint32_t i = 1; i <= 5; i++)
        dialled += w.nodes[i].connections;
    assert_int_equal(dialled, 1);
    world_deinit(&w);
}

static void seed_list_needs_one_live_node(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 2, NULL);
    world_mode(&w, 2, NODE_AWAY);
    world_warm(&w);
    for (uint32_t i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        world_get(&w, key, NULL, NULL);
        world_drain(&w);
    }
    for (uint32_t i = 1; i <= 5; i++)
        assert_true(i == 2 ? w.nodes[i].conn == 0 : w.nodes[i].conn != 0);
    world_deinit(&w);
}

static void puts_of_a_key_go_to_its_first_home(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 1, NULL);
    world_warm(&w);
    for (uint32_t k = 0; k < 50; k++) {
        char key[16];
        uint32_t homes[PREFERENCE_MAX];
        snprintf(key, sizeof key, "key%u", k);
        world_homes(&w, key, homes);
        for (uint32_t i = 0; i < 3; i++) {
            struct outcome o;
            world_put(&w, key, "v", NULL, &o);
            world_finish(&w, &o);
            assert_int_equal(o.status, KV_OK);
            assert_int_equal(w.seen[w.seen_count - 1].node, homes[0]);
        }
    }
    world_deinit(&w);
}

static void puts_go_to_the_first_home_that_can_be_reached(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_homes(&w, "key", homes);
    for (uint32_t away = 0; away < 4; away++) {
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
        assert_int_equal(w.seen[w.seen_count - 1].node, homes[away]);
        world_mode(&w, homes[away], NODE_AWAY);
        world_run(&w, 5 * MS);
    }
    for (uint32_t i = 0; i < 4; i++)
        world_mode(&w, homes[i], NODE_UP);
    world_run(&w, 2 * SECOND); /* dialled in the background */
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(w.seen[w.seen_count - 1].node, homes[0]);
    world_deinit(&w);
}

static void gets_are_spread_over_the_homes_and_nobody_else(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    uint32_t count = world_homes(&w, "key", homes);
    for (uint32_t i = 0; i < 900; i++) {
        world_get(&w, "key", NULL, NULL);
        world_drain(&w);
    }
    for (uint32_t i = 1; i <= 5; i++) {
        if (among(homes, count, i))
            assert_in_range(seen_at(&w, i), 100, 700);
        else
            assert_int_equal(seen_at(&w, i), 0);
    }
    world_deinit(&w);
}

static void near_homes_get_more(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_homes(&w, "key", homes);
    w.nodes[homes[1]].delay_us = 5 * MS;
    world_warm_all(&w);
    for (uint32_t i = 0; i < 600; i++) {
        world_get(&w, "key", NULL, NULL);
        world_drain(&w);
    }
    /* Two of three are drawn; the slow one wins no draw. */
    assert_true(seen_at(&w, homes[1]) < 30);
    assert_true(seen_at(&w, homes[0]) > 150 && seen_at(&w, homes[2]) > 150);
    world_deinit(&w);
}

static void via_is_the_only_one(void **state)
{
    (void)state;
    const char *const ways[] = {"127.0.0.1:7604", "n4"};
    for (uint32_t way = 0; way < 2; way++) {
        struct world w;
        struct outcome o;
        struct kv_options options = {.via = ways[way]};
        world_init(&w, 5, way == 0 ? 1 : 0, &options);
        for (uint32_t i = 0; i < 20; i++) {
            char key[16];
            snprintf(key, sizeof key, "key%u", i);
            world_put(&w, key, "v", NULL, &o);
            world_finish(&w, &o);
            assert_int_equal(o.status, KV_OK);
            assert_string_equal(o.coordinator, "n4");
        }
        assert_int_equal(seen_at(&w, 4), 20);
        if (way == 0)
            for (uint32_t i = 1; i <= 5; i++)
                assert_int_equal(w.nodes[i].connections, i == 4);
        world_mode(&w, 4, NODE_AWAY);
        world_run(&w, MS);
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_E_NO_NODE);
        assert_int_equal(w.seen_count, 20);
        world_deinit(&w);
    }
}

static void via_of_one_request(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_warm(&w);
    for (uint32_t i = 1; i <= 5; i++) {
        char name[4];
        snprintf(name, sizeof name, "n%u", i);
        struct kv_request q = {.via = name};
        world_get(&w, "warm", &q, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
        assert_string_equal(o.coordinator, name);
    }
    struct kv_request unknown = {.via = "n17"};
    world_get(&w, "warm", &unknown, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_INVALID);
    assert_string_equal(o.message, "no node is named n17");
    struct kv_request nonsense = {.via = "a b"};
    assert_int_equal(world_get(&w, "warm", &nonsense, &o), KV_E_INVALID);
    world_deinit(&w);
}

/* A home that loses to its hedges is measured by that, and chosen less. */
static void home_that_always_loses_is_left_alone(void **state)
{
    (void)state;
    struct world w;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_homes(&w, "key", homes);
    w.nodes[homes[1]].delay_us = 200 * MS;
    for (uint32_t i = 0; i < 300; i++) {
        world_get(&w, "key", NULL, NULL);
        world_drain(&w);
        world_run(&w, 300 * MS); /* its late answers come: it is not silent */
    }
    assert_true(seen_at(&w, homes[1]) < 20);
    world_deinit(&w);
}

/* The ring of epoch + 1 with the first `count` members. */
static void change_ring(struct world *w, uint32_t count)
{
    w->ring.member_count = count;
    world_ring(w);
}

/* A change of the ring: n6 joins, n1 leaves, and n2 is given up if `dead`. */
static void begin_change(struct world *w, bool dead)
{
    w->ring.member_count = 6;
    w->ring.phase = RING_PENDING;
    w->ring.since = w->ring.source_epoch = w->ring.epoch + 1;
    w->ring.queue_count = 1;
    w->ring.queue[0] = (struct ring_change){.kind = RING_LEAVE, .member = 1};
    for (uint32_t i = 0; i < 6; i++) {
        w->ring.members[i].old_weight = i < 5;
        w->ring.members[i].weight = i > 0;
    }
    w->ring.members[1].dead = dead;
    world_ring(w);
}

static uint32_t moves;

static void look_at_moves(const struct kv_where *where, void *arg)
{
    (void)arg;
    assert_int_equal(where->status, KV_OK);
    assert_int_equal(where->home_count, 3);
    for (uint32_t i = 0; i < where->move_count; i++) {
        bool is_home = false;
        assert_true(strcmp(where->moves[i].from, where->moves[i].to) != 0);
        for (uint32_t h = 0; h < 3; h++)
            is_home |= strcmp(where->homes[h], where->moves[i].from) == 0;
        assert_true(is_home); /* the homes of before are read */
    }
    moves += where->move_count;
}

/* One answer carries the new epoch; the next after the client's pause makes it ask. */
static void hear_of_ring(struct world *w)
{
    struct outcome o;
    for (int i = 0; i < 2; i++) {
        world_run(w, 200 * MS);
        world_get(w, "warm", NULL, &o);
        world_finish(w, &o);
        world_run(w, 10 * MS);
    }
}

/* Requests go to the homes that are read, and to nobody who is given up; `where` says what moves. */
static void a_changing_ring_is_followed(void **state)
{
    (void)state;
    for (int dead = 0; dead < 2; dead++) {
        struct world w;
        struct outcome o;
        world_init(&w, 6, 0, NULL);
        change_ring(&w, 5);
        world_warm(&w);
        begin_change(&w, dead);
        hear_of_ring(&w);
        assert_int_equal(w.client->ring_value.phase, RING_PENDING);
        w.seen_count = moves = 0;
        for (uint32_t i = 0; i < 60; i++) {
            char key[16];
            uint32_t homes[PREFERENCE_MAX];
            snprintf(key, sizeof key, "key%u", i);
            world_homes(&w, key, homes);
            world_put(&w, key, "v", NULL, &o);
            world_finish(&w, &o);
            assert_int_equal(w.seen[w.seen_count - 1].node, homes[dead && homes[0] == 2]);
            world_get(&w, key, NULL, &o);
            world_finish(&w, &o);
            assert_int_equal(o.status, KV_OK);
            struct client_order where = {
                .op = CLIENT_WHERE, .key = bytes_str(key), .callback.where = look_at_moves};
            assert_int_equal(world_order(&w, &where), KV_OK);
            world_drain(&w);
        }
        uint32_t at_two = 0;
        for (uint32_t i = 0; i < w.seen_count; i++)
            at_two += w.seen[i].node == 2;
        assert_int_equal(at_two == 0, dead);
        assert_in_range(moves, 20, 100); /* three fifths of the keys had n1 as a home */
        world_deinit(&w);
    }
}

/* Epoch after epoch under load, with the members that come and go: no request fails for it. */
static void rings_change_under_load(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 6, 0, NULL);
    change_ring(&w, 5);
    world_warm(&w);
    uint32_t before = w.done_count;
    for (uint32_t i = 0; i < 3000; i++) {
        char key[16];
        struct kv_request q = {.flags = i % 3 ? 0 : KV_STRICT};
        snprintf(key, sizeof key, "key%u", i % 100);
        assert_int_equal(i % 2 ? world_put(&w, key, "v", &q, NULL) : world_get(&w, key, &q, NULL), KV_OK);
        if (i == 500)
            begin_change(&w, false);
        if (i == 1000) {
            w.ring.phase = RING_SWITCH;
            world_ring(&w);
        }
        if (i == 1500) { /* n1 has left, and leaves */
            w.ring.phase = RING_STABLE;
            w.ring.since = w.ring.source_epoch = w.ring.queue_count = 0;
            for (uint32_t m = 0; m < 6; m++)
                w.ring.members[m].old_weight = 0;
            memmove(w.ring.members, w.ring.members + 1, 5 * sizeof *w.ring.members);
            w.ring.member_count = 5;
            world_ring(&w);
        }
        if (i == 1600) {
            world_mode(&w, 1, NODE_AWAY);
        }
        if (i % 100 == 7) { /* a coordinator that is between two rings */
            w.nodes[2 + i / 100 % 5].say = KV_E_WRONG_RING;
            w.nodes[2 + i / 100 % 5].say_times = 3;
        }
        if (i == 2000)
            w.nodes[1].requests = 0;
        world_run(&w, MS);
    }
    world_drain(&w);
    assert_int_equal(w.done_count, before + 3000);
    assert_int_equal(w.statuses[0] + w.statuses[-KV_E_NOT_FOUND], before + 3000);
    assert_int_equal(w.nodes[1].requests, 0);
    world_deinit(&w);
}

static void ignore_status(const struct kv_status *status, void *arg)
{
    (void)arg;
    assert_int_equal(status->status, KV_OK);
}

static void newer_ring_is_fetched_and_used(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 6, 0, NULL);
    change_ring(&w, 5); /* n6 is not in yet */
    struct blob *older = blob_ref(w.ring_blob);
    world_warm(&w);
    assert_int_equal(w.client->ring_value.member_count, 5);

    change_ring(&w, 6);
    hear_of_ring(&w);
    assert_int_equal(w.client->ring_value.epoch, FAKE_EPOCH + 2);
    uint32_t at_six = 0;
    for (uint32_t i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        world_homes(&w, key, homes);
        world_put(&w, key, "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(w.seen[w.seen_count - 1].node, homes[0]);
        at_six += homes[0] == 6;
    }
    assert_true(at_six > 0);

    assert_int_equal(client_ring_adopt(w.client, older), KV_OK); /* never back */
    assert_int_equal(w.client->ring_value.epoch, FAKE_EPOCH + 2);
    blob_unref(older);

    change_ring(&w, 5); /* n6 has left: nobody asks it, though it is there */
    hear_of_ring(&w);
    w.nodes[6].others = w.nodes[5].others = 0;
    for (uint32_t i = 0; i < 60; i++) {
        world_order(&w, &(struct client_order){.op = CLIENT_STATUS, .callback.status = ignore_status});
        world_drain(&w);
    }
    assert_true(w.nodes[5].others > 5);
    assert_int_equal(w.nodes[6].others, 0);
    world_deinit(&w);
}

/* All clients hear of it at the same time; none of them waits for longer than the rest of the spread. */
static void newer_ring_is_asked_for_at_a_random_time(void **state)
{
    (void)state;
    struct world w;
    uint32_t early = 0, late = 0;
    world_init(&w, 6, 0, NULL);
    world_warm(&w);
    for (uint32_t i = 0; i < 30; i++) {
        world_run(&w, CLIENT_RING_RETRY_US);
        uint64_t epoch = w.client->ring_value.epoch, since_us;
        change_ring(&w, 5 + i % 2);
        for (since_us = w.now_us; w.client->ring_value.epoch == epoch;) {
            world_get(&w, "warm", NULL, NULL);
            world_run(&w, MS);
            assert_true(w.now_us - since_us <= CLIENT_RING_SPREAD_US + 5 * MS);
        }
        early += w.now_us - since_us < CLIENT_RING_SPREAD_US / 3;
        late += w.now_us - since_us > CLIENT_RING_SPREAD_US * 2 / 3;
    }
    assert_in_range(early, 4, 20);
    assert_in_range(late, 4, 20);
    world_deinit(&w);
}

/* Its packets vanish, so even dialling it takes a second each time: in the background. */
static void vanished_node_costs_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_mode(&w, 3, NODE_HOLE);
    world_break(&w, 3);
    world_run(&w, MS);
    for (uint32_t i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i % 100);
        assert_int_equal(i % 2 ? world_put(&w, key, "v", NULL, NULL) : world_get(&w, key, NULL, NULL), KV_OK);
        world_run(&w, 2 * MS);
    }
    world_drain(&w);
    assert_true(w.nodes[3].connections > 3);
    assert_int_equal(w.done_count, 3000);
    assert_true(w.slowest_us < MS);
    world_deinit(&w);
}

static void stopped_node_is_avoided_until_it_answers(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_mode(&w, 3, NODE_STOPPED);
    /* 1,000 requests a second for 4 s: those sent before the silence was noticed are hedged, no others. */
    uint32_t slow = 0, total = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i % 500);
        assert_int_equal(i % 2 ? world_put(&w, key, "v", NULL, NULL) : world_get(&w, key, NULL, NULL), KV_OK);
        uint64_t before = w.slowest_us;
        w.slowest_us = 0;
        world_run(&w, MS);
        slow += w.slowest_us > 10 * MS;
        total++;
        w.slowest_us = before > w.slowest_us ? before : w.slowest_us;
        w.seen_count = 0;
    }
    world_drain(&w);
    assert_int_equal(w.statuses[-KV_E_TIMEOUT] + w.statuses[-KV_E_UNAVAILABLE], 0);
    assert_true(w.slowest_us < 200 * MS);
    assert_true(slow < total / 20);
    uint32_t at_three = w.nodes[3].requests;
    assert_true(w.nodes[3].conn != 0);
    world_mode(&w, 3, NODE_UP);
    world_run(&w, 5 * MS);
    for (uint32_t i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        world_put(&w, key, "v", NULL, NULL);
        world_drain(&w);
    }
    assert_true(w.nodes[3].requests > at_three + 2);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dials_nobody_before_it_is_asked),
        cmocka_unit_test(first_request_goes_to_any_seed),
        cmocka_unit_test(seed_list_needs_one_live_node),
        cmocka_unit_test(puts_of_a_key_go_to_its_first_home),
        cmocka_unit_test(puts_go_to_the_first_home_that_can_be_reached),
        cmocka_unit_test(gets_are_spread_over_the_homes_and_nobody_else),
        cmocka_unit_test(near_homes_get_more),
        cmocka_unit_test(via_is_the_only_one),
        cmocka_unit_test(via_of_one_request),
        cmocka_unit_test(home_that_always_loses_is_left_alone),
        cmocka_unit_test(newer_ring_is_fetched_and_used),
        cmocka_unit_test(newer_ring_is_asked_for_at_a_random_time),
        cmocka_unit_test(a_changing_ring_is_followed),
        cmocka_unit_test(rings_change_under_load),
        cmocka_unit_test(vanished_node_costs_nothing),
        cmocka_unit_test(stopped_node_is_avoided_until_it_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
