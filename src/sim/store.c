/* See store.h. */
#include <stdlib.h>

#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "model/pack.h"
#include "sim/store_state.h"

/* ---- the store ---- */

struct sim_store *sim_store_create(uint64_t store_id)
{
    struct sim_store *st = must(calloc(1, sizeof *st));
    st->id = store_id;
    list_init(&st->jobs);
    return st;
}

static void copy_table(const struct table *from, struct table *to)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct record *a = &from->records[i];
        struct record *b = table_find_or_add(to, a->at.member, a->at.key);
        b->row = row_ref(&a->row);
        b->stamp = a->stamp;
        b->bytes = a->bytes;
    }
}

struct sim_store *sim_store_copy(const struct sim_store *st)
{
    struct sim_store *copy = sim_store_create(st->id);
    copy->sequence = st->sequence;
    copy->durable = st->sequence;
    copy->lazy = st->lazy;
    copy->lost = st->lost;
    copy->lost_arg = st->lost_arg;
    copy->witness = st->witness;
    copy_table(&st->rows, &copy->rows);
    copy_table(&st->notes, &copy->notes);
    for (uint32_t i = 0; i < st->meta_count; i++)
        sim_store_meta_put(copy, st->meta[i].name, bytes_of(st->meta[i].value.data, st->meta[i].value.len));
    return copy;
}

static void job_free(struct sim_job *job)
{
    if (job->effect.type == EF_STORE_WRITE)
        row_release(&job->effect.write.row);
    if (job->effect.type == EF_STORE_MERGE)
        blob_unref(job->effect.merge.pack);
    buf_deinit(&job->held[0]);
    buf_deinit(&job->held[1]);
    free(job->versions);
    free(job->keys);
    free(job);
}

void sim_store_destroy(struct sim_store *st)
{
    if (!st)
        return;
    list_each_safe (it, &st->jobs)
        job_free(container_of(it, struct sim_job, link));
    sim_store_sync(st);
    free(st->undo);
    table_deinit(&st->rows);
    table_deinit(&st->notes);
    for (uint32_t i = 0; i < st->meta_count; i++)
        buf_deinit(&st->meta[i].value);
    free(st);
}

uint64_t sim_store_sequence(const struct sim_store *st)
{
    return st->sequence;
}

uint64_t sim_store_id(const struct sim_store *st)
{
    return st->id;
}

struct bytes sim_store_meta(const struct sim_store *st, const char *name)
{
    for (uint32_t i = 0; i < st->meta_count; i++)
        if (strcmp(st->meta[i].name, name) == 0)
            return buf_bytes(&st->meta[i].value);
    return (struct bytes){NULL, 0};
}

void sim_store_meta_put(struct sim_store *st, const char *name, struct bytes value)
{
    uint32_t i = 0;
    while (i < st->meta_count && strcmp(st->meta[i].name, name) != 0)
        i++;
    KV_ASSERT(i < META_MAX && strlen(name) < sizeof st->meta[i].name);
    if (i == st->meta_count)
        memcpy(st->meta[st->meta_count++].name, name, strlen(name) + 1);
    KV_ASSERT(buf_set(&st->meta[i].value, value) == KV_OK);
    sim_store_sync(st);
}

const struct row *sim_store_row(const struct sim_store *st, struct bytes key)
{
    const struct record *r = table_find(&st->rows, 0, key);
    return r ? &r->row : NULL;
}

uint32_t sim_store_notes(const struct sim_store *st, uint32_t member, uint64_t *bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    for (size_t i = 0; i < st->notes.count; i++) {
        if (st->notes.records[i].at.member != member)
            continue;
        count++;
        *bytes += st->notes.records[i].bytes;
    }
    return count;
}

void sim_store_full(struct sim_store *st, bool full)
{
    st->full = full;
}

/* ---- jobs ---- */

static void hold(struct sim_job *job, uint32_t which, struct bytes *bytes)
{
    KV_ASSERT(buf_append(&job->held[which], *bytes) == KV_OK);
    *bytes = buf_bytes(&job->held[which]);
}

/* Many keys one behind the other; they get their places when all are there and nothing moves any more. */
static void hold_keys(struct sim_job *job, struct bytes *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        KV_ASSERT(buf_append(&job->held[0], keys[i]) == KV_OK);
    const uint8_t *at = job->held[0].data;
    for (uint32_t i = 0; i < count; i++) {
        keys[i].data = at;
        at += keys[i].len;
    }
}

static void hold_versions(struct sim_job *job)
{
    uint32_t count = job->effect.remove.count;
    KV_ASSERT(count > 0 && count <= STORE_KEYS_MAX);
    struct bytes keys[STORE_KEYS_MAX];
    job->versions = must(calloc(count, sizeof *job->versions));
    memcpy(job->versions, job->effect.remove.entries, count * sizeof *job->versions);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = job->versions[i].key;
    hold_keys(job, keys, count);
    for (uint32_t i = 0; i < count; i++)
        job->versions[i].key = keys[i];
    job->effect.remove.entries = job->versions;
}

static void hold_asked(struct sim_job *job)
{
    uint32_t count = job->effect.has.count;
    KV_ASSERT(count <= STORE_KEYS_MAX);
    job->keys = must(calloc(count + 1, sizeof *job->keys));
    for (uint32_t i = 0; i < count; i++)
        job->keys[i] = job->effect.has.keys[i];
    hold_keys(job, job->keys, count);
    job->effect.has.keys = job->keys;
}

struct sim_job *sim_store_submit(struct sim_store *st, struct effect *e)
{
    struct sim_job *job = must(calloc(1, sizeof *job));
    job->effect = *e;
    e->type = EF_NONE;
    list_push_back(&st->jobs, &job->link);
    switch (job->effect.type) {
    case EF_STORE_WRITE: hold(job, 0, &job->effect.write.key); break;
    case EF_STORE_MERGE: break; /* nothing is borrowed */
    case EF_STORE_READ: hold(job, 0, &job->effect.read.key); break;
    case EF_STORE_META: hold(job, 0, &job->effect.meta.value); break;
    case EF_STORE_RANGE:
        hold(job, 0, &job->effect.range.after.key);
        hold(job, 1, &job->effect.range.prefix);
        break;
    case EF_STORE_HINTS: hold(job, 0, &job->effect.hints.after.key); break;
    case EF_STORE_ROWS: hold(job, 0, &job->effect.rows.after.key); break;
    case EF_STORE_DELETE: hold_versions(job); break;
    case EF_STORE_HAS: hold_asked(job); break;
    case EF_STORE_TREE:
    case EF_STORE_TOTALS: break;
    default: hold(job, 0, &job->effect.hint_done.key); break;
    }
    return job;
}

bool sim_job_is_write(const struct sim_job *job)
{
    switch (job->effect.type) {
    case EF_STORE_WRITE:
    case EF_STORE_MERGE:
    case EF_STORE_META:
    case EF_STORE_HINT_DONE:
    case EF_STORE_DELETE:
    case EF_STORE_HAS: return true; /* only looks, but not before its turn */
    default: return false;
    }
}

static bool changes(const struct sim_job *job)
{
    return sim_job_is_write(job) && job->effect.type != EF_STORE_HAS;
}

/* ---- what a power cut undoes ---- */

static struct table *table_of(struct sim_store *st, uint32_t member)
{
    return member ? &st->notes : &st->rows;
}

/* Before a record is changed. */
static void remember(struct sim_store *st, uint32_t member, struct bytes key)
{
    if (!st->lazy)
        return;
    if (st->undo_count == st->undo_cap) {
        st->undo_cap = st->undo_cap ? 2 * st->undo_cap : 64;
        st->undo = must(realloc(st->undo, st->undo_cap * sizeof *st->undo));
    }
    struct undo *u = &st->undo[st->undo_count++];
    const struct record *r = table_find(table_of(st, member), member, key);
    *u = (struct undo){.sequence = st->sequence, .member = member, .there = r != NULL};
    KV_ASSERT(buf_append(&u->key, key) == KV_OK);
    if (r) {
        u->row = row_ref(&r->row);
        u->stamp = r->stamp;
        u->bytes = r->bytes;
    }
}

static void undo_free(struct undo *u)
{
    buf_deinit(&u->key);
    row_release(&u->row);
}

static void undo(struct sim_store *st, struct undo *u)
{
    struct table *t = table_of(st, u->member);
    struct bytes key = buf_bytes(&u->key);
    struct record *r = table_find(t, u->member, key);
    if (!u->member && st->lost && r) /* a row that comes back is none that is lost */
        st->lost(key, false, st->lost_arg);
    if (!u->there) {
        if (r)
            table_drop(t, r);
        return;
    }
    r = table_find_or_add(t, u->member, key);
    row_release(&r->row);
    r->row = row_ref(&u->row);
    r->stamp = u->stamp;
    r->bytes = u->bytes;
}

void sim_store_lazy(struct sim_store *st, bool lazy)
{
    st->lazy = lazy;
}

void sim_store_sync(struct sim_store *st)
{
    for (size_t i = 0; i < st->undo_count; i++)
        undo_free(&st->undo[i]);
    st->undo_count = 0;
    st->durable = st->sequence;
}

uint32_t sim_store_power_cut(struct sim_store *st, struct prng *prng)
{
    uint32_t lost = 0;
    if (!st->undo_count)
        return 0;
    uint64_t keep = st->undo[prng_below(prng, st->undo_count)].sequence; /* this one is torn */
    uint64_t last = 0;
    while (st->undo_count && st->undo[st->undo_count - 1].sequence >= keep) {
        struct undo *u = &st->undo[--st->undo_count];
        lost += u->sequence != last;
        last = u->sequence;
        undo(st, u);
        undo_free(u);
    }
    st->sequence = keep - 1;
    sim_store_sync(st); /* what is in the log now stays there */
    return lost;
}

void sim_store_on_loss(struct sim_store *st, sim_store_lost_fn lost, void *arg)
{
    st->lost = lost;
    st->lost_arg = arg;
}

void sim_store_witness(struct sim_store *st, struct witness *w)
{
    st->witness = w;
}

/* ---- writing ---- */

static void merge_row(struct sim_store *st, struct bytes key, const struct row *row)
{
    if (st->witness)
        witness_written(st->witness, key, row);
    remember(st, 0, key);
    struct record *r = table_find_or_add(&st->rows, 0, key);
    if (row_wins(row, &r->row)) {
        row_release(&r->row);
        r->row = row_ref(row);
    }
}

static void merge_pack(struct sim_store *st, const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row p;
    while (rest.len) {
        KV_ASSERT(pack_take(&rest, &p) == KV_OK);
        p.row.payload = blob_copy(p.payload);
        merge_row(st, p.key, &p.row);
        row_release(&p.row);
    }
}

static void merge(struct sim_store *st, const struct effect *e)
{
    merge_row(st, e->write.key, &e->write.row);
    for (uint8_t i = 0; i < e->write.hint_count; i++) {
        remember(st, e->write.hints[i], e->write.key);
        struct record *note = table_find_or_add(&st->notes, e->write.hints[i], e->write.key);
        if (stamp_cmp(e->write.row.stamp, note->stamp) < 0)
            continue;
        note->stamp = e->write.row.stamp;
        note->bytes = e->write.key.len + blob_bytes(e->write.row.payload).len;
    }
}

static int hint_done(struct sim_store *st, const struct effect *e)
{
    struct bytes key = e->hint_done.key;
    struct record *note = table_find(&st->notes, e->hint_done.member, key);
    if (!note || stamp_cmp(note->stamp, e->hint_done.stamp) > 0)
        return KV_OK;
    struct record *r = e->hint_done.drop_row ? table_find(&st->rows, 0, key) : NULL;
    int newer = r ? stamp_cmp(r->row.stamp, e->hint_done.stamp) : 0;
    if (newer > 0)
        return KV_E_AGAIN;
    remember(st, e->hint_done.member, key);
    remember(st, 0, key);
    table_drop(&st->notes, note);
    if (r && newer == 0 && !is_noted(st, key))
        table_drop(&st->rows, r);
    return KV_OK;
}

static uint32_t delete_rows(struct sim_store *st, const struct effect *e)
{
    uint32_t deleted = 0;
    for (uint32_t i = 0; i < e->remove.count; i++) {
        const struct row_version *v = &e->remove.entries[i];
        struct record *r = table_find(&st->rows, 0, v->key);
        if (!r || stamp_cmp(r->row.stamp, v->stamp) != 0 || (e->remove.unless_noted && is_noted(st, v->key)))
            continue;
        if (st->witness && id_owner(e->op) == ID_PURGE)
            witness_purged(st->witness, v->key, v->stamp);
        remember(st, 0, v->key);
        table_drop(&st->rows, r);
        deleted++;
    }
    return deleted;
}

/* `*deleted`: how many rows an EF_STORE_DELETE has taken away. */
static int apply(struct sim_store *st, const struct effect *e, uint32_t *deleted)
{
    *deleted = 0;
    if (st->full && e->type != EF_STORE_HINT_DONE && e->type != EF_STORE_DELETE)
        return KV_E_FULL;
    st->sequence++;
    int status = KV_OK;
    switch (e->type) {
    case EF_STORE_WRITE: merge(st, e); break;
    case EF_STORE_MERGE: merge_pack(st, e->merge.pack); break;
    case EF_STORE_META: sim_store_meta_put(st, e->meta.name, e->meta.value); break;
    case EF_STORE_DELETE: *deleted = delete_rows(st, e); break;
    default: status = hint_done(st, e); break;
    }
    if (!st->lazy)
        st->durable = st->sequence;
    return status;
}

void sim_store_finish(struct sim_store *st, struct sim_job *job, struct arena *arena, struct event *out)
{
    const struct effect *e = &job->effect;
    *out = (struct event){.type = EV_STORE_WRITTEN};
    for (struct list *it = st->jobs.next; sim_job_is_write(job) && it != &job->link; it = it->next)
        KV_ASSERT(!sim_job_is_write(container_of(it, struct sim_job, link))); /* in order */
    if (changes(job)) {
        out->written.op = e->op;
        out->written.status = apply(st, e, &out->written.deleted);
        out->written.sequence = st->durable;
    } else {
        store_look(st, e, arena, out);
    }
    list_remove(&job->link); /* its completion may end the process, and with it all that is on its way */
}

void sim_job_release(struct sim_job *job, struct event *done)
{
    if (done->type == EV_STORE_READ)
        row_release(&done->read.row);
    if (done->type == EV_STORE_PAGE)
        for (uint32_t i = 0; i < done->page.count; i++)
            blob_unref(done->page.entries[i].row.payload);
    job_free(job);
}

uint32_t sim_store_crash(struct sim_store *st, struct prng *prng)
{
    bool logged = true;
    uint32_t torn = 0;
    list_each_safe (it, &st->jobs) {
        struct sim_job *job = container_of(it, struct sim_job, link);
        if (changes(job)) {
            uint32_t deleted;
            logged = logged && prng_below(prng, 2) == 0;
            if (logged)
                (void)apply(st, &job->effect, &deleted);
            else
                torn++;
        }
        job_free(job);
    }
    list_init(&st->jobs);
    return torn;
}

void sim_store_each(const struct sim_store *st,
                    void (*visit)(struct bytes key, const struct row *row, void *arg), void *arg)
{
    for (size_t i = 0; i < st->rows.count; i++)
        visit(st->rows.records[i].at.key, &st->rows.records[i].row, arg);
}

void sim_store_damage(struct sim_store *st, struct bytes key)
{
    struct record *r = table_find(&st->rows, 0, key);
    KV_ASSERT(r);
    table_drop(&st->rows, r);
}
