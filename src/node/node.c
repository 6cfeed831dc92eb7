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
    else if (c->ring.len == 0 && c->founder_count == 0 && c->join_count == 0)
        snprintf(error, 256,
                 "this store has no ring yet, and neither founders nor members to join were named");
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
    n->sequence = c->sequence;
    n->adopt.member = (uint32_t)c->member;
    n->swim_config = c->swim;
    prng_init(&n->prng, c->seed);
    clock_init(&n->clock, MUTANT(clock_back, c->hlc_floor, 0));
    map_init(&n->conns.map);
    n->hlc.settled_us = UINT64_MAX;
    n->hlc.due_us = UINT64_MAX;
    n->adopt.retry_us = UINT64_MAX;
    n->adopt.mark_us = UINT64_MAX;
    n->join.due_us = UINT64_MAX;
    n->stores.due_us = UINT64_MAX;
    n->change.due_us = UINT64_MAX;
    n->stop_us = UINT64_MAX;
}

int parts_create(struct node *n)
{
    struct coord_config coord = {.self = n->self, .value_max_bytes = n->value_max_bytes};
    int rc = membership_create(n);
    if (rc == KV_OK)
        rc = scans_create(n->self, &n->scans);
    if (rc == KV_OK && !n->hints)
        rc = hints_create(n->self, n->hints_max_bytes, &n->hints);
    if (rc == KV_OK)
        rc = paxos_create(n->self, prng_u64(&n->prng), META_PAXOS, &n->paxos);
    if (rc == KV_OK)
        rc = coord_create(&coord, &n->coord);
    if (rc == KV_OK)
        rc = move_create(n);
    if (rc == KV_OK)
        rc = heal_create(n);
    if (rc == KV_OK)
        rc = sweep_create(n);
    return rc;
}

/* What this store remembers of what it said to its peers. */
static int restore_words(struct node *n, const struct node_config *config, char error[256])
{
    int rc = stores_restore(n, config->stores);
    if (rc == KV_OK && n->paxos && config->paxos.len)
        rc = paxos_restore(n->paxos, config->paxos);
    if (rc == KV_E_CORRUPT)
        snprintf(error, 256, "what this store has promised, or knows of its peers, cannot be read");
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
    heal_config(n, config);
    n->purge_interval_us = config->purge_interval_us;
    n->row_age_max_ms = config->row_age_max_ms ? config->row_age_max_ms : ROW_AGE_MAX_MS;
    n->hints_max_bytes = config->hints_max_bytes ? config->hints_max_bytes : HINTS_MAX_BYTES;
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
    if (rc == KV_OK)
        rc = centre_config(n, config, error);
    if (rc == KV_OK)
        rc = form_hash(n);
    if (rc == KV_OK)
        rc = join_init(n, config, error);
    if (rc == KV_OK)
        rc = restore_words(n, config, error);
    if (rc != KV_OK) {
        node_destroy(n);
        return rc;
    }
    n->cluster_hash = centre_cluster_hash(n);
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
    membership_destroy(n);
    move_deinit(n);
    heal_deinit(n);
    sweep_deinit(n);
    paxos_destroy(n->paxos);
    replica_deinit(n);
    form_deinit(n);
    join_deinit(n);
    stores_deinit(n);
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

/* ---- events ---- */

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
    join_start(n);
}

static void tick(struct node *n)
{
    uint64_t now_us = n->now.mono_us;
    membership_tick(n);
    if (n->coord && coord_deadline_us(n->coord) <= now_us)
        coord_tick(n->coord, n->now, hlc_now(n), n->out);
    if (n->scans && scans_deadline_us(n->scans) <= now_us)
        scans_tick(n->scans, n->now, hlc_now(n), n->out);
    if (n->hints && hints_deadline_us(n->hints) <= now_us)
        hints_tick(n->hints, n->now, n->out);
    move_tick(n);
    heal_tick(n);
    sweep_tick(n);
    if (n->paxos && paxos_deadline_us(n->paxos) <= now_us)
        paxos_tick(n->paxos, n->now, n->out);
    peers_tick(n);
    form_tick(n);
    join_tick(n);
    adopt_tick(n);
    stores_tick(n);
    change_tick(n);
}

static void own_written(struct node *n, const struct event *in)
{
    switch ((enum node_op)id_serial(in->written.op)) {
    case OP_FLOOR: hlc_written(n, in->written.status); break;
    case OP_RING: adopt_written(n, in->written.status); break;
    case OP_ACCEPTED: form_written(n, in->written.status); break;
    case OP_MEMBER: adopt_marked(n, in->written.status); break;
    case OP_STORES: break; /* on a full disk it is written with the next change */
    }
}

static void written(struct node *n, const struct event *in)
{
    switch (id_owner(in->written.op)) {
    case ID_NODE: own_written(n, in); break;
    case ID_PAXOS: paxos_written(n->paxos, in, n->out); break;
    case ID_REPLICA: replica_written(n, in); break;
    case ID_HINTS: hints_written(n->hints, n->now, in, n->out); break;
    case ID_TRANSFER:
    case ID_DROP: move_written(n, in); break;
    case ID_ENTROPY: heal_stored(n, in); break;
    case ID_PURGE: sweep_stored(n, in); break;
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
    membership_leave(n);
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
            message_inbound(n, in->message.from, in->message.message);
        else
            message_dialled(n, in->message.from, in->message.message);
        break;
    case EV_DATAGRAM: message_datagram(n, &in->datagram.from, in->datagram.message); break;
    case EV_PEER_CONNECTED: peers_connected(n, in->peer); break;
    case EV_PEER_LOST: peers_lost(n, in->peer); break;
    case EV_CONN_CLOSED: conns_closed(n, in->conn); break;
    case EV_STORE_WRITTEN: written(n, in); break;
    case EV_STORE_READ: replica_read(n, in); break;
    case EV_STORE_PAGE:
        if (id_owner(in->page.op) == ID_HINTS)
            hints_page(n->hints, n->now, hlc_now(n), in, n->out);
        else if (id_owner(in->page.op) == ID_ENTROPY)
            heal_stored(n, in);
        else if (id_owner(in->page.op) == ID_PURGE)
            sweep_stored(n, in);
        else if (id_owner(in->page.op) == ID_PULL || id_owner(in->page.op) == ID_DROP)
            move_page(n, in);
        else
            replica_page(n, in);
        break;
    case EV_STORE_TREE: heal_stored(n, in); break;
    case EV_STORE_HAS: sweep_stored(n, in); break;
    case EV_STORE_TOTALS: hints_counted(n->hints, n->now, in); break;
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
        message_own(n, &m);
        message_release(&m);
    }
}

static void finish(struct node *n)
{
    for (uint32_t i = 0; i < n->out->count; i++) {
        struct effect *e = &n->out->effects[i];
        if (e->type == EF_DATAGRAM)
            fill_header(n, &e->datagram.message);
        if (e->type == EF_STORE_WRITE || e->type == EF_STORE_MERGE)
            sweep_wrote(n, e);
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
    /* Each may cause the other: what membership found out makes coordinators send, and so on. */
    do {
        loop_back(n);
        peers_member_changes(n);
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
    at = earlier(at, adopt_deadline_us(n));
    at = earlier(at, move_deadline_us(n));
    at = earlier(at, heal_deadline_us(n));
    at = earlier(at, sweep_deadline_us(n));
    at = earlier(at, join_deadline_us(n));
    at = earlier(at, stores_deadline_us(n));
    at = earlier(at, change_deadline_us(n));
    if (n->paxos)
        at = earlier(at, paxos_deadline_us(n->paxos));
    at = earlier(at, membership_deadline_us(n));
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
    KV_ASSERT(!n->self || (membership_there(n) && n->coord && n->scans && n->hints && n->move.transfer &&
                           n->paxos && n->heal.entropy));
    KV_ASSERT(!n->ring || n->adopt.value);
    KV_ASSERT(!n->adopt.next || n->adopt.next->value.epoch > adopt_epoch(n));
    KV_ASSERT(!n->started || hlc_said(n) <= n->clock.floor);
    peers_check(n);
    replica_check(n);
    move_check(n);
    membership_check(n);
    if (n->coord)
        coord_check(n->coord);
    if (n->hints)
        hints_check(n->hints);
    if (n->paxos)
        paxos_check(n->paxos);
    if (n->heal.entropy)
        entropy_check(n->heal.entropy);
    if (n->purge)
        purge_check(n->purge);
}
