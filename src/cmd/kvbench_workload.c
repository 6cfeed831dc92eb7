/* Choosing operations and keys. */
#include "cmd/kvbench_workload.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "kv_error.h"

#define ZIPF_THETA 0.99

const char *const BENCH_OP_WORDS[BENCH_OPS] = {"read", "update", "insert", "read_modify_write"};

static double zeta(uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 1; i <= n; i++)
        sum += 1 / pow((double)i, ZIPF_THETA);
    return sum;
}

static void zipf_init(struct zipf *z, uint64_t items)
{
    z->items = items;
    z->zeta = zeta(items);
    z->zeta2 = zeta(items < 2 ? items : 2);
    z->alpha = 1 / (1 - ZIPF_THETA);
    z->eta = (1 - pow(2.0 / (double)items, 1 - ZIPF_THETA)) / (1 - z->zeta2 / z->zeta);
}

/* Rank 0 is the hottest. */
static uint64_t zipf_rank(const struct zipf *z, struct prng *prng)
{
    double u = prng_unit(prng), uz = u * z->zeta;
    if (uz < 1 || z->items == 1)
        return 0;
    if (uz < 1 + pow(0.5, ZIPF_THETA))
        return 1;
    uint64_t rank = (uint64_t)((double)z->items * pow(z->eta * u - z->eta + 1, z->alpha));
    return rank < z->items ? rank : z->items - 1;
}

int workload_init(struct workload *w, const char *name, enum distribution d, uint64_t records, bool unique,
                  uint64_t seed)
{
    static const char *const NAMES[] = {"a", "b", "c", "d", "f", "put", "get"};
    *w = (struct workload){.distribution = d, .records = records, .unique = unique};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(name, NAMES[i]) == 0)
            w->letter = NAMES[i][0];
    if (!w->letter || records == 0)
        return KV_E_INVALID;
    if (w->letter == 'd')
        w->distribution = DIST_LATEST;
    prng_init(&w->prng, seed);
    prng_init(&w->text, seed ^ UINT64_C(0x76616c7565));
    if (w->distribution != DIST_UNIFORM && !unique)
        zipf_init(&w->zipf, records);
    return KV_OK;
}

static uint64_t choose_key(struct workload *w)
{
    uint64_t rank;
    switch (w->distribution) {
    case DIST_UNIFORM: return prng_below(&w->prng, w->records);
    case DIST_LATEST: rank = zipf_rank(&w->zipf, &w->prng); return w->records - 1 - rank;
    default: return hash64_mix(zipf_rank(&w->zipf, &w->prng) + 1) % w->zipf.items;
    }
}

enum bench_op workload_next(struct workload *w, uint64_t *key)
{
    if (w->unique) {
        *key = w->records++;
        return BENCH_INSERT;
    }
    uint64_t percent = prng_below(&w->prng, 100);
    switch (w->letter) {
    case 'p': *key = choose_key(w); return BENCH_UPDATE;
    case 'a': *key = choose_key(w); return percent < 50 ? BENCH_READ : BENCH_UPDATE;
    case 'b': *key = choose_key(w); return percent < 95 ? BENCH_READ : BENCH_UPDATE;
    case 'f': *key = choose_key(w); return percent < 50 ? BENCH_READ : BENCH_MODIFY;
    case 'd':
        if (percent >= 95) {
            *key = w->records++;
            return BENCH_INSERT;
        }
        *key = choose_key(w);
        return BENCH_READ;
    default: *key = choose_key(w); return BENCH_READ; /* c, get */
    }
}

void workload_text(struct workload *w, char *out, size_t n)
{
    static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++, bits >>= 6) {
        if (i % 10 == 0) /* of 6 bits */
            bits = prng_u64(&w->text);
        out[i] = DIGITS[bits & 63];
    }
}
