/* The clockwork: how it ends, what it says of clocks, names that have to be looked up, messages that a fault
 * holds back. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "uv_support.h"

static struct world world;

static int setup(void **state)
{
    struct world_options o = {.sync = SYNC_ALWAYS};
    world_start(&world, &o);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

/* ---- the end ---- */

static void test_sigterm_answers_what_is_in_flight_first(void **state)
{
    (void)state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    raw_open(&world, &r);
    raw_hello(&world, &r);
    storage_slow_disk(world.shell.storage, 100);
    put_append(&world, &b, 1, "k", bytes_str("v"));
    raw_send(&world, &r, buf_bytes(&b));
    pump_ms(&world, 20);
    raise(SIGTERM);
    pump_until(&world, world.shell.stopping);
    assert_false(world.shell.ended);
    assert_true(raw_next(&world, &r, &m));
    assert_int_equal(m.response.status, KV_OK);
    pump_until(&world, world.shell.ended);
    assert_int_equal(world.shell.exit_status, 0);
    raw_close(&r);
    buf_deinit(&b);
}

static void test_the_second_signal_does_not_wait(void **state)
{
    (void)state;
    struct raw r;
    struct buf b = {0};
    raw_open(&world, &r);
    raw_hello(&world, &r);
    storage_slow_disk(world.shell.storage, 500);
    put_append(&world, &b, 1, "k", bytes_str("v"));
    raw_send(&world, &r, buf_bytes(&b));
    pump_ms(&world, 20);
    raise(SIGTERM);
    pump_until(&world, world.shell.stopping);
    assert_false(world.shell.ended);
    raise(SIGINT);
    pump_until(&world, world.shell.ended);
    assert_true(world_logged(&world, "event=second_signal"));
    raw_close(&r);
    buf_deinit(&b);
}

/* An end in the middle of whatever is going on leaves nothing running: the loop returns, no handle is left.
 */
static void test_it_may_end_at_any_moment(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int turns = 0; turns < 40; turns++) {
        struct raw r[3];
        hello_append(&world, &b);
        for (uint64_t i = 1; i <= 50; i++)
            put_append(&world, &b, i, "k", bytes_str("v"));
        for (int i = 0; i < 3; i++) {
            raw_open(&world, &r[i]);
            raw_send_some(&r[i], buf_bytes(&b));
        }
        for (int i = 0; i < turns % 20; i++)
            world_turn(&world);
        world_stop(&world);
        for (int i = 0; i < 3; i++)
            raw_close(&r[i]);
        buf_clear(&b);
        setup(state);
    }
    buf_deinit(&b);
}

/* ---- the clock ---- */

static void test_a_clock_that_jumps_is_told(void **state)
{
    (void)state;
    pump_ms(&world, 1100);
    assert_false(world_logged(&world, "event=clock_jumped"));
    world.shell.faults.skew_ms = 3600000; /* told to the millisecond, give or take one */
    pump_until(&world, world_logged(&world, "event=clock_jumped by_ms=3"));
    world.shell.faults.skew_ms = 0;
    pump_until(&world, world_logged(&world, "event=clock_jumped by_ms=-3"));
    pump_ms(&world, 1100);
    assert_int_equal(world_logged_count(&world, "event=clock_jumped"), 2);
}

/* ---- names ---- */

static struct addr addr_of(const char *host)
{
    struct addr a = {.port = 7601};
    snprintf(a.host, sizeof a.host, "%s", host);
    return a;
}

static void test_names_are_looked_up_without_waiting(void **state)
{
    (void)state;
    struct names *n = &world.shell.names;
    struct sockaddr_storage out;
    struct addr numeric = addr_of("127.0.0.1"), six = addr_of("::1"), local = addr_of("localhost");
    assert_int_equal(names_resolve(n, &numeric, &out), KV_OK);
    assert_int_equal(((struct sockaddr_in *)&out)->sin_port, htons(7601));
    assert_int_equal(names_resolve(n, &six, &out), KV_OK);
    assert_int_equal(out.ss_family, AF_INET6);
    assert_int_equal(map_count(&n->table), 0);
    assert_int_equal(names_resolve(n, &local, &out), KV_E_AGAIN);
    pump_until(&world, names_resolve(n, &local, &out) == KV_OK);
    assert_int_equal(((struct sockaddr_in *)&out)->sin_port, htons(7601)); /* at the same place in both */
    assert_int_equal(map_count(&n->table), 1);
    assert_int_equal(names_resolve_now(&world.loop, &local, &out), KV_OK);
}

static void test_a_name_that_is_none_stays_unknown(void **state)
{
    (void)state;
    struct sockaddr_storage out;
    struct addr none = addr_of("no such host");
    assert_int_equal(names_resolve(&world.shell.names, &none, &out), KV_E_AGAIN);
    pump_ms(&world, 50);
    assert_int_equal(names_resolve(&world.shell.names, &none, &out), KV_E_AGAIN);
    assert_int_equal(names_resolve_now(&world.loop, &none, &out), KV_E_NO_NODE);
}

/* ---- dialling ---- */

/* Who accepts connections and closes them at once is dialled ever more slowly. */
static void test_dialling_slows_down(void **state)
{
    (void)state;
    struct addr nobody = world.shell.options.listen;
    uint64_t before = world.shell.conn_serial;
    nobody.port = 1; /* refused at once */
    tcp_want_peer(&world.shell, 9, &nobody);
    pump_ms(&world, 1500);
    uint64_t attempts = world.shell.conn_serial - before;
    assert_in_range(attempts, 4, 7); /* after 0, 50, 150, 350, 750, 1550 ms */
    struct addr gone = {.port = 0};
    tcp_want_peer(&world.shell, 9, &gone);
    pump_ms(&world, 1200);
    assert_int_equal(world.shell.conn_serial - before, attempts);
}

/* ---- what a fault holds back ---- */

static void test_a_message_held_back_comes_later(void **state)
{
    (void)state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    raw_open(&world, &r);
    raw_hello(&world, &r);
    /* As if a member had sent it: clients are never delayed. */
    struct conn *c = world.shell.conns[0];
    c->member = 5;
    struct msg_fault delay = {.kind = FAULT_DELAY, .from = 5, .percent = 100, .amount = 100};
    assert_int_equal(faults_order(&world.shell.faults, &delay), KV_OK);
    uint64_t begin_us = shell_now_us();
    get_append(&world, &b, 1, "absent");
    raw_send(&world, &r, buf_bytes(&b));
    pump_until(&world, world.shell.delayed_count == 1);
    c->member = 0;
    assert_true(raw_next(&world, &r, &m));
    assert_int_equal(m.response.status, KV_E_NOT_FOUND);
    assert_in_range(shell_now_us() - begin_us, 95000, 5000000);
    assert_int_equal(world.shell.delayed_count, 0);
    raw_close(&r);
    buf_deinit(&b);
}

static void test_it_goes_with_its_connection(void **state)
{
    (void)state;
    struct raw r, next;
    struct buf b = {0};
    raw_open(&world, &r);
    raw_hello(&world, &r);
    struct conn *c = world.shell.conns[0];
    c->member = 5;
    struct msg_fault delay = {.kind = FAULT_DELAY, .from = 5, .percent = 100, .amount = 50};
    assert_int_equal(faults_order(&world.shell.faults, &delay), KV_OK);
    get_append(&world, &b, 1, "absent");
    raw_send(&world, &r, buf_bytes(&b));
    pump_until(&world, world.shell.delayed_count == 1);
    c->member = 0;
    raw_close(&r);
    pump_until(&world, world.shell.accepted_count == 0);
    raw_open(&world, &next); /* takes its place */
    raw_hello(&world, &next);
    pump_until(&world, world.shell.delayed_count == 0);
    pump_ms(&world, 20);
    raw_receive(&next);
    assert_int_equal(next.in.len, 0);
    raw_close(&next);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        test(test_sigterm_answers_what_is_in_flight_first),
        test(test_the_second_signal_does_not_wait),
        test(test_it_may_end_at_any_moment),
        test(test_a_clock_that_jumps_is_told),
        test(test_names_are_looked_up_without_waiting),
        test(test_a_name_that_is_none_stays_unknown),
        test(test_dialling_slows_down),
        test(test_a_message_held_back_comes_later),
        test(test_it_goes_with_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
