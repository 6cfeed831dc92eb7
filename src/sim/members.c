/* The membership alone; what it is for is in members.h. One heap, ordered by (time, order of insertion),
 * holds the packets under way and the members' deadlines.
 *
 * A push-pull of more than MEMBERS_MAX members is more than one message may hold: such a table is encoded
 * and decoded in pieces, and arrives whole. Rings are not that large; simulations may be. */
#include "sim/members.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "kv_error.h"
#include "wire/wire.h"

#define PORT_BASE        10000u
#define SOCKET_BUFFER    256u /* datagrams of 100 bytes that fit into net.core.rmem_default */
#define SETTLE_LOOK_US   UINT64_C(2000000)
#define CHECK_CALLS      512u /* a check is O(members): once in so many calls */
#define PAUSE_GAP_MIN_US UINT64_C(100000)
#define PAUSE_GAP_MAX_US UINT64_C(2000000)

enum kind { KIND_DEADLINE, KIND_PACKET, KIND_TURN };

struct happening {
    struct heap_node due;
    enum kind kind;
};

/* An encoded message, in one or more pieces. */
struct packet {
    struct happening event;
    struct list waiting; /* in the socket of a paused member */
    uint32_t from, to;
    bool stream;
    size_t len;
    uint8_t bytes[];
};

struct peer {
    struct happening deadline;
    struct happening turn; /* when it pauses, or goes on */
    struct roster roster;
    uint64_t sent_bytes;
    uint64_t generation;
    bool paused;
    bool blamable;          /* false: whoever calls it dead may have reason to */
    uint32_t socket_count;  /* datagrams in it */
    struct list socket;     /* what came while it was paused */
    uint32_t dead_views;    /* of running members that believe it dead */
    uint64_t buried_plus_1; /* the incarnation last mistaken for dead */
};

struct members {
    struct members_config config;
    struct prng prng;
    uint64_t now_us;
    struct heap events;
    struct outbox out;
    struct arena arena; /* of what is decoded */
    struct buf bytes;   /* of what is encoded */
    struct gossip *table;
    uint64_t calls;
    uint64_t pause_us;
    struct members_traffic traffic;
    uint64_t false_deaths, false_burials, false_suspicions, paused_deaths;
    uint64_t trace;
    struct peer peers[MEMBERS_SIM_MAX + 1];
};

struct swim_config members_memberlist_config(void)
{
    struct swim_config c = swim_config_default();
    c.probe_interval_us = UINT64_C(1000000);
    c.probe_timeout_us = UINT64_C(500000);
    c.probe_deadline_us = c.probe_interval_us;
    c.indirect_probes = 3;
    c.suspicion_mult = 4;
    c.suspicion_max_mult = 6;
    c.suspicion_confirmations = 2;
    c.retransmit_mult = 4;
    c.gossip_interval_us = UINT64_C(200000);
    c.awareness_max = 8;
    c.sync_interval_us = UINT64_C(30000000);
    return c;
}

static void *must(void *p)
{
    KV_ASSERT(p);
    return p;
}

static struct now now_of(const struct members *w)
{
    return (struct now){.mono_us = w->now_us, .wall_ms = 1000000 + w->now_us / 1000};
}

static struct addr addr_of(uint32_t i)
{
    return (struct addr){.host = "127.0.0.1", .port = (uint16_t)(PORT_BASE + i)};
}

static void note(struct members *w, uint64_t a, uint64_t b)
{
    w->trace = hash64_mix(hash64_mix(w->trace + w->now_us) + hash64_mix(a) + b);
}

static void schedule(struct members *w, struct happening *e, uint64_t at_us)
{
    KV_ASSERT(heap_set(&w->events, &e->due, at_us) == KV_OK);
}

/* ---- packets --------------------------------------------------------------------------------- */

static void encode(struct members *w, const struct message *m)
{
    struct wire_frame frame;
    KV_ASSERT(wire_encode(m, &w->bytes, &frame) == KV_OK && frame.payload_count == 0);
}

/* A push-pull; a hub's list is none larger than a message. */
static bool has_table(const struct message *m)
{
    return m->type == MSG_SYNC || m->type == MSG_SYNC_REPLY;
}

static bool carries_gossip(const struct message *m)
{
    return m->type >= MSG_PING && m->type <= MSG_NACK;
}

static void encode_table(struct members *w, const struct message *m)
{
    struct message piece = *m;
    uint32_t left = m->sync.count;
    do {
        piece.sync.count = left < MEMBERS_MAX ? left : MEMBERS_MAX;
        encode(w, &piece);
        piece.sync.gossip += piece.sync.count;
        left -= piece.sync.count;
    } while (left > 0);
}

static void decode_piece(struct members *w, struct bytes *in, struct message *m)
{
    struct wire_header h;
    KV_ASSERT(in->len >= WIRE_HEADER_BYTES);
    KV_ASSERT(wire_decode_header(in->data, WIRE_BODY_MAX_BYTES + WIRE_HEADER_BYTES, &h) == KV_OK);
    struct bytes body = bytes_of(in->data + WIRE_HEADER_BYTES, h.body_size);
    size_t size = WIRE_HEADER_BYTES + h.body_size;
    KV_ASSERT(size <= in->len);
    KV_ASSERT(wire_decode(&h, body, NULL, VALUE_MAX_BYTES, &w->arena, m) == KV_OK);
    *in = bytes_of(in->data + size, in->len - size);
}

static void decode_stream(struct members *w, struct bytes in, struct message *m)
{
    uint32_t count = 0;
    do {
        arena_reset(&w->arena);
        decode_piece(w, &in, m);
        if (!has_table(m))
            return;
        KV_ASSERT(count + m->sync.count <= w->config.nodes);
        if (m->sync.count)
            memcpy(&w->table[count], m->sync.gossip, m->sync.count * sizeof *w->table);
        count += m->sync.count;
    } while (in.len > 0);
    m->sync.count = count;
    m->sync.gossip = w->table;
}

static void post(struct members *w, uint32_t from, uint32_t to, bool stream, const struct message *m)
{
    KV_ASSERT(to >= 1 && to <= w->config.nodes);
    buf_clear(&w->bytes);
    if (stream && has_table(m))
        encode_table(w, m);
    else
        encode(w, m);
    size_t len = w->bytes.len;
    w->peers[from].sent_bytes += len;
    KV_ASSERT(stream || len <= DATAGRAM_MAX_BYTES);
    note(w, (uint64_t)m->type << 48 | (uint64_t)from << 24 | to, len);
    if (stream) {
        w->traffic.syncs++;
        w->traffic.sync_bytes += len;
        w->traffic.gossips += m->type == MSG_LIST ? m->list.count : 0;
    } else {
        w->traffic.datagrams++;
        w->traffic.datagram_bytes += len;
        for (uint32_t i = 0; carries_gossip(m) && i < m->probe.count; i++)
            w->traffic.gossips += m->probe.gossip[i].member != from;
    }
    if (!stream && prng_below(&w->prng, 100) < w->config.loss_percent)
        return;
    struct packet *p = must(malloc(sizeof *p + len));
    *p = (struct packet){.event.kind = KIND_PACKET, .from = from, .to = to, .stream = stream, .len = len};
    memcpy(p->bytes, w->bytes.data, len);
    uint64_t spread_us = w->config.delay_max_us - w->config.delay_min_us;
    schedule(w, &p->event, w->now_us + w->config.delay_min_us + prng_below(&w->prng, spread_us + 1));
}

/* ---- what the members believe ---------------------------------------------------------------- */

static bool absent(enum member_state state)
{
    return state == MEMBER_DEAD || state == MEMBER_LEFT;
}

static void count_mistake(struct members *w, const struct member_change *c)
{
    struct peer *about = &w->peers[c->member];
    if (!roster_runs(&about->roster) || !about->blamable) {
        w->paused_deaths += roster_runs(&about->roster) && c->now.state == MEMBER_DEAD;
        return;
    }
    if (c->now.state == MEMBER_SUSPECT)
        w->false_suspicions++;
    if (c->now.state != MEMBER_DEAD)
        return;
    w->false_deaths++;
    if (c->now.incarnation >= about->buried_plus_1) {
        w->false_burials++;
        about->buried_plus_1 = c->now.incarnation + UINT64_C(1);
    }
}

static void look(struct members *w, uint32_t i)
{
    struct member_change c;
    while (roster_next_change(&w->peers[i].roster, &c)) {
        struct peer *about = &w->peers[c.member];
        note(w, (uint64_t)i << 32 | c.member, (uint64_t)c.now.state << 32 | c.now.incarnation);
        if (!absent(c.before) && absent(c.now.state)) {
            about->dead_views++;
        } else if (absent(c.before) && !absent(c.now.state)) {
            KV_ASSERT(about->dead_views > 0);
            about->dead_views--;
        }
        count_mistake(w, &c);
    }
}

/* Carries out what a member wants. */
static void settle_call(struct members *w, uint32_t i)
{
    struct peer *p = &w->peers[i];
    if (w->calls++ % CHECK_CALLS == 0)
        roster_check(&p->roster);
    for (uint32_t k = 0; k < w->out.count; k++) {
        const struct effect *e = &w->out.effects[k];
        if (e->type == EF_DATAGRAM)
            post(w, i, e->datagram.to.port - PORT_BASE, false, &e->datagram.message);
        else if (e->type == EF_SEND)
            post(w, i, e->send.to.conn ? (uint32_t)e->send.to.conn : e->send.to.peer, true, &e->send.message);
    }
    outbox_reset(&w->out);
    look(w, i);
    schedule(w, &p->deadline, roster_deadline_us(&p->roster));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void tick(struct members *w, uint32_t i)
{
    roster_tick(&w->peers[i].roster, now_of(w), &w->out);
    settle_call(w, i);
}

static void receive(struct members *w, struct packet *p)
{
    struct peer *to = &w->peers[p->to];
    struct message m;
    struct bytes in = bytes_of(p->bytes, p->len);
    if (p->stream) {
        decode_stream(w, in, &m);
        roster_stream(&to->roster, now_of(w), p->from, &m, &w->out);
    } else {
        struct addr from = addr_of(p->from);
        arena_reset(&w->arena);
        KV_ASSERT(wire_decode_datagram(in, &w->arena, &m) == KV_OK);
        roster_datagram(&to->roster, now_of(w), &from, &m, &w->out);
    }
    settle_call(w, p->to);
    free(p);
}

static void arrive(struct members *w, struct packet *p)
{
    struct peer *to = &w->peers[p->to];
    if (!roster_runs(&to->roster) || (to->paused && !p->stream && to->socket_count == SOCKET_BUFFER)) {
        free(p);
    } else if (to->paused) {
        to->socket_count += !p->stream;
        list_push_back(&to->socket, &p->waiting);
    } else {
        receive(w, p);
    }
}

static void empty_socket(struct members *w, struct peer *p)
{
    for (struct list *it; (it = list_pop_front(&p->socket)) != NULL;) {
        struct packet *packet = container_of(it, struct packet, waiting);
        if (roster_runs(&p->roster))
            receive(w, packet);
        else
            free(packet);
    }
    p->socket_count = 0;
}

static void take_turn(struct members *w, uint32_t i)
{
    struct peer *p = &w->peers[i];
    if (p->paused)
        members_resume(w, i);
    else
        members_pause(w, i);
    uint64_t gap_us = PAUSE_GAP_MIN_US + prng_below(&w->prng, PAUSE_GAP_MAX_US - PAUSE_GAP_MIN_US);
    schedule(w, &p->turn, w->now_us + (p->paused ? w->pause_us : gap_us));
}

static bool step(struct members *w, uint64_t end_us)
{
    if (heap_deadline(&w->events) > end_us)
        return false;
    struct heap_node *first = heap_first(&w->events);
    struct happening *e = container_of(first, struct happening, due);
    w->now_us = first->at > w->now_us ? first->at : w->now_us;
    heap_remove(&w->events, first);
    switch (e->kind) {
    case KIND_PACKET: arrive(w, container_of(e, struct packet, event)); break;
    case KIND_DEADLINE: tick(w, (uint32_t)(container_of(e, struct peer, deadline) - w->peers)); break;
    case KIND_TURN: take_turn(w, (uint32_t)(container_of(e, struct peer, turn) - w->peers)); break;
    }
    return true;
}

void members_run(struct members *w, uint64_t us)
{
    uint64_t end_us = w->now_us + us;
    while (step(w, end_us))
        ;
    w->now_us = end_us;
}

/* ---- lives ----------------------------------------------------------------------------------- */

/* Those whom member i takes to be absent have so many more, or fewer, that do. */
static void count_absent(struct members *w, uint32_t i, int change)
{
    for (uint32_t k = 1; k <= w->config.nodes; k++)
        if (roster_absent(&w->peers[i].roster, k))
            w->peers[k].dead_views += (uint32_t)change;
}

/* What it was just told is no news. */
static void look_the_first_time(struct members *w, uint32_t i)
{
    struct member_change c;
    while (roster_next_change(&w->peers[i].roster, &c))
        ;
}

/* As if they had met long ago: the news of so many meetings would take minutes to be told. */
static void introduce(struct members *w, uint32_t i)
{
    struct roster *r = &w->peers[i].roster;
    for (uint32_t k = 1; k <= w->config.nodes; k++) {
        struct addr addr = addr_of(k);
        if (k != i)
            roster_met(r, now_of(w), k, &addr);
    }
    roster_hush(r);
    look_the_first_time(w, i);
}

static void start(struct members *w, uint32_t i)
{
    struct peer *p = &w->peers[i];
    KV_ASSERT(!roster_runs(&p->roster));
    struct swim_config config = w->config.swim;
    config.self = i;
    config.generation = ++p->generation;
    config.addr = addr_of(i);
    config.seed = w->config.seed + p->generation;
    p->blamable = true;
    p->buried_plus_1 = 0;
    roster_create(&p->roster, &config, w->config.topology);
    for (uint32_t k = 1; k <= w->config.nodes; k++) {
        struct addr addr = addr_of(k);
        if (k != i)
            roster_add(&p->roster, now_of(w), k, &addr);
    }
    look_the_first_time(w, i);
    count_absent(w, i, 1);
    schedule(w, &p->deadline, roster_deadline_us(&p->roster));
}

static void end(struct members *w, uint32_t i)
{
    struct peer *p = &w->peers[i];
    if (roster_runs(&p->roster))
        count_absent(w, i, -1);
    heap_remove(&w->events, &p->deadline.due);
    heap_remove(&w->events, &p->turn.due);
    roster_destroy(&p->roster);
    p->paused = false;
    empty_socket(w, p);
}

struct members *members_create(const struct members_config *config)
{
    KV_ASSERT(config->nodes >= 2 && config->nodes <= MEMBERS_SIM_MAX);
    KV_ASSERT(config->topology == TOPOLOGY_RING || config->nodes <= MEMBERS_MAX);
    KV_ASSERT(config->delay_min_us <= config->delay_max_us);
    struct members *w = must(calloc(1, sizeof *w));
    w->config = *config;
    w->now_us = UINT64_C(1000000);
    w->table = must(calloc(config->nodes, sizeof *w->table));
    prng_init(&w->prng, hash64_mix(config->seed));
    heap_init(&w->events);
    arena_init(&w->arena, WIRE_ARENA_MAX_BYTES);
    KV_ASSERT(outbox_init(&w->out) == KV_OK);
    for (uint32_t i = 1; i <= config->nodes; i++) {
        list_init(&w->peers[i].socket);
        w->peers[i].deadline.kind = KIND_DEADLINE;
        w->peers[i].turn.kind = KIND_TURN;
        start(w, i);
        count_absent(w, i, -1);
        introduce(w, i);
        count_absent(w, i, 1);
    }
    return w;
}

void members_destroy(struct members *w)
{
    for (uint32_t i = 1; i <= w->config.nodes; i++)
        end(w, i);
    while (w->events.count) {
        struct heap_node *first = heap_first(&w->events);
        heap_remove(&w->events, first);
        free(container_of(container_of(first, struct happening, due), struct packet, event));
    }
    heap_deinit(&w->events);
    outbox_deinit(&w->out);
    arena_deinit(&w->arena);
    buf_deinit(&w->bytes);
    free(w->table);
    free(w);
}

/* ---- what is done to them -------------------------------------------------------------------- */

void members_loss(struct members *w, uint32_t percent)
{
    w->config.loss_percent = percent;
}

bool members_settle(struct members *w, uint64_t limit_us)
{
    uint64_t end_us = w->now_us + limit_us;
    while (w->now_us < end_us) {
        uint64_t before = w->traffic.gossips;
        members_run(w, SETTLE_LOOK_US);
        if (w->traffic.gossips == before)
            return true;
    }
    return false;
}

bool members_crash(struct members *w, uint32_t member, uint64_t limit_us, struct members_detection *out)
{
    struct peer *p = &w->peers[member];
    KV_ASSERT(roster_runs(&p->roster));
    end(w, member);
    uint32_t observers = 0;
    for (uint32_t i = 1; i <= w->config.nodes; i++)
        observers += roster_runs(&w->peers[i].roster);
    uint64_t began_us = w->now_us;
    bool seen = false;
    *out = (struct members_detection){UINT64_MAX, UINT64_MAX};
    while (p->dead_views < observers) {
        if (!step(w, began_us + limit_us))
            return false;
        if (!seen && p->dead_views > 0) {
            seen = true;
            out->first_us = w->now_us - began_us;
        }
    }
    out->all_us = w->now_us - began_us;
    return true;
}

void members_restart(struct members *w, uint32_t member)
{
    start(w, member);
}

void members_pause(struct members *w, uint32_t member)
{
    struct peer *p = &w->peers[member];
    KV_ASSERT(roster_runs(&p->roster) && !p->paused);
    p->paused = true;
    p->blamable = false;
    heap_remove(&w->events, &p->deadline.due);
}

/* A loop that wakes up in its poll finds the sockets ready first; one that was stopped elsewhere goes on with
 * its timers. */
void members_resume(struct members *w, uint32_t member)
{
    struct peer *p = &w->peers[member];
    KV_ASSERT(roster_runs(&p->roster) && p->paused);
    p->paused = false;
    bool timers_first = prng_below(&w->prng, 2) == 0;
    if (timers_first)
        tick(w, member);
    empty_socket(w, p);
    if (!timers_first)
        tick(w, member);
}

void members_run_pausing(struct members *w, uint32_t count, uint64_t pause_us, uint64_t duration_us)
{
    KV_ASSERT(count <= w->config.nodes);
    w->pause_us = pause_us;
    for (uint32_t i = 1; i <= count; i++)
        schedule(w, &w->peers[i].turn, w->now_us + prng_below(&w->prng, PAUSE_GAP_MAX_US));
    members_run(w, duration_us);
    for (uint32_t i = 1; i <= count; i++) {
        heap_remove(&w->events, &w->peers[i].turn.due);
        if (w->peers[i].paused)
            members_resume(w, i);
    }
}

/* ---- looking in ------------------------------------------------------------------------------ */

uint64_t members_now_us(const struct members *w)
{
    return w->now_us;
}

struct members_traffic members_traffic(const struct members *w)
{
    return w->traffic;
}

uint64_t members_sent_bytes(const struct members *w, uint32_t member)
{
    return w->peers[member].sent_bytes;
}

uint64_t members_false_deaths(const struct members *w)
{
    return w->false_deaths;
}

uint64_t members_false_burials(const struct members *w)
{
    return w->false_burials;
}

uint64_t members_paused_deaths(const struct members *w)
{
    return w->paused_deaths;
}

uint64_t members_false_suspicions(const struct members *w)
{
    return w->false_suspicions;
}

uint64_t members_trace(const struct members *w)
{
    return w->trace;
}
