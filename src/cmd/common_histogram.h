/* A log-linear histogram of durations: 128 linear steps in each power of two, so a value is off by at most
 * 1/256 of itself (0.4 %), in 60 KiB, without allocation. */
#ifndef CMD_COMMON_HISTOGRAM_H
#define CMD_COMMON_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7u
#define HISTOGRAM_CELLS    ((64u - HISTOGRAM_SUB_BITS + 1u) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t cells[HISTOGRAM_CELLS];
};

void histogram_record(struct histogram *h, uint64_t value);
void histogram_add(struct histogram *to, const struct histogram *from);
void histogram_reset(struct histogram *h);

/* The value that `part` (0..1) of all are not above; 0 when empty. Never above the maximum recorded. */
uint64_t histogram_quantile(const struct histogram *h, double part);

#endif
