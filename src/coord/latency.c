/* The quantile tracker: see latency.h. */
#include "coord/latency.h"

#define FRACTION_BITS 16
#define SAMPLE_MAX_US (UINT64_C(1) << 31)
#define STEP_SHIFT    3  /* the step is 1/8 of the estimate */
#define QUANTILE      99 /* per cent */
#define MEAN_SHIFT    4  /* 1/16 */

void latency_record(struct latency *l, uint64_t us)
{
    if (us < 1)
        us = 1; /* 0 says that nothing was measured */
    if (us > SAMPLE_MAX_US)
        us = SAMPLE_MAX_US;
    if (l->p99_us == 0) {
        *l = (struct latency){(uint32_t)us, (uint32_t)us, us << FRACTION_BITS};
        return;
    }
    uint64_t step = (l->fixed_us >> STEP_SHIFT) + 1;
    if (us << FRACTION_BITS > l->fixed_us)
        l->fixed_us += step * QUANTILE / 100;
    else
        l->fixed_us -= step * (100 - QUANTILE) / 100;
    if (l->fixed_us > SAMPLE_MAX_US << FRACTION_BITS)
        l->fixed_us = SAMPLE_MAX_US << FRACTION_BITS;
    uint64_t whole = l->fixed_us >> FRACTION_BITS;
    l->p99_us = whole ? (uint32_t)whole : 1;

    uint64_t weight = UINT64_C(1) << MEAN_SHIFT;
    l->mean_us = (uint32_t)((l->mean_us * (weight - 1) + us + weight / 2) / weight);
    if (l->mean_us == 0)
        l->mean_us = 1;
}
