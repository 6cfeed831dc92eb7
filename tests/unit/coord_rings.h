/* Rings of small clusters, as the coordinator's tests need them. Sets of members are bit masks: bit i for the
 * member with id i. */
#ifndef TESTS_UNIT_COORD_RINGS_H
#define TESTS_UNIT_COORD_RINGS_H

#include "ring/ring.h"

#define RINGS_PARTITIONS 256u

static inline uint32_t id_bit(uint32_t id)
{
    return UINT32_C(1) << id;
}

/* All of 1..n. */
static inline uint32_t ids_to(uint32_t n)
{
    return (id_bit(n) - 1) * 2;
}

struct ring_spec {
    uint64_t epoch;
    uint32_t replicas;
    enum ring_phase phase;
    uint32_t before; /* STABLE: not used */
    uint32_t after;
    uint32_t dead;
    uint64_t since; /* of the change; STABLE: not used */
    bool undo, switched;
};

/* Fails the test when there can be no such ring. */
struct ring *rings_make(const struct ring_spec *spec);

#endif
