/* What is said to a client before anything is tried; and one whole put and get on a node alone. */
#include "node_support.h"

static int refused_with(struct bench *b, struct endpoint at, struct message m)
{
    say(b, at, &m);
    const struct message *r = sent_to(b, MSG_RESPONSE, at);
    assert_null(effect(b, EF_STORE_WRITE));
    assert_null(effect(b, EF_STORE_READ));
    assert_true(r && r->id == m.id);
    return r->response.status;
}

static struct message get_of(struct bench *b, const char *key)
{
    struct message m = message_of(b, MSG_REQUEST);
    m.request.op = OP_GET;
    m.request.timeout_us = 1000000;
    m.request.key = bytes_str(key);
    return m;
}

static void requests_are_checked(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = client(&b);
    static uint8_t long_key[KEY_MAX_BYTES + 1];

    struct message m = get_of(&b, "k");
    m.request.key = bytes_of(long_key, sizeof long_key);
    assert_int_equal(refused_with(&b, at, m), KV_E_TOO_LARGE);
    m = get_of(&b, "");
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = get_of(&b, "k");
    m.request.r = 4;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = get_of(&b, "k");
    m.request.flags = 1 << 7;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = get_of(&b, "k");
    m.request.op = 9;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = put_of(&b, "k", "v");
    m.request.flags = REQ_LOCAL;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = put_of(&b, "k", "v");
    m.request.row.raw_size = 5;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    m = put_of(&b, "k", "v");
    m.request.row.flags = ROW_LZ4;
    m.request.row.raw_size = VALUE_MAX_BYTES + 1;
    assert_int_equal(refused_with(&b, at, m), KV_E_TOO_LARGE);
    bench_destroy(&b);
}

static void stamps_too_far_ahead_move_no_clock(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = client(&b);
    uint64_t before = b.node->clock.hlc;
    struct message m = put_of(&b, "k", "v");
    m.request.row.stamp.hlc = hlc_from_ms(b.now.wall_ms + CLOCK_DRIFT_MAX_MS) + 1;
    m.hlc = m.request.row.stamp.hlc;
    assert_int_equal(refused_with(&b, at, m), KV_E_INVALID);
    assert_true(b.node->clock.hlc == before);
    m = put_of(&b, "k", "v");
    m.request.row.stamp.hlc = hlc_from_ms(b.now.wall_ms + CLOCK_DRIFT_MAX_MS);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    assert_true(b.node->clock.hlc == hlc_from_ms(b.now.wall_ms + CLOCK_DRIFT_MAX_MS));

    /* Nor so far in the past that no replica would take it. The clock is what was seen: 500 ms ahead. */
    m = put_of(&b, "k", "v");
    m.request.row.stamp.hlc = hlc_from_ms(b.now.wall_ms + CLOCK_DRIFT_MAX_MS - ROW_AGE_MAX_MS - 1);
    assert_int_equal(refused_with(&b, at, m), KV_E_STALE);
    m = put_of(&b, "k", "v");
    m.request.row.stamp.hlc = hlc_from_ms(b.now.wall_ms + CLOCK_DRIFT_MAX_MS - ROW_AGE_MAX_MS);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

/* A node alone is home of everything: what it says to itself never leaves, and the answer waits for the disk.
 */
static void put_and_get_alone(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = client(&b);
    struct message m = put_of(&b, "k", "value");
    say(&b, at, &m);
    struct effect *w = effect(&b, EF_STORE_WRITE);
    assert_true(w && bytes_eq(w->write.key, bytes_str("k")) && w->write.hint_count == 0);
    assert_null(sent(&b, MSG_RESPONSE));
    assert_null(sent(&b, MSG_WRITE));
    written(&b, w->op, KV_OK);
    const struct message *r = sent_to(&b, MSG_RESPONSE, at);
    assert_true(r && r->id == 77 && r->response.status == KV_OK && r->response.acked == 1);
    assert_int_equal(r->ring_epoch, 1);

    m = get_of(&b, "k");
    say(&b, at, &m);
    struct event e = {.type = EV_STORE_READ};
    e.read.op = effect(&b, EF_STORE_READ)->op;
    e.read.row = put_of(&b, "k", "value").request.row;
    step(&b, &e);
    r = sent_to(&b, MSG_RESPONSE, at);
    assert_true(r && r->response.status == KV_OK);
    assert_true(bytes_eq(blob_bytes(r->response.row.payload), bytes_str("value")));
    row_release(&e.read.row);
    assert_int_equal(b.node->replica.active, 0);
    assert_int_equal(conns_find(b.node, at.conn)->requests, 0);
    bench_destroy(&b);
}

static void local_gets_ask_nobody(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = client(&b);
    for (int dead = 0; dead < 2; dead++) {
        struct message m = get_of(&b, "k");
        m.request.flags = REQ_LOCAL;
        say(&b, at, &m);
        assert_int_equal(count_of(&b, EF_SEND), 0);
        struct event e = {.type = EV_STORE_READ};
        e.read.op = effect(&b, EF_STORE_READ)->op;
        e.read.row = put_of(&b, "k", "value").request.row;
        if (dead)
            e.read.row.expires_hlc = hlc_from_ms(b.now.wall_ms);
        step(&b, &e);
        const struct message *r = sent_to(&b, MSG_RESPONSE, at);
        assert_int_equal(r->response.status, dead ? KV_E_NOT_FOUND : KV_OK);
        assert_int_equal(r->response.asked, 1);
        row_release(&e.read.row);
    }
    bench_destroy(&b);
}

/* Not before the clock's floor is on disk, not without a ring, not while stopping. */
static void when_requests_are_taken(void **state)
{
    (void)state;
    struct bench b;
    struct node_config *c = bench_config(1);
    c->ring = bench_ring(1);
    c->hlc_floor = hlc_from_ms(WALL_MS + 900); /* a former life a moment ago */
    bench_start(&b, c);
    uint64_t floor_op = meta_write(&b, META_FLOOR)->op;
    struct endpoint at = client(&b);
    assert_int_equal(refused_with(&b, at, get_of(&b, "k")), KV_E_UNAVAILABLE);
    written(&b, floor_op, KV_OK);
    assert_int_equal(refused_with(&b, at, get_of(&b, "k")), KV_E_UNAVAILABLE); /* settling */
    tick_at(&b, b.now.mono_us + 400000);
    struct message m = get_of(&b, "k");
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_READ));
    uint64_t read_op = effect(&b, EF_STORE_READ)->op;

    struct event e = {.type = EV_STOP};
    step(&b, &e);
    assert_null(effect(&b, EF_EXIT)); /* one is in flight */
    assert_int_equal(refused_with(&b, at, get_of(&b, "k")), KV_E_UNAVAILABLE);
    e = (struct event){.type = EV_STORE_READ};
    e.read.op = read_op;
    step(&b, &e);
    assert_non_null(sent_to(&b, MSG_RESPONSE, at));
    const struct effect *x = effect(&b, EF_EXIT);
    assert_true(x && x->exit.status == 0);
    bench_destroy(&b);

    bench_founder(&b, 3);
    at = client(&b);
    assert_int_equal(refused_with(&b, at, get_of(&b, "k")), KV_E_UNAVAILABLE);
    struct message scan = message_of(&b, MSG_SCAN);
    say(&b, at, &scan);
    assert_int_equal(sent_to(&b, MSG_SCAN_PAGE, at)->scan_page.status, KV_E_UNAVAILABLE);
    bench_destroy(&b);
}

static void one_connection_has_a_limit(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = client(&b), other = client(&b);
    for (uint32_t i = 0; i < CONN_REQUESTS_MAX; i++) {
        struct message m = put_of(&b, "k", "v");
        m.id = i;
        say(&b, at, &m);
        assert_non_null(effect(&b, EF_STORE_WRITE));
    }
    uint64_t last = effect(&b, EF_STORE_WRITE)->op;
    assert_int_equal(refused_with(&b, at, get_of(&b, "k")), KV_E_OVERLOADED);
    struct message m = put_of(&b, "k", "v");
    say(&b, other, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    written(&b, last, KV_OK);
    m = put_of(&b, "k", "v");
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

static void bytes_in_flight_have_a_limit(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 1);
    struct endpoint at = client(&b);
    struct blob *large = blob_create(VALUE_MAX_BYTES);
    memset(large->data, 1, large->len);
    uint32_t taken = 0;
    for (int status = KV_OK; status == KV_OK; taken++) {
        struct message m = put_of(&b, "k", "v");
        blob_unref(m.request.row.payload);
        m.request.row.payload = blob_ref(large);
        m.request.row.raw_size = large->len;
        say(&b, at, &m);
        status = effect(&b, EF_STORE_WRITE) ? KV_OK : sent_to(&b, MSG_RESPONSE, at)->response.status;
        if (status != KV_OK)
            assert_int_equal(status, KV_E_OVERLOADED);
        assert_true(front_bytes_in_flight(b.node) <= INFLIGHT_MAX_BYTES);
    }
    assert_true(taken > 8);
    blob_unref(large);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(stamps_too_far_ahead_move_no_clock),
        cmocka_unit_test(put_and_get_alone),
        cmocka_unit_test(local_gets_ask_nobody),
        cmocka_unit_test(when_requests_are_taken),
        cmocka_unit_test(one_connection_has_a_limit),
        cmocka_unit_test(bytes_in_flight_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
