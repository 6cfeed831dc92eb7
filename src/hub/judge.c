/* The hub's judgement. A member lives while its heartbeats come. One that is late by the deadline is suspect,
 * and is called until it answers or its time is up: so that a few lost packets bury nobody. The dead are not
 * looked for: they go on sending heartbeats as soon as they can, and live with the first that arrives.
 *
 *     (dead) --heard--> alive --late--> suspect --time is up--> dead
 *                         ^                |
 *                         +----- heard ----+          any of them --says farewell--> left */
#include <math.h>

#include "base/mutant.h"
#include "hub/internal.h"

static void set_timer(struct hub *h, struct hub_member *m, uint64_t at_us)
{
    int rc = heap_set(&h->timers, &m->timer, at_us);
    KV_ASSERT(rc == KV_OK); /* hub_add made room */
}

/* SWIM's minimum for so many members (swim/suspicion.c): there is nobody who could confirm a suspicion. */
static uint64_t suspicion_us(const struct hub *h)
{
    double scale = log10((double)(h->timers.count + 1));
    return (uint64_t)((double)h->config.suspicion_mult * (scale > 1 ? scale : 1) *
                      (double)h->config.deadline_us);
}

static void alive(struct hub *h, struct hub_member *m, uint64_t generation, const struct addr *addr)
{
    if (m->view.generation == 0)
        h->unheard--;
    struct member_view view = m->view;
    if (addr)
        view.addr = *addr;
    view.generation = generation;
    view.state = MEMBER_ALIVE;
    hub_set_view(h, m, view);
    set_timer(h, m, h->now_us + h->config.heartbeat_interval_us + h->config.deadline_us);
}

void hub_judge_heard(struct hub *h, struct hub_member *m, uint64_t generation, const struct addr *addr)
{
    if (m->view.state == MEMBER_LEFT && generation == m->view.generation)
        return; /* its farewell overtook this */
    alive(h, m, generation, addr_ok(addr) ? addr : NULL);
}

static void farewell(struct hub *h, struct hub_member *m, uint64_t generation)
{
    if (m->view.generation == 0)
        h->unheard--;
    struct member_view view = m->view;
    view.generation = generation;
    view.state = MEMBER_LEFT;
    heap_remove(&h->timers, &m->timer);
    hub_set_view(h, m, view);
}

/* Only a new life may have moved: of one that is known another address is a stranger's, or another name. */
void hub_judge_heartbeat(struct hub *h, struct hub_member *m, const struct addr *from,
                         const struct msg_heartbeat *beat, struct outbox *out)
{
    uint64_t known = m->view.generation;
    bool over = m->view.state == MEMBER_LEFT && beat->generation == known;
    if (beat->generation == 0 || beat->generation < known || over ||
        (known && beat->generation - known > HUB_GENERATION_JUMP)) {
        h->counters.ignored++;
        return;
    }
    h->counters.heartbeats++;
    if (beat->flags & HEARTBEAT_LEAVING) {
        farewell(h, m, beat->generation);
        return;
    }
    alive(h, m, beat->generation, beat->generation > known ? from : NULL);
    if (hub_say(h, MSG_HEARTBEAT_ACK, from, 0, out))
        h->counters.acks++;
}

void hub_judge_forget(struct hub *h, struct hub_member *m)
{
    heap_remove(&h->timers, &m->timer);
    if (hub_is_judge(h) && m->view.generation == 0)
        h->unheard--;
}

/* ---- time */

static void suspect(struct hub *h, struct hub_member *m)
{
    struct member_view view = m->view;
    view.state = MEMBER_SUSPECT;
    hub_set_view(h, m, view);
    m->bury_us = MUTANT(hub_buries_nobody, h->now_us + suspicion_us(h), UINT64_MAX);
    h->counters.suspicions++;
}

static void bury(struct hub *h, struct hub_member *m)
{
    struct member_view view = m->view;
    view.state = MEMBER_DEAD;
    heap_remove(&h->timers, &m->timer);
    hub_set_view(h, m, view);
    h->counters.deaths++;
}

static void late(struct hub *h, struct hub_member *m, struct outbox *out)
{
    if (m->view.state == MEMBER_ALIVE)
        suspect(h, m);
    if (m->bury_us <= h->now_us) {
        bury(h, m);
        return;
    }
    if (hub_say(h, MSG_HEARTBEAT_ACK, &m->view.addr, HEARTBEAT_CALL, out))
        h->counters.calls++;
    uint64_t next_us = h->now_us + h->config.answer_timeout_us;
    set_timer(h, m, next_us < m->bury_us ? next_us : m->bury_us);
}

void hub_judge_tick(struct hub *h, struct outbox *out)
{
    while (heap_deadline(&h->timers) <= h->now_us)
        late(h, container_of(heap_first(&h->timers), struct hub_member, timer), out);
    bool listened = h->unheard == 0 || h->listen_us <= h->now_us;
    if (h->phase == HUB_LISTENING && MUTANT(hub_judges_at_once, listened, true)) {
        h->phase = HUB_JUDGING;
        h->version++; /* never 0, and it may be that nothing was heard */
    }
    hub_list_push(h, out);
}

uint64_t hub_judge_deadline_us(const struct hub *h)
{
    uint64_t at = heap_deadline(&h->timers);
    uint64_t list_us = h->phase == HUB_JUDGING ? hub_list_push_us(h) : h->unheard ? h->listen_us : h->now_us;
    return list_us < at ? list_us : at;
}
