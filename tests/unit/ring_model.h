/* The world of ring_model_test, and its members: what they are told, adopt, take over and drop. Included once
 * per test. */
#ifndef UNIT_RING_MODEL_H
#define UNIT_RING_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "ring/change.h"
#include "unit/ring_support.h"

#define PARTITIONS 4
#define NODES_MAX  40 /* ids of a run: 1 .. NODES_MAX - 1 */
#define RINGS_MAX  400
#define OPS        12

struct node {
    bool exists, up;
    uint32_t slow; /* it looks for a newer ring one time in so many */
    bool out;      /* no member any more, or its store is not: it has stopped for good */
    uint64_t epoch;
    uint64_t rows[PARTITIONS];
    /* What it takes over, of the change that began at `since`: from whom, and from whom it has; sets of ids.
     * `needed` 0: all there is to be had. */
    uint64_t since;
    uint64_t sources[PARTITIONS], taken[PARTITIONS];
    uint32_t needed[PARTITIONS];
    uint64_t said_whole;
    /* What the drivers know, some time later. */
    uint64_t known_epoch, known_whole;
};

struct op {
    bool active, writing, put;
    uint32_t slow; /* one time in so many it goes on */
    uint32_t via;  /* who coordinates it */
    uint32_t partition;
    uint64_t epoch, floor, value;
    uint64_t acked;    /* ids that have the value */
    uint64_t answered; /* ids that were read */
};

struct world {
    struct prng prng;
    struct ring *rings[RINGS_MAX]; /* by epoch */
    uint64_t newest;
    struct node nodes[NODES_MAX];
    struct op ops[OPS];
    uint64_t completed[PARTITIONS]; /* the newest row that has been acknowledged, or shown by a get */
    bool lossy[PARTITIONS];         /* too few homes were left to take it over from */
    uint64_t last_value, last_store;
    uint64_t island; /* ids cut off from the others, the drivers among them */
    /* The mood of a run: one in so many events that could be is a step of a driver; a death. */
    uint32_t steps_are_rare, deaths_are_rare, trust_in_switch, news_are_rare, islands_last;
};

/* Over all runs: what has been seen, so that the test cannot pass by testing nothing. */
static struct {
    uint32_t steps[RING_UNDO + 1];
    uint32_t puts, gets, replanned, late_undos, stores_lost, losses, copies;
} seen;

static inline uint64_t bit(uint32_t id)
{
    return UINT64_C(1) << id;
}

static inline bool one_in(struct world *w, uint64_t n)
{
    return prng_below(&w->prng, n) == 0;
}

static inline struct ring *newest(struct world *w)
{
    return w->rings[w->newest];
}

static inline bool serves(const struct world *w, uint32_t id, uint64_t epoch)
{
    const struct node *n = &w->nodes[id];
    return n->exists && n->up && !n->out && n->epoch == epoch;
}

static inline bool hear_each_other(const struct world *w, uint32_t a, uint32_t b)
{
    return !(w->island & bit(a)) == !(w->island & bit(b));
}

static inline const struct member *member_of(const struct ring *r, uint32_t id)
{
    return ring_value_find(&r->value, id);
}

static inline bool dead(const struct ring *r, uint32_t id)
{
    return member_of(r, id)->dead;
}

/* ---- members --------------------------------------------------------------------------------- */

/* What was read stays read when somebody is given up midway. */
static inline void note_sources(struct world *w, uint32_t self, const struct ring *r)
{
    struct node *n = &w->nodes[self];
    bool same = n->since == r->value.since;
    n->since = r->value.since;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct ring_sources s = {0};
        bool finished = same && n->needed[p] == 0;
        bool lossy = ring_takes_over(r, p, self, &s) && s.lossy && !finished && !dead(r, self);
        seen.losses += lossy && !w->lossy[p];
        w->lossy[p] = w->lossy[p] || lossy;
        n->sources[p] = 0;
        for (uint32_t i = 0; i < s.count; i++)
            n->sources[p] |= bit(s.members[i]);
        n->taken[p] = same ? n->taken[p] & n->sources[p] : 0;
        finished = finished || (uint32_t)__builtin_popcountll(n->taken[p]) >= s.needed;
        n->needed[p] = finished ? 0 : s.needed;
    }
}

static inline void adopt(struct world *w, uint32_t self, uint64_t epoch)
{
    struct node *n = &w->nodes[self];
    const struct ring *r = w->rings[epoch];
    const struct member *m = member_of(r, self);
    n->epoch = epoch;
    n->out = !m || m->store_id == 0;
    if (n->out)
        return;
    if (r->value.phase != RING_STABLE) {
        note_sources(w, self, r);
        return;
    }
    n->since = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (!ring_is_home(r, p, self) && !one_in(w, 4))
            n->rows[p] = 0;
}

static inline void say_whole(struct world *w, uint32_t self)
{
    struct node *n = &w->nodes[self];
    const struct ring *r = w->rings[n->epoch];
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (n->needed[p] > 0)
            return;
    n->said_whole = r->value.source_epoch;
}

/* One source of one partition is read, all of it at once. */
static inline void take_over(struct world *w, uint32_t self, uint32_t p, uint32_t source)
{
    struct node *n = &w->nodes[self], *from = &w->nodes[source];
    bool wanted = n->needed[p] && (n->sources[p] & bit(source) & ~n->taken[p]);
    if (!wanted || !serves(w, self, n->epoch) || !serves(w, source, n->epoch) ||
        !hear_each_other(w, self, source))
        return;
    n->rows[p] = n->rows[p] > from->rows[p] ? n->rows[p] : from->rows[p];
    n->taken[p] |= bit(source);
    if ((uint32_t)__builtin_popcountll(n->taken[p]) >= n->needed[p])
        n->needed[p] = 0;
    seen.copies++;
}

#endif
