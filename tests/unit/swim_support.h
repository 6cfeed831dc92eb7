/* A little network for the tests of swim/: nodes on a virtual clock, datagrams that are lost and late,
 * partitions, kills and pauses. Everything is drawn from one seed. Node i (from 1) has member id i. */
#ifndef TESTS_UNIT_SWIM_SUPPORT_H
#define TESTS_UNIT_SWIM_SUPPORT_H

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "swim/swim.h"

#define NET_NODES_MAX 2000u
#define SECOND_US     UINT64_C(1000000)

struct net_node {
    struct swim *swim; /* NULL: not running */
    uint64_t generation;
    bool paused;
    uint32_t group; /* only nodes of one group reach each other */
    struct heap_node timer;
    struct list inbox; /* what came while it was paused */
};

struct net {
    uint32_t count;
    struct swim_config config;
    struct prng prng;
    uint64_t now_us;
    uint32_t loss_percent;
    uint64_t delay_min_us, delay_max_us;
    struct net_node nodes[NET_NODES_MAX + 1];
    struct heap events;
    struct outbox out;
    uint64_t datagrams;
    uint64_t calls;
    uint64_t changes;
    uint64_t trace; /* hash of all that was sent and all that changed */
    /* Changes told by any node, by the member they are about. */
    uint32_t died[NET_NODES_MAX + 1];
    uint32_t suspected[NET_NODES_MAX + 1];
    uint32_t false_deaths; /* of running, not paused members that the teller could reach */
};

/* `config`: NULL for the defaults. No node runs yet. */
struct net *net_create(uint32_t count, const struct swim_config *config, uint64_t seed);
void net_destroy(struct net *net);

/* A new life of node i: next generation; knows of all others, as founders do. */
void net_start(struct net *net, uint32_t i);
void net_start_all(struct net *net);
void net_kill(struct net *net, uint32_t i);

/* The first `connected` of the others see their connections to it break. */
void net_kill_connected(struct net *net, uint32_t i, uint32_t connected);
void net_pause(struct net *net, uint32_t i);
void net_resume(struct net *net, uint32_t i);
void net_leave(struct net *net, uint32_t i); /* and stop */

void net_run(struct net *net, uint64_t us);

/* Whether all running nodes see member i in this state; every running node sees every
 * other one alive. */
bool net_all_see(const struct net *net, uint32_t i, enum member_state state);
bool net_converged(const struct net *net);

/* Runs until then; how long it took, or UINT64_MAX after `limit_us`. */
uint64_t net_until_seen(struct net *net, uint32_t i, enum member_state state, uint64_t limit_us);
uint64_t net_until_converged(struct net *net, uint64_t limit_us);

enum member_state net_view(const struct net *net, uint32_t observer, uint32_t member);
struct now net_now(const struct net *net);
struct addr net_addr(uint32_t i);

/* Hands a message straight to a node, as if it came from that address. */
void net_inject(struct net *net, uint32_t to, const struct addr *from, const struct message *m);

#endif
