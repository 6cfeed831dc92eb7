/* The members of purge_world.h: their keys, clocks and stores; what each says and asks for in its turn is
 * kept until it is delivered or served. Included once per test, by purge_world.h. */
#ifndef TESTS_UNIT_PURGE_MEMBERS_H
#define TESTS_UNIT_PURGE_MEMBERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "repair/purge.h"

enum { MEMBERS = 5, HOMES = 3, PARTITIONS = 8, KEYS_MAX = 700, MAILS_MAX = 20000, OPS_MAX = 4000 };

#define WALL_MS  UINT64_C(1700000000000)
#define START_US UINT64_C(1000000000)
#define SECOND   UINT64_C(1000000)
#define INTERVAL (60 * SECOND)
#define SYNC_US  (20 * SECOND) /* what was written longer ago is on the disk */

/* A row at a member, and the largest stamp that was ever there; and what was there before the latest write,
 * which a power cut may bring back. */
struct cell {
    struct row row;
    bool noted;
    struct stamp highest;
    struct row row_before;
    struct stamp highest_before;
    uint64_t written_us;
};

struct place {
    struct purge *purge; /* NULL: the process is dead */
    struct clock clock;
    int64_t skew_ms;
    uint64_t floor; /* what it said last */
    bool busy;      /* a transfer or anti-entropy is open, on every partition */
    bool held[PARTITIONS];
    struct cell cells[KEYS_MAX];
};

/* A message on its way; keys are those of the world, so nothing of it is borrowed. */
struct mail {
    uint32_t from, to;
    uint64_t sent_us;
    struct message m;
    struct row_version rows[STORE_KEYS_MAX];
    uint8_t passed[PURGE_BITS_BYTES];
};

/* What a store was asked for. */
struct asked {
    uint32_t member;
    struct effect e;
    uint32_t keys[STORE_KEYS_MAX];
    struct stamp stamps[STORE_KEYS_MAX];
};

struct world {
    uint64_t now_us;
    uint64_t interval_us; /* of all purges */
    struct ring *ring;
    struct outbox out;
    struct place places[MEMBERS + 1]; /* by id */
    char keys[KEYS_MAX][16];          /* in token order */
    uint32_t key_count;
    struct mail *mails[MAILS_MAX]; /* oldest first */
    uint32_t mail_count;
    struct asked *ops[OPS_MAX];
    uint32_t op_count;
    uint8_t stop_at;        /* a purge's step: nothing is delivered once one of its messages is first */
    uint8_t silent_step;    /* messages of this step to `silent` are lost */
    uint32_t silent;        /* ... 0: nobody */
    uint64_t sent, deleted; /* messages; rows */
    uint64_t steps[PURGE_DELETE + 1];
};

static inline struct ring *world_ring(uint64_t epoch, uint32_t without)
{
    struct member table[MEMBERS] = {0};
    struct ring_value v = {
        .epoch = epoch, .partitions = PARTITIONS, .replicas = HOMES, .next_id = 100, .members = table};
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        if (id == without)
            continue;
        struct member *m = &table[v.member_count++];
        m->id = id;
        m->store_id = id;
        m->weight = 1;
        snprintf(m->name, sizeof m->name, "n%u", id);
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7600 + id);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

/* ---- keys */

static inline uint64_t token_of(const struct world *w, uint32_t key)
{
    return key_token(bytes_str(w->keys[key]));
}

static inline uint32_t key_find(const struct world *w, struct bytes key)
{
    for (uint32_t i = 0; i < w->key_count; i++) {
        if (bytes_eq(key, bytes_str(w->keys[i])))
            return i;
    }
    fail_msg("a key of nobody");
    return 0;
}

static inline uint32_t partition_of(const struct world *w, uint32_t key)
{
    return ring_partition(w->ring, token_of(w, key));
}

/* The i-th of the preference list: homes first. */
static inline uint32_t nth(const struct world *w, uint32_t key, uint32_t i)
{
    uint32_t list[PREFERENCE_MAX];
    assert_true(i < ring_preference(w->ring, partition_of(w, key), list));
    return list[i];
}

static inline bool is_home_of(const struct world *w, uint32_t key, uint32_t member)
{
    return ring_is_home(w->ring, partition_of(w, key), member);
}

static inline int text_cmp(const void *a, const void *b)
{
    uint64_t x = key_token(bytes_str(a)), y = key_token(bytes_str(b));
    return x < y ? -1 : x > y;
}

/* `count` keys, all in one partition unless `anywhere`. */
static inline void world_keys(struct world *w, uint32_t count, bool anywhere)
{
    for (uint32_t n = 0; w->key_count < count; n++) {
        snprintf(w->keys[w->key_count], sizeof w->keys[0], "key%u", n);
        uint64_t token = key_token(bytes_str(w->keys[w->key_count]));
        if (anywhere || token_partition(token, PARTITIONS) == 3)
            w->key_count++;
    }
    qsort(w->keys, count, sizeof w->keys[0], text_cmp);
}

/* ---- clocks */

static inline uint64_t wall_ms(const struct world *w, uint32_t member)
{
    return (uint64_t)((int64_t)(WALL_MS + w->now_us / 1000) + w->places[member].skew_ms);
}

static inline uint64_t hlc_of(const struct world *w, uint32_t member)
{
    return clock_peek(&w->places[member].clock, wall_ms(w, member));
}

static inline struct purge_turn turn_of(struct world *w, uint32_t member)
{
    struct place *at = &w->places[member];
    uint64_t hlc = hlc_of(w, member);
    at->floor = hlc > at->floor ? hlc : at->floor;
    return (struct purge_turn){
        .now = {w->now_us, wall_ms(w, member)}, .hlc = hlc, .said = hlc, .out = &w->out};
}

/* What a message of another one's clock does to this one's (node/hlc.c). */
static inline void hear(struct world *w, uint32_t member, uint64_t hlc)
{
    struct place *at = &w->places[member];
    if (clock_accepts(&at->clock, wall_ms(w, member), hlc))
        clock_receive(&at->clock, hlc);
}

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
        assert_int_not_equal(held, at->held[partition]);
        at->held[partition] = held;
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

static inline struct row now_dead(struct world *w)
{
    return dead_row(hlc_of(w, 1));
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
        entries[in->page.count++] = (struct page_entry){bytes_str(w->keys[i]), at->cells[i].row, {0, 0}};
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
        purge_stored(at->purge, &t, &in);
        collect(w, op->member);
    }
    free(op);
}

#endif
