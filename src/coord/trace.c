/* The story of an explained request: who was asked, when, and what came back. */
#include "coord/internal.h"

#include <stdlib.h>

void trace(struct request *r, const struct turn *t, enum trace_kind kind, uint32_t member, uint32_t other,
           int status, struct stamp stamp)
{
    if (!(r->flags & REQ_EXPLAIN) || request_answered(r))
        return;
    /* The last line is kept for the decision. */
    if (r->trace_count >= TRACE_MAX - (kind == TRACE_DECIDE ? 0 : 1))
        return;
    if (!r->trace)
        r->trace = calloc(TRACE_MAX, sizeof *r->trace);
    if (!r->trace)
        return; /* a request without its story is better than none */
    uint64_t us = t->now.mono_us - r->arrived_us;
    r->trace[r->trace_count++] = (struct trace_line){
        .at_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX,
        .kind = (uint8_t)kind,
        .member = member,
        .other = other,
        .status = status,
        .stamp = stamp,
    };
}

void trace_unreachable(struct request *r, const struct turn *t)
{
    position_set concerned = r->op == OP_PUT ? plan_holders(&r->shape) : positions_below(r->shape.homes);
    for (uint32_t p = 0; concerned >> p; p++) {
        const struct peer *peer = r->targets[p].peer;
        if ((concerned & position_bit(p)) && !peer_reachable(peer))
            trace(r, t, TRACE_SKIP, peer->member, 0, KV_OK, (struct stamp){0});
    }
}
