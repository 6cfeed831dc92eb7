/* The row cache, set-associative: see row_cache.h. */
#include "uv/row_cache.h"

#include <stdlib.h>
#include <string.h>

#include "kv_error.h"
#include "model/key.h"

struct row_cache_entry {
    uint64_t token;
    struct row row;
    uint32_t key_len;
    uint8_t key[];
};

int row_cache_init(struct row_cache *c)
{
    *c = (struct row_cache){.entries = calloc((size_t)ROW_CACHE_SETS * ROW_CACHE_WAYS, sizeof *c->entries)};
    return c->entries ? KV_OK : KV_E_NO_MEMORY;
}

void row_cache_deinit(struct row_cache *c)
{
    row_cache_clear(c);
    free(c->entries);
    c->entries = NULL;
}

static struct row_cache_entry **set_of(const struct row_cache *c, uint64_t token)
{
    return c->entries + token % ROW_CACHE_SETS * ROW_CACHE_WAYS;
}

static size_t entry_bytes(const struct row_cache_entry *e)
{
    return sizeof *e + e->key_len + blob_bytes(e->row.payload).len;
}

/* Empties a way and closes the gap behind it. */
static void forget(struct row_cache *c, struct row_cache_entry **set, uint32_t way)
{
    struct row_cache_entry *e = set[way];
    c->bytes -= entry_bytes(e);
    row_release(&e->row);
    free(e);
    for (; way + 1 < ROW_CACHE_WAYS; way++)
        set[way] = set[way + 1];
    set[ROW_CACHE_WAYS - 1] = NULL;
}

/* ROW_CACHE_WAYS: it is not there. */
static uint32_t way_of(struct row_cache_entry **set, uint64_t token, struct bytes key)
{
    uint32_t way = 0;
    while (way < ROW_CACHE_WAYS && set[way] &&
           (set[way]->token != token || !bytes_eq(bytes_of(set[way]->key, set[way]->key_len), key)))
        way++;
    return way < ROW_CACHE_WAYS && set[way] ? way : ROW_CACHE_WAYS;
}

static void move_to_front(struct row_cache_entry **set, uint32_t way)
{
    struct row_cache_entry *e = set[way];
    for (; way > 0; way--)
        set[way] = set[way - 1];
    set[0] = e;
}

/* The least used of each set in turn, until there is room. */
static void make_room(struct row_cache *c, size_t bytes)
{
    while (c->bytes && c->bytes + bytes > ROW_CACHE_MAX_BYTES) {
        struct row_cache_entry **set = c->entries + (size_t)c->hand * ROW_CACHE_WAYS;
        uint32_t way = ROW_CACHE_WAYS;
        while (way > 0 && !set[way - 1])
            way--;
        if (way > 0)
            forget(c, set, way - 1);
        c->hand = (c->hand + 1) % ROW_CACHE_SETS;
    }
}

bool row_cache_get(struct row_cache *c, struct bytes key, bool stamp_only, struct row *out)
{
    uint64_t token = key_token(key);
    struct row_cache_entry **set = set_of(c, token);
    uint32_t way = way_of(set, token, key);
    if (way == ROW_CACHE_WAYS)
        return false;
    move_to_front(set, way);
    *out = set[0]->row;
    out->payload = stamp_only || !out->payload ? NULL : blob_ref(out->payload);
    return true;
}

void row_cache_fill(struct row_cache *c, struct bytes key, const struct row *row)
{
    if (key.len + blob_bytes(row->payload).len > ROW_CACHE_ROW_MAX_BYTES)
        return;
    uint64_t token = key_token(key);
    struct row_cache_entry **set = set_of(c, token);
    uint32_t way = way_of(set, token, key);
    if (way < ROW_CACHE_WAYS)
        forget(c, set, way);
    struct row_cache_entry *e = malloc(sizeof *e + key.len);
    if (!e)
        return;
    *e = (struct row_cache_entry){.token = token, .row = row_ref(row), .key_len = (uint32_t)key.len};
    memcpy(e->key, key.data, key.len);
    make_room(c, entry_bytes(e));
    if (set[ROW_CACHE_WAYS - 1])
        forget(c, set, ROW_CACHE_WAYS - 1);
    c->bytes += entry_bytes(e);
    memmove(set + 1, set, (ROW_CACHE_WAYS - 1) * sizeof *set);
    set[0] = e;
}

void row_cache_written(struct row_cache *c, struct bytes key, const struct row *row)
{
    uint64_t token = key_token(key);
    struct row_cache_entry **set = set_of(c, token);
    uint32_t way = way_of(set, token, key);
    if (way == ROW_CACHE_WAYS || !row_wins(row, &set[way]->row))
        return;
    if (key.len + blob_bytes(row->payload).len > ROW_CACHE_ROW_MAX_BYTES) {
        forget(c, set, way);
        return;
    }
    struct row_cache_entry *e = set[way];
    c->bytes -= entry_bytes(e);
    row_release(&e->row);
    e->row = row_ref(row);
    c->bytes += entry_bytes(e);
}

void row_cache_drop(struct row_cache *c, struct bytes key)
{
    uint64_t token = key_token(key);
    struct row_cache_entry **set = set_of(c, token);
    uint32_t way = way_of(set, token, key);
    if (way < ROW_CACHE_WAYS)
        forget(c, set, way);
}

void row_cache_clear(struct row_cache *c)
{
    for (size_t i = 0; c->bytes && i < ROW_CACHE_SETS; i++) {
        while (c->entries[i * ROW_CACHE_WAYS])
            forget(c, c->entries + i * ROW_CACHE_WAYS, 0);
    }
}
