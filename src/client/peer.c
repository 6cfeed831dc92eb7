/* One node as the client sees it: an address to dial, a connection, and two queues of tries.
 *
 *     IDLE ---want---> DIALLING --connected--> GREETED --WELCOME--> READY
 *       ^                 |  ^                    |                   |
 *       |              failed | back-off is over  | failed            | lost
 *       +---nobody asks--- WAITING <--------------+-------------------+
 *
 * A peer that failed is dialled again in the background, so that no request pays for finding out that it is
 * still away. A peer that is connected and silent is avoided until it says anything at all; one question
 * (RING_GET) is left with it to have something to answer. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client/state.h"

static void set_state(struct client *c, struct peer *p, enum peer_state state)
{
    if (p->state == PEER_READY)
        c->ready_count--;
    if (state == PEER_READY)
        c->ready_count++;
    p->state = state;
}

/* Room was reserved when the peer was added, so this cannot fail. */
static void set_timer(struct client *c, struct peer *p, uint64_t at_us)
{
    int rc = heap_set(&c->peer_timers, &p->timer, at_us);
    KV_ASSERT(rc == KV_OK);
}

const char *client_peer_name(const struct peer *p)
{
    return p->name[0] ? p->name : p->addr_text;
}

static struct peer *find_addr(const struct client *c, const struct addr *addr)
{
    for (uint32_t i = 0; i < c->peer_count; i++)
        if (addr_eq(&c->peers[i]->addr, addr))
            return c->peers[i];
    return NULL;
}

struct peer *client_peer_named(const struct client *c, const char *name)
{
    struct peer *found = NULL;
    for (uint32_t i = 0; i < c->peer_count; i++) {
        struct peer *p = c->peers[i];
        if (strcmp(p->name, name) == 0 && (!found || p->state == PEER_READY))
            found = p;
    }
    return found;
}

static int reserve(struct client *c)
{
    if (c->peer_count < c->peer_cap)
        return KV_OK;
    uint32_t cap = c->peer_cap ? c->peer_cap * 2 : 8;
    struct peer **peers = realloc(c->peers, cap * sizeof(struct peer *));
    if (!peers)
        return KV_E_NO_MEMORY;
    c->peers = peers;
    int rc = heap_reserve(&c->peer_timers, cap);
    if (rc == KV_OK)
        c->peer_cap = cap;
    return rc;
}

int client_peer_add(struct client *c, const struct addr *addr, struct peer **out)
{
    *out = find_addr(c, addr);
    if (*out)
        return KV_OK;
    if (c->peer_count >= CLIENT_PEERS_MAX)
        return KV_E_OVERLOADED;
    int rc = reserve(c);
    if (rc)
        return rc;
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return KV_E_NO_MEMORY;
    p->slot = c->peer_count;
    p->addr = *addr;
    addr_format(addr, p->addr_text);
    list_init(&p->queued);
    list_init(&p->sent);
    c->peers[c->peer_count++] = p;
    *out = p;
    return KV_OK;
}

void client_peer_destroy(struct peer *p)
{
    free(p);
}

static void dial(struct client *c, uint64_t now_us, struct peer *p)
{
    set_state(c, p, PEER_DIALLING);
    p->dialled_us = now_us;
    set_timer(c, p, now_us + c->connect_us);
    client_effect_add(c, CLIENT_DIAL, p->slot)->addr = p->addr;
}

void client_peer_want(struct client *c, uint64_t now_us, struct peer *p)
{
    if (p->state == PEER_IDLE || p->state == PEER_WAITING)
        dial(c, now_us, p);
}

void client_connected(struct client *c, uint64_t now_us, uint32_t peer)
{
    KV_ASSERT(peer < c->peer_count);
    struct peer *p = c->peers[peer];
    if (p->state != PEER_DIALLING)
        return;
    set_state(c, p, PEER_GREETED);
    p->heard_us = now_us;
    struct message *m = client_send(c, p, MSG_HELLO, 0);
    m->hello.role = ROLE_CLIENT;
    m->hello.cluster = c->cluster;
    m->hello.name = "";
}

static uint64_t backoff_us(struct client *c, const struct peer *p)
{
    uint64_t us = CLIENT_REDIAL_MIN_US << (p->failures < 8 ? p->failures - 1 : 7);
    if (us > CLIENT_REDIAL_MAX_US)
        us = CLIENT_REDIAL_MAX_US;
    return us / 2 + prng_below(&c->prng, us / 2 + 1);
}

/* The tries go elsewhere. They are taken off first: what becomes of them may queue new ones here. */
static void give_back_tries(struct client *c, uint64_t now_us, struct peer *p)
{
    struct list lost;
    struct list *link;
    list_init(&lost);
    while ((link = list_pop_front(&p->sent)))
        list_push_back(&lost, link);
    while ((link = list_pop_front(&p->queued)))
        list_push_back(&lost, link);
    while ((link = list_pop_front(&lost)))
        client_try_lost(c, now_us, container_of(link, struct try, link));
}

static void fail(struct client *c, uint64_t now_us, struct peer *p, const char *reason)
{
    if (!c->closed && (p->state == PEER_READY || p->failures == 0))
        client_log(c, "node=%s event=lost reason=\"%s\"", client_peer_name(p), reason ? reason : "");
    set_state(c, p, PEER_WAITING);
    p->failures++;
    p->silent = false;
    p->ping_out = false;
    p->in_flight = 0;
    (void)snprintf(p->reason, sizeof p->reason, "%s", reason ? reason : "connection lost");
    set_timer(c, p, now_us + backoff_us(c, p));
    give_back_tries(c, now_us, p);
}

void client_peer_drop(struct client *c, uint64_t now_us, struct peer *p, const char *reason)
{
    client_effect_add(c, CLIENT_CLOSE, p->slot);
    fail(c, now_us, p, reason);
}

void client_lost(struct client *c, uint64_t now_us, uint32_t peer, const char *reason)
{
    KV_ASSERT(peer < c->peer_count);
    struct peer *p = c->peers[peer];
    if (p->state != PEER_IDLE && p->state != PEER_WAITING)
        fail(c, now_us, p, reason);
}

void client_peer_renew(struct client *c, uint64_t now_us, struct peer *p)
{
    if (p->state != PEER_READY || (p->renewed_us && now_us - p->renewed_us < CLIENT_REDIAL_MAX_US))
        return;
    p->renewed_us = now_us;
    client_peer_drop(c, now_us, p, "it refuses our stamps: its clock may have moved");
    dial(c, now_us, p);
}

void client_peer_silent(struct client *c, uint64_t now_us, struct peer *p)
{
    if (p->state != PEER_READY || p->silent)
        return;
    p->silent = true;
    p->silent_since_us = now_us;
    set_timer(c, p, now_us + CLIENT_SILENT_MAX_US);
    client_log(c, "node=%s event=silent", client_peer_name(p));
    if (!p->ping_out) {
        p->ping_out = true;
        client_send(c, p, MSG_RING_GET, CLIENT_PING_ID);
    }
}

void client_peer_heard(struct client *c, uint64_t now_us, struct peer *p)
{
    p->heard_us = now_us;
    if (!p->silent)
        return;
    p->silent = false;
    heap_remove(&c->peer_timers, &p->timer);
    client_log(c, "node=%s event=heard_again after_us=%llu", client_peer_name(p),
               (unsigned long long)(now_us - p->silent_since_us));
}

void client_heard(struct client *c, uint64_t now_us, uint32_t peer)
{
    KV_ASSERT(peer < c->peer_count);
    client_peer_heard(c, now_us, c->peers[peer]);
}

/* RFC 6298, section 2: alpha 1/8, beta 1/4. */
void client_peer_measure(struct peer *p, uint64_t took_us)
{
    int64_t took = (int64_t)(took_us < CLIENT_SILENT_MAX_US ? took_us : CLIENT_SILENT_MAX_US);
    if (p->mean_us == 0) {
        p->mean_us = (uint32_t)(took ? took : 1);
        p->deviation_us = p->mean_us / 2;
        return;
    }
    int64_t error = took - (int64_t)p->mean_us;
    int64_t distance = error < 0 ? -error : error;
    p->deviation_us = (uint32_t)((int64_t)p->deviation_us + (distance - (int64_t)p->deviation_us) / 4);
    int64_t mean = (int64_t)p->mean_us + error / 8;
    p->mean_us = (uint32_t)(mean > 0 ? mean : 1);
}

uint64_t client_peer_hedge_us(const struct peer *p, size_t bytes)
{
    uint64_t us = p->mean_us ? p->mean_us + 4 * (uint64_t)p->deviation_us : CLIENT_HEDGE_FIRST_US;
    if (us < CLIENT_HEDGE_MIN_US)
        us = CLIENT_HEDGE_MIN_US;
    if (us > CLIENT_HEDGE_MAX_US)
        us = CLIENT_HEDGE_MAX_US;
    return us + (bytes * CLIENT_HEDGE_PER_MIB_US >> 20);
}

void client_peer_flush(struct client *c, uint64_t now_us, struct peer *p)
{
    /* A few places are left for RING_GETs, which the node counts too. */
    while (p->state == PEER_READY && p->in_flight < CONN_REQUESTS_MAX - 16 && !list_empty(&p->queued))
        client_try_send(c, now_us, container_of(p->queued.next, struct try, link));
}

/* A peer that failed is worth dialling again while requests come and somebody may want it. */
static bool worth_dialling(const struct client *c, uint64_t now_us, const struct peer *p)
{
    bool busy = c->pending > 0 || now_us - c->last_submit_us < CLIENT_IDLE_US;
    return busy && (p->in_ring || p->seed);
}

void client_peer_tick(struct client *c, uint64_t now_us, struct peer *p)
{
    heap_remove(&c->peer_timers, &p->timer);
    switch (p->state) {
    case PEER_IDLE: break;
    case PEER_DIALLING: client_peer_drop(c, now_us, p, "no connection in time"); break;
    case PEER_GREETED: client_peer_drop(c, now_us, p, "connected, but says nothing"); break;
    case PEER_READY: client_peer_drop(c, now_us, p, "owes an answer for too long"); break;
    case PEER_WAITING:
        if (worth_dialling(c, now_us, p))
            dial(c, now_us, p);
        else
            set_state(c, p, PEER_IDLE);
        break;
    }
}

/* KV_OK, or why this is not the cluster we want; the first node's word counts when nothing was said. */
static int check_cluster(struct client *c, const struct message *m)
{
    const char *name = m->welcome.cluster;
    if (!name_ok(name))
        return KV_E_MALFORMED;
    if (c->cluster[0] && strcmp(c->cluster, name) != 0)
        return KV_E_WRONG_CLUSTER;
    if (c->cluster_known && c->cluster_hash != m->cluster)
        return KV_E_WRONG_CLUSTER;
    (void)snprintf(c->cluster, sizeof c->cluster, "%s", name);
    c->cluster_hash = m->cluster;
    c->cluster_known = true;
    return KV_OK;
}

/* Another slot may stand for the same member (a seed under another spelling): the connected one counts. */
static void identify(struct client *c, struct peer *p, const struct msg_welcome *w)
{
    (void)snprintf(p->name, sizeof p->name, "%s", w->name);
    p->member = w->member_id;
    if (p->member == 0)
        return;
    const struct member *m = ring_value_find(&c->ring_value, p->member);
    p->in_ring = m && !m->dead;
    if (!m || !m->dead)
        (void)map_set(&c->members, p->member,
                      p); /* without it, it is asked as a stranger: slower, not wrong */
}

/* Any node tells which one is the hub, and where. Without memory it is told again. */
static void learn_hub(struct client *c, const struct msg_welcome *w)
{
    struct peer *hub = NULL;
    if (w->hub && w->hub == w->member_id)
        hub = client_peer_named(c, w->name);
    else if (w->hub && w->hub_addr.port && client_peer_add(c, &w->hub_addr, &hub) != KV_OK)
        return;
    c->topology = (enum topology)w->topology;
    c->hub = hub;
    if (hub && !hub->name[0] && w->hub_name)
        (void)snprintf(hub->name, sizeof hub->name, "%s", w->hub_name);
}

void client_peer_welcome(struct client *c, uint64_t now_us, struct peer *p, const struct message *m)
{
    const struct msg_welcome *w = &m->welcome;
    if (p->state != PEER_GREETED) {
        client_peer_drop(c, now_us, p, "WELCOME out of place");
        return;
    }
    int rc = check_cluster(c, m);
    if (rc) {
        p->refusal = rc;
        client_peer_drop(c, now_us, p,
                         rc == KV_E_WRONG_CLUSTER ? "belongs to another cluster" : "no valid WELCOME");
        return;
    }
    identify(c, p, w);
    learn_hub(c, w);
    p->value_max_bytes =
        w->value_max_bytes < VALUE_MAX_CEILING_BYTES ? w->value_max_bytes : VALUE_MAX_CEILING_BYTES;
    p->failures = 0;
    p->refusal = KV_OK;
    p->ever_ready = c->ever_ready = true;
    set_state(c, p, PEER_READY);
    heap_remove(&c->peer_timers, &p->timer);
    client_clock_set(&c->clock, p->slot, w->wall_ms, now_us);
    client_clock_receive(&c->clock, m->hlc);
    /* Before any request: then an answer that names members finds their names here. */
    client_ring_heard(c, now_us, p, m->ring_epoch);
    client_peer_flush(c, now_us, p);
    client_requests_wake(c, now_us);
}

void client_peer_refused(struct client *c, uint64_t now_us, struct peer *p, const struct msg_refused *m)
{
    char reason[sizeof p->reason];
    p->refusal = m->status < 0 ? m->status : KV_E_UNAVAILABLE;
    (void)snprintf(reason, sizeof reason, "%s: %s", kv_error_word(p->refusal), m->text ? m->text : "");
    client_peer_drop(c, now_us, p, reason);
}
