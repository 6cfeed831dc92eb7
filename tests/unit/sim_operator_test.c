/* The operator asks until a change is known, and only for members; and faults strike at the turns of one. */
#include "sim_support.h"

#include "sim/fault.h"
#include "sim/operator.h"
#include "sim/rings.h"

enum { NODES = 4, WISHES = 16 };

static bool is_quiet(struct sim *s, void *o)
{
    const struct ring *r = sim_ring(s);
    return operator_waiting(o) == 0 && r->value.phase == RING_STABLE && r->value.queue_count == 0;
}

static uint32_t weight_of(struct sim *s, uint32_t node)
{
    return ring_value_find(&sim_ring(s)->value, sim_member(s, node))->weight;
}

static void asks_until_somebody_listens(void **state)
{
    (void)state;
    struct sim *s = cluster(1, NODES);
    struct ring_operator *o = operator_create(s);
    for (uint32_t i = 1; i <= NODES; i++)
        sim_pause(s, i);
    expect(s, operator_ask(o, RING_WEIGHT, 2, 3));
    sim_run(s, 20 * SECOND_US);
    expect(s, operator_waiting(o) == 1 && weight_of(s, 2) == 1);
    for (uint32_t i = 1; i <= NODES; i++)
        sim_resume(s, i);
    expect(s, sim_run_until(s, is_quiet, o, 120 * SECOND_US));
    expect(s, weight_of(s, 2) == 3);
    operator_destroy(o);
    sim_destroy(s);
}

/* Who is to go may be asked for again and again; another weight for it then is refused for good. */
static void knows_when_it_is_over(void **state)
{
    (void)state;
    struct sim *s = cluster(2, NODES);
    struct ring_operator *o = operator_create(s);
    expect(s, operator_ask(o, RING_LEAVE, 4, 0) && operator_ask(o, RING_LEAVE, 4, 0));
    expect(s, operator_ask(o, RING_WEIGHT, 4, 2));
    expect(s, operator_dismissed(o, 4) && !operator_dismissed(o, 1));
    expect(s, sim_run_until(s, is_quiet, o, 200 * SECOND_US));
    expect(s, sim_member(s, 4) == 0 && sim_ring(s)->value.member_count == NODES - 1);
    operator_destroy(o);
    sim_destroy(s);
}

static void only_members_and_not_too_many(void **state)
{
    (void)state;
    struct sim *s = world_with((struct sim_config){.seed = 3, .nodes = NODES + 1, .founders = NODES});
    for (uint32_t i = 1; i <= NODES; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    struct ring_operator *o = operator_create(s);
    expect(s, !operator_ask(o, RING_LEAVE, NODES + 1, 0) && !operator_dismissed(o, NODES + 1));
    for (uint32_t i = 0; i < WISHES; i++)
        expect(s, operator_ask(o, RING_WEIGHT, 1, 1 + i % 3));
    expect(s, operator_waiting(o) == WISHES && !operator_ask(o, RING_WEIGHT, 2, 2));
    operator_destroy(o); /* with wishes left: nothing of it fires any more */
    sim_run(s, 5 * SECOND_US);
    sim_destroy(s);
}

/* It comes back with another disk before anybody has heard the operator: that is another member. */
static void a_namesake_is_spared(void **state)
{
    (void)state;
    struct sim *s = cluster(4, NODES);
    struct ring_operator *o = operator_create(s);
    uint32_t was = sim_member(s, 4);
    expect(s, operator_ask(o, RING_REMOVE, 4, 0) && operator_dismissed(o, 4));
    sim_kill(s, 4);
    sim_wipe(s, 4);
    sim_start(s, 4);
    expect(s, sim_run_until(s, is_quiet, o, 300 * SECOND_US));
    sim_run(s, 60 * SECOND_US);
    expect(s, sim_member(s, 4) != 0 && sim_member(s, 4) != was && sim_process_of(s, was) == 0);
    expect(s, !operator_dismissed(o, 4) && sim_ring(s)->value.member_count == NODES);
    operator_destroy(o);
    sim_destroy(s);
}

/* How many processes were killed while nothing but the turns of the ring could have been the reason. */
static uint64_t killed(uint64_t seed, uint32_t classes, bool changes)
{
    struct sim *s = cluster(seed, NODES);
    struct faults *f = faults_create(s, classes, UINT64_C(1) << 50);
    faults_on(f);
    if (changes)
        expect(s, operator_ask(faults_operator(f), RING_WEIGHT, 1, 3));
    sim_run(s, 40 * SECOND_US);
    uint64_t count = sim_tally(s)->counts[TALLY_CRASH] + sim_tally(s)->counts[TALLY_WEIGHT];
    faults_heal(f);
    expect(s, sim_run_until(s, is_quiet, faults_operator(f), 200 * SECOND_US));
    faults_destroy(f);
    sim_destroy(s);
    return count;
}

static void faults_strike_at_turns(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        crashes += killed(seed, FAULT_BIT(CRASH) | FAULT_BIT(WEIGHT), true);
        assert_int_equal(killed(seed, FAULT_BIT(CRASH) | FAULT_BIT(WEIGHT), false), 0);
        assert_int_equal(killed(seed, FAULT_BIT(WEIGHT), true), 0); /* a change befalls no other */
    }
    assert_true(crashes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_until_somebody_listens),   cmocka_unit_test(knows_when_it_is_over),
        cmocka_unit_test(only_members_and_not_too_many), cmocka_unit_test(a_namesake_is_spared),
        cmocka_unit_test(faults_strike_at_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
