/* Who may say what, and which part it concerns: on a connection that a client, a guest or a member made; on
 * one that this node made to a member; in a datagram. Cluster, epoch and clock of the header are looked at
 * here. */
#include "node/internal.h"

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
    if (centre_refuses(n, from, m) || common_message(n, from, m))
        return;
    switch (m->type) {
    case MSG_REQUEST:
    case MSG_SCAN: front_message(n, c, m); break;
    case MSG_CHANGE: ask_message(n, c, m); break;
    case MSG_REPAIR: heal_order(n, from, m->id); break;
    case MSG_FAULT:
        outbox_send(n->out, from, MSG_FAULT_REPLY, m->id)->fault_reply.status = KV_E_NOT_PERMITTED;
        break;
    default:
        n->misplaced++;
        conns_refuse(n, from, KV_E_NOT_PERMITTED, "a client does not say that");
        break;
    }
}

/* A node that is no member may ask to become one, and say HELLO again to hear how it stands. */
static void guest_message(struct node *n, struct inbound *c, const struct message *m)
{
    if (m->type == MSG_HELLO) {
        conns_hello(n, c->id, m);
        return;
    }
    if (m->type == MSG_CHANGE && m->cluster == n->cluster_hash) {
        ask_message(n, c, m);
        return;
    }
    n->misplaced++;
    conns_refuse(n, to_conn(c->id), KV_E_NOT_PERMITTED,
                 "a node that is no member may ask to join, and no more");
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
    case MSG_ROOTS:
    case MSG_COMPARE:
    case MSG_MERGE: heal_question(n, from, m); break;
    case MSG_PURGE: sweep_question(n, from, m); break;
    case MSG_PREPARE:
    case MSG_ACCEPT: change_question(n, from, m); break;
    case MSG_PROGRESS: change_progress(n, m); break;
    case MSG_RING: adopt_message(n, m); break;
    case MSG_FOUND: form_message(n, from, m->from, m); break;
    case MSG_SYNC:
    case MSG_LIST_GET:
    case MSG_LIST: membership_message(n, from, m); break;
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
    case MSG_PROMISE:
    case MSG_ACCEPTED:
    case MSG_PREEMPTED: change_answer(n, m); break;
    case MSG_WRITE_ACK:
        if (m->from != n->self)
            stores_acknowledged(n, peers_find(n, m->from), m->write_ack.sequence);
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
    case MSG_LEAVES:
    case MSG_COMPARED:
    case MSG_MERGED: heal_answer(n, m); break;
    case MSG_PURGE_REPLY: sweep_answer(n, m); break;
    case MSG_SYNC_REPLY:
    case MSG_LIST: membership_message(n, from, m); break;
    case MSG_RING: adopt_message(n, m); break;
    case MSG_FOUND: form_message(n, from, m->from, m); break;
    case MSG_RING_GET: adopt_send(n, from, m->id); break;
    default: n->misplaced++; break;
    }
}

/* That a member has adopted a ring is believed when it says so on a connection. */
static void heard_epoch(struct node *n, uint32_t member, uint64_t epoch)
{
    struct peer *p = peers_find(n, member);
    if (!p || epoch <= p->epoch)
        return;
    p->epoch = epoch;
    adopt_look(n);
    if (n->ring && n->ring->value.phase != RING_STABLE)
        change_look(n);
}

/* The ring in the header. False: by hearing of it we have come to one without the sender, or without us. */
static bool heard_ring(struct node *n, struct endpoint from, const struct message *m)
{
    const struct ring *before = n->ring;
    heard_epoch(n, m->from, m->ring_epoch);
    adopt_heard(n, from, m->ring_epoch);
    return n->ring == before || (!n->exited && ring_value_find(&n->ring->value, m->from));
}

void message_inbound(struct node *n, struct endpoint from, struct message *m)
{
    struct inbound *c = conns_find(n, from.conn);
    if (!c && m->type == MSG_HELLO) {
        conns_hello(n, from.conn, m);
        return;
    }
    if (c && c->guest) {
        guest_message(n, c, m);
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
    if (heard_ring(n, from, m))
        member_message(n, from, m);
}

void message_dialled(struct node *n, struct endpoint from, struct message *m)
{
    struct peer *p = peers_find(n, from.peer);
    if (!p)
        return;
    m->from = p->id;
    if (!p->up) {
        /* A newcomer is given the ring before it is refused. */
        if (m->type == MSG_WELCOME || m->type == MSG_REFUSED || m->type == MSG_CHANGE_REPLY)
            peers_message(n, p, m);
        else if (m->type == MSG_RING && p->connected && m->cluster == n->cluster_hash)
            adopt_message(n, m);
        if (p->up)
            (void)heard_ring(n, from, m);
        return;
    }
    if (m->cluster != n->cluster_hash)
        return;
    hlc_heard(n, m->hlc);
    if (heard_ring(n, from, m))
        answer_message(n, from, m);
}

/* Datagrams have no connection behind them: only membership sees them, and only those that come from where
 * the member lives move the clock or tell of a ring. */
void message_datagram(struct node *n, const struct addr *from, struct message *m)
{
    uint32_t member = message_datagram_from(m);
    if (n->stopping || m->cluster != n->cluster_hash || !member)
        return;
    struct member_view view;
    if (member == n->self || membership_lookup(n, member, &view) != KV_OK)
        return;
    m->from = member;
    if (addr_eq(&view.addr, from)) {
        hlc_heard(n, m->hlc);
        const struct peer *p = peers_find(n, member);
        if (p && p->up)
            adopt_heard(n, to_peer(member), m->ring_epoch);
    }
    membership_datagram(n, from, m);
}

void message_own(struct node *n, struct message *m)
{
    struct endpoint self = to_peer(n->self);
    switch (m->type) {
    case MSG_WRITE:
    case MSG_READ:
    case MSG_RANGE: replica_message(n, self, m); break;
    case MSG_PREPARE:
    case MSG_ACCEPT: change_question(n, self, m); break;
    case MSG_PURGE: sweep_question(n, self, m); break;
    default: answer_message(n, self, m); break;
    }
}
