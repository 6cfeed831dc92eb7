/* The example in kv.h is real: it is the text below, letter for letter, and the text below is compiled and
 * run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "kv.h"

/* A cluster may be running where the example looks for one; it is none of a test's business. */
static int open_elsewhere(struct uv_loop_s *loop, const struct kv_options *options, struct kv **out)
{
    struct kv_options nowhere = *options;
    nowhere.nodes = "127.0.0.1:1";
    return kv_open(loop, &nowhere, out);
}

#define kv_open open_elsewhere
#define main    example_main
/* clang-format off */
/* [example] */
#include <kv.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static const char key[] = "greeting", value[] = "hello, cloud";

static void on_get(const struct kv_result *r, void *arg)
{
    if (r->status == KV_OK)
        printf("%s = %.*s, said %s\n", key, (int)r->value_len, (const char *)r->value, r->coordinator);
    else
        printf("get: %s: %s\n", kv_error_word(r->status), r->message);
    kv_close(arg, NULL, NULL);
}

static void on_put(const struct kv_result *r, void *arg)
{
    printf("put: %s, %d of %d acknowledged\n", kv_error_word(r->status), r->acked, r->needed);
    int rc = kv_get(arg, key, strlen(key), NULL, on_get, arg);
    if (rc)
        kv_close(arg, NULL, NULL);
}

int main(void)
{
    struct kv_options options = {.nodes = "127.0.0.1:7601,127.0.0.1:7602", .timeout_ms = 1000};
    struct kv *kv;
    int rc = kv_open(uv_default_loop(), &options, &kv);
    if (rc) {
        fprintf(stderr, "open: %s\n", kv_error_text(rc));
        return 1;
    }
    rc = kv_put(kv, key, strlen(key), value, strlen(value), NULL, on_put, kv);
    if (rc)
        kv_close(kv, NULL, NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return rc ? 1 : 0;
}
/* [example end] */
/* clang-format on */
#undef main
#undef kv_open

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    char *text = calloc(1, 1 << 16);
    size_t len = fread(text, 1, (1 << 16) - 1, f);
    assert_true(len > 0);
    fclose(f);
    return text;
}

/* From the line after the one that is `begin` to the one before `end`, without `prefix` and blanks before it.
 */
static char *extract(char *text, const char *begin, const char *end, const char *prefix)
{
    char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    char *out = calloc(1, strlen(text) + 1);
    size_t len = 0;
    assert_non_null(from);
    assert_non_null(to);
    from = strchr(from, '\n') + 1;
    while (from < to) {
        char *newline = strchr(from, '\n');
        size_t skip = strncmp(from, prefix, strlen(prefix)) == 0 ? strlen(prefix) : (size_t)(newline - from);
        memcpy(out + len, from + skip, (size_t)(newline - from) - skip + 1);
        len += (size_t)(newline - from) - skip + 1;
        from = newline + 1;
    }
    return out;
}

static void header_shows_this_very_program(void **state)
{
    (void)state;
    char *header = read_file("include/kv.h"), *self = read_file(__FILE__);
    if (!header || !self) {
        free(header);
        free(self);
        skip(); /* not run from the top of the source tree */
    }
    char *shown = extract(header, " * [example]\n", " * [example end]", " *     ");
    char *compiled = extract(self, "/* [example] */\n", "/* [example end] */", "");
    assert_string_equal(shown, compiled);
    uint32_t lines = 0;
    for (const char *p = shown; (p = strchr(p, '\n')); p++)
        lines++;
    assert_in_range(lines, 30, 45);
    free(header);
    free(self);
    free(shown);
    free(compiled);
}

/* Without a cluster it says so, for the put and for the get, and ends well. */
static void it_runs(void **state)
{
    (void)state;
    char said[4096] = "";
    fflush(stdout);
    FILE *out = tmpfile();
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0 && dup2(fileno(out), STDOUT_FILENO) >= 0);
    int rc = example_main();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(out);
    assert_true(fread(said, 1, sizeof said - 1, out) > 0);
    fclose(out);
    assert_int_equal(rc, 0);
    assert_non_null(strstr(said, "put: no_node, 0 of 0 acknowledged\n"));
    assert_non_null(
        strstr(said, "get: no_node: no node could be reached (127.0.0.1:1: connection refused)\n"));
    assert_int_equal(uv_loop_close(uv_default_loop()), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_shows_this_very_program),
        cmocka_unit_test(it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
