/* Memory runs out at every place in turn: an addition that fails leaves everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/hub_support.h"
#include "unit/oom.h"

static int build(struct hub **out, uint32_t *added)
{
    struct hub_config config = star_config(1, 1);
    *added = 0;
    int rc = hub_create(&config, out);
    for (uint32_t i = 2; i < 42 && rc == KV_OK; i++) {
        struct addr addr = star_addr(i);
        rc = hub_add(*out, (struct now){1000, 0}, i, &addr);
        *added += rc == KV_OK;
    }
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int failures = 0;
    for (int n = 0;; n++) {
        struct hub *hub = NULL;
        uint32_t added;
        oom_after(n);
        int rc = build(&hub, &added);
        bool failed = oom_end() > 0;
        assert_int_equal(rc, failed ? KV_E_NO_MEMORY : KV_OK);
        failures += failed;
        if (hub) {
            hub_check(hub);
            assert_int_equal(hub->count, added);
        }
        hub_destroy(hub);
        if (!failed)
            break;
    }
    assert_true(failures > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
