/* Rows that go: purged ones, and those that this node no longer holds. A row is compared and deleted on the
 * writer's thread, so that no write comes between; the comparison sees all operands of its key folded. */
#include "store/engine.h"

int row_may_go(struct store *s, const struct row_version *v, uint64_t token, bool unless_noted,
               uint32_t except, bool *may)
{
    struct row row;
    bool wanted = false;
    *may = false;
    int status = engine_get_row(s, v->key, s->read_any, true, &row);
    if (status == KV_OK && (row_is_absent(&row) || stamp_cmp(row.stamp, v->stamp) != 0))
        return KV_OK;
    if (status == KV_OK && unless_noted)
        status = noted(s, except, token, v->key, &wanted);
    *may = status == KV_OK && !wanted;
    return status == KV_E_CORRUPT ? KV_OK : status; /* nobody knows what it is, so it stays */
}

void batch_delete(struct store *s, uint64_t token, struct bytes key)
{
    struct engine_key k;
    data_key(&k, token, key);
    rocksdb_writebatch_delete_cf(s->batch, s->families[FAMILY_DATA], (const char *)k.data, k.len);
    hot_deleted(&s->hot, token);
    tree_mark(s, token);
}

int store_delete(struct store *s, const struct row_version *rows, size_t count, bool unless_noted,
                 uint32_t *deleted)
{
    size_t going[STORE_KEYS_MAX];
    uint64_t tokens[STORE_KEYS_MAX];
    uint32_t goes = 0;
    KV_ASSERT(count <= STORE_KEYS_MAX);
    *deleted = 0;
    if (!s->db)
        return KV_E_FULL;
    for (size_t i = 0; i < count; i++) {
        bool may;
        if (!key_ok(rows[i].key))
            return KV_E_INVALID;
        tokens[goes] = key_token(rows[i].key);
        int status = row_may_go(s, &rows[i], tokens[goes], unless_noted, 0, &may);
        if (status != KV_OK)
            return status;
        if (may)
            going[goes++] = i;
    }
    if (!goes)
        return KV_OK;
    for (uint32_t i = 0; i < goes; i++)
        batch_delete(s, tokens[i], rows[going[i]].key);
    int status = engine_commit(s, false);
    tree_committed(s, status, tokens, goes);
    if (status == KV_OK)
        *deleted = goes;
    return status;
}

int store_has(struct store *s, const struct bytes *keys, size_t count, struct store_has *has)
{
    KV_ASSERT(count <= STORE_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct row row;
        if (!key_ok(keys[i]))
            return KV_E_INVALID;
        int status = engine_get_row(s, keys[i], s->read_any, true, &row);
        if (status == KV_OK)
            status = noted(s, 0, key_token(keys[i]), keys[i], &has[i].noted);
        if (status != KV_OK)
            return status;
        has[i].row = row.stamp;
    }
    return KV_OK;
}
