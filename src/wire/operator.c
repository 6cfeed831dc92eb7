/* What operators ask of a node: STATUS, STATS, FAULT, FAULT_REPLY. */
#include "wire/codec.h"

#include "base/assert.h"
#include "kv_error.h"

static void status_member_encode(struct encoder *e, const struct status_member *member)
{
    Gureum__Addr addr = wire_addr(&member->addr);
    Gureum__StatusMember item = GUREUM__STATUS_MEMBER__INIT;
    item.id = member->id;
    item.name = wire_text(member->name);
    item.zone = wire_text(member->zone);
    item.addr = &addr;
    item.state = member->state;
    item.in_ring = member->in_ring;
    item.generation = member->generation;
    item.incarnation = member->incarnation;
    item.partitions = member->partitions;
    item.rtt_us = member->rtt_us;
    item.weight = member->weight;
    item.ring = member->ring;
    item.epoch = member->epoch;
    item.partitions_done = member->partitions_done;
    item.partitions_total = member->partitions_total;
    item.moved_bytes = member->moved_bytes;
    wire_put_item(e, &item);
}

static struct status_member status_member_decode(struct decoder *d, const Gureum__StatusMember *item)
{
    return (struct status_member){
        .id = item->id,
        .name = wire_take_name(d, item->name, WIRE_NAME),
        .zone = wire_take_name(d, item->zone, WIRE_NAME_OR_EMPTY),
        .addr = wire_take_addr(d, item->addr),
        .state = wire_take_u8(d, item->state, MEMBER_LEFT),
        .in_ring = item->in_ring != 0,
        .generation = item->generation,
        .incarnation = item->incarnation,
        .partitions = item->partitions,
        .rtt_us = item->rtt_us,
        .weight = wire_take_u32(d, item->weight, WEIGHT_MAX),
        .ring = wire_take_u8(d, item->ring, RING_STATE_REMOVED),
        .epoch = item->epoch,
        .partitions_done = item->partitions_done,
        .partitions_total = item->partitions_total,
        .moved_bytes = item->moved_bytes,
    };
}

static void status_encode(struct encoder *e, const struct message *m)
{
    const struct msg_status *status = &m->status;
    Gureum__Status body = GUREUM__STATUS__INIT;
    body.cluster = wire_text(status->cluster);
    body.seen_by = status->seen_by;
    body.seen_by_name = wire_text(status->seen_by_name);
    body.ring_hash = status->ring_hash;
    body.ring_epoch = status->ring_epoch;
    body.phase = status->phase;
    body.topology = status->topology;
    body.hub = status->hub;
    ProtobufCBinaryData queue[RING_QUEUE_MAX];
    KV_ASSERT(status->queue_count <= RING_QUEUE_MAX);
    for (uint32_t i = 0; i < status->queue_count; i++)
        queue[i] = wire_text(status->queue[i]);
    body.n_queue = status->queue_count;
    body.queue = queue;
    wire_put_body(e, &body);
    if (wire_put_list(e, status->count, WIRE_STATUS_MEMBERS_MAX))
        for (uint32_t i = 0; i < status->count; i++)
            status_member_encode(e, &status->members[i]);
}

static const char *const *queue_decode(struct decoder *d, const Gureum__Status *b)
{
    const char **queue = wire_take_list(d, b->n_queue, RING_QUEUE_MAX, sizeof *queue);
    for (size_t i = 0; queue && i < b->n_queue; i++)
        queue[i] = wire_take_text(d, b->queue[i], WIRE_TEXT_MAX_BYTES);
    return queue;
}

static void status_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Status *b = body;
    struct status_member *members = wire_take_list(d, b->n_members, WIRE_STATUS_MEMBERS_MAX, sizeof *members);
    for (size_t i = 0; members && i < b->n_members; i++)
        members[i] = status_member_decode(d, b->members[i]);
    const char *const *queue = queue_decode(d, b);
    m->status = (struct msg_status){
        .cluster = wire_take_name(d, b->cluster, WIRE_NAME),
        .seen_by = b->seen_by,
        .seen_by_name = wire_take_name(d, b->seen_by_name, WIRE_NAME),
        .ring_hash = b->ring_hash,
        .ring_epoch = b->ring_epoch,
        .phase = wire_take_u8(d, b->phase, RING_SWITCH),
        .topology = wire_take_u8(d, b->topology, TOPOLOGY_DIRECTORY),
        .hub = b->hub,
        .queue_count = queue ? (uint32_t)b->n_queue : 0,
        .queue = queue,
        .count = members ? (uint32_t)b->n_members : 0,
        .members = members,
    };
}

static void stats_encode(struct encoder *e, const struct message *m)
{
    Gureum__Stats body = GUREUM__STATS__INIT;
    wire_put_body(e, &body);
    if (!wire_put_list(e, m->stats.count, WIRE_STATS_MAX))
        return;
    for (uint32_t i = 0; i < m->stats.count; i++) {
        Gureum__Stat item = GUREUM__STAT__INIT;
        item.name = wire_text(m->stats.stats[i].name);
        item.value = m->stats.stats[i].value;
        wire_put_item(e, &item);
    }
}

static void stats_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Stats *b = body;
    struct stat_value *stats = wire_take_list(d, b->n_stats, WIRE_STATS_MAX, sizeof *stats);
    for (size_t i = 0; stats && i < b->n_stats; i++)
        stats[i] = (struct stat_value){
            .name = wire_take_text(d, b->stats[i]->name, WIRE_STAT_NAME_BYTES),
            .value = b->stats[i]->value,
        };
    m->stats = (struct msg_stats){.count = stats ? (uint32_t)b->n_stats : 0, .stats = stats};
}

static Gureum__Fault rule_encode(const struct msg_fault *rule)
{
    Gureum__Fault out = GUREUM__FAULT__INIT;
    out.kind = rule->kind;
    out.from = rule->from;
    out.to = rule->to;
    out.percent = rule->percent;
    out.amount = rule->amount;
    return out;
}

/* Whether it makes sense is for the fault hook to say, with a word to the operator. */
static struct msg_fault rule_decode(struct decoder *d, const Gureum__Fault *rule)
{
    return (struct msg_fault){
        .kind = wire_take_u8(d, rule->kind, UINT8_MAX),
        .from = rule->from,
        .to = rule->to,
        .percent = rule->percent,
        .amount = rule->amount,
    };
}

static void fault_encode(struct encoder *e, const struct message *m)
{
    Gureum__Fault body = rule_encode(&m->fault);
    wire_put_body(e, &body);
}

static void fault_decode(struct decoder *d, const void *body, struct message *m)
{
    m->fault = rule_decode(d, body);
}

static void fault_reply_encode(struct encoder *e, const struct message *m)
{
    const struct msg_fault_reply *reply = &m->fault_reply;
    Gureum__FaultReply body = GUREUM__FAULT_REPLY__INIT;
    body.status = reply->status;
    wire_put_body(e, &body);
    if (!wire_put_list(e, reply->count, WIRE_FAULT_RULES_MAX))
        return;
    for (uint32_t i = 0; i < reply->count; i++) {
        Gureum__Fault item = rule_encode(&reply->rules[i]);
        wire_put_item(e, &item);
    }
}

static void fault_reply_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__FaultReply *b = body;
    struct msg_fault *rules = wire_take_list(d, b->n_rules, WIRE_FAULT_RULES_MAX, sizeof *rules);
    for (size_t i = 0; rules && i < b->n_rules; i++)
        rules[i] = rule_decode(d, b->rules[i]);
    m->fault_reply = (struct msg_fault_reply){
        .status = wire_take_status(d, b->status),
        .count = rules ? (uint32_t)b->n_rules : 0,
        .rules = rules,
    };
}

const struct codec codec_status = {&gureum__status__descriptor, status_encode, status_decode};
const struct codec codec_stats = {&gureum__stats__descriptor, stats_encode, stats_decode};
const struct codec codec_fault = {&gureum__fault__descriptor, fault_encode, fault_decode};
const struct codec codec_fault_reply = {&gureum__fault_reply__descriptor, fault_reply_encode,
                                        fault_reply_decode};
