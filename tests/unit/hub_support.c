#include "unit/hub_support.h"

#include <stdio.h>
#include <stdlib.h>

struct packet {
    struct heap_node timer;
    struct list link; /* in an inbox */
    uint32_t from, to;
    uint64_t generation; /* of the life it is for: a connection ends with it; 0: a datagram */
    struct message message;
    struct gossip *members;
};

enum event_kind { NODE_TIMER, PACKET };

/* Nodes' timers and packets share the heap: those of nodes lie inside the table of nodes. */
static enum event_kind kind_of(const struct star *s, const struct heap_node *n)
{
    const char *at = (const char *)n, *begin = (const char *)s->nodes;
    return at >= begin && at < begin + sizeof s->nodes ? NODE_TIMER : PACKET;
}

struct addr star_addr(uint32_t i)
{
    struct addr a = {.port = 7600};
    snprintf(a.host, sizeof a.host, "10.0.%u.%u", i / 256, i % 256);
    return a;
}

struct hub_config star_config(uint32_t self, uint64_t generation)
{
    return (struct hub_config){
        .self = self,
        .hub = 1,
        .generation = generation,
        .addr = star_addr(self),
        .seed = self,
        .heartbeat_interval_us = 700000,
        .answer_timeout_us = 120000,
        .deadline_us = 300000,
        .suspicion_mult = 3,
        .push_interval_us = 100000,
    };
}

struct star *star_create(uint32_t count, uint64_t seed)
{
    struct star *s = calloc(1, sizeof *s);
    KV_ASSERT(s && count <= STAR_NODES_MAX);
    s->count = count;
    s->now_us = SECOND_US;
    prng_init(&s->prng, seed);
    heap_init(&s->events);
    KV_ASSERT(outbox_init(&s->out) == KV_OK);
    for (uint32_t i = 1; i <= count; i++)
        list_init(&s->nodes[i].inbox);
    return s;
}

static void packet_free(struct packet *p)
{
    free(p->members);
    free(p);
}

void star_destroy(struct star *s)
{
    for (uint32_t i = 1; i <= s->count; i++)
        star_kill(s, i);
    struct heap_node *n;
    while ((n = heap_first(&s->events)) != NULL) {
        heap_remove(&s->events, n);
        packet_free(container_of(n, struct packet, timer));
    }
    heap_deinit(&s->events);
    outbox_deinit(&s->out);
    free(s);
}

static struct now now_of(const struct star *s)
{
    return (struct now){.mono_us = s->now_us};
}

static void schedule(struct star *s, uint32_t i)
{
    struct star_node *n = &s->nodes[i];
    uint64_t at = n->hub && !n->paused ? hub_deadline_us(n->hub) : UINT64_MAX;
    if (at == UINT64_MAX)
        heap_remove(&s->events, &n->timer);
    else
        KV_ASSERT(heap_set(&s->events, &n->timer, at > s->now_us ? at : s->now_us) == KV_OK);
}

static uint32_t node_at(const struct star *s, const struct addr *a)
{
    for (uint32_t i = 1; i <= s->count; i++) {
        struct addr known = star_addr(i);
        if (addr_eq(a, &known))
            return i;
    }
    KV_ASSERT(false);
    return 0;
}

static void emit(struct star *s, uint32_t from, uint32_t to, const struct message *m, bool stream)
{
    s->datagrams += !stream;
    s->lists += m->type == MSG_LIST;
    s->entries += m->type == MSG_LIST ? m->list.count : 0;
    bool lost = !stream && prng_below(&s->prng, 100) < s->loss_percent;
    if (lost || s->nodes[from].cut || s->nodes[to].cut || (stream && !s->nodes[to].hub))
        return;
    struct packet *p = calloc(1, sizeof *p);
    KV_ASSERT(p);
    p->from = from;
    p->to = to;
    p->generation = stream ? s->nodes[to].generation : 0;
    p->message = *m;
    p->message.from = from;
    list_init(&p->link);
    if (m->type == MSG_LIST && m->list.count) {
        p->members = calloc(m->list.count, sizeof *p->members);
        KV_ASSERT(p->members);
        memcpy(p->members, m->list.members, m->list.count * sizeof *p->members);
        p->message.list.members = p->members;
    }
    uint64_t late_us = 100 + prng_below(&s->prng, stream ? 100000 : 5000);
    KV_ASSERT(heap_set(&s->events, &p->timer, s->now_us + late_us) == KV_OK);
}

/* What a node wants sent, and what it tells. */
static void drain(struct star *s, uint32_t i)
{
    for (uint32_t k = 0; k < s->out.count; k++) {
        const struct effect *e = &s->out.effects[k];
        if (e->type == EF_DATAGRAM)
            emit(s, i, node_at(s, &e->datagram.to), &e->datagram.message, false);
        else if (e->type == EF_SEND) /* an accepted connection is numbered as who made it */
            emit(s, i, e->send.to.conn ? (uint32_t)e->send.to.conn : e->send.to.peer, &e->send.message, true);
    }
    outbox_reset(&s->out);
    struct member_change c;
    while (s->nodes[i].hub && hub_next_change(s->nodes[i].hub, &c))
        s->died[c.member] += i == 1 && c.now.state == MEMBER_DEAD;
    if (s->nodes[i].hub)
        hub_check(s->nodes[i].hub);
    schedule(s, i);
}

static void deliver(struct star *s, struct packet *p)
{
    struct star_node *n = &s->nodes[p->to];
    bool there = n->hub && (!p->generation || p->generation == n->generation);
    if (there && n->paused) {
        list_push_back(&n->inbox, &p->link);
        return;
    }
    struct addr from = star_addr(p->from);
    enum message_type type = p->message.type;
    if (there && (type == MSG_HEARTBEAT || type == MSG_HEARTBEAT_ACK))
        hub_datagram(n->hub, now_of(s), &from, &p->message, &s->out);
    else if (there)
        hub_message(n->hub, now_of(s), to_conn(p->from), &p->message, &s->out);
    drain(s, p->to);
    packet_free(p);
}

void star_start(struct star *s, uint32_t i)
{
    struct star_node *n = &s->nodes[i];
    KV_ASSERT(!n->hub);
    struct hub_config config = star_config(i, ++n->generation);
    config.seed = prng_u64(&s->prng);
    KV_ASSERT(hub_create(&config, &n->hub) == KV_OK);
    for (uint32_t k = 1; k <= s->count; k++) {
        struct addr addr = star_addr(k);
        if (k != i)
            KV_ASSERT(hub_add(n->hub, now_of(s), k, &addr) == KV_OK);
    }
    hub_tick(n->hub, now_of(s), &s->out);
    drain(s, i);
}

void star_start_all(struct star *s)
{
    for (uint32_t i = 1; i <= s->count; i++)
        star_start(s, i);
}

void star_kill(struct star *s, uint32_t i)
{
    struct star_node *n = &s->nodes[i];
    struct list *it;
    hub_destroy(n->hub);
    n->hub = NULL;
    n->paused = false;
    while ((it = list_pop_front(&n->inbox)) != NULL)
        packet_free(container_of(it, struct packet, link));
    schedule(s, i);
}

void star_leave(struct star *s, uint32_t i)
{
    hub_leave(s->nodes[i].hub, now_of(s), &s->out);
    drain(s, i);
    star_kill(s, i);
}

void star_pause(struct star *s, uint32_t i)
{
    s->nodes[i].paused = true;
    schedule(s, i);
}

/* The overdue timer is seen first, then what waits in the socket, as a process that wakes up does. */
void star_resume(struct star *s, uint32_t i)
{
    struct star_node *n = &s->nodes[i];
    struct list *it;
    n->paused = false;
    hub_tick(n->hub, now_of(s), &s->out);
    drain(s, i);
    while ((it = list_pop_front(&n->inbox)) != NULL)
        deliver(s, container_of(it, struct packet, link));
}

static void one_event(struct star *s)
{
    struct heap_node *first = heap_first(&s->events);
    s->now_us = first->at > s->now_us ? first->at : s->now_us;
    heap_remove(&s->events, first);
    if (kind_of(s, first) == PACKET) {
        deliver(s, container_of(first, struct packet, timer));
        return;
    }
    uint32_t i = (uint32_t)(container_of(first, struct star_node, timer) - s->nodes);
    hub_tick(s->nodes[i].hub, now_of(s), &s->out);
    drain(s, i);
}

void star_run(struct star *s, uint64_t us)
{
    uint64_t end_us = s->now_us + us;
    while (heap_deadline(&s->events) <= end_us)
        one_event(s);
    s->now_us = end_us;
}

enum member_state star_sees(const struct star *s, uint32_t observer, uint32_t member)
{
    struct member_view view;
    KV_ASSERT(hub_lookup(s->nodes[observer].hub, member, &view) == KV_OK);
    return view.state;
}

bool star_all_see(const struct star *s, uint32_t member, enum member_state state)
{
    for (uint32_t i = 1; i <= s->count; i++)
        if (i != member && s->nodes[i].hub && star_sees(s, i, member) != state)
            return false;
    return true;
}

bool star_agrees(const struct star *s)
{
    for (uint32_t i = 2; s->nodes[1].hub && i <= s->count; i++) {
        enum member_state seen = star_sees(s, 1, i);
        if (hub_present(seen) != (s->nodes[i].hub != NULL) || !star_all_see(s, i, seen))
            return false;
    }
    return s->nodes[1].hub != NULL;
}

uint64_t star_until_seen(struct star *s, uint32_t member, enum member_state state, uint64_t limit_us)
{
    uint64_t begin_us = s->now_us;
    for (; s->now_us < begin_us + limit_us; star_run(s, 10000))
        if (star_all_see(s, member, state))
            return s->now_us - begin_us;
    return UINT64_MAX;
}

uint64_t star_until_agreed(struct star *s, uint64_t limit_us)
{
    uint64_t begin_us = s->now_us;
    for (; s->now_us < begin_us + limit_us; star_run(s, 10000))
        if (star_agrees(s))
            return s->now_us - begin_us;
    return UINT64_MAX;
}
