/* A chain of chunks, each twice the size of the one before it up to a maximum; `current` is where the next
 * piece comes from, and every chunk after it is empty.
 *
 * Invariants: all pieces start at a multiple of ALIGN; used_bytes counts them rounded up, so it never
 * understates what was taken; used_bytes <= limit_bytes. */
#include "base/arena.h"

#include "base/assert.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ALIGN = 16,
    CHUNK_MIN_BYTES = 4096,
    CHUNK_MAX_BYTES = 256 * 1024,
    KEEP_BYTES = 1024 * 1024, /* what a reset keeps */
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap;
    size_t used;
    alignas(ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes};
}

static void chunks_free(struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void arena_deinit(struct arena *a)
{
    chunks_free(a->first);
    *a = (struct arena){.limit_bytes = a->limit_bytes};
}

/* The first chunk from `current` on with room for `size`. Chunks passed over stay unused until the next
 * reset: an arena trades that room for never looking back. */
static struct arena_chunk *chunk_with_room(struct arena *a, size_t size)
{
    struct arena_chunk *last = a->current;
    for (struct arena_chunk *c = last; c; last = c, c = c->next)
        if (c->cap - c->used >= size)
            return c;

    size_t cap = last ? last->cap * 2 : CHUNK_MIN_BYTES;
    if (cap > CHUNK_MAX_BYTES)
        cap = CHUNK_MAX_BYTES;
    if (cap < size)
        cap = size;
    struct arena_chunk *c = malloc(sizeof *c + cap);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){.cap = cap};
    if (last)
        last->next = c;
    else
        a->first = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size == 0)
        size = 1; /* two pieces never share an address */
    if (size > a->limit_bytes)
        return NULL;
    size_t rounded = (size + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
    if (rounded < size || rounded > a->limit_bytes - a->used_bytes)
        return NULL;

    struct arena_chunk *c = chunk_with_room(a, rounded);
    if (!c)
        return NULL;
    void *piece = c->data + c->used;
    c->used += rounded;
    a->used_bytes += rounded;
    a->current = c;
    KV_ASSERT(a->used_bytes <= a->limit_bytes);
    return piece;
}

struct bytes arena_copy(struct arena *a, struct bytes bytes)
{
    void *copy = bytes.len ? arena_alloc(a, bytes.len) : NULL;
    if (!copy)
        return (struct bytes){NULL, 0};
    memcpy(copy, bytes.data, bytes.len);
    return bytes_of(copy, bytes.len);
}

const char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return "";
    char *text = arena_alloc(a, (size_t)len + 1);
    if (!text)
        return "";
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

void arena_reset(struct arena *a)
{
    size_t kept = 0;
    struct arena_chunk **link = &a->first;
    while (*link && kept + (*link)->cap <= KEEP_BYTES) {
        kept += (*link)->cap;
        (*link)->used = 0;
        link = &(*link)->next;
    }
    chunks_free(*link);
    *link = NULL;
    a->current = a->first;
    a->used_bytes = 0;
}
