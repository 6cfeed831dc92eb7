/* What leaves. Every datagram begins with what the sender says of itself: so whoever hears from a member
 * at all knows its generation, incarnation and address first-hand, and a lost refutation is repaired by
 * the next packet. Then, if the receiver is not believed alive, that it is not (Lifeguard's buddy system:
 * the one who can refute hears it first). Then the queue, as far as it fits. */
#include "base/assert.h"
#include "swim/internal.h"

/* What wire/ makes of it at most, generously: sizes are bounds, numbers at full length. */
enum {
    PROBE_FIXED_BYTES = 96,  /* frame header, numbers */
    GOSSIP_FIXED_BYTES = 48, /* numbers, tags, lengths */
    ADDR_FIXED_BYTES = 16,
};

static size_t addr_size(const struct addr *a)
{
    return ADDR_FIXED_BYTES + strlen(a->host);
}

/* A list of gossip in the outbox's arena. */
struct satchel {
    struct gossip *items;
    uint32_t count;
    size_t room_bytes;
};

static bool pack(struct satchel *bag, struct gossip g)
{
    size_t size = GOSSIP_FIXED_BYTES + addr_size(&g.addr);
    if (size > bag->room_bytes || bag->count == SWIM_DATAGRAM_GOSSIPS)
        return false;
    bag->room_bytes -= size;
    bag->items[bag->count++] = g;
    return true;
}

static void pack_queue(struct swim *s, const struct swim_member *receiver, struct satchel *bag)
{
    struct swim_member *next[SWIM_DATAGRAM_GOSSIPS];
    uint32_t count = swim_queue_peek(&s->queue, SWIM_DATAGRAM_GOSSIPS, next);
    uint32_t limit = swim_retransmit_limit(s->config.retransmit_mult, swim_live_count(s));
    for (uint32_t i = 0; i < count; i++) {
        if (next[i] == receiver)
            continue; /* it has been told, or it knows */
        if (!pack(bag, swim_gossip_of(s, next[i])))
            break;
        swim_queue_sent(&s->queue, next[i], limit);
    }
}

bool swim_send(struct swim *s, enum message_type type, const struct swim_member *receiver,
               const struct addr *to, const struct swim_member *target, uint32_t sequence, struct outbox *out)
{
    if (outbox_room(out) == 0)
        return false;
    struct satchel bag = {.items = arena_alloc(&out->arena, SWIM_DATAGRAM_GOSSIPS * sizeof(struct gossip)),
                          .room_bytes = DATAGRAM_MAX_BYTES - PROBE_FIXED_BYTES};
    if (!bag.items)
        return false;

    struct message *m = outbox_datagram(out, to, type);
    struct msg_probe *p = &m->probe;
    p->from = s->config.self;
    p->from_generation = s->config.generation;
    p->target = target ? target->id : s->config.self;
    p->sequence = sequence;
    if (type == MSG_PING_REQ) {
        p->target_addr = target->addr;
        bag.room_bytes -= addr_size(&target->addr);
    }
    pack(&bag, swim_gossip_of_self(s));
    /* Somewhere else than where the member lives there may be somebody who only borrows its id: nothing
     * is sent there that is longer than what came. */
    if (addr_eq(to, &receiver->addr)) {
        if (receiver->belief.state != MEMBER_ALIVE && receiver->belief.generation > 0)
            pack(&bag, swim_gossip_of(s, receiver));
        pack_queue(s, receiver, &bag);
    }
    p->count = bag.count;
    p->gossip = bag.items;
    return true;
}

/* An ACK that nobody asked for (sequence 0) carries gossip and wants no answer. */
void swim_spread(struct swim *s, struct outbox *out)
{
    struct swim_member *to[SWIM_INDIRECT_MAX];
    uint32_t count = swim_order_sample(&s->live, &s->prng, s->config.indirect_probes, 0, to);
    for (uint32_t i = 0; i < count; i++)
        swim_send(s, MSG_ACK, to[i], &to[i]->addr, NULL, 0, out);
}

uint32_t swim_next_sequence(struct swim *s)
{
    if (++s->sequence == 0) /* 0 is nobody's */
        s->sequence = 1;
    return s->sequence;
}
