/* Rings of small clusters, also such that change, for tests of what works under them. Sets of members are bit
 * masks: bit i for the member with id i. */
#ifndef TESTS_UNIT_RINGS_H
#define TESTS_UNIT_RINGS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "kv_error.h"
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
static inline struct ring *rings_make(const struct ring_spec *spec)
{
    struct member table[32] = {0};
    bool stable = spec->phase == RING_STABLE;
    struct ring_value v = {
        .epoch = spec->epoch,
        .partitions = RINGS_PARTITIONS,
        .replicas = spec->replicas,
        .next_id = 100,
        .phase = (uint8_t)spec->phase,
        .undo = spec->undo,
        .switched = spec->switched,
        .since = stable ? 0 : spec->since,
        .source_epoch = stable ? 0 : spec->since,
        .members = table,
    };
    if (!stable) {
        v.queue_count = 1;
        v.queue[0] = (struct ring_change){.kind = RING_LEAVE, .member = 1};
    }
    for (uint32_t id = 1; id < 32; id++) {
        bool before = !stable && (spec->before & id_bit(id)), after = spec->after & id_bit(id);
        if (!before && !after)
            continue;
        struct member *m = &table[v.member_count++];
        *m = (struct member){.id = id, .store_id = id, .weight = after, .old_weight = before};
        m->dead = !stable && (spec->dead & id_bit(id));
        snprintf(m->name, sizeof m->name, "n%u", id);
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7600 + id);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

#endif
