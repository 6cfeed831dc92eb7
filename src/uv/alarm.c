#include "uv/alarm.h"

#include "base/list.h"

/* No value of the deadline may stand for "not set" but the one that never comes: while 0 did, a node whose
 * deadline was 0 ("at once") heard no clock any more. */
static void on_timer(uv_timer_t *timer)
{
    struct alarm *a = container_of(timer, struct alarm, timer);
    a->at_us = ALARM_NEVER;
    a->ring(a->context);
}

void alarm_init(struct alarm *a, uv_loop_t *loop, void (*ring)(void *context), void *context)
{
    uv_timer_init(loop, &a->timer);
    a->at_us = ALARM_NEVER;
    a->ring = ring;
    a->context = context;
}

void alarm_set(struct alarm *a, uint64_t at_us)
{
    if (at_us == a->at_us)
        return;
    a->at_us = at_us;
    if (at_us == ALARM_NEVER) {
        uv_timer_stop(&a->timer);
        return;
    }
    uint64_t now_us = uv_hrtime() / 1000;
    uint64_t ms = at_us > now_us ? (at_us - now_us + 999) / 1000 : 0;
    uv_update_time(a->timer.loop);
    uv_timer_start(&a->timer, on_timer, ms, 0);
}
