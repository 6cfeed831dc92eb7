/* The layout of bytes in the engine. All numbers are big-endian, so that the engine's byte order is token
 * order, and what one member waits for is one contiguous run.
 *
 *     data    | token 8 | key 1..4096 |                   -> row as row.h encodes it
 *     hints   | member 4 | token 8 | key 1..4096 |        -> | hlc 8 | origin 8 | size 4 |
 *     meta    name                                        -> bytes
 *     tree    | 0 |                                       -> | Q 4 |
 *     tree    | 1 | partition 4 |                         -> | leaves whose hash is not to be trusted 8 |
 *     tree    | 2 | partition 4 |                         -> | hash 8 | x 64
 *
 * A note's size is what it stands for: key and encoded row. A partition of which the tree says nothing has no
 * leaf whose hash is to be trusted. */
#ifndef STORE_LAYOUT_H
#define STORE_LAYOUT_H

#include "base/assert.h"
#include "model/key.h"
#include "model/message.h"
#include "model/row.h"

#define TOKEN_BYTES       8u
#define NOTE_PREFIX_BYTES 4u
#define NOTE_VALUE_BYTES  20u

/* Room for the longest key of any family, and for the zero byte that turns it into its successor. */
struct engine_key {
    size_t len;
    uint8_t data[NOTE_PREFIX_BYTES + TOKEN_BYTES + KEY_MAX_BYTES + 1];
};

static inline void engine_key_append(struct engine_key *k, struct bytes bytes)
{
    KV_ASSERT(bytes.len < sizeof k->data - k->len);
    if (bytes.len)
        memcpy(k->data + k->len, bytes.data, bytes.len);
    k->len += bytes.len;
}

static inline void engine_key_append_token(struct engine_key *k, uint64_t token)
{
    be64_put(k->data + k->len, token);
    k->len += TOKEN_BYTES;
}

static inline void data_key(struct engine_key *k, uint64_t token, struct bytes key)
{
    k->len = 0;
    engine_key_append_token(k, token);
    engine_key_append(k, key);
}

/* Where the notes of a member begin. */
static inline void note_prefix(struct engine_key *k, uint32_t member)
{
    be32_put(k->data, member);
    k->len = NOTE_PREFIX_BYTES;
}

static inline void note_key(struct engine_key *k, uint32_t member, uint64_t token, struct bytes key)
{
    note_prefix(k, member);
    engine_key_append_token(k, token);
    engine_key_append(k, key);
}

enum tree_kind { TREE_PARTITIONS = 0, TREE_MARKS = 1, TREE_HASHES = 2 };

#define TREE_KEY_BYTES    5u
#define TREE_MARKS_BYTES  8u
#define TREE_HASHES_BYTES (8u * TREE_LEAVES)

static inline void tree_key(struct engine_key *k, enum tree_kind kind, uint32_t partition)
{
    k->data[0] = (uint8_t)kind;
    be32_put(k->data + 1, partition);
    k->len = TREE_KEY_BYTES;
}

/* The least key above this one: nothing sorts between a byte string and itself with a zero behind. */
static inline void engine_key_successor(struct engine_key *k)
{
    KV_ASSERT(k->len < sizeof k->data);
    k->data[k->len++] = 0;
}

static inline struct bytes engine_key_bytes(const struct engine_key *k)
{
    return bytes_of(k->data, k->len);
}

/* Token and key of an engine key, from `skip` on. False when it is none of ours. */
static inline bool engine_key_split(struct bytes in, size_t skip, struct cursor *out)
{
    if (in.len <= skip + TOKEN_BYTES || in.len > skip + TOKEN_BYTES + KEY_MAX_BYTES)
        return false;
    out->token = be64_get(in.data + skip);
    out->key = bytes_of(in.data + skip + TOKEN_BYTES, in.len - skip - TOKEN_BYTES);
    return true;
}

struct note {
    struct stamp stamp;
    uint32_t size;
};

static inline void note_encode(const struct note *n, uint8_t out[NOTE_VALUE_BYTES])
{
    be64_put(out, n->stamp.hlc);
    be64_put(out + 8, n->stamp.origin);
    be32_put(out + 16, n->size);
}

static inline bool note_decode(struct bytes in, struct note *out)
{
    if (in.len != NOTE_VALUE_BYTES)
        return false;
    out->stamp = (struct stamp){.hlc = be64_get(in.data), .origin = be64_get(in.data + 8)};
    out->size = be32_get(in.data + 16);
    return true;
}

/* The bytes of key and encoded row. */
static inline uint64_t row_store_bytes(struct bytes key, const struct row *row)
{
    return key.len + ROW_HEADER_BYTES + blob_bytes(row->payload).len;
}

#endif
