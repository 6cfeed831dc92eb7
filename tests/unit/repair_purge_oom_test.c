/* Purge without memory: a round that could not go on is made again, and nothing is lost or left. */
#include "unit/oom.h"

/* Allocations that still succeed inside the part; the one that does not fails the rest of its call, too. */
static int allowed;
static int refused;

static void call_begins(void)
{
    oom_after(allowed);
}

static void call_ended(void)
{
    allowed = oom_left;
    refused += oom_end();
    if (refused)
        allowed = INT_MAX;
}

#define WORLD_CALL(call) \
    do {                 \
        call_begins();   \
        call;            \
        call_ended();    \
    } while (0)

#include "unit/purge_world.h"

enum { KEYS = 3 };

static void a_round_in_which_an_allocation_fails(void **state)
{
    (void)state;
    int n = 0;
    do {
        allowed = INT_MAX;
        struct world *w = world_create(KEYS, false);
        struct row row = dead_row(hlc_of(w, 1));
        for (uint32_t i = 0; i < KEYS; i++)
            write_homes(w, i, &row);
        allowed = n++;
        refused = 0;
        assert_true(world_run(w, PURGE_SPREAD * INTERVAL));
        allowed = INT_MAX;
        for (uint32_t i = 0; i < KEYS && rows_left(w); i++)
            write_homes(w, i, &row); /* a DELETE that a home had no memory for: anti-entropy */
        assert_true(world_run(w, PURGE_SPREAD * INTERVAL + 20 * INTERVAL));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    } while (refused);
    assert_true(n > 10);
}

static void a_purge_that_cannot_be_made(void **state)
{
    (void)state;
    struct purge_config config = {.self = 1, .row_age_max_ms = ROW_AGE_MAX_MS};
    struct purge *purge = NULL;
    int n = 0;
    do {
        oom_after(n++);
        int rc = purge_create(&config, &purge);
        if (oom_end() == 0) {
            assert_int_equal(rc, KV_OK);
            break;
        }
        assert_int_equal(rc, KV_E_NO_MEMORY);
        assert_null(purge);
    } while (true);
    purge_destroy(purge);
    assert_true(n > 1);
}

/* The ring is told of again: the node does not live on without memory for it, but nothing leaks. */
static void a_ring_there_is_no_memory_for(void **state)
{
    (void)state;
    struct ring *ring = world_ring(1, 0);
    struct outbox out;
    assert_int_equal(outbox_init(&out), KV_OK);
    struct purge_turn t = {.now = {START_US, WALL_MS}, .hlc = 5, .said = 5, .out = &out};
    struct purge_config config = {.self = 1, .row_age_max_ms = ROW_AGE_MAX_MS};
    struct purge *purge;
    assert_int_equal(purge_create(&config, &purge), KV_OK);
    int n = 0, rc;
    do {
        oom_after(n++);
        rc = purge_ring_set(purge, &t, ring);
        int hits = oom_end();
        assert_int_equal(rc, hits ? KV_E_NO_MEMORY : KV_OK);
    } while (rc != KV_OK);
    assert_true(n > 2);
    purge_check(purge);
    purge_destroy(purge);
    outbox_deinit(&out);
    ring_destroy(ring);
}

/* A member that there is no memory to remember is away. */
static void a_member_there_is_no_memory_for(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    uint32_t driver = nth(w, 0, 0);
    struct purge_turn t = turn_of(w, driver);
    /* Until its list has to grow. */
    for (uint32_t id = 100; id < 100 + 16 - (MEMBERS - 1); id++)
        purge_peer_set(w->places[driver].purge, &t, id, true);
    purge_peer_set(w->places[driver].purge, &t, 200, true);
    oom_after(0);
    for (uint32_t id = 201; id < 232; id++)
        purge_peer_set(w->places[driver].purge, &t, id, true);
    assert_true(oom_end() > 0);
    struct row row = dead_row(hlc_of(w, 1));
    write_homes(w, 0, &row);
    allowed = INT_MAX;
    assert_true(world_run(w, 4 * INTERVAL));
    assert_int_equal(rows_left(w), 0); /* strangers are nothing to it */
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_in_which_an_allocation_fails),
        cmocka_unit_test(a_purge_that_cannot_be_made),
        cmocka_unit_test(a_ring_there_is_no_memory_for),
        cmocka_unit_test(a_member_there_is_no_memory_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
