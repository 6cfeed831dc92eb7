/* How a cluster begins, and who is kept out of it (DESIGN sections 4 and 5). */
#include "rounds.h"
#include "sim_support.h"

#define SEEDS 100

static void assert_one_ring(struct sim *s, uint32_t nodes)
{
    uint64_t hash = node_ring(sim_node(s, 1))->hash;
    for (uint32_t i = 1; i <= nodes; i++) {
        const struct ring *r = node_ring(sim_node(s, i));
        expect(s, r && r->hash == hash && r->value.epoch == 1 && r->value.member_count == nodes);
        expect(s, node_self(sim_node(s, i)) == i);
        expect(s, ring_value_find(&r->value, i)->store_id == sim_store_id(sim_store(s, i)));
    }
}

/* Founders start in any order, seconds apart, on links from 0.1 to 100 ms. */
static void founders_form_one_ring(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= rounds_of(SEEDS); seed++) {
        struct sim *s = world_with((struct sim_config){
            .seed = seed, .nodes = 5, .delay_min_us = 100, .delay_max_us = 100000, .disk_max_us = 50000});
        uint32_t order[] = {1, 2, 3, 4, 5};
        prng_shuffle_u32(sim_prng(s), order, 5);
        for (int i = 0; i < 5; i++) {
            sim_run(s, prng_below(sim_prng(s), 2 * SECOND_US));
            sim_start(s, order[i]);
        }
        expect(s, sim_run_until(s, is_settled, NULL, 30 * SECOND_US));
        assert_one_ring(s, 5);
        sim_destroy(s);
    }
}

/* The same while founders are killed and come back, before and while they agree. */
static void founders_survive_kills(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= rounds_of(SEEDS); seed++) {
        struct sim *s = world(seed, 5);
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        for (int kills = 0; kills < 12; kills++) {
            sim_run(s, prng_below(sim_prng(s), 20000));
            uint32_t victim = 1 + (uint32_t)prng_below(sim_prng(s), 5);
            if (sim_node(s, victim))
                sim_kill(s, victim);
            else
                sim_start(s, victim);
        }
        for (uint32_t i = 1; i <= 5; i++)
            if (!sim_node(s, i))
                sim_start(s, i);
        expect(s, sim_run_until(s, is_settled, NULL, 30 * SECOND_US));
        assert_one_ring(s, 5);
        sim_destroy(s);
    }
}

static bool serves(struct sim *s, void *node)
{
    return node_serving(sim_node(s, *(uint32_t *)node));
}

static bool ring_is_stable(struct sim *s, void *node)
{
    const struct ring *r = node_ring(sim_node(s, *(uint32_t *)node));
    return r && r->value.phase == RING_STABLE && r->value.queue_count == 0;
}

/* A founder comes back with a blank store: it founds nothing, and takes no part before a ring has it as the
 * new member that it is, in place of the old one. Meanwhile the others go on. */
static void wiped_founder_joins_as_new(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t victim = 1 + (uint32_t)prng_below(sim_prng(s), 5), other = 1 + victim % 5;
        sim_kill(s, victim);
        if (seed % 2) /* before or after the others found out */
            sim_run(s, 10 * SECOND_US);
        sim_wipe(s, victim);
        sim_start(s, victim);
        uint32_t c = sim_client(s);
        expect_status(s, sim_wait(s, sim_put(s, c, victim, "k", "v", NULL)), KV_E_UNAVAILABLE);
        put_ok(s, c, other, "k", "v", NULL);

        expect(s, sim_run_until(s, serves, &victim, 60 * SECOND_US));
        expect(s, sim_logged(s, victim, "event=newcomer") == 1);
        expect(s, sim_run_until(s, ring_is_stable, &victim, 60 * SECOND_US));
        sim_run(s, 10 * SECOND_US);
        uint64_t hash = node_ring(sim_node(s, victim))->hash;
        expect(s, node_self(sim_node(s, victim)) == 6);
        for (uint32_t i = 1; i <= 5; i++) {
            const struct ring_value *v = &node_ring(sim_node(s, i))->value;
            expect(s, node_ring(sim_node(s, i))->hash == hash && v->member_count == 5);
            expect(s, !ring_value_find(v, victim) && ring_value_find(v, 6));
            expect(s, i == victim || peers_find(sim_node(s, i), 6)->reachable);
        }
        put_ok(s, c, victim, "k", "w", NULL);

        sim_kill(s, victim); /* and again: it is a member now */
        sim_start(s, victim);
        expect(s, sim_run_until(s, serves, &victim, 20 * SECOND_US) && node_self(sim_node(s, victim)) == 6);
        sim_destroy(s);
    }
}

/* A founder is wiped while the others are still agreeing: whatever comes of it, there is at most one ring. */
static void wipe_while_founding(void **state)
{
    (void)state;
    uint32_t formed = 0;
    for (uint64_t seed = 1; seed <= rounds_of(SEEDS); seed++) {
        struct sim *s = world(seed, 5);
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        sim_run(s, prng_below(sim_prng(s), 5000));
        uint32_t victim = 1 + (uint32_t)prng_below(sim_prng(s), 5);
        sim_kill(s, victim);
        sim_wipe(s, victim);
        sim_start(s, victim);
        sim_run(s, 20 * SECOND_US);
        uint64_t hash = 0;
        for (uint32_t i = 1; i <= 5; i++) {
            const struct ring *r = node_ring(sim_node(s, i));
            expect(s, !r || !hash || r->hash == hash);
            if (r)
                hash = r->hash;
        }
        formed += hash != 0;
        sim_destroy(s);
    }
    assert_true(formed > 0);
}

/* A copy of a member's data directory is started elsewhere: it leaves by itself, the member stays. */
static void second_process_leaves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        /* Six machines, five founders: the sixth runs the copy. */
        struct sim *s = world_with((struct sim_config){.seed = seed, .nodes = 6, .founders = 5});
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        sim_run(s, 5 * SECOND_US);
        expect(s, node_serving(sim_node(s, 5)));
        sim_copy_store(s, 2, 6);
        memcpy(sim_setup(s, 6)->name, "n2", 3);
        sim_start(s, 6);
        sim_run(s, 5 * SECOND_US);
        int status;
        expect(s, sim_exited(s, 6, &status) && status == KV_E_DUPLICATE_ID);
        expect(s, node_serving(sim_node(s, 2)) && !sim_exited(s, 2, &status));
        for (uint32_t i = 1; i <= 5; i++)
            expect(s, sees(s, i, 2) == MEMBER_ALIVE);
        uint32_t c = sim_client(s);
        put_ok(s, c, 2, "k", "v", NULL);
        sim_destroy(s);
    }
}

/* A node of another cluster, or with another Q, at a founder's address: refused, said on both sides, and only
 * once a minute. */
static void other_clusters_are_refused(void **state)
{
    (void)state;
    for (int other_q = 0; other_q < 2; other_q++) {
        struct sim *s = cluster(1, 5);
        sim_kill(s, 4);
        sim_wipe(s, 4);
        if (other_q)
            sim_setup(s, 4)->partitions = 512;
        else
            memcpy(sim_setup(s, 4)->cluster, "else", 5);
        sim_start(s, 4);
        sim_run(s, 40 * SECOND_US);
        expect(s, !node_ring(sim_node(s, 4)));
        for (uint32_t i = 1; i <= 5; i++) {
            if (i == 4)
                continue;
            expect(s, sim_logged(s, i, "status=wrong_cluster") >= 1);
            expect(s, sim_logged(s, i, "status=wrong_cluster") <= 4); /* refused it, and was refused by it */
            expect(s, sees(s, i, 4) == MEMBER_DEAD);
        }
        expect(s, sim_logged(s, 4, "event=refused_by") == 4); /* once per peer */
        expect(s, sim_logged(s, 4, "event=refused ") == 1);
        sim_destroy(s);
    }
}

/* Founders that were started with different N never agree, and each side says so. */
static void different_lists_found_nothing(void **state)
{
    (void)state;
    struct sim *s = world(1, 3);
    sim_setup(s, 2)->replicas = 2;
    for (uint32_t i = 1; i <= 3; i++)
        sim_start(s, i);
    sim_run(s, 10 * SECOND_US);
    for (uint32_t i = 1; i <= 3; i++) {
        expect(s, !node_ring(sim_node(s, i)));
        expect(s, sim_logged(s, i, "event=founding_mismatch") == 1);
    }
    sim_destroy(s);
}

/* Zones and weights come from their owners: all have the same ring. */
static void zones_and_weights_are_told(void **state)
{
    (void)state;
    struct sim *s = world(1, 3);
    sim_setup(s, 3)->weight = 4;
    memcpy(sim_setup(s, 2)->zone, "east", 5);
    for (uint32_t i = 1; i <= 3; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    assert_one_ring(s, 3);
    const struct ring_value *v = &node_ring(sim_node(s, 1))->value;
    assert_int_equal(ring_value_find(v, 3)->weight, 4);
    assert_string_equal(ring_value_find(v, 2)->zone, "east");
    sim_destroy(s);
}

/* A member comes back at another address: the others find it there. */
static void address_may_change(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        sim_kill(s, 3);
        if (seed % 2)
            sim_run(s, 10 * SECOND_US);
        sim_setup(s, 3)->addr.port = 9999;
        sim_start(s, 3);
        expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
        sim_run(s, SECOND_US);
        for (uint32_t i = 1; i <= 5; i++)
            if (i != 3)
                expect(s, addr_eq(&peers_find(sim_node(s, i), 3)->addr, &sim_setup(s, 3)->addr));
        int status;
        expect(s, !sim_exited(s, 3, &status));
        sim_destroy(s);
    }
}

static uint64_t trace_of(uint64_t seed)
{
    struct sim *s = cluster(seed, 5);
    uint32_t c = sim_client(s);
    for (uint32_t i = 1; i <= 5; i++)
        put_ok(s, c, i, "k", "v", NULL);
    sim_kill(s, 2);
    sim_run(s, 3 * SECOND_US);
    uint64_t trace = sim_trace(s);
    sim_destroy(s);
    return trace;
}

static void same_seed_same_run(void **state)
{
    (void)state;
    assert_true(trace_of(7) == trace_of(7));
    assert_true(trace_of(7) != trace_of(8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(founders_form_one_ring),
        cmocka_unit_test(founders_survive_kills),
        cmocka_unit_test(wiped_founder_joins_as_new),
        cmocka_unit_test(wipe_while_founding),
        cmocka_unit_test(second_process_leaves),
        cmocka_unit_test(other_clusters_are_refused),
        cmocka_unit_test(different_lists_found_nothing),
        cmocka_unit_test(zones_and_weights_are_told),
        cmocka_unit_test(address_may_change),
        cmocka_unit_test(same_seed_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
