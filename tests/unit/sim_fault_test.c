/* The faults do what they say, and no more; and a run follows from its seed. */
#include "sim_support.h"

#include <stdio.h>

#include "sim/look.h"
#include "sim/run.h"

static struct sim *lazy_cluster(uint64_t seed, enum sim_sync sync)
{
    struct sim *s = world_with((struct sim_config){.seed = seed, .nodes = 3, .sync = sync});
    for (uint32_t i = 1; i <= 3; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    return s;
}

/* Of 40 puts, acknowledged one after the other, those that a power cut of all three nodes has lost. */
static uint32_t lost_puts(uint64_t seed, enum sim_sync sync)
{
    struct sim *s = lazy_cluster(seed, sync);
    uint32_t client = sim_client(s), lost = 0;
    char key[16];
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put_ok(s, client, 1, key, "v", NULL);
    }
    for (uint32_t i = 1; i <= 3; i++)
        sim_power_cut(s, i);
    for (uint32_t i = 0; i < 40; i++) {
        bool found = false;
        snprintf(key, sizeof key, "k%u", i);
        for (uint32_t node = 1; node <= 3; node++)
            found = found || sim_store_row(sim_store(s, node), bytes_str(key));
        lost += !found;
    }
    sim_destroy(s);
    return lost;
}

static void a_power_cut_loses_what_was_not_synced(void **state)
{
    uint32_t always = 0, interval = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        always += lost_puts(seed, SIM_SYNC_ALWAYS);
        interval += lost_puts(seed, SIM_SYNC_INTERVAL);
    }
    assert_int_equal(always, 0);
    assert_true(interval > 0);
}

static void a_paused_node_finds_what_came_meanwhile(void **state)
{
    struct sim *s = lazy_cluster(1, SIM_SYNC_ALWAYS);
    struct sim_options options = {.timeout_ms = 10000};
    uint32_t client = sim_client(s);
    (void)state;
    put_ok(s, client, 1, "key", "value", NULL);
    sim_pause(s, 1);
    struct sim_call *call = sim_get(s, client, 1, "key", &options);
    sim_run(s, 500000);
    assert_false(sim_reply(call)->done);
    sim_resume(s, 1);
    assert_int_equal(sim_wait(s, call)->status, KV_OK);
    sim_destroy(s);
}

static void a_clogged_link_stalls_streams_only(void **state)
{
    struct sim *s = lazy_cluster(1, SIM_SYNC_ALWAYS);
    (void)state;
    sim_link(s, 1, 2)->clogged = sim_link(s, 2, 1)->clogged = true;
    sim_run(s, 20 * SECOND_US);
    assert_int_equal(sees(s, 1, 2), MEMBER_ALIVE);
    assert_false(sim_look_reaches(sim_node(s, 1), 2)); /* the stream was held for too long, and broke */
    assert_true(sim_look_reaches(sim_node(s, 1), 3));
    sim_heal(s);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    sim_destroy(s);
}

static void a_disk_that_refuses_keeps_the_node_down(void **state)
{
    struct sim *s = lazy_cluster(1, SIM_SYNC_ALWAYS);
    (void)state;
    sim_kill(s, 2);
    sim_setup(s, 2)->disk_refuses = true;
    assert_int_equal(sim_start(s, 2), KV_E_IO);
    assert_null(sim_node(s, 2));
    sim_setup(s, 2)->disk_refuses = false;
    assert_int_equal(sim_start(s, 2), KV_OK);
    sim_destroy(s);
}

static uint64_t trace_of(uint64_t seed)
{
    struct run_config config = {.seed = seed, .nodes = 5, .classes = FAULT_ALL, .ops = 200, .seconds = 10};
    struct run_result r;
    run_seed(&config, &r);
    if (r.invariant)
        print_message("seed %llu: %s: %s\n", (unsigned long long)seed, r.invariant, (char *)r.story.data);
    assert_null(r.invariant);
    run_result_deinit(&r);
    return r.trace;
}

static void a_run_follows_from_its_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t trace = trace_of(seed);
        assert_true(trace == trace_of(seed));
        assert_true(trace != trace_of(seed + 100));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_loses_what_was_not_synced),
        cmocka_unit_test(a_paused_node_finds_what_came_meanwhile),
        cmocka_unit_test(a_clogged_link_stalls_streams_only),
        cmocka_unit_test(a_disk_that_refuses_keeps_the_node_down),
        cmocka_unit_test(a_run_follows_from_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
