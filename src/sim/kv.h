/* A client of the simulated cluster that is libkv itself: its pure core, with the simulated network as its
 * shell. It retries, hedges, follows the ring and mints stamps as an application's does.
 *
 * Handles live as long as the simulation. What a callback is given is borrowed, and it must not submit: it
 * runs inside a step of the core. */
#ifndef SIM_KV_H
#define SIM_KV_H

#include "client/client.h"
#include "sim/cluster.h"

struct sim_kv;

/* A handle that knows all nodes' addresses. */
struct sim_kv *sim_kv_create(struct sim *s);
void sim_kv_destroy(struct sim_kv *kv);

/* As client_submit. */
int sim_kv_submit(struct sim_kv *kv, const struct client_order *order);

uint32_t sim_kv_pending(const struct sim_kv *kv);

#endif
