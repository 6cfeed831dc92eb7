/* What the engine does not check in its own log. Its recovery verifies every record's checksum, with one
 * exception: a record whose type says that the log file was recycled from an older one, and whose log number
 * differs, is taken for the end of the log before anything is verified. So one flipped bit in one byte of
 * a record's header, for example 4 (last) -> 5 (recycled, full), silently drops every acknowledged row behind
 * it. This store never recycles logs, so such a type is always damage, and looked for here before the engine
 * opens.
 *
 * A log is a run of blocks; a record never crosses the end of one (a longer one is cut into fragments):
 *
 *     | crc 4 | length 2, little-endian | type 1 | payload ... | next header ... | under 7 bytes: zeros |
 *
 * Only headers are looked at: lengths and payloads are what the engine's checksums are for. */
#include "store/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BLOCK_BYTES    32768u
#define HEADER_BYTES   7u
#define LENGTH_AT      4u
#define TYPE_AT        6u
#define RECYCLED_FIRST 5u
#define RECYCLED_LAST  8u

static bool block_ok(const uint8_t *block, size_t len)
{
    size_t at = 0;
    while (at + HEADER_BYTES <= len) {
        const uint8_t *header = block + at;
        unsigned length = header[LENGTH_AT] | (unsigned)header[LENGTH_AT + 1] << 8;
        unsigned type = header[TYPE_AT];
        if (type >= RECYCLED_FIRST && type <= RECYCLED_LAST)
            return false;
        if (type == 0 && length == 0)
            return true; /* reserved and never written */
        at += HEADER_BYTES + length;
    }
    return true;
}

/* Fills the block; short only at the end of the file. -1: errno. */
static ssize_t read_block(int fd, uint8_t block[BLOCK_BYTES])
{
    size_t len = 0;
    while (len < BLOCK_BYTES) {
        ssize_t n = read(fd, block + len, BLOCK_BYTES - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int check_log(int fd, const char *dir, const char *name, char error[STORE_ERROR_MAX])
{
    uint8_t block[BLOCK_BYTES];
    uint64_t at = 0;
    for (ssize_t len; (len = read_block(fd, block)) != 0; at += (uint64_t)len) {
        if (len < 0) {
            snprintf(error, STORE_ERROR_MAX, "cannot read the log %s/%s: %s", dir, name, strerror(errno));
            return KV_E_IO;
        }
        if (!block_ok(block, (size_t)len)) {
            snprintf(error, STORE_ERROR_MAX,
                     "the store in %s is damaged and cannot vouch for what it acknowledged, so it is not "
                     "opened: move it away, and the node joins again as a new member (%s: a record of an "
                     "impossible type in the block at %llu)",
                     dir, name, (unsigned long long)at);
            return KV_E_CORRUPT;
        }
    }
    return KV_OK;
}

int logs_check(const char *dir, char error[STORE_ERROR_MAX])
{
    DIR *d = opendir(dir);
    int status = KV_OK;
    for (const struct dirent *e = d ? readdir(d) : NULL; e && status == KV_OK; e = readdir(d)) {
        if (!is_log_name(e->d_name))
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue; /* another process has just dropped it: that the store is in use is said by the lock */
        status = check_log(fd, dir, e->d_name, error);
        close(fd);
    }
    if (d)
        closedir(d);
    return status;
}
