/* What is believed of the members, and how it changes (SWIM section 4.2, with a generation in front of
 * the incarnation so that a restarted process needs no memory of its incarnations).
 *
 * One order rules: a newer belief replaces an older one, everywhere, in whatever order they come. Only
 * the member itself raises its incarnation, and it does so exactly when it hears that it is suspected or
 * dead. So being heard does not make a dead member alive here: it is told what we think of it
 * (datagram.c), and its answer says alive with a higher incarnation, which convinces everybody else as
 * well. That is how islands heal. A removed member is in no table: nothing is believed of it, whatever it
 * or others say. */
#include "base/mutant.h"
#include "base/assert.h"
#include "swim/internal.h"

bool swim_belief_newer(struct swim_belief a, struct swim_belief b)
{
    if (a.generation != b.generation)
        return a.generation > b.generation;
    if (a.incarnation != b.incarnation)
        return MUTANT(stale_incarnation, a.incarnation > b.incarnation, true);
    return a.state > b.state;
}

bool swim_same_life(struct swim_belief a, struct swim_belief b)
{
    return a.generation == b.generation && a.incarnation == b.incarnation;
}

void swim_believe(struct swim *s, struct swim_member *m, struct swim_belief belief, uint32_t accuser)
{
    enum member_state was = m->belief.state;
    swim_member_changing(s, m);
    if (was == MEMBER_SUSPECT)
        swim_suspicion_stop(s, m);
    m->belief = belief;
    if (swim_present(was) != swim_present(belief.state)) {
        swim_order_remove(m);
        swim_order_insert(swim_present(belief.state) ? &s->live : &s->absent, m);
    }
    if (belief.state == MEMBER_SUSPECT) {
        s->counters.suspicions++;
        swim_suspicion_start(s, m, accuser);
    }
    if (belief.state == MEMBER_DEAD && swim_present(was))
        s->counters.deaths++;
    if (belief.generation > 0)
        swim_queue_push(&s->queue, m);
}

/* Whoever hears of a suspicion, or has one, does not wait for the member's turn: a few probe it at once. So
 * either the confirmations come quickly or the suspect gets many chances to refute. All of them would be a
 * storm on somebody who may just be slow. */
static void look_at(struct swim *s, struct swim_member *m)
{
    if (!swim_is_among_few(s, 2 * s->config.suspicion_confirmations))
        return;
    swim_order_hurry(m);
    swim_probe_hurry(s);
}

static void suspect(struct swim *s, struct swim_member *m, struct swim_belief belief, uint32_t accuser)
{
    if (m->belief.state == MEMBER_SUSPECT && swim_same_life(m->belief, belief)) {
        if (swim_suspicion_confirm(s, m, accuser) && belief.generation > 0)
            swim_queue_push(&s->queue, m); /* others wait for confirmations too */
    } else if (swim_belief_newer(belief, m->belief)) {
        swim_believe(s, m, belief, accuser);
        if (accuser != s->config.self)
            look_at(s, m);
    }
}

void swim_accuse(struct swim *s, struct swim_member *m)
{
    if (!swim_present(m->belief.state))
        return;
    struct swim_belief belief = m->belief;
    belief.state = MEMBER_SUSPECT;
    suspect(s, m, belief, s->config.self);
    s->news = true;
}

void swim_bury(struct swim *s, struct outbox *out)
{
    while (heap_deadline(&s->suspicions) <= s->now_us) {
        struct heap_node *timer = heap_first(&s->suspicions);
        struct swim_member *m = container_of(timer, struct swim_member, suspicion.timer);
        if (swim_suspicion_last_call(s, m)) {
            swim_send(s, MSG_PING, m, &m->addr, m, swim_next_sequence(s), out);
            continue;
        }
        struct swim_belief belief = m->belief;
        belief.state = MEMBER_DEAD;
        swim_believe(s, m, belief, 0);
        s->news = true;
    }
}

/* Somebody is wrong about us. An incarnation above our own at our own generation can only be our answer
 * to a claim that somebody made up; it is outbid all the same, within bounds. A larger generation is not
 * of this process: if another one has our id, the connections find that out, and gossip must not make us
 * play it. */
static void hear_of_self(struct swim *s, const struct gossip *g)
{
    if (s->phase == SWIM_LEFT || g->generation < s->config.generation)
        return;
    if (g->generation > s->config.generation ||
        (g->incarnation > s->incarnation && g->incarnation - s->incarnation > SWIM_INCARNATION_JUMP) ||
        g->incarnation == UINT32_MAX) {
        s->counters.ignored++;
        return;
    }
    if (g->state == MEMBER_ALIVE || g->incarnation < s->incarnation || MUTANT(no_refutation, false, true))
        return;
    s->incarnation = g->incarnation + 1;
    s->transmits = 0;
    s->counters.refutations++;
    swim_awareness_add(&s->awareness, 1);
    s->news = true;
}

/* Numbers only ever grow by one at a time: a leap is damage or malice, and believing it would bury the
 * member for ever, since it could never outbid it. Relative to the last seen value; of a member never
 * heard of any is taken, and a HELLO of its own is always right (swim_heard). */
static bool plausible(struct swim_belief known, struct swim_belief told)
{
    if (known.generation == 0 || told.generation < known.generation)
        return true;
    if (told.generation > known.generation)
        return told.generation - known.generation <= SWIM_GENERATION_JUMP;
    return told.incarnation <= known.incarnation ||
           told.incarnation - known.incarnation <= SWIM_INCARNATION_JUMP;
}

static bool known(const struct swim *s, uint32_t id)
{
    return id == s->config.self || swim_member_find(s, id) != NULL;
}

static void hear_of_member(struct swim *s, struct swim_member *m, const struct gossip *g, uint32_t teller,
                           enum swim_hearsay how)
{
    struct swim_belief told = {g->generation, g->incarnation, (enum member_state)g->state};
    uint32_t accuser = g->from;
    /* A whole table may be old, and that of another island calls dead whoever is alive in this one: as a
     * suspicion it can be refuted before anybody acts on it. */
    if (how == SWIM_BY_SYNC && told.state == MEMBER_DEAD && swim_present(m->belief.state)) {
        told.state = MEMBER_SUSPECT;
        accuser = teller;
    }
    if (!plausible(m->belief, told) ||
        (told.state == MEMBER_SUSPECT && (accuser == m->id || !known(s, accuser)))) {
        s->counters.ignored++;
        return;
    }
    if (told.generation > m->belief.generation && addr_ok(&g->addr) && !addr_eq(&m->addr, &g->addr)) {
        swim_member_changing(s, m);
        m->addr = g->addr;
    }
    if (told.state == MEMBER_SUSPECT)
        suspect(s, m, told, accuser);
    else if (swim_belief_newer(told, m->belief))
        swim_believe(s, m, told, 0);
}

void swim_hear(struct swim *s, const struct gossip *gossip, uint32_t count, uint32_t teller,
               enum swim_hearsay how)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct gossip *g = &gossip[i];
        struct swim_member *m = swim_member_find(s, g->member);
        bool sound = g->state <= MEMBER_LEFT && g->generation != 0;
        if (sound && g->member == s->config.self)
            hear_of_self(s, g);
        else if (sound && m)
            hear_of_member(s, m, g, teller, how);
        else
            s->counters.ignored++;
    }
}

/* A suspicion travels in the name of the accuser that was heard of last: Lifeguard counts independent ones,
 * and the others have been told of, each when it was new. In turn they would share the few messages of one
 * round: where several accuse at once, some accusers would never be heard of by all. */
struct gossip swim_gossip_of(const struct swim *s, const struct swim_member *m)
{
    uint32_t from = s->config.self;
    if (m->belief.state == MEMBER_SUSPECT)
        from = m->suspicion.accusers[m->suspicion.accuser_count - 1];
    return (struct gossip){.member = m->id,
                           .generation = m->belief.generation,
                           .incarnation = m->belief.incarnation,
                           .state = (uint8_t)m->belief.state,
                           .from = from,
                           .addr = m->addr};
}

struct gossip swim_gossip_of_self(const struct swim *s)
{
    return (struct gossip){.member = s->config.self,
                           .generation = s->config.generation,
                           .incarnation = s->incarnation,
                           .state = (uint8_t)swim_own_state(s),
                           .from = s->config.self,
                           .addr = s->config.addr};
}

void swim_heard(struct swim *s, struct now now, uint32_t member, uint64_t generation, const struct addr *addr)
{
    swim_enter(s, now);
    struct swim_member *m = swim_member_find(s, member);
    if (!m || generation == 0 || generation < m->belief.generation) {
        s->counters.ignored++;
        return;
    }
    if (addr_ok(addr) && !addr_eq(&m->addr, addr)) {
        swim_member_changing(s, m);
        m->addr = *addr;
    }
    if (generation > m->belief.generation)
        swim_believe(s, m, (struct swim_belief){generation, 0, MEMBER_ALIVE}, 0);
    else if (m->belief.state == MEMBER_DEAD)
        swim_absent_hurry(s, m); /* it will refute as soon as it is told */
    else if (m->belief.state == MEMBER_SUSPECT)
        swim_order_hurry(m);
}

void swim_lost(struct swim *s, struct now now, uint32_t member)
{
    swim_enter(s, now);
    struct swim_member *m = swim_member_find(s, member);
    if (m && m->belief.state == MEMBER_ALIVE)
        look_at(s, m);
}
