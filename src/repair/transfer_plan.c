/* What a node gains by a change of the ring, and whom it could have it from. */
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "kv_error.h"

#include <stdlib.h>

static uint32_t index_of(const struct ring *ring, uint32_t id)
{
    return (uint32_t)(ring_value_find(&ring->value, id) - ring->value.members);
}

/* How much there is of everything: parts and streams, and the streams of each member. */
static void measure(const struct ring *ring, uint32_t self, struct plan *p, uint32_t per_member[MEMBERS_MAX])
{
    for (uint32_t i = 0; i < p->partitions; i++) {
        struct ring_sources s;
        if (!ring_takes_over(ring, i, self, &s))
            continue;
        p->part_count++;
        p->stream_count += s.count;
        for (uint32_t k = 0; k < s.count; k++)
            per_member[index_of(ring, s.members[k])]++;
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

static void add_part(const struct ring *ring, struct plan *p, uint32_t partition,
                     const struct ring_sources *s, const uint32_t *lane_of)
{
    uint32_t index = p->part_count++;
    p->parts[index] = (struct part){
        .partition = partition,
        .first_stream = p->stream_count,
        .stream_count = (uint8_t)s->count,
        .need = (uint8_t)s->needed,
        .done = s->needed == 0,
    };
    p->parts_done += s->needed == 0;
    p->parts_lost += s->lossy;
    for (uint32_t k = 0; k < s->count; k++) {
        uint32_t at = lane_of[index_of(ring, s->members[k])];
        struct lane *lane = &p->lanes[at];
        p->order[lane->first + lane->count++] = p->stream_count;
        p->streams[p->stream_count++] = (struct stream){
            .part = index,
            .lane = at,
            .token = partition_first_token(partition, p->partitions),
        };
    }
}

static void fill(const struct ring *ring, uint32_t self, struct plan *p, const uint32_t *lane_of)
{
    p->part_count = p->stream_count = 0;
    for (uint32_t i = 0; i < p->partitions; i++) {
        struct ring_sources s;
        if (ring_takes_over(ring, i, self, &s))
            add_part(ring, p, i, &s, lane_of);
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
