/* Short forms of rows, and sets of them: see digest.h. */
#include "repair/digest.h"

#include <stdlib.h>

#include "kv_error.h"

uint64_t tree_root(const uint64_t leaves[TREE_LEAVES])
{
    uint8_t bytes[TREE_LEAVES * sizeof(uint64_t)];
    uint64_t any = 0;
    for (uint32_t i = 0; i < TREE_LEAVES; i++) {
        any |= leaves[i];
        be64_put(bytes + i * sizeof(uint64_t), leaves[i]);
    }
    return any ? hash64(bytes_of(bytes, sizeof bytes)) : 0;
}

static int compare(const void *a, const void *b)
{
    const struct digest *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->stamp != y->stamp)
        return x->stamp < y->stamp ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

int digest_set_init(struct digest_set *set, const struct blob *said, bool keys_only)
{
    struct bytes bytes = blob_bytes(said);
    uint32_t size = keys_only ? DIGEST_KEY_BYTES : DIGEST_BYTES;
    *set = (struct digest_set){0};
    if (bytes.len % size || bytes.len / size > COMPARE_DIGESTS_MAX)
        return KV_E_MALFORMED;
    if (bytes.len == 0)
        return KV_OK;
    set->digests = malloc(bytes.len / size * sizeof *set->digests);
    if (!set->digests)
        return KV_E_NO_MEMORY;
    set->count = (uint32_t)(bytes.len / size);
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t *p = bytes.data + i * size;
        set->digests[i] =
            (struct digest){.key = be32_get(p), .stamp = keys_only ? 0 : be32_get(p + 4), .index = i};
    }
    qsort(set->digests, set->count, sizeof *set->digests, compare);
    return KV_OK;
}

void digest_set_deinit(struct digest_set *set)
{
    free(set->digests);
    *set = (struct digest_set){0};
}

/* The first digest of that key; the count when there is none. */
static uint32_t first_of(const struct digest_set *set, uint32_t key)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (set->digests[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < set->count && set->digests[low].key == key ? low : set->count;
}

bool digest_set_has(const struct digest_set *set, uint32_t key)
{
    return first_of(set, key) < set->count;
}

static bool is_of(const struct digest_set *set, uint32_t i, uint32_t key)
{
    return i < set->count && set->digests[i].key == key;
}

/* He has the row, or what he has of the key does not matter. */
static bool look_up(struct digest_set *set, uint32_t key, uint32_t stamp, bool young)
{
    bool found = young;
    for (uint32_t i = first_of(set, key); is_of(set, i, key); i++) {
        if (!young && set->digests[i].stamp != stamp)
            continue;
        set->digests[i].seen = true;
        found = true;
    }
    return found;
}

static enum digest_verdict judge_other(struct digest_set *set, uint32_t key, uint32_t *index)
{
    for (uint32_t i = first_of(set, key); is_of(set, i, key); i++) {
        if (set->digests[i].seen)
            continue;
        set->digests[i].seen = true;
        *index = set->digests[i].index;
        return DIGEST_CONFLICT;
    }
    return DIGEST_MISSING;
}

void digest_set_judge(struct digest_set *set, const struct page_entry *entries, uint32_t count, uint64_t salt,
                      uint64_t until_hlc, enum digest_verdict *verdicts, uint32_t *indexes)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stamp stamp = entries[i].row.stamp;
        bool known = look_up(set, digest_key(key_token(entries[i].key), salt), digest_stamp(stamp, salt),
                             stamp.hlc > until_hlc);
        verdicts[i] = known ? DIGEST_SAME : DIGEST_MISSING;
    }
    for (uint32_t i = 0; i < count; i++)
        if (verdicts[i] == DIGEST_MISSING)
            verdicts[i] = judge_other(set, digest_key(key_token(entries[i].key), salt), &indexes[i]);
}

size_t digest_set_wants(const struct digest_set *set, uint8_t bits[COMPARE_DIGESTS_MAX / 8])
{
    size_t bytes = 0;
    memset(bits, 0, COMPARE_DIGESTS_MAX / 8);
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t index = set->digests[i].index;
        if (set->digests[i].seen)
            continue;
        bits[index / 8] |= (uint8_t)(1u << index % 8);
        if (index / 8 + 1 > bytes)
            bytes = index / 8 + 1;
    }
    return bytes;
}
