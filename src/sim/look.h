/* What the simulation may see of a node from behind: how it sees the others, what it keeps, what it counted.
 * Checkers and counters only; nothing that a client could not know may decide what a client does. */
#ifndef SIM_LOOK_H
#define SIM_LOOK_H

#include "node/node.h"
#include "sim/tally.h"

/* The node's counters, added. */
void sim_look_counters(const struct node *n, struct tally *sum);

/* Serving, its clock in use, and so ready for requests. */
bool sim_look_ready(const struct node *n, uint64_t mono_us);

/* What the node believes of a member by gossip; and whether it can send to it. */
enum member_state sim_look_sees(const struct node *n, uint32_t member);
/* What orders the beliefs of a member: newer ones are larger. False: it is not known. */
bool sim_look_belief(const struct node *n, uint32_t member, uint64_t *generation, uint32_t *incarnation);
bool sim_look_reaches(const struct node *n, uint32_t member);

/* How far the node takes its wall clock to be ahead of its peers'. */
int64_t sim_look_lead_ms(const struct node *n);

/* The node's hybrid clock. */
uint64_t sim_look_hlc(const struct node *n);

/* Notes kept for a member; 0: for all. */
uint64_t sim_look_hints(const struct node *n, uint32_t member);

/* What a node without work keeps: nothing. The name of what it does keep, NULL: nothing. */
const char *sim_look_leftover(const struct node *n, uint64_t *amount);

#endif
