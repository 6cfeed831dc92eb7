/* Everybody but the hub: says that it is there, and learns from the answers whether it has missed a list. */
#include "hub/internal.h"

#include "model/id.h"

void hub_member_tick(struct hub *h, struct outbox *out)
{
    const struct hub_member *hub = hub_find(h, h->config.hub);
    if (h->next_heartbeat_us > h->now_us)
        return;
    /* Up to a tenth early: those that were started together do not stay in step. */
    uint64_t interval_us = h->config.heartbeat_interval_us;
    h->next_heartbeat_us = h->now_us + interval_us - prng_below(&h->prng, interval_us / 10 + 1);
    if (hub && hub_say(h, MSG_HEARTBEAT, &hub->view.addr, 0, out))
        h->counters.heartbeats++;
}

static void ask_for_list(struct hub *h, struct outbox *out)
{
    if (outbox_room(out) == 0)
        return;
    struct message *m = outbox_send(out, to_peer(h->config.hub), MSG_LIST_GET, id_make(ID_HUB, h->version));
    m->list = (struct msg_list){.generation = h->list_generation, .since = h->version};
}

void hub_member_ack(struct hub *h, const struct msg_heartbeat *ack, struct outbox *out)
{
    h->counters.acks++;
    if (ack->generation < h->list_generation) {
        h->counters.ignored++; /* of a life that is over */
        return;
    }
    if (ack->flags & HEARTBEAT_CALL)
        h->next_heartbeat_us = h->now_us;
    if (ack->version && (ack->generation != h->list_generation || ack->version != h->version))
        ask_for_list(h, out);
    hub_member_tick(h, out);
}
