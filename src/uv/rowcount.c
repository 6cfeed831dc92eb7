/* Counting rows in the background; see rowcount.h. */
#include "uv/rowcount.h"

#include <time.h>

#include "kv_error.h"

void rowcount_init(struct rowcount *r, struct store *store)
{
    *r = (struct rowcount){.store = store};
}

/* Processor time of this thread. */
static uint64_t thread_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void count(uv_work_t *work)
{
    struct rowcount *r = container_of(work, struct rowcount, work);
    uint64_t begun_us = thread_us();
    r->status = store_count(r->store, true, &r->next);
    r->cost_us = thread_us() - begun_us;
}

static void counted(uv_work_t *work, int status)
{
    struct rowcount *r = container_of(work, struct rowcount, work);
    r->running = false;
    r->ended_us = uv_hrtime() / 1000;
    if (status != 0 || r->status != KV_OK)
        return;
    r->rows = r->next;
    r->counted = true;
}

void rowcount_poll(struct rowcount *r, uv_loop_t *loop, uint64_t rows_written)
{
    uint64_t now = uv_hrtime() / 1000;
    if (r->running || (r->counted && rows_written == r->rows_written))
        return;
    if (r->counted && now - r->ended_us < ROWCOUNT_DUTY * r->cost_us)
        return;
    r->running = true;
    r->rows_written = rows_written;
    if (uv_queue_work(loop, &r->work, count, counted) != 0)
        r->running = false;
}
