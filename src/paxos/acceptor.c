/* The acceptor (Lamport 2001, section 2.2, phases 1b and 2b). What it has promised and accepted is one value
 * on disk, written anew by each step; a step is answered when its write is durable, and one is written at a
 * time.
 *
 * Invariant: accepted <= promised, on disk as in memory. */
#include "paxos/internal.h"

#define STATE_VERSION 1u

/* version, epoch, promised, accepted */
#define STATE_HEAD_BYTES (1u + 8u + 12u + 12u)

/* ---- on disk: version | epoch | promised | accepted | value. Big-endian; a ballot is round (8) and member
 * (4). */

static uint8_t *put_ballot(uint8_t *p, struct ballot b)
{
    be64_put(p, b.round);
    be32_put(p + 8, b.member);
    return p + 12;
}

/* In the arena; {NULL, 0}: no memory. */
static struct bytes encode(struct arena *arena, const struct acceptor_state *s)
{
    struct bytes value = blob_bytes(s->value);
    uint8_t *data = arena_alloc(arena, STATE_HEAD_BYTES + value.len);
    if (!data)
        return (struct bytes){NULL, 0};
    uint8_t *p = data;
    *p++ = STATE_VERSION;
    be64_put(p, s->epoch);
    p = put_ballot(p + 8, s->promised);
    p = put_ballot(p, s->accepted);
    if (value.len)
        memcpy(p, value.data, value.len);
    return bytes_of(data, STATE_HEAD_BYTES + value.len);
}

static int take_ballot(struct bytes *in, struct ballot *out)
{
    int rc = bytes_take_be64(in, &out->round);
    return rc == KV_OK ? bytes_take_be32(in, &out->member) : rc;
}

static int decode(struct bytes in, struct acceptor_state *s)
{
    uint8_t version;
    if (bytes_take_byte(&in, &version) != KV_OK || version != STATE_VERSION ||
        bytes_take_be64(&in, &s->epoch) != KV_OK || take_ballot(&in, &s->promised) != KV_OK ||
        take_ballot(&in, &s->accepted) != KV_OK)
        return KV_E_CORRUPT;
    if (ballot_compare(s->accepted, s->promised) > 0 || ballot_is_none(s->accepted) != (in.len == 0))
        return KV_E_CORRUPT;
    s->value = blob_copy(in);
    return in.len && !s->value ? KV_E_NO_MEMORY : KV_OK;
}

/* ---- small things */

static void state_reset(struct acceptor_state *s)
{
    blob_unref(s->value);
    *s = (struct acceptor_state){0};
}

static void question_reset(struct question *q)
{
    blob_unref(q->value);
    *q = (struct question){0};
}

static void question_keep(struct question *to, const struct question *q)
{
    struct question kept = *q;
    if (kept.value)
        blob_ref(kept.value);
    question_reset(to);
    *to = kept;
}

static struct msg_paxos *answer(const struct paxos *p, const struct question *q, enum message_type type,
                                struct outbox *out)
{
    struct message *m = outbox_send(out, q->from, type, q->id);
    m->paxos.epoch = p->epoch;
    m->paxos.ballot = q->ballot;
    return &m->paxos;
}

static void say_preempted(struct paxos *p, const struct question *q, struct ballot by, struct outbox *out)
{
    p->counters.preempted++;
    answer(p, q, MSG_PREEMPTED, out)->other = by;
}

/* What the durable state has to say to a question that it covers. */
static void say_yes(struct paxos *p, const struct question *q, struct outbox *out)
{
    const struct acceptor_state *s = &p->acceptor.state;
    if (q->type == MSG_ACCEPT) {
        answer(p, q, MSG_ACCEPTED, out);
        return;
    }
    struct msg_paxos *x = answer(p, q, MSG_PROMISE, out);
    x->other = s->accepted;
    x->value = s->value ? blob_ref(s->value) : NULL;
}

/* ---- one step */

/* Its state after the step; KV_E_INVALID: the value makes no sense. */
static int step(const struct paxos *p, const struct question *q, struct acceptor_state *next)
{
    const struct acceptor_state *s = &p->acceptor.state;
    *next = *s;
    next->promised = q->ballot;
    if (q->type == MSG_ACCEPT) {
        int rc = paxos_value_check(p, q->value);
        if (rc != KV_OK)
            return rc;
        next->accepted = q->ballot;
        next->value = q->value;
    }
    return KV_OK;
}

static void write_next(struct paxos *p, const struct question *q, struct outbox *out)
{
    struct acceptor *a = &p->acceptor;
    struct acceptor_state next;
    int rc = step(p, q, &next);
    struct bytes bytes = rc == KV_OK ? encode(&out->arena, &next) : (struct bytes){NULL, 0};
    if (!bytes.data) {
        p->counters.ignored++; /* without memory it says nothing: it will be asked again */
        return;
    }
    a->next = next;
    if (next.value)
        blob_ref(next.value);
    question_keep(&a->asked, q);
    a->writing = true;
    struct effect *e = outbox_add(out, EF_STORE_META);
    e->op = id_make(ID_PAXOS, ++a->serial);
    e->meta.name = p->meta;
    e->meta.value = bytes;
}

/* While the disk is busy the highest ballot waits; the other is told, so that its proposer does not wait too.
 */
static void put_off(struct paxos *p, const struct question *q, struct outbox *out)
{
    struct acceptor *a = &p->acceptor;
    struct ballot highest = acceptor_highest(a);
    if (ballot_compare(q->ballot, highest) < 0) {
        say_preempted(p, q, highest, out);
        return;
    }
    if (a->waiting.type && ballot_compare(a->waiting.ballot, q->ballot) < 0)
        say_preempted(p, &a->waiting, q->ballot, out);
    question_keep(&a->waiting, q);
}

void acceptor_question(struct paxos *p, const struct question *q, struct outbox *out)
{
    struct acceptor *a = &p->acceptor;
    if (a->writing) {
        put_off(p, q, out);
        return;
    }
    int order = ballot_compare(q->ballot, a->state.promised);
    if (order < 0)
        say_preempted(p, q, a->state.promised, out);
    else if (order == 0 && (q->type == MSG_PREPARE || ballot_compare(a->state.accepted, q->ballot) == 0))
        say_yes(p, q, out); /* said before: a message was lost, or came twice */
    else
        write_next(p, q, out);
}

void acceptor_written(struct paxos *p, const struct event *in, struct outbox *out)
{
    struct acceptor *a = &p->acceptor;
    KV_ASSERT(a->writing && id_serial(in->written.op) == a->serial);
    a->writing = false;
    struct question asked = a->asked;
    a->asked = (struct question){0};
    if (in->written.status == KV_OK && asked.type) {
        state_reset(&a->state);
        a->state = a->next;
        a->next = (struct acceptor_state){0};
        *(asked.type == MSG_PREPARE ? &p->counters.promises : &p->counters.acceptances) += 1;
        say_yes(p, &asked, out);
    } else {
        state_reset(&a->next); /* a full disk promises nothing */
    }
    question_reset(&asked);
    struct question waiting = a->waiting;
    a->waiting = (struct question){0};
    if (waiting.type)
        acceptor_question(p, &waiting, out);
    question_reset(&waiting);
}

struct ballot acceptor_highest(const struct acceptor *a)
{
    return ballot_later(ballot_later(a->state.promised, a->next.promised), a->waiting.ballot);
}

/* ---- the life of an instance */

void acceptor_instance(struct paxos *p)
{
    struct acceptor *a = &p->acceptor;
    if (a->state.epoch != p->epoch) {
        state_reset(&a->state);
        a->state.epoch = p->epoch;
    }
    /* A write may be under way. It is waited for, and nobody is told. */
    state_reset(&a->next);
    question_reset(&a->asked);
    question_reset(&a->waiting);
}

int acceptor_restore(struct acceptor *a, struct bytes state)
{
    int rc = decode(state, &a->state);
    if (rc != KV_OK)
        state_reset(&a->state);
    return rc;
}

void acceptor_deinit(struct acceptor *a)
{
    state_reset(&a->state);
    state_reset(&a->next);
    question_reset(&a->asked);
    question_reset(&a->waiting);
}

void acceptor_check(const struct paxos *p)
{
    const struct acceptor *a = &p->acceptor;
    const struct acceptor_state *s = &a->state;
    KV_ASSERT(s->epoch == p->epoch || p->epoch == 0);
    KV_ASSERT(ballot_compare(s->accepted, s->promised) <= 0);
    KV_ASSERT(ballot_is_none(s->accepted) == !s->value);
    KV_ASSERT(a->writing || (!a->asked.type && !a->waiting.type && !a->next.epoch));
    KV_ASSERT(!a->asked.type || ballot_compare(a->next.promised, s->promised) >= 0);
    KV_ASSERT(!a->waiting.type || ballot_compare(a->waiting.ballot, a->next.promised) >= 0);
}
