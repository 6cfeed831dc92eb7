/* Several homes in one process: each has a store in memory and its part of anti-entropy; what they say to
 * each other travels as frames, whose bytes are counted. Included once by each test of it. */
#ifndef TESTS_UNIT_ENTROPY_LAB_H
#define TESTS_UNIT_ENTROPY_LAB_H

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
#include "model/pack.h"
#include "repair/digest.h"
#include "repair/entropy.h"
#include "wire/wire.h"

enum { LAB_MEMBERS = 5, LAB_PARTITIONS_MAX = 4096, LAB_KEY_MAX = 24 };

struct lab_row {
    uint64_t token;
    char key[LAB_KEY_MAX];
    struct row row;
};

struct lab_store {
    struct lab_row *rows; /* in order of token, then key */
    uint32_t count, cap;
    uint64_t leaves[LAB_PARTITIONS_MAX][TREE_LEAVES]; /* as remembered */
    bool dirty[LAB_PARTITIONS_MAX][TREE_LEAVES];
    uint32_t hashed; /* leaves, from rows */
    int fail;        /* what reads and writes end with; KV_OK: they succeed */
};

struct lab_job {
    uint32_t node;
    struct effect effect;
    char key[LAB_KEY_MAX]; /* of a page's cursor */
};

struct lab_mail {
    uint32_t from, to;
    struct buf frame;
};

struct lab {
    uint32_t members;
    struct ring *ring;
    struct now now;
    struct entropy *nodes[LAB_MEMBERS + 1]; /* by id */
    struct lab_store stores[LAB_MEMBERS + 1];
    bool cut[LAB_MEMBERS + 1];
    struct lab_job *jobs;
    uint32_t job_count, job_cap;
    struct lab_mail *mail;
    uint32_t mail_count, mail_cap;
    struct outbox out;
    struct arena arena;
    struct prng prng;
    uint32_t lose_percent;
    uint64_t messages, bytes; /* all that was sent */
    uint64_t merged;          /* rows that were written by anti-entropy */
    uint64_t round_us, scrub_us;
    bool watch_busy;
    /* a node that writes rows must say that their partition is busy */ /* Called before and after a node
                                                                           is told something; NULL:
                                                                           nobody. */
    void (*around)(bool before);
    /* Called with each message before it is delivered; it may change it. */
    void (*meddle)(struct lab *lab, uint32_t from, uint32_t to, struct message *m);
};

#define LAB_VALUE_MAX (64u << 10)

/* ---- the stores */

static inline uint64_t lab_hlc(const struct lab *lab)
{
    return hlc_from_ms(lab->now.wall_ms);
}

static int lab_row_cmp(const struct lab_row *a, uint64_t token, struct bytes key)
{
    if (a->token != token)
        return a->token < token ? -1 : 1;
    return bytes_cmp(bytes_str(a->key), key);
}

static uint32_t lab_at(const struct lab_store *st, uint64_t token, struct bytes key)
{
    uint32_t low = 0, high = st->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (lab_row_cmp(&st->rows[mid], token, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct lab_row *lab_find(struct lab_store *st, struct bytes key)
{
    uint32_t i = lab_at(st, key_token(key), key);
    return i < st->count && lab_row_cmp(&st->rows[i], key_token(key), key) == 0 ? &st->rows[i] : NULL;
}

static void lab_mark(const struct lab *lab, struct lab_store *st, uint64_t token)
{
    uint32_t partitions = lab->ring->value.partitions;
    st->dirty[token_partition(token, partitions)][token_leaf(token, partitions)] = true;
}

static void lab_merge_row(const struct lab *lab, struct lab_store *st, struct bytes key,
                          const struct row *row)
{
    struct lab_row *r = lab_find(st, key);
    lab_mark(lab, st, key_token(key));
    if (!r) {
        if (st->count == st->cap) {
            st->cap = st->cap ? 2 * st->cap : 64;
            st->rows = realloc(st->rows, st->cap * sizeof *st->rows);
            assert_non_null(st->rows);
        }
        uint32_t i = lab_at(st, key_token(key), key);
        memmove(&st->rows[i + 1], &st->rows[i], (st->count - i) * sizeof *st->rows);
        st->count++;
        r = &st->rows[i];
        *r = (struct lab_row){.token = key_token(key)};
        assert_true(key.len < LAB_KEY_MAX);
        memcpy(r->key, key.data, key.len);
    }
    if (!row_wins(row, &r->row))
        return;
    row_release(&r->row);
    r->row = row_ref(row);
}

/* Without a mark: nobody in the store has noticed. */
static inline void lab_lose_row(struct lab_store *st, struct bytes key)
{
    struct lab_row *r = lab_find(st, key);
    assert_non_null(r);
    row_release(&r->row);
    uint32_t i = (uint32_t)(r - st->rows);
    memmove(r, r + 1, (st->count - i - 1) * sizeof *r);
    st->count--;
}

static uint64_t lab_leaf(const struct lab *lab, const struct lab_store *st, uint32_t partition, uint32_t leaf)
{
    uint32_t partitions = lab->ring->value.partitions;
    uint64_t hash = 0, until = leaf_first_token(partition, leaf + 1, partitions);
    uint32_t i = lab_at(st, leaf_first_token(partition, leaf, partitions), (struct bytes){NULL, 0});
    for (; i < st->count && (until == 0 || st->rows[i].token < until); i++)
        hash += row_digest(bytes_str(st->rows[i].key), st->rows[i].row.stamp);
    return hash;
}

/* ---- carrying out */

static void lab_take(struct lab *lab, uint32_t node);

static void lab_around(const struct lab *lab, bool before)
{
    if (lab->around)
        lab->around(before);
}

static void lab_stored(struct lab *lab, uint32_t node, const struct event *in)
{
    lab_around(lab, true);
    entropy_stored(lab->nodes[node], lab->now, lab_hlc(lab), in, &lab->out);
    lab_around(lab, false);
    lab_take(lab, node);
}

static void lab_do_tree(struct lab *lab, const struct lab_job *job)
{
    struct lab_store *st = &lab->stores[job->node];
    uint32_t p = job->effect.tree.partition;
    assert_int_equal(job->effect.tree.partitions, lab->ring->value.partitions);
    for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++) {
        if (!st->dirty[p][leaf] && !job->effect.tree.rehash)
            continue;
        st->leaves[p][leaf] = lab_leaf(lab, st, p, leaf);
        st->dirty[p][leaf] = false;
        st->hashed++;
    }
    struct event e = {.type = EV_STORE_TREE,
                      .tree = {job->effect.op, st->fail, p, st->fail ? NULL : st->leaves[p]}};
    lab_stored(lab, job->node, &e);
}

static void lab_do_rows(struct lab *lab, const struct lab_job *job)
{
    static struct page_entry entries[SCAN_PAGE_MAX];
    const struct lab_store *st = &lab->stores[job->node];
    const struct effect *f = &job->effect;
    struct event e = {.type = EV_STORE_PAGE, .page = {.op = f->op, .status = st->fail, .entries = entries}};
    struct bytes after = bytes_str(job->key);
    uint64_t bytes = 0, until = f->rows.until_token;
    uint32_t i = lab_at(st, f->rows.after.token, after),
             limit = f->rows.limit ? f->rows.limit : SCAN_PAGE_MAX;
    uint64_t limit_bytes = f->rows.limit_bytes ? f->rows.limit_bytes : ROWS_PAGE_MAX_BYTES;
    if (after.len && i < st->count && lab_row_cmp(&st->rows[i], f->rows.after.token, after) == 0)
        i++;
    e.page.next = (struct cursor){f->rows.after.token, after};
    for (; i < st->count && (until == 0 || st->rows[i].token < until); i++) {
        if (e.page.count == limit || bytes >= limit_bytes)
            break;
        const struct lab_row *r = &st->rows[i];
        struct page_entry *p = &entries[e.page.count++];
        *p = (struct page_entry){.key = bytes_str(r->key), .row = row_ref(&r->row)};
        bytes += p->key.len + blob_bytes(p->row.payload).len;
        if (f->rows.headers)
            blob_unref(p->row.payload);
        if (f->rows.headers)
            p->row.payload = NULL;
        e.page.next = (struct cursor){r->token, p->key};
    }
    e.page.done = i == st->count || (until && st->rows[i].token >= until);
    if (st->fail)
        e.page.count = 0;
    lab_stored(lab, job->node, &e);
    for (uint32_t k = 0; k < e.page.count; k++)
        row_release(&entries[k].row);
}

static void lab_do_merge(struct lab *lab, struct lab_job *job)
{
    struct lab_store *st = &lab->stores[job->node];
    struct bytes rest = blob_bytes(job->effect.merge.pack);
    struct packed_row p;
    while (rest.len && !st->fail) {
        assert_int_equal(pack_take(&rest, &p), KV_OK);
        p.row.payload = blob_copy(p.payload);
        lab_merge_row(lab, st, p.key, &p.row);
        row_release(&p.row);
        lab->merged++;
        if (lab->watch_busy)
            assert_true(entropy_busy(lab->nodes[job->node], ring_partition(lab->ring, key_token(p.key))));
    }
    blob_unref(job->effect.merge.pack);
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = job->effect.op, .status = st->fail}};
    lab_stored(lab, job->node, &e);
}

static void lab_post(struct lab *lab, uint32_t from, uint32_t to, struct message *m)
{
    struct wire_frame frame;
    if (lab->mail_count == lab->mail_cap) {
        lab->mail_cap = lab->mail_cap ? 2 * lab->mail_cap : 64;
        lab->mail = realloc(lab->mail, lab->mail_cap * sizeof *lab->mail);
        assert_non_null(lab->mail);
    }
    struct lab_mail *mail = &lab->mail[lab->mail_count++];
    *mail = (struct lab_mail){.from = from, .to = to};
    m->ring_epoch = lab->ring->value.epoch;
    assert_int_equal(wire_encode(m, &mail->frame, &frame), KV_OK);
    for (uint32_t i = 0; i < frame.payload_count; i++)
        assert_int_equal(buf_append(&mail->frame, blob_bytes(frame.payloads[i])), KV_OK);
    lab->messages++;
    lab->bytes += mail->frame.len;
}

/* What a node wants done joins the queues. A connection's number is the peer's id. */
static void lab_take(struct lab *lab, uint32_t node)
{
    for (uint32_t i = 0; i < lab->out.count; i++) {
        struct effect *f = &lab->out.effects[i];
        if (f->type == EF_SEND) {
            lab_post(lab, node, f->send.to.conn ? (uint32_t)f->send.to.conn : f->send.to.peer,
                     &f->send.message);
            continue;
        }
        assert_true(f->type == EF_STORE_ROWS || f->type == EF_STORE_TREE || f->type == EF_STORE_MERGE);
        assert_int_equal(id_owner(f->op), ID_ENTROPY);
        if (lab->job_count == lab->job_cap) {
            lab->job_cap = lab->job_cap ? 2 * lab->job_cap : 64;
            lab->jobs = realloc(lab->jobs, lab->job_cap * sizeof *lab->jobs);
            assert_non_null(lab->jobs);
        }
        struct lab_job *job = &lab->jobs[lab->job_count++];
        *job = (struct lab_job){.node = node, .effect = *f};
        if (f->type == EF_STORE_ROWS && f->rows.after.key.len)
            memcpy(job->key, f->rows.after.key.data, f->rows.after.key.len);
        f->type = EF_NONE;
    }
    outbox_reset(&lab->out);
    entropy_check(lab->nodes[node]);
}

static void lab_do_job(struct lab *lab, uint32_t i)
{
    struct lab_job job = lab->jobs[i];
    memmove(&lab->jobs[i], &lab->jobs[i + 1], (--lab->job_count - i) * sizeof job);
    switch (job.effect.type) {
    case EF_STORE_TREE: lab_do_tree(lab, &job); break;
    case EF_STORE_ROWS: lab_do_rows(lab, &job); break;
    default: lab_do_merge(lab, &job);
    }
}

static void lab_hear(struct lab *lab, uint32_t from, uint32_t to, struct message *m)
{
    m->from = from;
    lab_around(lab, true);
    if (m->type == MSG_ROOTS || m->type == MSG_COMPARE || m->type == MSG_MERGE)
        entropy_question(lab->nodes[to], lab->now, lab_hlc(lab), to_conn(from), m, &lab->out);
    else
        entropy_answer(lab->nodes[to], lab->now, lab_hlc(lab), from, m, &lab->out);
    lab_around(lab, false);
    lab_take(lab, to);
}

static void lab_deliver(struct lab *lab, uint32_t i)
{
    struct lab_mail mail = lab->mail[i];
    struct wire_header h;
    struct message m;
    memmove(&lab->mail[i], &lab->mail[i + 1], (--lab->mail_count - i) * sizeof mail);
    assert_int_equal(
        wire_decode_header(mail.frame.data,
                           LAB_VALUE_MAX + FRAME_EXTRA_MAX_BYTES + ENTROPY_PAGE_BYTES + WIRE_BODY_MAX_BYTES,
                           &h),
        KV_OK);
    struct bytes body = bytes_of(mail.frame.data + WIRE_HEADER_BYTES, h.body_size);
    struct blob *payload = blob_copy(bytes_of(body.data + body.len, wire_payload_bytes(&h)));
    arena_reset(&lab->arena);
    assert_int_equal(wire_decode(&h, body, payload, LAB_VALUE_MAX, &lab->arena, &m), KV_OK);
    blob_unref(payload);
    bool lost = lab->cut[mail.from] || lab->cut[mail.to] || prng_below(&lab->prng, 100) < lab->lose_percent;
    if (lab->meddle && !lost)
        lab->meddle(lab, mail.from, mail.to, &m);
    if (!lost)
        lab_hear(lab, mail.from, mail.to, &m);
    message_release(&m);
    buf_deinit(&mail.frame);
}

/* Reads end in any order, writes of one node in their own; mail of one pair too. */
static uint32_t lab_pick_job(struct lab *lab)
{
    uint32_t i = (uint32_t)prng_below(&lab->prng, lab->job_count);
    if (lab->jobs[i].effect.type != EF_STORE_MERGE)
        return i;
    for (uint32_t k = 0; k < i; k++)
        if (lab->jobs[k].effect.type == EF_STORE_MERGE && lab->jobs[k].node == lab->jobs[i].node)
            return k;
    return i;
}

static uint32_t lab_pick_mail(struct lab *lab)
{
    uint32_t i = (uint32_t)prng_below(&lab->prng, lab->mail_count);
    for (uint32_t k = 0; k < i; k++)
        if (lab->mail[k].from == lab->mail[i].from && lab->mail[k].to == lab->mail[i].to)
            return k;
    return i;
}

/* One thing happens. False: nothing is left to happen but the passing of time. */
static bool lab_step(struct lab *lab)
{
    uint32_t all = lab->job_count + lab->mail_count;
    if (all == 0)
        return false;
    if (prng_below(&lab->prng, all) < lab->job_count)
        lab_do_job(lab, lab_pick_job(lab));
    else
        lab_deliver(lab, lab_pick_mail(lab));
    return true;
}

static void lab_tick(struct lab *lab)
{
    for (uint32_t id = 1; id <= lab->members; id++) {
        if (entropy_deadline_us(lab->nodes[id]) > lab->now.mono_us)
            continue;
        lab_around(lab, true);
        entropy_tick(lab->nodes[id], lab->now, lab_hlc(lab), &lab->out);
        lab_around(lab, false);
        lab_take(lab, id);
    }
}

/* Everything happens at once but what has to wait for its time, until `us` have gone by. */
static void lab_run(struct lab *lab, uint64_t us)
{
    uint64_t end = lab->now.mono_us + us;
    for (;;) {
        while (lab_step(lab))
            ;
        uint64_t at = end;
        for (uint32_t id = 1; id <= lab->members; id++)
            if (entropy_deadline_us(lab->nodes[id]) < at)
                at = entropy_deadline_us(lab->nodes[id]);
        if (at > lab->now.mono_us) {
            lab->now.wall_ms += (at - lab->now.mono_us) / 1000;
            lab->now.mono_us = at;
        }
        if (at == end)
            return;
        lab_tick(lab);
    }
}

/* ---- the lab */

static struct ring *lab_ring(uint64_t epoch, uint32_t members, uint32_t replicas, uint32_t partitions)
{
    struct member table[LAB_MEMBERS] = {0};
    struct ring_value v = {.epoch = epoch,
                           .partitions = partitions,
                           .replicas = replicas,
                           .next_id = 100,
                           .member_count = members,
                           .members = table};
    for (uint32_t i = 0; i < members; i++) {
        table[i].id = i + 1;
        table[i].store_id = i + 1;
        table[i].weight = 1;
        snprintf(table[i].name, sizeof table[i].name, "n%u", i + 1);
        snprintf(table[i].addr.host, sizeof table[i].addr.host, "127.0.0.1");
        table[i].addr.port = (uint16_t)(7600 + i);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

static void lab_reach(struct lab *lab, uint32_t node, bool reachable)
{
    lab->cut[node] = !reachable;
    for (uint32_t id = 1; id <= lab->members; id++) {
        if (id == node || (reachable && lab->cut[id]))
            continue;
        entropy_peer_set(lab->nodes[id], lab->now, node, reachable);
        entropy_peer_set(lab->nodes[node], lab->now, id, reachable);
    }
}

static void lab_start(struct lab *lab, uint32_t id)
{
    struct entropy_config config = {.self = id,
                                    .round_us = lab->round_us,
                                    .scrub_us = lab->scrub_us,
                                    .seed = prng_u64(&lab->prng),
                                    .row_age_max_ms = ROW_AGE_MAX_MS};
    assert_int_equal(entropy_create(&config, &lab->nodes[id]), KV_OK);
    assert_int_equal(entropy_ring_set(lab->nodes[id], lab->now, lab->ring), KV_OK);
}

static struct lab *lab_create(uint32_t members, uint32_t replicas, uint32_t partitions, uint64_t seed)
{
    struct lab *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    lab->members = members;
    lab->ring = lab_ring(1, members, replicas, partitions);
    lab->now = (struct now){.mono_us = 1000000, .wall_ms = 100000000};
    lab->round_us = ENTROPY_ROUND_US;
    lab->scrub_us = UINT64_C(1) << 60;
    prng_init(&lab->prng, seed);
    arena_init(&lab->arena, WIRE_ARENA_MAX_BYTES);
    assert_int_equal(outbox_init(&lab->out), KV_OK);
    for (uint32_t id = 1; id <= members; id++)
        lab_start(lab, id);
    return lab;
}

/* Everybody reaches everybody. */
static void lab_connect(struct lab *lab)
{
    for (uint32_t id = 1; id <= lab->members; id++)
        lab_reach(lab, id, true);
}

static void lab_forget_all(struct lab *lab)
{
    while (lab->job_count) {
        struct effect *f = &lab->jobs[--lab->job_count].effect;
        if (f->type == EF_STORE_MERGE)
            blob_unref(f->merge.pack);
    }
    while (lab->mail_count)
        buf_deinit(&lab->mail[--lab->mail_count].frame);
}

static void lab_destroy(struct lab *lab)
{
    lab_forget_all(lab);
    for (uint32_t id = 1; id <= lab->members; id++) {
        entropy_destroy(lab->nodes[id]);
        for (uint32_t i = 0; i < lab->stores[id].count; i++)
            row_release(&lab->stores[id].rows[i].row);
        free(lab->stores[id].rows);
    }
    free(lab->jobs);
    free(lab->mail);
    outbox_deinit(&lab->out);
    arena_deinit(&lab->arena);
    ring_destroy(lab->ring);
    free(lab);
}

/* ---- rows */

static struct bytes lab_key(uint32_t i, char out[LAB_KEY_MAX])
{
    snprintf(out, LAB_KEY_MAX, "a-key-of-%07u", i);
    return bytes_str(out);
}

/* Long enough ago not to be young. */
static struct row lab_row(const struct lab *lab, uint64_t version, size_t bytes)
{
    struct row row = {.kind = ROW_REGISTER,
                      .raw_size = (uint32_t)bytes,
                      .stamp = {lab_hlc(lab) - hlc_from_ms(60000) + version, 7}};
    if (bytes == 0)
        row.flags = ROW_TOMBSTONE;
    row.payload = bytes ? blob_create(bytes) : NULL;
    if (bytes)
        memset(row.payload->data, 'v', bytes);
    return row;
}

static uint32_t lab_homes(const struct lab *lab, struct bytes key, uint32_t out[PREFERENCE_MAX])
{
    ring_preference(lab->ring, ring_partition(lab->ring, key_token(key)), out);
    return lab->ring->homes;
}

/* A row at those of its homes whose bit is set. */
static void lab_put(struct lab *lab, uint32_t i, uint64_t version, size_t bytes, uint32_t which)
{
    char text[LAB_KEY_MAX];
    struct bytes key = lab_key(i, text);
    struct row row = lab_row(lab, version, bytes);
    uint32_t homes[PREFERENCE_MAX], count = lab_homes(lab, key, homes);
    for (uint32_t h = 0; h < count; h++)
        if (which >> h & 1)
            lab_merge_row(lab, &lab->stores[homes[h]], key, &row);
    row_release(&row);
}

/* How many rows are not at all of their homes, the same everywhere. */
static uint32_t lab_differing(struct lab *lab)
{
    uint32_t differing = 0;
    for (uint32_t id = 1; id <= lab->members; id++)
        for (uint32_t i = 0; i < lab->stores[id].count; i++) {
            const struct lab_row *r = &lab->stores[id].rows[i];
            uint32_t homes[PREFERENCE_MAX], count = lab_homes(lab, bytes_str(r->key), homes);
            bool same = true, mine = false;
            for (uint32_t h = 0; h < count; h++) {
                const struct lab_row *other = lab_find(&lab->stores[homes[h]], bytes_str(r->key));
                mine |= homes[h] == id;
                same &= other && stamp_cmp(other->row.stamp, r->row.stamp) == 0 &&
                        bytes_eq(blob_bytes(other->row.payload), blob_bytes(r->row.payload));
            }
            assert_true(mine); /* nobody is given what is not his */
            differing += !same;
        }
    return differing;
}

static struct entropy_counters lab_counters(const struct lab *lab)
{
    struct entropy_counters sum = {0};
    for (uint32_t id = 1; id <= lab->members; id++) {
        struct entropy_counters c = entropy_counters(lab->nodes[id]);
        sum.rounds += c.rounds;
        sum.compared += c.compared;
        sum.differed += c.differed;
        sum.sessions += c.sessions;
        sum.sessions_failed += c.sessions_failed;
        sum.served += c.served;
        sum.refused += c.refused;
        sum.malformed += c.malformed;
        sum.scrubbed += c.scrubbed;
        sum.rows_sent += c.rows_sent;
        sum.rows_received += c.rows_received;
        sum.bytes_sent += c.bytes_sent;
        sum.repair_left += c.repair_left;
    }
    return sum;
}

#endif
