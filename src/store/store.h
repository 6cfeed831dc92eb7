/* The port to stable storage, and its RocksDB engine (DESIGN section 8). One store is one data directory of
 * one node.
 *
 * Four column families: `data` (big-endian token, key -> encoded row, merged by the merge law), `hints`
 * (member id, token, key -> stamp, size), `meta` (name -> bytes), `tree` (hashes of runs of rows; all of it
 * can be made anew from the rows).
 *
 * Thread use: store_write, store_sync, store_meta_put, store_hint_done, store_delete, store_has,
 * store_tree_keep and store_recover from one thread at a time; everything else from any. A process must not
 * fork once it has opened a store: the engine's threads stay behind, and the child hangs. Daemonise first.
 *
 * Errors: KV_E_FULL (no space, quota, or the reserve reached that is kept for the engine's own work: nothing
 * is lost, reads go on, and writes work again when there is space); KV_E_CORRUPT (a damaged block); KV_E_IO
 * (anything else). A write, sync or forgotten note that fails with anything but KV_E_FULL, KV_E_INVALID,
 * KV_E_TOO_LARGE or KV_E_NO_MEMORY is final: the caller must end the process, without a retry and without
 * a further acknowledgement. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "model/event.h"

struct store;

#define STORE_ERROR_MAX     512
#define TREE_ROWS_MAX       16384u      /* read by one call of store_tree_hash: about 10 ms from memory; */
#define TREE_READ_MAX_BYTES (16u << 20) /* one leaf is read whole whatever its size */

struct store_options {
    size_t block_cache_bytes; /* 0: 64 MiB */
    bool create;              /* make the directory and an empty store when there is none */
};

/* Opens or creates. KV_E_BUSY: another process has it; KV_E_CORRUPT: it cannot vouch for what it
 * acknowledged; KV_E_VERSION: another version wrote it; KV_E_FULL; KV_E_NOT_FOUND: there is none and `create`
 * is not set; KV_E_NOT_PERMITTED, KV_E_INVALID: no directory that could be used. `error` gets a sentence for
 * the operator with the path. A last record that a crash tore is cut; so may be one whose damage cannot be
 * told from that, in the last 64 KiB of the log. */
int store_open(const char *dir, const struct store_options *options, struct store **out,
               char error[STORE_ERROR_MAX]);

/* Flushes nothing that is not in the log already; never fails. */
void store_close(struct store *s);

/* One row to merge, with the notes that go with it. Borrowed. */
struct store_put {
    struct bytes key;
    struct row row;
    uint8_t hint_count;
    uint32_t hints[HOLDERS_MAX];
};

/* Writes all or nothing, and returns when it is in the log (and on disk, with `sync`). `*sequence`: the
 * store's, after it. A key or row that can be none: KV_E_INVALID or KV_E_TOO_LARGE, and nothing is written.
 */
int store_write(struct store *s, const struct store_put *puts, size_t count, bool sync, uint64_t *sequence);

/* Makes everything written so far durable. */
int store_sync(struct store *s);

enum store_tier { STORE_ANY, STORE_CACHED /* answer only from memory, else KV_E_AGAIN */ };

/* The row of a key, released by the caller; absent is KV_OK with an absent row. `stamp_only` leaves the
 * payload out. */
int store_read(struct store *s, struct bytes key, enum store_tier tier, bool stamp_only, struct row *out);

/* A page of rows in token order behind `after`, at most `limit` rows and SCAN_PAGE_MAX_BYTES of keys looked
 * at (fewer when values are large); only those with `prefix` are returned, header only. Keys and entries live
 * in `arena`, which needs room for `limit` entries and SCAN_PAGE_MAX_BYTES + KEY_MAX_BYTES of keys, else
 * KV_E_NO_MEMORY. `*next` is the last key looked at. */
int store_range(struct store *s, struct cursor after, struct bytes prefix, uint32_t limit,
                struct arena *arena, struct page_entry **entries, uint32_t *count, struct cursor *next,
                bool *done);

/* A run of rows, and how much of it is one page: EF_STORE_ROWS says what each means. */
struct store_run {
    struct cursor after;
    uint64_t until_token;
    uint32_t limit;
    uint32_t limit_bytes;
    bool headers;
};

/* A page of such a run: like store_range, but with payloads unless `headers` (the caller releases the rows),
 * and then bounded by `limit_bytes` of keys and encoded rows too, though never empty for that. After an error
 * there is nothing to release. */
int store_rows(struct store *s, const struct store_run *run, struct arena *arena, struct page_entry **entries,
               uint32_t *count, struct cursor *next, bool *done);

/* A page of the notes for `member`, each with its data row (payload included: the caller releases the rows).
 * Bounded by `limit` and about 1 MiB of payload; after an error there is nothing to release. A row that
 * cannot be read is no error, but an entry that says so. KV_E_CORRUPT, KV_E_IO: the notes themselves. */
int store_hints(struct store *s, uint32_t member, struct cursor after, uint32_t limit, struct arena *arena,
                struct page_entry **entries, uint32_t *count, struct cursor *next, bool *done);

/* Forgets the note for `member` if its stamp is not newer than `stamp`; with `drop_row` also deletes the data
 * row if it still has exactly this stamp and no other member's note names the key. Without such a note
 * nothing happens. KV_E_AGAIN: the row was to be dropped, and is newer by now; the note stays, for were it
 * the last one, nobody would ever drop that row. Not synced: after a power cut the row may be handed over
 * once more. */
int store_hint_done(struct store *s, uint32_t member, struct bytes key, struct stamp stamp, bool drop_row);

/* Deletes, all in one batch, each row that still has exactly the stamp it is named with; with `unless_noted`
 * only if nobody's note names its key. At most STORE_KEYS_MAX keys, each once. A row that cannot be read
 * because its block is damaged stays. `*deleted`: how many went. Not synced: a power cut may bring them back.
 */
int store_delete(struct store *s, const struct row_version *rows, size_t count, bool unless_noted,
                 uint32_t *deleted);

/* What there is of each key, in order. At most STORE_KEYS_MAX keys. */
int store_has(struct store *s, const struct bytes *keys, size_t count, struct store_has *has);

/* How many notes wait for whom, and their bytes (of key and encoded row, each note's for its newest stamp):
 * counted by one pass over all notes. Calls `visit` per member; it must not use the
 * store. */
int store_hint_totals(struct store *s,
                      void (*visit)(uint32_t member, uint64_t count, uint64_t bytes, void *arg), void *arg);

/* The hash tree of a partition (anti-entropy): TREE_LEAVES runs of tokens, of each the sum of the row_digest
 * of all its rows. A write marks its leaf, durably and in its own batch; only marked leaves are read again.
 *
 * store_tree_hash reads and store_tree_keep notes what was found, unless a write came between: every call of
 * the first that gave KV_OK is followed by one of the second. Neither waits for the other kind of thread. */
struct store_tree {
    uint64_t life; /* of the tree that this belongs to; 0: there was none yet, and keeping makes one */
    uint32_t partition;
    uint32_t partitions; /* Q */
    uint64_t leaves;     /* bit i: leaf i was read now */
    bool more;           /* not all that had to be read was: `hashes` is not all true; call again */
    bool damaged;        /* what was remembered makes no sense: all is to be forgotten */
    uint64_t hashes[TREE_LEAVES];
};

/* Reads the leaves of a partition that are marked, all of them with `rehash`, as far as about TREE_ROWS_MAX
 * rows or TREE_READ_MAX_BYTES go. KV_E_AGAIN: another thread is at this partition; KV_E_INVALID: the store's
 * tree is one for another Q. */
int store_tree_hash(struct store *s, uint32_t partition, uint32_t partitions, bool rehash,
                    struct store_tree *out);

/* KV_E_FULL: no space to note what a next call builds on. Without `more` none is needed: the same leaves are
 * then just read once more next time. */
int store_tree_keep(struct store *s, const struct store_tree *tree);

/* Named values; put is always synced. Absent: KV_E_NOT_FOUND. */
int store_meta_put(struct store *s, const char *name, struct bytes value);
int store_meta_get(struct store *s, const char *name, struct buf *out);

/* Rows, counted (not estimated: estimates are far off with merges) when `exact`, else the engine's estimate.
 */
int store_count(struct store *s, bool exact, uint64_t *rows);

/* Sequence number of the newest write: grows with every one, and is as durable as the write is. */
uint64_t store_sequence(struct store *s);

/* Tries to make progress after KV_E_FULL; KV_OK when writes work again. Writes do so by themselves a few
 * times a second; this is for when none come. May take a second or two, during which reads may have to wait.
 */
int store_recover(struct store *s);

#endif
