/* Pages of rows in token order. A page is bounded by what was looked at, not by what was found: a scan for a
 * rare prefix, or over many tombstones, answers in time and says how far it got. */
#include "store/engine.h"

/* Headers are wanted, but the engine reads whole rows: bounds the disk's work for a page of large values. */
#define PAGE_READ_MAX_BYTES (8u << 20)

struct page {
    struct store_run run;
    struct bytes prefix;
    struct arena *arena;
    struct engine_key last; /* looked at; a copy, because the walk moves on */
    struct page_entry *entries;
    uint32_t count;
    uint32_t looked_at;
    uint64_t key_bytes;
    uint64_t read_bytes;
};

static bool page_full(const struct page *p)
{
    return p->looked_at >= p->run.limit || p->key_bytes >= SCAN_PAGE_MAX_BYTES ||
           p->read_bytes >= PAGE_READ_MAX_BYTES ||
           (!p->run.headers && p->key_bytes + p->read_bytes >= p->run.limit_bytes);
}

/* Looks at the row the walk stands on. */
static int page_take(struct page *p, const struct walk *w)
{
    struct bytes value = walk_value(w);
    struct cursor at;
    if (!engine_key_split(walk_key(w), 0, &at))
        return KV_E_CORRUPT;
    data_key(&p->last, at.token, at.key);
    p->looked_at++;
    p->key_bytes += at.key.len;
    p->read_bytes += value.len;
    if (!bytes_starts_with(at.key, p->prefix))
        return KV_OK;

    struct page_entry *entry = &p->entries[p->count];
    *entry = (struct page_entry){.key = arena_copy(p->arena, at.key)};
    if (!entry->key.data)
        return KV_E_NO_MEMORY;
    int status = p->run.headers ? row_decode_header(value, &entry->row) : row_decode(value, &entry->row);
    if (status == KV_OK)
        p->count++;
    return status;
}

/* The last key looked at, or where the page began when there was none. */
static int page_end(const struct page *p, struct cursor *next)
{
    struct cursor at = p->run.after;
    if (p->looked_at) {
        bool ours = engine_key_split(engine_key_bytes(&p->last), 0, &at);
        KV_ASSERT(ours);
    }
    struct bytes kept = arena_copy(p->arena, at.key);
    if (at.key.len && !kept.data)
        return KV_E_NO_MEMORY;
    *next = (struct cursor){at.token, kept};
    return KV_OK;
}

static int page_fill(struct page *p, struct store *s, struct cursor *next, bool *done)
{
    struct engine_key from, to = {.len = 0};
    data_key(&from, p->run.after.token, p->run.after.key);
    engine_key_successor(&from);
    if (p->run.until_token)
        engine_key_append_token(&to, p->run.until_token);
    struct walk w;
    int status = KV_OK;
    walk_begin(&w, s, FAMILY_DATA, engine_key_bytes(&from), engine_key_bytes(&to));
    for (; walk_valid(&w) && status == KV_OK && !page_full(p); walk_next(&w))
        status = page_take(p, &w);
    *done = !walk_valid(&w);
    int walked = walk_end(&w);
    if (status == KV_OK)
        status = walked;
    return status == KV_OK ? page_end(p, next) : status;
}

static int read_page(struct page *p, struct store *s, struct page_entry **entries, uint32_t *count,
                     struct cursor *next, bool *done)
{
    *entries = NULL;
    *count = 0;
    *next = p->run.after;
    *done = false;
    if (p->run.after.key.len > KEY_MAX_BYTES)
        return KV_E_INVALID;
    if (p->run.limit == 0 || p->run.limit > SCAN_PAGE_MAX)
        p->run.limit = SCAN_PAGE_MAX;
    if (p->run.limit_bytes == 0 || p->run.limit_bytes > ROWS_PAGE_MAX_BYTES)
        p->run.limit_bytes = ROWS_PAGE_MAX_BYTES;
    p->entries = arena_alloc(p->arena, p->run.limit * sizeof *p->entries);
    if (!p->entries)
        return KV_E_NO_MEMORY;
    bool at_end = false;
    int status = page_fill(p, s, next, &at_end);
    if (status != KV_OK) {
        *next = p->run.after;
        for (uint32_t i = 0; i < p->count; i++)
            row_release(&p->entries[i].row);
        return status;
    }
    *entries = p->entries;
    *count = p->count;
    *done = at_end;
    return KV_OK;
}

int store_range(struct store *s, struct cursor after, struct bytes prefix, uint32_t limit,
                struct arena *arena, struct page_entry **entries, uint32_t *count, struct cursor *next,
                bool *done)
{
    struct page page = {
        .run = {.after = after, .limit = limit, .headers = true}, .prefix = prefix, .arena = arena};
    return read_page(&page, s, entries, count, next, done);
}

int store_rows(struct store *s, const struct store_run *run, struct arena *arena, struct page_entry **entries,
               uint32_t *count, struct cursor *next, bool *done)
{
    struct page page = {.run = *run, .arena = arena};
    return read_page(&page, s, entries, count, next, done);
}
