/* The life of a request.
 *
 *     submit -> [ring] -> [stamp] -> final -> done          (rounds; most requests have only the last)
 *
 * In each round it is tried at one peer after another, and at several at once when the first is slow, until
 * one gives a good answer. When nobody is left to be tried it waits (for an answer still owed, for its turn
 * to try again, or stranded until some peer is welcome), or is over.
 *
 * What is known of a write's fate decides what its owner is told: `unavailable` only while no try of its
 * final round can have been applied; once one was sent and neither answered nor refused, it is `timeout`, the
 * unknown outcome. */
#include "base/mutant.h"
#include "base/assert.h"
#include "client/state.h"

#define ID_SLOT_SHIFT       8
#define ID_GENERATION_SHIFT 24

/* What the coordinator is told to be done in is a little less than there is, so that its word on a time-out,
 * with numbers, arrives before we give up. */
#define ANSWER_TRAVEL_MAX_US UINT64_C(20000)

#define RETRY_US     UINT64_C(10000)
#define RETRY_MAX_US UINT64_C(200000)

/* ---- timers ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Room was reserved when the slot was made, so this cannot fail. */
static void set_timer(struct client *c, struct client_request *r)
{
    int rc =
        heap_set(&c->request_timers, &r->timer, min_u64(r->deadline_us, min_u64(r->hedge_us, r->retry_us)));
    KV_ASSERT(rc == KV_OK);
}

static uint32_t live_tries(const struct client_request *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++)
        count += r->tries[i].state != TRY_NONE;
    return count;
}

/* ---- tries ---- */

static uint64_t try_id(const struct client *c, const struct try *t)
{
    uint32_t slot = t->request->slot;
    return c->generations[slot] << ID_GENERATION_SHIFT | (uint64_t)slot << ID_SLOT_SHIFT | t->number;
}

struct try *client_try_find(struct client *c, const struct peer *p, uint64_t id)
{
    uint32_t slot = (uint32_t)(id >> ID_SLOT_SHIFT) & 0xffff;
    if (slot >= c->slot_count || c->generations[slot] != id >> ID_GENERATION_SHIFT || !c->slots[slot])
        return NULL;
    struct client_request *r = c->slots[slot];
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++) {
        struct try *t = &r->tries[i];
        if (t->state == TRY_SENT && t->number == (id & 0xff) && t->peer == p)
            return t;
    }
    return NULL;
}

void client_try_end(struct try *t)
{
    list_remove(&t->link);
    t->state = TRY_NONE;
}

static void end_tries(struct client_request *r)
{
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++)
        if (r->tries[i].state != TRY_NONE)
            client_try_end(&r->tries[i]);
}

/* A try of which nothing more will be heard. */
static void note_unanswered(struct client_request *r, const struct try *t)
{
    if (t->state != TRY_SENT)
        return;
    r->unanswered = true;
    if (client_is_write(r) && r->round == ROUND_FINAL)
        r->maybe_applied = true;
}

void client_try_lost(struct client *c, uint64_t now_us, struct try *t)
{
    struct client_request *r = t->request;
    note_unanswered(r, t);
    client_trace(r, now_us, KV_TRACE_LOST, t->peer, KV_OK);
    client_try_end(t);
    client_request_go(c, now_us, r);
}

/* ---- messages ---- */

static uint32_t time_left_us(const struct client_request *r, uint64_t now_us)
{
    uint64_t left = r->deadline_us > now_us ? r->deadline_us - now_us : 1;
    left -= min_u64(left / 8, ANSWER_TRAVEL_MAX_US);
    return (uint32_t)min_u64(left, TIMEOUT_MAX_US);
}

static void fill_request(const struct client_request *r, uint64_t now_us, struct msg_request *m)
{
    bool stamp = r->round == ROUND_STAMP;
    m->op = stamp ? OP_STAMP : client_is_write(r) ? OP_PUT : OP_GET;
    m->flags = (uint8_t)((r->flags & KV_STRICT ? REQ_STRICT : 0) | (r->flags & KV_EXPLAIN ? REQ_EXPLAIN : 0) |
                         (r->flags & KV_LOCAL ? REQ_LOCAL : 0));
    m->r = stamp ? 0 : r->r; /* the first round of a strict put is always a majority */
    m->w = r->w;
    m->timeout_us = time_left_us(r, now_us);
    m->key = blob_bytes(r->key);
    if (m->op == OP_PUT)
        m->row = r->row;
}

static void fill_fault(const struct kv_fault *f, struct msg_fault *m)
{
    m->kind = f->kind;
    m->from = f->from;
    m->to = f->to;
    m->percent = f->percent;
    m->amount = f->kind == KV_FAULT_SKEW ? (uint32_t)f->amount + CLIENT_SKEW_ZERO : (uint32_t)f->amount;
}

static void fill_change(const struct client_request *r, uint64_t now_us, struct msg_change *m)
{
    *m = *r->change;
    m->timeout_us = time_left_us(r, now_us);
}

static enum message_type message_type(const struct client_request *r)
{
    if (r->round == ROUND_RING)
        return MSG_RING_GET;
    switch (r->done.op) {
    case CLIENT_GET:
    case CLIENT_PUT:
    case CLIENT_DEL: return MSG_REQUEST;
    case CLIENT_SCAN: return MSG_SCAN;
    case CLIENT_STATUS: return MSG_STATUS_GET;
    case CLIENT_STATS: return MSG_STATS_GET;
    case CLIENT_FAULT: return MSG_FAULT;
    case CLIENT_CHANGE: return MSG_CHANGE;
    case CLIENT_REPAIR: return MSG_REPAIR;
    case CLIENT_RING:
    case CLIENT_WHERE: break;
    }
    return MSG_RING_GET;
}

/* A write's stamp: minted when it is first sent, for the clock is known then, and kept for ever. The write is
 * as old as its stamp, and when it is too old nobody takes it any more: then its time is up. */
static void mint(struct client *c, uint64_t now_us, struct client_request *r)
{
    if (!client_is_write(r) || r->round != ROUND_FINAL)
        return;
    if (MUTANT(retry_new_stamp, !stamp_is_zero(r->row.stamp), false))
        return;
    r->row.stamp = (struct stamp){client_clock_mint(&c->clock, now_us), c->origin};
    if (r->ttl_ms)
        r->row.expires_hlc = r->row.stamp.hlc + hlc_from_ms(r->ttl_ms);
    r->deadline_us = min_u64(r->deadline_us, now_us + TIMEOUT_PUT_MAX_US);
    set_timer(c, r);
}

void client_try_send(struct client *c, uint64_t now_us, struct try *t)
{
    struct client_request *r = t->request;
    struct peer *p = t->peer;
    KV_ASSERT(t->state == TRY_QUEUED && p->state == PEER_READY);
    if (r->row.raw_size > p->value_max_bytes) {
        client_request_finish(c, now_us, r, KV_E_TOO_LARGE);
        return;
    }
    mint(c, now_us, r);
    struct message *m = client_send(c, p, message_type(r), try_id(c, t));
    if (m->type == MSG_REQUEST)
        fill_request(r, now_us, &m->request);
    else if (m->type == MSG_SCAN)
        m->scan = (struct msg_scan){
            .after = {r->after_token, blob_bytes(r->after_key)},
            .prefix = blob_bytes(r->key),
            .limit = r->limit,
            .strict_complete = (r->flags & KV_STRICT) != 0,
            .timeout_us = time_left_us(r, now_us),
        };
    else if (m->type == MSG_FAULT)
        fill_fault(&r->fault, &m->fault);
    else if (m->type == MSG_CHANGE)
        fill_change(r, now_us, &m->change);
    list_remove(&t->link);
    list_push_back(&p->sent, &t->link);
    t->state = TRY_SENT;
    t->sent_us = now_us;
    p->in_flight++;
    r->sent++;
    client_trace(r, now_us, KV_TRACE_SEND, p, KV_OK);
}

/* ---- going on ---- */

static uint64_t hedge_delay_us(const struct client_request *r, const struct peer *p)
{
    bool order = r->done.op == CLIENT_CHANGE || r->done.op == CLIENT_REPAIR;
    return order ? CLIENT_HEDGE_CHANGE_US : client_peer_hedge_us(p, r->weight_bytes);
}

static void begin_try(uint64_t now_us, struct client_request *r, struct peer *p)
{
    struct try *t = r->tries;
    while (t->state != TRY_NONE)
        t++;
    KV_ASSERT(t < r->tries + CLIENT_TRIES_MAX);
    *t = (struct try){.request = r, .peer = p, .state = TRY_QUEUED, .begun_us = now_us};
    t->number = (uint8_t)++r->sends;
    r->tried[r->tried_count++] = p->slot;
    list_push_back(&p->queued, &t->link);
    r->hedge_us = now_us + hedge_delay_us(r, p);
}

/* Whether waiting for a peer to come back makes sense: not for one that was never there (a wrong address, a
 * cluster that is not up: better said at once). */
static bool hopeful(const struct client *c, const struct client_request *r)
{
    if (client_needs_hub(c, r))
        return false; /* it was dialled just now */
    return r->via_peer ? r->via_peer->ever_ready : c->ever_ready;
}

/* Nobody is left to be tried right now. */
static void settle(struct client *c, uint64_t now_us, struct client_request *r)
{
    if (live_tries(r) > 0 || r->retry_us != UINT64_MAX) {
        r->hedge_us = UINT64_MAX;
        set_timer(c, r);
    } else if (r->sends >= CLIENT_SENDS_MAX || r->unavailable > 0 || r->invalid > 0 || !hopeful(c, r)) {
        client_request_fail(c, now_us, r);
    } else if (r->via_peer ? r->via_peer->state == PEER_READY : c->ready_count > 0) {
        client_request_retry(c, now_us, r, RETRY_US, ++r->again);
    } else {
        r->tried_count = 0;
        r->hedge_us = UINT64_MAX;
        if (!list_linked(&r->link))
            list_push_back(&c->stranded, &r->link);
        set_timer(c, r);
    }
}

/* Whether one more try may be begun. One that still waits for its connection makes room: nothing was sent. */
static bool has_room(struct client_request *r)
{
    if (r->sends >= CLIENT_SENDS_MAX)
        return false;
    if (live_tries(r) < CLIENT_TRIES_MAX)
        return true;
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++) {
        struct try *t = &r->tries[i];
        if (t->state == TRY_QUEUED && t->peer->state != PEER_READY) {
            client_try_end(t);
            return true;
        }
    }
    return false;
}

void client_request_go(struct client *c, uint64_t now_us, struct client_request *r)
{
    KV_ASSERT(r->live);
    struct peer *p = has_room(r) ? client_route(c, now_us, r) : NULL;
    if (!p) {
        settle(c, now_us, r);
        return;
    }
    list_remove(&r->link);
    begin_try(now_us, r, p);
    set_timer(c, r);
    client_peer_want(c, now_us, p);
    client_peer_flush(c, now_us, p);
}

/* Tries again after the nth pause, anybody. */
void client_request_retry(struct client *c, uint64_t now_us, struct client_request *r, uint64_t base_us,
                          uint32_t nth)
{
    uint64_t pause_us = min_u64(base_us << (nth < 8 ? nth : 8), RETRY_MAX_US);
    r->retry_us = now_us + pause_us / 2 + prng_below(&c->prng, pause_us / 2 + 1);
    r->hedge_us = live_tries(r) ? r->hedge_us : UINT64_MAX;
    set_timer(c, r);
}

void client_requests_wake(struct client *c, uint64_t now_us)
{
    struct list woken;
    struct list *link;
    list_init(&woken);
    while ((link = list_pop_front(&c->stranded)))
        list_push_back(&woken, link);
    while ((link = list_pop_front(&woken)))
        client_request_go(c, now_us, container_of(link, struct client_request, link));
}

/* The round is over, and well. */
void client_request_next_round(struct client *c, uint64_t now_us, struct client_request *r)
{
    bool had_ring = r->round == ROUND_RING;
    end_tries(r);
    r->tried_count = 0;
    r->retry_us = UINT64_MAX;
    r->unavailable = r->overloaded = r->again = r->invalid = 0;
    r->unanswered = false;
    r->refusal = (struct refusal){0};
    if (had_ring && (r->done.op == CLIENT_RING || r->done.op == CLIENT_WHERE)) {
        int rc = r->done.op == CLIENT_RING ? client_result_ring(c, r) : client_result_where(c, r);
        client_request_finish(c, now_us, r, rc);
        return;
    }
    if (had_ring && !(r->via_peer = client_peer_named(c, r->via_name))) {
        client_request_finish(c, now_us, r, KV_E_INVALID);
        return;
    }
    bool strict_write = client_is_write(r) && (r->flags & KV_STRICT);
    r->round = had_ring && strict_write ? ROUND_STAMP : ROUND_FINAL;
    client_request_go(c, now_us, r);
}

/* ---- time ---- */

/* The newest try has waited for the hedge delay. */
static void hedge(struct client *c, uint64_t now_us, struct client_request *r)
{
    const struct try *slowest = NULL;
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++) {
        const struct try *t = &r->tries[i];
        if (t->state != TRY_NONE && (!slowest || t->number > slowest->number))
            slowest = t;
    }
    KV_ASSERT(slowest);
    struct peer *p = slowest->peer;
    bool silent = p->state != PEER_READY || p->silent ||
                  (slowest->state == TRY_SENT && p->heard_us <= slowest->sent_us);
    if (silent)
        client_peer_silent(c, now_us, p);
    bool paid = silent || c->hedge_tokens >= CLIENT_HEDGE_EARN;
    if (!paid) {
        r->hedge_us = now_us + hedge_delay_us(r, p);
        set_timer(c, r);
        return;
    }
    if (!silent)
        c->hedge_tokens -= CLIENT_HEDGE_EARN;
    client_request_go(c, now_us, r);
}

void client_request_tick(struct client *c, uint64_t now_us, struct client_request *r)
{
    if (now_us >= r->deadline_us) {
        client_request_fail(c, now_us, r);
    } else if (now_us >= r->retry_us) {
        r->retry_us = UINT64_MAX;
        if (live_tries(r) == 0 && !client_route(c, now_us, r))
            r->tried_count = 0; /* everybody has been asked: all over again */
        client_request_go(c, now_us, r);
    } else if (now_us >= r->hedge_us) {
        hedge(c, now_us, r);
    } else {
        set_timer(c, r);
    }
}

/* ---- the end ---- */

/* Why nobody could be asked: what the nodes that refused us said, if any did. */
static int connection_verdict(const struct client *c, const struct client_request *r)
{
    for (uint32_t i = 0; i < c->peer_count; i++) {
        const struct peer *p = c->peers[i];
        bool concerned = !r->via_peer || p == r->via_peer;
        if (concerned && p->refusal && p->state != PEER_READY)
            return p->refusal;
    }
    return KV_E_NO_NODE;
}

/* What the last refusal, or the silence, says. */
static int last_word(const struct client *c, const struct client_request *r)
{
    int status = r->refusal.status;
    if (c->closed)
        return KV_E_CLOSED;
    if (status == KV_OK && r->unanswered)
        status = KV_E_TIMEOUT;
    switch (status) {
    case KV_OK: return client_needs_hub(c, r) ? KV_E_UNAVAILABLE : connection_verdict(c, r);
    case KV_E_NOT_COORDINATOR: return r->via ? status : KV_E_UNAVAILABLE;
    case KV_E_TIMEOUT:
    case KV_E_OVERLOADED:
    case KV_E_TOO_LARGE:
    case KV_E_INVALID:
    case KV_E_DUPLICATE_ID:
    case KV_E_NOT_PERMITTED: return status;
    default: return KV_E_UNAVAILABLE;
    }
}

/* The best that is known of a request that did not succeed. A write that may have been applied, wholly or at
 * some replicas, must not be said to have done nothing; one whose stamp was asked for in vain has done
 * nothing. */
static int verdict(const struct client *c, const struct client_request *r)
{
    int status = last_word(c, r);
    if (!client_is_write(r))
        return status;
    if (r->maybe_applied)
        return KV_E_TIMEOUT;
    if (r->partly_applied)
        return status == KV_E_OVERLOADED || status == KV_E_INVALID ? status : KV_E_TIMEOUT;
    return status == KV_E_TIMEOUT ? KV_E_UNAVAILABLE : status;
}

void client_request_fail(struct client *c, uint64_t now_us, struct client_request *r)
{
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++)
        note_unanswered(r, &r->tries[i]);
    client_request_finish(c, now_us, r, verdict(c, r));
}

/* Tries that lost to a hedge took at least this long; without them a slow peer would look as fast as its
 * quick answers, and be hedged ever more. */
static void measure_losers(struct client_request *r, uint64_t now_us)
{
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++) {
        const struct try *t = &r->tries[i];
        if (t->state == TRY_SENT && now_us - t->sent_us > CLIENT_HEDGE_MIN_US)
            client_peer_measure(t->peer, now_us - t->sent_us);
    }
}

void client_request_finish(struct client *c, uint64_t now_us, struct client_request *r, int status)
{
    KV_ASSERT(r->live);
    measure_losers(r, now_us);
    end_tries(r);
    list_remove(&r->link);
    heap_remove(&c->request_timers, &r->timer);
    r->live = false;
    c->slots[r->slot] = NULL;
    c->generations[r->slot]++;
    c->free_slots[c->free_count++] = r->slot;
    c->pending--;
    c->pending_bytes -= r->weight_bytes;
    if (c->hedge_tokens < CLIENT_HEDGE_BURST * CLIENT_HEDGE_EARN)
        c->hedge_tokens++;
    client_result_end(c, r, status, now_us);
    list_push_back(&c->done, &r->link);
}
