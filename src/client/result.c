/* What the caller is told: the public structs of kv.h, filled from a node's answer. Everything they point to
 * is in the request's arena, or lives as long as the handle. */
#include <stdlib.h>

#include "client/state.h"

static const char *keep(struct client_request *r, const char *s)
{
    const struct bytes copy = arena_copy(&r->arena, bytes_of(s, strlen(s) + 1));
    return copy.data ? (const char *)copy.data : "";
}

static void *array(struct client_request *r, size_t count, size_t size)
{
    return arena_alloc(&r->arena, (count ? count : 1) * size);
}

static struct kv_stamp public_stamp(struct stamp s)
{
    return (struct kv_stamp){s.hlc, s.origin};
}

/* Time left of a row, at least 1 ms while it lives. */
static uint64_t ttl_left_ms(const struct client *c, uint64_t expires_hlc, uint64_t now_us)
{
    uint64_t now = client_clock_peek(&c->clock, now_us);
    if (expires_hlc == 0)
        return 0;
    return expires_hlc > now ? hlc_to_ms(expires_hlc - now) + 1 : 1;
}

/* ---- the story ---- */

static struct kv_trace *add_trace(struct client_request *r)
{
    if (!r->trace || r->trace_count == CLIENT_TRACE_MAX)
        return NULL;
    struct kv_trace *line = &r->trace[r->trace_count++];
    *line = (struct kv_trace){.node = "", .other = ""};
    return line;
}

void client_trace(struct client_request *r, uint64_t now_us, enum kv_trace_kind kind, const struct peer *p,
                  int status)
{
    struct kv_trace *line = add_trace(r);
    if (!line)
        return;
    line->at_us = (uint32_t)(now_us - r->began_us);
    line->kind = (uint8_t)kind;
    line->client = 1;
    line->status = status;
    line->node = client_peer_name(p);
}

/* The coordinator's lines count from when the request reached it; they are shown from when it was sent. */
static void add_coordinator_trace(struct client *c, struct client_request *r, const struct try *t,
                                  const struct msg_response *m)
{
    for (uint32_t i = 0; i < m->trace_count; i++) {
        const struct trace_line *from = &m->trace[i];
        struct kv_trace *line = add_trace(r);
        if (!line)
            return;
        line->at_us = (uint32_t)(t->sent_us - r->began_us) + from->at_us;
        line->kind = from->kind;
        line->status = from->status;
        line->node = client_member_name(c, from->member, &r->arena);
        line->other = client_member_name(c, from->other, &r->arena);
        line->stamp = public_stamp(from->stamp);
    }
}

/* In order of time; lines of one moment keep their order. */
static void sort_trace(struct client_request *r)
{
    for (uint32_t i = 1; i < r->trace_count; i++) {
        struct kv_trace line = r->trace[i];
        uint32_t k = i;
        for (; k > 0 && r->trace[k - 1].at_us > line.at_us; k--)
            r->trace[k] = r->trace[k - 1];
        r->trace[k] = line;
    }
}

/* ---- get, put, del ---- */

int client_result_value(struct client_request *r, const struct row *row)
{
    if (row_check(row, VALUE_MAX_CEILING_BYTES) != KV_OK || (row->flags & ROW_TOMBSTONE))
        return KV_E_CORRUPT;
    return wire_unpack_value(row, VALUE_MAX_CEILING_BYTES, &r->value);
}

void client_result_response(struct client *c, struct client_request *r, const struct try *t,
                            const struct peer *p, const struct msg_response *m, uint64_t now_us)
{
    struct kv_result *out = &r->done.result;
    out->value = blob_bytes(r->value).data;
    out->value_len = blob_bytes(r->value).len;
    out->stamp = public_stamp(client_is_write(r) ? r->row.stamp : m->row.stamp);
    out->ttl_ms = client_is_write(r) ? r->ttl_ms : ttl_left_ms(c, m->row.expires_hlc, now_us);
    out->asked = m->asked;
    out->acked = m->acked;
    out->needed = m->needed;
    out->hinted = m->hinted;
    out->reachable = m->reachable;
    out->proven = m->proven;
    out->coordinator = m->coordinator && m->coordinator != p->member
                           ? client_member_name(c, m->coordinator, &r->arena)
                           : client_peer_name(p);
    out->coordinator_us = m->us;
    add_coordinator_trace(c, r, t, m);
}

/* ---- lists ---- */

int client_result_scan(struct client *c, struct client_request *r, const struct peer *p,
                       const struct msg_scan_page *m, uint64_t now_us)
{
    struct kv_scan_page *out = &r->done.scan;
    struct kv_scan_entry *entries = array(r, m->count, sizeof *entries);
    if (!entries)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct scan_entry *from = &m->entries[i];
        struct bytes key = arena_copy(&r->arena, from->key);
        if (from->key.len && !key.data)
            return KV_E_NO_MEMORY;
        entries[i] = (struct kv_scan_entry){
            .key = key.data,
            .key_len = key.len,
            .stamp = public_stamp(from->row.stamp),
            .value_len = from->row.raw_size,
            .ttl_ms = ttl_left_ms(c, from->row.expires_hlc, now_us),
        };
    }
    struct bytes next = arena_copy(&r->arena, m->next.key);
    if (m->next.key.len && !next.data)
        return KV_E_NO_MEMORY;
    out->done = m->done;
    out->complete = m->complete;
    out->next = (struct kv_cursor){m->next.token, next.data, next.len};
    out->count = m->count;
    out->entries = entries;
    out->coordinator = client_peer_name(p);
    return KV_OK;
}

static const char *keep_addr(struct client_request *r, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];
    return keep(r, addr_format(addr, text));
}

int client_result_status(struct client_request *r, const struct msg_status *m)
{
    struct kv_status *out = &r->done.status;
    struct kv_member *members = array(r, m->count, sizeof *members);
    uint64_t total = 0;
    if (!members)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < m->count; i++)
        total += m->members[i].partitions;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct status_member *from = &m->members[i];
        members[i] = (struct kv_member){
            .id = from->id,
            .name = keep(r, from->name),
            .address = keep_addr(r, &from->addr),
            .zone = keep(r, from->zone),
            .state = from->state,
            .in_ring = from->in_ring,
            .ring = from->ring,
            .weight = from->weight,
            .partitions = from->partitions,
            .share = total ? (double)from->partitions / (double)total : 0,
            .generation = from->generation,
            .rtt_us = from->rtt_us,
            .epoch = from->epoch,
            .partitions_done = from->partitions_done,
            .partitions_total = from->partitions_total,
            .moved_bytes = from->moved_bytes,
        };
    }
    out->topology = topology_name((enum topology)m->topology);
    out->hub = "";
    for (uint32_t i = 0; m->hub && i < m->count; i++)
        if (members[i].id == m->hub)
            out->hub = members[i].name;
    const char **queue = array(r, m->queue_count, sizeof *queue);
    if (!queue)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < m->queue_count; i++)
        queue[i] = keep(r, m->queue[i]);
    out->cluster = keep(r, m->cluster);
    out->seen_by = keep(r, m->seen_by_name);
    out->seen_by_id = m->seen_by;
    out->epoch = m->ring_epoch;
    out->ring_hash = m->ring_hash;
    out->phase = m->phase;
    out->queue_count = m->queue_count;
    out->queue = queue;
    out->count = m->count;
    out->members = members;
    return KV_OK;
}

int client_result_stats(struct client_request *r, const struct peer *p, const struct msg_stats *m)
{
    struct kv_stats *out = &r->done.stats;
    struct kv_stat *stats = array(r, m->count, sizeof *stats);
    if (!stats)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < m->count; i++)
        stats[i] = (struct kv_stat){keep(r, m->stats[i].name), m->stats[i].value};
    out->node = client_peer_name(p);
    out->count = m->count;
    out->stats = stats;
    return KV_OK;
}

int client_result_faults(struct client_request *r, const struct peer *p, const struct msg_fault_reply *m)
{
    struct kv_faults *out = &r->done.faults;
    struct kv_fault *rules = array(r, m->count, sizeof *rules);
    if (!rules)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct msg_fault *from = &m->rules[i];
        uint32_t zero = from->kind == KV_FAULT_SKEW ? CLIENT_SKEW_ZERO : 0;
        rules[i] = (struct kv_fault){from->kind, from->from, from->to, from->percent,
                                     (int32_t)(from->amount - zero)};
    }
    out->node = client_peer_name(p);
    out->count = m->count;
    out->rules = rules;
    return KV_OK;
}

/* The sentence is kept whatever the status is. */
int client_result_change(struct client_request *r, const struct peer *p, const struct msg_change_reply *m)
{
    r->word = m->text && *m->text ? keep(r, m->text) : NULL;
    r->done.changed = (struct kv_changed){
        .node = client_peer_name(p),
        .epoch = m->epoch,
        .moved = m->moved,
        .least = m->least,
        .total = m->total,
        .max_over_mean = m->max_over_mean_milli / 1000.0,
    };
    return m->status;
}

int client_result_repair(struct client_request *r, const struct peer *p, const struct msg_repair_reply *m)
{
    r->done.repair = (struct kv_repair_begun){
        .node = client_peer_name(p),
        .partitions = m->partitions,
        .peers = m->peers,
    };
    return m->status;
}

/* ---- from the ring ---- */

/* As the ring alone has it; who is dead is another matter. */
static uint8_t ring_state(const struct ring_value *v, const struct member *m)
{
    if (v->phase == RING_STABLE)
        return KV_RING_NORMAL;
    if (m->dead)
        return KV_RING_REMOVED;
    return m->old_weight == 0 ? KV_RING_JOINING : m->weight == 0 ? KV_RING_LEAVING : KV_RING_NORMAL;
}

int client_result_ring(struct client *c, struct client_request *r)
{
    const struct ring *ring = client_ring(c);
    struct kv_ring *out = &r->done.ring;
    struct kv_member *members = ring ? array(r, ring->value.member_count, sizeof *members) : NULL;
    if (!members)
        return KV_E_NO_MEMORY;
    double total = (double)ring->value.partitions * ring->homes;
    for (uint32_t i = 0; i < ring->value.member_count; i++) {
        const struct member *from = &ring->value.members[i];
        uint32_t partitions = ring_owned(ring, from->id);
        members[i] = (struct kv_member){
            .id = from->id,
            .name = keep(r, from->name),
            .address = keep_addr(r, &from->addr),
            .zone = keep(r, from->zone),
            .in_ring = true,
            .ring = ring_state(&ring->value, from),
            .weight = from->weight,
            .partitions = partitions,
            .share = total > 0 ? partitions / total : 0,
        };
    }
    out->epoch = ring->value.epoch;
    out->phase = ring->value.phase;
    out->ring_hash = ring->hash;
    out->partitions = ring->value.partitions;
    out->replicas = ring->value.replicas;
    out->max_over_mean = ring_max_over_mean(ring);
    out->count = ring->value.member_count;
    out->members = members;
    return KV_OK;
}

static int fill_moves(struct client *c, struct client_request *r, const struct ring *ring)
{
    struct kv_where *out = &r->done.where;
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, out->partition, slots);
    struct kv_move *moves = array(r, count, sizeof *moves);
    if (!moves)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i].from != slots[i].to)
            moves[out->move_count++] = (struct kv_move){client_member_name(c, slots[i].from, &r->arena),
                                                        client_member_name(c, slots[i].to, &r->arena)};
    }
    out->moves = moves;
    return KV_OK;
}

int client_result_where(struct client *c, struct client_request *r)
{
    const struct ring *ring = client_ring(c);
    struct kv_where *out = &r->done.where;
    const char **names = ring ? array(r, PREFERENCE_MAX, sizeof *names) : NULL;
    if (!names)
        return KV_E_NO_MEMORY;
    uint32_t ids[PREFERENCE_MAX];
    out->token = key_token(blob_bytes(r->key));
    out->partition = ring_partition(ring, out->token);
    uint32_t count = ring_preference(ring, out->partition, ids);
    for (uint32_t i = 0; i < count; i++)
        names[i] = client_member_name(c, ids[i], &r->arena);
    out->home_count = ring->homes;
    out->homes = names;
    out->fallback_count = count - ring->homes;
    out->fallbacks = names + ring->homes;
    return fill_moves(c, r, ring);
}

/* ---- the end ---- */

static void end_result(struct client_request *r, int status)
{
    struct kv_result *out = &r->done.result;
    const struct refusal *last = &r->refusal;
    out->unknown = client_is_write(r) && status != KV_OK && (r->maybe_applied || r->partly_applied);
    out->value = out->value ? out->value : "";
    out->attempts = r->sent;
    if (!out->coordinator) {
        out->coordinator = last->peer ? client_peer_name(last->peer) : "";
        out->asked = last->asked;
        out->acked = last->acked;
        out->needed = last->needed;
        out->hinted = last->hinted;
        out->reachable = last->reachable;
        out->coordinator_us = last->us;
        if (client_is_write(r))
            out->stamp = public_stamp(r->row.stamp);
    }
    sort_trace(r);
    out->trace_count = r->trace_count;
    out->trace = r->trace;
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

void client_result_end(struct client *c, struct client_request *r, int status, uint64_t now_us)
{
    struct client_done *d = &r->done;
    const char *message = client_sentence(c, r, status);
    uint32_t us = (uint32_t)(now_us - r->began_us);
    switch (d->op) {
    case CLIENT_GET:
    case CLIENT_PUT:
    case CLIENT_DEL:
        end_result(r, status);
        d->result.status = status;
        d->result.message = message;
        d->result.us = us;
        break;
    case CLIENT_SCAN:
        d->scan.status = status;
        d->scan.message = message;
        d->scan.coordinator = or_empty(d->scan.coordinator);
        d->scan.us = us;
        break;
    case CLIENT_STATUS:
        d->status.status = status;
        d->status.message = message;
        d->status.cluster = or_empty(d->status.cluster);
        d->status.seen_by = or_empty(d->status.seen_by);
        d->status.topology = or_empty(d->status.topology);
        d->status.hub = or_empty(d->status.hub);
        d->status.us = us;
        break;
    case CLIENT_STATS:
        d->stats.status = status;
        d->stats.message = message;
        d->stats.node = or_empty(d->stats.node);
        d->stats.us = us;
        break;
    case CLIENT_RING:
        d->ring.status = status;
        d->ring.message = message;
        break;
    case CLIENT_WHERE:
        d->where.status = status;
        d->where.message = message;
        break;
    case CLIENT_FAULT:
        d->faults.status = status;
        d->faults.message = message;
        d->faults.node = or_empty(d->faults.node);
        break;
    case CLIENT_CHANGE:
        d->changed.status = status;
        d->changed.message = r->word && (status == KV_OK || status == r->refusal.status) ? r->word : message;
        d->changed.node = or_empty(d->changed.node);
        d->changed.us = us;
        break;
    case CLIENT_REPAIR:
        d->repair.status = status;
        d->repair.message = message;
        d->repair.node = or_empty(d->repair.node);
        d->repair.us = us;
        break;
    }
}
