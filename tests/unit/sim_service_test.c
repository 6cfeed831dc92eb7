/* Service times: what a node and its disk can do is what the arithmetic of queues says, one sync serves all
 * that wait for it, and cores are shared (sim/service.h). */
#include <stdio.h>

#include "sim/growth.h"
#include "sim_support.h"

#define MS_NS UINT32_C(1000000)

/* One node, whose get is two messages: one comes, one goes. */
static struct growth_config lone(uint32_t clients)
{
    return (struct growth_config){
        .seed = 1,
        .nodes = 1,
        .replicas = 1,
        .partitions = 16,
        .clients = clients,
        .pipeline = 1,
        .records = 10,
        .value_bytes = 10,
        .warmup_us = SECOND_US,
        .load_us = 4 * SECOND_US,
        .delay_us = 1000,
        .service = {.message_ns = MS_NS / 2},
    };
}

static struct growth_result run(const struct growth_config *config)
{
    struct growth_result r;
    growth_run(config, &r);
    assert_true(r.formed);
    assert_int_equal(r.failures, 0);
    return r;
}

static void assert_near(double value, double want, double tolerance)
{
    if (value < want * (1 - tolerance) || value > want * (1 + tolerance))
        fail_msg("%g, not %g within %g", value, want, tolerance);
}

/* 1 ms of service, 2 ms on the way: one client waits for nobody. */
static void one_client_does_not_wait(void **state)
{
    (void)state;
    struct growth_config c = lone(1);
    struct growth_result r = run(&c);
    assert_near(r.ops_per_s, 1000.0 / 3, 0.01);
    assert_near((double)r.get.p50_us, 3000, 0.01);
    assert_near(r.core_max, 1.0 / 3, 0.05);
}

/* From the third client on the node is busy all the time: 1/s, whatever comes, and by Little's law each of N
 * clients gets an answer every N ms. */
static void a_server_does_no_more_than_its_service_time_says(void **state)
{
    (void)state;
    for (uint32_t clients = 4; clients <= 32; clients *= 2) {
        struct growth_config c = lone(clients);
        struct growth_result r = run(&c);
        assert_near(r.ops_per_s, 1000, 0.02);
        assert_near((double)r.get.p50_us, 1000.0 * clients, 0.1); /* they come in groups */
        assert_true(r.core_max > 0.99 && r.core_max <= 1.0);
    }
}

/* A socket costs once a turn: the more wait on one connection, the less each of them costs. */
static void a_socket_that_many_share_costs_less(void **state)
{
    (void)state;
    struct growth_config c = lone(1);
    c.service = (struct sim_service){.socket_ns = MS_NS / 2};
    struct growth_result alone = run(&c);
    c.pipeline = 16;
    struct growth_result many = run(&c);
    assert_near(alone.ops_per_s, 1000.0 / 3, 0.01);
    assert_true(many.ops_per_s > 10 * alone.ops_per_s);
}

static void nodes_on_one_core_share_it(void **state)
{
    (void)state;
    struct growth_config c = lone(32);
    c.nodes = 4;
    double own = run(&c).ops_per_s;
    c.service.cores = 4;
    double four = run(&c).ops_per_s;
    c.service.cores = 1;
    struct growth_result one = run(&c);
    assert_near(four, own, 0.05);
    assert_near(one.ops_per_s, 1000, 0.1);
    assert_near(one.core_mean, 0.25, 0.05);
}

/* A client's thread, too, does one thing after the other. */
static void clients_take_time(void **state)
{
    (void)state;
    struct growth_config c = lone(1);
    c.pipeline = 8;
    c.service = (struct sim_service){.client_ns = 4 * MS_NS};
    assert_near(run(&c).ops_per_s, 250, 0.02);
    c.clients = 2;
    assert_near(run(&c).ops_per_s, 500, 0.02);
    c.service.cores = 1; /* all in one process */
    assert_near(run(&c).ops_per_s, 250, 0.02);
}

static struct sim *node_with_disk(uint32_t sync_us)
{
    struct sim *s = world_with((struct sim_config){
        .seed = 1, .nodes = 1, .replicas = 1, .service = {.batch_ns = 1000, .sync_us = sync_us}});
    sim_start(s, 1);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    return s;
}

static void one_sync_serves_all_that_wait(void **state)
{
    (void)state;
    struct sim *s = node_with_disk(20000);
    uint32_t c = sim_client(s);
    put_ok(s, c, 1, "first", "1", NULL); /* the connection is there */
    sim_run(s, SECOND_US);
    struct sim_usage before = sim_usage(s, 1);
    struct sim_call *calls[21];
    char key[21][16];
    calls[0] = sim_put(s, c, 1, "first", "2", NULL);
    sim_run(s, 2000); /* its sync has begun */
    for (int i = 1; i < 21; i++) {
        snprintf(key[i], sizeof key[i], "k%d", i);
        calls[i] = sim_put(s, c, 1, key[i], "v", NULL);
    }
    for (int i = 0; i < 21; i++)
        expect_status(s, sim_wait(s, calls[i]), KV_OK);
    struct sim_usage after = sim_usage(s, 1);
    assert_int_equal(after.rows - before.rows, 21);
    assert_int_equal(after.syncs - before.syncs, 2);
    assert_int_equal(after.disk_us - before.disk_us, 2 * 20000);
    const struct sim_reply *first = sim_reply(calls[0]), *last = sim_reply(calls[20]);
    assert_in_range(first->ended_us - first->began_us, 20000, 21100);
    assert_in_range(last->ended_us - first->ended_us, 19000, 21100);
    sim_destroy(s);
}

/* What waited is gone with the process; the next life begins with nothing. */
static void a_killed_node_leaves_no_work_behind(void **state)
{
    (void)state;
    struct sim *s = world_with((struct sim_config){
        .seed = 1, .nodes = 3, .service = {.message_ns = 200000, .batch_ns = 1000, .sync_us = 5000}});
    for (uint32_t i = 1; i <= 3; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    uint32_t c = sim_client(s);
    char key[40][16];
    struct sim_call *calls[40];
    for (int i = 0; i < 40; i++) {
        snprintf(key[i], sizeof key[i], "k%d", i);
        calls[i] = sim_put(s, c, 1, key[i], "v", NULL);
    }
    sim_run(s, 6000);
    sim_kill(s, 1);
    uint32_t broken = 0;
    for (int i = 0; i < 40; i++)
        broken += sim_wait(s, calls[i])->status == KV_E_CLOSED;
    assert_true(broken > 0);
    sim_start(s, 1);
    expect(s, sim_run_until(s, is_settled, NULL, 60 * SECOND_US));
    put_ok(s, c, 1, "k", "v", NULL);
    get_is(s, c, 2, "k", "v", NULL);
    sim_destroy(s);
}

static void without_service_times_nothing_is_busy(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 3);
    uint32_t c = sim_client(s);
    put_ok(s, c, 1, "k", "v", NULL);
    struct sim_usage u = sim_usage(s, 1);
    assert_int_equal(u.core_us + u.disk_us + u.syncs, 0);
    assert_true(u.messages > 0 && u.message_bytes > 0 && u.datagrams > 0 && u.datagram_bytes > 0);
    sim_destroy(s);
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    struct growth_config c = lone(8);
    c.nodes = 3;
    c.replicas = 3;
    c.put_percent = 50;
    c.load_us = SECOND_US / 2;
    c.service = (struct sim_service){.message_ns = 10000, .row_ns = 5000, .batch_ns = 50000, .sync_us = 300};
    uint64_t trace = run(&c).trace;
    assert_int_equal(run(&c).trace, trace);
    c.seed = 2;
    assert_int_not_equal(run(&c).trace, trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_does_not_wait),
        cmocka_unit_test(a_server_does_no_more_than_its_service_time_says),
        cmocka_unit_test(a_socket_that_many_share_costs_less),
        cmocka_unit_test(nodes_on_one_core_share_it),
        cmocka_unit_test(clients_take_time),
        cmocka_unit_test(one_sync_serves_all_that_wait),
        cmocka_unit_test(a_killed_node_leaves_no_work_behind),
        cmocka_unit_test(without_service_times_nothing_is_busy),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
