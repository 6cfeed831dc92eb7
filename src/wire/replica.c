/* Between coordinator and replica, the hottest messages of all: WRITE, WRITE_ACK, READ, READ_REPLY. */
#include "wire/codec.h"

#include "base/assert.h"
#include "kv_error.h"

#define WRITE_FLAGS (WRITE_HANDOFF | WRITE_BACK)

static void write_encode(struct encoder *e, const struct message *m)
{
    const struct msg_write *write = &m->write;
    KV_ASSERT(write->hint_count <= HOLDERS_MAX);
    Gureum__Row row;
    Gureum__Write body = GUREUM__WRITE__INIT;
    body.key = wire_key(e, write->key);
    body.row = wire_row(&write->row, &row);
    body.began_hlc = write->began_hlc;
    body.flags = write->flags;
    body.n_hints = write->hint_count;
    body.hints = (uint32_t *)write->hints; /* only read */
    wire_put_body(e, &body);
    wire_put_payload(e, write->row.payload);
}

static void write_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Write *b = body;
    if (b->n_hints > HOLDERS_MAX) {
        wire_fail(d, KV_E_MALFORMED);
        return;
    }
    m->write = (struct msg_write){
        .key = wire_take_key(d, b->key),
        .row = wire_take_row(d, b->row, WIRE_ROW_WHOLE),
        .began_hlc = b->began_hlc,
        .flags = wire_take_u8(d, b->flags, WRITE_FLAGS),
        .hint_count = (uint8_t)b->n_hints,
    };
    for (size_t i = 0; i < b->n_hints; i++)
        m->write.hints[i] = b->hints[i];
}

static void write_ack_encode(struct encoder *e, const struct message *m)
{
    Gureum__WriteAck body = GUREUM__WRITE_ACK__INIT;
    body.status = m->write_ack.status;
    body.sequence = m->write_ack.sequence;
    wire_put_body(e, &body);
}

static void write_ack_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__WriteAck *b = body;
    m->write_ack = (struct msg_write_ack){
        .status = wire_take_status(d, b->status),
        .sequence = b->sequence,
    };
}

static void read_encode(struct encoder *e, const struct message *m)
{
    Gureum__Read body = GUREUM__READ__INIT;
    body.key = wire_key(e, m->read.key);
    body.stamp_only = m->read.stamp_only;
    wire_put_body(e, &body);
}

static void read_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Read *b = body;
    m->read = (struct msg_read){
        .key = wire_take_key(d, b->key),
        .stamp_only = b->stamp_only != 0,
    };
}

static void read_reply_encode(struct encoder *e, const struct message *m)
{
    Gureum__Row row;
    Gureum__ReadReply body = GUREUM__READ_REPLY__INIT;
    body.status = m->read_reply.status;
    body.row = wire_row(&m->read_reply.row, &row);
    wire_put_body(e, &body);
    wire_put_payload(e, m->read_reply.row.payload);
}

static void read_reply_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__ReadReply *b = body;
    m->read_reply = (struct msg_read_reply){
        .status = wire_take_status(d, b->status),
        .row = wire_take_row(d, b->row, WIRE_ROW_ANY),
    };
}

const struct codec codec_write = {&gureum__write__descriptor, write_encode, write_decode};
const struct codec codec_write_ack = {&gureum__write_ack__descriptor, write_ack_encode, write_ack_decode};
const struct codec codec_read = {&gureum__read__descriptor, read_encode, read_decode};
const struct codec codec_read_reply = {&gureum__read_reply__descriptor, read_reply_encode, read_reply_decode};
