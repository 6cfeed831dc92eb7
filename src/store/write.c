/* Writes: one batch of the engine for one call, so all of it or nothing is in the log. A row is a merge
 * operand and nothing is read, except for keys that are written often (hot.h). */
#include "store/engine.h"

#define SMALL_PAYLOAD_BYTES 1024u      /* up to here header and payload are put together on the stack */
#define BATCH_KEEP_BYTES    (1u << 20) /* a batch that grew beyond gives its memory back */

int engine_commit(struct store *s, bool sync)
{
    if (!s->db)
        return KV_E_FULL; /* space.c closed it and could not open it yet */
    engine_count_nothing();
    char *error = NULL;
    rocksdb_write(s->db, sync ? s->write_synced : s->write_unsynced, s->batch, &error);
    size_t size = 0;
    (void)rocksdb_writebatch_data(s->batch, &size);
    if (size <= BATCH_KEEP_BYTES) {
        rocksdb_writebatch_clear(s->batch);
    } else {
        rocksdb_writebatch_destroy(s->batch);
        s->batch = rocksdb_writebatch_create();
    }
    int status = engine_status(error);
    if (status == KV_E_FULL)
        s->refused = true;
    return status;
}

typedef void (*batch_add)(rocksdb_writebatch_t *, rocksdb_column_family_handle_t *, const char *, size_t,
                          const char *, size_t);
typedef void (*batch_addv)(rocksdb_writebatch_t *, rocksdb_column_family_handle_t *, int, const char *const *,
                           const size_t *, int, const char *const *, const size_t *);

/* As a merge operand, or, with `alone`, in place of all that is there. A short row is copied twice, which is
 * cheaper than the two vectors that the gathering call allocates; a long one once. */
static void batch_row(struct store *s, const struct engine_key *key, const struct row *row, bool alone)
{
    rocksdb_column_family_handle_t *family = s->families[FAMILY_DATA];
    struct bytes payload = blob_bytes(row->payload);
    uint8_t encoded[ROW_HEADER_BYTES + SMALL_PAYLOAD_BYTES];
    row_encode_header(row, encoded);
    if (payload.len <= SMALL_PAYLOAD_BYTES) {
        batch_add add = alone ? rocksdb_writebatch_put_cf : rocksdb_writebatch_merge_cf;
        if (payload.len)
            memcpy(encoded + ROW_HEADER_BYTES, payload.data, payload.len);
        add(s->batch, family, (const char *)key->data, key->len, (const char *)encoded,
            ROW_HEADER_BYTES + payload.len);
        return;
    }
    batch_addv add = alone ? rocksdb_writebatch_putv_cf : rocksdb_writebatch_mergev_cf;
    const char *key_parts[] = {(const char *)key->data};
    const size_t key_sizes[] = {key->len};
    const char *parts[] = {(const char *)encoded, (const char *)payload.data};
    const size_t sizes[] = {ROW_HEADER_BYTES, payload.len};
    add(s->batch, family, 1, key_parts, key_sizes, 2, parts, sizes);
}

/* A key that is written often: the winner replaces all that is there. What cannot be read is left to the
 * merge. */
static void batch_hot_row(struct store *s, const struct engine_key *key, const struct store_put *put)
{
    struct row there;
    int status = engine_get_row(s, put->key, s->read_any, false, &there);
    bool wins = status != KV_OK || row_wins(&put->row, &there);
    batch_row(s, key, wins ? &put->row : &there, status == KV_OK);
    row_release(&there);
}

static void batch_notes(struct store *s, const struct store_put *put, uint64_t token)
{
    struct note note = {put->row.stamp, (uint32_t)row_store_bytes(put->key, &put->row)};
    uint8_t value[NOTE_VALUE_BYTES];
    note_encode(&note, value);
    for (uint8_t i = 0; i < put->hint_count; i++) {
        struct engine_key key;
        note_key(&key, put->hints[i], token, put->key);
        rocksdb_writebatch_merge_cf(s->batch, s->families[FAMILY_HINTS], (const char *)key.data, key.len,
                                    (const char *)value, sizeof value);
    }
}

/* Everything that can be wrong with what is to be written, before any of it is: a bad operand in the engine
 * would make its key unwritable for ever. */
static int check_puts(struct store *s, const struct store_put *puts, size_t count, uint64_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct store_put *put = &puts[i];
        KV_ASSERT(put->hint_count <= HOLDERS_MAX);
        if (!key_ok(put->key))
            return KV_E_INVALID;
        int status = row_check(&put->row, VALUE_MAX_CEILING_BYTES);
        for (uint8_t h = 0; h < put->hint_count && status == KV_OK; h++)
            status = members_add(&s->members, put->hints[h]);
        if (status != KV_OK)
            return status;
        *bytes += row_store_bytes(put->key, &put->row);
    }
    return KV_OK;
}

/* The cell of the i-th put's key: empty, or with the best put of it so far. */
static uint16_t *once_cell(struct once *o, const struct store_put *puts, size_t i)
{
    uint16_t *cell = &o->cells[o->tokens[i] % ONCE_CELLS];
    while (*cell && (o->tokens[*cell - 1] != o->tokens[i] || !bytes_eq(puts[*cell - 1].key, puts[i].key)))
        cell = cell == &o->cells[ONCE_CELLS - 1] ? o->cells : cell + 1;
    return cell;
}

/* Finds who is beaten by another put of its key. */
static void once_find(struct once *o, const struct store_put *puts, size_t count)
{
    memset(o->cells, 0, count > 1 ? sizeof o->cells : 0);
    for (size_t i = 0; i < count && i < ONCE_PUTS_MAX; i++) {
        o->tokens[i] = key_token(puts[i].key);
        o->beaten[i] = false;
        if (count == 1)
            return;
        uint16_t *cell = once_cell(o, puts, i);
        if (*cell && !row_wins(&puts[i].row, &puts[*cell - 1].row)) {
            o->beaten[i] = true;
            continue;
        }
        if (*cell)
            o->beaten[*cell - 1] = true;
        *cell = (uint16_t)(i + 1);
    }
}

/* Behind ONCE_PUTS_MAX a key may have been put earlier in this very batch, where a read does not see it: then
 * nothing may be replaced. */
static void batch_put(struct store *s, const struct store_put *put, size_t i)
{
    bool known = i < ONCE_PUTS_MAX;
    uint64_t token = known ? s->once.tokens[i] : key_token(put->key);
    struct engine_key key;
    data_key(&key, token, put->key);
    if (!known)
        batch_row(s, &key, &put->row, false);
    else if (!s->once.beaten[i] && hot_written(&s->hot, token))
        batch_hot_row(s, &key, put);
    else if (!s->once.beaten[i])
        batch_row(s, &key, &put->row, false);
    batch_notes(s, put, token);
    tree_mark(s, token);
}

/* Behind ONCE_PUTS_MAX tokens are not remembered. */
static void written(struct store *s, int status, const struct store_put *puts, size_t count)
{
    tree_committed(s, status, s->once.tokens, count < ONCE_PUTS_MAX ? count : ONCE_PUTS_MAX);
    for (size_t i = ONCE_PUTS_MAX; i < count; i++) {
        uint64_t token = key_token(puts[i].key);
        tree_committed(s, status, &token, 1);
    }
}

int store_write(struct store *s, const struct store_put *puts, size_t count, bool sync, uint64_t *sequence)
{
    uint64_t bytes;
    int status = check_puts(s, puts, count, &bytes);
    if (status == KV_OK)
        status = space_check(s, bytes);
    if (status == KV_OK && !s->db)
        status = KV_E_FULL;
    if (status != KV_OK)
        return status;

    once_find(&s->once, puts, count);
    for (size_t i = 0; i < count; i++)
        batch_put(s, &puts[i], i);
    status = engine_commit(s, sync);
    written(s, status, puts, count);
    if (status == KV_OK)
        *sequence = rocksdb_get_latest_sequence_number(s->db);
    return status;
}

int store_sync(struct store *s)
{
    if (!s->db)
        return KV_E_FULL;
    char *error = NULL;
    rocksdb_flush_wal(s->db, 1, &error);
    int status = engine_status(error);
    if (status == KV_E_FULL)
        s->refused = true;
    return status;
}

int store_meta_put(struct store *s, const char *name, struct bytes value)
{
    if (!s->db)
        return KV_E_FULL;
    rocksdb_writebatch_put_cf(s->batch, s->families[FAMILY_META], name, strlen(name),
                              value.data ? (const char *)value.data : "", value.len);
    return engine_commit(s, true);
}
