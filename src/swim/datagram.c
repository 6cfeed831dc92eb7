/* What leaves. Every datagram says of which generation and incarnation its sender is: so a lost refutation is
 * repaired by the next packet. Its gossip begins with what the sender says of itself, as long as that is
 * news. Then, if the receiver is not believed alive, that it is not (Lifeguard's buddy system: the one who
 * can refute hears it first). Then the queue, as far as it fits. In quiet a datagram holds no gossip. */
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
        if (next[i] == receiver) { /* it knows about itself, or has just been told */
            bool nobody_else = s->live.count == 1 && receiver->order == &s->live;
            if (nobody_else)
                swim_queue_drop(&s->queue, next[i]);
            continue;
        }
        if (!pack(bag, swim_gossip_of(s, next[i])))
            break;
        swim_queue_sent(&s->queue, next[i], limit);
    }
}

/* What we say of ourselves is told as often as other news, and a farewell with every word. */
static bool own_news(const struct swim *s)
{
    return s->phase == SWIM_LEFT ||
           s->transmits < swim_retransmit_limit(s->config.retransmit_mult, swim_live_count(s));
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
    p->from_incarnation = s->incarnation;
    p->target = target ? target->id : s->config.self;
    p->sequence = sequence;
    if (type == MSG_PING_REQ) {
        p->target_addr = target->addr;
        bag.room_bytes -= addr_size(&target->addr);
    }
    if (own_news(s) || receiver->belief.state != MEMBER_ALIVE || receiver->belief.generation == 0) {
        pack(&bag, swim_gossip_of_self(s));
        s->transmits++;
    }
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

uint64_t swim_gossip_deadline_us(const struct swim *s)
{
    bool any = s->live.count > 0 && (s->queue.count > 0 || own_news(s));
    return any ? s->next_gossip_us : UINT64_MAX;
}

void swim_hush(struct swim *s)
{
    struct swim_member *m;
    while (swim_queue_peek(&s->queue, 1, &m) > 0)
        swim_queue_drop(&s->queue, m);
    s->transmits = SWIM_TRANSMITS_MAX;
}

/* What will become news in this call is due now, not when the last news was: nobody could be in time for
 * that. */
void swim_gossip_enter(struct swim *s)
{
    if (swim_gossip_deadline_us(s) == UINT64_MAX && s->next_gossip_us < s->now_us)
        s->next_gossip_us = s->now_us;
}

/* An ACK that nobody asked for (sequence 0) carries gossip and wants no answer. */
void swim_gossip_tick(struct swim *s, struct outbox *out)
{
    if (!s->news && swim_gossip_deadline_us(s) > s->now_us)
        return;
    s->news = false;
    s->next_gossip_us = s->now_us + s->config.gossip_interval_us;
    struct swim_member *to[SWIM_INDIRECT_MAX];
    uint32_t count = swim_order_deal(&s->live, &s->gossip_place, s->config.indirect_probes, to);
    for (uint32_t i = 0; i < count; i++)
        swim_send(s, MSG_ACK, to[i], &to[i]->addr, NULL, 0, out);
}

uint32_t swim_next_sequence(struct swim *s)
{
    if (++s->sequence == 0) /* 0 is nobody's */
        s->sequence = 1;
    return s->sequence;
}
