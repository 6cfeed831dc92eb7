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

void begin_by_hand(struct ring_value *v)
{
    v->phase = RING_PENDING;
    v->since = v->source_epoch = v->epoch;
    v->queue_count = 1;
    v->queue[0] = (struct ring_change){.kind = RING_LEAVE, .member = 1};
    for (uint32_t i = 0; i < v->member_count; i++) {
        struct member *m = &v->members[i];
        m->old_weight = m->weight;
        memcpy(m->old_zone, m->zone, sizeof m->old_zone);
    }
}

struct ring_value side_of(const struct ring_value *v, bool before)
{
    struct ring_value side = numbered_value(v->member_count, 0);
    side.partitions = v->partitions;
    side.replicas = v->replicas;
    side.next_id = v->next_id;
    side.member_count = 0;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if ((before ? m->old_weight : m->weight) == 0)
            continue;
        struct member *to = &side.members[side.member_count++];
        *to = (struct member){
            .id = m->id, .store_id = m->store_id, .weight = before ? m->old_weight : m->weight};
        memcpy(to->name, m->name, sizeof to->name);
        memcpy(to->zone, before ? m->old_zone : m->zone, sizeof to->zone);
    }
    return side;
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
