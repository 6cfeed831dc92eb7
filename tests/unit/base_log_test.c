/* Log lines, their limit of one a minute, the table of errors, and assertions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/assert.h"
#include "base/log.h"
#include "kv_error.h"
#include "unit/death.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct sink {
    int lines;
    enum log_level level;
    char text[4096];
};

static void sink_write(enum log_level level, const char *text, void *arg)
{
    struct sink *s = arg;
    s->lines++;
    s->level = level;
    snprintf(s->text, sizeof s->text, "%s", text);
}

static void levels_below_the_least_are_dropped(void **state)
{
    (void)state;
    struct sink s = {0};
    struct log log = {.least = LOG_WARN, .write = sink_write, .arg = &s};
    log_line(&log, LOG_INFO, "event=%s", "x");
    assert_int_equal(s.lines, 0);
    log_line(&log, LOG_ERROR, "event=%s n=%d", "x", 3);
    assert_int_equal(s.lines, 1);
    assert_int_equal(s.level, LOG_ERROR);
    assert_string_equal(s.text, "event=x n=3");
    log_line(NULL, LOG_ERROR, "nobody listens");
    log_line(&(struct log){0}, LOG_ERROR, "nobody listens");
}

static void a_hostile_name_stays_on_its_line(void **state)
{
    (void)state;
    struct sink s = {0};
    struct log log = {.write = sink_write, .arg = &s};
    log_line(&log, LOG_INFO, "name=%s", "a\nlevel=error\x1b[2J\x7f");
    assert_string_equal(s.text, "name=a?level=error?[2J?");
    log_line(&log, LOG_INFO, "name=%s", "구름");
    assert_string_equal(s.text, "name=구름");
}

static void a_line_has_an_end(void **state)
{
    (void)state;
    struct sink s = {0};
    struct log log = {.write = sink_write, .arg = &s};
    log_line(&log, LOG_INFO, "%03000d", 1);
    size_t len = strlen(s.text);
    assert_true(len < 3000);
    assert_string_equal(s.text + len - 3, "...");
}

static void names_of_levels(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(log_level_parse("loud", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
    assert_int_equal(level, LOG_ERROR);
}

static void one_line_a_minute(void **state)
{
    (void)state;
    uint64_t last_us = 0, suppressed = 0;
    const uint64_t minute_us = 60 * UINT64_C(1000000);
    assert_int_equal(log_allowed(0, &last_us, &suppressed), 1); /* at time 0 too */
    assert_int_equal(log_allowed(5, &last_us, &suppressed), 0);
    assert_int_equal(log_allowed(minute_us - 1, &last_us, &suppressed), 0);
    assert_int_equal(suppressed, 2);
    assert_int_equal(log_allowed(minute_us + 1, &last_us, &suppressed), 1);
    assert_int_equal(log_allowed(2 * minute_us, &last_us, &suppressed), 0);
    assert_int_equal(log_allowed(2 * minute_us + 1, &last_us, &suppressed), 1);
    assert_int_equal(suppressed, 3);
}

static const struct {
    int code;
    const char *word;
} errors[] = {
#define ERROR_ROW(name, value, word, text) {name, word},
    KV_ERROR_TABLE(ERROR_ROW)
#undef ERROR_ROW
};

static void every_error_has_one_word_and_a_sentence(void **state)
{
    (void)state;
    const size_t count = sizeof errors / sizeof errors[0];
    for (size_t i = 0; i < count; i++) {
        assert_true(errors[i].code <= 0);
        assert_string_equal(kv_error_word(errors[i].code), errors[i].word);
        assert_true(strlen(kv_error_text(errors[i].code)) > 0);
        for (const char *c = errors[i].word; *c; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(errors[i].word, errors[j].word);
            assert_int_not_equal(errors[i].code, errors[j].code);
        }
    }
    assert_string_equal(kv_error_word(KV_E_TIMEOUT), "timeout");
    assert_int_equal(KV_E_TIMEOUT, -3); /* travels on the wire */
    assert_string_equal(kv_error_word(1), "unknown");
    assert_string_equal(kv_error_word(-1000), "unknown");
    assert_non_null(kv_error_text(-1000));
}

static void assertions_are_on(void **state)
{
    (void)state;
    KV_ASSERT(1 + 1 == 2);
    assert_dies(KV_ASSERT(1 + 1 == 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_below_the_least_are_dropped),
        cmocka_unit_test(a_hostile_name_stays_on_its_line),
        cmocka_unit_test(a_line_has_an_end),
        cmocka_unit_test(names_of_levels),
        cmocka_unit_test(one_line_a_minute),
        cmocka_unit_test(every_error_has_one_word_and_a_sentence),
        cmocka_unit_test(assertions_are_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
