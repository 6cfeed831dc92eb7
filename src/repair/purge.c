/* Purging dead rows: see purge.h. Here is what the parts have in common: members, time, dispatch. */
#include "repair/purge_internal.h"

#include "model/key.h"

#include <stdlib.h>

/* ---- life */

int purge_create(const struct purge_config *config, struct purge **out)
{
    struct purge *p = calloc(1, sizeof *p);
    if (!p)
        return KV_E_NO_MEMORY;
    p->config = *config;
    if (p->config.interval_us == 0)
        p->config.interval_us = PURGE_INTERVAL_US;
    p->look_us = UINT64_MAX;
    heap_init(&p->timers);
    list_init(&p->watches);
    list_init(&p->holds);
    list_init(&p->ended);
    int rc = heap_reserve(&p->timers, PURGE_ROUNDS_MAX);
    if (rc != KV_OK) {
        purge_destroy(p);
        return rc;
    }
    *out = p;
    return KV_OK;
}

void purge_destroy(struct purge *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < PURGE_ROUNDS_MAX; i++) {
        if (p->rounds[i])
            buf_deinit(&p->rounds[i]->keys);
        free(p->rounds[i]);
    }
    guards_clear(p);
    struct list *node;
    while ((node = list_pop_front(&p->ended)) != NULL)
        free(container_of(node, struct hold, link));
    heap_deinit(&p->timers);
    free(p->marks);
    free(p->guards);
    free(p->driven);
    free(p->up);
    free(p);
}

/* ---- members */

static bool is_up(const struct purge *p, uint32_t member)
{
    for (uint32_t i = 0; i < p->up_count; i++) {
        if (p->up[i] == member)
            return true;
    }
    return member == p->config.self;
}

static void count_up(struct purge *p)
{
    p->all_up = p->ring != NULL;
    for (uint32_t i = 0; p->ring && i < p->ring->value.member_count; i++)
        p->all_up &= is_up(p, p->ring->value.members[i].id);
}

static void up_remove(struct purge *p, uint32_t member)
{
    for (uint32_t i = 0; i < p->up_count; i++) {
        if (p->up[i] == member)
            p->up[i--] = p->up[--p->up_count];
    }
}

/* A member there is no memory for counts as away: nothing is purged until it has been away and is back. */
static void up_add(struct purge *p, uint32_t member)
{
    if (p->up_count == p->up_cap) {
        uint32_t cap = p->up_cap ? 2 * p->up_cap : 16;
        uint32_t *grown = realloc(p->up, cap * sizeof *grown);
        if (!grown)
            return;
        p->up = grown;
        p->up_cap = cap;
    }
    p->up[p->up_count++] = member;
}

void purge_peer_set(struct purge *p, const struct purge_turn *t, uint32_t member, bool reachable)
{
    up_remove(p, member);
    if (reachable)
        up_add(p, member);
    else
        rounds_member_lost(p, t, member);
    count_up(p);
    purge_look(p, t->now.mono_us);
}

int purge_ring_set(struct purge *p, const struct purge_turn *t, const struct ring *ring)
{
    rounds_end(p, t, PURGE_RING);
    guards_clear(p);
    p->ring = ring;
    count_up(p);
    int rc = guards_ring_set(p);
    return rc == KV_OK ? marks_ring_set(p, t) : rc;
}

/* ---- time */

uint64_t turn_when_us(const struct purge_turn *t, uint64_t hlc)
{
    if (turn_past(t, hlc))
        return t->now.mono_us;
    return t->now.mono_us + (hlc_to_ms(hlc - t->said) + 1) * 1000;
}

void purge_look(struct purge *p, uint64_t at_us)
{
    if (at_us < p->look_us)
        p->look_us = at_us;
}

static bool may_look(const struct purge *p)
{
    return purge_stable(p) && p->all_up && p->listing == 0 && p->talking < PURGE_TALKING_MAX &&
           p->round_count < PURGE_ROUNDS_MAX && p->held_bytes < PURGE_HELD_MAX_BYTES;
}

/* One look at a time; the next one a little later. */
static void look(struct purge *p, const struct purge_turn *t)
{
    if (p->look_us > t->now.mono_us || !may_look(p))
        return;
    uint32_t partition = marks_next(p, t);
    if (partition == UINT32_MAX)
        return;
    purge_look(p, t->now.mono_us + PURGE_PACE_US);
    if (!round_begin(p, t, partition))
        p->look_us = t->now.mono_us + p->config.interval_us;
}

void purge_tick(struct purge *p, const struct purge_turn *t)
{
    while (heap_deadline(&p->timers) <= t->now.mono_us && outbox_room(t->out) > OUT_MAX / 2)
        round_due(p, t, container_of(heap_first(&p->timers), struct round, timer));
    look(p, t);
    guards_expire(p, t->now.mono_us);
}

uint64_t purge_deadline_us(const struct purge *p)
{
    uint64_t at = heap_deadline(&p->timers), guards = guards_deadline_us(p);
    if (guards < at)
        at = guards;
    return may_look(p) && p->look_us < at ? p->look_us : at;
}

/* ---- dispatch */

void purge_wrote(struct purge *p, const struct purge_turn *t, struct bytes key, const struct row *row)
{
    uint64_t due = mark_due_hlc(row);
    if (!p->marks || (due == 0 && p->watched == 0))
        return;
    uint64_t token = key_token(key);
    uint32_t partition = token_partition(token, p->partitions);
    mark_set(p, t, partition, due);
    guard_wrote(p, partition, token);
}

void purge_asked(struct purge *p, const struct purge_turn *t, struct endpoint from, uint32_t member,
                 bool busy, const struct message *m)
{
    guard_asked(p, t, from, member, busy, m);
}

void purge_answered(struct purge *p, const struct purge_turn *t, uint32_t member, const struct message *m)
{
    uint32_t index = purge_id_index(m->id);
    if (id_owner(m->id) != ID_PURGE || purge_id_side(m->id) != SIDE_ROUND || index >= PURGE_ROUNDS_MAX)
        return;
    struct round *r = p->rounds[index];
    if (r && purge_id(SIDE_ROUND, index, r->serial) == m->id)
        round_answered(p, t, r, member, &m->purge_reply);
}

static uint64_t op_of(const struct event *in)
{
    switch (in->type) {
    case EV_STORE_PAGE: return in->page.op;
    case EV_STORE_HAS: return in->has.op;
    default: KV_ASSERT(in->type == EV_STORE_WRITTEN); return in->written.op;
    }
}

void purge_stored(struct purge *p, const struct purge_turn *t, const struct event *in)
{
    uint64_t op = op_of(in);
    uint32_t index = purge_id_index(op);
    KV_ASSERT(id_owner(op) == ID_PURGE);
    if (purge_id_side(op) == SIDE_ROUND) {
        struct round *r = p->rounds[index];
        if (r && purge_id(SIDE_ROUND, index, r->serial) == op)
            round_stored(p, t, r, in);
        return;
    }
    struct ask *a = p->asks[index];
    if (in->type == EV_STORE_WRITTEN)
        p->counters.purged += in->written.deleted;
    if (a && purge_id(SIDE_ASK, index, a->serial) == op)
        guard_stored(p, t, a, in);
}

/* ---- what is told */

struct purge_counters purge_counters(const struct purge *p)
{
    struct purge_counters c = p->counters;
    c.watched = p->watched;
    c.in_flight = p->round_count;
    for (uint32_t i = 0; i < p->driven_count; i++)
        c.marked += p->marks[p->driven[i]].due_hlc != 0 || p->marks[p->driven[i]].looking;
    return c;
}

static bool any_bit(const uint64_t words[MEMBER_WORDS])
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < MEMBER_WORDS; i++)
        any |= words[i];
    return any != 0;
}

void purge_check(const struct purge *p)
{
    uint32_t count = 0, talking = 0, listing = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PURGE_ROUNDS_MAX; i++) {
        const struct round *r = p->rounds[i];
        if (!r)
            continue;
        count++;
        talking += round_talks(r);
        listing += r->state == ROUND_FENCED || r->state == ROUND_LISTING || r->state == ROUND_PAUSED;
        bytes += r->keys.len;
        bool asks = r->state == ROUND_SAME || r->state == ROUND_NONE || r->state == ROUND_STILL ||
                    r->state == ROUND_DELETING;
        KV_ASSERT(r->index == i && purge_stable(p) && p->marks[r->partition].driven);
        KV_ASSERT(heap_contains(&r->timer) == (r->state != ROUND_FENCED && r->state != ROUND_LISTING));
        KV_ASSERT(any_bit(r->pending) == asks && (!asks || r->count > 0));
    }
    KV_ASSERT(count == p->round_count && talking == p->talking && listing == p->listing && listing <= 1);
    KV_ASSERT(bytes == p->held_bytes);
    guards_check(p);
}
