/* Comparing some partitions with one peer: see the states in entropy_internal.h, the messages in entropy.h.
 */
#include "repair/entropy_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/pack.h"

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
}

static void session_end(struct entropy *e, struct session *s, const struct turn *t)
{
    session_drop(s);
    round_session_over(e, t, s->member, 0);
}

static void session_fail(struct entropy *e, struct session *s, const struct turn *t)
{
    uint64_t left = s->trees;
    e->counters.sessions_failed++;
    session_drop(s);
    round_session_over(e, t, s->member, left);
}

static uint32_t slot_of(const struct entropy *e, const struct session *s)
{
    return SLOT_SESSIONS + (uint32_t)(s - e->sessions);
}

static uint64_t new_op(struct entropy *e, struct session *s)
{
    return s->op = entropy_op(e, slot_of(e, s));
}

static void go_to(struct session *s, enum session_state state)
{
    s->state = (uint8_t)state;
    s->waits = false;
    s->at_us = 0;
}

/* The store always answers; a peer does or does not. */
static void wait_for_store(struct session *s)
{
    s->waits = true;
    s->at_us = UINT64_MAX;
}

static void wait_for_peer(struct session *s, const struct turn *t)
{
    s->waits = true;
    s->at_us = t->now_us + ENTROPY_ANSWER_US;
}

/* Arena or heap are exhausted: a little later they may not be. */
static void wait_for_memory(struct session *s, const struct turn *t)
{
    s->waits = false;
    s->at_us = t->now_us + ENTROPY_RETRY_US;
}

/* ---- what is compared: sets of leaves */

enum leaves { LEAVES_PULL = 1, LEAVES_BOTH = 2, LEAVES_PUSH = 4 };

static uint64_t leaves_of(const struct session *s, uint32_t tree, unsigned which)
{
    return (which & LEAVES_PULL ? s->pull[tree] : 0) | (which & LEAVES_BOTH ? s->both[tree] : 0) |
           (which & LEAVES_PUSH ? s->push[tree] : 0);
}

/* Into s->span: those leaves, of partitions that the range touches. KV_E_NO_MEMORY. */
static int set_span(const struct entropy *e, struct session *s, unsigned which, const struct place *upto)
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
        wait_for_memory(s, t);
        return;
    }
    for (uint64_t left = s->trees; left; left &= left - 1) {
        const struct tree *tree = &e->slice.trees[__builtin_ctzll(left)];
        roots[count++] = (struct partition_root){tree->partition, tree->root};
    }
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_ROOTS, new_op(e, s));
    m->roots = (struct msg_roots){.count = count, .roots = roots};
    entropy_sent(e, m, 0, t->now_us);
    wait_for_peer(s, t);
}

/* The tree of a partition that was asked for; ENTROPY_SLICE_MAX: none. */
static uint32_t tree_of(const struct entropy *e, uint64_t trees, uint32_t partition)
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
static int take_leaves(struct entropy *e, struct session *s, const struct msg_leaves *m)
{
    uint64_t differ = 0, held = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t tree = tree_of(e, s->trees & ~(differ | held), m->partitions[i].partition);
        if (tree == ENTROPY_SLICE_MAX)
            return KV_E_MALFORMED;
        *(m->partitions[i].held ? &held : &differ) |= UINT64_C(1) << tree;
        sort_leaves(e, s, tree, &m->partitions[i]);
    }
    e->counters.compared += (uint64_t)__builtin_popcountll(s->trees & ~held);
    e->counters.differed += (uint64_t)__builtin_popcountll(differ);
    s->trees = differ;
    return KV_OK;
}

static void on_leaves(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    entropy_received(e, m, 0, t->now_us);
    int rc = m->leaves.status ? m->leaves.status : take_leaves(e, s, &m->leaves);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK) {
        session_fail(e, s, t);
        return;
    }
    s->partly = false;
    s->from.token = s->upto.token = 0;
    buf_clear(&s->from.key);
    buf_clear(&s->upto.key);
    go_to(s, SESSION_DIGESTS);
}

/* ---- DIGESTS: a new range, and what we have in it */

static void read_own(struct entropy *e, struct session *s, const struct turn *t)
{
    if (span_ask(&s->span, new_op(e, s), 0, true, t->out))
        wait_for_store(s);
    else
        go_to(s, SESSION_COMPARE);
}

static void begin_range(struct entropy *e, struct session *s, const struct turn *t)
{
    s->own_count = 0;
    s->upto.token = 0;
    buf_clear(&s->upto.key);
    if (set_span(e, s, LEAVES_BOTH, &s->upto))
        wait_for_memory(s, t);
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
        session_fail(e, s, t);
    else if (s->own_count + SCAN_PAGE_MAX > COMPARE_DIGESTS_MAX)
        go_to(s, SESSION_COMPARE);
    else
        read_own(e, s, t);
}

/* ---- COMPARE, and FETCH, which is the same question for single keys */

static struct blob *digests_of(const struct session *s, uint64_t salt)
{
    struct blob *digests = blob_create((size_t)s->own_count * DIGEST_BYTES);
    for (uint32_t i = 0; digests && i < s->own_count; i++) {
        be32_put(digests->data + i * DIGEST_BYTES, digest_key(s->own[i].token, salt));
        be32_put(digests->data + i * DIGEST_BYTES + 4, digest_stamp(s->own[i].stamp, salt));
    }
    return digests;
}

static uint32_t count_fate(const struct session *s, enum fate fate)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->own_count; i++)
        count += s->own[i].fate == fate;
    return count;
}

static struct blob *keys_to_fetch(const struct session *s, uint64_t salt)
{
    struct blob *keys = blob_create((size_t)count_fate(s, FATE_FETCH) * DIGEST_KEY_BYTES);
    uint8_t *at = keys ? keys->data : NULL;
    for (uint32_t i = 0; keys && i < s->own_count; i++) {
        if (s->own[i].fate != FATE_FETCH)
            continue;
        be32_put(at, digest_key(s->own[i].token, salt));
        at += DIGEST_KEY_BYTES;
    }
    return keys;
}

static uint64_t hlc_before(uint64_t hlc, uint64_t ms)
{
    return hlc > hlc_from_ms(ms) ? hlc - hlc_from_ms(ms) : 0;
}

/* Asks about s->span. */
static void ask_compare(struct entropy *e, struct session *s, bool fetch, const struct turn *t)
{
    uint64_t op = new_op(e, s);
    struct blob *digests = fetch ? keys_to_fetch(s, op) : s->own_count ? digests_of(s, op) : NULL;
    struct partition_leaf_set *sets = arena_alloc(&t->out->arena, s->span.count * sizeof *sets);
    struct cursor after = place_at(&s->span.after), upto = place_at(&s->span.upto);
    struct bytes after_key = arena_copy(&t->out->arena, after.key);
    struct bytes upto_key = arena_copy(&t->out->arena, upto.key);
    if (!sets || (!digests && (fetch || s->own_count)) || after_key.len != after.key.len ||
        upto_key.len != upto.key.len) {
        blob_unref(digests);
        wait_for_memory(s, t);
        return;
    }
    memcpy(sets, s->span.sets, s->span.count * sizeof *sets);
    s->until_hlc = hlc_before(t->hlc, ENTROPY_YOUNG_MS);
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_COMPARE, op);
    m->compare = (struct msg_compare){
        .after = {after.token, after_key},
        .upto = {upto.token, upto_key},
        .until_hlc = s->until_hlc,
        .fetch = fetch,
        .count = s->span.count,
        .sets = sets,
        .digests = digests,
    };
    entropy_sent(e, m, 0, t->now_us);
    wait_for_peer(s, t);
}

static const struct place *range_end(const struct session *s)
{
    return s->partly ? &s->next : &s->upto;
}

static void begin_push(struct entropy *e, struct session *s, const struct turn *t)
{
    unsigned which = LEAVES_PUSH | (count_fate(s, FATE_PUSH) ? LEAVES_BOTH : 0);
    go_to(s, SESSION_PUSH);
    if (set_span(e, s, which, range_end(s)) != KV_OK)
        session_fail(e, s, t);
}

static void compare(struct entropy *e, struct session *s, const struct turn *t)
{
    for (uint32_t i = 0; i < s->own_count; i++)
        s->own[i].fate = FATE_NONE;
    s->partly = false;
    if (set_span(e, s, LEAVES_PULL | LEAVES_BOTH, &s->upto) != KV_OK)
        wait_for_memory(s, t);
    else if (s->span.count)
        ask_compare(e, s, false, t);
    else
        begin_push(e, s, t);
}

static bool is_young(const struct session *s, struct stamp stamp)
{
    return stamp.hlc > s->until_hlc;
}

/* What the peer has said is true up to its `next` only, and an own row there may lie behind it. */
static bool was_compared(const struct session *s, const struct own_row *row)
{
    return !s->partly || row->token < s->next.token;
}

static void take_wants(struct session *s, struct bytes wants)
{
    for (uint32_t i = 0; i < s->own_count && i < wants.len * 8; i++)
        if ((wants.data[i / 8] >> i % 8 & 1) && was_compared(s, &s->own[i]) && !is_young(s, s->own[i].stamp))
            s->own[i].fate = FATE_PUSH;
}

static int take_conflicts(struct session *s, const struct msg_compared *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->conflicts[i].index >= s->own_count)
            return KV_E_MALFORMED;
        struct own_row *own = &s->own[m->conflicts[i].index];
        int c = stamp_cmp(own->stamp, m->conflicts[i].stamp);
        if (c < 0)
            own->fate = FATE_FETCH;
        else if (c > 0 && !is_young(s, own->stamp))
            own->fate = FATE_PUSH;
    }
    return KV_OK;
}

/* How far the peer got: forward, and not beyond what was asked. KV_E_MALFORMED. */
static int check_next(const struct session *s, const struct msg_compared *m)
{
    struct cursor after = place_at(&s->span.after), upto = place_at(&s->span.upto);
    if (m->done)
        return KV_OK;
    if (cursor_cmp(&m->next, &after) <= 0 || (!cursor_is_zero(&upto) && cursor_cmp(&m->next, &upto) > 0))
        return KV_E_MALFORMED;
    return KV_OK;
}

/* Books and checks an answer. The rows in it are those of s->span, which was asked about. */
static int check_compared(struct entropy *e, const struct session *s, const struct message *m,
                          const struct turn *t)
{
    const struct msg_compared *c = &m->compared;
    struct pack_facts facts = {0};
    int rc = c->status;
    if (rc == KV_OK)
        rc = check_next(s, c);
    if (rc == KV_OK)
        rc = entropy_pack_check(e, c->pack, c->began_hlc, t->hlc, &s->span, s->member, &facts);
    entropy_received(e, m, facts.rows, t->now_us);
    return rc;
}

/* Rows that came become durable before anything else is done. */
static void write_rows(struct entropy *e, struct session *s, struct blob *pack, enum session_state state,
                       const struct turn *t)
{
    go_to(s, state);
    entropy_merge(pack, new_op(e, s), t->out);
    wait_for_store(s);
}

static int take_compared(struct session *s, const struct msg_compared *m)
{
    s->partly = !m->done;
    int rc = s->partly ? place_set(&s->next, m->next) : KV_OK;
    if (rc != KV_OK)
        return rc;
    take_wants(s, m->wants);
    return take_conflicts(s, m);
}

static void on_compared(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    int rc = check_compared(e, s, m, t);
    if (rc == KV_OK)
        rc = take_compared(s, &m->compared);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK)
        session_fail(e, s, t);
    else if (m->compared.pack)
        write_rows(e, s, m->compared.pack, SESSION_WRITE, t);
    else
        begin_push(e, s, t);
}

/* ---- PUSH, MERGE: what the peer misses */

/* The first of our rows with that token or a larger one. */
static uint32_t own_at(const struct session *s, uint64_t token)
{
    uint32_t low = 0, high = s->own_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->own[mid].token < token)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_wanted(const struct entropy *e, const struct session *s, const struct page_entry *p)
{
    uint64_t token = key_token(p->key);
    uint32_t partitions = e->ring->value.partitions;
    uint32_t tree = tree_of(e, s->trees, token_partition(token, partitions));
    if (tree == ENTROPY_SLICE_MAX || is_young(s, p->row.stamp))
        return false;
    if (s->push[tree] >> token_leaf(token, partitions) & 1)
        return true;
    for (uint32_t i = own_at(s, token); i < s->own_count && s->own[i].token == token; i++)
        if (s->own[i].fate == FATE_PUSH)
            return true;
    return false;
}

static void read_wanted(struct entropy *e, struct session *s, const struct turn *t)
{
    s->read_hlc = t->hlc;
    if (span_ask(&s->span, new_op(e, s), ENTROPY_PAGE_BYTES, false, t->out))
        wait_for_store(s);
    else
        go_to(s, SESSION_FETCH);
}

static int send_rows(struct entropy *e, struct session *s, const struct page_entry *entries, uint32_t count,
                     const struct turn *t)
{
    struct blob *pack = pack_rows(entries, count);
    if (!pack)
        return KV_E_NO_MEMORY;
    go_to(s, SESSION_MERGE);
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_MERGE, new_op(e, s));
    m->merge = (struct msg_merge){.began_hlc = s->read_hlc, .pack = pack};
    entropy_sent(e, m, count, t->now_us);
    wait_for_peer(s, t);
    return KV_OK;
}

/* Of a page of whole rows those that are wanted go, as many as fit; what does not is read again. */
static int push_page(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    uint32_t count = span_count(&s->span, in), wanted = 0;
    struct page_entry *entries = arena_alloc(&t->out->arena, (count + 1) * sizeof *entries);
    if (!entries)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        if (is_wanted(e, s, &in->page.entries[i]))
            entries[wanted++] = in->page.entries[i];
    uint32_t fit = pack_fit(entries, wanted, ENTROPY_PAGE_BYTES);
    int rc = fit < wanted ? span_behind(&s->span, entries[fit - 1].key) : span_next(&s->span, in);
    go_to(s, SESSION_PUSH);
    return rc == KV_OK && fit ? send_rows(e, s, entries, fit, t) : rc;
}

static void on_wanted_page(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    int rc = in->page.status ? in->page.status : push_page(e, s, in, t);
    if (rc != KV_OK)
        session_fail(e, s, t);
}

/* ---- FETCH, and on to the next range */

/* What was compared, or fetched, is done with; rows at `next` itself are asked about again. */
static int leave_behind(struct session *s)
{
    uint32_t keep = own_at(s, s->next.token);
    memmove(s->own, s->own + keep, (s->own_count - keep) * sizeof *s->own);
    s->own_count -= keep;
    return place_set(&s->from, place_at(&s->next));
}

static void next_range(struct entropy *e, struct session *s, const struct turn *t)
{
    struct cursor upto = place_at(&s->upto);
    if (s->partly) {
        go_to(s, SESSION_COMPARE);
        if (leave_behind(s) != KV_OK)
            session_fail(e, s, t);
    } else if (cursor_is_zero(&upto)) {
        session_end(e, s, t);
    } else {
        go_to(s, SESSION_DIGESTS);
        if (place_set(&s->from, upto) != KV_OK)
            session_fail(e, s, t);
    }
}

static void fetch(struct entropy *e, struct session *s, const struct turn *t)
{
    if (count_fate(s, FATE_FETCH) == 0)
        next_range(e, s, t);
    else if (set_span(e, s, LEAVES_BOTH, range_end(s)) != KV_OK)
        wait_for_memory(s, t);
    else
        ask_compare(e, s, true, t);
}

/* When a page of them was full the rest is asked for. */
static int take_fetched(struct session *s, const struct msg_compared *m)
{
    for (uint32_t i = 0; i < s->own_count; i++)
        if (s->own[i].fate == FATE_FETCH && (m->done || s->own[i].token < m->next.token))
            s->own[i].fate = FATE_NONE;
    return m->done ? KV_OK : place_set(&s->from, m->next);
}

static void on_fetched(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    int rc = check_compared(e, s, m, t);
    if (rc == KV_OK)
        rc = take_fetched(s, &m->compared);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK)
        session_fail(e, s, t);
    else if (m->compared.pack)
        write_rows(e, s, m->compared.pack, SESSION_FETCH_WRITE, t);
    else
        go_to(s, SESSION_FETCH);
}

/* ---- the machine */

/* Not before memory may be there again, and rows not before the rate allows them. */
static bool must_pause(const struct entropy *e, struct session *s, uint64_t now_us)
{
    if (s->state != SESSION_ROOTS && s->at_us < e->free_us)
        s->at_us = e->free_us;
    return s->at_us > now_us;
}

/* Until it waits for something. */
static void run(struct entropy *e, struct session *s, const struct turn *t)
{
    while (s->state != SESSION_NONE && !s->waits && !must_pause(e, s, t->now_us)) {
        switch ((enum session_state)s->state) {
        case SESSION_ROOTS: ask_roots(e, s, t); break;
        case SESSION_DIGESTS: begin_range(e, s, t); break;
        case SESSION_COMPARE: compare(e, s, t); break;
        case SESSION_PUSH: read_wanted(e, s, t); break;
        case SESSION_FETCH: fetch(e, s, t); break;
        case SESSION_NONE:
        case SESSION_WRITE:
        case SESSION_MERGE:
        case SESSION_FETCH_WRITE: KV_ASSERT(s->waits); /* these do nothing else */
        }
    }
}

void session_due(struct entropy *e, struct session *s, const struct turn *t)
{
    if (s->waits)
        session_fail(e, s, t);
    else
        run(e, s, t);
}

static void on_merged(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    entropy_received(e, m, 0, t->now_us);
    if (m->merged.status == KV_OK)
        go_to(s, SESSION_PUSH);
    else
        session_fail(e, s, t);
}

void session_answer(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    enum session_state state = (enum session_state)s->state;
    if (state == SESSION_ROOTS && m->type == MSG_LEAVES)
        on_leaves(e, s, m, t);
    else if (state == SESSION_COMPARE && m->type == MSG_COMPARED)
        on_compared(e, s, m, t);
    else if (state == SESSION_FETCH && m->type == MSG_COMPARED)
        on_fetched(e, s, m, t);
    else if (state == SESSION_MERGE && m->type == MSG_MERGED)
        on_merged(e, s, m, t);
    run(e, s, t);
}

static void on_written(struct entropy *e, struct session *s, int status, const struct turn *t)
{
    if (status != KV_OK)
        session_fail(e, s, t);
    else if (s->state == SESSION_WRITE)
        begin_push(e, s, t);
    else
        go_to(s, SESSION_FETCH);
}

void session_stored(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    switch ((enum session_state)s->state) {
    case SESSION_DIGESTS: on_own_page(e, s, in, t); break;
    case SESSION_PUSH: on_wanted_page(e, s, in, t); break;
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
