/* The names of topologies, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_error.h"
#include "model/topology.h"

static void names_parse_back(void **state)
{
    (void)state;
    static const char *const names[] = {"ring", "central", "directory"};
    for (unsigned i = 0; i < 3; i++) {
        enum topology t;
        assert_string_equal(topology_name((enum topology)i), names[i]);
        assert_int_equal(topology_parse(names[i], &t), KV_OK);
        assert_int_equal(t, i);
    }
    assert_string_equal(topology_name((enum topology)3), "?");
}

static void others_are_refused(void **state)
{
    (void)state;
    enum topology t = TOPOLOGY_DIRECTORY;
    static const char *const wrong[] = {"", "Ring", "rings", "star", "central "};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(topology_parse(wrong[i], &t), KV_E_INVALID);
    assert_int_equal(t, TOPOLOGY_DIRECTORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_parse_back),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
