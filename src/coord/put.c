/* Puts (Dynamo sections 4.5 and 4.6): the row goes to every holder, or to who stands in for it; W
 * acknowledgements are the answer; the rest is cared for afterwards. Holders are the homes, and while the
 * ring changes the homes before and after: of a slot that moves, both together are one acknowledgement.
 *
 * W counts distinct members, that is, disks: a stand-in counts beside the slow home it stands in for, since
 * both have the row. Under strict only homes count. */
#include "base/mutant.h"
#include "coord/internal.h"

/* Members whose word may still come. */
static position_set pending(const struct request *r)
{
    position_set waiting = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (!g->ok && (g->state == TARGET_SENT || g->state == TARGET_HELD))
            waiting |= position_bit(p);
    }
    return waiting;
}

/* What is on its way covers a home until it has been silent for too long; what is held, until the deadline.
 */
static bool on_its_way(const struct request *r, const struct target *g, uint64_t now_us)
{
    if (g->state == TARGET_SENT)
        return !target_silent(g, now_us, COORD_WRITE_PATIENCE_US);
    return g->state == TARGET_HELD && now_us < r->deadline_us;
}

/* Slots that are given up neither acknowledge nor have a home to stand in for. Where a sloppy put cannot do
 * without them, a fallback stands in for their twins, who have no voice of their own. */
static position_set vacant(const struct request *r)
{
    position_set gone = r->shape.given_up & positions_below(r->shape.homes);
    if (!gone || request_strict(r) || r->needed + position_count(gone) <= r->shape.homes)
        return 0;
    return plan_heirs(&r->shape, gone);
}

static struct plan_view view_of(const struct coord *c, const struct request *r, uint64_t now_us)
{
    struct plan_view v = {.self = request_position(r, c->config.self), .holders = plan_holders(&r->shape)};
    position_set noted = 0, has = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        bool coming = on_its_way(r, g, now_us);
        if (target_open(r, g) && !g->ok)
            v.idle |= position_bit(p);
        if (target_open(r, g) && g->ok)
            v.carriers |= position_bit(p);
        if (g->barred)
            v.no_hints |= position_bit(p);
        if (g->ok || coming)
            has |= position_bit(p);
        noted |= g->hints_kept | (coming ? g->hints_sent : 0u);
    }
    v.fallbacks = positions_below(r->shape.listed) & ~positions_below(r->shape.homes);
    v.covered = (has & v.holders) | noted;
    v.vacant = vacant(r) & ~noted;
    return v;
}

/* Sends until nothing is left that could be sent now. */
static void send_planned(struct coord *c, const struct turn *t, struct request *r)
{
    for (;;) {
        struct plan_view v = view_of(c, r, t->now.mono_us);
        struct plan plan = plan_write(&v);
        if (!plan.send)
            return;
        for (uint32_t p = 0; p < r->shape.width; p++) {
            if (plan.send & position_bit(p))
                target_write(c, t, r, p, plan.hints[p], TRACE_ASK);
        }
    }
}

/* Every holder has the row, or a hint for it is kept. */
static bool settled(const struct request *r)
{
    position_set cared_for = request_ok(r);
    for (uint32_t p = 0; p < r->shape.width; p++)
        cared_for |= r->targets[p].hints_kept;
    return !(plan_holders(&r->shape) & ~cared_for);
}

/* When something that is on its way will have been silent for too long; UINT64_MAX: nothing is. */
static uint64_t patience_ends_us(const struct request *r, uint64_t now_us)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        uint64_t ends = g->sent_us + COORD_WRITE_PATIENCE_US;
        if (g->state == TARGET_SENT && ends > now_us && ends < at)
            at = ends;
        if (g->state == TARGET_HELD && r->deadline_us > now_us && r->deadline_us < at)
            at = r->deadline_us;
    }
    return at;
}

static void answer(struct coord *c, const struct turn *t, struct request *r, int status)
{
    request_reply(c, t, r, status, false, row_absent());
    r->phase = PHASE_SETTLE;
}

/* W is reached, or cannot be any more, or the time is up. When it cannot, the answers that are on their way
 * are awaited all the same: if they are refusals too, nothing was applied, and that is a better word than
 * "timeout". It is a true word: nothing is on its way then, so the request ends, and nothing is applied
 * later.
 */
static void judge(struct coord *c, const struct turn *t, struct request *r)
{
    uint32_t acked = request_acked(r);
    position_set hoped = request_done(r, request_ok(r) | pending(r)) & request_counted(r);
    bool hopeless = position_count(hoped) < r->needed && !request_expects(r, t->now.mono_us);
    if (acked >= MUTANT(quorum_off_by_one, r->needed, r->needed - 1u))
        answer(c, t, r, KV_OK);
    else if (hopeless || t->now.mono_us >= r->deadline_us)
        answer(c, t, r, request_failure(r));
}

/* An answered put lives until every holder is cared for, nothing more can be done, or its time is up. */
static void settle(struct coord *c, const struct turn *t, struct request *r)
{
    uint64_t last = r->deadline_us + COORD_WRITE_PATIENCE_US;
    uint64_t next = patience_ends_us(r, t->now.mono_us);
    if (MUTANT(request_never_ends, settled(r) || next == UINT64_MAX || t->now.mono_us >= last, false))
        request_end(c, r);
    else
        request_wake(c, r, MUTANT(request_never_ends, next < last ? next : last, t->now.mono_us + 1000000));
}

void put_run(struct coord *c, const struct turn *t, struct request *r)
{
    send_planned(c, t, r);
    if (r->phase == PHASE_PUT)
        judge(c, t, r);
    if (r->phase == PHASE_PUT) {
        uint64_t next = patience_ends_us(r, t->now.mono_us);
        request_wake(c, r, next < r->deadline_us ? next : r->deadline_us);
    } else if (r->phase == PHASE_SETTLE) {
        settle(c, t, r);
    }
}

void put_answered(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  uint32_t attempt, const struct message *m)
{
    struct target *g = &r->targets[position];
    int status = m->write_ack.status;
    bool latest = attempt == g->attempt;
    trace(r, t, TRACE_ANSWER, g->peer->member, 0, status, r->row.stamp);
    if (status != KV_OK) {
        if (latest && status == KV_E_WRONG_RING)
            target_wrong_ring(c, t, r, g, m->ring_epoch);
        else if (latest)
            target_refused(r, g, status);
        return;
    }
    /* Also an acknowledgement of a former attempt says that the row is there; only the latest can say it of
     * the hints. */
    r->needed = (uint8_t)(r->needed - MUTANT(double_ack, 0, g->ok && r->needed > 1));
    g->ok = true;
    if (latest) {
        c->counters.hinted += position_count(g->hints_sent & ~g->hints_kept);
        g->hints_kept |= g->hints_sent;
    }
    target_done(g, latest);
}
