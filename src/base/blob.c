/* Ownership by count; see the header. A reference that wraps or drops below zero is a bug found here, not
 * later. */
#include "base/blob.h"

#include "base/assert.h"

#include <stdlib.h>

struct blob *blob_create(size_t len)
{
    if (len > UINT32_MAX)
        return NULL;
    struct blob *b = malloc(sizeof *b + len);
    if (!b)
        return NULL;
    b->refs = 1;
    b->len = (uint32_t)len;
    return b;
}

struct blob *blob_copy(struct bytes bytes)
{
    struct blob *b = bytes.len ? blob_create(bytes.len) : NULL;
    if (b)
        memcpy(b->data, bytes.data, bytes.len);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b) {
        KV_ASSERT(b->refs > 0 && b->refs < UINT32_MAX);
        b->refs++;
    }
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b)
        return;
    KV_ASSERT(b->refs > 0);
    if (--b->refs == 0)
        free(b);
}
