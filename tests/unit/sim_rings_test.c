/* Which rings there were, and who is who in the newest. */
#include "sim_support.h"

#include "sim/internal.h"
#include "sim/operator.h"
#include "sim/rings.h"

enum { NODES = 4 };

static bool is_epoch(struct sim *s, void *epoch)
{
    return sim_ring(s) && sim_ring(s)->value.epoch >= *(const uint64_t *)epoch;
}

static void nobody_is_anybody_before_the_first(void **state)
{
    (void)state;
    struct sim *s = world(1, NODES);
    assert_null(sim_ring(s));
    for (uint32_t i = 1; i <= NODES; i++)
        assert_int_equal(sim_member(s, i), 0);
    assert_int_equal(sim_process_of(s, 1), 0);
    sim_destroy(s);
}

/* A member is a store: a process without its own is none, until it has joined with the new one. */
static void a_member_is_one_store(void **state)
{
    (void)state;
    struct sim *s = cluster(2, NODES);
    for (uint32_t i = 1; i <= NODES; i++)
        expect(s, sim_process_of(s, sim_member(s, i)) == i);
    expect(s, sim_ring(s)->value.epoch == 1 && sim_process_of(s, 0) == 0 && sim_process_of(s, 99) == 0);
    uint32_t was = sim_member(s, 3);
    sim_kill(s, 3);
    expect(s, sim_member(s, 3) == was);
    sim_wipe(s, 3);
    expect(s, sim_member(s, 3) == 0 && sim_process_of(s, was) == 0);
    sim_start(s, 3);
    sim_run(s, 100 * SECOND_US);
    expect(s, sim_member(s, 3) > NODES && sim_process_of(s, sim_member(s, 3)) == 3);
    expect(s, sim_process_of(s, was) == 0 && sim_two_rings(s) == 0);
    sim_destroy(s);
}

static void the_newest_is_kept_when_all_are_gone(void **state)
{
    (void)state;
    struct sim *s = cluster(3, NODES);
    struct ring_operator *o = operator_create(s);
    uint64_t second = 2, rings = sim_tally(s)->counts[TALLY_RING];
    expect(s, rings == 1 && operator_ask(o, RING_WEIGHT, 1, 2));
    expect(s, sim_run_until(s, is_epoch, &second, 60 * SECOND_US));
    for (uint32_t i = 1; i <= NODES; i++)
        sim_kill(s, i);
    expect(s, sim_ring(s)->value.epoch == 2 && sim_tally(s)->counts[TALLY_RING] == 2);
    operator_destroy(o);
    sim_destroy(s);
}

/* One node has another value of an epoch than the others had: the second that is seen is one too many, and
 * the first such epoch is named. */
static void two_values_of_an_epoch_are_seen(void **state)
{
    (void)state;
    struct sim *s = cluster(4, NODES);
    uint64_t epoch = sim_ring(s)->value.epoch;
    s->processes[2].epoch_seen = 0;
    sim_rings_watch(s, 2);
    expect(s, sim_two_rings(s) == 0);
    s->rings.hashes[epoch] ^= 1;
    sim_rings_watch(s, 2); /* it was looked at: nothing has changed since */
    expect(s, sim_two_rings(s) == 0);
    s->processes[2].epoch_seen = 0;
    sim_rings_watch(s, 2);
    expect(s, sim_two_rings(s) == epoch);
    sim_destroy(s);
}

struct bell {
    struct sim_timer timer;
    uint32_t rings;
};

static void ring_bell(struct sim *s, struct sim_timer *t)
{
    (void)s;
    container_of(t, struct bell, timer)->rings++;
}

static void a_new_ring_rings_the_bell(void **state)
{
    (void)state;
    struct sim *s = cluster(5, NODES);
    struct bell bell = {.timer = {.fire = ring_bell, .embedded = true}};
    struct ring_operator *o = operator_create(s);
    uint64_t second = 2;
    s->rings.alarm = &bell.timer;
    sim_run(s, 10 * SECOND_US);
    expect(s, bell.rings == 0);
    expect(s, operator_ask(o, RING_WEIGHT, 1, 2));
    expect(s, sim_run_until(s, is_epoch, &second, 60 * SECOND_US));
    sim_run(s, SECOND_US);
    expect(s, bell.rings > 0);
    s->rings.alarm = NULL;
    sim_cancel(s, &bell.timer);
    operator_destroy(o);
    sim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_anybody_before_the_first),
        cmocka_unit_test(a_member_is_one_store),
        cmocka_unit_test(the_newest_is_kept_when_all_are_gone),
        cmocka_unit_test(two_values_of_an_epoch_are_seen),
        cmocka_unit_test(a_new_ring_rings_the_bell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
