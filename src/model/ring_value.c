/* The ring value: what can be one, copies, looking up (see ring_value.h; encoded in ring_codec.c). */
#include "model/ring_value.h"

#include <stdlib.h>

#include "base/hash.h"
#include "kv_error.h"

void ring_value_deinit(struct ring_value *v)
{
    free(v->members);
    *v = (struct ring_value){0};
}

int ring_value_copy(const struct ring_value *from, struct ring_value *to)
{
    struct ring_value copy = *from;
    copy.members = NULL;
    if (from->member_count > 0) {
        copy.members = calloc(from->member_count, sizeof *copy.members);
        if (!copy.members)
            return KV_E_NO_MEMORY;
        memcpy(copy.members, from->members, from->member_count * sizeof *copy.members);
    }
    *to = copy;
    return KV_OK;
}

/* ---- what can be a ring ---------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool addr_empty(const struct addr *a)
{
    return a->host[0] == '\0' && a->port == 0;
}

/* Not known yet, or a whole one. */
static bool addr_known_or_empty(const struct addr *a)
{
    return addr_ok(a) || addr_empty(a);
}

static bool zone_ok(const char *zone)
{
    return zone[0] == '\0' || name_ok(zone);
}

bool ring_change_ok(const struct ring_change *c)
{
    bool weighs = c->weight >= 1 && c->weight <= WEIGHT_MAX;
    if (c->kind == RING_JOIN)
        return c->member == 0 && c->store_id != 0 && weighs && name_ok(c->name) && zone_ok(c->zone) &&
               addr_known_or_empty(&c->addr);
    bool zoned = c->zone[0] != '\0';
    if (c->member == 0 || c->store_id != 0 || c->name[0] != '\0' || !addr_empty(&c->addr))
        return false;
    switch (c->kind) {
    case RING_LEAVE:
    case RING_REMOVE: return c->weight == 0 && !zoned;
    case RING_WEIGHT: return weighs && !zoned;
    case RING_ZONE: return c->weight == 0 && zone_ok(c->zone);
    default: return false;
    }
}

static bool member_ok(const struct member *m, bool stable)
{
    if (m->id == 0 || !name_ok(m->name) || !zone_ok(m->zone) || !addr_known_or_empty(&m->addr) ||
        m->weight > WEIGHT_MAX)
        return false;
    bool before = m->old_weight > 0;
    if (stable)
        return m->weight >= 1 && !before && m->old_zone[0] == '\0' && !m->dead;
    return m->old_weight <= WEIGHT_MAX && zone_ok(m->old_zone) && (before || m->weight >= 1) &&
           (before || (m->old_zone[0] == '\0' && !m->dead));
}

/* Of the members before the change, or after it. A small hash table on the stack: comparing all pairs of a
 * thousand names takes milliseconds. */
static bool names_distinct(const struct ring_value *v, bool before)
{
    uint16_t slots[2 * MEMBERS_MAX] = {0}; /* index + 1; 0: free */
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if ((before ? m->old_weight : m->weight) == 0)
            continue;
        uint32_t at = (uint32_t)hash64(bytes_str(m->name)) % (2 * MEMBERS_MAX);
        for (; slots[at] != 0; at = (at + 1) % (2 * MEMBERS_MAX))
            if (strcmp(v->members[slots[at] - 1].name, m->name) == 0)
                return false;
        slots[at] = (uint16_t)(i + 1);
    }
    return true;
}

/* The epochs of a change follow one another, and each flag is in its phase. */
static bool phase_ok(const struct ring_value *v)
{
    switch (v->phase) {
    case RING_STABLE: return !v->undo && !v->switched && v->since == 0 && v->source_epoch == 0;
    case RING_PENDING:
    case RING_SWITCH: {
        bool pending = v->phase == RING_PENDING;
        return v->queue_count > 0 && v->since != 0 && v->since <= v->source_epoch &&
               (v->source_epoch < v->epoch || (pending && v->source_epoch == v->epoch)) &&
               (pending || (!v->undo && !v->switched));
    }
    default: return false;
    }
}

static bool header_ok(const struct ring_value *v)
{
    return v->epoch != 0 && is_power_of_two(v->partitions) && v->partitions <= RING_PARTITIONS_MAX &&
           v->replicas >= 1 && v->replicas <= REPLICAS_MAX && v->member_count >= 1 &&
           v->member_count <= MEMBERS_MAX && v->queue_count <= RING_QUEUE_MAX && phase_ok(v);
}

static bool members_ok(const struct ring_value *v)
{
    bool stable = v->phase == RING_STABLE;
    uint32_t last_id = 0, before = 0, after = 0;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if (!member_ok(m, stable) || m->id <= last_id || m->id >= v->next_id)
            return false;
        last_id = m->id;
        before += m->old_weight > 0;
        after += m->weight > 0;
    }
    return after > 0 && (stable || before > 0) && names_distinct(v, false) && names_distinct(v, true);
}

/* A ring has no hub; the others have one that stays and that is never given up. */
static bool hub_ok(const struct ring_value *v)
{
    if (v->topology == TOPOLOGY_RING)
        return v->hub == 0;
    const struct member *hub = ring_value_find(v, v->hub);
    return v->topology <= TOPOLOGY_DIRECTORY && hub && hub->weight > 0 && !hub->dead;
}

int ring_value_check(const struct ring_value *v)
{
    if (!header_ok(v) || !members_ok(v) || !hub_ok(v))
        return KV_E_INVALID;
    for (uint32_t i = 0; i < v->queue_count; i++)
        if (!ring_change_ok(&v->queue[i]))
            return KV_E_INVALID;
    return KV_OK;
}

/* ---- looking up ------------------------------------------------------------------------------ */

const struct member *ring_value_find(const struct ring_value *v, uint32_t id)
{
    uint32_t low = 0, high = v->member_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->members[middle].id == id)
            return &v->members[middle];
        if (v->members[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct member *ring_value_find_name(const struct ring_value *v, const char *name)
{
    const struct member *found = NULL;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if ((!found || m->weight > 0) && strcmp(m->name, name) == 0)
            found = m;
    }
    return found;
}
