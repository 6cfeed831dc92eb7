/* A storage job: an effect's copy, which outlives the turn that asked for it. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/storage_state.h"

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
    case EF_STORE_MERGE:
        job->pack = e->merge.pack;
        e->merge.pack = NULL;
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

int job_create(struct storage *s, struct effect *effect, struct storage_job **out)
{
    struct storage_job *job = job_take(s);
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
    *out = job;
    return KV_OK;
}
