/* The proposer (Lamport 2001, section 2.2, phases 1a and 2a). A round begins with this node's own promise:
 * when others hear of a ballot it is on our disk, so a restarted proposer never uses one a second time. */
#include "paxos/internal.h"

void proposer_reset(struct proposer *r)
{
    blob_unref(r->wish);
    blob_unref(r->value);
    *r = (struct proposer){.answered = r->answered, .due_us = UINT64_MAX};
}

/* ---- asking */

static void ask(const struct paxos *p, uint32_t member, struct outbox *out)
{
    const struct proposer *r = &p->proposer;
    bool accept = r->phase == PROPOSER_ACCEPT;
    struct message *m = outbox_send(out, to_peer(member), accept ? MSG_ACCEPT : MSG_PREPARE,
                                    id_make(ID_PAXOS, r->ballot.round));
    m->paxos.epoch = p->epoch;
    m->paxos.ballot = r->ballot;
    m->paxos.value = accept ? blob_ref(r->value) : NULL;
}

static bool self_answered(const struct paxos *p)
{
    return p->proposer.answered[paxos_voter(p, p->self)];
}

/* Everybody who has not answered yet; in the first phase nobody but ourselves before we have. */
static void ask_the_silent(struct paxos *p, struct now now, struct outbox *out)
{
    struct proposer *r = &p->proposer;
    bool all = r->phase == PROPOSER_ACCEPT || self_answered(p);
    for (uint32_t i = 0; i < p->voter_count && outbox_room(out) > 0; i++)
        if (!r->answered[i] && (all || p->voters[i] == p->self))
            ask(p, p->voters[i], out);
    uint64_t pause_us = PAXOS_RETRY_US << (r->retries < 5 ? r->retries : 5);
    if (pause_us > PAXOS_RETRY_MAX_US)
        pause_us = PAXOS_RETRY_MAX_US;
    r->retries++;
    r->due_us = now.mono_us + pause_us + prng_below(&p->prng, pause_us / 2);
}

static void enter(struct paxos *p, struct now now, enum proposer_phase phase, struct outbox *out)
{
    struct proposer *r = &p->proposer;
    r->phase = phase;
    r->answers = 0;
    r->retries = 0;
    memset(r->answered, 0, p->voter_count * sizeof *r->answered);
    ask_the_silent(p, now, out);
}

static void set_value(struct proposer *r, struct blob *value, struct ballot ballot)
{
    blob_ref(value);
    blob_unref(r->value);
    r->value = value;
    r->value_ballot = ballot;
}

static void begin_round(struct paxos *p, struct now now, struct outbox *out)
{
    struct proposer *r = &p->proposer;
    r->seen = ballot_later(r->seen, acceptor_highest(&p->acceptor));
    r->ballot = (struct ballot){.round = r->seen.round + 1, .member = p->self};
    r->seen = r->ballot;
    set_value(r, r->wish, (struct ballot){0});
    p->counters.rounds++;
    enter(p, now, PROPOSER_PREPARE, out);
}

void proposer_propose(struct paxos *p, struct now now, struct blob *value, struct outbox *out)
{
    p->proposer.wish = blob_ref(value);
    begin_round(p, now, out);
}

/* ---- answers */

static void back_off(struct paxos *p, struct now now)
{
    struct proposer *r = &p->proposer;
    uint64_t most_us = PAXOS_BACKOFF_US << (r->preempted < 6 ? r->preempted : 6);
    if (most_us > PAXOS_BACKOFF_MAX_US)
        most_us = PAXOS_BACKOFF_MAX_US;
    r->preempted++;
    r->phase = PROPOSER_BACKOFF;
    r->due_us = now.mono_us + 1 + prng_below(&p->prng, most_us);
}

static void promised(struct paxos *p, struct now now, const struct message *m, struct outbox *out)
{
    struct proposer *r = &p->proposer;
    const struct msg_paxos *x = &m->paxos;
    if (!ballot_is_none(x->other) && ballot_compare(x->other, r->value_ballot) > 0)
        set_value(r, x->value, x->other); /* the value of the highest-numbered proposal among the answers */
    if (m->from == p->self)
        ask_the_silent(p, now, out);
    if (r->answers < paxos_majority(p) || !self_answered(p))
        return;
    r->wish_sent = r->wish_sent || ballot_is_none(r->value_ballot);
    enter(p, now, PROPOSER_ACCEPT, out);
}

static void accepted(struct paxos *p)
{
    struct proposer *r = &p->proposer;
    if (r->answers < paxos_majority(p))
        return;
    r->phase = PROPOSER_DECIDED;
    r->due_us = UINT64_MAX;
    p->counters.decisions++;
}

/* Whether an answer belongs to the phase of this round, and is the first of its sender. */
static bool counts(struct paxos *p, const struct message *m)
{
    const struct proposer *r = &p->proposer;
    enum message_type expected = r->phase == PROPOSER_PREPARE  ? MSG_PROMISE
                                 : r->phase == PROPOSER_ACCEPT ? MSG_ACCEPTED
                                                               : MSG_NONE;
    if (m->type != expected || r->answered[paxos_voter(p, m->from)])
        return false;
    /* Only with its value is what was accepted of use. */
    return ballot_is_none(m->paxos.other) || paxos_value_check(p, m->paxos.value) == KV_OK;
}

void proposer_answer(struct paxos *p, struct now now, const struct message *m, struct outbox *out)
{
    struct proposer *r = &p->proposer;
    if (r->phase == PROPOSER_IDLE || ballot_compare(m->paxos.ballot, r->ballot) != 0)
        return; /* late */
    if (m->type == MSG_PREEMPTED) {
        r->seen = ballot_later(r->seen, m->paxos.other);
        if (r->phase == PROPOSER_PREPARE || r->phase == PROPOSER_ACCEPT)
            back_off(p, now);
        return;
    }
    if (!counts(p, m))
        return;
    r->answered[paxos_voter(p, m->from)] = true;
    r->answers++;
    if (r->phase == PROPOSER_PREPARE)
        promised(p, now, m, out);
    else
        accepted(p);
}

void proposer_tick(struct paxos *p, struct now now, struct outbox *out)
{
    if (p->proposer.phase == PROPOSER_BACKOFF)
        begin_round(p, now, out);
    else
        ask_the_silent(p, now, out);
}

void proposer_check(const struct paxos *p)
{
    const struct proposer *r = &p->proposer;
    bool asking = r->phase == PROPOSER_PREPARE || r->phase == PROPOSER_ACCEPT;
    KV_ASSERT((r->phase == PROPOSER_IDLE) == !r->wish);
    KV_ASSERT((r->phase == PROPOSER_IDLE) == !r->value);
    KV_ASSERT((r->due_us != UINT64_MAX) == (asking || r->phase == PROPOSER_BACKOFF));
    KV_ASSERT(r->phase == PROPOSER_IDLE || p->votes);
    KV_ASSERT(ballot_compare(r->ballot, r->seen) <= 0);
    if (r->phase != PROPOSER_IDLE)
        KV_ASSERT(!ballot_is_none(r->value_ballot) || r->value == r->wish);
    if (!asking)
        return;
    uint32_t answers = 0;
    for (uint32_t i = 0; i < p->voter_count; i++)
        answers += r->answered[i];
    KV_ASSERT(answers == r->answers);
    KV_ASSERT(r->phase == PROPOSER_ACCEPT || !self_answered(p) || answers < paxos_majority(p));
    KV_ASSERT(answers < paxos_majority(p) || !self_answered(p));
}
