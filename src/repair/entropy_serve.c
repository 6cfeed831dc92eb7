/* Peers' questions: each is answered from what the store holds, and nothing is remembered of it. */
#include "repair/entropy_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/pack.h"

/* ---- life */

void serve_drop(struct serve *v)
{
    v->state = SERVE_NONE;
    digest_set_deinit(&v->set);
    free(v->conflicts);
    v->conflicts = NULL;
}

void serve_deinit(struct serve *v)
{
    serve_drop(v);
    parcel_deinit(&v->parcel);
    buf_deinit(&v->hashes);
    span_deinit(&v->span);
}

bool serve_busy(const struct serve *v, uint32_t partition)
{
    switch ((enum serve_state)v->state) {
    case SERVE_COMPARE: return span_touches(&v->span, partition);
    case SERVE_MERGE: return partition >= v->first && partition <= v->last;
    default: return false;
    }
}

static struct serve *free_serve(struct entropy *e)
{
    for (uint32_t i = 0; i < ENTROPY_SERVES; i++)
        if (e->serves[i].state == SERVE_NONE)
            return &e->serves[i];
    return NULL;
}

static uint64_t new_op(struct entropy *e, struct serve *v)
{
    return v->op = entropy_op(e, SLOT_SERVES + (uint32_t)(v - e->serves));
}

/* An answer that says no more than how it went. */
static void reply(struct entropy *e, struct endpoint to, enum message_type question, uint64_t id, int status,
                  const struct turn *t)
{
    enum message_type type = question == MSG_ROOTS     ? MSG_LEAVES
                             : question == MSG_COMPARE ? MSG_COMPARED
                                                       : MSG_MERGED;
    struct message *m = outbox_send(t->out, to, type, id);
    if (type == MSG_LEAVES)
        m->leaves.status = status;
    else if (type == MSG_COMPARED)
        m->compared.status = status;
    else
        m->merged.status = status;
    entropy_sent(e, m, 0, t->now_us);
}

static void give_up(struct entropy *e, struct serve *v, int status, const struct turn *t)
{
    static const enum message_type questions[] = {
        [SERVE_ROOTS] = MSG_ROOTS, [SERVE_COMPARE] = MSG_COMPARE, [SERVE_MERGE] = MSG_MERGE};
    e->counters.refused++;
    reply(e, v->to, questions[v->state], v->id, status, t);
    serve_drop(v);
}

/* ---- ROOTS */

static void send_leaves(struct entropy *e, struct serve *v, const struct turn *t)
{
    struct bytes hashes = arena_copy(&t->out->arena, buf_bytes(&v->hashes));
    struct partition_leaves *list = arena_alloc(&t->out->arena, (v->differ + 1) * sizeof *list);
    if (!list || hashes.len != v->hashes.len) {
        give_up(e, v, KV_E_NO_MEMORY, t);
        return;
    }
    for (uint32_t i = 0; i < v->differ; i++) {
        list[i] = v->leaves[i];
        list[i].hashes.data = hashes.data;
        hashes.data += list[i].hashes.len;
    }
    struct message *m = outbox_send(t->out, v->to, MSG_LEAVES, v->id);
    m->leaves = (struct msg_leaves){.status = KV_OK, .count = v->differ, .partitions = list};
    entropy_sent(e, m, 0, t->now_us);
    serve_drop(v);
}

static void add_held(struct serve *v)
{
    v->leaves[v->differ++] = (struct partition_leaves){.partition = v->roots[v->at].partition, .held = true};
}

static void next_root(struct entropy *e, struct serve *v, const struct turn *t)
{
    for (; v->at < v->count && entropy_held(e, v->roots[v->at].partition); v->at++)
        add_held(v);
    if (v->at == v->count) {
        send_leaves(e, v, t);
        return;
    }
    struct effect *f = outbox_add(t->out, EF_STORE_TREE);
    f->op = new_op(e, v);
    f->tree.partition = v->roots[v->at].partition;
    f->tree.partitions = e->ring->value.partitions;
}

static int add_leaves(struct serve *v, const uint64_t leaves[TREE_LEAVES])
{
    struct partition_leaves *p = &v->leaves[v->differ];
    *p = (struct partition_leaves){.partition = v->roots[v->at].partition};
    for (uint32_t i = 0; i < TREE_LEAVES; i++) {
        if (!leaves[i])
            continue;
        p->filled |= UINT64_C(1) << i;
        p->hashes.len += sizeof(uint32_t);
        if (buf_append_be32(&v->hashes, leaf_short(leaves[i], v->id)))
            return KV_E_NO_MEMORY;
    }
    v->differ++;
    return KV_OK;
}

static int add_differing(struct entropy *e, struct serve *v, const uint64_t leaves[TREE_LEAVES],
                         uint64_t now_us)
{
    uint32_t partition = v->roots[v->at].partition;
    if (!entropy_may_answer(e, partition, v->member, now_us)) {
        add_held(v);
        return KV_OK;
    }
    entropy_engage(e, partition, v->member, now_us);
    return add_leaves(v, leaves);
}

static void on_tree(struct entropy *e, struct serve *v, const struct event *in, const struct turn *t)
{
    int rc = in->tree.status;
    if (rc == KV_OK && tree_root(in->tree.hashes) != v->roots[v->at].hash)
        rc = add_differing(e, v, in->tree.hashes, t->now_us);
    v->at += rc == KV_OK;
    if (rc == KV_OK || rc == KV_E_AGAIN)
        next_root(e, v, t);
    else
        give_up(e, v, rc, t);
}

static int begin_roots(struct entropy *e, struct serve *v, const struct message *m, const struct turn *t)
{
    const struct msg_roots *q = &m->roots;
    if (q->count > COMPARE_PARTITIONS_MAX)
        return KV_E_INVALID;
    for (uint32_t i = 0; i < q->count; i++)
        if (!entropy_shared(e, q->roots[i].partition, m->from))
            return KV_E_INVALID;
    v->state = SERVE_ROOTS;
    v->count = q->count;
    v->at = v->differ = 0;
    buf_clear(&v->hashes);
    if (q->count)
        memcpy(v->roots, q->roots, q->count * sizeof *q->roots);
    next_root(e, v, t);
    return KV_OK;
}

/* ---- COMPARE */

static void send_compared(struct entropy *e, struct serve *v, const struct turn *t)
{
    uint8_t *bits = arena_alloc(&t->out->arena, COMPARE_DIGESTS_MAX / 8);
    size_t conflicts = v->conflict_count * sizeof *v->conflicts;
    struct bytes list = arena_copy(&t->out->arena, bytes_of(v->conflicts, conflicts));
    struct bytes next = arena_copy(&t->out->arena, buf_bytes(&v->span.after.key));
    struct blob *pack = parcel_pack(&v->parcel);
    if (!bits || list.len != conflicts || next.len != v->span.after.key.len || (v->parcel.rows && !pack)) {
        blob_unref(pack);
        give_up(e, v, KV_E_NO_MEMORY, t);
        return;
    }
    struct message *m = outbox_send(t->out, v->to, MSG_COMPARED, v->id);
    m->compared = (struct msg_compared){
        .status = KV_OK,
        .done = v->span.over,
        .next = {v->span.after.token, next},
        .began_hlc = v->parcel.began_hlc,
        .wants = bytes_of(bits, v->fetch ? 0 : digest_set_wants(&v->set, bits)),
        .count = v->conflict_count,
        .conflicts = (const struct compare_conflict *)(const void *)list.data,
        .pack = pack,
    };
    entropy_sent(e, m, v->parcel.rows, t->now_us);
    serve_drop(v);
}

static void next_page(struct entropy *e, struct serve *v, const struct turn *t)
{
    bool enough = v->parcel.pack.len >= ENTROPY_PAGE_BYTES || v->looked_bytes >= ENTROPY_READ_MAX_BYTES;
    if (enough || !span_ask(&v->span, new_op(e, v), ENTROPY_PAGE_BYTES, false, t->out))
        send_compared(e, v, t);
}

/* What each row of the page means to the asker. */
static void judge(struct serve *v, const struct page_entry *entries, uint32_t count,
                  enum digest_verdict *verdicts, uint32_t *indexes)
{
    if (!v->fetch) {
        digest_set_judge(&v->set, entries, count, v->id, v->until_hlc, verdicts, indexes);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        verdicts[i] = digest_set_has(&v->set, digest_key(key_token(entries[i].key), v->id)) &&
                              entries[i].row.stamp.hlc <= v->until_hlc
                          ? DIGEST_MISSING
                          : DIGEST_SAME;
}

/* Takes as many entries as there is room for; `*taken` is how many. */
static int take_entries(struct serve *v, const struct page_entry *entries, uint32_t count,
                        const enum digest_verdict *verdicts, const uint32_t *indexes, uint32_t *taken)
{
    uint32_t i = 0;
    int rc = KV_OK;
    for (; i < count && rc == KV_OK; i++) {
        if (verdicts[i] == DIGEST_MISSING && parcel_full(&v->parcel, &entries[i], ENTROPY_PAGE_BYTES))
            break;
        v->looked_bytes += entries[i].key.len + blob_bytes(entries[i].row.payload).len;
        if (verdicts[i] == DIGEST_MISSING)
            rc = parcel_add(&v->parcel, &entries[i]);
        else if (verdicts[i] == DIGEST_CONFLICT)
            v->conflicts[v->conflict_count++] = (struct compare_conflict){indexes[i], entries[i].row.stamp};
    }
    *taken = i;
    return rc;
}

static int take_page(struct serve *v, const struct event *in, const struct turn *t, bool *full)
{
    uint32_t count = span_count(&v->span, in), taken;
    enum digest_verdict *verdicts = arena_alloc(&t->out->arena, (count + 1) * sizeof *verdicts);
    uint32_t *indexes = arena_alloc(&t->out->arena, (count + 1) * sizeof *indexes);
    if (!verdicts || !indexes)
        return KV_E_NO_MEMORY;
    judge(v, in->page.entries, count, verdicts, indexes);
    int rc = take_entries(v, in->page.entries, count, verdicts, indexes, &taken);
    *full = taken < count;
    if (rc == KV_OK && !*full)
        return span_next(&v->span, in);
    return rc == KV_OK && taken > 0 ? span_behind(&v->span, in->page.entries[taken - 1].key) : rc;
}

static void on_page(struct entropy *e, struct serve *v, const struct event *in, const struct turn *t)
{
    bool full = false;
    int rc = in->page.status ? in->page.status : take_page(v, in, t, &full);
    if (rc != KV_OK)
        give_up(e, v, rc, t);
    else if (full)
        send_compared(e, v, t);
    else
        next_page(e, v, t);
}

static int begin_compare(struct entropy *e, struct serve *v, const struct message *m, const struct turn *t)
{
    const struct msg_compare *q = &m->compare;
    if (!span_sets_ok(e->ring->value.partitions, q->sets, q->count))
        return KV_E_INVALID;
    for (uint32_t i = 0; i < q->count; i++) {
        if (!entropy_shared(e, q->sets[i].partition, m->from))
            return KV_E_INVALID;
        if (entropy_held(e, q->sets[i].partition))
            return KV_E_AGAIN;
    }
    int rc = digest_set_init(&v->set, q->digests, q->fetch);
    if (rc != KV_OK)
        return rc;
    for (uint32_t i = 0; i < q->count; i++)
        entropy_engage(e, q->sets[i].partition, m->from, t->now_us);
    v->conflicts = malloc((v->set.count + 1) * sizeof *v->conflicts);
    if (!v->conflicts ||
        span_set(&v->span, e->ring->value.partitions, q->sets, q->count, q->after, q->upto)) {
        serve_drop(v);
        return KV_E_NO_MEMORY;
    }
    v->state = SERVE_COMPARE;
    v->fetch = q->fetch;
    v->until_hlc = q->until_hlc;
    v->conflict_count = 0;
    v->looked_bytes = 0;
    parcel_begin(&v->parcel, t->hlc);
    next_page(e, v, t);
    return KV_OK;
}

/* ---- MERGE */

static int begin_merge(struct entropy *e, struct serve *v, const struct message *m, const struct turn *t)
{
    struct pack_facts facts;
    int rc = m->merge.pack
                 ? entropy_pack_check(e, m->merge.pack, m->merge.began_hlc, t->hlc, NULL, m->from, &facts)
                 : KV_E_MALFORMED;
    if (rc != KV_OK)
        return rc;
    for (uint32_t p = facts.first; p <= facts.last; p++)
        if (e->partitions[p].engaged_with == m->from)
            entropy_engage(e, p, m->from, t->now_us);
    e->counters.rows_received += facts.rows;
    v->state = SERVE_MERGE;
    v->first = facts.first;
    v->last = facts.last;
    entropy_merge(m->merge.pack, new_op(e, v), t->out);
    return KV_OK;
}

static void on_written(struct entropy *e, struct serve *v, int status, const struct turn *t)
{
    if (status != KV_OK) {
        give_up(e, v, status, t);
        return;
    }
    reply(e, v->to, MSG_MERGE, v->id, KV_OK, t);
    serve_drop(v);
}

/* ---- dispatch */

static int begin(struct entropy *e, struct endpoint from, const struct message *m, const struct turn *t)
{
    struct serve *v = free_serve(e);
    if (!e->ring || m->ring_epoch != e->ring->value.epoch)
        return KV_E_WRONG_RING;
    if (!v)
        return KV_E_OVERLOADED;
    v->to = from;
    v->member = m->from;
    v->id = m->id;
    switch (m->type) {
    case MSG_ROOTS: return begin_roots(e, v, m, t);
    case MSG_COMPARE: return begin_compare(e, v, m, t);
    default: KV_ASSERT(m->type == MSG_MERGE); return begin_merge(e, v, m, t);
    }
}

void serve_question(struct entropy *e, struct endpoint from, const struct message *m, const struct turn *t)
{
    e->counters.served++;
    entropy_received(e, m, 0, t->now_us);
    int rc = begin(e, from, m, t);
    if (rc == KV_OK)
        return;
    e->counters.refused++;
    reply(e, from, m->type, m->id, rc, t);
}

void serve_stored(struct entropy *e, struct serve *v, const struct event *in, const struct turn *t)
{
    switch ((enum serve_state)v->state) {
    case SERVE_ROOTS: on_tree(e, v, in, t); break;
    case SERVE_COMPARE: on_page(e, v, in, t); break;
    default: on_written(e, v, in->written.status, t);
    }
}
