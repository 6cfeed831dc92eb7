/* Dead rows are purged on proof: what repair/purge.c has to be told. It hears of every row on its way into
 * this store, whoever sent it, from the effects that leave the node; and anti-entropy keeps off the
 * partitions that it holds. */
#include "model/pack.h"
#include "node/internal.h"

static struct purge_turn turn_of(const struct node *n)
{
    return (struct purge_turn){.now = n->now, .hlc = hlc_now(n), .said = hlc_said(n), .out = n->out};
}

/* What it holds, and no longer holds, since it was last asked. */
static void pass_on_holds(struct node *n)
{
    uint32_t partition;
    bool held;
    while (purge_hold_changed(n->purge, &partition, &held)) {
        if (held)
            entropy_hold(n->heal.entropy, partition);
        else
            entropy_release(n->heal.entropy, partition);
    }
}

int sweep_create(struct node *n)
{
    struct purge_config config = {
        .self = n->self, .interval_us = n->purge_interval_us, .row_age_max_ms = n->row_age_max_ms};
    return purge_create(&config, &n->purge);
}

int sweep_ring_set(struct node *n)
{
    struct purge_turn t = turn_of(n);
    int rc = purge_ring_set(n->purge, &t, n->ring);
    pass_on_holds(n);
    return rc;
}

void sweep_peer_set(struct node *n, uint32_t member, bool reachable)
{
    struct purge_turn t = turn_of(n);
    purge_peer_set(n->purge, &t, member, reachable);
    pass_on_holds(n);
}

void sweep_question(struct node *n, struct endpoint from, const struct message *m)
{
    if (!n->purge || n->stopping)
        return;
    if (m->ring_epoch != adopt_epoch(n)) {
        struct message *r = outbox_send(n->out, from, MSG_PURGE_REPLY, m->id);
        r->purge_reply.status = KV_E_WRONG_RING;
        return;
    }
    struct purge_turn t = turn_of(n);
    bool busy = n->ring->value.phase != RING_STABLE || m->purge.partition >= n->partitions ||
                entropy_busy(n->heal.entropy, m->purge.partition);
    purge_asked(n->purge, &t, from, m->from, busy, m);
    pass_on_holds(n);
}

void sweep_answer(struct node *n, const struct message *m)
{
    if (!n->purge || n->stopping || m->ring_epoch != adopt_epoch(n))
        return;
    struct purge_turn t = turn_of(n);
    purge_answered(n->purge, &t, m->from, m);
    pass_on_holds(n);
}

void sweep_stored(struct node *n, const struct event *in)
{
    struct purge_turn t = turn_of(n);
    purge_stored(n->purge, &t, in);
    pass_on_holds(n);
}

void sweep_wrote(struct node *n, const struct effect *e)
{
    if (!n->purge)
        return;
    struct purge_turn t = turn_of(n);
    if (e->type == EF_STORE_WRITE) {
        purge_wrote(n->purge, &t, e->write.key, &e->write.row);
        return;
    }
    struct bytes pack = blob_bytes(e->merge.pack);
    struct packed_row p;
    while (pack.len && pack_take(&pack, &p) == KV_OK)
        purge_wrote(n->purge, &t, p.key, &p.row);
}

void sweep_tick(struct node *n)
{
    if (sweep_deadline_us(n) > n->now.mono_us)
        return;
    struct purge_turn t = turn_of(n);
    purge_tick(n->purge, &t);
    pass_on_holds(n);
}

uint64_t sweep_deadline_us(const struct node *n)
{
    return n->purge && !n->stopping ? purge_deadline_us(n->purge) : UINT64_MAX;
}

void sweep_deinit(struct node *n)
{
    if (n->purge)
        purge_destroy(n->purge);
}
