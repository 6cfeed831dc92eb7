/* Random runs: proposers that duel over one epoch after the other, a network that loses, doubles and
 * reorders, machines that crash and come back with what their disk has, disks that are full, members that
 * come and go by what is decided. Never are two values chosen for one epoch, and never is one taken for
 * chosen that is not (the oracle reads the disks: paxos_support.c). When the faults end, a value is decided.
 *
 * A failing run prints its seed; `paxos_random_test SEED` replays it, `paxos_random_test SEED COUNT` tries
 * more. */
#include "unit/paxos_support.h"
#include "unit/rounds.h"
#include "unit/seeds.h"

enum { RUNS = 300, STEPS = 6000, QUIET_STEPS = 400 };

static uint64_t decided_epochs, crashes, duels;

static uint32_t any(struct world *w)
{
    return 1 + (uint32_t)prng_below(&w->prng, WORLD_MEMBERS);
}

static void propose(struct world *w, uint32_t id)
{
    struct machine *m = &w->machines[id];
    if (!m->paxos || m->epoch + 1 >= WORLD_EPOCHS)
        return;
    struct blob *value = ring_blob(m->epoch + 1, any(w), (uint32_t)prng_below(&w->prng, 1000));
    bool votes = m->paxos->votes, busy = m->paxos->proposer.phase != PROPOSER_IDLE;
    int expected = !votes ? KV_E_NOT_MEMBER : busy ? KV_E_BUSY : KV_OK;
    assert_int_equal(world_propose(w, id, value), expected);
    blob_unref(value);
}

/* Word of what is decided reaches a node: from a proposer that knows, now and then. */
static void hear(struct world *w, uint32_t id)
{
    for (uint32_t other = 1; other <= WORLD_MEMBERS; other++) {
        const struct machine *m = &w->machines[other];
        uint64_t known = m->epoch + (m->paxos && paxos_decided(m->paxos) ? 1 : 0);
        if (known > w->machines[id].epoch && prng_below(&w->prng, 3) == 0)
            world_adopt(w, id, known);
    }
}

static void tick(struct world *w)
{
    w->now.mono_us += prng_below(&w->prng, 60000);
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++)
        world_tick(w, id);
}

static void step(struct world *w, uint32_t fault_percent)
{
    uint32_t id = any(w);
    uint32_t dice = (uint32_t)prng_below(&w->prng, 100);
    if (dice < 50)
        world_deliver(w, w->mail_count ? (uint32_t)prng_below(&w->prng, w->mail_count) : 0);
    else if (dice < 75)
        world_sync(w, id, prng_below(&w->prng, 100) < fault_percent ? KV_E_FULL : KV_OK);
    else if (dice < 85)
        tick(w);
    else if (dice < 90)
        propose(w, id);
    else if (dice < 94)
        hear(w, id);
    else if (dice < 95 && w->machines[id].paxos)
        world_withdraw(w, id);
    else if (!w->machines[id].paxos)
        world_start(w, id);
    else if (prng_below(&w->prng, 300) < fault_percent) {
        world_crash(w, id);
        crashes++;
    }
}

/* Nothing fails any more; everybody who may proposes. */
static void quiet(struct world *w)
{
    w->loss_percent = w->double_percent = 0;
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++)
        if (!w->machines[id].paxos)
            world_start(w, id);
    uint64_t before = w->newest;
    for (uint32_t i = 0; i < QUIET_STEPS && w->newest == before; i++) {
        world_settle(w);
        for (uint32_t id = 1; id <= WORLD_MEMBERS; id++) {
            world_adopt(w, id, w->newest);
            if (!paxos_proposing(w->machines[id].paxos))
                propose(w, id);
        }
        tick(w);
    }
    assert_true(w->newest > before || before + 1 == WORLD_EPOCHS);
}

static void run(void)
{
    struct world *w = world_create(seed, 1 + (uint32_t)(seed % WORLD_MEMBERS));
    uint32_t fault_percent = (uint32_t)prng_below(&w->prng, 40);
    w->loss_percent = (uint32_t)prng_below(&w->prng, 30);
    w->double_percent = (uint32_t)prng_below(&w->prng, 20);
    for (int i = 0; i < STEPS; i++)
        step(w, fault_percent);
    quiet(w);
    decided_epochs += w->newest - 1;
    for (uint32_t id = 1; id <= WORLD_MEMBERS; id++)
        duels += paxos_counters(w->machines[id].paxos).preempted;
    world_destroy(w);
}

static void test_random(void **state)
{
    (void)state;
    for (seed = first_seed; seed < first_seed + runs; seed++)
        run();
    if (runs < RUNS)
        return;
    assert_true(decided_epochs > 5 * runs); /* the runs are not all noise */
    assert_true(crashes > runs && duels > runs);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_random, tell_seed)};
    take_seeds(argc, argv, rounds_of(RUNS));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
