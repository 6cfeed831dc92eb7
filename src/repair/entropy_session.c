/* Comparing some partitions with one peer: see the states in entropy_internal.h, the messages in entropy.h.
 */
#include "repair/entropy_session.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"

/* ---- life */

int session_begin(struct entropy *e, struct session *s, uint32_t member, uint64_t trees)
{
    KV_ASSERT(s->state == SESSION_NONE && trees);
    if (!s->own)
        s->own = malloc(COMPARE_DIGESTS_MAX * sizeof *s->own);
    if (!s->own)
        return KV_E_NO_MEMORY;
    s->state = SESSION_ROOTS;
    s->waits = false;
    s->at_us = 0;
    s->member = member;
    s->trees = trees;
    s->own_count = 0;
    e->counters.sessions++;
    return KV_OK;
}

void session_drop(struct session *s)
{
    s->state = SESSION_NONE;
    s->waits = false;
    s->at_us = UINT64_MAX;
    s->trees = 0;
}

void session_deinit(struct session *s)
{
    free(s->own);
    buf_deinit(&s->from.key);
    buf_deinit(&s->upto.key);
    buf_deinit(&s->next.key);
    span_deinit(&s->span);
    parcel_deinit(&s->parcel);
}

void session_end(struct entropy *e, struct session *s, const struct turn *t)
{
    session_drop(s);
    round_session_over(e, t, s->member, 0, KV_OK);
}

void session_fail(struct entropy *e, struct session *s, int why, const struct turn *t)
{
    uint64_t left = s->trees;
    e->counters.sessions_failed++;
    session_drop(s);
    round_session_over(e, t, s->member, left, why);
}

static uint32_t slot_of(const struct entropy *e, const struct session *s)
{
    return SLOT_SESSIONS + (uint32_t)(s - e->sessions);
}

uint64_t session_op(struct entropy *e, struct session *s)
{
    return s->op = entropy_op(e, slot_of(e, s));
}

void session_go_to(struct session *s, enum session_state state)
{
    s->state = (uint8_t)state;
    s->waits = false;
    s->at_us = 0;
}

/* The store always answers; a peer does or does not. */
void session_wait_for_store(struct session *s)
{
    s->waits = true;
    s->at_us = UINT64_MAX;
}

void session_wait_for_peer(struct session *s, const struct turn *t)
{
    s->waits = true;
    s->at_us = t->now_us + ENTROPY_ANSWER_US;
}

/* Arena or heap are exhausted: a little later they may not be. */
void session_wait_for_memory(struct session *s, const struct turn *t)
{
    s->waits = false;
    s->at_us = t->now_us + ENTROPY_RETRY_US;
}

/* ---- what is compared: sets of leaves */

static uint64_t leaves_of(const struct session *s, uint32_t tree, unsigned which)
{
    return (which & LEAVES_PULL ? s->pull[tree] : 0) | (which & LEAVES_BOTH ? s->both[tree] : 0) |
           (which & LEAVES_PUSH ? s->push[tree] : 0);
}

/* Into s->span: those leaves, of partitions that the range touches. KV_E_NO_MEMORY. */
int session_span(const struct entropy *e, struct session *s, unsigned which, const struct place *upto)
{
    struct partition_leaf_set sets[ENTROPY_SLICE_MAX];
    uint32_t count = 0, partitions = e->ring->value.partitions;
    struct cursor from = place_at(&s->from), end = place_at(upto);
    for (uint64_t left = s->trees; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left), partition = e->slice.trees[i].partition;
        bool behind = partition < token_partition(from.token, partitions);
        bool beyond = !cursor_is_zero(&end) && partition > token_partition(end.token, partitions);
        uint64_t leaves = leaves_of(s, i, which);
        if (leaves && !behind && !beyond)
            sets[count++] = (struct partition_leaf_set){partition, leaves};
    }
    return span_set(&s->span, partitions, sets, count, from, end);
}

/* ---- ROOTS */

static void ask_roots(struct entropy *e, struct session *s, const struct turn *t)
{
    struct partition_root *roots = arena_alloc(&t->out->arena, ENTROPY_SLICE_MAX * sizeof *roots);
    uint32_t count = 0;
    if (!roots) {
        session_wait_for_memory(s, t);
        return;
    }
    for (uint64_t left = s->trees; left; left &= left - 1) {
        const struct tree *tree = &e->slice.trees[__builtin_ctzll(left)];
        roots[count++] = (struct partition_root){tree->partition, tree->root};
    }
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_ROOTS, session_op(e, s));
    m->roots = (struct msg_roots){.count = count, .roots = roots};
    entropy_sent(e, m, 0, t->now_us);
    session_wait_for_peer(s, t);
}

/* The tree of a partition that was asked for; ENTROPY_SLICE_MAX: none. */
uint32_t session_tree(const struct entropy *e, uint64_t trees, uint32_t partition)
{
    for (; trees; trees &= trees - 1)
        if (e->slice.trees[__builtin_ctzll(trees)].partition == partition)
            return (uint32_t)__builtin_ctzll(trees);
    return ENTROPY_SLICE_MAX;
}

static void sort_leaves(const struct entropy *e, struct session *s, uint32_t tree,
                        const struct partition_leaves *theirs)
{
    const uint8_t *next = theirs->hashes.data;
    s->pull[tree] = s->both[tree] = s->push[tree] = 0;
    for (uint32_t i = 0; i < TREE_LEAVES; i++) {
        uint64_t bit = UINT64_C(1) << i, mine = e->slice.trees[tree].leaves[i];
        if (!(theirs->filled & bit)) {
            s->push[tree] |= mine ? bit : 0;
            continue;
        }
        if (!mine)
            s->pull[tree] |= bit;
        else if (be32_get(next) != leaf_short(mine, s->op))
            s->both[tree] |= bit;
        next += 4;
    }
}

/* Which of the partitions asked for are left to be compared. KV_E_MALFORMED. */
static int take_leaves(struct entropy *e, struct session *s, const struct msg_leaves *m, uint64_t now_us)
{
    uint64_t differ = 0, held = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t tree = session_tree(e, s->trees & ~(differ | held), m->partitions[i].partition);
        if (tree == ENTROPY_SLICE_MAX)
            return KV_E_MALFORMED;
        bool now = entropy_may_ask(e, m->partitions[i].partition, s->member, now_us);
        *(m->partitions[i].held || !now ? &held : &differ) |= UINT64_C(1) << tree;
        sort_leaves(e, s, tree, &m->partitions[i]);
    }
    e->counters.compared += (uint64_t)__builtin_popcountll(s->trees & ~held);
    e->counters.differed += (uint64_t)__builtin_popcountll(differ);
    s->trees = differ;
    for (; held; held &= held - 1)
        round_again(e, e->slice.trees[__builtin_ctzll(held)].partition, now_us);
    return KV_OK;
}

static void on_leaves(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    entropy_received(e, m, 0, t->now_us);
    int rc = m->leaves.status ? m->leaves.status : take_leaves(e, s, &m->leaves, t->now_us);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK) {
        session_fail(e, s, rc, t);
        return;
    }
    s->partly = false;
    s->from.token = s->upto.token = 0;
    buf_clear(&s->from.key);
    buf_clear(&s->upto.key);
    session_go_to(s, SESSION_DIGESTS);
}

/* ---- DIGESTS: a new range, and what we have in it */

static void read_own(struct entropy *e, struct session *s, const struct turn *t)
{
    if (span_ask(&s->span, session_op(e, s), 0, true, t->out))
        session_wait_for_store(s);
    else
        session_go_to(s, SESSION_COMPARE);
}

static uint64_t hlc_before(uint64_t hlc, uint64_t ms)
{
    return hlc > hlc_from_ms(ms) ? hlc - hlc_from_ms(ms) : 0;
}

static void begin_range(struct entropy *e, struct session *s, const struct turn *t)
{
    s->own_count = 0;
    s->until_hlc = hlc_before(t->hlc, ENTROPY_YOUNG_MS);
    s->upto.token = 0;
    buf_clear(&s->upto.key);
    if (session_span(e, s, LEAVES_BOTH, &s->upto))
        session_wait_for_memory(s, t);
    else
        read_own(e, s, t);
}

/* The range ends with the last row whose digest still fits into one question. */
static int take_own(struct session *s, const struct event *in)
{
    struct bytes last = {NULL, 0};
    for (uint32_t i = 0; i < in->page.count; i++) {
        const struct page_entry *p = &in->page.entries[i];
        s->own[s->own_count++] = (struct own_row){.token = key_token(p->key), .stamp = p->row.stamp};
        last = p->key;
    }
    int rc = span_next(&s->span, in);
    if (rc == KV_OK && !s->span.over && s->own_count + SCAN_PAGE_MAX > COMPARE_DIGESTS_MAX)
        rc = place_set(&s->upto, (struct cursor){.token = key_token(last), .key = last});
    return rc;
}

static void on_own_page(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    KV_ASSERT(in->page.count <= SCAN_PAGE_MAX);
    int rc = in->page.status ? in->page.status : take_own(s, in);
    if (rc != KV_OK)
        session_fail(e, s, rc, t);
    else if (s->own_count + SCAN_PAGE_MAX > COMPARE_DIGESTS_MAX)
        session_go_to(s, SESSION_COMPARE);
    else
        read_own(e, s, t);
}

/* ---- the machine */

/* Not before memory may be there again, and rows not before the rate allows them. */
static bool must_pause(const struct entropy *e, struct session *s, uint64_t now_us)
{
    if (s->state != SESSION_ROOTS && s->at_us < e->rate.free_us)
        s->at_us = e->rate.free_us;
    return s->at_us > now_us;
}

/* Until it waits for something. */
static void run(struct entropy *e, struct session *s, const struct turn *t)
{
    while (s->state != SESSION_NONE && !s->waits && !must_pause(e, s, t->now_us)) {
        switch ((enum session_state)s->state) {
        case SESSION_ROOTS: ask_roots(e, s, t); break;
        case SESSION_DIGESTS: begin_range(e, s, t); break;
        case SESSION_COMPARE: session_compare(e, s, t); break;
        case SESSION_PUSH: session_push(e, s, t); break;
        case SESSION_FETCH: session_fetch(e, s, t); break;
        case SESSION_NONE:
        case SESSION_WRITE:
        case SESSION_MERGE:
        case SESSION_FETCH_WRITE: KV_ASSERT(s->waits); /* these do nothing else */
        }
    }
}

/* A peer that does not answer is not asked again before its next turn: it would hold up all others. */
void session_due(struct entropy *e, struct session *s, const struct turn *t)
{
    if (s->waits) {
        entropy_peer(e, s->member)->tries = ENTROPY_TRIES;
        session_fail(e, s, KV_E_TIMEOUT, t);
    } else {
        run(e, s, t);
    }
}

static void on_merged(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    entropy_received(e, m, 0, t->now_us);
    if (m->merged.status == KV_OK)
        session_go_to(s, SESSION_PUSH);
    else
        session_fail(e, s, m->merged.status, t);
}

void session_answer(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    enum session_state state = (enum session_state)s->state;
    if (state == SESSION_ROOTS && m->type == MSG_LEAVES)
        on_leaves(e, s, m, t);
    else if (state == SESSION_COMPARE && m->type == MSG_COMPARED)
        session_compared(e, s, m, t);
    else if (state == SESSION_FETCH && m->type == MSG_COMPARED)
        session_fetched(e, s, m, t);
    else if (state == SESSION_MERGE && m->type == MSG_MERGED)
        on_merged(e, s, m, t);
    run(e, s, t);
}

static void on_written(struct entropy *e, struct session *s, int status, const struct turn *t)
{
    if (status != KV_OK)
        session_fail(e, s, status, t);
    else if (s->state == SESSION_WRITE)
        session_begin_push(e, s, t);
    else
        session_go_to(s, SESSION_FETCH);
}

void session_stored(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    switch ((enum session_state)s->state) {
    case SESSION_DIGESTS: on_own_page(e, s, in, t); break;
    case SESSION_PUSH: session_push_page(e, s, in, t); break;
    default: on_written(e, s, in->written.status, t);
    }
    run(e, s, t);
}

void session_check(const struct entropy *e, const struct session *s)
{
    if (s->state == SESSION_NONE)
        return;
    const struct peer_state *p = entropy_peer(e, s->member);
    KV_ASSERT(p && p->reachable && s->own_count <= COMPARE_DIGESTS_MAX);
    KV_ASSERT(s->trees || s->state == SESSION_DIGESTS); /* nothing differs: it is about to end */
    bool only_waits =
        s->state == SESSION_WRITE || s->state == SESSION_MERGE || s->state == SESSION_FETCH_WRITE;
    KV_ASSERT(s->waits || (!only_waits && s->at_us != UINT64_MAX));
    for (uint32_t i = 1; i < s->own_count; i++)
        KV_ASSERT(s->own[i - 1].token <= s->own[i].token);
}
