/* Rows on their way: see parcel.h. */
#include "repair/parcel.h"

#include "kv_error.h"

#define KEPT_MAX_BYTES (1u << 20) /* what a large row took is not kept */

void parcel_deinit(struct parcel *p)
{
    buf_deinit(&p->pack);
    p->rows = 0;
}

void parcel_begin(struct parcel *p, uint64_t hlc)
{
    if (p->pack.cap > KEPT_MAX_BYTES)
        buf_deinit(&p->pack);
    buf_clear(&p->pack);
    p->rows = 0;
    p->began_hlc = hlc;
}

bool parcel_full(const struct parcel *p, const struct page_entry *row, size_t limit_bytes)
{
    return p->rows == PACK_ROWS_MAX ||
           (p->rows > 0 && p->pack.len + pack_row_bytes(row->key, &row->row) > limit_bytes);
}

int parcel_add(struct parcel *p, const struct page_entry *row)
{
    struct blob *one = pack_rows(row, 1);
    int rc = one ? buf_append(&p->pack, blob_bytes(one)) : KV_E_NO_MEMORY;
    blob_unref(one);
    p->rows += rc == KV_OK;
    return rc;
}

struct blob *parcel_pack(const struct parcel *p)
{
    return blob_copy(buf_bytes(&p->pack));
}
