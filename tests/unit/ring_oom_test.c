/* Memory runs out at the n-th allocation, for every n: no ring, no leak, and the next one is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "kv_error.h"
#include "unit/oom.h"
#include "unit/ring_support.h"

static void each_failure_is_reported(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(5, 0);
    struct ring *r;
    int n = 0;
    for (;; n++) {
        oom_after(n);
        int status = ring_create(&v, &r);
        int hits = oom_end();
        if (!hits) {
            assert_int_equal(status, KV_OK);
            break;
        }
        assert_int_equal(status, KV_E_NO_MEMORY);
        assert_null(r);
    }
    assert_true(n > 10);
    check_table(r);
    ring_destroy(r);
    ring_value_deinit(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_failure_is_reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
