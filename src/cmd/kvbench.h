/* kvbench: what its files share. */
#ifndef CMD_KVBENCH_H
#define CMD_KVBENCH_H

#include <stdio.h>
#include <uv.h>

#include "cmd/common_histogram.h"
#include "cmd/kvbench_tally.h"
#include "cmd/kvbench_workload.h"
#include "kv.h"

struct bench_options {
    const char *nodes;
    const char *via;
    const char *workload;
    const char *key_prefix;
    const char *history;
    const char *final;
    const char *redis; /* addresses; NULL: Gureum is measured */
    uint64_t records, ops, seed;
    const char *events; /* timeline: when each phase began */
    const char *side;   /* the nodes that can be reached while the network is cut */
    uint32_t value_size, clients, pipeline, timeout_ms, skew_ms, bucket_ms;
    double duration_s, rate;
    uint8_t r, w;
    enum distribution distribution;
    bool strict, load, json, unique, quiet, no_final, redis_batch, phases, any_node;
    int file_count; /* check, timeline: HISTORY... */
    char *files[64];
};

/* What a run measured. */
struct bench_result {
    struct bench_tally tally;
    double seconds;
    double cpu_s; /* of the load generator itself */
    struct histogram latency[BENCH_OPS];
};

/* Runs `phase` ("load" writes every record once; "run" is the workload). 0 or an exit status after a message.
 */
int bench_run(const struct bench_options *o, bool load_phase, struct bench_result *out);

/* The same against Redis (kvbench_redis.c). */
int bench_redis(const struct bench_options *o, bool load_phase, struct bench_result *out);

void bench_report(const struct bench_options *o, const char *phase, const struct bench_result *r);

/* Says so when nothing succeeded, and gives the exit status (bench_tally_verdict). */
int bench_verdict(const char *phase, const struct bench_tally *t);

/* kvbench check: 0 nothing found, 1 violations, 2 usage, 7 no node. */
int bench_check(const struct bench_options *o);

/* kvbench timeline: 0, 2 a file that is none. */
int bench_timeline(const struct bench_options *o);

/* kvbench names: how soon every node answers with a name's new value. 0, 2 usage, bench_verdict's. */
int bench_names(const struct bench_options *o);

#endif
