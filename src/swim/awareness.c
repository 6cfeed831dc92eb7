/* Local health (Lifeguard section 4.1): a counter of the signs that it is us who is slow, and not the
 * members that do not answer. Signs: a probe of ours fails, an indirect probe brings not even a NACK, we
 * have to refute a suspicion, we did not run for a while. Every answered probe takes one back.
 *
 * The paper stretches time-out and interval of a probe by score + 1. Here as in the practice since then
 * an answered probe ends at the plain interval, whatever the score: a healthy answer is no reason to
 * probe less. */
#include "swim/internal.h"

void swim_awareness_add(struct swim_awareness *a, int delta)
{
    int64_t score = (int64_t)a->score + delta;
    if (score < 0)
        score = 0;
    if (score > (int64_t)a->max)
        score = a->max;
    a->score = (uint32_t)score;
}

uint64_t swim_awareness_scale(const struct swim_awareness *a, uint64_t base_us)
{
    return base_us * (a->score + 1);
}
