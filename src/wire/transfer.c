/* Moving partitions: PULL and ROWS. */
#include "wire/codec.h"

static void pull_encode(struct encoder *e, const struct message *m)
{
    const struct msg_pull *pull = &m->pull;
    Gureum__Cursor after = wire_cursor(e, &pull->after);
    Gureum__Pull body = GUREUM__PULL__INIT;
    body.partition = pull->partition;
    body.after = &after;
    body.limit_bytes = pull->limit_bytes;
    wire_put_body(e, &body);
}

static void pull_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Pull *b = body;
    m->pull = (struct msg_pull){
        .partition = wire_take_u32(d, b->partition, RING_PARTITIONS_MAX - 1),
        .after = wire_take_cursor(d, b->after),
        .limit_bytes = b->limit_bytes,
    };
}

static void rows_encode(struct encoder *e, const struct message *m)
{
    const struct msg_rows *rows = &m->rows;
    Gureum__Cursor next = wire_cursor(e, &rows->next);
    Gureum__Rows body = GUREUM__ROWS__INIT;
    body.status = rows->status;
    body.done = rows->done;
    body.next = &next;
    body.began_hlc = rows->began_hlc;
    body.payload_size = (uint32_t)blob_bytes(rows->pack).len;
    wire_put_body(e, &body);
    wire_put_payload(e, rows->pack);
}

/* What is in the pack is looked at by who takes it apart. */
static void rows_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Rows *b = body;
    m->rows = (struct msg_rows){
        .status = wire_take_status(d, b->status),
        .done = b->done != 0,
        .next = wire_take_cursor(d, b->next),
        .began_hlc = b->began_hlc,
        .pack = wire_take_payload(d, b->payload_size),
    };
}

const struct codec codec_pull = {&gureum__pull__descriptor, pull_encode, pull_decode};
const struct codec codec_rows = {&gureum__rows__descriptor, rows_encode, rows_decode};
