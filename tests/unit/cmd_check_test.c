/* kvbench check on files: planted violations are found and shown, a clean history of a million operations is
 * clean in seconds, and what is no history is refused. Without a cluster: the final values come from a dump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/prng.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_history.h"
#include "unit/rounds.h"

static char directory[] = "/tmp/cmd_check_test.XXXXXX";
static char history_file[64], final_file[64], output_file[64];
static struct buf output;

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Runs the check with standard output kept. */
static int check_files(const char *final)
{
    struct bench_options o = {
        .final = final, .no_final = !final, .skew_ms = 0, .file_count = 2, .files = {"check", history_file}};
    char block[4096];
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(output_file, "wb", stdout));
    int status = bench_check(&o);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    FILE *f = fopen(output_file, "rb");
    assert_non_null(f);
    buf_clear(&output);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        assert_int_equal(buf_append(&output, bytes_of(block, n)), KV_OK);
    assert_int_equal(buf_append_byte(&output, 0), KV_OK);
    fclose(f);
    return status;
}

static void expect_output(const char *text)
{
    if (!strstr((const char *)output.data, text))
        fail_msg("no '%s' in:\n%s", text, (const char *)output.data);
}

#define OP(client, op, key, value, start, end, more)                                              \
    "{\"client\":" #client ",\"op\":\"" op "\",\"key\":\"" key "\"," value "\"start_ns\":" #start \
    ",\"end_ns\":" #end ",\"status\":" more "}\n"
#define VALUE(v) "\"value\":\"" v "\","
#define STRICT   "\"ok\",\"strict\":true"
#define SLOPPY   "\"ok\""
#define ABSENT   "\"not_found\",\"strict\":true"

static void test_lost_put(void **state)
{
    (void)state;
    write_file(history_file, OP(0, "put", "k", VALUE("c0-1"), 10, 20, SLOPPY)
                                 OP(0, "put", "k", VALUE("c0-2"), 30, 40, SLOPPY)
                                     OP(1, "put", "never", VALUE("c1-1"), 10, 20, SLOPPY));
    write_file(final_file, "k\tc0-2.padding\nnever\tc1-1\n");
    assert_int_equal(check_files(final_file), 0);
    expect_output("\n2 keys, 3 puts, 3 acknowledged: 0 lost\n");
    write_file(final_file, "k\tc0-1.padding\n");
    assert_int_equal(check_files(final_file), 1);
    expect_output("\n2 keys, 3 puts, 3 acknowledged: 2 lost\n");
    expect_output("lost: key k: ");
    expect_output("    client 0  put c0-2 ok, 30 to 40 ns\n    in the end:  get -> c0-1\n");
    expect_output("lost: key never: ");
}

static void test_stale_strict_read(void **state)
{
    (void)state;
    write_file(history_file, OP(0, "put", "k", VALUE("c0-1"), 10, 20, STRICT)
                                 OP(0, "put", "k", VALUE("c0-2"), 30, 40, STRICT)
                                     OP(1, "get", "k", VALUE("c0-1"), 50, 60, STRICT));
    assert_int_equal(check_files(NULL), 1);
    expect_output("linear: key k: ");
    expect_output("linear: 1 all-strict keys: 1 contradictions\n");
    expect_output("1 keys, 2 puts, 2 acknowledged; what the store holds was not looked at\n");
}

static void test_read_that_goes_back(void **state)
{
    (void)state;
    write_file(history_file, OP(0, "put", "k", VALUE("c0-1"), 10, 20, STRICT)
                                 OP(0, "put", "k", VALUE("c0-2"), 30, 90, STRICT)
                                     OP(1, "get", "k", VALUE("c0-2"), 40, 50, STRICT)
                                         OP(1, "get", "k", VALUE("c0-1"), 60, 70, STRICT));
    assert_int_equal(check_files(NULL), 1);
    expect_output("own: key k: ");
    expect_output(
        "    client 1  strict get -> c0-2, 40 to 50 ns\n    client 1  strict get -> c0-1, 60 to 70 ns\n");
}

static void test_two_reads_in_opposite_orders(void **state)
{
    (void)state;
    write_file(history_file, OP(0, "put", "k", VALUE("c0-1"), 10, 100, STRICT)
                                 OP(1, "put", "k", VALUE("c1-1"), 10, 100, STRICT)
                                     OP(2, "get", "k", VALUE("c0-1"), 20, 30, STRICT)
                                         OP(2, "get", "k", VALUE("c1-1"), 40, 50, STRICT)
                                             OP(3, "get", "k", VALUE("c1-1"), 21, 31, STRICT)
                                                 OP(3, "get", "k", VALUE("c0-1"), 41, 51, STRICT));
    assert_int_equal(check_files(NULL), 1);
    expect_output("linear: 1 all-strict keys: 1 contradictions\n");
}

static void test_resurrected_delete(void **state)
{
    (void)state;
    write_file(history_file,
               OP(0, "put", "k", VALUE("c0-1"), 10, 20, STRICT) OP(0, "del", "k", , 30, 40, STRICT)
                   OP(1, "get", "k", , 50, 60, ABSENT) OP(1, "get", "k", VALUE("c0-1"), 70, 80, STRICT));
    assert_int_equal(check_files(NULL), 1);
    expect_output("absent: key k: ");
    expect_output("    client 0  strict delete ok, 30 to 40 ns\n");
    expect_output("absent: 1 values read: 1 back from the dead\n");
}

/* Values from before the history, refusals, doubts: nothing of this is the store's fault. */
static void test_what_is_allowed(void **state)
{
    (void)state;
    write_file(history_file,
               OP(0, "get", "k", VALUE("older-run"), 1, 2, STRICT)
                   OP(0, "put", "k", VALUE("c0-1"), 10, 20, "\"timeout\",\"strict\":true,\"unknown\":true")
                       OP(0, "put", "k", VALUE("c0-2"), 10, 20, "\"unavailable\",\"strict\":true")
                           OP(1, "get", "k", , 30, 40, "\"timeout\",\"strict\":true")
                               OP(1, "get", "k", VALUE("c0-1"), 50, 60, STRICT));
    write_file(final_file, "k\tc0-1\nother\tx\n");
    assert_int_equal(check_files(final_file), 0);
    expect_output("1 keys, 2 puts, 0 acknowledged: 0 lost\n");
}

/* ---- the format ---- */

static struct history_line last;
static char last_key[64], last_value[64];

static int keep(const struct history_line *l, void *arg)
{
    ++*(uint32_t *)arg;
    last = *l;
    snprintf(last_key, sizeof last_key, "%s", l->key);
    snprintf(last_value, sizeof last_value, "%s", l->value ? l->value : "");
    return KV_OK;
}

static int read_text(const char *text, uint32_t *count, uint64_t *bad)
{
    write_file(history_file, text);
    FILE *f = fopen(history_file, "rb");
    assert_non_null(f);
    *count = 0;
    int rc = history_read(f, keep, count, bad);
    fclose(f);
    return rc;
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    static const char *const KEYS[] = {"plain", "with \"quotes\" and \\", "tab\tand\nnewline\x01",
                                       "caf\xc3\xa9", ""};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        const struct history_line line = {.client = 7,
                                          .op = HISTORY_PUT,
                                          .key = KEYS[i],
                                          .value = "c7-1",
                                          .start_ns = 123456789012345678,
                                          .end_ns = 123456789012345679,
                                          .ttl_ns = i,
                                          .status = KV_E_TIMEOUT,
                                          .strict = i & 1,
                                          .unknown = true};
        uint32_t count = 0;
        uint64_t bad;
        FILE *f = fopen(history_file, "wb");
        assert_non_null(f);
        assert_int_equal(history_write(f, &line), KV_OK);
        fclose(f);
        f = fopen(history_file, "rb");
        assert_non_null(f);
        assert_int_equal(history_read(f, keep, &count, &bad), KV_OK);
        fclose(f);
        assert_int_equal(count, 1);
        assert_string_equal(last_key, KEYS[i]);
        assert_string_equal(last_value, "c7-1");
        assert_true(last.client == 7 && last.op == HISTORY_PUT && last.start_ns == line.start_ns &&
                    last.end_ns == line.end_ns && last.ttl_ns == i && last.status == KV_E_TIMEOUT &&
                    last.strict == (i & 1) && last.unknown);
    }
}

static void test_other_ways_to_write_a_line(void **state)
{
    (void)state;
    uint32_t count;
    uint64_t bad;
    assert_int_equal(
        read_text(" { \"status\" : \"ok\", \"end_ns\":5 ,\"start_ns\":4,\"key\":\"k\",\"op\":\"get\","
                  "\"client\":0 } \r\n"
                  "{\"client\":0,\"op\":\"get\",\"key\":\"\\u006b\",\"value\":null,\"start_ns\":4,"
                  "\"end_ns\":5,\"status\":\"ok\",\"more\":{\"a\":[1,2.5]}}",
                  &count, &bad),
        KV_OK);
    assert_int_equal(count, 2);
    assert_string_equal(last_key, "k");
    assert_null(last.value);
}

static void test_no_history(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "{}",
        "{",
        "[1]",
        "hello",
        "{\"client\":0,\"op\":\"get\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"} x",
        "{\"client\":0,\"op\":\"get\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\",}",
        "{\"client\":0,\"op\":\"eat\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
        "{\"client\":0,\"op\":\"put\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
        "{\"client\":0,\"op\":\"get\",\"key\":\"k\",\"start_ns\":3,\"end_ns\":2,\"status\":\"ok\"}",
        "{\"client\":0,\"op\":\"get\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"fine\"}",
        "{\"client\":-1,\"op\":\"get\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
        "{\"client\":\"0\",\"op\":\"get\",\"key\":\"k\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
        "{\"client\":0,\"op\":\"get\",\"key\":5,\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
        OP(0, "get", "k", , 1, 99999999999999999999, SLOPPY),
        "{\"client\":0,\"op\":\"get\",\"key\":\"\xff\",\"start_ns\":1,\"end_ns\":2,\"status\":\"ok\"}",
    };
    char text[512];
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        uint32_t count;
        uint64_t bad = 0;
        snprintf(text, sizeof text, OP(0, "get", "k", , 1, 2, SLOPPY) "%s\n", BAD[i]);
        if (read_text(text, &count, &bad) != KV_E_MALFORMED)
            fail_msg("accepted: %s", BAD[i]);
        assert_int_equal(count, 1);
        assert_int_equal(bad, 2);
    }
    assert_int_equal(check_files(NULL), 2);
}

/* ---- size ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A register a key, each operation an instant somewhere in its time: clean by construction. */
static void write_long_history(uint32_t ops, uint32_t keys)
{
    uint32_t *held = calloc(keys, sizeof *held);
    struct prng p;
    char key[32], value[32];
    FILE *f = fopen(history_file, "wb"), *final = fopen(final_file, "wb");
    assert_true(held && f && final);
    prng_init(&p, 1);
    for (uint32_t i = 1; i <= ops; i++) {
        uint32_t k = (uint32_t)prng_below(&p, keys);
        bool put = prng_below(&p, 2);
        snprintf(key, sizeof key, "user%u", k);
        held[k] = put ? i : held[k];
        snprintf(value, sizeof value, "v%u-5fa2c1", held[k]); /* names its put */
        const struct history_line line = {.client = i % 50,
                                          .op = put ? HISTORY_PUT : HISTORY_GET,
                                          .key = key,
                                          .value = held[k] ? value : NULL,
                                          .start_ns = 1000 * (uint64_t)i - prng_below(&p, 900),
                                          .end_ns = 1000 * (uint64_t)i + prng_below(&p, 9000),
                                          .status = held[k] ? KV_OK : KV_E_NOT_FOUND,
                                          .strict = true};
        assert_int_equal(history_write(f, &line), KV_OK);
    }
    for (uint32_t k = 0; k < keys; k++)
        if (held[k])
            fprintf(final, "user%u\tv%u-5fa2c1.padding\n", k, held[k]);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(fclose(final), 0);
    free(held);
}

static void test_a_million_operations(void **state)
{
    (void)state;
    write_long_history(rounds_of(1000000), 10000);
    double begin = seconds();
    assert_int_equal(check_files(final_file), 0);
    double took = seconds() - begin;
    print_message("a million operations read and checked in %.2f s\n", took);
    expect_output(" lost\n");
    expect_output("10000 all-strict keys: 0 contradictions\n");
    assert_true(took < 10);
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(history_file, sizeof history_file, "%s/history", directory);
    snprintf(final_file, sizeof final_file, "%s/final", directory);
    snprintf(output_file, sizeof output_file, "%s/output", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(history_file);
    unlink(final_file);
    unlink(output_file);
    buf_deinit(&output);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_put),
        cmocka_unit_test(test_stale_strict_read),
        cmocka_unit_test(test_read_that_goes_back),
        cmocka_unit_test(test_two_reads_in_opposite_orders),
        cmocka_unit_test(test_resurrected_delete),
        cmocka_unit_test(test_what_is_allowed),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_other_ways_to_write_a_line),
        cmocka_unit_test(test_no_history),
        cmocka_unit_test(test_a_million_operations),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
