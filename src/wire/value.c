/* Values at rest and on the wire (DESIGN section 3): packed once by whoever makes the row, unpacked by who
 * reads it. */
#include "wire/wire.h"

#include <lz4.h>

#include "base/assert.h"
#include "kv_error.h"

/* Packing must save at least this share of the value, or it stays raw. */
#define SAVING_SHARE 8u

/* `value` as one lz4 block; `*out` stays NULL when that does not save enough. KV_E_NO_MEMORY. */
static int compress(struct bytes value, struct blob **out)
{
    *out = NULL;
    size_t room = value.len - value.len / SAVING_SHARE;
    struct blob *wide = blob_create(room);
    if (!wide)
        return KV_E_NO_MEMORY;
    int packed =
        LZ4_compress_default((const char *)value.data, (char *)wide->data, (int)value.len, (int)room);
    int error = KV_OK;
    if (packed > 0) { /* 0: it does not fit into the room */
        /* A blob of just its size: rows live long, and `wide` is mostly empty. */
        *out = blob_copy(bytes_of(wide->data, (size_t)packed));
        error = *out ? KV_OK : KV_E_NO_MEMORY;
    }
    blob_unref(wide);
    return error;
}

int wire_pack_value(struct bytes value, struct row *row)
{
    KV_ASSERT(!row->payload);
    if (value.len > VALUE_MAX_CEILING_BYTES)
        return KV_E_TOO_LARGE;
    struct blob *payload = NULL;
    uint8_t flags = 0;
    if (value.len >= COMPRESS_MIN_BYTES) {
        int error = compress(value, &payload);
        if (error)
            return error;
        flags = payload ? ROW_LZ4 : 0;
    }
    if (!payload && value.len) {
        payload = blob_copy(value);
        if (!payload)
            return KV_E_NO_MEMORY;
    }
    row->flags = flags;
    row->raw_size = (uint32_t)value.len;
    row->payload = payload;
    return KV_OK;
}

static int inflate(const struct row *row, struct blob **out)
{
    struct blob *value = blob_create(row->raw_size);
    if (!value)
        return KV_E_NO_MEMORY;
    int raw_size = LZ4_decompress_safe((const char *)row->payload->data, (char *)value->data,
                                       (int)row->payload->len, (int)row->raw_size);
    if (raw_size < 0 || (uint32_t)raw_size != row->raw_size) {
        blob_unref(value);
        return KV_E_CORRUPT;
    }
    *out = value;
    return KV_OK;
}

/* row_check refuses a raw size that no block of the payload's length could reach, so a bomb costs nothing. */
int wire_unpack_value(const struct row *row, uint32_t value_max_bytes, struct blob **out)
{
    KV_ASSERT(value_max_bytes <= VALUE_MAX_CEILING_BYTES);
    *out = NULL;
    int error = row_check(row, value_max_bytes);
    if (error)
        return error == KV_E_TOO_LARGE ? KV_E_TOO_LARGE : KV_E_CORRUPT;
    if (row->flags & ROW_LZ4)
        return inflate(row, out);
    *out = row->payload ? blob_ref(row->payload) : NULL;
    return KV_OK;
}
