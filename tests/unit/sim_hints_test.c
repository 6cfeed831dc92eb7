/* Whole clusters whose nodes have little room for hints. */
#include "sim_support.h"

#include <stdio.h>

enum { MAX_BYTES = 6000, PUTS = 1000, VALUE_BYTES = 100 };

static bool has(struct sim *s, uint32_t node, const char *value)
{
    const struct row *row = sim_store_row(sim_store(s, node), bytes_str("key"));
    return row && bytes_eq(blob_bytes(row->payload), bytes_str(value));
}

/* One key, put for long while a home of it is away, is one hint for each who keeps it: it never uses up the
 * room, and is handed over. */
static void one_key_put_for_long(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct sim *s = world_with((struct sim_config){
            .seed = seed, .nodes = 5, .hints_max_bytes = MAX_BYTES, .repair_round_us = UINT64_MAX});
        char value[VALUE_BYTES + 1];
        uint32_t list[PREFERENCE_MAX], c = sim_client(s);
        for (uint32_t i = 1; i <= 5; i++)
            expect(s, sim_start(s, i) == KV_OK);
        expect(s, sim_run_until(s, is_settled, NULL, 30 * SECOND_US));
        places(s, "key", list);
        sim_kill(s, list[1]);
        for (uint32_t i = 0; i < PUTS; i++) {
            snprintf(value, sizeof value, "%0*u", VALUE_BYTES, i);
            const struct sim_reply *r = put_ok(s, c, list[0], "key", value, NULL);
            expect(s, r->hinted == 1);
            sim_run(s, SECOND_US / 25);
            expect(s, has(s, list[3], value)); /* the fallback, which has to keep a hint for that */
        }
        for (uint32_t i = 0; i < 5; i++)
            expect(s, i == 1 || hints_bytes(sim_node(s, list[i])->hints) <= MAX_BYTES);
        expect(s, sim_start(s, list[1]) == KV_OK);
        expect(s, sim_run_until(s, is_handed_over, NULL, 30 * SECOND_US));
        expect(s, has(s, list[1], value));
        sim_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_key_put_for_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
