/* Who means harm, or is only slow, hurts himself and nobody else: every bound of conn.h, with another client
 * that is served all the while. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uv_support.h"

#define MIB      (1u << 20)
#define STALL_US 300000
/* A sanitizer takes time, and memory of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SERVED_US                  10000000
#define assert_memory(bytes, most) ((void)(bytes), (void)(most))
#else
#define SERVED_US                  2000000
#define assert_memory(bytes, most) assert_in_range(bytes, 0, most)
#endif

static struct world world;
static struct raw other; /* the one that is served all the while */

static void start(uint32_t clients_max)
{
    struct world_options o = {
        .clients_max = clients_max, .value_max_bytes = 12 * MIB, .stall_us = STALL_US, .sync = SYNC_NONE};
    world_start(&world, &o);
    raw_open(&world, &other);
    raw_hello(&world, &other);
}

static int setup(void **state)
{
    (void)state;
    start(4000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    raw_close(&other);
    world_stop(&world);
    return 0;
}

/* The other client is served, and fast. */
static void other_is_served(void)
{
    uint64_t begin_us = shell_now_us();
    raw_put(&world, &other, "other", bytes_str("its value"));
    raw_get(&world, &other, "other", bytes_str("its value"));
    assert_true(shell_now_us() - begin_us < SERVED_US);
}

static void raw_client(struct raw *r)
{
    raw_open(&world, r);
    raw_hello(&world, r);
}

/* What happens once a second, at once. */
#define check_until(condition)   \
    pump_until(&world, ({        \
        pump_ms(&world, 5);      \
        tcp_check(&world.shell); \
        (condition);             \
    }))

/* ---- too slow ---- */

static void test_a_frame_that_drips_is_not_waited_for(void **state)
{
    (void)state;
    struct raw r;
    struct buf b = {0};
    raw_client(&r);
    get_append(&world, &b, 1, "k");
    size_t sent = 0;
    uint64_t begin_us = shell_now_us();
    while (!raw_closed(&r)) {
        if (sent < b.len - 1)
            sent += raw_send_some(&r, bytes_of(b.data + sent, 1));
        pump_ms(&world, 10);
        tcp_check(&world.shell);
        assert_true(shell_now_us() - begin_us < 5000000);
    }
    assert_true(shell_now_us() - begin_us >= STALL_US);
    assert_int_equal(world.shell.counters.stalled, 1);
    other_is_served();
    raw_close(&r);
    buf_deinit(&b);
}

static void test_a_stranger_that_says_nothing_is_closed_and_a_client_is_not(void **state)
{
    (void)state;
    struct raw silent, client;
    raw_client(&client);
    raw_open(&world, &silent);
    check_until(raw_closed(&silent));
    pump_ms(&world, 2 * STALL_US / 1000);
    tcp_check(&world.shell);
    assert_false(raw_closed(&client));
    raw_put(&world, &client, "k", bytes_str("v"));
    raw_close(&silent);
    raw_close(&client);
}

static void test_two_thousand_that_say_nothing(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct raw *idle = calloc(COUNT, sizeof *idle);
    size_t before = resident_bytes();
    for (int i = 0; i < COUNT; i++) {
        raw_open(&world, &idle[i]);
        if (i % 2)
            raw_hello(&world, &idle[i]); /* half of them are clients */
        else if (i % 50 == 0)
            world_turn(&world);
    }
    pump_until(&world, world.shell.accepted_count == COUNT + 1);
    assert_memory(resident_bytes(), before + 24 * MIB);
    other_is_served();
    check_until(world.shell.accepted_count == COUNT / 2 + 1);
    other_is_served();
    for (int i = 0; i < COUNT; i++)
        raw_close(&idle[i]);
    pump_until(&world, world.shell.accepted_count == 1);
    free(idle);
}

/* ---- memory for what is being received ---- */

static void test_who_hogs_the_memory_delays_large_frames_only(void **state)
{
    (void)state;
    struct raw hog[2], late;
    struct buf large = {0};
    struct bytes much = noise(11 * MIB, 1);
    put_append(&world, &large, 1, "large", much);
    for (int i = 0; i < 2; i++)
        raw_client(&hog[i]);
    for (int i = 0; i < 2; i++) /* each begins a frame, and then does nothing */
        assert_true(raw_send(&world, &hog[i], bytes_of(large.data, 100000)));
    pump_until(&world, world.shell.pools[0].used_bytes > 22 * MIB);
    other_is_served();

    struct buf b = {0};
    struct message m;
    struct bytes value = noise(3 * MIB, 9);
    raw_client(&late);
    put_append(&world, &b, 1, "late", value);
    size_t sent = raw_send_some(&late, buf_bytes(&b));
    pump_until(&world, !list_empty(&world.shell.pools[0].waiting));
    assert_true(world.shell.held_bytes <= CONN_SCRATCH_BYTES);
    assert_int_equal(world.shell.pools[1].used_bytes, 0); /* members have their own */
    other_is_served();
    check_until(list_empty(&world.shell.pools[0].waiting)); /* the hogs have had their time */
    assert_true(world.shell.counters.stalled >= 1);
    assert_true(raw_send(&world, &late, bytes_of(b.data + sent, b.len - sent)));
    assert_true(raw_next(&world, &late, &m));
    assert_int_equal(m.response.status, KV_OK);
    raw_get(&world, &late, "late", value);
    for (int i = 0; i < 2; i++)
        raw_close(&hog[i]);
    raw_close(&late);
    buf_deinit(&b);
    buf_deinit(&large);
    free((void *)much.data);
    free((void *)value.data);
}

/* Fifty at once, each a piece at a time, in the memory of two. Those for which the node has no room any more
 * when they are whole are told so; the others go well. */
static void test_large_puts_all_at_once_stand_in_line(void **state)
{
    (void)state;
    enum { COUNT = 50, SIZE = 8 * MIB };
    struct raw *r = calloc(COUNT, sizeof *r);
    size_t sent[COUNT] = {0}, done = 0;
    uint64_t most_used = 0, most_waiting = 0;
    struct bytes value = noise(SIZE, 2);
    struct buf b = {0};
    struct message m;
    put_append(&world, &b, 1, "fifty", value);
    for (int i = 0; i < COUNT; i++)
        raw_client(&r[i]);
    size_t before = resident_bytes();
    while (done < COUNT) {
        done = 0;
        for (int i = 0; i < COUNT; i++) {
            size_t n = b.len - sent[i] < 500000 ? b.len - sent[i] : 500000;
            sent[i] += n ? raw_send_some(&r[i], bytes_of(b.data + sent[i], n)) : 0;
            assert_false(r[i].closed);
            done += sent[i] == b.len;
        }
        world_turn(&world);
        uint64_t waiting = 0;
        list_each (it, &world.shell.pools[0].waiting)
            waiting++;
        most_waiting = waiting > most_waiting ? waiting : most_waiting;
        most_used = world.shell.pools[0].used_bytes > most_used ? world.shell.pools[0].used_bytes : most_used;
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(raw_next(&world, &r[i], &m));
        assert_true(m.response.status == KV_OK || m.response.status == KV_E_OVERLOADED);
        done -= m.response.status == KV_OK;
        raw_close(&r[i]);
    }
    print_message("%zu of %u refused, at most %u MiB in frames, %u in line, %u MiB more than before\n", done,
                  COUNT, (unsigned)(most_used / MIB), (unsigned)most_waiting,
                  (unsigned)((resident_peak_bytes() - before) / MIB));
    assert_true(done <= COUNT - 10);
    assert_in_range(most_used, 1, RECEIVE_CLIENTS);
    assert_in_range(most_waiting, 20, COUNT);
    assert_memory(resident_peak_bytes(), before + INFLIGHT_MAX_BYTES + 160 * MIB);
    other_is_served();
    buf_deinit(&b);
    free(r);
    free((void *)value.data);
}

/* ---- who does not read ---- */

/* A client whose answers have been small may ask for much at once: nobody knows yet what it will be. */
static void earn_trust(struct raw *r)
{
    struct bytes value = bytes_str("small");
    raw_put(&world, r, "small", value);
    for (int i = 0; i < 60; i++)
        raw_get(&world, r, "small", value);
}

/* Asks for "big" `count` times at once, and takes nothing. */
static void ask_and_not_read(struct raw *r, uint32_t count)
{
    struct buf b = {0};
    int small = 65536;
    raw_client(r);
    earn_trust(r);
    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (uint32_t i = 1; i <= count; i++)
        get_append(&world, &b, i, "big");
    raw_send_some(r, buf_bytes(&b));
    buf_deinit(&b);
}

/* Sixteen values of 8 MiB: of those that it may ask for before it takes any, those for which the queue has no
 * room are refused, and it is told so; the others wait in the socket. */
static void test_what_has_no_room_in_the_queue_is_refused(void **state)
{
    (void)state;
    enum { COUNT = 16 };
    struct raw r;
    struct message m;
    uint32_t refused = 0;
    struct bytes value = noise(8 * MIB, 4);
    raw_put(&world, &other, "big", value);
    size_t before = resident_bytes();
    ask_and_not_read(&r, COUNT);
    pump_until(&world, world.shell.counters.answers_refused > 0);
    other_is_served();
    pump_ms(&world, 100);
    assert_in_range(world.shell.output_bytes, 8 * MIB, CONN_VALUES_MAX_BYTES + 49 * MIB);
    assert_memory(resident_peak_bytes(), before + 300 * MIB);
    for (int i = 0; i < COUNT; i++) {
        assert_true(raw_next(&world, &r, &m));
        assert_int_equal(m.response.status, m.response.row.payload ? KV_OK : KV_E_OVERLOADED);
        refused += m.response.status == KV_E_OVERLOADED;
    }
    assert_int_equal(refused, world.shell.counters.answers_refused);
    raw_get(&world, &r, "big", value);
    raw_close(&r);
    free((void *)value.data);
}

/* Each may have so much, but not all of them: the slowest is closed. */
static void test_what_waits_for_all_clients_is_bounded(void **state)
{
    (void)state;
    struct raw r[4];
    struct bytes value = noise(8 * MIB, 4);
    raw_put(&world, &other, "big", value);
    for (int i = 0; i < 4; i++) {
        ask_and_not_read(&r[i], 16);
        pump_ms(&world, 30);
        assert_in_range(world.shell.output_bytes, 0, OUTPUT_MAX_BYTES);
    }
    pump_until(&world, world.shell.counters.slow_readers >= 1);
    assert_in_range(world.shell.output_bytes, 0, OUTPUT_MAX_BYTES);
    assert_int_equal(world_logged_count(&world, "event=slow_reader"), 1);
    other_is_served();
    for (int i = 0; i < 4; i++)
        raw_close(&r[i]);
    pump_until(&world, world.shell.client_count == 1);
    assert_int_equal(world.shell.output_bytes, 0);
    free((void *)value.data);
}

static void test_who_reads_late_gets_it_all(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct raw r;
    struct buf b = {0};
    struct message m;
    struct bytes value = noise(MIB, 4);
    raw_put(&world, &other, "big", value);
    ask_and_not_read(&r, COUNT);
    for (uint32_t i = COUNT + 1; i <= 2 * COUNT; i++)
        get_append(&world, &b, i, "big");
    pump_ms(&world, 50);
    raw_send_some(&r, buf_bytes(&b));
    pump_until(&world, world.shell.output_bytes > 8 * MIB);
    pump_ms(&world, 50);
    other_is_served();
    assert_int_equal(world.shell.counters.slow_readers, 0);
    for (int i = 0; i < 2 * COUNT; i++) {
        assert_true(raw_next(&world, &r, &m));
        assert_int_equal(m.response.status, KV_OK);
        assert_int_equal(m.response.row.raw_size, MIB);
    }
    raw_put(&world, &r, "k", bytes_str("v"));
    raw_close(&r);
    buf_deinit(&b);
    free((void *)value.data);
}

/* The first twenty are on their way when the next are asked for: those wait in the socket. */
static void test_who_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    struct raw r;
    struct buf b = {0};
    struct bytes value = noise(MIB, 4);
    raw_put(&world, &other, "big", value);
    ask_and_not_read(&r, 20);
    pump_until(&world, world.shell.output_bytes > 2 * MIB);
    uint64_t frames = world.shell.counters.frames_in;
    for (uint32_t i = 0; i < 5000; i++)
        get_append(&world, &b, 100 + i, "big");
    raw_send_some(&r, buf_bytes(&b));
    pump_ms(&world, 100);
    assert_int_equal(world.shell.counters.frames_in, frames);
    assert_in_range(world.shell.output_bytes, 1, 32 * MIB);
    check_until(world.shell.counters.stalled == 1); /* it has taken nothing for too long */
    pump_until(&world, world.shell.accepted_count == 1);
    other_is_served();
    raw_close(&r);
    buf_deinit(&b);
    free((void *)value.data);
}

/* ---- places ---- */

static void test_there_are_so_many_places_for_clients(void **state)
{
    (void)state;
    enum { PLACES = 20 };
    struct raw client[PLACES], more, stranger[ACCEPT_EXTRA + 30];
    struct buf b = {0};
    struct message m;
    raw_close(&other);
    world_stop(&world);
    start(PLACES);
    for (int i = 0; i < PLACES - 1; i++)
        raw_client(&client[i]);
    hello_append(&world, &b);
    raw_open(&world, &more);
    raw_send(&world, &more, buf_bytes(&b));
    assert_true(raw_next(&world, &more, &m));
    assert_int_equal(m.type, MSG_REFUSED);
    assert_int_equal(m.refused.status, KV_E_OVERLOADED);
    assert_false(raw_next(&world, &more, &m));
    raw_close(&more);
    other_is_served();

    /* Strangers that hold every place left do not keep out who has something to say. */
    for (uint32_t i = 0; i < sizeof stranger / sizeof *stranger; i++) {
        raw_open(&world, &stranger[i]);
        world_turn(&world);
    }
    pump_until(&world, world.shell.accepted_count == PLACES + ACCEPT_EXTRA);
    raw_close(&client[0]);
    pump_until(&world, world.shell.client_count == PLACES - 1);
    raw_client(&client[0]);
    assert_true(raw_closed(&stranger[0])); /* the one that was there longest */
    other_is_served();
    for (uint32_t i = 0; i < sizeof stranger / sizeof *stranger; i++)
        raw_close(&stranger[i]);
    for (int i = 0; i < PLACES - 1; i++)
        raw_close(&client[i]);
    buf_deinit(&b);
}

/* ---- datagrams ---- */

static void test_strange_datagrams_are_never_answered(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(world.shell.options.listen.port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    uint8_t answer[64];
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct bytes junk = noise(seed * 3 % 2500, seed);
        if (junk.len > 6 && seed % 2) {
            ((uint8_t *)junk.data)[4] = PROTOCOL_VERSION;
            be32_put((uint8_t *)junk.data, (uint32_t)junk.len - 4);
        }
        sendto(fd, junk.data, junk.len, 0, (struct sockaddr *)&a, sizeof a);
        world_turn(&world);
        free((void *)junk.data);
    }
    struct buf b = {0};
    struct message ping = {.type = MSG_PING, .cluster = node_cluster_hash(world.node), .probe = {.from = 77}};
    frame_append(&b, &ping);
    sendto(fd, b.data, b.len, 0, (struct sockaddr *)&a, sizeof a);
    pump_until(&world, world.shell.counters.udp_packets_in >= 900);
    pump_ms(&world, 20);
    assert_int_equal(recv(fd, answer, sizeof answer, 0), -1);
    assert_true(world.shell.counters.malformed > 800);
    assert_int_equal(world_logged_count(&world, "event=malformed_datagram"), 1);
    other_is_served();
    buf_deinit(&b);
    close(fd);
}

/* With invented addresses, which datagrams may have, nobody can fill the log. */
static void test_complaints_are_bounded(void **state)
{
    (void)state;
    char host[HOST_MAX_BYTES + 1];
    for (int i = 0; i < 1000; i++) {
        snprintf(host, sizeof host, "10.0.%d.%d", i / 250, i % 250);
        shell_complain(&world.shell, host, "malformed_datagram", KV_E_MALFORMED, "");
    }
    assert_int_equal(world_logged_count(&world, "event=malformed_datagram"), COMPLAINTS_MAX);
    assert_int_equal(world.shell.complaints_lost, 1000 - COMPLAINTS_MAX);
}

int main(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        test(test_a_frame_that_drips_is_not_waited_for),
        test(test_a_stranger_that_says_nothing_is_closed_and_a_client_is_not),
        test(test_two_thousand_that_say_nothing),
        test(test_who_hogs_the_memory_delays_large_frames_only),
        test(test_large_puts_all_at_once_stand_in_line),
        test(test_what_has_no_room_in_the_queue_is_refused),
        test(test_what_waits_for_all_clients_is_bounded),
        test(test_who_reads_late_gets_it_all),
        test(test_who_does_not_read_is_not_read_from),
        test(test_there_are_so_many_places_for_clients),
        test(test_strange_datagrams_are_never_answered),
        test(test_complaints_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
