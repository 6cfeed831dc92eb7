/* One turn of a node: the event goes to the part it concerns; what the parts say to this node itself is
 * looped back within the turn, in order; then cluster, epoch and clock are put into everything that leaves.
 *
 * Invariant: after a step no effect is a message to this node itself. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- create ---- */

static int check_config(const struct node_config *c, char error[256])
{
    if (!name_ok(c->name) || !name_ok(c->cluster) || (c->zone[0] && !name_ok(c->zone)))
        snprintf(error, 256, "names of node, cluster and zone are 1 to %u of A-Z a-z 0-9 . _ -",
                 NAME_MAX_BYTES);
    else if (c->weight < 1 || c->weight > WEIGHT_MAX)
        snprintf(error, 256, "a weight is 1 to %u", WEIGHT_MAX);
    else if (!addr_ok(&c->addr))
        snprintf(error, 256, "the address of this node is not known");
    else if (c->replicas < 1 || c->replicas > REPLICAS_MAX)
        snprintf(error, 256, "replicas are 1 to %u", REPLICAS_MAX);
    else if (c->partitions == 0 || (c->partitions & (c->partitions - 1)) ||
             c->partitions > RING_PARTITIONS_MAX)
        snprintf(error, 256, "the number of partitions is a power of two up to %u", RING_PARTITIONS_MAX);
    else if (c->value_max_bytes == 0 || c->value_max_bytes > VALUE_MAX_CEILING_BYTES)
        snprintf(error, 256, "the largest value is 1 to %u bytes", VALUE_MAX_CEILING_BYTES);
    else if (c->store_id == 0 || c->generation == 0)
        snprintf(error, 256, "the store has no id or generation");
    else if (c->ring.len == 0 && c->founder_count == 0)
        snprintf(error, 256, "this store has no ring yet, and no founders were named");
    else
        return KV_OK;
    return KV_E_INVALID;
}

static void take_config(struct node *n, const struct node_config *c)
{
    memcpy(n->name, c->name, strlen(c->name));
    memcpy(n->cluster, c->cluster, strlen(c->cluster));
    memcpy(n->zone, c->zone, strlen(c->zone));
    n->weight = c->weight;
    n->addr = c->addr;
    n->replicas = c->replicas;
    n->partitions = c->partitions;
    n->value_max_bytes = c->value_max_bytes;
    n->store_id = c->store_id;
    n->generation = c->generation;
    n->swim_config = c->swim;
    prng_init(&n->prng, c->seed);
    clock_init(&n->clock, MUTANT(clock_back, c->hlc_floor, 0));
    map_init(&n->conns.map);
    n->hlc.settled_us = UINT64_MAX;
    n->hlc.due_us = UINT64_MAX;
    n->adopt.retry_us = UINT64_MAX;
    n->stop_us = UINT64_MAX;
}

int parts_create(struct node *n)
{
    struct swim_config swim = n->swim_config;
    swim.self = n->self;
    swim.generation = n->generation;
    swim.addr = n->addr;
    swim.seed = prng_u64(&n->prng);
    struct coord_config coord = {.self = n->self, .value_max_bytes = n->value_max_bytes};
    int rc = swim_create(&swim, &n->swim);
    if (rc == KV_OK)
        rc = scans_create(n->self, &n->scans);
    if (rc == KV_OK)
        rc = hints_create(n->self, &n->hints);
    if (rc == KV_OK)
        rc = coord_create(&coord, &n->coord);
    if (rc == KV_OK)
        rc = move_create(n);
    return rc;
}

int node_create(const struct node_config *config, struct node **out, char error[256])
{
    error[0] = '\0';
    int rc = check_config(config, error);
    if (rc != KV_OK)
        return rc;
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return KV_E_NO_MEMORY;
    take_config(n, config);
    rc = move_config(n, config);
    if (rc != KV_OK) {
        node_destroy(n);
        return rc;
    }
    if (config->ring.len) {
        n->form.retry_us = UINT64_MAX;
        rc = adopt_restore(n, config->ring);
        if (rc == KV_E_CORRUPT)
            snprintf(error, 256, "the ring that this store keeps cannot be read");
    } else {
        rc = form_init(n, config, error);
    }
    if (rc != KV_OK) {
        node_destroy(n);
        return rc;
    }
    n->cluster_hash = cluster_hash(n->cluster, n->partitions);
    *out = n;
    return KV_OK;
}

void node_destroy(struct node *n)
{
    if (!n)
        return;
    if (n->coord)
        coord_destroy(n->coord);
    if (n->scans)
        scans_destroy(n->scans);
    if (n->hints)
        hints_destroy(n->hints);
    if (n->swim)
        swim_destroy(n->swim);
    move_deinit(n);
    replica_deinit(n);
    form_deinit(n);
    adopt_deinit(n);
    conns_deinit(n);
    peers_deinit(n);
    free(n);
}

int node_hint_total(struct node *n, uint32_t member, uint64_t count, uint64_t bytes)
{
    KV_ASSERT(!n->started);
    return n->hints ? hints_total_add(n->hints, member, count, bytes) : KV_OK;
}

/* ---- small things for all files ---- */

bool log_may(struct node *n, struct log_limit *limit)
{
    if (!log_allowed(n->now.mono_us, &limit->last_us, &limit->suppressed))
        return false;
    limit->suppressed = 0;
    return true;
}

void node_exit(struct node *n, int status, const char *text)
{
    struct effect *e = outbox_add(n->out, EF_EXIT);
    e->exit.status = status;
    e->exit.text = text;
    n->exited = true;
}

uint32_t node_self(const struct node *n)
{
    return n->self;
}

uint64_t node_cluster_hash(const struct node *n)
{
    return n->cluster_hash;
}

const struct ring *node_ring(const struct node *n)
{
    return n->ring;
}

bool node_serving(const struct node *n)
{
    return n->ring && n->self;
}

/* ---- messages ---- */

/* What any connection may ask. */
static bool common_message(struct node *n, struct endpoint from, const struct message *m)
{
    switch (m->type) {
    case MSG_RING_GET: adopt_send(n, from, m->id); return true;
    case MSG_STATUS_GET: status_send(n, from, m->id); return true;
    case MSG_STATS_GET: stats_send(n, from, m->id); return true;
    default: return false;
    }
}

static void client_message(struct node *n, struct inbound *c, struct message *m)
{
    struct endpoint from = to_conn(c->id);
    if (common_message(n, from, m))
        return;
    switch (m->type) {
    case MSG_REQUEST:
    case MSG_SCAN: front_message(n, c, m); break;
    case MSG_FAULT:
        outbox_send(n->out, from, MSG_FAULT_REPLY, m->id)->fault_reply.status = KV_E_NOT_PERMITTED;
        break;
    default:
        n->misplaced++;
        conns_refuse(n, from, KV_E_NOT_PERMITTED, "a client does not say that");
        break;
    }
}

/* On a connection that the member made: its questions. */
static void member_message(struct node *n, struct endpoint from, struct message *m)
{
    if (common_message(n, from, m))
        return;
    switch (m->type) {
    case MSG_HELLO: conns_tell_time(n, from.conn, m->id); break;
    case MSG_WRITE:
    case MSG_READ:
    case MSG_RANGE: replica_message(n, from, m); break;
    case MSG_PULL: move_pull(n, from, m); break;
    case MSG_RING: adopt_message(n, m); break;
    case MSG_FOUND: form_message(n, from, m->from, m); break;
    case MSG_SYNC:
        if (n->swim && !n->stopping)
            swim_sync(n->swim, n->now, from, m, n->out);
        break;
    default: n->misplaced++; break;
    }
}

/* A row that there is no room for is as good as refused. */
static void bound_reply(const struct node *n, struct message *m)
{
    if (front_bytes_in_flight(n) + message_weight(m) <= INFLIGHT_MAX_BYTES)
        return;
    row_release(&m->read_reply.row);
    m->read_reply.status = KV_E_OVERLOADED;
}

/* On the connection that we made to a member, or from this node itself: answers to what we asked. */
static void answer_message(struct node *n, struct endpoint from, struct message *m)
{
    switch (m->type) {
    case MSG_WELCOME: peers_message(n, peers_find(n, m->from), m); break;
    case MSG_WRITE_ACK:
        if (n->coord && id_owner(m->id) == ID_COORD)
            coord_answer(n->coord, n->now, hlc_now(n), m->from, m, n->out);
        else if (n->hints && id_owner(m->id) == ID_HINTS)
            hints_acked(n->hints, n->now, m->from, m, n->out);
        break;
    case MSG_READ_REPLY:
        bound_reply(n, m);
        if (n->coord)
            coord_answer(n->coord, n->now, hlc_now(n), m->from, m, n->out);
        break;
    case MSG_RANGE_PAGE:
        if (n->scans)
            scans_answer(n->scans, n->now, hlc_now(n), m->from, m, n->out);
        break;
    case MSG_ROWS:
        if (n->move.transfer)
            move_rows(n, m);
        break;
    case MSG_SYNC_REPLY:
        if (n->swim && !n->stopping)
            swim_sync(n->swim, n->now, from, m, n->out);
        break;
    case MSG_RING: adopt_message(n, m); break;
    case MSG_FOUND: form_message(n, from, m->from, m); break;
    case MSG_RING_GET: adopt_send(n, from, m->id); break;
    default: n->misplaced++; break;
    }
}

static void inbound_message(struct node *n, struct endpoint from, struct message *m)
{
    struct inbound *c = conns_find(n, from.conn);
    if (!c && m->type == MSG_HELLO) {
        conns_hello(n, from.conn, m);
        return;
    }
    if (!c || (m->type == MSG_HELLO && !c->member)) {
        n->misplaced++;
        conns_refuse(n, from, KV_E_INVALID, "a connection begins with HELLO; a client says it once");
        return;
    }
    /* Only a client may not know yet which cluster it talks to. */
    if (m->cluster != n->cluster_hash && (c->member || m->cluster)) {
        conns_refuse(n, from, KV_E_WRONG_CLUSTER, "a message of another cluster");
        return;
    }
    m->from = c->member;
    hlc_heard(n, m->hlc);
    if (!c->member) {
        client_message(n, c, m);
        return;
    }
    adopt_heard(n, from, m->ring_epoch);
    member_message(n, from, m);
}

static void dialled_message(struct node *n, struct endpoint from, struct message *m)
{
    struct peer *p = peers_find(n, from.peer);
    if (!p)
        return;
    m->from = p->id;
    if (!p->up) {
        /* A newcomer is given the ring before it is refused. */
        if (m->type == MSG_WELCOME || m->type == MSG_REFUSED)
            peers_message(n, p, m);
        else if (m->type == MSG_RING && p->connected && m->cluster == n->cluster_hash)
            adopt_message(n, m);
        if (p->up)
            adopt_heard(n, from, m->ring_epoch);
        return;
    }
    if (m->cluster != n->cluster_hash)
        return;
    hlc_heard(n, m->hlc);
    adopt_heard(n, from, m->ring_epoch);
    answer_message(n, from, m);
}

/* Datagrams have no connection behind them: only swim sees them, and only those that come from where the
 * member lives move the clock or tell of a ring. */
static void datagram(struct node *n, const struct addr *from, struct message *m)
{
    if (!n->swim || n->stopping || m->cluster != n->cluster_hash || m->type < MSG_PING || m->type > MSG_NACK)
        return;
    uint32_t member = m->probe.from;
    struct swim_view view;
    if (member == n->self || swim_lookup(n->swim, member, &view) != KV_OK)
        return;
    m->from = member;
    if (addr_eq(&view.addr, from)) {
        hlc_heard(n, m->hlc);
        const struct peer *p = peers_find(n, member);
        if (p && p->up)
            adopt_heard(n, to_peer(member), m->ring_epoch);
    }
    swim_datagram(n->swim, n->now, from, m, n->out);
}

/* ---- the other events ---- */

static void start(struct node *n)
{
    KV_ASSERT(!n->started);
    n->started = true;
    char text[ADDR_TEXT_MAX];
    outbox_log(n->out, LOG_INFO, "event=start name=%s cluster=%s addr=%s store=%016llx generation=%llu",
               n->name, n->cluster, addr_format(&n->addr, text), (unsigned long long)n->store_id,
               (unsigned long long)n->generation);
    adopt_start(n);
    form_start(n);
}

static bool swim_runs(const struct node *n)
{
    return n->swim && n->peers.introduced && !n->stopping;
}

static void tick(struct node *n)
{
    uint64_t now_us = n->now.mono_us;
    if (swim_runs(n) && swim_deadline_us(n->swim) <= now_us)
        swim_tick(n->swim, n->now, n->out);
    if (n->coord && coord_deadline_us(n->coord) <= now_us)
        coord_tick(n->coord, n->now, hlc_now(n), n->out);
    if (n->scans && scans_deadline_us(n->scans) <= now_us)
        scans_tick(n->scans, n->now, hlc_now(n), n->out);
    if (n->hints && hints_deadline_us(n->hints) <= now_us)
        hints_tick(n->hints, n->now, n->out);
    move_tick(n);
    peers_tick(n);
    form_tick(n);
    adopt_tick(n);
}

static void written(struct node *n, const struct event *in)
{
    switch (id_owner(in->written.op)) {
    case ID_NODE:
        if (id_serial(in->written.op) == OP_FLOOR)
            hlc_written(n, in->written.status);
        else if (id_serial(in->written.op) == OP_RING)
            adopt_written(n, in->written.status);
        else
            form_written(n, in->written.status);
        break;
    case ID_REPLICA: replica_written(n, in); break;
    case ID_HINTS: hints_written(n->hints, n->now, in, n->out); break;
    case ID_TRANSFER:
    case ID_DROP: move_written(n, in); break;
    default: KV_ASSERT(false); /* nobody else writes */
    }
}

static void stop(struct node *n)
{
    if (n->stopping)
        return;
    n->stopping = true;
    n->stop_us = n->now.mono_us + STOP_GRACE_US;
    outbox_log(n->out, LOG_INFO, "event=stopping");
    if (n->swim)
        swim_leave(n->swim, n->now, n->out);
}

static void exit_when_done(struct node *n)
{
    if (!n->stopping || n->exited)
        return;
    bool idle = n->replica.active == 0 && (!n->coord || coord_in_flight(n->coord) == 0) &&
                (!n->scans || scans_active(n->scans) == 0);
    if (idle || n->now.mono_us >= n->stop_us)
        node_exit(n, 0, "stopped");
}

static void dispatch(struct node *n, const struct event *in)
{
    switch (in->type) {
    case EV_START: start(n); break;
    case EV_TICK: tick(n); break;
    case EV_MESSAGE:
        if (in->message.from.conn)
            inbound_message(n, in->message.from, in->message.message);
        else
            dialled_message(n, in->message.from, in->message.message);
        break;
    case EV_DATAGRAM: datagram(n, &in->datagram.from, in->datagram.message); break;
    case EV_PEER_CONNECTED: peers_connected(n, in->peer); break;
    case EV_PEER_LOST: peers_lost(n, in->peer); break;
    case EV_CONN_CLOSED: conns_closed(n, in->conn); break;
    case EV_STORE_WRITTEN: written(n, in); break;
    case EV_STORE_READ: replica_read(n, in); break;
    case EV_STORE_PAGE:
        if (id_owner(in->page.op) == ID_HINTS)
            hints_page(n->hints, n->now, hlc_now(n), in, n->out);
        else if (id_owner(in->page.op) == ID_PULL || id_owner(in->page.op) == ID_DROP)
            move_page(n, in);
        else
            replica_page(n, in);
        break;
    case EV_STORE_HAS:
    case EV_STORE_TREE: KV_ASSERT(false); break; /* nobody asks */
    case EV_STOP: stop(n); break;
    }
}

/* ---- the step ---- */

static void fill_header(struct node *n, struct message *m)
{
    m->cluster = n->cluster_hash;
    m->ring_epoch = adopt_epoch(n);
    m->hlc = hlc_said(n);
}

static bool is_question(enum message_type type)
{
    return type == MSG_WRITE || type == MSG_READ || type == MSG_RANGE;
}

/* Messages to this node itself are handled as if they had just arrived; what that appends is looked at too.
 * The message moves out of the effect first: handling it adds effects. */
static void loop_back(struct node *n)
{
    for (; n->looped < n->out->count; n->looped++) {
        struct effect *e = &n->out->effects[n->looped];
        if (e->type != EF_SEND || e->send.to.conn || !n->self || e->send.to.peer != n->self)
            continue;
        struct message m = e->send.message;
        e->type = EF_NONE;
        fill_header(n, &m);
        m.from = n->self;
        if (is_question(m.type))
            replica_message(n, to_peer(n->self), &m);
        else
            answer_message(n, to_peer(n->self), &m);
        message_release(&m);
    }
}

static void finish(struct node *n)
{
    for (uint32_t i = 0; i < n->out->count; i++) {
        struct effect *e = &n->out->effects[i];
        if (e->type == EF_DATAGRAM)
            fill_header(n, &e->datagram.message);
        if (e->type != EF_SEND)
            continue;
        fill_header(n, &e->send.message);
        enum message_type type = e->send.message.type;
        if (e->send.to.conn && (type == MSG_RESPONSE || type == MSG_SCAN_PAGE))
            conns_answered(n, e->send.to.conn);
    }
}

void node_step(struct node *n, struct now now, const struct event *in, struct outbox *out)
{
    KV_ASSERT(out->count == 0 && (n->started || in->type == EV_START));
    if (n->exited)
        return;
    n->out = out;
    n->looped = 0;
    hlc_begin(n, now);
    dispatch(n, in);
    /* Each may cause the other: what swim found out makes coordinators send, and so on. */
    do {
        loop_back(n);
        peers_swim_changes(n);
    } while (n->looped < out->count);
    exit_when_done(n);
    hlc_end(n);
    finish(n);
    n->out = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t node_deadline_us(const struct node *n)
{
    if (n->exited || !n->started)
        return UINT64_MAX;
    uint64_t at = earlier(n->hlc.due_us, n->stop_us);
    at = earlier(at, peers_deadline_us(n));
    at = earlier(at, form_deadline_us(n));
    at = earlier(at, n->adopt.retry_us);
    at = earlier(at, move_deadline_us(n));
    if (swim_runs(n))
        at = earlier(at, swim_deadline_us(n->swim));
    if (n->coord)
        at = earlier(at, coord_deadline_us(n->coord));
    if (n->scans)
        at = earlier(at, scans_deadline_us(n->scans));
    if (n->hints)
        at = earlier(at, hints_deadline_us(n->hints));
    return at;
}

void node_check(const struct node *n)
{
    if (n->exited)
        return;
    KV_ASSERT(!n->self || n->ring);
    KV_ASSERT(!n->self || (n->swim && n->coord && n->scans && n->hints && n->move.transfer));
    KV_ASSERT(!n->ring || n->adopt.value);
    KV_ASSERT(!n->adopt.next || n->adopt.next->value.epoch > adopt_epoch(n));
    KV_ASSERT(!n->started || hlc_said(n) <= n->clock.floor);
    peers_check(n);
    replica_check(n);
    move_check(n);
    if (n->swim)
        swim_check(n->swim);
    if (n->coord)
        coord_check(n->coord);
    if (n->hints)
        hints_check(n->hints);
}
