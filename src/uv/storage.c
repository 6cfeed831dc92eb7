/* Group commit and reads around the store's port; see storage.h.
 *
 * The thread owns `store_write` while it is busy; the loop's thread may write only when the thread is idle
 * and its queue is empty, which `busy` under the mutex decides. */
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/storage_state.h"

/* Until there is something to write, or it is time to sync or to look for space. */
static void wait_for_work(struct storage *s)
{
    uint64_t until_us = UINT64_MAX, unsynced_us = s->unsynced_since_us;
    if (s->full)
        until_us = mono_us() + STORAGE_RECOVER_US;
    if (unsynced_us && unsynced_us + STORAGE_INTERVAL_US < until_us)
        until_us = unsynced_us + STORAGE_INTERVAL_US;
    if (until_us == UINT64_MAX) {
        pthread_cond_wait(&s->work, &s->lock);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)(until_us / 1000000),
                         .tv_nsec = (long)(until_us % 1000000) * 1000};
    pthread_cond_timedwait(&s->work, &s->lock, &t);
}

/* Where processors are scarce, who is ready to run has more rows for the batch: a quarter fewer syncs at 50
 * clients. Where they are not, this costs nothing. */
static void let_gather(struct storage *s)
{
    pthread_mutex_unlock(&s->lock);
    sched_yield();
    pthread_mutex_lock(&s->lock);
}

static void *run_thread(void *arg)
{
    struct storage *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (list_empty(&s->queue) && !s->stopping) {
            wait_for_work(s);
            if (!list_empty(&s->queue))
                break;
            if (s->inline_busy)
                continue;
            s->busy = true; /* keeps the loop's thread away from the store's write side */
            pthread_mutex_unlock(&s->lock);
            try_recover(s);
            sync_if_due(s, false);
            pthread_mutex_lock(&s->lock);
            s->published = s->writes;
            s->busy = false;
        }
        if (list_empty(&s->queue))
            break; /* stopping, and nothing is left */
        s->busy = true;
        let_gather(s);
        struct list mine, results;
        list_init(&mine);
        list_init(&results);
        struct list *node;
        while ((node = list_pop_front(&s->queue)) != NULL)
            list_push_back(&mine, node);
        uint32_t slow_ms = s->slow_disk_ms;
        pthread_mutex_unlock(&s->lock);
        uint64_t begun_us = mono_us();
        if (slow_ms)
            usleep(slow_ms * 1000);
        write_all(s, &mine, &results);
        sync_if_due(s, false);
        count_slow(s, begun_us);
        pthread_mutex_lock(&s->lock);
        while ((node = list_pop_front(&results)) != NULL)
            list_push_back(&s->completed, node);
        s->published = s->writes;
        s->busy = false;
        uv_async_send(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the loop's side ---- */

void gather(struct storage *s, struct storage_job *job)
{
    list_push_back(&s->gathered, &job->link);
    s->gathered_count++;
}

int storage_submit(struct storage *s, struct effect *effect)
{
    struct storage_job *job;
    int rc = job_create(s, effect, &job);
    if (rc != KV_OK)
        return rc;
    if (job_is_write(job))
        gather(s, job);
    else
        read_submit(s, job);
    return KV_OK;
}

static void collect_completed(struct storage *s)
{
    struct list mine, *node;
    list_init(&mine);
    pthread_mutex_lock(&s->lock);
    while ((node = list_pop_front(&s->completed)) != NULL)
        list_push_back(&mine, node);
    pthread_mutex_unlock(&s->lock);
    finish_writes(s, &mine);
}

/* Whether the one write that was gathered is better done here and now. Called under the lock. */
static bool inline_is_better(const struct storage *s)
{
    if (s->gathered_count != 1 || s->busy || !list_empty(&s->queue) || s->slow_disk_ms || s->full)
        return false;
    const struct storage_job *job = container_of(s->gathered.next, struct storage_job, link);
    if (job->type == EF_STORE_DELETE || job->type == EF_STORE_HAS)
        return false; /* many keys, perhaps cold */
    return s->published.last_sync_us < STORAGE_INLINE_MAX_US &&
           blob_bytes(job->put.row.payload).len <= STORAGE_INLINE_MAX_BYTES &&
           blob_bytes(job->pack).len <= STORAGE_INLINE_MAX_BYTES;
}

static void start_writing(struct storage *s)
{
    if (s->gathered_count == 0)
        return;
    pthread_mutex_lock(&s->lock);
    bool here = inline_is_better(s);
    bool was_timed = s->unsynced_since_us != 0;
    struct list *node;
    if (!here) {
        bool was_empty = list_empty(&s->queue);
        while ((node = list_pop_front(&s->gathered)) != NULL)
            list_push_back(&s->queue, node);
        if (was_empty && !s->busy)
            pthread_cond_signal(&s->work);
    } else {
        s->inline_busy = true;
    }
    pthread_mutex_unlock(&s->lock);
    s->gathered_count = 0;
    if (!here)
        return;
    struct list mine;
    list_init(&mine);
    uint64_t begun_us = mono_us();
    write_all(s, &s->gathered, &mine);
    count_slow(s, begun_us);
    finish_writes(s, &mine);
    s->writes.inline_writes++;
    pthread_mutex_lock(&s->lock);
    s->published = s->writes;
    s->inline_busy = false;
    if (s->full || (s->unsynced_since_us && !was_timed))
        pthread_cond_signal(&s->work); /* so that it waits with a time-out from now on */
    pthread_mutex_unlock(&s->lock);
}

uint32_t storage_flush(struct storage *s, uint32_t max)
{
    uint32_t count = 0;
    bool more = true;
    start_writing(s);
    while (more && count < max && !list_empty(&s->finished)) {
        more = s->done(container_of(list_pop_front(&s->finished), struct storage_job, link), s->arg);
        count++;
        read_continue(s);
    }
    return count;
}

bool storage_pending(const struct storage *s)
{
    return s->gathered_count > 0 || !list_empty(&s->finished);
}

static void on_wake(uv_async_t *wake)
{
    collect_completed(container_of(wake, struct storage, wake));
}

int storage_create(uv_loop_t *loop, struct store *store, enum sync_mode mode, storage_done *done, void *arg,
                   struct storage **out)
{
    struct storage *s = calloc(1, sizeof *s);
    if (!s)
        return KV_E_NO_MEMORY;
    s->loop = loop;
    s->store = store;
    s->mode = mode;
    s->durable = store_sequence(store); /* opening has flushed what was in the log */
    s->done = done;
    s->arg = arg;
    list_init(&s->gathered);
    list_init(&s->finished);
    list_init(&s->postponed);
    list_init(&s->cold);
    list_init(&s->background);
    list_init(&s->spare);
    list_init(&s->queue);
    list_init(&s->completed);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (row_cache_init(&s->rows) != KV_OK || uv_async_init(loop, &s->wake, on_wake) != 0 ||
        pthread_create(&s->thread, NULL, run_thread, s) != 0) {
        row_cache_deinit(&s->rows);
        free(s);
        return KV_E_NO_MEMORY;
    }
    *out = s;
    return KV_OK;
}

void storage_slow_disk(struct storage *s, uint32_t ms)
{
    pthread_mutex_lock(&s->lock);
    s->slow_disk_ms = ms;
    pthread_mutex_unlock(&s->lock);
}

struct storage_counters storage_counters(struct storage *s)
{
    pthread_mutex_lock(&s->lock);
    struct storage_counters c = s->published;
    pthread_mutex_unlock(&s->lock);
    c.cached_reads = s->reads.cached_reads;
    c.row_cache_hits = s->reads.row_cache_hits;
    c.cold_reads = s->reads.cold_reads;
    c.pages = s->reads.pages;
    return c;
}

bool storage_full(const struct storage *s)
{
    return s->full;
}

void storage_stop(struct storage *s)
{
    start_writing(s);
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->joined = true;
    sync_if_due(s, true);
    collect_completed(s);
    uv_close((uv_handle_t *)&s->wake, NULL);
}

void storage_destroy(struct storage *s)
{
    KV_ASSERT(s->joined && s->pool_jobs == 0);
    struct list *const left[] = {&s->finished, &s->postponed, &s->cold, &s->background, &s->spare};
    struct list *node;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        while ((node = list_pop_front(left[i])) != NULL)
            if (left[i] == &s->spare)
                job_free(container_of(node, struct storage_job, link));
            else
                storage_job_release(container_of(node, struct storage_job, link));
    row_cache_deinit(&s->rows);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
