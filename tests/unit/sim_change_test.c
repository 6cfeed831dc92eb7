/* Whole clusters whose ring changes: nodes join, leave, are removed; who asks, who may, and what is left of
 * the data. */
#include "rounds.h"
#include "sim/rings.h"
#include "sim_support.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 60 };

/* ---- what is awaited ---- */

/* Every running member is in the same ring, which is at rest and has this many members. */
struct rest {
    uint32_t members;
};

static bool at_rest(struct sim *s, void *arg)
{
    const struct rest *want = arg;
    uint64_t hash = 0;
    uint32_t running = 0;
    for (uint32_t i = 1; i <= 9 && sim_setup(s, i)->name[0]; i++) {
        const struct node *n = sim_node(s, i);
        if (!n)
            continue;
        const struct ring *r = node_ring(n);
        if (!r || !node_serving(n) || (hash && r->hash != hash))
            return false;
        if (r->value.phase != RING_STABLE || r->value.queue_count || r->value.member_count != want->members)
            return false;
        hash = r->hash;
        running++;
    }
    return running > 0;
}

static void expect_rest(struct sim *s, uint32_t members)
{
    struct rest want = {members};
    expect(s, sim_run_until(s, at_rest, &want, 200 * SECOND_US));
    sim_run(s, 5 * SECOND_US); /* everybody is connected again */
    expect(s, at_rest(s, &want));
}

static bool has_exited(struct sim *s, void *node)
{
    int status;
    return sim_exited(s, *(uint32_t *)node, &status);
}

static void expect_exit(struct sim *s, uint32_t node, int want)
{
    int status;
    expect(s, sim_run_until(s, has_exited, &node, 60 * SECOND_US));
    sim_exited(s, node, &status);
    expect(s, status == want);
}

/* ---- asking ---- */

static struct ring_change named(enum ring_change_kind kind, const char *name)
{
    struct ring_change c = {.kind = (uint8_t)kind};
    snprintf(c.name, sizeof c.name, "%s", name);
    return c;
}

static struct sim_call *ask(struct sim *s, uint32_t node, struct ring_change c)
{
    const struct sim_options options = {.timeout_ms = 5000};
    return sim_change(s, sim_client(s), node, &c, &options);
}

#define ask_is(s, node, change, status) expect_status(s, sim_wait(s, ask(s, node, change)), status)

/* ---- data ---- */

static void put_all(struct sim *s, uint32_t node, const char *value)
{
    uint32_t client = sim_client(s);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        put_ok(s, client, node, key, value, NULL);
    }
}

static void expect_all(struct sim *s, uint32_t node, const char *value)
{
    uint32_t client = sim_client(s);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        get_is(s, client, node, key, value, NULL);
    }
}

/* Five founders of six nodes run; the sixth does not. */
static struct sim *five_of_six(uint64_t seed)
{
    struct sim *s = world_with((struct sim_config){.seed = seed, .nodes = 6, .founders = 5});
    for (uint32_t i = 1; i <= 5; i++)
        sim_start(s, i);
    expect_rest(s, 5);
    return s;
}

/* ---- tests ---- */

static void a_node_joins_and_leaves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        put_all(s, 1, "v");
        sim_start(s, 6);
        expect_rest(s, 6);
        expect(s, node_self(sim_node(s, 6)) == 6 && ring_owned(node_ring(sim_node(s, 6)), 6) > 0);
        expect_all(s, 6, "v");
        put_all(s, 6, "w");

        sim_kill(s, 6); /* it is a member like any other */
        sim_start(s, 6);
        expect_rest(s, 6);

        ask_is(s, 2, named(RING_LEAVE, "n6"), KV_OK);
        expect_exit(s, 6, KV_OK);
        expect(s, sim_logged(s, 6, "event=left") == 1);
        expect_rest(s, 5);
        expect_all(s, 3, "w");

        sim_start(s, 6); /* its store is of the past */
        expect_exit(s, 6, KV_E_NOT_MEMBER);
        sim_wipe(s, 6);
        sim_start(s, 6);
        expect_rest(s, 6);
        expect(s, node_self(sim_node(s, 6)) == 7);
        sim_destroy(s);
    }
}

static void the_dead_are_removed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        put_all(s, 1, "v");
        ask_is(s, 1, named(RING_REMOVE, "n3"), KV_E_INVALID); /* it lives */
        sim_kill(s, 3);
        sim_run(s, 15 * SECOND_US);
        ask_is(s, 1, named(RING_LEAVE, "n3"), KV_E_INVALID); /* it does not */
        ask_is(s, 1, named(RING_REMOVE, "n3"), KV_OK);
        ask_is(s, 2, named(RING_REMOVE, "n3"), KV_OK); /* known */
        expect_rest(s, 4);
        expect_all(s, 4, "v");
        sim_start(s, 3); /* alive after all */
        expect_exit(s, 3, KV_E_NOT_MEMBER);
        expect_rest(s, 4);
        sim_destroy(s);
    }
}

/* It comes back while the others are taking its place. */
static void given_up_and_alive(void **state)
{
    (void)state;
    struct sim *s = five_of_six(1);
    put_all(s, 1, "v");
    sim_kill(s, 3);
    sim_run(s, 15 * SECOND_US);
    sim_kill(s, 5); /* so that it takes a while: a source is missing */
    ask_is(s, 1, named(RING_REMOVE, "n3"), KV_OK);
    sim_run(s, 2 * SECOND_US);
    expect(s, node_ring(sim_node(s, 1))->value.phase == RING_PENDING);
    sim_start(s, 3);
    expect_exit(s, 3, KV_E_NOT_MEMBER);
    sim_start(s, 5);
    expect_rest(s, 4);
    expect_all(s, 4, "v");
    sim_destroy(s);
}

static bool is_given_up(struct sim *s, void *node)
{
    const struct ring *r = sim_ring(s);
    const struct member *m = ring_value_find(&r->value, *(uint32_t *)node);
    return m && m->dead;
}

/* Away for too long, it is given up for a change; it comes back, waits for the end of it, is a member as
 * before, and hands over what it has kept all the time. */
static void given_up_with_notes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        uint32_t at[PREFERENCE_MAX], client = sim_client(s);
        uint64_t bytes;
        places(s, "key", at);
        uint32_t home = at[0], other = at[1], keeper = at[3];
        sim_kill(s, home);
        sim_run(s, 15 * SECOND_US);
        put_ok(s, client, other, "key", "v", NULL);
        expect(s, sim_store_notes(sim_store(s, keeper), home, &bytes) == 1);
        sim_kill(s, keeper);
        sim_start(s, home);
        sim_start(s, 6);
        expect(s, sim_run_until(s, is_given_up, &keeper, 60 * SECOND_US));
        sim_start(s, keeper);
        expect_exit(s, keeper, KV_E_NOT_MEMBER);
        sim_start(s, keeper);
        expect_rest(s, 6);
        expect(s, node_self(sim_node(s, keeper)) == keeper);
        expect(s, sim_store_notes(sim_store(s, keeper), home, &bytes) == 0);
        expect(s, hints_waiting(sim_node(s, keeper)->hints, 0) == 0);
        sim_destroy(s);
    }
}

static bool is_joining(struct sim *s, void *node)
{
    const struct node *n = sim_node(s, *(uint32_t *)node);
    return node_self(n) && node_ring(n)->value.phase == RING_PENDING;
}

/* It dies while it takes over, and for so long that its join is undone: then its store is of the past. */
static void a_join_is_undone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        uint32_t joiner = 6;
        put_all(s, 1, "v");
        sim_start(s, joiner);
        expect(s, sim_run_until(s, is_joining, &joiner, 10 * SECOND_US));
        sim_kill(s, joiner);
        sim_run(s, SECOND_US);
        expect_rest(s, 5);
        expect(s, !sim_store_refused(s, joiner)); /* it was killed, and told nothing */
        sim_start(s, joiner);
        expect_exit(s, joiner, KV_E_NOT_MEMBER);
        expect(s, sim_store_refused(s, joiner));
        sim_wipe(s, joiner);
        sim_start(s, joiner);
        expect_rest(s, 6);
        expect(s, node_self(sim_node(s, joiner)) == 7);
        expect_all(s, joiner, "v");
        sim_destroy(s);
    }
}

static void two_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        sim_start(s, 6);
        struct ring_change heavier = named(RING_WEIGHT, "n2");
        heavier.weight = 3;
        struct sim_call *a = ask(s, 1, named(RING_LEAVE, "n4")), *b = ask(s, 5, heavier);
        expect_status(s, sim_wait(s, a), KV_OK);
        expect_status(s, sim_wait(s, b), KV_OK);
        expect_exit(s, 4, KV_OK);
        expect_rest(s, 5);
        const struct ring_value *v = &node_ring(sim_node(s, 1))->value;
        expect(s, ring_value_find(v, 2)->weight == 3 && !ring_value_find(v, 4) && ring_value_find(v, 6));
        sim_destroy(s);
    }
}

static void a_minority_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        struct ring_change zone = named(RING_ZONE, "n2");
        snprintf(zone.zone, sizeof zone.zone, "z");
        for (uint32_t i = 1; i <= 2; i++)
            for (uint32_t j = 3; j <= 5; j++)
                sim_cut(s, i, j, true), sim_cut(s, j, i, true);
        struct sim_call *early = ask(s, 1, zone); /* before it knows that it is in the minority */
        expect(s, sim_wait(s, early)->status == KV_E_UNAVAILABLE || sim_reply(early)->status == KV_E_TIMEOUT);
        sim_run(s, 15 * SECOND_US);
        ask_is(s, 1, zone, KV_E_UNAVAILABLE);
        expect(s, node_ring(sim_node(s, 1))->value.epoch == 1 && node_ring(sim_node(s, 2))->value.epoch == 1);
        struct ring_change weight = named(RING_WEIGHT, "n4");
        weight.weight = 2;
        ask_is(s, 3, weight, KV_OK);
        sim_heal(s);
        expect_rest(s, 5);
        expect(s, ring_value_find(&node_ring(sim_node(s, 1))->value, 4)->weight == 2);
        sim_destroy(s);
    }
}

static void what_makes_no_sense(void **state)
{
    (void)state;
    struct sim *s = five_of_six(1);
    struct ring_change weight = named(RING_WEIGHT, "n2");
    ask_is(s, 1, weight, KV_E_INVALID); /* 0 */
    ask_is(s, 1, named(RING_LEAVE, "n9"), KV_E_INVALID);
    ask_is(s, 1, named(RING_LEAVE, ""), KV_E_INVALID);
    struct ring_change join = named(RING_JOIN, "n9");
    join.weight = 1;
    join.store_id = 5;
    join.addr = sim_setup(s, 6)->addr;
    ask_is(s, 1, join, KV_E_NOT_PERMITTED); /* for somebody else */
    weight.weight = 1;
    ask_is(s, 1, weight, KV_OK); /* it has that one */
    expect(s, node_ring(sim_node(s, 1))->value.epoch == 1);
    sim_destroy(s);
}

/* A node comes back with a backup of its own store. */
static void a_restored_store_is_refused(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim *s = five_of_six(seed);
        sim_copy_store(s, 3, 6); /* the backup */
        put_all(s, 1, "v");
        sim_run(s, 3 * SECOND_US);
        sim_kill(s, 3);
        if (seed % 2) { /* whoever knows has forgotten, but for its disk */
            for (uint32_t i = 1; i <= 5; i++)
                sim_kill(s, i);
            for (uint32_t i = 1; i <= 5; i++)
                if (i != 3)
                    sim_start(s, i);
            expect_rest(s, 5);
        }
        sim_copy_store(s, 6, 3);
        sim_start(s, 3);
        expect_exit(s, 3, KV_E_STALE_STORE);
        sim_wipe(s, 3); /* as it was told to */
        sim_start(s, 3);
        expect_rest(s, 5);
        expect(s, node_self(sim_node(s, 3)) == 6);
        expect_all(s, 3, "v");
        sim_destroy(s);
    }
}

/* ---- a random life ---- */

struct chaos {
    struct sim *s;
    bool up[7];
    uint32_t asked;
};

static void random_change(struct chaos *c)
{
    struct sim *s = c->s;
    uint32_t at = random_node(s), whom = 1 + (uint32_t)prng_below(sim_prng(s), 5);
    char name[8];
    snprintf(name, sizeof name, "n%u", whom);
    struct ring_change change = named(prng_below(sim_prng(s), 2) ? RING_WEIGHT : RING_ZONE, name);
    change.weight = 1 + (uint32_t)prng_below(sim_prng(s), 4);
    snprintf(change.zone, sizeof change.zone, "z%u", (uint32_t)prng_below(sim_prng(s), 3));
    const struct sim_reply *r = sim_wait(s, ask(s, at, change));
    c->asked += r->status == KV_OK;
}

static void random_fault(struct chaos *c)
{
    struct sim *s = c->s;
    uint32_t node = 1 + (uint32_t)prng_below(sim_prng(s), 6), down = 0;
    for (uint32_t i = 1; i <= 6; i++)
        down += !c->up[i];
    if (!c->up[node])
        sim_start(s, node);
    else if (down < 2)
        prng_below(sim_prng(s), 2) ? sim_kill(s, node) : sim_power_cut(s, node);
    else
        return;
    c->up[node] = !c->up[node];
}

/* Changes of weight and zone, six nodes of which one or two are down at any time, proposers that die with
 * half of the work done: whatever was asked for and taken is carried out, and no row is lost. */
static void changes_survive_their_drivers(void **state)
{
    (void)state;
    uint32_t asked = 0, seeds = rounds_of(25);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct chaos c = {.s = five_of_six(seed), .up = {false, true, true, true, true, true, false}};
        put_all(c.s, 1, "v");
        for (int i = 0; i < 12; i++) {
            random_fault(&c);
            random_change(&c);
            sim_run(c.s, prng_below(sim_prng(c.s), 3 * SECOND_US));
        }
        for (uint32_t i = 1; i <= 6; i++)
            if (!c.up[i])
                sim_start(c.s, i);
        expect_rest(c.s, 6);
        const char *why;
        expect(c.s, sim_failed(c.s, &why) == 0);
        for (uint32_t i = 1; i <= 6; i++)
            expect_all(c.s, i, "v");
        asked += c.asked;
        sim_destroy(c.s);
    }
    assert_true(asked > seeds * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_joins_and_leaves),
        cmocka_unit_test(the_dead_are_removed),
        cmocka_unit_test(given_up_and_alive),
        cmocka_unit_test(given_up_with_notes),
        cmocka_unit_test(a_join_is_undone),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(a_minority_changes_nothing),
        cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(a_restored_store_is_refused),
        cmocka_unit_test(changes_survive_their_drivers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
