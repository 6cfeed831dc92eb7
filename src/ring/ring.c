/* The ring as the rest of the node sees it: a table computed once for each epoch (see ring.h). */
#include "ring/ring.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/side.h"
#include "ring/slots.h"

/* The lists of a STABLE ring are its table. */
static void use_lists(struct ring *r)
{
    r->homes = r->after->homes;
    r->width = r->after->width;
    r->table = r->after->table;
    r->owned = r->after->owned;
}

static int fill(struct ring *r, const struct ring *earlier)
{
    bool stable = r->value.phase == RING_STABLE;
    int status = stable ? KV_OK : ring_side_place(&r->value, true, earlier, &r->before);
    if (status == KV_OK)
        status = ring_side_place(&r->value, false, earlier, &r->after);
    if (status != KV_OK || !stable)
        return status == KV_OK ? ring_pair_up(r) : status;
    use_lists(r);
    return KV_OK;
}

int ring_create_after(const struct ring_value *value, const struct ring *earlier, struct ring **out)
{
    *out = NULL;
    int status = ring_value_check(value);
    if (status != KV_OK)
        return status;
    struct ring *r = calloc(1, sizeof *r);
    if (!r)
        return KV_E_NO_MEMORY;
    status = ring_value_copy(value, &r->value);
    if (status == KV_OK)
        status = fill(r, earlier);
    if (status != KV_OK) {
        ring_destroy(r);
        return status;
    }
    r->hash = ring_value_hash(value);
    *out = r;
    return KV_OK;
}

int ring_create(const struct ring_value *value, struct ring **out)
{
    return ring_create_after(value, NULL, out);
}

void ring_destroy(struct ring *r)
{
    if (!r)
        return;
    if (!r->after || r->table != r->after->table) { /* its own, and not the lists' */
        free(r->table);
        free(r->owned);
    }
    free(r->twins);
    free(r->pairs);
    ring_lists_release(r->before);
    ring_lists_release(r->after);
    ring_value_deinit(&r->value);
    free(r);
}

static const uint16_t *list_of(const struct ring *r, uint32_t partition)
{
    KV_ASSERT(partition < r->value.partitions);
    return r->table + (size_t)partition * r->width;
}

static uint32_t id_of(const struct ring *r, uint16_t index)
{
    return index == RING_NOBODY ? 0 : r->value.members[index].id;
}

uint32_t ring_preference(const struct ring *r, uint32_t partition, uint32_t out[PREFERENCE_MAX])
{
    const uint16_t *list = list_of(r, partition);
    uint32_t count = 0;
    while (count < r->width && list[count] != RING_NOBODY) {
        out[count] = id_of(r, list[count]);
        count++;
    }
    return count;
}

uint32_t ring_slots(const struct ring *r, uint32_t partition, struct ring_slot out[REPLICAS_MAX])
{
    const uint16_t *list = list_of(r, partition);
    uint32_t count = r->pairs ? r->twin_width : r->homes;
    for (uint32_t i = 0; i < count; i++) {
        struct ring_pair p = {list[i], list[i]};
        if (r->pairs)
            p = r->pairs[(size_t)partition * r->twin_width + i];
        out[i] = (struct ring_slot){id_of(r, p.from), id_of(r, p.to)};
    }
    return count;
}

uint32_t ring_holders(const struct ring *r, uint32_t partition, uint32_t out[2 * REPLICAS_MAX])
{
    const uint16_t *list = list_of(r, partition);
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->homes; i++)
        if (!r->value.members[list[i]].dead)
            out[count++] = id_of(r, list[i]);
    for (uint32_t i = 0; i < r->twin_width; i++) {
        uint16_t twin = r->twins[(size_t)partition * r->twin_width + i];
        if (twin != RING_NOBODY)
            out[count++] = id_of(r, twin);
    }
    return count;
}

bool ring_is_home(const struct ring *r, uint32_t partition, uint32_t member)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(r, partition, slots);
    for (uint32_t i = 0; i < count; i++)
        if (member != 0 && (slots[i].from == member || slots[i].to == member))
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
    uint64_t weight = 0, homes = 0;
    for (uint32_t i = 0; i < r->value.member_count; i++) {
        weight += r->value.members[i].weight;
        homes += r->owned[i];
    }
    double fair = (double)homes / (double)weight;
    double most = 0;
    for (uint32_t i = 0; i < r->value.member_count; i++) {
        if (r->value.members[i].weight == 0)
            continue; /* it leaves, and will be no home of anything */
        double load = r->owned[i] / (fair * r->value.members[i].weight);
        most = load > most ? load : most;
    }
    return most;
}

/* Whether a member holds the rows of a partition, and not only will. */
static bool holds(const struct ring *r, uint32_t partition, uint32_t member)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(r, partition, slots);
    for (uint32_t i = 0; i < count; i++)
        if (slots[i].from == member || (r->value.phase == RING_SWITCH && slots[i].to == member))
            return true;
    return false;
}

uint32_t ring_moved(const struct ring *a, const struct ring *b)
{
    KV_ASSERT(a->value.partitions == b->value.partitions);
    uint32_t moved = 0;
    for (uint32_t partition = 0; partition < b->value.partitions; partition++) {
        struct ring_slot slots[REPLICAS_MAX];
        uint32_t count = ring_slots(b, partition, slots);
        for (uint32_t i = 0; i < count; i++)
            moved += slots[i].to != 0 && !holds(a, partition, slots[i].to);
    }
    return moved;
}
