/* Any bytes as a row from the disk: whole, as one of two to merge, and unpacked. */
#include "base/assert.h"
#include "kv_error.h"
#include "wire/wire.h"

#define VALUE_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes a = bytes_of(data, size / 2), b = bytes_of(data + size / 2, size - size / 2);
    int winner = row_merge_encoded(a, b);
    KV_ASSERT(winner == 0 || (winner == 1 && row_merge_encoded(b, a) == 0)); /* the order does not matter */
    struct row row;
    if (row_decode(bytes_of(data, size), &row) != KV_OK)
        return 0;
    uint8_t header[ROW_HEADER_BYTES];
    row_encode_header(&row, header);
    KV_ASSERT(memcmp(header, data, sizeof header) == 0);
    KV_ASSERT(bytes_eq(blob_bytes(row.payload), bytes_of(data + sizeof header, size - sizeof header)));
    KV_ASSERT(row_check(&row, VALUE_MAX_CEILING_BYTES) == KV_OK);
    struct blob *value;
    if (wire_unpack_value(&row, VALUE_MAX, &value) == KV_OK) {
        KV_ASSERT(blob_bytes(value).len == row.raw_size);
        blob_unref(value);
    }
    row_release(&row);
    return 0;
}
