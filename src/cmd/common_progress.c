#include "cmd/common_progress.h"

#include <math.h>

#define SMOOTH_S 5.0 /* the last so many seconds make most of the pace */

/* An exponential mean over uneven intervals; while little time is rated, a plain one. */
static void smooth(double *mean, double rated_s, double rate, double seconds)
{
    double weight = 1 - exp(-seconds / SMOOTH_S);
    double plain = seconds / (rated_s + seconds);
    *mean += (rate - *mean) * (plain > weight ? plain : weight);
}

void progress_look(struct progress *p, uint64_t now_us, uint64_t done, uint64_t total, uint64_t bytes)
{
    struct progress was = *p;
    bool same =
        was.at_us && now_us > was.at_us && total == was.total && done >= was.done && bytes >= was.bytes;
    if (was.at_us && now_us <= was.at_us)
        return;
    if (!same)
        *p = (struct progress){0};
    p->at_us = now_us;
    p->done = done;
    p->total = total;
    p->bytes = bytes;
    if (!same)
        return;
    double seconds = (double)(now_us - was.at_us) / 1e6;
    smooth(&p->done_per_s, p->rated_s, (double)(done - was.done) / seconds, seconds);
    smooth(&p->bytes_per_s, p->rated_s, (double)(bytes - was.bytes) / seconds, seconds);
    p->rated_s += seconds;
}

double progress_left_s(const struct progress *p)
{
    if (p->done >= p->total)
        return p->total ? 0 : -1;
    return p->rated_s >= 1 && p->done_per_s > 0 ? (double)(p->total - p->done) / p->done_per_s : -1;
}
