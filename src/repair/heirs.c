/* Heirs of a note: see heirs.h. */
#include "repair/heirs.h"

static uint32_t add(const struct ring *ring, uint32_t member, uint32_t *out, uint32_t count)
{
    const struct member *m = ring_value_find(&ring->value, member);
    if (m && !m->dead)
        out[count++] = member;
    return count;
}

uint32_t heirs_of(const struct ring *ring, uint32_t partition, uint32_t member, uint32_t out[HOLDERS_MAX])
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, partition, slots);
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i].from != member && slots[i].to != member)
            continue;
        uint32_t heirs = add(ring, slots[i].from, out, 0);
        return slots[i].to == slots[i].from ? heirs : add(ring, slots[i].to, out, heirs);
    }
    return ring_holders(ring, partition, out);
}
