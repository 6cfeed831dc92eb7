/* Reads: from the engine's cache at once, from disk in libuv's pool. Everything here runs on the loop's
 * thread, but for read_in_pool.
 *
 *     submitted --> postponed --(memory)--> cached? --> finished --> stepped, released
 *                                             \--> cold --(a place in the pool)--> pool --> finished
 */
#include "base/assert.h"
#include "kv_error.h"
#include "uv/storage_state.h"

static void set_read(struct storage_job *job, int status, struct row *row)
{
    job->event.type = EV_STORE_READ;
    job->event.read.op = job->op;
    job->event.read.status = status;
    job->event.read.row = *row;
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
    struct page_entry *entries = NULL;
    uint32_t count = 0;
    bool done = false;
    struct cursor next = {0};
    int rc = job->type == EF_STORE_RANGE ? store_range(store, job->after, buf_bytes(&job->prefix), job->limit,
                                                       &job->arena, &entries, &count, &next, &done)
                                         : store_hints(store, job->member, job->after, job->limit,
                                                       &job->arena, &entries, &count, &next, &done);
    job->event.type = EV_STORE_PAGE;
    job->event.page.op = job->op;
    job->event.page.status = rc;
    job->event.page.count = rc == KV_OK ? count : 0;
    job->event.page.entries = entries;
    job->event.page.next = next;
    job->event.page.done = done;
}

static void pool_work(uv_work_t *work)
{
    read_in_pool(container_of(work, struct storage_job, work));
}

static void start_cold(struct storage *s);

/* `job` is finished; a row that it read counts until it is released. */
static void finish(struct storage *s, struct storage_job *job)
{
    if (job->event.type == EV_STORE_READ) {
        job->read_bytes = (uint32_t)blob_bytes(job->event.read.row.payload).len;
        s->read_bytes += job->read_bytes;
    }
    list_push_back(&s->finished, &job->link);
}

static void pool_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    struct storage_job *job = container_of(work, struct storage_job, work);
    struct storage *s = job->storage;
    s->pool_jobs--;
    finish(s, job);
    start_cold(s);
}

static void start_cold(struct storage *s)
{
    while (!s->joined && s->pool_jobs < STORAGE_COLD_MAX && !list_empty(&s->cold)) {
        struct storage_job *job = container_of(list_pop_front(&s->cold), struct storage_job, link);
        int rc = uv_queue_work(s->loop, &job->work, pool_work, pool_done);
        KV_ASSERT(rc == 0); /* fails without a function only */
        s->pool_jobs++;
    }
}

static void start_read(struct storage *s, struct storage_job *job)
{
    if (job->type == EF_STORE_READ) {
        struct row row = row_absent();
        int rc = store_read(s->store, job->put.key, STORE_CACHED, job->flag, &row);
        if (rc != KV_E_AGAIN) {
            s->reads.cached_reads++;
            set_read(job, rc, &row);
            finish(s, job);
            return;
        }
        s->reads.cold_reads++;
    } else {
        arena_init(&job->arena, 8u << 20);
        job->has_arena = true;
        s->reads.pages++;
    }
    list_push_back(&s->cold, &job->link);
    start_cold(s);
}

void read_continue(struct storage *s)
{
    while (!list_empty(&s->postponed) && s->read_bytes < STORAGE_READ_MAX_BYTES)
        start_read(s, container_of(list_pop_front(&s->postponed), struct storage_job, link));
}

void read_submit(struct storage *s, struct storage_job *job)
{
    list_push_back(&s->postponed, &job->link);
    read_continue(s);
}
