/* A storage job: an effect's copy, which outlives the turn that asked for it. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/storage_state.h"

#define JOB_ARENA_MAX_BYTES (8u << 20) /* the largest page of keys, or the most keys of the largest size */

static struct storage_job *job_take(struct storage *s)
{
    struct list *node = list_pop_front(&s->spare);
    if (node) {
        s->spare_count--;
        return container_of(node, struct storage_job, link);
    }
    struct storage_job *job = calloc(1, sizeof *job);
    if (job)
        job->storage = s;
    return job;
}

void job_free(struct storage_job *job)
{
    buf_deinit(&job->key_long);
    buf_deinit(&job->prefix);
    free(job);
}

void storage_job_release(struct storage_job *job)
{
    struct storage *s = job->storage;
    struct event *e = &job->event;
    s->read_bytes -= job->read_bytes;
    job->read_bytes = 0;
    if (e->type == EV_STORE_READ) {
        row_release(&e->read.row);
    } else if (e->type == EV_STORE_PAGE) {
        for (uint32_t i = 0; i < e->page.count; i++)
            blob_unref(e->page.entries[i].row.payload);
    }
    row_release(&job->put.row);
    blob_unref(job->pack);
    job->pack = NULL;
    if (job->has_arena) {
        arena_deinit(&job->arena);
        job->has_arena = false;
    }
    /* Large buffers are not worth keeping for the next small key. */
    if (job->key_long.cap > 2 * KEY_MAX_BYTES)
        buf_deinit(&job->key_long);
    memset(&job->event, 0, sizeof job->event);
    job->put.hint_count = 0;
    if (s->spare_count == STORAGE_SPARE_MAX) {
        job_free(job);
        return;
    }
    s->spare_count++;
    list_push_front(&s->spare, &job->link);
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

/* What lives in it goes when the job is released. */
static void arena_begin(struct storage_job *job)
{
    arena_init(&job->arena, JOB_ARENA_MAX_BYTES);
    job->has_arena = true;
}

static int job_copy_versions(struct storage_job *job, const struct effect *e)
{
    arena_begin(job);
    KV_ASSERT(e->remove.count > 0 && e->remove.count <= STORE_KEYS_MAX);
    job->flag = e->remove.unless_noted;
    job->count = e->remove.count;
    job->versions = arena_alloc(&job->arena, job->count * sizeof *job->versions);
    for (uint32_t i = 0; job->versions && i < job->count; i++) {
        struct bytes key = arena_copy(&job->arena, e->remove.entries[i].key);
        if (!key.data)
            return KV_E_NO_MEMORY;
        job->versions[i] = (struct row_version){key, e->remove.entries[i].stamp};
    }
    return job->versions ? KV_OK : KV_E_NO_MEMORY;
}

static int job_copy_keys(struct storage_job *job, const struct effect *e)
{
    arena_begin(job);
    KV_ASSERT(e->has.count <= STORE_KEYS_MAX);
    job->count = e->has.count;
    job->keys = arena_alloc(&job->arena, job->count * sizeof *job->keys);
    job->has = arena_alloc(&job->arena, job->count * sizeof *job->has);
    for (uint32_t i = 0; job->keys && i < job->count; i++) {
        job->keys[i] = arena_copy(&job->arena, e->has.keys[i]);
        if (!job->keys[i].data)
            return KV_E_NO_MEMORY;
    }
    return job->keys && job->has ? KV_OK : KV_E_NO_MEMORY;
}

static int fill_tree(struct storage_job *job, const struct effect *e)
{
    arena_begin(job);
    job->flag = e->tree.rehash;
    job->tree = arena_alloc(&job->arena, sizeof *job->tree);
    if (!job->tree)
        return KV_E_NO_MEMORY;
    *job->tree = (struct store_tree){.partition = e->tree.partition, .partitions = e->tree.partitions};
    return KV_OK;
}

/* Members that are gone may have notes too, but not for long. */
static int fill_totals(struct storage_job *job)
{
    arena_begin(job);
    job->count = 0;
    job->totals = arena_alloc(&job->arena, MEMBERS_MAX * sizeof *job->totals);
    return job->totals ? KV_OK : KV_E_NO_MEMORY;
}

static int fill_page(struct storage_job *job, struct cursor after, uint32_t limit)
{
    arena_begin(job);
    job->run = (struct store_run){.after.token = after.token, .limit = limit};
    return job_copy_key(job, after.key, &job->run.after.key);
}

static int fill_read(struct storage_job *job, const struct effect *e)
{
    int rc;
    switch (e->type) {
    case EF_STORE_READ: job->flag = e->read.stamp_only; return job_copy_key(job, e->read.key, &job->put.key);
    case EF_STORE_RANGE:
        rc = fill_page(job, e->range.after, e->range.limit);
        return rc == KV_OK ? buf_set(&job->prefix, e->range.prefix) : rc;
    case EF_STORE_HINTS: job->member = e->hints.member; return fill_page(job, e->hints.after, e->hints.limit);
    case EF_STORE_ROWS:
        rc = fill_page(job, e->rows.after, e->rows.limit);
        job->run.until_token = e->rows.until_token;
        job->run.limit_bytes = e->rows.limit_bytes;
        job->run.headers = e->rows.headers;
        return rc;
    case EF_STORE_TOTALS: return fill_totals(job);
    default: KV_ASSERT(e->type == EF_STORE_TREE); return fill_tree(job, e);
    }
}

/* What the effect owns moves into the job, and only if all goes well. */
static int fill_write(struct storage_job *job, struct effect *e)
{
    int rc;
    switch (e->type) {
    case EF_STORE_WRITE:
        rc = job_copy_key(job, e->write.key, &job->put.key);
        job->put.hint_count = e->write.hint_count;
        memcpy(job->put.hints, e->write.hints, sizeof job->put.hints);
        if (rc == KV_OK) {
            job->put.row = e->write.row;
            e->write.row = row_absent();
        }
        return rc;
    case EF_STORE_MERGE:
        job->pack = e->merge.pack;
        e->merge.pack = NULL;
        return KV_OK;
    case EF_STORE_META: job->meta_name = e->meta.name; return buf_set(&job->key_long, e->meta.value);
    case EF_STORE_DELETE: return job_copy_versions(job, e);
    case EF_STORE_HAS: return job_copy_keys(job, e);
    default:
        KV_ASSERT(e->type == EF_STORE_HINT_DONE);
        job->member = e->hint_done.member;
        job->stamp = e->hint_done.stamp;
        job->flag = e->hint_done.drop_row;
        return job_copy_key(job, e->hint_done.key, &job->put.key);
    }
}

bool job_is_write(const struct storage_job *job)
{
    switch (job->type) {
    case EF_STORE_READ:
    case EF_STORE_RANGE:
    case EF_STORE_HINTS:
    case EF_STORE_ROWS:
    case EF_STORE_TREE:
    case EF_STORE_TOTALS: return false;
    default: return true;
    }
}

int job_create(struct storage *s, struct effect *effect, struct storage_job **out)
{
    struct storage_job *job = job_take(s);
    if (!job)
        return KV_E_NO_MEMORY;
    job->type = effect->type;
    job->op = effect->op;
    int rc = job_is_write(job) ? fill_write(job, effect) : fill_read(job, effect);
    if (rc != KV_OK) {
        storage_job_release(job);
        return rc;
    }
    effect->type = EF_NONE;
    *out = job;
    return KV_OK;
}
