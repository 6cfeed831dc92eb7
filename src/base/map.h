/* A table from uint64 to pointers that the caller owns (uthash underneath, out-of-memory reported instead of
 * exiting). Iteration is in order of insertion, so it is repeatable. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry;

struct map {
    struct map_entry *entries; /* uthash head */
};

/* {0} is an empty map too. */
void map_init(struct map *m);
void map_deinit(struct map *m); /* frees the table, not the values */

void *map_get(const struct map *m, uint64_t key);      /* NULL: absent */
int map_set(struct map *m, uint64_t key, void *value); /* replaces; value must not be NULL; KV_E_NO_MEMORY */
void *map_remove(struct map *m, uint64_t key);         /* the value removed, or NULL */
size_t map_count(const struct map *m);

/* Calls `visit` for every entry, in order of insertion; the visited entry may be removed by the visitor. */
void map_each(struct map *m, void (*visit)(uint64_t key, void *value, void *arg), void *arg);

#endif
