/* The engine's C interface reports errors as texts only; what kind they are is in their beginning, and for a
 * full disk in the system's own words inside. */
#include "store/engine.h"

#include <stdio.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* "IO error: No space left on device: ..." has a class of its own in the engine; an exceeded quota is any
 * other i/o error to it, so there only errno's sentence tells. */
static bool is_full(const char *text)
{
    return begins(text, "IO error: No space left") || strstr(text, ": No space left on device") ||
           strstr(text, ": Disk quota exceeded") || begins(text, "Space limit reached");
}

static int classify(const char *text)
{
    if (is_full(text))
        return KV_E_FULL;
    if (begins(text, "Corruption"))
        return KV_E_CORRUPT;
    if (begins(text, "Result incomplete"))
        return KV_E_AGAIN; /* not in the cache, and the reader would not wait for the disk */
    return KV_E_IO;
}

int engine_status(char *error)
{
    if (!error)
        return KV_OK;
    int status = classify(error);
    rocksdb_free(error);
    return status;
}

/* The lock of another process, or of another open store in this one. */
static bool is_locked(const char *text)
{
    return begins(text, "IO error: While lock file:") ||
           begins(text, "IO error: lock hold by current process");
}

/* At open a file that is not there is damage too: something that the store's own lists name has gone. */
static int classify_open(const char *text)
{
    if (is_locked(text))
        return KV_E_BUSY;
    if (begins(text, "IO error: No such file"))
        return KV_E_CORRUPT;
    if (begins(text, "Invalid argument") || begins(text, "Not implemented"))
        return KV_E_VERSION;
    return classify(text);
}

int engine_open_status(const char *dir, char *error, char sentence[STORE_ERROR_MAX])
{
    if (!error)
        return KV_OK;
    int status = classify_open(error);
    const char *format = "cannot open the store in %s: %s";
    switch (status) {
    case KV_E_BUSY: format = "the store in %s is in use by another process (%s)"; break;
    case KV_E_CORRUPT:
        format = "the store in %s is damaged and cannot vouch for what it acknowledged, so it is not opened: "
                 "move it away, and the node joins again as a new member (%s)";
        break;
    case KV_E_FULL: format = "no space left on the disk to open the store in %s (%s)"; break;
    case KV_E_VERSION: format = "the store in %s was written by another version (%s)"; break;
    default: break;
    }
    /* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): one of the literals above */
    snprintf(sentence, STORE_ERROR_MAX, format, dir, error);
    rocksdb_free(error);
    return status;
}
