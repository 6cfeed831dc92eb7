/* Out of memory on purpose (SQLite's way: fail the n-th allocation, for every n). The Makefile links tests
 * named
 * *_oom_test with --wrap, which sends their calls of malloc, calloc and realloc here. Include once per test.
 */
#ifndef UNIT_OOM_H
#define UNIT_OOM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int oom_left = INT_MAX; /* allocations that still succeed */
static int oom_hits;           /* allocations that were refused */

/* The next `n` allocations succeed, all after them fail. */
static inline void oom_after(int n)
{
    oom_left = n;
    oom_hits = 0;
}

/* Memory is back. Returns how many allocations were refused meanwhile. */
static inline int oom_end(void)
{
    oom_left = INT_MAX;
    return oom_hits;
}

static inline bool oom_now(void)
{
    if (oom_left == INT_MAX)
        return false;
    if (oom_left > 0) {
        oom_left--;
        return false;
    }
    oom_hits++;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return oom_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return oom_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return oom_now() ? NULL : __real_realloc(old, size);
}

#endif
