/* The hash trees of partitions (Dynamo section 4.7), kept by writes instead of by scans. The rows are the
 * truth; what is kept beside them says which leaves have been written since their hash was taken.
 *
 * A leaf's hash may be used when no write has come since it was read. Three masks a partition tell, of which
 * `marked` has a copy on the disk:
 *
 *     writer:  mark (in the batch, if it is not marked yet) -> commit -> dirty
 *     reader:  dirty becomes reading -> open an iterator -> sum up -> to the writer's thread:
 *     keeping: what is dirty again stays marked; the rest is clean: hashes and marks in one batch
 *
 * Why nothing slips through: keeping happens on the writer's thread, so never between a mark and its `dirty`.
 * A write that was committed before `dirty` became `reading` is seen by the iterator; any other sets `dirty`
 * before the next keeping. On the disk a leaf is clean only in and after the batch that brought its hash, and
 * never behind a batch that wrote to it. The log is cut at its end only, so this holds after a crash as well.
 * A failed commit may or may not be in the log: then everything counts as dirty *and* as not marked. */
#include "store/engine.h"

#include <stdlib.h>

#define ALL_LEAVES UINT64_MAX

/* What one keeping writes: two keys, two values and what the engine adds to them. */
#define KEEP_BYTES 1024u

_Static_assert(TREE_LEAVES == 64, "a mask of leaves is a uint64_t");

/* ---- memory */

static bool partitions_ok(uint32_t partitions)
{
    return partitions > 0 && partitions <= RING_PARTITIONS_MAX && (partitions & (partitions - 1)) == 0;
}

/* Nothing is known of any leaf, and the disk says so too by saying nothing. */
static int tree_begin(struct tree *t, uint32_t partitions)
{
    struct tree_part *parts = calloc(partitions, sizeof *parts);
    if (!parts)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < partitions; i++)
        parts[i].dirty = parts[i].marked = ALL_LEAVES;
    pthread_mutex_lock(&t->lock);
    t->parts = parts;
    t->partitions = partitions;
    t->life++;
    pthread_mutex_unlock(&t->lock);
    return KV_OK;
}

static void tree_clear(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    free(t->parts);
    t->parts = NULL;
    t->partitions = 0;
    pthread_mutex_unlock(&t->lock);
}

void tree_deinit(struct store *s)
{
    free(s->tree.parts);
    pthread_mutex_destroy(&s->tree.lock);
}

/* ---- the family */

/* What is there is damaged. The whole family goes: a damaged block that stayed would make the engine stumble
 * when it compacts. */
static int forget(struct store *s)
{
    char *error = NULL;
    tree_clear(&s->tree);
    pthread_rwlock_wrlock(&s->gate);
    rocksdb_column_family_handle_t **family = &s->families[FAMILY_TREE];
    if (*family) {
        rocksdb_drop_column_family(s->db, *family, &error);
        if (!error) {
            rocksdb_column_family_handle_destroy(*family);
            *family = NULL;
        }
    }
    if (!error) {
        rocksdb_column_family_handle_t *fresh = rocksdb_create_column_family(
            s->db, s->family_options[FAMILY_TREE], family_name(FAMILY_TREE), &error);
        *family = error ? NULL : fresh; /* after an error a handle of nothing, which must not be destroyed */
    }
    pthread_rwlock_unlock(&s->gate);
    return engine_status(error);
}

static void batch_tree(struct store *s, enum tree_kind kind, uint32_t partition, struct bytes value)
{
    struct engine_key k;
    tree_key(&k, kind, partition);
    rocksdb_writebatch_put_cf(s->batch, s->families[FAMILY_TREE], (const char *)k.data, k.len,
                              (const char *)value.data, value.len);
}

static void batch_marks(struct store *s, uint32_t partition, uint64_t leaves)
{
    uint8_t value[TREE_MARKS_BYTES];
    be64_put(value, leaves);
    batch_tree(s, TREE_MARKS, partition, bytes_of(value, sizeof value));
}

static int partitions_get(struct store *s, uint32_t *partitions)
{
    struct engine_key k;
    rocksdb_pinnableslice_t *slice;
    *partitions = 0;
    tree_key(&k, TREE_PARTITIONS, 0);
    int status = engine_get(s, FAMILY_TREE, engine_key_bytes(&k), s->read_any, &slice);
    if (status != KV_OK || !slice)
        return status;
    struct bytes value = slice_bytes(slice);
    if (value.len == sizeof *partitions)
        *partitions = be32_get(value.data);
    rocksdb_pinnableslice_destroy(slice);
    return partitions_ok(*partitions) ? KV_OK : KV_E_CORRUPT;
}

static int marks_load(struct store *s)
{
    struct tree *t = &s->tree;
    struct engine_key from, to;
    struct walk w;
    bool intact = true;
    tree_key(&from, TREE_MARKS, 0);
    tree_key(&to, TREE_HASHES, 0);
    for (walk_begin(&w, s, FAMILY_TREE, engine_key_bytes(&from), engine_key_bytes(&to)); walk_valid(&w);
         walk_next(&w)) {
        struct bytes key = walk_key(&w), value = walk_value(&w);
        intact = key.len == TREE_KEY_BYTES && be32_get(key.data + 1) < t->partitions &&
                 value.len == TREE_MARKS_BYTES;
        if (!intact)
            break;
        struct tree_part *part = &t->parts[be32_get(key.data + 1)];
        part->dirty = part->marked = be64_get(value.data);
    }
    int walked = walk_end(&w);
    return intact ? walked : KV_E_CORRUPT;
}

int tree_load(struct store *s)
{
    uint32_t partitions;
    int status = partitions_get(s, &partitions);
    if (status == KV_OK && partitions)
        status = tree_begin(&s->tree, partitions);
    if (status == KV_OK && partitions)
        status = marks_load(s);
    return status == KV_E_CORRUPT ? forget(s) : status;
}

/* ---- writing */

void tree_mark(struct store *s, uint64_t token)
{
    struct tree *t = &s->tree;
    if (!t->partitions)
        return;
    uint32_t partition = token_partition(token, t->partitions);
    uint32_t leaf = token_leaf(token, t->partitions);
    struct tree_part *part = &t->parts[partition];
    if (part->marked >> leaf & 1)
        return;
    uint64_t neighbours = ((UINT64_C(1) << MARKED_LEAVES) - 1) << (leaf - leaf % MARKED_LEAVES);
    pthread_mutex_lock(&t->lock);
    part->marked |= neighbours | part->dirty | part->reading;
    pthread_mutex_unlock(&t->lock);
    batch_marks(s, partition, part->marked);
}

void tree_committed(struct store *s, int status, const uint64_t *tokens, size_t count)
{
    struct tree *t = &s->tree;
    if (!t->partitions)
        return;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < count; i++)
        t->parts[token_partition(tokens[i], t->partitions)].dirty |= UINT64_C(1)
                                                                     << token_leaf(tokens[i], t->partitions);
    pthread_mutex_unlock(&t->lock);
    for (uint32_t i = 0; i < t->partitions && status != KV_OK; i++)
        t->parts[i].marked = 0;
}

/* ---- reading leaves */

static int take_leaves(struct tree *t, bool rehash, struct store_tree *out)
{
    int status = KV_OK;
    pthread_mutex_lock(&t->lock);
    struct tree_part *part = t->partitions == out->partitions ? &t->parts[out->partition] : NULL;
    if (!part) {
        status = t->partitions ? KV_E_INVALID : KV_OK;
    } else if (part->reading) {
        status = KV_E_AGAIN;
    } else {
        out->life = t->life;
        out->leaves = rehash ? ALL_LEAVES : part->dirty;
        part->reading = out->leaves;
        part->dirty &= ~out->leaves;
    }
    pthread_mutex_unlock(&t->lock);
    return status;
}

/* Some of the leaves that were taken have not been read, or what was read is not used. */
static void give_back(struct tree *t, const struct store_tree *from, uint64_t leaves)
{
    pthread_mutex_lock(&t->lock);
    if (t->life == from->life && t->partitions) {
        struct tree_part *part = &t->parts[from->partition];
        part->dirty |= leaves;
        part->reading &= ~leaves;
    }
    pthread_mutex_unlock(&t->lock);
}

/* The hashes that are remembered; they are there, or a leaf would not be clean. */
static int hashes_get(struct store *s, struct store_tree *out)
{
    if (out->leaves == ALL_LEAVES)
        return KV_OK;
    struct engine_key k;
    rocksdb_pinnableslice_t *slice = NULL;
    tree_key(&k, TREE_HASHES, out->partition);
    pthread_rwlock_rdlock(&s->gate);
    int status = s->families[FAMILY_TREE]
                     ? engine_get(s, FAMILY_TREE, engine_key_bytes(&k), s->read_any, &slice)
                     : KV_E_CORRUPT;
    struct bytes value = slice ? slice_bytes(slice) : (struct bytes){NULL, 0};
    if (status == KV_OK && value.len != TREE_HASHES_BYTES)
        status = KV_E_CORRUPT;
    for (uint32_t i = 0; i < TREE_LEAVES && status == KV_OK; i++)
        out->hashes[i] = be64_get(value.data + 8 * i);
    rocksdb_pinnableslice_destroy(slice);
    pthread_rwlock_unlock(&s->gate);
    return status;
}

struct leaf_reader {
    struct walk walk;
    uint64_t rows;
    uint64_t bytes;
};

/* Sums up one leaf. The walk stands before it, or on its first row already. */
static int leaf_read(struct leaf_reader *r, struct store_tree *out, uint32_t leaf)
{
    uint64_t first = leaf_first_token(out->partition, leaf, out->partitions);
    uint64_t last = leaf_first_token(out->partition, leaf + 1, out->partitions) - 1;
    if (walk_valid(&r->walk) && be64_get(walk_key(&r->walk).data) < first) {
        struct engine_key from = {.len = 0};
        engine_key_append_token(&from, first);
        walk_seek(&r->walk, engine_key_bytes(&from));
    }
    uint64_t sum = 0;
    for (; walk_valid(&r->walk); walk_next(&r->walk)) {
        struct bytes value = walk_value(&r->walk);
        struct cursor at;
        struct row row;
        if (!engine_key_split(walk_key(&r->walk), 0, &at) || row_decode_header(value, &row) != KV_OK)
            return KV_E_CORRUPT;
        if (at.token > last)
            break;
        sum += row_digest(at.key, row.stamp);
        r->rows++;
        r->bytes += at.key.len + value.len;
    }
    out->hashes[leaf] = sum;
    return KV_OK;
}

/* Reads the leaves that were taken, in order, and drops from them what is too much for one call. */
static int leaves_read(struct store *s, struct store_tree *out)
{
    if (!out->leaves)
        return KV_OK;
    struct leaf_reader r = {.rows = 0};
    struct engine_key from = {.len = 0}, to = {.len = 0};
    uint32_t leaf = (uint32_t)__builtin_ctzll(out->leaves);
    uint64_t end = leaf_first_token(out->partition, TREE_LEAVES, out->partitions), done = 0;
    int status = KV_OK;
    engine_key_append_token(&from, leaf_first_token(out->partition, leaf, out->partitions));
    if (end)
        engine_key_append_token(&to, end);
    walk_begin(&r.walk, s, FAMILY_DATA, engine_key_bytes(&from), engine_key_bytes(&to));
    for (; leaf < TREE_LEAVES && status == KV_OK && r.rows < TREE_ROWS_MAX && r.bytes < TREE_READ_MAX_BYTES;
         leaf++) {
        if (!(out->leaves >> leaf & 1))
            continue;
        status = leaf_read(&r, out, leaf);
        done |= UINT64_C(1) << leaf;
    }
    int walked = walk_end(&r.walk);
    if (status == KV_OK)
        status = walked;
    if (status != KV_OK)
        return status;
    out->more = done != out->leaves;
    give_back(&s->tree, out, out->leaves & ~done);
    out->leaves = done;
    return KV_OK;
}

int store_tree_hash(struct store *s, uint32_t partition, uint32_t partitions, bool rehash,
                    struct store_tree *out)
{
    KV_ASSERT(partitions_ok(partitions) && partition < partitions);
    *out = (struct store_tree){.partition = partition, .partitions = partitions};
    int status = take_leaves(&s->tree, rehash, out);
    if (status != KV_OK)
        return status;
    if (!out->life) {
        out->more = true;
        return KV_OK;
    }
    status = hashes_get(s, out);
    if (status == KV_E_CORRUPT) {
        give_back(&s->tree, out, out->leaves);
        out->leaves = 0;
        out->damaged = out->more = true;
        return KV_OK;
    }
    if (status == KV_OK)
        status = leaves_read(s, out);
    if (status != KV_OK)
        give_back(&s->tree, out, out->leaves);
    return status;
}

/* ---- keeping, on the writer's thread */

static int make(struct store *s, uint32_t partitions)
{
    if (!s->families[FAMILY_TREE]) {
        int status = forget(s);
        if (status != KV_OK)
            return status;
    }
    uint8_t value[4];
    be32_put(value, partitions);
    batch_tree(s, TREE_PARTITIONS, 0, bytes_of(value, sizeof value));
    int status = engine_commit(s, false);
    return status == KV_OK ? tree_begin(&s->tree, partitions) : status;
}

static int keep_leaves(struct store *s, const struct store_tree *tree)
{
    struct tree_part *part = &s->tree.parts[tree->partition];
    pthread_mutex_lock(&s->tree.lock);
    uint64_t dirty = part->dirty;
    pthread_mutex_unlock(&s->tree.lock);
    int status = KV_OK;
    bool kept = false;
    if (tree->leaves & ~dirty) {
        uint8_t value[TREE_HASHES_BYTES];
        for (uint32_t i = 0; i < TREE_LEAVES; i++)
            be64_put(value + 8 * i, tree->hashes[i]);
        batch_marks(s, tree->partition, dirty);
        batch_tree(s, TREE_HASHES, tree->partition, bytes_of(value, sizeof value));
        status = engine_commit(s, false);
        part->marked = status == KV_OK ? dirty : 0;
        kept = status == KV_OK;
    }
    pthread_mutex_lock(&s->tree.lock);
    part->reading = 0;
    if (!kept)
        part->dirty |= tree->leaves;
    pthread_mutex_unlock(&s->tree.lock);
    return status;
}

int store_tree_keep(struct store *s, const struct store_tree *tree)
{
    if (!tree->leaves && !tree->more)
        return KV_OK;
    int status = space_check(s, KEEP_BYTES);
    if (status == KV_OK && !s->db)
        status = KV_E_FULL;
    bool current = tree->life == s->tree.life && s->tree.partitions;
    if (status != KV_OK)
        give_back(&s->tree, tree, tree->leaves);
    else if (tree->damaged && current)
        status = forget(s);
    else if (!tree->damaged && !tree->life && !s->tree.partitions)
        status = make(s, tree->partitions);
    else if (tree->leaves && current)
        status = keep_leaves(s, tree);
    return status == KV_E_FULL && !tree->more ? KV_OK : status; /* `hashes` are true all the same */
}
