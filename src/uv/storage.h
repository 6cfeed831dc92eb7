/* The storage thread: writes are gathered during a turn of the loop and written in one batch, with one sync
 * (group commit): while one batch syncs, the next gathers. When nothing else is in flight a lone write is
 * synced on the loop's own thread, which saves two thread switches for a single client. Reads are answered
 * from the block cache on the loop's thread; what misses, and pages, go to libuv's pool, a few at a time, so
 * that values which nobody has looked at yet never fill the memory.
 *
 * A finished job is handed to `done` on the loop's thread, as the event to step the node with. References are
 * counted on the loop's thread only: a job holds its row from submission until it is released there. */
#ifndef UV_STORAGE_H
#define UV_STORAGE_H

#include <uv.h>

#include "base/list.h"
#include "model/outbox.h"
#include "store/store.h"

enum sync_mode { SYNC_ALWAYS, SYNC_INTERVAL, SYNC_NONE };

#define STORAGE_INTERVAL_US     UINT64_C(100000) /* --sync interval: at most this much is unsynced */
#define STORAGE_BATCH_MAX       512u             /* rows of one batch: bounds the wait of the first, */
#define STORAGE_BATCH_MAX_BYTES (8u << 20)       /* and what the engine copies at once */
#define STORAGE_PACKS_MAX_BYTES (1u << 17)       /* of packs: puts wait for those of their batch */
#define STORAGE_INLINE_MAX_US \
    UINT64_C(2000)                      /* a disk slower than this is never synced on the loop's thread */
#define STORAGE_INLINE_MAX_BYTES 65536u /* and a row larger than this neither */
#define STORAGE_SLOW_US          UINT64_C(1000000) /* a batch of writes that takes longer is worth a word */
#define STORAGE_RECOVER_US       UINT64_C(500000)  /* a full disk is tried again this often */
#define STORAGE_COLD_MAX         16u /* jobs in the pool: its threads are never idle with these */
#define STORAGE_BACKGROUND_MAX   2u  /* of them such as no client waits for, so that threads are left */
#define STORAGE_READ_MAX_BYTES                                                            \
    (UINT64_C(32) << 20)          /* of values read and not yet stepped; then others wait \
                                   */
#define STORAGE_SPARE_MAX    512u /* jobs kept for use again */
#define JOB_KEY_INLINE_BYTES 256u

struct storage;

struct storage_job {
    struct list link;
    struct storage *storage;
    enum effect_type type;
    uint64_t op;
    struct event event; /* the completion */
    /* The request, copied or owned. */
    struct store_put put; /* also key and member of the other kinds */
    struct blob *pack;    /* of a merge */
    struct store_run run; /* of a page */
    uint32_t member;
    struct stamp stamp;
    bool flag;                    /* stamp_only, drop_row, unless_noted, rehash */
    uint32_t count;               /* of `versions` or `keys`, which live in the arena */
    struct row_version *versions; /* EF_STORE_DELETE */
    struct bytes *keys;           /* EF_STORE_HAS */
    struct store_has *has;
    struct store_tree *tree;   /* in the arena too */
    struct hint_total *totals; /* EF_STORE_TOTALS: likewise */
    const char *meta_name;
    uint8_t key_inline[JOB_KEY_INLINE_BYTES];
    struct buf key_long; /* keys above that, meta values, prefixes */
    struct buf prefix;
    struct arena arena; /* entries of a page, and what comes in numbers */
    bool has_arena;
    uint32_t read_bytes; /* booked in storage's */
    uv_work_t work;
};

/* Hits of the row cache are cached reads too. */
struct storage_counters {
    uint64_t batches, rows, rows_deleted, hints_done, tree_leaves, syncs, inline_writes, cached_reads,
        row_cache_hits, cold_reads, pages, full_errors;
    uint64_t last_sync_us;
    uint64_t slow_writes, last_slow_us; /* batches that took STORAGE_SLOW_US or more; how long the last one */
};

/* Is given each finished job, on the loop's thread, never from within storage_submit. False: that is enough
 * for this turn. */
typedef bool storage_done(struct storage_job *job, void *arg);

int storage_create(uv_loop_t *loop, struct store *store, enum sync_mode mode, storage_done *done, void *arg,
                   struct storage **out);

/* Takes over a store effect: its row's reference moves into the job (the effect becomes EF_NONE). Reads may
 * complete at once: they are then given to `done` by the next storage_flush. KV_E_NO_MEMORY. */
int storage_submit(struct storage *s, struct effect *effect);

/* Hands what was gathered to the thread, or writes it here and now; calls `done` for what is finished, at
 * most `max` times. Returns how often. */
uint32_t storage_flush(struct storage *s, uint32_t max);

/* Whether another storage_flush would find something to do. */
bool storage_pending(const struct storage *s);

/* After `done` has used the event. */
void storage_job_release(struct storage_job *job);

void storage_slow_disk(struct storage *s, uint32_t ms);
struct storage_counters storage_counters(struct storage *s);
bool storage_full(const struct storage *s);

/* Finishes what is queued, syncs, joins the thread. */
void storage_stop(struct storage *s);
void storage_destroy(struct storage *s);

#endif
