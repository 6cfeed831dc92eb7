/* Which partitions are compared when: rounds, and passes out of turn. A slice of partitions at a time: their
 * hashes are brought up to date, then a session with each peer compares those that it shares. */
#include "repair/entropy_internal.h"

#include "base/assert.h"
#include "kv_error.h"

uint32_t round_slices(const struct entropy *e)
{
    uint32_t partitions = e->ring ? e->ring->value.partitions : 0;
    uint32_t size = partitions / ENTROPY_SLICES;
    size = size < 1 ? 1 : size > ENTROPY_SLICE_MAX ? ENTROPY_SLICE_MAX : size;
    return partitions / size;
}

/* ---- whom to compare with */

/* Each pair of homes meets once: the earlier begins. For an operator's order this node does, whatever its
 * place: only its own hashes are known to be right. */
static bool pair_wanted(const struct entropy *e, const struct peer_state *p, bool earlier)
{
    if (!p || !p->reachable)
        return false;
    if (e->slice.at_once)
        return p->at_once && (earlier || e->pass.repair);
    return earlier;
}

struct pairs {
    struct peer_state *peers[REPLICAS_MAX];
    uint32_t count;
    bool home; /* this node is one */
};

static struct pairs pairs_of(const struct entropy *e, uint32_t partition)
{
    struct pairs pairs = {.count = 0};
    uint32_t homes[REPLICAS_MAX], count = entropy_homes(e, partition, homes);
    uint32_t self = 0;
    while (self < count && homes[self] != e->config.self)
        self++;
    pairs.home = self < count;
    for (uint32_t i = 0; pairs.home && i < count; i++) {
        struct peer_state *p = entropy_peer(e, homes[i]);
        if (i != self && pair_wanted(e, p, self < i))
            pairs.peers[pairs.count++] = p;
    }
    return pairs;
}

/* A part of the partitions in each round, another one each time. */
static bool scrub_due(const struct entropy *e, uint32_t partition)
{
    if (e->slice.at_once)
        return e->pass.repair;
    uint64_t rounds = e->config.scrub_us / e->config.round_us;
    return rounds == 0 || (partition + e->round.number) % rounds == 0;
}

/* ---- a slice */

static void slice_end(struct entropy *e, uint64_t now_us);
static void slice_compare(struct entropy *e, const struct turn *t);

static void slice_fill(struct entropy *e, uint32_t index)
{
    uint32_t size = e->ring->value.partitions / round_slices(e);
    e->slice.count = 0;
    for (uint32_t p = index * size; p < (index + 1) * size; p++) {
        struct pairs pairs = pairs_of(e, p);
        bool rehash = pairs.home && scrub_due(e, p);
        if (pairs.count > 0 || rehash)
            e->slice.trees[e->slice.count++] = (struct tree){.partition = p, .rehash = rehash};
    }
}

static void ask_tree(struct entropy *e, bool rehash, const struct turn *t)
{
    struct slice *s = &e->slice;
    s->op = entropy_op(e, SLOT_SLICE);
    struct effect *f = outbox_add(t->out, EF_STORE_TREE);
    f->op = s->op;
    f->tree.partition = s->trees[s->at].partition;
    f->tree.partitions = e->ring->value.partitions;
    f->tree.rehash = rehash;
}

static void slice_begin(struct entropy *e, bool at_once, const struct turn *t)
{
    struct slice *s = &e->slice;
    s->at_once = at_once;
    s->at = 0;
    s->began_us = t->now_us;
    slice_fill(e, at_once ? e->pass.next : e->round.next);
    if (s->count == 0) {
        slice_end(e, t->now_us);
        return;
    }
    s->state = SLICE_HASHING;
    ask_tree(e, s->trees[0].rehash, t);
}

/* A partition whose rows cannot be read is left out. */
void round_tree(struct entropy *e, const struct event *in, const struct turn *t)
{
    struct slice *s = &e->slice;
    struct tree *tree = &s->trees[s->at];
    KV_ASSERT(in->type == EV_STORE_TREE);
    if (in->tree.status == KV_E_AGAIN) {
        ask_tree(e, false, t);
        return;
    }
    if (in->tree.status == KV_OK) {
        tree->known = true;
        memcpy(tree->leaves, in->tree.hashes, sizeof tree->leaves);
        tree->root = tree_root(tree->leaves);
        e->counters.scrubbed += tree->rehash;
    }
    if (++s->at < s->count)
        ask_tree(e, s->trees[s->at].rehash, t);
    else
        slice_compare(e, t);
}

static uint64_t not_held(const struct entropy *e, uint64_t trees)
{
    for (uint64_t left = trees; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        if (entropy_held(e, e->slice.trees[i].partition))
            trees &= ~(UINT64_C(1) << i);
    }
    return trees;
}

static struct session *free_session(struct entropy *e)
{
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        if (e->sessions[i].state == SESSION_NONE)
            return &e->sessions[i];
    return NULL;
}

/* What a session did not get to; not for ever. */
static void again_later(struct peer_state *p, uint64_t trees, uint64_t now_us)
{
    if (!p->reachable || ++p->tries >= ENTROPY_TRIES)
        return;
    p->todo = trees;
    p->retry_us = now_us + ENTROPY_RETRY_US;
}

/* Begins what can be begun. The slice ends when there is nothing left to do. */
static void slice_go_on(struct entropy *e, const struct turn *t)
{
    bool more = false;
    for (uint32_t i = 0; i < e->peer_count && e->slice.state == SLICE_COMPARING; i++) {
        struct peer_state *p = e->peers[i];
        struct session *s = free_session(e);
        if (s && p->todo && p->retry_us <= t->now_us) {
            uint64_t trees = not_held(e, p->todo);
            p->todo = 0;
            if (trees && session_begin(e, s, p->id, trees) != KV_OK)
                again_later(p, trees, t->now_us);
            else if (trees)
                session_due(e, s, t);
        }
        more |= p->todo != 0;
    }
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        more |= e->sessions[i].state != SESSION_NONE;
    if (!more && e->slice.state == SLICE_COMPARING)
        slice_end(e, t->now_us);
}

static void slice_compare(struct entropy *e, const struct turn *t)
{
    struct slice *s = &e->slice;
    s->state = SLICE_COMPARING;
    for (uint32_t i = 0; i < s->count; i++) {
        struct pairs pairs = pairs_of(e, s->trees[i].partition);
        for (uint32_t k = 0; s->trees[i].known && k < pairs.count; k++) {
            struct peer_state *p = pairs.peers[k];
            p->todo |= UINT64_C(1) << i;
            p->tries = 0;
            p->retry_us = 0;
        }
    }
    slice_go_on(e, t);
}

void round_session_over(struct entropy *e, const struct turn *t, uint32_t member, uint64_t left)
{
    if (left)
        again_later(entropy_peer(e, member), left, t->now_us);
    slice_go_on(e, t);
}

void round_drop(struct entropy *e)
{
    e->slice.state = SLICE_NONE;
    for (uint32_t i = 0; i < e->peer_count; i++)
        e->peers[i]->todo = 0;
}

/* ---- rounds and passes */

/* The first begins when hints have had their time; a new ring begins the one at hand again. */
void round_start(struct entropy *e, uint64_t now_us)
{
    e->pass.next = 0;
    e->pass.due_us = now_us;
    if (e->config.round_us == 0)
        return;
    if (e->round.due_us == UINT64_MAX)
        e->round.number = hash64_mix(e->config.seed);
    e->round.next = 0;
    e->round.began_us = now_us + ENTROPY_RETURN_US;
    e->round.due_us = e->round.began_us;
}

static void round_advance(struct entropy *e, uint64_t now_us)
{
    struct round *r = &e->round;
    uint32_t slices = round_slices(e);
    if (++r->next == slices) {
        e->counters.rounds++;
        e->counters.last_round_us = now_us - r->began_us;
        r->began_us += e->config.round_us;
        r->began_us = r->began_us > now_us ? r->began_us : now_us;
        r->next = 0;
        r->number++;
    }
    r->due_us = r->began_us + e->config.round_us * r->next / slices;
}

/* While clients wait, half of the time is theirs. */
static void pass_advance(struct entropy *e, uint64_t now_us)
{
    struct pass *p = &e->pass;
    p->due_us = e->foreground ? now_us + (now_us - e->slice.began_us) : now_us;
    if (++p->next < round_slices(e))
        return;
    p->active = p->repair = false;
    for (uint32_t i = 0; i < e->peer_count; i++)
        e->peers[i]->at_once = false;
}

static void slice_end(struct entropy *e, uint64_t now_us)
{
    e->slice.state = SLICE_NONE;
    if (e->slice.at_once)
        pass_advance(e, now_us);
    else
        round_advance(e, now_us);
}

/* Peers that are due, or for an operator all that are there. */
static void pass_begin(struct entropy *e, uint64_t now_us)
{
    struct pass *pass = &e->pass;
    *pass = (struct pass){.repair = e->repair_wanted, .due_us = now_us};
    for (uint32_t i = 0; i < e->peer_count; i++) {
        struct peer_state *p = e->peers[i];
        p->at_once = p->reachable && (pass->repair || p->due_us <= now_us);
        if (p->at_once)
            p->due_us = UINT64_MAX;
        pass->active |= p->at_once;
    }
    e->repair_wanted &= !pass->active;
}

/* What is due in its turn goes first: it is little. */
void round_tick(struct entropy *e, const struct turn *t)
{
    if (e->slice.state == SLICE_COMPARING)
        slice_go_on(e, t);
    for (uint32_t i = 0; i < ENTROPY_SLICES && e->slice.state == SLICE_NONE; i++) {
        if (!e->pass.active)
            pass_begin(e, t->now_us);
        if (e->round.due_us <= t->now_us)
            slice_begin(e, false, t);
        else if (e->pass.active && e->pass.due_us <= t->now_us)
            slice_begin(e, true, t);
        else
            return;
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When a peer is to be compared with again, and there is a session for it; at once when all that was left to
 * do went away with a peer. */
static uint64_t retry_us(const struct entropy *e)
{
    uint64_t at = UINT64_MAX;
    uint32_t open = 0;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        open += e->sessions[i].state != SESSION_NONE;
    for (uint32_t i = 0; open < ENTROPY_SESSIONS && i < e->peer_count; i++)
        if (e->peers[i]->todo)
            at = earlier(at, e->peers[i]->retry_us);
    return at == UINT64_MAX && open == 0 ? 0 : at;
}

uint64_t round_deadline_us(const struct entropy *e)
{
    if (e->slice.state == SLICE_COMPARING)
        return retry_us(e);
    if (e->slice.state == SLICE_HASHING)
        return UINT64_MAX; /* the store always answers */
    uint64_t at = e->round.due_us;
    if (e->pass.active)
        return earlier(at, e->pass.due_us);
    for (uint32_t i = 0; i < e->peer_count; i++)
        at = earlier(at, e->repair_wanted && e->peers[i]->reachable ? 0 : e->peers[i]->due_us);
    return at;
}

bool round_busy(const struct entropy *e, uint32_t partition)
{
    uint64_t open = 0;
    for (uint32_t i = 0; i < e->peer_count; i++)
        open |= e->peers[i]->todo;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        open |= e->sessions[i].state == SESSION_NONE ? 0 : e->sessions[i].trees;
    for (; open; open &= open - 1)
        if (e->slice.trees[__builtin_ctzll(open)].partition == partition)
            return true;
    return false;
}
