/* Inside the storage: what its files share. */
#ifndef UV_STORAGE_STATE_H
#define UV_STORAGE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "uv/row_cache.h"
#include "uv/storage.h"

struct storage {
    uv_loop_t *loop;
    struct store *store;
    enum sync_mode mode;
    storage_done *done;
    void *arg;
    struct list gathered;   /* loop's thread: submitted this turn */
    struct list finished;   /* loop's thread: to be given to done */
    struct list postponed;  /* loop's thread: reads for which there is no memory yet */
    struct list cold;       /* loop's thread: jobs for which the pool has no place yet */
    struct list background; /* loop's thread: those of them that come last */
    struct list spare;
    uint32_t spare_count;
    uint32_t gathered_count;
    uint32_t pool_jobs; /* in libuv's pool */
    uint32_t pool_background;
    uint64_t read_bytes; /* of finished reads */
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
    uint64_t durable; /* sequence of the store's newest write that is on disk for certain */
    atomic_bool full;
    atomic_uint_least64_t unsynced_since_us; /* 0: nothing is */
    /* Of the loop's thread. */
    struct storage_counters reads;
    struct row_cache rows;
    pthread_t thread;
    bool joined;
};

static inline uint64_t mono_us(void)
{
    return uv_hrtime() / 1000;
}

/* storage_write.c: for whoever is in the write side. */

/* Carries the jobs out, in order; runs of puts become batches. They end up in `to`. */
void write_all(struct storage *s, struct list *jobs, struct list *to);
void sync_if_due(struct storage *s, bool now);

/* Of a batch that was begun then and is done. */
void count_slow(struct storage *s, uint64_t begun_us);
void try_recover(struct storage *s);

/* storage_job.c: jobs. A new one is filled from an effect; on failure it is freed, and the effect is whole.
 */
int job_create(struct storage *s, struct effect *effect, struct storage_job **out);
void job_free(struct storage_job *job);

/* What the write side does, though it may only look. */
bool job_is_write(const struct storage_job *job);

/* storage.c: to the write side, with the next flush. */
void gather(struct storage *s, struct storage_job *job);

/* storage_read.c: reads, and what they wait for. */
void read_submit(struct storage *s, struct storage_job *job);

/* Some memory of finished reads may have become free. */
void read_continue(struct storage *s);

/* Moves jobs of the write side to `finished`, and what they have written to the row cache. */
void finish_writes(struct storage *s, struct list *jobs);

#endif
