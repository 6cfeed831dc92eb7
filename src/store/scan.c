/* Pages of rows in token order. A page is bounded by what was looked at, not by what was found: a scan for a
 * rare prefix, or over many tombstones, answers in time and says how far it got. */
#include "store/engine.h"

/* Headers are wanted, but the engine reads whole rows: bounds the disk's work for a page of large values. */
#define PAGE_READ_MAX_BYTES (8u << 20)

struct page {
    struct engine_key last; /* looked at; a copy, because the walk moves on */
    struct page_entry *entries;
    uint32_t count;
    uint32_t looked_at;
    uint64_t key_bytes;
    uint64_t read_bytes;
};

static bool page_full(const struct page *p, uint32_t limit)
{
    return p->looked_at >= limit || p->key_bytes >= SCAN_PAGE_MAX_BYTES ||
           p->read_bytes >= PAGE_READ_MAX_BYTES;
}

/* Looks at the row the walk stands on. */
static int page_take(struct page *p, const struct walk *w, struct bytes prefix, struct arena *arena)
{
    struct bytes value = walk_value(w);
    struct cursor at;
    if (!engine_key_split(walk_key(w), 0, &at))
        return KV_E_CORRUPT;
    data_key(&p->last, at.token, at.key);
    p->looked_at++;
    p->key_bytes += at.key.len;
    p->read_bytes += value.len;
    if (!bytes_starts_with(at.key, prefix))
        return KV_OK;

    struct page_entry *entry = &p->entries[p->count];
    *entry = (struct page_entry){.key = arena_copy(arena, at.key)};
    if (!entry->key.data)
        return KV_E_NO_MEMORY;
    int status = row_decode_header(value, &entry->row);
    if (status == KV_OK)
        p->count++;
    return status;
}

/* The last key looked at, or where the page began when there was none. */
static int page_end(const struct page *p, struct cursor after, struct arena *arena, struct cursor *next)
{
    struct cursor at = after;
    if (p->looked_at) {
        bool ours = engine_key_split(engine_key_bytes(&p->last), 0, &at);
        KV_ASSERT(ours);
    }
    struct bytes kept = arena_copy(arena, at.key);
    if (at.key.len && !kept.data)
        return KV_E_NO_MEMORY;
    *next = (struct cursor){at.token, kept};
    return KV_OK;
}

int store_range(struct store *s, struct cursor after, struct bytes prefix, uint32_t limit,
                struct arena *arena, struct page_entry **entries, uint32_t *count, struct cursor *next,
                bool *done)
{
    *entries = NULL;
    *count = 0;
    *next = after;
    *done = false;
    if (after.key.len > KEY_MAX_BYTES)
        return KV_E_INVALID;
    if (limit == 0 || limit > SCAN_PAGE_MAX)
        limit = SCAN_PAGE_MAX;
    struct page page = {.entries = arena_alloc(arena, limit * sizeof(struct page_entry))};
    if (!page.entries)
        return KV_E_NO_MEMORY;

    struct engine_key from;
    data_key(&from, after.token, after.key);
    engine_key_successor(&from);
    struct walk w;
    int status = KV_OK;
    walk_begin(&w, s, FAMILY_DATA, engine_key_bytes(&from), (struct bytes){NULL, 0});
    for (; walk_valid(&w) && status == KV_OK && !page_full(&page, limit); walk_next(&w))
        status = page_take(&page, &w, prefix, arena);
    bool at_end = !walk_valid(&w);
    int walked = walk_end(&w);
    if (status == KV_OK)
        status = walked;
    if (status == KV_OK)
        status = page_end(&page, after, arena, next);
    if (status != KV_OK)
        return status;
    *entries = page.entries;
    *count = page.count;
    *done = at_end;
    return KV_OK;
}
