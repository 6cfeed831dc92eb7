/* Opening a connection, and the ring: HELLO, WELCOME, REFUSED, RING, FOUND. */
#include "wire/codec.h"

#include "kv_error.h"

static void hello_encode(struct encoder *e, const struct message *m)
{
    const struct msg_hello *hello = &m->hello;
    Gureum__Addr addr = wire_addr(&hello->addr);
    Gureum__Hello body = GUREUM__HELLO__INIT;
    body.role = hello->role;
    body.cluster = wire_text(hello->cluster);
    body.name = wire_text(hello->name);
    body.member_id = hello->member_id;
    body.store_id = hello->store_id;
    body.generation = hello->generation;
    body.addr = &addr;
    body.sequence = hello->sequence;
    body.topology = hello->topology;
    body.hub = wire_text(hello->hub);
    wire_put_body(e, &body);
}

static void hello_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Hello *b = body;
    uint8_t role = wire_take_u8(d, b->role, ROLE_MEMBER);
    /* A client has no name, and may take whichever cluster it finds. */
    enum wire_name named = role == ROLE_MEMBER ? WIRE_NAME : WIRE_NAME_OR_EMPTY;
    m->hello = (struct msg_hello){
        .role = role,
        .cluster = wire_take_name(d, b->cluster, named),
        .name = wire_take_name(d, b->name, named),
        .member_id = b->member_id,
        .store_id = b->store_id,
        .generation = b->generation,
        .addr = wire_take_addr(d, b->addr),
        .sequence = b->sequence,
        .topology = wire_take_u8(d, b->topology, TOPOLOGY_DIRECTORY),
        .hub = wire_take_name(d, b->hub, WIRE_NAME_OR_EMPTY),
    };
}

static void welcome_encode(struct encoder *e, const struct message *m)
{
    const struct msg_welcome *welcome = &m->welcome;
    Gureum__Addr hub_addr = wire_addr(&welcome->hub_addr);
    Gureum__Welcome body = GUREUM__WELCOME__INIT;
    body.cluster = wire_text(welcome->cluster);
    body.name = wire_text(welcome->name);
    body.member_id = welcome->member_id;
    body.store_id = welcome->store_id;
    body.generation = welcome->generation;
    body.wall_ms = welcome->wall_ms;
    body.ring_hash = welcome->ring_hash;
    body.value_max_bytes = welcome->value_max_bytes;
    body.sequence = welcome->sequence;
    body.topology = welcome->topology;
    body.hub = welcome->hub;
    body.hub_name = wire_text(welcome->hub_name);
    body.hub_addr = welcome->hub ? &hub_addr : NULL;
    wire_put_body(e, &body);
}

static void welcome_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Welcome *b = body;
    m->welcome = (struct msg_welcome){
        .cluster = wire_take_name(d, b->cluster, WIRE_NAME),
        .name = wire_take_name(d, b->name, WIRE_NAME),
        .member_id = b->member_id,
        .store_id = b->store_id,
        .generation = b->generation,
        .wall_ms = b->wall_ms,
        .ring_hash = b->ring_hash,
        .value_max_bytes = wire_take_u32(d, b->value_max_bytes, VALUE_MAX_CEILING_BYTES),
        .sequence = b->sequence,
        .topology = wire_take_u8(d, b->topology, TOPOLOGY_DIRECTORY),
        .hub = b->hub,
        .hub_name = wire_take_name(d, b->hub_name, WIRE_NAME_OR_EMPTY),
        .hub_addr = wire_take_addr(d, b->hub_addr),
    };
}

static void refused_encode(struct encoder *e, const struct message *m)
{
    Gureum__Refused body = GUREUM__REFUSED__INIT;
    body.status = m->refused.status;
    body.text = wire_text(m->refused.text);
    if (body.text.len > WIRE_TEXT_MAX_BYTES)
        body.text.len = WIRE_TEXT_MAX_BYTES;
    wire_put_body(e, &body);
}

static void refused_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Refused *b = body;
    m->refused = (struct msg_refused){
        .status = wire_take_status(d, b->status),
        .text = wire_take_text(d, b->text, WIRE_TEXT_MAX_BYTES),
    };
}

static void ring_encode(struct encoder *e, const struct message *m)
{
    Gureum__Ring body = GUREUM__RING__INIT;
    body.payload_size = (uint32_t)blob_bytes(m->ring.value).len;
    wire_put_body(e, &body);
    wire_put_payload(e, m->ring.value);
}

static void ring_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Ring *b = body;
    m->ring.value = wire_take_payload(d, b->payload_size);
}

static void found_encode(struct encoder *e, const struct message *m)
{
    const struct msg_found *found = &m->found;
    Gureum__Found body = GUREUM__FOUND__INIT;
    body.name = wire_text(found->name);
    body.store_id = found->store_id;
    body.initial_hash = found->initial_hash;
    body.accepted_hash = found->accepted_hash;
    body.zone = wire_text(found->zone);
    body.weight = found->weight;
    body.wants_reply = found->wants_reply;
    wire_put_body(e, &body);
}

static void found_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Found *b = body;
    m->found = (struct msg_found){
        .name = wire_take_name(d, b->name, WIRE_NAME),
        .store_id = b->store_id,
        .initial_hash = b->initial_hash,
        .accepted_hash = b->accepted_hash,
        .zone = wire_take_name(d, b->zone, WIRE_NAME_OR_EMPTY),
        .weight = wire_take_u32(d, b->weight, WEIGHT_MAX),
        .wants_reply = b->wants_reply != 0,
    };
}

const struct codec codec_hello = {&gureum__hello__descriptor, hello_encode, hello_decode};
const struct codec codec_welcome = {&gureum__welcome__descriptor, welcome_encode, welcome_decode};
const struct codec codec_refused = {&gureum__refused__descriptor, refused_encode, refused_decode};
const struct codec codec_ring = {&gureum__ring__descriptor, ring_encode, ring_decode};
const struct codec codec_found = {&gureum__found__descriptor, found_encode, found_decode};
