/* Whole clusters on a little network: they find each other, find out who is gone, and never bury the
 * living. The figures of detection are printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/swim_support.h"

static void assert_nobody_died(const struct net *net)
{
    for (uint32_t i = 1; i <= net->count; i++)
        assert_int_equal(net->died[i], 0);
}

static struct net *converged(uint32_t count, const struct swim_config *config, uint64_t seed)
{
    struct net *net = net_create(count, config, seed);
    net_start_all(net);
    assert_in_range(net_until_converged(net, 10 * SECOND_US), 0, 10 * SECOND_US);
    return net;
}

/* Any order, with any waits: a second after the last start everybody knows everybody, and nobody was ever
 * called suspect or dead for not having been there yet. */
static void test_start_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct net *net = net_create(5, NULL, seed);
        uint32_t order[] = {1, 2, 3, 4, 5};
        prng_shuffle_u32(&net->prng, order, 5);
        for (int i = 0; i < 5; i++) {
            net_run(net, prng_below(&net->prng, 2 * SECOND_US));
            net_start(net, order[i]);
        }
        assert_in_range(net_until_converged(net, SECOND_US), 0, SECOND_US);
        assert_nobody_died(net);
        for (uint32_t i = 1; i <= 5; i++)
            assert_int_equal(net->suspected[i], 0);
        net_destroy(net);
    }
    struct net *net = net_create(100, NULL, 9);
    net_start_all(net);
    assert_in_range(net_until_converged(net, 3 * SECOND_US), 0, 3 * SECOND_US);
    assert_nobody_died(net);
    net_destroy(net);
}

static void test_founder_that_never_starts(void **state)
{
    (void)state;
    struct net *net = net_create(5, NULL, 3);
    for (uint32_t i = 1; i <= 4; i++)
        net_start(net, i);
    net_run(net, 60 * SECOND_US);
    assert_true(net_converged(net));
    assert_int_equal(net->died[5] + net->suspected[5], 0);
    assert_true(net_all_see(net, 5, MEMBER_DEAD));
    net_start(net, 5);
    assert_in_range(net_until_converged(net, 2 * SECOND_US), 0, 2 * SECOND_US);
    net_destroy(net);
}

static void test_crash_is_seen_by_all(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct net *net = converged(5, NULL, seed);
        net_run(net, SECOND_US + prng_below(&net->prng, SECOND_US));
        net_kill(net, 4);
        assert_in_range(net_until_seen(net, 4, MEMBER_DEAD, 5 * SECOND_US), SECOND_US, 5 * SECOND_US);
        net_kill(net, 2);
        assert_in_range(net_until_seen(net, 2, MEMBER_DEAD, 8 * SECOND_US), SECOND_US, 8 * SECOND_US);
        net_run(net, 20 * SECOND_US);
        assert_true(net_converged(net)); /* the rest */
        assert_int_equal(net->false_deaths, 0);
        net_start(net, 2);
        net_start(net, 4);
        assert_in_range(net_until_converged(net, SECOND_US), 0, SECOND_US);
        net_destroy(net);
    }
}

/* The probe's deadline, and then the shortest suspicion there is, however many lose their connection: the
 * others look as soon as they hear of it and no probe is under way, all accuse, and all hear of all accusers.
 * Of three accusers only it would take 2.1 s. */
static void test_crash_breaks_connections(void **state)
{
    (void)state;
    const struct swim_config c = swim_config_default();
    uint64_t least_us = c.probe_deadline_us * (1 + c.suspicion_mult);
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct net *net = converged(5, NULL, seed);
        net_run(net, SECOND_US + prng_below(&net->prng, SECOND_US));
        net_kill_connected(net, 4, 1 + seed % 4);
        assert_in_range(net_until_seen(net, 4, MEMBER_DEAD, 5 * SECOND_US), 0,
                        least_us + 2 * c.probe_deadline_us);
        net_destroy(net);
    }
}

/* SIGSTOP for ten seconds: suspected, dead, and alive again by its own word; it accuses nobody. */
static void test_paused_node_accuses_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct net *net = converged(5, NULL, seed);
        net->delay_min_us = 20000; /* so that a probe is under way more often than not */
        net->delay_max_us = 50000;
        net_run(net, SECOND_US + prng_below(&net->prng, SECOND_US));
        net_pause(net, 3);
        net_run(net, 10 * SECOND_US);
        assert_in_range(net->suspected[3], 4, 100);
        assert_int_equal(net->died[3], 4);
        assert_true(net_all_see(net, 3, MEMBER_DEAD));
        net_resume(net, 3);
        assert_in_range(net_until_converged(net, 3 * SECOND_US), 0, 3 * SECOND_US);
        net_run(net, 30 * SECOND_US);
        assert_true(net_converged(net));
        assert_int_equal(net->died[3], 4);
        assert_true(swim_counters(net->nodes[3].swim).refutations > 0);
        for (uint32_t i = 1; i <= 5; i++) {
            assert_int_equal(swim_counters(net->nodes[i].swim).awareness, 0);
            if (i != 3)
                assert_int_equal(net->died[i] + net->suspected[i], 0);
        }
        net_destroy(net);
    }
}

/* A loop that hangs for up to half a second now and then is no reason to bury anybody. */
static void test_hiccups(void **state)
{
    (void)state;
    struct net *net = converged(5, NULL, 11);
    for (int i = 0; i < 100; i++) {
        uint32_t victim = 1 + (uint32_t)prng_below(&net->prng, 5);
        net_pause(net, victim);
        net_run(net, 50000 + prng_below(&net->prng, 450000));
        net_resume(net, victim);
        net_run(net, prng_below(&net->prng, SECOND_US));
    }
    assert_nobody_died(net);
    net_destroy(net);
}

/* A quarter of all datagrams lost, for two minutes: suspicions without number, not one death. */
static void test_loss(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, runs;
    } cases[] = {{3, 10}, {5, 10}, {30, 2}};
    for (int c = 0; c < 3; c++) {
        uint64_t suspicions = 0;
        for (uint64_t seed = 1; seed <= cases[c].runs; seed++) {
            struct net *net = converged(cases[c].count, NULL, seed);
            net->loss_percent = 25;
            net_run(net, 120 * SECOND_US);
            assert_nobody_died(net);
            for (uint32_t i = 1; i <= net->count; i++)
                suspicions += net->suspected[i];
            /* And a crash is noticed all the same. */
            net_kill(net, 1);
            assert_in_range(net_until_seen(net, 1, MEMBER_DEAD, 30 * SECOND_US), 0, 30 * SECOND_US);
            net_destroy(net);
        }
        assert_true(suspicions > 0);
    }
}

static void test_partition_heals(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct net *net = converged(5, NULL, seed);
        net->nodes[1].group = net->nodes[2].group = 1;
        net_run(net, 30 * SECOND_US);
        for (uint32_t i = 1; i <= 5; i++)
            for (uint32_t k = 1; k <= 5; k++)
                if (i != k)
                    assert_int_equal(net_view(net, i, k), (i <= 2) == (k <= 2) ? MEMBER_ALIVE : MEMBER_DEAD);
        net->nodes[1].group = net->nodes[2].group = 0;
        assert_in_range(net_until_converged(net, 5 * SECOND_US), 0, 5 * SECOND_US);
        net_run(net, 20 * SECOND_US);
        assert_true(net_converged(net));
        assert_int_equal(net->false_deaths, 0);
        net_destroy(net);
    }
}

/* Every node alone for an hour, then all together again. */
static void test_five_islands_heal(void **state)
{
    (void)state;
    struct net *net = converged(5, NULL, 5);
    for (uint32_t i = 1; i <= 5; i++)
        net->nodes[i].group = i;
    net_run(net, 3600 * SECOND_US);
    for (uint32_t i = 1; i <= 5; i++)
        net->nodes[i].group = 0;
    assert_in_range(net_until_converged(net, 5 * SECOND_US), 0, 5 * SECOND_US);
    assert_int_equal(net->false_deaths, 0);
    net_destroy(net);
}

/* Back before anybody noticed: a new life, no death. */
static void test_restart(void **state)
{
    (void)state;
    struct net *net = converged(5, NULL, 6);
    net_kill(net, 2);
    net_start(net, 2);
    net_run(net, SECOND_US);
    assert_true(net_converged(net));
    assert_nobody_died(net);
    for (uint32_t i = 1; i <= 5; i++) {
        struct member_view view;
        assert_int_equal(swim_lookup(net->nodes[i].swim, 2, &view), 0);
        assert_int_equal(view.generation, 2);
    }
    net_destroy(net);
}

static void test_leave(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct net *net = converged(10, NULL, seed);
        net_leave(net, 7);
        assert_in_range(net_until_seen(net, 7, MEMBER_LEFT, SECOND_US / 10), 0, SECOND_US / 10);
        net_run(net, 30 * SECOND_US);
        assert_true(net_all_see(net, 7, MEMBER_LEFT));
        assert_nobody_died(net);
        net_start(net, 7);
        assert_in_range(net_until_converged(net, SECOND_US), 0, SECOND_US);
        net_destroy(net);
    }
}

/* Out of the ring, but its process does not know: it talks to itself. */
static void test_removed_does_not_come_back(void **state)
{
    (void)state;
    struct net *net = converged(5, NULL, 8);
    for (uint32_t i = 1; i <= 4; i++)
        swim_remove(net->nodes[i].swim, 5);
    net_run(net, 60 * SECOND_US);
    struct member_view view;
    for (uint32_t i = 1; i <= 4; i++) {
        assert_int_not_equal(swim_lookup(net->nodes[i].swim, 5, &view), 0);
        assert_true(swim_counters(net->nodes[i].swim).ignored > 0);
        if (i > 1)
            assert_int_equal(net_view(net, 1, i), MEMBER_ALIVE);
        assert_int_equal(net_view(net, 5, i), MEMBER_DEAD);
    }
    net_destroy(net);
}

static uint64_t trace_of(uint64_t seed)
{
    struct net *net = net_create(12, NULL, seed);
    net->loss_percent = 10;
    net_start_all(net);
    net_run(net, 10 * SECOND_US);
    net_kill(net, 3);
    net_run(net, 10 * SECOND_US);
    net_start(net, 3);
    net_run(net, 10 * SECOND_US);
    uint64_t trace = net->trace;
    net_destroy(net);
    return trace;
}

static void test_repeatable(void **state)
{
    (void)state;
    assert_true(trace_of(42) == trace_of(42));
    assert_true(trace_of(42) != trace_of(43));
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* From SIGKILL to the last of the living knowing it. */
static uint64_t median_detection_us(const char *name, const struct swim_config *config, uint32_t count,
                                    uint32_t runs)
{
    uint64_t took_us[32], datagrams = 0;
    for (uint32_t run = 0; run < runs; run++) {
        struct net *net = converged(count, config, 100 + run);
        net_run(net, 4 * SECOND_US + prng_below(&net->prng, SECOND_US));
        uint64_t before = net->datagrams;
        net_run(net, 2 * SECOND_US);
        datagrams += net->datagrams - before;
        uint32_t victim = 1 + (uint32_t)prng_below(&net->prng, count);
        net_kill(net, victim);
        took_us[run] = net_until_seen(net, victim, MEMBER_DEAD, 60 * SECOND_US);
        assert_int_equal(net->false_deaths, 0);
        net_destroy(net);
    }
    qsort(took_us, runs, sizeof took_us[0], compare);
    print_message(
        "%-10s %4u nodes: all know after %.2f s (median), %.2f s (worst of %u); %.1f datagrams/s a node\n",
        name, count, (double)took_us[runs / 2] / 1e6, (double)took_us[runs - 1] / 1e6, runs,
        (double)datagrams / (2.0 * runs * count));
    return took_us[runs / 2];
}

static void test_detection_figures(void **state)
{
    (void)state;
    struct swim_config ours = swim_config_default(), plain = ours;
    plain.probe_interval_us = 1000000; /* what memberlist has by default for a local network */
    plain.probe_timeout_us = 500000;
    plain.probe_deadline_us = 1000000;
    plain.suspicion_mult = 4;
    plain.gossip_interval_us = 200000;
    static const struct {
        uint32_t count, runs;
        uint64_t median_max_us;
    } cases[] = {{5, 31, 2000000}, {32, 9, 3500000}, {100, 3, 5000000}};
    for (int i = 0; i < 3; i++) {
        assert_in_range(median_detection_us("defaults", &ours, cases[i].count, cases[i].runs), 1,
                        cases[i].median_max_us);
        median_detection_us("memberlist", &plain, cases[i].count, cases[i].runs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_in_any_order),
        cmocka_unit_test(test_founder_that_never_starts),
        cmocka_unit_test(test_crash_is_seen_by_all),
        cmocka_unit_test(test_crash_breaks_connections),
        cmocka_unit_test(test_paused_node_accuses_nobody),
        cmocka_unit_test(test_hiccups),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_partition_heals),
        cmocka_unit_test(test_five_islands_heal),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_removed_does_not_come_back),
        cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_detection_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
