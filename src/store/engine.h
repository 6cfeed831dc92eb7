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
    FAMILY_COUNT,
};

#define DATA_BUFFER_BYTES  (16u << 20)
#define HINTS_BUFFER_BYTES (4u << 20)
#define META_BUFFER_BYTES  (1u << 20)
#define LOG_MAX_BYTES      (32u << 20) /* above it the oldest rows are flushed and their log dropped */

/* Members that have, or once had, notes since the store was opened: few, sorted. The writer's thread only. */
struct member_set {
    uint32_t *ids;
    size_t count;
    size_t cap;
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

/* ---- space.c */

#define SPACE_LOOK_BYTES (1u << 20) /* the file system is asked once for so many bytes written */

/* Whether `bytes` more may be written; KV_E_FULL keeps the last of the disk for the engine's own work. */
int space_check(struct store *s, uint64_t bytes);

#endif
