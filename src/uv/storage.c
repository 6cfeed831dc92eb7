/* Group commit and reads around the store's port; see storage.h.
 *
 * The thread owns `store_write` while it is busy; the loop's thread may write only when the thread is idle
 * and its queue is empty, which `busy` under the mutex decides. Any failure of a log write or sync but a full
 * disk ends the process at once: after a failed fsync nobody knows what the kernel has kept (TRAPS, storage).
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "kv_error.h"
#include "model/pack.h"
#include "uv/storage_state.h"

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

/* ---- writing: on the thread, or on the loop's thread while the thread is idle ---- */

static void set_written(struct storage_job *job, int status, uint64_t sequence)
{
    job->event.type = EV_STORE_WRITTEN;
    job->event.written.op = job->op;
    job->event.written.status = status;
    job->event.written.sequence = sequence;
}

/* Writes one batch: KV_OK or KV_E_FULL. */
static int write_puts(struct storage *s, struct store_put *puts, size_t count, uint64_t *sequence)
{
    bool sync = s->mode == SYNC_ALWAYS;
    uint64_t begin = mono_us();
    int rc = store_write(s->store, puts, count, sync, sequence);
    if (rc != KV_OK && rc != KV_E_FULL)
        die("write", rc);
    s->writes.batches++;
    s->writes.rows += count;
    s->writes.full_errors += rc == KV_E_FULL;
    if (sync) {
        s->writes.syncs++;
        s->writes.last_sync_us = mono_us() - begin;
    } else if (s->mode == SYNC_INTERVAL && s->unsynced_since_us == 0) {
        s->unsynced_since_us = begin;
    }
    s->full = rc == KV_E_FULL;
    return rc;
}

/* All of them get the same answer. */
static void write_batch(struct storage *s, struct storage_job **jobs, size_t count)
{
    struct store_put puts[STORAGE_BATCH_MAX];
    uint64_t sequence = 0;
    for (size_t i = 0; i < count; i++)
        puts[i] = jobs[i]->put;
    int rc = write_puts(s, puts, count, &sequence);
    for (size_t i = 0; i < count; i++)
        set_written(jobs[i], rc, sequence);
}

static uint32_t count_rows(const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    uint32_t count = 0;
    while (rest.len && pack_take(&rest, &row) == KV_OK)
        count++;
    return count;
}

/* The rows of a pack as puts, each with a payload of its own. KV_E_NO_MEMORY; what was made is released by
 * the caller all the same. */
static int unpack(const struct blob *pack, struct store_put *puts)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    for (; rest.len && pack_take(&rest, &row) == KV_OK; puts++) {
        puts->key = row.key;
        puts->row = row.row;
        puts->row.payload = blob_copy(row.payload);
        if (row.payload.len && !puts->row.payload)
            return KV_E_NO_MEMORY;
    }
    return KV_OK;
}

/* One batch, whatever its size. Without memory for it nothing is written, and whoever asked may ask again. */
static void write_pack(struct storage *s, struct storage_job *job)
{
    uint32_t count = count_rows(job->pack);
    struct store_put *puts = calloc(count + 1, sizeof *puts);
    uint64_t sequence = 0;
    int rc = puts ? unpack(job->pack, puts) : KV_E_NO_MEMORY;
    if (rc == KV_OK)
        rc = write_puts(s, puts, count, &sequence);
    for (uint32_t i = 0; puts && i < count; i++)
        row_release(&puts[i].row);
    free(puts);
    set_written(job, rc, sequence);
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
    size_t count = 0, bytes = 0;
    struct list *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct storage_job *job = container_of(node, struct storage_job, link);
        list_push_back(to, &job->link);
        bool is_put = job->type == EF_STORE_WRITE;
        if (is_put) {
            batch[count++] = job;
            bytes += blob_bytes(job->put.row.payload).len;
            if (count < STORAGE_BATCH_MAX && bytes < STORAGE_BATCH_MAX_BYTES)
                continue;
        }
        if (count)
            write_batch(s, batch, count);
        count = bytes = 0;
        if (job->type == EF_STORE_MERGE)
            write_pack(s, job);
        else if (!is_put)
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

static void try_recover(struct storage *s)
{
    int rc = s->full ? store_recover(s->store) : KV_E_FULL;
    if (rc == KV_OK)
        s->full = false;
    else if (rc != KV_E_FULL)
        die("recover", rc);
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

/* ---- the loop's side ---- */

int storage_submit(struct storage *s, struct effect *effect)
{
    struct storage_job *job;
    int rc = job_create(s, effect, &job);
    if (rc != KV_OK)
        return rc;
    if (job->type == EF_STORE_READ || job->type == EF_STORE_RANGE || job->type == EF_STORE_HINTS) {
        read_submit(s, job);
        return KV_OK;
    }
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

/* Whether the one write that was gathered is better done here and now. Called under the lock. */
static bool inline_is_better(const struct storage *s)
{
    if (s->gathered_count != 1 || s->busy || !list_empty(&s->queue) || s->slow_disk_ms || s->full)
        return false;
    const struct storage_job *job = container_of(s->gathered.next, struct storage_job, link);
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
    write_all(s, &s->gathered, &s->finished);
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
    s->done = done;
    s->arg = arg;
    list_init(&s->gathered);
    list_init(&s->finished);
    list_init(&s->postponed);
    list_init(&s->cold);
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
    struct list *const left[] = {&s->finished, &s->postponed, &s->cold, &s->spare};
    struct list *node;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        while ((node = list_pop_front(left[i])) != NULL)
            if (left[i] == &s->spare)
                job_free(container_of(node, struct storage_job, link));
            else
                storage_job_release(container_of(node, struct storage_job, link));
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
