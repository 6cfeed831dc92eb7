/* The one timer of a node: rings at the node's deadline, on libuv's loop. It is set again at the end of each
 * turn, mostly to what it is set to already, and that costs nothing. */
#ifndef UV_ALARM_H
#define UV_ALARM_H

#include <uv.h>

struct alarm {
    uv_timer_t timer;
    uint64_t at_us; /* what `timer` is set to; ALARM_NEVER while it does not run */
    void (*ring)(void *context);
    void *context;
};

#define ALARM_NEVER UINT64_MAX

/* To be closed by its owner with uv_close of `timer`, on the loop. */
void alarm_init(struct alarm *a, uv_loop_t *loop, void (*ring)(void *context), void *context);

/* Rings once, at `at_us` of uv_hrtime's clock or up to a millisecond later; in the next turn of the loop when
 * that has passed, be it 0; ALARM_NEVER: not at all. What was set before is forgotten. Not to be called out
 * of `ring`: libuv runs a timer that is set to now by a timer in the same turn, and that turn would not end.
 */
void alarm_set(struct alarm *a, uint64_t at_us);

#endif
