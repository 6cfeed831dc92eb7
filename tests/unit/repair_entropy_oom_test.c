/* Anti-entropy without memory: from the n-th allocation on none succeeds for a while, for every n. Nothing
 * breaks or leaks, and with memory back all homes become equal. */
#include "unit/entropy_lab.h"
#include "unit/oom.h"

static int left; /* allocations that a node may still make; INT_MAX: all it wants */
static int refused;

static void starve(bool before)
{
    if (before) {
        oom_after(left);
        return;
    }
    left = oom_left;
    refused += oom_end();
}

static struct lab *damaged_lab(void)
{
    struct lab *lab = lab_create(3, 3, 4, 21);
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t version = prng_below(&lab->prng, 3);
        lab_put(lab, i, version, 50 + version * 100, 1 + (uint32_t)prng_below(&lab->prng, 7));
    }
    lab->around = starve;
    return lab;
}

static void allocations_may_fail(void **state)
{
    (void)state;
    int runs = 0;
    for (bool enough = false; !enough; runs++) {
        struct lab *lab = damaged_lab();
        lab_connect(lab);
        left = runs;
        refused = 0;
        lab_run(lab, 2 * ENTROPY_RETURN_US);
        enough = refused == 0;
        left = INT_MAX;
        lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 4);
        assert_int_equal(lab_differing(lab), 0);
        assert_int_equal(lab_counters(lab).malformed, 0);
        lab_destroy(lab);
    }
    assert_in_range(runs, 50, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(allocations_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
