/* Homes that compare what they have: what repair/entropy.c has to be told, and an operator's REPAIR. */
#include "node/internal.h"

void heal_config(struct node *n, const struct node_config *config)
{
    n->heal.round_us = config->repair_round_us ? config->repair_round_us : ENTROPY_ROUND_US;
    if (config->repair_round_us == UINT64_MAX)
        n->heal.round_us = 0;
}

int heal_create(struct node *n)
{
    struct entropy_config config = {.self = n->self,
                                    .round_us = n->heal.round_us,
                                    .scrub_us = ENTROPY_SCRUB_US,
                                    .seed = prng_u64(&n->prng),
                                    .row_age_max_ms = n->row_age_max_ms};
    return entropy_create(&config, &n->heal.entropy);
}

void heal_deinit(struct node *n)
{
    entropy_destroy(n->heal.entropy);
}

int heal_ring_set(struct node *n)
{
    return entropy_ring_set(n->heal.entropy, n->now, n->ring);
}

/* ROOTS, COMPARE, MERGE. */
void heal_question(struct node *n, struct endpoint from, const struct message *m)
{
    if (n->heal.entropy && !n->stopping)
        entropy_question(n->heal.entropy, n->now, hlc_now(n), from, m, n->out);
}

void heal_answer(struct node *n, const struct message *m)
{
    if (n->heal.entropy && !n->stopping)
        entropy_answer(n->heal.entropy, n->now, hlc_now(n), m->from, m, n->out);
}

void heal_stored(struct node *n, const struct event *in)
{
    entropy_stored(n->heal.entropy, n->now, hlc_now(n), in, n->out);
}

void heal_order(struct node *n, struct endpoint from, uint64_t id)
{
    struct message *m = outbox_send(n->out, from, MSG_REPAIR_REPLY, id);
    if (!n->heal.entropy || n->stopping)
        m->repair_reply.status = KV_E_UNAVAILABLE;
    else
        entropy_repair(n->heal.entropy, n->now, &m->repair_reply);
    if (m->repair_reply.status == KV_OK)
        outbox_log(n->out, LOG_INFO, "event=repair partitions=%u peers=%u", m->repair_reply.partitions,
                   m->repair_reply.peers);
}

void heal_tick(struct node *n)
{
    if (heal_deadline_us(n) > n->now.mono_us)
        return;
    entropy_yield_set(n->heal.entropy, n->replica.active > 0 || coord_in_flight(n->coord) > 0);
    entropy_tick(n->heal.entropy, n->now, hlc_now(n), n->out);
}

uint64_t heal_deadline_us(const struct node *n)
{
    return n->heal.entropy && !n->stopping ? entropy_deadline_us(n->heal.entropy) : UINT64_MAX;
}
