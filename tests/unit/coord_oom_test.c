/* Memory: none is asked for once as many requests have been in flight as are now; and when there is none,
 * requests are refused, nothing is lost, and it goes on when memory is back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "coord/scan.h"
#include "unit/coord_support.h"
#include "unit/oom.h"

static struct msg_request put_of(struct world *w, const struct row *row)
{
    return (struct msg_request){
        .op = OP_PUT, .flags = REQ_EXPLAIN, .timeout_us = 1000000, .key = w->key, .row = *row};
}

static struct msg_request get_of(struct world *w)
{
    return (struct msg_request){.op = OP_GET, .flags = REQ_EXPLAIN, .timeout_us = 1000000, .key = w->key};
}

static void ten_at_once(struct world *w, const struct row *row)
{
    struct msg_request put = put_of(w, row), get = get_of(w);
    for (int i = 0; i < 10; i++)
        world_request(w, i % 2 ? &put : &get);
    world_serve_all(w);
}

static void a_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    struct row row = world_row(w, 5, "value"), newer = world_row(w, 6, "newer");
    ten_at_once(w, &row);
    oom_after(0);
    for (int i = 0; i < 100; i++)
        ten_at_once(w, i < 50 ? &row : &newer);
    assert_int_equal(oom_end(), 0);
    assert_int_equal(w->answer_count, 1010);
    for (uint32_t i = 5; i < w->answer_count; i++)
        assert_true(w->answers[i].response.status == KV_OK ||
                    w->answers[i].response.status == KV_E_NOT_FOUND);
    row_release(&row);
    row_release(&newer);
    world_destroy(w);
}

static void without_memory_requests_are_refused(void **state)
{
    (void)state;
    for (int n = 0;; n++) {
        struct world *w = world_create(5, 3, 0);
        struct row row = world_row(w, 5, "value");
        uint32_t refused = 0;
        oom_after(n);
        ten_at_once(w, &row);
        int hits = oom_end();
        assert_int_equal(w->answer_count, 10);
        for (uint32_t i = 0; i < 10; i++)
            refused += w->answers[i].response.status == KV_E_OVERLOADED;
        assert_true(hits > 0 || refused == 0);
        ten_at_once(w, &row);
        assert_int_equal(w->answer_count, 20);
        for (uint32_t i = 10; i < 20; i++) /* a get may have come before the puts */
            assert_in_range(-w->answers[i].response.status, -KV_OK, -KV_E_NOT_FOUND);
        row_release(&row);
        world_destroy(w);
        if (hits == 0) {
            assert_true(n > 20);
            return;
        }
    }
}

static void creation_reports_it(void **state)
{
    (void)state;
    struct coord_config config = {.self = 1, .value_max_bytes = VALUE_MAX_BYTES};
    struct coord *c;
    struct scans *s;
    oom_after(0);
    assert_int_equal(coord_create(&config, &c), KV_E_NO_MEMORY);
    assert_int_equal(scans_create(1, &s), KV_E_NO_MEMORY);
    oom_after(1);
    assert_int_equal(scans_create(1, &s), KV_E_NO_MEMORY);
    oom_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_state_allocates_nothing),
        cmocka_unit_test(without_memory_requests_are_refused),
        cmocka_unit_test(creation_reports_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
