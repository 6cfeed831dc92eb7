/* Purge among members that live in memory: each has its part, a few rows, a clock of its own, and a store
 * that answers at once. Messages lie in one list until they are delivered, so that a test may stop before any
 * step, and lose, double or delay what it likes. Included once per test. */
#ifndef TESTS_UNIT_PURGE_WORLD_H
#define TESTS_UNIT_PURGE_WORLD_H

#include "unit/purge_members.h"

/* From a delete to its purge: a look, a wait, and what the paces add. */
#define ROUND_US (INTERVAL + ROW_AGE_MAX_MS * UINT64_C(1000) + 10 * SECOND)

/* ---- messages */

static inline struct mail *mail_take(struct world *w, uint32_t index)
{
    struct mail *mail = w->mails[index];
    memmove(&w->mails[index], &w->mails[index + 1], (--w->mail_count - index) * sizeof w->mails[0]);
    return mail;
}

static inline void deliver_copy(struct world *w, struct mail *mail)
{
    struct place *at = &w->places[mail->to];
    if (!at->purge)
        return;
    hear(w, mail->to, mail->m.hlc);
    struct purge_turn t = turn_of(w, mail->to);
    if (mail->m.type == MSG_PURGE) {
        mail->m.purge.rows = mail->rows;
        purge_asked(at->purge, &t, to_peer(mail->from), mail->from, at->busy, &mail->m);
    } else {
        mail->m.purge_reply.passed.data = mail->passed;
        purge_answered(at->purge, &t, mail->from, &mail->m);
    }
    collect(w, mail->to);
}

static inline void world_deliver(struct world *w, uint32_t index)
{
    struct mail *mail = mail_take(w, index);
    bool lost = mail->m.type == MSG_PURGE && mail->m.purge.step == w->silent_step && mail->to == w->silent;
    if (!lost)
        deliver_copy(w, mail);
    free(mail);
}

/* ---- time */

static inline void world_tick(struct world *w)
{
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        struct place *at = &w->places[id];
        if (!at->purge || purge_deadline_us(at->purge) > w->now_us)
            continue;
        struct purge_turn t = turn_of(w, id);
        purge_tick(at->purge, &t);
        collect(w, id);
    }
}

static inline uint64_t world_deadline(const struct world *w)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        uint64_t one = w->places[id].purge ? purge_deadline_us(w->places[id].purge) : UINT64_MAX;
        at = one < at ? one : at;
    }
    return at;
}

static inline bool stopped(const struct world *w)
{
    return w->stop_at && w->mail_count && w->mails[0]->m.type == MSG_PURGE &&
           w->mails[0]->m.purge.step == w->stop_at;
}

/* Serves and delivers all that there is, in order. */
static inline void world_settle(struct world *w)
{
    while ((w->op_count || w->mail_count) && !stopped(w)) {
        if (w->op_count)
            world_serve(w, 0, KV_OK);
        else
            world_deliver(w, 0);
    }
}

/* Lets time go by, and all be done that is due meanwhile. False: stopped before. */
static inline bool world_run(struct world *w, uint64_t us)
{
    uint64_t end = w->now_us + us;
    for (;;) {
        world_settle(w);
        if (stopped(w))
            return false;
        uint64_t at = world_deadline(w);
        if (at > end)
            break;
        if (at > w->now_us)
            w->now_us = at;
        world_tick(w);
    }
    w->now_us = end;
    return true;
}

/* Runs until the first message of a step is next; it has to come. */
static inline void world_run_to(struct world *w, enum purge_step step)
{
    w->stop_at = (uint8_t)step;
    assert_false(world_run(w, 1000 * SECOND));
    w->stop_at = 0;
}

/* ---- life */

static inline void world_start(struct world *w, uint32_t id)
{
    struct purge_config config = {.self = id, .interval_us = w->interval_us};
    struct place *at = &w->places[id];
    assert_int_equal(purge_create(&config, &at->purge), KV_OK);
    clock_receive(&at->clock, at->floor);
    memset(at->held, 0, sizeof at->held);
    struct purge_turn t = turn_of(w, id);
    for (uint32_t other = 1; other <= MEMBERS; other++) {
        if (other != id && w->places[other].purge)
            purge_peer_set(at->purge, &t, other, true);
    }
    assert_int_equal(purge_ring_set(at->purge, &t, w->ring), KV_OK);
    collect(w, id);
}

/* Whether `id` can be reached by the others. */
static inline void world_reach(struct world *w, uint32_t id, bool reachable)
{
    for (uint32_t other = 1; other <= MEMBERS; other++) {
        if (other == id || !w->places[other].purge)
            continue;
        struct purge_turn t = turn_of(w, other);
        purge_peer_set(w->places[other].purge, &t, id, reachable);
        collect(w, other);
    }
}

/* What it was asked and was going to say is gone. */
static inline void world_kill(struct world *w, uint32_t id)
{
    purge_destroy(w->places[id].purge);
    w->places[id].purge = NULL;
    for (uint32_t i = 0; i < w->op_count; i++) {
        if (w->ops[i]->member == id) {
            free(w->ops[i]);
            memmove(&w->ops[i], &w->ops[i + 1], (--w->op_count - i) * sizeof w->ops[0]);
            i--;
        }
    }
    world_reach(w, id, false);
}

/* What was written last is lost. */
static inline void world_power_cut(struct world *w, uint32_t id)
{
    world_kill(w, id);
    for (uint32_t i = 0; i < w->key_count; i++) {
        struct cell *c = &w->places[id].cells[i];
        if (!is_home_of(w, i, id) || w->now_us > c->written_us + SYNC_US)
            continue;
        c->row = c->row_before;
        c->highest = c->highest_before;
    }
}

static inline void world_restart(struct world *w, uint32_t id)
{
    world_kill(w, id);
    world_start(w, id);
    world_reach(w, id, true);
}

static inline void world_ring_set(struct world *w, struct ring *ring)
{
    struct ring *old = w->ring;
    w->ring = ring;
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        if (!w->places[id].purge)
            continue;
        struct purge_turn t = turn_of(w, id);
        assert_int_equal(purge_ring_set(w->places[id].purge, &t, ring), KV_OK);
        collect(w, id);
    }
    ring_destroy(old);
}

static inline struct world *world_create(uint32_t keys, bool anywhere)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(outbox_init(&w->out), KV_OK);
    w->now_us = START_US;
    w->interval_us = INTERVAL;
    w->ring = world_ring(1, 0);
    world_keys(w, keys, anywhere);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        world_start(w, id);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        world_reach(w, id, true);
    /* The looks of the start are over. */
    assert_true(world_run(w, PURGE_SPREAD_US + 2 * INTERVAL));
    assert_true(world_deadline(w) == UINT64_MAX);
    return w;
}

static inline void world_destroy(struct world *w)
{
    for (uint32_t id = 1; id <= MEMBERS; id++)
        purge_destroy(w->places[id].purge);
    while (w->mail_count)
        free(mail_take(w, 0));
    for (uint32_t i = 0; i < w->op_count; i++)
        free(w->ops[i]);
    outbox_deinit(&w->out);
    ring_destroy(w->ring);
    free(w);
}

/* ---- looking */

static inline uint32_t rows_left(const struct world *w)
{
    uint32_t left = 0;
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        for (uint32_t i = 0; i < w->key_count; i++)
            left += !row_is_absent(&w->places[id].cells[i].row);
    }
    return left;
}

static inline uint32_t homes_with(const struct world *w, uint32_t key)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->ring->homes; i++)
        count += !row_is_absent(&w->places[nth(w, key, i)].cells[key].row);
    return count;
}

static inline struct purge_counters counters_of(const struct world *w, uint32_t member)
{
    return purge_counters(w->places[member].purge);
}

#endif
