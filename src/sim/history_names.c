/* A hash table that only grows, with linear probing. Invariant: at least half of the slots are empty, so that
 * every search ends. */
#include "sim/history_names.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "kv_error.h"

enum { NAMES_MIN = 64 };

void history_names_deinit(struct history_names *n)
{
    buf_deinit(&n->text);
    free(n->ends);
    free(n->slots);
    *n = (struct history_names){0};
}

struct bytes history_names_text(const struct history_names *n, uint32_t number)
{
    KV_ASSERT(number < n->count);
    uint64_t begin = number ? n->ends[number - 1] : 0;
    return bytes_of(n->text.data + begin, (size_t)(n->ends[number] - begin));
}

/* The slot that holds the text, or the empty one where it belongs. */
static size_t slot_of(const struct history_names *n, struct bytes text)
{
    size_t at = (size_t)hash64(text) & (n->slot_count - 1);
    while (n->slots[at] && !bytes_eq(history_names_text(n, n->slots[at] - 1), text))
        at = (at + 1) & (n->slot_count - 1);
    return at;
}

static int grow(struct history_names *n)
{
    size_t cap = n->cap ? 2 * n->cap : NAMES_MIN;
    uint64_t *ends = realloc(n->ends, cap * sizeof *ends);
    if (!ends)
        return KV_E_NO_MEMORY;
    n->ends = ends;
    uint32_t *slots = calloc(2 * cap, sizeof *slots);
    if (!slots)
        return KV_E_NO_MEMORY;
    free(n->slots);
    n->slots = slots;
    n->slot_count = 2 * cap;
    n->cap = cap;
    for (uint32_t i = 0; i < n->count; i++)
        n->slots[slot_of(n, history_names_text(n, i))] = i + 1;
    return KV_OK;
}

int history_names_add(struct history_names *n, struct bytes text, uint32_t *out)
{
    int rc = n->count == n->cap ? grow(n) : KV_OK;
    if (rc != KV_OK)
        return rc;
    size_t at = slot_of(n, text);
    if (!n->slots[at]) {
        KV_ASSERT(n->count < HISTORY_NO_NAME - 1);
        rc = buf_append(&n->text, text);
        if (rc != KV_OK)
            return rc;
        n->ends[n->count++] = n->text.len;
        n->slots[at] = (uint32_t)n->count;
    }
    *out = n->slots[at] - 1;
    return KV_OK;
}

uint32_t history_names_find(const struct history_names *n, struct bytes text)
{
    if (n->count == 0)
        return HISTORY_NO_NAME;
    uint32_t held = n->slots[slot_of(n, text)];
    return held ? held - 1 : HISTORY_NO_NAME;
}
