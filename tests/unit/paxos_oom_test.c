/* Memory runs out at every place in turn: a call that fails leaves all as it was, and a message that finds no
 * memory is a message lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/oom.h"
#include "unit/paxos_support.h"

static void test_create_and_restore(void **state)
{
    (void)state;
    struct world *w = world_create(1, 3);
    struct blob *value = ring_blob(2, 3, 1);
    world_propose(w, 1, value);
    world_settle(w);
    struct ring_value ring;
    assert_int_equal(ring_value_decode(blob_bytes(w->chosen[1]), &ring), KV_OK);
    int failures = 0;
    for (int n = 0, hits = 1; hits; n++) {
        struct paxos *p = NULL;
        oom_after(n);
        int rc = paxos_create(1, 1, "paxos", &p);
        if (rc == KV_OK)
            rc = paxos_restore(p, buf_bytes(&w->machines[1].disk));
        if (rc == KV_OK)
            rc = paxos_ring_set(p, &ring);
        hits = oom_end();
        assert_int_equal(rc, hits ? KV_E_NO_MEMORY : KV_OK);
        failures += hits > 0;
        if (p)
            paxos_check(p);
        if (!hits)
            assert_non_null(paxos_accepted(p));
        paxos_destroy(p);
    }
    assert_int_equal(failures, 4);
    ring_value_deinit(&ring);
    blob_unref(value);
    world_destroy(w);
}

/* The n-th allocation of a whole decision fails; asked again, it is made. */
static void test_a_decision(void **state)
{
    (void)state;
    for (int n = 0, hits = 1; hits; n++) {
        struct world *w = world_create(1, 3);
        struct blob *value = ring_blob(2, 3, 1);
        for (uint32_t id = 2; id <= 3; id++)
            world_crash(w, id);
        int rc = KV_OK;
        oom_after(n);
        rc = paxos_propose(w->machines[1].paxos, w->now, value, &w->out);
        hits = oom_end();
        assert_int_equal(rc, hits ? KV_E_NO_MEMORY : KV_OK);
        paxos_check(w->machines[1].paxos);
        outbox_reset(&w->out);

        struct message m = {.type = MSG_ACCEPT, .id = 9, .from = 2};
        m.paxos = (struct msg_paxos){.epoch = 2, .ballot = {9, 2}, .value = value};
        oom_after(n);
        paxos_message(w->machines[1].paxos, w->now, to_conn(2), &m, &w->out);
        hits += oom_end();
        assert_int_equal(w->out.count, hits ? 0 : 1);
        paxos_check(w->machines[1].paxos);
        assert_null(paxos_accepted(w->machines[1].paxos));
        outbox_reset(&w->out);
        world_destroy(w);
        blob_unref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_and_restore),
        cmocka_unit_test(test_a_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
