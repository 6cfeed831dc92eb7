/* The members of coord_cluster_world.h: they come, go and adopt rings; a source, notes and a replica that go
 * by the rules of DESIGN sections 6 and 7. Included once per test. */
#ifndef TESTS_UNIT_COORD_CLUSTER_MEMBERS_H
#define TESTS_UNIT_COORD_CLUSTER_MEMBERS_H

#include "repair/heirs.h"
#include "unit/coord_cluster_world.h"

/* ---- members --------------------------------------------------------------------------------- */

static inline void tell_reachable(struct run *r, uint32_t a, uint32_t b)
{
    if (a == b || !lives(&r->sites[a]) || !r->sites[b].exists)
        return;
    coord_peer_set(r->sites[a].coord, r->now, b, connected(r, a, b), &r->out);
    collect(r, a);
}

/* Answers on their way on a connection are gone with it; what was at work goes on. */
static inline void set_up(struct run *r, uint32_t id, bool up)
{
    r->sites[id].up = up;
    for (uint32_t i = r->letter_count; !up && i-- > 0;) {
        const struct letter *l = &r->letters[i];
        bool concerned = (l->from == id) != (l->to == id);
        if (concerned && (l->stage != AT_WORK || chance(r, 50)))
            drop_letter(r, i);
    }
    for (uint32_t other = 1; other < SITES_MAX; other++) {
        tell_reachable(r, id, other);
        tell_reachable(r, other, id);
    }
}

static inline void stop_for_good(struct run *r, uint32_t id)
{
    struct site *s = &r->sites[id];
    set_up(r, id, false);
    s->out = true;
    for (uint32_t i = r->letter_count; i-- > 0;) {
        if (r->letters[i].from == id || r->letters[i].to == id)
            drop_letter(r, i);
    }
    for (uint32_t i = 0; i < r->op_count; i++) {
        if (r->ops[i].at == id && !r->ops[i].over)
            r->ops[i].over = r->ops[i].lost = true;
    }
    coord_destroy(s->coord);
    s->coord = NULL;
}

/* What it has to take over now; what was read stays read when somebody is given up midway. */
static inline void plan_transfer(struct run *r, uint32_t id, const struct ring *ring)
{
    struct site *s = &r->sites[id];
    bool same = s->since == ring->value.since;
    s->since = ring->value.since;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct ring_sources from = {0};
        bool finished = same && s->needed[p] == 0;
        if (ring_takes_over(ring, p, id, &from) && from.lossy && !finished)
            r->lossy = true;
        s->sources[p] = 0;
        for (uint32_t i = 0; i < from.count; i++)
            s->sources[p] |= bit(from.members[i]);
        s->taken[p] = same ? s->taken[p] & s->sources[p] : 0;
        finished = finished || (uint32_t)__builtin_popcountll(s->taken[p]) >= from.needed;
        s->needed[p] = finished ? 0 : from.needed;
    }
}

static inline void adopt(struct run *r, uint32_t id, uint64_t epoch)
{
    struct site *s = &r->sites[id];
    const struct ring *ring = r->rings[epoch];
    const struct member *m = member_of(ring, id);
    bool first = s->epoch == 0;
    if (!m || m->dead || m->store_id == 0) {
        if (s->epoch)
            stop_for_good(r, id);
        s->out = true;
        return;
    }
    s->epoch = epoch;
    if (first) {
        struct coord_config config = {.self = id, .value_max_bytes = VALUE_MAX_BYTES};
        assert_int_equal(coord_create(&config, &s->coord), KV_OK);
    }
    coord_ring_set(s->coord, r->now, ring, &r->out);
    collect(r, id);
    for (uint32_t other = 1; other < SITES_MAX; other++) {
        tell_reachable(r, id, other);
        if (first)
            tell_reachable(r, other, id);
    }
    if (ring->value.phase != RING_STABLE)
        plan_transfer(r, id, ring);
    else
        s->since = 0;
}

static inline bool is_home(const struct run *r, uint32_t id)
{
    return ring_is_home(ring_of(r, &r->sites[id]), r->partition, id);
}

static inline bool leaves(const struct run *r, uint32_t id)
{
    return member_of(ring_of(r, &r->sites[id]), id)->weight == 0;
}

/* A member whether the change is undone or done. */
static inline bool stays(const struct run *r, uint32_t id)
{
    const struct ring *ring = ring_of(r, &r->sites[id]);
    const struct member *m = member_of(ring, id);
    return m->weight > 0 && (ring->value.phase == RING_STABLE || m->old_weight > 0);
}

/* A stable ring is in force, and the row is not this member's. */
static inline void drop_row(struct run *r, uint32_t id)
{
    struct site *s = &r->sites[id];
    if (ring_of(r, s)->value.phase == RING_STABLE && !s->notes && !is_home(r, id))
        s->row = 0;
}

static inline void take_over(struct run *r, uint32_t id, uint32_t source)
{
    struct site *s = &r->sites[id];
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        bool wanted = s->needed[p] && (s->sources[p] & bit(source) & ~s->taken[p]);
        if (!wanted || !connected(r, id, source) || r->sites[source].epoch != s->epoch)
            continue;
        if (p == r->partition && r->sites[source].row > s->row)
            s->row = r->sites[source].row;
        s->taken[p] |= bit(source);
        if ((uint32_t)__builtin_popcountll(s->taken[p]) >= s->needed[p])
            s->needed[p] = 0;
        seen.copies++;
    }
}

static inline void say_whole(struct run *r, uint32_t id)
{
    struct site *s = &r->sites[id];
    bool keeps = s->notes != 0;
    for (uint32_t i = 0; i < r->letter_count; i++) {
        const struct letter *l = &r->letters[i];
        keeps |= l->to == id && l->stage == AT_WORK && l->hints;
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (s->needed[p])
            return;
    }
    if (ring_of(r, s)->value.phase != RING_STABLE && !(leaves(r, id) && keeps))
        s->whole = ring_of(r, s)->value.source_epoch;
}

/* The notes for one member: see repair/hints.h. */
static inline void hand_over(struct run *r, uint32_t id)
{
    struct site *s = &r->sites[id];
    const struct ring *ring = ring_of(r, s);
    uint32_t to = (uint32_t)prng_below(&r->prng, SITES_MAX), heirs[HOLDERS_MAX], count = 1;
    const struct member *m = member_of(ring, to);
    bool given_up = m && m->dead, leaving = leaves(r, id), missed = false;
    if (!(s->notes & bit(to)) || (!leaving && m && (given_up || !connected(r, id, to))))
        return;
    heirs[0] = to;
    if (!given_up)
        count = heirs_of(ring, r->partition, to, heirs);
    for (uint32_t i = 0; i < count; i++) {
        struct site *heir = &r->sites[heirs[i]];
        if (heirs[i] == id)
            continue;
        if (given_up || !connected(r, id, heirs[i])) {
            uint32_t other = random_site(r);
            const struct member *keeper = member_of(ring, other);
            bool able = leaving && other != id && connected(r, id, other) && keeper && !keeper->dead &&
                        r->sites[other].epoch == s->epoch && stays(r, other);
            missed |= !able;
            if (able) {
                r->sites[other].notes |= bit(heirs[i]);
                r->sites[other].row = s->row > r->sites[other].row ? s->row : r->sites[other].row;
                seen.moved_on++;
            }
        } else if (heir->epoch != s->epoch) {
            missed = true;
        } else {
            heir->row = s->row > heir->row ? s->row : heir->row;
        }
    }
    if (missed)
        return;
    seen.handed_over++;
    s->notes &= ~bit(to);
    if (!s->notes && !is_home(r, id))
        s->row = 0;
}

/* ---- replicas -------------------------------------------------------------------------------- */

static inline void answer(struct run *r, struct letter *l, int status)
{
    l->stage = ANSWERED;
    l->status = status;
    l->epoch = r->sites[l->to].epoch;
    seen.wrong_ring += status == KV_E_WRONG_RING;
}

static inline void arrive(struct run *r, struct letter *l)
{
    struct site *s = &r->sites[l->to];
    if (s->epoch != l->epoch)
        answer(r, l, KV_E_WRONG_RING);
    else if (l->hints && !stays(r, l->to))
        answer(r, l, KV_E_OVERLOADED);
    else if (chance(r, 2))
        answer(r, l, KV_E_FULL);
    else
        l->stage = AT_WORK;
}

static inline void work(struct run *r, struct letter *l)
{
    struct site *s = &r->sites[l->to];
    if (l->write) {
        s->row = l->row > s->row ? l->row : s->row;
        s->notes |= l->hints & ~bit(l->to);
    } else {
        l->row = s->row;
    }
    answer(r, l, s->epoch == l->epoch ? KV_OK : KV_E_WRONG_RING);
}

static inline void come_back(struct run *r, struct letter l)
{
    struct message m = {.type = l.write ? MSG_WRITE_ACK : MSG_READ_REPLY, .id = l.id, .ring_epoch = l.epoch};
    if (l.write)
        m.write_ack.status = l.status;
    else
        m.read_reply = (struct msg_read_reply){l.status, l.status ? row_absent() : row_of(l.row)};
    coord_answer(r->sites[l.from].coord, r->now, hlc_now(r), l.to, &m, &r->out);
    collect(r, l.from);
}

static inline void one_letter(struct run *r, uint32_t i)
{
    struct letter *l = &r->letters[i], copy = *l;
    if (l->stage == TRAVELLING) {
        arrive(r, l);
    } else if (l->stage == AT_WORK) {
        work(r, l);
    } else {
        drop_letter(r, i);
        come_back(r, copy);
    }
}

#endif
