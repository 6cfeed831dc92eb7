/* Invariants: len <= cap; data is NULL exactly when cap is 0. Capacity doubles, so n appended bytes cost
 * O(n). */
#include "base/buf.h"

#include "base/assert.h"
#include "kv_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_MIN_BYTES = 64 };

void buf_deinit(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

int buf_reserve(struct buf *b, size_t extra)
{
    KV_ASSERT(b->len <= b->cap);
    if (extra <= b->cap - b->len)
        return KV_OK;
    if (extra > SIZE_MAX / 2 - b->len)
        return KV_E_NO_MEMORY;
    size_t cap = b->cap < BUF_MIN_BYTES ? BUF_MIN_BYTES : b->cap * 2;
    if (cap < b->len + extra)
        cap = b->len + extra;
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return KV_E_NO_MEMORY;
    b->data = data;
    b->cap = cap;
    return KV_OK;
}

int buf_append(struct buf *b, struct bytes bytes)
{
    if (bytes.len == 0)
        return KV_OK;
    /* Growing may move the buffer from under a piece of itself. */
    KV_ASSERT((uintptr_t)bytes.data - (uintptr_t)b->data >= b->cap);
    int rc = buf_reserve(b, bytes.len);
    if (rc)
        return rc;
    memcpy(b->data + b->len, bytes.data, bytes.len);
    b->len += bytes.len;
    return KV_OK;
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, bytes_of(&byte, 1));
}

int buf_append_be32(struct buf *b, uint32_t v)
{
    uint8_t be[4];
    be32_put(be, v);
    return buf_append(b, bytes_of(be, sizeof be));
}

int buf_append_be64(struct buf *b, uint64_t v)
{
    uint8_t be[8];
    be64_put(be, v);
    return buf_append(b, bytes_of(be, sizeof be));
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return KV_E_INVALID;
    int rc = buf_reserve(b, (size_t)len + 1);
    if (rc)
        return rc;
    va_start(args, format);
    vsnprintf((char *)b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
    return KV_OK;
}

/* `bytes` may be a piece of the buffer itself: it is then no longer than the buffer, and nothing is moved but
 * it. */
int buf_set(struct buf *b, struct bytes bytes)
{
    if (bytes.len > b->cap) {
        int rc = buf_reserve(b, bytes.len - b->len);
        if (rc)
            return rc;
    }
    if (bytes.len)
        memmove(b->data, bytes.data, bytes.len);
    b->len = bytes.len;
    return KV_OK;
}

int bytes_take(struct bytes *in, size_t n, struct bytes *out)
{
    if (in->len < n)
        return KV_E_MALFORMED;
    *out = bytes_of(in->data, n);
    if (n)
        *in = bytes_of(in->data + n, in->len - n);
    return KV_OK;
}

int bytes_take_byte(struct bytes *in, uint8_t *out)
{
    struct bytes b;
    int rc = bytes_take(in, 1, &b);
    if (rc)
        return rc;
    *out = b.data[0];
    return KV_OK;
}

int bytes_take_be32(struct bytes *in, uint32_t *out)
{
    struct bytes b;
    int rc = bytes_take(in, 4, &b);
    if (rc)
        return rc;
    *out = be32_get(b.data);
    return KV_OK;
}

int bytes_take_be64(struct bytes *in, uint64_t *out)
{
    struct bytes b;
    int rc = bytes_take(in, 8, &b);
    if (rc)
        return rc;
    *out = be64_get(b.data);
    return KV_OK;
}
