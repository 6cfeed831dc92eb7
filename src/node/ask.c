/* Changes of the ring that an operator, or a node that wants to join, asks for: checked and refused at once,
 * or put into the ring's queue by a new epoch, and answered when that is decided. What a change needs is done
 * by whoever drives the ring (change.c): from then on it no longer depends on this node or on who asked. */
#include "node/internal.h"

#include <stdio.h>

#define TEXT_MAX 128

/* ---- answers */

static struct msg_change_reply *reply(struct node *n, struct endpoint to, uint64_t id, int status,
                                      const char *text)
{
    struct message *m = outbox_send(n->out, to, MSG_CHANGE_REPLY, id);
    m->change_reply.status = status;
    m->change_reply.text = arena_printf(&n->out->arena, "%s", text);
    m->change_reply.epoch = adopt_epoch(n);
    return &m->change_reply;
}

const char *ask_text(struct node *n, const struct ring_change *c)
{
    struct arena *arena = &n->out->arena;
    const struct member *m = ring_value_find(&n->ring->value, c->member);
    const char *name = c->name[0] ? c->name : m ? m->name : "?";
    char addr[ADDR_TEXT_MAX];
    switch (c->kind) {
    case RING_JOIN:
        return arena_printf(arena, "join %s %s weight %u", name, addr_format(&c->addr, addr), c->weight);
    case RING_WEIGHT: return arena_printf(arena, "weight %s %u", name, c->weight);
    case RING_ZONE: return arena_printf(arena, "zone %s %s", name, c->zone);
    default: return arena_printf(arena, "%s %s", ring_change_kind_name(c->kind), name);
    }
}

/* ---- what is refused at once */

/* As it will be in the queue: by id, and with nothing that the kind of change does not need. */
static int resolve(const struct node *n, const struct ring_change *asked, struct ring_change *c,
                   char error[TEXT_MAX])
{
    *c = *asked;
    if (c->kind == RING_JOIN)
        return KV_OK;
    const struct member *m = ring_value_find_name(&n->ring->value, asked->name);
    if (asked->name[0] && !m) {
        snprintf(error, TEXT_MAX, "no member is called '%s'", asked->name);
        return KV_E_INVALID;
    }
    *c = (struct ring_change){.kind = asked->kind, .member = m ? m->id : asked->member};
    if (c->kind == RING_WEIGHT)
        c->weight = asked->weight;
    if (c->kind == RING_ZONE)
        memcpy(c->zone, asked->zone, sizeof c->zone);
    return KV_OK;
}

static bool is_alive(const struct node *n, const struct member *m)
{
    return !m->dead && membership_alive(n, m->id);
}

/* Who lives leaves, and who is dead is removed: either would take for ever otherwise, or lose rows. */
static int check_life(const struct node *n, const struct ring_change *c, char error[TEXT_MAX])
{
    const struct ring_value *v = &n->ring->value;
    const struct member *m =
        c->kind == RING_JOIN ? ring_value_find_name(v, c->name) : ring_value_find(v, c->member);
    if (!m)
        return KV_OK;
    bool goes = c->kind == RING_LEAVE || c->kind == RING_REMOVE;
    if (goes && m->id == v->hub) {
        snprintf(error, TEXT_MAX, "%s is the hub: nobody can take its place", m->name);
        return KV_E_NOT_PERMITTED;
    }
    bool alive = is_alive(n, m);
    if (c->kind == RING_JOIN && alive && m->store_id != c->store_id) {
        snprintf(error, TEXT_MAX, "%s is a member, and alive, with another store", m->name);
        return KV_E_DUPLICATE_ID;
    }
    if (c->kind == RING_REMOVE && alive) {
        snprintf(error, TEXT_MAX,
                 "%s is alive, as far as is known: let it leave, or wait until it is seen dead", m->name);
        return KV_E_INVALID;
    }
    if (c->kind == RING_LEAVE && !alive) {
        snprintf(error, TEXT_MAX, "%s cannot be reached, and so hands nothing over: remove it as dead",
                 m->name);
        return KV_E_INVALID;
    }
    return KV_OK;
}

/* A majority of those who vote is needed to decide anything. */
static int check_voters(const struct node *n, char error[TEXT_MAX])
{
    const struct ring_value *v = &n->ring->value;
    uint32_t voters = 0, reached = 0;
    bool votes = false;
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (!ring_value_votes(v, &v->members[i]))
            continue;
        const struct peer *p = peers_find(n, v->members[i].id);
        voters++;
        votes = votes || v->members[i].id == n->self;
        reached += v->members[i].id == n->self || (p && p->reachable);
    }
    if (votes && reached > voters / 2)
        return KV_OK;
    if (!votes)
        snprintf(error, TEXT_MAX, "this node is still joining and has no vote: ask another");
    else
        snprintf(error, TEXT_MAX, "%u of %u members can be reached: too few to change the ring", reached,
                 voters);
    return KV_E_UNAVAILABLE;
}

/* Only a node itself may ask for its place; an operator may ask what it would cost. */
static int check_asker(const struct inbound *c, const struct msg_change *q, char error[TEXT_MAX])
{
    const struct ring_change *change = &q->change;
    bool own = c->guest && change->store_id == c->store_id && change->store_id &&
               strcmp(change->name, c->name) == 0 && change->addr.port;
    if (change->kind == RING_JOIN ? own || (q->plan && !c->guest) : !c->guest)
        return KV_OK;
    snprintf(error, TEXT_MAX, "a node joins by itself, and asks for nothing else");
    return KV_E_NOT_PERMITTED;
}

static void plan(struct node *n, const struct inbound *c, const struct message *m,
                 const struct ring_change *change)
{
    char error[TEXT_MAX] = "";
    struct ring_plan found;
    int rc = ring_change_plan(&n->ring->value, change, &found, error);
    struct msg_change_reply *r = reply(n, to_conn(c->id), m->id, rc, rc == KV_OK ? "" : error);
    if (rc != KV_OK)
        return;
    r->moved = found.moved;
    r->least = found.least;
    r->total = found.total;
    r->max_over_mean_milli = (uint32_t)(found.max_over_mean * 1000 + 0.5);
}

/* ---- asking */

/* A guest asks again and again: its last question is the one to be answered. */
static struct ask *find_guest(struct node *n, uint64_t conn)
{
    for (uint32_t i = 0; i < n->asks.count; i++)
        if (n->asks.items[i].from.conn == conn)
            return &n->asks.items[i];
    return NULL;
}

static int keep(struct node *n, const struct inbound *c, const struct message *m,
                const struct ring_change *change)
{
    struct ask *again = c->guest ? find_guest(n, c->id) : NULL;
    if (again) {
        again->id = m->id;
        return KV_OK;
    }
    uint32_t timeout_us = m->change.timeout_us;
    if (n->asks.count == ASKS_MAX)
        return KV_E_OVERLOADED;
    if (timeout_us == 0)
        timeout_us = (uint32_t)TIMEOUT_DEFAULT_US;
    if (timeout_us > TIMEOUT_MAX_US)
        timeout_us = (uint32_t)TIMEOUT_MAX_US;
    n->asks.items[n->asks.count++] = (struct ask){
        .from = to_conn(c->id), .id = m->id, .change = *change, .deadline_us = n->now.mono_us + timeout_us};
    return KV_OK;
}

void ask_message(struct node *n, const struct inbound *c, const struct message *m)
{
    struct ring_change change = {0};
    char error[TEXT_MAX] = "";
    bool known = false;
    if (centre_is_elsewhere(n)) {
        reply(n, to_conn(c->id), m->id, KV_E_NOT_COORDINATOR, centre_text(n));
        return;
    }
    int rc = n->self && !n->stopping ? check_asker(c, &m->change, error) : KV_E_UNAVAILABLE;
    if (rc == KV_OK)
        rc = resolve(n, &m->change.change, &change, error);
    if (rc == KV_OK && m->change.plan) {
        plan(n, c, m, &change);
        return;
    }
    if (rc == KV_OK)
        rc = ring_change_check(&n->ring->value, &change, &known, error);
    if (rc == KV_OK && !known)
        rc = check_life(n, &change, error);
    if (rc == KV_OK && !known)
        rc = check_voters(n, error);
    if (rc == KV_OK && !known)
        rc = keep(n, c, m, &change);
    if (rc != KV_OK || known) {
        reply(n, to_conn(c->id), m->id, rc, error[0] || rc == KV_OK ? error : kv_error_text(rc));
        return;
    }
    outbox_log(n->out, LOG_INFO, "event=change_asked epoch=%llu change=\"%s\"",
               (unsigned long long)adopt_epoch(n), ask_text(n, &change));
    change_look(n);
}

/* ---- waiting */

static void drop(struct node *n, uint32_t index)
{
    struct asks *a = &n->asks;
    memmove(&a->items[index], &a->items[index + 1], (a->count - index - 1) * sizeof a->items[0]);
    a->count--;
}

/* Whether it can be answered by the ring in force. */
static bool settled(const struct node *n, const struct ask *it, int *status, char error[TEXT_MAX])
{
    bool known;
    const struct ring_value *v = &n->ring->value;
    *status = ring_change_check(v, &it->change, &known, error);
    bool goes = it->change.kind == RING_LEAVE || it->change.kind == RING_REMOVE;
    if (goes && !ring_value_find(v, it->change.member)) {
        *status = KV_OK; /* it went while we waited */
        error[0] = '\0';
        return true;
    }
    return *status != KV_OK || known;
}

/* Nobody waits for it any longer. Whether the change may be made all the same. */
static bool give_up(struct node *n, uint32_t index)
{
    if (index > 0 || !n->asks.proposed)
        return false;
    n->asks.proposed = false;
    return paxos_withdraw(n->paxos);
}

void ask_look(struct node *n)
{
    for (uint32_t i = 0; i < n->asks.count;) {
        struct ask it = n->asks.items[i];
        char error[TEXT_MAX] = "";
        int status;
        if (settled(n, &it, &status, error)) {
            reply(n, it.from, it.id, status, error);
        } else if (it.deadline_us <= n->now.mono_us) {
            status = give_up(n, i) ? KV_E_TIMEOUT : KV_E_UNAVAILABLE;
            reply(n, it.from, it.id, status, kv_error_text(status));
        } else {
            i++;
            continue;
        }
        drop(n, i);
    }
}

bool ask_propose(struct node *n)
{
    const struct ring_change *change = &n->asks.items[0].change;
    struct ring_value next;
    n->asks.proposed = false;
    if (n->asks.count == 0 || ring_change_ask(&n->ring->value, change, &next) != KV_OK)
        return false; /* without memory it is tried again */
    n->asks.proposed = change_propose(n, &next, ask_text(n, change)) == KV_OK;
    ring_value_deinit(&next);
    return n->asks.proposed;
}

uint64_t ask_deadline_us(const struct node *n)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < n->asks.count; i++)
        at = n->asks.items[i].deadline_us < at ? n->asks.items[i].deadline_us : at;
    return at;
}
