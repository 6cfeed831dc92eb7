/* A full disk. Two lines of defence.
 *
 * The first: writes are refused while less than SPACE_RESERVE_BYTES are free, so that the engine itself
 * practically never runs out. It can then still flush, drop its log and compact, forgetting notes and raising
 * the clock's floor go on, and writes work again the moment there is space.
 *
 * The second: somebody else may take the last bytes, or a quota may end that statvfs does not see. A failed
 * write leaves the engine refusing all further ones, though reads go on. From ENOSPC it returns by itself,
 * but looks only every 5 s; from EDQUOT it never does. What always helps is to close it and open it anew,
 * which replays the log: everything acknowledged is there. Opening writes, so it is tried only when the room
 * it needs has been proven to be there. */
#include "store/engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_RESERVE_BYTES (20u << 20) /* one flush of the largest buffer, and room to note it */
#define REOPEN_EXTRA_BYTES  (4u << 20)  /* beside what the log becomes when it is flushed */

int space_check(struct store *s, uint64_t bytes)
{
    s->unwatched_bytes += bytes;
    if (s->unwatched_bytes < SPACE_LOOK_BYTES)
        return KV_OK;
    struct statvfs st;
    if (statvfs(s->dir, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < SPACE_RESERVE_BYTES + bytes) {
        s->unwatched_bytes = SPACE_LOOK_BYTES; /* ask again next time */
        return KV_E_FULL;
    }
    s->unwatched_bytes = 0;
    return KV_OK;
}

static uint64_t log_bytes(const char *dir)
{
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    if (!d)
        return LOG_MAX_BYTES;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        struct stat st;
        size_t len = strlen(e->d_name);
        if (len > 4 && strcmp(e->d_name + len - 4, ".log") == 0 && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
            sum += (uint64_t)st.st_size;
    }
    closedir(d);
    return sum;
}

/* Whether `bytes` can really be had: taken, and given back. The file loses its name at once, so that nothing
 * stays behind. */
static bool room_proven(const char *dir, uint64_t bytes)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/ROOM", dir) >= sizeof path)
        return false;
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    unlink(path);
    bool proven = posix_fallocate(fd, 0, (off_t)bytes) == 0;
    close(fd);
    return proven;
}

/* Whether the engine has come back by itself. */
static int try_write(struct store *s)
{
    return s->db ? store_meta_put(s, "store.probe", (struct bytes){NULL, 0}) : KV_E_FULL;
}

static int reopen(struct store *s)
{
    char error[STORE_ERROR_MAX];
    pthread_rwlock_wrlock(&s->gate);
    engine_stop(s);
    int status = engine_start(s, error);
    pthread_rwlock_unlock(&s->gate);
    return status;
}

int store_recover(struct store *s)
{
    int status = KV_OK;
    if (s->refused) {
        status = try_write(s);
        if (status == KV_E_FULL) {
            if (!room_proven(s->dir, log_bytes(s->dir) + REOPEN_EXTRA_BYTES))
                return KV_E_FULL;
            status = reopen(s);
        }
        if (status != KV_OK)
            return status;
        s->refused = false;
    }
    s->unwatched_bytes = SPACE_LOOK_BYTES;
    return space_check(s, 0);
}
