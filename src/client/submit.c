/* How a request comes to be: checked, bounded, copied, given a slot, and set going. */
#include <stdlib.h>

#include "base/mutant.h"
#include "base/assert.h"
#include "client/state.h"

#define CHANGE_TIMEOUT_US UINT64_C(10000000) /* several rounds of several disks, some of them slow */

static uint64_t timeout_us(const struct client *c, const struct client_order *o)
{
    uint64_t us =
        o->request && o->request->timeout_ms ? o->request->timeout_ms * UINT64_C(1000) : c->timeout_us;
    if (us == 0)
        us = o->op == CLIENT_CHANGE ? CHANGE_TIMEOUT_US
                                    : TIMEOUT_DEFAULT_US + (o->value.len * TIMEOUT_PER_MIB_US >> 20);
    return us < TIMEOUT_MAX_US ? us : TIMEOUT_MAX_US;
}

static bool change_ok(const struct kv_change *change)
{
    if (!change || !change->name || !name_ok(change->name) || change->weight > WEIGHT_MAX)
        return false;
    if (change->kind < KV_CHANGE_JOIN || change->kind > KV_CHANGE_ZONE)
        return false;
    if (change->kind == KV_CHANGE_JOIN && !change->plan)
        return false;
    return !change->zone || !*change->zone || name_ok(change->zone);
}

static bool needs_key(enum client_op op)
{
    return op == CLIENT_GET || op == CLIENT_PUT || op == CLIENT_DEL || op == CLIENT_WHERE;
}

static int check(const struct client *c, const struct client_order *o)
{
    if (c->closed)
        return KV_E_CLOSED;
    if (o->key.len > KEY_MAX_BYTES || o->value.len > VALUE_MAX_CEILING_BYTES ||
        o->after.key_len > KEY_MAX_BYTES)
        return KV_E_TOO_LARGE;
    if (needs_key(o->op) && o->key.len == 0)
        return KV_E_INVALID;
    if ((o->key.len && !o->key.data) || (o->value.len && !o->value.data) ||
        (o->after.key_len && !o->after.key))
        return KV_E_INVALID;
    if (o->op == CLIENT_CHANGE && !change_ok(o->change))
        return KV_E_INVALID;
    const struct kv_request *q = o->request;
    if (q && (q->ttl_ms > CLIENT_TTL_MAX_MS || ((q->flags & KV_STRICT) && (q->flags & KV_SLOPPY))))
        return KV_E_INVALID;
    uint32_t replicas = c->ring_value.epoch ? c->ring_value.replicas : REPLICAS_MAX;
    if (q && (q->r > replicas || q->w > replicas))
        return KV_E_INVALID;
    size_t weight = o->key.len + o->value.len + o->after.key_len;
    if (c->pending >= KV_REQUESTS_MAX || (c->pending && c->pending_bytes + weight > KV_QUEUE_MAX_BYTES))
        return KV_E_OVERLOADED;
    return KV_OK;
}

static void *grown(void *array, uint32_t count, size_t size)
{
    return realloc(array, count * size);
}

/* One more slot, and room in the heap for its timer, so that nothing can fail later. */
static int add_slot(struct client *c)
{
    if (c->slot_count == c->slot_cap) {
        uint32_t cap = c->slot_cap ? c->slot_cap * 2 : 16;
        struct client_request **slots = grown(c->slots, cap, sizeof(struct client_request *));
        c->slots = slots ? slots : c->slots;
        uint64_t *generations = grown(c->generations, cap, sizeof *generations);
        c->generations = generations ? generations : c->generations;
        uint32_t *free_slots = grown(c->free_slots, cap, sizeof *free_slots);
        c->free_slots = free_slots ? free_slots : c->free_slots;
        if (!slots || !generations || !free_slots || heap_reserve(&c->request_timers, cap) != KV_OK)
            return KV_E_NO_MEMORY;
        c->slot_cap = cap;
    }
    uint32_t slot = c->slot_count++;
    c->slots[slot] = NULL;
    c->generations[slot] = 1;
    c->free_slots[c->free_count++] = slot;
    return KV_OK;
}

static struct client_request *take_request(struct client *c)
{
    struct list *link = list_pop_front(&c->spare);
    if (!link)
        return calloc(1, sizeof(struct client_request));
    c->spare_count--;
    struct client_request *r = container_of(link, struct client_request, link);
    memset(r, 0, sizeof *r);
    return r;
}

static void release_content(struct client_request *r)
{
    blob_unref(r->key);
    blob_unref(r->after_key);
    blob_unref(r->value);
    row_release(&r->row);
    arena_deinit(&r->arena);
    r->key = r->after_key = r->value = NULL;
}

void client_request_destroy(struct client_request *r)
{
    release_content(r);
    free(r);
}

void client_done_release(struct client *c, struct client_done *done)
{
    struct client_request *r = container_of(done, struct client_request, done);
    KV_ASSERT(!r->live && !list_linked(&r->link));
    if (c->spare_count >= CLIENT_SPARE_MAX) {
        client_request_destroy(r);
        return;
    }
    release_content(r);
    list_push_back(&c->spare, &r->link);
    c->spare_count++;
}

static int copy_bytes(struct bytes from, struct blob **out)
{
    *out = blob_copy(from);
    return from.len && !*out ? KV_E_NO_MEMORY : KV_OK;
}

/* Names fit: change_ok. */
static int copy_change(struct client_request *r, const struct kv_change *from)
{
    r->change = arena_alloc(&r->arena, sizeof *r->change);
    if (!r->change)
        return KV_E_NO_MEMORY;
    struct ring_change *to = &r->change->change;
    *r->change = (struct msg_change){.plan = from->plan};
    to->kind = from->kind;
    to->weight = from->weight;
    memcpy(to->name, from->name, strlen(from->name) + 1);
    if (from->zone)
        memcpy(to->zone, from->zone, strlen(from->zone) + 1);
    return KV_OK;
}

/* Values are packed here, once: it saves their bytes on the network and the nodes' time. */
static int copy_content(struct client_request *r, const struct client_order *o)
{
    int rc = copy_bytes(o->key, &r->key);
    if (rc == KV_OK)
        rc = copy_bytes(bytes_of(o->after.key, o->after.key_len), &r->after_key);
    if (rc == KV_OK && o->op == CLIENT_PUT)
        rc = wire_pack_value(o->value, &r->row);
    if (rc == KV_OK && o->op == CLIENT_CHANGE)
        rc = copy_change(r, o->change);
    if (client_is_write(r))
        r->row.kind = ROW_REGISTER;
    if (o->op == CLIENT_DEL)
        r->row.flags = ROW_TOMBSTONE;
    if (rc == KV_OK && (r->flags & KV_EXPLAIN) && client_has_home(r)) {
        r->trace = arena_alloc(&r->arena, CLIENT_TRACE_MAX * sizeof *r->trace);
        rc = r->trace ? KV_OK : KV_E_NO_MEMORY;
    }
    return rc;
}

/* "HOST:PORT" is a peer at once; a name when some node told it; else it stays open. */
static int set_via(struct client *c, struct client_request *r, const char *via)
{
    struct addr addr;
    r->via = true;
    if (strchr(via, ':')) {
        int rc = addr_parse(via, &addr);
        rc = rc ? rc : client_peer_add(c, &addr, &r->via_peer);
        if (rc == KV_OK)
            r->via_peer->seed = true;
        return rc;
    }
    if (!name_ok(via))
        return KV_E_INVALID;
    memcpy(r->via_name, via, strlen(via) + 1); /* name_ok bounds it */
    r->via_peer = client_peer_named(c, via);
    return KV_OK;
}

static int fill(struct client *c, uint64_t now_us, const struct client_order *o, struct client_request *r)
{
    const struct kv_request none = {0};
    const struct kv_request *q = o->request ? o->request : &none;
    arena_init(&r->arena, CLIENT_ARENA_MAX_BYTES);
    r->done.op = o->op;
    r->done.callback = o->callback;
    r->done.arg = o->arg;
    r->flags = q->flags;
    if (c->strict && !(q->flags & KV_SLOPPY))
        r->flags |= KV_STRICT;
    r->r = q->r ? q->r : c->r;
    r->w = q->w ? q->w : c->w;
    r->ttl_ms = q->ttl_ms;
    r->after_token = o->after.token;
    r->limit = o->limit;
    r->fault = o->fault;
    r->began_us = now_us;
    r->deadline_us = now_us + timeout_us(c, o);
    r->hedge_us = r->retry_us = UINT64_MAX;
    r->round =
        client_is_write(r) && MUTANT(no_stamp_round, r->flags & KV_STRICT, false) ? ROUND_STAMP : ROUND_FINAL;
    const char *via = q->via ? q->via : c->via ? c->via_text : NULL;
    int rc = via ? set_via(c, r, via) : KV_OK;
    return rc ? rc : copy_content(r, o);
}

/* What needs nothing but the ring is answered from it when it is there. */
static bool answer_from_ring(struct client *c, uint64_t now_us, struct client_request *r)
{
    enum client_op op = r->done.op;
    if (op != CLIENT_RING && op != CLIENT_WHERE)
        return false;
    if (c->ring_value.epoch == 0 || c->ring_stale) {
        r->round = ROUND_RING;
        return false;
    }
    client_request_finish(c, now_us, r,
                          op == CLIENT_RING ? client_result_ring(c, r) : client_result_where(c, r));
    return true;
}

int client_submit(struct client *c, uint64_t now_us, const struct client_order *o)
{
    int rc = check(c, o);
    if (rc == KV_OK && c->free_count == 0)
        rc = add_slot(c);
    if (rc)
        return rc;
    struct client_request *r = take_request(c);
    if (!r)
        return KV_E_NO_MEMORY;
    rc = fill(c, now_us, o, r);
    if (rc) {
        client_request_destroy(r);
        return rc;
    }
    r->weight_bytes = o->key.len + o->value.len + o->after.key_len;
    r->slot = c->free_slots[--c->free_count];
    r->live = true;
    c->slots[r->slot] = r;
    c->pending++;
    c->pending_bytes += r->weight_bytes;
    c->last_submit_us = now_us;
    if (c->ring_stale)
        client_ring_want(c, now_us, NULL);
    if (answer_from_ring(c, now_us, r))
        return KV_OK;
    if (r->via && !r->via_peer)
        r->round = ROUND_RING;
    client_request_go(c, now_us, r);
    return KV_OK;
}
