/* Whom to ask for what, and when: the slots of each source, within the window, the memory and the rate. */
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "model/id.h"

#define MISSES_MAX 5u /* bounds the doubling of TRANSFER_ANSWER_US */

uint64_t transfer_op(uint32_t lane, uint32_t slot, uint32_t serial)
{
    uint64_t place = (uint64_t)lane << SLOT_BITS | slot;
    return id_make(ID_TRANSFER, place << REQUEST_BITS | serial);
}

struct slot *transfer_slot_of(struct transfer *t, uint64_t op, enum slot_state state, struct lane **lane)
{
    uint64_t place = id_serial(op) >> REQUEST_BITS;
    uint64_t index = place >> SLOT_BITS, slot = place & ((1u << SLOT_BITS) - 1);
    if (id_owner(op) != ID_TRANSFER || index >= t->plan.lane_count || slot >= TRANSFER_WINDOW)
        return NULL;
    *lane = &t->plan.lanes[index];
    struct slot *s = &(*lane)->slots[slot];
    return s->state == state && s->serial == (uint32_t)op ? s : NULL;
}

/* ---- slots */

void transfer_slot_free(struct transfer *t, struct slot *s)
{
    KV_ASSERT(s->state == SLOT_READY);
    stream_of(t, s)->active = false;
    s->state = SLOT_FREE;
    s->misses = 0;
}

void transfer_slot_answered(struct transfer *t, struct slot *s)
{
    KV_ASSERT(s->state == SLOT_ASKED && t->asked > 0);
    t->asked--;
    rate_return(&t->rate, s->bytes);
    s->bytes = 0;
    s->state = SLOT_READY;
}

static uint32_t page_bytes(const struct transfer *t)
{
    bool small = t->busy && t->page_bytes > TRANSFER_BUSY_PAGE_BYTES;
    return small ? TRANSFER_BUSY_PAGE_BYTES : t->page_bytes;
}

static void slot_ask(struct transfer *t, struct lane *lane, struct slot *s, uint64_t now_us,
                     struct outbox *out)
{
    struct bytes key = arena_copy(&out->arena, buf_bytes(&s->key));
    if (key.len != s->key.len) {
        wake(t, now_us + TRANSFER_RETRY_US);
        return;
    }
    s->state = SLOT_ASKED;
    s->serial = ++t->serial;
    s->due_us = now_us + (TRANSFER_ANSWER_US << s->misses);
    s->bytes = page_bytes(t);
    t->asked++;
    rate_take(&t->rate, now_us, s->bytes);
    wake(t, s->due_us);
    uint64_t id = transfer_op((uint32_t)(lane - t->plan.lanes), (uint32_t)(s - lane->slots), s->serial);
    struct message *m = outbox_send(out, to_peer(lane->member), MSG_PULL, id);
    m->pull.partition = t->plan.parts[stream_of(t, s)->part].partition;
    m->pull.after = (struct cursor){s->token, key};
    m->pull.limit_bytes = s->bytes;
}

/* ---- lanes: which stream is next */

/* How many sources of a part are, or were, read. */
static uint32_t taken(const struct plan *p, const struct part *part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < part->stream_count; i++) {
        const struct stream *s = &p->streams[part->first_stream + i];
        count += s->done || (s->begun && p->lanes[s->lane].reachable);
    }
    return count;
}

static bool is_wanted(const struct plan *p, const struct stream *s)
{
    const struct part *part = &p->parts[s->part];
    if (part->done || s->done || s->active)
        return false;
    return s->begun || taken(p, part) < part->need;
}

/* False: there is none now. */
static bool lane_next(struct transfer *t, struct lane *lane, struct slot *s)
{
    for (; lane->next < lane->count; lane->next++) {
        uint32_t index = t->plan.order[lane->first + lane->next];
        struct stream *stream = &t->plan.streams[index];
        if (!is_wanted(&t->plan, stream))
            continue;
        lane->next++;
        stream->begun = stream->active = true;
        s->state = SLOT_READY;
        s->stream = index;
        s->token = stream->token;
        buf_clear(&s->key);
        return true;
    }
    return false;
}

void transfer_rewind(struct transfer *t, uint64_t now_us)
{
    for (uint32_t i = 0; i < t->plan.lane_count; i++)
        t->plan.lanes[i].next = 0;
    wake(t, now_us);
}

/* Whether rate and memory allow another page; if not, the tick comes back to it. */
static bool may_ask(struct transfer *t, uint64_t now_us)
{
    uint64_t expected = t->held_bytes + (uint64_t)(t->asked + 1) * TRANSFER_PAGE_BYTES;
    t->starved = expected > TRANSFER_HELD_MAX_BYTES;
    if (t->starved)
        return false; /* transfer_written wakes */
    if (!rate_allows(&t->rate, now_us))
        wake(t, t->rate.free_us);
    return rate_allows(&t->rate, now_us);
}

static uint32_t in_flight(const struct lane *lane)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TRANSFER_WINDOW; i++)
        count += lane->slots[i].state == SLOT_ASKED || lane->slots[i].state == SLOT_WRITING;
    return count;
}

void transfer_pump(struct transfer *t, struct lane *lane, uint64_t now_us, struct outbox *out)
{
    if (!lane->reachable)
        return;
    if (lane->retry_us > now_us) {
        wake(t, lane->retry_us);
        return;
    }
    uint32_t room = t->busy ? 1 : TRANSFER_WINDOW, flying = in_flight(lane);
    for (uint32_t i = 0; i < TRANSFER_WINDOW && flying < room; i++) {
        struct slot *s = &lane->slots[i];
        if (s->state == SLOT_READY && t->plan.parts[stream_of(t, s)->part].done)
            transfer_slot_free(t, s);
        if (s->state == SLOT_FREE && !lane_next(t, lane, s))
            continue;
        if (s->state != SLOT_READY)
            continue;
        if (!may_ask(t, now_us))
            return;
        slot_ask(t, lane, s, now_us, out);
        flying++;
    }
}

/* ---- sources that are lost, or late */

void transfer_lane_lost(struct transfer *t, struct lane *lane)
{
    for (uint32_t i = 0; i < TRANSFER_WINDOW; i++) {
        struct slot *s = &lane->slots[i];
        if (s->state == SLOT_ASKED)
            transfer_slot_answered(t, s);
        if (s->state == SLOT_READY)
            transfer_slot_free(t, s);
    }
}

void transfer_lane_late(struct transfer *t, struct lane *lane, uint64_t now_us)
{
    for (uint32_t i = 0; i < TRANSFER_WINDOW; i++) {
        struct slot *s = &lane->slots[i];
        if (s->state != SLOT_ASKED)
            continue;
        if (s->due_us > now_us) {
            wake(t, s->due_us);
            continue;
        }
        transfer_slot_answered(t, s);
        t->counters.timeouts++;
        if (s->misses < MISSES_MAX)
            s->misses++;
    }
}
