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
#include <time.h>
#include <unistd.h>

#define SPACE_RESERVE_BYTES (20u << 20) /* one flush of the largest buffer, and room to note it */
#define RECOVER_EVERY_MS    250u /* while writes are refused, one of them so often tries to change that */
#define REOPEN_EXTRA_BYTES  (4u << 20) /* beside what the log becomes when it is flushed */

static uint64_t log_bytes(const char *dir)
{
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    if (!d)
        return LOG_MAX_BYTES;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        struct stat st;
        if (is_log_name(e->d_name) && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
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

/* Readers wait only for the replay: that the background threads stop, which takes up to a second because one
 * that failed sleeps on it, is waited for before the gate is shut. */
static int reopen(struct store *s)
{
    char error[STORE_ERROR_MAX];
    if (s->db)
        rocksdb_cancel_all_background_work(s->db, 1);
    pthread_rwlock_wrlock(&s->gate);
    engine_stop(s);
    int status = engine_start(s, error);
    pthread_rwlock_unlock(&s->gate);
    return status;
}

static int reserve_check(struct store *s, uint64_t bytes)
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
    return reserve_check(s, 0);
}

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int space_check(struct store *s, uint64_t bytes)
{
    if (s->refused) {
        uint64_t now_ms = mono_ms();
        if (now_ms - s->tried_ms < RECOVER_EVERY_MS)
            return KV_E_FULL;
        s->tried_ms = now_ms;
        int status = store_recover(s);
        if (status != KV_OK)
            return status;
    }
    return reserve_check(s, bytes);
}
