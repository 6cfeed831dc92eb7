/* Ctrl-C and SIGTERM: what takes long (kvbench; kvcli load, check and dump) ends early and still says what it
 * has found out, whenever they come.
 *
 * From stop_hold on they are noted. Once: nothing new is started, what is in flight ends. Twice (some
 * programs that run others pass one Ctrl-C on twice): who watches (stop_watch) does not wait for what is in
 * flight. A third time the process is killed as any other. One of them that was ignored when the process
 * began goes on being ignored: it is a job in the background of a script. */
#ifndef CMD_COMMON_STOP_H
#define CMD_COMMON_STOP_H

#include <uv.h>

struct stop {
    uv_async_t woken;
    void (*on_stop)(int times, void *arg);
    void *arg;
};

void stop_hold(void);

/* Calls `on_stop` from the loop after each of them, with how many there were; also of those that came before.
 * It keeps the loop going until stop_unwatch. One at a time. */
int stop_watch(struct stop *s, uv_loop_t *loop, void (*on_stop)(int times, void *arg), void *arg);
void stop_unwatch(struct stop *s);

/* The first that came, or 0. */
int stop_signal(void);

/* All is said: after Ctrl-C the process ends by it, so that a shell which runs a script of us stops as well.
 * Else both act again as they did before stop_hold. */
void stop_release(void);

#endif
