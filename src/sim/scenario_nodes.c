/* Stories of processes. */
#include "kv_error.h"
#include "sim/scenario_table.h"

static void two_die_one_returns(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "greeting", at);
    expect_put(r, "greeting", "one", true);
    say(r, "two of the three homes die");
    crash(r, at[0]);
    crash(r, at[1]);
    expect_dead(r, at[0], 30000);
    expect_dead(r, at[1], 30000);
    expect(r, put(r, "greeting", "never", true) != KV_OK, "a strict put needs a second home, and fails");
    expect_put(r, "guest", "two", false);
    expect_put(r, "greeting", "three", false);
    start(r, at[0]);
    expect_alive(r, at[0], 30000);
    expect_value(r, "greeting", "three", true);
    expect_put(r, "greeting", "four", true);
    expect_value(r, "greeting", "four", true);
}
const struct scenario scenario_two_die_one_returns = {
    "two_die_one_returns", "two of three homes die; sloppy puts go on, and one returns", 5,
    two_die_one_returns};

static void rolling_restart(struct run *r)
{
    load(r, 0);
    for (uint32_t node = 1; node <= 5; node++) {
        stop(r, node);
        rest(r, 1500);
        expect_put(r, "during", node % 2 ? "odd" : "even", true);
        start(r, node);
        expect_alive(r, node, 20000);
    }
    expect_value(r, "during", "odd", true);
}
const struct scenario scenario_rolling_restart = {
    "rolling_restart", "one node after the other is stopped and started under load", 5, rolling_restart};

static void pause_and_refute(struct run *r)
{
    expect_put(r, "key", "before", true);
    hold(r, 2);
    expect_dead(r, 2, 40000);
    expect_put(r, "key", "meanwhile", true);
    resume(r, 2);
    expect_alive(r, 2, 20000);
    expect_value(r, "key", "meanwhile", true);
}
const struct scenario scenario_pause_and_refute = {
    "pause_and_refute", "a node stands still until it is called dead, goes on and refutes it", 5,
    pause_and_refute};

static void all_lose_power(struct run *r)
{
    expect_put(r, "key", "kept", true);
    expect_put(r, "other", "kept too", false);
    for (uint32_t node = 1; node <= 5; node++)
        power_cut(r, node);
    rest(r, 3000);
    for (uint32_t node = 5; node >= 1; node--) {
        start(r, node);
        rest(r, 700);
    }
    expect_alive(r, 1, 30000);
    rest(r, 3000);
    expect_value(r, "key", "kept", true);
    expect_value(r, "other", "kept too", true);
}
const struct scenario scenario_all_lose_power = {
    "all_lose_power", "every machine loses power at once; what was acknowledged is there", 5, all_lose_power};

static void deleted_while_away(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "secret", at);
    expect_put(r, "secret", "old", true);
    rest(r, 1000);
    crash(r, at[0]);
    expect_dead(r, at[0], 30000);
    expect(r, del(r, "secret", true) == KV_OK, "the delete is acknowledged without the home that is away");
    start(r, at[0]);
    expect_alive(r, at[0], 30000);
    say(r, "the others go, and the one that was away must not bring it back");
    expect_absent(r, "secret");
    rest(r, 5000);
    expect_absent(r, "secret");
}
const struct scenario scenario_deleted_while_away = {
    "deleted_while_away", "a key is deleted while a home of it is away", 5, deleted_while_away};
