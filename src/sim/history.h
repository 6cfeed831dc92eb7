/* What clients did and what they were told: the only evidence the checkers take (check_history.h). Recorded
 * by the simulator's workload and by `kvbench --history`.
 *
 * Values should be distinct: then a get says which put it saw. A value that was put twice on one key is no
 * evidence, and the checkers leave it alone.
 *
 *     history_init -> history_key, history_value, history_append … -> history_sort -> checkers */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>

#include "base/buf.h"
#include "sim/history_names.h"

/* The value of an operation that has none: a delete, a get that found nothing, a get that failed. */
#define HISTORY_ABSENT HISTORY_NO_NAME

#define HISTORY_TIME_MAX_NS (UINT64_MAX / 4)

/* A client's number. Histories of several files are kept apart by the bits above. */
#define HISTORY_CLIENT_BITS 20
#define HISTORY_NOBODY      UINT32_MAX /* the client of a final get */

enum history_kind { HISTORY_GET, HISTORY_PUT, HISTORY_DEL };

enum history_outcome {
    HISTORY_OK,      /* a get that found nothing too */
    HISTORY_UNKNOWN, /* a write that may have been applied, or may still be; a get that failed, however */
    HISTORY_REFUSED, /* a write of which it was said that it surely did nothing */
};

struct history_op {
    uint64_t start_ns, end_ns; /* on one clock for the whole history; start <= end <= HISTORY_TIME_MAX_NS */
    uint64_t ttl_ns;           /* put: it expires this long after it was made; 0: never */
    uint32_t key;              /* history_key */
    uint32_t value;            /* history_value, or HISTORY_ABSENT */
    uint32_t client;           /* its own puts that do not overlap are in this order, whatever the clocks */
    uint8_t kind;              /* enum history_kind */
    uint8_t outcome;           /* enum history_outcome */
    bool strict;               /* strict, with majorities: what the register's promise is about */
    bool final;                /* get: of the settled store, after all else: what the key holds in the end */
};

struct history {
    struct history_op *ops; /* in order of appending */
    size_t count, cap;
    size_t limit; /* most operations there may be */
    struct history_names keys, values;
    /* Of history_sort: the operations of key k are order[first[k]] .. order[first[k + 1] - 1], by start. */
    bool sorted;
    uint32_t *order, *first;
};

/* `limit` bounds the memory: about 80 bytes an operation, and the texts. Less than 2^31. */
void history_init(struct history *h, size_t limit);
void history_deinit(struct history *h);

/* Numbers for a key's or a value's bytes. KV_E_NO_MEMORY. */
int history_key(struct history *h, struct bytes text, uint32_t *out);
int history_value(struct history *h, struct bytes text, uint32_t *out);

/* KV_E_OVERLOADED: at the limit; KV_E_INVALID: times or numbers that make no sense; KV_E_NO_MEMORY. */
int history_append(struct history *h, const struct history_op *op);

/* Before checking, and again after more was appended. KV_E_NO_MEMORY. */
int history_sort(struct history *h);

/* One operation as a line for people, without the key: "client 3  put c3-12 ok, 1000 to 2500 ns". */
int history_text(const struct history *h, uint32_t op, struct buf *out);

#endif
