/* A complete scan has every key that was there all the time: put strictly before it began, and never deleted
 * nor put for a time. What else it has says nothing: a key may come and go while it goes on. */
#include "base/assert.h"
#include "sim/check_history.h"

static bool is_due(const struct history *h, const struct history_scan *s, uint32_t key)
{
    bool there = false;
    for (uint32_t i = h->first[key]; i < h->first[key + 1]; i++) {
        const struct history_op *op = &h->ops[h->order[i]];
        if (op->kind == HISTORY_DEL || op->ttl_ns)
            return false;
        there |=
            op->kind == HISTORY_PUT && op->strict && op->outcome == HISTORY_OK && op->end_ns < s->start_ns;
    }
    return there;
}

uint64_t check_scanned(const struct history *h, const struct history_scan *s, uint32_t *missed)
{
    uint64_t judged = 0;
    KV_ASSERT(h->sorted);
    *missed = HISTORY_NO_NAME;
    for (uint32_t key = 0; key < h->keys.count; key++) {
        if (!bytes_starts_with(history_names_text(&h->keys, key), s->prefix) || !is_due(h, s, key))
            continue;
        judged++;
        if (!s->seen[key] && *missed == HISTORY_NO_NAME)
            *missed = key;
    }
    return judged;
}
