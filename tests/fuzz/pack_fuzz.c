/* Any bytes as a pack of rows: what is taken out of it makes the same pack again. */
#include "base/assert.h"
#include "base/buf.h"
#include "kv_error.h"
#include "model/pack.h"

#define ROWS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_entry entries[ROWS_MAX];
    struct bytes rest = bytes_of(data, size);
    struct packed_row row;
    size_t taken = 0;
    uint32_t count = 0;
    for (; count < ROWS_MAX && pack_take(&rest, &row) == KV_OK; count++) {
        entries[count] = (struct page_entry){.key = row.key, .row = row.row};
        entries[count].row.payload = blob_copy(row.payload);
        KV_ASSERT(row_check(&entries[count].row, VALUE_MAX_CEILING_BYTES) == KV_OK);
        taken += pack_row_bytes(row.key, &entries[count].row);
    }
    KV_ASSERT(pack_fit(entries, count, taken) == count);
    struct blob *pack = pack_rows(entries, count);
    KV_ASSERT(bytes_eq(blob_bytes(pack), bytes_of(data, taken)));
    blob_unref(pack);
    for (uint32_t i = 0; i < count; i++)
        row_release(&entries[i].row);
    return 0;
}
