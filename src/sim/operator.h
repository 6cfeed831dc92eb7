/* The operator of a simulated cluster: asks for changes of the ring as a person with kvcli would, at any node
 * that answers, again and again until the change is known; and then lets the cluster do it. */
#ifndef SIM_OPERATOR_H
#define SIM_OPERATOR_H

#include "sim/cluster.h"

struct ring_operator;

struct ring_operator *operator_create(struct sim *s);
void operator_destroy(struct ring_operator *o);

/* Asks for a change concerning the process `node`, as soon as somebody listens: RING_LEAVE, RING_REMOVE,
 * RING_WEIGHT. The member is looked up by name and store now, so that a later namesake is spared. False: it
 * is no member, or too much is asked for already. */
bool operator_ask(struct ring_operator *o, enum ring_change_kind kind, uint32_t node, uint32_t weight);

/* Wishes that nobody has taken on yet. */
uint32_t operator_waiting(const struct ring_operator *o);

/* Whether a change that takes `node` out of the ring was ever asked for, while it had the store it has now:
 * one that came back with another is a namesake, which nobody has told to go. */
bool operator_dismissed(const struct ring_operator *o, uint32_t node);

#endif
