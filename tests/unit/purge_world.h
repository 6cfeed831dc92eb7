/* Purge among members that live in memory: each has its part, a few rows, a clock of its own, and a store
 * that answers at once. Messages lie in one list until they are delivered, so that a test may stop before any
 * step, and lose, double or delay what it likes. Included once per test. */
#ifndef TESTS_UNIT_PURGE_WORLD_H
#define TESTS_UNIT_PURGE_WORLD_H

#include "unit/purge_members.h"

/* ---- effects */

static inline void keep_mail(struct world *w, uint32_t from, const struct effect *e)
{
    struct mail *mail = calloc(1, sizeof *mail);
    assert_non_null(mail);
    assert_true(w->mail_count < MAILS_MAX);
    *mail = (struct mail){.from = from, .sent_us = w->now_us, .m = e->send.message};
    assert_int_equal(e->send.to.conn, 0);
    mail->to = e->send.to.peer;
    mail->m.hlc = hlc_of(w, from);
    if (mail->m.type == MSG_PURGE) {
        struct msg_purge *q = &mail->m.purge;
        assert_true(q->count >= 1 && q->count <= STORE_KEYS_MAX);
        for (uint32_t i = 0; i < q->count; i++)
            mail->rows[i] =
                (struct row_version){bytes_str(w->keys[key_find(w, q->rows[i].key)]), q->rows[i].stamp};
        w->steps[q->step]++;
    } else {
        assert_int_equal(mail->m.type, MSG_PURGE_REPLY);
        if (mail->m.purge_reply.passed.len)
            memcpy(mail->passed, mail->m.purge_reply.passed.data, mail->m.purge_reply.passed.len);
    }
    w->mails[w->mail_count++] = mail;
    w->sent++;
}

static inline void keep_op(struct world *w, uint32_t member, const struct effect *e)
{
    struct asked *op = calloc(1, sizeof *op);
    assert_non_null(op);
    assert_true(w->op_count < OPS_MAX);
    op->member = member;
    op->e = *e;
    assert_int_equal(id_owner(e->op), ID_PURGE);
    if (e->type == EF_STORE_HAS) {
        for (uint32_t i = 0; i < e->has.count; i++)
            op->keys[i] = key_find(w, e->has.keys[i]);
    } else if (e->type == EF_STORE_DELETE) {
        for (uint32_t i = 0; i < e->remove.count; i++) {
            op->keys[i] = key_find(w, e->remove.entries[i].key);
            op->stamps[i] = e->remove.entries[i].stamp;
        }
    } else {
        assert_int_equal(e->type, EF_STORE_ROWS);
        assert_true(e->rows.headers && e->rows.after.key.len == 0);
    }
    w->ops[w->op_count++] = op;
}

/* What a member said and asked for in its turn. */
static inline void collect(struct world *w, uint32_t member)
{
    for (uint32_t i = 0; i < w->out.count; i++) {
        if (w->out.effects[i].type == EF_SEND)
            keep_mail(w, member, &w->out.effects[i]);
        else
            keep_op(w, member, &w->out.effects[i]);
    }
    outbox_reset(&w->out);
    struct place *at = &w->places[member];
    uint32_t partition;
    bool held;
    while (purge_hold_changed(at->purge, &partition, &held)) {
        assert_true(held || at->held[partition] > 0);
        at->held[partition] += held ? 1 : UINT32_MAX;
    }
    purge_check(at->purge);
}

/* ---- stores */

static inline void cell_set(struct world *w, struct cell *c, const struct row *row)
{
    if (w->now_us > c->written_us + SYNC_US) {
        c->row_before = c->row;
        c->highest_before = c->highest;
    }
    c->written_us = w->now_us;
    c->row = *row;
    if (stamp_cmp(row->stamp, c->highest) > 0)
        c->highest = row->stamp;
}

/* A row reaches a member's store, by whatever way. That an older row lives where a newer one was is what
 * purge must never make possible; at a home, where it counts. */
static inline void world_write(struct world *w, uint32_t member, uint32_t key, const struct row *row,
                               bool noted)
{
    struct place *at = &w->places[member];
    struct cell *c = &at->cells[key];
    struct purge_turn t = turn_of(w, member);
    if (at->purge) {
        purge_wrote(at->purge, &t, bytes_str(w->keys[key]), row);
        collect(w, member);
    }
    if (is_home_of(w, key, member) && row_wins(row, &c->row) && stamp_cmp(row->stamp, c->highest) < 0 &&
        !row_is_dead(row, hlc_of(w, member)))
        fail_msg("%s is back from the dead at member %u", w->keys[key], member);
    if (row_wins(row, &c->row))
        cell_set(w, c, row);
    c->noted |= noted;
}

static inline struct row alive_row(uint64_t hlc)
{
    return (struct row){.kind = ROW_REGISTER, .stamp = {hlc, 7}};
}

static inline struct row dead_row(uint64_t hlc)
{
    return (struct row){.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {hlc, 7}};
}

static inline struct row mortal_row(uint64_t hlc, uint64_t expires_hlc)
{
    return (struct row){.kind = ROW_REGISTER, .stamp = {hlc, 7}, .expires_hlc = expires_hlc};
}

static inline void write_homes(struct world *w, uint32_t key, const struct row *row)
{
    for (uint32_t i = 0; i < w->ring->homes; i++)
        world_write(w, nth(w, key, i), key, row, false);
}

static inline void serve_page(struct world *w, const struct asked *op, struct event *in)
{
    static struct page_entry entries[SCAN_PAGE_MAX];
    const struct place *at = &w->places[op->member];
    *in = (struct event){.type = EV_STORE_PAGE};
    in->page.op = op->e.op;
    in->page.entries = entries;
    in->page.done = true;
    uint32_t limit = op->e.rows.limit < 50 ? op->e.rows.limit : 50; /* so that pages end */
    for (uint32_t i = 0; i < w->key_count; i++) {
        uint64_t token = token_of(w, i);
        bool behind = op->e.rows.until_token && token >= op->e.rows.until_token;
        if (row_is_absent(&at->cells[i].row) || token < op->e.rows.after.token || behind)
            continue;
        if (in->page.count == limit) {
            in->page.done = false;
            return;
        }
        entries[in->page.count++] =
            (struct page_entry){.key = bytes_str(w->keys[i]), .row = at->cells[i].row};
        in->page.next = (struct cursor){token, bytes_str(w->keys[i])};
    }
}

static inline void serve_has(struct world *w, const struct asked *op, struct event *in)
{
    static struct store_has keys[STORE_KEYS_MAX];
    *in = (struct event){.type = EV_STORE_HAS};
    in->has.op = op->e.op;
    in->has.count = op->e.has.count;
    in->has.keys = keys;
    for (uint32_t i = 0; i < op->e.has.count; i++) {
        const struct cell *c = &w->places[op->member].cells[op->keys[i]];
        keys[i] = (struct store_has){c->row.stamp, c->noted};
    }
}

static inline void serve_delete(struct world *w, const struct asked *op, struct event *in)
{
    *in = (struct event){.type = EV_STORE_WRITTEN};
    in->written.op = op->e.op;
    for (uint32_t i = 0; i < op->e.remove.count; i++) {
        struct cell *c = &w->places[op->member].cells[op->keys[i]];
        if (stamp_cmp(c->row.stamp, op->stamps[i]) != 0)
            continue;
        assert_true(row_is_dead(&c->row, hlc_of(w, op->member)));
        struct row nothing = row_absent();
        cell_set(w, c, &nothing);
        in->written.deleted++;
        w->deleted++;
    }
}

/* The store of a dead process answers nobody. `status` is what it says. */
static inline void world_serve(struct world *w, uint32_t index, int status)
{
    struct asked *op = w->ops[index];
    struct event in;
    memmove(&w->ops[index], &w->ops[index + 1], (--w->op_count - index) * sizeof w->ops[0]);
    if (op->e.type == EF_STORE_ROWS)
        serve_page(w, op, &in);
    else if (op->e.type == EF_STORE_HAS)
        serve_has(w, op, &in);
    else if (status == KV_OK)
        serve_delete(w, op, &in);
    else
        in = (struct event){.type = EV_STORE_WRITTEN, .written = {.op = op->e.op}};
    if (in.type == EV_STORE_PAGE)
        in.page.status = status;
    else if (in.type == EV_STORE_HAS)
        in.has.status = status;
    else
        in.written.status = status;
    struct place *at = &w->places[op->member];
    if (at->purge) {
        struct purge_turn t = turn_of(w, op->member);
        WORLD_CALL(purge_stored(at->purge, &t, &in));
        collect(w, op->member);
    }
    free(op);
}

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
        WORLD_CALL(purge_asked(at->purge, &t, to_peer(mail->from), mail->from, at->busy, &mail->m));
    } else {
        mail->m.purge_reply.passed.data = mail->passed;
        WORLD_CALL(purge_answered(at->purge, &t, mail->from, &mail->m));
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
        WORLD_CALL(purge_tick(at->purge, &t));
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
    struct purge_config config = {
        .self = id, .interval_us = w->interval_us, .row_age_max_ms = ROW_AGE_MAX_MS};
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
    assert_true(world_run(w, PURGE_SPREAD * INTERVAL + 2 * INTERVAL));
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
