/* A node's own rows: what it takes from coordinators, and what it answers. */
#include "node_support.h"

static int acked(struct bench *b, struct endpoint at)
{
    const struct message *m = sent_to(b, MSG_WRITE_ACK, at);
    assert_non_null(m);
    assert_int_equal(m->id, 77);
    assert_null(effect(b, EF_STORE_WRITE));
    return m->write_ack.status;
}

static void writes_are_acknowledged_by_the_disk(void **state)
{
    (void)state;
    const int statuses[][2] = {{KV_OK, KV_OK}, {KV_E_FULL, KV_E_OVERLOADED}, {KV_OK, KV_OK}};
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    for (size_t i = 0; i < 3; i++) {
        struct message m = write_of(&b, "k", "v");
        say(&b, at, &m);
        assert_null(sent(&b, MSG_WRITE_ACK));
        written(&b, effect(&b, EF_STORE_WRITE)->op, statuses[i][0]);
        assert_int_equal(acked(&b, at), statuses[i][1]);
        assert_true(b.node->replica.full == (statuses[i][0] == KV_E_FULL));
        assert_int_equal(count_of(&b, EF_LOG), i > 0); /* full, and not any more: said once each */
    }
    assert_int_equal(b.node->replica.rows_written, 2);
    bench_destroy(&b);
}

static void bad_writes_are_refused(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    struct message m = write_of(&b, "k", "v");
    m.ring_epoch = 0;
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_WRONG_RING);
    assert_null(sent(&b, MSG_RING_GET));

    m = write_of(&b, "k", "v");
    m.ring_epoch = 2;
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_WRONG_RING);
    assert_non_null(sent_to(&b, MSG_RING_GET, at)); /* it is this node that is behind */

    m = write_of(&b, "", "v");
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_INVALID);
    m = write_of(&b, "k", "v");
    m.write.row.kind = 9;
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_INVALID);
    m = write_of(&b, "k", "v");
    m.write.began_hlc = hlc_from_ms(b.now.wall_ms - ROW_AGE_MAX_MS - 1);
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_STALE);
    m = write_of(&b, "k", "v");
    m.write.began_hlc = hlc_from_ms(b.now.wall_ms - ROW_AGE_MAX_MS);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

/* A row is never refused for its stamp; but one from the far future moves no clock. */
static void stamps_are_not_judged(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    uint64_t before = b.node->clock.hlc;
    struct message m = write_of(&b, "k", "v");
    m.write.row.stamp.hlc = hlc_from_ms(b.now.wall_ms + 86400000);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    assert_true(b.node->clock.hlc == before);
    bench_destroy(&b);
}

static void hints_are_kept_and_counted(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 4);
    struct endpoint at = member(&b, 2);
    struct message m = write_of(&b, "key", "value");
    m.write.hint_count = 3;
    m.write.hints[0] = 3;
    m.write.hints[1] = 1; /* ourselves: we have the row */
    m.write.hints[2] = 4;
    say(&b, at, &m);
    const struct effect *w = effect(&b, EF_STORE_WRITE);
    assert_int_equal(w->write.hint_count, 2);
    assert_int_equal(w->write.hints[0], 3);
    assert_int_equal(w->write.hints[1], 4);
    assert_int_equal(hints_waiting(b.node->hints, 0), 0);
    written(&b, w->op, KV_OK);
    assert_int_equal(acked(&b, at), KV_OK);
    assert_int_equal(hints_waiting(b.node->hints, 3), 1);
    assert_int_equal(hints_waiting(b.node->hints, 4), 1);
    assert_int_equal(hints_bytes(b.node->hints), 2 * (3 + 5));

    /* No room for notes: refused, so that it does not count. */
    assert_int_equal(hints_noted(b.node->hints, b.now, 3, HINTS_MAX_BYTES), KV_OK);
    m = write_of(&b, "key", "value");
    m.write.hint_count = 1;
    m.write.hints[0] = 3;
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_OVERLOADED);
    m = write_of(&b, "key", "value"); /* without one it is taken */
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    bench_destroy(&b);
}

static void reads_and_pages(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    struct message m = message_of(&b, MSG_READ);
    m.read.key = bytes_str("k");
    m.read.stamp_only = 1;
    say(&b, at, &m);
    const struct effect *r = effect(&b, EF_STORE_READ);
    assert_true(r->read.stamp_only && bytes_eq(r->read.key, bytes_str("k")));
    struct event e = {.type = EV_STORE_READ};
    e.read.op = r->op;
    e.read.status = KV_E_CORRUPT;
    step(&b, &e);
    assert_int_equal(sent_to(&b, MSG_READ_REPLY, at)->read_reply.status, KV_E_CORRUPT);

    m = message_of(&b, MSG_RANGE);
    m.range.limit = 100000;
    m.range.prefix = bytes_str("p");
    say(&b, at, &m);
    const struct effect *p = effect(&b, EF_STORE_RANGE);
    assert_int_equal(p->range.limit, SCAN_PAGE_MAX);
    struct page_entry entries[2] = {{.key = bytes_str("p1")}, {.key = bytes_str("p2")}};
    e = (struct event){.type = EV_STORE_PAGE};
    e.page.op = p->op;
    e.page.count = 2;
    e.page.entries = entries;
    e.page.done = true;
    step(&b, &e);
    const struct msg_range_page *page = &sent_to(&b, MSG_RANGE_PAGE, at)->range_page;
    assert_true(page->done && page->count == 2 && bytes_eq(page->entries[1].key, bytes_str("p2")));

    m = message_of(&b, MSG_READ);
    m.read.key = bytes_str("k");
    m.ring_epoch = 9;
    say(&b, at, &m);
    assert_int_equal(sent_to(&b, MSG_READ_REPLY, at)->read_reply.status, KV_E_WRONG_RING);
    bench_destroy(&b);
}

/* The next ring: the same members, one epoch later; or this node leaves them. */
static struct blob *next_ring(const struct bench *b, bool leaving)
{
    struct ring_value v;
    struct buf encoded = {0};
    assert_int_equal(ring_value_copy(&node_ring(b->node)->value, &v), KV_OK);
    v.epoch++;
    for (uint32_t i = 0; leaving && i < v.member_count; i++) {
        v.members[i].old_weight = 1;
        v.members[i].weight = v.members[i].id != b->node->self;
    }
    if (leaving) {
        v.phase = RING_PENDING;
        v.since = v.source_epoch = v.epoch;
        v.queue_count = 1;
        v.queue[0] = (struct ring_change){.kind = RING_LEAVE, .member = b->node->self};
    }
    assert_int_equal(ring_value_encode(&v, &encoded), KV_OK);
    struct blob *blob = blob_copy(buf_bytes(&encoded));
    assert_non_null(blob);
    buf_deinit(&encoded);
    ring_value_deinit(&v);
    return blob;
}

/* What was begun under one ring and is finished under the next is answered WRONG_RING, whatever came of it;
 * what only this node's own copy is asked for does not care. */
static void what_a_new_ring_overtakes_is_not_acknowledged(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2), local = client(&b);
    struct message m = write_of(&b, "k", "v");
    m.write.hint_count = 1;
    m.write.hints[0] = 3;
    say(&b, at, &m);
    uint64_t write = effect(&b, EF_STORE_WRITE)->op;
    m = message_of(&b, MSG_READ);
    m.read.key = bytes_str("k");
    say(&b, at, &m);
    uint64_t read = effect(&b, EF_STORE_READ)->op;
    m = message_of(&b, MSG_RANGE);
    say(&b, at, &m);
    uint64_t range = effect(&b, EF_STORE_RANGE)->op;
    m = message_of(&b, MSG_REQUEST);
    m.request.op = OP_GET;
    m.request.flags = REQ_LOCAL;
    m.request.key = bytes_str("k");
    say(&b, local, &m);
    uint64_t own = effect(&b, EF_STORE_READ)->op;

    m = message_of(&b, MSG_RING);
    m.ring.value = next_ring(&b, false);
    say(&b, at, &m);
    written(&b, meta_write(&b, META_RING)->op, KV_OK);
    assert_int_equal(node_ring(b.node)->value.epoch, 2);

    written(&b, write, KV_OK);
    assert_int_equal(acked(&b, at), KV_E_WRONG_RING);
    assert_int_equal(hints_waiting(b.node->hints, 3), 1); /* it is on the disk all the same */
    struct row row = {
        .kind = ROW_REGISTER, .stamp = {5, 5}, .payload = blob_copy(bytes_str("v")), .raw_size = 1};
    struct event e = {.type = EV_STORE_READ};
    e.read.op = read;
    e.read.row = row;
    step(&b, &e);
    assert_int_equal(sent_to(&b, MSG_READ_REPLY, at)->read_reply.status, KV_E_WRONG_RING);
    assert_true(row_is_absent(&sent_to(&b, MSG_READ_REPLY, at)->read_reply.row));
    e.read.op = own;
    step(&b, &e);
    assert_int_equal(sent_to(&b, MSG_RESPONSE, local)->response.status, KV_OK);
    e = (struct event){.type = EV_STORE_PAGE};
    e.page.op = range;
    step(&b, &e);
    assert_int_equal(sent_to(&b, MSG_RANGE_PAGE, at)->range_page.status, KV_E_WRONG_RING);
    assert_int_equal(b.node->replica.wrong_ring, 3);
    row_release(&row);
    bench_destroy(&b);
}

/* It takes no more notes, and is not whole before the last one is handed over. */
static void who_leaves_takes_no_notes(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 4);
    struct endpoint at = member(&b, 2);
    struct message m = write_of(&b, "k", "v");
    m.write.hint_count = 1;
    m.write.hints[0] = 3;
    say(&b, at, &m);
    uint64_t write = effect(&b, EF_STORE_WRITE)->op;
    m = message_of(&b, MSG_RING);
    m.ring.value = next_ring(&b, true);
    say(&b, at, &m);
    written(&b, meta_write(&b, META_RING)->op, KV_OK);
    assert_int_equal(node_ring(b.node)->value.phase, RING_PENDING);
    m = write_of(&b, "other", "v");
    m.write.hint_count = 1;
    m.write.hints[0] = 3;
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_OVERLOADED);
    m = write_of(&b, "other", "v");
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_WRITE));
    assert_int_equal(change_own_progress(b.node).whole, 0); /* the first is on its way to the disk */
    written(&b, write, KV_OK);
    assert_int_equal(hints_waiting(b.node->hints, 3), 1);
    assert_int_equal(change_own_progress(b.node).whole, 0);
    bench_destroy(&b);
}

/* Completions in any order; the pool grows to its limit and not beyond. */
static void many_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_member(&b, 3);
    struct endpoint at = member(&b, 2);
    static uint64_t ops[REPLICA_OPS_MAX];
    for (uint32_t i = 0; i < REPLICA_OPS_MAX; i++) {
        struct message m = write_of(&b, "k", "v");
        struct event e = {.type = EV_MESSAGE};
        e.message.from = at;
        e.message.message = &m;
        outbox_reset(&b.out);
        node_step(b.node, b.now, &e, &b.out); /* without the checks, which look at all operations */
        message_release(&m);
        ops[i] = effect(&b, EF_STORE_WRITE)->op;
    }
    struct message m = write_of(&b, "k", "v");
    say(&b, at, &m);
    assert_int_equal(acked(&b, at), KV_E_OVERLOADED);
    for (uint32_t i = 0; i < 100; i++) {
        written(&b, ops[(i * 7919) % REPLICA_OPS_MAX], KV_OK);
        assert_int_equal(acked(&b, at), KV_OK);
    }
    assert_int_equal(b.node->replica.active, REPLICA_OPS_MAX - 100);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_are_acknowledged_by_the_disk),
        cmocka_unit_test(bad_writes_are_refused),
        cmocka_unit_test(stamps_are_not_judged),
        cmocka_unit_test(hints_are_kept_and_counted),
        cmocka_unit_test(reads_and_pages),
        cmocka_unit_test(what_a_new_ring_overtakes_is_not_acknowledged),
        cmocka_unit_test(who_leaves_takes_no_notes),
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
