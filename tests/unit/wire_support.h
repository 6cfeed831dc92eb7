/* For the tests of wire/: random messages of every type, what a message says as text, and frames as one run
 * of bytes. */
#ifndef TESTS_UNIT_WIRE_SUPPORT_H
#define TESTS_UNIT_WIRE_SUPPORT_H

#include "base/prng.h"
#include "wire/wire.h"

#define VALUE_MAX_TEST (64u << 10)
#define FRAME_MAX_TEST (VALUE_MAX_TEST + FRAME_EXTRA_MAX_BYTES + WIRE_BODY_MAX_BYTES)

extern const enum message_type all_types[];
extern const size_t all_types_count;

/* How long lists, keys and values may get. */
enum message_size { SIZE_SMALL, SIZE_LARGE };

/* A valid message, every field random and often at its limit; borrowed parts in `arena`. Release it. */
struct message random_message(struct prng *p, struct arena *arena, enum message_type type,
                              enum message_size size);

/* A row that row_check accepts; never absent. */
struct row random_row(struct prng *p, size_t value_max);

/* Every field of a message, payloads included, NUL-terminated in `out` (replaced). Equal texts: equal
 * messages. */
const char *message_text(const struct message *m, struct buf *out);

/* The whole frame, payloads included, replaces the content of `out`. */
void frame_build(const struct message *m, struct buf *out);

/* As a receiver does it: the header, then body and payload. Any error of either. */
int frame_parse(struct bytes frame, struct arena *arena, struct message *out);

#endif
