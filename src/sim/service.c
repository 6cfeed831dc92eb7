/* See service.h. */
#include "sim/service.h"

#include "sim/internal.h"

bool service_is_on(const struct sim_service *c)
{
    return c->message_ns || c->socket_ns || c->read_ns || c->row_ns || c->batch_ns || c->sync_us ||
           c->client_ns;
}

/* ---- threads ---- */

static void spend(struct sim *s, struct thread *t, uint64_t ns)
{
    t->owed_ns = ns % 1000;
    t->busy_us += ns / 1000;
    sim_schedule(s, &t->slice, s->now_us + ns / 1000);
}

static void begin_turn(struct sim *s, struct thread *t)
{
    uint64_t ns = t->owed_ns + t->inbox_ns;
    struct list *first;
    while ((first = list_pop_front(&t->inbox)))
        list_push_back(&t->turn, first);
    t->inbox_ns = 0;
    t->turns++;
    t->running = true;
    t->pool->running++;
    spend(s, t, ns);
}

static void dispatch(struct sim *s, struct core_pool *pool)
{
    while (pool->running < pool->cores && !list_empty(&pool->ready))
        begin_turn(s, container_of(list_pop_front(&pool->ready), struct thread, ready));
    KV_ASSERT(pool->running <= pool->cores);
}

static void wake(struct sim *s, struct thread *t)
{
    if (t->running || list_linked(&t->ready))
        return;
    list_push_back(&t->pool->ready, &t->ready);
    dispatch(s, t->pool);
}

static void leave_core(struct sim *s, struct thread *t)
{
    t->running = false;
    t->pool->running--;
    if (!list_empty(&t->inbox))
        wake(s, t);
    dispatch(s, t->pool);
}

/* What was taken up happens; then what it has sent is paid for, on the same core. */
static void fire_slice(struct sim *s, struct sim_timer *slice)
{
    struct thread *t = container_of(slice, struct thread, slice);
    struct list *first;
    t->firing = true;
    while ((first = list_pop_front(&t->turn))) {
        struct sim_timer *timer = container_of(first, struct sim_timer, waiting);
        timer->fire(s, timer);
    }
    t->firing = false;
    if (!t->running)
        return; /* the process has ended meanwhile */
    if (t->owed_ns >= 1000)
        spend(s, t, t->owed_ns);
    else
        leave_core(s, t);
}

void thread_init(struct thread *t, struct core_pool *pool)
{
    *t = (struct thread){.pool = pool, .slice = {.fire = fire_slice, .embedded = true}};
    list_init(&t->inbox);
    list_init(&t->turn);
}

/* What is left of a time that ends then. */
static uint64_t left_us(const struct sim *s, const struct sim_timer *end)
{
    return heap_contains(&end->at) ? end->at.at - s->now_us : 0;
}

uint64_t thread_busy_us(const struct sim *s, const struct thread *t)
{
    return t->busy_us - left_us(s, &t->slice);
}

static void let_go(struct sim *s, struct list *waiting)
{
    struct list *first;
    while ((first = list_pop_front(waiting)))
        sim_schedule(s, container_of(first, struct sim_timer, waiting), s->now_us);
}

void thread_stop(struct sim *s, struct thread *t)
{
    let_go(s, &t->turn);
    let_go(s, &t->inbox);
    sim_cancel(s, &t->slice);
    list_remove(&t->ready);
    t->inbox_ns = t->owed_ns = 0;
    if (t->running) {
        t->running = false;
        t->pool->running--;
        dispatch(s, t->pool);
    }
}

bool thread_takes(struct sim *s, struct thread *t, struct sim_timer *timer, uint64_t ns)
{
    if (!t->pool || t->firing)
        return false;
    if (list_linked(&timer->waiting))
        return true; /* a tick that was set again while it waits */
    list_push_back(&t->inbox, &timer->waiting);
    t->inbox_ns += ns;
    wake(s, t);
    return true;
}

uint64_t thread_owes(struct sim *s, struct thread *t, uint64_t ns)
{
    if (!t->pool)
        return 0;
    t->owed_ns += ns;
    uint64_t us = t->owed_ns / 1000;
    wake(s, t);
    return us;
}

/* ---- disks ---- */

static void begin_batch(struct sim *s, struct disk *d)
{
    const struct sim_service *c = &s->config.service;
    struct list *first;
    if (d->busy || list_empty(&d->gathered))
        return;
    d->busy = true;
    d->rows += d->gathered_rows;
    d->syncs++;
    uint64_t ns = c->batch_ns + (uint64_t)c->row_ns * d->gathered_rows;
    d->gathered_rows = 0;
    while ((first = list_pop_front(&d->gathered)))
        list_push_back(&d->batch, first);
    KV_ASSERT(thread_takes(s, &d->thread, &d->written, ns));
}

static void fire_written(struct sim *s, struct sim_timer *t)
{
    struct disk *d = container_of(t, struct disk, written);
    d->busy_us += s->config.service.sync_us;
    sim_schedule(s, &d->synced, s->now_us + s->config.service.sync_us);
}

static void fire_synced(struct sim *s, struct sim_timer *t)
{
    struct disk *d = container_of(t, struct disk, synced);
    d->busy = false;
    let_go(s, &d->batch);
    begin_batch(s, d);
}

void disk_init(struct disk *d, struct core_pool *pool)
{
    *d = (struct disk){.written = {.fire = fire_written, .embedded = true},
                       .synced = {.fire = fire_synced, .embedded = true}};
    thread_init(&d->thread, pool);
    list_init(&d->gathered);
    list_init(&d->batch);
}

void disk_stop(struct sim *s, struct disk *d)
{
    thread_stop(s, &d->thread);
    sim_cancel(s, &d->written);
    sim_cancel(s, &d->synced);
    let_go(s, &d->batch);
    let_go(s, &d->gathered);
    d->gathered_rows = 0;
    d->busy = false;
}

uint64_t disk_busy_us(const struct sim *s, const struct disk *d)
{
    return d->busy_us - left_us(s, &d->synced);
}

void disk_takes(struct sim *s, struct disk *d, struct sim_timer *timer)
{
    list_push_back(&d->gathered, &timer->waiting);
    d->gathered_rows++;
    begin_batch(s, d);
}
