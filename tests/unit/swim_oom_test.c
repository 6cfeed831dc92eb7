/* Memory runs out at every place in turn: an addition that fails leaves everything as it was, and nothing
 * but an addition can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_error.h"
#include "swim/internal.h"
#include "unit/oom.h"
#include "unit/swim_support.h"

enum { MEMBERS = 40 };

static int build(struct swim **out, uint32_t *added)
{
    struct swim_config config = swim_config_default();
    config.self = 1;
    config.generation = 1;
    config.addr = net_addr(1);
    *added = 0;
    int rc = swim_create(&config, out);
    for (uint32_t i = 2; i < 2 + MEMBERS && rc == 0; i++) {
        struct addr addr = net_addr(i);
        rc = swim_add(*out, (struct now){1000, 0}, i, &addr, i % 2);
        *added += rc == 0;
    }
    return rc;
}

static void test_every_allocation(void **state)
{
    (void)state;
    int failures = 0;
    for (int n = 0;; n++) {
        struct swim *s = NULL;
        uint32_t added;
        oom_after(n);
        int rc = build(&s, &added);
        if (oom_end() == 0) {
            assert_int_equal(rc, 0);
            swim_destroy(s);
            break;
        }
        failures++;
        assert_int_equal(rc, KV_E_NO_MEMORY);
        if (!s)
            continue;
        swim_check(s);
        assert_int_equal(s->live.count + s->absent.count, added);
        struct addr addr = net_addr(2 + added);
        assert_int_equal(swim_add(s, (struct now){1000, 0}, 2 + added, &addr, false), 0);
        swim_check(s);
        swim_destroy(s);
    }
    assert_true(failures > MEMBERS);
}

/* Everybody dies and comes back with no memory left: the table has room for every state. */
static void test_changes_need_none(void **state)
{
    (void)state;
    struct swim *s;
    uint32_t added;
    assert_int_equal(build(&s, &added), 0);
    oom_after(0);
    for (uint64_t generation = 1; generation < 4; generation++)
        for (int st = MEMBER_ALIVE; st <= MEMBER_LEFT; st++)
            for (uint32_t i = 2; i < 2 + MEMBERS; i++)
                swim_believe(s, swim_member_find(s, i),
                             (struct swim_belief){generation, 0, (enum member_state)st}, 2);
    assert_int_equal(oom_end(), 0);
    swim_check(s);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_changes_need_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
