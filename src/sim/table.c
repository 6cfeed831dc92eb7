/* See table.h. */
#include "sim/table.h"

#include <stdlib.h>

#include "base/assert.h"
#include "model/key.h"

static int place_cmp(const struct place *a, const struct place *b)
{
    if (a->member != b->member)
        return a->member < b->member ? -1 : 1;
    if (a->token != b->token)
        return a->token < b->token ? -1 : 1;
    return bytes_cmp(a->key, b->key);
}

size_t table_lower_bound(const struct table *t, const struct place *at)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (place_cmp(&t->records[mid].at, at) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct place place_of(uint32_t member, struct bytes key)
{
    return (struct place){.member = member, .token = key_token(key), .key = key};
}

struct record *table_find(const struct table *t, uint32_t member, struct bytes key)
{
    struct place at = place_of(member, key);
    size_t i = table_lower_bound(t, &at);
    return i < t->count && place_cmp(&t->records[i].at, &at) == 0 ? &t->records[i] : NULL;
}

struct record *table_find_or_add(struct table *t, uint32_t member, struct bytes key)
{
    struct record *r = table_find(t, member, key);
    if (r)
        return r;
    KV_ASSERT(key.len);
    if (t->count == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->records = realloc(t->records, t->cap * sizeof *t->records);
    }
    KV_ASSERT(t->records);
    struct place at = place_of(member, key);
    size_t i = table_lower_bound(t, &at);
    memmove(&t->records[i + 1], &t->records[i], (t->count - i) * sizeof *t->records);
    t->count++;
    uint8_t *held = malloc(key.len);
    KV_ASSERT(held);
    memcpy(held, key.data, key.len);
    at.key = bytes_of(held, key.len);
    t->records[i] = (struct record){.at = at, .held = held};
    return &t->records[i];
}

void table_drop(struct table *t, struct record *r)
{
    row_release(&r->row);
    free(r->held);
    size_t i = (size_t)(r - t->records);
    memmove(r, r + 1, (t->count - i - 1) * sizeof *r);
    t->count--;
}

void table_deinit(struct table *t)
{
    while (t->count)
        table_drop(t, &t->records[t->count - 1]);
    free(t->records);
}

size_t table_behind(const struct table *t, uint32_t member, const struct cursor *after)
{
    struct place at = {.member = member, .token = after->token, .key = after->key};
    size_t i = table_lower_bound(t, &at);
    return i < t->count && after->key.len && place_cmp(&t->records[i].at, &at) == 0 ? i + 1 : i;
}
