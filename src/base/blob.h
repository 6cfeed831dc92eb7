/* A reference-counted, immutable run of bytes: a value on its way to N replicas is one blob, copied zero
 * times (h2o's shared chunks). The count is not atomic: only the loop's thread takes and drops references;
 * another thread may borrow the bytes until its completion event (DESIGN section 2). NULL is the empty blob.
 */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/bytes.h"

struct blob {
    uint32_t refs;
    uint32_t len;
    uint8_t data[];
};

/* A blob of `len` uninitialised bytes with one reference, to be filled before it is shared. NULL: no memory.
 */
struct blob *blob_create(size_t len);

/* A copy of `bytes` with one reference. NULL when out of memory or when `bytes` is empty. */
struct blob *blob_copy(struct bytes bytes);

/* Returns its argument. */
struct blob *blob_ref(struct blob *b);

/* Drops one reference; the last one frees. NULL is fine. */
void blob_unref(struct blob *b);

static inline struct bytes blob_bytes(const struct blob *b)
{
    return b ? bytes_of(b->data, b->len) : (struct bytes){NULL, 0};
}

#endif
