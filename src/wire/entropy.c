/* Anti-entropy: ROOTS, LEAVES, COMPARE, COMPARED, MERGE, MERGED; REPAIR_REPLY. */
#include "wire/codec.h"

#include "kv_error.h"

#define LEAF_HASH_BYTES 4u

/* {0, no key} is left out: what is left out is read as it. */
static Gureum__Cursor *cursor_encode(struct encoder *e, const struct cursor *from, Gureum__Cursor *store)
{
    *store = wire_cursor(e, from);
    return from->token || from->key.len ? store : NULL;
}

static void roots_encode(struct encoder *e, const struct message *m)
{
    const struct msg_roots *roots = &m->roots;
    Gureum__Roots body = GUREUM__ROOTS__INIT;
    wire_put_body(e, &body);
    if (!wire_put_list(e, roots->count, COMPARE_PARTITIONS_MAX))
        return;
    for (uint32_t i = 0; i < roots->count; i++) {
        Gureum__PartitionRoot item = GUREUM__PARTITION_ROOT__INIT;
        item.partition = roots->roots[i].partition;
        item.hash = roots->roots[i].hash;
        wire_put_item(e, &item);
    }
}

static void roots_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Roots *b = body;
    struct partition_root *roots = wire_take_list(d, b->n_roots, COMPARE_PARTITIONS_MAX, sizeof *roots);
    for (size_t i = 0; roots && i < b->n_roots; i++)
        roots[i] = (struct partition_root){.partition = b->roots[i]->partition, .hash = b->roots[i]->hash};
    m->roots = (struct msg_roots){.count = roots ? (uint32_t)b->n_roots : 0, .roots = roots};
}

static void leaves_encode(struct encoder *e, const struct message *m)
{
    const struct msg_leaves *leaves = &m->leaves;
    Gureum__Leaves body = GUREUM__LEAVES__INIT;
    body.status = leaves->status;
    wire_put_body(e, &body);
    if (!wire_put_list(e, leaves->count, COMPARE_PARTITIONS_MAX))
        return;
    for (uint32_t i = 0; i < leaves->count; i++) {
        const struct partition_leaves *p = &leaves->partitions[i];
        Gureum__PartitionLeaves item = GUREUM__PARTITION_LEAVES__INIT;
        item.partition = p->partition;
        item.held = p->held;
        item.filled = p->filled;
        item.hashes = wire_bytes(p->hashes);
        wire_put_item(e, &item);
    }
}

static struct partition_leaves one_partition(struct decoder *d, const Gureum__PartitionLeaves *p)
{
    size_t hashes = (size_t)__builtin_popcountll(p->filled);
    if (p->hashes.len != hashes * LEAF_HASH_BYTES)
        wire_fail(d, KV_E_MALFORMED);
    return (struct partition_leaves){
        .partition = p->partition,
        .held = p->held != 0,
        .filled = p->filled,
        .hashes = bytes_of(p->hashes.data, p->hashes.len),
    };
}

static void leaves_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Leaves *b = body;
    struct partition_leaves *partitions =
        wire_take_list(d, b->n_partitions, COMPARE_PARTITIONS_MAX, sizeof *partitions);
    for (size_t i = 0; partitions && i < b->n_partitions; i++)
        partitions[i] = one_partition(d, b->partitions[i]);
    m->leaves = (struct msg_leaves){
        .status = wire_take_status(d, b->status),
        .count = partitions ? (uint32_t)b->n_partitions : 0,
        .partitions = partitions,
    };
}

static void compare_encode(struct encoder *e, const struct message *m)
{
    const struct msg_compare *compare = &m->compare;
    Gureum__Cursor after, upto;
    Gureum__Compare body = GUREUM__COMPARE__INIT;
    body.after = cursor_encode(e, &compare->after, &after);
    body.upto = cursor_encode(e, &compare->upto, &upto);
    body.until_hlc = compare->until_hlc;
    body.fetch = compare->fetch;
    body.payload_size = (uint32_t)blob_bytes(compare->digests).len;
    wire_put_body(e, &body);
    if (!wire_put_list(e, compare->count, COMPARE_PARTITIONS_MAX))
        return;
    for (uint32_t i = 0; i < compare->count; i++) {
        Gureum__PartitionLeafSet item = GUREUM__PARTITION_LEAF_SET__INIT;
        item.partition = compare->sets[i].partition;
        item.leaves = compare->sets[i].leaves;
        wire_put_item(e, &item);
    }
    wire_put_payload(e, compare->digests);
}

static void compare_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Compare *b = body;
    struct partition_leaf_set *sets = wire_take_list(d, b->n_sets, COMPARE_PARTITIONS_MAX, sizeof *sets);
    for (size_t i = 0; sets && i < b->n_sets; i++)
        sets[i] = (struct partition_leaf_set){b->sets[i]->partition, b->sets[i]->leaves};
    m->compare = (struct msg_compare){
        .after = wire_take_cursor(d, b->after),
        .upto = wire_take_cursor(d, b->upto),
        .until_hlc = b->until_hlc,
        .fetch = b->fetch != 0,
        .count = sets ? (uint32_t)b->n_sets : 0,
        .sets = sets,
        .digests = wire_take_payload(d, b->payload_size),
    };
}

static void compared_encode(struct encoder *e, const struct message *m)
{
    const struct msg_compared *compared = &m->compared;
    Gureum__Cursor next;
    Gureum__Compared body = GUREUM__COMPARED__INIT;
    body.status = compared->status;
    body.done = compared->done;
    body.next = cursor_encode(e, &compared->next, &next);
    body.began_hlc = compared->began_hlc;
    body.wants = wire_bytes(compared->wants);
    body.payload_size = (uint32_t)blob_bytes(compared->pack).len;
    wire_put_body(e, &body);
    if (!wire_put_list(e, compared->count, COMPARE_DIGESTS_MAX))
        return;
    for (uint32_t i = 0; i < compared->count; i++) {
        Gureum__CompareConflict item = GUREUM__COMPARE_CONFLICT__INIT;
        item.index = compared->conflicts[i].index;
        item.hlc = compared->conflicts[i].stamp.hlc;
        item.origin = compared->conflicts[i].stamp.origin;
        wire_put_item(e, &item);
    }
    wire_put_payload(e, compared->pack);
}

static struct bytes take_wants(struct decoder *d, ProtobufCBinaryData wants)
{
    if (wants.len > COMPARE_DIGESTS_MAX / 8)
        wire_fail(d, KV_E_TOO_LARGE);
    return bytes_of(wants.data, wants.len);
}

static void compared_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Compared *b = body;
    struct compare_conflict *conflicts =
        wire_take_list(d, b->n_conflicts, COMPARE_DIGESTS_MAX, sizeof *conflicts);
    for (size_t i = 0; conflicts && i < b->n_conflicts; i++)
        conflicts[i] = (struct compare_conflict){
            .index = wire_take_u32(d, b->conflicts[i]->index, COMPARE_DIGESTS_MAX - 1),
            .stamp = {b->conflicts[i]->hlc, b->conflicts[i]->origin},
        };
    m->compared = (struct msg_compared){
        .status = wire_take_status(d, b->status),
        .done = b->done != 0,
        .next = wire_take_cursor(d, b->next),
        .began_hlc = b->began_hlc,
        .wants = take_wants(d, b->wants),
        .count = conflicts ? (uint32_t)b->n_conflicts : 0,
        .conflicts = conflicts,
        .pack = wire_take_payload(d, b->payload_size),
    };
}

static void merge_encode(struct encoder *e, const struct message *m)
{
    Gureum__Merge body = GUREUM__MERGE__INIT;
    body.began_hlc = m->merge.began_hlc;
    body.payload_size = (uint32_t)blob_bytes(m->merge.pack).len;
    wire_put_body(e, &body);
    wire_put_payload(e, m->merge.pack);
}

static void merge_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Merge *b = body;
    m->merge = (struct msg_merge){
        .began_hlc = b->began_hlc,
        .pack = wire_take_payload(d, b->payload_size),
    };
}

static void merged_encode(struct encoder *e, const struct message *m)
{
    Gureum__Merged body = GUREUM__MERGED__INIT;
    body.status = m->merged.status;
    wire_put_body(e, &body);
}

static void merged_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__Merged *b = body;
    m->merged.status = wire_take_status(d, b->status);
}

static void repair_reply_encode(struct encoder *e, const struct message *m)
{
    Gureum__RepairReply body = GUREUM__REPAIR_REPLY__INIT;
    body.status = m->repair_reply.status;
    body.partitions = m->repair_reply.partitions;
    body.peers = m->repair_reply.peers;
    wire_put_body(e, &body);
}

static void repair_reply_decode(struct decoder *d, const void *body, struct message *m)
{
    const Gureum__RepairReply *b = body;
    m->repair_reply = (struct msg_repair_reply){
        .status = wire_take_status(d, b->status),
        .partitions = b->partitions,
        .peers = b->peers,
    };
}

const struct codec codec_roots = {&gureum__roots__descriptor, roots_encode, roots_decode};
const struct codec codec_leaves = {&gureum__leaves__descriptor, leaves_encode, leaves_decode};
const struct codec codec_compare = {&gureum__compare__descriptor, compare_encode, compare_decode};
const struct codec codec_compared = {&gureum__compared__descriptor, compared_encode, compared_decode};
const struct codec codec_merge = {&gureum__merge__descriptor, merge_encode, merge_decode};
const struct codec codec_merged = {&gureum__merged__descriptor, merged_encode, merged_decode};
const struct codec codec_repair_reply = {&gureum__repair_reply__descriptor, repair_reply_encode,
                                         repair_reply_decode};
