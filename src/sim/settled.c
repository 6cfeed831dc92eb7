#include "sim/settled.h"

#include "model/key.h"
#include "sim/internal.h"
#include "sim/rings.h"

const struct row *settled_row(struct sim *s, struct bytes key, struct bytes value)
{
    const struct row *newest = NULL;
    for (uint32_t i = 1; i <= s->config.nodes; i++) {
        const struct row *row = sim_store_row(sim_store(s, i), key);
        if (row && bytes_eq(blob_bytes(row->payload), value) &&
            (!newest || stamp_cmp(row->stamp, newest->stamp) > 0))
            newest = row;
    }
    return newest;
}

static bool has(struct sim *s, uint32_t node, struct bytes key, struct stamp stamp)
{
    const struct row *row = sim_store_row(sim_store(s, node), key);
    return row && stamp_cmp(row->stamp, stamp) >= 0;
}

/* Of the homes before a change, or those after it: too many miss it. One whose disk is gone for good answers
 * nobody, and is none of these. */
static bool side_broken(struct sim *s, bool after, struct bytes key, struct stamp stamp, struct settled *out)
{
    const struct ring *ring = sim_ring(s);
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, ring_partition(ring, key_token(key)), slots), missing = 0;
    *out = (struct settled){.epoch = ring->value.epoch};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t home = after ? slots[i].to : slots[i].from;
        uint32_t node = home ? sim_ring_process(s, ring, home) : 0;
        out->homes += home != 0;
        missing += node && !has(s, node, key, stamp);
    }
    out->have = out->homes - missing;
    return out->have < out->homes / 2 + 1;
}

/* Whether a majority of a ring's homes still answers under it, and does not have it. */
static bool older_broken(struct sim *s, const struct ring *ring, struct bytes key, struct stamp stamp,
                         struct settled *out)
{
    uint32_t homes[PREFERENCE_MAX], missing = 0;
    ring_preference(ring, ring_partition(ring, key_token(key)), homes);
    for (uint32_t i = 0; i < ring->homes; i++) {
        uint32_t node = sim_ring_process(s, ring, homes[i]);
        const struct node *n = node ? sim_node(s, node) : NULL;
        missing +=
            n && node_ring(n) && node_ring(n)->value.epoch == ring->value.epoch && !has(s, node, key, stamp);
    }
    *out = (struct settled){ring->value.epoch, ring->homes - missing, ring->homes};
    return missing >= ring->homes / 2 + 1;
}

bool settled_broken(struct sim *s, struct bytes key, struct stamp stamp, struct settled *out)
{
    const struct ring *newest = sim_ring(s);
    if (sim_ring_gives_up(&newest->value) ||
        (s->config.witness && witness_may_be_purged(s->config.witness, key, stamp)))
        return false;
    if (side_broken(s, newest->value.phase == RING_SWITCH, key, stamp, out) ||
        (newest->value.phase == RING_SWITCH && side_broken(s, false, key, stamp, out)))
        return true;
    for (uint32_t i = 1; i <= s->config.nodes; i++) {
        const struct ring *ring = sim_node(s, i) ? node_ring(sim_node(s, i)) : NULL;
        if (ring && ring->value.epoch < newest->value.epoch && !sim_ring_gives_up(&ring->value) &&
            older_broken(s, ring, key, stamp, out))
            return true;
    }
    return false;
}
