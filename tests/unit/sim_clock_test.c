/* Clocks that are wrong (DESIGN section 3): nobody's writes are lost by them, nobody is dragged along. */
#include "sim_support.h"

#include <stdio.h>

#define HOUR_MS INT64_C(3600000)

static const struct sim_options strict = {.strict = true};

static uint64_t true_hlc(const struct sim *s)
{
    return hlc_from_ms(SIM_WALL_MS + sim_now_us(s) / 1000);
}

static void future_stamps_are_refused(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 5);
    uint32_t c = sim_client(s);
    for (uint32_t node = 1; node <= 5; node++) {
        struct sim_options o = {.stamp = {true_hlc(s) + hlc_from_ms(600), 7}};
        expect_status(s, sim_wait(s, sim_put(s, c, node, "k", "v", &o)), KV_E_INVALID);
        o.stamp.hlc = true_hlc(s) + hlc_from_ms(HOUR_MS);
        expect_status(s, sim_wait(s, sim_put(s, c, node, "k", "v", &o)), KV_E_INVALID);
    }
    sim_run(s, SECOND_US);
    for (uint32_t node = 1; node <= 5; node++)
        expect(s, sim_node(s, node)->clock.hlc <= true_hlc(s));
    expect_status(s, sim_wait(s, sim_get(s, c, 1, "k", NULL)), KV_E_NOT_FOUND);
    struct sim_options o = {.stamp = {true_hlc(s) + hlc_from_ms(400), 7}};
    put_ok(s, c, 1, "k", "v", &o);
    expect(s, sim_node(s, 1)->clock.hlc == o.stamp.hlc);
    put_ok(s, c, 2, "k", "w", NULL); /* minted above what the clocks have heard */
    get_is(s, c, 3, "k", "w", NULL);
    sim_destroy(s);
}

/* A put as libkv makes it: a node whose clock is far behind refuses the stamp, another does not; it stays the
 * same write. */
static const struct sim_reply *put_somewhere(struct sim *s, uint32_t c, const char *value, uint32_t *refused)
{
    struct sim_call *call = sim_put(s, c, random_node(s), "k", value, &strict);
    const struct sim_reply *r = sim_wait(s, call);
    for (uint32_t node = 1; node <= 5 && r->status == KV_E_INVALID; node++) {
        const struct sim_options again = {.strict = true, .same = call};
        r = sim_wait(s, sim_put(s, c, node, "k", value, &again));
        ++*refused;
    }
    return r;
}

/* Wall clocks up to 400 ms off in both directions: under strict each client reads its own last put, and any
 * client the put that ended last. */
static void skewed_clocks_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim *s = world(seed, 5);
        for (uint32_t i = 1; i <= 5; i++)
            sim_setup(s, i)->skew_ms = (int64_t)prng_below(sim_prng(s), 801) - 400;
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
        uint32_t clients[3] = {sim_client(s), sim_client(s), sim_client(s)}, refused = 0;
        for (int i = 0; i < 60; i++) {
            char value[16];
            snprintf(value, sizeof value, "v%d", i);
            uint32_t c = clients[prng_below(sim_prng(s), 3)];
            expect_status(s, put_somewhere(s, c, value, &refused), KV_OK);
            get_is(s, c, random_node(s), "k", value, &strict);
            get_is(s, clients[prng_below(sim_prng(s), 3)], random_node(s), "k", value, &strict);
            sim_run(s, prng_below(sim_prng(s), 300000));
        }
        expect(s, refused < 60);
        sim_destroy(s);
    }
}

/* What a node says never goes back, over kills and with the wall clock an hour back; and the cluster works,
 * with all clocks ahead of their walls. */
static void restarts_never_go_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s);
        uint64_t said[6];
        for (int round = 0; round < 4; round++) {
            for (uint32_t i = 1; i <= 5; i++) {
                put_ok(s, c, i, "k", "old", NULL);
                said[i] = sim_heard_hlc(s, c, i);
                sim_run(s, prng_below(sim_prng(s), SECOND_US));
            }
            for (uint32_t i = 1; i <= 5; i++)
                sim_kill(s, i);
            if (round == 1)
                for (uint32_t i = 1; i <= 5; i++)
                    sim_setup(s, i)->skew_ms = -HOUR_MS;
            for (uint32_t i = 1; i <= 5; i++) {
                sim_start(s, i);
                sim_run(s, prng_below(sim_prng(s), SECOND_US)); /* so that floors are raised at other times */
            }
            expect(s, sim_run_until(s, is_settled, NULL, 5 * SECOND_US));
            c = sim_client(s); /* the old one still has wall clocks in mind that are no more */
            for (uint32_t i = 1; i <= 5; i++) {
                uint32_t fresh = sim_client(s); /* knows only what this node tells it */
                char value[16];
                snprintf(value, sizeof value, "new%u", i);
                put_ok(s, fresh, i, value, value, NULL);
                expect(s, sim_heard_hlc(s, fresh, i) > said[i]);
                expect(s, hlc_said(sim_node(s, i)) > said[i]);
                put_ok(s, c, i, "k", value, NULL); /* on top of what it heard from the others */
                get_is(s, c, 1 + i % 5, "k", value, NULL);
            }
        }
        sim_destroy(s);
    }
}

/* One node an hour back follows the others; it refuses nobody's stamps. */
static void one_node_an_hour_back(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 5);
    uint32_t c = sim_client(s);
    sim_kill(s, 2);
    sim_setup(s, 2)->skew_ms = -HOUR_MS;
    sim_run(s, 5 * SECOND_US);
    sim_start(s, 2);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    for (int i = 0; i < 20; i++) {
        sim_run(s, SECOND_US);
        put_ok(s, c, (uint32_t)(1 + i % 5), "k", i % 2 ? "a" : "b", NULL);
        get_is(s, c, 2, "k", i % 2 ? "a" : "b", NULL);
        put_ok(s, c, 2, "k", "c", NULL);
        get_is(s, c, 5, "k", "c", NULL);
    }
    expect(s, sim_node(s, 2)->hlc.ahead_ms < -HOUR_MS + 100);
    sim_destroy(s);
}

/* One node a day ahead from its start says so, drags nobody along, and follows the others: what its clients
 * mint is taken everywhere. */
static void one_node_a_day_ahead(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = world(seed, 5);
        sim_setup(s, 3)->skew_ms = 24 * HOUR_MS;
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        sim_run(s, 10 * SECOND_US);
        expect(s, sim_logged(s, 3, "event=clock_ahead") == 1);
        for (int life = 0; life < 2; life++) {
            uint32_t c = sim_client(s), far = sim_client(s);
            for (uint32_t i = 0; i < 20; i++) {
                put_ok(s, c, i % 2 ? 1 : 5, "k", "v", NULL);
                put_ok(s, far, 3, "far", "v", NULL);
            }
            put_ok(s, far, 1, "far", "w", NULL);
            for (uint32_t i = 1; i <= 5; i++)
                expect(s, hlc_said(sim_node(s, i)) <= true_hlc(s) + hlc_from_ms(HLC_RESERVE_MS));
            sim_kill(s, 3);
            sim_run(s, prng_below(sim_prng(s), 10 * SECOND_US));
            sim_start(s, 3);
            expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
        }
        sim_destroy(s);
    }
}

/* Many short lives do not walk the clock away from the wall. */
static void short_lives(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 3);
    for (int i = 0; i < 50; i++) {
        sim_kill(s, 2);
        sim_start(s, 2);
        sim_run(s, 100000);
    }
    expect(s, hlc_said(sim_node(s, 2)) <= true_hlc(s) + hlc_from_ms(HLC_RESERVE_MS + 200));
    uint32_t c = sim_client(s);
    expect(s, sim_run_until(s, is_settled, NULL, 5 * SECOND_US));
    for (uint32_t i = 1; i <= 3; i++) {
        put_ok(s, c, 2, "k", "v", NULL);
        put_ok(s, c, i, "k", "w", NULL);
    }
    sim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(future_stamps_are_refused), cmocka_unit_test(skewed_clocks_lose_nothing),
        cmocka_unit_test(restarts_never_go_back),    cmocka_unit_test(one_node_an_hour_back),
        cmocka_unit_test(one_node_a_day_ahead),      cmocka_unit_test(short_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
