/* The ring that changes: PREPARE, PROMISE, ACCEPT, ACCEPTED and PREEMPTED are one message; CHANGE,
 * CHANGE_REPLY, PROGRESS. */
#include "wire/codec.h"

#include "kv_error.h"

static Gureum__Ballot *ballot_encode(struct ballot from, Gureum__Ballot *store)
{
    if (from.round == 0 && from.member == 0)
        return NULL;
    *store = (Gureum__Ballot)GUREUM__BALLOT__INIT;
    store->round = from.round;
    store->member = from.member;
    return store;
}

static struct ballot ballot_decode(const Gureum__Ballot *b)
{
    return b ? (struct ballot){.round = b->round, .member = b->member} : (struct ballot){0};
}

static void paxos_encode(struct encoder *e, const struct message *m)
{
    const struct msg_paxos *paxos = &m->paxos;
    Gureum__Ballot ballot, other;
    Gureum__Paxos body = GUREUM__PAXOS__INIT;
    body.epoch = paxos->epoch;
    body.ballot = ballot_encode(paxos->ballot, &ballot);
    body.other = ballot_encode(paxos->other, &other);
    body.payload_size = (uint32_t)blob_bytes(paxos->value).len;
    wire_put_body(e, &body);
    wire_put_payload(e, paxos->value);
}

static void paxos_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Paxos *b = body;
    m->paxos = (struct msg_paxos){
        .epoch = b->epoch,
        .ballot = ballot_decode(b->ballot),
        .other = ballot_decode(b->other),
        .value = wire_take_payload(d, b->payload_size),
    };
}

static void change_encode(struct encoder *e, const struct message *m)
{
    const struct ring_change *change = &m->change.change;
    Gureum__Addr addr = wire_addr(&change->addr);
    Gureum__Change body = GUREUM__CHANGE__INIT;
    body.kind = change->kind;
    body.member = change->member;
    body.store_id = change->store_id;
    body.weight = change->weight;
    body.name = wire_text(change->name);
    body.zone = wire_text(change->zone);
    body.addr = change->addr.port ? &addr : NULL;
    body.timeout_us = m->change.timeout_us;
    body.plan = m->change.plan;
    wire_put_body(e, &body);
}

static void change_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Change *b = body;
    struct ring_change *change = &m->change.change;
    *change = (struct ring_change){
        .kind = wire_take_u8(d, b->kind, RING_ZONE),
        .member = b->member,
        .store_id = b->store_id,
        .weight = wire_take_u32(d, b->weight, WEIGHT_MAX),
        .addr = wire_take_addr(d, b->addr),
    };
    const char *name = wire_take_name(d, b->name, WIRE_NAME_OR_EMPTY);
    const char *zone = wire_take_name(d, b->zone, WIRE_NAME_OR_EMPTY);
    memcpy(change->name, name, strlen(name)); /* names are bounded by NAME_MAX_BYTES */
    memcpy(change->zone, zone, strlen(zone));
    m->change.timeout_us = b->timeout_us;
    m->change.plan = b->plan != 0;
}

static void change_reply_encode(struct encoder *e, const struct message *m)
{
    const struct msg_change_reply *reply = &m->change_reply;
    Gureum__ChangeReply body = GUREUM__CHANGE_REPLY__INIT;
    body.status = reply->status;
    body.text = wire_text(reply->text);
    if (body.text.len > WIRE_TEXT_MAX_BYTES)
        body.text.len = WIRE_TEXT_MAX_BYTES;
    body.epoch = reply->epoch;
    body.moved = reply->moved;
    body.least = reply->least;
    body.total = reply->total;
    body.max_over_mean_milli = reply->max_over_mean_milli;
    wire_put_body(e, &body);
}

static void change_reply_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__ChangeReply *b = body;
    m->change_reply = (struct msg_change_reply){
        .status = wire_take_status(d, b->status),
        .text = wire_take_text(d, b->text, WIRE_TEXT_MAX_BYTES),
        .epoch = b->epoch,
        .moved = b->moved,
        .least = b->least,
        .total = b->total,
        .max_over_mean_milli = b->max_over_mean_milli,
    };
}

static void progress_encode(struct encoder *e, const struct message *m)
{
    const struct msg_progress *progress = &m->progress;
    Gureum__Progress body = GUREUM__PROGRESS__INIT;
    body.source_epoch = progress->source_epoch;
    body.whole = progress->whole;
    body.partitions_done = progress->partitions_done;
    body.partitions_total = progress->partitions_total;
    body.bytes = progress->bytes;
    wire_put_body(e, &body);
}

static void progress_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Progress *b = body;
    (void)d;
    m->progress = (struct msg_progress){
        .source_epoch = b->source_epoch,
        .whole = b->whole != 0,
        .partitions_done = b->partitions_done,
        .partitions_total = b->partitions_total,
        .bytes = b->bytes,
    };
}

const struct codec codec_paxos = {&gureum__paxos__descriptor, paxos_encode, paxos_decode};
const struct codec codec_change = {&gureum__change__descriptor, change_encode, change_decode};
const struct codec codec_change_reply = {&gureum__change_reply__descriptor, change_reply_encode,
                                         change_reply_decode};
const struct codec codec_progress = {&gureum__progress__descriptor, progress_encode, progress_decode};
