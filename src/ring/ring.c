/* The ring as the rest of the node sees it: a table computed once for each epoch (see ring.h). */
#include "ring/ring.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/place.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int ring_create(const struct ring_value *value, struct ring **out)
{
    *out = NULL;
    int status = ring_value_check(value);
    if (status != KV_OK)
        return status;
    struct ring *r = calloc(1, sizeof *r);
    if (!r)
        return KV_E_NO_MEMORY;
    status = ring_value_copy(value, &r->value);
    if (status != KV_OK)
        goto fail;
    r->hash = ring_value_hash(value);
    r->homes = min_u32(value->replicas, value->member_count);
    r->width = min_u32(PREFERENCE_MAX, value->member_count);
    r->table = calloc((size_t)value->partitions * r->width, sizeof *r->table);
    r->owned = calloc(value->member_count, sizeof *r->owned);
    status = r->table && r->owned ? ring_place(r) : KV_E_NO_MEMORY;
    if (status != KV_OK)
        goto fail;
    *out = r;
    return KV_OK;
fail:
    ring_destroy(r);
    return status;
}

void ring_destroy(struct ring *r)
{
    if (!r)
        return;
    ring_value_deinit(&r->value);
    free(r->table);
    free(r->owned);
    free(r);
}

static const uint16_t *list_of(const struct ring *r, uint32_t partition)
{
    KV_ASSERT(partition < r->value.partitions);
    return r->table + (size_t)partition * r->width;
}

uint32_t ring_preference(const struct ring *r, uint32_t partition, uint32_t out[PREFERENCE_MAX])
{
    const uint16_t *list = list_of(r, partition);
    for (uint32_t i = 0; i < r->width; i++)
        out[i] = r->value.members[list[i]].id;
    return r->width;
}

bool ring_is_home(const struct ring *r, uint32_t partition, uint32_t member)
{
    const uint16_t *list = list_of(r, partition);
    for (uint32_t i = 0; i < r->homes; i++)
        if (r->value.members[list[i]].id == member)
            return true;
    return false;
}

uint32_t ring_owned(const struct ring *r, uint32_t member)
{
    const struct member *m = ring_value_find(&r->value, member);
    return m ? r->owned[m - r->value.members] : 0;
}

double ring_max_over_mean(const struct ring *r)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < r->value.member_count; i++)
        weight += r->value.members[i].weight;
    double fair = (double)r->value.partitions * r->homes / (double)weight;
    double most = 0;
    for (uint32_t i = 0; i < r->value.member_count; i++) {
        double load = r->owned[i] / (fair * r->value.members[i].weight);
        most = load > most ? load : most;
    }
    return most;
}

uint32_t ring_moved(const struct ring *a, const struct ring *b)
{
    KV_ASSERT(a->value.partitions == b->value.partitions);
    uint32_t moved = 0;
    for (uint32_t partition = 0; partition < b->value.partitions; partition++) {
        const uint16_t *list = list_of(b, partition);
        for (uint32_t i = 0; i < b->homes; i++)
            moved += !ring_is_home(a, partition, b->value.members[list[i]].id);
    }
    return moved;
}
