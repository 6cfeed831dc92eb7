/* A request's targets: the members that its key's partition goes to under the ring in force; and what it
 * amounts to when some of them have done what was asked. */
#include "base/mutant.h"
#include "coord/internal.h"

static uint8_t quorum_of(const struct request *r)
{
    return r->quorum ? r->quorum : (uint8_t)plan_majority(r->shape.homes);
}

static void add_target(const struct coord *c, struct request *r, uint16_t index)
{
    uint32_t p = r->shape.width++;
    r->targets[p] = (struct target){.peer = c->by_index[index], .first_attempt = (uint16_t)(r->attempts + 1)};
}

/* The ring changes: twins and extras, and who is given up. */
static void add_twins(const struct coord *c, struct request *r, uint32_t partition)
{
    struct plan_shape *s = &r->shape;
    const uint16_t *twins = &c->ring->twins[(size_t)partition * c->ring->twin_width];
    for (uint32_t i = 0; i < c->ring->twin_width; i++) {
        if (twins[i] == RING_NOBODY)
            continue;
        if (i < MUTANT(forget_dual_write, s->homes, 0))
            s->twin[i] = s->width;
        add_target(c, r, twins[i]);
    }
    for (uint32_t p = 0; p < s->width; p++) {
        if (r->targets[p].peer->given_up)
            s->given_up |= position_bit(p);
    }
}

/* Every target new; straight from the ring's table, whose indexes find the peers without a search. */
void request_place(struct coord *c, struct request *r)
{
    const struct ring *ring = c->ring;
    uint32_t partition = ring_partition(ring, r->token);
    const uint16_t *list = &ring->table[(size_t)partition * ring->width];
    KV_ASSERT(ring->width <= PREFERENCE_MAX && ring->twin_width <= REPLICAS_MAX);
    KV_ASSERT(ring->homes >= 1 && ring->homes <= REPLICAS_MAX && ring->homes <= ring->width);
    r->shape = (struct plan_shape){.homes = (uint8_t)ring->homes};
    for (uint32_t i = 0; i < ring->width && list[i] != RING_NOBODY; i++)
        add_target(c, r, list[i]);
    r->shape.listed = r->shape.width;
    if (ring->twin_width)
        add_twins(c, r, partition);
    r->needed = quorum_of(r);
}

/* ---- under the next ring */

static bool is_read(const struct plan_shape *s, uint32_t p)
{
    return p < s->homes;
}

static bool is_holder(const struct plan_shape *s, uint32_t p)
{
    return p < s->homes || p >= s->listed;
}

/* Whether what a member told a request under the ring before still says the same.
 *
 * A put: "it has the row" stays true while it is a home. A replica acknowledges under an epoch only what was
 * in its store before it adopted the next, so the row is part of what a new home takes over from it. Where
 * its slot (C) has become (C, D), the slot is whole only when D has it too, and D is a target that has not
 * acknowledged. But who is no home keeps a row only as long as the hint that came with it: a fallback may
 * have handed it over and dropped it before it became a home; and a home that is none any more will drop it.
 *
 * A get: "it held this after the get had begun" is no less true under another ring. Every put that was
 * finished before then was whole on W slots, so a read home of one of them held its row, or a newer one, when
 * it answered: that is what the phases are for, whichever of their rings the put, this member and its answer
 * were under. Answers from R different slots meet each such W. So an answer counts as long as its member is a
 * read home still; nobody has to confirm it. One who is not any more is not asked again; one who was none
 * when it answered (a fallback, a twin) may have lacked what its slot had.
 *
 * This takes a member to be in the same slot before and after. It is, within one change: a home that stays
 * keeps its slot. When rings of another change came in between, it may have left its slot, dropped its rows
 * and come back to another one, and nothing is taken over. */
static bool stays_true(const struct request *r, const struct plan_shape *before, uint32_t was, uint32_t is)
{
    if (is_holder(before, was) != is_holder(&r->shape, is))
        return false;
    return r->op == OP_PUT || is_read(before, was) == is_read(&r->shape, is);
}

/* A set of holders by their old positions, by their new ones. Who is no holder any more needs no hint. */
static position_set moved(const struct request *r, position_set holders, const uint8_t where[POSITIONS_MAX])
{
    position_set result = 0;
    for (uint32_t p = 0; p < POSITIONS_MAX; p++) {
        if ((holders & position_bit(p)) && where[p] < r->shape.width && is_holder(&r->shape, where[p]))
            result |= position_bit(where[p]);
    }
    return result;
}

/* Only what cannot be undone is remembered: that it was asked, and (get) what it holds. */
static void begin_anew(struct request *r, struct target *g, const struct target *before, bool holds)
{
    g->asked = before->asked;
    g->unsure = before->unsure || before->ok || (before->asked && before->state != TARGET_REFUSED);
    if (holds && r->op != OP_PUT)
        g->held = before->held;
}

/* What is open between a request and a member, now that the ring in force is another. */
static void settle_state(struct target *g)
{
    bool reachable = peer_reachable(g->peer);
    if (g->state == TARGET_HELD || (g->state == TARGET_LOST && reachable))
        target_move(g, TARGET_IDLE);
    else if (!reachable)
        (void)target_lost(g);
}

void request_place_again(struct coord *c, struct request *r, bool one_change)
{
    struct target old[POSITIONS_MAX];
    uint8_t where[POSITIONS_MAX];
    struct plan_shape before = r->shape;
    uint32_t dropped = r->asked_before;
    memcpy(old, r->targets, before.width * sizeof *old);
    memset(where, UINT8_MAX, sizeof where);
    request_place(c, r);
    for (uint32_t i = 0; i < before.width; i++) {
        uint32_t p = request_position(r, old[i].peer->member);
        if (p == PLAN_NONE) {
            dropped += old[i].asked;
            continue;
        }
        where[i] = (uint8_t)p;
        if (one_change && stays_true(r, &before, i, p))
            r->targets[p] = old[i];
        else
            begin_anew(r, &r->targets[p], &old[i],
                       one_change && is_holder(&before, i) && is_holder(&r->shape, p));
    }
    for (uint32_t p = 0; p < r->shape.width; p++) {
        struct target *g = &r->targets[p];
        g->hints_sent = moved(r, g->hints_sent, where);
        g->hints_kept = moved(r, g->hints_kept, where);
        settle_state(g);
    }
    if (r->phase == PHASE_WRITE_BACK)
        r->phase = PHASE_READ;
    r->retries = 0;
    r->asked_before = (uint8_t)(dropped < UINT8_MAX / 2 ? dropped : UINT8_MAX / 2);
    c->counters.replans++;
}

/* ---- what it amounts to */

uint32_t request_position(const struct request *r, uint32_t member)
{
    for (uint32_t p = 0; p < r->shape.width; p++) {
        if (r->targets[p].peer->member == member)
            return p;
    }
    return PLAN_NONE;
}

position_set request_done(const struct request *r, position_set set)
{
    if (r->op == OP_PUT)
        return plan_whole(&r->shape, set);
    return set & positions_below(r->shape.listed) & ~r->shape.given_up;
}

uint32_t request_reachable(const struct request *r)
{
    position_set up = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        if (peer_reachable(r->targets[p].peer))
            up |= position_bit(p);
    }
    return position_count(plan_window(r->shape.homes, request_done(r, up), request_strict(r)));
}

uint32_t request_asked(const struct request *r)
{
    uint32_t asked = r->asked_before;
    for (uint32_t p = 0; p < r->shape.width; p++)
        asked += r->targets[p].asked;
    return asked;
}

position_set request_counted(const struct request *r)
{
    bool homes = MUTANT(strict_counts_fallbacks, request_strict(r), false);
    return positions_below(homes ? r->shape.homes : r->shape.listed);
}

position_set request_ok(const struct request *r)
{
    position_set ok = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        if (r->targets[p].ok)
            ok |= position_bit(p);
    }
    return ok;
}

uint32_t request_acked(const struct request *r)
{
    position_set done = MUTANT(two_as_two, request_done(r, request_ok(r)), request_ok(r));
    return position_count(done & MUTANT(two_as_two, request_counted(r), UINT32_MAX));
}

bool request_expects(const struct request *r, uint64_t now_us)
{
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (!g->ok && g->state == TARGET_SENT && !target_silent(g, now_us, COORD_WRITE_PATIENCE_US))
            return true;
    }
    return false;
}
