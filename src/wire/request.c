/* A client's get or put and its answer: REQUEST, RESPONSE. */
#include "wire/codec.h"

#include "kv_error.h"

#define REQUEST_FLAGS (REQ_STRICT | REQ_EXPLAIN | REQ_LOCAL)

static void request_encode(struct encoder *e, const struct message *m)
{
    const struct msg_request *request = &m->request;
    Gureum__Row row;
    Gureum__Request body = GUREUM__REQUEST__INIT;
    body.op = request->op;
    body.flags = request->flags;
    body.r = request->r;
    body.w = request->w;
    body.timeout_us = request->timeout_us;
    body.key = wire_key(e, request->key);
    body.row = wire_row(&request->row, &row);
    wire_put_body(e, &body);
    wire_put_payload(e, request->row.payload);
}

static void request_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Request *b = body;
    uint8_t op = wire_take_u8(d, b->op, OP_STAMP);
    /* A put brings its row; nothing else may. */
    if (op < OP_GET || (op != OP_PUT && b->row)) {
        wire_fail(d, KV_E_MALFORMED);
        return;
    }
    m->request = (struct msg_request){
        .op = op,
        .flags = wire_take_u8(d, b->flags, REQUEST_FLAGS),
        .r = wire_take_u8(d, b->r, UINT8_MAX),
        .w = wire_take_u8(d, b->w, UINT8_MAX),
        .timeout_us = b->timeout_us,
        .key = wire_take_key(d, b->key),
        .row = wire_take_row(d, b->row, op == OP_PUT ? WIRE_ROW_WHOLE : WIRE_ROW_ANY),
    };
}

static void trace_encode(struct encoder *e, const struct trace_line *line)
{
    Gureum__TraceLine item = GUREUM__TRACE_LINE__INIT;
    item.at_us = line->at_us;
    item.kind = line->kind;
    item.member = line->member;
    item.other = line->other;
    item.status = line->status;
    item.hlc = line->stamp.hlc;
    item.origin = line->stamp.origin;
    wire_put_item(e, &item);
}

static struct trace_line trace_decode(struct decoder *d, const Gureum__TraceLine *item)
{
    uint8_t kind = wire_take_u8(d, item->kind, TRACE_DECIDE);
    if (kind < TRACE_ASK)
        wire_fail(d, KV_E_MALFORMED);
    return (struct trace_line){
        .at_us = item->at_us,
        .kind = kind,
        .member = item->member,
        .other = item->other,
        .status = wire_take_status(d, item->status),
        .stamp = {.hlc = item->hlc, .origin = item->origin},
    };
}

static void response_encode(struct encoder *e, const struct message *m)
{
    const struct msg_response *response = &m->response;
    Gureum__Row row;
    Gureum__Response body = GUREUM__RESPONSE__INIT;
    body.status = response->status;
    body.asked = response->asked;
    body.acked = response->acked;
    body.needed = response->needed;
    body.hinted = response->hinted;
    body.reachable = response->reachable;
    body.proven = response->proven;
    body.coordinator = response->coordinator;
    body.us = response->us;
    body.row = wire_row(&response->row, &row);
    wire_put_body(e, &body);
    if (wire_put_list(e, response->trace_count, TRACE_MAX))
        for (uint32_t i = 0; i < response->trace_count; i++)
            trace_encode(e, &response->trace[i]);
    wire_put_payload(e, response->row.payload);
}

static void response_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Response *b = body;
    struct trace_line *trace = wire_take_list(d, b->n_trace, TRACE_MAX, sizeof *trace);
    uint8_t count = trace ? (uint8_t)b->n_trace : 0;
    for (uint32_t i = 0; i < count; i++)
        trace[i] = trace_decode(d, b->trace[i]);
    m->response = (struct msg_response){
        .status = wire_take_status(d, b->status),
        .asked = wire_take_u8(d, b->asked, UINT8_MAX),
        .acked = wire_take_u8(d, b->acked, UINT8_MAX),
        .needed = wire_take_u8(d, b->needed, UINT8_MAX),
        .hinted = wire_take_u8(d, b->hinted, UINT8_MAX),
        .reachable = wire_take_u8(d, b->reachable, UINT8_MAX),
        .proven = b->proven != 0,
        .coordinator = b->coordinator,
        .us = b->us,
        .row = wire_take_row(d, b->row, WIRE_ROW_ANY),
        .trace_count = count,
        .trace = trace,
    };
}

const struct codec codec_request = {&gureum__request__descriptor, request_encode, request_decode};
const struct codec codec_response = {&gureum__response__descriptor, response_encode, response_decode};
