/* A stretch of rows in token order over some leaves of some partitions, and how far it has been read from the
 * store, page by page: what two homes compare. */
#ifndef REPAIR_SPAN_H
#define REPAIR_SPAN_H

#include "base/buf.h"
#include "model/key.h"
#include "model/outbox.h"

/* A cursor that is owned. */
struct place {
    uint64_t token;
    struct buf key;
};

static inline struct cursor place_at(const struct place *p)
{
    return (struct cursor){.token = p->token, .key = buf_bytes(&p->key)};
}

int place_set(struct place *p, struct cursor at); /* KV_E_NO_MEMORY */

/* {0, no key}: the beginning, or as an end: none. */
static inline bool cursor_is_zero(const struct cursor *c)
{
    return c->token == 0 && c->key.len == 0;
}

/* Token order; no key is before every key of that token. */
int cursor_cmp(const struct cursor *a, const struct cursor *b);

struct span {
    uint32_t partitions; /* Q */
    uint32_t count;
    struct partition_leaf_set sets[COMPARE_PARTITIONS_MAX]; /* in order of partition */
    struct place after;
    struct place upto;    /* the last row that belongs to it; {0, no key}: no end but that of the leaves */
    uint64_t asked_until; /* of the page that was asked for */
    bool over;
};

/* `sets` in order of partition, each once, at most COMPARE_PARTITIONS_MAX: span_sets_ok. KV_E_NO_MEMORY. */
int span_set(struct span *s, uint32_t partitions, const struct partition_leaf_set *sets, uint32_t count,
             struct cursor after, struct cursor upto);
void span_deinit(struct span *s);

bool span_sets_ok(uint32_t partitions, const struct partition_leaf_set *sets, uint32_t count);

/* Whether the token lies in one of the leaves. */
bool span_has(const struct span *s, uint64_t token);
bool span_touches(const struct span *s, uint32_t partition);

/* Asks the store for the next page. False, and `over` from then on: nothing is left. */
bool span_ask(struct span *s, uint64_t op, uint32_t limit_bytes, bool headers, struct outbox *out);

/* How many entries of the page that was asked for belong to the span, from the first on. */
uint32_t span_count(const struct span *s, const struct event *page);

/* Goes on behind the page, or behind one of its entries. KV_E_NO_MEMORY. */
int span_next(struct span *s, const struct event *page);
int span_behind(struct span *s, struct bytes key);

#endif
