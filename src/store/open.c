/* Opening and closing a data directory: what is wrong with it is said before the engine sees it where that is
 * possible, because the engine's words are for those who know it. */
#include "store/engine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const family_names[FAMILY_COUNT] = {
    [FAMILY_DEFAULT] = "default", [FAMILY_DATA] = "data", [FAMILY_HINTS] = "hints",
    [FAMILY_META] = "meta",       [FAMILY_TREE] = "tree",
};

const char *family_name(enum family family)
{
    return family_names[family];
}

static int errno_status(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT: return KV_E_FULL;
    case EACCES:
    case EPERM:
    case EROFS: return KV_E_NOT_PERMITTED;
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP: return KV_E_INVALID;
    case ENOMEM: return KV_E_NO_MEMORY;
    default: return KV_E_IO;
    }
}

static int refuse(char error[STORE_ERROR_MAX], const char *what, const char *dir, int error_number)
{
    snprintf(error, STORE_ERROR_MAX, "%s %s: %s", what, dir, strerror(error_number));
    return errno_status(error_number);
}

/* Makes the entry of a new directory durable in its parent: the engine syncs only what is inside. */
static int sync_parent(const char *dir)
{
    char *copy = strdup(dir);
    if (!copy)
        return ENOMEM;
    int failed = 0;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        failed = errno;
    if (fd >= 0)
        close(fd);
    free(copy);
    return failed;
}

static int make_dir(const char *dir, bool create, char error[STORE_ERROR_MAX])
{
    struct stat st;
    if (stat(dir, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return refuse(error, "cannot use as data directory", dir, ENOTDIR);
        return access(dir, R_OK | W_OK | X_OK) == 0
                   ? KV_OK
                   : refuse(error, "cannot write to the data directory", dir, errno);
    }
    if (errno != ENOENT)
        return refuse(error, "cannot look at the data directory", dir, errno);
    if (!create) {
        snprintf(error, STORE_ERROR_MAX, "there is no store in %s: no such directory", dir);
        return KV_E_NOT_FOUND;
    }
    if (mkdir(dir, 0777) != 0)
        return refuse(error, "cannot make the data directory", dir, errno);
    int failed = sync_parent(dir);
    return failed ? refuse(error, "cannot make durable the data directory", dir, failed) : KV_OK;
}

static bool is_numbered(const char *name, const char *suffix)
{
    size_t digits = 0;
    while (isdigit((unsigned char)name[digits]))
        digits++;
    return digits > 0 && strcmp(name + digits, suffix) == 0;
}

bool is_log_name(const char *name)
{
    return is_numbered(name, ".log");
}

struct content {
    bool current; /* the name of the list of files; the engine makes it first */
    bool options; /* ... and this last, when all of a new store is there */
    bool logs;    /* one at least, as long as a store lives */
    bool tables;
};

static int list_content(const char *dir, struct content *out, char error[STORE_ERROR_MAX])
{
    *out = (struct content){0};
    DIR *d = opendir(dir);
    if (!d)
        return refuse(error, "cannot read the data directory", dir, errno);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        out->current = out->current || strcmp(e->d_name, "CURRENT") == 0;
        out->options = out->options || strncmp(e->d_name, "OPTIONS-", 8) == 0;
        out->logs = out->logs || is_log_name(e->d_name);
        out->tables = out->tables || is_numbered(e->d_name, ".sst");
    }
    closedir(d);
    return KV_OK;
}

static int lacks(char error[STORE_ERROR_MAX], const char *dir, const char *what)
{
    snprintf(
        error, STORE_ERROR_MAX,
        "the store in %s is damaged and cannot vouch for what it acknowledged, so it is not opened: move "
        "it away, and the node joins again as a new member (%s missing)",
        dir, what);
    return KV_E_CORRUPT;
}

/* What the engine would not miss: without CURRENT it founds a new store in the midst of the old one's rows,
 * and a log that is gone was never there. */
static int check_content(const char *dir, bool create, char error[STORE_ERROR_MAX])
{
    struct content has;
    int status = list_content(dir, &has, error);
    if (status != KV_OK)
        return status;
    if (!has.current && (has.logs || has.tables))
        return lacks(error, dir, "the file CURRENT is");
    if (has.current && has.options && !has.logs)
        return lacks(error, dir, "all its logs are");
    if (!has.current && !create) {
        snprintf(error, STORE_ERROR_MAX, "there is no store in %s: the directory has none", dir);
        return KV_E_NOT_FOUND;
    }
    return logs_check(dir, error);
}

int engine_start(struct store *s, char error[STORE_ERROR_MAX])
{
    char *text = NULL;
    s->db =
        rocksdb_open_column_families(s->options, s->dir, FAMILY_COUNT, family_names,
                                     (const rocksdb_options_t *const *)s->family_options, s->families, &text);
    if (text)
        s->db = NULL;
    return engine_open_status(s->dir, text, error);
}

void engine_stop(struct store *s)
{
    if (!s->db)
        return;
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (s->families[i])
            rocksdb_column_family_handle_destroy(s->families[i]);
    rocksdb_close(s->db);
    s->db = NULL;
}

/* A writer that waits for the gate goes before new readers, or steady reading would keep the engine from ever
 * being opened anew. No reader enters twice. */
static void gate_init(pthread_rwlock_t *gate)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(gate, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

static int store_start(struct store *s, char error[STORE_ERROR_MAX])
{
    int status = engine_start(s, error);
    if (status != KV_OK)
        return status;
    status = members_load(s);
    if (status != KV_OK)
        snprintf(error, STORE_ERROR_MAX, "cannot read the notes in the store in %s: %s", s->dir,
                 kv_error_text(status));
    if (status != KV_OK)
        return status;
    status = tree_load(s);
    if (status != KV_OK)
        snprintf(error, STORE_ERROR_MAX, "cannot read the hash tree in the store in %s: %s", s->dir,
                 kv_error_text(status));
    return status;
}

int store_open(const char *dir, const struct store_options *options, struct store **out,
               char error[STORE_ERROR_MAX])
{
    *out = NULL;
    error[0] = '\0';
    int status = make_dir(dir, options->create, error);
    if (status == KV_OK)
        status = check_content(dir, options->create, error);
    if (status != KV_OK)
        return status;

    struct store *s = calloc(1, sizeof *s);
    char *dir_copy = strdup(dir);
    if (!s || !dir_copy) {
        free(dir_copy);
        free(s);
        snprintf(error, STORE_ERROR_MAX, "no memory to open the store in %s", dir);
        return KV_E_NO_MEMORY;
    }
    s->dir = dir_copy;
    s->unwatched_bytes = SPACE_LOOK_BYTES; /* the first write looks */
    hot_init(&s->hot);
    gate_init(&s->gate);
    pthread_mutex_init(&s->tree.lock, NULL);
    engine_options_create(s, options);
    status = store_start(s, error);
    if (status == KV_OK)
        *out = s;
    else
        store_close(s);
    return status;
}

void store_close(struct store *s)
{
    engine_stop(s);
    engine_options_destroy(s);
    pthread_rwlock_destroy(&s->gate);
    tree_deinit(s);
    free(s->members.ids);
    free(s->dir);
    free(s);
}
