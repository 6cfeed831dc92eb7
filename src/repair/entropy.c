/* Anti-entropy: its life, whom it knows, what is told to which session (see entropy.h). */
#include "repair/entropy_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/pack.h"

/* ---- life */

int entropy_create(const struct entropy_config *config, struct entropy **out)
{
    struct entropy *e = calloc(1, sizeof *e);
    if (!e)
        return KV_E_NO_MEMORY;
    e->config = *config;
    e->serial = hash64_mix(config->seed) >> (64 - ID_SERIAL_BITS + SLOT_BITS + 1);
    e->rate.per_second = ENTROPY_RATE_BYTES;
    e->round.due_us = UINT64_MAX;
    map_init(&e->by_member);
    *out = e;
    return KV_OK;
}

void entropy_destroy(struct entropy *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        session_deinit(&e->sessions[i]);
    for (uint32_t i = 0; i < ENTROPY_SERVES; i++)
        serve_deinit(&e->serves[i]);
    for (uint32_t i = 0; i < e->peer_count; i++)
        free(e->peers[i]);
    free(e->peers);
    free(e->partitions);
    map_deinit(&e->by_member);
    free(e);
}

uint64_t entropy_op(struct entropy *e, uint32_t slot)
{
    return id_make(ID_ENTROPY, ++e->serial << SLOT_BITS | slot);
}

/* ---- the ring and who is there */

static void drop_all(struct entropy *e)
{
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        session_drop(&e->sessions[i]);
    for (uint32_t i = 0; i < ENTROPY_SERVES; i++)
        serve_drop(&e->serves[i]);
    round_drop(e);
}

int entropy_ring_set(struct entropy *e, struct now now, const struct ring *ring)
{
    drop_all(e);
    for (uint32_t i = 0; e->again_count && i < e->partition_count; i++)
        e->repair_wanted |= e->partitions[i].again == AGAIN_WITH_ALL; /* under the new one, once more */
    free(e->partitions);
    e->partition_count = ring->value.partitions;
    e->partitions = calloc(e->partition_count, sizeof *e->partitions);
    e->again_count = 0;
    e->ring = e->partitions ? ring : NULL;
    if (!e->partitions)
        return KV_E_NO_MEMORY;
    round_start(e, now.mono_us);
    return KV_OK;
}

struct peer_state *entropy_peer(const struct entropy *e, uint32_t member)
{
    return map_get(&e->by_member, member);
}

static int peers_grow(struct entropy *e)
{
    if (e->peer_count < e->peer_cap)
        return KV_OK;
    uint32_t cap = e->peer_cap ? 2 * e->peer_cap : 16;
    struct peer_state **grown = realloc(e->peers, cap * sizeof *grown);
    if (!grown)
        return KV_E_NO_MEMORY;
    e->peers = grown;
    e->peer_cap = cap;
    return KV_OK;
}

static struct peer_state *peer_made(struct entropy *e, uint32_t member)
{
    struct peer_state *p = entropy_peer(e, member);
    if (p)
        return p;
    p = peers_grow(e) == KV_OK ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    if (map_set(&e->by_member, member, p)) {
        free(p);
        return NULL;
    }
    p->id = member;
    p->due_us = UINT64_MAX;
    e->peers[e->peer_count++] = p;
    return p;
}

/* A peer there is no memory for is not compared with; should it be lost and return, it is tried again. */
void entropy_peer_set(struct entropy *e, struct now now, uint32_t member, bool reachable)
{
    struct peer_state *p = peer_made(e, member);
    if (!p || p->reachable == reachable)
        return;
    p->reachable = reachable;
    p->at_once = false;
    missed_trees(e, p->todo, member, KV_E_UNAVAILABLE);
    p->todo = 0;
    p->due_us = reachable && e->config.round_us ? now.mono_us + ENTROPY_RETURN_US : UINT64_MAX;
    if (reachable)
        return;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++) {
        struct session *s = &e->sessions[i];
        if (s->state == SESSION_NONE || s->member != member)
            continue;
        missed_trees(e, s->trees, member, KV_E_UNAVAILABLE);
        session_drop(s);
        e->counters.sessions_failed++;
    }
}

void entropy_yield_set(struct entropy *e, bool foreground)
{
    e->foreground = foreground;
}

uint32_t entropy_homes(const struct entropy *e, uint32_t partition, uint32_t out[REPLICAS_MAX])
{
    uint32_t list[PREFERENCE_MAX], count = 0;
    ring_preference(e->ring, partition, list);
    for (uint32_t i = 0; i < e->ring->homes; i++)
        if (!ring_value_find(&e->ring->value, list[i])->dead)
            out[count++] = list[i];
    return count;
}

static bool is_home(const struct entropy *e, uint32_t partition, uint32_t member)
{
    uint32_t homes[REPLICAS_MAX], count = entropy_homes(e, partition, homes);
    for (uint32_t i = 0; i < count; i++)
        if (homes[i] == member)
            return true;
    return false;
}

bool entropy_shared(const struct entropy *e, uint32_t partition, uint32_t member)
{
    return partition < e->ring->value.partitions && is_home(e, partition, member) &&
           is_home(e, partition, e->config.self);
}

/* A session of ours has found that the partition differs. */
static bool in_session(const struct entropy *e, uint32_t partition)
{
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++) {
        const struct session *s = &e->sessions[i];
        for (uint64_t left = s->state > SESSION_ROOTS ? s->trees : 0; left; left &= left - 1)
            if (e->slice.trees[__builtin_ctzll(left)].partition == partition)
                return true;
    }
    return false;
}

bool entropy_may_answer(const struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us)
{
    const struct partition_state *p = &e->partitions[partition];
    return !in_session(e, partition) && (p->engaged_until_us <= now_us || p->engaged_with == member);
}

bool entropy_may_ask(const struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us)
{
    const struct partition_state *p = &e->partitions[partition];
    bool first = p->engaged_with == member && e->config.self < member;
    return !in_session(e, partition) && (p->engaged_until_us <= now_us || first);
}

void entropy_engage(struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us)
{
    struct partition_state *p = &e->partitions[partition];
    p->engaged_with = member;
    p->engaged_until_us = now_us + ENTROPY_ENGAGED_US;
}

/* ---- rows
 */

static int row_belongs(const struct entropy *e, struct bytes key, const struct span *span, uint32_t member,
                       struct pack_facts *facts)
{
    uint64_t token = key_token(key);
    uint32_t partition = ring_partition(e->ring, token);
    bool mine = span ? span_has(span, token) : entropy_shared(e, partition, member);
    if (!mine)
        return KV_E_MALFORMED;
    facts->first = facts->rows == 0 || partition < facts->first ? partition : facts->first;
    facts->last = facts->rows == 0 || partition > facts->last ? partition : facts->last;
    facts->rows++;
    return entropy_held(e, partition) ? KV_E_AGAIN : KV_OK;
}

int entropy_pack_check(const struct entropy *e, const struct blob *pack, uint64_t began_hlc, uint64_t hlc,
                       const struct span *span, uint32_t member, struct pack_facts *facts)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    int rc = hlc_is_older(began_hlc, hlc, e->config.row_age_max_ms) ? KV_E_STALE : KV_OK;
    *facts = (struct pack_facts){0};
    while (rc == KV_OK && rest.len) {
        rc = facts->rows < PACK_ROWS_MAX ? pack_take(&rest, &row) : KV_E_MALFORMED;
        if (rc == KV_OK)
            rc = row_belongs(e, row.key, span, member, facts);
    }
    return rc;
}

void entropy_merge(struct blob *pack, uint64_t op, struct outbox *out)
{
    struct effect *f = outbox_add(out, EF_STORE_MERGE);
    f->op = op;
    f->merge.pack = blob_ref(pack);
}

/* ---- figures */

#define FRAME_BYTES    50u /* of the header, and of what every body has */
#define ITEM_BYTES     14u /* a partition with a hash or a set */
#define CONFLICT_BYTES 22u

static size_t bytes_of_message(const struct message *m)
{
    size_t bytes = FRAME_BYTES + message_weight(m);
    switch (m->type) {
    case MSG_ROOTS: return bytes + m->roots.count * ITEM_BYTES;
    case MSG_LEAVES:
        for (uint32_t i = 0; i < m->leaves.count; i++)
            bytes += ITEM_BYTES + m->leaves.partitions[i].hashes.len;
        return bytes;
    case MSG_COMPARE: return bytes + m->compare.count * ITEM_BYTES;
    case MSG_COMPARED: return bytes + m->compared.wants.len + m->compared.count * CONFLICT_BYTES;
    default: return bytes;
    }
}

void entropy_sent(struct entropy *e, const struct message *m, uint32_t rows, uint64_t now_us)
{
    e->counters.rows_sent += rows;
    e->counters.bytes_sent += bytes_of_message(m);
    rate_take(&e->rate, now_us, message_weight(m));
}

void entropy_received(struct entropy *e, const struct message *m, uint32_t rows, uint64_t now_us)
{
    e->counters.rows_received += rows;
    e->counters.bytes_received += bytes_of_message(m);
    rate_take(&e->rate, now_us, message_weight(m));
}

struct entropy_counters entropy_counters(const struct entropy *e)
{
    struct entropy_counters c = e->counters;
    uint32_t slices = round_slices(e), all = e->ring ? e->ring->value.partitions : 0;
    if (slices && e->pass.active && e->pass.repair)
        c.repair_left = (uint64_t)(slices - e->pass.next) * (all / slices);
    if (e->repair_wanted)
        c.repair_left += all;
    for (uint32_t i = 0; e->again_count && i < e->partition_count; i++)
        c.repair_left += e->partitions[i].again == AGAIN_WITH_ALL;
    return c;
}

/* ---- what arrives */

static struct turn turn_of(struct now now, uint64_t hlc, struct outbox *out)
{
    return (struct turn){.now_us = now.mono_us, .hlc = hlc, .out = out};
}

/* Whose an id is: NULL for one that is not, or not any more. */
static struct session *session_of(struct entropy *e, uint64_t op)
{
    uint32_t slot = (uint32_t)id_serial(op) & ((1u << SLOT_BITS) - 1);
    if (id_owner(op) != ID_ENTROPY || slot < SLOT_SESSIONS || slot >= SLOT_SERVES)
        return NULL;
    struct session *s = &e->sessions[slot - SLOT_SESSIONS];
    return s->state != SESSION_NONE && s->waits && s->op == op ? s : NULL;
}

static struct serve *serve_of(struct entropy *e, uint64_t op)
{
    uint32_t slot = (uint32_t)id_serial(op) & ((1u << SLOT_BITS) - 1);
    if (slot < SLOT_SERVES || slot >= SLOTS)
        return NULL;
    struct serve *v = &e->serves[slot - SLOT_SERVES];
    return v->state != SERVE_NONE && v->op == op ? v : NULL;
}

void entropy_question(struct entropy *e, struct now now, uint64_t hlc, struct endpoint from,
                      const struct message *m, struct outbox *out)
{
    struct turn t = turn_of(now, hlc, out);
    serve_question(e, from, m, &t);
}

/* Sessions end with the ring they began under, so an answer to one is of its ring. */
void entropy_answer(struct entropy *e, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                    struct outbox *out)
{
    struct turn t = turn_of(now, hlc, out);
    struct session *s = session_of(e, m->id);
    if (s && s->member == member)
        session_answer(e, s, m, &t);
}

static uint64_t op_of_event(const struct event *in)
{
    switch (in->type) {
    case EV_STORE_TREE: return in->tree.op;
    case EV_STORE_PAGE: return in->page.op;
    default: KV_ASSERT(in->type == EV_STORE_WRITTEN); return in->written.op;
    }
}

void entropy_stored(struct entropy *e, struct now now, uint64_t hlc, const struct event *in,
                    struct outbox *out)
{
    struct turn t = turn_of(now, hlc, out);
    uint64_t op = op_of_event(in);
    struct session *s = session_of(e, op);
    struct serve *v = serve_of(e, op);
    if (s)
        session_stored(e, s, in, &t);
    else if (v)
        serve_stored(e, v, in, &t);
    else if (e->slice.state == SLICE_HASHING && e->slice.op == op)
        round_tree(e, in, &t);
}

/* ---- time */

void entropy_tick(struct entropy *e, struct now now, uint64_t hlc, struct outbox *out)
{
    struct turn t = turn_of(now, hlc, out);
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        if (e->sessions[i].state != SESSION_NONE && e->sessions[i].at_us <= t.now_us)
            session_due(e, &e->sessions[i], &t);
    if (e->ring)
        round_tick(e, &t);
}

uint64_t entropy_deadline_us(const struct entropy *e)
{
    uint64_t at = e->ring ? round_deadline_us(e) : UINT64_MAX;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++)
        if (e->sessions[i].state != SESSION_NONE && e->sessions[i].at_us < at)
            at = e->sessions[i].at_us;
    return at;
}

/* ---- what others ask */

bool entropy_held(const struct entropy *e, uint32_t partition)
{
    return partition < e->partition_count && e->partitions[partition].held > 0;
}

void entropy_hold(struct entropy *e, uint32_t partition)
{
    KV_ASSERT(partition < e->partition_count && e->partitions[partition].held < UINT8_MAX);
    e->partitions[partition].held++;
}

void entropy_release(struct entropy *e, uint32_t partition)
{
    KV_ASSERT(entropy_held(e, partition));
    e->partitions[partition].held--;
}

bool entropy_busy(const struct entropy *e, uint32_t partition)
{
    for (uint32_t i = 0; i < ENTROPY_SERVES; i++)
        if (serve_busy(&e->serves[i], partition))
            return true;
    return round_busy(e, partition);
}

void entropy_repair(struct entropy *e, struct now now, struct msg_repair_reply *reply)
{
    (void)now;
    *reply = (struct msg_repair_reply){0};
    for (uint32_t i = 0; i < e->peer_count; i++)
        reply->peers += e->peers[i]->reachable;
    for (uint32_t p = 0; e->ring && p < e->ring->value.partitions; p++)
        reply->partitions += is_home(e, p, e->config.self);
    if (!e->ring || reply->peers == 0)
        reply->status = KV_E_UNAVAILABLE;
    else
        e->repair_wanted = true;
}

void entropy_check(const struct entropy *e)
{
    uint64_t open = 0, again = 0;
    for (uint32_t i = 0; i < ENTROPY_SESSIONS; i++) {
        session_check(e, &e->sessions[i]);
        open += e->sessions[i].state != SESSION_NONE;
    }
    KV_ASSERT(open == 0 || e->slice.state == SLICE_COMPARING);
    KV_ASSERT(e->slice.state == SLICE_NONE || e->ring);
    KV_ASSERT(e->slice.count <= ENTROPY_SLICE_MAX && e->slice.at <= e->slice.count);
    for (uint32_t i = 0; i < e->peer_count; i++) {
        const struct peer_state *p = e->peers[i];
        KV_ASSERT(!p->todo || (p->reachable && e->slice.state == SLICE_COMPARING));
        KV_ASSERT(!p->at_once || p->reachable);
    }
    for (uint32_t i = 0; e->ring && i < e->partition_count; i++)
        again += e->partitions[i].again != AGAIN_NO;
    KV_ASSERT(!e->ring || again == e->again_count);
}
