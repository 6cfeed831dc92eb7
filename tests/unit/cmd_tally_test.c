/* How operations ended, and what a run of which none succeeded says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/kvbench_tally.h"

static enum exit_status verdict(const struct bench_tally *t, const char *expected)
{
    char sentence[400] = "";
    enum exit_status status = bench_tally_verdict(t, sentence, sizeof sentence);
    assert_string_equal(sentence, expected);
    return status;
}

static void one_success_is_a_measurement(void **state)
{
    (void)state;
    struct bench_tally t = {0};
    assert_int_equal(verdict(&t, ""), EXIT_OK);
    bench_tally_add(&t, BS_OK, 1, bytes_str("done"));
    bench_tally_add(&t, BS_TIMEOUT, 1000, bytes_str("late"));
    assert_int_equal(bench_tally_failed(&t), 1000);
    assert_int_equal(verdict(&t, ""), EXIT_OK);
}

static void an_absent_key_is_an_answer(void **state)
{
    (void)state;
    struct bench_tally t = {0};
    bench_tally_add(&t, BS_REFUSED, 2, bytes_str("no"));
    bench_tally_add(&t, BS_NOT_FOUND, 1, bytes_str("no such key"));
    assert_int_equal(bench_tally_failed(&t), 2);
    assert_int_equal(verdict(&t, ""), EXIT_OK);
}

static void what_most_met_decides(void **state)
{
    (void)state;
    static const struct {
        enum bench_status status;
        enum exit_status exit;
        const char *sentence;
    } CASES[] = {
        {BS_UNAVAILABLE, EXIT_UNAVAILABLE, "none of 5 operations succeeded; 3 ended in unavailable: why"},
        {BS_TIMEOUT, EXIT_TIMEOUT, "none of 5 operations succeeded; 3 ended in timeout: why"},
        {BS_OVERLOADED, EXIT_REFUSED, "none of 5 operations succeeded; 3 ended in overloaded: why"},
        {BS_REFUSED, EXIT_REFUSED, "none of 5 operations succeeded; 3 ended in refused: why"},
        {BS_NO_NODE, EXIT_NO_NODE, "none of 5 operations succeeded; 3 ended in no_node: why"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct bench_tally t = {0};
        bench_tally_add(&t, CASES[(i + 1) % 5].status, 2, bytes_str("another reason"));
        bench_tally_add(&t, CASES[i].status, 1, bytes_str("why"));
        bench_tally_add(&t, CASES[i].status, 2, bytes_str("a later one"));
        assert_int_equal(verdict(&t, CASES[i].sentence), CASES[i].exit);
    }
}

static void a_reason_is_one_printable_line(void **state)
{
    (void)state;
    static const char said[] = "ERR \x1b[2Jbad\0 \xffthing\r\n+OK\r\n";
    char line[16];
    bench_first_line(bytes_of(said, sizeof said - 1), line, sizeof line);
    assert_string_equal(line, "ERR [2Jbad thin");
    bench_first_line(bytes_of(said, sizeof said - 1), line, 1);
    assert_string_equal(line, "");
    bench_first_line(bytes_of(NULL, 0), line, sizeof line);
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_success_is_a_measurement),
        cmocka_unit_test(an_absent_key_is_an_answer),
        cmocka_unit_test(what_most_met_decides),
        cmocka_unit_test(a_reason_is_one_printable_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
