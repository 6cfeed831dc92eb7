/* watch: a live view of the cluster. Once a second every node is asked for its status and its counters; a
 * node that dies is just one that does not answer, and the others go on telling. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "cmd/kvcli.h"
#include "cmd/kvcli_screen.h"
#include "cmd/kvcli_watch.h"

#define ROUND_MS    1000u
#define PATIENCE_MS 800u /* for one answer: a round is over before the next begins */
#define ONCE_ROUNDS 3u   /* who is there, their counters, and again for the rates */
#define DRAW_MS     250u /* those who have not answered by then are drawn as they were */

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
#define SIGNAL_COUNT (sizeof SIGNALS / sizeof *SIGNALS)

struct watch {
    struct cli *cli;
    uv_loop_t loop;
    struct kv *kv;
    uv_timer_t tick, draw;
    uv_signal_t signals[SIGNAL_COUNT];
    uv_poll_t keys;
    bool has_keys;
    bool live;       /* draws on the screen */
    uint32_t rounds; /* to make; 0: until it is told to stop */
    int key_fd;
    uint32_t outstanding; /* questions of this round */
    uint32_t first;       /* row that is shown first */
    bool round_open, over;
    int exit;
    int signal; /* that ended it; 0: none */
    struct watch_view *view;
    struct buf page, spare;
};

/* A question on its way, and whom it was put to. */
struct question {
    struct watch *watch;
    uint32_t id;
    char name[64];
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

/* ---- the end ---- */

static void stop(struct watch *w, int exit)
{
    if (w->over)
        return;
    w->over = true;
    w->exit = exit;
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->draw, NULL);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        uv_close((uv_handle_t *)&w->signals[i], NULL);
    if (w->has_keys)
        uv_close((uv_handle_t *)&w->keys, NULL);
    kv_close(w->kv, NULL, NULL);
}

/* ---- what is shown ---- */

static void draw(struct watch *w)
{
    char clock[16] = "";
    time_t now = time(NULL);
    struct tm tm;
    struct watch_page page = {
        .first = w->first, .color = screen_colors(), .utf8 = screen_utf8(), .clock = clock};
    localtime_r(&now, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    screen_size(&page.width, &page.height);
    if (w->live)
        page.width--; /* erasing to the end of a full line would take its last character */
    else
        page.height = 0;
    if (watch_draw(w->view, &page, &w->page) != KV_OK)
        return;
    if (w->live)
        screen_show(buf_bytes(&w->page), &w->spare);
    else
        fwrite(w->page.data, 1, w->page.len, stdout);
}

static void show(struct watch *w)
{
    if (w->cli->json) {
        watch_json(w->view);
        if (fflush(stdout) != 0)
            stop(w, EXIT_OK); /* nobody reads on */
    } else {
        draw(w);
    }
}

static void on_draw(uv_timer_t *timer)
{
    struct watch *w = timer->data;
    if (w->live && w->round_open)
        draw(w);
}

static void on_tick(uv_timer_t *timer);

/* Everybody has answered, or has had the time to. */
static void end_round(struct watch *w)
{
    if (!w->round_open || w->over)
        return;
    w->round_open = false;
    watch_round_end(w->view);
    if (w->view->heard_round == 0) { /* nobody, never: no cluster is there */
        stop(w, cli_fail_status(w->cli, KV_E_NO_NODE, w->view->trouble));
        return;
    }
    bool last = w->rounds && w->view->round >= w->rounds;
    if (w->view->round == 1) /* now we know whom to ask */
        uv_timer_start(&w->tick, on_tick, 0, ROUND_MS);
    else if (last || !w->rounds)
        show(w);
    if (last)
        stop(w, EXIT_OK);
}

/* ---- questions ---- */

static void answered(struct question *q)
{
    struct watch *w = q->watch;
    free(q);
    if (--w->outstanding == 0)
        end_round(w);
}

static void on_status(const struct kv_status *s, void *arg)
{
    struct question *q = arg;
    if (s->status == KV_OK)
        watch_heard_status(q->watch->view, now_us(), s);
    else if (!q->id)
        watch_heard_nobody(q->watch->view, s->message);
    answered(q);
}

static void on_stats(const struct kv_stats *s, void *arg)
{
    struct question *q = arg;
    uint32_t slot = watch_find(q->watch->view, q->id, q->name);
    if (s->status == KV_OK && slot < WATCH_NODES_MAX)
        watch_heard_stats(q->watch->view, slot, now_us(), s);
    answered(q);
}

/* `node`: whom to ask; NULL: anybody. */
static void ask(struct watch *w, const struct watch_node *node, bool stats)
{
    struct kv_request request = {.timeout_ms = PATIENCE_MS, .via = node ? node->address : NULL};
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return;
    q->watch = w;
    if (node) {
        q->id = node->id;
        memcpy(q->name, node->name, sizeof q->name);
    }
    int rc = stats ? kv_stats(w->kv, &request, on_stats, q) : kv_status(w->kv, &request, on_status, q);
    if (rc == KV_OK) {
        w->outstanding++;
    } else {
        watch_heard_nobody(w->view, kv_error_text(rc));
        free(q);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct watch *w = timer->data;
    struct watch_view *v = w->view;
    end_round(w);
    if (w->over)
        return;
    watch_round_begin(v);
    w->round_open = true;
    /* Anybody, who names those that the nodes known so far do not. */
    ask(w, NULL, false);
    for (uint32_t i = 0; i < v->node_count; i++) {
        const struct watch_node *n = &v->nodes[v->order[i]];
        if (w->cli->via && strcmp(w->cli->via, n->name) != 0 && strcmp(w->cli->via, n->address) != 0)
            continue; /* only one may be asked */
        ask(w, n, true);
        ask(w, n, false);
    }
    if (w->outstanding == 0)
        end_round(w);
    else
        uv_timer_start(&w->draw, on_draw, DRAW_MS, 0);
}

/* ---- keys and signals ---- */

static void scroll(struct watch *w, int by)
{
    uint32_t most = w->view->node_count;
    if (by < 0)
        w->first -= w->first ? 1 : 0;
    else
        w->first += w->first + 1 < most ? 1 : 0;
    draw(w);
}

/* Arrows come as ESC [ A. */
static void on_keys(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    char keys[64];
    (void)events;
    ssize_t n = status < 0 ? 0 : read(w->key_fd, keys, sizeof keys);
    if (n == 0)
        uv_poll_stop(poll);
    for (ssize_t i = 0; i < n && !w->over; i++) {
        bool arrow = i >= 2 && keys[i - 1] == '[' && keys[i - 2] == '\033';
        if (keys[i] == 'q' || keys[i] == 'Q')
            stop(w, EXIT_OK);
        else if (keys[i] == 'k' || (arrow && keys[i] == 'A'))
            scroll(w, -1);
        else if (keys[i] == 'j' || (arrow && keys[i] == 'B'))
            scroll(w, 1);
    }
}

/* Ctrl-Z: the shell gets its terminal back, and we get ours when we go on. */
static void suspend(struct watch *w)
{
    screen_leave();
    raise(SIGSTOP);
    screen_enter();
    draw(w);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct watch *w = handle->data;
    if (signum == SIGWINCH) {
        if (w->live)
            draw(w);
    } else if (signum == SIGTSTP) {
        if (w->live)
            suspend(w);
        else
            raise(SIGSTOP);
    } else {
        w->signal = signum;
        stop(w, EXIT_OK);
    }
}

/* ---- the beginning ---- */

static void open_handles(struct watch *w)
{
    uv_timer_init(&w->loop, &w->tick);
    uv_timer_init(&w->loop, &w->draw);
    w->tick.data = w->draw.data = w;
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        uv_signal_init(&w->loop, &w->signals[i]);
        w->signals[i].data = w;
        uv_signal_start(&w->signals[i], on_signal, SIGNALS[i]);
    }
    w->key_fd = w->live ? screen_enter() : -1;
    w->has_keys = w->key_fd >= 0 && uv_poll_init(&w->loop, &w->keys, w->key_fd) == 0;
    if (w->has_keys) {
        w->keys.data = w;
        uv_poll_start(&w->keys, UV_READABLE, on_keys);
    }
    uv_timer_start(&w->tick, on_tick, 0, ROUND_MS);
}

static int run(struct watch *w)
{
    struct kv_options options = cli_options(w->cli);
    if (uv_loop_init(&w->loop) != 0)
        return cli_fail_status(w->cli, KV_E_NO_MEMORY, kv_error_text(KV_E_NO_MEMORY));
    int rc = kv_open(&w->loop, &options, &w->kv);
    if (rc == KV_OK) {
        open_handles(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        screen_leave();
    } else {
        w->exit = cli_usage_nodes(w->cli);
    }
    uv_loop_close(&w->loop);
    return w->exit;
}

int cmd_watch(struct cli *cli)
{
    struct watch w = {.cli = cli, .rounds = cli->given & OPT_ONCE ? ONCE_ROUNDS : 0};
    w.live = !w.rounds && !cli->json;
    if (w.live && !screen_possible())
        return cli_usage(cli, "watch draws on a terminal, and there is none: --once, or --json");
    w.view = malloc(sizeof *w.view);
    if (!w.view)
        return cli_fail_status(cli, KV_E_NO_MEMORY, kv_error_text(KV_E_NO_MEMORY));
    watch_view_init(w.view);
    int status = run(&w);
    free(w.view);
    buf_deinit(&w.page);
    buf_deinit(&w.spare);
    if (w.signal && !cli->interactive) { /* whoever started us is told how we ended */
        signal(w.signal, SIG_DFL);
        raise(w.signal);
    }
    return status;
}
