/* explain's bars: who was asked when, on one scale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cmd/kvcli_bars.h"

static struct buf out;

static const char *draw(const struct kv_trace *trace, uint32_t count, uint32_t us, bool utf8)
{
    buf_clear(&out);
    assert_int_equal(bars_draw(trace, count, us, utf8, &out), KV_OK);
    assert_int_equal(buf_append_byte(&out, 0), KV_OK);
    return (const char *)out.data;
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

static void a_put_with_a_hint(void **state)
{
    (void)state;
    const struct kv_trace story[] = {
        {.at_us = 0, .kind = KV_TRACE_SEND, .client = 1, .node = "n3", .other = ""},
        {.at_us = 100, .kind = KV_TRACE_SKIP, .node = "n2", .other = ""},
        {.at_us = 100, .kind = KV_TRACE_ASK, .node = "n1", .other = ""},
        {.at_us = 100, .kind = KV_TRACE_ASK, .node = "n3", .other = ""},
        {.at_us = 200, .kind = KV_TRACE_HINT, .node = "n4", .other = "n2"},
        {.at_us = 200, .kind = KV_TRACE_ANSWER, .node = "n3", .other = ""},
        {.at_us = 300, .kind = KV_TRACE_ANSWER, .node = "n1", .other = "", .status = KV_E_STALE},
        {.at_us = 300, .kind = KV_TRACE_DECIDE, .node = "", .other = ""},
        {.at_us = 390, .kind = KV_TRACE_REPLY, .client = 1, .node = "n3", .other = ""},
    };
    assert_string_equal(draw(story, sizeof story / sizeof *story, 390, false),
                        "  client n3           ========================================    390 us, ok\n"
                        "  asked  n1                     =====================             200 us, stale\n"
                        "  asked  n3                     ===========         |             100 us, ok\n"
                        "  hint   n4 for n2                        -------------------- no answer yet\n");
}

static void a_lost_node_and_another(void **state)
{
    (void)state;
    const struct kv_trace story[] = {
        {.at_us = 0, .kind = KV_TRACE_SEND, .client = 1, .node = "n1", .other = ""},
        {.at_us = 10, .kind = KV_TRACE_LOST, .client = 1, .node = "n1", .other = ""},
        {.at_us = 10, .kind = KV_TRACE_SEND, .client = 1, .node = "n2", .other = ""},
        {.at_us = 39, .kind = KV_TRACE_REPLY, .client = 1, .node = "n2", .other = ""},
    };
    assert_string_equal(draw(story, 4, 39, false),
                        "  client n1           ===========                              connection lost\n"
                        "  client n2                     ==============================     29 us, ok\n");
}

static void nothing_to_show(void **state)
{
    (void)state;
    assert_string_equal(draw(NULL, 0, 0, true), "");
    const struct kv_trace at_once = {.kind = KV_TRACE_ASK, .node = "", .other = ""};
    assert_string_equal(draw(&at_once, 1, 0, false), /* no time at all: no division by it */
                        "  asked  ?            -                                        no answer yet\n");
}

/* Whatever nodes claim, each line has its columns. */
static void any_story(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 8);
    static const char *const NAMES[] = {"", "n1", "n2", "a-rather-long-name-of-a-node"};
    for (int i = 0; i < 3000; i++) {
        struct kv_trace story[64];
        uint32_t count = (uint32_t)prng_below(&p, 65);
        for (uint32_t k = 0; k < count; k++)
            story[k] = (struct kv_trace){.at_us = (uint32_t)(prng_u64(&p) >> (32 + prng_below(&p, 32))),
                                         .kind = (uint8_t)prng_below(&p, 12),
                                         .client = (uint8_t)prng_below(&p, 2),
                                         .status = -(int)prng_below(&p, 50),
                                         .node = NAMES[prng_below(&p, 4)],
                                         .other = NAMES[prng_below(&p, 4)]};
        const char *text = draw(story, count, (uint32_t)prng_below(&p, 1000), false);
        for (const char *line = text, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            assert_non_null(end);
            assert_true(end - line > 60);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_with_a_hint),
        cmocka_unit_test(a_lost_node_and_another),
        cmocka_unit_test(nothing_to_show),
        cmocka_unit_test(any_story),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
