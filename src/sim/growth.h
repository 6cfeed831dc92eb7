/* How a cluster grows: the same nodes, the same closed-loop clients for each of them, and service times
 * (sim/service.h). Half a minute of quiet shows what the control of the cluster costs, then the clients show
 * how much it does. No faults, no repair. */
#ifndef SIM_GROWTH_H
#define SIM_GROWTH_H

#include "sim/cluster.h"

struct growth_config {
    uint64_t seed;
    uint32_t nodes; /* 1..SIM_NODES_MAX */
    enum topology topology;
    uint32_t replicas;
    uint32_t partitions;
    uint32_t clients;  /* in all; each a handle of libkv with connections of its own */
    uint32_t pipeline; /* operations of a client in flight */
    uint32_t records;  /* keys, written before; chosen uniformly */
    uint32_t value_bytes;
    uint32_t put_percent;
    uint64_t quiet_us;  /* without clients */
    uint64_t warmup_us; /* with clients, not counted */
    uint64_t load_us;
    uint64_t delay_us; /* of a message between two sockets */
    struct sim_service service;
};

struct growth_latency {
    uint64_t count, p50_us, p99_us;
};

struct growth_result {
    bool formed; /* false: no ring within two minutes, and nothing else was measured */
    uint64_t ops, failures;
    double ops_per_s;
    struct growth_latency get, put;
    double messages_per_op; /* on streams, from clients and nodes, control included */
    double rows_per_sync;
    /* The busiest node and the mean of all. Cores: of the node's own, or of the machine's that all share. */
    double core_max, core_mean;
    double disk_max, disk_mean;
    /* In quiet, sent by a node: streams and datagrams, payload of TCP and UDP. */
    double control_bytes_per_s, control_messages_per_s;
    double control_bytes_max_per_s, control_messages_max_per_s; /* … of the node that sends most */
    uint64_t trace;
};

void growth_run(const struct growth_config *config, struct growth_result *out);

#endif
