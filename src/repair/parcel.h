/* Rows that are gathered for one message, from as many pages of the store as it takes. */
#ifndef REPAIR_PARCEL_H
#define REPAIR_PARCEL_H

#include "base/buf.h"
#include "model/pack.h"

struct parcel {
    struct buf pack; /* model/pack.h */
    uint32_t rows;
    uint64_t began_hlc; /* when the first page was asked for */
};

void parcel_deinit(struct parcel *p);

/* Empties it. */
void parcel_begin(struct parcel *p, uint64_t hlc);

/* Whether this row is one too many for `limit_bytes`. A first row never is. */
bool parcel_full(const struct parcel *p, const struct page_entry *row, size_t limit_bytes);

int parcel_add(struct parcel *p, const struct page_entry *row); /* KV_E_NO_MEMORY */

/* What is in it, for a message: NULL when it is empty, or there is no memory. */
struct blob *parcel_pack(const struct parcel *p);

#endif
