/* What an answer does to the request that it belongs to. A good one ends it, or its round. A refusal sends it
 * elsewhere:
 *
 *     unavailable   another coordinator may see more of the cluster: CLIENT_UNAVAILABLE_MAX of them are
 * believed overloaded    after a pause, CLIENT_OVERLOADED_MAX times; more would add to the load timeout
 * another, at once; the write may have been applied invalid       a put's stamp may be too far ahead for one
 * node's clock and fine for another: one more is asked, and the refusing node's clock is learned anew;
 * everything else that is invalid stays so wrong_ring and whatever passes by itself   after a pause, anybody,
 * until the time is over */
#include "base/mutant.h"
#include "base/assert.h"
#include "client/state.h"

#define AGAIN_US      UINT64_C(5000)
#define OVERLOADED_US UINT64_C(10000)
#define INVALID_MAX   2u

struct numbers {
    uint8_t asked, acked, needed, hinted, reachable;
    uint32_t us;
};

static void note_refusal(struct client_request *r, struct peer *p, int status, struct numbers n)
{
    r->refusal = (struct refusal){status, p, n.asked, n.acked, n.needed, n.hinted, n.reachable, n.us};
    if (!client_is_write(r) || r->round != ROUND_FINAL)
        return;
    if (status == KV_E_TIMEOUT)
        r->maybe_applied = MUTANT(timeout_is_failure, true, r->maybe_applied);
    else if (status != KV_E_UNAVAILABLE && n.asked > 0)
        r->partly_applied = true;
}

/* Goes on elsewhere unless `enough` have said so; then the answers still owed are waited for. */
static void elsewhere(struct client *c, uint64_t now_us, struct client_request *r, bool enough)
{
    if (enough) {
        bool waiting = false;
        for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++)
            waiting = waiting || r->tries[i].state == TRY_SENT;
        if (!waiting) {
            client_request_fail(c, now_us, r);
            return;
        }
        r->sends = CLIENT_SENDS_MAX; /* begins no more */
    }
    client_request_go(c, now_us, r);
}

/* The stamp is too old: at once, if the node whose clock it was minted by is far behind the others. The
 * answer has told us their clock. As long as nothing can have been applied, there may be another stamp. */
static void stale(struct client *c, uint64_t now_us, struct client_request *r)
{
    bool out = r->maybe_applied || r->partly_applied;
    for (uint32_t i = 0; i < CLIENT_TRIES_MAX; i++)
        out = out || r->tries[i].state == TRY_SENT;
    if (!out)
        r->row.stamp = (struct stamp){0};
    client_request_retry(c, now_us, r, AGAIN_US, ++r->again);
}

static void refused(struct client *c, uint64_t now_us, struct client_request *r, struct peer *p, int status,
                    struct numbers n)
{
    bool last;
    note_refusal(r, p, status, n);
    switch (status) {
    case KV_E_UNAVAILABLE: elsewhere(c, now_us, r, ++r->unavailable >= CLIENT_UNAVAILABLE_MAX); break;
    case KV_E_TIMEOUT: elsewhere(c, now_us, r, false); break;
    case KV_E_NOT_COORDINATOR:
        elsewhere(c, now_us, r, r->via_peer != NULL);
        break; /* the hub is known by now */
    case KV_E_OVERLOADED:
        if (++r->overloaded >= CLIENT_OVERLOADED_MAX)
            elsewhere(c, now_us, r, true);
        else
            client_request_retry(c, now_us, r, OVERLOADED_US, 2 * r->overloaded);
        break;
    case KV_E_INVALID:
        last = !client_is_write(r) || r->round != ROUND_FINAL || ++r->invalid >= INVALID_MAX;
        elsewhere(c, now_us, r, last);
        if (!last)
            client_peer_renew(c, now_us, p);
        break;
    case KV_E_TOO_LARGE:
    case KV_E_DUPLICATE_ID:
    case KV_E_NOT_PERMITTED: elsewhere(c, now_us, r, true); break;
    case KV_E_STALE: stale(c, now_us, r); break;
    case KV_E_WRONG_RING: client_ring_want(c, now_us, p); /* fall through */
    default: client_request_retry(c, now_us, r, AGAIN_US, ++r->again); break;
    }
}

static void on_response(struct client *c, uint64_t now_us, struct client_request *r, const struct try *t,
                        struct peer *p, const struct msg_response *m)
{
    bool good = m->status == KV_OK || m->status == KV_E_NOT_FOUND;
    if (!good) {
        struct numbers n = {m->asked, m->acked, m->needed, m->hinted, m->reachable, m->us};
        refused(c, now_us, r, p, m->status, n);
        return;
    }
    client_clock_receive(&c->clock, m->row.stamp.hlc);
    if (r->round == ROUND_STAMP) {
        client_request_next_round(c, now_us, r);
        return;
    }
    if (r->done.op == CLIENT_GET && m->status == KV_OK && client_result_value(r, &m->row) != KV_OK) {
        client_log(c, "node=%s event=damaged_value", client_peer_name(p));
        refused(c, now_us, r, p, KV_E_CORRUPT, (struct numbers){0});
        return;
    }
    client_result_response(c, r, t, p, m, now_us);
    client_request_finish(c, now_us, r, m->status);
}

static void on_ring(struct client *c, uint64_t now_us, struct client_request *r, struct peer *p,
                    const struct msg_ring *m)
{
    int rc = client_ring_adopt(c, m->value);
    if (rc == KV_OK)
        client_request_next_round(c, now_us, r);
    else
        refused(c, now_us, r, p, rc, (struct numbers){0});
}

static int fill_list(struct client *c, uint64_t now_us, struct client_request *r, const struct peer *p,
                     const struct message *m)
{
    switch (m->type) {
    case MSG_SCAN_PAGE:
        return m->scan_page.status ? m->scan_page.status : client_result_scan(c, r, p, &m->scan_page, now_us);
    case MSG_STATUS: return client_result_status(r, &m->status);
    case MSG_STATS: return client_result_stats(r, p, &m->stats);
    case MSG_FAULT_REPLY:
        return m->fault_reply.status ? m->fault_reply.status : client_result_faults(r, p, &m->fault_reply);
    case MSG_CHANGE_REPLY: return client_result_change(r, p, &m->change_reply);
    case MSG_REPAIR_REPLY: return client_result_repair(r, p, &m->repair_reply);
    default: return KV_E_MALFORMED;
    }
}

/* The answer is a list of something. */
static void on_list(struct client *c, uint64_t now_us, struct client_request *r, struct peer *p,
                    const struct message *m)
{
    int rc = fill_list(c, now_us, r, p, m);
    if (rc == KV_OK)
        client_request_finish(c, now_us, r, KV_OK);
    else
        refused(c, now_us, r, p, rc, (struct numbers){0});
}

/* The answer that a request in this round waits for. */
static enum message_type expected(const struct client_request *r)
{
    if (r->round == ROUND_RING)
        return MSG_RING;
    switch (r->done.op) {
    case CLIENT_SCAN: return MSG_SCAN_PAGE;
    case CLIENT_STATUS: return MSG_STATUS;
    case CLIENT_STATS: return MSG_STATS;
    case CLIENT_FAULT: return MSG_FAULT_REPLY;
    case CLIENT_CHANGE: return MSG_CHANGE_REPLY;
    case CLIENT_REPAIR: return MSG_REPAIR_REPLY;
    case CLIENT_RING:
    case CLIENT_WHERE: return MSG_RING;
    case CLIENT_GET:
    case CLIENT_PUT:
    case CLIENT_DEL: break;
    }
    return MSG_RESPONSE;
}

static void deliver(struct client *c, uint64_t now_us, struct try *t, struct peer *p, const struct message *m)
{
    struct client_request *r = t->request;
    struct try ended = *t;
    client_peer_measure(p, now_us - t->sent_us);
    client_try_end(t);
    switch (m->type) {
    case MSG_RESPONSE:
        client_trace(r, now_us, KV_TRACE_REPLY, p, m->response.status);
        on_response(c, now_us, r, &ended, p, &m->response);
        break;
    case MSG_REFUSED:
        client_trace(r, now_us, KV_TRACE_REPLY, p, m->refused.status);
        refused(c, now_us, r, p, m->refused.status < 0 ? m->refused.status : KV_E_UNAVAILABLE,
                (struct numbers){0});
        break;
    case MSG_RING: on_ring(c, now_us, r, p, &m->ring); break;
    default: on_list(c, now_us, r, p, m); break;
    }
}

void client_answer(struct client *c, uint64_t now_us, struct peer *p, const struct message *m)
{
    if (m->id == CLIENT_PING_ID || (m->type == MSG_RING && m->id == 0)) {
        p->ping_out = p->ping_out && m->id != CLIENT_PING_ID;
        if (m->type == MSG_RING && client_ring_adopt(c, m->ring.value) != KV_OK)
            c->ring_stale = true;
        return;
    }
    if (p->in_flight > 0)
        p->in_flight--;
    struct try *t = client_try_find(c, p, m->id);
    if (t && m->type != MSG_REFUSED && m->type != expected(t->request)) {
        client_peer_drop(c, now_us, p, "answers another question");
        return;
    }
    if (t)
        deliver(c, now_us, t, p, m);
    client_peer_flush(c, now_us, p);
}
