/* uthash keeps its elements in a list in order of insertion beside the buckets; replacing a value keeps its
 * place. */
#include "base/map.h"

#include "base/assert.h"
#include "base/hash.h"
#include "kv_error.h"

#include <stdlib.h>

/* A failed allocation leaves the table as it was and the element outside, with hh.tbl == NULL. */
#define HASH_NONFATAL_OOM                    1
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = key_hash(keyptr))

static inline unsigned key_hash(const void *keyptr)
{
    uint64_t key;
    memcpy(&key, keyptr, sizeof key);
    return (unsigned)hash64_mix(key);
}

#include <uthash.h>

struct map_entry {
    uint64_t key;
    void *value;
    UT_hash_handle hh;
};

void map_init(struct map *m)
{
    m->entries = NULL;
}

void map_deinit(struct map *m)
{
    struct map_entry *entry = m->entries;
    HASH_CLEAR(hh, m->entries); /* the buckets; the list of entries is still whole */
    while (entry) {
        struct map_entry *next = entry->hh.next;
        free(entry);
        entry = next;
    }
}

static struct map_entry *find(const struct map *m, uint64_t key)
{
    struct map_entry *entry;
    HASH_FIND(hh, m->entries, &key, sizeof key, entry);
    return entry;
}

void *map_get(const struct map *m, uint64_t key)
{
    struct map_entry *entry = find(m, key);
    return entry ? entry->value : NULL;
}

int map_set(struct map *m, uint64_t key, void *value)
{
    KV_ASSERT(value != NULL);
    struct map_entry *entry = find(m, key);
    if (entry) {
        entry->value = value;
        return KV_OK;
    }
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return KV_E_NO_MEMORY;
    entry->key = key;
    entry->value = value;
    HASH_ADD(hh, m->entries, key, sizeof entry->key, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return KV_E_NO_MEMORY;
    }
    return KV_OK;
}

void *map_remove(struct map *m, uint64_t key)
{
    struct map_entry *entry = find(m, key);
    if (!entry)
        return NULL;
    void *value = entry->value;
    HASH_DEL(m->entries, entry);
    free(entry);
    return value;
}

size_t map_count(const struct map *m)
{
    return HASH_COUNT(m->entries);
}

void map_each(struct map *m, void (*visit)(uint64_t key, void *value, void *arg), void *arg)
{
    struct map_entry *entry, *next;
    HASH_ITER (hh, m->entries, entry, next)
        visit(entry->key, entry->value, arg);
}
