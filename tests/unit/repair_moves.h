/* A node that takes partitions over, its store, and the stores of those that had them: for the tests of
 * repair/transfer.c. What was asked for lies in trays until the test lets it be answered. */
#ifndef TESTS_UNIT_REPAIR_MOVES_H
#define TESTS_UNIT_REPAIR_MOVES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "base/rate.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/pack.h"
#include "repair/transfer.h"

enum { MOVERS_MAX = 8, ITEMS_MAX = 4000, TRAY_MAX = 512, PARTS = 64 };

#define MOVES_HLC (UINT64_C(100000) << HLC_COUNTER_BITS)

/* A key, and which version of it each member has. */
struct piece {
    char text[16];
    uint64_t token;
    uint32_t bytes; /* of the value */
    uint64_t at[MOVERS_MAX + 1];
};

struct asked {
    uint32_t member;
    uint64_t id;
    uint32_t partition, limit_bytes;
    uint64_t token;
    char key[16];
};

struct moves {
    struct transfer *transfer;
    struct outbox out;
    struct now now;
    uint32_t self;
    struct ring *ring;
    struct piece pieces[ITEMS_MAX]; /* in token order */
    uint32_t piece_count;
    /* What was asked for, oldest first. */
    struct asked pulls[TRAY_MAX];
    uint32_t pull_count;
    struct {
        uint64_t op;
        struct blob *pack;
    } writes[TRAY_MAX];
    uint32_t write_count;
    struct buf note; /* on its way to the disk, */
    uint64_t note_op;
    struct buf noted; /* and there */
    /* What happened. */
    uint32_t asked_total, notes_total, in_flight_max;
    uint32_t asked_of[MOVERS_MAX + 1][PARTS];
    uint64_t written_bytes, held_max;
    char log[4096];
};

/* ---- rings */

/* A member, before and after. */
struct mover {
    uint32_t before, after; /* weights */
    bool dead;
};

/* The PENDING ring of a change of members 1..count. */
static inline struct ring *moves_ring(const struct mover *movers, uint32_t count, uint32_t replicas,
                                      uint64_t epoch, uint64_t source_epoch)
{
    struct member table[MOVERS_MAX] = {0};
    struct ring_value v = {
        .epoch = epoch,
        .partitions = PARTS,
        .replicas = replicas,
        .next_id = 100,
        .phase = RING_PENDING,
        .since = 5,
        .source_epoch = source_epoch,
        .members = table,
        .queue_count = 1,
        .queue[0] = {.kind = RING_WEIGHT, .member = 1, .weight = 1},
    };
    for (uint32_t i = 0; i < count; i++) {
        if (movers[i].before + movers[i].after == 0)
            continue;
        struct member *m = &table[v.member_count++];
        *m = (struct member){.id = i + 1,
                             .store_id = i + 1,
                             .weight = movers[i].after,
                             .old_weight = movers[i].before,
                             .dead = movers[i].dead};
        snprintf(m->name, sizeof m->name, "n%u", i + 1);
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7600 + i);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

/* What this node gains by the ring: the slot, or false. */
static inline bool moves_slot(const struct ring *ring, uint32_t self, uint32_t partition,
                              struct ring_slot *out)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, partition, slots);
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i].to != self || slots[i].from == self)
            continue;
        *out = slots[i];
        return true;
    }
    return false;
}

static inline bool moves_was_home(const struct ring *ring, uint32_t partition, uint32_t member)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(ring, partition, slots);
    for (uint32_t i = 0; i < count; i++)
        if (slots[i].from == member)
            return true;
    return false;
}

static inline uint32_t moves_gained(const struct ring *ring, uint32_t self)
{
    struct ring_sources sources;
    uint32_t count = 0;
    for (uint32_t p = 0; p < PARTS; p++)
        count += ring_takes_over(ring, p, self, &sources);
    return count;
}

/* ---- life */

static inline int piece_cmp(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* `count` keys; every old home has version 1 of what is its own. */
static inline void moves_fill(struct moves *w, uint32_t count, uint32_t bytes)
{
    w->piece_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct piece *p = &w->pieces[i];
        *p = (struct piece){.bytes = bytes};
        snprintf(p->text, sizeof p->text, "key%u", i);
        p->token = key_token(bytes_str(p->text));
        for (uint32_t m = 1; m <= MOVERS_MAX; m++)
            p->at[m] = moves_was_home(w->ring, token_partition(p->token, PARTS), m);
    }
    qsort(w->pieces, count, sizeof w->pieces[0], piece_cmp);
}

static inline void moves_collect(struct moves *w);

static inline void moves_start(struct moves *w)
{
    struct transfer_config config = {.self = w->self,
                                     .row_age_max_ms = ROW_AGE_MAX_MS,
                                     .meta = "transfer",
                                     .noted = buf_bytes(&w->noted),
                                     .rate_bytes = UINT64_C(1) << 30};
    assert_int_equal(transfer_create(&config, &w->transfer), KV_OK);
    assert_int_equal(transfer_ring_set(w->transfer, w->now, w->ring, &w->out), KV_OK);
    moves_collect(w);
}

/* Takes the ring over. */
static inline struct moves *moves_create(struct ring *ring_owned, uint32_t self)
{
    struct moves *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ring = ring_owned;
    w->self = self;
    w->now = (struct now){.mono_us = 9000000, .wall_ms = 100000};
    assert_int_equal(outbox_init(&w->out), KV_OK);
    return w;
}

/* As by a crash: what is on its way is lost. */
static inline void moves_kill(struct moves *w)
{
    transfer_destroy(w->transfer);
    w->transfer = NULL;
    for (uint32_t i = 0; i < w->write_count; i++)
        blob_unref(w->writes[i].pack);
    w->write_count = w->pull_count = 0;
    buf_deinit(&w->note);
}

static inline void moves_destroy(struct moves *w)
{
    if (w->transfer)
        transfer_check(w->transfer);
    moves_kill(w);
    buf_deinit(&w->noted);
    outbox_deinit(&w->out);
    ring_destroy(w->ring);
    free(w);
}

/* ---- trays */

static inline void collect_pull(struct moves *w, const struct effect *e)
{
    const struct message *m = &e->send.message;
    assert_int_equal(m->type, MSG_PULL);
    assert_int_equal(id_owner(m->id), ID_TRANSFER);
    assert_true(moves_was_home(w->ring, m->pull.partition, e->send.to.peer));
    assert_int_equal(token_partition(m->pull.after.token, PARTS), m->pull.partition);
    assert_true(w->pull_count < TRAY_MAX);
    struct asked *a = &w->pulls[w->pull_count++];
    *a = (struct asked){.member = e->send.to.peer,
                        .id = m->id,
                        .partition = m->pull.partition,
                        .limit_bytes = m->pull.limit_bytes,
                        .token = m->pull.after.token};
    memcpy(a->key, m->pull.after.key.len ? (const char *)m->pull.after.key.data : "", m->pull.after.key.len);
    w->asked_total++;
    w->asked_of[a->member][a->partition]++;
}

static inline void collect_one(struct moves *w, struct effect *e)
{
    switch (e->type) {
    case EF_SEND: collect_pull(w, e); break;
    case EF_STORE_MERGE:
        assert_true(w->write_count < TRAY_MAX);
        w->writes[w->write_count].op = e->op;
        w->writes[w->write_count++].pack = blob_ref(e->merge.pack);
        break;
    case EF_STORE_META:
        assert_int_equal(w->note.len, 0); /* one at a time */
        assert_string_equal(e->meta.name, "transfer");
        assert_int_equal(buf_set(&w->note, e->meta.value), KV_OK);
        w->note_op = e->op;
        w->notes_total++;
        break;
    default:
        assert_int_equal(e->type, EF_LOG);
        snprintf(w->log + strlen(w->log), sizeof w->log - strlen(w->log), "%s\n", e->log.text);
    }
}

static inline void moves_collect(struct moves *w)
{
    for (uint32_t i = 0; i < w->out.count; i++)
        collect_one(w, &w->out.effects[i]);
    outbox_reset(&w->out);
    transfer_check(w->transfer);
    uint32_t flying[MOVERS_MAX + 1] = {0};
    for (uint32_t i = 0; i < w->pull_count; i++)
        if (++flying[w->pulls[i].member] > w->in_flight_max)
            w->in_flight_max = flying[w->pulls[i].member];
    uint64_t held = transfer_held_bytes(w->transfer);
    w->held_max = held > w->held_max ? held : w->held_max;
}

static inline void moves_tick(struct moves *w)
{
    transfer_tick(w->transfer, w->now, &w->out);
    moves_collect(w);
}

/* Lets time go by to the next deadline. */
static inline void moves_wait(struct moves *w)
{
    uint64_t at = transfer_deadline_us(w->transfer);
    assert_true(at != UINT64_MAX);
    if (at > w->now.mono_us)
        w->now.mono_us = at;
    moves_tick(w);
}

static inline void moves_peer(struct moves *w, uint32_t member, bool reachable)
{
    transfer_peer_set(w->transfer, w->now, member, reachable, &w->out);
    moves_collect(w);
}

static inline void moves_all_up(struct moves *w)
{
    for (uint32_t i = 0; i < w->ring->value.member_count; i++)
        if (w->ring->value.members[i].id != w->self && !w->ring->value.members[i].dead)
            moves_peer(w, w->ring->value.members[i].id, true);
}

/* A note of before that is on its way reaches the disk, and its completion comes late. */
static inline void moves_ring_set(struct moves *w, struct ring *ring_owned)
{
    struct ring *old = w->ring;
    struct event late = {.type = EV_STORE_WRITTEN, .written = {.op = w->note_op, .status = KV_OK}};
    bool is_late = w->note.len > 0;
    if (is_late)
        assert_int_equal(buf_set(&w->noted, buf_bytes(&w->note)), KV_OK);
    buf_clear(&w->note);
    w->ring = ring_owned;
    assert_int_equal(transfer_ring_set(w->transfer, w->now, w->ring, &w->out), KV_OK);
    ring_destroy(old);
    moves_collect(w);
    if (is_late)
        transfer_written(w->transfer, w->now, &late, &w->out);
    moves_collect(w);
}

/* ---- the sources */

static inline struct asked moves_take(struct moves *w, uint32_t i)
{
    assert_true(i < w->pull_count);
    struct asked a = w->pulls[i];
    memmove(&w->pulls[i], &w->pulls[i + 1], (w->pull_count - i - 1) * sizeof w->pulls[0]);
    w->pull_count--;
    return a;
}

static inline void moves_rows(struct moves *w, uint32_t member, const struct message *m)
{
    static const struct clock clock = {.hlc = MOVES_HLC, .floor = UINT64_MAX};
    transfer_rows(w->transfer, w->now, &clock, member, m, &w->out);
    moves_collect(w);
}

static inline bool piece_is_behind(const struct piece *p, const struct asked *a)
{
    return p->token > a->token || (p->token == a->token && strcmp(p->text, a->key) > 0);
}

/* What a source would answer. */
static inline struct message moves_page(struct moves *w, const struct asked *a)
{
    static struct page_entry entries[ITEMS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->piece_count; i++) {
        struct piece *p = &w->pieces[i];
        if (token_partition(p->token, PARTS) != a->partition || !piece_is_behind(p, a) || !p->at[a->member])
            continue;
        struct row row = {.kind = ROW_REGISTER,
                          .stamp = {p->at[a->member], a->partition},
                          .raw_size = p->bytes,
                          .payload = p->bytes ? blob_create(p->bytes) : NULL};
        if (p->bytes)
            memset(row.payload->data, 'v', p->bytes);
        entries[count++] = (struct page_entry){.key = bytes_str(p->text), .row = row};
    }
    uint32_t fit = pack_fit(entries, count, a->limit_bytes);
    struct message m = {.type = MSG_ROWS, .id = a->id, .ring_epoch = w->ring->value.epoch};
    m.rows.began_hlc = MOVES_HLC;
    m.rows.done = fit == count;
    m.rows.pack = pack_rows(entries, fit);
    m.rows.next.token = fit ? key_token(entries[fit - 1].key) : a->token;
    m.rows.next.key = fit ? entries[fit - 1].key : bytes_str("");
    for (uint32_t i = 0; i < count; i++)
        row_release(&entries[i].row);
    return m;
}

static inline void moves_answer(struct moves *w, uint32_t i)
{
    struct asked a = moves_take(w, i);
    struct message m = moves_page(w, &a);
    moves_rows(w, a.member, &m);
    message_release(&m);
}

static inline void moves_refuse(struct moves *w, uint32_t i, int status)
{
    struct asked a = moves_take(w, i);
    struct message m = {.type = MSG_ROWS, .id = a.id, .ring_epoch = w->ring->value.epoch};
    m.rows.status = status;
    moves_rows(w, a.member, &m);
}

/* ---- the node's own store */

static inline void merge_pack(struct moves *w, const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    while (rest.len) {
        assert_int_equal(pack_take(&rest, &row), KV_OK);
        uint32_t i = 0;
        while (i < w->piece_count && !bytes_eq(bytes_str(w->pieces[i].text), row.key))
            i++;
        assert_true(i < w->piece_count); /* a key that never was is never written */
        assert_int_equal(row.payload.len, w->pieces[i].bytes);
        if (row.row.stamp.hlc > w->pieces[i].at[w->self])
            w->pieces[i].at[w->self] = row.row.stamp.hlc;
    }
    w->written_bytes += pack->len;
}

static inline void moves_written(struct moves *w, uint32_t i, int status)
{
    assert_true(i < w->write_count);
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = w->writes[i].op, .status = status}};
    if (status == KV_OK)
        merge_pack(w, w->writes[i].pack);
    blob_unref(w->writes[i].pack);
    memmove(&w->writes[i], &w->writes[i + 1], (w->write_count - i - 1) * sizeof w->writes[0]);
    w->write_count--;
    transfer_written(w->transfer, w->now, &e, &w->out);
    moves_collect(w);
}

static inline void moves_note_written(struct moves *w, int status)
{
    assert_true(w->note.len > 0);
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = w->note_op, .status = status}};
    if (status == KV_OK)
        assert_int_equal(buf_set(&w->noted, buf_bytes(&w->note)), KV_OK);
    buf_clear(&w->note);
    transfer_written(w->transfer, w->now, &e, &w->out);
    moves_collect(w);
}

/* Sources and store answer everything, until nothing happens without time going by. */
static inline void moves_serve(struct moves *w)
{
    for (;;) {
        if (w->write_count)
            moves_written(w, 0, KV_OK);
        else if (w->note.len)
            moves_note_written(w, KV_OK);
        else if (w->pull_count)
            moves_answer(w, 0);
        else
            return;
    }
}

static inline void moves_finish(struct moves *w)
{
    for (int i = 0; i < 100000 && transfer_whole(w->transfer) == 0; i++) {
        moves_serve(w);
        if (transfer_whole(w->transfer) == 0)
            moves_wait(w);
    }
    assert_int_equal(transfer_whole(w->transfer), w->ring->value.source_epoch);
}

/* ---- what has to be */

/* Every key of a gained partition is here as new as any that must be read has it; where some of several are,
 * the tests give version 2 to as many as there must be. */
static inline void moves_assert_taken_over(const struct moves *w)
{
    for (uint32_t i = 0; i < w->piece_count; i++) {
        const struct piece *p = &w->pieces[i];
        struct ring_sources s;
        if (!ring_takes_over(w->ring, token_partition(p->token, PARTS), w->self, &s))
            continue;
        for (uint32_t k = 0; k < s.count; k++)
            assert_true((s.needed < s.count && p->at[s.members[k]] < 2) ||
                        p->at[w->self] >= p->at[s.members[k]]);
    }
}

static inline bool moves_logged(const struct moves *w, const char *text)
{
    return strstr(w->log, text) != NULL;
}

#endif
