/* Which rings the simulated cluster has had, and who is who in the newest: a process has an index for all its
 * lives and stores, a member's id belongs to one store.
 *
 * Checks as it watches that no epoch ever has two values, whoever adopts one and whenever (Lamport 2001: at
 * most one value is chosen). */
#ifndef SIM_RINGS_H
#define SIM_RINGS_H

#include "sim/cluster.h"

/* Looked at after every step of a node. */
void sim_rings_watch(struct sim *s, uint32_t node);
void sim_rings_deinit(struct sim *s);

/* The newest ring that any node has ever adopted; NULL: none yet. */
const struct ring *sim_ring(const struct sim *s);

/* The member that a process is, with the store it has now, in the newest ring: also one that joins or leaves.
 * 0: none. */
uint32_t sim_member(const struct sim *s, uint32_t node);

/* The process that is a member; 0: nobody is any more. */
uint32_t sim_process_of(const struct sim *s, uint32_t member);

/* The process that a member of any ring is, by its store, given up or not; 0: its store is nobody's any more.
 */
uint32_t sim_ring_process(const struct sim *s, const struct ring *ring, uint32_t member);

/* Whether a member is given up for the change that is under way. */
bool sim_ring_gives_up(const struct ring_value *v);

/* The first epoch of which two values were seen; 0: none. */
uint64_t sim_two_rings(const struct sim *s);

#endif
