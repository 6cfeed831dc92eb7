/* The public calls, and the turn of the loop: see uv_handle.h. */
#include "client/uv_handle.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define DONE_MAX_PER_TURN 1024u /* then other parts of the program have their turn */

uint64_t kv_now_us(void)
{
    return uv_hrtime() / 1000;
}

void kv_log_line(struct kv *kv, const char *format, ...)
{
    char line[256];
    va_list args;
    if (!kv->log)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    kv->log(line, kv->log_arg);
}

void kv_effects(struct kv *kv)
{
    struct client_effect e;
    while (client_next_effect(kv->core, &e)) {
        switch (e.type) {
        case CLIENT_DIAL: kv_conn_dial(kv, e.peer, &e.addr); break;
        case CLIENT_CLOSE: kv_conn_close(kv, e.peer); break;
        case CLIENT_SEND: kv_conn_send(kv, e.peer, &e.message); break;
        case CLIENT_LOG: kv_log_line(kv, "%s", e.log); break;
        }
    }
}

/* ---- a turn of the loop ---- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it runs keeps the loop from sleeping */
}

static void call_back(const struct client_done *d)
{
    switch (d->op) {
    case CLIENT_GET:
    case CLIENT_PUT:
    case CLIENT_DEL:
        if (d->callback.result)
            d->callback.result(&d->result, d->arg);
        break;
    case CLIENT_SCAN:
        if (d->callback.scan)
            d->callback.scan(&d->scan, d->arg);
        break;
    case CLIENT_STATUS:
        if (d->callback.status)
            d->callback.status(&d->status, d->arg);
        break;
    case CLIENT_STATS:
        if (d->callback.stats)
            d->callback.stats(&d->stats, d->arg);
        break;
    case CLIENT_RING:
        if (d->callback.ring)
            d->callback.ring(&d->ring, d->arg);
        break;
    case CLIENT_WHERE:
        if (d->callback.where)
            d->callback.where(&d->where, d->arg);
        break;
    case CLIENT_FAULT:
        if (d->callback.fault)
            d->callback.fault(&d->faults, d->arg);
        break;
    case CLIENT_CHANGE:
        if (d->callback.change)
            d->callback.change(&d->changed, d->arg);
        break;
    case CLIENT_REPAIR:
        if (d->callback.repair)
            d->callback.repair(&d->repair, d->arg);
        break;
    }
}

/* Tells the owners of finished requests. Returns whether more wait for the next turn. */
static bool tell(struct kv *kv)
{
    for (uint32_t told = 0; told < DONE_MAX_PER_TURN; told++) {
        struct client_done *d = client_next_done(kv->core);
        if (!d)
            return false;
        call_back(d);
        kv->outstanding--;
        if (d != kv->keep)
            client_done_release(kv->core, d);
        kv->keep = NULL;
    }
    return true;
}

static void flush(struct kv *kv)
{
    struct list *link;
    while ((link = list_pop_front(&kv->dirty)))
        kv_conn_flush(kv_conn_of_dirty(link));
}

static void on_timer(uv_timer_t *timer)
{
    struct kv *kv = timer->data;
    kv->timer_us = UINT64_MAX;
    client_tick(kv->core, kv_now_us());
    kv_effects(kv);
}

/* A timer that is set too early only ticks in vain; most deadlines never come, so it is not moved back for
 * them. */
static void set_timer(struct kv *kv)
{
    uint64_t at = client_deadline_us(kv->core);
    if (at >= kv->timer_us)
        return;
    kv->timer_us = at;
    uint64_t now = kv_now_us();
    uv_update_time(kv->loop);
    uv_timer_start(&kv->timer, on_timer, at > now ? (at - now + 999) / 1000 : 0, 0);
}

static void finish_closing(struct kv *kv);

static void on_prepare(uv_prepare_t *prepare)
{
    struct kv *kv = prepare->data;
    bool more = tell(kv);
    flush(kv);
    if (more)
        uv_idle_start(&kv->idle, on_idle);
    else
        uv_idle_stop(&kv->idle);
    if (kv->closing && kv->outstanding == 0) {
        finish_closing(kv);
        return;
    }
    if (!kv->closing)
        set_timer(kv);
    if (kv->outstanding == 0)
        uv_unref((uv_handle_t *)&kv->prepare);
}

/* ---- opening and closing ---- */

/* Only when nothing of it is known to libuv any more. */
static void free_handle(struct kv *kv)
{
    void (*on_closed)(void *) = kv->on_closed;
    void *arg = kv->on_closed_arg;
    client_destroy(kv->core);
    arena_deinit(&kv->arena);
    free(kv->conns);
    free(kv->reach);
    free(kv->received);
    free(kv);
    if (on_closed)
        on_closed(arg);
}

static void free_when_over(struct kv *kv)
{
    if (kv->open_handles == 0 && kv->conn_count == 0)
        free_handle(kv);
}

void kv_conn_freed(struct kv *kv)
{
    kv->conn_count--;
    free_when_over(kv);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct kv *kv = handle->data;
    kv->open_handles--;
    free_when_over(kv);
}

static void finish_closing(struct kv *kv)
{
    uv_close((uv_handle_t *)&kv->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&kv->idle, on_handle_closed);
    uv_close((uv_handle_t *)&kv->timer, on_handle_closed);
}

void kv_close(struct kv *kv, void (*done)(void *arg), void *arg)
{
    if (kv->closing)
        return;
    kv->closing = true;
    kv->on_closed = done;
    kv->on_closed_arg = arg;
    client_shutdown(kv->core, kv_now_us());
    kv_effects(kv);
    uv_timer_stop(&kv->timer);
    uv_ref((uv_handle_t *)&kv->prepare);
    uv_idle_start(&kv->idle, on_idle);
}

static int open_core(const struct kv_options *options, struct client **out)
{
    uint64_t seed;
    if (uv_random(NULL, NULL, &seed, sizeof seed, 0, NULL) != 0)
        return KV_E_IO;
    return client_create(options, seed, out);
}

/* libuv writes without MSG_NOSIGNAL: a node that goes away would end the program. Who handles the signal
 * himself is left alone. */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
}

int kv_open(struct uv_loop_s *loop, const struct kv_options *options, struct kv **out)
{
    const struct kv_options defaults = {0};
    options = options ? options : &defaults;
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return KV_E_NO_MEMORY;
    int rc = KV_E_NO_MEMORY;
    kv->received = malloc(KV_RECEIVE_BYTES);
    if (kv->received)
        rc = open_core(options, &kv->core);
    if (rc) {
        free(kv->received);
        free(kv);
        return rc;
    }
    ignore_sigpipe();
    arena_init(&kv->arena, WIRE_ARENA_MAX_BYTES);
    list_init(&kv->dirty);
    kv->loop = loop;
    kv->log = options->log;
    kv->log_arg = options->log_arg;
    kv->timer_us = UINT64_MAX;
    kv->open_handles = 3;
    uv_prepare_init(loop, &kv->prepare);
    uv_idle_init(loop, &kv->idle);
    uv_timer_init(loop, &kv->timer);
    kv->prepare.data = kv->idle.data = kv->timer.data = kv;
    uv_prepare_start(&kv->prepare, on_prepare);
    uv_unref((uv_handle_t *)&kv->prepare);
    uv_unref((uv_handle_t *)&kv->timer);
    *out = kv;
    return KV_OK;
}

/* ---- requests ---- */

static int submit(struct kv *kv, const struct client_order *order)
{
    int rc = client_submit(kv->core, kv_now_us(), order);
    if (rc)
        return rc;
    kv->outstanding++;
    uv_ref((uv_handle_t *)&kv->prepare);
    kv_effects(kv);
    return KV_OK;
}

int kv_get(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
           kv_result_fn done, void *arg)
{
    return submit(kv, &(struct client_order){.op = CLIENT_GET,
                                             .key = bytes_of(key, key_len),
                                             .request = request,
                                             .callback.result = done,
                                             .arg = arg});
}

int kv_put(struct kv *kv, const void *key, size_t key_len, const void *value, size_t value_len,
           const struct kv_request *request, kv_result_fn done, void *arg)
{
    return submit(kv, &(struct client_order){.op = CLIENT_PUT,
                                             .key = bytes_of(key, key_len),
                                             .value = bytes_of(value, value_len),
                                             .request = request,
                                             .callback.result = done,
                                             .arg = arg});
}

int kv_del(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
           kv_result_fn done, void *arg)
{
    return submit(kv, &(struct client_order){.op = CLIENT_DEL,
                                             .key = bytes_of(key, key_len),
                                             .request = request,
                                             .callback.result = done,
                                             .arg = arg});
}

int kv_scan(struct kv *kv, const void *prefix, size_t prefix_len, struct kv_cursor after, uint32_t limit,
            const struct kv_request *request, kv_scan_fn done, void *arg)
{
    return submit(kv, &(struct client_order){.op = CLIENT_SCAN,
                                             .key = bytes_of(prefix, prefix_len),
                                             .after = after,
                                             .limit = limit,
                                             .request = request,
                                             .callback.scan = done,
                                             .arg = arg});
}

int kv_status(struct kv *kv, const struct kv_request *request, kv_status_fn done, void *arg)
{
    return submit(kv, &(struct client_order){
                          .op = CLIENT_STATUS, .request = request, .callback.status = done, .arg = arg});
}

int kv_ring(struct kv *kv, const struct kv_request *request, kv_ring_fn done, void *arg)
{
    return submit(
        kv, &(struct client_order){.op = CLIENT_RING, .request = request, .callback.ring = done, .arg = arg});
}

int kv_where(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
             kv_where_fn done, void *arg)
{
    return submit(kv, &(struct client_order){.op = CLIENT_WHERE,
                                             .key = bytes_of(key, key_len),
                                             .request = request,
                                             .callback.where = done,
                                             .arg = arg});
}

int kv_stats(struct kv *kv, const struct kv_request *request, kv_stats_fn done, void *arg)
{
    return submit(kv, &(struct client_order){
                          .op = CLIENT_STATS, .request = request, .callback.stats = done, .arg = arg});
}

int kv_fault(struct kv *kv, const struct kv_fault *fault, const struct kv_request *request, kv_fault_fn done,
             void *arg)
{
    return submit(
        kv, &(struct client_order){
                .op = CLIENT_FAULT, .fault = *fault, .request = request, .callback.fault = done, .arg = arg});
}

int kv_change(struct kv *kv, const struct kv_change *change, const struct kv_request *request,
              kv_change_fn done, void *arg)
{
    return submit(
        kv,
        &(struct client_order){
            .op = CLIENT_CHANGE, .change = change, .request = request, .callback.change = done, .arg = arg});
}

int kv_repair(struct kv *kv, const struct kv_request *request, kv_repair_fn done, void *arg)
{
    return submit(kv, &(struct client_order){
                          .op = CLIENT_REPAIR, .request = request, .callback.repair = done, .arg = arg});
}

uint64_t kv_origin(const struct kv *kv)
{
    return client_origin(kv->core);
}

uint32_t kv_pending(const struct kv *kv)
{
    return kv->outstanding;
}
