/* An intrusive binary min-heap of deadlines. Ties are broken by order of insertion, so that a run is
 * repeatable (as in libuv's timers). Nodes live in their owners; the array of pointers grows, and never
 * shrinks. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t at;    /* the key; microseconds wherever it is a time */
    uint64_t order; /* set by the heap */
    size_t index;   /* 1-based place in the array; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t cap;
    uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_deinit(struct heap *h);

/* Room for `count` nodes, so that later insertions cannot fail. */
int heap_reserve(struct heap *h, size_t count);

/* Inserts, or moves a node that is in already, to time `at`. KV_E_NO_MEMORY. */
int heap_set(struct heap *h, struct heap_node *node, uint64_t at);

/* Does nothing for a node that is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);

static inline bool heap_contains(const struct heap_node *node)
{
    return node->index != 0;
}

/* The earliest node, still in the heap; NULL when empty. */
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->count ? h->nodes[0] : NULL;
}

/* Time of the earliest node; UINT64_MAX when empty. */
static inline uint64_t heap_deadline(const struct heap *h)
{
    return h->count ? h->nodes[0]->at : UINT64_MAX;
}

#endif
