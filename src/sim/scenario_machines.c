/* Stories of clocks and disks. */
#include "kv_error.h"
#include "sim/scenario_table.h"

static void clock_runs_ahead(struct run *r)
{
    expect_put(r, "key", "one", true);
    shift_clock(r, 1, 10000);
    for (uint32_t i = 0; i < 5; i++) {
        rest(r, 2000);
        expect_put(r, "key", i % 2 ? "odd" : "even", true);
        expect_value(r, "key", i % 2 ? "odd" : "even", true);
    }
    say(r, "it starts again with its wrong clock");
    crash(r, 1);
    rest(r, 1000);
    start(r, 1);
    expect_alive(r, 1, 30000);
    expect_put(r, "key", "after", true);
    expect_value(r, "key", "after", true);
    shift_clock(r, 1, 0);
    rest(r, 2000);
    expect_put(r, "key", "again", false);
    expect_value(r, "key", "again", true);
}
const struct scenario scenario_clock_runs_ahead = {
    "clock_runs_ahead", "a node's wall clock is ten seconds ahead, and is set right", 5, clock_runs_ahead};

static void clock_jumps_back(struct run *r)
{
    expect_put(r, "key", "first", false);
    for (uint32_t node = 1; node <= 5; node++) {
        crash(r, node);
        shift_clock(r, node, -3600000);
    }
    rest(r, 500);
    for (uint32_t node = 1; node <= 5; node++)
        start(r, node);
    expect_alive(r, 1, 30000);
    rest(r, 3000);
    say(r, "an hour earlier, the clock of the cluster still goes on from where it was");
    expect_put(r, "key", "second", false);
    expect_value(r, "key", "second", true);
}
const struct scenario scenario_clock_jumps_back = {
    "clock_jumps_back", "all wall clocks go back an hour over a restart", 5, clock_jumps_back};

/* Seed 100213 found it: who connected while its peers' clocks were wrong took its own, right one for wrong,
 * for as long as the connections lasted; its stamps fell behind those of the others. */
static void clocks_set_right(struct run *r)
{
    for (uint32_t node = 1; node <= 4; node++)
        shift_clock(r, node, -30000 * (int64_t)node);
    crash(r, 5);
    rest(r, 1000);
    start(r, 5);
    expect_alive(r, 5, 30000);
    for (uint32_t node = 1; node <= 4; node++)
        shift_clock(r, node, 0);
    rest(r, 20000);
    for (uint32_t node = 1; node <= 5; node++)
        expect(r, lead_of(r, node) < 250 && lead_of(r, node) > -250, "the clocks are seen to agree");
    expect_put(r, "key", "value", true);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_clocks_set_right = {
    "clocks_set_right", "four of five clocks are wrong when a node connects, and are set right", 5,
    clocks_set_right};

static void slow_disk_story(struct run *r)
{
    load(r, 0);
    slow_disk(r, 3, 400);
    for (uint32_t i = 0; i < 20; i++) {
        expect_put(r, "key", i % 2 ? "odd" : "even", true);
        rest(r, 500);
    }
    say(r, "a slow disk is not a dead node");
    expect_never_dead(r, 3);
    expect_value(r, "key", "odd", true);
}
const struct scenario scenario_slow_disk = {"slow_disk", "one disk takes up to 400 ms an operation", 5,
                                            slow_disk_story};

static void full_disk_story(struct run *r)
{
    expect_put(r, "key", "before", true);
    load(r, 0);
    fill_disk(r, 2, true);
    for (uint32_t i = 0; i < 10; i++) {
        expect_put(r, "key", i % 2 ? "odd" : "even", false);
        expect_value(r, "key", i % 2 ? "odd" : "even", false);
        rest(r, 1000);
    }
    say(r, "all are full: writes are refused, reads go on");
    for (uint32_t node = 1; node <= 5; node++)
        fill_disk(r, node, true);
    expect(r, put(r, "key", "no room", false) == KV_E_OVERLOADED, "the put is refused as overloaded");
    expect(r, get(r, "key", false, NULL) == KV_OK, "the get is answered");
    for (uint32_t node = 1; node <= 5; node++)
        fill_disk(r, node, false);
    rest(r, 2000);
    expect_put(r, "key", "room", true);
    expect_value(r, "key", "room", true);
}
const struct scenario scenario_full_disk = {"full_disk", "one disk is full, then all are", 5,
                                            full_disk_story};

static void disk_wiped(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    expect_put(r, "key", "kept", true);
    rest(r, 1000);
    wipe(r, at[0]);
    expect_dead(r, at[0], 40000);
    say(r, "its store is blank: it is a stranger, and does not vote for what it has forgotten");
    rest(r, 5000);
    expect_value(r, "key", "kept", true);
    expect_put(r, "key", "new", true);
    expect_value(r, "key", "new", true);
}
const struct scenario scenario_disk_wiped = {"disk_wiped", "a home comes back with a blank disk", 5,
                                             disk_wiped};
