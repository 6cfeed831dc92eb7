/* Random messages of those that members say about the ring and about their stores: part of wire_support.c,
 * which includes it once. */
#ifndef TESTS_UNIT_WIRE_RANDOM_H
#define TESTS_UNIT_WIRE_RANDOM_H

static struct ballot any_ballot(struct prng *p)
{
    return (struct ballot){any_u64(p), any_u32(p)};
}

static void random_paxos(struct maker *k, struct message *m)
{
    m->paxos = (struct msg_paxos){
        .epoch = any_u64(k->p),
        .ballot = any_ballot(k->p),
        .other = any_ballot(k->p),
        .value =
            any_blob(k->p, m->type == MSG_PROMISE || m->type == MSG_ACCEPT ? up_to(k->p, k->value_max) : 0),
    };
}

static struct ring_change any_change(struct maker *k)
{
    struct prng *p = k->p;
    struct ring_change c = {
        .kind = any_u8(p, RING_ZONE),
        .member = any_u32(p),
        .store_id = any_u64(p),
        .weight = up_to(p, WEIGHT_MAX),
        .addr = any_addr(p),
    };
    strcpy(c.name, any_text(p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS));
    strcpy(c.zone, any_text(p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS));
    return c;
}

static void random_change(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    switch (m->type) {
    case MSG_CHANGE: m->change = (struct msg_change){any_change(k), any_u32(p), any_u8(p, 1)}; break;
    case MSG_CHANGE_REPLY:
        m->change_reply = (struct msg_change_reply){
            .status = any_status(p),
            .text = any_text(p, k->arena, 0, 255, TEXT_CHARS),
            .epoch = any_u64(p),
            .moved = any_u32(p),
            .least = any_u32(p),
            .total = any_u32(p),
            .max_over_mean_milli = any_u32(p),
        };
        break;
    default:
        m->progress = (struct msg_progress){any_u64(p), any_u8(p, 1), any_u32(p), any_u32(p), any_u64(p)};
    }
}

static void random_transfer(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    struct cursor cursor = any_cursor(p, k->arena, k->key_max);
    if (m->type == MSG_PULL)
        m->pull = (struct msg_pull){up_to(p, RING_PARTITIONS_MAX - 1), cursor, any_u32(p)};
    else
        m->rows = (struct msg_rows){any_status(p), any_u8(p, 1), cursor, any_u64(p),
                                    any_blob(p, up_to(p, k->value_max))};
}

static const struct partition_root *random_roots(struct maker *k, uint32_t *count)
{
    *count = list_count(k, COMPARE_PARTITIONS_MAX);
    struct partition_root *roots = arena_alloc(k->arena, *count * sizeof *roots);
    for (uint32_t i = 0; i < *count; i++)
        roots[i] = (struct partition_root){any_u32(k->p), any_u64(k->p)};
    return roots;
}

static const struct partition_leaves *random_leaves(struct maker *k, uint32_t *count)
{
    *count = list_count(k, COMPARE_PARTITIONS_MAX);
    struct partition_leaves *partitions = arena_alloc(k->arena, *count * sizeof *partitions);
    for (uint32_t i = 0; i < *count; i++) {
        uint64_t filled = any_u64(k->p);
        uint32_t bytes = 4 * (uint32_t)__builtin_popcountll(filled);
        partitions[i] = (struct partition_leaves){any_u32(k->p), any_u8(k->p, 1), filled,
                                                  any_bytes(k->p, k->arena, bytes, bytes)};
    }
    return partitions;
}

static const struct partition_leaf_set *random_sets(struct maker *k, uint32_t *count)
{
    *count = list_count(k, COMPARE_PARTITIONS_MAX);
    struct partition_leaf_set *sets = arena_alloc(k->arena, *count * sizeof *sets);
    for (uint32_t i = 0; i < *count; i++)
        sets[i] = (struct partition_leaf_set){any_u32(k->p), any_u64(k->p)};
    return sets;
}

static const struct compare_conflict *random_conflicts(struct maker *k, uint32_t *count)
{
    *count = list_count(k, COMPARE_DIGESTS_MAX);
    struct compare_conflict *conflicts = arena_alloc(k->arena, *count * sizeof *conflicts);
    for (uint32_t i = 0; i < *count; i++)
        conflicts[i] =
            (struct compare_conflict){up_to(k->p, COMPARE_DIGESTS_MAX - 1), {any_u64(k->p), any_u64(k->p)}};
    return conflicts;
}

static void random_entropy(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    switch (m->type) {
    case MSG_ROOTS: m->roots.roots = random_roots(k, &m->roots.count); break;
    case MSG_LEAVES:
        m->leaves.status = any_status(p);
        m->leaves.partitions = random_leaves(k, &m->leaves.count);
        break;
    case MSG_COMPARE:
        m->compare = (struct msg_compare){
            .after = any_cursor(p, k->arena, k->key_max),
            .upto = any_cursor(p, k->arena, k->key_max),
            .until_hlc = any_u64(p),
            .fetch = any_u8(p, 1),
            .digests = any_blob(p, up_to(p, k->value_max)),
        };
        m->compare.sets = random_sets(k, &m->compare.count);
        break;
    case MSG_COMPARED:
        m->compared = (struct msg_compared){
            .status = any_status(p),
            .done = any_u8(p, 1),
            .next = any_cursor(p, k->arena, k->key_max),
            .began_hlc = any_u64(p),
            .wants = any_bytes(p, k->arena, 0, COMPARE_DIGESTS_MAX / 8),
            .pack = any_blob(p, up_to(p, k->value_max)),
        };
        m->compared.conflicts = random_conflicts(k, &m->compared.count);
        break;
    case MSG_MERGE: m->merge = (struct msg_merge){any_u64(p), any_blob(p, up_to(p, k->value_max))}; break;
    case MSG_MERGED: m->merged.status = any_status(p); break;
    case MSG_REPAIR_REPLY:
        m->repair_reply = (struct msg_repair_reply){any_status(p), any_u32(p), any_u32(p)};
        break;
    default: break; /* REPAIR says nothing */
    }
}

static void random_purge(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    if (m->type == MSG_PURGE_REPLY) {
        m->purge_reply =
            (struct msg_purge_reply){any_status(p), any_u64(p), any_bytes(p, k->arena, 0, PURGE_BITS_BYTES)};
        return;
    }
    uint32_t count = 1 + list_count(k, STORE_KEYS_MAX - 1);
    uint32_t key_max = k->key_max > 1000 ? 1000 : k->key_max; /* together they fit a body */
    struct row_version *rows = arena_alloc(k->arena, count * sizeof *rows);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = (struct row_version){any_bytes(p, k->arena, 1, key_max), {1 + prng_u64(p) / 2, any_u64(p)}};
    m->purge = (struct msg_purge){(uint8_t)(1 + up_to(p, PURGE_DELETE - 1)),
                                  up_to(p, RING_PARTITIONS_MAX - 1),
                                  any_u64(p),
                                  any_u64(p),
                                  count,
                                  rows};
}

#endif
