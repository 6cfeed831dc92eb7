/* Numbers on kvsim's command line: decimal digits and nothing else. False: none, or not in [min, max]. */
#ifndef CMD_KVSIM_NUMBER_H
#define CMD_KVSIM_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* The one at the start of *text, which ends with `end_char`; *text is then behind that, or at the end. */
bool take_part(const char **text, char end_char, uint64_t min, uint64_t max, uint64_t *out);

bool take_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);
bool take_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out);

#endif
