/* How far a transfer is, how fast, and how long it will take: from what is looked at now and then. */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t at_us; /* of the last look; 0: none yet */
    uint64_t done, total, bytes;
    double done_per_s, bytes_per_s; /* smoothed over a few seconds */
    double rated_s;                 /* how much time they are taken from */
};

/* A look. Figures that fall, or another total, begin anew: another transfer. */
void progress_look(struct progress *p, uint64_t now_us, uint64_t done, uint64_t total, uint64_t bytes);

/* Seconds left at this pace; negative: not known (yet). */
double progress_left_s(const struct progress *p);

#endif
