/* Stories of topologies with a hub, which is n1. */
#include <stdio.h>

#include "kv_error.h"
#include "sim/rings.h"
#include "sim/scenario_table.h"

/* No member has been told at any time that another one than `node` is dead. */
static void expect_others_spared(struct run *r, uint32_t node)
{
    bool spared = true;
    for (uint32_t about = 1; about <= 5; about++) {
        char text[64];
        snprintf(text, sizeof text, "event=member_dead member=%u ", sim_member(sim_of(r), about));
        for (uint32_t told = 1; told <= 5 && about != node; told++)
            spared = spared && !sim_logged(sim_of(r), told, text);
    }
    expect(r, spared, "nobody else was called dead");
}

/* One dies while the hub is away. The new life of the hub has to find that out by itself, and takes nobody
 * for dead whom it only has not heard yet. */
static void hub_away(struct run *r, uint32_t node, void (*meanwhile)(struct run *r))
{
    expect_put(r, "key", "before", true);
    crash(r, 1);
    crash(r, node);
    rest(r, 5000);
    meanwhile(r);
    expect_never_dead(r, node);
    start(r, 1);
    expect_dead(r, node, 30000);
    expect_others_spared(r, node);
    expect_put(r, "key", "after", true);
    start(r, node);
    expect_alive(r, node, 30000);
    expect_value(r, "key", "after", true);
}

/* Of those that are no homes of the key, nor the hub. */
static uint32_t bystander(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    return at[3] == 1 ? at[4] : at[3];
}

static void expect_no_put(struct run *r)
{
    struct sim *s = sim_of(r);
    struct sim_options options = {.there = true};
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    uint32_t home = at[0] == 1 ? at[1] : at[0];
    const struct sim_reply *reply = sim_wait(s, sim_put(s, sim_client(s), home, "key", "never", &options));
    expect(r, reply->status == KV_E_NOT_COORDINATOR, "a home coordinates nothing, and says so");
    expect(r, put(r, "key", "never", true) != KV_OK, "nobody else does while the hub is away");
}

static void hub_coordinates_no_more(struct run *r)
{
    hub_away(r, bystander(r), expect_no_put);
}
const struct scenario scenario_hub_coordinates_no_more = {
    "hub_coordinates_no_more", "central: the hub dies, then a member, and the hub returns", 5,
    hub_coordinates_no_more};

static void expect_a_put(struct run *r)
{
    say(r, "who has the list goes on with it");
    expect_put(r, "key", "meanwhile", true);
}

static void hub_tells_no_more(struct run *r)
{
    hub_away(r, bystander(r), expect_a_put);
}
const struct scenario scenario_hub_tells_no_more = {
    "hub_tells_no_more", "directory: the hub dies, then a member, and the hub returns", 5, hub_tells_no_more};
