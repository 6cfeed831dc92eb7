/* See client_support.h. */
#include "client_support.h"

#include <stdio.h>
#include <stdlib.h>

#define LINK_US 100u /* one way */

enum event_kind { CONNECTED, REFUSED_CONNECTION, BROKEN, TO_NODE, TO_CLIENT };

struct fake_event {
    struct heap_node timer;
    struct list link;
    enum event_kind kind;
    uint32_t node;
    uint64_t conn;
    struct message message;
    uint8_t key[KEY_MAX_BYTES];
};

static const char *name_of(uint32_t node)
{
    static const char *const names[] = {"", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"};
    return names[node];
}

static void make_ring(struct world *w)
{
    struct buf encoded = {0};
    w->ring = (struct ring_value){.epoch = FAKE_EPOCH,
                                  .partitions = 256,
                                  .replicas = w->count < 3 ? w->count : 3,
                                  .next_id = w->count + 1,
                                  .member_count = w->count,
                                  .members = calloc(w->count, sizeof(struct member))};
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->ring.members[i];
        m->id = i + 1;
        m->store_id = 1000 + i;
        m->weight = 1;
        snprintf(m->name, sizeof m->name, "%s", name_of(i + 1));
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7601 + i);
    }
    assert_int_equal(ring_value_encode(&w->ring, &encoded), KV_OK);
    w->ring_blob = blob_copy(buf_bytes(&encoded));
    buf_deinit(&encoded);
}

void world_ring(struct world *w)
{
    struct buf encoded = {0};
    w->ring.epoch++;
    assert_int_equal(ring_value_encode(&w->ring, &encoded), KV_OK);
    blob_unref(w->ring_blob);
    w->ring_blob = blob_copy(buf_bytes(&encoded));
    buf_deinit(&encoded);
}

void world_init(struct world *w, uint32_t count, uint32_t seeds, const struct kv_options *options)
{
    memset(w, 0, sizeof *w);
    w->now_us = 5 * SECOND;
    w->count = count;
    heap_init(&w->events);
    make_ring(w);
    for (uint32_t i = 1; i <= count; i++) {
        w->nodes[i].cluster = "test";
        w->nodes[i].value_max_bytes = VALUE_MAX_BYTES;
        list_init(&w->nodes[i].held);
    }
    char list[NODES_MAX * 20] = "";
    for (uint32_t i = 1; i <= (seeds ? seeds : count); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s127.0.0.1:%u", i > 1 ? "," : "",
                 7600 + i);
    struct kv_options o = options ? *options : (struct kv_options){0};
    if (!o.nodes)
        o.nodes = list;
    assert_int_equal(client_create(&o, 42, &w->client), KV_OK);
}

static struct fake_event *new_event(struct world *w, enum event_kind kind, uint32_t node, uint64_t in_us)
{
    struct fake_event *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->kind = kind;
    e->node = node;
    e->conn = w->nodes[node].conn;
    assert_int_equal(heap_set(&w->events, &e->timer, w->now_us + in_us), KV_OK);
    return e;
}

static void free_event(struct fake_event *e)
{
    if (e->kind == TO_NODE || e->kind == TO_CLIENT)
        message_release(&e->message);
    free(e);
}

static void drop_held(struct fake_node *n)
{
    struct list *link;
    while ((link = list_pop_front(&n->held)))
        free_event(container_of(link, struct fake_event, link));
}

void world_deinit(struct world *w)
{
    client_destroy(w->client);
    while (heap_first(&w->events)) {
        struct fake_event *e = container_of(heap_first(&w->events), struct fake_event, timer);
        heap_remove(&w->events, &e->timer);
        free_event(e);
    }
    heap_deinit(&w->events);
    for (uint32_t i = 1; i <= w->count; i++)
        drop_held(&w->nodes[i]);
    for (uint32_t i = 0; i < w->rows; i++) {
        row_release(&w->row[i]);
        free((void *)w->keys[i].data);
    }
    ring_value_deinit(&w->ring);
    blob_unref(w->ring_blob);
}

/* ---- the nodes ---- */

#include "client_nodes.h"

/* ---- the client's side ---- */

static uint32_t node_at(const struct world *w, const struct addr *a)
{
    uint32_t node = (uint32_t)(a->port - 7600);
    assert_true(node >= 1 && node <= w->count);
    return node;
}

static void dial(struct world *w, uint32_t slot, const struct addr *addr)
{
    uint32_t node = node_at(w, addr);
    struct fake_node *n = &w->nodes[node];
    n->slot = slot;
    n->conn = ++w->next_conn;
    n->connections++;
    if (n->mode != NODE_HOLE)
        new_event(w, n->mode == NODE_AWAY ? REFUSED_CONNECTION : CONNECTED, node, LINK_US);
}

static uint32_t node_of(const struct world *w, uint32_t slot)
{
    for (uint32_t i = 1; i <= w->count; i++)
        if (w->nodes[i].conn && w->nodes[i].slot == slot)
            return i;
    return 0;
}

static void carry(struct world *w, uint32_t slot, const struct message *m)
{
    uint32_t node = node_of(w, slot);
    assert_int_not_equal(node, 0);
    struct fake_event *e = new_event(w, TO_NODE, node, LINK_US);
    e->message = *m;
    if (m->type == MSG_REQUEST) {
        memcpy(e->key, m->request.key.data, m->request.key.len);
        e->message.request.key.data = e->key;
        e->message.request.row = row_ref(&m->request.row);
    }
}

static void tell(struct world *w)
{
    struct client_done *d;
    while ((d = client_next_done(w->client))) {
        if (d->op <= CLIENT_DEL) {
            w->done_count++;
            w->statuses[-d->result.status]++;
            if (d->result.us > w->slowest_us)
                w->slowest_us = d->result.us;
        }
        switch (d->op) {
        case CLIENT_GET:
        case CLIENT_PUT:
        case CLIENT_DEL: d->callback.result ? d->callback.result(&d->result, d->arg) : (void)0; break;
        case CLIENT_SCAN: d->callback.scan(&d->scan, d->arg); break;
        case CLIENT_STATUS: d->callback.status(&d->status, d->arg); break;
        case CLIENT_STATS: d->callback.stats(&d->stats, d->arg); break;
        case CLIENT_RING: d->callback.ring(&d->ring, d->arg); break;
        case CLIENT_WHERE: d->callback.where(&d->where, d->arg); break;
        case CLIENT_FAULT: d->callback.fault(&d->faults, d->arg); break;
        case CLIENT_CHANGE: d->callback.change(&d->changed, d->arg); break;
        case CLIENT_REPAIR: d->callback.repair(&d->repair, d->arg); break;
        }
        client_done_release(w->client, d);
    }
}

static void pump(struct world *w)
{
    struct client_effect e;
    while (client_next_effect(w->client, &e)) {
        switch (e.type) {
        case CLIENT_DIAL: dial(w, e.peer, &e.addr); break;
        case CLIENT_CLOSE:
            if (node_of(w, e.peer))
                w->nodes[node_of(w, e.peer)].conn = 0;
            break;
        case CLIENT_SEND: carry(w, e.peer, &e.message); break;
        case CLIENT_LOG:
            snprintf(w->log + strlen(w->log), sizeof w->log - strlen(w->log), "%s\n", e.log);
            break;
        }
    }
    /* The check looks at every request: with tens of thousands of them, once in a while is enough. */
    if (client_pending(w->client) < 1000 || ++w->unchecked % 1000 == 0)
        client_check(w->client);
    tell(w);
}

static void handle(struct world *w, struct fake_event *e)
{
    struct fake_node *n = &w->nodes[e->node];
    if (e->conn != n->conn || n->conn == 0) {
        free_event(e);
        return;
    }
    if (n->mode == NODE_STOPPED && e->kind == TO_NODE) {
        list_push_back(&n->held, &e->link);
        return;
    }
    switch (e->kind) {
    case CONNECTED: client_connected(w->client, w->now_us, n->slot); break;
    case REFUSED_CONNECTION:
    case BROKEN:
        n->conn = 0;
        client_lost(w->client, w->now_us, n->slot, "connection refused");
        break;
    case TO_NODE: node_message(w, e); break;
    case TO_CLIENT: client_message(w->client, w->now_us, n->slot, &e->message); break;
    }
    free_event(e);
}

static void step(struct world *w, uint64_t until_us)
{
    uint64_t next = heap_deadline(&w->events), tick = client_deadline_us(w->client);
    uint64_t at = next < tick ? next : tick;
    if (at > until_us) {
        w->now_us = until_us;
        return;
    }
    if (at > w->now_us)
        w->now_us = at;
    if (next <= w->now_us) {
        struct fake_event *e = container_of(heap_first(&w->events), struct fake_event, timer);
        heap_remove(&w->events, &e->timer);
        handle(w, e);
    } else {
        client_tick(w->client, w->now_us);
    }
    pump(w);
}

void world_run(struct world *w, uint64_t for_us)
{
    uint64_t until = w->now_us + for_us;
    while (w->now_us < until)
        step(w, until);
}

void world_finish(struct world *w, const struct outcome *o)
{
    uint64_t until = w->now_us + 700 * SECOND;
    while (!o->over && w->now_us < until)
        step(w, until);
    assert_true(o->over);
}

void world_drain(struct world *w)
{
    uint64_t until = w->now_us + 700 * SECOND;
    while (client_pending(w->client) && w->now_us < until)
        step(w, until);
    assert_int_equal(client_pending(w->client), 0);
}

void world_close(struct world *w)
{
    client_shutdown(w->client, w->now_us);
    pump(w);
}

void world_mode(struct world *w, uint32_t node, enum node_mode mode)
{
    struct fake_node *n = &w->nodes[node];
    bool resumed = n->mode == NODE_STOPPED && mode == NODE_UP;
    n->mode = mode;
    if (mode == NODE_AWAY)
        world_break(w, node);
    struct list *link;
    while (resumed && (link = list_pop_front(&n->held))) {
        struct fake_event *e = container_of(link, struct fake_event, link);
        if (e->conn == n->conn)
            node_message(w, e);
        free_event(e);
    }
}

void world_break(struct world *w, uint32_t node)
{
    drop_held(&w->nodes[node]);
    if (w->nodes[node].conn)
        new_event(w, BROKEN, node, 0);
}

uint32_t world_homes(struct world *w, const char *key, uint32_t out[PREFERENCE_MAX])
{
    struct ring *ring;
    assert_int_equal(ring_create(&w->ring, &ring), KV_OK);
    ring_preference(ring, ring_partition(ring, key_token(bytes_str(key))), out);
    uint32_t homes = ring->homes;
    ring_destroy(ring);
    return homes;
}

/* ---- requests ---- */

void on_outcome(const struct kv_result *r, void *arg)
{
    struct outcome *o = arg;
    assert_false(o->over);
    assert_non_null(r->message);
    assert_non_null(r->coordinator);
    assert_non_null(r->value);
    *o = (struct outcome){.over = true,
                          .status = r->status,
                          .unknown = r->unknown,
                          .proven = r->proven,
                          .asked = r->asked,
                          .acked = r->acked,
                          .needed = r->needed,
                          .value_len = r->value_len,
                          .stamp = r->stamp,
                          .ttl_ms = r->ttl_ms,
                          .attempts = r->attempts,
                          .us = r->us};
    memcpy(o->value, r->value, r->value_len < sizeof o->value ? r->value_len : sizeof o->value - 1);
    snprintf(o->coordinator, sizeof o->coordinator, "%s", r->coordinator);
    snprintf(o->message, sizeof o->message, "%s", r->message);
}

int world_order(struct world *w, const struct client_order *order)
{
    int rc = client_submit(w->client, w->now_us, order);
    pump(w);
    return rc;
}

int world_put(struct world *w, const char *key, const char *value, const struct kv_request *q,
              struct outcome *o)
{
    if (o)
        *o = (struct outcome){0};
    return world_order(w, &(struct client_order){.op = CLIENT_PUT,
                                                 .key = bytes_str(key),
                                                 .value = bytes_str(value),
                                                 .request = q,
                                                 .callback.result = o ? on_outcome : NULL,
                                                 .arg = o});
}

int world_get(struct world *w, const char *key, const struct kv_request *q, struct outcome *o)
{
    if (o)
        *o = (struct outcome){0};
    return world_order(w, &(struct client_order){.op = CLIENT_GET,
                                                 .key = bytes_str(key),
                                                 .request = q,
                                                 .callback.result = o ? on_outcome : NULL,
                                                 .arg = o});
}

void world_warm(struct world *w)
{
    struct outcome o;
    assert_int_equal(world_put(w, "warm", "1", NULL, &o), KV_OK);
    world_finish(w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(world_get(w, "warm", NULL, &o), KV_OK);
    world_finish(w, &o);
    assert_int_equal(o.status, KV_OK);
    world_run(w, 10 * MS);
}

void world_warm_all(struct world *w)
{
    world_warm(w);
    for (uint32_t i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "warm%u", i);
        assert_int_equal(world_get(w, key, NULL, NULL), KV_OK);
        world_drain(w);
    }
    for (uint32_t i = 1; i <= w->count; i++)
        assert_true(w->nodes[i].conn != 0);
    w->seen_count = 0;
    w->slowest_us = 0;
    w->done_count = 0;
    memset(w->statuses, 0, sizeof w->statuses);
}
