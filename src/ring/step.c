/* The values that the steps of a change lead to: see step.h. */
#include "ring/step.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/slots.h"

/* The same one epoch later, with room for one member more. */
static int next_epoch(const struct ring_value *v, struct ring_value *out)
{
    *out = *v;
    out->epoch++;
    out->members = calloc((size_t)v->member_count + 1, sizeof *out->members);
    if (!out->members)
        return KV_E_NO_MEMORY;
    memcpy(out->members, v->members, v->member_count * sizeof *out->members);
    return KV_OK;
}

static struct member *find(struct ring_value *v, uint32_t id)
{
    return (struct member *)ring_value_find(v, id);
}

static void pop_queue(struct ring_value *v)
{
    KV_ASSERT(v->queue_count > 0);
    v->queue_count--;
    memmove(v->queue, v->queue + 1, v->queue_count * sizeof *v->queue);
    v->queue[v->queue_count] = (struct ring_change){0};
}

void ring_movers(const struct ring *r, uint8_t out[MEMBERS_MAX])
{
    memset(out, 0, MEMBERS_MAX);
    if (!r->pairs)
        return;
    bool stay_too = ring_stay_takes_over(r);
    for (uint32_t i = 0; i < r->value.partitions * r->twin_width; i++) {
        struct ring_pair p = r->pairs[i];
        if (p.from != RING_NOBODY && p.from != p.to)
            out[p.from] |= RING_LOSES;
        if (p.to != RING_NOBODY && (p.from != p.to || stay_too))
            out[p.to] |= RING_GAINS;
    }
}

/* ---- STABLE ---------------------------------------------------------------------------------- */

int ring_step_ask(const struct ring_value *v, const struct ring_change *c, struct ring_value *out)
{
    KV_ASSERT(v->queue_count < RING_QUEUE_MAX && ring_change_ok(c));
    int status = next_epoch(v, out);
    if (status == KV_OK)
        out->queue[out->queue_count++] = *c;
    return status;
}

int ring_step_drop(const struct ring_value *v, struct ring_value *out)
{
    KV_ASSERT(v->phase == RING_STABLE);
    int status = next_epoch(v, out);
    if (status == KV_OK)
        pop_queue(out);
    return status;
}

/* Nobody has ever been home of anything under this id. Whoever has the name so far is replaced. */
static bool join(struct ring_value *v, const struct ring_change *c)
{
    for (uint32_t i = 0; i < v->member_count; i++) {
        struct member *m = &v->members[i];
        if (m->store_id == c->store_id)
            return false;
        if (strcmp(m->name, c->name) == 0) {
            m->weight = 0;
            m->dead = true;
        }
    }
    struct member *m = &v->members[v->member_count++];
    *m = (struct member){.id = v->next_id++, .store_id = c->store_id, .addr = c->addr, .weight = c->weight};
    memcpy(m->name, c->name, sizeof m->name);
    memcpy(m->zone, c->zone, sizeof m->zone);
    return true;
}

static bool apply(struct ring_value *v, const struct ring_change *c)
{
    if (c->kind == RING_JOIN)
        return join(v, c);
    struct member *m = find(v, c->member);
    if (!m)
        return false;
    switch (c->kind) {
    case RING_LEAVE: m->weight = 0; return true;
    case RING_REMOVE:
        m->weight = 0;
        m->dead = true; /* at once: the operator has said so, nobody has to wait for it */
        return true;
    case RING_WEIGHT: m->weight = c->weight; return m->weight != m->old_weight;
    case RING_ZONE: memcpy(m->zone, c->zone, sizeof m->zone); return strcmp(m->zone, m->old_zone) != 0;
    default: return false;
    }
}

int ring_step_begin(const struct ring_value *v, const struct ring_change *c, struct ring_value *out)
{
    KV_ASSERT(v->phase == RING_STABLE);
    int status = next_epoch(v, out);
    if (status != KV_OK)
        return status;
    for (uint32_t i = 0; i < out->member_count; i++) {
        struct member *m = &out->members[i];
        m->old_weight = m->weight;
        memcpy(m->old_zone, m->zone, sizeof m->old_zone);
    }
    out->phase = RING_PENDING;
    out->since = out->source_epoch = out->epoch;
    /* The check finds what else is wrong: the last member would leave, there are too many. */
    if (apply(out, c) && ring_value_check(out) == KV_OK)
        return KV_OK;
    ring_value_deinit(out);
    return KV_E_INVALID;
}

/* ---- PENDING and SWITCH ---------------------------------------------------------------------- */

int ring_step_switch(const struct ring_value *v, struct ring_value *out)
{
    KV_ASSERT(v->phase == RING_PENDING && !v->undo);
    int status = next_epoch(v, out);
    out->phase = RING_SWITCH;
    out->switched = false;
    return status;
}

static void to_pending(struct ring_value *v)
{
    v->switched = v->switched || v->phase == RING_SWITCH;
    v->phase = RING_PENDING;
}

int ring_step_give_up(const struct ring_value *v, uint32_t member, struct ring_value *out)
{
    KV_ASSERT(v->phase != RING_STABLE && !v->undo);
    int status = next_epoch(v, out);
    if (status != KV_OK)
        return status;
    struct member *m = find(out, member);
    KV_ASSERT(m && m->old_weight > 0 && !m->dead);
    m->dead = true;
    to_pending(out);
    out->source_epoch = out->epoch;
    return KV_OK;
}

int ring_step_back(const struct ring_value *v, struct ring_value *out)
{
    KV_ASSERT(v->phase == RING_SWITCH);
    int status = next_epoch(v, out);
    to_pending(out);
    out->undo = true;
    return status;
}

/* STABLE with the members of one side. A member that was given up has missed what the others acknowledged
 * without it. Where they did so as a majority of the slots that stay, that is as after any absence. But where
 * its slot acknowledged in its absence by the other home alone, it would be taken for the holder of what it
 * has never seen: if such a slot is its own again, its store is no member's any more. */
static void settle(struct ring_value *v, bool before, const uint8_t movers[MEMBERS_MAX], uint8_t missed)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->member_count; i++) {
        struct member m = v->members[i];
        if (before) {
            m.weight = m.old_weight;
            memcpy(m.zone, m.old_zone, sizeof m.zone);
        }
        if (m.weight == 0)
            continue;
        if (m.dead && (movers[i] & missed))
            m.store_id = 0;
        m.dead = false;
        m.old_weight = 0;
        memset(m.old_zone, 0, sizeof m.old_zone);
        v->members[count++] = m;
    }
    v->member_count = count;
    v->phase = RING_STABLE;
    v->undo = v->switched = false;
    v->since = v->source_epoch = 0;
}

int ring_step_finish(const struct ring *r, struct ring_value *out)
{
    uint8_t movers[MEMBERS_MAX];
    KV_ASSERT(r->value.phase == RING_SWITCH);
    ring_movers(r, movers);
    int status = next_epoch(&r->value, out);
    if (status != KV_OK)
        return status;
    settle(out, false, movers, RING_GAINS); /* it has never been whole */
    pop_queue(out);
    return KV_OK;
}

int ring_step_undo(const struct ring *r, struct ring_value *out)
{
    uint8_t movers[MEMBERS_MAX];
    KV_ASSERT(r->value.phase == RING_PENDING);
    ring_movers(r, movers);
    int status = next_epoch(&r->value, out);
    if (status != KV_OK)
        return status;
    settle(out, true, movers, r->value.switched ? RING_LOSES : 0);
    pop_queue(out);
    return KV_OK;
}

int ring_step_settled(const struct ring_value *v, struct ring_value *out)
{
    const uint8_t nobody[MEMBERS_MAX] = {0};
    int status = next_epoch(v, out);
    if (status != KV_OK)
        return status;
    if (v->phase != RING_STABLE)
        settle(out, v->undo, nobody, 0);
    out->queue_count = 0;
    return KV_OK;
}
