/* An owned, growing byte buffer. {0} is a valid empty one. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/bytes.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void buf_deinit(struct buf *b);

/* Makes room for `extra` more bytes. KV_E_NO_MEMORY leaves the buffer as it was. */
int buf_reserve(struct buf *b, size_t extra);

/* `bytes` must not lie in the buffer itself. */
int buf_append(struct buf *b, struct bytes bytes);
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_append_be32(struct buf *b, uint32_t v);
int buf_append_be64(struct buf *b, uint64_t v);

/* printf onto the end; no terminating NUL is counted, but one is always there after the last byte. */
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces the content by a copy of `bytes`; keeps the capacity. */
int buf_set(struct buf *b, struct bytes bytes);

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->len);
}

/* Reading back what was appended: each takes from the front of `in` and returns KV_E_MALFORMED when short. */
int bytes_take(struct bytes *in, size_t n, struct bytes *out);
int bytes_take_byte(struct bytes *in, uint8_t *out);
int bytes_take_be32(struct bytes *in, uint32_t *out);
int bytes_take_be64(struct bytes *in, uint64_t *out);

#endif
