/* Gets, and the stamp round of strict puts: ask R, the nearest first; hedge; prove absence; and write the
 * newest back before it is the answer (ABD's second phase: Attiya, Bar-Noy, Dolev 1995).
 *
 * What is answered under strict is held by so many homes that every majority of them meets one that holds it,
 * whatever this reader's R was: a later reader, with another majority R, never sees anything older.
 *
 * R below a majority promises nothing of the kind: stale members are repaired, but not waited for.
 *
 * While the ring changes, a slot that moves is read at one of its two homes, but holds the newest row only
 * when both do: the other is written to even when all that were asked agree, for it may be the one that is
 * read next, and may have missed a put that was never finished. */
#include "base/mutant.h"
#include "coord/internal.h"

#define PROOF_PATIENCE_US COORD_WRITE_PATIENCE_US
#define MOVING_DISTANCE   64u /* beyond every distance that is measured */

static uint64_t hedge_us(const struct peer *p)
{
    uint64_t us = p->read.p99_us ? p->read.p99_us : COORD_HEDGE_MAX_US;
    if (us < COORD_HEDGE_MIN_US)
        return COORD_HEDGE_MIN_US;
    return us < COORD_HEDGE_MAX_US ? us : COORD_HEDGE_MAX_US;
}

static bool reading(const struct target *g)
{
    return g->state == TARGET_SENT && !g->writing;
}

/* Slower than it usually is: another is asked beside it. */
static bool slow(const struct target *g, uint64_t now_us)
{
    return reading(g) && target_silent(g, now_us, hedge_us(g->peer));
}

/* So slow that, under sloppy, it does not count as reachable any more. */
static bool silent(const struct target *g, uint64_t now_us)
{
    return target_silent(g, now_us, COORD_WRITE_PATIENCE_US);
}

static uint32_t homes_answered(const struct request *r)
{
    return position_count(request_done(r, request_ok(r)) & positions_below(r->shape.homes));
}

/* Homes that have not answered: a fallback that is sent the row keeps hints for them. */
static position_set homes_missing(const struct request *r)
{
    return plan_heirs(&r->shape, positions_below(r->shape.homes) & ~request_ok(r));
}

/* Members whose answer may still come. Strict waits for whoever was asked, sloppy not for the silent. */
static position_set pending(const struct request *r, uint64_t now_us)
{
    position_set waiting = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        bool may_come = g->state == TARGET_SENT && (request_strict(r) || !silent(g, now_us));
        if (may_come || g->state == TARGET_HELD)
            waiting |= position_bit(p);
    }
    return waiting;
}

/* Who counts now: the homes, or the first N of the list that answered or still may. */
static position_set window(const struct request *r, uint64_t now_us)
{
    position_set good = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        bool may_come = g->state == TARGET_SENT && !silent(g, now_us);
        if (g->ok || may_come || g->state == TARGET_HELD || target_open(r, g))
            good |= position_bit(p);
    }
    return plan_window(r->shape.homes, request_done(r, good), request_strict(r));
}

/* Whether the newest row has to be on enough members before it is the answer. */
static bool writes_back(const struct request *r)
{
    return r->op == OP_GET && r->needed >= plan_majority(r->shape.homes);
}

/* In classes that double from half a millisecond, so that members that are about as near share the reads of
 * different keys, in the order of their lists. Slots that move come last where the row is written back: they
 * need a write even when nothing is stale. */
static void distances(const struct coord *c, const struct request *r, uint8_t out[PREFERENCE_MAX])
{
    memset(out, 0, PREFERENCE_MAX);
    for (uint32_t p = 0; p < r->shape.homes; p++) {
        const struct peer *peer = r->targets[p].peer;
        if (peer->member == c->config.self)
            continue;
        out[p] = 1;
        for (uint32_t us = peer->read.mean_us / 512; us; us /= 2)
            out[p]++;
    }
    for (uint32_t p = 0; writes_back(r) && plan_moves(&r->shape) && p < r->shape.homes; p++) {
        if (r->shape.twin[p])
            out[p] = (uint8_t)(out[p] + MOVING_DISTANCE);
    }
}

/* ---- the answer */

/* What was slow is learned even if nobody waits for it: else it would seem as fast as ever. */
static void learn_from_silence(const struct turn *t, const struct request *r)
{
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (slow(g, t->now.mono_us))
            latency_record(&g->peer->read, t->now.mono_us - g->sent_us);
    }
}

static void finish(struct coord *c, const struct turn *t, struct request *r, int status, bool proven,
                   struct row owned)
{
    learn_from_silence(t, r);
    request_reply(c, t, r, status, proven, owned);
    request_end(c, r);
}

static void fail(struct coord *c, const struct turn *t, struct request *r)
{
    finish(c, t, r, request_failure(r), false, row_absent());
}

static bool holds_newest(const struct request *r, const struct target *g)
{
    return stamp_cmp(g->held, r->row.stamp) == 0;
}

/* Whether the newest row can be sent there. To a fallback only as a stand-in: else nobody would ever take it
 * away from there. */
static bool can_take(const struct request *r, uint32_t p)
{
    const struct target *g = &r->targets[p];
    if (!target_open(r, g) || g->barred || holds_newest(r, g))
        return false;
    bool holder = plan_holders(&r->shape) & position_bit(p);
    return holder || (!request_strict(r) && homes_missing(r));
}

static void write_back_to(struct coord *c, const struct turn *t, struct request *r, uint32_t p)
{
    bool holder = plan_holders(&r->shape) & position_bit(p);
    target_write(c, t, r, p, holder ? 0 : homes_missing(r), TRACE_WRITE_BACK);
}

/* Everybody who answered with an older row is sent the newest, once. */
static void repair_stale(struct coord *c, const struct turn *t, struct request *r)
{
    for (uint32_t p = 0; p < MUTANT(drop_write_back, r->shape.width, 0u); p++) {
        const struct target *g = &r->targets[p];
        bool tried = g->writing && stamp_cmp(g->written, r->row.stamp) == 0;
        if (g->ok && !tried && can_take(r, p))
            write_back_to(c, t, r, p);
    }
}

/* First the winner was picked; only now is asked whether it is dead. */
static void answer_row(struct coord *c, const struct turn *t, struct request *r)
{
    struct row row = row_absent();
    int status = KV_OK;
    bool proven = false;
    if (r->op == OP_STAMP) {
        row = r->row;
        row.payload = NULL;
    } else {
        repair_stale(c, t, r);
        if (row_is_dead(&r->row, t->hlc)) {
            status = KV_E_NOT_FOUND;
            proven =
                r->needed >= plan_majority(r->shape.homes) || homes_answered(r) >= plan_cover(r->shape.homes);
        } else {
            row = row_ref(&r->row);
        }
    }
    finish(c, t, r, status, proven, row);
}

/* ---- writing back */

/* Who holds the newest row, who is being sent it, and who could be. */
struct holding {
    position_set has, coming, able;
};

static struct holding holding_of(const struct request *r, uint64_t now_us)
{
    struct holding h = {0};
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (holds_newest(r, g))
            h.has |= position_bit(p);
        else if (g->state == TARGET_SENT && g->writing && !silent(g, now_us))
            h.coming |= position_bit(p);
        else if (can_take(r, p))
            h.able |= position_bit(p);
    }
    return h;
}

/* Sends the row to as many more as are needed. */
static void spread(struct coord *c, const struct turn *t, struct request *r)
{
    const struct plan_shape *s = &r->shape;
    struct holding h = holding_of(r, t->now.mono_us);
    position_set counted = request_counted(r), open = window(r, t->now.mono_us);
    uint8_t distance[PREFERENCE_MAX];
    distances(c, r, distance);
    for (;;) {
        position_set will = plan_whole(s, h.has | h.coming);
        position_set could = plan_whole(s, h.has | h.coming | h.able) & ~will & open;
        if (position_count(will & counted) >= plan_majority(s->homes) || !could)
            return;
        position_set missing = plan_unit(s, plan_reader(s->homes, could, distance)) & ~(h.has | h.coming);
        for (uint32_t p = 0; missing >> p; p++) {
            if (missing & position_bit(p))
                write_back_to(c, t, r, p);
        }
        h.coming |= missing;
    }
}

/* Whether every majority meets one that holds the newest row, if these do; and will, whatever becomes of the
 * ring. Half of an even number of homes would do for now, but not when their number grows or shrinks: what is
 * shown is to be at as many as what a put was acknowledged by (ring/sources.c counts on it). */
static bool covers(const struct request *r, position_set holders)
{
    position_set whole = plan_whole(&r->shape, holders) & request_counted(r);
    return position_count(whole) >= plan_majority(r->shape.homes);
}

/* A sloppy get that can find nobody to take the row answers all the same: it promises no more. */
static void write_back(struct coord *c, const struct turn *t, struct request *r)
{
    uint64_t now_us = t->now.mono_us;
    position_set has = 0;
    for (uint32_t p = 0; p < r->shape.width; p++)
        has |= holds_newest(r, &r->targets[p]) ? position_bit(p) : 0;
    repair_stale(c, t, r);
    if (covers(r, has)) {
        answer_row(c, t, r);
        return;
    }
    spread(c, t, r);
    bool over = !covers(r, has | pending(r, now_us)) || now_us >= r->deadline_us;
    if (over && !request_strict(r))
        answer_row(c, t, r);
    else if (over)
        fail(c, t, r);
}

/* ---- reading */

static position_set readers(const struct request *r, uint64_t now_us)
{
    position_set s = 0;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (g->state == TARGET_IDLE && !g->ok && target_open(r, g))
            s |= position_bit(p);
    }
    return s & window(r, now_us);
}

/* Keeps as many reads going as answers are wanted, those that are slow not counted. */
static void ask(struct coord *c, const struct turn *t, struct request *r)
{
    uint64_t now_us = t->now.mono_us;
    uint8_t distance[PREFERENCE_MAX];
    distances(c, r, distance);
    for (;;) {
        uint32_t hopeful = request_acked(r), late = 0;
        for (uint32_t p = 0; p < r->shape.width; p++) {
            hopeful += reading(&r->targets[p]) && !slow(&r->targets[p], now_us);
            late += slow(&r->targets[p], now_us);
        }
        if (hopeful >= r->needed && !r->probing)
            return;
        uint32_t p = plan_reader(r->shape.homes, readers(r, now_us), distance);
        if (p == PLAN_NONE)
            return;
        target_read(c, t, r, p, hopeful < r->needed && hopeful + late >= r->needed);
    }
}

/* The farthest home is asked too, without waiting for it: who was slow once would never be measured again. */
static void explore(struct coord *c, const struct turn *t, struct request *r)
{
    uint8_t distance[PREFERENCE_MAX];
    position_set idle = readers(r, t->now.mono_us) & positions_below(r->shape.homes);
    uint32_t farthest = PLAN_NONE;
    r->exploring = false;
    distances(c, r, distance);
    for (uint32_t p = 0; p < r->shape.homes; p++) {
        if ((idle & position_bit(p)) && (farthest == PLAN_NONE || distance[p] > distance[farthest]))
            farthest = p;
    }
    if (farthest == PLAN_NONE)
        return;
    struct target *g = &r->targets[farthest];
    target_read(c, t, r, farthest, false);
    if (g->state == TARGET_SENT) {
        g->peer->probe_id = target_id(r, g);
        g->peer->probe_us = t->now.mono_us;
    }
}

/* R answers, and no row: absence is proven by N - M + 1 homes' word; without it the rest of the N is asked,
 * and then a sloppy answer may come unproven. It comes in time: half of what is left is the most it waits. */
static void prove_absence(struct coord *c, const struct turn *t, struct request *r)
{
    uint64_t now_us = t->now.mono_us;
    if (homes_answered(r) >= plan_cover(r->shape.homes)) {
        finish(c, t, r, KV_E_NOT_FOUND, true, row_absent());
        return;
    }
    if (!r->probing) {
        uint64_t left = now_us < r->deadline_us ? r->deadline_us - now_us : 0;
        r->probing = true;
        r->proof_us = now_us + (left / 2 < PROOF_PATIENCE_US ? left / 2 : PROOF_PATIENCE_US);
        ask(c, t, r);
    }
    if (request_strict(r) && (!pending(r, now_us) || now_us >= r->deadline_us))
        fail(c, t, r);
    else if (!request_strict(r) && (!pending(r, now_us) || now_us >= r->proof_us))
        finish(c, t, r, KV_E_NOT_FOUND, false, row_absent());
}

static void judge(struct coord *c, const struct turn *t, struct request *r)
{
    uint32_t answered = request_acked(r), waiting = 0;
    if (answered < r->needed) {
        for (uint32_t p = 0; p < r->shape.listed; p++)
            waiting += reading(&r->targets[p]) || r->targets[p].state == TARGET_HELD;
        bool hopeless = answered + waiting < r->needed && !request_expects(r, t->now.mono_us);
        if (hopeless || t->now.mono_us >= r->deadline_us)
            fail(c, t, r);
    } else if (row_is_absent(&r->row) && r->op == OP_GET) {
        prove_absence(c, t, r);
    } else if (!writes_back(r) || MUTANT(drop_write_back, false, true)) {
        answer_row(c, t, r);
    } else {
        r->phase = PHASE_WRITE_BACK;
    }
}

/* ---- events */

static uint64_t next_wake_us(const struct request *r, uint64_t now_us)
{
    uint64_t at = r->deadline_us;
    if (r->probing && r->proof_us > now_us && r->proof_us < at)
        at = r->proof_us;
    for (uint32_t p = 0; p < r->shape.width; p++) {
        const struct target *g = &r->targets[p];
        if (g->state != TARGET_SENT)
            continue;
        uint64_t hedge = g->sent_us + hedge_us(g->peer), given_up = g->sent_us + COORD_WRITE_PATIENCE_US;
        if (!g->writing && hedge > now_us && hedge < at)
            at = hedge;
        if (given_up > now_us && given_up < at)
            at = given_up;
    }
    return at;
}

void get_run(struct coord *c, const struct turn *t, struct request *r)
{
    if (r->phase == PHASE_READ) {
        ask(c, t, r);
        if (r->exploring)
            explore(c, t, r);
        judge(c, t, r);
    }
    if (r->phase == PHASE_WRITE_BACK)
        write_back(c, t, r);
    if (r->phase != PHASE_FREE)
        request_wake(c, r, next_wake_us(r, t->now.mono_us));
}

static void row_came(struct coord *c, struct request *r, struct target *g, const struct row *row)
{
    if (MUTANT(resurrect_tombstone, false, row->flags & ROW_TOMBSTONE) ||
        MUTANT(expiry_before_winner, false, row_is_dead(row, c->hlc)))
        return;
    if (stamp_cmp(row->stamp, g->held) > 0)
        g->held = row->stamp;
    if (!row_wins(row, &r->row))
        return;
    struct row owned = row_ref(row);
    if (r->op == OP_STAMP) { /* what was not asked for is not kept */
        blob_unref(owned.payload);
        owned.payload = NULL;
    }
    request_hold(c, r, owned);
}

static void read_answered(struct coord *c, const struct turn *t, struct request *r, struct target *g,
                          bool latest, const struct message *m)
{
    const struct msg_read_reply *a = &m->read_reply;
    int status = a->status;
    if (g->ok || g->state == TARGET_REFUSED)
        return;
    if (status == KV_OK && !row_is_absent(&a->row) && r->op == OP_GET)
        status = row_check(&a->row, c->config.value_max_bytes);
    trace(r, t, TRACE_ANSWER, g->peer->member, 0, status, a->row.stamp);
    latest = latest && !g->writing;
    if (latest && g->state == TARGET_SENT)
        latency_record(&g->peer->read, t->now.mono_us - g->sent_us);
    if (status == KV_OK) {
        g->ok = true;
        row_came(c, r, g, &a->row);
        target_done(g, latest);
    } else if (latest && status == KV_E_WRONG_RING) {
        target_wrong_ring(c, t, r, g, m->ring_epoch);
    } else if (latest) {
        target_refused(r, g, status);
    }
}

void get_answered(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  uint32_t attempt, const struct message *m)
{
    struct target *g = &r->targets[position];
    bool latest = attempt == g->attempt;
    if (m->type == MSG_READ_REPLY) {
        read_answered(c, t, r, g, latest, m);
    } else if (latest && g->writing) {
        trace(r, t, TRACE_ANSWER, g->peer->member, 0, m->write_ack.status, g->written);
        if (m->write_ack.status == KV_E_WRONG_RING)
            target_wrong_ring(c, t, r, g, m->ring_epoch);
        else if (m->write_ack.status != KV_OK)
            target_refused(r, g, m->write_ack.status);
        if (m->write_ack.status != KV_OK)
            return;
        if (stamp_cmp(g->written, g->held) > 0)
            g->held = g->written;
        target_done(g, true);
    }
}
