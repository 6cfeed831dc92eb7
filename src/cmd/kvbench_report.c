/* What a run prints. */
#include <jansson.h>
#include <stdlib.h>

#include "cmd/kvbench.h"

static const struct {
    const char *json, *text;
    double part;
} QUANTILES[] = {
    {"p50_us", "p50", 0.5},
    {"p90_us", "p90", 0.9},
    {"p99_us", "p99", 0.99},
    {"p999_us", "p99.9", 0.999},
};
#define QUANTILE_COUNT (sizeof QUANTILES / sizeof *QUANTILES)

static json_t *latency_json(const struct histogram *h)
{
    json_t *o = json_pack("{s:I}", "ops", (json_int_t)h->count);
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        json_object_set_new(o, QUANTILES[i].json,
                            json_integer((json_int_t)histogram_quantile(h, QUANTILES[i].part)));
    json_object_set_new(o, "max_us", json_integer((json_int_t)h->max));
    return o;
}

static void report_json(const struct bench_options *o, const char *phase, const struct bench_result *r)
{
    json_t *out = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "workload", o->workload ? o->workload : "load",
                            "phase", phase, "ops", (json_int_t)r->tally.ops, "seconds", r->seconds,
                            "ops_per_s", (double)r->tally.ops / r->seconds, "client_cpu_us_per_op",
                            r->cpu_s * 1e6 / (double)(r->tally.ops ? r->tally.ops : 1));
    json_t *failures = json_object();
    for (int i = 0; i < BS_COUNT; i++)
        if (i != BS_OK && i != BS_NOT_FOUND)
            json_object_set_new(failures, BENCH_STATUS_WORDS[i],
                                json_integer((json_int_t)r->tally.by_status[i]));
    json_object_set_new(out, "failures", failures);
    json_object_set_new(out, "not_found", json_integer((json_int_t)r->tally.by_status[BS_NOT_FOUND]));
    for (int i = 0; i < BENCH_OPS; i++)
        if (r->latency[i].count)
            json_object_set_new(out, BENCH_OP_WORDS[i], latency_json(&r->latency[i]));
    char *text = json_dumps(out, JSON_COMPACT);
    puts(text ? text : "{}");
    free(text);
    json_decref(out);
}

void bench_report(const struct bench_options *o, const char *phase, const struct bench_result *r)
{
    if (o->json) {
        report_json(o, phase, r);
        return;
    }
    printf("%s: %llu operations in %.1f s, %.0f/s\n", phase, (unsigned long long)r->tally.ops, r->seconds,
           (double)r->tally.ops / r->seconds);
    for (int i = 0; i < BS_COUNT; i++)
        if (r->tally.by_status[i])
            printf("  %-12s %10llu  %6.2f %%\n", BENCH_STATUS_WORDS[i],
                   (unsigned long long)r->tally.by_status[i],
                   100.0 * (double)r->tally.by_status[i] / (double)r->tally.ops);
    for (int i = 0; i < BENCH_OPS; i++) {
        const struct histogram *h = &r->latency[i];
        if (!h->count)
            continue;
        printf("  %-8s", BENCH_OP_WORDS[i]);
        for (size_t q = 0; q < QUANTILE_COUNT; q++)
            printf("  %s %llu", QUANTILES[q].text,
                   (unsigned long long)histogram_quantile(h, QUANTILES[q].part));
        printf("  max %llu us\n", (unsigned long long)h->max);
    }
}

int bench_verdict(const char *phase, const struct bench_tally *t)
{
    char sentence[BENCH_REASON_MAX + 100];
    enum exit_status status = bench_tally_verdict(t, sentence, sizeof sentence);
    if (status != EXIT_OK)
        fprintf(stderr, "kvbench: %s: %s\n", phase, sentence);
    return (int)status;
}
