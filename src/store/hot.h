/* Keys that are written often. A write is a merge operand that reads nothing (DESIGN section 8), but a get
 * has to fold all operands of its key that lie in memory: 88 us at 1,000 of them. So now and then a write of
 * such a key looks what is there and replaces it all.
 *
 * The engine has an option for that (max_successive_merges), which counts the operands by searching its
 * memtable on every write: half of what a write costs. Here a small table of counters finds the few keys that
 * matter. A key that shares its place with a busier one, or with equally busy ones, is still found, only less
 * often: a stranger takes a place over one time in HOT_YIELD. */
#ifndef STORE_HOT_H
#define STORE_HOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"

#define HOT_PLACES 4096u /* a key with a smaller share of the writes has few operands in any memtable */
#define HOT_EVERY  8u    /* writes of a key between two folds: 3 us a get */
#define HOT_YIELD  4u

struct hot {
    struct prng prng;
    struct hot_place {
        uint32_t tag; /* upper half of the key's token */
        uint32_t writes;
    } places[HOT_PLACES];
};

static inline void hot_init(struct hot *h)
{
    *h = (struct hot){0};
    prng_init(&h->prng, HOT_PLACES);
}

/* Counts a write; whether it should fold what is there. */
static inline bool hot_written(struct hot *h, uint64_t token)
{
    struct hot_place *place = &h->places[token % HOT_PLACES];
    uint32_t tag = (uint32_t)(token >> 32);
    if (place->tag != tag) {
        if (place->writes && prng_u64(&h->prng) % HOT_YIELD != 0)
            return false;
        *place = (struct hot_place){.tag = tag};
    }
    place->writes++;
    return place->writes % HOT_EVERY == 0;
}

/* The key has been deleted, and with it all operands. */
static inline void hot_deleted(struct hot *h, uint64_t token)
{
    struct hot_place *place = &h->places[token % HOT_PLACES];
    if (place->tag == (uint32_t)(token >> 32))
        place->writes = 0;
}

#endif
