/* How slow a member usually is: a running estimate of the 99th percentile of its answers, in 16 bytes (a
 * stochastic quantile tracker: a step up of 0.99 for each answer above the estimate, a step down of 0.01 for
 * each below). Hedging waits for it. */
#ifndef COORD_LATENCY_H
#define COORD_LATENCY_H

#include <stdint.h>

struct latency {
    uint32_t p99_us;  /* 0: nothing measured */
    uint32_t mean_us; /* exponentially smoothed */
};

void latency_record(struct latency *l, uint64_t us);

#endif
