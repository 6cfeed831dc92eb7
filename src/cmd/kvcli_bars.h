/* A request's story as bars: one for each time that a replica was asked, from then to its answer, all on one
 * scale of time. */
#ifndef CMD_KVCLI_BARS_H
#define CMD_KVCLI_BARS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kv.h"

/* Lines, each ended by \n. The scale goes from the first bar's beginning (connecting may have taken much
 * longer than all the rest) to the end of the call, or to the last event if that is later. KV_E_NO_MEMORY
 * leaves it short. */
int bars_draw(const struct kv_trace *trace, uint32_t count, uint32_t us, bool utf8, struct buf *out);

#endif
