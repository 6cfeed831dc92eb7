/* Purging dead rows: PURGE, PURGE_REPLY. */
#include "wire/codec.h"

#include "kv_error.h"

static void purge_encode(struct encoder *e, const struct message *m)
{
    const struct msg_purge *purge = &m->purge;
    Gureum__Purge body = GUREUM__PURGE__INIT;
    body.step = purge->step;
    body.partition = purge->partition;
    body.round = purge->round;
    body.after_hlc = purge->after_hlc;
    wire_put_body(e, &body);
    if (!wire_put_list(e, purge->count, STORE_KEYS_MAX))
        return;
    for (uint32_t i = 0; i < purge->count; i++) {
        const struct row_version *row = &purge->rows[i];
        Gureum__RowVersion item = GUREUM__ROW_VERSION__INIT;
        item.key = wire_key(e, row->key);
        item.hlc = row->stamp.hlc;
        item.origin = row->stamp.origin;
        wire_put_item(e, &item);
    }
}

static struct row_version *rows_decode(struct decoder *d, Gureum__RowVersion *const *items, size_t count)
{
    if (count == 0)
        wire_fail(d, KV_E_MALFORMED);
    struct row_version *rows = wire_take_list(d, count, STORE_KEYS_MAX, sizeof *rows);
    for (size_t i = 0; rows && i < count; i++) {
        rows[i] = (struct row_version){
            .key = wire_take_key(d, items[i]->key),
            .stamp = {.hlc = items[i]->hlc, .origin = items[i]->origin},
        };
        if (stamp_is_zero(rows[i].stamp))
            wire_fail(d, KV_E_MALFORMED);
    }
    return rows;
}

static void purge_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Purge *b = body;
    struct row_version *rows = rows_decode(d, b->rows, b->n_rows);
    m->purge = (struct msg_purge){
        .step = wire_take_u8(d, b->step, PURGE_DELETE),
        .partition = wire_take_u32(d, b->partition, RING_PARTITIONS_MAX - 1),
        .round = b->round,
        .after_hlc = b->after_hlc,
        .count = rows ? (uint32_t)b->n_rows : 0,
        .rows = rows,
    };
    if (m->purge.step == 0)
        wire_fail(d, KV_E_MALFORMED);
}

static void purge_reply_encode(struct encoder *e, const struct message *m)
{
    Gureum__PurgeReply body = GUREUM__PURGE_REPLY__INIT;
    body.status = m->purge_reply.status;
    body.hlc = m->purge_reply.hlc;
    body.passed = wire_bytes(m->purge_reply.passed);
    wire_put_body(e, &body);
}

static void purge_reply_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__PurgeReply *b = body;
    if (b->passed.len > PURGE_BITS_BYTES)
        wire_fail(d, KV_E_MALFORMED);
    m->purge_reply = (struct msg_purge_reply){
        .status = wire_take_status(d, b->status),
        .hlc = b->hlc,
        .passed = bytes_of(b->passed.data, b->passed.len),
    };
}

const struct codec codec_purge = {&gureum__purge__descriptor, purge_encode, purge_decode};
const struct codec codec_purge_reply = {&gureum__purge_reply__descriptor, purge_reply_encode,
                                        purge_reply_decode};
