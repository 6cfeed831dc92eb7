/* A limit on a rate, as a clock that runs ahead with what was taken (the generic cell rate algorithm): more
 * may be taken when real time has caught up with it. What was not used longer than RATE_BURST_US ago is lost.
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_BURST_US UINT64_C(100000)

struct rate {
    uint64_t per_second; /* 1 at least */
    uint64_t free_us;    /* from here on more may be taken */
};

static inline bool rate_allows(const struct rate *r, uint64_t now_us)
{
    return r->free_us <= now_us;
}

static inline void rate_take(struct rate *r, uint64_t now_us, uint64_t amount)
{
    uint64_t least_us = now_us > RATE_BURST_US ? now_us - RATE_BURST_US : 0;
    if (r->free_us < least_us)
        r->free_us = least_us;
    r->free_us += amount * 1000000 / r->per_second;
}

/* What was taken beforehand and not used. */
static inline void rate_return(struct rate *r, uint64_t amount)
{
    uint64_t us = amount * 1000000 / r->per_second;
    r->free_us = r->free_us > us ? r->free_us - us : 0;
}

#endif
