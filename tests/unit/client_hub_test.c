/* Where there is a hub: how it is found, what goes there and what does not, and what is said while it is
 * away. */
#include "client_support.h"

#include <stdio.h>

#define HUB 3u

static void hub_init(struct world *w, enum topology topology, uint32_t count, uint32_t seeds)
{
    world_init(w, count, seeds, NULL);
    w->topology = topology;
    w->hub = HUB;
}

static void some_puts(struct world *w, uint32_t count, int status)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        struct outcome o;
        snprintf(key, sizeof key, "key%u", i);
        world_put(w, key, "v", NULL, &o);
        world_finish(w, &o);
        assert_int_equal(o.status, status);
    }
}

static uint32_t seen_at(const struct world *w, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->seen_count; i++)
        count += w->seen[i].node == node;
    return count;
}

static void central_hub_is_found_from_any_node(void **state)
{
    (void)state;
    struct world w;
    hub_init(&w, TOPOLOGY_CENTRAL, 5, 2); /* the hub is not among the seeds */
    some_puts(&w, 50, KV_OK);
    assert_int_equal(seen_at(&w, HUB), 50);
    assert_int_equal(w.nodes[4].connections + w.nodes[5].connections, 0);
    world_deinit(&w);
}

/* Many at once, before anything is known: each is told by somebody else, and asks again. */
static void a_crowd_finds_it_too(void **state)
{
    (void)state;
    struct world w;
    struct outcome o[200];
    hub_init(&w, TOPOLOGY_CENTRAL, 5, 2);
    for (uint32_t i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        assert_int_equal(world_put(&w, key, "v", NULL, &o[i]), KV_OK);
    }
    world_drain(&w);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(o[i].status, KV_OK);
    assert_int_equal(seen_at(&w, HUB), 200);
    world_deinit(&w);
}

static void without_the_central_hub_nothing_is_tried(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    hub_init(&w, TOPOLOGY_CENTRAL, 5, 0);
    some_puts(&w, 10, KV_OK);
    world_mode(&w, HUB, NODE_AWAY);
    world_run(&w, 10 * MS); /* what was on its way when it died would be a time-out */
    uint32_t before = w.seen_count;
    uint64_t begin_us = w.now_us;
    world_put(&w, "k", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_UNAVAILABLE);
    assert_false(o.unknown);
    assert_non_null(strstr(o.message, "the hub n3 at 127.0.0.1:7603 cannot be reached"));
    assert_true(w.now_us - begin_us < 10 * MS); /* at once */
    assert_int_equal(w.seen_count, before);
    world_run(&w, 10 * SECOND);
    world_mode(&w, HUB, NODE_UP);
    some_puts(&w, 10, KV_OK); /* the first one after it is back finds it */
    world_deinit(&w);
}

/* It is there, but sees too few nodes: that is not to say that it cannot be reached. */
static void a_hub_that_refuses_is_not_called_away(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    hub_init(&w, TOPOLOGY_CENTRAL, 5, 0);
    some_puts(&w, 1, KV_OK);
    for (uint8_t asked = 0; asked <= 3; asked += 3) {
        w.nodes[HUB].say = KV_E_UNAVAILABLE;
        w.nodes[HUB].say_asked = asked;
        world_get(&w, "k", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_E_UNAVAILABLE);
        assert_int_equal(o.asked, asked);
        assert_string_equal(o.message, asked ? "too few of the nodes that were asked have answered"
                                             : kv_error_text(KV_E_UNAVAILABLE));
    }
    world_deinit(&w);
}

static void directory_is_asked_once_and_homes_from_then_on(void **state)
{
    (void)state;
    struct world w;
    hub_init(&w, TOPOLOGY_DIRECTORY, 5, 2);
    world_warm(&w);
    uint32_t before = seen_at(&w, HUB);
    some_puts(&w, 60, KV_OK);
    uint32_t homes[PREFERENCE_MAX];
    for (uint32_t i = w.seen_count - 60; i < w.seen_count; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i - (w.seen_count - 60));
        world_homes(&w, key, homes);
        assert_int_equal(w.seen[i].node, homes[0]);
    }
    assert_in_range(seen_at(&w, HUB) - before, 1, 30);
    world_deinit(&w);
}

static void with_its_list_a_client_goes_on_without_it(void **state)
{
    (void)state;
    struct world w;
    hub_init(&w, TOPOLOGY_DIRECTORY, 5, 0);
    world_warm_all(&w);
    world_mode(&w, HUB, NODE_AWAY);
    some_puts(&w, 60, KV_OK);
    world_deinit(&w);
}

static void without_a_list_it_is_shut_out(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    hub_init(&w, TOPOLOGY_DIRECTORY, 5, 2);
    world_mode(&w, HUB, NODE_AWAY);
    world_put(&w, "k", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_UNAVAILABLE);
    assert_int_equal(w.seen_count, 0);
    world_mode(&w, HUB, NODE_UP);
    some_puts(&w, 10, KV_OK);
    world_deinit(&w);
}

static void who_is_asked_by_name_says_where_the_hub_is(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_request q = {.via = "127.0.0.1:7601"};
    hub_init(&w, TOPOLOGY_CENTRAL, 5, 0);
    world_get(&w, "k", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_NOT_COORDINATOR);
    assert_string_equal(o.message, "the topology is central: the hub, n3 at 127.0.0.1:7603, answers that");
    q.via = "n3"; /* a name is the hub's to tell */
    world_get(&w, "k", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_NOT_FOUND);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(central_hub_is_found_from_any_node),
        cmocka_unit_test(a_crowd_finds_it_too),
        cmocka_unit_test(without_the_central_hub_nothing_is_tried),
        cmocka_unit_test(a_hub_that_refuses_is_not_called_away),
        cmocka_unit_test(directory_is_asked_once_and_homes_from_then_on),
        cmocka_unit_test(with_its_list_a_client_goes_on_without_it),
        cmocka_unit_test(without_a_list_it_is_shut_out),
        cmocka_unit_test(who_is_asked_by_name_says_where_the_hub_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
