/* Memory runs out at the n-th allocation, for every n: no ring, no leak, and the next one is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "kv_error.h"
#include "ring/change.h"
#include "unit/oom.h"
#include "unit/ring_support.h"

/* Fails at every allocation, and then not. To be destroyed. */
static struct ring *create_after(const struct ring_value *v, const struct ring *earlier, int least)
{
    struct ring *r;
    for (int n = 0;; n++) {
        oom_after(n);
        int status = ring_create_after(v, earlier, &r);
        int hits = oom_end();
        if (!hits) {
            assert_int_equal(status, KV_OK);
            assert_true(n > least);
            return r;
        }
        assert_int_equal(status, KV_E_NO_MEMORY);
        assert_null(r);
    }
}

static struct ring *create(const struct ring_value *v, int least)
{
    return create_after(v, NULL, least);
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(5, 0);
    struct ring *r = create(&v, 10);
    check_table(r);
    ring_destroy(r);
    ring_value_deinit(&v);
}

static void while_the_ring_changes_too(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(5, 0);
    begin_by_hand(&v);
    v.members[4].weight = 0;
    struct ring *r = create(&v, 25), *expected;
    assert_int_equal(ring_create(&v, &expected), KV_OK);
    assert_true(table_hash(r) == table_hash(expected));
    struct ring *next = create_after(&v, r, 5);
    assert_true(table_hash(next) == table_hash(expected));
    ring_destroy(r);
    ring_destroy(next);
    ring_destroy(expected);
    ring_value_deinit(&v);
}

/* One step after another, each of them without memory first. */
static void the_steps_of_a_change_report_it(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(4, 0);
    v.queue_count = 2;
    v.queue[0] = (struct ring_change){.kind = RING_LEAVE, .member = 2};
    v.queue[1] = (struct ring_change){.kind = RING_LEAVE, .member = 9};
    struct ring *r = ring_taking(&v);
    const enum ring_step steps[] = {RING_BEGIN, RING_TO_SWITCH, RING_FINISH, RING_DROP};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct ring_word words[4];
        for (uint32_t m = 0; m < r->value.member_count; m++)
            words[m] = (struct ring_word){.member = r->value.members[m].id,
                                          .epoch = r->value.epoch,
                                          .whole_epoch = r->value.source_epoch,
                                          .alive = true};
        enum ring_step step;
        struct ring_value next;
        oom_after(0);
        int status = ring_change_next(r, words, r->value.member_count, &step, &next);
        assert_true(oom_end() > 0);
        assert_int_equal(status, KV_E_NO_MEMORY);
        assert_int_equal(step, RING_WAIT);
        assert_int_equal(ring_change_next(r, words, r->value.member_count, &step, &next), KV_OK);
        assert_int_equal(step, steps[i]);
        ring_destroy(r);
        r = ring_taking(&next);
    }
    ring_destroy(r);
}

static void asking_and_planning_report_it(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(4, 0), next;
    struct ring_change c = {.kind = RING_LEAVE, .member = 2};
    oom_after(0);
    int status = ring_change_ask(&v, &c, &next);
    assert_true(oom_end() > 0);
    assert_int_equal(status, KV_E_NO_MEMORY);
    for (int n = 0;; n++) {
        struct ring_plan plan;
        char error[128];
        oom_after(n);
        status = ring_change_plan(&v, &c, &plan, error);
        int hits = oom_end();
        assert_int_equal(status, hits ? KV_E_NO_MEMORY : KV_OK);
        if (!hits) {
            assert_true(n > 20 && plan.moved > 0);
            break;
        }
    }
    ring_value_deinit(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_is_reported),
        cmocka_unit_test(while_the_ring_changes_too),
        cmocka_unit_test(the_steps_of_a_change_report_it),
        cmocka_unit_test(asking_and_planning_report_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
