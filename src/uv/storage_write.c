/* The write side of the storage: what is gathered becomes batches, in order of arrival. Any failure of a log
 * write or sync but a full disk ends the process at once: after a failed fsync nobody knows what the kernel
 * has kept (TRAPS, storage). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "kv_error.h"
#include "model/pack.h"
#include "uv/storage_state.h"

static _Noreturn void die(const char *what, int rc)
{
    /* No log machinery: the loop may be waiting for us. Nothing unacknowledged is acknowledged any more. */
    fprintf(stderr, "level=error event=storage_failed what=%s status=%s text=\"%s; leaving at once\"\n", what,
            kv_error_word(rc), kv_error_text(rc));
    _exit(70);
}

static void set_written(const struct storage *s, struct storage_job *job, int status)
{
    job->event.type = EV_STORE_WRITTEN;
    job->event.written.op = job->op;
    job->event.written.status = status;
    job->event.written.sequence = s->durable;
}

/* Writes one batch: KV_OK or KV_E_FULL. */
static int write_puts(struct storage *s, struct store_put *puts, size_t count)
{
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
        s->durable = rc == KV_OK ? sequence : s->durable;
    } else if (s->mode == SYNC_INTERVAL && s->unsynced_since_us == 0) {
        s->unsynced_since_us = begin;
    }
    s->full = rc == KV_E_FULL;
    return rc;
}

/* Only reads, but on this thread it sees all writes that were asked for before. */
static void look_for_keys(struct storage *s, struct storage_job *job)
{
    job->event.type = EV_STORE_HAS;
    job->event.has.op = job->op;
    job->event.has.status = store_has(s->store, job->keys, job->count, job->has);
    job->event.has.count = job->count;
    job->event.has.keys = job->has;
}

/* What the pool has read of a tree: noted here, unless a write came between. */
static int keep_tree(struct storage *s, struct storage_job *job)
{
    int rc = store_tree_keep(s->store, job->tree);
    job->event.tree.status = rc == KV_OK && job->tree->more ? KV_E_AGAIN : rc;
    s->writes.tree_leaves += (uint64_t)__builtin_popcountll(job->tree->leaves);
    return rc == KV_E_NO_MEMORY ? KV_OK : rc; /* the tree's only, and no reason to die */
}

static const char *job_word(const struct storage_job *job)
{
    switch (job->type) {
    case EF_STORE_META: return "meta";
    case EF_STORE_DELETE: return "delete";
    case EF_STORE_TREE: return "tree";
    default: return "hint";
    }
}

static void write_other(struct storage *s, struct storage_job *job)
{
    int rc = KV_OK;
    uint32_t deleted = 0;
    switch (job->type) {
    case EF_STORE_META:
        rc = store_meta_put(s->store, job->meta_name, buf_bytes(&job->key_long));
        s->durable = rc == KV_OK ? store_sequence(s->store) : s->durable;
        break;
    case EF_STORE_DELETE:
        rc = store_delete(s->store, job->versions, job->count, job->flag, &deleted);
        s->writes.rows_deleted += deleted;
        break;
    case EF_STORE_HAS: look_for_keys(s, job); break;
    case EF_STORE_TREE: rc = keep_tree(s, job); break;
    default:
        rc = store_hint_done(s->store, job->member, job->put.key, job->stamp, job->flag);
        s->writes.hints_done += rc == KV_OK;
    }
    if (rc != KV_OK && rc != KV_E_FULL && rc != KV_E_AGAIN)
        die(job_word(job), rc);
    if (rc == KV_E_FULL)
        s->full = true; /* going well proves nothing: these may use the store's reserve */
    if (job->event.type == EV_STORE_HAS || job->event.type == EV_STORE_TREE)
        return;
    set_written(s, job, rc);
    job->event.written.deleted = deleted;
}

/* ---- batches: runs of puts and packs, all written at once ---- */

struct batch {
    struct storage_job *jobs[STORAGE_BATCH_MAX];
    size_t count;
    size_t rows;
    size_t bytes;      /* of payloads */
    size_t pack_bytes; /* of which in packs */
};

static uint32_t count_rows(const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    uint32_t count = 0;
    while (rest.len && pack_take(&rest, &row) == KV_OK)
        count++;
    return count;
}

static void batch_add(struct batch *b, struct storage_job *job)
{
    size_t bytes = blob_bytes(job->type == EF_STORE_MERGE ? job->pack : job->put.row.payload).len;
    b->jobs[b->count++] = job;
    b->rows += job->type == EF_STORE_MERGE ? count_rows(job->pack) : 1;
    b->bytes += bytes;
    b->pack_bytes += job->type == EF_STORE_MERGE ? bytes : 0;
}

static bool batch_is_full(const struct batch *b)
{
    return b->count == STORAGE_BATCH_MAX || b->bytes >= STORAGE_BATCH_MAX_BYTES ||
           b->pack_bytes >= STORAGE_PACKS_MAX_BYTES;
}

/* The rows of a pack as puts, each with a payload of its own. NULL: no memory. */
static struct store_put *unpack(const struct blob *pack, struct store_put *puts)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    for (; rest.len && pack_take(&rest, &row) == KV_OK; puts++) {
        *puts = (struct store_put){.key = row.key, .row = row.row};
        puts->row.payload = blob_copy(row.payload);
        if (row.payload.len && !puts->row.payload)
            return NULL;
    }
    return puts;
}

/* Rows of packs own their payload, those of puts are their jobs'. */
static void release_unpacked(const struct batch *b, struct store_put *puts)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->jobs[i]->type != EF_STORE_MERGE) {
            puts++;
            continue;
        }
        for (uint32_t k = count_rows(b->jobs[i]->pack); k > 0; k--)
            row_release(&puts++->row);
    }
}

static int write_with_packs(struct storage *s, const struct batch *b)
{
    struct store_put *puts = calloc(b->rows, sizeof *puts), *at = puts;
    for (size_t i = 0; at && i < b->count; i++) {
        if (b->jobs[i]->type == EF_STORE_MERGE)
            at = unpack(b->jobs[i]->pack, at);
        else
            *at++ = b->jobs[i]->put;
    }
    if (!at)
        die("unpack", KV_E_NO_MEMORY);
    int rc = write_puts(s, puts, b->rows);
    release_unpacked(b, puts);
    free(puts);
    return rc;
}

static int write_without(struct storage *s, const struct batch *b)
{
    struct store_put puts[STORAGE_BATCH_MAX];
    for (size_t i = 0; i < b->count; i++)
        puts[i] = b->jobs[i]->put;
    return write_puts(s, puts, b->count);
}

/* All of them get the same answer. */
static void batch_write(struct storage *s, struct batch *b)
{
    if (b->count == 0)
        return;
    int rc = b->pack_bytes ? write_with_packs(s, b) : write_without(s, b);
    for (size_t i = 0; i < b->count; i++)
        set_written(s, b->jobs[i], rc);
    b->count = b->rows = b->bytes = b->pack_bytes = 0;
}

/* In order of arrival. Results go to `to`. */
void write_all(struct storage *s, struct list *jobs, struct list *to)
{
    struct batch batch = {.count = 0};
    struct list *node;
    while ((node = list_pop_front(jobs)) != NULL) {
        struct storage_job *job = container_of(node, struct storage_job, link);
        list_push_back(to, &job->link);
        bool joins = job->type == EF_STORE_WRITE || job->type == EF_STORE_MERGE;
        if (joins)
            batch_add(&batch, job);
        if (!joins || batch_is_full(&batch))
            batch_write(s, &batch);
        if (!joins)
            write_other(s, job);
    }
    batch_write(s, &batch);
}

void sync_if_due(struct storage *s, bool now)
{
    if (s->mode != SYNC_INTERVAL || s->unsynced_since_us == 0)
        return;
    if (!now && mono_us() - s->unsynced_since_us < STORAGE_INTERVAL_US)
        return;
    int rc = store_sync(s->store);
    if (rc != KV_OK && rc != KV_E_FULL)
        die("sync", rc);
    s->writes.syncs++;
    s->durable = rc == KV_OK ? store_sequence(s->store) : s->durable;
    s->unsynced_since_us = rc == KV_OK ? 0 : mono_us(); /* a full disk: again after the interval */
}

void count_slow(struct storage *s, uint64_t begun_us)
{
    uint64_t us = mono_us() - begun_us;
    if (us < STORAGE_SLOW_US)
        return;
    s->writes.slow_writes++;
    s->writes.last_slow_us = us;
}

void try_recover(struct storage *s)
{
    int rc = s->full ? store_recover(s->store) : KV_E_FULL;
    if (rc == KV_OK)
        s->full = false;
    else if (rc != KV_E_FULL)
        die("recover", rc);
}
