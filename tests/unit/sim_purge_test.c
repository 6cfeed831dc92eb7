/* Whole clusters that forget what was deleted or has expired, and nothing else, and never again know it. */
#include "sim_support.h"

#include <stdio.h>

enum { NODES = 5, KEYS = 40 };

/* A look, the wait, and something for what comes between. */
#define GONE_US (200 * SECOND_US)

static const char *key_of(uint32_t i)
{
    static char key[16];
    snprintf(key, sizeof key, "key%u", i);
    return key;
}

static void count_dead(struct bytes key, const struct row *row, void *arg)
{
    (void)key;
    *(uint32_t *)arg += row_is_dead(row, hlc_from_ms(SIM_WALL_MS));
}

static void count_row(struct bytes key, const struct row *row, void *arg)
{
    (void)key;
    (void)row;
    ++*(uint32_t *)arg;
}

static uint32_t rows(struct sim *s, void (*count)(struct bytes, const struct row *, void *))
{
    uint32_t all = 0;
    for (uint32_t i = 1; i <= NODES; i++)
        sim_store_each(sim_store(s, i), count, &all);
    return all;
}

static void put_all(struct sim *s, uint32_t node, const struct sim_options *options)
{
    uint32_t client = sim_client(s);
    for (uint32_t i = 0; i < KEYS; i++)
        put_ok(s, client, node, key_of(i), "v", options);
}

/* Every second key. */
static void delete_half(struct sim *s, uint32_t node)
{
    uint32_t client = sim_client(s);
    for (uint32_t i = 0; i < KEYS; i += 2)
        expect_status(s, sim_wait(s, sim_delete(s, client, node, key_of(i), NULL)), KV_OK);
}

static void expect_half(struct sim *s)
{
    uint32_t client = sim_client(s);
    for (uint32_t i = 0; i < KEYS; i++) {
        if (i % 2)
            get_is(s, client, 1, key_of(i), "v", NULL);
        else
            expect_status(s, sim_wait(s, sim_get(s, client, 1, key_of(i), NULL)), KV_E_NOT_FOUND);
    }
}

static void what_was_deleted_is_gone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim *s = cluster(seed, NODES);
        put_all(s, 1, NULL);
        delete_half(s, 2);
        expect(s, rows(s, count_dead) == 3 * KEYS / 2);
        sim_run(s, GONE_US);
        expect(s, rows(s, count_row) == 3 * KEYS / 2 && rows(s, count_dead) == 0);
        expect_half(s);
        sim_destroy(s);
    }
}

static void what_has_expired_is_gone(void **state)
{
    (void)state;
    const struct sim_options mortal = {.ttl_ms = 90000};
    struct sim *s = cluster(1, NODES);
    put_all(s, 1, &mortal);
    sim_run(s, 80 * SECOND_US);
    expect(s, rows(s, count_row) == 3 * KEYS);
    sim_run(s, GONE_US);
    expect(s, rows(s, count_row) == 0);
    sim_destroy(s);
}

/* A node that was away for the delete has what was deleted, and hints wait for it: nothing is forgotten until
 * it knows. */
static void who_was_away_brings_nothing_back(void **state)
{
    (void)state;
    for (uint32_t away = 1; away <= NODES; away++) {
        struct sim *s = cluster(away, NODES);
        put_all(s, 1, NULL);
        sim_power_cut(s, away);
        sim_run(s, 10 * SECOND_US);
        delete_half(s, away % NODES + 1);
        uint32_t dead = rows(s, count_dead);
        sim_run(s, 2 * GONE_US);
        expect(s, rows(s, count_dead) >= dead);
        sim_start(s, away);
        expect(s, sim_run_until(s, is_handed_over, NULL, 60 * SECOND_US));
        sim_run(s, 3 * GONE_US);
        expect(s, rows(s, count_dead) == 0);
        expect_half(s);
        sim_destroy(s);
    }
}

/* Cut off, but alive, and written to: a fallback has the delete, the home that is cut off the row. */
static void an_island_brings_nothing_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim *s = cluster(seed, NODES);
        put_all(s, 1, NULL);
        for (uint32_t i = 1; i <= 3; i++) {
            for (uint32_t other = 4; other <= NODES; other++) {
                sim_cut(s, i, other, true);
                sim_cut(s, other, i, true);
            }
        }
        sim_run(s, 20 * SECOND_US);
        delete_half(s, 1);
        sim_run(s, GONE_US);
        expect(s, rows(s, count_dead) > 0);
        sim_heal(s);
        expect(s, sim_run_until(s, is_handed_over, NULL, 100 * SECOND_US));
        sim_run(s, 3 * GONE_US);
        expect(s, rows(s, count_dead) == 0);
        expect_half(s);
        sim_destroy(s);
    }
}

/* All are killed again and again while they purge. */
static void restarts_do_not_matter(void **state)
{
    (void)state;
    struct sim *s = cluster(7, NODES);
    put_all(s, 1, NULL);
    delete_half(s, 2);
    for (uint32_t n = 0; n < 20; n++) {
        uint32_t node = 1 + n % NODES;
        sim_power_cut(s, node);
        sim_run(s, 3 * SECOND_US);
        sim_start(s, node);
        sim_run(s, 20 * SECOND_US);
        expect_half(s);
    }
    sim_run(s, 600 * SECOND_US + GONE_US); /* a start looks everywhere */
    expect(s, rows(s, count_dead) == 0);
    expect_half(s);
    sim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_deleted_is_gone),         cmocka_unit_test(what_has_expired_is_gone),
        cmocka_unit_test(who_was_away_brings_nothing_back), cmocka_unit_test(an_island_brings_nothing_back),
        cmocka_unit_test(restarts_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
