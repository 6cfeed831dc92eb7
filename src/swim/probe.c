/* Is it there? One probe a period (SWIM section 3.1, Lifeguard 4.1): PING; no answer within the time-out:
 * PING again, and ask k others to try; none by the end of the period: suspect. The table of phases is in
 * internal.h.
 *
 * Those asked say NACK when they got no answer either. A failed probe without all the NACKs due is a sign
 * that packets to or from us are what is missing: local health suffers.
 *
 * The second PING is ours: on a lossy but living path it is the cheapest way to avoid a false suspicion. */
#include "base/assert.h"
#include "swim/internal.h"

static void ping(struct swim *s, const struct swim_member *m, uint32_t sequence, struct outbox *out)
{
    swim_send(s, MSG_PING, m, &m->addr, m, sequence, out);
}

static void begin(struct swim *s, struct outbox *out)
{
    struct swim_probe *p = &s->probe;
    const struct swim_member *m = swim_order_pick(&s->live, &s->prng);
    if (!m) {
        p->next_us = s->now_us + s->config.probe_interval_us;
        return;
    }
    *p = (struct swim_probe){.phase = SWIM_DIRECT,
                             .started_us = s->now_us,
                             .deadline_us = swim_awareness_scale(&s->awareness, s->config.probe_deadline_us),
                             .timeout_us = swim_awareness_scale(&s->awareness, s->config.probe_timeout_us),
                             .target = m->id,
                             .life = m->belief,
                             .sequence = swim_next_sequence(s)};
    p->next_us = p->started_us + p->timeout_us;
    s->counters.probes++;
    ping(s, m, p->sequence, out);
}

static void ask_others(struct swim *s, const struct swim_member *m, struct outbox *out)
{
    struct swim_probe *p = &s->probe;
    struct swim_member *relays[SWIM_INDIRECT_MAX];
    uint32_t count = swim_order_sample(&s->live, &s->prng, s->config.indirect_probes, m->id, relays);
    for (uint32_t i = 0; i < count; i++) {
        if (!swim_send(s, MSG_PING_REQ, relays[i], &relays[i]->addr, m, p->sequence, out))
            break;
        p->relays[p->asked++] = relays[i]->id;
        s->counters.indirect_probes++;
    }
    ping(s, m, p->sequence, out);
    p->phase = SWIM_INDIRECT;
    p->next_us = p->started_us + p->deadline_us;
}

static void fail(struct swim *s, struct swim_member *m)
{
    struct swim_probe *p = &s->probe;
    int missing = 0;
    for (uint32_t i = 0; i < p->asked; i++)
        missing += p->relays[i] != 0;
    swim_awareness_add(&s->awareness, p->asked ? missing : 1);
    if (swim_same_life(m->belief, p->life))
        swim_accuse(s, m); /* else it has refuted or restarted meanwhile, which proves more than an ACK */
    p->phase = SWIM_IDLE;
    p->next_us = p->started_us + s->config.probe_interval_us; /* now, if that has passed */
}

void swim_probe_tick(struct swim *s, struct outbox *out)
{
    struct swim_probe *p = &s->probe;
    while (p->next_us <= s->now_us) {
        struct swim_member *m = swim_member_find(s, p->target);
        switch (p->phase) {
        case SWIM_IDLE:
        case SWIM_ANSWERED: begin(s, out); break;
        case SWIM_DIRECT: ask_others(s, m, out); break;
        case SWIM_INDIRECT: fail(s, m); break;
        }
    }
}

void swim_probe_ack(struct swim *s, struct swim_member *from, const struct msg_probe *msg)
{
    struct swim_probe *p = &s->probe;
    if ((p->phase != SWIM_DIRECT && p->phase != SWIM_INDIRECT) || msg->sequence != p->sequence ||
        msg->target != p->target)
        return;
    /* After the second PING nobody knows which one was answered (Karn and Partridge 1987). */
    if (p->phase == SWIM_DIRECT && from->id == p->target) {
        uint32_t rtt_us = (uint32_t)(s->now_us - p->started_us);
        rtt_us = rtt_us ? rtt_us : 1;
        from->rtt_us = from->rtt_us ? (uint32_t)((7 * (uint64_t)from->rtt_us + rtt_us) / 8) : rtt_us;
    }
    s->counters.acks++;
    swim_awareness_add(&s->awareness, -1);
    p->phase = SWIM_ANSWERED;
    p->next_us = p->started_us + s->config.probe_interval_us;
}

void swim_probe_nack(struct swim *s, const struct msg_probe *msg)
{
    struct swim_probe *p = &s->probe;
    if (p->phase != SWIM_INDIRECT || msg->sequence != p->sequence || msg->target != p->target)
        return;
    for (uint32_t i = 0; i < p->asked; i++) {
        if (p->relays[i] == msg->from) {
            p->relays[i] = 0;
            s->counters.nacks++;
        }
    }
}

void swim_probe_forget(struct swim *s, uint32_t member)
{
    struct swim_probe *p = &s->probe;
    if (p->target != member || p->phase == SWIM_IDLE)
        return;
    if (p->phase != SWIM_ANSWERED)
        p->next_us = s->now_us; /* the period goes to somebody else */
    p->phase = SWIM_IDLE;
}

void swim_probe_hurry(struct swim *s)
{
    struct swim_probe *p = &s->probe;
    if (s->phase == SWIM_RUNNING && (p->phase == SWIM_IDLE || p->phase == SWIM_ANSWERED) &&
        p->next_us > s->now_us)
        p->next_us = s->now_us;
}

/* No time-outs here: nothing is expected. The PING tells the member that we believe it dead, and if it
 * lives its answer refutes that. */
void swim_absent_tick(struct swim *s, struct outbox *out)
{
    if (s->absent.count == 0 || s->next_absent_us > s->now_us)
        return;
    bool young = s->now_us < s->young_until_us;
    uint32_t many = young ? s->config.indirect_probes : 1;
    for (uint32_t i = 0; i < many && i < s->absent.count; i++) {
        const struct swim_member *m = swim_order_pick(&s->absent, &s->prng);
        s->counters.probes++;
        ping(s, m, swim_next_sequence(s), out);
    }
    s->next_absent_us = s->now_us + (young ? s->config.probe_interval_us : s->config.dead_probe_interval_us);
}

void swim_absent_hurry(struct swim *s, struct swim_member *m)
{
    swim_order_hurry(m);
    s->next_absent_us = s->now_us;
    if (m->belief.generation == 0)
        s->young_until_us = s->now_us + SWIM_YOUNG_US;
}
