/* A row cache (Cassandra's name for it) in front of the engine: rows of keys that were read lately, so that
 * reading them again costs a look into a table, 0.3 us, where the engine searches its skip lists and blocks
 * and copies the value, 5 us.
 *
 * It needs no lock, because only the loop's thread sees it, and no order between reads and writes, because
 * the merge law has none: a row may be filled in while a write of its key is on its way, for when that
 * write is complete, whichever of the two has the larger stamp stays. What takes rows away is the reason
 * for row_cache_drop, and why only reads that ran on this thread may fill: one in the pool may have read
 * before a write that was complete, and forgotten, before the read came back. */
#ifndef UV_ROW_CACHE_H
#define UV_ROW_CACHE_H

#include "model/row.h"

#define ROW_CACHE_SETS          8192u
#define ROW_CACHE_WAYS          4u
#define ROW_CACHE_MAX_BYTES     ((size_t)16 << 20) /* of keys, values and what holds them */
#define ROW_CACHE_ROW_MAX_BYTES 4096u              /* of a key and its value; larger ones are not worth it */

struct row_cache {
    struct row_cache_entry **entries; /* the ways of each set in order of use, the last used first */
    size_t bytes;
    uint32_t hand; /* the next set to give memory back */
};

/* KV_E_NO_MEMORY. */
int row_cache_init(struct row_cache *c);
void row_cache_deinit(struct row_cache *c);

/* Whether the key is known, and its row: with a reference of its own, or only the header with `stamp_only`.
 * A key that is known to have no row has an absent one. */
bool row_cache_get(struct row_cache *c, struct bytes key, bool stamp_only, struct row *out);

/* A read on this thread has found `row`, whole. When memory is short nothing happens. */
void row_cache_fill(struct row_cache *c, struct bytes key, const struct row *row);

/* A write is complete: the larger stamp stays, if the key is known at all. */
void row_cache_written(struct row_cache *c, struct bytes key, const struct row *row);

/* The key's row was deleted, or nobody knows: it has to be read again. */
void row_cache_drop(struct row_cache *c, struct bytes key);
void row_cache_clear(struct row_cache *c);

#endif
