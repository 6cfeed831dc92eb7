/* Rows behind each other in one blob: see pack.h. */
#include "model/pack.h"

#include "base/assert.h"
#include "base/buf.h"
#include "kv_error.h"
#include "model/key.h"

uint32_t pack_fit(const struct page_entry *entries, uint32_t count, size_t limit_bytes)
{
    size_t bytes = 0;
    uint32_t fit = 0;
    for (; fit < count && fit < PACK_ROWS_MAX; fit++) {
        bytes += pack_row_bytes(entries[fit].key, &entries[fit].row);
        if (fit > 0 && bytes > limit_bytes)
            break;
    }
    return fit;
}

static uint8_t *put_bytes(uint8_t *at, struct bytes bytes)
{
    if (bytes.len)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static uint8_t *put_row(uint8_t *at, struct bytes key, const struct row *row)
{
    struct bytes payload = blob_bytes(row->payload);
    be32_put(at, (uint32_t)key.len);
    be32_put(at + 4, (uint32_t)(ROW_HEADER_BYTES + payload.len));
    at = put_bytes(at + PACK_ROW_EXTRA_BYTES, key);
    row_encode_header(row, at);
    return put_bytes(at + ROW_HEADER_BYTES, payload);
}

struct blob *pack_rows(const struct page_entry *entries, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += pack_row_bytes(entries[i].key, &entries[i].row);
    struct blob *pack = bytes ? blob_create(bytes) : NULL;
    if (!pack)
        return NULL;
    uint8_t *at = pack->data;
    for (uint32_t i = 0; i < count; i++)
        at = put_row(at, entries[i].key, &entries[i].row);
    KV_ASSERT(at == pack->data + bytes);
    return pack;
}

int pack_take(struct bytes *pack, struct packed_row *out)
{
    uint32_t key_bytes, row_bytes;
    struct bytes row;
    if (bytes_take_be32(pack, &key_bytes) || bytes_take_be32(pack, &row_bytes) ||
        bytes_take(pack, key_bytes, &out->key) || bytes_take(pack, row_bytes, &row))
        return KV_E_MALFORMED;
    if (!key_ok(out->key) || row_peek(row, &out->row))
        return KV_E_MALFORMED;
    out->payload = bytes_of(row.data + ROW_HEADER_BYTES, row.len - ROW_HEADER_BYTES);
    return KV_OK;
}
