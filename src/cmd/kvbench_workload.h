/* What a bench does: YCSB's core workloads (Cooper et al. 2010) and two plain ones, as a stream of
 * operations. */
#ifndef CMD_KVBENCH_WORKLOAD_H
#define CMD_KVBENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"

enum bench_op { BENCH_READ, BENCH_UPDATE, BENCH_INSERT, BENCH_MODIFY, BENCH_OPS };

/* The JSON words of the operations. */
extern const char *const BENCH_OP_WORDS[BENCH_OPS];

enum distribution { DIST_ZIPFIAN, DIST_UNIFORM, DIST_LATEST };

/* Gray et al. 1994, as in YCSB: theta 0.99, scrambled so that hot keys are spread over the ring. */
struct zipf {
    uint64_t items;
    double zeta, eta, alpha, zeta2;
};

struct workload {
    char letter; /* a b c d f, p (put), g (get) */
    enum distribution distribution;
    bool unique;      /* puts only, each to a key of its own */
    uint64_t records; /* keys there are; grows by inserts */
    struct zipf zipf;
    struct prng prng, text;
};

/* `name`: a b c d f put get. KV_E_INVALID for another. */
int workload_init(struct workload *w, const char *name, enum distribution d, uint64_t records, bool unique,
                  uint64_t seed);

/* The next operation and the number of its key. */
enum bench_op workload_next(struct workload *w, uint64_t *key);

/* `n` bytes of text that does not compress. */
void workload_text(struct workload *w, char *out, size_t n);

#endif
