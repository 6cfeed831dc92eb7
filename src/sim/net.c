/* The network: links between nodes (0: the clients' side, never cut), connections that keep their order,
 * datagrams that do not. A message is bytes from the moment it is sent. */
#include <stdlib.h>

#include "sim/internal.h"

#define TAIL_MIN_US    UINT64_C(2000)
#define TAIL_MAX_US    UINT64_C(1000000)
#define REORDER_MAX_US UINT64_C(50000)

enum { TOWARDS_DIALLER = 0, TOWARDS_ACCEPTOR = 1 };

struct packet {
    struct sim_timer timer;
    struct list held;
    struct sim_conn *conn;
    int to;
    size_t len; /* 0: the other end has closed */
    uint8_t data[];
};

struct datagram {
    struct sim_timer timer;
    uint32_t from;
    struct addr from_addr;
    struct addr to;
    size_t len;
    uint8_t data[];
};

/* A process hears a little later that a connection which it closed itself is gone. */
struct own_close {
    struct sim_timer timer;
    struct sim_conn *conn;
    int end;
};

/* One for all clients, and one for each node. */
static size_t places(const struct sim *s)
{
    return s->config.nodes + 1;
}

static size_t link_index(const struct sim *s, uint32_t from, uint32_t to)
{
    return from * places(s) + to;
}

void net_init(struct sim *s)
{
    s->net.links = sim_must(calloc(places(s) * places(s), sizeof *s->net.links));
    s->net.arrives_us = sim_must(calloc(places(s) * places(s), sizeof *s->net.arrives_us));
    list_init(&s->net.conns);
    map_init(&s->net.by_id);
}

void net_deinit(struct sim *s)
{
    list_each_safe (it, &s->net.conns) {
        struct sim_conn *c = container_of(it, struct sim_conn, link);
        for (int i = 0; i < 2; i++)
            list_each_safe (packet, &c->ends[i].held)
                free(container_of(packet, struct packet, held));
        map_deinit(&c->asked[0]);
        map_deinit(&c->asked[1]);
        free(c);
    }
    map_deinit(&s->net.by_id);
    free(s->net.links);
    free(s->net.arrives_us);
}

bool net_is_cut(const struct sim *s, uint32_t from, uint32_t to)
{
    return s->net.links[link_index(s, from, to)].cut;
}

bool net_stalls(const struct sim *s, uint32_t from, uint32_t to)
{
    const struct sim_link *l = &s->net.links[link_index(s, from, to)];
    return l->cut || l->clogged;
}

struct sim_link *sim_link(struct sim *s, uint32_t from, uint32_t to)
{
    return &s->net.links[link_index(s, from, to)];
}

void sim_cut(struct sim *s, uint32_t from, uint32_t to, bool cut)
{
    s->net.links[link_index(s, from, to)].cut = cut;
}

void sim_heal(struct sim *s)
{
    memset(s->net.links, 0, places(s) * places(s) * sizeof *s->net.links);
}

void sim_loss(struct sim *s, uint32_t percent)
{
    s->net.loss_percent = percent;
}

static bool chance(struct sim *s, uint32_t percent)
{
    return percent && prng_below(&s->prng, 100) < percent;
}

/* The tail is Pareto's with exponent 1, between 2 ms and TAIL_MAX_US: half are below 4 ms, one in 500 a
 * second. */
static uint64_t delay_us(struct sim *s, uint32_t from, uint32_t to)
{
    const struct sim_link *l = &s->net.links[link_index(s, from, to)];
    uint64_t us = l->delay_max_us ? sim_between(s, l->delay_min_us, l->delay_max_us)
                                  : sim_between(s, s->config.delay_min_us, s->config.delay_max_us);
    if (!l->delay_max_us && !chance(s, l->tail_percent))
        return us;
    s->tally.counts[TALLY_DELAYED]++;
    if (!l->delay_max_us)
        us += TAIL_MAX_US / (1 + prng_below(&s->prng, TAIL_MAX_US / TAIL_MIN_US));
    return us;
}

/* ---- bytes ---- */

/* Header, body and payloads in one run. A message that cannot be encoded is a bug in who made it. */
static void encode(const struct message *m, struct buf *out)
{
    struct wire_frame frame;
    KV_ASSERT(wire_encode(m, out, &frame) == KV_OK);
    for (uint32_t i = 0; i < frame.payload_count; i++)
        KV_ASSERT(buf_append(out, blob_bytes(frame.payloads[i])) == KV_OK);
}

static void decode(struct sim *s, const uint8_t *data, size_t len, struct message *m)
{
    struct wire_header h;
    KV_ASSERT(len >= WIRE_HEADER_BYTES);
    KV_ASSERT(wire_decode_header(data, VALUE_MAX_CEILING_BYTES + FRAME_EXTRA_MAX_BYTES, &h) == KV_OK);
    KV_ASSERT(len == WIRE_HEADER_BYTES + (size_t)h.body_size + wire_payload_bytes(&h));
    const uint8_t *body = data + WIRE_HEADER_BYTES;
    struct blob *payload = blob_copy(bytes_of(body + h.body_size, wire_payload_bytes(&h)));
    arena_reset(&s->arena);
    KV_ASSERT(wire_decode(&h, bytes_of(body, h.body_size), payload, VALUE_MAX_CEILING_BYTES, &s->arena, m) ==
              KV_OK);
    blob_unref(payload);
}

/* ---- what it costs ---- */

/* A socket that is read or written costs once a turn. */
static uint64_t socket_cost_ns(const struct sim *s, const struct end *e, uint64_t *last_turn)
{
    uint64_t turn = s->processes[e->node].loop.turns + 1;
    bool again = *last_turn == turn;
    *last_turn = turn;
    return s->config.service.message_ns + (again ? 0 : s->config.service.socket_ns);
}

static uint64_t arrival_cost_ns(const struct sim *s, struct end *e)
{
    bool taken_up = s->processes[e->node].loop.firing; /* it has been paid */
    return e->node && !taken_up ? socket_cost_ns(s, e, &e->read_turn) : 0;
}

/* In µs from now it has left. */
static uint64_t send_cost_us(struct sim *s, struct end *e)
{
    if (!e->node)
        return 0;
    return thread_owes(s, &s->processes[e->node].loop, socket_cost_ns(s, e, &e->written_turn));
}

/* ---- connections ---- */

static bool end_lives(const struct sim *s, const struct end *e)
{
    if (!e->open)
        return false;
    return e->node == 0 || (s->processes[e->node].node && s->processes[e->node].serial == e->serial);
}

static void lost(struct sim *s, struct sim_conn *c, int end)
{
    if (c->ends[end].node)
        process_conn_lost(s, c, end);
    else if (c->ends[end].kv)
        sim_kv_conn_lost(s, c);
    else
        caller_conn_lost(s, c);
}

static void fire_own_close(struct sim *s, struct sim_timer *t)
{
    struct own_close *o = (struct own_close *)t;
    const struct end *e = &o->conn->ends[o->end];
    if (process_defers(s, e->node, t, 0))
        return;
    if (s->processes[e->node].node && s->processes[e->node].serial == e->serial)
        lost(s, o->conn, o->end);
    free(o);
}

/* Not at once: the process is in the middle of a step, or paused. */
static void lost_soon(struct sim *s, struct sim_conn *c, int end)
{
    struct own_close *o = sim_must(calloc(1, sizeof *o));
    o->timer.fire = fire_own_close;
    o->conn = c;
    o->end = end;
    sim_schedule(s, &o->timer, s->now_us + 1);
}

static void arrive(struct sim *s, struct packet *p)
{
    struct sim_conn *c = p->conn;
    struct end *e = &c->ends[p->to];
    sim_note(s, c->id * 2 + (uint64_t)p->to, p->len);
    if (!end_lives(s, e)) {
        free(p);
        return;
    }
    if (p->len == 0) {
        e->open = false;
        free(p);
        lost(s, c, (int)(e - c->ends));
        return;
    }
    struct message m;
    decode(s, p->data, p->len, &m);
    free(p);
    sim_note(s, m.type, m.id);
    if (e->node) {
        struct event in = {.type = EV_MESSAGE};
        in.message.from = e == &c->ends[0] ? to_peer(e->member) : to_conn(c->id);
        in.message.message = &m;
        process_step(s, &s->processes[e->node], &in);
    } else if (e->kv) {
        sim_kv_message(s, c, &m);
    } else {
        caller_message(s, c, &m);
    }
    message_release(&m);
}

/* Both ends learn it at once: what TCP would find out by itself, each in its time. */
static void break_off(struct sim *s, struct sim_conn *c)
{
    s->tally.counts[TALLY_STREAM_BROKEN]++;
    for (int i = 0; i < 2; i++) {
        bool lives = end_lives(s, &c->ends[i]);
        c->ends[i].open = false;
        if (!lives)
            continue;
        if (c->ends[i].node)
            lost_soon(s, c, i);
        else
            lost(s, c, i);
    }
}

struct look {
    struct sim_timer timer;
    struct sim_conn *conn;
    int to;
};

static void look_again(struct sim *s, struct sim_conn *c, int to);

/* What a cut link holds back goes on in order once it is healed. */
static void fire_look(struct sim *s, struct sim_timer *t)
{
    struct look *l = (struct look *)t;
    struct sim_conn *c = l->conn;
    int to = l->to;
    struct end *e = &c->ends[to];
    if (process_defers(s, e->node, t, 0))
        return;
    free(l);
    if (net_stalls(s, c->ends[1 - to].node, e->node)) {
        if (s->now_us - e->held_since_us > SIM_HOLD_LIMIT_US)
            break_off(s, c);
        if (end_lives(s, e))
            look_again(s, c, to);
        return;
    }
    struct list held; /* an arrival may end this process, or this very run of packets */
    list_init(&held);
    list_each_safe (it, &e->held) {
        list_remove(it);
        list_push_back(&held, it);
    }
    list_each_safe (it, &held)
        arrive(s, container_of(it, struct packet, held));
}

static void look_again(struct sim *s, struct sim_conn *c, int to)
{
    struct look *l = sim_must(calloc(1, sizeof *l));
    l->timer.fire = fire_look;
    l->conn = c;
    l->to = to;
    sim_schedule(s, &l->timer, s->now_us + SIM_HOLD_LOOK_US);
}

static void fire_packet(struct sim *s, struct sim_timer *t)
{
    struct packet *p = (struct packet *)t;
    struct end *e = &p->conn->ends[p->to];
    uint32_t from = p->conn->ends[1 - p->to].node;
    if (process_defers(s, e->node, t, arrival_cost_ns(s, e)) ||
        (e->kv && e->open && sim_kv_defers(s, e->kv, t)))
        return;
    if (list_empty(&e->held) && !net_stalls(s, from, e->node)) {
        arrive(s, p);
        return;
    }
    s->tally.counts[net_is_cut(s, from, e->node) ? TALLY_CUT_STREAM : TALLY_CLOGGED]++;
    if (list_empty(&e->held)) {
        e->held_since_us = s->now_us;
        look_again(s, p->conn, p->to);
    }
    list_push_back(&e->held, &p->held);
}

/* They leave `after_us` from now. */
static void send_bytes(struct sim *s, struct sim_conn *c, int to, struct bytes bytes, uint64_t after_us)
{
    struct packet *p = sim_must(calloc(1, sizeof *p + bytes.len));
    p->timer.fire = fire_packet;
    p->conn = c;
    p->to = to;
    p->len = bytes.len;
    if (bytes.len)
        memcpy(p->data, bytes.data, bytes.len);
    struct end *e = &c->ends[to];
    uint64_t at = s->now_us + after_us + delay_us(s, c->ends[1 - to].node, e->node);
    e->last_us = at > e->last_us ? at : e->last_us;
    sim_schedule(s, &p->timer, e->last_us);
}

struct sim_conn *net_connect(struct sim *s, struct end dialler, uint32_t to)
{
    struct sim_conn *c = sim_must(calloc(1, sizeof *c));
    c->id = ++s->net.next_conn;
    c->ends[TOWARDS_DIALLER] = dialler;
    c->ends[TOWARDS_ACCEPTOR] = (struct end){.node = to, .serial = s->processes[to].serial};
    for (int i = 0; i < 2; i++) {
        c->ends[i].open = true;
        list_init(&c->ends[i].held);
    }
    list_push_back(&s->net.conns, &c->link);
    KV_ASSERT(map_set(&s->net.by_id, c->id, c) == KV_OK);
    return c;
}

struct sim_conn *net_find(struct sim *s, uint64_t id)
{
    return map_get(&s->net.by_id, id);
}

/* What a node says of the time never goes back: clients mint from it. */
static void watch_clock(struct sim *s, uint32_t node, uint64_t hlc)
{
    struct process *p = &s->processes[node];
    if (!node)
        return;
    if (hlc < p->said_hlc && !s->backwards)
        s->backwards = node;
    p->said_hlc = hlc;
}

/* A node serves only its own epoch, and who is asked under another one says so: all that is argued about
 * changes of the ring rests on it (ring/next.c). */
static void watch_epochs(struct sim *s, struct sim_conn *c, int from, const struct message *m)
{
    int status = KV_OK;
    switch (m->type) {
    case MSG_WRITE:
    case MSG_READ:
    case MSG_RANGE:
        KV_ASSERT(map_set(&c->asked[from], m->id, (void *)(uintptr_t)(m->ring_epoch + 1)) == KV_OK);
        return;
    case MSG_WRITE_ACK: status = m->write_ack.status; break;
    case MSG_READ_REPLY: status = m->read_reply.status; break;
    case MSG_RANGE_PAGE: status = m->range_page.status; break;
    default: return;
    }
    uint64_t asked = (uint64_t)(uintptr_t)map_remove(&c->asked[1 - from], m->id);
    if (asked && status == KV_OK && asked != m->ring_epoch + 1 && !s->crossed)
        s->crossed = c->ends[from].node;
}

void net_send(struct sim *s, struct sim_conn *c, int from, const struct message *m)
{
    if (!end_lives(s, &c->ends[from]))
        return;
    watch_clock(s, c->ends[from].node, m->hlc);
    watch_epochs(s, c, from, m);
    struct buf bytes = {0};
    encode(m, &bytes);
    struct sim_usage *sent = &s->net.sent[c->ends[from].node];
    sent->messages++;
    sent->message_bytes += bytes.len;
    send_bytes(s, c, 1 - from, buf_bytes(&bytes), send_cost_us(s, &c->ends[from]));
    buf_deinit(&bytes);
}

void net_close(struct sim *s, struct sim_conn *c, int from)
{
    if (!end_lives(s, &c->ends[from]))
        return;
    c->ends[from].open = false;
    send_bytes(s, c, 1 - from, (struct bytes){NULL, 0}, 0);
    if (c->ends[from].node)
        lost_soon(s, c, from);
}

void net_process_gone(struct sim *s, uint32_t node, uint64_t serial)
{
    list_each (it, &s->net.conns) {
        struct sim_conn *c = container_of(it, struct sim_conn, link);
        for (int i = 0; i < 2; i++) {
            if (c->ends[i].node != node || c->ends[i].serial != serial || !c->ends[i].open)
                continue;
            c->ends[i].open = false;
            send_bytes(s, c, 1 - i, (struct bytes){NULL, 0}, 0);
        }
    }
}

/* ---- datagrams ---- */

static void fire_datagram(struct sim *s, struct sim_timer *t)
{
    struct datagram *d = (struct datagram *)t;
    struct process *p = process_at(s, &d->to);
    const struct sim_service *cost = &s->config.service;
    if (p && process_defers(s, p->index, t, cost->message_ns + cost->socket_ns))
        return;
    if (p && net_is_cut(s, d->from, p->index)) {
        s->tally.counts[TALLY_CUT_DATAGRAM]++;
    } else if (p) {
        struct message m;
        arena_reset(&s->arena);
        KV_ASSERT(wire_decode_datagram(bytes_of(d->data, d->len), &s->arena, &m) == KV_OK);
        struct event in = {.type = EV_DATAGRAM};
        in.datagram.from = d->from_addr;
        in.datagram.message = &m;
        in.datagram.bytes = (uint32_t)d->len;
        sim_note(s, m.type, d->len);
        process_step(s, p, &in);
        message_release(&m);
    }
    free(d);
}

static void send_datagram(struct sim *s, uint32_t from, const struct addr *to, struct bytes bytes,
                          uint64_t at_us)
{
    struct datagram *d = sim_must(calloc(1, sizeof *d + bytes.len));
    d->timer.fire = fire_datagram;
    d->from = from;
    d->from_addr = s->processes[from].setup.addr;
    d->to = *to;
    d->len = bytes.len;
    memcpy(d->data, bytes.data, bytes.len);
    sim_schedule(s, &d->timer, at_us);
}

/* When a datagram sent now arrives; overtaking is counted. */
static uint64_t arrival_us(struct sim *s, uint32_t from, uint32_t to)
{
    uint64_t at = s->now_us + delay_us(s, from, to);
    if (chance(s, s->net.links[link_index(s, from, to)].reorder_percent))
        at += sim_between(s, 1000, REORDER_MAX_US);
    uint64_t *latest_us = &s->net.arrives_us[link_index(s, from, to)];
    if (at < *latest_us)
        s->tally.counts[TALLY_REORDERED]++;
    else
        *latest_us = at;
    return at;
}

void net_datagram(struct sim *s, uint32_t from, const struct addr *to, const struct message *m)
{
    const struct process *p = process_at(s, to);
    uint32_t index = p ? p->index : from;
    const struct sim_service *cost = &s->config.service;
    uint64_t after_us = thread_owes(s, &s->processes[from].loop, cost->message_ns + cost->socket_ns);
    const struct sim_link *l = &s->net.links[link_index(s, from, index)];
    if (chance(s, s->net.loss_percent) || chance(s, l->loss_percent)) {
        s->tally.counts[TALLY_LOST]++;
        return;
    }
    struct buf bytes = {0};
    encode(m, &bytes);
    KV_ASSERT(bytes.len <= DATAGRAM_MAX_BYTES);
    s->net.sent[from].datagrams++;
    s->net.sent[from].datagram_bytes += bytes.len;
    send_datagram(s, from, to, buf_bytes(&bytes), after_us + arrival_us(s, from, index));
    if (chance(s, l->duplicate_percent)) {
        s->tally.counts[TALLY_DUPLICATED]++;
        send_datagram(s, from, to, buf_bytes(&bytes), after_us + arrival_us(s, from, index));
    }
    buf_deinit(&bytes);
}
