#include "sim/rings.h"

#include "sim/internal.h"

#define ALARM_MAX_US UINT64_C(200000)

void sim_rings_deinit(struct sim *s)
{
    ring_destroy(s->rings.newest);
}

/* Hashes are never 0 in practice; a slot that is 0 has not been seen. */
static void compare(struct sim *s, const struct ring *r)
{
    uint64_t *seen = &s->rings.hashes[r->value.epoch % SIM_EPOCHS_MAX];
    KV_ASSERT(r->value.epoch < SIM_EPOCHS_MAX);
    if (*seen && *seen != r->hash && !s->rings.twice)
        s->rings.twice = r->value.epoch;
    *seen = r->hash;
}

void sim_rings_watch(struct sim *s, uint32_t node)
{
    struct process *p = &s->processes[node];
    const struct ring *r = p->node ? node_ring(p->node) : NULL;
    if (!r || r->value.epoch == p->epoch_seen)
        return;
    p->epoch_seen = r->value.epoch;
    compare(s, r);
    if (s->rings.newest && s->rings.newest->value.epoch >= r->value.epoch)
        return;
    s->tally.counts[TALLY_RING]++;
    if (s->config.turns)
        s->config.turns(s->config.turns_arg);
    struct ring *last = s->rings.newest;
    KV_ASSERT(ring_create_after(&r->value, last, &s->rings.newest) == KV_OK);
    ring_destroy(last);
    if (s->config.turns)
        s->config.turns(s->config.turns_arg);
    if (s->rings.alarm)
        sim_schedule(s, s->rings.alarm, s->now_us + sim_between(s, 1, ALARM_MAX_US));
}

const struct ring *sim_ring(const struct sim *s)
{
    return s->rings.newest;
}

uint32_t sim_member(const struct sim *s, uint32_t node)
{
    const struct process *p = &s->processes[node];
    const struct ring_value *v = s->rings.newest ? &s->rings.newest->value : NULL;
    for (uint32_t i = 0; v && i < v->member_count; i++)
        if (v->members[i].store_id == sim_store_id(p->store) && !v->members[i].dead)
            return v->members[i].id;
    return 0;
}

uint32_t sim_process_of(const struct sim *s, uint32_t member)
{
    for (uint32_t i = 1; member && i <= s->config.nodes; i++)
        if (sim_member(s, i) == member)
            return i;
    return 0;
}

uint32_t sim_ring_process(const struct sim *s, const struct ring *ring, uint32_t member)
{
    const struct member *m = ring_value_find(&ring->value, member);
    for (uint32_t i = 1; m && i <= s->config.nodes; i++)
        if (sim_store_id(s->processes[i].store) == m->store_id)
            return i;
    return 0;
}

bool sim_ring_gives_up(const struct ring_value *v)
{
    for (uint32_t i = 0; i < v->member_count; i++)
        if (v->members[i].dead)
            return true;
    return false;
}

uint64_t sim_two_rings(const struct sim *s)
{
    return s->rings.twice;
}
