/* Damage, one trap at a time: what is torn by a crash is cut, what is damaged otherwise is refused or
 * reported, and nothing acknowledged is ever missing in silence. */
#include "unit/store_support.h"

#include "base/prng.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 400, VALUE_BYTES = 1000, TAIL_BYTES = 64 * 1024 };

/* Where it is told what it was: a store of ROWS rows, all of them in the log only. */
static void make_log(const char *dir, char log[PATH_BYTES])
{
    struct store *s = open_ok(dir);
    put_numbered(s, ROWS, VALUE_BYTES, false);
    assert_int_equal(store_sync(s), KV_OK);
    store_close(s);
    find_file(dir, ".log", log);
    assert_true(file_size(log) > ROWS * VALUE_BYTES);
}

static void a_flipped_bit_in_the_log_is_refused(void **state)
{
    char log[PATH_BYTES];
    make_log(*state, log);
    flip_bit(log, file_size(log) - TAIL_BYTES - 1000, 3);
    open_refused(*state, KV_E_CORRUPT, "damaged");
    open_refused(*state, KV_E_CORRUPT, "damaged"); /* and trying did not mend it */
}

/* Opens a copy beside it with that bit flipped: refused, or everything is there (the bit meant nothing). */
static void flip_in_copy(const char *dir, const char *copy, const char *log, off_t at, unsigned bit)
{
    char copied_log[PATH_BYTES], error[STORE_ERROR_MAX];
    copy_dir(dir, copy);
    assert_true(snprintf(copied_log, sizeof copied_log, "%s%s", copy, strrchr(log, '/')) < PATH_BYTES);
    flip_bit(copied_log, at, bit);
    struct store *s;
    int status = store_open(copy, &(struct store_options){0}, &s, error);
    if (status == KV_OK) {
        uint32_t found = count_numbered(s, ROWS, VALUE_BYTES);
        store_close(s);
        if (found != ROWS)
            fail_msg("bit %u at %ld flipped: opened with %u of %d rows", bit, (long)at, found, ROWS);
    } else if (status != KV_E_CORRUPT) {
        fail_msg("bit %u at %ld flipped: %s", bit, (long)at, error);
    }
}

static void no_flipped_bit_loses_rows_in_silence(void **state)
{
    enum { FLIPS = 60, HEADER_BYTES = 7 };
    char log[PATH_BYTES], dir[PATH_BYTES], copy[PATH_BYTES];
    struct prng prng;
    assert_true(snprintf(dir, sizeof dir, "%s/store", (const char *)*state) < PATH_BYTES);
    assert_true(snprintf(copy, sizeof copy, "%s/copy", (const char *)*state) < PATH_BYTES);
    make_log(dir, log);
    prng_init(&prng, 7);
    off_t end = file_size(log) - TAIL_BYTES;
    for (int i = 0; i < FLIPS; i++)
        flip_in_copy(dir, copy, log, (off_t)prng_below(&prng, (uint64_t)end), (unsigned)prng_below(&prng, 8));
    /* Every bit of a record's header (checksum, length, type): a block of the log begins with one. */
    for (unsigned bit = 0; bit < HEADER_BYTES * 8; bit++)
        flip_in_copy(dir, copy, log, 3 * 32768 + bit / 8, bit % 8);
}

static void a_torn_tail_is_cut(void **state)
{
    char log[PATH_BYTES];
    make_log(*state, log);
    assert_int_equal(truncate(log, file_size(log) - VALUE_BYTES / 2), 0);
    struct store *s = open_ok(*state);
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS - 1);
    assert_int_equal(put(s, bytes_str("next"), row_text(1, "v"), true), KV_OK);
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS - 1);
    store_close(s);
}

/* Everything in one table file, nothing in the cache. */
static struct store *open_cold(const char *dir, char table[PATH_BYTES])
{
    struct store *s = open_ok(dir);
    put_numbered(s, ROWS, VALUE_BYTES, false);
    flush_rows(s);
    store_close(s);
    find_file(dir, ".sst", table);
    return open_ok(dir);
}

static void a_cold_block_is_left_to_a_reader_who_may_wait(void **state)
{
    char table[PATH_BYTES], text[KEY_TEXT_BYTES];
    struct store *s = open_cold(*state, table);
    struct bytes key = key_number(7, text);
    struct row row;
    assert_int_equal(store_read(s, key, STORE_CACHED, false, &row), KV_E_AGAIN);
    assert_true(row_is_absent(&row));
    assert_int_equal(store_read(s, key, STORE_ANY, true, &row), KV_OK);
    assert_true(row.stamp.hlc == 8);
    assert_int_equal(store_read(s, key, STORE_CACHED, false, &row), KV_OK);
    assert_true(row.stamp.hlc == 8);
    row_release(&row);
    store_close(s);
}

/* The engine's iterator just ends at a damaged block: a page, a count, a pass must not. */
static void a_damaged_block_is_reported(void **state)
{
    char table[PATH_BYTES];
    struct store *s = open_cold(*state, table);
    store_close(s);
    flip_bit(table, file_size(table) / 3, 0);
    s = open_ok(*state);

    int damaged = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        char text[KEY_TEXT_BYTES];
        struct row row;
        int status = store_read(s, key_number(i, text), STORE_ANY, false, &row);
        assert_true(status == KV_E_CORRUPT || (status == KV_OK && row.stamp.hlc == i + 1));
        damaged += status == KV_E_CORRUPT;
        row_release(&row);
    }
    assert_in_range(damaged, 1, ROWS / 4);

    uint64_t rows;
    assert_int_equal(store_count(s, true, &rows), KV_E_CORRUPT);
    assert_true(rows == 0);

    struct arena arena;
    struct page_entry *entries;
    uint32_t count;
    struct cursor next;
    bool done;
    arena_init(&arena, 4 << 20);
    assert_int_equal(
        store_range(s, (struct cursor){0}, bytes_str(""), 1000, &arena, &entries, &count, &next, &done),
        KV_E_CORRUPT);
    assert_int_equal(count, 0);
    assert_false(done);
    arena_deinit(&arena);
    store_close(s);
}

static void noted_rows(struct store *s)
{
    static uint8_t value[VALUE_BYTES];
    for (uint32_t i = 0; i < ROWS; i++) {
        char text[KEY_TEXT_BYTES];
        assert_int_equal(put_noted(s, key_number(i, text), row_of(i + 1, value, sizeof value), 2, 0), KV_OK);
    }
    flush_rows(s);
}

/* Rows that are kept for somebody: those in the damaged block are named, and all others are there. */
static void a_damaged_block_holds_up_no_other_notes(void **state)
{
    char table[PATH_BYTES];
    struct store *s = open_ok(*state);
    noted_rows(s);
    store_close(s);
    find_file(*state, ".sst", table);
    flip_bit(table, file_size(table) / 3, 0);
    s = open_ok(*state);

    struct arena arena;
    struct buf at = {0};
    struct cursor after = {0};
    uint32_t seen = 0, unreadable = 0;
    arena_init(&arena, 4 << 20);
    for (bool done = false; !done; arena_reset(&arena)) {
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        assert_int_equal(store_hints(s, 2, after, 64, &arena, &entries, &count, &next, &done), KV_OK);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(entries[i].unreadable == row_is_absent(&entries[i].row));
            assert_true(entries[i].hint.hlc > 0);
            unreadable += entries[i].unreadable;
            row_release(&entries[i].row);
        }
        seen += count;
        assert_int_equal(buf_set(&at, next.key), KV_OK);
        after = (struct cursor){next.token, buf_bytes(&at)};
    }
    assert_int_equal(seen, ROWS);
    assert_in_range(unreadable, 1, ROWS / 4);
    buf_deinit(&at);
    arena_deinit(&arena);
    store_close(s);
}

static void a_missing_file_is_refused(void **state)
{
    char table[PATH_BYTES], path[PATH_BYTES];
    struct store *s = open_cold(*state, table);
    store_close(s);
    assert_int_equal(unlink(table), 0);
    open_refused(*state, KV_E_CORRUPT, "damaged");

    assert_true(snprintf(path, sizeof path, "%s/CURRENT", (const char *)*state) < PATH_BYTES);
    assert_int_equal(unlink(path), 0);
    open_refused(*state, KV_E_CORRUPT, "CURRENT");
}

/* The engine never asks who wrote the log before this one, so a lost one would be lost in silence. */
static void a_missing_log_is_refused(void **state)
{
    char log[PATH_BYTES];
    make_log(*state, log);
    assert_int_equal(unlink(log), 0);
    open_refused(*state, KV_E_CORRUPT, "damaged");
}

static void a_lost_manifest_is_refused(void **state)
{
    char table[PATH_BYTES];
    struct store *s = open_cold(*state, table);
    store_close(s);
    char manifest[PATH_BYTES], current[PATH_BYTES];
    assert_true(snprintf(current, sizeof current, "%s/CURRENT", (const char *)*state) < PATH_BYTES);
    int fd = open(current, O_RDONLY | O_CLOEXEC);
    char name[64] = {0};
    assert_true(read(fd, name, sizeof name - 1) > 0);
    close(fd);
    name[strcspn(name, "\n")] = '\0';
    assert_true(snprintf(manifest, sizeof manifest, "%s/%s", (const char *)*state, name) < PATH_BYTES);
    assert_int_equal(unlink(manifest), 0);
    open_refused(*state, KV_E_CORRUPT, "damaged");
}

/* ---- a process that dies: what it was told is written says the pipe, what is there says the store */

static int write_until_killed(const char *dir, bool sync)
{
    struct store *s = open_ok(dir);
    for (uint32_t i = 0;; i++) {
        char text[KEY_TEXT_BYTES];
        if (put(s, key_number(i, text), row_text(i + 1, "v"), sync) != KV_OK ||
            write(STDOUT_FILENO, &i, sizeof i) != sizeof i)
            return 1;
        if (i == 2000)
            raise(SIGKILL);
    }
}

static void killed_process_keeps_rows(const char *dir, const char *mode)
{
    int fd, status;
    pid_t child = start_self(mode, dir, &fd);
    uint32_t acknowledged = 0;
    for (uint32_t i; read(fd, &i, sizeof i) == sizeof i; acknowledged++)
        assert_int_equal(i, acknowledged);
    close(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(acknowledged, 2001);

    struct store *s = open_ok(dir);
    for (uint32_t i = 0; i < acknowledged; i++) {
        char text[KEY_TEXT_BYTES];
        struct row row;
        assert_int_equal(store_read(s, key_number(i, text), STORE_ANY, true, &row), KV_OK);
        assert_true(row.stamp.hlc == i + 1);
    }
    store_close(s);
}

static void a_killed_process_loses_nothing_synced(void **state)
{
    killed_process_keeps_rows(*state, "write-synced");
}

/* Not on the disk, but the kernel has it. */
static void a_killed_process_loses_nothing_unsynced(void **state)
{
    killed_process_keeps_rows(*state, "write-unsynced");
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return write_until_killed(argv[2], strcmp(argv[1], "write-synced") == 0);
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(a_flipped_bit_in_the_log_is_refused),
        CASE(no_flipped_bit_loses_rows_in_silence),
        CASE(a_torn_tail_is_cut),
        CASE(a_cold_block_is_left_to_a_reader_who_may_wait),
        CASE(a_damaged_block_is_reported),
        CASE(a_damaged_block_holds_up_no_other_notes),
        CASE(a_missing_file_is_refused),
        CASE(a_missing_log_is_refused),
        CASE(a_lost_manifest_is_refused),
        CASE(a_killed_process_loses_nothing_synced),
        CASE(a_killed_process_loses_nothing_unsynced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
