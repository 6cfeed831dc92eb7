/* What a data directory can be besides a good one: each refusal has a code and a sentence with the path. */
#include "unit/store_support.h"

#include <fcntl.h>
#include <rocksdb/c.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void join(char path[PATH_BYTES], const char *dir, const char *name)
{
    assert_true(snprintf(path, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES);
}

static void a_new_store_is_made_and_found_again(void **state)
{
    char dir[PATH_BYTES];
    join(dir, *state, "new");
    store_close(open_ok(dir));
    store_close(open_ok(dir));
    struct store *s;
    char error[STORE_ERROR_MAX];
    assert_int_equal(store_open(dir, &(struct store_options){0}, &s, error), KV_OK);
    store_close(s);
}

static void none_is_made_unasked(void **state)
{
    char dir[PATH_BYTES], error[STORE_ERROR_MAX];
    struct store *s;
    join(dir, *state, "new");
    assert_int_equal(store_open(dir, &(struct store_options){0}, &s, error), KV_E_NOT_FOUND);
    assert_non_null(strstr(error, dir));
    assert_null(s);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(store_open(*state, &(struct store_options){0}, &s, error), KV_E_NOT_FOUND);
    assert_non_null(strstr(error, *state));
    assert_null(s);
}

static void a_file_is_refused(void **state)
{
    char path[PATH_BYTES];
    join(path, *state, "file");
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    open_refused(path, KV_E_INVALID, "Not a directory");
    join(path, *state, "file/below");
    open_refused(path, KV_E_INVALID, "Not a directory");
}

static void a_missing_parent_is_refused(void **state)
{
    char path[PATH_BYTES];
    join(path, *state, "nowhere/store");
    open_refused(path, KV_E_INVALID, "No such file or directory");
}

/* As somebody who is not root, whom nothing stops; in a child, so that this process stays who it is. */
static int open_as_nobody(const char *dir)
{
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 77;
    open_refused(dir, KV_E_NOT_PERMITTED, "Permission denied");
    char below[PATH_BYTES];
    join(below, dir, "new");
    open_refused(below, KV_E_NOT_PERMITTED, "Permission denied");
    return 0;
}

static void an_unwritable_directory_is_refused(void **state)
{
    assert_int_equal(chmod(*state, 0555), 0);
    int status = run_self("nobody", *state);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int hold_open(const char *dir)
{
    struct store *s = open_ok(dir);
    char byte = 'o';
    if (write(STDOUT_FILENO, &byte, 1) != 1)
        return 1;
    pause();
    store_close(s);
    return 0;
}

static void a_store_in_use_is_refused(void **state)
{
    int fd, status;
    char byte;
    pid_t holder = start_self("hold", *state, &fd);
    assert_int_equal(read(fd, &byte, 1), 1);
    open_refused(*state, KV_E_BUSY, "in use");
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    close(fd);

    struct store *s = open_ok(*state); /* the lock died with its holder */
    open_refused(*state, KV_E_BUSY, "in use");
    store_close(s);
    store_close(open_ok(*state));
}

/* What a later version may have added is not read as if it were not there. */
static void another_versions_store_is_refused(void **state)
{
    store_close(open_ok(*state));
    char *error = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    const char *names[] = {"default", "data", "hints", "meta", "tree"};
    const rocksdb_options_t *all[] = {options, options, options, options, options};
    rocksdb_column_family_handle_t *families[5];
    rocksdb_t *db = rocksdb_open_column_families(options, *state, 5, names, all, families, &error);
    assert_null(error);
    rocksdb_column_family_handle_t *later = rocksdb_create_column_family(db, options, "later", &error);
    assert_null(error);
    rocksdb_column_family_handle_destroy(later);
    for (int i = 0; i < 5; i++)
        rocksdb_column_family_handle_destroy(families[i]);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    open_refused(*state, KV_E_VERSION, "version");
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return strcmp(argv[1], "hold") == 0 ? hold_open(argv[2]) : open_as_nobody(argv[2]);
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(a_new_store_is_made_and_found_again),
        CASE(none_is_made_unasked),
        CASE(a_file_is_refused),
        CASE(a_missing_parent_is_refused),
        CASE(an_unwritable_directory_is_refused),
        CASE(a_store_in_use_is_refused),
        CASE(another_versions_store_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
