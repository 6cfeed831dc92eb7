/* The coordinator's frame: slots, ids, timers, who can be reached, dispatch. See coord.h for what it promises
 * and internal.h for its parts. */
#include "coord/internal.h"

#include <stdlib.h>

/* ---- peers */

/* PEERS_MAX: not there. */
static uint32_t peer_index(const struct coord *c, uint32_t member)
{
    uint32_t i = 0;
    while (i < PEERS_MAX && c->peers[i].member != member)
        i++;
    return i;
}

/* NULL: the table is full, so the member is none of the ring's. */
static struct peer *peer_add(struct coord *c, uint32_t member)
{
    KV_ASSERT(member != 0);
    uint32_t i = peer_index(c, member);
    if (i < PEERS_MAX)
        return &c->peers[i];
    i = peer_index(c, 0);
    if (i == PEERS_MAX)
        return NULL;
    c->peers[i] = (struct peer){.member = member, .connected = member == c->config.self};
    return &c->peers[i];
}

/* Peers of neither ring make room; no target points to them. */
static void peers_sweep(struct coord *c, const struct ring *a, const struct ring *b)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &c->peers[i];
        if (p->member == 0 || p->member == c->config.self)
            continue;
        if (!(a && ring_value_find(&a->value, p->member)) && !(b && ring_value_find(&b->value, p->member)))
            *p = (struct peer){0};
    }
}

/* ---- slots */

int coord_create(const struct coord_config *config, struct coord **out)
{
    struct coord *c = calloc(1, sizeof *c);
    if (!c)
        return KV_E_NO_MEMORY;
    c->config = *config;
    heap_init(&c->timers);
    list_init(&c->free);
    if (config->self)
        peer_add(c, config->self);
    *out = c;
    return KV_OK;
}

void coord_destroy(struct coord *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        struct request *r = c->slots[i];
        row_release(&r->row);
        buf_deinit(&r->key);
        free(r->trace);
        free(r);
    }
    heap_deinit(&c->timers);
    free(c);
}

static struct request *slot_grow(struct coord *c)
{
    if (c->slot_count == REQUESTS_MAX || heap_reserve(&c->timers, c->slot_count + 1))
        return NULL;
    struct request *r = calloc(1, sizeof *r + POSITIONS_MAX * sizeof r->targets[0]);
    if (!r)
        return NULL;
    r->slot = c->slot_count;
    c->slots[c->slot_count++] = r;
    return r;
}

/* The slot used last is used first: its memory is warm. NULL: all are in use, or no memory. */
static struct request *slot_take(struct coord *c)
{
    struct list *node = list_pop_front(&c->free);
    return node ? container_of(node, struct request, free) : slot_grow(c);
}

void request_end(struct coord *c, struct request *r)
{
    KV_ASSERT(r->phase != PHASE_FREE);
    heap_remove(&c->timers, &r->timer);
    row_release(&r->row);
    KV_ASSERT(c->bytes >= r->weight_bytes && c->in_flight > 0);
    c->bytes -= r->weight_bytes;
    c->in_flight--;
    r->weight_bytes = 0;
    r->phase = PHASE_FREE;
    r->generation = (r->generation + 1) & ((1u << GENERATION_BITS) - 1);
    list_push_front(&c->free, &r->free);
}

void request_hold(struct coord *c, struct request *r, struct row owned)
{
    row_release(&r->row);
    r->row = owned;
    c->bytes -= r->weight_bytes;
    r->weight_bytes = r->key.len + blob_bytes(r->row.payload).len;
    c->bytes += r->weight_bytes;
}

/* The heap has room for every slot. */
void request_wake(struct coord *c, struct request *r, uint64_t at_us)
{
    int rc = heap_set(&c->timers, &r->timer, at_us < r->retry_us ? at_us : r->retry_us);
    KV_ASSERT(rc == KV_OK);
}

/* Those that were behind with the ring may have it now. */
static void ask_again(struct request *r)
{
    r->retry_us = UINT64_MAX;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        if (r->targets[p].state == TARGET_HELD && r->targets[p].behind)
            target_move(&r->targets[p], TARGET_IDLE);
    }
}

void request_run(struct coord *c, const struct turn *t, struct request *r)
{
    if (t->now.mono_us >= r->retry_us)
        ask_again(r);
    if (r->op == OP_PUT)
        put_run(c, t, r);
    else
        get_run(c, t, r);
}

/* Runs what is due, as far as the outbox has room. */
static void run_due(struct coord *c, const struct turn *t)
{
    while (heap_deadline(&c->timers) <= t->now.mono_us && outbox_room(t->out) > ROOM_MIN) {
        struct request *r = container_of(heap_first(&c->timers), struct request, timer);
        request_run(c, t, r);
        KV_ASSERT(r->phase == PHASE_FREE || r->timer.at > t->now.mono_us);
    }
}

static struct turn turn_of(struct coord *c, struct now now, uint64_t hlc, struct outbox *out)
{
    if (hlc > c->hlc)
        c->hlc = hlc;
    return (struct turn){now, c->hlc, out};
}

/* For calls that tell no hlc: the wall clock, but never before what was told. */
static struct turn turn_by_wall(struct coord *c, struct now now, struct outbox *out)
{
    return turn_of(c, now, hlc_from_ms(now.wall_ms), out);
}

/* ---- the ring, and who can be reached */

/* Whether the later ring is the next one, or all between the two belongs to the change it is in. */
static bool within_one_change(const struct ring *earlier, const struct ring *later)
{
    const struct ring_value *v = &later->value;
    uint64_t next = earlier->value.epoch + 1;
    return v->epoch == next || (v->phase != RING_STABLE && v->since <= next);
}

void coord_ring_set(struct coord *c, struct now now, const struct ring *ring, struct outbox *out)
{
    struct turn t = turn_by_wall(c, now, out);
    KV_ASSERT(ring->value.member_count <= MEMBERS_MAX);
    bool one_change = c->ring && within_one_change(c->ring, ring);
    peers_sweep(c, c->ring, ring);
    c->ring = ring;
    for (uint32_t i = 0; i < ring->value.member_count; i++) {
        c->by_index[i] = peer_add(c, ring->value.members[i].id);
        KV_ASSERT(c->by_index[i] != NULL);
        c->by_index[i]->given_up = ring->value.members[i].dead;
    }
    for (uint32_t i = 0; i < c->slot_count; i++) {
        struct request *r = c->slots[i];
        if (r->phase == PHASE_FREE)
            continue;
        request_place_again(c, r, one_change);
        request_wake(c, r, now.mono_us);
    }
    run_due(c, &t);
}

void coord_peer_set(struct coord *c, struct now now, uint32_t member, bool reachable, struct outbox *out)
{
    struct turn t = turn_by_wall(c, now, out);
    struct peer *peer = peer_add(c, member);
    if (!peer || peer->connected == reachable)
        return;
    peer->connected = reachable;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        struct request *r = c->slots[i];
        if (r->phase == PHASE_FREE)
            continue;
        uint32_t p = request_position(r, member);
        if (p != PLAN_NONE && !peer->given_up &&
            (reachable ? target_back(&r->targets[p]) : target_lost(&r->targets[p])))
            request_wake(c, r, now.mono_us);
    }
    run_due(c, &t);
}

bool coord_peer_reachable(const struct coord *c, uint32_t member)
{
    uint32_t i = member ? peer_index(c, member) : PEERS_MAX;
    return i < PEERS_MAX && peer_reachable(&c->peers[i]);
}

uint32_t coord_rtt_us(const struct coord *c, uint32_t member)
{
    uint32_t i = member ? peer_index(c, member) : PEERS_MAX;
    return i < PEERS_MAX ? c->peers[i].read.mean_us : 0;
}

/* ---- requests and answers */

static uint64_t timeout_of(const struct msg_request *q)
{
    uint64_t us = q->timeout_us, most = q->op == OP_PUT ? TIMEOUT_PUT_MAX_US : TIMEOUT_MAX_US;
    if (us == 0)
        us = TIMEOUT_DEFAULT_US + (uint64_t)q->row.raw_size * TIMEOUT_PER_MIB_US / (1u << 20);
    return us < most ? us : most;
}

/* A put began when its stamp was minted: every resend of it, through whichever coordinator, is as old, and
 * is refused like the first when it is too old (DESIGN section 7, purging). */
static uint64_t began_hlc(const struct turn *t, const struct msg_request *q)
{
    return q->op == OP_PUT && q->row.stamp.hlc < t->hlc ? q->row.stamp.hlc : t->hlc;
}

/* Whether it can be taken at all. */
static int admit(const struct coord *c, const struct message *m)
{
    const struct msg_request *q = &m->request;
    if (q->op != OP_GET && q->op != OP_PUT && q->op != OP_STAMP)
        return KV_E_INVALID;
    if (!c->ring)
        return KV_E_UNAVAILABLE;
    if ((q->op == OP_PUT ? q->w : q->r) > c->ring->homes)
        return KV_E_INVALID;
    if (c->bytes + q->key.len + blob_bytes(q->row.payload).len > INFLIGHT_MAX_BYTES)
        return KV_E_OVERLOADED;
    return KV_OK;
}

/* The slot's lasting parts (key, trace, generation, the timer's place in no heap) stay; the rest begins anew.
 */
static void request_begin(struct coord *c, const struct turn *t, struct request *r, struct endpoint from,
                          const struct message *m)
{
    const struct msg_request *q = &m->request;
    *r = (struct request){
        .slot = r->slot,
        .generation = r->generation,
        .key = r->key,
        .trace = r->trace,
        .phase = q->op == OP_PUT ? PHASE_PUT : PHASE_READ,
        .op = q->op,
        .flags = q->flags,
        .quorum = q->op == OP_PUT ? q->w : q->r,
        .client = from,
        .client_id = m->id,
        .arrived_us = t->now.mono_us,
        .deadline_us = t->now.mono_us + timeout_of(q),
        .retry_us = UINT64_MAX,
        .began_hlc = began_hlc(t, q),
        .token = key_token(q->key),
    };
    c->in_flight++;
    c->unanswered++;
    request_hold(c, r, q->op == OP_PUT ? row_ref(&q->row) : row_absent());
    request_place(c, r);
}

/* One get in so many measures a home that it would not have asked. */
#define EXPLORE_EVERY 64

void coord_request(struct coord *c, struct now now, uint64_t hlc, struct endpoint from,
                   const struct message *m, struct outbox *out)
{
    struct turn t = turn_of(c, now, hlc, out);
    int status = admit(c, m);
    struct request *r = status == KV_OK ? slot_take(c) : NULL;
    if (r && buf_set(&r->key, m->request.key) != KV_OK) {
        list_push_front(&c->free, &r->free);
        r = NULL;
    }
    if (!r) {
        reply_refusal(c, out, from, m, status == KV_OK ? KV_E_OVERLOADED : status);
        return;
    }
    request_begin(c, &t, r, from, m);
    if (r->op != OP_PUT)
        r->exploring = ++c->gets_begun % EXPLORE_EVERY == 0;
    trace_unreachable(r, &t);
    if (request_reachable(r) >= r->needed) {
        request_run(c, &t, r);
    } else {
        request_reply(c, &t, r, KV_E_UNAVAILABLE, false, row_absent());
        request_end(c, r);
    }
}

/* The request that an id was made for; NULL: it is over. */
static struct request *request_of(const struct coord *c, uint64_t id, uint32_t *attempt)
{
    uint64_t serial = id_serial(id);
    uint32_t slot = (uint32_t)(serial & (REQUESTS_MAX - 1));
    uint32_t generation = (uint32_t)(serial >> (SLOT_BITS + ATTEMPT_BITS));
    *attempt = (uint32_t)(serial >> SLOT_BITS) & ((1u << ATTEMPT_BITS) - 1);
    if (id_owner(id) != ID_COORD || slot >= c->slot_count)
        return NULL;
    struct request *r = c->slots[slot];
    return r->phase != PHASE_FREE && r->generation == generation ? r : NULL;
}

static void late_answer(struct coord *c, struct now now, uint32_t member, const struct message *m)
{
    uint32_t i = member ? peer_index(c, member) : PEERS_MAX;
    struct peer *p = i < PEERS_MAX ? &c->peers[i] : NULL;
    c->counters.late_answers++;
    if (p && p->probe_id == m->id && m->type == MSG_READ_REPLY) {
        latency_record(&p->read, now.mono_us - p->probe_us);
        p->probe_id = 0;
    }
}

void coord_answer(struct coord *c, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                  struct outbox *out)
{
    struct turn t = turn_of(c, now, hlc, out);
    uint32_t attempt;
    struct request *r = request_of(c, m->id, &attempt);
    uint32_t p = r ? request_position(r, member) : PLAN_NONE;
    bool fits = m->type == MSG_WRITE_ACK || (r && r->op != OP_PUT && m->type == MSG_READ_REPLY);
    if (p == PLAN_NONE || !r->targets[p].asked || attempt < r->targets[p].first_attempt || !fits) {
        late_answer(c, now, member, m);
        return;
    }
    if (r->op == OP_PUT)
        put_answered(c, &t, r, p, attempt, m);
    else
        get_answered(c, &t, r, p, attempt, m);
    request_run(c, &t, r);
}

void coord_tick(struct coord *c, struct now now, uint64_t hlc, struct outbox *out)
{
    struct turn t = turn_of(c, now, hlc, out);
    run_due(c, &t);
}

uint64_t coord_deadline_us(const struct coord *c)
{
    return heap_deadline(&c->timers);
}

/* ---- numbers, and what must hold */

uint32_t coord_unanswered(const struct coord *c)
{
    return c->unanswered;
}

uint32_t coord_in_flight(const struct coord *c)
{
    return c->in_flight;
}

uint64_t coord_bytes_in_flight(const struct coord *c)
{
    return c->bytes;
}

struct coord_counters coord_counters(const struct coord *c)
{
    return c->counters;
}

static void request_check(const struct coord *c, const struct request *r)
{
    bool put = r->op == OP_PUT;
    KV_ASSERT(heap_contains(&r->timer) && !list_linked(&r->free));
    KV_ASSERT(put == (r->phase == PHASE_PUT || r->phase == PHASE_SETTLE));
    KV_ASSERT(r->shape.width <= POSITIONS_MAX && r->shape.listed <= r->shape.width);
    KV_ASSERT(r->shape.homes >= 1 && r->shape.homes <= r->shape.listed);
    KV_ASSERT(request_acked(r) <= request_asked(r));
    KV_ASSERT(r->weight_bytes == r->key.len + blob_bytes(r->row.payload).len && r->key.len > 0);
    KV_ASSERT(!put || !row_is_absent(&r->row));
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        KV_ASSERT(g->state != TARGET_SENT || (g->asked && peer_reachable(g->peer)));
        KV_ASSERT(!g->ok || g->asked);
        KV_ASSERT(stamp_cmp(g->held, r->row.stamp) <= 0);
        KV_ASSERT(g->peer >= c->peers && g->peer < c->peers + PEERS_MAX && g->peer->member != 0);
        for (uint32_t q = 0; q < p; q++)
            KV_ASSERT(r->targets[q].peer != g->peer); /* so that nobody counts twice */
    }
}

void coord_check(const struct coord *c)
{
    uint32_t in_flight = 0, unanswered = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        const struct request *r = c->slots[i];
        KV_ASSERT(r->slot == i);
        if (r->phase == PHASE_FREE) {
            KV_ASSERT(list_linked(&r->free) && !heap_contains(&r->timer));
            KV_ASSERT(r->row.payload == NULL && r->weight_bytes == 0);
            continue;
        }
        request_check(c, r);
        in_flight++;
        unanswered += !request_answered(r);
        bytes += r->weight_bytes;
    }
    KV_ASSERT(in_flight == c->in_flight && unanswered == c->unanswered && bytes == c->bytes);
    KV_ASSERT(c->timers.count == in_flight);
}
