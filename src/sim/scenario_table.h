/* The names of all scenarios. Each is a `const struct scenario scenario_NAME` in one of scenario_*.c. */
#ifndef SIM_SCENARIO_TABLE_H
#define SIM_SCENARIO_TABLE_H

#include "sim/scenario.h"

#define SCENARIO_TABLE(X)            \
    X(two_die_one_returns)           \
    X(rolling_restart)               \
    X(pause_and_refute)              \
    X(all_lose_power)                \
    X(split_brain_heals)             \
    X(flaky_link)                    \
    X(one_way_link)                  \
    X(ring_of_neighbours)            \
    X(clogged_link)                  \
    X(clock_runs_ahead)              \
    X(clock_jumps_back)              \
    X(clocks_set_right)              \
    X(slow_disk)                     \
    X(full_disk)                     \
    X(disk_wiped)                    \
    X(deleted_while_away)            \
    X(join_under_load)               \
    X(leave_under_load)              \
    X(three_joins_at_once)           \
    X(remove_dead)                   \
    X(replace_wiped)                 \
    X(store_restored)                \
    X(one_to_five_and_back)          \
    X(partition_during_join)         \
    X(joiner_dies)                   \
    X(source_dies)                   \
    X(proposer_dies)                 \
    X(displaced_home_dies_in_switch) \
    X(switch_half_known)             \
    X(source_behind)                 \
    X(old_epoch_reader)              \
    X(killed_at_message)             \
    X(damaged_store_repaired)        \
    X(tombstones_purged)             \
    X(purge_waits_for_the_absent)    \
    X(home_misses_delete)

/* Those of a topology with a hub. */
#define HUB_SCENARIO_TABLE(X)                    \
    X(hub_coordinates_no_more, TOPOLOGY_CENTRAL) \
    X(hub_tells_no_more, TOPOLOGY_DIRECTORY)

#define SCENARIO_DECLARE(name, ...) extern const struct scenario scenario_##name;
SCENARIO_TABLE(SCENARIO_DECLARE)
HUB_SCENARIO_TABLE(SCENARIO_DECLARE)
#undef SCENARIO_DECLARE

#endif
