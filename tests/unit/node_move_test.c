/* Partitions that move, seen from a node: what an old home gives to whom, and what a new home does with it.
 */
#include "node_support.h"

#include <stdio.h>

#include "model/pack.h"

/* Members 1..count were there before; `joiner` (0: nobody) is new. */
static struct bytes moving_ring(uint32_t count, uint32_t joiner, uint8_t phase, uint64_t epoch)
{
    static struct buf encoded;
    struct member members[16] = {0};
    for (uint32_t i = 0; i < count; i++) {
        members[i].id = i + 1;
        members[i].store_id = SELF_STORE(i + 1);
        members[i].weight = 1;
        members[i].old_weight = phase != RING_STABLE && i + 1 != joiner;
        members[i].addr = addr_of(i + 1);
        snprintf(members[i].name, sizeof members[i].name, "n%u", i + 1);
    }
    bool moves = phase != RING_STABLE;
    struct ring_value v = {.epoch = epoch,
                           .partitions = 64,
                           .replicas = 3,
                           .next_id = count + 1,
                           .phase = phase,
                           .since = moves ? 2 : 0,
                           .source_epoch = moves ? 2 : 0,
                           .member_count = count,
                           .members = members,
                           .queue_count = moves,
                           .queue[0] = {.kind = RING_WEIGHT, .member = 1, .weight = 1}};
    buf_clear(&encoded);
    assert_int_equal(ring_value_encode(&v, &encoded), KV_OK);
    return buf_bytes(&encoded);
}

static void bench_moving(struct bench *b, uint32_t count, uint32_t joiner, uint8_t phase)
{
    struct node_config *c = bench_config(count);
    c->ring = moving_ring(count, joiner, phase, 2);
    bench_start(b, c);
    tick_at(b, node_deadline_us(b->node));
    while (!meta_write(b, META_FLOOR))
        tick_at(b, node_deadline_us(b->node));
    written(b, meta_write(b, META_FLOOR)->op, KV_OK);
}

/* A partition that this node was a home of, or was none of. */
static uint32_t partition_where(struct bench *b, bool home)
{
    struct ring_slot slots[REPLICAS_MAX];
    for (uint32_t p = 0; p < 64; p++) {
        bool is = false;
        uint32_t count = ring_slots(node_ring(b->node), p, slots);
        for (uint32_t i = 0; i < count; i++)
            is |= slots[i].from == 1;
        if (is == home)
            return p;
    }
    fail_msg("there is no such partition");
    return 0;
}

static struct message pull_of(struct bench *b, uint32_t partition)
{
    struct message m = message_of(b, MSG_PULL);
    m.pull = (struct msg_pull){partition, {partition_first_token(partition, 64), {NULL, 0}}, 1000};
    return m;
}

static int refusal(struct bench *b, struct endpoint at)
{
    const struct message *m = sent_to(b, MSG_ROWS, at);
    assert_null(effect(b, EF_STORE_ROWS));
    assert_non_null(m);
    assert_int_equal(m->id, 77);
    assert_null(m->rows.pack);
    return m->rows.status;
}

/* `count` rows of `bytes` each, as the store would give them. */
static struct event page_of(uint64_t op, struct page_entry *entries, uint32_t count, uint32_t bytes)
{
    static char keys[16][16];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        entries[i] = (struct page_entry){
            .key = bytes_str(keys[i]),
            .row = {.kind = ROW_REGISTER, .raw_size = bytes, .stamp = {5, i}, .payload = blob_create(bytes)}};
        memset(entries[i].row.payload->data, 'v', bytes);
    }
    return (struct event){.type = EV_STORE_PAGE,
                          .page = {.op = op,
                                   .done = true,
                                   .count = count,
                                   .entries = entries,
                                   .next = {key_token(entries[count - 1].key), entries[count - 1].key}}};
}

static void pages_are_given_to_new_homes(void **state)
{
    (void)state;
    struct bench b;
    struct page_entry entries[4];
    bench_moving(&b, 4, 4, RING_PENDING);
    struct endpoint at = member(&b, 4);
    uint32_t p = partition_where(&b, true);
    struct message m = pull_of(&b, p);
    say(&b, at, &m);
    const struct effect *e = effect(&b, EF_STORE_ROWS);
    assert_non_null(e);
    assert_int_equal(e->rows.after.token, partition_first_token(p, 64));
    assert_int_equal(e->rows.until_token, p < 63 ? partition_first_token(p + 1, 64) : 0);
    assert_false(e->rows.headers);
    uint64_t hlc = hlc_now(b.node);
    struct event page = page_of(e->op, entries, 4, 200);
    tick_at(&b, b.now.mono_us + 50000);
    step(&b, &page);
    const struct message *r = sent_to(&b, MSG_ROWS, at);
    assert_non_null(r);
    assert_int_equal(r->rows.status, KV_OK);
    assert_true(r->rows.done);
    assert_int_equal(r->rows.began_hlc, hlc); /* when it was asked for, not when it was there */
    struct bytes rest = blob_bytes(r->rows.pack);
    struct packed_row row;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pack_take(&rest, &row), KV_OK);
        assert_true(bytes_eq(row.key, entries[i].key));
        row_release(&entries[i].row);
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(b.node->move.active, 0);
    bench_destroy(&b);
}

static void a_page_is_cut_before_what_is_too_much(void **state)
{
    (void)state;
    struct bench b;
    struct page_entry entries[4];
    bench_moving(&b, 4, 4, RING_PENDING);
    struct endpoint at = member(&b, 4);
    struct message m = pull_of(&b, partition_where(&b, true));
    say(&b, at, &m);
    struct event page = page_of(effect(&b, EF_STORE_ROWS)->op, entries, 4, 400); /* two fit */
    step(&b, &page);
    const struct message *r = sent_to(&b, MSG_ROWS, at);
    assert_false(r->rows.done);
    assert_true(bytes_eq(r->rows.next.key, entries[1].key));
    assert_int_equal(r->rows.next.token, key_token(entries[1].key));
    assert_int_equal(r->rows.pack->len, 2 * pack_row_bytes(entries[0].key, &entries[0].row));
    for (int i = 0; i < 4; i++)
        row_release(&entries[i].row);
    bench_destroy(&b);
}

static void who_has_no_right_to_it_gets_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_moving(&b, 5, 5, RING_PENDING);
    struct endpoint at = member(&b, 5);
    struct message m = pull_of(&b, partition_where(&b, true));
    m.ring_epoch = 1;
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_WRONG_RING);
    m = pull_of(&b, partition_where(&b, false));
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_INVALID);
    m = pull_of(&b, 64);
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_INVALID);
    m = pull_of(&b, partition_where(&b, true));
    m.pull.after.token--; /* not of that partition */
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_INVALID);
    bench_destroy(&b);

    bench_moving(&b, 4, 0, RING_STABLE);
    at = member(&b, 2);
    m = pull_of(&b, 0);
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_INVALID);
    struct endpoint stranger = client(&b);
    m = pull_of(&b, 0);
    say(&b, stranger, &m);
    assert_null(sent(&b, MSG_ROWS));
    assert_int_equal(sent_to(&b, MSG_REFUSED, stranger)->refused.status, KV_E_NOT_PERMITTED);
    bench_destroy(&b);
}

/* What was read before a newer ring was adopted may lack what was acknowledged meanwhile. */
static void a_ring_that_changes_meanwhile_spoils_the_page(void **state)
{
    (void)state;
    struct bench b;
    struct page_entry entries[2];
    bench_moving(&b, 4, 4, RING_PENDING);
    struct endpoint at = member(&b, 4);
    struct message m = pull_of(&b, partition_where(&b, true));
    say(&b, at, &m);
    uint64_t op = effect(&b, EF_STORE_ROWS)->op;
    m = message_of(&b, MSG_RING);
    m.ring.value = blob_copy(moving_ring(4, 4, RING_PENDING, 3));
    say(&b, at, &m);
    written(&b, meta_write(&b, META_RING)->op, KV_OK);
    assert_int_equal(node_ring(b.node)->value.epoch, 3);
    struct event page = page_of(op, entries, 2, 100);
    step(&b, &page);
    assert_int_equal(refusal(&b, at), KV_E_WRONG_RING);
    for (int i = 0; i < 2; i++)
        row_release(&entries[i].row);
    assert_int_equal(b.node->move.active, 0);
    bench_destroy(&b);
}

static void foreground_comes_first(void **state)
{
    (void)state;
    struct bench b;
    bench_moving(&b, 4, 4, RING_PENDING);
    struct endpoint at = member(&b, 4);
    uint32_t p = partition_where(&b, true);
    uint64_t ops[PULLS_MAX];
    struct message m;
    for (uint32_t i = 0; i < PULLS_MAX; i++) {
        m = pull_of(&b, p);
        say(&b, at, &m);
        ops[i] = effect(&b, EF_STORE_ROWS)->op;
    }
    m = pull_of(&b, p);
    say(&b, at, &m);
    assert_int_equal(refusal(&b, at), KV_E_OVERLOADED);
    assert_int_equal(move_bytes_in_flight(b.node), PULLS_MAX * 1000);
    m = write_of(&b, "k", "v"); /* takes the place of all but one */
    say(&b, at, &m);
    uint64_t write = effect(&b, EF_STORE_WRITE)->op;
    for (uint32_t i = 0; i < PULLS_MAX; i++) {
        m = pull_of(&b, p);
        say(&b, at, &m);
        assert_int_equal(refusal(&b, at), KV_E_OVERLOADED);
        struct event page = {.type = EV_STORE_PAGE, .page = {.op = ops[i], .done = true}};
        step(&b, &page);
        assert_int_equal(sent_to(&b, MSG_ROWS, at)->rows.status, KV_OK);
    }
    m = pull_of(&b, p);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_ROWS));
    written(&b, write, KV_OK);
    m = pull_of(&b, p);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_ROWS));
    bench_destroy(&b);
}

static void pages_are_given_at_a_limited_rate(void **state)
{
    (void)state;
    struct bench b;
    struct page_entry entries[1];
    bench_moving(&b, 4, 4, RING_PENDING);
    struct endpoint at = member(&b, 4);
    uint32_t p = partition_where(&b, true);
    b.node->move.rate.per_second = 1 << 20;
    for (uint32_t given = 0;; given++) {
        struct message m = pull_of(&b, p);
        say(&b, at, &m);
        if (!effect(&b, EF_STORE_ROWS)) {
            assert_int_equal(refusal(&b, at), KV_E_OVERLOADED);
            assert_in_range(given, 1, 3); /* the burst */
            break;
        }
        struct event page = page_of(effect(&b, EF_STORE_ROWS)->op, entries, 1, 100000);
        step(&b, &page);
        row_release(&entries[0].row);
    }
    tick_at(&b, b.now.mono_us + 300000);
    struct message m = pull_of(&b, p);
    say(&b, at, &m);
    assert_non_null(effect(&b, EF_STORE_ROWS));
    bench_destroy(&b);
}

/* What this node asked for and nobody has answered yet. */
struct work {
    uint64_t ops[256];
    uint32_t op_count;
    struct {
        uint32_t peer, partition;
        uint64_t id;
    } pulls[256];
    uint32_t pull_count, merges;
};

static void gather(struct bench *b, struct work *w)
{
    for (uint32_t k = 0; k < b->out.count; k++) {
        const struct effect *e = &b->out.effects[k];
        w->merges += e->type == EF_STORE_MERGE;
        if (id_owner(e->op) == ID_TRANSFER)
            w->ops[w->op_count++] = e->op;
        if (e->type == EF_SEND && e->send.message.type == MSG_PULL) {
            w->pulls[w->pull_count].peer = e->send.to.peer;
            w->pulls[w->pull_count].partition = e->send.message.pull.partition;
            w->pulls[w->pull_count++].id = e->send.message.id;
        }
    }
}

/* A partition of one row, written at `stamp_hlc`. */
static void give(struct bench *b, struct work *w, uint64_t stamp_hlc)
{
    char key[16];
    uint32_t i = 0;
    w->pull_count--;
    do
        snprintf(key, sizeof key, "key%u", i++);
    while (token_partition(key_token(bytes_str(key)), 64) != w->pulls[w->pull_count].partition);
    struct page_entry entry = {
        .key = bytes_str(key),
        .row = {.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {stamp_hlc, 1}}};
    struct message m = message_of(b, MSG_ROWS);
    m.id = w->pulls[w->pull_count].id;
    m.rows = (struct msg_rows){.done = 1, .began_hlc = m.hlc, .pack = pack_rows(&entry, 1)};
    say(b, to_peer(w->pulls[w->pull_count].peer), &m);
    gather(b, w);
}

/* This node is the new one: it asks, writes, and is whole. Stamps move its clock within its limits. */
static void a_new_home_takes_over(void **state)
{
    (void)state;
    struct bench b;
    struct work w = {0};
    bench_moving(&b, 4, 1, RING_PENDING);
    uint32_t total = transfer_progress(b.node->move.transfer).partitions_total;
    assert_int_equal(total, ring_owned(node_ring(b.node), 1));
    for (uint32_t i = 2; i <= 4; i++) {
        peer_up(&b, i);
        gather(&b, &w);
    }
    uint64_t clock = b.node->clock.hlc, near = clock + hlc_from_ms(100), far = clock + hlc_from_ms(86400000);
    give(&b, &w, far);
    assert_true(b.node->clock.hlc < near);
    give(&b, &w, near);
    assert_true(b.node->clock.hlc >= near && b.node->clock.hlc < far);
    assert_int_equal(w.merges, 2); /* written both */
    assert_true(move_bytes_in_flight(b.node) > 0);
    while (!transfer_whole(b.node->move.transfer)) {
        if (w.op_count) {
            written(&b, w.ops[--w.op_count], KV_OK);
            gather(&b, &w);
        } else if (w.pull_count) {
            give(&b, &w, 7);
        } else {
            tick_at(&b, node_deadline_us(b.node));
            gather(&b, &w);
        }
    }
    assert_int_equal(transfer_whole(b.node->move.transfer), 2);
    assert_int_equal(w.merges, total);
    assert_int_equal(move_bytes_in_flight(b.node), 0);
    bench_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_given_to_new_homes),
        cmocka_unit_test(a_page_is_cut_before_what_is_too_much),
        cmocka_unit_test(who_has_no_right_to_it_gets_nothing),
        cmocka_unit_test(a_ring_that_changes_meanwhile_spoils_the_page),
        cmocka_unit_test(foreground_comes_first),
        cmocka_unit_test(pages_are_given_at_a_limited_rate),
        cmocka_unit_test(a_new_home_takes_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
