/* The handle: its options, the queue of effects, and where events are handed to. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client/state.h"

/* ---- opening ---- */

static int add_seed(struct client *c, const char *text, size_t len)
{
    char copy[ADDR_TEXT_MAX];
    struct addr addr;
    struct peer *p;
    while (len && text[0] == ' ')
        text++, len--;
    while (len && text[len - 1] == ' ')
        len--;
    if (len == 0 || len >= sizeof copy)
        return KV_E_INVALID;
    memcpy(copy, text, len);
    copy[len] = '\0';
    int rc = addr_parse(copy, &addr);
    if (rc == KV_OK)
        rc = client_peer_add(c, &addr, &p);
    if (rc == KV_OK)
        p->seed = true;
    return rc;
}

static int add_seeds(struct client *c, const char *list)
{
    int rc = KV_OK;
    for (const char *at = list; rc == KV_OK && at;) {
        const char *comma = strchr(at, ',');
        rc = add_seed(c, at, comma ? (size_t)(comma - at) : strlen(at));
        at = comma ? comma + 1 : NULL;
    }
    return rc;
}

static int set_cluster(struct client *c, const char *name)
{
    if (!name)
        return KV_OK;
    if (!name_ok(name))
        return KV_E_INVALID;
    (void)snprintf(c->cluster, sizeof c->cluster, "%s", name);
    return KV_OK;
}

/* An address of `via` is a seed too: there may be no other. */
static int set_via(struct client *c, const char *via)
{
    if (!via)
        return KV_OK;
    if (strlen(via) >= sizeof c->via_text)
        return KV_E_INVALID;
    (void)snprintf(c->via_text, sizeof c->via_text, "%s", via);
    c->via = true;
    if (!strchr(via, ':'))
        return name_ok(via) ? KV_OK : KV_E_INVALID;
    return add_seed(c, via, strlen(via));
}

static int set_options(struct client *c, const struct kv_options *o)
{
    if (o->r > REPLICAS_MAX || o->w > REPLICAS_MAX)
        return KV_E_INVALID;
    c->r = o->r;
    c->w = o->w;
    c->strict = o->strict;
    c->timeout_us = o->timeout_ms * UINT64_C(1000);
    c->connect_us = o->connect_timeout_ms ? o->connect_timeout_ms * UINT64_C(1000) : CLIENT_CONNECT_US;
    int rc = set_cluster(c, o->cluster);
    if (rc == KV_OK)
        rc = set_via(c, o->via);
    if (rc == KV_OK)
        rc = add_seeds(c, o->nodes ? o->nodes : KV_NODES_DEFAULT);
    return rc;
}

int client_create(const struct kv_options *options, uint64_t seed, struct client **out)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return KV_E_NO_MEMORY;
    prng_init(&c->prng, seed);
    c->origin = prng_u64(&c->prng) | 1; /* never 0: that is nobody */
    c->hedge_tokens = CLIENT_HEDGE_BURST * CLIENT_HEDGE_EARN;
    map_init(&c->members);
    heap_init(&c->peer_timers);
    heap_init(&c->request_timers);
    list_init(&c->stranded);
    list_init(&c->done);
    list_init(&c->spare);
    int rc = set_options(c, options);
    if (rc) {
        client_destroy(c);
        return rc;
    }
    c->rotor = (uint32_t)prng_below(&c->prng, c->peer_count);
    *out = c;
    return KV_OK;
}

static void destroy_requests(struct list *head)
{
    struct list *link;
    while ((link = list_pop_front(head)))
        client_request_destroy(container_of(link, struct client_request, link));
}

void client_destroy(struct client *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->slot_count; i++)
        if (c->slots[i]) {
            list_remove(&c->slots[i]->link);
            client_request_destroy(c->slots[i]);
        }
    destroy_requests(&c->done);
    destroy_requests(&c->spare);
    for (uint32_t i = 0; i < c->peer_count; i++)
        client_peer_destroy(c->peers[i]);
    ring_destroy(c->ring);
    ring_value_deinit(&c->ring_value);
    map_deinit(&c->members);
    heap_deinit(&c->peer_timers);
    heap_deinit(&c->request_timers);
    free(c->peers);
    free(c->slots);
    free(c->generations);
    free(c->free_slots);
    free(c->effects);
    free(c);
}

void client_shutdown(struct client *c, uint64_t now_us)
{
    c->closed = true;
    for (uint32_t i = 0; i < c->slot_count; i++)
        if (c->slots[i])
            client_request_fail(c, now_us, c->slots[i]);
    for (uint32_t i = 0; i < c->peer_count; i++) {
        struct peer *p = c->peers[i];
        if (p->state == PEER_DIALLING || p->state == PEER_GREETED || p->state == PEER_READY)
            client_peer_drop(c, now_us, p, "closed");
        heap_remove(&c->peer_timers, &p->timer);
    }
}

/* ---- effects ---- */

static int grow_effects(struct client *c)
{
    if (c->effect_first == c->effect_count)
        c->effect_first = c->effect_count = 0;
    if (c->effect_count < c->effect_cap)
        return KV_OK;
    size_t cap = c->effect_cap ? c->effect_cap * 2 : 32;
    struct client_effect *effects = realloc(c->effects, cap * sizeof *effects);
    if (!effects)
        return KV_E_NO_MEMORY;
    c->effects = effects;
    c->effect_cap = cap;
    return KV_OK;
}

struct client_effect *client_effect_add(struct client *c, enum client_effect_type type, uint32_t peer)
{
    struct client_effect *e = &c->scrap;
    if (grow_effects(c) == KV_OK)
        e = &c->effects[c->effect_count++];
    e->type = type;
    e->peer = peer;
    return e;
}

bool client_next_effect(struct client *c, struct client_effect *out)
{
    if (c->effect_first == c->effect_count)
        return false;
    *out = c->effects[c->effect_first++];
    return true;
}

struct message *client_send(struct client *c, const struct peer *p, enum message_type type, uint64_t id)
{
    struct message *m = &client_effect_add(c, CLIENT_SEND, p->slot)->message;
    *m = (struct message){
        .type = type,
        .id = id,
        .cluster = c->cluster_hash,
        .ring_epoch = c->ring_value.epoch,
        .hlc = c->clock.hlc,
    };
    return m;
}

void client_log(struct client *c, const char *format, ...)
{
    struct client_effect *e = client_effect_add(c, CLIENT_LOG, 0);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->log, sizeof e->log, format, args);
    va_end(args);
}

/* ---- events ---- */

/* Frames of another cluster: somebody else got our node's address. */
static bool foreign(const struct client *c, const struct message *m)
{
    return c->cluster_known && m->cluster != c->cluster_hash;
}

void client_message(struct client *c, uint64_t now_us, uint32_t peer, const struct message *m)
{
    KV_ASSERT(peer < c->peer_count);
    struct peer *p = c->peers[peer];
    if (p->state != PEER_GREETED && p->state != PEER_READY)
        return;
    client_peer_heard(c, now_us, p);
    if (m->type == MSG_REFUSED && (m->id == 0 || p->state != PEER_READY)) {
        client_peer_refused(c, now_us, p, &m->refused);
        return;
    }
    if (m->type == MSG_WELCOME) {
        client_peer_welcome(c, now_us, p, m);
        return;
    }
    if (p->state != PEER_READY || foreign(c, m)) {
        client_peer_drop(c, now_us, p, "speaks out of turn, or for another cluster");
        return;
    }
    client_clock_receive(&c->clock, m->hlc);
    switch (m->type) {
    case MSG_REFUSED:
    case MSG_RING:
    case MSG_RESPONSE:
    case MSG_SCAN_PAGE:
    case MSG_STATUS:
    case MSG_STATS:
    case MSG_FAULT_REPLY:
    case MSG_CHANGE_REPLY:
    case MSG_REPAIR_REPLY: client_answer(c, now_us, p, m); break;
    default: client_peer_drop(c, now_us, p, "says what no client is told"); return;
    }
    client_ring_heard(c, now_us, p, m->ring_epoch);
}

void client_tick(struct client *c, uint64_t now_us)
{
    while (heap_deadline(&c->peer_timers) <= now_us)
        client_peer_tick(c, now_us, container_of(heap_first(&c->peer_timers), struct peer, timer));
    while (heap_deadline(&c->request_timers) <= now_us)
        client_request_tick(c, now_us,
                            container_of(heap_first(&c->request_timers), struct client_request, timer));
}

uint64_t client_deadline_us(const struct client *c)
{
    uint64_t peers = heap_deadline(&c->peer_timers), requests = heap_deadline(&c->request_timers);
    return peers < requests ? peers : requests;
}

/* ---- what the shell asks ---- */

struct client_done *client_next_done(struct client *c)
{
    struct list *link = list_pop_front(&c->done);
    return link ? &container_of(link, struct client_request, link)->done : NULL;
}

uint32_t client_pending(const struct client *c)
{
    return c->pending;
}

uint64_t client_origin(const struct client *c)
{
    return c->origin;
}

uint32_t client_frame_max_bytes(const struct client *c, uint32_t peer)
{
    KV_ASSERT(peer < c->peer_count);
    const struct peer *p = c->peers[peer];
    return p->state == PEER_READY ? p->value_max_bytes + FRAME_EXTRA_MAX_BYTES : STRANGER_MAX_BYTES;
}

const char *client_peer_label(const struct client *c, uint32_t peer)
{
    KV_ASSERT(peer < c->peer_count);
    return client_peer_name(c->peers[peer]);
}

/* ---- invariants ---- */

static void check_request(const struct client *c, const struct client_request *r)
{
    KV_ASSERT(r->live && heap_contains(&r->timer) && r->timer.at <= r->deadline_us);
    KV_ASSERT(stamp_is_zero(r->row.stamp) || r->row.stamp.origin == c->origin);
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++) {
        const struct try *t = &r->tries[i];
        KV_ASSERT((t->state != TRY_NONE) == list_linked(&t->link));
        KV_ASSERT(t->state == TRY_NONE || (t->request == r && t->number >= 1 && t->number <= r->sends));
        KV_ASSERT(t->state != TRY_SENT || t->peer->state == PEER_READY);
    }
}

void client_check(const struct client *c)
{
    uint32_t pending = 0, ready = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        const struct client_request *r = c->slots[i];
        if (!r)
            continue;
        KV_ASSERT(r->slot == i);
        check_request(c, r);
        pending++;
        bytes += r->weight_bytes;
    }
    KV_ASSERT(pending == c->pending && pending <= KV_REQUESTS_MAX && bytes == c->pending_bytes);
    KV_ASSERT(c->free_count + pending == c->slot_count);
    for (uint32_t i = 0; i < c->peer_count; i++) {
        const struct peer *p = c->peers[i];
        ready += p->state == PEER_READY;
        KV_ASSERT(p->slot == i && p->in_flight <= CONN_REQUESTS_MAX);
        KV_ASSERT(p->state == PEER_READY || list_empty(&p->sent));
        KV_ASSERT(heap_contains(&p->timer) || p->state == PEER_IDLE ||
                  (p->state == PEER_READY && !p->silent) || c->closed);
    }
    KV_ASSERT(ready == c->ready_count);
}
