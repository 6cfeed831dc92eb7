/* The merge laws as the engine calls them: for rows the larger stamp (row.h), for notes the larger stamp too,
 * so that an older write that comes late cannot shrink what a note stands for.
 *
 * Two rules of the engine's C interface shape this file. A callback that fails makes every later write of
 * the key fail, or the process abort: so these cannot fail, bytes that are no row just lose. And the engine
 * copies a result before it hands it back to `delete_value`: so a result may be one of the operands itself,
 * and `delete_value` does nothing. A merge allocates nothing and copies once. */
#include "store/engine.h"

static int note_merge_encoded(struct bytes a, struct bytes b)
{
    struct note note_a = {0}, note_b = {0};
    (void)note_decode(a, &note_a);
    (void)note_decode(b, &note_b);
    return stamp_cmp(note_b.stamp, note_a.stamp) > 0 ? 1 : 0;
}

typedef int (*merge_law)(struct bytes a, struct bytes b);

/* The winner among `best` (may be none) and the operands. */
static char *winner(merge_law law, struct bytes best, const char *const *operands, const size_t *lengths,
                    int count, unsigned char *success, size_t *length)
{
    for (int i = 0; i < count; i++) {
        struct bytes operand = bytes_of(operands[i], lengths[i]);
        if (!best.data || law(best, operand) == 1)
            best = operand;
    }
    *success = 1;
    *length = best.len;
    union {
        const uint8_t *in;
        char *out;
    } result = {.in = best.data}; /* the interface wants to be given what it could free; see the head */
    return result.out;
}

static char *row_full_merge(void *state, const char *key, size_t key_length, const char *existing,
                            size_t existing_length, const char *const *operands, const size_t *lengths,
                            int count, unsigned char *success, size_t *length)
{
    (void)state, (void)key, (void)key_length;
    return winner(row_merge_encoded, bytes_of(existing, existing_length), operands, lengths, count, success,
                  length);
}

static char *row_partial_merge(void *state, const char *key, size_t key_length, const char *const *operands,
                               const size_t *lengths, int count, unsigned char *success, size_t *length)
{
    (void)state, (void)key, (void)key_length;
    return winner(row_merge_encoded, (struct bytes){NULL, 0}, operands, lengths, count, success, length);
}

static char *note_full_merge(void *state, const char *key, size_t key_length, const char *existing,
                             size_t existing_length, const char *const *operands, const size_t *lengths,
                             int count, unsigned char *success, size_t *length)
{
    (void)state, (void)key, (void)key_length;
    return winner(note_merge_encoded, bytes_of(existing, existing_length), operands, lengths, count, success,
                  length);
}

static char *note_partial_merge(void *state, const char *key, size_t key_length, const char *const *operands,
                                const size_t *lengths, int count, unsigned char *success, size_t *length)
{
    (void)state, (void)key, (void)key_length;
    return winner(note_merge_encoded, (struct bytes){NULL, 0}, operands, lengths, count, success, length);
}

static void keep_value(void *state, const char *value, size_t length)
{
    (void)state, (void)value, (void)length;
}

static void keep_state(void *state)
{
    (void)state;
}

/* The names are on the disk: a store opened with another law is refused. */
static const char *row_name(void *state)
{
    (void)state;
    return "gureum.row.1";
}

static const char *note_name(void *state)
{
    (void)state;
    return "gureum.note.1";
}

rocksdb_mergeoperator_t *row_merge_create(void)
{
    return rocksdb_mergeoperator_create(NULL, keep_state, row_full_merge, row_partial_merge, keep_value,
                                        row_name);
}

rocksdb_mergeoperator_t *note_merge_create(void)
{
    return rocksdb_mergeoperator_create(NULL, keep_state, note_full_merge, note_partial_merge, keep_value,
                                        note_name);
}
