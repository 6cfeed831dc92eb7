/* What the client is told, always with numbers (DESIGN section 6). */
#include "coord/internal.h"

static enum coord_outcome outcome_of(int status)
{
    switch (status) {
    case KV_OK: return OUTCOME_OK;
    case KV_E_NOT_FOUND: return OUTCOME_NOT_FOUND;
    case KV_E_UNAVAILABLE: return OUTCOME_UNAVAILABLE;
    case KV_E_TIMEOUT: return OUTCOME_TIMEOUT;
    case KV_E_OVERLOADED: return OUTCOME_OVERLOADED;
    default: return OUTCOME_REFUSED;
    }
}

static void count(struct coord *c, uint8_t op, int status)
{
    uint64_t *by_outcome = op == OP_PUT ? c->counters.puts : c->counters.gets;
    by_outcome[outcome_of(status)]++;
}

/* Holders that do not have the row, but for which a hint is kept or on its way. */
static uint8_t hinted(const struct request *r)
{
    position_set hints = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        hints |= g->hints_kept;
        if (g->writing && g->state == TARGET_SENT)
            hints |= g->hints_sent;
    }
    return (uint8_t)position_count(hints & ~request_ok(r));
}

static void copy_trace(const struct request *r, struct arena *arena, struct msg_response *out)
{
    struct trace_line *lines = arena_alloc(arena, r->trace_count * sizeof *lines);
    if (!lines)
        return;
    memcpy(lines, r->trace, r->trace_count * sizeof *lines);
    out->trace = lines;
    out->trace_count = r->trace_count;
}

void request_reply(struct coord *c, const struct turn *t, struct request *r, int status, bool proven,
                   struct row owned)
{
    KV_ASSERT(!request_answered(r));
    trace(r, t, TRACE_DECIDE, c->config.self, 0, status, owned.stamp);
    struct message *m = outbox_send(t->out, r->client, MSG_RESPONSE, r->client_id);
    struct msg_response *a = &m->response;
    uint64_t us = t->now.mono_us - r->arrived_us;
    a->status = status;
    a->asked = (uint8_t)request_asked(r);
    a->acked = (uint8_t)request_acked(r);
    a->needed = r->needed;
    a->hinted = r->op == OP_PUT ? hinted(r) : 0;
    a->reachable = (uint8_t)request_reachable(r);
    a->proven = proven;
    a->coordinator = c->config.self;
    a->us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    a->row = owned;
    if (r->trace_count)
        copy_trace(r, &t->out->arena, a);
    KV_ASSERT(a->acked <= a->asked);
    KV_ASSERT(c->unanswered > 0);
    c->unanswered--;
    count(c, r->op, status);
}

void reply_refusal(struct coord *c, struct outbox *out, struct endpoint client, const struct message *m,
                   int status)
{
    struct message *answer = outbox_send(out, client, MSG_RESPONSE, m->id);
    answer->response.status = status;
    answer->response.coordinator = c->config.self;
    count(c, m->request.op, status);
}

/* "timeout" says that the outcome is unknown, so it is the word unless every member that was asked has said
 * no, and none of them was ever lost on the way. */
int request_failure(const struct request *r)
{
    int word = KV_E_TIMEOUT;
    if (request_asked(r) == 0)
        return KV_E_UNAVAILABLE;
    if (r->asked_before)
        return KV_E_TIMEOUT;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (!g->asked)
            continue;
        if (g->state != TARGET_REFUSED || g->ok || g->unsure)
            return KV_E_TIMEOUT;
        if (g->status == KV_E_OVERLOADED || g->status == KV_E_FULL)
            word = KV_E_OVERLOADED;
        else if (word == KV_E_TIMEOUT && (g->status == KV_E_INVALID || g->status == KV_E_TOO_LARGE ||
                                          g->status == KV_E_NOT_PERMITTED))
            word = g->status;
    }
    return word;
}
