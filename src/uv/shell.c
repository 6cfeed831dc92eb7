/* The clockwork of the shell: one turn after another; see shell.h. */
#include "uv/shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"

uint64_t shell_now_us(void)
{
    return uv_hrtime() / 1000;
}

struct now shell_now(const struct shell *s)
{
    uv_timeval64_t t = {0};
    uv_gettimeofday(&t);
    int64_t wall_ms = t.tv_sec * 1000 + t.tv_usec / 1000 + s->options.clock_skew_ms + s->faults.skew_ms;
    return (struct now){.mono_us = shell_now_us(), .wall_ms = wall_ms > 0 ? (uint64_t)wall_ms : 0};
}

void shell_log(struct shell *s, enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_line(&s->options.log, level, "%s", text);
}

/* The place of a complaint, or one whose minute is over. NULL: too many hosts give reason to complain, which
 * with datagrams costs the sender nothing but an invented address. */
static struct complaint *complaint_of(struct shell *s, const char *host, const char *event, uint64_t now_us)
{
    struct complaint *oldest = &s->complaints[0];
    for (uint32_t i = 0; i < COMPLAINTS_MAX; i++) {
        struct complaint *it = &s->complaints[i];
        if (it->event && strcmp(it->host, host) == 0 && strcmp(it->event, event) == 0)
            return it;
        if (it->last_us < oldest->last_us)
            oldest = it;
    }
    if (oldest->last_us && now_us - oldest->last_us < COMPLAINT_EVERY_US)
        return NULL;
    *oldest = (struct complaint){.event = event, .suppressed = s->complaints_lost};
    s->complaints_lost = 0;
    snprintf(oldest->host, sizeof oldest->host, "%s", host);
    return oldest;
}

void shell_complain(struct shell *s, const char *host, const char *event, int rc, const char *text)
{
    uint64_t now_us = shell_now_us();
    struct complaint *it = complaint_of(s, host, event, now_us);
    s->complaints_lost += it == NULL;
    if (!it || !log_allowed(now_us, &it->last_us, &it->suppressed))
        return;
    shell_log(s, LOG_WARN, "event=%s host=%s status=%s suppressed=%llu text=\"%s\"", event, host,
              kv_error_word(rc), (unsigned long long)it->suppressed, text);
    it->suppressed = 0;
}

/* ---- stepping ---- */

void shell_step(struct shell *s, const struct event *e)
{
    if (s->ended)
        return;
    KV_ASSERT(!s->stepping);
    s->stepping = true;
    node_step(s->node, shell_now(s), e, &s->out);
    effects_run(s);
    s->stepping = false;
}

static bool on_storage_done(struct storage_job *job, void *arg)
{
    struct shell *s = arg;
    shell_step(s, &job->event);
    storage_job_release(job);
    return !s->ended && s->turn_output_bytes < TURN_OUTPUT_MAX_BYTES;
}

void shell_message(struct shell *s, struct conn *c, struct message *m, struct bytes body)
{
    s->counters.frames_in++;
    traffic_in(&s->counters, m->type, sizeof c->header.length + c->header.length);
    struct verdict v = {0};
    if (s->faults.count)
        v = faults_judge(&s->faults, m->type == MSG_HELLO ? m->hello.member_id : c->member);
    if (v.drop)
        return;
    if (m->type == MSG_FAULT && c->accepted) {
        lab_order(s, c, m);
        return;
    }
    struct event e = {.type = EV_MESSAGE, .message = {.from = c->self, .message = m}};
    for (int i = 0; i < 1 + v.twice && c->state == CONN_OPEN; i++) {
        if (v.delay_ms)
            delay_message(s, c, body, v.delay_ms);
        else
            shell_step(s, &e);
    }
}

static void refuse_version(struct shell *s, struct conn *c, const char *host)
{
    char text[96];
    snprintf(text, sizeof text, "this node speaks protocol version %u, not %u", PROTOCOL_VERSION,
             c->header.version);
    shell_complain(s, host, "foreign_version", KV_E_VERSION, text);
    struct message m = {.type = MSG_REFUSED,
                        .id = c->header.id,
                        .cluster = node_cluster_hash(s->node),
                        .refused = {.status = KV_E_VERSION, .text = text}};
    conn_send(c, &m);
    conn_flush(c);
}

void shell_refuse_frame(struct shell *s, struct conn *c, int rc)
{
    char host[HOST_MAX_BYTES + 1];
    s->counters.malformed++;
    tcp_remote_host(c, host);
    if (rc == KV_E_VERSION)
        refuse_version(s, c, host);
    else
        shell_complain(s, host, "malformed_frame", rc, kv_error_text(rc));
    conn_close(c);
}

/* ---- the clockwork ---- */

static void on_tick(void *context)
{
    struct event e = {.type = EV_TICK};
    shell_step(context, &e);
}

static void on_again(uv_idle_t *idle)
{
    (void)idle;
}

/* Connections whose turn has come read on: first those that wait for memory, then those that were paused. */
static void feed(struct shell *s)
{
    uint32_t fed = 0;
    s->feed_wanted = false;
    for (int i = 0; i < 2; i++)
        for (; pool_ready(&s->pools[i]) && fed < FEED_MAX; fed++)
            conn_feed(container_of(s->pools[i].waiting.next, struct conn, waiting));
    for (; !list_empty(&s->resumed) && fed < FEED_MAX; fed++)
        conn_feed(container_of(s->resumed.next, struct conn, waiting));
    if (fed == FEED_MAX)
        s->feed_wanted = true;
}

/* The end of a turn: disk first, since its completions make more output, then one write per connection. */
static void end_turn(struct shell *s)
{
    uint32_t left = TURN_EVENTS_MAX, done = 1;
    for (uint32_t rounds = 0; done && rounds < TURN_ROUNDS_MAX && !s->ended; rounds++) {
        done = storage_flush(s->storage, left);
        left -= done;
    }
    if (s->feed_wanted)
        feed(s);
    struct list *node;
    while ((node = list_pop_front(&s->dirty)) != NULL)
        conn_flush(container_of(node, struct conn, dirty));
    s->turn_output_bytes = 0;
    if (s->ended)
        return;
    if (s->feed_wanted || storage_pending(s->storage))
        uv_idle_start(&s->again, on_again);
    else
        uv_idle_stop(&s->again);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct shell *s = container_of(prepare, struct shell, prepare);
    if (s->ended)
        return;
    end_turn(s);
    if (!s->ended)
        alarm_set(&s->tick, node_deadline_us(s->node));
}

/* Stamps are made of wall time, so who keeps the clock should know when it was set. */
static void check_clock(struct shell *s)
{
    struct now now = shell_now(s);
    int64_t ahead_ms = (int64_t)now.wall_ms - (int64_t)(now.mono_us / 1000);
    int64_t jump_ms = ahead_ms - s->wall_ahead_ms;
    if (jump_ms > CLOCK_JUMP_WARN_MS || jump_ms < -CLOCK_JUMP_WARN_MS)
        shell_log(s, LOG_WARN,
                  "event=clock_jumped by_ms=%lld text=\"the wall clock was set, or the machine slept\"",
                  (long long)jump_ms);
    s->wall_ahead_ms = ahead_ms;
}

/* Who looks for the reason why others called this node dead finds it here. */
static void check_loop(struct shell *s)
{
    uint64_t now_us = shell_now_us(), due_us = s->second_us + 1000000;
    s->second_us = now_us;
    if (now_us > due_us + LOOP_STALL_WARN_US)
        shell_log(s, LOG_WARN,
                  "event=stalled ms=%llu text=\"this process did nothing for so long: it was stopped, or "
                  "waited for its disk\"",
                  (unsigned long long)(now_us - due_us) / 1000);
}

static void check_disk(struct shell *s, const struct storage_counters *c)
{
    if (c->slow_writes == s->slow_writes)
        return;
    s->slow_writes = c->slow_writes;
    if (!log_allowed(shell_now_us(), &s->slow_us, &s->slow_suppressed))
        return;
    shell_log(
        s, LOG_WARN,
        "event=slow_disk ms=%llu suppressed=%llu text=\"one batch of writes took so long, and whoever put "
        "something waited\"",
        (unsigned long long)c->last_slow_us / 1000, (unsigned long long)s->slow_suppressed);
    s->slow_suppressed = 0;
}

static void on_second(uv_timer_t *timer)
{
    struct shell *s = container_of(timer, struct shell, second);
    tcp_check(s);
    check_clock(s);
    check_loop(s);
    struct storage_counters c = storage_counters(s->storage);
    check_disk(s, &c);
    rowcount_poll(&s->rows, s->loop, c.rows + c.rows_deleted + c.hints_done);
    if (s->stopping && shell_now_us() - s->stop_us > STOP_GRACE_US) {
        shell_log(s, LOG_WARN, "event=stop_grace_over");
        shell_end(s, 0);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct shell *s = signal->data;
    if (s->stopping) {
        shell_log(s, LOG_WARN, "event=second_signal signal=%d", number);
        shell_end(s, 0);
        return;
    }
    s->stopping = true;
    s->stop_us = shell_now_us();
    shell_log(s, LOG_INFO, "event=stopping signal=%d", number);
    struct event e = {.type = EV_STOP};
    shell_step(s, &e);
}

static void start_signal(struct shell *s, uv_signal_t *signal, int number)
{
    uv_signal_init(s->loop, signal);
    signal->data = s;
    uv_signal_start(signal, on_signal, number);
}

void shell_end(struct shell *s, int status)
{
    if (s->ended)
        return;
    s->ended = true;
    s->exit_status = status;
    struct list *node;
    while ((node = list_pop_front(&s->dirty)) != NULL)
        conn_flush(container_of(node, struct conn, dirty)); /* the last answers */
    storage_stop(s->storage);
    names_end(&s->names);
    tcp_close_all(s);
    delay_deinit(s);
    uv_handle_t *const handles[] = {(uv_handle_t *)&s->udp,    (uv_handle_t *)&s->tick.timer,
                                    (uv_handle_t *)&s->second, (uv_handle_t *)&s->prepare,
                                    (uv_handle_t *)&s->again,  (uv_handle_t *)&s->sigterm,
                                    (uv_handle_t *)&s->sigint};
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], NULL);
}

int shell_start(struct shell *s, uv_loop_t *loop, const struct shell_options *options, struct node *node,
                struct store *store, char error[256])
{
    memset(s, 0, sizeof *s);
    s->loop = loop;
    s->options = *options;
    s->node = node;
    if (s->options.stall_us == 0)
        s->options.stall_us = FRAME_STALL_MAX_US;
    s->pools[0].max_bytes = RECEIVE_CLIENTS;
    s->pools[1].max_bytes = RECEIVE_MAX_BYTES - RECEIVE_CLIENTS;
    struct list *const lists[] = {&s->dirty,   &s->resumed,          &s->strangers,
                                  &s->delayed, &s->pools[0].waiting, &s->pools[1].waiting};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    map_init(&s->peers);
    names_init(&s->names, loop);
    arena_init(&s->receive_arena, WIRE_ARENA_MAX_BYTES);
    faults_init(&s->faults, shell_now_us());
    int rc = outbox_init(&s->out);
    if (rc == KV_OK)
        rc = tcp_listen(s, error);
    if (rc == KV_OK)
        rc = udp_listen(s, error);
    if (rc != KV_OK)
        return rc;
    rc = storage_create(loop, store, options->sync, on_storage_done, s, &s->storage);
    if (rc != KV_OK) {
        snprintf(error, 256, "cannot start the storage thread");
        return rc;
    }
    rowcount_init(&s->rows, store);
    rowcount_poll(&s->rows, loop, 0);
    alarm_init(&s->tick, loop, on_tick, s);
    uv_timer_init(loop, &s->second);
    uv_timer_start(&s->second, on_second, 1000, 1000);
    struct now now = shell_now(s);
    s->wall_ahead_ms = (int64_t)now.wall_ms - (int64_t)(now.mono_us / 1000);
    s->second_us = now.mono_us;
    uv_prepare_init(loop, &s->prepare);
    uv_prepare_start(&s->prepare, on_prepare);
    uv_idle_init(loop, &s->again);
    start_signal(s, &s->sigterm, SIGTERM);
    start_signal(s, &s->sigint, SIGINT);
    struct event e = {.type = EV_START};
    shell_step(s, &e);
    return KV_OK;
}

void shell_deinit(struct shell *s)
{
    storage_destroy(s->storage);
    tcp_deinit(s);
    names_deinit(&s->names);
    outbox_deinit(&s->out);
    arena_deinit(&s->receive_arena);
    buf_deinit(&s->udp_out);
}
