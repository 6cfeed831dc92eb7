/* What a strict request was told is looked up in the stores, behind everybody's back. That a put was
 * acknowledged strictly, or a value got strictly, says that it, or something newer, is on the disks of
 *
 *     a majority of those who are read from under the newest ring that anybody has, at once and from then on,
 *     where those do not count against it whose disks are gone for good;
 *     in SWITCH a majority of the homes before, too, since the change may yet be undone;
 *     so many under any older ring that those who are still at it are no majority without it (ring/next.c).
 *
 * A client finds out only by luck: it takes one who asks just the others, before something repairs it. */
#ifndef SIM_SETTLED_H
#define SIM_SETTLED_H

#include "sim/cluster.h"

/* The newest row with this value that any process has; NULL: none has it any more. */
const struct row *settled_row(struct sim *s, struct bytes key, struct bytes value);

struct settled {
    uint64_t epoch;
    uint32_t have, homes; /* so many of them have what was told, or newer, or would not answer under it */
};

/* Whether what was told about the key may be missed by who asks next: `stamp` is its row's. False too where
 * nothing follows: the key was purged, or a member is given up, in whose place others answer. */
bool settled_broken(struct sim *s, struct bytes key, struct stamp stamp, struct settled *out);

#endif
