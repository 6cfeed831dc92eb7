/* Stories of rings that change, undisturbed and in time. Those of faults meanwhile are in scenario_change.c.
 */
#include "kv_error.h"
#include "sim/rings.h"
#include "sim/scenario_table.h"

static void join_under_load(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "before", true);
    uint32_t joiner = join(r);
    expect_phase(r, RING_PENDING, 30000);
    expect_put(r, "key", "meanwhile", true);
    expect_members(r, 6, 120000);
    expect(r, ring_owned(sim_ring(sim_of(r)), sim_member(sim_of(r), joiner)) > 0, "it has a share");
    expect_value(r, "key", "meanwhile", true);
}
const struct scenario scenario_join_under_load = {"join_under_load", "a node joins while clients work", 5,
                                                  join_under_load};

static void leave_under_load(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    load(r, 0);
    places_of(r, "key", at);
    expect_put(r, "key", "before", true);
    leave(r, at[0]);
    expect_phase(r, RING_PENDING, 30000);
    expect_put(r, "key", "meanwhile", true);
    expect_members(r, 4, 120000);
    expect_value(r, "key", "meanwhile", true);
    leave(r, at[1]);
    expect_members(r, 3, 120000);
    expect_value(r, "key", "meanwhile", true);
}
const struct scenario scenario_leave_under_load = {
    "leave_under_load", "two homes of a key leave, one after the other, while clients work", 5,
    leave_under_load};

static void three_joins_at_once(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "value", true);
    for (uint32_t i = 0; i < 3; i++)
        join(r);
    expect_members(r, 8, 300000);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_three_joins_at_once = {"three_joins_at_once", "three nodes join: they queue",
                                                      5, three_joins_at_once};

static void remove_dead(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    load(r, 0);
    places_of(r, "key", at);
    expect_put(r, "key", "value", true);
    rest(r, 1000);
    lose(r, at[0]);
    expect_members(r, 4, 120000);
    expect_value(r, "key", "value", true);
    say(r, "the key has three homes again: another may go");
    places_of(r, "key", at);
    rest(r, 5000);
    crash(r, at[0]);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_remove_dead = {"remove_dead", "a machine is lost for ever, and removed", 5,
                                              remove_dead};

static void replace_wiped(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    load(r, 0);
    places_of(r, "key", at);
    expect_put(r, "key", "value", true);
    rest(r, 1000);
    uint32_t member = sim_member(sim_of(r), at[0]);
    wipe(r, at[0]);
    rest(r, 2000);
    expect_replaced(r, at[0], member, 120000);
    expect_members(r, 5, 120000);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_replace_wiped = {
    "replace_wiped", "a home loses its disk and is replaced by itself, under its old name", 5, replace_wiped};

static void store_restored(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    load(r, 0);
    places_of(r, "key", at);
    expect_put(r, "key", "old", true);
    rest(r, 1000);
    uint32_t member = sim_member(sim_of(r), at[0]);
    put_back(r, at[0], 5000);
    expect_put(r, "key", "new", true);
    rest(r, 6000);
    say(r, "its store is older than what it has acknowledged: it does not vote, and joins as new");
    expect_value(r, "key", "new", true);
    expect_replaced(r, at[0], member, 120000);
    expect_value(r, "key", "new", true);
}
const struct scenario scenario_store_restored = {
    "store_restored", "a home is put back to a backup, is refused and joins as new", 5, store_restored};

static void one_to_five_and_back(struct run *r)
{
    uint32_t joined[4];
    expect_put(r, "key", "alone", true);
    for (uint32_t i = 0; i < 4; i++) {
        joined[i] = join(r);
        expect_members(r, i + 2, 120000);
        expect_value(r, "key", "alone", true);
    }
    expect_put(r, "key", "in company", true);
    for (uint32_t i = 4; i > 0; i--) {
        leave(r, joined[i - 1]);
        expect_members(r, i, 120000);
        expect_value(r, "key", "in company", true);
    }
}
const struct scenario scenario_one_to_five_and_back = {
    "one_to_five_and_back", "a single node grows to a cluster of five, and shrinks again", 1,
    one_to_five_and_back};
