/* Membership: PING, PING_REQ, ACK and NACK are one message, SYNC and SYNC_REPLY another. */
#include "wire/codec.h"

static bool addr_is_empty(const struct addr *a)
{
    return a->host[0] == '\0' && a->port == 0;
}

void wire_put_gossip(struct encoder *e, const struct gossip *gossip, uint32_t count)
{
    if (!wire_put_list(e, count, MEMBERS_MAX))
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct gossip *g = &gossip[i];
        Gureum__Addr addr = wire_addr(&g->addr);
        Gureum__Gossip item = GUREUM__GOSSIP__INIT;
        item.member = g->member;
        item.generation = g->generation;
        item.incarnation = g->incarnation;
        item.state = g->state;
        item.from = g->from;
        item.addr = addr_is_empty(&g->addr) ? NULL : &addr;
        wire_put_item(e, &item);
    }
}

struct gossip *wire_take_gossip(struct decoder *d, Gureum__Gossip *const *items, size_t count)
{
    struct gossip *gossip = wire_take_list(d, count, MEMBERS_MAX, sizeof *gossip);
    for (size_t i = 0; gossip && i < count; i++)
        gossip[i] = (struct gossip){
            .member = items[i]->member,
            .generation = items[i]->generation,
            .incarnation = items[i]->incarnation,
            .state = wire_take_u8(d, items[i]->state, MEMBER_LEFT),
            .from = items[i]->from,
            .addr = wire_take_addr(d, items[i]->addr),
        };
    return gossip;
}

static void probe_encode(struct encoder *e, const struct message *m)
{
    const struct msg_probe *probe = &m->probe;
    Gureum__Addr target_addr = wire_addr(&probe->target_addr);
    Gureum__Probe body = GUREUM__PROBE__INIT;
    body.from = probe->from;
    body.from_generation = probe->from_generation;
    body.from_incarnation = probe->from_incarnation;
    body.target = probe->target;
    body.sequence = probe->sequence;
    body.target_addr = addr_is_empty(&probe->target_addr) ? NULL : &target_addr;
    wire_put_body(e, &body);
    wire_put_gossip(e, probe->gossip, probe->count);
}

static void probe_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Probe *b = body;
    struct gossip *gossip = wire_take_gossip(d, b->gossip, b->n_gossip);
    m->probe = (struct msg_probe){
        .from = b->from,
        .from_generation = b->from_generation,
        .from_incarnation = b->from_incarnation,
        .target = b->target,
        .sequence = b->sequence,
        .target_addr = wire_take_addr(d, b->target_addr),
        .count = gossip ? (uint32_t)b->n_gossip : 0,
        .gossip = gossip,
    };
}

static void sync_encode(struct encoder *e, const struct message *m)
{
    Gureum__Sync body = GUREUM__SYNC__INIT;
    body.from = m->sync.from;
    body.digest = m->sync.digest;
    wire_put_body(e, &body);
    wire_put_gossip(e, m->sync.gossip, m->sync.count);
}

static void sync_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Sync *b = body;
    struct gossip *gossip = wire_take_gossip(d, b->gossip, b->n_gossip);
    m->sync = (struct msg_sync){
        .from = b->from,
        .digest = b->digest,
        .count = gossip ? (uint32_t)b->n_gossip : 0,
        .gossip = gossip,
    };
}

const struct codec codec_probe = {&gureum__probe__descriptor, probe_encode, probe_decode};
const struct codec codec_sync = {&gureum__sync__descriptor, sync_encode, sync_decode};
