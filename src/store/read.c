/* Point reads. The engine hands out slices that are pinned in its cache, so a payload is copied once: into
 * the blob that travels. */
#include "store/engine.h"

#include <stdlib.h>

int engine_get(struct store *s, enum family family, struct bytes key, const rocksdb_readoptions_t *options,
               rocksdb_pinnableslice_t **out)
{
    *out = NULL;
    if (!s->db)
        return KV_E_IO;
    engine_count_nothing();
    char *error = NULL;
    *out =
        rocksdb_get_pinned_cf(s->db, options, s->families[family], (const char *)key.data, key.len, &error);
    if (!error)
        return KV_OK;
    rocksdb_pinnableslice_destroy(*out);
    *out = NULL;
    return engine_status(error);
}

int engine_get_row(struct store *s, struct bytes key, const rocksdb_readoptions_t *options, bool stamp_only,
                   struct row *out)
{
    *out = row_absent();
    struct engine_key k;
    data_key(&k, key_token(key), key);
    rocksdb_pinnableslice_t *slice;
    int status = engine_get(s, FAMILY_DATA, engine_key_bytes(&k), options, &slice);
    if (status != KV_OK || !slice)
        return status;
    struct bytes encoded = slice_bytes(slice);
    status = stamp_only ? row_decode_header(encoded, out) : row_decode(encoded, out);
    rocksdb_pinnableslice_destroy(slice);
    return status;
}

int store_read(struct store *s, struct bytes key, enum store_tier tier, bool stamp_only, struct row *out)
{
    *out = row_absent();
    if (!key_ok(key))
        return KV_E_INVALID;
    if (tier == STORE_CACHED) {
        /* The engine is being opened anew: that is no more in memory than a cold block is. */
        if (pthread_rwlock_tryrdlock(&s->gate) != 0)
            return KV_E_AGAIN;
    } else {
        pthread_rwlock_rdlock(&s->gate);
    }
    int status = engine_get_row(s, key, tier == STORE_CACHED ? s->read_cached : s->read_any, stamp_only, out);
    pthread_rwlock_unlock(&s->gate);
    return status;
}

int store_meta_get(struct store *s, const char *name, struct buf *out)
{
    pthread_rwlock_rdlock(&s->gate);
    rocksdb_pinnableslice_t *slice;
    int status = engine_get(s, FAMILY_META, bytes_str(name), s->read_any, &slice);
    if (status == KV_OK) {
        status = slice ? buf_set(out, slice_bytes(slice)) : KV_E_NOT_FOUND;
        rocksdb_pinnableslice_destroy(slice);
    }
    pthread_rwlock_unlock(&s->gate);
    return status;
}

static int count_exactly(struct store *s, uint64_t *rows)
{
    struct walk w;
    uint64_t count = 0;
    struct bytes all = {NULL, 0};
    for (walk_begin(&w, s, FAMILY_DATA, all, all); walk_valid(&w); walk_next(&w))
        count++;
    int status = walk_end(&w);
    if (status == KV_OK)
        *rows = count;
    return status;
}

int store_count(struct store *s, bool exact, uint64_t *rows)
{
    *rows = 0;
    if (exact)
        return count_exactly(s, rows);
    pthread_rwlock_rdlock(&s->gate);
    int failed = !s->db || rocksdb_property_int_cf(s->db, s->families[FAMILY_DATA],
                                                   "rocksdb.estimate-num-keys", rows) != 0;
    pthread_rwlock_unlock(&s->gate);
    return failed ? KV_E_IO : KV_OK;
}

uint64_t store_sequence(struct store *s)
{
    pthread_rwlock_rdlock(&s->gate);
    uint64_t sequence = s->db ? rocksdb_get_latest_sequence_number(s->db) : 0;
    pthread_rwlock_unlock(&s->gate);
    return sequence;
}
