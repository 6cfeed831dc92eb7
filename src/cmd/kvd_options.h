/* What kvd was told: by flags, and by the file that --config names. Flags win. */
#ifndef CMD_KVD_OPTIONS_H
#define CMD_KVD_OPTIONS_H

#include "node/node.h"
#include "uv/shell.h"

struct kvd_options {
    char name[NAME_MAX_BYTES + 1];
    char cluster[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1];
    char data[4096];
    struct addr listen;
    struct node_founder founders[MEMBERS_MAX];
    uint32_t founder_count;
    struct addr join[MEMBERS_MAX];
    uint32_t join_count;
    uint64_t transfer_rate_bytes; /* 0: the default */
    uint64_t repair_round_us;     /* 0: the default; UINT64_MAX: only when asked */
    uint64_t purge_interval_us;   /* 0: the default */
    uint32_t replicas;
    enum topology topology;
    bool topology_given; /* else the store's ring says */
    char hub[NAME_MAX_BYTES + 1];
    uint32_t weight;
    enum sync_mode sync;
    uint32_t value_max_bytes;
    uint32_t block_cache_mib;
    bool batch_scheduling;
    bool trust_network;
    bool lab;
    int64_t clock_skew_ms;
    enum log_level log_level;
};

/* Parses, checks, and leaves with exit 2 and a sentence when something is wrong. */
void kvd_options_parse(int argc, char **argv, struct kvd_options *out);

#endif
