/* Invariants: nodes[i]->index == i + 1 for every i < count; a parent is never later than its children, where
 * "later" compares (at, order), so no two nodes are equal and the order of a run does not depend on the
 * shape. */
#include "base/heap.h"

#include "base/assert.h"
#include "kv_error.h"

#include <stdlib.h>

enum { HEAP_MIN_NODES = 16 };

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

/* Does not touch the nodes: their owners may be gone already. */
void heap_deinit(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){0};
}

int heap_reserve(struct heap *h, size_t count)
{
    if (count <= h->cap)
        return KV_OK;
    if (count > SIZE_MAX / sizeof(struct heap_node *))
        return KV_E_NO_MEMORY;
    struct heap_node **nodes = realloc(h->nodes, count * sizeof(struct heap_node *));
    if (!nodes)
        return KV_E_NO_MEMORY;
    h->nodes = nodes;
    h->cap = count;
    return KV_OK;
}

static bool earlier(const struct heap_node *a, const struct heap_node *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void place(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->index = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!earlier(node, h->nodes[parent]))
            break;
        place(h, i, h->nodes[parent]);
        i = parent;
    }
    place(h, i, node);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && earlier(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!earlier(h->nodes[child], node))
            break;
        place(h, i, h->nodes[child]);
        i = child;
    }
    place(h, i, node);
}

/* Puts `node` where it belongs, starting from the hole at `i`. */
static void settle(struct heap *h, size_t i, struct heap_node *node)
{
    if (i > 0 && earlier(node, h->nodes[(i - 1) / 2]))
        sift_up(h, i, node);
    else
        sift_down(h, i, node);
}

int heap_set(struct heap *h, struct heap_node *node, uint64_t at)
{
    size_t hole;
    if (heap_contains(node)) {
        hole = node->index - 1;
        KV_ASSERT(hole < h->count && h->nodes[hole] == node);
    } else {
        if (h->count == h->cap) {
            int rc = heap_reserve(h, h->cap ? h->cap * 2 : HEAP_MIN_NODES);
            if (rc)
                return rc;
        }
        hole = h->count++;
    }
    node->at = at;
    node->order = h->next_order++;
    settle(h, hole, node);
    return KV_OK;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (!heap_contains(node))
        return;
    size_t hole = node->index - 1;
    KV_ASSERT(hole < h->count && h->nodes[hole] == node);
    node->index = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last != node)
        settle(h, hole, last);
}
