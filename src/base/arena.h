/* A bump allocator: many small pieces, freed together. arena_reset keeps the memory, so a steady state
 * allocates nothing. A limit bounds what hostile input can make it take. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *first;
    struct arena_chunk *current;
    size_t used_bytes;  /* handed out since the last reset */
    size_t limit_bytes; /* most that may be handed out between resets */
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_deinit(struct arena *a);

/* 16-byte aligned, uninitialised. NULL when the limit or memory is exhausted. */
void *arena_alloc(struct arena *a, size_t size);

/* Copies into the arena; returns {NULL, 0} for empty input or when exhausted. */
struct bytes arena_copy(struct arena *a, struct bytes bytes);

/* A NUL-terminated formatted string; "" when exhausted. */
const char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Everything handed out becomes invalid; chunks are kept for reuse (all but those above 1 MiB together). */
void arena_reset(struct arena *a);

#endif
