/* See store_support.h. */
#include "unit/store_support.h"

#include "model/key.h"
#include "store/engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void each_file(const char *dir, void (*visit)(const char *path, void *arg), void *arg)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[PATH_BYTES];
        if (e->d_name[0] == '.')
            continue;
        assert_true(snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < PATH_BYTES);
        visit(path, arg);
    }
    closedir(d);
}

int scratch_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    char *dir = malloc(PATH_BYTES);
    if (!dir)
        return -1;
    snprintf(dir, PATH_BYTES, "%s/store-test-XXXXXX", base && *base ? base : "/tmp");
    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static void remove_tree(const char *path, void *arg)
{
    (void)arg;
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        each_file(path, remove_tree, NULL);
        rmdir(path);
    } else {
        unlink(path);
    }
}

int scratch_teardown(void **state)
{
    remove_tree(*state, NULL);
    free(*state);
    return 0;
}

struct store *open_ok(const char *dir)
{
    struct store *s = NULL;
    char error[STORE_ERROR_MAX];
    int status = store_open(dir, &(struct store_options){.create = true}, &s, error);
    if (status != KV_OK)
        fail_msg("%s (%s)", error, kv_error_word(status));
    assert_string_equal(error, "");
    return s;
}

void open_refused(const char *dir, int status, const char *word)
{
    struct store *s = (struct store *)(void *)&s;
    char error[STORE_ERROR_MAX];
    int got = store_open(dir, &(struct store_options){.create = true}, &s, error);
    if (got == KV_OK)
        store_close(s);
    if (got != status)
        fail_msg("%s instead of %s: %s", kv_error_word(got), kv_error_word(status), error);
    assert_null(s);
    if (!strstr(error, word) || !strstr(error, dir))
        fail_msg("no \"%s\" or no path in: %s", word, error);
}

struct row row_of(uint64_t hlc, const void *value, size_t len)
{
    return (struct row){
        .kind = ROW_REGISTER,
        .raw_size = (uint32_t)len,
        .stamp = {.hlc = hlc, .origin = 1},
        .payload = blob_copy(bytes_of(value, len)),
    };
}

struct row row_text(uint64_t hlc, const char *value)
{
    return row_of(hlc, value, strlen(value));
}

struct row tombstone(uint64_t hlc)
{
    return (struct row){.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {.hlc = hlc, .origin = 1}};
}

int put(struct store *s, struct bytes key, struct row row, bool sync)
{
    struct store_put one = {.key = key, .row = row};
    uint64_t before = store_sequence(s), sequence = 0;
    int status = store_write(s, &one, 1, sync, &sequence);
    if (status == KV_OK)
        assert_true(sequence > before && sequence == store_sequence(s));
    row_release(&row);
    return status;
}

int put_noted(struct store *s, struct bytes key, struct row row, uint32_t first, uint32_t second)
{
    struct store_put one = {.key = key, .row = row, .hint_count = second ? 2 : 1, .hints = {first, second}};
    uint64_t sequence;
    int status = store_write(s, &one, 1, false, &sequence);
    row_release(&row);
    return status;
}

struct bytes key_number(uint32_t number, char text[KEY_TEXT_BYTES])
{
    snprintf(text, KEY_TEXT_BYTES, "key-%08u", number);
    return bytes_str(text);
}

/* Bytes that no compression and no accident reproduces. */
static void value_fill(uint8_t *value, size_t len, uint32_t number)
{
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(hash64_mix(((uint64_t)number << 32) + i / 8) >> (i % 8 * 8));
}

void put_numbered(struct store *s, uint32_t count, size_t value_bytes, bool sync)
{
    uint8_t *value = malloc(value_bytes + 1);
    assert_non_null(value);
    for (uint32_t i = 0; i < count; i++) {
        char text[KEY_TEXT_BYTES];
        value_fill(value, value_bytes, i);
        assert_int_equal(put(s, key_number(i, text), row_of(i + 1, value, value_bytes), sync), KV_OK);
    }
    free(value);
}

uint32_t count_numbered(struct store *s, uint32_t count, size_t value_bytes)
{
    uint8_t *value = malloc(value_bytes + 1);
    assert_non_null(value);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        char text[KEY_TEXT_BYTES];
        struct row row;
        assert_int_equal(store_read(s, key_number(i, text), STORE_ANY, false, &row), KV_OK);
        if (row_is_absent(&row))
            continue;
        value_fill(value, value_bytes, i);
        assert_true(row.stamp.hlc == i + 1);
        assert_true(bytes_eq(blob_bytes(row.payload), bytes_of(value, value_bytes)));
        row_release(&row);
        found++;
    }
    free(value);
    return found;
}

void purge_row(struct store *s, struct bytes key)
{
    char *error = NULL;
    struct engine_key k;
    data_key(&k, key_token(key), key);
    rocksdb_delete_cf(s->db, s->write_unsynced, s->families[FAMILY_DATA], (const char *)k.data, k.len,
                      &error);
    assert_null(error);
}

void flush_rows(struct store *s)
{
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush_cf(s->db, options, s->families[FAMILY_DATA], &error);
    assert_null(error);
    rocksdb_flush_cf(s->db, options, s->families[FAMILY_HINTS], &error);
    assert_null(error);
    rocksdb_flushoptions_destroy(options);
}

/* ---- trees */

/* What a pass over all rows says. */
static void true_hashes(struct store *s, uint64_t hashes[Q][TREE_LEAVES])
{
    struct arena arena;
    struct buf at = {0};
    struct cursor after = {0};
    memset(hashes, 0, Q * sizeof *hashes);
    arena_init(&arena, 4 << 20);
    for (bool done = false; !done;) {
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        assert_int_equal(store_range(s, after, bytes_str(""), 0, &arena, &entries, &count, &next, &done),
                         KV_OK);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t token = key_token(entries[i].key);
            hashes[token_partition(token, Q)][token_leaf(token, Q)] +=
                row_digest(entries[i].key, entries[i].row.stamp);
        }
        assert_int_equal(buf_set(&at, next.key), KV_OK);
        after = (struct cursor){next.token, buf_bytes(&at)};
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    buf_deinit(&at);
}

uint32_t tree_ask(struct store *s, uint32_t partition, bool rehash, uint64_t hashes[TREE_LEAVES])
{
    struct store_tree tree;
    uint32_t read = 0;
    for (int calls = 0; calls < 100; calls++) {
        assert_int_equal(store_tree_hash(s, partition, Q, rehash && calls == 0, &tree), KV_OK);
        assert_int_equal(store_tree_keep(s, &tree), KV_OK);
        read += (uint32_t)__builtin_popcountll(tree.leaves);
        if (tree.more)
            continue;
        memcpy(hashes, tree.hashes, sizeof tree.hashes);
        return read;
    }
    fail_msg("partition %u is never done", partition);
    return 0;
}

uint32_t check_trees(struct store *s)
{
    uint64_t truth[Q][TREE_LEAVES], hashes[TREE_LEAVES];
    uint32_t read = 0;
    true_hashes(s, truth);
    for (uint32_t p = 0; p < Q; p++) {
        read += tree_ask(s, p, false, hashes);
        for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++)
            if (hashes[leaf] != truth[p][leaf])
                fail_msg("leaf %u of partition %u is %llx instead of %llx", leaf, p,
                         (unsigned long long)hashes[leaf], (unsigned long long)truth[p][leaf]);
    }
    return read;
}

struct search {
    const char *suffix;
    char *path;
    off_t size;
};

static void keep_largest(const char *path, void *arg)
{
    struct search *s = arg;
    size_t len = strlen(path), suffix = strlen(s->suffix);
    if (len < suffix || strcmp(path + len - suffix, s->suffix) != 0 || file_size(path) <= s->size)
        return;
    s->size = file_size(path);
    strcpy(s->path, path);
}

void find_file(const char *dir, const char *suffix, char path[PATH_BYTES])
{
    struct search s = {.suffix = suffix, .path = path, .size = -1};
    each_file(dir, keep_largest, &s);
    assert_true(s.size >= 0);
}

off_t file_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

void flip_bit(const char *path, off_t at, unsigned bit)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (uint8_t)(byte ^ 1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void copy_file(const char *path, void *arg)
{
    const char *to_dir = arg;
    char to[PATH_BYTES];
    assert_true(snprintf(to, sizeof to, "%s%s", to_dir, strrchr(path, '/')) < PATH_BYTES);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(in >= 0 && out >= 0);
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        assert_int_equal(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
}

void copy_dir(const char *from, const char *to)
{
    remove_tree(to, NULL);
    assert_int_equal(mkdir(to, 0755), 0);
    union {
        const char *in;
        void *out;
    } arg = {.in = to};
    each_file(from, copy_file, arg.out);
}

pid_t start_self(const char *mode, const char *argument, int *read_fd)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "self", mode, argument, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *read_fd = ends[0];
    return child;
}

int run_self(const char *mode, const char *argument)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "self", mode, argument, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}
