/* One member, seen from one request: a small state machine, and the messages that move it. */
#include "coord/internal.h"

#define BIT(state) (1u << (state))

/* How long a member is given to fetch the ring and to write it down; doubled each time, up to 160 ms. */
#define BEHIND_RETRY_US        UINT64_C(5000)
#define BEHIND_RETRY_DOUBLINGS 5u

/* An answer may still come from a member that was lost, and even after it was back and waits to be sent to
 * again: so IDLE, LOST and HELD may become OK. */
static const uint8_t allowed[] = {
    [TARGET_IDLE] = BIT(TARGET_SENT) | BIT(TARGET_OK),
    [TARGET_SENT] =
        BIT(TARGET_IDLE) | BIT(TARGET_OK) | BIT(TARGET_REFUSED) | BIT(TARGET_LOST) | BIT(TARGET_HELD),
    [TARGET_OK] = BIT(TARGET_SENT),
    [TARGET_REFUSED] = 0,
    [TARGET_LOST] = BIT(TARGET_IDLE) | BIT(TARGET_OK) | BIT(TARGET_REFUSED) | BIT(TARGET_HELD),
    [TARGET_HELD] = BIT(TARGET_IDLE) | BIT(TARGET_OK),
};

void target_move(struct target *g, enum target_state to)
{
    KV_ASSERT(g->state < sizeof allowed && (allowed[g->state] & BIT(to)));
    g->state = (uint8_t)to;
}

bool target_open(const struct request *r, const struct target *g)
{
    return peer_reachable(g->peer) && (g->state == TARGET_IDLE || g->state == TARGET_OK) &&
           r->attempts < ATTEMPTS_MAX;
}

uint64_t target_id(const struct request *r, const struct target *g)
{
    uint64_t serial = ((uint64_t)r->generation << ATTEMPT_BITS | g->attempt) << SLOT_BITS | r->slot;
    return id_make(ID_COORD, serial);
}

static struct message *send(struct coord *c, const struct turn *t, struct request *r, struct target *g,
                            enum message_type type)
{
    target_move(g, TARGET_SENT);
    g->asked = true;
    g->attempt = ++r->attempts;
    g->sent_us = t->now.mono_us;
    g->sent_epoch = c->ring->value.epoch;
    return outbox_send(t->out, to_peer(g->peer->member), type, target_id(r, g));
}

/* The key, for as long as the outbox lives: the slot may be another request's before the outbox is empty. */
static bool lend_key(const struct turn *t, const struct request *r, struct bytes *out)
{
    *out = arena_copy(&t->out->arena, buf_bytes(&r->key));
    return out->len == r->key.len;
}

void target_read(struct coord *c, const struct turn *t, struct request *r, uint32_t position, bool hedge)
{
    struct target *g = &r->targets[position];
    struct bytes key;
    KV_ASSERT(g->state == TARGET_IDLE && !g->ok);
    trace(r, t, hedge ? TRACE_HEDGE : TRACE_ASK, g->peer->member, 0, KV_OK, (struct stamp){0});
    if (!lend_key(t, r, &key)) {
        target_move(g, TARGET_SENT);
        target_refused(r, g, KV_E_NO_MEMORY);
        return;
    }
    struct message *m = send(c, t, r, g, MSG_READ);
    g->writing = false;
    m->read.key = key;
    m->read.stamp_only = r->op == OP_STAMP;
    c->counters.hedges += hedge;
}

/* The read home that a twin is written beside; 0: it is none. */
static uint32_t partner(const struct request *r, uint32_t position)
{
    for (uint32_t s = 0; position >= r->shape.listed && s < r->shape.homes; s++) {
        if (r->shape.twin[s] == position)
            return r->targets[s].peer->member;
    }
    return 0;
}

static void trace_write(struct request *r, const struct turn *t, uint32_t position, position_set hints,
                        enum trace_kind why)
{
    uint32_t member = r->targets[position].peer->member;
    if (why == TRACE_WRITE_BACK || !hints)
        trace(r, t, why, member, partner(r, position), KV_OK, r->row.stamp);
    for (uint32_t h = 0; hints >> h; h++) {
        if (hints & position_bit(h))
            trace(r, t, TRACE_HINT, member, r->targets[h].peer->member, KV_OK, r->row.stamp);
    }
}

void target_write(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  position_set hints, enum trace_kind why)
{
    struct target *g = &r->targets[position];
    struct bytes key;
    if (r->flags & REQ_EXPLAIN)
        trace_write(r, t, position, hints, why);
    g->writing = true;
    g->hints_sent = hints;
    g->written = r->row.stamp;
    if (!lend_key(t, r, &key)) {
        target_move(g, TARGET_SENT);
        target_refused(r, g, KV_E_NO_MEMORY);
        return;
    }
    struct message *m = send(c, t, r, g, MSG_WRITE);
    m->write.key = key;
    m->write.row = row_ref(&r->row);
    m->write.began_hlc = r->began_hlc;
    m->write.flags = why == TRACE_WRITE_BACK ? WRITE_BACK : 0;
    for (uint32_t h = 0; hints >> h; h++) {
        if (hints & position_bit(h))
            m->write.hints[m->write.hint_count++] = r->targets[h].peer->member;
    }
    c->counters.write_backs += why == TRACE_WRITE_BACK;
}

/* A member that has the row, or could have it if only it were spared the hints, is barred from them. */
void target_refused(const struct request *r, struct target *g, int status)
{
    bool holder = plan_holders(&r->shape) & position_bit((uint32_t)(g - r->targets));
    bool only_hints = holder && g->writing && g->hints_sent;
    if (g->state != TARGET_SENT && g->state != TARGET_LOST)
        return; /* a duplicate, or it is about to be sent the same again */
    g->status = status;
    if (g->ok || only_hints) {
        g->barred = true;
        target_move(g, g->ok ? TARGET_OK : TARGET_IDLE);
    } else {
        target_move(g, TARGET_REFUSED);
    }
}

/* No refusal: it is sent the same again, at once when we have adopted a newer ring since. One that is behind
 * has heard of our ring by our message and is fetching it. What it was sent may have been applied all the
 * same, when a new ring came between. */
void target_wrong_ring(const struct coord *c, const struct turn *t, struct request *r, struct target *g,
                       uint64_t epoch)
{
    if (g->state != TARGET_SENT && g->state != TARGET_LOST)
        return;
    g->unsure |= g->writing;
    g->behind = epoch < c->ring->value.epoch;
    target_move(g, g->sent_epoch < c->ring->value.epoch ? TARGET_IDLE : TARGET_HELD);
    if (g->state == TARGET_HELD && g->behind && r->retry_us == UINT64_MAX) {
        r->retry_us = t->now.mono_us + (BEHIND_RETRY_US << r->retries);
        r->retries = (uint8_t)(r->retries + (r->retries < BEHIND_RETRY_DOUBLINGS));
    }
}

void target_done(struct target *g, bool latest)
{
    bool waits_for_another = g->state == TARGET_SENT && !latest;
    if (g->state != TARGET_OK && g->state != TARGET_REFUSED && !waits_for_another)
        target_move(g, TARGET_OK);
}

bool target_lost(struct target *g)
{
    if (g->state != TARGET_SENT)
        return false;
    g->unsure = true;
    target_move(g, g->ok ? TARGET_OK : TARGET_LOST);
    return true;
}

bool target_back(struct target *g)
{
    if (g->state == TARGET_LOST)
        target_move(g, TARGET_IDLE);
    return g->state == TARGET_IDLE || g->state == TARGET_OK;
}
