/* Who keeps the list of members, and who coordinates requests (DESIGN section 11). The ring has no centre;
 * the two others have one, the hub, and exist to be compared with it. All nodes of a cluster have the same.
 */
#ifndef MODEL_TOPOLOGY_H
#define MODEL_TOPOLOGY_H

#include <stdint.h>

enum topology {
    TOPOLOGY_RING = 0,      /* every node is equal: membership by SWIM, every node coordinates */
    TOPOLOGY_CENTRAL = 1,   /* the hub keeps the list and coordinates every request; the others only store */
    TOPOLOGY_DIRECTORY = 2, /* the hub keeps the list, clients fetch it there; every node coordinates */
};

/* "ring", "central", "directory"; "?" for a number that is none. */
const char *topology_name(enum topology topology);

/* KV_E_INVALID: no such topology. */
int topology_parse(const char *text, enum topology *out);

#endif
