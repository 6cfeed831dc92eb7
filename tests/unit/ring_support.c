#include "unit/ring_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

struct ring_value numbered_value(uint32_t count, uint32_t left_out)
{
    struct ring_value v = {
        .epoch = 1, .partitions = RING_PARTITIONS, .replicas = REPLICAS_DEFAULT, .next_id = count + 1};
    v.members = calloc(count, sizeof *v.members);
    KV_ASSERT(v.members);
    for (uint32_t id = 1; id <= count; id++) {
        if (id == left_out)
            continue;
        struct member *m = &v.members[v.member_count++];
        *m = (struct member){.id = id, .store_id = id, .weight = 1};
        snprintf(m->name, sizeof m->name, "n%u", id);
    }
    return v;
}

struct ring *ring_taking(struct ring_value *value_owned)
{
    struct ring *r;
    int status = ring_create(value_owned, &r);
    KV_ASSERT(status == 0);
    ring_value_deinit(value_owned);
    return r;
}

struct ring *numbered_ring(uint32_t count, uint32_t left_out)
{
    struct ring_value v = numbered_value(count, left_out);
    return ring_taking(&v);
}

uint64_t table_hash(const struct ring *r)
{
    uint64_t hash = 0;
    for (uint32_t p = 0; p < r->value.partitions; p++) {
        uint32_t list[PREFERENCE_MAX];
        uint8_t bytes[4 * PREFERENCE_MAX];
        uint32_t count = ring_preference(r, p, list);
        for (uint32_t i = 0; i < count; i++)
            be32_put(bytes + (size_t)4 * i, list[i]);
        hash = hash64_seeded(bytes_of(bytes, (size_t)4 * count), hash);
    }
    return hash;
}

static void check_list(const struct ring *r, uint32_t partition)
{
    uint32_t list[PREFERENCE_MAX];
    uint32_t count = ring_preference(r, partition, list);
    KV_ASSERT(count == r->width);
    for (uint32_t i = 0; i < count; i++) {
        KV_ASSERT(ring_value_find(&r->value, list[i]));
        KV_ASSERT(ring_is_home(r, partition, list[i]) == (i < r->homes));
        for (uint32_t k = 0; k < i; k++)
            KV_ASSERT(list[i] != list[k]);
    }
}

void check_table(const struct ring *r)
{
    uint32_t members = r->value.member_count;
    KV_ASSERT(r->homes == (members < r->value.replicas ? members : r->value.replicas));
    KV_ASSERT(r->width == (members < PREFERENCE_MAX ? members : PREFERENCE_MAX));
    for (uint32_t p = 0; p < r->value.partitions; p++)
        check_list(r, p);
    uint64_t owned = 0;
    for (uint32_t i = 0; i < members; i++)
        owned += ring_owned(r, r->value.members[i].id);
    KV_ASSERT(owned == (uint64_t)r->value.partitions * r->homes);
}
