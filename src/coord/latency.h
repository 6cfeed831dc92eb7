/* How slow a member usually is: a running estimate of the 99th percentile of its answers, in 16 bytes (a
 * stochastic quantile tracker: a step up of 0.99 for each answer above the estimate, a step down of 0.01 for
 * each below; the step is an eighth of the estimate). Hedging waits for it.
 *
 * It comes to rest where 1 answer in 100 is above it, within about a fifth; it doubles after 7 answers in a
 * row above it, and halves after some 550 below. */
#ifndef COORD_LATENCY_H
#define COORD_LATENCY_H

#include <stdint.h>

struct latency {
    uint32_t p99_us;   /* 0: nothing measured */
    uint32_t mean_us;  /* exponentially smoothed over about 16 answers; at least 1 once measured */
    uint64_t fixed_us; /* the estimate with 16 binary places: a step down is less than a microsecond */
};

void latency_record(struct latency *l, uint64_t us);

#endif
