/* How two homes find out cheaply what one has and the other has not.
 *
 * A leaf's hash is the sum of row_digest over its rows (the store keeps it); a partition's root is the hash
 * of its leaves'. Roots are compared whole. Leaf hashes travel as 32 bits, and a row as a pair of 32 bits,
 * one for its key and one for its stamp: with them the other side knows not only that rows differ but whether
 * it is the same key. All short forms are mixed with a salt, the id of the question. So two rows, or leaves,
 * that look alike by chance (one in four thousand million) look different in the next question: what is
 * missed once is found in the next round, and no pair can stay hidden. */
#ifndef REPAIR_DIGEST_H
#define REPAIR_DIGEST_H

#include "model/event.h"
#include "model/key.h"

#define DIGEST_BYTES     8u /* key, then stamp; big-endian */
#define DIGEST_KEY_BYTES 4u /* of one that names a key only */

/* 0: all leaves are empty. */
uint64_t tree_root(const uint64_t leaves[TREE_LEAVES]);

static inline uint32_t leaf_short(uint64_t hash, uint64_t salt)
{
    return (uint32_t)hash64_mix(hash ^ hash64_mix(salt));
}

static inline uint32_t digest_key(uint64_t token, uint64_t salt)
{
    return leaf_short(token, salt);
}

static inline uint32_t digest_stamp(struct stamp stamp, uint64_t salt)
{
    return leaf_short(stamp.hlc + hash64_mix(stamp.origin), salt);
}

/* ---- What somebody said that he has, and what we make of it ---- */

struct digest {
    uint32_t key, stamp;
    uint32_t index; /* its place in what was said */
    bool seen;      /* of that key there is something here too */
};

struct digest_set {
    struct digest *digests; /* by key, stamp, index */
    uint32_t count;
};

/* From a payload of digests, or of digests of keys only. NULL is none. KV_E_MALFORMED (no whole number of
 * them, above COMPARE_DIGESTS_MAX), KV_E_NO_MEMORY. */
int digest_set_init(struct digest_set *set, const struct blob *said, bool keys_only);
void digest_set_deinit(struct digest_set *set);

/* Whether it names the key. */
bool digest_set_has(const struct digest_set *set, uint32_t key);

/* What a row here means to who said the set. */
enum digest_verdict {
    DIGEST_SAME,     /* he has it */
    DIGEST_MISSING,  /* he has not: it is to be sent */
    DIGEST_CONFLICT, /* he has another row of this key: the newer is to be found out */
};

/* Judges the rows of a page in order, into `verdicts`; the index of a conflict's digest into `indexes`. Rows
 * younger than `until_hlc` count as the same: they are still on their way. All rows are first looked up as
 * they are, so that of two keys that look alike the one he has is not taken for the other. */
void digest_set_judge(struct digest_set *set, const struct page_entry *entries, uint32_t count, uint64_t salt,
                      uint64_t until_hlc, enum digest_verdict *verdicts, uint32_t *indexes);

/* A bit for each digest, by index, of whose key nothing was seen; `bits` has room for all. Returns how many
 * bytes are not zero at the end. */
size_t digest_set_wants(const struct digest_set *set, uint8_t bits[COMPARE_DIGESTS_MAX / 8]);

#endif
