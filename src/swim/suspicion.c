/* How long a suspect has to refute (Lifeguard section 4.2, LHA-Suspicion). Nobody else suspects it: long,
 * for then it may well be us who is cut off or slow. Every independent suspicion shortens the time, the
 * first ones the most, down to the minimum, at which plain SWIM would have buried it.
 *
 * Ours is the last call: before a suspect is buried it is pinged a few times more, which tells it of the
 * suspicion too. Whom the refutation has not reached gets it from its author. At a quarter of all packets
 * lost 30 nodes buried somebody alive 3 times in 100 minutes without it, and never with it; it costs no
 * time.
 *
 * Invariant: a member has a running timer exactly while it is suspect. */
#include <math.h>

#include "base/assert.h"
#include "swim/internal.h"

uint64_t swim_remaining_suspicion_us(uint32_t confirmed, uint32_t wanted, uint64_t elapsed_us,
                                     uint64_t min_us, uint64_t max_us)
{
    KV_ASSERT(min_us <= max_us);
    uint64_t total_us = min_us;
    if (confirmed < wanted) {
        double part = log((double)confirmed + 1) / log((double)wanted + 1);
        total_us = max_us - (uint64_t)(part * (double)(max_us - min_us));
    }
    return elapsed_us < total_us ? total_us - elapsed_us : 0;
}

/* The timer runs out for each last call, and then for good; never before `least_us` from now. */
static void set_timer(struct swim *s, struct swim_suspicion *sus, uint64_t least_us)
{
    uint64_t elapsed_us = s->now_us - sus->started_us;
    uint64_t left_us = swim_remaining_suspicion_us(sus->accuser_count - 1, sus->wanted, elapsed_us,
                                                   sus->min_us, sus->max_us);
    uint64_t calls_us = sus->calls_left * s->config.probe_timeout_us;
    uint64_t wait_us = left_us > calls_us ? left_us - calls_us : 0;
    int rc = heap_set(&s->suspicions, &sus->timer, s->now_us + (wait_us > least_us ? wait_us : least_us));
    KV_ASSERT(rc == 0); /* swim_add made room */
}

/* min = mult x max(1, log10 n) x interval: news takes O(log n) periods to reach everybody, and the
 * refutation as many to come back. */
void swim_suspicion_start(struct swim *s, struct swim_member *m, uint32_t accuser)
{
    const struct swim_config *c = &s->config;
    uint32_t live = swim_live_count(s);
    double scale = log10((double)live);
    struct swim_suspicion *sus = &m->suspicion;

    sus->started_us = s->now_us;
    sus->min_us =
        (uint64_t)((double)c->suspicion_mult * (scale > 1 ? scale : 1) * (double)c->probe_deadline_us);
    sus->max_us = sus->min_us * c->suspicion_max_mult;
    /* Neither the suspect nor the first accuser can confirm. */
    uint32_t others = live > 2 ? live - 2 : 0;
    sus->wanted = c->suspicion_confirmations < others ? c->suspicion_confirmations : others;
    sus->accusers[0] = accuser;
    sus->accuser_count = 1;
    sus->calls_left = SWIM_LAST_CALLS;
    set_timer(s, sus, 0);
}

void swim_suspicion_stop(struct swim *s, struct swim_member *m)
{
    heap_remove(&s->suspicions, &m->suspicion.timer);
}

bool swim_suspicion_confirm(struct swim *s, struct swim_member *m, uint32_t accuser)
{
    struct swim_suspicion *sus = &m->suspicion;
    KV_ASSERT(heap_contains(&sus->timer));
    if (sus->accuser_count > sus->wanted)
        return false;
    for (uint32_t i = 0; i < sus->accuser_count; i++)
        if (sus->accusers[i] == accuser)
            return false;
    sus->accusers[sus->accuser_count++] = accuser;
    set_timer(s, sus, 0);
    return true;
}

/* Between the calls there is a time-out even when a confirmation has ended the time at once. */
bool swim_suspicion_last_call(struct swim *s, struct swim_member *m)
{
    struct swim_suspicion *sus = &m->suspicion;
    if (sus->calls_left == 0)
        return false;
    sus->calls_left--;
    set_timer(s, sus, s->config.probe_timeout_us);
    return true;
}
