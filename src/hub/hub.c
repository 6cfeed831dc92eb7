/* The table of members, and own time: as swim/swim.c has it, a process that was stopped for ten seconds must
 * not blame everybody for its own silence. When a call comes much later than the deadline that it was asked
 * for, own time stays where the last call left it, for another moment in which what waits in the socket is
 * read; all timers are shifted by that. */
#include <stdlib.h>

#include "hub/internal.h"

static bool config_ok(const struct hub_config *c)
{
    return c->self && c->hub && c->generation && c->heartbeat_interval_us && c->answer_timeout_us &&
           c->deadline_us && c->suspicion_mult && c->push_interval_us;
}

int hub_create(const struct hub_config *config, struct hub **out)
{
    if (!config_ok(config))
        return KV_E_INVALID;
    struct hub *h = calloc(1, sizeof *h);
    if (!h)
        return KV_E_NO_MEMORY;
    h->config = *config;
    prng_init(&h->prng, config->seed + config->self);
    map_init(&h->by_id);
    heap_init(&h->timers);
    list_init(&h->changes);
    if (hub_is_judge(h))
        h->list_generation = config->generation;
    *out = h;
    return KV_OK;
}

void hub_destroy(struct hub *h)
{
    if (!h)
        return;
    while (h->count > 0)
        hub_remove(h, h->members[0]->id);
    free(h->members);
    map_deinit(&h->by_id);
    heap_deinit(&h->timers);
    free(h);
}

/* ---- time */

static uint64_t own_deadline_us(const struct hub *h)
{
    if (h->phase == HUB_LEFT)
        return UINT64_MAX;
    if (h->phase == HUB_NEW)
        return h->now_us;
    return hub_is_judge(h) ? hub_judge_deadline_us(h) : h->next_heartbeat_us;
}

uint64_t hub_deadline_us(const struct hub *h)
{
    uint64_t at = own_deadline_us(h);
    return at == UINT64_MAX ? at : at + h->stalled_us;
}

void hub_enter(struct hub *h, struct now now)
{
    uint64_t due_us = h->phase == HUB_NEW ? UINT64_MAX : hub_deadline_us(h);
    uint64_t grace_us = h->config.answer_timeout_us;
    if (due_us != UINT64_MAX && now.mono_us > due_us + grace_us / 2)
        h->stalled_us = now.mono_us + grace_us - h->now_us;
    if (now.mono_us > h->now_us + h->stalled_us) /* not in the grace */
        h->now_us = now.mono_us - h->stalled_us;
}

/* Nodes started together by a script need not speak together. */
static void start(struct hub *h)
{
    h->phase = hub_is_judge(h) ? HUB_LISTENING : HUB_FOLLOWING;
    h->listen_us = h->now_us + h->config.heartbeat_interval_us + h->config.deadline_us;
    h->next_heartbeat_us = h->now_us;
}

void hub_tick(struct hub *h, struct now now, struct outbox *out)
{
    hub_enter(h, now);
    if (h->phase == HUB_LEFT)
        return;
    if (h->phase == HUB_NEW)
        start(h);
    if (hub_is_judge(h))
        hub_judge_tick(h, out);
    else
        hub_member_tick(h, out);
}

/* ---- the table */

struct hub_member *hub_find(const struct hub *h, uint32_t id)
{
    return map_get(&h->by_id, id);
}

static int reserve(struct hub *h)
{
    if (h->count < h->cap)
        return KV_OK;
    size_t cap = h->cap ? 2 * h->cap : 16;
    struct hub_member **members = realloc(h->members, cap * sizeof(struct hub_member *));
    if (!members)
        return KV_E_NO_MEMORY;
    h->members = members;
    int rc = heap_reserve(&h->timers, cap);
    if (rc == KV_OK)
        h->cap = cap;
    return rc;
}

/* All memory that its life may need is taken here, or nothing is. */
static int create(struct hub *h, uint32_t id, const struct addr *addr, struct hub_member **out)
{
    int rc = reserve(h);
    if (rc != KV_OK)
        return rc;
    struct hub_member *m = calloc(1, sizeof *m);
    if (!m || map_set(&h->by_id, id, m) != KV_OK) {
        free(m);
        return KV_E_NO_MEMORY;
    }
    m->id = id;
    m->place = h->count;
    m->view = (struct member_view){.state = MEMBER_DEAD, .addr = *addr};
    if (hub_is_judge(h)) {
        m->version = ++h->version;
        h->unheard++;
    }
    h->members[h->count++] = m;
    h->push_next = h->count; /* what a push under way misses is fetched */
    *out = m;
    return KV_OK;
}

int hub_add(struct hub *h, struct now now, uint32_t member, const struct addr *addr)
{
    KV_ASSERT(member && member != h->config.self);
    hub_enter(h, now);
    struct hub_member *m = hub_find(h, member);
    bool known = m != NULL;
    int rc = known ? KV_OK : create(h, member, addr, &m);
    if (rc != KV_OK)
        return rc;
    struct member_view view = m->view;
    if (view.generation == 0) /* once it was heard, it knows best where it lives */
        view.addr = *addr;
    if (member == h->config.hub)
        view.state = MEMBER_ALIVE;
    hub_set_view(h, m, view);
    if (!known && !hub_is_judge(h) && member != h->config.hub && h->version) {
        h->version = 0; /* the list may have told of it before: all of it is asked for */
        h->next_heartbeat_us = h->now_us;
    }
    return KV_OK;
}

void hub_remove(struct hub *h, uint32_t member)
{
    struct hub_member *m = hub_find(h, member);
    if (!m)
        return;
    hub_judge_forget(h, m);
    list_remove(&m->changed);
    map_remove(&h->by_id, member);
    struct hub_member *last = h->members[--h->count];
    h->members[m->place] = last;
    last->place = m->place;
    h->push_next = h->count;
    free(m);
}

/* ---- what is believed, and what changed */

static bool same_view(const struct member_view *a, const struct member_view *b)
{
    return a->state == b->state && a->generation == b->generation && addr_eq(&a->addr, &b->addr);
}

void hub_set_view(struct hub *h, struct hub_member *m, struct member_view view)
{
    if (same_view(&m->view, &view))
        return;
    if (!list_linked(&m->changed)) {
        m->before = m->view;
        list_push_back(&h->changes, &m->changed);
    }
    m->view = view;
    if (hub_is_judge(h))
        m->version = ++h->version;
}

bool hub_next_change(struct hub *h, struct member_change *out)
{
    for (struct list *it; (it = list_pop_front(&h->changes)) != NULL;) {
        const struct hub_member *m = container_of(it, struct hub_member, changed);
        if (same_view(&m->before, &m->view))
            continue; /* it came and went */
        *out = (struct member_change){m->id, m->before.state, m->view};
        return true;
    }
    return false;
}

int hub_lookup(const struct hub *h, uint32_t member, struct member_view *out)
{
    const struct hub_member *m = hub_find(h, member);
    if (member == h->config.self)
        *out = (struct member_view){.state = h->phase == HUB_LEFT ? MEMBER_LEFT : MEMBER_ALIVE,
                                    .generation = h->config.generation,
                                    .addr = h->config.addr};
    else if (m)
        *out = m->view;
    else
        return KV_E_NOT_FOUND;
    return KV_OK;
}

/* ---- messages */

bool hub_say(struct hub *h, enum message_type type, const struct addr *to, uint8_t flags, struct outbox *out)
{
    if (outbox_room(out) == 0)
        return false; /* lost, as datagrams are */
    struct msg_heartbeat *beat = &outbox_datagram(out, to, type)->heartbeat;
    *beat =
        (struct msg_heartbeat){.from = h->config.self, .generation = h->config.generation, .flags = flags};
    if (type == MSG_HEARTBEAT_ACK && h->phase == HUB_JUDGING)
        beat->version = h->version;
    return true;
}

void hub_datagram(struct hub *h, struct now now, const struct addr *from, const struct message *m,
                  struct outbox *out)
{
    KV_ASSERT(m->type == MSG_HEARTBEAT || m->type == MSG_HEARTBEAT_ACK);
    hub_enter(h, now);
    struct hub_member *member = hub_find(h, m->heartbeat.from);
    bool beat = m->type == MSG_HEARTBEAT;
    if (!member || beat != hub_is_judge(h) || (!beat && member->id != h->config.hub) || h->phase == HUB_LEFT)
        h->counters.ignored++;
    else if (beat)
        hub_judge_heartbeat(h, member, from, &m->heartbeat, out);
    else
        hub_member_ack(h, &m->heartbeat, out);
}

void hub_message(struct hub *h, struct now now, struct endpoint from, const struct message *m,
                 struct outbox *out)
{
    KV_ASSERT(m->type == MSG_LIST_GET || m->type == MSG_LIST);
    hub_enter(h, now);
    bool asked = m->type == MSG_LIST_GET;
    if (!hub_find(h, m->from) || asked != hub_is_judge(h) || (!asked && m->from != h->config.hub))
        h->counters.ignored++;
    else if (asked)
        hub_list_send(h, from, m->id, &m->list, out);
    else
        hub_list_take(h, &m->list);
}

void hub_heard(struct hub *h, struct now now, uint32_t member, uint64_t generation, const struct addr *addr)
{
    hub_enter(h, now);
    struct hub_member *m = hub_find(h, member);
    if (!m || generation == 0 || generation < m->view.generation) {
        h->counters.ignored++;
        return;
    }
    if (hub_is_judge(h)) {
        hub_judge_heard(h, m, generation, addr);
    } else if (member == h->config.hub) {
        struct member_view view = m->view;
        view.generation = generation;
        view.addr = addr_ok(addr) ? *addr : view.addr;
        hub_set_view(h, m, view);
    }
}

void hub_leave(struct hub *h, struct now now, struct outbox *out)
{
    hub_enter(h, now);
    const struct hub_member *hub = hub_find(h, h->config.hub);
    if (!hub_is_judge(h) && hub && h->phase != HUB_LEFT)
        hub_say(h, MSG_HEARTBEAT, &hub->view.addr, HEARTBEAT_LEAVING, out);
    h->phase = HUB_LEFT;
}

/* ---- looking */

struct hub_counters hub_counters(const struct hub *h)
{
    struct hub_counters c = h->counters;
    c.version = h->version;
    return c;
}

void hub_check(const struct hub *h)
{
    uint64_t newest = 0;
    size_t timers = 0;
    KV_ASSERT(map_count(&h->by_id) == h->count && h->count <= h->cap + (h->cap == 0));
    KV_ASSERT(!hub_find(h, h->config.self));
    for (size_t i = 0; i < h->count; i++) {
        const struct hub_member *m = h->members[i];
        KV_ASSERT(m->place == i && hub_find(h, m->id) == m);
        bool timed = hub_is_judge(h) && hub_present(m->view.state);
        KV_ASSERT(heap_contains(&m->timer) == timed);
        KV_ASSERT(m->view.state != MEMBER_SUSPECT || m->view.generation > 0);
        timers += timed;
        newest = m->version > newest ? m->version : newest;
    }
    KV_ASSERT(h->timers.count == timers && h->unheard <= h->count && h->push_next <= h->count);
    KV_ASSERT(newest <= h->version && h->pushed_version <= h->version);
    bool judges = h->phase == HUB_LISTENING || h->phase == HUB_JUDGING;
    KV_ASSERT(hub_is_judge(h) ? h->phase != HUB_FOLLOWING : !judges);
    KV_ASSERT(h->phase != HUB_LISTENING || h->pushed_version == 0);
}
