/* Hints without memory: a member that there is none for has no notes here, and nothing else breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/oom.h"
#include "unit/repair_support.h"

enum { STRANGERS = 40, FIRST_STRANGER = 100 }; /* out of the ring: what is kept for them is due at once */

static int add(struct hints *h, int allocations)
{
    int rc = KV_OK;
    oom_after(allocations);
    for (uint32_t i = 0; i < STRANGERS && rc == KV_OK; i++)
        rc = hints_total_add(h, FIRST_STRANGER + i, 1, 10);
    int hits = oom_end();
    assert_int_equal(rc, hits ? KV_E_NO_MEMORY : KV_OK);
    hints_check(h);
    return hits;
}

/* Whatever the first failure has left behind, the second finds nothing half done. */
static void members_there_is_no_memory_for(void **state)
{
    (void)state;
    struct ring *ring = world_ring(1, 0);
    int first = 0, hits;
    do {
        hits = 0;
        for (int second = 0; second < 6; second++) {
            struct hints *h;
            assert_int_equal(hints_create(SELF, HINTS_MAX_BYTES, &h), KV_OK);
            hints_ring_set(h, ring);
            hits += add(h, first);
            (void)add(h, second);
            assert_int_equal(add(h, INT_MAX), 0);
            hints_destroy(h);
        }
        first++;
    } while (hits);
    assert_true(first > STRANGERS);
    ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(members_there_is_no_memory_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
