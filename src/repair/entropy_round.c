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
static bool pair_wanted(const struct entropy *e, const struct peer_state *p, bool earlier, uint8_t again)
{
    if (!p || !p->reachable)
        return false;
    switch ((enum slice_kind)e->slice.kind) {
    case SLICE_OF_ROUND: return earlier;
    case SLICE_OF_PASS: return p->at_once && (earlier || e->pass.repair);
    case SLICE_AGAIN: return earlier || again == AGAIN_WITH_ALL;
    }
    return false;
}

/* A part of the partitions in each round, another one each time. */
static bool scrub_due(const struct entropy *e, uint32_t partition)
{
    if (e->slice.kind != SLICE_OF_ROUND)
        return e->slice.kind == SLICE_OF_PASS && e->pass.repair;
    uint64_t rounds = e->config.scrub_us / e->config.round_us;
    return rounds == 0 || (partition + e->round.number) % rounds == 0;
}

/* Adds the partition to the slice if there is something to be done with it. */
static void slice_add(struct entropy *e, uint32_t partition, uint8_t again)
{
    struct tree tree = {.partition = partition};
    uint32_t homes[REPLICAS_MAX], count = entropy_homes(e, partition, homes), self = 0;
    while (self < count && homes[self] != e->config.self)
        self++;
    if (self == count)
        return;
    tree.ordered = again == AGAIN_WITH_ALL || (e->slice.kind == SLICE_OF_PASS && e->pass.repair);
    for (uint32_t i = 0; i < count; i++) {
        if (i == self)
            continue;
        if (pair_wanted(e, entropy_peer(e, homes[i]), self < i, again))
            tree.pairs[tree.pair_count++] = homes[i];
        else if (tree.ordered)
            missed_add(e, partition, homes[i], KV_E_UNAVAILABLE);
    }
    tree.rehash = scrub_due(e, partition);
    if (tree.pair_count > 0 || tree.rehash)
        e->slice.trees[e->slice.count++] = tree;
}

/* ---- partitions that were engaged */

void round_again(struct entropy *e, uint32_t partition, uint64_t now_us)
{
    struct partition_state *p = &e->partitions[partition];
    bool all = e->slice.kind == SLICE_OF_PASS && e->pass.repair;
    e->again_count += p->again == AGAIN_NO;
    if (p->again != AGAIN_WITH_ALL)
        p->again = all ? AGAIN_WITH_ALL : AGAIN_IN_TURN;
    e->again_us = now_us + ENTROPY_AGAIN_US;
}

static void fill_again(struct entropy *e)
{
    for (uint32_t i = 0; i < e->partition_count && e->slice.count < ENTROPY_SLICE_MAX; i++) {
        uint8_t again = e->partitions[i].again;
        if (again == AGAIN_NO)
            continue;
        e->partitions[i].again = AGAIN_NO;
        e->again_count--;
        slice_add(e, i, again);
    }
}

/* ---- a slice: its hashes, then sessions, each partition with one peer; and so on until all had theirs */

static void slice_end(struct entropy *e, uint64_t now_us);
static void slice_compare(struct entropy *e, const struct turn *t);

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

/* The next tree that is wanted, from s->at on. */
static void slice_hash(struct entropy *e, const struct turn *t)
{
    struct slice *s = &e->slice;
    while (s->at < s->count && !s->trees[s->at].rehash &&
           s->trees[s->at].pair_at == s->trees[s->at].pair_count)
        s->at++;
    if (s->at < s->count)
        ask_tree(e, s->trees[s->at].rehash, t);
    else
        slice_compare(e, t);
}

static void slice_fill(struct entropy *e, enum slice_kind kind)
{
    uint32_t size = e->ring->value.partitions / round_slices(e);
    uint32_t first = size * (kind == SLICE_OF_ROUND ? e->round.next : e->pass.next);
    e->slice.count = 0;
    if (kind == SLICE_AGAIN)
        fill_again(e);
    for (uint32_t i = 0; kind != SLICE_AGAIN && i < size; i++)
        slice_add(e, first + i, AGAIN_NO);
}

static void slice_begin(struct entropy *e, enum slice_kind kind, const struct turn *t)
{
    struct slice *s = &e->slice;
    s->kind = (uint8_t)kind;
    s->at = 0;
    s->began_us = t->now_us;
    slice_fill(e, kind);
    if (s->count == 0) {
        slice_end(e, t->now_us);
        return;
    }
    s->state = SLICE_HASHING;
    slice_hash(e, t);
}

/* A partition whose rows cannot be read is left out, whomever it was to be compared with. */
void round_tree(struct entropy *e, const struct event *in, const struct turn *t)
{
    struct slice *s = &e->slice;
    struct tree *tree = &s->trees[s->at];
    KV_ASSERT(in->type == EV_STORE_TREE);
    if (in->tree.status == KV_E_AGAIN) {
        ask_tree(e, false, t);
        return;
    }
    tree->known = in->tree.status == KV_OK;
    if (tree->known) {
        memcpy(tree->leaves, in->tree.hashes, sizeof tree->leaves);
        tree->root = tree_root(tree->leaves);
        e->counters.scrubbed += tree->rehash;
    } else if (tree->ordered) {
        tree->ordered = false; /* it is told once */
        missed_add(e, tree->partition, e->config.self, in->tree.status);
    }
    tree->rehash = false;
    s->at++;
    slice_hash(e, t);
}

/* Of what is to be compared with a peer, what can be now; the rest is for later. */
static uint64_t not_engaged(struct entropy *e, uint32_t member, uint64_t trees, uint64_t now_us)
{
    for (uint64_t left = trees; left; left &= left - 1) {
        uint32_t partition = e->slice.trees[__builtin_ctzll(left)].partition;
        if (!entropy_held(e, partition) && entropy_may_ask(e, partition, member, now_us))
            continue;
        trees &= ~(left & -left);
        round_again(e, partition, now_us);
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
static void try_again(struct entropy *e, struct peer_state *p, uint64_t trees, int why, uint64_t now_us)
{
    if (!p->reachable || ++p->tries >= ENTROPY_TRIES) {
        missed_trees(e, trees, p->id, why);
        return;
    }
    p->todo = trees;
    p->retry_us = now_us + ENTROPY_RETRY_US;
}

static void begin_session(struct entropy *e, struct session *s, struct peer_state *p, const struct turn *t)
{
    uint64_t trees = not_engaged(e, p->id, p->todo, t->now_us);
    p->todo = 0;
    if (trees && session_begin(e, s, p->id, trees) != KV_OK)
        try_again(e, p, trees, KV_E_NO_MEMORY, t->now_us);
    else if (trees)
        session_due(e, s, t);
}

/* When every partition has been compared with one peer: the next ones, or the end. */
static void stage_end(struct entropy *e, const struct turn *t)
{
    struct slice *s = &e->slice;
    bool more = false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct tree *tree = &s->trees[i];
        tree->pair_at += tree->pair_at < tree->pair_count;
        more |= tree->pair_at < tree->pair_count;
    }
    s->at = 0;
    if (!more) {
        slice_end(e, t->now_us);
        return;
    }
    s->state = SLICE_HASHING;
    slice_hash(e, t);
}

/* Begins what can be begun; the stage ends when there is nothing left to do. */
static void slice_go_on(struct entropy *e, const struct turn *t)
{
    bool more = false;
    for (uint32_t i = 0; i < e->peer_count && e->slice.state == SLICE_COMPARING; i++) {
        struct peer_state *p = e->peers[i];
        struct session *s = free_session(e);
        if (s && p->todo && p->retry_us <= t->now_us)
            begin_session(e, s, p, t);
        more |= p->todo != 0;
    }
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        more |= e->sessions[i].state != SESSION_NONE;
    if (!more && e->slice.state == SLICE_COMPARING)
        stage_end(e, t);
}

static void slice_compare(struct entropy *e, const struct turn *t)
{
    struct slice *s = &e->slice;
    s->state = SLICE_COMPARING;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct tree *tree = &s->trees[i];
        bool wanted = tree->known && tree->pair_at < tree->pair_count;
        struct peer_state *p = wanted ? entropy_peer(e, tree->pairs[tree->pair_at]) : NULL;
        if (wanted && (!p || !p->reachable))
            missed_trees(e, UINT64_C(1) << i, tree->pairs[tree->pair_at], KV_E_UNAVAILABLE);
        if (!p || !p->reachable)
            continue;
        p->todo |= UINT64_C(1) << i;
        p->tries = 0;
        p->retry_us = 0;
    }
    slice_go_on(e, t);
}

void round_session_over(struct entropy *e, const struct turn *t, uint32_t member, uint64_t left, int why)
{
    if (left)
        try_again(e, entropy_peer(e, member), left, why, t->now_us);
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
    if (e->pass.repair)
        missed_reset(e);
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
    if (e->slice.kind == SLICE_OF_PASS)
        pass_advance(e, now_us);
    else if (e->slice.kind == SLICE_OF_ROUND)
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
    if (pass->active && pass->repair)
        missed_reset(e);
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
            slice_begin(e, SLICE_OF_ROUND, t);
        else if (e->again_count && e->again_us <= t->now_us)
            slice_begin(e, SLICE_AGAIN, t);
        else if (e->pass.active && e->pass.due_us <= t->now_us)
            slice_begin(e, SLICE_OF_PASS, t);
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
    uint64_t at = earlier(e->round.due_us, e->again_count ? e->again_us : UINT64_MAX);
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
