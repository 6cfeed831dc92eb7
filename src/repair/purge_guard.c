/* What a member answers to a driver; the keys that it watches for it; the partitions that it keeps
 * anti-entropy off.
 *
 * A watch must not lose what it saw: a question that comes twice does not begin it anew, and one of an older
 * round of the partition (late, from another life of the driver) begins none. */
#include "base/mutant.h"
#include "repair/purge_internal.h"

#include "model/key.h"

#include <stdlib.h>

int guards_ring_set(struct purge *p)
{
    if (!p->guards)
        p->guards = calloc(p->ring->value.partitions, sizeof *p->guards);
    return p->guards ? KV_OK : KV_E_NO_MEMORY;
}

/* ---- watches */

static bool touched(const struct watch *w, uint32_t i)
{
    return MUTANT(purge_blind, w->touched[i / 64] >> i % 64 & 1, false);
}

static void touch(struct watch *w, uint32_t i)
{
    w->touched[i / 64] |= UINT64_C(1) << i % 64;
}

static struct watch *watch_find(const struct purge *p, uint32_t partition, uint64_t round)
{
    struct watch *w = p->guards[partition].watches;
    while (w && w->round != round)
        w = w->next;
    return w;
}

static void watch_end(struct purge *p, struct watch *w)
{
    struct watch **at = &p->guards[w->partition].watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    list_remove(&w->link);
    p->watched -= w->count;
    free(w);
}

/* KV_E_STALE, KV_E_NO_MEMORY, KV_E_OVERLOADED. */
static int watch_begin(struct purge *p, const struct purge_turn *t, const struct msg_purge *m)
{
    struct guard *g = &p->guards[m->partition];
    if (watch_find(p, m->partition, m->round))
        return KV_OK;
    if (m->round <= g->last_round || turn_past(t, m->round + hlc_from_ms(p->config.row_age_max_ms)))
        return KV_E_STALE;
    if (m->round > t->hlc + hlc_from_ms(PURGE_MARGIN_MS))
        return KV_E_AGAIN; /* the driver's clock is ahead of all: it must not become the newest for good */
    if (p->watched + m->count > PURGE_WATCHED_MAX)
        return KV_E_OVERLOADED;
    struct watch *w = calloc(1, sizeof *w + m->count * sizeof w->tokens[0]);
    if (!w)
        return KV_E_NO_MEMORY;
    w->partition = m->partition;
    w->round = m->round;
    w->until_us = t->now.mono_us + PURGE_WATCH_US;
    w->count = m->count;
    for (uint32_t i = 0; i < m->count; i++)
        w->tokens[i] = key_token(m->rows[i].key);
    w->next = g->watches;
    g->watches = w;
    g->last_round = m->round;
    list_push_back(&p->watches, &w->link);
    p->watched += w->count;
    return KV_OK;
}

void guard_wrote(struct purge *p, uint32_t partition, uint64_t token)
{
    for (struct watch *w = p->guards[partition].watches; w; w = w->next) {
        for (uint32_t i = 0; i < w->count; i++) {
            if (w->tokens[i] == token)
                touch(w, i);
        }
    }
}

/* ---- holds */

/* KV_E_OVERLOADED, KV_E_NO_MEMORY. */
static int hold_begin(struct purge *p, const struct purge_turn *t, const struct msg_purge *m)
{
    uint32_t held = 0;
    list_each (node, &p->holds)
        held += container_of(node, struct hold, link)->partition == m->partition;
    if (held >= PURGE_HOLDS_MAX)
        return KV_E_OVERLOADED;
    struct hold *h = calloc(1, sizeof *h);
    if (!h)
        return KV_E_NO_MEMORY;
    h->partition = m->partition;
    h->round = m->round;
    h->until_us = t->now.mono_us + PURGE_HOLD_US;
    list_push_back(&p->holds, &h->link);
    return KV_OK;
}

/* One that nobody was told of yet need not be told of at all. */
static void hold_end(struct purge *p, struct hold *h)
{
    list_remove(&h->link);
    if (h->told)
        list_push_back(&p->ended, &h->link);
    else
        free(h);
}

static void holds_end(struct purge *p, uint32_t partition, uint64_t round)
{
    list_each_safe (node, &p->holds) {
        struct hold *h = container_of(node, struct hold, link);
        if (h->partition == partition && h->round == round)
            hold_end(p, h);
    }
}

bool purge_hold_changed(struct purge *p, uint32_t *partition, bool *held)
{
    struct list *node = list_pop_front(&p->ended);
    if (node) {
        *partition = container_of(node, struct hold, link)->partition;
        *held = false;
        free(container_of(node, struct hold, link));
        return true;
    }
    list_each (at, &p->holds) {
        struct hold *h = container_of(at, struct hold, link);
        if (h->told)
            continue;
        h->told = true;
        *partition = h->partition;
        *held = true;
        return true;
    }
    return false;
}

/* ---- answers */

static void reply(const struct purge_turn *t, struct endpoint to, uint64_t id, int status,
                  struct bytes passed)
{
    struct message *m = outbox_send(t->out, to, MSG_PURGE_REPLY, id);
    m->purge_reply = (struct msg_purge_reply){.status = status, .hlc = t->hlc, .passed = passed};
}

/* Room for a bit a key; NULL: no memory. */
static uint8_t *bits_make(const struct purge_turn *t, uint32_t count)
{
    uint8_t *bits = arena_alloc(&t->out->arena, (count + 7) / 8);
    if (bits)
        memset(bits, 0, (count + 7) / 8);
    return bits;
}

static void reply_bits(const struct purge_turn *t, struct endpoint to, uint64_t id, uint8_t *bits,
                       uint32_t count)
{
    if (bits)
        reply(t, to, id, KV_OK, bytes_of(bits, (count + 7) / 8));
    else
        reply(t, to, id, KV_E_NO_MEMORY, (struct bytes){NULL, 0});
}

/* ---- what the store is asked */

static struct ask *ask_begin(struct purge *p, struct endpoint from, const struct message *m)
{
    uint32_t i = 0;
    while (i < PURGE_ASKS_MAX && p->asks[i])
        i++;
    if (i == PURGE_ASKS_MAX)
        return NULL;
    struct ask *a = calloc(1, sizeof *a + m->purge.count * sizeof a->stamps[0]);
    if (!a)
        return NULL;
    a->step = m->purge.step;
    a->index = i;
    a->serial = ++p->serial;
    a->from = from;
    a->id = m->id;
    a->partition = m->purge.partition;
    a->round = m->purge.round;
    a->count = m->purge.count;
    for (uint32_t k = 0; k < a->count; k++)
        a->stamps[k] = m->purge.rows[k].stamp;
    p->asks[i] = a;
    return a;
}

static void ask_end(struct purge *p, struct ask *a)
{
    p->asks[a->index] = NULL;
    free(a);
}

/* Keys are borrowed from the message, which lives as long as the effect. */
static int ask_has(struct purge *p, const struct purge_turn *t, struct endpoint from, const struct message *m)
{
    const struct msg_purge *q = &m->purge;
    struct bytes *keys = arena_alloc(&t->out->arena, q->count * sizeof *keys);
    struct ask *a = keys ? ask_begin(p, from, m) : NULL;
    if (!a)
        return KV_E_OVERLOADED;
    for (uint32_t i = 0; i < q->count; i++)
        keys[i] = q->rows[i].key;
    struct effect *e = outbox_add(t->out, EF_STORE_HAS);
    e->op = purge_id(SIDE_ASK, a->index, a->serial);
    e->has.count = q->count;
    e->has.keys = keys;
    return KV_OK;
}

static int ask_delete(struct purge *p, const struct purge_turn *t, struct endpoint from,
                      const struct message *m)
{
    struct ask *a = ask_begin(p, from, m);
    if (!a)
        return KV_E_OVERLOADED;
    struct effect *e = outbox_add(t->out, EF_STORE_DELETE);
    e->op = purge_id(SIDE_ASK, a->index, a->serial);
    e->remove.count = m->purge.count;
    e->remove.entries = m->purge.rows;
    return KV_OK;
}

/* At a home: the keys whose row is exactly the one that is meant. */
static uint8_t *bits_same(const struct purge_turn *t, const struct ask *a, const struct event *in)
{
    uint8_t *bits = bits_make(t, a->count);
    for (uint32_t i = 0; bits && i < a->count; i++) {
        if (stamp_cmp(in->has.keys[i].row, a->stamps[i]) == 0)
            bits[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return bits;
}

/* At another member: those of which it has nothing, and got nothing since it was asked. What it has counts as
 * having come, so that a second question finds the same. */
static uint8_t *bits_none(const struct purge_turn *t, struct watch *w, const struct event *in)
{
    uint8_t *bits = bits_make(t, w->count);
    for (uint32_t i = 0; bits && i < w->count; i++) {
        const struct store_has *has = &in->has.keys[i];
        if (!stamp_is_zero(has->row) || has->noted)
            touch(w, i);
        if (!touched(w, i))
            bits[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return bits;
}

static void has(struct purge *p, const struct purge_turn *t, struct ask *a, const struct event *in)
{
    struct watch *w = a->step == PURGE_NONE ? watch_find(p, a->partition, a->round) : NULL;
    struct bytes nothing = {NULL, 0};
    if (in->has.status != KV_OK)
        reply(t, a->from, a->id, in->has.status, nothing);
    else if (a->step != PURGE_NONE)
        reply_bits(t, a->from, a->id, bits_same(t, a, in), a->count);
    else if (w)
        reply_bits(t, a->from, a->id, bits_none(t, w, in), a->count);
    else
        reply(t, a->from, a->id, KV_E_NOT_FOUND, nothing);
}

void guard_stored(struct purge *p, const struct purge_turn *t, struct ask *a, const struct event *in)
{
    if (in->type == EV_STORE_HAS) {
        KV_ASSERT(in->has.status != KV_OK || in->has.count == a->count);
        has(p, t, a, in);
    } else {
        holds_end(p, a->partition, a->round);
        reply(t, a->from, a->id, in->written.status, (struct bytes){NULL, 0});
    }
    ask_end(p, a);
}

/* ---- questions */

/* Those of the question that nothing has come for; it may have fewer keys than the watch, in the same order.
 * What the watch does not know has not passed. */
static void answer_untouched(const struct purge_turn *t, struct endpoint from, const struct message *m,
                             const struct watch *w)
{
    const struct msg_purge *q = &m->purge;
    uint8_t *bits = bits_make(t, q->count);
    for (uint32_t i = 0, at = 0; bits && i < q->count; i++) {
        uint64_t token = key_token(q->rows[i].key);
        while (at < w->count && w->tokens[at] != token)
            at++;
        if (at < w->count && !touched(w, at))
            bits[i / 8] |= (uint8_t)(1u << i % 8);
    }
    reply_bits(t, from, m->id, bits, q->count);
}

/* A page in token order, of keys of the partition: no key twice. */
static bool is_page(const struct purge *p, const struct msg_purge *q)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < q->count; i++) {
        uint64_t token = key_token(q->rows[i].key);
        if (token_partition(token, p->partitions) != q->partition || token < before)
            return false;
        if (i && token == before && bytes_cmp(q->rows[i - 1].key, q->rows[i].key) >= 0)
            return false;
        before = token;
    }
    return q->count > 0;
}

static int check(const struct purge *p, const struct purge_turn *t, uint32_t member, bool home,
                 const struct msg_purge *q)
{
    uint32_t preference[PREFERENCE_MAX];
    if (q->partition >= p->partitions || !is_page(p, q))
        return KV_E_INVALID;
    if (ring_preference(p->ring, q->partition, preference) == 0 || preference[0] != member)
        return KV_E_NOT_PERMITTED;
    if (q->step != PURGE_STILL && home != (q->step != PURGE_NONE))
        return KV_E_NOT_PERMITTED;
    return turn_past(t, q->after_hlc) ? KV_OK : KV_E_AGAIN;
}

/* KV_OK: it was answered, or will be. */
static int ask(struct purge *p, const struct purge_turn *t, struct endpoint from, bool busy, bool home,
               const struct message *m)
{
    const struct msg_purge *q = &m->purge;
    int rc = KV_OK;
    if (home && busy && q->step != PURGE_DELETE)
        return KV_E_BUSY;
    switch ((enum purge_step)q->step) {
    case PURGE_NONE: rc = watch_begin(p, t, q); break;
    case PURGE_STILL: rc = home ? hold_begin(p, t, q) : KV_OK; break;
    case PURGE_DELETE: return ask_delete(p, t, from, m);
    default: break;
    }
    if (rc != KV_OK)
        return rc;
    if (home || q->step == PURGE_NONE)
        return ask_has(p, t, from, m);
    struct watch *w = watch_find(p, q->partition, q->round);
    if (!w)
        return KV_E_NOT_FOUND;
    answer_untouched(t, from, m, w);
    watch_end(p, w);
    return KV_OK;
}

void guard_asked(struct purge *p, const struct purge_turn *t, struct endpoint from, uint32_t member,
                 bool busy, const struct message *m)
{
    const struct msg_purge *q = &m->purge;
    if (!purge_stable(p) || !p->guards) {
        reply(t, from, m->id, KV_E_WRONG_RING, (struct bytes){NULL, 0});
        return;
    }
    bool home = q->partition < p->partitions && ring_is_home(p->ring, q->partition, p->config.self);
    int rc = check(p, t, member, home, q);
    if (rc == KV_OK)
        rc = ask(p, t, from, busy, home, m);
    if (rc != KV_OK)
        reply(t, from, m->id, rc, (struct bytes){NULL, 0});
}

/* ---- time */

void guards_expire(struct purge *p, uint64_t now_us)
{
    while (!list_empty(&p->watches)) {
        struct watch *w = container_of(p->watches.next, struct watch, link);
        if (w->until_us > now_us)
            break;
        watch_end(p, w);
    }
    while (!list_empty(&p->holds)) {
        struct hold *h = container_of(p->holds.next, struct hold, link);
        if (h->until_us > now_us)
            break;
        hold_end(p, h);
    }
}

uint64_t guards_deadline_us(const struct purge *p)
{
    uint64_t at = UINT64_MAX;
    if (!list_empty(&p->watches))
        at = container_of(p->watches.next, struct watch, link)->until_us;
    if (!list_empty(&p->holds)) {
        uint64_t until_us = container_of(p->holds.next, struct hold, link)->until_us;
        at = until_us < at ? until_us : at;
    }
    return at;
}

/* Of another ring: answers to what the store was asked are of no use to anybody. */
void guards_clear(struct purge *p)
{
    while (!list_empty(&p->watches))
        watch_end(p, container_of(p->watches.next, struct watch, link));
    while (!list_empty(&p->holds))
        hold_end(p, container_of(p->holds.next, struct hold, link));
    for (uint32_t i = 0; i < PURGE_ASKS_MAX; i++) {
        if (p->asks[i])
            ask_end(p, p->asks[i]);
    }
}

void guards_check(const struct purge *p)
{
    uint64_t watched = 0;
    list_each (node, &p->watches) {
        const struct watch *w = container_of(node, struct watch, link);
        KV_ASSERT(watch_find(p, w->partition, w->round) == w &&
                  w->round <= p->guards[w->partition].last_round);
        watched += w->count;
    }
    KV_ASSERT(watched == p->watched);
    for (uint32_t i = 0; i < PURGE_ASKS_MAX; i++)
        KV_ASSERT(!p->asks[i] || p->asks[i]->index == i);
}
