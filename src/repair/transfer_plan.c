/* What a node gains by a change of the ring, and whom it could have it from. */
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "kv_error.h"

#include <stdlib.h>

/* Those who could be read for one partition, and how many of them have to be. */
struct sources {
    uint32_t members[REPLICAS_MAX]; /* indexes into the ring value's */
    uint32_t count;
    uint32_t need;
    bool lost;
};

static bool is_left(const struct ring *ring, uint32_t id, uint32_t *index)
{
    const struct member *m = id ? ring_value_find(&ring->value, id) : NULL;
    if (!m || m->dead)
        return false;
    *index = (uint32_t)(m - ring->value.members);
    return true;
}

/* The old homes that are left, but for this node. */
static void other_homes(const struct ring *ring, uint32_t self, const struct ring_slot *slots, uint32_t count,
                        struct sources *out)
{
    uint32_t old = 0;
    for (uint32_t i = 0; i < count; i++) {
        old += slots[i].from != 0;
        if (slots[i].from != self && is_left(ring, slots[i].from, &out->members[out->count]))
            out->count++;
    }
    out->need = old / 2 + 1;
    out->lost = out->need > out->count;
    if (out->lost)
        out->need = out->count;
}

/* False: this node does not gain the partition. */
static bool find_sources(const struct ring *ring, uint32_t self, uint32_t partition, struct sources *out)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, partition, slots), mine = 0;
    while (mine < count && (slots[mine].to != self || slots[mine].from == self))
        mine++;
    if (mine == count)
        return false;
    *out = (struct sources){.need = 1, .count = 1};
    if (is_left(ring, slots[mine].from, &out->members[0]))
        return true;
    out->count = 0;
    other_homes(ring, self, slots, count, out);
    return true;
}

/* How much there is of everything: parts and streams, and the streams of each member. */
static void measure(const struct ring *ring, uint32_t self, struct plan *p, uint32_t per_member[MEMBERS_MAX])
{
    for (uint32_t i = 0; i < p->partitions; i++) {
        struct sources s;
        if (!find_sources(ring, self, i, &s))
            continue;
        p->part_count++;
        p->stream_count += s.count;
        for (uint32_t k = 0; k < s.count; k++)
            per_member[s.members[k]]++;
    }
}

static int allocate(struct plan *p, uint32_t lanes)
{
    p->parts = calloc(p->part_count + 1, sizeof *p->parts);
    p->streams = calloc(p->stream_count + 1, sizeof *p->streams);
    p->order = calloc(p->stream_count + 1, sizeof *p->order);
    p->lanes = calloc(lanes + 1, sizeof *p->lanes);
    return p->parts && p->streams && p->order && p->lanes ? KV_OK : KV_E_NO_MEMORY;
}

/* A lane for each member that has streams; `lane_of`: its index by the member's. */
static void open_lanes(const struct ring *ring, struct plan *p, const uint32_t *per_member, uint32_t *lane_of)
{
    uint32_t first = 0;
    for (uint32_t m = 0; m < ring->value.member_count; m++) {
        if (!per_member[m])
            continue;
        lane_of[m] = p->lane_count;
        p->lanes[p->lane_count++] = (struct lane){.member = ring->value.members[m].id, .first = first};
        first += per_member[m];
    }
}

static void add_part(struct plan *p, uint32_t partition, const struct sources *s, const uint32_t *lane_of)
{
    uint32_t index = p->part_count++;
    p->parts[index] = (struct part){
        .partition = partition,
        .first_stream = p->stream_count,
        .stream_count = (uint8_t)s->count,
        .need = (uint8_t)s->need,
        .done = s->need == 0,
    };
    p->parts_done += s->need == 0;
    p->parts_lost += s->lost;
    for (uint32_t k = 0; k < s->count; k++) {
        struct lane *lane = &p->lanes[lane_of[s->members[k]]];
        p->order[lane->first + lane->count++] = p->stream_count;
        p->streams[p->stream_count++] = (struct stream){
            .part = index,
            .lane = lane_of[s->members[k]],
            .token = partition_first_token(partition, p->partitions),
        };
    }
}

static void fill(const struct ring *ring, uint32_t self, struct plan *p, const uint32_t *lane_of)
{
    p->part_count = p->stream_count = 0;
    for (uint32_t i = 0; i < p->partitions; i++) {
        struct sources s;
        if (find_sources(ring, self, i, &s))
            add_part(p, i, &s, lane_of);
    }
}

int transfer_plan_create(const struct ring *ring, uint32_t self, struct plan *out)
{
    uint32_t per_member[MEMBERS_MAX] = {0}, lane_of[MEMBERS_MAX];
    *out = (struct plan){.partitions = ring->value.partitions};
    measure(ring, self, out, per_member);
    uint32_t lanes = 0;
    for (uint32_t m = 0; m < ring->value.member_count; m++)
        lanes += per_member[m] > 0;
    if (allocate(out, lanes) != KV_OK) {
        transfer_plan_deinit(out);
        return KV_E_NO_MEMORY;
    }
    open_lanes(ring, out, per_member, lane_of);
    fill(ring, self, out, lane_of);
    KV_ASSERT(out->lane_count == lanes);
    return KV_OK;
}

void transfer_plan_deinit(struct plan *p)
{
    for (uint32_t i = 0; i < p->lane_count; i++) {
        for (uint32_t k = 0; k < TRANSFER_WINDOW; k++) {
            buf_deinit(&p->lanes[i].slots[k].key);
            buf_deinit(&p->lanes[i].slots[k].next_key);
        }
    }
    free(p->parts);
    free(p->streams);
    free(p->order);
    free(p->lanes);
    *p = (struct plan){0};
}

bool transfer_stream_done(struct plan *p, struct stream *s)
{
    struct part *part = &p->parts[s->part];
    KV_ASSERT(!s->done);
    s->begun = s->done = true;
    if (part->done || ++part->read < part->need)
        return false;
    part->done = true;
    p->parts_done++;
    return true;
}
