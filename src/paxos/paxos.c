/* The instance: which epoch is decided, and by whom. */
#include "paxos/internal.h"

#include <stdlib.h>

int paxos_create(uint32_t self, uint64_t seed, const char *meta, struct paxos **out)
{
    struct paxos *p = calloc(1, sizeof *p);
    if (!p)
        return KV_E_NO_MEMORY;
    p->self = self;
    p->meta = meta;
    prng_init(&p->prng, seed);
    p->proposer.due_us = UINT64_MAX;
    *out = p;
    return KV_OK;
}

void paxos_destroy(struct paxos *p)
{
    if (!p)
        return;
    acceptor_deinit(&p->acceptor);
    proposer_reset(&p->proposer);
    free(p->proposer.answered);
    free(p->voters);
    free(p);
}

int paxos_restore(struct paxos *p, struct bytes state)
{
    KV_ASSERT(p->epoch == 0);
    return acceptor_restore(&p->acceptor, state);
}

uint32_t paxos_voter(const struct paxos *p, uint32_t member)
{
    for (uint32_t i = 0; i < p->voter_count; i++)
        if (p->voters[i] == member)
            return i;
    return p->voter_count;
}

int paxos_ring_set(struct paxos *p, const struct ring_value *ring)
{
    if (ring->epoch + 1 == p->epoch)
        return KV_OK;
    uint32_t *voters = calloc(ring->member_count, sizeof *voters);
    bool *answered = calloc(ring->member_count, sizeof *answered);
    if (!voters || !answered) {
        free(voters);
        free(answered);
        return KV_E_NO_MEMORY;
    }
    free(p->voters);
    free(p->proposer.answered);
    p->voters = voters;
    p->proposer.answered = answered;
    p->voter_count = 0;
    for (uint32_t i = 0; i < ring->member_count; i++)
        if (ring_value_votes(ring, &ring->members[i]))
            p->voters[p->voter_count++] = ring->members[i].id;
    p->epoch = ring->epoch + 1;
    p->partitions = ring->partitions;
    p->replicas = ring->replicas;
    p->votes = paxos_voter(p, p->self) < p->voter_count;
    acceptor_instance(p);
    proposer_reset(&p->proposer);
    return KV_OK;
}

int paxos_value_check(const struct paxos *p, const struct blob *value)
{
    struct ring_value v;
    int rc = ring_value_decode(blob_bytes(value), &v);
    if (rc == KV_OK && (v.epoch != p->epoch || v.partitions != p->partitions || v.replicas != p->replicas))
        rc = KV_E_INVALID;
    ring_value_deinit(&v);
    return rc == KV_OK || rc == KV_E_NO_MEMORY ? rc : KV_E_INVALID;
}

int paxos_propose(struct paxos *p, struct now now, struct blob *value, struct outbox *out)
{
    if (!p->votes)
        return KV_E_NOT_MEMBER;
    if (p->proposer.phase != PROPOSER_IDLE)
        return KV_E_BUSY;
    int rc = paxos_value_check(p, value);
    if (rc == KV_OK)
        proposer_propose(p, now, value, out);
    return rc;
}

bool paxos_withdraw(struct paxos *p)
{
    bool sent = p->proposer.wish_sent;
    if (p->proposer.phase != PROPOSER_DECIDED)
        proposer_reset(&p->proposer);
    return sent;
}

bool paxos_proposing(const struct paxos *p)
{
    return p->proposer.phase != PROPOSER_IDLE && p->proposer.phase != PROPOSER_DECIDED;
}

struct blob *paxos_decided(const struct paxos *p)
{
    return p->proposer.phase == PROPOSER_DECIDED ? p->proposer.value : NULL;
}

struct blob *paxos_accepted(const struct paxos *p)
{
    return p->acceptor.state.value;
}

void paxos_message(struct paxos *p, struct now now, struct endpoint from, const struct message *m,
                   struct outbox *out)
{
    const struct msg_paxos *x = &m->paxos;
    if (!p->votes || x->epoch != p->epoch || paxos_voter(p, m->from) == p->voter_count ||
        x->ballot.round > ROUND_MAX || x->other.round > ROUND_MAX) {
        p->counters.ignored++;
        return;
    }
    if (m->type != MSG_PREPARE && m->type != MSG_ACCEPT) {
        proposer_answer(p, now, m, out);
        return;
    }
    /* A ballot is its proposer's own: two that shared one could have two values accepted under it. */
    if (x->ballot.member != m->from || ballot_is_none(x->ballot)) {
        p->counters.ignored++;
        return;
    }
    const struct question q = {m->type, from, m->id, x->ballot, x->value};
    acceptor_question(p, &q, out);
}

void paxos_written(struct paxos *p, const struct event *in, struct outbox *out)
{
    acceptor_written(p, in, out);
}

void paxos_tick(struct paxos *p, struct now now, struct outbox *out)
{
    if (p->proposer.due_us <= now.mono_us)
        proposer_tick(p, now, out);
}

uint64_t paxos_deadline_us(const struct paxos *p)
{
    return p->proposer.due_us;
}

struct paxos_counters paxos_counters(const struct paxos *p)
{
    return p->counters;
}

void paxos_check(const struct paxos *p)
{
    for (uint32_t i = 1; i < p->voter_count; i++)
        KV_ASSERT(p->voters[i - 1] < p->voters[i]);
    KV_ASSERT(!p->votes || p->voter_count > 0);
    acceptor_check(p);
    proposer_check(p);
}
