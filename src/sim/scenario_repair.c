/* Stories of rows that are repaired, and of dead ones that are purged. */
#include "kv_error.h"
#include "sim/scenario_table.h"

#define PURGED_MS UINT64_C(180000) /* the wait of a minute, and a few looks */

static void damaged_store_repaired(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    expect_put(r, "key", "value", true);
    expect_rows(r, "key", 3, 10000);
    damage(r, at[0], "key");
    damage(r, at[1], "key");
    say(r, "nobody reads it, and the third home gives it back");
    expect_rows(r, "key", 3, 60000);
    expect_value(r, "key", "value", true);
}
const struct scenario scenario_damaged_store_repaired = {
    "damaged_store_repaired", "two of three homes lose a row behind their backs; nobody reads it", 5,
    damaged_store_repaired};

static void tombstones_purged(struct run *r)
{
    expect_put(r, "key", "value", true);
    expect_rows(r, "key", 3, 10000);
    expect(r, del(r, "key", true) == KV_OK, "it is deleted");
    expect_rows(r, "key", 0, PURGED_MS);
    expect_absent(r, "key");
    expect_put(r, "key", "again", true);
    expect_value(r, "key", "again", true);
}
const struct scenario scenario_tombstones_purged = {
    "tombstones_purged", "a key is deleted, and after a while no store knows of it", 5, tombstones_purged};

static void purge_waits_for_the_absent(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    expect_put(r, "key", "value", true);
    expect_rows(r, "key", 3, 10000);
    say(r, "who is no home of it might have a row, too");
    crash(r, at[3]);
    expect_dead(r, at[3], 30000);
    expect(r, del(r, "key", true) == KV_OK, "it is deleted");
    rest(r, PURGED_MS);
    expect_rows(r, "key", 3, 1);
    start(r, at[3]);
    expect_alive(r, at[3], 30000);
    expect_rows(r, "key", 0, 2 * PURGED_MS);
    expect_absent(r, "key");
}
const struct scenario scenario_purge_waits_for_the_absent = {"purge_waits_for_the_absent",
                                                             "nothing is purged before all have answered", 5,
                                                             purge_waits_for_the_absent};

static void home_misses_delete(struct run *r)
{
    uint32_t at[PREFERENCE_MAX];
    places_of(r, "key", at);
    expect_put(r, "key", "value", true);
    expect_rows(r, "key", 3, 10000);
    split(r, 1u << at[0]);
    expect(r, del(r, "key", true) == KV_OK, "it is deleted while a home is cut off");
    rest(r, PURGED_MS);
    heal(r);
    say(r, "the home has the old row; it must not bring it back");
    expect_rows(r, "key", 0, 2 * PURGED_MS);
    expect_absent(r, "key");
}
const struct scenario scenario_home_misses_delete = {
    "home_misses_delete", "a home is cut off during a delete and longer than a purge takes", 5,
    home_misses_delete};
