#include "cmd/kvbench_tally.h"

#include <stdio.h>

#include "kv_error.h"

const char *const BENCH_STATUS_WORDS[BS_COUNT] = {"ok",         "not_found", "unavailable", "timeout",
                                                  "overloaded", "refused",   "no_node"};

enum bench_status bench_status_of(int status)
{
    switch (status) {
    case KV_OK: return BS_OK;
    case KV_E_NOT_FOUND: return BS_NOT_FOUND;
    case KV_E_UNAVAILABLE: return BS_UNAVAILABLE;
    case KV_E_TIMEOUT: return BS_TIMEOUT;
    case KV_E_OVERLOADED: return BS_OVERLOADED;
    case KV_E_NO_NODE: return BS_NO_NODE;
    default: return BS_REFUSED;
    }
}

void bench_first_line(struct bytes said, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < said.len && len + 1 < size && said.data[i] != '\r' && said.data[i] != '\n'; i++)
        if (said.data[i] >= ' ' && said.data[i] <= '~')
            out[len++] = (char)said.data[i];
    out[len] = '\0';
}

void bench_tally_add(struct bench_tally *t, enum bench_status status, uint64_t count, struct bytes reason)
{
    t->ops += count;
    if (t->by_status[status] == 0)
        bench_first_line(reason, t->reason[status], sizeof t->reason[status]);
    t->by_status[status] += count;
}

uint64_t bench_tally_failed(const struct bench_tally *t)
{
    return t->ops - t->by_status[BS_OK] - t->by_status[BS_NOT_FOUND];
}

enum exit_status bench_tally_verdict(const struct bench_tally *t, char *sentence, size_t size)
{
    static const enum exit_status EXITS[BS_COUNT] = {
        [BS_UNAVAILABLE] = EXIT_UNAVAILABLE, [BS_TIMEOUT] = EXIT_TIMEOUT, [BS_OVERLOADED] = EXIT_REFUSED,
        [BS_REFUSED] = EXIT_REFUSED,         [BS_NO_NODE] = EXIT_NO_NODE,
    };
    if (bench_tally_failed(t) < t->ops || t->ops == 0)
        return EXIT_OK;
    int most = BS_UNAVAILABLE;
    for (int i = most + 1; i < BS_COUNT; i++)
        most = t->by_status[i] > t->by_status[most] ? i : most;
    snprintf(sentence, size, "none of %llu operations succeeded; %llu ended in %s: %s",
             (unsigned long long)t->ops, (unsigned long long)t->by_status[most], BENCH_STATUS_WORDS[most],
             t->reason[most]);
    return EXITS[most];
}
