/* A client's requests, before the coordinators see them: everything that can be said without asking anybody
 * is said here, at once and by name. Refusals change nothing; a stamp that is refused moves no clock. */
#include "node/internal.h"

uint64_t front_bytes_in_flight(const struct node *n)
{
    return n->replica.bytes + move_bytes_in_flight(n) + (n->coord ? coord_bytes_in_flight(n->coord) : 0);
}

/* Whether requests are taken at all, and by this connection. */
static int admit(const struct node *n, const struct inbound *c, const struct message *m)
{
    if (!centre_coordinates(n, m))
        return KV_E_NOT_COORDINATOR;
    if (!node_serving(n) || !hlc_settled(n) || n->stopping)
        return KV_E_UNAVAILABLE;
    if (c->requests > CONN_REQUESTS_MAX)
        return KV_E_OVERLOADED;
    if (front_bytes_in_flight(n) + message_weight(m) > INFLIGHT_MAX_BYTES)
        return KV_E_OVERLOADED;
    return KV_OK;
}

static uint32_t bounded_timeout_us(uint32_t timeout_us)
{
    if (timeout_us == 0)
        return (uint32_t)TIMEOUT_DEFAULT_US;
    return timeout_us < TIMEOUT_MAX_US ? timeout_us : (uint32_t)TIMEOUT_MAX_US;
}

/* ---- REQUEST ---- */

static int check_put(struct node *n, const struct msg_request *q)
{
    int rc = row_check(&q->row, n->value_max_bytes);
    if (rc != KV_OK)
        return rc;
    if (!clock_accepts(&n->clock, n->now.wall_ms, q->row.stamp.hlc)) {
        n->front.invalid_stamps++;
        return KV_E_INVALID;
    }
    return replica_too_old(n, q->row.stamp.hlc) ? KV_E_STALE : KV_OK; /* no replica would take it */
}

static int check_request(struct node *n, const struct msg_request *q)
{
    const uint8_t known = REQ_STRICT | REQ_EXPLAIN | REQ_LOCAL;
    if (q->key.len > KEY_MAX_BYTES)
        return KV_E_TOO_LARGE;
    if (!key_ok(q->key) || q->op < OP_GET || q->op > OP_STAMP || (q->flags & ~known))
        return KV_E_INVALID;
    if (q->r > n->ring->value.replicas || q->w > n->ring->value.replicas)
        return KV_E_INVALID;
    if ((q->flags & REQ_LOCAL) && q->op != OP_GET)
        return KV_E_INVALID;
    return q->op == OP_PUT ? check_put(n, q) : KV_OK;
}

static void refuse_request(struct node *n, struct endpoint to, const struct message *m, int status)
{
    if (status == KV_E_UNAVAILABLE)
        n->front.unavailable++;
    else
        n->front.refused++;
    struct message *r = outbox_send(n->out, to, MSG_RESPONSE, m->id);
    r->response.status = status;
    r->response.coordinator = n->self;
}

static void request(struct node *n, struct inbound *c, struct message *m)
{
    struct endpoint from = to_conn(c->id);
    struct msg_request *q = &m->request;
    int rc = admit(n, c, m);
    if (rc == KV_OK)
        rc = check_request(n, q);
    if (rc != KV_OK) {
        refuse_request(n, from, m, rc);
        return;
    }
    q->timeout_us = bounded_timeout_us(q->timeout_us);
    if (q->op == OP_PUT)
        clock_receive(&n->clock, q->row.stamp.hlc);
    if (q->flags & REQ_LOCAL) {
        n->front.local_gets++;
        replica_local_get(n, from, m);
    } else {
        coord_request(n->coord, n->now, hlc_now(n), from, m, n->out);
    }
}

/* ---- SCAN ---- */

static void scan(struct node *n, struct inbound *c, struct message *m)
{
    struct msg_scan *q = &m->scan;
    int rc = admit(n, c, m);
    if (rc == KV_OK && (q->after.key.len > KEY_MAX_BYTES || q->prefix.len > KEY_MAX_BYTES))
        rc = KV_E_TOO_LARGE;
    if (rc != KV_OK) {
        outbox_send(n->out, to_conn(c->id), MSG_SCAN_PAGE, m->id)->scan_page.status = rc;
        return;
    }
    if (q->limit == 0 || q->limit > SCAN_PAGE_MAX)
        q->limit = SCAN_PAGE_MAX;
    q->timeout_us = bounded_timeout_us(q->timeout_us);
    n->front.scans++;
    scans_request(n->scans, n->now, hlc_now(n), to_conn(c->id), m, n->out);
}

void front_message(struct node *n, struct inbound *c, struct message *m)
{
    c->requests++; /* until its answer leaves: node.c */
    if (m->type == MSG_SCAN)
        scan(n, c, m);
    else
        request(n, c, m);
}
