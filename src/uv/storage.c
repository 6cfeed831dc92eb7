/* Group commit and reads around the store's port; see storage.h.
 *
 * The thread owns `store_write` while it is busy; the loop's thread may write only when the thread is idle
 * and its queue is empty, which `busy` under the mutex decides. Any failure of a log write or sync but a full
 * disk ends the process at once: after a failed fsync nobody knows what the kernel has kept (TRAPS, storage).
 */
#include "uv/storage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "kv_error.h"

struct storage {
    uv_loop_t *loop;
    struct store *store;
    enum sync_mode mode;
    void (*done)(struct storage_job *, void *);
    void *arg;
    struct list gathered; /* loop's thread: submitted this turn */
    struct list finished; /* loop's thread: to be given to done */
    struct list spare;
    uint32_t gathered_count;
    uint32_t pool_jobs; /* in libuv's pool */
    uv_async_t wake;
    /* Under the mutex. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list queue;
    struct list completed;
    bool busy;        /* the thread is in the store's write side */
    bool inline_busy; /* the loop's thread is */
    bool stopping;
    uint32_t slow_disk_ms;
    struct storage_counters published; /* of the write side */
    /* Of whoever is in the write side. */
    struct storage_counters writes;
    atomic_bool full;
    atomic_uint_least64_t unsynced_since_us; /* 0: nothing is */
    /* Of the loop's thread. */
    struct storage_counters reads;
    pthread_t thread;
    bool joined;
};

static uint64_t mono_us(void)
{
    return uv_hrtime() / 1000;
}

static void die(const char *what, int rc)
{
    /* No log machinery: the loop may be waiting for us. Nothing unacknowledged is acknowledged any more. */
    fprintf(stderr, "level=error event=storage_failed what=%s status=%s text=\"%s; leaving at once\"\n", what,
            kv_error_word(rc), kv_error_text(rc));
    _exit(70);
}

/* ---- jobs ---- */

static struct storage_job *job_create(struct storage *s)
{
    struct list *node = list_pop_front(&s->spare);
    if (node)
        return container_of(node, struct storage_job, link);
    struct storage_job *job = calloc(1, sizeof *job);
    if (job)
        job->storage = s;
    return job;
}

void storage_job_release(struct storage_job *job)
{
    struct event *e = &job->event;
    if (e->type == EV_STORE_READ) {
        row_release(&e->read.row);
    } else if (e->type == EV_STORE_PAGE) {
        for (uint32_t i = 0; i < e->page.count; i++)
            blob_unref(e->page.entries[i].row.payload);
    }
    row_release(&job->put.row);
    if (job->has_arena) {
        arena_deinit(&job->arena);
        job->has_arena = false;
    }
    /* Large buffers are not worth keeping for the next small key. */
    if (job->key_long.cap > 2 * KEY_MAX_BYTES)
        buf_deinit(&job->key_long);
    memset(&job->event, 0, sizeof job->event);
    job->put.hint_count = 0;
    list_push_front(&job->storage->spare, &job->link);
}

static int job_copy_key(struct storage_job *job, struct bytes key, struct bytes *out)
{
    if (key.len <= JOB_KEY_INLINE_BYTES) {
        if (key.len)
            memcpy(job->key_inline, key.data, key.len);
        *out = bytes_of(job->key_inline, key.len);
        return KV_OK;
    }
    int rc = buf_set(&job->key_long, key);
    *out = buf_bytes(&job->key_long);
    return rc;
}

static int job_fill(struct storage_job *job, struct effect *e)
{
    int rc = KV_OK;
    switch (e->type) {
    case EF_STORE_WRITE:
        rc = job_copy_key(job, e->write.key, &job->put.key);
        job->put.hint_count = e->write.hint_count;
        memcpy(job->put.hints, e->write.hints, sizeof job->put.hints);
        if (rc == KV_OK) {
            job->put.row = e->write.row;
            e->write.row = row_absent();
        }
        break;
    case EF_STORE_READ:
        rc = job_copy_key(job, e->read.key, &job->put.key);
        job->flag = e->read.stamp_only;
        break;
    case EF_STORE_META:
        job->meta_name = e->meta.name;
        rc = buf_set(&job->key_long, e->meta.value);
        break;
    case EF_STORE_RANGE:
        job->after.token = e->range.after.token;
        job->limit = e->range.limit;
        rc = job_copy_key(job, e->range.after.key, &job->after.key);
        if (rc == KV_OK)
            rc = buf_set(&job->prefix, e->range.prefix);
        break;
    case EF_STORE_HINTS:
        job->after.token = e->hints.after.token;
        job->limit = e->hints.limit;
        job->member = e->hints.member;
        rc = job_copy_key(job, e->hints.after.key, &job->after.key);
        break;
    default:
        KV_ASSERT(e->type == EF_STORE_HINT_DONE);
        job->member = e->hint_done.member;
        job->stamp = e->hint_done.stamp;
        job->flag = e->hint_done.drop_row;
        rc = job_copy_key(job, e->hint_done.key, &job->put.key);
    }
    return rc;
}

/* ---- writing: on the thread, or on the loop's thread while the thread is idle ---- */

static void set_written(struct storage_job *job, int status, uint64_t sequence)
{
    job->event.type = EV_STORE_WRITTEN;
    job->event.written.op = job->op;
    job->event.written.status = status;
    job->event.written.sequence = sequence;
}

/* Writes one batch of puts; all get the same answer. */
static void write_batch(struct storage *s, struct storage_job **jobs, size_t count)
{
    struct store_put puts[STORAGE_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        puts[i] = jobs[i]->put;
    bool sync = s->mode == SYNC_ALWAYS;
    uint64_t sequence = 0, begin = mono_us();
    int rc = store_write(s->store, puts, count, sync, &sequence);
    if (rc != KV_OK && rc != KV_E_FULL)
        die("write", rc);
    s->writes.batches++;
    s->writes.rows += count;
    s->writes.full_errors += rc == KV_E_FULL;
    if (sync) {
        s->writes.syncs++;
        s->writes.last_sync_us = mono_us() - begin;
    } else if (s->unsynced_since_us == 0) {
        s->unsynced_since_us = begin;
    }
    s->full = rc == KV_E_FULL;
    for (size_t i = 0; i < count; i++)
        set_written(jobs[i], rc, sequence);
}

static void write_other(struct storage *s, struct storage_job *job)
{
    int rc;
    if (job->type == EF_STORE_META)
        rc = store_meta_put(s->store, job->meta_name, buf_bytes(&job->key_long));
    else
        rc = store_hint_done(s->store, job->member, job->put.key, job->stamp, job->flag);
    s->writes.hints_done += job->type == EF_STORE_HINT_DONE;
    if (rc != KV_OK && rc != KV_E_FULL)
        die(job->type == EF_STORE_META ? "meta" : "hint", rc);
    if (rc == KV_E_FULL)
        s->full = true; /* going well proves nothing: these two may use the store's reserve */
    set_written(job, rc, store_sequence(s->store));
}

/* In order of arrival; runs of puts become batches. Results go to `to`. */
static void write_all(struct storage *s, struct list *jobs, struct list *to)
{
    struct storage_job *batch[STORAGE_BATCH_MAX];
    size_t count = 0;
    struct list *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct storage_job *job = container_of(node, struct storage_job, link);
        list_push_back(to, &job->link);
        if (job->type == EF_STORE_WRITE) {
            batch[count++] = job;
            if (count < STORAGE_BATCH_MAX)
                continue;
        }
        if (count)
            write_batch(s, batch, count);
        count = 0;
        if (job->type != EF_STORE_WRITE)
            write_other(s, job);
    }
    if (count)
        write_batch(s, batch, count);
}

static void sync_if_due(struct storage *s, bool now)
{
    if (s->mode != SYNC_INTERVAL || s->unsynced_since_us == 0)
        return;
    if (!now && mono_us() - s->unsynced_since_us < STORAGE_INTERVAL_US)
        return;
    int rc = store_sync(s->store);
    if (rc != KV_OK && rc != KV_E_FULL)
        die("sync", rc);
    s->writes.syncs++;
    s->unsynced_since_us = rc == KV_OK ? 0 : mono_us(); /* a full disk: again after the interval */
}

static void wait_for_work(struct storage *s)
{
    bool timed = s->full || s->unsynced_since_us != 0;
    if (!timed) {
        pthread_cond_wait(&s->work, &s->lock);
        return;
    }
    uint64_t wait_us = s->full ? STORAGE_RECOVER_US : STORAGE_INTERVAL_US;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + wait_us * 1000;
    t.tv_sec += (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&s->work, &s->lock, &t);
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
            if (s->full && store_recover(s->store) == KV_OK)
                s->full = false;
            sync_if_due(s, false);
            pthread_mutex_lock(&s->lock);
            s->published = s->writes;
            s->busy = false;
        }
        if (list_empty(&s->queue))
            break; /* stopping, and nothing is left */
        struct list mine, results;
        list_init(&mine);
        list_init(&results);
        struct list *node;
        while ((node = list_pop_front(&s->queue)) != NULL)
            list_push_back(&mine, node);
        s->busy = true;
        uint32_t slow_ms = s->slow_disk_ms;
        pthread_mutex_unlock(&s->lock);
        if (slow_ms)
            usleep(slow_ms * 1000);
        write_all(s, &mine, &results);
        sync_if_due(s, false);
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

/* ---- reading ---- */

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

static void pool_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    struct storage_job *job = container_of(work, struct storage_job, work);
    job->storage->pool_jobs--;
    list_push_back(&job->storage->finished, &job->link);
}

static int submit_read(struct storage *s, struct storage_job *job)
{
    if (job->type == EF_STORE_READ) {
        struct row row = row_absent();
        int rc = store_read(s->store, job->put.key, STORE_CACHED, job->flag, &row);
        if (rc != KV_E_AGAIN) {
            s->reads.cached_reads++;
            set_read(job, rc, &row);
            list_push_back(&s->finished, &job->link);
            return KV_OK;
        }
        s->reads.cold_reads++;
    } else {
        arena_init(&job->arena, 8u << 20);
        job->has_arena = true;
        s->reads.pages++;
    }
    s->pool_jobs++;
    return uv_queue_work(s->loop, &job->work, pool_work, pool_done) == 0 ? KV_OK : KV_E_NO_MEMORY;
}

/* ---- the loop's side ---- */

int storage_submit(struct storage *s, struct effect *effect)
{
    struct storage_job *job = job_create(s);
    if (!job)
        return KV_E_NO_MEMORY;
    job->type = effect->type;
    job->op = effect->op;
    int rc = job_fill(job, effect);
    if (rc != KV_OK) {
        storage_job_release(job);
        return rc;
    }
    effect->type = EF_NONE;
    if (job->type == EF_STORE_READ || job->type == EF_STORE_RANGE || job->type == EF_STORE_HINTS)
        return submit_read(s, job);
    list_push_back(&s->gathered, &job->link);
    s->gathered_count++;
    return KV_OK;
}

static void collect_completed(struct storage *s)
{
    pthread_mutex_lock(&s->lock);
    struct list *node;
    while ((node = list_pop_front(&s->completed)) != NULL)
        list_push_back(&s->finished, node);
    pthread_mutex_unlock(&s->lock);
}

static void start_writing(struct storage *s)
{
    if (s->gathered_count == 0)
        return;
    pthread_mutex_lock(&s->lock);
    bool here = s->gathered_count == 1 && !s->busy && list_empty(&s->queue) && s->slow_disk_ms == 0 &&
                s->published.last_sync_us < STORAGE_INLINE_MAX_US && !s->full;
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
    write_all(s, &s->gathered, &s->finished);
    s->writes.inline_writes++;
    pthread_mutex_lock(&s->lock);
    s->published = s->writes;
    s->inline_busy = false;
    if (s->full || s->unsynced_since_us)
        pthread_cond_signal(&s->work); /* so that it waits with a time-out from now on */
    pthread_mutex_unlock(&s->lock);
}

bool storage_flush(struct storage *s)
{
    start_writing(s);
    bool any = false;
    struct list *node;
    while ((node = list_pop_front(&s->finished)) != NULL) {
        any = true;
        s->done(container_of(node, struct storage_job, link), s->arg);
    }
    return any;
}

static void on_wake(uv_async_t *wake)
{
    collect_completed(container_of(wake, struct storage, wake));
}

int storage_create(uv_loop_t *loop, struct store *store, enum sync_mode mode,
                   void (*done)(struct storage_job *job, void *arg), void *arg, struct storage **out)
{
    struct storage *s = calloc(1, sizeof *s);
    if (!s)
        return KV_E_NO_MEMORY;
    s->loop = loop;
    s->store = store;
    s->mode = mode;
    s->done = done;
    s->arg = arg;
    list_init(&s->gathered);
    list_init(&s->finished);
    list_init(&s->spare);
    list_init(&s->queue);
    list_init(&s->completed);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (uv_async_init(loop, &s->wake, on_wake) != 0 || pthread_create(&s->thread, NULL, run_thread, s) != 0) {
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
    struct list *node;
    while ((node = list_pop_front(&s->finished)) != NULL)
        storage_job_release(container_of(node, struct storage_job, link));
    while ((node = list_pop_front(&s->spare)) != NULL) {
        struct storage_job *job = container_of(node, struct storage_job, link);
        buf_deinit(&job->key_long);
        buf_deinit(&job->prefix);
        free(job);
    }
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
