/* Rows on their way from one store to another, many in one payload (ROWS of a transfer, of anti-entropy), as
 * they rest on disk, so that nothing is inflated, and packed again, on the way:
 *
 *     | key size (4) | row size (4) | key | encoded row (row.h) | key size | ...
 *
 * Nothing of a pack that came from outside is believed: pack_take checks each row as it is taken. */
#ifndef MODEL_PACK_H
#define MODEL_PACK_H

#include "model/event.h"

/* Of a pack of one row: the largest payload that any message has. */
#define PACK_ROW_EXTRA_BYTES 8u
#define PACK_MAX_BYTES       (PACK_ROW_EXTRA_BYTES + KEY_MAX_BYTES + ROW_HEADER_BYTES + VALUE_MAX_CEILING_BYTES)
#define PACK_ROWS_MAX        2048u /* rows of one pack */

struct packed_row {
    struct bytes key;
    struct row row;       /* without its payload, */
    struct bytes payload; /* which stays in the pack */
};

/* What a row takes in a pack. */
static inline size_t pack_row_bytes(struct bytes key, const struct row *row)
{
    return PACK_ROW_EXTRA_BYTES + key.len + ROW_HEADER_BYTES + blob_bytes(row->payload).len;
}

/* How many of the entries, from the first on, fit into `limit_bytes` and PACK_ROWS_MAX: at least one, if
 * there is one, whatever its size. */
uint32_t pack_fit(const struct page_entry *entries, uint32_t count, size_t limit_bytes);

/* The first `count` entries, whole rows, in one blob. NULL when there is no memory, and for none. */
struct blob *pack_rows(const struct page_entry *entries, uint32_t count);

/* Takes the next row from the front of `pack`. KV_E_MALFORMED: what is there is no key with a row that could
 * be one. */
int pack_take(struct bytes *pack, struct packed_row *out);

#endif
