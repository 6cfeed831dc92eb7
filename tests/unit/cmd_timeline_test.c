/* The arithmetic of availability on histories made by hand: every figure can be counted on one's fingers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_timeline.h"
#include "kv_error.h"

#define MS UINT64_C(1000000)

static struct history history;
static struct timeline timeline;

static int set_up(void **state)
{
    (void)state;
    history_init(&history, 1000000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    timeline_deinit(&timeline);
    history_deinit(&history);
    return 0;
}

/* Times in ms. */
static void add(enum history_kind kind, const char *key, const char *value, uint64_t start, uint64_t end,
                enum history_outcome outcome)
{
    struct history_op op = {.kind = (uint8_t)kind,
                            .outcome = (uint8_t)outcome,
                            .start_ns = start * MS,
                            .end_ns = end * MS,
                            .value = HISTORY_ABSENT};
    assert_int_equal(history_key(&history, bytes_str(key), &op.key), KV_OK);
    if (value)
        assert_int_equal(history_value(&history, bytes_str(value), &op.value), KV_OK);
    assert_int_equal(history_append(&history, &op), KV_OK);
}

static void put(const char *key, const char *value, uint64_t start, uint64_t end)
{
    add(HISTORY_PUT, key, value, start, end, HISTORY_OK);
}

static void get(const char *key, const char *value, uint64_t start, uint64_t end)
{
    add(HISTORY_GET, key, value, start, end, HISTORY_OK);
}

static void judge(uint64_t skew_ms)
{
    timeline_deinit(&timeline);
    assert_int_equal(timeline_init(&timeline, &history, skew_ms * MS), KV_OK);
}

static struct timeline_span measure(uint64_t begin, uint64_t end)
{
    struct timeline_span s = {.begin_ns = begin * MS, .end_ns = end * MS};
    assert_int_equal(timeline_measure(&timeline, &s), KV_OK);
    return s;
}

static void test_nothing(void **state)
{
    (void)state;
    judge(0);
    struct timeline_span s = measure(0, 100);
    assert_int_equal(s.ops, 0);
    assert_int_equal(s.recovery_ns, 0);
    assert_int_equal(s.gap_ns, 100 * MS);
    assert_int_equal(s.max_us, 0);
    assert_true(timeline_available_percent(&s) == 100.0);
}

/* Twenty puts, one each 100 ms, of 10 ms each; those of 300, 400 and 500 fail after 50 ms. */
static void outage(void)
{
    char value[16];
    for (uint64_t i = 0; i < 20; i++) {
        bool fails = i >= 3 && i <= 5;
        snprintf(value, sizeof value, "v%d", (int)i);
        add(HISTORY_PUT, "k", value, i * 100, i * 100 + (fails ? 50 : 10),
            fails ? HISTORY_UNKNOWN : HISTORY_OK);
    }
}

static void test_an_outage(void **state)
{
    (void)state;
    outage();
    judge(0);
    struct timeline_span s = measure(0, 2000);
    assert_int_equal(s.ops, 20);
    assert_int_equal(s.failed, 3);
    assert_true(timeline_available_percent(&s) == 85.0);
    assert_int_equal(s.recovery_ns, 550 * MS); /* the end of the last that failed */
    assert_int_equal(s.gap_ns, 400 * MS);      /* from 210 to 610 */
    assert_int_equal(s.p50_us, 10000);
    assert_int_equal(s.max_us, 10000); /* those that failed have no latency */
}

static void test_bounds_belong_to_the_later_span(void **state)
{
    (void)state;
    outage();
    judge(0);
    struct timeline_span s = measure(0, 300);
    assert_int_equal(s.ops, 3);
    assert_int_equal(s.failed, 0);
    assert_int_equal(s.recovery_ns, 0);
    s = measure(300, 301);
    assert_int_equal(s.ops, 1);
    assert_int_equal(s.failed, 1);
    uint64_t ops = 0, failed = 0;
    for (uint64_t at = 0; at < 2000; at += 70) {
        s = measure(at, at + 70);
        ops += s.ops;
        failed += s.failed;
    }
    assert_int_equal(ops, 20);
    assert_int_equal(failed, 3);
}

/* Whether it is over is only known when it was quiet for a while afterwards. */
static void test_recovery_needs_quiet(void **state)
{
    (void)state;
    outage();
    judge(0);
    assert_int_equal(measure(300, 600).recovery_ns, TIMELINE_NEVER);
    assert_int_equal(measure(300, 999).recovery_ns, TIMELINE_NEVER);
    assert_int_equal(measure(300, 1000).recovery_ns, 250 * MS);
}

/* What began before the span may end in it: an answer is an answer. */
static void test_gap_counts_ends(void **state)
{
    (void)state;
    put("k", "a", 0, 350);
    put("k", "b", 390, 395);
    judge(0);
    assert_int_equal(measure(300, 400).gap_ns, 50 * MS);
    assert_int_equal(measure(300, 400).ops, 1);
}

static void test_quantiles_are_nearest_ranks(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 200; i++) {
        char value[16];
        snprintf(value, sizeof value, "v%d", (int)i);
        put("k", value, i, i + 201 - i); /* 200, 199, ... 1 ms */
        history.ops[i - 1].end_ns = history.ops[i - 1].start_ns + (201 - i) * MS;
    }
    judge(0);
    struct timeline_span s = measure(0, 1000);
    assert_int_equal(s.p50_us, 100000);
    assert_int_equal(s.p99_us, 198000);
    assert_int_equal(s.max_us, 200000);
}

static void test_missed(void **state)
{
    (void)state;
    get("k", NULL, 0, 5); /* before any put: nothing is there */
    add(HISTORY_PUT, "k", "a", 10, 20, HISTORY_UNKNOWN);
    get("k", NULL, 30, 35); /* it may not have been applied */
    put("k", "b", 40, 50);
    get("k", NULL, 45, 48); /* at the same time */
    get("k", NULL, 60, 65); /* this one missed it */
    add(HISTORY_GET, "k", NULL, 70, 75, HISTORY_UNKNOWN);
    judge(0);
    struct timeline_span s = measure(0, 100);
    assert_int_equal(s.ops, 7);
    assert_int_equal(s.failed, 2);
    assert_int_equal(s.missed, 1);
    assert_int_equal(s.recovery_ns, TIMELINE_NEVER);
    assert_int_equal(measure(60, 61).missed, 1);
    assert_int_equal(measure(60, 61).failed, 0);
}

static void test_stale(void **state)
{
    (void)state;
    put("k", "a", 0, 10);
    put("k", "b", 30, 40);
    get("k", "a", 35, 45); /* at the same time as b: no matter */
    get("k", "b", 50, 55);
    get("k", "a", 60, 65); /* stale */
    put("k", "c", 38, 70); /* began before b ended: either may be the newer */
    get("k", "b", 80, 85);
    get("other", "a", 90, 95); /* nothing is known of it */
    judge(0);
    struct timeline_span s = measure(0, 100);
    assert_int_equal(s.stale, 1);
    assert_int_equal(s.failed + s.missed, 0);
    assert_true(timeline_available_percent(&s) == 100.0);
    judge(25); /* with clocks that far apart, a may be the newer one */
    assert_int_equal(measure(0, 100).stale, 0);
}

/* What was put unknown and read is there: its put is no older than its end. */
static void test_unknown_puts(void **state)
{
    (void)state;
    add(HISTORY_PUT, "k", "a", 0, 100, HISTORY_UNKNOWN);
    put("k", "b", 20, 30);
    get("k", "a", 40, 45);
    judge(0);
    assert_int_equal(measure(0, 100).stale, 0);
}

static void test_keys_that_die_are_not_judged(void **state)
{
    (void)state;
    put("k", "a", 0, 10);
    add(HISTORY_DEL, "k", NULL, 20, 30, HISTORY_OK);
    get("k", NULL, 40, 50);
    put("t", "b", 0, 10);
    history.ops[history.count - 1].ttl_ns = 5 * MS;
    get("t", NULL, 40, 50);
    judge(0);
    assert_int_equal(measure(0, 100).missed, 0);
}

/* Against the definition, counted without any order: random histories of few keys. */
static void test_random(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 7);
    char key[16], value[32];
    for (int i = 0; i < 2000; i++) {
        uint64_t start = prng_below(&p, 5000), end = start + prng_below(&p, 40);
        snprintf(key, sizeof key, "k%d", (int)prng_below(&p, 5));
        snprintf(value, sizeof value, "%s-%d", key, (int)prng_below(&p, 400)); /* some were never put */
        bool is_put = i < 400;
        if (is_put)
            snprintf(value, sizeof value, "%s-%d", key, i);
        add(is_put ? HISTORY_PUT : HISTORY_GET, key, value, start, end,
            prng_below(&p, 10) ? HISTORY_OK : HISTORY_UNKNOWN);
    }
    judge(3);
    uint64_t stale = 0;
    for (size_t g = 0; g < history.count; g++) {
        const struct history_op *get_op = &history.ops[g], *of = NULL;
        bool newer = false;
        if (get_op->kind != HISTORY_GET || get_op->outcome != HISTORY_OK)
            continue;
        for (size_t i = 0; i < history.count; i++)
            if (history.ops[i].kind == HISTORY_PUT && history.ops[i].value == get_op->value)
                of = &history.ops[i];
        for (size_t i = 0; i < history.count && of; i++) {
            const struct history_op *q = &history.ops[i];
            newer = newer || (q->kind == HISTORY_PUT && q->key == get_op->key && q->outcome == HISTORY_OK &&
                              q->end_ns < get_op->start_ns && q->start_ns > of->end_ns + 3 * MS);
        }
        stale += newer;
    }
    assert_true(stale > 100);
    assert_int_equal(measure(0, 10000).stale, stale);
}

/* ---- the command ---- */

static char directory[] = "/tmp/cmd_timeline_test.XXXXXX";
static char history_file[64], events_file[64], output_file[64];
static char output[4096];

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Runs it with standard output kept. */
static int command(const struct bench_options *o)
{
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(output_file, "wb", stdout));
    int status = bench_timeline(o);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    FILE *f = fopen(output_file, "rb");
    assert_non_null(f);
    output[fread(output, 1, sizeof output - 1, f)] = 0;
    fclose(f);
    return status;
}

#define LINE(op, value, start, end, status)                                                         \
    "{\"client\":0,\"op\":\"" op "\",\"key\":\"k\"," value "\"start_ns\":" start ",\"end_ns\":" end \
    ",\"status\":\"" status "\"}\n"
#define CSV \
    "begin_ms,end_ms,ops,failed,missed,stale,available_percent,p50_us,p99_us,max_us,recovery_ms,gap_ms\n"

static void test_phases_and_buckets(void **state)
{
    (void)state;
    struct bench_options o = {
        .phases = true, .events = events_file, .file_count = 2, .files = {"timeline", history_file}};
    write_file(history_file, LINE("put", "\"value\":\"a\",", "1000000000", "1002000000", "ok")
                                 LINE("get", "\"value\":\"a\",", "1050000000", "1054000000", "ok")
                                     LINE("get", "", "1150000000", "1350000000", "timeout"));
    write_file(events_file, "1000000000\tbefore\n1100000000\ta kill\n");
    assert_int_equal(command(&o), 0);
    assert_string_equal(output, "phase," CSV "before,0.0,100.0,2,0,0,0,100.000,2000,4000,4000,0.0,52.0\n"
                                "a kill,100.0,350.0,1,1,0,0,0.000,0,0,0,,250.0\n");
    o.phases = false;
    o.json = true;
    o.bucket_ms = 200;
    assert_int_equal(command(&o), 0);
    assert_string_equal(
        output, "{\"begin_ms\":0.0,\"end_ms\":200.0,\"ops\":3,\"failed\":1,\"missed\":0,\"stale\":0,"
                "\"available_percent\":66.667,\"p50_us\":2000,\"p99_us\":4000,\"max_us\":4000,"
                "\"recovery_ms\":null,\"gap_ms\":146.0}\n"
                "{\"begin_ms\":200.0,\"end_ms\":400.0,\"ops\":0,\"failed\":0,\"missed\":0,\"stale\":0,"
                "\"available_percent\":100.000,\"p50_us\":0,\"p99_us\":0,\"max_us\":0,"
                "\"recovery_ms\":0.0,\"gap_ms\":200.0}\n");
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const char *const BAD[] = {"later\tname\n",      "1\n",        "1\t\n",       "2\ta\n1\tb\n",
                                      "1\twith, a comma\n", "1 no tab\n", "1\ta\n1\tb\n"};
    struct bench_options o = {
        .phases = true, .events = events_file, .file_count = 2, .files = {"timeline", history_file}};
    write_file(history_file, LINE("get", "", "1", "2", "not_found"));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        write_file(events_file, BAD[i]);
        assert_int_equal(command(&o), 2);
    }
    write_file(events_file, "1\ta\n");
    assert_int_equal(command(&o), 0);
    write_file(history_file, "no history\n");
    assert_int_equal(command(&o), 2);
    o.files[1] = "/nowhere/history";
    assert_int_equal(command(&o), 2);
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(history_file, sizeof history_file, "%s/history", directory);
    snprintf(events_file, sizeof events_file, "%s/events", directory);
    snprintf(output_file, sizeof output_file, "%s/output", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(history_file);
    unlink(events_file);
    unlink(output_file);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest TESTS[] = {
        cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_outage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds_belong_to_the_later_span, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recovery_needs_quiet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gap_counts_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quantiles_are_nearest_ranks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_puts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_that_die_are_not_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
        cmocka_unit_test(test_phases_and_buckets),
        cmocka_unit_test(test_files_that_are_none),
    };
    return cmocka_run_group_tests(TESTS, make_directory, remove_directory);
}
