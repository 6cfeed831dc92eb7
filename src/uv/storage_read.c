/* Reads: from the row cache or the engine's memory at once, from disk in libuv's pool. Everything here runs
 * on the loop's thread, but for read_in_pool.
 *
 *     submitted --> postponed --(memory)--> cached? --> finished --> stepped, released
 *                                             \--> cold --(a place in the pool)--> pool --> finished
 */
#include "base/assert.h"
#include "kv_error.h"
#include "model/pack.h"
#include "uv/storage_state.h"

static void set_read(struct storage_job *job, int status, struct row *row)
{
    job->event.type = EV_STORE_READ;
    job->event.read.op = job->op;
    job->event.read.status = status;
    job->event.read.row = *row;
}

static void set_tree(struct storage_job *job, int status)
{
    job->event.type = EV_STORE_TREE;
    job->event.tree.op = job->op;
    job->event.tree.status = status;
    job->event.tree.partition = job->tree->partition;
    job->event.tree.hashes = job->tree->hashes;
}

static void read_page(struct storage_job *job)
{
    struct store *store = job->storage->store;
    const struct store_run *run = &job->run;
    struct page_entry *entries = NULL;
    uint32_t count = 0;
    bool done = false;
    struct cursor next = {0};
    int rc;
    if (job->type == EF_STORE_RANGE)
        rc = store_range(store, run->after, buf_bytes(&job->prefix), run->limit, &job->arena, &entries,
                         &count, &next, &done);
    else if (job->type == EF_STORE_HINTS)
        rc = store_hints(store, job->member, run->after, run->limit, &job->arena, &entries, &count, &next,
                         &done);
    else
        rc = store_rows(store, run, &job->arena, &entries, &count, &next, &done);
    job->event.type = EV_STORE_PAGE;
    job->event.page.op = job->op;
    job->event.page.status = rc;
    job->event.page.count = rc == KV_OK ? count : 0;
    job->event.page.entries = entries;
    job->event.page.next = next;
    job->event.page.done = done;
}

static void add_total(uint32_t member, uint64_t count, uint64_t bytes, void *arg)
{
    struct storage_job *job = arg;
    if (job->count < MEMBERS_MAX)
        job->totals[job->count] = (struct hint_total){member, count, bytes};
    job->count++;
}

static void read_totals(struct storage_job *job)
{
    int rc = store_hint_totals(job->storage->store, add_total, job);
    job->event.type = EV_STORE_TOTALS;
    job->event.totals.op = job->op;
    job->event.totals.status = rc == KV_OK && job->count > MEMBERS_MAX ? KV_E_NO_MEMORY : rc;
    job->event.totals.count = job->count;
    job->event.totals.members = job->totals;
}

static void read_in_pool(struct storage_job *job)
{
    struct store *store = job->storage->store;
    if (job->type == EF_STORE_READ) {
        struct row row = row_absent();
        int rc = store_read(store, job->put.key, STORE_ANY, job->flag, &row);
        set_read(job, rc, &row);
        return;
    }
    if (job->type == EF_STORE_TREE) {
        set_tree(job,
                 store_tree_hash(store, job->tree->partition, job->tree->partitions, job->flag, job->tree));
        return;
    }
    if (job->type == EF_STORE_TOTALS)
        read_totals(job);
    else
        read_page(job);
}

static void pool_work(uv_work_t *work)
{
    read_in_pool(container_of(work, struct storage_job, work));
}

static void start_cold(struct storage *s);

/* `job` is finished; the rows that it read count until they are released. */
static void finish(struct storage *s, struct storage_job *job)
{
    const struct event *e = &job->event;
    if (e->type == EV_STORE_READ)
        job->read_bytes = (uint32_t)blob_bytes(e->read.row.payload).len;
    for (uint32_t i = 0; e->type == EV_STORE_PAGE && i < e->page.count; i++)
        job->read_bytes += (uint32_t)blob_bytes(e->page.entries[i].row.payload).len;
    s->read_bytes += job->read_bytes;
    list_push_back(&s->finished, &job->link);
}

/* Whether no client waits for it. */
static bool is_background(const struct storage_job *job)
{
    return job->type == EF_STORE_HINTS || job->type == EF_STORE_ROWS || job->type == EF_STORE_TREE ||
           job->type == EF_STORE_TOTALS;
}

static void pool_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    struct storage_job *job = container_of(work, struct storage_job, work);
    struct storage *s = job->storage;
    s->pool_jobs--;
    s->pool_background -= is_background(job);
    /* What was found in a tree is noted by the write side. */
    if (job->type == EF_STORE_TREE && job->event.tree.status == KV_OK && !s->joined)
        gather(s, job);
    else
        finish(s, job);
    start_cold(s);
}

/* One background job is always let in, lest a store that is busy never repairs anything. */
static struct list *next_cold(struct storage *s)
{
    uint32_t background_max = list_empty(&s->cold) ? STORAGE_BACKGROUND_MAX : 1;
    if (!list_empty(&s->background) && s->pool_background < background_max)
        return &s->background;
    return list_empty(&s->cold) ? NULL : &s->cold;
}

static void start_cold(struct storage *s)
{
    struct list *from;
    while (!s->joined && s->pool_jobs < STORAGE_COLD_MAX && (from = next_cold(s)) != NULL) {
        struct storage_job *job = container_of(list_pop_front(from), struct storage_job, link);
        int rc = uv_queue_work(s->loop, &job->work, pool_work, pool_done);
        KV_ASSERT(rc == 0); /* fails without a function only */
        s->pool_jobs++;
        s->pool_background += is_background(job);
    }
}

/* On the loop's thread. KV_E_AGAIN: it is not in memory. */
static int read_here(struct storage *s, const struct storage_job *job, struct row *row)
{
    struct bytes key = job->put.key;
    bool caching = !s->full; /* see finish_writes */
    if (caching && row_cache_get(&s->rows, key, job->flag, row)) {
        s->reads.row_cache_hits++;
        return KV_OK;
    }
    int rc = store_read(s->store, key, STORE_CACHED, job->flag, row);
    if (rc == KV_OK && caching && !job->flag)
        row_cache_fill(&s->rows, key, row);
    return rc;
}

static void start_read(struct storage *s, struct storage_job *job)
{
    if (job->type == EF_STORE_READ) {
        struct row row = row_absent();
        int rc = read_here(s, job, &row);
        if (rc != KV_E_AGAIN) {
            s->reads.cached_reads++;
            set_read(job, rc, &row);
            finish(s, job);
            return;
        }
        s->reads.cold_reads++;
    } else if (job->type != EF_STORE_TREE && job->type != EF_STORE_TOTALS) {
        s->reads.pages++;
    }
    list_push_back(is_background(job) ? &s->background : &s->cold, &job->link);
    start_cold(s);
}

void read_continue(struct storage *s)
{
    while (!list_empty(&s->postponed) && s->read_bytes < STORAGE_READ_MAX_BYTES)
        start_read(s, container_of(list_pop_front(&s->postponed), struct storage_job, link));
}

/* ---- what writes mean for the row cache ---- */

static void drop_packed(struct row_cache *rows, const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    while (rest.len && pack_take(&rest, &row) == KV_OK)
        row_cache_drop(rows, row.key);
}

static void follow(struct row_cache *rows, const struct storage_job *job)
{
    switch (job->type) {
    case EF_STORE_WRITE: row_cache_written(rows, job->put.key, &job->put.row); break;
    case EF_STORE_MERGE: drop_packed(rows, job->pack); break;
    case EF_STORE_DELETE:
        for (uint32_t i = 0; i < job->count; i++)
            row_cache_drop(rows, job->versions[i].key);
        break;
    case EF_STORE_HINT_DONE:
        if (job->flag)
            row_cache_drop(rows, job->put.key);
        break;
    default: break;
    }
}

/* A full disk may end with the engine opened anew, and a row in it that was refused before: until then
 * nothing is cached. */
void finish_writes(struct storage *s, struct list *jobs)
{
    struct list *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct storage_job *job = container_of(node, struct storage_job, link);
        if (job->event.type == EV_STORE_WRITTEN && job->event.written.status == KV_E_FULL)
            row_cache_clear(&s->rows);
        else
            follow(&s->rows, job);
        list_push_back(&s->finished, node);
    }
}

void read_submit(struct storage *s, struct storage_job *job)
{
    list_push_back(&s->postponed, &job->link);
    read_continue(s);
}
