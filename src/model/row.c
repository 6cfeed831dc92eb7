/* Rows: what can be one, and how they look on disk (see row.h). */
#include "model/row.h"

#include "kv_error.h"
#include "model/limits.h"

#define ROW_FLAGS (ROW_TOMBSTONE | ROW_LZ4)

/* One byte of an lz4 block never yields more; what claims to is a bomb or damaged. */
#define LZ4_EXPANSION_MAX 255u

bool row_is_dead(const struct row *r, uint64_t hlc)
{
    if (row_is_absent(r) || (r->flags & ROW_TOMBSTONE))
        return true;
    return r->expires_hlc != 0 && r->expires_hlc <= hlc;
}

/* The very last hlc is refused because no clock could mint above it. */
static bool fields_ok(const struct row *r)
{
    return r->kind == ROW_REGISTER && (r->flags & ~ROW_FLAGS) == 0 && r->stamp.hlc != 0 &&
           r->stamp.hlc != UINT64_MAX;
}

static bool sizes_agree(const struct row *r, size_t payload_bytes)
{
    if (r->flags & ROW_TOMBSTONE)
        return r->flags == ROW_TOMBSTONE && payload_bytes == 0 && r->raw_size == 0;
    if (r->flags & ROW_LZ4)
        return payload_bytes < r->raw_size && r->raw_size <= (uint64_t)payload_bytes * LZ4_EXPANSION_MAX;
    return payload_bytes == r->raw_size;
}

int row_check(const struct row *r, uint32_t value_max_bytes)
{
    if (!fields_ok(r))
        return KV_E_INVALID;
    if (r->raw_size > value_max_bytes)
        return KV_E_TOO_LARGE;
    return sizes_agree(r, blob_bytes(r->payload).len) ? KV_OK : KV_E_INVALID;
}

void row_encode_header(const struct row *r, uint8_t out[ROW_HEADER_BYTES])
{
    out[0] = r->kind;
    out[1] = r->flags;
    out[2] = 0;
    out[3] = 0;
    be32_put(out + 4, r->raw_size);
    be64_put(out + 8, r->stamp.hlc);
    be64_put(out + 16, r->stamp.origin);
    be64_put(out + 24, r->expires_hlc);
}

int row_decode_header(struct bytes in, struct row *out)
{
    *out = row_absent();
    if (in.len < ROW_HEADER_BYTES)
        return KV_E_CORRUPT;
    const uint8_t *p = in.data;
    struct row r = {
        .kind = p[0],
        .flags = p[1],
        .raw_size = be32_get(p + 4),
        .stamp = {.hlc = be64_get(p + 8), .origin = be64_get(p + 16)},
        .expires_hlc = be64_get(p + 24),
    };
    if (!fields_ok(&r) || p[2] != 0 || p[3] != 0)
        return KV_E_CORRUPT;
    *out = r;
    return KV_OK;
}

int row_peek(struct bytes in, struct row *out)
{
    int status = row_decode_header(in, out);
    if (status != KV_OK)
        return status;
    if (out->raw_size <= VALUE_MAX_CEILING_BYTES && sizes_agree(out, in.len - ROW_HEADER_BYTES))
        return KV_OK;
    *out = row_absent();
    return KV_E_CORRUPT;
}

int row_decode(struct bytes in, struct row *out)
{
    int status = row_peek(in, out);
    if (status != KV_OK || in.len == ROW_HEADER_BYTES)
        return status;
    out->payload = blob_copy(bytes_of(in.data + ROW_HEADER_BYTES, in.len - ROW_HEADER_BYTES));
    if (out->payload)
        return KV_OK;
    *out = row_absent();
    return KV_E_NO_MEMORY;
}

/* What is no row decodes as the absent row, which loses against every row. */
int row_merge_encoded(struct bytes a, struct bytes b)
{
    struct row row_a, row_b;
    (void)row_peek(a, &row_a);
    (void)row_peek(b, &row_b);
    return row_wins(&row_b, &row_a) ? 1 : 0;
}

struct row row_ref(const struct row *r)
{
    struct row copy = *r;
    if (copy.payload)
        copy.payload = blob_ref(copy.payload);
    return copy;
}

void row_release(struct row *r)
{
    blob_unref(r->payload);
    *r = row_absent();
}
