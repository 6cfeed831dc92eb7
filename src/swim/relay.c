/* Probes made for others (PING_REQ): our own PING under our own sequence number, whose ACK is passed on
 * under the asker's. No answer in four fifths of the time-out: NACK, which says that we at least are
 * there (Lifeguard 4.1); a later ACK is still passed on.
 *
 * The target is looked up in our own table: nobody can aim us at an address. The table of relays is
 * bounded; what does not fit is not answered, which for the asker is like a lost packet. */
#include "base/assert.h"
#include "swim/internal.h"

static struct swim_relay *at(struct swim_relays *r, uint32_t i)
{
    return &r->items[(r->first + i) % SWIM_RELAYS_MAX];
}

void swim_relay_begin(struct swim *s, struct swim_member *asker, const struct msg_probe *p,
                      struct outbox *out)
{
    struct swim_relays *r = &s->relays;
    const struct swim_member *target = swim_member_find(s, p->target);
    if (!target || target == asker || r->count == SWIM_RELAYS_MAX) {
        s->counters.ignored++;
        return;
    }
    uint32_t sequence = swim_next_sequence(s);
    if (!swim_send(s, MSG_PING, target, &target->addr, target, sequence, out))
        return;
    *at(r, r->count++) = (struct swim_relay){.asker = asker->id,
                                             .asker_sequence = p->sequence,
                                             .target = target->id,
                                             .sequence = sequence,
                                             .nack_us = s->now_us + s->config.probe_timeout_us * 4 / 5,
                                             .end_us = s->now_us + s->config.probe_deadline_us};
}

static void tell_asker(struct swim *s, const struct swim_relay *relay, enum message_type type,
                       struct outbox *out)
{
    const struct swim_member *asker = swim_member_find(s, relay->asker);
    const struct swim_member *target = swim_member_find(s, relay->target);
    if (asker && target)
        swim_send(s, type, asker, &asker->addr, target, relay->asker_sequence, out);
}

void swim_relay_ack(struct swim *s, const struct msg_probe *p, struct outbox *out)
{
    struct swim_relays *r = &s->relays;
    for (uint32_t i = 0; i < r->count; i++) {
        struct swim_relay *relay = at(r, i);
        if (relay->sequence == p->sequence && relay->target == p->target && p->from == p->target) {
            tell_asker(s, relay, MSG_ACK, out);
            relay->target = 0;
            return;
        }
    }
}

void swim_relay_tick(struct swim *s, struct outbox *out)
{
    struct swim_relays *r = &s->relays;
    for (; r->nacked < r->count && at(r, r->nacked)->nack_us <= s->now_us; r->nacked++)
        if (at(r, r->nacked)->target != 0)
            tell_asker(s, at(r, r->nacked), MSG_NACK, out);
    while (r->nacked > 0 && at(r, 0)->end_us <= s->now_us) {
        r->first = (r->first + 1) % SWIM_RELAYS_MAX;
        r->count--;
        r->nacked--;
    }
}

uint64_t swim_relay_deadline_us(const struct swim *s)
{
    const struct swim_relays *r = &s->relays;
    if (r->count == 0)
        return UINT64_MAX;
    uint64_t end_us = r->items[r->first].end_us;
    if (r->nacked == r->count)
        return end_us;
    uint64_t nack_us = r->items[(r->first + r->nacked) % SWIM_RELAYS_MAX].nack_us;
    return nack_us < end_us ? nack_us : end_us;
}
