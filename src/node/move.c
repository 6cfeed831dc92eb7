/* Partitions that move (DESIGN section 7). The source's side: an old home answers PULL with a page of a
 * partition's rows. And what repair/transfer.c (the new home's side) and repair/drop.c (what is not held any
 * more) have to be told.
 *
 * A page is read only under the ring that the asker has in mind, and answered only if that is still in force
 * when it was: so it has all that was acknowledged before this node adopted the change, and what is
 * acknowledged later was sent to the asker as well.
 *
 * Foreground comes first: PULLS_MAX pages at once, one while there are requests in flight, and no more bytes
 * a second than this node would itself take over. Who is refused for that asks again.
 *
 * Invariants (move_check): `active` is the number of pulls in use. */
#include "base/mutant.h"
#include "node/internal.h"

#include "model/pack.h"

/* Whether this node is at work for clients: its own, or those of other coordinators. */
static bool busy(const struct node *n)
{
    return n->replica.active > 0 || coord_in_flight(n->coord) > 0;
}

/* ---- life */

int move_config(struct node *n, const struct node_config *config)
{
    n->move.rate.per_second = config->transfer_rate_bytes ? config->transfer_rate_bytes : TRANSFER_RATE_BYTES;
    return buf_set(&n->move.noted, config->transfer);
}

int move_create(struct node *n)
{
    /* A page and its frame are never more than a largest value and its. */
    uint32_t page_bytes = n->value_max_bytes + FRAME_EXTRA_MAX_BYTES / 2;
    struct transfer_config config = {.self = n->self,
                                     .rate_bytes = n->move.rate.per_second,
                                     .page_bytes = page_bytes,
                                     .row_age_max_ms = n->row_age_max_ms,
                                     .meta = META_TRANSFER,
                                     .noted = buf_bytes(&n->move.noted)};
    int rc = transfer_create(&config, &n->move.transfer);
    return rc == KV_OK ? drop_create(n->self, &n->move.drop) : rc;
}

void move_deinit(struct node *n)
{
    transfer_destroy(n->move.transfer);
    drop_destroy(n->move.drop);
    buf_deinit(&n->move.noted);
}

int move_ring_set(struct node *n)
{
    int rc = transfer_ring_set(n->move.transfer, n->now, n->ring, n->out);
    return rc == KV_OK ? drop_ring_set(n->move.drop, n->now, n->ring) : rc;
}

void move_peer_set(struct node *n, uint32_t member, bool reachable)
{
    transfer_busy_set(n->move.transfer, busy(n));
    transfer_peer_set(n->move.transfer, n->now, member, reachable, n->out);
}

/* ---- PULL ---- */

static bool was_home(const struct ring *r, uint32_t partition, uint32_t member)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(r, partition, slots);
    for (uint32_t i = 0; i < count; i++)
        if (slots[i].from == member)
            return true;
    return false;
}

static int check_pull(struct node *n, const struct message *m)
{
    const struct msg_pull *q = &m->pull;
    if (!n->self)
        return KV_E_NOT_MEMBER;
    if (MUTANT(old_snapshot, m->ring_epoch != adopt_epoch(n), false))
        return KV_E_WRONG_RING;
    if (MUTANT(old_snapshot, n->ring->value.phase == RING_STABLE, false) || q->partition >= n->partitions ||
        token_partition(q->after.token, n->partitions) != q->partition ||
        !was_home(n->ring, q->partition, n->self))
        return KV_E_INVALID;
    return KV_OK;
}

/* Room for another page now; NULL: none. */
static struct pull *pull_begin(struct node *n, uint32_t bytes)
{
    struct move *mv = &n->move;
    uint32_t most = busy(n) ? 1 : PULLS_MAX;
    if (mv->active >= most || !rate_allows(&mv->rate, n->now.mono_us) ||
        front_bytes_in_flight(n) + bytes > INFLIGHT_MAX_BYTES)
        return NULL;
    struct pull *p = mv->pulls;
    while (p->bytes)
        p++;
    mv->active++;
    mv->pulled_bytes += bytes;
    rate_take(&mv->rate, n->now.mono_us, bytes);
    *p = (struct pull){.bytes = bytes, .serial = ++mv->serial};
    return p;
}

static void pull_end(struct node *n, struct pull *p, uint32_t bytes)
{
    n->move.active--;
    n->move.pulled_bytes -= p->bytes;
    rate_return(&n->move.rate, p->bytes);
    rate_take(&n->move.rate, n->now.mono_us, bytes);
    p->bytes = 0;
}

static uint64_t pull_op(const struct node *n, const struct pull *p)
{
    return id_make(ID_PULL, (uint64_t)p->serial * PULLS_MAX + (uint64_t)(p - n->move.pulls));
}

static void page_ask(struct node *n, const struct pull *p, const struct msg_pull *q)
{
    uint32_t end = q->partition + 1;
    struct effect *e = outbox_add(n->out, EF_STORE_ROWS);
    e->op = pull_op(n, p);
    e->rows.after = q->after;
    e->rows.until_token = end < n->partitions ? partition_first_token(end, n->partitions) : 0;
    e->rows.limit_bytes = p->bytes;
}

static void refuse(struct node *n, struct endpoint to, uint64_t id, int status)
{
    n->move.refused++;
    outbox_send(n->out, to, MSG_ROWS, id)->rows.status = status;
}

void move_pull(struct node *n, struct endpoint from, const struct message *m)
{
    uint32_t limit = m->pull.limit_bytes;
    int rc = check_pull(n, m);
    struct pull *p = NULL;
    if (rc == KV_OK) {
        p = pull_begin(n, limit && limit < TRANSFER_PAGE_BYTES ? limit : TRANSFER_PAGE_BYTES);
        rc = p ? KV_OK : KV_E_OVERLOADED;
    }
    if (rc != KV_OK) {
        refuse(n, from, m->id, rc);
        return;
    }
    p->from = from;
    p->id = m->id;
    p->epoch = adopt_epoch(n);
    p->began_hlc = hlc_now(n);
    page_ask(n, p, &m->pull);
}

/* The store may give a little more than was asked for: the page is cut before the row that is too much. */
static int reply(struct node *n, const struct pull *p, const struct event *in, uint32_t *bytes)
{
    const struct page_entry *entries = in->page.entries;
    uint32_t count = pack_fit(entries, in->page.count, p->bytes);
    struct blob *pack = pack_rows(entries, count);
    if (count && !pack)
        return KV_E_OVERLOADED;
    struct message *m = outbox_send(n->out, p->from, MSG_ROWS, p->id);
    m->rows.done = in->page.done && count == in->page.count;
    m->rows.next = in->page.next;
    if (count < in->page.count)
        m->rows.next = (struct cursor){key_token(entries[count - 1].key), entries[count - 1].key};
    m->rows.began_hlc = p->began_hlc;
    m->rows.pack = pack;
    *bytes = (uint32_t)blob_bytes(pack).len;
    n->move.pages++;
    n->move.bytes += *bytes;
    return KV_OK;
}

void move_page(struct node *n, const struct event *in)
{
    if (id_owner(in->page.op) == ID_DROP) {
        drop_page(n->move.drop, n->now, in, n->out);
        return;
    }
    struct pull *p = &n->move.pulls[id_serial(in->page.op) % PULLS_MAX];
    KV_ASSERT(p->bytes && pull_op(n, p) == in->page.op);
    uint32_t bytes = 0;
    bool same = MUTANT(old_snapshot, p->epoch == adopt_epoch(n), true);
    int rc = same ? in->page.status : KV_E_WRONG_RING;
    if (rc == KV_OK)
        rc = reply(n, p, in, &bytes);
    if (rc != KV_OK)
        refuse(n, p->from, p->id, rc);
    pull_end(n, p, bytes);
}

/* ---- what comes of what the two asked for ---- */

void move_rows(struct node *n, const struct message *m)
{
    struct transfer *t = n->move.transfer;
    uint64_t newest_hlc = transfer_newest_hlc(t);
    transfer_busy_set(t, busy(n));
    transfer_rows(t, n->now, &n->clock, m->from, m, n->out);
    if (transfer_newest_hlc(t) > newest_hlc)
        hlc_heard(n, transfer_newest_hlc(t));
}

void move_written(struct node *n, const struct event *in)
{
    transfer_busy_set(n->move.transfer, busy(n));
    if (id_owner(in->written.op) == ID_DROP)
        drop_written(n->move.drop, n->now, in, n->out);
    else
        transfer_written(n->move.transfer, n->now, in, n->out);
}

void move_tick(struct node *n)
{
    if (!n->move.transfer)
        return;
    transfer_busy_set(n->move.transfer, busy(n));
    if (transfer_deadline_us(n->move.transfer) <= n->now.mono_us)
        transfer_tick(n->move.transfer, n->now, n->out);
    if (drop_deadline_us(n->move.drop) <= n->now.mono_us)
        drop_tick(n->move.drop, n->now, n->out);
}

uint64_t move_deadline_us(const struct node *n)
{
    if (!n->move.transfer)
        return UINT64_MAX;
    uint64_t transfer_us = transfer_deadline_us(n->move.transfer), drop_us = drop_deadline_us(n->move.drop);
    return transfer_us < drop_us ? transfer_us : drop_us;
}

uint64_t move_bytes_in_flight(const struct node *n)
{
    return n->move.pulled_bytes + (n->move.transfer ? transfer_held_bytes(n->move.transfer) : 0);
}

void move_check(const struct node *n)
{
    uint32_t active = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PULLS_MAX; i++) {
        active += n->move.pulls[i].bytes > 0;
        bytes += n->move.pulls[i].bytes;
    }
    KV_ASSERT(active == n->move.active && bytes == n->move.pulled_bytes);
    if (!n->move.transfer)
        return;
    transfer_check(n->move.transfer);
    drop_check(n->move.drop);
}
