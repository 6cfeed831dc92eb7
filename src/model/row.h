/* A row: one version of one key. And the merge law, which is the heart of the store: of two rows of one key,
 * the one with the larger stamp is the row. The law is commutative, associative and idempotent, and it is the
 * only one: replication, write-back, hints, anti-entropy, transfer and the engine's merge operator are all
 * row_wins().
 *
 * Encoded (disk and hash; big-endian), ROW_HEADER_BYTES then the payload:
 *
 *     0     1      2         4          8      16       24        32
 *     | kind | flags | 0 0 | raw size | hlc  | origin | expires | payload ...
 *
 * Pick the winner first, then ask whether it is dead: a tombstone or an expired row still wins over older
 * ones. */
#ifndef MODEL_ROW_H
#define MODEL_ROW_H

#include "base/mutant.h"
#include "base/blob.h"
#include "base/hash.h"

#define ROW_HEADER_BYTES 32u

/* Who wrote when. Origin is the random id of the client that minted it: a retry or a hedge of a put carries
 * the same stamp through whichever node, so it is the same write. */
struct stamp {
    uint64_t hlc;
    uint64_t origin;
};

/* <0, 0, >0; the larger hlc wins, then the larger origin. */
static inline int stamp_cmp(struct stamp a, struct stamp b)
{
    if (a.hlc != b.hlc)
        return a.hlc < b.hlc ? -1 : 1;
    return (a.origin > b.origin) - (a.origin < b.origin);
}

static inline bool stamp_is_zero(struct stamp s)
{
    return s.hlc == 0 && s.origin == 0;
}

/* Later kinds (causal keys, strong keys) bring merge laws of their own; between kinds the larger stamp wins.
 */
enum row_kind { ROW_REGISTER = 1 };

enum row_flag {
    ROW_TOMBSTONE = 1 << 0, /* a delete; the payload is empty */
    ROW_LZ4 = 1 << 1,       /* the payload is one lz4 block of raw_size bytes */
};

struct row {
    uint8_t kind;
    uint8_t flags;
    uint32_t raw_size;    /* of the value, uncompressed, bytes */
    struct stamp stamp;   /* {0, 0}: no row at all (row_absent) */
    uint64_t expires_hlc; /* dead from this hybrid time on; 0: never */
    struct blob *payload; /* one reference owned by whoever owns the row; NULL: empty */
};

/* A row by name: the key, and which of its versions. */
struct row_version {
    struct bytes key;
    struct stamp stamp;
};

/* What stands for a row where two stores are compared: the same write of the same key has the same digest
 * everywhere. A leaf's hash is the sum of the digests of its rows, dead ones included; 0: it has none. */
static inline uint64_t row_digest(struct bytes key, struct stamp stamp)
{
    return hash64_seeded(key, hash64_mix(stamp.hlc + hash64_mix(stamp.origin)));
}

/* No row: what a read of a key that was never written answers. Loses against every row. */
static inline struct row row_absent(void)
{
    return (struct row){0};
}

static inline bool row_is_absent(const struct row *r)
{
    return stamp_is_zero(r->stamp);
}

/* The merge law: whether `a` replaces `b`. False for equal stamps (same write). */
static inline bool row_wins(const struct row *a, const struct row *b)
{
    return MUTANT(arrival_order, stamp_cmp(a->stamp, b->stamp) > 0, !row_is_absent(a));
}

/* The row reads as absent: absent, a tombstone, or expired at hybrid time `hlc`. */
bool row_is_dead(const struct row *r, uint64_t hlc);

/* Whether the fields can be a row: known kind and flags, sizes that agree and are within `value_max` bytes, a
 * stamp. All rows are checked with this before they reach the engine, so that its merge can never fail.
 * KV_E_INVALID, KV_E_TOO_LARGE. */
int row_check(const struct row *r, uint32_t value_max_bytes);

/* The 32 bytes in front of the payload. */
void row_encode_header(const struct row *r, uint8_t out[ROW_HEADER_BYTES]);

/* Reads a header; `*out` gets no payload. KV_E_CORRUPT when it is none. */
int row_decode_header(struct bytes in, struct row *out);

/* The header of a whole encoded row, found to fit the payload behind it, which stays there; `*out` gets none.
 * KV_E_CORRUPT. */
int row_peek(struct bytes in, struct row *out);

/* Reads a whole encoded row, copying the payload into a blob that `out` owns. KV_E_CORRUPT, KV_E_NO_MEMORY.
 */
int row_decode(struct bytes in, struct row *out);

/* The winner of two encoded rows, as the engine's merge operator needs it: 0 or 1. Bytes that are no row
 * lose. */
int row_merge_encoded(struct bytes a, struct bytes b);

/* Another owner of the same row. */
struct row row_ref(const struct row *r);

/* Drops the payload; the row becomes absent. */
void row_release(struct row *r);

#endif
