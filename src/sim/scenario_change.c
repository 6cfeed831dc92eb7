/* Stories of what goes wrong while the ring changes. */
#include <stdio.h>

#include "kv_error.h"
#include "model/key.h"
#include "sim/rings.h"
#include "sim/scenario_table.h"

#define CHANGE_MS UINT64_C(180000) /* a change and its undoing, and once more */
#define FAR_MS    UINT64_C(60)     /* a message that has to be later than whoever sent it goes on */

static void partition_during_join(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "before", true);
    join(r);
    expect_phase(r, RING_PENDING, 30000);
    split(r, 1u << 1 | 1u << 2);
    rest(r, 1000);
    uint64_t epoch = epoch_of(r, 1) > epoch_of(r, 2) ? epoch_of(r, 1) : epoch_of(r, 2);
    rest(r, 30000);
    expect(r, epoch_of(r, 1) <= epoch && epoch_of(r, 2) <= epoch, "the minority has changed nothing");
    heal(r);
    expect_members(r, 6, CHANGE_MS);
    expect(r, put(r, "key", "after", true) == KV_OK, "strict puts are taken again");
    expect_value(r, "key", "after", true);
}
const struct scenario scenario_partition_during_join = {
    "partition_during_join", "the network splits 2|3 while a node joins", 5, partition_during_join};

static void joiner_dies(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "before", true);
    uint32_t joiner = join(r);
    expect_phase(r, RING_PENDING, 30000);
    crash(r, joiner);
    expect_put(r, "key", "meanwhile", true);
    expect_members(r, 5, CHANGE_MS);
    expect_put(r, "key", "after", true);
    start(r, joiner);
    expect_members(r, 6, CHANGE_MS);
    expect_value(r, "key", "after", true);
}
const struct scenario scenario_joiner_dies = {
    "joiner_dies", "who joins dies: the change is undone, and made when it comes again", 5, joiner_dies};

static void source_dies(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "before", true);
    join(r);
    expect_phase(r, RING_PENDING, 30000);
    uint32_t source = displaced(r);
    crash(r, source);
    expect_members(r, 6, CHANGE_MS);
    expect_value(r, "key", "before", true);
    start(r, source);
}
const struct scenario scenario_source_dies = {"source_dies", "who hands over dies: the others do it", 5,
                                              source_dies};

static void proposer_dies(struct run *r)
{
    load(r, 0);
    join(r);
    expect_phase(r, RING_PENDING, 30000);
    say(r, "n1 goes first, by courtesy; any other can");
    crash(r, 1);
    expect_members(r, 6, CHANGE_MS);
    start(r, 1);
}
const struct scenario scenario_proposer_dies = {
    "proposer_dies", "who proposes the steps dies after the first", 5, proposer_dies};

static void displaced_home_dies_in_switch(struct run *r)
{
    load(r, 0);
    expect_put(r, "key", "before", true);
    join(r);
    expect_phase(r, RING_SWITCH, 60000);
    uint32_t home = displaced(r);
    crash(r, home);
    expect_members(r, 6, CHANGE_MS);
    expect_value(r, "key", "before", true);
    start(r, home);
}
const struct scenario scenario_displaced_home_dies_in_switch = {
    "displaced_home_dies_in_switch", "an old home dies after the new ones are read", 5,
    displaced_home_dies_in_switch};

/* Two homes that still read as before the change are a majority of what both are homes of: nobody may do
 * without the displaced one before it knows. */
static void switch_half_known(struct run *r)
{
    uint32_t behind = 0, count = 0;
    load(r, 0);
    expect_put(r, "key", "before", true);
    join(r);
    expect_phase(r, RING_SWITCH, 60000);
    for (uint32_t node = 1; node <= 5 && count < 2; node++) {
        if (epoch_of(r, node) == sim_ring(sim_of(r))->value.epoch)
            continue;
        behind |= 1u << node;
        count++;
    }
    expect(r, count == 2, "one has gone on to SWITCH, others have not heard of it");
    split(r, behind);
    rest(r, 10000);
    heal(r);
    expect_members(r, 6, CHANGE_MS);
    expect_value(r, "key", "before", true);
}
const struct scenario scenario_switch_half_known = {
    "switch_half_known", "two are cut off when the first goes on to SWITCH", 5, switch_half_known};

/* A key of the first partition that `node` is no home of. */
static void find_key_without(struct run *r, uint32_t node, char key[32])
{
    const struct ring *ring = sim_ring(sim_of(r));
    uint32_t member = sim_member(sim_of(r), node), partition = 0, number = 0;
    while (ring_is_home(ring, partition, member))
        partition++;
    do
        snprintf(key, 32, "key-%u", ++number);
    while (ring_partition(ring, key_token(bytes_str(key))) != partition);
}

static void make_far(struct run *r, uint32_t from, uint32_t to)
{
    struct sim_link *link = link_of(r, from, to);
    link->delay_min_us = link->delay_max_us = FAR_MS * 1000;
}

/* Of a key's homes n1, n3, n4 the last hands over to n2, which asks it for a page before it knows why: what
 * it hears first is the question. Then it hears nothing more, and acknowledges a put together with n3, which
 * is cut off from n1 and n2. The page has not got that, and two homes of the three after the change would be
 * without it: so such a page must not be given. */
static void source_behind(struct run *r)
{
    struct sim *s = sim_of(r);
    char key[32];
    find_key_without(r, 2, key);
    expect_put(r, key, "before", true);
    make_far(r, 1, 3);
    make_far(r, 1, 4);
    make_far(r, 2, 4);
    leave(r, 4);
    expect_phase(r, RING_PENDING, 30000);
    uint64_t epoch = sim_ring(s)->value.epoch;
    split(r, 1u << 0 | 1u << 3);
    sim_cut(s, 3, 4, false);
    sim_cut(s, 4, 3, false);
    cut_one_way(r, 1, 4);
    rest(r, FAR_MS + FAR_MS / 2);
    cut_one_way(r, 2, 4);
    expect_put(r, key, "meanwhile", true);
    expect(r, epoch_of(r, 2) == epoch && epoch_of(r, 3) < epoch && epoch_of(r, 4) < epoch,
           "n2 knows of the change, and n3 and n4 took the put without");
    sim_cut(s, 1, 4, false);
    sim_cut(s, 2, 4, false);
    expect_phase(r, RING_SWITCH, 60000);
    heal(r);
    expect_members(r, 3, CHANGE_MS);
    expect_value(r, key, "meanwhile", true);
}
const struct scenario scenario_source_behind = {
    "source_behind", "who hands over takes a put after it was asked, and before it knows why", 4,
    source_behind};

/* Alone it has one home of three at most, whatever ring it believes in. */
static void old_epoch_reader(struct run *r)
{
    struct sim *s = sim_of(r);
    struct sim_options options = {.strict = true};
    uint32_t client = sim_client(s), at[PREFERENCE_MAX];
    places_of(r, "key", at);
    expect_put(r, "key", "old", true);
    split(r, 1u << at[0]);
    sim_cut(s, 0, at[0], false);
    sim_cut(s, at[0], 0, false);
    join(r);
    expect_members(r, 6, CHANGE_MS);
    expect_put(r, "key", "new", true);
    const struct sim_reply *reply = sim_wait(s, sim_get(s, client, at[0], "key", &options));
    expect(r, reply->status != KV_OK, "who was cut off all the time gives no strict answer");
    heal(r);
    expect_alive(r, at[0], 30000);
    rest(r, 3000); /* until it has dialled them, too */
    reply = sim_wait(s, sim_get(s, client, at[0], "key", &options));
    expect(r, reply->status == KV_OK && strcmp((const char *)reply->value.data, "new") == 0,
           "and the newest when it is back");
}
const struct scenario scenario_old_epoch_reader = {
    "old_epoch_reader", "a home is cut off during a whole change, and asked meanwhile", 5, old_epoch_reader};

/* Three changes, and in each another one dies as soon as it has sent some number of messages. The seeds
 * 1 to 400 have every number, a few seeds have numbers far apart. */
static void killed_at_message(struct run *r)
{
    uint64_t count = seed_of(r) * 61 % 400;
    load(r, 0);
    expect_put(r, "key", "value", true);
    uint32_t joiner = join(r);
    crash_after(r, joiner, count);
    rest(r, 1000);
    start(r, joiner);
    expect_members(r, 6, CHANGE_MS);

    join(r);
    crash_after(r, 1, count);
    rest(r, 1000);
    start(r, 1);
    expect_members(r, 7, CHANGE_MS);

    join(r);
    expect_phase(r, RING_PENDING, 30000);
    uint32_t source = displaced(r);
    crash_after(r, source, count);
    rest(r, 1000);
    start(r, source);
    expect_members(r, 8, CHANGE_MS);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_killed_at_message = {
    "killed_at_message", "who joins, who proposes, who hands over: killed after so many messages", 5,
    killed_at_message};
