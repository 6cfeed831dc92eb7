/* Membership composed of its parts; the table of parts is internal.h.
 *
 * Own time. A process that was stopped for ten seconds wakes up with every timer overdue and the answers
 * still in its socket: it would call everybody dead (TRAPS: "one slow process accuses everybody"). So
 * time in here does not pass while the process does not run: when a call comes much later than the
 * deadline that it was asked for, own time stays where the last call left it, and stays there for another
 * `grace` in which what waits in the socket is read. All timers, those of suspicions too, are shifted by
 * that, and nothing needs to be restarted. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "kv_error.h"
#include "swim/internal.h"

/* Chosen by simulation (`kvsim members`). Measured against memberlist's settings for a local network (1 s,
 * 0.5 s, multiplier 4) in this same code: 1.44 times the bytes in quiet, 0.28 times the time until a crash is
 * known to all, and nobody alive was buried in hours with a quarter of all packets lost.
 *
 * What protects the living is the number of packets in which they can answer, not how long it takes: news is
 * everywhere within milliseconds and a suspect is called by each who would bury it. What costs bytes in
 * quiet is the interval alone. */
struct swim_config swim_config_default(void)
{
    return (struct swim_config){
        /* Two datagrams of 56 bytes an interval: 160 bytes a second and node. */
        .probe_interval_us = UINT64_C(700000),
        /* Many round trips of a local network; what is left until the deadline is for the indirect probes. */
        .probe_timeout_us = UINT64_C(120000),
        /* Shorter: found out sooner. Longer: a loop may hang longer unnoticed. */
        .probe_deadline_us = UINT64_C(300000),
        .indirect_probes = 3,
        /* A minimum of 3 deadlines, 0.9 s at 5 nodes. With 2 a SIGKILL is known 0.3 s sooner, and 30 nodes
         * bury somebody alive once an hour at 25 % loss. */
        .suspicion_mult = 3,
        .suspicion_max_mult = 6,      /* Lifeguard's beta */
        .suspicion_confirmations = 3, /* Lifeguard's K */
        .retransmit_mult = 4,         /* fewer: some would learn of it by push-pull only */
        .gossip_interval_us = UINT64_C(100000),
        .awareness_max = 8, /* Lifeguard's S: time-outs of 1.1 s at worst */
        .sync_interval_us = UINT64_C(20000000),
        .dead_probe_interval_us = UINT64_C(1000000), /* islands of a few nodes heal in seconds */
    };
}

static bool config_ok(const struct swim_config *c)
{
    return c->self != 0 && c->generation != 0 && c->probe_timeout_us > 0 &&
           c->probe_timeout_us < c->probe_deadline_us && c->probe_deadline_us <= c->probe_interval_us &&
           c->indirect_probes <= SWIM_INDIRECT_MAX && c->suspicion_mult > 0 && c->suspicion_max_mult > 0 &&
           c->suspicion_confirmations <= SWIM_CONFIRMATIONS_MAX && c->retransmit_mult > 0 &&
           c->gossip_interval_us > 0 && c->sync_interval_us > 0 && c->dead_probe_interval_us > 0;
}

int swim_create(const struct swim_config *config, struct swim **out)
{
    if (!config_ok(config))
        return KV_E_INVALID;
    struct swim *s = calloc(1, sizeof *s);
    if (!s)
        return KV_E_NO_MEMORY;
    s->config = *config;
    s->awareness.max = config->awareness_max;
    /* Nodes that were given the same seed must not walk in step. */
    prng_init(&s->prng, hash64_mix(config->seed + config->self));
    s->sequence = (uint32_t)prng_u64(&s->prng);
    map_init(&s->by_id);
    heap_init(&s->suspicions);
    list_init(&s->changes);
    swim_queue_init(&s->queue);
    *out = s;
    return KV_OK;
}

void swim_destroy(struct swim *s)
{
    if (!s)
        return;
    while (s->live.count > 0)
        swim_member_remove(s, s->live.items[0]);
    while (s->absent.count > 0)
        swim_member_remove(s, s->absent.items[0]);
    free(s->live.items);
    free(s->absent.items);
    map_deinit(&s->by_id);
    heap_deinit(&s->suspicions);
    free(s);
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* In own time. */
static uint64_t deadline_us(const struct swim *s)
{
    if (s->phase == SWIM_LEFT)
        return UINT64_MAX;
    if (s->phase == SWIM_NEW)
        return s->now_us;
    uint64_t at = least(s->probe.next_us, s->next_sync_us);
    at = least(at, heap_deadline(&s->suspicions));
    at = least(at, swim_relay_deadline_us(s));
    at = least(at, swim_gossip_deadline_us(s));
    return s->absent.count > 0 ? least(at, s->next_absent_us) : at;
}

uint64_t swim_deadline_us(const struct swim *s)
{
    uint64_t at = deadline_us(s);
    return at == UINT64_MAX ? at : at + s->stalled_us;
}

/* With the first tick, whenever the caller wants that: until then there is no deadline to be late for. */
static void start(struct swim *s)
{
    const struct swim_config *c = &s->config;
    uint64_t now_us = s->now_us;
    s->phase = SWIM_RUNNING;
    s->gossip_place = (size_t)prng_u64(&s->prng);
    /* Nodes started together by a script need not probe together. */
    s->probe.next_us = now_us + prng_below(&s->prng, c->probe_interval_us);
    s->next_sync_us = now_us + prng_below(&s->prng, c->sync_interval_us / SWIM_SYNC_FIRST_DIVISOR + 1);
    s->next_absent_us = now_us;
    s->next_gossip_us = now_us;
}

void swim_enter(struct swim *s, struct now now)
{
    const struct swim_config *c = &s->config;
    uint64_t due_us = s->phase == SWIM_RUNNING ? swim_deadline_us(s) : UINT64_MAX;
    if (due_us != UINT64_MAX && now.mono_us > due_us + c->probe_timeout_us / 2) {
        uint64_t late_us = now.mono_us - due_us;
        uint64_t grace_us = c->probe_timeout_us;
        s->stalled_us = now.mono_us + grace_us - s->now_us;
        uint64_t missed = late_us / c->probe_deadline_us;
        swim_awareness_add(&s->awareness, missed < c->awareness_max ? (int)missed : (int)c->awareness_max);
    }
    if (now.mono_us > s->now_us + s->stalled_us) /* not in the grace */
        s->now_us = now.mono_us - s->stalled_us;
    swim_gossip_enter(s);
}

void swim_end_turn(struct swim *s, struct outbox *out)
{
    if (s->phase == SWIM_RUNNING)
        swim_gossip_tick(s, out);
}

void swim_tick(struct swim *s, struct now now, struct outbox *out)
{
    swim_enter(s, now);
    if (s->phase == SWIM_LEFT)
        return;
    if (s->phase == SWIM_NEW)
        start(s);
    swim_relay_tick(s, out);
    swim_probe_tick(s, out);
    swim_bury(s, out);
    swim_absent_tick(s, out);
    swim_sync_tick(s, out);
    swim_end_turn(s, out);
}

/* ---- members --------------------------------------------------------------------------------- */

int swim_add(struct swim *s, struct now now, uint32_t member, const struct addr *addr, bool alive)
{
    KV_ASSERT(member != s->config.self && member != 0);
    swim_enter(s, now);
    return swim_member_add(s, member, addr, alive);
}

void swim_remove(struct swim *s, uint32_t member)
{
    struct swim_member *m = swim_member_find(s, member);
    if (!m)
        return;
    swim_probe_forget(s, member);
    swim_member_remove(s, m);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

/* A process that was replaced by a younger one goes on talking until it ends: it is not heard any more. */
static struct swim_member *sender(struct swim *s, const struct msg_probe *p)
{
    struct swim_member *m = swim_member_find(s, p->from);
    if (m && p->from_generation != 0 && p->from_generation >= m->belief.generation)
        return m;
    s->counters.ignored++;
    return NULL;
}

void swim_datagram(struct swim *s, struct now now, const struct addr *from, const struct message *m,
                   struct outbox *out)
{
    const struct msg_probe *p = &m->probe;
    KV_ASSERT(m->type >= MSG_PING && m->type <= MSG_NACK);
    swim_enter(s, now);
    struct swim_member *peer = sender(s, p);
    if (!peer)
        return;
    swim_hear(s, p->gossip, p->count, peer->id, SWIM_BY_GOSSIP);
    struct gossip sender_lives = {.member = p->from,
                                  .generation = p->from_generation,
                                  .incarnation = p->from_incarnation,
                                  .state = MEMBER_ALIVE,
                                  .from = p->from,
                                  .addr = *from};
    swim_hear(s, &sender_lives, 1, peer->id, SWIM_BY_GOSSIP);
    switch (m->type) {
    case MSG_PING:
        if (p->target != s->config.self) {
            s->counters.ignored++; /* for who lived here before us */
            break;
        }
        /* Who asks whether we live need not be asked: our probes go to the silent. They find a dead one
         * twice as soon as those of plain SWIM, for the same number of packets. */
        swim_order_pass(peer);
        swim_send(s, MSG_ACK, peer, from, NULL, p->sequence, out);
        break;
    case MSG_PING_REQ: swim_relay_begin(s, peer, p, out); break;
    case MSG_ACK:
        swim_probe_ack(s, peer, p);
        swim_relay_ack(s, p, out);
        break;
    case MSG_NACK: swim_probe_nack(s, p); break;
    default: break;
    }
    swim_end_turn(s, out);
}

void swim_leave(struct swim *s, struct now now, struct outbox *out)
{
    swim_enter(s, now);
    s->phase = SWIM_LEFT;
    for (size_t i = 0; i < s->live.count; i++) {
        const struct swim_member *m = s->live.items[i];
        if (!swim_send(s, MSG_ACK, m, &m->addr, NULL, 0, out))
            break;
    }
}

/* ---- looking in ------------------------------------------------------------------------------ */

struct swim_counters swim_counters(const struct swim *s)
{
    struct swim_counters counters = s->counters;
    counters.awareness = s->awareness.score;
    return counters;
}

static void check_order(const struct swim *s, const struct swim_order *o)
{
    KV_ASSERT(o->next + o->urgent <= o->count && o->count <= o->cap);
    for (size_t i = 0; i < o->count; i++) {
        const struct swim_member *m = o->items[i];
        enum member_state state = m->belief.state;
        KV_ASSERT(m->order == o && m->place == i && swim_member_find(s, m->id) == m);
        KV_ASSERT(swim_present(state) == (o == &s->live));
        KV_ASSERT(heap_contains(&m->suspicion.timer) == (state == MEMBER_SUSPECT));
        KV_ASSERT(!list_linked(&m->queued) || m->belief.generation > 0);
    }
}

void swim_check(const struct swim *s)
{
    size_t members = map_count(&s->by_id);
    KV_ASSERT(!swim_member_find(s, s->config.self));
    KV_ASSERT(s->live.count + s->absent.count == members);
    check_order(s, &s->live);
    check_order(s, &s->absent);
    KV_ASSERT(s->suspicions.count <= s->live.count);
    KV_ASSERT(s->queue.count <= members);
    size_t queued = 0, changes = 0;
    for (uint32_t i = 0; i < SWIM_TRANSMITS_MAX; i++)
        list_each (it, &s->queue.by_transmits[i])
            queued++;
    list_each (it, &s->changes)
        changes++;
    KV_ASSERT(queued == s->queue.count && changes <= members);
    KV_ASSERT(s->awareness.score <= s->awareness.max);
    KV_ASSERT(s->relays.nacked <= s->relays.count && s->relays.count <= SWIM_RELAYS_MAX);
    KV_ASSERT(s->probe.phase == SWIM_IDLE || (s->phase != SWIM_NEW && swim_member_find(s, s->probe.target)));
}
