/* This node's own rows: what coordinators (itself included), scans and hand-overs ask of it. Each request
 * becomes one storage operation and is answered by its completion, so an acknowledgement always means that
 * the row is where --sync wants it.
 *
 * Rows are checked before they reach the engine, so that its merge can never fail; stamps are not: a member's
 * coordinator has done that, and rows are never refused for their stamp (DESIGN section 3).
 *
 * Invariants (replica_check): an operation is either free and on the free list, or waits for exactly one
 * completion; `bytes` is the sum of what active ones have booked. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdlib.h>

#define OPS_FIRST   256u
#define OP_SLOT(id) ((uint32_t)id_serial(id) & (REPLICA_OPS_MAX - 1))

static int grow(struct replica *r)
{
    if (r->cap == REPLICA_OPS_MAX)
        return KV_E_OVERLOADED;
    uint32_t cap = r->cap ? 2 * r->cap : OPS_FIRST;
    struct replica_op *ops = realloc(r->ops, cap * sizeof *ops);
    if (!ops)
        return KV_E_NO_MEMORY;
    for (uint32_t i = cap; i-- > r->cap;) {
        ops[i] = (struct replica_op){.next_free = r->first_free};
        r->first_free = i + 1;
    }
    r->ops = ops;
    r->cap = cap;
    return KV_OK;
}

static uint64_t op_id(const struct replica *r, const struct replica_op *op)
{
    return id_make(ID_REPLICA, (uint64_t)op->serial * REPLICA_OPS_MAX + (uint64_t)(op - r->ops));
}

/* Books an operation. KV_E_OVERLOADED, KV_E_NO_MEMORY. */
static int begin(struct node *n, struct endpoint from, const struct message *m, struct replica_op **out)
{
    struct replica *r = &n->replica;
    size_t bytes = message_weight(m);
    if (front_bytes_in_flight(n) + bytes > INFLIGHT_MAX_BYTES)
        return KV_E_OVERLOADED;
    if (!r->first_free) {
        int rc = grow(r);
        if (rc != KV_OK)
            return rc;
    }
    struct replica_op *op = &r->ops[r->first_free - 1];
    r->first_free = op->next_free;
    *op = (struct replica_op){.type = m->type,
                              .from = from,
                              .id = m->id,
                              .began_us = n->now.mono_us,
                              .epoch = adopt_epoch(n),
                              .serial = op->serial + 1,
                              .bytes = (uint32_t)bytes};
    r->active++;
    r->bytes += bytes;
    *out = op;
    return KV_OK;
}

static void end(struct replica *r, struct replica_op *op)
{
    r->active--;
    r->noting -= op->hint_count > 0;
    r->bytes -= op->bytes;
    op->type = MSG_NONE;
    op->next_free = r->first_free;
    r->first_free = (uint32_t)(op - r->ops) + 1;
}

/* The operation a completion is for: each has exactly one. */
static struct replica_op *completed(struct replica *r, uint64_t id)
{
    KV_ASSERT(OP_SLOT(id) < r->cap);
    struct replica_op *op = &r->ops[OP_SLOT(id)];
    KV_ASSERT(op->type != MSG_NONE && op_id(r, op) == id);
    return op;
}

/* What came under one ring and was finished under the next is answered WRONG_RING, though a row may have been
 * written: the coordinator sends the same again. So what is acknowledged under an epoch was in the store
 * before the next was adopted, and who takes a partition over reads it there. */
static int status_now(struct node *n, const struct replica_op *op, int status)
{
    if (MUTANT(overtaken_ack, op->epoch == adopt_epoch(n), true))
        return status;
    n->replica.wrong_ring++;
    return KV_E_WRONG_RING;
}

/* ---- WRITE ---- */

static void ack(struct node *n, struct endpoint to, uint64_t id, int status, uint64_t sequence)
{
    struct message *m = outbox_send(n->out, to, MSG_WRITE_ACK, id);
    m->write_ack.status = status;
    m->write_ack.sequence = sequence;
}

/* Purge (DESIGN section 7) relies on it that nothing older than this is ever applied. */
bool replica_too_old(const struct node *n, uint64_t began_hlc)
{
    return hlc_is_older(began_hlc, hlc_now(n), n->row_age_max_ms);
}

static int check_write(struct node *n, const struct message *m)
{
    const struct msg_write *w = &m->write;
    if (!key_ok(w->key) || w->hint_count > HOLDERS_MAX)
        return KV_E_INVALID;
    int rc = row_check(&w->row, VALUE_MAX_CEILING_BYTES);
    if (rc != KV_OK)
        return rc;
    if (replica_too_old(n, w->began_hlc)) {
        n->replica.stale++;
        return KV_E_STALE;
    }
    return KV_OK;
}

/* For whom a note has to be kept: not for this node itself, which has the row. */
static void take_hints(const struct node *n, const struct msg_write *w, struct replica_op *op)
{
    for (uint8_t i = 0; i < MUTANT(forget_hint, w->hint_count, 0); i++)
        if (w->hints[i] != n->self && w->hints[i] != 0)
            op->hints[op->hint_count++] = w->hints[i];
}

static uint32_t hint_bytes(const struct msg_write *w)
{
    return (uint32_t)(w->key.len + blob_bytes(w->row.payload).len);
}

/* Whoever leaves the ring takes no more, nor who has come by a change that may yet be undone: nobody would be
 * left to hand them over. */
static bool takes_notes(const struct node *n, uint64_t bytes)
{
    return adopt_stays(n) && hints_room(n->hints, n->now, bytes);
}

static int write(struct node *n, struct endpoint from, struct message *m)
{
    struct msg_write *w = &m->write;
    int rc = check_write(n, m);
    if (rc == KV_OK && w->hint_count && !takes_notes(n, (uint64_t)hint_bytes(w) * w->hint_count))
        rc = KV_E_OVERLOADED;
    struct replica_op *op = NULL;
    if (rc == KV_OK)
        rc = begin(n, from, m, &op);
    if (rc != KV_OK)
        return rc;
    if (MUTANT(ack_before_sync, false, true))
        ack(n, from, m->id, KV_OK, 0);
    hlc_heard(n, w->row.stamp.hlc);
    take_hints(n, w, op);
    n->replica.noting += op->hint_count > 0;
    struct effect *e = outbox_add(n->out, EF_STORE_WRITE);
    e->op = op_id(&n->replica, op);
    e->write.key = w->key;
    e->write.row = row_ref(&w->row);
    e->write.hint_count = op->hint_count;
    memcpy(e->write.hints, op->hints, sizeof e->write.hints);
    return KV_OK;
}

static void note_disk(struct node *n, int status)
{
    bool full = status == KV_E_FULL;
    if (full == n->replica.full)
        return;
    n->replica.full = full;
    if (full)
        outbox_log(n->out, LOG_ERROR,
                   "event=disk_full text=\"writes are refused until there is space; reads go on\"");
    else
        outbox_log(n->out, LOG_INFO, "event=disk_has_space");
}

void replica_written(struct node *n, const struct event *in)
{
    struct replica *r = &n->replica;
    struct replica_op *op = completed(r, in->written.op);
    int status = in->written.status;
    note_disk(n, status);
    if (status == KV_OK) {
        r->rows_written++;
        /* No memory to count a note: the write stands and is acknowledged, the note is found by the next
         * start. */
        for (uint8_t i = 0; i < op->hint_count; i++)
            (void)hints_noted(n->hints, n->now, op->hints[i], op->bytes);
    }
    status = status_now(n, op, status == KV_E_FULL ? KV_E_OVERLOADED : status);
    ack(n, op->from, op->id, status, in->written.sequence);
    end(r, op);
}

/* ---- READ, and a client's get --local ---- */

static int read_row(struct node *n, struct endpoint from, const struct message *m, struct bytes key,
                    bool stamp_only)
{
    struct replica_op *op;
    int rc = begin(n, from, m, &op);
    if (rc != KV_OK)
        return rc;
    struct effect *e = outbox_add(n->out, EF_STORE_READ);
    e->op = op_id(&n->replica, op);
    e->read.key = key;
    e->read.stamp_only = stamp_only;
    return KV_OK;
}

static void reply_read(struct node *n, struct endpoint to, uint64_t id, int status, const struct row *row)
{
    struct message *m = outbox_send(n->out, to, MSG_READ_REPLY, id);
    m->read_reply.status = status;
    if (row && status == KV_OK)
        m->read_reply.row = row_ref(row);
}

static void reply_local(struct node *n, struct endpoint to, uint64_t id, int status, const struct row *row,
                        uint64_t us)
{
    struct message *m = outbox_send(n->out, to, MSG_RESPONSE, id);
    bool answered = status == KV_OK;
    if (answered && row_is_dead(row, hlc_now(n)))
        status = KV_E_NOT_FOUND;
    m->response = (struct msg_response){
        .status = status == KV_E_CORRUPT || status == KV_E_IO ? KV_E_UNAVAILABLE : status,
        .asked = 1,
        .acked = answered,
        .needed = 1,
        .reachable = 1,
        .coordinator = n->self,
        .us = (uint32_t)us,
    };
    if (status == KV_OK)
        m->response.row = row_ref(row);
}

void replica_local_get(struct node *n, struct endpoint from, const struct message *m)
{
    int rc = read_row(n, from, m, m->request.key, false);
    if (rc != KV_OK)
        reply_local(n, from, m->id, rc, NULL, 0);
}

void replica_read(struct node *n, const struct event *in)
{
    struct replica *r = &n->replica;
    struct replica_op *op = completed(r, in->read.op);
    r->reads++;
    if (op->type == MSG_READ)
        reply_read(n, op->from, op->id, status_now(n, op, in->read.status), &in->read.row);
    else
        reply_local(n, op->from, op->id, in->read.status, &in->read.row, n->now.mono_us - op->began_us);
    end(r, op);
}

/* ---- RANGE ---- */

static void reply_range_failed(struct node *n, struct endpoint to, uint64_t id, int status)
{
    outbox_send(n->out, to, MSG_RANGE_PAGE, id)->range_page.status = status;
}

static int range(struct node *n, struct endpoint from, const struct message *m)
{
    const struct msg_range *q = &m->range;
    if (q->after.key.len > KEY_MAX_BYTES || q->prefix.len > KEY_MAX_BYTES)
        return KV_E_INVALID;
    struct replica_op *op;
    int rc = begin(n, from, m, &op);
    if (rc != KV_OK)
        return rc;
    struct effect *e = outbox_add(n->out, EF_STORE_RANGE);
    e->op = op_id(&n->replica, op);
    e->range.after = q->after;
    e->range.prefix = q->prefix;
    e->range.limit = q->limit == 0 || q->limit > SCAN_PAGE_MAX ? SCAN_PAGE_MAX : q->limit;
    return KV_OK;
}

void replica_page(struct node *n, const struct event *in)
{
    struct replica *r = &n->replica;
    struct replica_op *op = completed(r, in->page.op);
    struct scan_entry *entries = arena_alloc(&n->out->arena, (in->page.count + 1) * sizeof *entries);
    int status = status_now(n, op, entries ? in->page.status : KV_E_NO_MEMORY);
    r->pages++;
    if (status != KV_OK) {
        reply_range_failed(n, op->from, op->id, status);
        end(r, op);
        return;
    }
    for (uint32_t i = 0; i < in->page.count; i++) {
        entries[i].key = in->page.entries[i].key;
        entries[i].row = in->page.entries[i].row;
        entries[i].row.payload = NULL; /* a page of keys: values are fetched one by one */
    }
    struct message *m = outbox_send(n->out, op->from, MSG_RANGE_PAGE, op->id);
    m->range_page = (struct msg_range_page){
        .status = KV_OK,
        .done = in->page.done,
        .next = in->page.next,
        .count = in->page.count,
        .entries = entries,
    };
    end(r, op);
}

/* ---- dispatch ---- */

/* Whether this node may answer for rows at all, and under the ring that the sender has in mind. */
static int standing(struct node *n, const struct message *m)
{
    if (!n->self)
        return KV_E_NOT_MEMBER;
    if (MUTANT(stale_epoch, m->ring_epoch == adopt_epoch(n), true))
        return KV_OK;
    n->replica.wrong_ring++;
    return KV_E_WRONG_RING;
}

void replica_message(struct node *n, struct endpoint from, struct message *m)
{
    int rc = standing(n, m);
    switch (m->type) {
    case MSG_WRITE:
        if (rc == KV_OK)
            rc = write(n, from, m);
        if (rc != KV_OK)
            ack(n, from, m->id, rc, 0);
        break;
    case MSG_READ:
        if (rc == KV_OK)
            rc = key_ok(m->read.key) ? read_row(n, from, m, m->read.key, m->read.stamp_only) : KV_E_INVALID;
        if (rc != KV_OK)
            reply_read(n, from, m->id, rc, NULL);
        break;
    default:
        if (rc == KV_OK)
            rc = range(n, from, m);
        if (rc != KV_OK)
            reply_range_failed(n, from, m->id, rc);
        break;
    }
    if (rc != KV_OK)
        n->replica.refused++;
}

void replica_check(const struct node *n)
{
    const struct replica *r = &n->replica;
    uint32_t active = 0, noting = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->cap; i++) {
        if (r->ops[i].type == MSG_NONE)
            continue;
        active++;
        noting += r->ops[i].hint_count > 0;
        bytes += r->ops[i].bytes;
    }
    KV_ASSERT(active == r->active && noting == r->noting && bytes == r->bytes);
}

void replica_deinit(struct node *n)
{
    free(n->replica.ops);
}
