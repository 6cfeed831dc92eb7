/* A terminal that is drawn on as a whole: the alternate screen, no cursor, keys without Enter; and put back
 * as it was, however the program ends. ANSI sequences (ECMA-48, and xterm's alternate screen), which every
 * terminal of today knows. */
#ifndef CMD_KVCLI_SCREEN_H
#define CMD_KVCLI_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Whether standard output is a terminal that can be drawn on. */
bool screen_possible(void);

/* Standard output may be coloured: a terminal, and NO_COLOR is not set. */
bool screen_colors(void);

/* The locale's characters are UTF-8. */
bool screen_utf8(void);

/* Columns and lines of standard output; 80 x 24 when it does not say. */
void screen_size(uint32_t *columns, uint32_t *lines);

/* Opens the terminal for keys as well. Returns a descriptor to be polled for them, that does not block, or
 * -1: there are no keys. */
int screen_enter(void);

/* Puts everything back. May be called at any time, more than once, and in a signal's handler. */
void screen_leave(void);

/* Shows lines, each ended by \n; `spare` is reused. */
void screen_show(struct bytes lines, struct buf *spare);

#endif
