/* Numbers for people: short, and never wider than promised. */
#ifndef CMD_HUMAN_H
#define CMD_HUMAN_H

#include <stdint.h>

#define HUMAN_MAX 32u

/* At most five characters: "0", "7.4", "1234", "12.3k", "1.2M". Below ten a fraction is shown when there is
 * one. */
const char *human_count(double v, char out[HUMAN_MAX]);

/* "0 B", "999 B", "1.2 KiB", "34 MiB": at most eight characters. */
const char *human_bytes(double v, char out[HUMAN_MAX]);

/* "0:07", "12:34", "3:04:05". */
const char *human_seconds(double v, char out[HUMAN_MAX]);

/* "100 %" only for all of it, "0 %" only for nothing: else "99.99 %" at most and "0.01 %" at least. */
const char *human_percent(uint64_t part, uint64_t whole, char out[HUMAN_MAX]);

#endif
