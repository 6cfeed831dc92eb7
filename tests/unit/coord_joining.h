/* A partition with one slot that moves: member 6 joins five others, N = 3. What the tests of requests under
 * rings that change have in common. */
#ifndef TESTS_UNIT_COORD_JOINING_H
#define TESTS_UNIT_COORD_JOINING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/coord_support.h"

/* Member 6 joins. */
static const struct ring_spec joining = {.phase = RING_PENDING, .before = 0x3e, .after = 0x7e};

/* The slot that moves; its read home, and its twin. */
static inline uint32_t mover(const struct world *w)
{
    uint32_t slot = 0;
    while (slot < w->ring->homes && !w->twins[slot])
        slot++;
    assert_true(slot < w->ring->homes);
    return slot;
}

static inline uint32_t read_home(const struct world *w)
{
    return AT(w, mover(w));
}

static inline uint32_t twin(const struct world *w)
{
    return w->twins[mover(w)];
}

/* The k-th home that does not move. */
static inline uint32_t steady(const struct world *w, uint32_t k)
{
    return AT(w, k < mover(w) ? k : k + 1);
}

/* Five of six members and a key whose partition has one slot that moves to the sixth. The coordinator is a
 * member that is no home of it. */
static inline struct world *joining_create(void)
{
    for (uint32_t self = 1;; self++) {
        assert_true(self <= 5);
        struct world *w = world_create_on(5, 3, self);
        world_pick(w, &joining, 1);
        struct ring_spec spec = joining;
        spec.epoch = spec.since = 2;
        spec.replicas = 3;
        struct ring *ring = rings_make(&spec);
        bool home = ring_is_home(ring, ring_partition(ring, key_token(w->key)), self);
        ring_destroy(ring);
        if (!home) {
            world_peer(w, 6, true);
            return w;
        }
        world_destroy(w);
    }
}

static inline struct world *joining_pending(void)
{
    struct world *w = joining_create();
    world_change(w, &joining);
    world_peer(w, 6, true);
    return w;
}

static inline void go_on(struct world *w, enum ring_phase phase)
{
    struct ring_spec next = joining;
    next.phase = phase;
    world_change(w, &next);
}

static inline uint32_t writes_to(struct world *w, uint32_t member)
{
    return world_letters(w, member, MSG_WRITE);
}

#endif
