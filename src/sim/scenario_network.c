/* Stories of the network. */
#include "kv_error.h"
#include "sim/scenario_table.h"

static void split_brain_heals(struct run *r)
{
    expect_put(r, "shared", "before", false);
    load(r, 0);
    split(r, 1u << 1 | 1u << 2);
    rest(r, 20000);
    say(r, "clients are with the three");
    expect_put(r, "shared", "in the majority", false);
    rest(r, 10000);
    heal(r);
    for (uint32_t node = 1; node <= 5; node++)
        expect_alive(r, node, 60000);
    expect_value(r, "shared", "in the majority", true);
}
const struct scenario scenario_split_brain_heals = {
    "split_brain_heals", "two nodes and three cannot reach each other for half a minute", 5,
    split_brain_heals};

static void flaky_link(struct run *r)
{
    load(r, 0);
    say(r, "the link between n1 and n2 comes and goes");
    for (uint32_t i = 0; i < 15; i++) {
        cut(r, 1, 2);
        rest(r, 700);
        heal(r);
        rest(r, 900);
        expect_put(r, "key", "during", true);
    }
    link_of(r, 1, 2)->loss_percent = link_of(r, 2, 1)->loss_percent = 60;
    rest(r, 10000);
    say(r, "the others still reach both: nobody is called dead");
    expect_never_dead(r, 1);
    expect_never_dead(r, 2);
}
const struct scenario scenario_flaky_link = {"flaky_link", "one link comes and goes, and loses much", 5,
                                             flaky_link};

static void one_way_link(struct run *r)
{
    load(r, 0);
    cut_one_way(r, 3, 4);
    rest(r, 20000);
    say(r, "the others probe for n3: it is alive");
    expect_never_dead(r, 4);
    expect_put(r, "key", "value", true);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_one_way_link = {
    "one_way_link", "nothing gets from one node to another; all else does", 5, one_way_link};

static void ring_of_neighbours(struct run *r)
{
    load(r, 0);
    for (uint32_t i = 1; i <= 5; i++)
        for (uint32_t j = i + 2; j <= 5; j++)
            if (!(i == 1 && j == 5))
                cut(r, i, j);
    rest(r, 30000);
    heal(r);
    for (uint32_t node = 1; node <= 5; node++)
        expect_alive(r, node, 60000);
}
const struct scenario scenario_ring_of_neighbours = {
    "ring_of_neighbours", "every node reaches its two neighbours and nobody else", 5, ring_of_neighbours};

static void clogged_link(struct run *r)
{
    expect_put(r, "key", "before", true);
    say(r, "streams between n1 and all others stall; datagrams pass, so gossip sees nothing");
    for (uint32_t other = 2; other <= 5; other++)
        link_of(r, 1, other)->clogged = link_of(r, other, 1)->clogged = true;
    load(r, 0);
    for (uint32_t i = 0; i < 10; i++) {
        expect_put(r, "key", "during", false);
        rest(r, 2000);
    }
    heal(r);
    expect_alive(r, 1, 30000);
    expect_value(r, "key", "during", true);
}
const struct scenario scenario_clogged_link = {
    "clogged_link", "one node's streams stall while its datagrams pass", 5, clogged_link};
