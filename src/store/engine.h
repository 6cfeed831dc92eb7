/* What the files of store/ share: the open engine, its errors, its iterator. The public contract is store.h.
 *
 * The engine can be closed and opened anew while the store lives: after some failures on a full disk that is
 * the only way back (space.c). Readers on other threads therefore hold `gate` for reading as long as they use
 * `db` or anything that came out of it; the writer's thread is the only one that replaces `db`, so it needs
 * no gate for its own use. */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include <pthread.h>
#include <rocksdb/c.h>

#include "kv_error.h"
#include "store/hot.h"
#include "store/layout.h"
#include "store/store.h"

enum family {
    FAMILY_DEFAULT, /* the engine insists on one of this name; unused */
    FAMILY_DATA,
    FAMILY_HINTS,
    FAMILY_META,
    FAMILY_TREE,
    FAMILY_COUNT,
};

#define DATA_BUFFER_BYTES  (16u << 20)
#define HINTS_BUFFER_BYTES (4u << 20)
#define META_BUFFER_BYTES  (1u << 20)
#define TREE_BUFFER_BYTES  (4u << 20)  /* marks of the same partition many times: few flushes */
#define LOG_MAX_BYTES      (32u << 20) /* above it the oldest rows are flushed and their log dropped */

/* Members that have, or once had, notes since the store was opened: few, sorted. The writer's thread only. */
struct member_set {
    uint32_t *ids;
    size_t count;
    size_t cap;
};

/* What is known of the hash trees without asking the engine (tree.c). Bit i of a mask is leaf i. */
struct tree_part {
    uint64_t dirty;   /* written since it was last read (or never read): under the lock */
    uint64_t reading; /* somebody reads them now: under the lock */
    uint64_t marked;  /* so on the disk, or in the batch at hand: the writer's thread only */
};

/* So many neighbours are marked at once: a mark costs what a put does, and with this all marks there can be
 * are an eighth of the leaves, for reading a few leaves too many after a restart. In memory each is known by
 * itself.
 */
#define MARKED_LEAVES 8u

struct tree {
    pthread_mutex_t lock;
    /* These change on the writer's thread only, and under the lock. */
    uint32_t partitions; /* Q; 0: nobody has asked yet */
    uint64_t life;       /* another one each time that all was forgotten */
    struct tree_part *parts;
};

/* Of several puts of one key in a batch only the winner is written: who is it? Looked at for the first
 * ONCE_PUTS_MAX puts; cells hold 1 + the winner's index, found by token with linear probing. */
#define ONCE_PUTS_MAX 512u
#define ONCE_CELLS    1024u
struct once {
    uint16_t cells[ONCE_CELLS];
    uint64_t tokens[ONCE_PUTS_MAX];
    bool beaten[ONCE_PUTS_MAX];
};

struct store {
    rocksdb_t *db; /* NULL: closed in order to be opened anew, which then failed (space.c) */
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    pthread_rwlock_t gate;

    rocksdb_options_t *options;
    rocksdb_options_t *family_options[FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read_any;
    rocksdb_readoptions_t *read_cached;
    rocksdb_writeoptions_t *write_synced;
    rocksdb_writeoptions_t *write_unsynced;
    char *dir;

    /* The writer's thread only. */
    rocksdb_writebatch_t *batch;
    struct once once;
    struct hot hot;
    struct member_set members;
    struct tree tree;         /* in parts; see there */
    uint64_t unwatched_bytes; /* written since the file system was last asked for its free space */
    uint64_t tried_ms;        /* monotonic: when a write last tried to recover */
    bool refused;             /* the engine itself has failed a write for lack of space */
};

/* By default the engine counts every comparison, in a variable of the thread: 7 % of a put, and nobody looks.
 * Said before each use, because each thread has its own. */
static inline void engine_count_nothing(void)
{
    rocksdb_set_perf_level(rocksdb_disable);
}

/* ---- open.c */

const char *family_name(enum family family);

/* Opens `db` and its families with the options that are there. */
int engine_start(struct store *s, char error[STORE_ERROR_MAX]);
void engine_stop(struct store *s);

/* "000123.log": holds rows that may be nowhere else. */
bool is_log_name(const char *name);

/* ---- logcheck.c */

/* Refuses a log that the engine would silently read only in part. */
int logs_check(const char *dir, char error[STORE_ERROR_MAX]);

/* ---- error.c */

/* The code of an error text of the engine, which it frees; NULL is KV_OK. */
int engine_status(char *error);

/* The same for a failed open, with the sentence for the operator. */
int engine_open_status(const char *dir, char *error, char sentence[STORE_ERROR_MAX]);

/* ---- options.c */

void engine_options_create(struct store *s, const struct store_options *options);
void engine_options_destroy(struct store *s);

/* ---- merge.c: the merge law of each family */

rocksdb_mergeoperator_t *row_merge_create(void);
rocksdb_mergeoperator_t *note_merge_create(void);

/* ---- read.c */

/* The bytes of a key, borrowed until the slice is destroyed; `*out` is NULL when absent. The gate is the
 * caller's business. */
int engine_get(struct store *s, enum family family, struct bytes key, const rocksdb_readoptions_t *options,
               rocksdb_pinnableslice_t **out);

static inline struct bytes slice_bytes(const rocksdb_pinnableslice_t *slice)
{
    size_t len = 0;
    const char *data = rocksdb_pinnableslice_value(slice, &len);
    return bytes_of(data, len);
}

/* The row of a key, without the gate. */
int engine_get_row(struct store *s, struct bytes key, const rocksdb_readoptions_t *options, bool stamp_only,
                   struct row *out);

/* ---- iterate.c: a walk over a run of one family, [from, to) */

struct walk {
    struct store *store;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it; /* NULL: the engine is closed */
    struct engine_key to;   /* the engine borrows it for as long as the walk lasts */
};

/* Stands on the first key of the run. `to` empty: to the end of the family. */
void walk_begin(struct walk *w, struct store *s, enum family family, struct bytes from, struct bytes to);

/* Whether the walk stands on a key; false at the end *and* on damage, which only walk_end tells apart. */
bool walk_valid(const struct walk *w);
void walk_next(struct walk *w);
void walk_seek(struct walk *w, struct bytes key);
struct bytes walk_key(const struct walk *w);
struct bytes walk_value(const struct walk *w);

/* Ends the walk. Not KV_OK: what it has shown is not all there is. */
int walk_end(struct walk *w);

/* ---- write.c */

/* Writes s->batch and empties it, whatever comes of it. */
int engine_commit(struct store *s, bool sync);

/* ---- hints.c */

/* Finds who has notes. */
int members_load(struct store *s);
int members_add(struct member_set *set, uint32_t member);

/* Whether a note of anybody but `except` (0: of anybody) names the key. */
int noted(struct store *s, uint32_t except, uint64_t token, struct bytes key, bool *found);

/* ---- remove.c: before a batch is begun, and then in it */

/* Whether the row is still the one that is named, and with `unless_noted` no note names its key but that of
 * `except` (0: none at all). */
int row_may_go(struct store *s, const struct row_version *v, uint64_t token, bool unless_noted,
               uint32_t except, bool *may);
void batch_delete(struct store *s, uint64_t token, struct bytes key);

/* ---- tree.c */

/* Finds what is remembered. What is damaged is thrown away: it can be made anew. */
int tree_load(struct store *s);
void tree_deinit(struct store *s);

/* A row of this token is written or deleted by the batch at hand: marks its leaf in that batch, if it is not
 * marked yet. */
void tree_mark(struct store *s, uint64_t token);

/* That batch has been committed, well or not: `status`. */
void tree_committed(struct store *s, int status, const uint64_t *tokens, size_t count);

/* ---- space.c */

#define SPACE_LOOK_BYTES (1u << 20) /* the file system is asked once for so many bytes written */

/* Whether `bytes` more may be written; KV_E_FULL keeps the last of the disk for the engine's own work. */
int space_check(struct store *s, uint64_t bytes);

#endif
