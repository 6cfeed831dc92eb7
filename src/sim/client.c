/* Clients, as libkv is one: a connection per node, a clock learned from the nodes, stamps minted on it. A
 * strict put asks for the newest stamp first. No retries: a test that wants one makes it. */
#include <stdlib.h>

#include "sim/internal.h"

uint32_t sim_client(struct sim *s)
{
    KV_ASSERT(s->client_count < SIM_CLIENTS_MAX);
    struct caller *c = &s->clients[++s->client_count];
    c->origin = prng_u64(&s->prng) | 1;
    return s->client_count;
}

static void call_free(struct sim_call *call)
{
    message_release(&call->request);
    buf_deinit(&call->key);
    buf_deinit(&call->value);
    buf_deinit(&call->reply.value);
    free(call);
}

void callers_deinit(struct sim *s)
{
    list_each_safe (it, &s->calls)
        call_free(container_of(it, struct sim_call, link));
}

static void finish(struct sim *s, struct sim_call *call, int status)
{
    call->reply.done = true;
    call->reply.status = status;
    call->reply.ended_us = s->now_us;
    sim_note(s, call->id, (uint64_t)(int64_t)status);
}

/* ---- sending ---- */

static void say_hello(struct sim *s, uint32_t client, uint32_t node)
{
    struct caller *c = &s->clients[client];
    c->conns[node] = net_connect(s, (struct end){.client = client}, node);
    struct message m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){.role = ROLE_CLIENT, .cluster = "", .name = ""};
    net_send(s, c->conns[node], 0, &m);
}

static uint32_t time_left_us(const struct sim *s, const struct sim_call *call)
{
    uint64_t timeout_us = (call->options.timeout_ms ? call->options.timeout_ms : 2000) * UINT64_C(1000);
    uint64_t used_us = s->now_us - call->reply.began_us;
    return used_us < timeout_us ? (uint32_t)(timeout_us - used_us) : 1;
}

static bool needs_stamp(const struct sim_call *call)
{
    return call->request.type == MSG_REQUEST && call->request.request.op == OP_PUT &&
           stamp_is_zero(call->request.request.row.stamp);
}

static void mint(struct sim *s, struct sim_call *call)
{
    struct caller *c = &s->clients[call->client];
    struct row *row = &call->request.request.row;
    row->stamp = (struct stamp){client_clock_mint(&c->clock, s->now_us), c->origin};
    if (call->options.ttl_ms)
        row->expires_hlc = row->stamp.hlc + hlc_from_ms(call->options.ttl_ms);
    call->reply.stamp = row->stamp;
}

static void send(struct sim *s, struct sim_call *call)
{
    struct caller *c = &s->clients[call->client];
    struct message m = call->request;
    m.id = call->id;
    m.cluster = c->cluster[call->node];
    m.hlc = c->clock.hlc;
    m.ring_epoch = s->config.topology == TOPOLOGY_DIRECTORY; /* it has the hub's list */
    if (m.type == MSG_SCAN)
        m.scan.timeout_us = time_left_us(s, call);
    if (m.type == MSG_REQUEST)
        m.request.timeout_us = time_left_us(s, call);
    if (m.type == MSG_CHANGE)
        m.change.timeout_us = time_left_us(s, call);
    if (needs_stamp(call)) { /* strict: the first of two rounds */
        m.request.op = OP_STAMP;
        m.request.row = row_absent();
    }
    net_send(s, c->conns[call->node], 0, &m);
}

/* What is still to be sent to a node, now that there is a connection, or none to be had. */
static void send_waiting(struct sim *s, uint32_t client, uint32_t node)
{
    list_each (it, &s->calls) {
        struct sim_call *call = container_of(it, struct sim_call, link);
        if (call->client != client || call->node != node || call->sent || call->reply.done)
            continue;
        call->sent = true;
        if (needs_stamp(call) && !call->options.strict)
            mint(s, call);
        send(s, call);
    }
}

/* As libkv does: what only the hub answers goes there. */
static bool is_for_the_hub(const struct sim *s, const struct sim_call *call)
{
    if (call->options.there)
        return false;
    switch (call->request.type) {
    case MSG_CHANGE: return s->config.topology != TOPOLOGY_RING;
    case MSG_REQUEST:
    case MSG_SCAN: return s->config.topology == TOPOLOGY_CENTRAL && !call->options.local;
    default: return false;
    }
}

static struct sim_call *submit(struct sim *s, struct sim_call *call)
{
    struct caller *c = &s->clients[call->client];
    if (is_for_the_hub(s, call))
        call->node = SIM_HUB;
    call->id = ++s->next_call;
    call->reply.began_us = s->now_us;
    list_push_back(&s->calls, &call->link);
    if (!sim_node(s, call->node)) {
        finish(s, call, KV_E_NO_NODE);
        return call;
    }
    if (!c->conns[call->node])
        say_hello(s, call->client, call->node);
    else if (c->welcomed[call->node])
        send_waiting(s, call->client, call->node);
    return call;
}

static struct sim_call *new_call(uint32_t client, uint32_t node, const struct sim_options *options)
{
    struct sim_call *call = sim_must(calloc(1, sizeof *call));
    call->client = client;
    call->node = node;
    if (options)
        call->options = *options;
    return call;
}

static struct sim_call *new_request(uint32_t client, uint32_t node, enum op op, const char *key,
                                    const struct sim_options *options)
{
    struct sim_call *call = new_call(client, node, options);
    KV_ASSERT(buf_append(&call->key, bytes_str(key)) == KV_OK);
    call->request.type = MSG_REQUEST;
    struct msg_request *q = &call->request.request;
    q->op = (uint8_t)op;
    q->key = buf_bytes(&call->key);
    q->flags = (uint8_t)((call->options.strict ? REQ_STRICT : 0) | (call->options.local ? REQ_LOCAL : 0));
    q->r = call->options.r;
    q->w = call->options.w;
    return call;
}

/* A put's stamp is that of another put, or given, or minted when it leaves. */
static void take_stamp(struct sim_call *call)
{
    struct row *row = &call->request.request.row;
    if (call->options.same)
        *row = (struct row){.stamp = call->options.same->reply.stamp,
                            .expires_hlc = call->options.same->request.request.row.expires_hlc};
    else
        row->stamp = call->options.stamp;
    row->kind = ROW_REGISTER;
    call->reply.stamp = row->stamp;
}

struct sim_call *sim_put(struct sim *s, uint32_t client, uint32_t node, const char *key, const char *value,
                         const struct sim_options *options)
{
    struct sim_call *call = new_request(client, node, OP_PUT, key, options);
    take_stamp(call);
    KV_ASSERT(wire_pack_value(bytes_str(value), &call->request.request.row) == KV_OK);
    return submit(s, call);
}

struct sim_call *sim_delete(struct sim *s, uint32_t client, uint32_t node, const char *key,
                            const struct sim_options *options)
{
    struct sim_call *call = new_request(client, node, OP_PUT, key, options);
    take_stamp(call);
    call->request.request.row.flags = ROW_TOMBSTONE;
    return submit(s, call);
}

struct sim_call *sim_get(struct sim *s, uint32_t client, uint32_t node, const char *key,
                         const struct sim_options *options)
{
    return submit(s, new_request(client, node, OP_GET, key, options));
}

struct sim_call *sim_scan(struct sim *s, uint32_t client, uint32_t node, const char *cursor, uint32_t limit)
{
    struct sim_call *call = new_call(client, node, NULL);
    call->request.type = MSG_SCAN;
    if (cursor) {
        KV_ASSERT(buf_append(&call->key, bytes_str(cursor)) == KV_OK);
        call->request.scan.after =
            (struct cursor){.token = hash64(buf_bytes(&call->key)), .key = buf_bytes(&call->key)};
    }
    call->request.scan.limit = limit;
    return submit(s, call);
}

struct sim_call *sim_change(struct sim *s, uint32_t client, uint32_t node, const struct ring_change *change,
                            const struct sim_options *options)
{
    struct sim_call *call = new_call(client, node, options);
    call->request.type = MSG_CHANGE;
    call->request.change.change = *change;
    return submit(s, call);
}

struct sim_call *sim_repair(struct sim *s, uint32_t client, uint32_t node)
{
    struct sim_call *call = new_call(client, node, NULL);
    call->request.type = MSG_REPAIR;
    return submit(s, call);
}

/* ---- answers ---- */

static void take_response(struct sim *s, struct sim_call *call, const struct msg_response *r)
{
    struct caller *c = &s->clients[call->client];
    if (needs_stamp(call)) {
        client_clock_receive(&c->clock, r->row.stamp.hlc);
        if (r->status == KV_OK || r->status == KV_E_NOT_FOUND) {
            mint(s, call);
            send(s, call);
            return;
        }
    }
    struct sim_reply *reply = &call->reply;
    reply->asked = r->asked;
    reply->acked = r->acked;
    reply->needed = r->needed;
    reply->hinted = r->hinted;
    reply->proven = r->proven;
    reply->coordinator = r->coordinator;
    if (r->status == KV_OK && call->request.request.op == OP_GET) {
        client_clock_receive(&c->clock, r->row.stamp.hlc);
        reply->stamp = r->row.stamp;
        struct blob *value;
        KV_ASSERT(wire_unpack_value(&r->row, VALUE_MAX_BYTES, &value) == KV_OK);
        KV_ASSERT(buf_append(&reply->value, blob_bytes(value)) == KV_OK);
        blob_unref(value);
    }
    KV_ASSERT(buf_append_byte(&reply->value, 0) == KV_OK); /* for strcmp */
    reply->value.len--;
    finish(s, call, r->status);
}

static void take_page(struct sim *s, struct sim_call *call, const struct msg_scan_page *p)
{
    struct buf *out = &call->reply.value;
    for (uint32_t i = 0; i < p->count; i++) {
        KV_ASSERT(buf_append(out, p->entries[i].key) == KV_OK);
        KV_ASSERT(buf_append_byte(out, '\n') == KV_OK);
    }
    call->reply.proven = p->complete;
    call->reply.acked = p->done;
    KV_ASSERT(buf_append_byte(out, 0) == KV_OK);
    out->len--;
    finish(s, call, p->status);
}

static void take_change(struct sim *s, struct sim_call *call, const struct msg_change_reply *r)
{
    KV_ASSERT(buf_printf(&call->reply.value, "%s", r->text) == KV_OK);
    finish(s, call, r->status);
}

static void take_answer(struct sim *s, uint32_t client, const struct message *m)
{
    list_each (it, &s->calls) {
        struct sim_call *call = container_of(it, struct sim_call, link);
        if (call->id != m->id || call->client != client || call->reply.done)
            continue;
        if (m->type == MSG_RESPONSE)
            take_response(s, call, &m->response);
        else if (m->type == MSG_CHANGE_REPLY)
            take_change(s, call, &m->change_reply);
        else if (m->type == MSG_REPAIR_REPLY)
            finish(s, call, m->repair_reply.status);
        else
            take_page(s, call, &m->scan_page);
        return;
    }
}

void caller_message(struct sim *s, struct sim_conn *conn, struct message *m)
{
    uint32_t client = conn->ends[0].client, node = conn->ends[1].node;
    struct caller *c = &s->clients[client];
    if (m->type == MSG_REFUSED)
        return; /* the connection will close */
    c->heard[node] = m->hlc;
    client_clock_receive(&c->clock, m->hlc);
    if (m->type == MSG_WELCOME) {
        client_clock_set(&c->clock, node, m->welcome.wall_ms, s->now_us);
        c->welcomed[node] = true;
        c->cluster[node] = m->cluster;
        send_waiting(s, client, node);
    } else {
        take_answer(s, client, m);
    }
}

void caller_conn_lost(struct sim *s, struct sim_conn *conn)
{
    uint32_t client = conn->ends[0].client, node = conn->ends[1].node;
    struct caller *c = &s->clients[client];
    if (c->conns[node] != conn)
        return;
    c->conns[node] = NULL;
    c->welcomed[node] = false;
    list_each (it, &s->calls) {
        struct sim_call *call = container_of(it, struct sim_call, link);
        if (call->client == client && call->node == node && !call->reply.done)
            finish(s, call, KV_E_CLOSED);
    }
}

const struct sim_reply *sim_reply(const struct sim_call *call)
{
    return &call->reply;
}

static bool is_done(struct sim *s, void *arg)
{
    (void)s;
    return ((struct sim_call *)arg)->reply.done;
}

const struct sim_reply *sim_wait(struct sim *s, struct sim_call *call)
{
    KV_ASSERT(sim_run_until(s, is_done, call, UINT64_C(60000000)));
    return &call->reply;
}

uint64_t sim_heard_hlc(const struct sim *s, uint32_t client, uint32_t node)
{
    return s->clients[client].heard[node];
}
