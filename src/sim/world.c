/* Time and what happens in it. Events at the same time happen in the order in which they were scheduled. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "sim/internal.h"
#include "sim/rings.h"

#define ARENA_MAX_BYTES (64u << 20)

void *sim_must(void *p)
{
    KV_ASSERT(p);
    return p;
}

uint64_t sim_between(struct sim *s, uint64_t min, uint64_t max)
{
    return min + prng_below(&s->prng, max - min + 1);
}

void sim_schedule(struct sim *s, struct sim_timer *t, uint64_t at_us)
{
    KV_ASSERT(heap_set(&s->events, &t->at, at_us < s->now_us ? s->now_us : at_us) == KV_OK);
}

void sim_cancel(struct sim *s, struct sim_timer *t)
{
    heap_remove(&s->events, &t->at);
}

void sim_note(struct sim *s, uint64_t a, uint64_t b)
{
    s->trace = hash64_mix(s->trace ^ hash64_mix(s->now_us) ^ hash64_mix(a * 3 + 1)) + hash64_mix(b);
}

struct sim *sim_create(const struct sim_config *config)
{
    struct sim *s = sim_must(calloc(1, sizeof *s));
    s->config = *config;
    KV_ASSERT(config->nodes >= 1 && config->nodes <= SIM_NODES_MAX);
    if (!s->config.founders)
        s->config.founders = config->nodes;
    if (!s->config.replicas)
        s->config.replicas = REPLICAS_DEFAULT;
    if (!s->config.purge_us)
        s->config.purge_us = SIM_PURGE_US;
    if (!s->config.row_age_max_ms)
        s->config.row_age_max_ms = ROW_AGE_MAX_MS;
    if (!s->config.partitions)
        s->config.partitions = 256;
    if (!s->config.delay_max_us) {
        s->config.delay_min_us = 100;
        s->config.delay_max_us = 500;
    }
    if (!s->config.disk_max_us)
        s->config.disk_max_us = 300; /* from 0: at once */
    prng_init(&s->prng, config->seed);
    heap_init(&s->events);
    arena_init(&s->arena, ARENA_MAX_BYTES);
    KV_ASSERT(outbox_init(&s->out) == KV_OK);
    list_init(&s->calls);
    list_init(&s->cores.ready);
    s->cores.cores = config->service.cores;
    thread_init(&s->client_thread, &s->cores);
    net_init(s);
    for (uint32_t i = 1; i <= config->nodes; i++)
        process_init(s, i);
    return s;
}

void sim_destroy(struct sim *s)
{
    callers_deinit(s);
    for (uint32_t i = 1; i <= s->config.nodes; i++)
        process_deinit(s, &s->processes[i]);
    thread_stop(s, &s->client_thread);
    struct heap_node *first;
    while ((first = heap_first(&s->events))) {
        heap_remove(&s->events, first);
        struct sim_timer *t = container_of(first, struct sim_timer, at);
        if (!t->embedded)
            free(t);
    }
    heap_deinit(&s->events);
    net_deinit(s);
    outbox_deinit(&s->out);
    arena_deinit(&s->arena);
    sim_rings_deinit(s);
    free(s);
}

uint64_t sim_now_us(const struct sim *s)
{
    return s->now_us;
}

struct prng *sim_prng(struct sim *s)
{
    return &s->prng;
}

struct tally *sim_tally(struct sim *s)
{
    return &s->tally;
}

void sim_say(struct sim *s, uint32_t node, const char *format, ...)
{
    char text[512];
    va_list args;
    if (!s->config.log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->config.log(node, s->now_us, text);
}

uint64_t sim_trace(const struct sim *s)
{
    return s->trace;
}

static void fire_first(struct sim *s)
{
    struct heap_node *first = heap_first(&s->events);
    heap_remove(&s->events, first);
    struct sim_timer *t = container_of(first, struct sim_timer, at);
    KV_ASSERT(first->at >= s->now_us);
    s->now_us = first->at;
    t->fire(s, t);
}

bool sim_run_until(struct sim *s, bool (*done)(struct sim *s, void *arg), void *arg, uint64_t limit_us)
{
    uint64_t end_us = s->now_us + limit_us;
    while (!done(s, arg)) {
        if (heap_deadline(&s->events) > end_us) {
            s->now_us = end_us;
            return false;
        }
        fire_first(s);
    }
    return true;
}

static bool never(struct sim *s, void *arg)
{
    (void)s;
    (void)arg;
    return false;
}

void sim_run(struct sim *s, uint64_t us)
{
    (void)sim_run_until(s, never, NULL, us);
}
