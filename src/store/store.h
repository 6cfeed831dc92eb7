/* The port to stable storage, and its RocksDB engine (DESIGN section 8). One store is one data directory of
 * one node.
 *
 * Three column families: `data` (big-endian token, key -> encoded row, merged by the merge law), `hints`
 * (member id, token, key -> stamp, size), `meta` (name -> bytes). Thread use: store_write, store_meta_put and
 * store_hint_done from one thread at a time; reads and pages from any.
 *
 * Errors: KV_E_FULL (no space, quota: the store goes on and recovers by itself), KV_E_IO (anything else that
 * failed in a log write or sync: the caller must end the process, no retry), KV_E_CORRUPT (a damaged block).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "model/event.h"

struct store;

#define STORE_ERROR_MAX 512

struct store_options {
    size_t block_cache_bytes; /* 0: 64 MiB */
    bool create;              /* make the directory and an empty store when there is none */
};

/* Opens or creates. KV_E_BUSY: another process has it; KV_E_CORRUPT: it cannot vouch for what it
 * acknowledged; `error` gets a sentence for the operator with the path. */
int store_open(const char *dir, const struct store_options *options, struct store **out,
               char error[STORE_ERROR_MAX]);

/* Flushes nothing that is not in the log already; never fails. */
void store_close(struct store *s);

/* One row to merge, with the notes that go with it. Borrowed. */
struct store_put {
    struct bytes key;
    struct row row;
    uint8_t hint_count;
    uint32_t hints[REPLICAS_MAX];
};

/* Writes all or nothing, and returns when it is in the log (and on disk, with `sync`). `*sequence`: the
 * store's, after it. */
int store_write(struct store *s, const struct store_put *puts, size_t count, bool sync, uint64_t *sequence);

/* Makes everything written so far durable. */
int store_sync(struct store *s);

enum store_tier { STORE_ANY, STORE_CACHED /* answer only from memory, else KV_E_AGAIN */ };

/* The row of a key; absent is KV_OK with an absent row. `stamp_only` leaves the payload out. */
int store_read(struct store *s, struct bytes key, enum store_tier tier, bool stamp_only, struct row *out);

/* A page of rows in token order behind `after`, at most `limit` rows and SCAN_PAGE_MAX_BYTES of keys looked
 * at; only those with `prefix` are returned, header only. Keys and entries live in `arena`. `*next` is the
 * last key looked at. */
int store_range(struct store *s, struct cursor after, struct bytes prefix, uint32_t limit,
                struct arena *arena, struct page_entry **entries, uint32_t *count, struct cursor *next,
                bool *done);

/* A page of the notes for `member`, each with its data row (payload included: the caller releases the rows).
 * Bounded by `limit` and about 1 MiB of payload. */
int store_hints(struct store *s, uint32_t member, struct cursor after, uint32_t limit, struct arena *arena,
                struct page_entry **entries, uint32_t *count, struct cursor *next, bool *done);

/* Forgets the note for `member` if its stamp is not newer than `stamp`; with `drop_row` also deletes the data
 * row if it still has exactly this stamp and no other member's note names the key. */
int store_hint_done(struct store *s, uint32_t member, struct bytes key, struct stamp stamp, bool drop_row);

/* How many notes wait for whom, and their bytes: counted by one pass over the notes at start. Calls `visit`
 * per member. */
int store_hint_totals(struct store *s,
                      void (*visit)(uint32_t member, uint64_t count, uint64_t bytes, void *arg), void *arg);

/* Named values; put is always synced. Absent: KV_E_NOT_FOUND. */
int store_meta_put(struct store *s, const char *name, struct bytes value);
int store_meta_get(struct store *s, const char *name, struct buf *out);

/* Rows, counted (not estimated: estimates are far off with merges) when `exact`, else the engine's estimate.
 */
int store_count(struct store *s, bool exact, uint64_t *rows);

/* Durable sequence number of the store: grows with every write. */
uint64_t store_sequence(struct store *s);

/* Tries to make progress after KV_E_FULL; KV_OK when writes work again. */
int store_recover(struct store *s);

#endif
