/* Membership with a hub: HEARTBEAT and HEARTBEAT_ACK are one message, LIST_GET and LIST another. */
#include "wire/codec.h"

#define FLAGS_MAX (HEARTBEAT_LEAVING | HEARTBEAT_CALL)

static void heartbeat_encode(struct encoder *e, const struct message *m)
{
    Gureum__Heartbeat body = GUREUM__HEARTBEAT__INIT;
    body.from = m->heartbeat.from;
    body.generation = m->heartbeat.generation;
    body.version = m->heartbeat.version;
    body.flags = m->heartbeat.flags;
    wire_put_body(e, &body);
}

static void heartbeat_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Heartbeat *b = body;
    m->heartbeat = (struct msg_heartbeat){
        .from = b->from,
        .generation = b->generation,
        .version = b->version,
        .flags = wire_take_u8(d, b->flags, FLAGS_MAX),
    };
}

static void list_encode(struct encoder *e, const struct message *m)
{
    Gureum__List body = GUREUM__LIST__INIT;
    body.generation = m->list.generation;
    body.since = m->list.since;
    body.version = m->list.version;
    wire_put_body(e, &body);
    wire_put_gossip(e, m->list.members, m->list.count);
}

static void list_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__List *b = body;
    struct gossip *members = wire_take_gossip(d, b->members, b->n_members);
    m->list = (struct msg_list){
        .generation = b->generation,
        .since = b->since,
        .version = b->version,
        .count = members ? (uint32_t)b->n_members : 0,
        .members = members,
    };
}

const struct codec codec_heartbeat = {&gureum__heartbeat__descriptor, heartbeat_encode, heartbeat_decode};
const struct codec codec_list = {&gureum__list__descriptor, list_encode, list_decode};
