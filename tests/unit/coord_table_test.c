/* The table that the README promises, for five nodes, N=3, R=W=2: every set of dead nodes is tried, and each
 * number is a share of all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/coord_support.h"

enum { NODES = 5 };

/* The key was put when all were alive; these members died since. */
static struct world *world_with_dead(uint32_t dead)
{
    uint32_t self = 1;
    while (dead & 1u << self)
        self++;
    struct world *w = world_create_on(NODES, 3, self);
    for (uint32_t p = 0; p < 3; p++)
        w->replicas[AT(w, p)].row = world_row(w, 5, "old");
    for (uint32_t id = 1; id <= NODES; id++) {
        if (dead & 1u << id)
            world_peer(w, id, false);
    }
    return w;
}

static uint32_t homes_alive(const struct world *w, uint32_t dead)
{
    uint32_t alive = 0;
    for (uint32_t p = 0; p < 3; p++)
        alive += !(dead & 1u << AT(w, p));
    return alive;
}

struct shares {
    uint32_t strict_put, strict_get, sloppy_put, sloppy_get, get_one;
};

static int outcome(struct world *w, bool put, uint8_t flags, uint8_t quorum)
{
    if (put)
        world_put(w, flags, quorum, 9, "new");
    else
        world_get(w, flags, quorum);
    world_serve_all(w);
    world_wait(w, 3000000);
    return world_answer(w)->status;
}

/* Each in a world of its own: a get must not profit from what another repaired. */
static uint32_t succeeds(uint32_t dead, bool put, uint8_t flags, uint8_t quorum)
{
    struct world *w = world_with_dead(dead);
    int status = outcome(w, put, flags, quorum);
    uint32_t alive = (uint32_t)(NODES - __builtin_popcount(dead)), homes = homes_alive(w, dead);
    if (flags & REQ_STRICT)
        assert_int_equal(status, homes >= 2 ? KV_OK : KV_E_UNAVAILABLE);
    else if (alive < (quorum ? quorum : 2u))
        assert_int_equal(status, KV_E_UNAVAILABLE);
    else
        assert_int_equal(status, put || homes > 0 ? KV_OK : KV_E_NOT_FOUND);
    if (status == KV_E_NOT_FOUND)
        assert_int_equal(world_answer(w)->proven, 0);
    world_destroy(w);
    return status == KV_OK;
}

static struct shares shares_of(int dead_count)
{
    struct shares s = {0};
    uint32_t sets = 0;
    for (uint32_t dead = 0; dead < 1u << (NODES + 1); dead += 2) {
        if (__builtin_popcount(dead) != dead_count)
            continue;
        sets++;
        s.strict_put += succeeds(dead, true, REQ_STRICT, 0);
        s.strict_get += succeeds(dead, false, REQ_STRICT, 0);
        s.sloppy_put += succeeds(dead, true, 0, 0);
        s.sloppy_get += succeeds(dead, false, 0, 0);
        s.get_one += succeeds(dead, false, 0, 1);
    }
    return (struct shares){100 * s.strict_put / sets, 100 * s.strict_get / sets, 100 * s.sloppy_put / sets,
                           100 * s.sloppy_get / sets, 100 * s.get_one / sets};
}

static void five_nodes(void **state)
{
    (void)state;
    static const struct shares want[] = {
        {100, 100, 100, 100, 100}, {100, 100, 100, 100, 100}, {70, 70, 100, 100, 100},
        {30, 30, 100, 90, 90},     {0, 0, 0, 0, 60},
    };
    for (int dead = 0; dead <= 4; dead++) {
        struct shares s = shares_of(dead);
        print_message("%d dead: strict put %u get %u, sloppy put %u get %u, get R=1 %u\n", dead, s.strict_put,
                      s.strict_get, s.sloppy_put, s.sloppy_get, s.get_one);
        assert_memory_equal(&s, &want[dead], sizeof s);
    }
}

/* Whoever died during a put, every home ends with the row or a hint for it, as long as two are left. */
static void nobody_is_forgotten(void **state)
{
    (void)state;
    for (uint32_t dead = 0; dead < 1u << (NODES + 1); dead += 2) {
        if (__builtin_popcount(dead) > 3)
            continue;
        struct world *w = world_with_dead(dead);
        assert_int_equal(outcome(w, true, 0, 0), KV_OK);
        for (uint32_t p = 0; p < 3; p++) {
            uint32_t notes = 0;
            for (uint32_t id = 1; id <= NODES; id++) {
                assert_true(!w->replicas[id].hints[AT(w, p)] || (w->accepted[9] & 1u << id));
                notes += w->replicas[id].hints[AT(w, p)];
            }
            assert_int_equal(notes, dead & 1u << AT(w, p) ? 1 : 0);
        }
        assert_int_equal(coord_in_flight(w->coord), 0);
        world_destroy(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_nodes),
        cmocka_unit_test(nobody_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
