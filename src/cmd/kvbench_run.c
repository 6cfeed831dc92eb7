/* The run: clients on one loop, each a handle of its own, each with up to `pipeline` operations in flight.
 *
 * With a rate, operation i is due at i / rate; who is late is served from a queue, and latency counts from
 * when it was due, so that a store that stalls is charged for everybody who waited (no coordinated omission).
 * Without one, the next operation starts when the last one ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_history.h"
#include "cmd/common_stop.h"

struct run;

struct client {
    struct run *run;
    uint32_t number; /* in the history; the load's clients are not the run's */
    struct kv *kv;
    uint64_t counter; /* of its puts: makes values distinct */
    uint32_t in_flight;
};

struct run {
    const struct bench_options *o;
    struct bench_result *result;
    uv_loop_t loop;
    uv_timer_t second, clock;
    uv_signal_t cut, heal; /* --side */
    struct stop stop;
    struct workload workload;
    bool load_phase;
    struct client *clients;
    uint64_t begun_ns, end_ns;
    uint64_t started, finished, limit; /* operations */
    uint32_t next_client;
    uint32_t open_handles;
    bool over;
    FILE *history;
    uint32_t id; /* of this run, so that its values differ from those of every other */
    char *value;
    /* The line a second. */
    bool lines;
    uint64_t shown_ops, shown_failed;
    struct histogram interval;
};

/* One operation in flight. */
struct task {
    struct client *client;
    enum bench_op op;
    bool second_half; /* of a read-modify-write */
    uint64_t due_ns, start_ns;
    char key[96];
    char tag[HISTORY_TAG_MAX];
};

static void client_start(struct client *c, uint64_t due_ns);
static void run_fill(struct run *r);

static void run_close(struct run *r)
{
    if (r->over)
        return;
    r->over = true;
    uv_close((uv_handle_t *)&r->second, NULL);
    uv_close((uv_handle_t *)&r->clock, NULL);
    uv_close((uv_handle_t *)&r->cut, NULL);
    uv_close((uv_handle_t *)&r->heal, NULL);
    stop_unwatch(&r->stop);
    for (uint32_t i = 0; i < r->o->clients; i++)
        kv_close(r->clients[i].kv, NULL, NULL);
}

static bool run_may_start(const struct run *r)
{
    return r->started < r->limit && (r->end_ns == 0 || uv_hrtime() < r->end_ns);
}

static void record(struct task *t, const struct kv_result *res)
{
    struct run *r = t->client->run;
    if (!r->history)
        return;
    bool get = !t->second_half && (t->op == BENCH_READ || t->op == BENCH_MODIFY);
    char tag[HISTORY_TAG_MAX];
    struct history_line line = {
        .client = t->client->number,
        .op = get ? HISTORY_GET : HISTORY_PUT,
        .key = t->key,
        .value = get ? (res->status == KV_OK ? history_tag(res->value, res->value_len, tag) : NULL) : t->tag,
        .start_ns = t->start_ns,
        .end_ns = uv_hrtime(),
        .status = res->status,
        /* Whether an explicit R or W is a majority is not known here; then the checker must not count on it.
         */
        .strict = r->o->strict && !r->o->r && !r->o->w,
        .unknown = res->unknown,
    };
    history_write(r->history, &line);
}

static int send_put(struct task *t);

static void on_done(const struct kv_result *res, void *arg)
{
    struct task *t = arg;
    struct client *c = t->client;
    struct run *r = c->run;
    record(t, res);
    if (t->op == BENCH_MODIFY && !t->second_half && (res->status == KV_OK || res->status == KV_E_NOT_FOUND)) {
        t->second_half = true;
        t->start_ns = uv_hrtime();
        if (send_put(t) == KV_OK)
            return;
    }
    c->in_flight--;
    if (r->over) { /* not waited for: it says nothing of the store */
        free(t);
        return;
    }
    uint64_t us = (uv_hrtime() - t->due_ns) / 1000;
    r->finished++;
    bench_tally_add(&r->result->tally, bench_status_of(res->status), 1, bytes_str(res->message));
    histogram_record(&r->result->latency[t->op], us);
    if (r->lines)
        histogram_record(&r->interval, us);
    free(t);
    if (r->o->rate == 0 && run_may_start(r))
        client_start(c, uv_hrtime());
    else
        run_fill(r);
    if (r->finished == r->started && !run_may_start(r))
        run_close(r);
}

/* "c3-17-5fa2c1" and padding that does not compress. */
static size_t make_value(struct run *r, struct task *t)
{
    snprintf(t->tag, sizeof t->tag, "c%u-%llu-%x", t->client->number,
             (unsigned long long)++t->client->counter, r->id);
    size_t n = (size_t)snprintf(r->value, r->o->value_size + HISTORY_TAG_MAX, "%s.", t->tag);
    if (n >= r->o->value_size)
        return n;
    workload_text(&r->workload, r->value + n, r->o->value_size - n);
    return r->o->value_size;
}

static struct kv_request request_of(const struct bench_options *o)
{
    return (struct kv_request){.r = o->r,
                               .w = o->w,
                               .flags = o->strict ? (uint32_t)KV_STRICT : 0,
                               .timeout_ms = o->timeout_ms,
                               .via = o->via};
}

static int send_put(struct task *t)
{
    struct run *r = t->client->run;
    struct kv_request request = request_of(r->o);
    size_t len = make_value(r, t);
    return kv_put(t->client->kv, t->key, strlen(t->key), r->value, len, &request, on_done, t);
}

static void client_start(struct client *c, uint64_t due_ns)
{
    struct run *r = c->run;
    struct task *t = malloc(sizeof *t);
    if (!t)
        return;
    uint64_t number = r->started;
    *t = (struct task){.client = c, .op = BENCH_INSERT, .due_ns = due_ns, .start_ns = uv_hrtime()};
    if (!r->load_phase)
        t->op = workload_next(&r->workload, &number);
    snprintf(t->key, sizeof t->key, "%s%llu", r->o->key_prefix, (unsigned long long)number);
    r->started++;
    c->in_flight++;
    struct kv_request request = request_of(r->o);
    int rc = t->op == BENCH_READ || t->op == BENCH_MODIFY
                 ? kv_get(c->kv, t->key, strlen(t->key), &request, on_done, t)
                 : send_put(t);
    if (rc != KV_OK) {
        struct kv_result failed = {.status = rc};
        bench_tally_add(&r->result->tally, bench_status_of(rc), 1, bytes_str(kv_error_text(rc)));
        r->finished++;
        record(t, &failed);
        c->in_flight--;
        free(t);
    }
}

/* With a rate: starts what is due, on clients that have room, in turn. */
static void run_fill(struct run *r)
{
    if (r->o->rate == 0 || r->over)
        return;
    uint64_t now = uv_hrtime();
    uint32_t tried = 0;
    while (run_may_start(r) && tried < r->o->clients) {
        uint64_t due = r->begun_ns + (uint64_t)((double)r->started / r->o->rate * 1e9);
        if (due > now)
            return;
        struct client *c = &r->clients[r->next_client];
        r->next_client = (r->next_client + 1) % r->o->clients;
        if (c->in_flight < r->o->pipeline) {
            client_start(c, due);
            tried = 0;
        } else {
            tried++;
        }
    }
}

static void on_clock(uv_timer_t *timer)
{
    struct run *r = timer->data;
    run_fill(r);
    if (r->finished == r->started && !run_may_start(r))
        run_close(r);
}

static void on_second(uv_timer_t *timer)
{
    struct run *r = timer->data;
    uint64_t ops = r->result->tally.ops, failed = bench_tally_failed(&r->result->tally);
    if (r->lines)
        fprintf(stderr, "%5.0f s %7llu ops/s %6llu failed  p50 %6llu  p99 %6llu  max %7llu us\n",
                (double)(uv_hrtime() - r->begun_ns) / 1e9, (unsigned long long)(ops - r->shown_ops),
                (unsigned long long)(failed - r->shown_failed),
                (unsigned long long)histogram_quantile(&r->interval, 0.5),
                (unsigned long long)histogram_quantile(&r->interval, 0.99),
                (unsigned long long)r->interval.max);
    r->shown_ops = ops;
    r->shown_failed = failed;
    histogram_reset(&r->interval);
}

/* SIGUSR1 cuts the network between the nodes of --side, with our clients, and all others; SIGUSR2 heals it.
 */
static void on_side(uv_signal_t *signal, int number)
{
    struct run *r = signal->data;
    for (uint32_t i = 0; i < r->o->clients && !r->over; i++) {
        int rc = kv_reach(r->clients[i].kv, number == SIGUSR1 ? r->o->side : NULL);
        if (rc != KV_OK)
            fprintf(stderr, "kvbench: --side %s: %s\n", r->o->side, kv_error_text(rc));
    }
}

static void on_stop(int times, void *arg)
{
    struct run *r = arg;
    r->limit = r->started;
    if (r->finished == r->started || times > 1)
        run_close(r);
}

static int open_clients(struct run *r)
{
    const struct bench_options *o = r->o;
    r->clients = calloc(o->clients, sizeof *r->clients);
    if (!r->clients)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < o->clients; i++) {
        struct kv_options options = {.nodes = o->nodes, .via = o->via};
        r->clients[i] = (struct client){.run = r, .number = r->load_phase ? o->clients + i : i};
        int rc = kv_open(&r->loop, &options, &r->clients[i].kv);
        if (rc != KV_OK)
            return rc;
    }
    return KV_OK;
}

static void run_begin(struct run *r)
{
    const struct bench_options *o = r->o;
    r->begun_ns = uv_hrtime();
    r->limit = r->load_phase ? o->records : o->ops ? o->ops : UINT64_MAX;
    if (!r->load_phase && !o->ops)
        r->end_ns = r->begun_ns + (uint64_t)(o->duration_s * 1e9);
    uv_timer_init(&r->loop, &r->second);
    uv_timer_init(&r->loop, &r->clock);
    uv_signal_init(&r->loop, &r->cut);
    uv_signal_init(&r->loop, &r->heal);
    r->second.data = r->clock.data = r->cut.data = r->heal.data = r;
    if (o->side) {
        uv_signal_start(&r->cut, on_side, SIGUSR1);
        uv_signal_start(&r->heal, on_side, SIGUSR2);
    }
    uv_timer_start(&r->second, on_second, 1000, 1000);
    uv_timer_start(&r->clock, on_clock, 0, 1);
    if (o->rate == 0)
        for (uint32_t p = 0; p < o->pipeline; p++)
            for (uint32_t i = 0; i < o->clients && run_may_start(r); i++)
                client_start(&r->clients[i], uv_hrtime());
}

int bench_run(const struct bench_options *o, bool load_phase, struct bench_result *out)
{
    static struct run r; /* the histogram is large */
    memset(&r, 0, sizeof r);
    r.o = o;
    r.result = out;
    r.load_phase = load_phase;
    r.lines = isatty(STDERR_FILENO) && !o->quiet && !o->json;
    r.value = malloc(o->value_size + HISTORY_TAG_MAX);
    r.id = (uint32_t)hash64_mix(uv_hrtime() + (uint64_t)uv_os_getpid()) & 0xffffff;
    workload_init(&r.workload, o->workload ? o->workload : "put", o->distribution, o->records, o->unique,
                  o->seed);
    uv_loop_init(&r.loop);
    if (o->history && !(r.history = fopen(o->history, load_phase || !o->load ? "w" : "a"))) {
        fprintf(stderr, "kvbench: cannot write %s: %m\n", o->history);
        return 2;
    }
    int rc = r.value ? open_clients(&r) : KV_E_NO_MEMORY;
    if (rc == KV_OK && stop_watch(&r.stop, &r.loop, on_stop, &r) != 0)
        rc = KV_E_IO;
    if (rc != KV_OK) {
        fprintf(stderr, "kvbench: %s: %s\n", o->nodes ? o->nodes : "", kv_error_text(rc));
        return 2;
    }
    run_begin(&r);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    out->seconds = (double)(uv_hrtime() - r.begun_ns) / 1e9;
    uv_loop_close(&r.loop);
    free(r.value);
    free(r.clients);
    if (r.history && fclose(r.history) != 0) {
        fprintf(stderr, "kvbench: cannot write %s: %m\n", o->history);
        return 2;
    }
    return 0;
}
