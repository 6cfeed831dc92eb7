/* What was told strictly is on disks: the simulation sees when it is not. */
#include "sim_support.h"

#include "sim/internal.h"
#include "sim/rings.h"
#include "sim/settled.h"

enum { NODES = 5 };

static struct stamp stamp_of(struct sim *s, const char *key, const char *value)
{
    const struct row *row = settled_row(s, bytes_str(key), bytes_str(value));
    expect(s, row);
    return row->stamp;
}

static bool is_broken(struct sim *s, const char *key, struct stamp stamp, struct settled *out)
{
    return settled_broken(s, bytes_str(key), stamp, out);
}

static void two_homes_of_three_have_to_have_it(void **state)
{
    (void)state;
    struct sim *s = cluster(1, NODES);
    struct settled found;
    uint32_t at[PREFERENCE_MAX];
    put_ok(s, sim_client(s), 1, "key", "value", &(struct sim_options){.strict = true});
    sim_run(s, SECOND_US);
    struct stamp stamp = stamp_of(s, "key", "value");
    places(s, "key", at);
    expect(s, !is_broken(s, "key", stamp, &found));
    sim_store_damage(sim_store(s, at[0]), bytes_str("key"));
    expect(s, !is_broken(s, "key", stamp, &found));
    sim_kill(s, at[1]); /* what is on its disk is there */
    expect(s, !is_broken(s, "key", stamp, &found));
    sim_store_damage(sim_store(s, at[1]), bytes_str("key"));
    expect(s, is_broken(s, "key", stamp, &found));
    expect(s, found.have == 1 && found.homes == 3 && found.epoch == 1);
    expect(s, settled_row(s, bytes_str("key"), bytes_str("another")) == NULL);
    sim_destroy(s);
}

static void what_is_newer_is_as_good(void **state)
{
    (void)state;
    struct sim *s = cluster(2, NODES);
    struct settled found;
    uint32_t at[PREFERENCE_MAX], client = sim_client(s);
    struct sim_options strict = {.strict = true};
    put_ok(s, client, 1, "key", "old", &strict);
    struct stamp old = stamp_of(s, "key", "old");
    put_ok(s, client, 1, "key", "new", &strict);
    sim_run(s, SECOND_US);
    expect(s, !is_broken(s, "key", old, &found));
    places(s, "key", at);
    sim_store_damage(sim_store(s, at[0]), bytes_str("key"));
    sim_store_damage(sim_store(s, at[2]), bytes_str("key"));
    expect(s, is_broken(s, "key", old, &found));
    sim_destroy(s);
}

/* Dead rows are purged by all: then nothing is missed. */
static void what_was_purged_says_nothing(void **state)
{
    (void)state;
    struct witness witness = {0};
    struct sim *s = world_with((struct sim_config){.seed = 3, .nodes = NODES, .witness = &witness});
    for (uint32_t i = 1; i <= NODES; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 60 * SECOND_US));
    struct settled found;
    struct stamp stamp = {hlc_from_ms(1), 1};
    expect(s, is_broken(s, "key", stamp, &found) && found.have == 0);
    witness_purged(&witness, bytes_str("key"), (struct stamp){hlc_from_ms(2), 1});
    expect(s, !is_broken(s, "key", stamp, &found));
    expect(s, is_broken(s, "key", (struct stamp){hlc_from_ms(3), 1}, &found));
    sim_destroy(s);
    witness_deinit(&witness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_homes_of_three_have_to_have_it),
        cmocka_unit_test(what_is_newer_is_as_good),
        cmocka_unit_test(what_was_purged_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
