#include "unit/swim_support.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

/* One heap holds what is under way and the nodes' deadlines. */
struct packet {
    struct heap_node due;
    struct list link;
    struct addr from_addr;
    uint32_t from, to;
    bool tcp;
    struct message message;
    struct gossip gossip[];
};

struct now net_now(const struct net *net)
{
    return (struct now){.mono_us = net->now_us, .wall_ms = 1000000 + net->now_us / 1000};
}

struct addr net_addr(uint32_t i)
{
    return (struct addr){.host = "127.0.0.1", .port = (uint16_t)(7600 + i)};
}

static void trace(struct net *net, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t words[5] = {net->trace, net->now_us, a, b, c};
    net->trace = hash64(bytes_of(words, sizeof words));
}

struct net *net_create(uint32_t count, const struct swim_config *config, uint64_t seed)
{
    struct net *net = calloc(1, sizeof *net);
    KV_ASSERT(net && count <= NET_NODES_MAX && outbox_init(&net->out) == 0);
    net->count = count;
    net->config = config ? *config : swim_config_default();
    net->config.seed = seed;
    prng_init(&net->prng, seed);
    net->now_us = 5 * SECOND_US;
    net->delay_min_us = 100;
    net->delay_max_us = 2000;
    heap_init(&net->events);
    for (uint32_t i = 1; i <= count; i++)
        list_init(&net->nodes[i].inbox);
    return net;
}

void net_destroy(struct net *net)
{
    for (uint32_t i = 1; i <= net->count; i++)
        net_kill(net, i);
    while (net->events.count) {
        struct heap_node *first = heap_first(&net->events);
        heap_remove(&net->events, first);
        free(container_of(first, struct packet, due));
    }
    heap_deinit(&net->events);
    outbox_deinit(&net->out);
    free(net);
}

static bool can_reach(const struct net *net, uint32_t from, uint32_t to)
{
    return net->nodes[to].swim && net->nodes[from].group == net->nodes[to].group;
}

static void post(struct net *net, uint32_t from, uint32_t to, bool tcp, const struct message *m)
{
    if (to < 1 || to > net->count || !can_reach(net, from, to))
        return;
    if (!tcp && prng_below(&net->prng, 100) < net->loss_percent)
        return;
    const struct gossip *gossip = tcp ? m->sync.gossip : m->probe.gossip;
    uint32_t count = tcp ? m->sync.count : m->probe.count;
    struct packet *p = calloc(1, sizeof *p + count * sizeof *gossip);
    KV_ASSERT(p);
    p->from = from;
    p->to = to;
    p->from_addr = net_addr(from);
    p->tcp = tcp;
    p->message = *m;
    memcpy(p->gossip, gossip, count * sizeof *gossip);
    if (tcp)
        p->message.sync.gossip = p->gossip;
    else
        p->message.probe.gossip = p->gossip;
    uint64_t delay_us = net->delay_min_us + prng_below(&net->prng, net->delay_max_us - net->delay_min_us + 1);
    KV_ASSERT(heap_set(&net->events, &p->due, net->now_us + delay_us) == 0);
}

static void watch(struct net *net, uint32_t i)
{
    struct member_change c;
    while (swim_next_change(net->nodes[i].swim, &c)) {
        net->changes++;
        trace(net, i, c.member, (uint64_t)c.now.state << 32 | c.now.incarnation);
        if (c.now.state == MEMBER_SUSPECT)
            net->suspected[c.member]++;
        if (c.now.state != MEMBER_DEAD)
            continue;
        net->died[c.member]++;
        if (can_reach(net, i, c.member) && !net->nodes[c.member].paused)
            net->false_deaths++;
    }
}

/* Carries out what the node wants, and looks at it. */
static void after_call(struct net *net, uint32_t i)
{
    struct net_node *n = &net->nodes[i];
    if (net->calls++ % (1 + net->count / 16) == 0) /* it is O(n) */
        swim_check(n->swim);
    for (uint32_t k = 0; k < net->out.count; k++) {
        const struct effect *e = &net->out.effects[k];
        if (e->type == EF_DATAGRAM) {
            const struct msg_probe *p = &e->datagram.message.probe;
            trace(net, (uint64_t)e->datagram.message.type << 32 | i, e->datagram.to.port,
                  (uint64_t)p->sequence << 32 | p->count);
            net->datagrams++;
            post(net, i, e->datagram.to.port - 7600u, false, &e->datagram.message);
        } else if (e->type == EF_SEND) {
            uint32_t to = e->send.to.conn ? (uint32_t)e->send.to.conn : e->send.to.peer;
            post(net, i, to, true, &e->send.message);
        }
    }
    outbox_reset(&net->out);
    watch(net, i);
    KV_ASSERT(heap_set(&net->events, &n->timer, swim_deadline_us(n->swim)) == 0);
}

static void deliver(struct net *net, struct packet *p)
{
    struct net_node *n = &net->nodes[p->to];
    if (!can_reach(net, p->from, p->to)) {
        free(p);
        return;
    }
    if (n->paused) {
        list_push_back(&n->inbox, &p->link);
        return;
    }
    if (p->tcp)
        swim_sync(n->swim, net_now(net), to_conn(p->from), &p->message, &net->out);
    else
        swim_datagram(n->swim, net_now(net), &p->from_addr, &p->message, &net->out);
    after_call(net, p->to);
    free(p);
}

static void tick(struct net *net, uint32_t i)
{
    swim_tick(net->nodes[i].swim, net_now(net), &net->out);
    after_call(net, i);
}

void net_inject(struct net *net, uint32_t to, const struct addr *from, const struct message *m)
{
    swim_datagram(net->nodes[to].swim, net_now(net), from, m, &net->out);
    after_call(net, to);
}

static bool is_timer(const struct net *net, const struct heap_node *node)
{
    const char *p = (const char *)node;
    return p >= (const char *)net->nodes && p < (const char *)(net->nodes + net->count + 1);
}

static bool step(struct net *net, uint64_t end_us)
{
    if (heap_deadline(&net->events) > end_us)
        return false;
    struct heap_node *first = heap_first(&net->events);
    net->now_us = first->at > net->now_us ? first->at : net->now_us;
    heap_remove(&net->events, first);
    if (is_timer(net, first))
        tick(net, (uint32_t)(container_of(first, struct net_node, timer) - net->nodes));
    else
        deliver(net, container_of(first, struct packet, due));
    return true;
}

void net_run(struct net *net, uint64_t us)
{
    uint64_t end_us = net->now_us + us;
    while (step(net, end_us))
        ;
    net->now_us = end_us;
}

void net_start(struct net *net, uint32_t i)
{
    struct net_node *n = &net->nodes[i];
    KV_ASSERT(!n->swim);
    struct swim_config config = net->config;
    config.self = i;
    config.generation = ++n->generation;
    config.addr = net_addr(i);
    config.seed += n->generation;
    KV_ASSERT(swim_create(&config, &n->swim) == 0);
    for (uint32_t k = 1; k <= net->count; k++) {
        struct addr addr = net_addr(k);
        if (k != i)
            KV_ASSERT(swim_add(n->swim, net_now(net), k, &addr, false) == 0);
    }
    after_call(net, i);
}

void net_start_all(struct net *net)
{
    for (uint32_t i = 1; i <= net->count; i++)
        net_start(net, i);
}

static void inbox_drop(struct net_node *n)
{
    for (struct list *it; (it = list_pop_front(&n->inbox)) != NULL;)
        free(container_of(it, struct packet, link));
}

void net_kill(struct net *net, uint32_t i)
{
    struct net_node *n = &net->nodes[i];
    inbox_drop(n);
    heap_remove(&net->events, &n->timer);
    swim_destroy(n->swim);
    n->swim = NULL;
    n->paused = false;
}

void net_kill_connected(struct net *net, uint32_t i, uint32_t connected)
{
    net_kill(net, i);
    for (uint32_t k = 1; k <= net->count && connected > 0; k++) {
        if (net->nodes[k].swim && !net->nodes[k].paused) {
            swim_lost(net->nodes[k].swim, net_now(net), i);
            after_call(net, k);
            connected--;
        }
    }
}

void net_pause(struct net *net, uint32_t i)
{
    net->nodes[i].paused = true;
    heap_remove(&net->events, &net->nodes[i].timer);
}

/* As a loop does it: timers first, then the sockets. */
void net_resume(struct net *net, uint32_t i)
{
    struct net_node *n = &net->nodes[i];
    n->paused = false;
    tick(net, i);
    for (struct list *it; (it = list_pop_front(&n->inbox)) != NULL;)
        deliver(net, container_of(it, struct packet, link));
}

void net_leave(struct net *net, uint32_t i)
{
    swim_leave(net->nodes[i].swim, net_now(net), &net->out);
    after_call(net, i);
    net_kill(net, i);
}

enum member_state net_view(const struct net *net, uint32_t observer, uint32_t member)
{
    struct member_view view;
    KV_ASSERT(swim_lookup(net->nodes[observer].swim, member, &view) == 0);
    return view.state;
}

bool net_all_see(const struct net *net, uint32_t i, enum member_state state)
{
    for (uint32_t k = 1; k <= net->count; k++)
        if (k != i && net->nodes[k].swim && !net->nodes[k].paused && net_view(net, k, i) != state)
            return false;
    return true;
}

bool net_converged(const struct net *net)
{
    for (uint32_t i = 1; i <= net->count; i++)
        if (net->nodes[i].swim && !net_all_see(net, i, MEMBER_ALIVE))
            return false;
    return true;
}

/* Looks only when something has changed. */
static uint64_t run_until(struct net *net, bool (*done)(const struct net *, uint32_t, enum member_state),
                          uint32_t i, enum member_state state, uint64_t limit_us)
{
    uint64_t began_us = net->now_us;
    while (!done(net, i, state))
        for (uint64_t changes = net->changes; net->changes == changes;)
            if (!step(net, began_us + limit_us))
                return UINT64_MAX;
    return net->now_us - began_us;
}

uint64_t net_until_seen(struct net *net, uint32_t i, enum member_state state, uint64_t limit_us)
{
    return run_until(net, net_all_see, i, state, limit_us);
}

static bool all_alive(const struct net *net, uint32_t i, enum member_state state)
{
    (void)i;
    (void)state;
    return net_converged(net);
}

uint64_t net_until_converged(struct net *net, uint64_t limit_us)
{
    return run_until(net, all_alive, 0, MEMBER_ALIVE, limit_us);
}
