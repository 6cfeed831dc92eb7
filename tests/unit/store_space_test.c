/* A full disk and a failing one. The system calls that the engine writes with are replaced in this
 * executable, so that they fail when told; one case fills a real file system. */
#include "unit/store_support.h"

#include "model/key.h"
#include "store/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- faults: errno of every write (sync, statvfs) to files below the scratch directory; 0: none */

static _Atomic int write_fault;
static _Atomic int sync_fault;
static _Atomic int room_fault;
static _Atomic uint64_t free_bytes = UINT64_MAX; /* what statvfs says; 0: the truth */
static char *fault_dir;

/* Only the store's own files; the pipes and logs of the test go on. */
static bool is_target(int fd)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0 || !fault_dir)
        return false;
    path[len] = '\0';
    return strncmp(path, fault_dir, strlen(fault_dir)) == 0;
}

#define INTERPOSE __attribute__((visibility("default")))

INTERPOSE ssize_t write(int fd, const void *data, size_t len)
{
    int fault = write_fault;
    if (fault && is_target(fd)) {
        /* Half of it gets there, as on a disk that fills up in the middle. */
        if (len > 1)
            (void)!syscall(SYS_write, fd, data, len / 2);
        errno = fault;
        return -1;
    }
    return syscall(SYS_write, fd, data, len);
}

INTERPOSE int fdatasync(int fd)
{
    int fault = sync_fault;
    if (fault && is_target(fd)) {
        errno = fault;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

INTERPOSE int posix_fallocate(int fd, off_t at, off_t len)
{
    return room_fault ? room_fault : (syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0 : errno);
}

INTERPOSE int statvfs(const char *path, struct statvfs *out)
{
    uint64_t told = free_bytes;
    struct statfs truth;
    if (told) {
        *out = (struct statvfs){.f_frsize = 1, .f_bavail = told};
        return 0;
    }
    int failed = statfs(path, &truth);
    *out = (struct statvfs){.f_frsize = (unsigned long)truth.f_bsize, .f_bavail = truth.f_bavail};
    return failed;
}

static void no_faults(void)
{
    write_fault = sync_fault = room_fault = 0;
    free_bytes = UINT64_MAX;
}

static int setup(void **state)
{
    no_faults();
    int failed = scratch_setup(state);
    fault_dir = *state;
    return failed;
}

static int teardown(void **state)
{
    no_faults();
    fault_dir = NULL;
    return scratch_teardown(state);
}

/* ---- cases */

enum { ROWS = 100, VALUE_BYTES = 500 };

static int put_one(struct store *s)
{
    return put(s, bytes_str("one more"), row_text(1, "v"), true);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void assert_all_there(const char *dir, struct store *s, bool reopen)
{
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS);
    if (!reopen)
        return;
    struct row row;
    store_close(s);
    s = open_ok(dir);
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS);
    assert_int_equal(store_read(s, bytes_str("one more"), STORE_ANY, true, &row), KV_OK);
    assert_false(row_is_absent(&row));
    store_close(s);
}

/* The last of the disk is kept back: the engine never gets to see it full. */
static void writes_stop_before_the_disk_is_full(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    assert_int_equal(put_noted(s, bytes_str("noted"), row_text(5, "v"), 2, 0), KV_OK);
    static uint8_t mebibyte[1 << 20];
    free_bytes = 10 << 20;
    assert_int_equal(put(s, bytes_str("large"), row_of(1, mebibyte, sizeof mebibyte), true), KV_E_FULL);
    assert_int_equal(put_one(s), KV_E_FULL);
    assert_int_equal(store_recover(s), KV_E_FULL);
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS);
    /* What shrinks the store, or lets it go on later, may use the reserve. */
    assert_int_equal(store_meta_put(s, "floor", bytes_str("8 bytes!")), KV_OK);
    assert_int_equal(store_hint_done(s, 2, bytes_str("noted"), (struct stamp){5, 1}, true), KV_OK);

    free_bytes = 100 << 20;
    assert_int_equal(put_one(s), KV_OK); /* at once */
    assert_all_there(*state, s, true);
}

static void recovers_from(const char *dir, int error_number)
{
    struct store *s = open_ok(dir);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    write_fault = error_number;
    room_fault = error_number;
    for (int i = 0; i < 3; i++)
        assert_int_equal(put_one(s), KV_E_FULL);
    assert_int_equal(store_meta_put(s, "floor", bytes_str("v")), KV_E_FULL);
    assert_int_equal(store_recover(s), KV_E_FULL);
    assert_all_there(dir, s, false);

    no_faults();
    assert_int_equal(store_recover(s), KV_OK);
    assert_int_equal(put_one(s), KV_OK);
    assert_all_there(dir, s, true);
}

static void recovers_from_a_full_disk(void **state)
{
    recovers_from(*state, ENOSPC);
}

/* To the engine an exceeded quota is a broken disk: it would never write again. */
static void recovers_from_an_exceeded_quota(void **state)
{
    recovers_from(*state, EDQUOT);
}

/* Nobody calls store_recover while writes keep coming. */
static void writes_recover_by_themselves(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    write_fault = room_fault = EDQUOT;
    assert_int_equal(put_one(s), KV_E_FULL);
    no_faults();
    double begin = seconds();
    while (put_one(s) != KV_OK) {
        assert_true(seconds() - begin < 1.0);
        usleep(10000);
    }
    assert_all_there(*state, s, true);
}

/* No space for a sync: some file systems allocate only then. */
static void a_sync_without_space_is_a_full_disk(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    sync_fault = room_fault = ENOSPC;
    assert_int_equal(put_one(s), KV_E_FULL);
    no_faults();
    assert_int_equal(store_recover(s), KV_OK);
    assert_int_equal(put_one(s), KV_OK);
    assert_all_there(*state, s, true);
}

/* Any other failure is final: no retry may acknowledge what the kernel has dropped. */
static void a_failed_sync_is_final(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    sync_fault = EIO;
    assert_int_equal(put_one(s), KV_E_IO);
    sync_fault = 0;
    assert_int_equal(put_one(s), KV_E_IO);
    assert_int_equal(store_meta_put(s, "floor", bytes_str("v")), KV_E_IO);
    assert_all_there(*state, s, false);
    store_close(s);
}

static void a_failed_write_is_final(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    write_fault = EIO;
    assert_int_equal(put_one(s), KV_E_IO);
    write_fault = 0;
    assert_int_equal(put_one(s), KV_E_IO);
    store_close(s);
    s = open_ok(*state);
    assert_all_there(*state, s, false);
    store_close(s);
}

static void no_trees(struct store *s, const uint32_t *partitions, size_t count)
{
    struct store_tree tree;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(store_tree_hash(s, partitions[i], Q, false, &tree), KV_OK);
        assert_int_equal(store_tree_keep(s, &tree), tree.more ? KV_E_FULL : KV_OK);
    }
}

/* Another key in the partition of the first, whose leaf is not marked together with that one's. */
static uint32_t neighbour(void)
{
    char text[KEY_TEXT_BYTES];
    uint64_t first = key_token(key_number(0, text)), token;
    uint32_t number = 0;
    do
        token = key_token(key_number(++number, text));
    while (token_partition(token, Q) != token_partition(first, Q) ||
           token_leaf(token, Q) / MARKED_LEAVES == token_leaf(first, Q) / MARKED_LEAVES);
    return number;
}

/* What a failed write has left in the log nobody knows: trees are true all the same, also after a next write,
 * and when the process dies behind it. */
static void fail_and_go_on(const char *dir, uint64_t hlc, _Atomic int *fault, int error_number, uint32_t next)
{
    static const uint32_t all[Q] = {0, 1, 2, 3};
    char text[KEY_TEXT_BYTES];
    struct store *s = open_ok(dir);
    check_trees(s);
    *fault = room_fault = error_number;
    assert_int_equal(put(s, key_number(0, text), row_text(hlc, "v"), true), KV_E_FULL);
    no_trees(s, all, Q);
    no_faults();
    assert_int_equal(store_recover(s), KV_OK);
    assert_int_equal(put(s, key_number(next, text), row_text(hlc + 1, "v"), true), KV_OK);
    store_close(s);
    s = open_ok(dir);
    check_trees(s);
    store_close(s);
}

static void trees_do_not_trust_a_failed_write(void **state)
{
    static _Atomic int *const faults[] = {&write_fault, &sync_fault};
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    store_close(s);
    for (uint32_t i = 0; i < 8; i++)
        fail_and_go_on(*state, 1000 + 2 * i, faults[i % 2], i < 4 ? ENOSPC : EDQUOT,
                       i / 2 % 2 ? neighbour() : 0);
}

static void a_tree_is_not_begun_on_a_full_disk(void **state)
{
    struct store *s = open_ok(*state);
    struct store_tree tree;
    put_numbered(s, ROWS, VALUE_BYTES, true);
    free_bytes = 10 << 20;
    static uint8_t mebibyte[1 << 20];
    assert_int_equal(put(s, bytes_str("large"), row_of(1, mebibyte, sizeof mebibyte), true), KV_E_FULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_tree_hash(s, 0, Q, false, &tree), KV_OK);
        assert_true(tree.more);
        assert_int_equal(store_tree_keep(s, &tree), KV_E_FULL);
    }
    no_faults();
    check_trees(s);
    store_close(s);
}

static void opening_on_a_full_disk_says_so(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, VALUE_BYTES, true);
    store_close(s);
    write_fault = ENOSPC;
    open_refused(*state, KV_E_FULL, "space");
    write_fault = EDQUOT;
    open_refused(*state, KV_E_FULL, "space");
    no_faults();
    s = open_ok(*state);
    assert_int_equal(count_numbered(s, ROWS, VALUE_BYTES), ROWS);
    store_close(s);
}

/* ---- readers go on while the engine is closed and opened under them */

struct reader {
    struct store *store;
    _Atomic bool stop;
    uint64_t reads;
};

static void *read_all_the_time(void *arg)
{
    struct reader *r = arg;
    struct arena arena;
    arena_init(&arena, 4 << 20);
    while (!r->stop) {
        struct row row;
        char text[KEY_TEXT_BYTES];
        struct bytes key = key_number((uint32_t)(r->reads++ % ROWS), text);
        int status = store_read(r->store, key, r->reads % 2 ? STORE_ANY : STORE_CACHED, false, &row);
        KV_ASSERT(status == KV_E_AGAIN || (status == KV_OK && !row_is_absent(&row)));
        row_release(&row);
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        bool done;
        KV_ASSERT(store_range(r->store, (struct cursor){0}, bytes_str("key-"), 1000, &arena, &entries, &count,
                              &next, &done) == KV_OK);
        KV_ASSERT(count == ROWS);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    return NULL;
}

static void readers_go_on_during_recovery(void **state)
{
    struct reader r = {.store = open_ok(*state)};
    put_numbered(r.store, ROWS, VALUE_BYTES, true);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &r), 0);
    for (int i = 0; i < 10; i++) {
        write_fault = EDQUOT;
        assert_int_equal(put_one(r.store), KV_E_FULL);
        no_faults();
        assert_int_equal(store_recover(r.store), KV_OK);
        assert_int_equal(put_one(r.store), KV_OK);
    }
    r.stop = true;
    pthread_join(thread, NULL);
    assert_true(r.reads > 10);
    assert_all_there(*state, r.store, true);
}

/* ---- a real file system, filled to the brim by somebody else; in a child, because it needs a namespace */

static int no_namespace(void)
{
    fprintf(stderr, "no mount namespace of our own: %s\n", strerror(errno));
    return 77;
}

static void fill(const char *path)
{
    static char zeros[1 << 16];
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (syscall(SYS_write, fd, zeros, sizeof zeros) > 0)
        ;
    while (syscall(SYS_write, fd, zeros, 1) > 0)
        ;
    close(fd);
}

/* Writes until the file system is full, the last of it taken by somebody else; makes room; how many seconds
 * it took until writes worked again. */
static double fill_and_recover(const char *data, const char *filler)
{
    enum { FILL_AFTER = 500, ROWS_MAX = 20000 };
    struct store *s = open_ok(data);
    static uint8_t value[10000];
    uint64_t rows, before;
    uint32_t written = 0;
    int status = KV_OK;
    assert_int_equal(store_count(s, true, &before), KV_OK);
    while (status == KV_OK && written < ROWS_MAX) {
        char text[KEY_TEXT_BYTES];
        if (written == FILL_AFTER)
            fill(filler);
        status = put(s, key_number((uint32_t)before + written, text), row_of(1, value, sizeof value), true);
        written += status == KV_OK;
    }
    assert_int_equal(status, KV_E_FULL);
    assert_true(written >= FILL_AFTER);
    assert_int_equal(put_one(s), KV_E_FULL);
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == before + written);

    assert_int_equal(unlink(filler), 0);
    double begin = seconds(), took;
    while (put_one(s) != KV_OK) {
        assert_true(seconds() - begin < 3.0); /* by itself the engine takes 5 */
        usleep(20000);
    }
    took = seconds() - begin;
    store_close(s);
    s = open_ok(data);
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == before + written + 1);
    struct row row;
    assert_int_equal(store_read(s, bytes_str("one more"), STORE_ANY, true, &row), KV_OK);
    assert_false(row_is_absent(&row));
    store_close(s);
    return took;
}

static void tmpfs_case(void **state)
{
    char data[PATH_BYTES], filler[PATH_BYTES];
    assert_true(snprintf(data, sizeof data, "%s/data", (char *)*state) < PATH_BYTES);
    assert_true(snprintf(filler, sizeof filler, "%s/filler", (char *)*state) < PATH_BYTES);
    free_bytes = UINT64_MAX; /* as with a quota that nothing tells of: the engine runs out */
    double engine = fill_and_recover(data, filler);
    free_bytes = 0;
    char other[PATH_BYTES];
    assert_true(snprintf(other, sizeof other, "%s/other", (char *)*state) < PATH_BYTES);
    double reserve = fill_and_recover(other, filler);
    printf("# writes again after %.2f s (the engine ran out), %.2f s (the reserve was reached)\n", engine,
           reserve);
    assert_true(reserve < 1.0);
}

static int on_small_tmpfs(char *dir)
{
    if (unshare(CLONE_NEWNS) != 0) {
        uid_t uid = getuid();
        char map[64];
        snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return no_namespace();
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_write, fd, map, strlen(map)) < 0)
            return no_namespace();
        close(fd);
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "tmpfs", 0, "size=160m") != 0)
        return no_namespace();
    const struct CMUnitTest tests[] = {
        {.name = "fills_a_tmpfs", .test_func = tmpfs_case, .initial_state = dir},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static void a_full_file_system(void **state)
{
    int status = run_self("tmpfs", *state);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return on_small_tmpfs(argv[2]);
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        CASE(a_full_file_system),
        CASE(writes_stop_before_the_disk_is_full),
        CASE(recovers_from_a_full_disk),
        CASE(recovers_from_an_exceeded_quota),
        CASE(writes_recover_by_themselves),
        CASE(a_sync_without_space_is_a_full_disk),
        CASE(a_failed_sync_is_final),
        CASE(a_failed_write_is_final),
        CASE(trees_do_not_trust_a_failed_write),
        CASE(a_tree_is_not_begun_on_a_full_disk),
        CASE(opening_on_a_full_disk_says_so),
        CASE(readers_go_on_during_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
