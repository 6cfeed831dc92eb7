/* See store.h. */
#include "sim/store.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/key.h"
#include "model/pack.h"
#include "sim/table.h"

#define META_MAX 16u
struct meta {
    char name[32];
    struct buf value;
};

/* What a record was before an unsynced write. */
struct undo {
    uint64_t sequence; /* of the write: those of one batch go together */
    uint32_t member;
    struct buf key;
    bool there;
    struct row row;
    struct stamp stamp;
    uint64_t bytes;
};

struct sim_store {
    uint64_t id;
    uint64_t sequence;
    bool full;
    bool lazy;
    struct undo *undo; /* oldest first */
    size_t undo_count, undo_cap;
    sim_store_lost_fn lost;
    void *lost_arg;
    struct table rows;
    struct table notes;
    struct meta meta[META_MAX];
    uint32_t meta_count;
    struct list jobs; /* volatile, in order of submission */
};

struct sim_job {
    struct list link;
    struct effect effect; /* its bytes are in `held` */
    struct buf held[2];
};

static void *must(void *p)
{
    KV_ASSERT(p);
    return p;
}

/* ---- the store ---- */

struct sim_store *sim_store_create(uint64_t store_id)
{
    struct sim_store *st = must(calloc(1, sizeof *st));
    st->id = store_id;
    list_init(&st->jobs);
    return st;
}

static void job_free(struct sim_job *job)
{
    if (job->effect.type == EF_STORE_WRITE)
        row_release(&job->effect.write.row);
    if (job->effect.type == EF_STORE_MERGE)
        blob_unref(job->effect.merge.pack);
    buf_deinit(&job->held[0]);
    buf_deinit(&job->held[1]);
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
    default: hold(job, 0, &job->effect.hint_done.key); break;
    }
    return job;
}

bool sim_job_is_write(const struct sim_job *job)
{
    return job->effect.type == EF_STORE_WRITE || job->effect.type == EF_STORE_MERGE ||
           job->effect.type == EF_STORE_META || job->effect.type == EF_STORE_HINT_DONE;
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
    if (!u->member && st->lost)
        st->lost(key, false, st->lost_arg);
    if (!u->there) {
        struct record *r = table_find(t, u->member, key);
        if (r)
            table_drop(t, r);
        return;
    }
    struct record *r = table_find_or_add(t, u->member, key);
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
    sim_store_sync(st); /* what is in the log now stays there */
    return lost;
}

void sim_store_on_loss(struct sim_store *st, sim_store_lost_fn lost, void *arg)
{
    st->lost = lost;
    st->lost_arg = arg;
}

/* ---- writing ---- */

static void merge_row(struct sim_store *st, struct bytes key, const struct row *row)
{
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

static bool is_noted(const struct sim_store *st, struct bytes key)
{
    for (size_t i = 0; i < st->notes.count; i++)
        if (bytes_eq(st->notes.records[i].at.key, key))
            return true;
    return false;
}

static void hint_done(struct sim_store *st, const struct effect *e)
{
    remember(st, e->hint_done.member, e->hint_done.key);
    remember(st, 0, e->hint_done.key);
    struct record *note = table_find(&st->notes, e->hint_done.member, e->hint_done.key);
    if (note && stamp_cmp(note->stamp, e->hint_done.stamp) <= 0)
        table_drop(&st->notes, note);
    struct record *r = e->hint_done.drop_row ? table_find(&st->rows, 0, e->hint_done.key) : NULL;
    if (r && stamp_cmp(r->row.stamp, e->hint_done.stamp) == 0 && !is_noted(st, e->hint_done.key))
        table_drop(&st->rows, r);
}

static int apply(struct sim_store *st, const struct effect *e)
{
    if (st->full && e->type != EF_STORE_HINT_DONE)
        return KV_E_FULL;
    st->sequence++;
    switch (e->type) {
    case EF_STORE_WRITE: merge(st, e); break;
    case EF_STORE_MERGE: merge_pack(st, e->merge.pack); break;
    case EF_STORE_META: sim_store_meta_put(st, e->meta.name, e->meta.value); break;
    default: hint_done(st, e); break;
    }
    return KV_OK;
}

/* ---- reading ---- */

static void read_row(const struct sim_store *st, const struct effect *e, struct event *out)
{
    const struct row *row = sim_store_row(st, e->read.key);
    out->read.op = e->op;
    out->read.status = KV_OK;
    out->read.row = row ? row_ref(row) : row_absent();
    if (e->read.stamp_only) {
        blob_unref(out->read.row.payload);
        out->read.row.payload = NULL;
    }
}

static void read_range(const struct sim_store *st, const struct effect *e, struct page_entry *entries,
                       struct event *out)
{
    size_t i = table_behind(&st->rows, 0, &e->range.after), bytes = 0;
    out->page.next = e->range.after;
    for (uint32_t looked = 0; looked < e->range.limit && bytes < SCAN_PAGE_MAX_BYTES && i < st->rows.count;
         looked++, i++) {
        const struct record *r = &st->rows.records[i];
        bytes += r->at.key.len;
        out->page.next = record_cursor(r);
        if (!bytes_starts_with(r->at.key, e->range.prefix))
            continue;
        entries[out->page.count] = (struct page_entry){.key = r->at.key, .row = r->row};
        entries[out->page.count++].row.payload = NULL;
    }
    out->page.done = i == st->rows.count;
}

static void read_hints(const struct sim_store *st, const struct effect *e, struct page_entry *entries,
                       struct event *out)
{
    size_t i = table_behind(&st->notes, e->hints.member, &e->hints.after);
    out->page.next = e->hints.after;
    for (; out->page.count < e->hints.limit && i < st->notes.count; i++) {
        const struct record *note = &st->notes.records[i];
        if (note->at.member != e->hints.member)
            break;
        const struct row *row = sim_store_row(st, note->at.key);
        entries[out->page.count++] = (struct page_entry){
            .key = note->at.key, .row = row ? row_ref(row) : row_absent(), .hint = note->stamp};
        out->page.next = record_cursor(note);
    }
    out->page.done = i == st->notes.count || st->notes.records[i].at.member != e->hints.member;
}

static void read_page(const struct sim_store *st, const struct effect *e, struct arena *arena,
                      struct event *out)
{
    bool range = e->type == EF_STORE_RANGE;
    uint32_t limit = range ? e->range.limit : e->hints.limit;
    struct page_entry *entries = must(arena_alloc(arena, limit * sizeof *entries));
    out->page.op = e->op;
    out->page.entries = entries;
    if (range)
        read_range(st, e, entries, out);
    else
        read_hints(st, e, entries, out);
}

void sim_store_finish(struct sim_store *st, struct sim_job *job, struct arena *arena, struct event *out)
{
    const struct effect *e = &job->effect;
    *out = (struct event){.type = EV_STORE_WRITTEN};
    if (sim_job_is_write(job)) {
        for (struct list *it = st->jobs.next; it != &job->link; it = it->next)
            KV_ASSERT(!sim_job_is_write(container_of(it, struct sim_job, link))); /* in order */
        out->written.op = e->op;
        out->written.status = apply(st, e);
        out->written.sequence = st->sequence;
    } else if (e->type == EF_STORE_READ) {
        out->type = EV_STORE_READ;
        read_row(st, e, out);
    } else {
        out->type = EV_STORE_PAGE;
        read_page(st, e, arena, out);
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
        if (sim_job_is_write(job)) {
            logged = logged && prng_below(prng, 2) == 0;
            if (logged)
                (void)apply(st, &job->effect);
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
