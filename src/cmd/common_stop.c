#include "cmd/common_stop.h"

#include <signal.h>

#include "base/assert.h"

#define TIMES_MAX 2

static const int NUMBERS[] = {SIGTERM, SIGINT};
#define NUMBER_COUNT (sizeof NUMBERS / sizeof *NUMBERS)

/* A handler has no argument of its own. libuv's would be gone between two loops. */
static volatile sig_atomic_t first, times;
static struct stop *volatile watching;

static void on_signal(int number)
{
    if (times == TIMES_MAX) {
        signal(number, SIG_DFL);
        raise(number); /* takes effect on return */
        return;
    }
    times++;
    if (!first)
        first = number;
    if (watching)
        uv_async_send(&watching->woken); /* libuv allows it in a handler */
}

void stop_hold(void)
{
    first = times = 0;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
        sigaction(NUMBERS[i], NULL, &before);
        if (before.sa_handler != SIG_IGN)
            sigaction(NUMBERS[i], &action, NULL);
    }
}

static void on_woken(uv_async_t *woken)
{
    struct stop *s = woken->data;
    s->on_stop(times, s->arg);
}

int stop_watch(struct stop *s, uv_loop_t *loop, void (*on_stop)(int times, void *arg), void *arg)
{
    KV_ASSERT(!watching);
    *s = (struct stop){.on_stop = on_stop, .arg = arg};
    s->woken.data = s;
    int rc = uv_async_init(loop, &s->woken, on_woken);
    if (rc != 0)
        return rc;
    watching = s;
    if (times > 0)
        uv_async_send(&s->woken);
    return 0;
}

void stop_unwatch(struct stop *s)
{
    KV_ASSERT(watching == s);
    watching = NULL;
    uv_close((uv_handle_t *)&s->woken, NULL);
}

int stop_signal(void)
{
    return first;
}

void stop_release(void)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        struct sigaction now;
        sigaction(NUMBERS[i], NULL, &now);
        if (now.sa_handler == on_signal)
            signal(NUMBERS[i], SIG_DFL);
    }
    if (first == SIGINT)
        raise(SIGINT);
}
