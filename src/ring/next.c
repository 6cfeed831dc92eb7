/* Which step of a change is next, and why it may not be taken sooner (see change.h).
 *
 * What has to hold: of two majorities of a partition's slots, one that acknowledged and one that is read from
 * later, a slot that is in both has shown the reader what it acknowledged, whatever the epochs of the two.
 * A node serves only its own epoch, so it is enough to know who cannot be at an older one any more. Within
 * that, what a condition adds is liveness only, and is said to be. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "kv_error.h"
#include "ring/change.h"
#include "ring/step.h"

struct view {
    const struct ring *ring;
    const struct ring_value *v;
    uint8_t movers[MEMBERS_MAX];
    bool stay_too;                              /* ring_stay_takes_over */
    const struct ring_word *words[MEMBERS_MAX]; /* by index of the member */
};

static const struct ring_word not_known = {0};

static void view_init(struct view *w, const struct ring *ring, const struct ring_word *words, uint32_t count)
{
    w->ring = ring;
    w->v = &ring->value;
    ring_movers(ring, w->movers);
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->v->member_count; i++) {
        while (at < count && words[at].member < w->v->members[i].id)
            at++;
        bool known = at < count && words[at].member == w->v->members[i].id;
        w->words[i] = known ? &words[at] : &not_known;
    }
}

static bool dead_for(const struct view *w, uint32_t member, uint64_t us)
{
    return !w->words[member]->alive && w->words[member]->dead_us >= us;
}

/* Of this epoch, or of one that is not ours yet. */
static bool adopted(const struct view *w, uint32_t member)
{
    return w->words[member]->epoch >= w->v->epoch;
}

/* Who counts: a home that moves in this way and is not given up. */
static bool moves(const struct view *w, uint32_t member, uint8_t how)
{
    return (w->movers[member] & how) && !w->v->members[member].dead;
}

static bool no_majority(uint32_t some, uint32_t of)
{
    return some < of / 2 + 1;
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* Nobody knows what a displaced home that is given up does, so it may be at the epoch before. It must not
 * find a majority there: so many of the other homes before have adopted this epoch that it cannot, or all
 * that are left. (Its new home has read more, but maybe not since it was given up.) */
static bool given_up_is_past(const struct view *w, uint32_t partition)
{
    const struct ring_pair *pairs = w->ring->pairs + (size_t)partition * w->ring->twin_width;
    uint32_t homes = 0, left = 0, past = 0;
    bool given_up = false;
    for (uint32_t i = 0; i < w->ring->twin_width; i++) {
        if (pairs[i].from == RING_NOBODY)
            continue;
        bool gone = w->v->members[pairs[i].from].dead;
        given_up = given_up || (gone && pairs[i].from != pairs[i].to);
        homes++;
        left += !gone;
        past += !gone && adopted(w, pairs[i].from);
    }
    return !given_up || no_majority(homes - past, homes) || past == left;
}

static bool leaves(const struct view *w, uint32_t member)
{
    const struct member *m = &w->v->members[member];
    return m->weight == 0 && !m->dead;
}

/* Every new home is WHOLE, or a reader of the SWITCH would miss what only the displaced home has. Every
 * displaced home has adopted this epoch, or it could still acknowledge alone what is never copied, or count
 * as an answer of those before in whose place the new one acknowledges. Who leaves has handed over the hints
 * that it kept (and takes no more): what they are for may be on no other disk. All live (liveness): what is
 * gone into must be finished before anything else can be, and is not gone into for a home nobody can read
 * from. */
static bool may_switch(const struct view *w)
{
    for (uint32_t p = 0; p < w->v->partitions; p++)
        if (!given_up_is_past(w, p))
            return false;
    for (uint32_t i = 0; i < w->v->member_count; i++) {
        const struct ring_word *word = w->words[i];
        if (leaves(w, i) && word->whole_epoch != w->v->source_epoch)
            return false;
        if (moves(w, i, RING_GAINS) &&
            (MUTANT(read_before_whole, word->whole_epoch != w->v->source_epoch, false) || !word->alive))
            return false;
        if (moves(w, i, RING_LOSES) && (!adopted(w, i) || !word->alive))
            return false;
    }
    return true;
}

/* Every displaced home has adopted SWITCH: none is read from under PENDING any more, so it need not be
 * written any more. One that is given up: those its rows were taken over from are so many, and past
 * source_epoch, that no majority with it is left at an older one. */
static bool may_finish(const struct view *w)
{
    for (uint32_t i = 0; i < w->v->member_count; i++)
        if (moves(w, i, RING_LOSES) && MUTANT(no_switch_fence, !adopted(w, i), false))
            return false;
    return true;
}

/* A new home has been dead for too long: nobody knows whether it will ever be whole. */
static bool new_home_lost(const struct view *w)
{
    for (uint32_t i = 0; i < w->v->member_count; i++)
        if (moves(w, i, RING_GAINS) && dead_for(w, i, RING_UNDO_US))
            return true;
    return false;
}

/* Too few of a partition's homes after the change may still be at SWITCH to answer for it, or none moves. A
 * member without a store lost it before this change, and nobody has adopted a ring as it since. */
static bool readers_gone(const struct view *w, uint32_t partition)
{
    const struct ring_pair *pairs = w->ring->pairs + (size_t)partition * w->ring->twin_width;
    uint32_t homes = 0, back = 0;
    bool moving = false;
    for (uint32_t i = 0; i < w->ring->twin_width; i++) {
        moving = moving || pairs[i].from != pairs[i].to;
        if (pairs[i].to == RING_NOBODY)
            continue;
        homes++;
        back += adopted(w, pairs[i].to) || w->v->members[pairs[i].to].store_id == 0;
    }
    return !moving || no_majority(homes - back, homes);
}

/* What PENDING acknowledges the old homes have, so before any SWITCH the way back is free. After one,
 * somebody may still read under it from new homes, who will not be written when the ring is STABLE(old):
 * every new home must have left it; those that will not be heard of any more are too few to answer for a
 * majority. */
static bool may_undo(const struct view *w)
{
    if (!w->v->switched)
        return true;
    for (uint32_t i = 0; i < w->v->member_count; i++)
        if (moves(w, i, RING_GAINS) && !adopted(w, i) && !dead_for(w, i, RING_UNDO_US))
            return false;
    for (uint32_t p = 0; p < w->v->partitions; p++)
        if (!readers_gone(w, p))
            return false;
    return true;
}

/* ---- giving up ------------------------------------------------------------------------------- */

/* Its removal, or that it is replaced, waits in the queue: somebody who knows has said that it will not come
 * back. */
static bool removal_asked(const struct view *w, uint32_t member)
{
    const struct member *m = &w->v->members[member];
    for (uint32_t i = 1; i < w->v->queue_count; i++) {
        const struct ring_change *c = &w->v->queue[i];
        if ((c->kind == RING_REMOVE && c->member == m->id) ||
            (c->kind == RING_JOIN && strcmp(c->name, m->name) == 0))
            return true;
    }
    return false;
}

/* Without `lost`, enough of a partition's homes before are left to take over from and to be past it. */
static bool sources_left(const struct view *w, uint32_t partition, uint32_t lost)
{
    const struct ring_pair *pairs = w->ring->pairs + (size_t)partition * w->ring->twin_width;
    uint32_t homes = 0, left = 0;
    bool concerned = false, needed = false;
    for (uint32_t i = 0; i < w->ring->twin_width; i++) {
        uint16_t from = pairs[i].from;
        bool gone = from == RING_NOBODY || from == lost || w->v->members[from].dead;
        needed = needed || (gone && from != pairs[i].to);
        concerned = concerned || from == lost;
        homes += from != RING_NOBODY;
        left += !gone && w->words[from]->alive;
    }
    return !concerned || !needed || left >= homes / 2 + 1;
}

/* Its new homes take over from the others, and must find there all that it has ever helped to acknowledge:
 * else it has to be waited for, unless it will not come back. */
static bool can_do_without(const struct view *w, uint32_t member)
{
    for (uint32_t p = 0; p < w->v->partitions; p++)
        if (!sources_left(w, p, member))
            return false;
    return true;
}

/* In SWITCH only who has not adopted it is waited for. A new home is not given up, but the change undone, as
 * it would come back without the rows that it should have: unless it will not come back. */
static bool to_be_given_up(const struct view *w, uint32_t member)
{
    const struct member *m = &w->v->members[member];
    if (m->old_weight == 0 || m->dead || !dead_for(w, member, RING_GIVE_UP_US))
        return false;
    bool loses = w->movers[member] & RING_LOSES, gains = w->movers[member] & RING_GAINS;
    if (w->v->phase == RING_SWITCH && (!loses || adopted(w, member)))
        return false;
    if (removal_asked(w, member))
        return true;
    return (loses || leaves(w, member)) && !gains && can_do_without(w, member);
}

static const struct member *next_given_up(const struct view *w)
{
    for (uint32_t i = 0; i < w->v->member_count; i++)
        if (to_be_given_up(w, i))
            return &w->v->members[i];
    return NULL;
}

/* ---- the step -------------------------------------------------------------------------------- */

/* One who is to be removed or replaced because it is dead, and is not. */
static bool lives(const struct view *w, const struct ring_change *c)
{
    for (uint32_t i = 0; i < w->v->member_count; i++) {
        const struct member *m = &w->v->members[i];
        bool meant = (c->kind == RING_REMOVE && m->id == c->member) ||
                     (c->kind == RING_JOIN && strcmp(m->name, c->name) == 0);
        if (meant && w->words[i]->alive)
            return true;
    }
    return false;
}

static int next_of_stable(const struct view *w, enum ring_step *step, struct ring_value *out)
{
    if (w->v->queue_count == 0)
        return KV_OK;
    const struct ring_change *c = &w->v->queue[0];
    *step = RING_BEGIN;
    int status = lives(w, c) ? KV_E_INVALID : ring_step_begin(w->v, c, out);
    if (status != KV_E_INVALID)
        return status;
    *step = RING_DROP;
    return ring_step_drop(w->v, out);
}

static int next_of_pending(const struct view *w, enum ring_step *step, struct ring_value *out)
{
    const struct member *lost = w->v->undo ? NULL : next_given_up(w);
    if (lost) {
        *step = RING_GIVE_UP;
        return ring_step_give_up(w->v, lost->id, out);
    }
    if (w->v->undo || new_home_lost(w)) {
        if (!may_undo(w))
            return KV_OK;
        *step = RING_UNDO;
        return ring_step_undo(w->ring, out);
    }
    if (!may_switch(w))
        return KV_OK;
    *step = RING_TO_SWITCH;
    return ring_step_switch(w->v, out);
}

static int next_of_switch(const struct view *w, enum ring_step *step, struct ring_value *out)
{
    if (may_finish(w)) {
        *step = RING_FINISH;
        return ring_step_finish(w->ring, out);
    }
    if (new_home_lost(w)) {
        *step = RING_BACK;
        return ring_step_back(w->v, out);
    }
    const struct member *lost = next_given_up(w);
    if (!lost)
        return KV_OK;
    *step = RING_GIVE_UP;
    return ring_step_give_up(w->v, lost->id, out);
}

int ring_change_next(const struct ring *ring, const struct ring_word *words, uint32_t count,
                     enum ring_step *step, struct ring_value *out)
{
    struct view w;
    view_init(&w, ring, words, count);
    *out = (struct ring_value){0};
    *step = RING_WAIT;
    int status = KV_OK;
    if (w.v->phase == RING_STABLE)
        status = next_of_stable(&w, step, out);
    else if (w.v->phase == RING_PENDING)
        status = next_of_pending(&w, step, out);
    else
        status = next_of_switch(&w, step, out);
    if (status != KV_OK)
        *step = RING_WAIT;
    return status;
}
