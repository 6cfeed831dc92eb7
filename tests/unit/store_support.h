/* What the store's tests share: a directory of their own, rows, files to damage, and children.
 *
 * A child is this executable once more (fork and exec): a process that has ever opened a store must not fork
 * and go on, because the engine's threads stay behind. */
#ifndef UNIT_STORE_SUPPORT_H
#define UNIT_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/types.h>

#include "kv_error.h"
#include "store/store.h"

#define PATH_BYTES 4096

/* cmocka fixtures: `*state` is the path of a fresh directory, removed afterwards. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

struct store *open_ok(const char *dir);

/* Opens what must be refused, with `status` and a sentence that holds `word` and the path. */
void open_refused(const char *dir, int status, const char *word);

/* A register with a copy of `value`; the caller releases it. */
struct row row_of(uint64_t hlc, const void *value, size_t len);
struct row row_text(uint64_t hlc, const char *value);
struct row tombstone(uint64_t hlc);

/* Writes one row, which it releases. */
int put(struct store *s, struct bytes key, struct row row, bool sync);
int put_noted(struct store *s, struct bytes key, struct row row, uint32_t first, uint32_t second);

/* "key-00000042" in `text`. */
#define KEY_TEXT_BYTES 32
struct bytes key_number(uint32_t number, char text[KEY_TEXT_BYTES]);

/* Rows key_number(0..count-1) with `value_bytes` each, whose content value_check knows. */
void put_numbered(struct store *s, uint32_t count, size_t value_bytes, bool sync);

/* How many of them are there and right; everything else fails the test. */
uint32_t count_numbered(struct store *s, uint32_t count, size_t value_bytes);

/* Deletes a row whatever it is. */
void purge_row(struct store *s, struct bytes key);

/* Moves everything into table files, so that reads need blocks. */
void flush_rows(struct store *s);

/* Trees of Q partitions. Asks for one until nothing is left to read; returns how many leaves were read. */
enum { Q = 4 };
uint32_t tree_ask(struct store *s, uint32_t partition, bool rehash, uint64_t hashes[TREE_LEAVES]);

/* Asks for all of them, and fails when a hash is not what a pass over all rows says. */
uint32_t check_trees(struct store *s);

/* The largest file of the directory whose name ends so. */
void find_file(const char *dir, const char *suffix, char path[PATH_BYTES]);
off_t file_size(const char *path);
void flip_bit(const char *path, off_t at, unsigned bit);
void copy_dir(const char *from, const char *to);

/* Runs this executable with these arguments; waits; returns its wait status. */
int run_self(const char *mode, const char *argument);
pid_t start_self(const char *mode, const char *argument, int *read_fd);

#endif
