/* Anti-entropy when things go wrong: peers that vanish, messages that do not arrive or lie, rings that
 * change, stores that fail. */
#include "unit/entropy_lab.h"

static void mess(struct lab *lab, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++) {
        uint64_t version = prng_below(&lab->prng, 4);
        lab_put(lab, i, version, 50 + version * 37 % 5 * 60, 1 + (uint32_t)prng_below(&lab->prng, 7));
    }
}

/* One in ten messages is lost; in the end all is well all the same. */
static void lost_messages_are_asked_again(void **state)
{
    (void)state;
    struct lab *lab = lab_create(4, 3, 32, 11);
    mess(lab, 2000);
    lab->lose_percent = 10;
    lab_connect(lab);
    lab_run(lab, 4 * ENTROPY_ROUND_US);
    assert_true(lab_counters(lab).sessions_failed > 0);
    lab->lose_percent = 0;
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8);
    assert_int_equal(lab_differing(lab), 0);
    assert_int_equal(lab_counters(lab).malformed, 0);
    lab_destroy(lab);
}

static void a_peer_that_never_answers_holds_nobody_up(void **state)
{
    (void)state;
    struct lab *lab = lab_create(5, 3, 64, 12);
    mess(lab, 1000);
    lab_connect(lab);
    lab->cut[2] = true; /* and nobody is told */
    lab_run(lab, 3 * ENTROPY_ROUND_US);
    for (uint32_t id = 1; id <= 5; id++)
        assert_true(entropy_counters(lab->nodes[id]).rounds >= 1);
    lab->cut[2] = false;
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 4);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* Peers come and go at any moment, with what was on its way lost or not. */
static void peers_come_and_go(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lab *lab = lab_create(5, 3, 16, seed);
        mess(lab, 600);
        lab_connect(lab);
        for (int i = 0; i < 300; i++) {
            uint32_t node = 1 + (uint32_t)prng_below(&lab->prng, 5);
            if (prng_below(&lab->prng, 4) == 0)
                lab_reach(lab, node, lab->cut[node]);
            for (uint64_t n = prng_below(&lab->prng, 40); n > 0 && lab_step(lab); n--)
                ;
            lab->now.mono_us += prng_below(&lab->prng, 3000000);
            lab_tick(lab);
        }
        for (uint32_t id = 1; id <= 5; id++)
            lab_reach(lab, id, true);
        lab_run(lab, 2 * ENTROPY_ROUND_US);
        assert_int_equal(lab_differing(lab), 0);
        assert_int_equal(lab_counters(lab).malformed, 0);
        lab_destroy(lab);
    }
}

static void new_ring(struct lab *lab, uint64_t epoch, uint32_t members)
{
    struct ring *old = lab->ring;
    lab->ring = lab_ring(epoch, members, 3, old->value.partitions);
    for (uint32_t id = 1; id <= lab->members; id++) {
        assert_int_equal(entropy_ring_set(lab->nodes[id], lab->now, lab->ring), KV_OK);
        entropy_check(lab->nodes[id]);
    }
    ring_destroy(old);
}

/* What is under way ends with its ring; what comes late is ignored, and the rest is done under the new one.
 */
static void a_new_ring_ends_all_sessions(void **state)
{
    (void)state;
    struct lab *lab = lab_create(5, 3, 16, 13);
    mess(lab, 3000);
    lab_connect(lab);
    for (uint64_t epoch = 2; epoch < 60; epoch++) {
        lab->now.mono_us += ENTROPY_RETURN_US;
        lab_tick(lab);
        for (uint64_t n = prng_below(&lab->prng, 200); n > 0 && lab_step(lab); n--)
            ;
        struct entropy_counters before = lab_counters(lab);
        new_ring(lab, epoch, 5);
        for (uint32_t id = 1; id <= 5; id++)
            for (uint32_t p = 0; p < 16; p++)
                assert_false(entropy_busy(lab->nodes[id], p));
        while (lab_step(lab))
            ;
        assert_int_equal(lab_counters(lab).sessions, before.sessions);
    }
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* A question of another epoch is refused by name. */
static struct message ask(struct lab *lab, struct message *m)
{
    m->from = 2;
    m->id = 77;
    entropy_question(lab->nodes[1], lab->now, lab_hlc(lab), to_conn(2), m, &lab->out);
    assert_int_equal(lab->out.count, 1);
    assert_int_equal(lab->out.effects[0].type, EF_SEND);
    struct message answer = lab->out.effects[0].send.message;
    assert_int_equal(answer.id, 77);
    outbox_reset(&lab->out);
    entropy_check(lab->nodes[1]);
    return answer;
}

static uint32_t shared_partition(const struct lab *lab, bool shared)
{
    for (uint32_t p = 0;; p++) {
        assert_true(p < lab->ring->value.partitions);
        if ((ring_is_home(lab->ring, p, 1) && ring_is_home(lab->ring, p, 2)) == shared)
            return p;
    }
}

static void questions_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_create(5, 3, 64, 14);
    lab_connect(lab);
    uint32_t shared = shared_partition(lab, true), not_shared = shared_partition(lab, false);
    struct partition_root root = {shared, 1};
    struct message m = {.type = MSG_ROOTS, .ring_epoch = 2, .roots = {1, &root}};
    assert_int_equal(ask(lab, &m).leaves.status, KV_E_WRONG_RING);
    m.ring_epoch = 1;
    root.partition = not_shared;
    assert_int_equal(ask(lab, &m).leaves.status, KV_E_INVALID);
    root.partition = 64;
    assert_int_equal(ask(lab, &m).leaves.status, KV_E_INVALID);
    m.roots.count = 0;
    assert_int_equal(ask(lab, &m).leaves.status, KV_OK);

    struct partition_leaf_set sets[2] = {{not_shared, 1}, {not_shared, 1}};
    m = (struct message){.type = MSG_COMPARE, .ring_epoch = 1, .compare = {.count = 1, .sets = sets}};
    assert_int_equal(ask(lab, &m).compared.status, KV_E_INVALID);
    sets[0].partition = sets[1].partition = shared;
    m.compare.count = 2;
    assert_int_equal(ask(lab, &m).compared.status, KV_E_INVALID); /* twice the same */
    m.compare.count = 1;
    m.compare.digests = blob_copy(bytes_str("odd"));
    assert_int_equal(ask(lab, &m).compared.status, KV_E_MALFORMED);
    entropy_hold(lab->nodes[1], shared);
    assert_int_equal(ask(lab, &m).compared.status, KV_E_AGAIN);
    message_release(&m);
    lab_destroy(lab);
}

/* A key of a partition that 1 and 2 share, or do not. */
static struct bytes key_where(const struct lab *lab, bool shared, char text[LAB_KEY_MAX])
{
    for (uint32_t i = 0;; i++) {
        struct bytes key = lab_key(i, text);
        uint32_t p = ring_partition(lab->ring, key_token(key));
        if ((ring_is_home(lab->ring, p, 1) && ring_is_home(lab->ring, p, 2)) == shared)
            return key;
    }
}

static int merge(struct lab *lab, struct bytes key, uint64_t began_hlc, size_t cut)
{
    struct row row = lab_row(lab, 1, 10);
    struct page_entry entry = {.key = key, .row = row};
    struct blob *pack = pack_rows(&entry, 1), *sent = blob_copy(bytes_of(pack->data, pack->len - cut));
    struct message m = {.type = MSG_MERGE, .ring_epoch = 1, .merge = {began_hlc, sent}};
    int status = ask(lab, &m).merged.status;
    blob_unref(pack);
    message_release(&m);
    row_release(&row);
    return status;
}

static void rows_that_should_not_come_are_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_create(5, 3, 64, 15);
    char text[LAB_KEY_MAX], other[LAB_KEY_MAX];
    lab_connect(lab);
    struct bytes key = key_where(lab, true, text), strange = key_where(lab, false, other);
    uint64_t hlc = lab_hlc(lab);
    assert_int_equal(merge(lab, strange, hlc, 0), KV_E_MALFORMED);
    assert_int_equal(merge(lab, key, hlc, 1), KV_E_MALFORMED);
    assert_int_equal(merge(lab, key, hlc - hlc_from_ms(ROW_AGE_MAX_MS + 1), 0), KV_E_STALE);
    struct message none = {.type = MSG_MERGE, .ring_epoch = 1, .merge = {hlc, NULL}};
    assert_int_equal(ask(lab, &none).merged.status, KV_E_MALFORMED);
    entropy_hold(lab->nodes[1], ring_partition(lab->ring, key_token(key)));
    assert_int_equal(merge(lab, key, hlc, 0), KV_E_AGAIN);
    lab_destroy(lab);
}

/* No more than so many questions at once. */
static void too_many_questions_are_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_create(5, 3, 64, 16);
    lab_connect(lab);
    struct partition_root root = {shared_partition(lab, true), 1};
    struct message m = {.type = MSG_ROOTS, .ring_epoch = 1, .from = 2, .roots = {1, &root}};
    for (uint32_t i = 0; i < ENTROPY_SERVES; i++) {
        m.id = i;
        entropy_question(lab->nodes[1], lab->now, lab_hlc(lab), to_conn(2), &m, &lab->out);
        assert_int_equal(lab->out.effects[lab->out.count - 1].type, EF_STORE_TREE);
    }
    lab_take(lab, 1);
    assert_int_equal(ask(lab, &m).leaves.status, KV_E_OVERLOADED);
    while (lab_step(lab))
        ;
    lab_destroy(lab);
}

/* ---- a peer that lies in its answers: the session ends, nothing is believed */

static void lie(struct lab *lab, uint32_t from, uint32_t to, struct message *m)
{
    static struct partition_leaves leaves[COMPARE_PARTITIONS_MAX + 1];
    static struct compare_conflict conflict = {COMPARE_DIGESTS_MAX - 1, {1, 1}};
    (void)to;
    if (from != 2)
        return;
    if (m->type == MSG_LEAVES && m->leaves.count > 0) {
        memcpy(leaves, m->leaves.partitions, m->leaves.count * sizeof leaves[0]);
        switch (prng_below(&lab->prng, 4)) {
        case 0: leaves[0].partition = 4000000; break;
        case 1: leaves[m->leaves.count++] = leaves[0]; break; /* the same twice */
        default: return;
        }
        m->leaves.partitions = leaves;
    } else if (m->type == MSG_COMPARED) {
        switch (prng_below(&lab->prng, 4)) {
        case 0:
            m->compared.count = 1;
            m->compared.conflicts = &conflict;
            break;
        case 1:
            m->compared.done = false;
            m->compared.next = (struct cursor){0};
            break;
        case 2:
            blob_unref(m->compared.pack);
            m->compared.pack = blob_copy(bytes_str("no rows at all"));
            break;
        default: m->compared.began_hlc = 0; break;
        }
    }
}

static void answers_that_make_no_sense_are_not_believed(void **state)
{
    (void)state;
    struct lab *lab = lab_create(3, 3, 16, 17);
    mess(lab, 1000);
    lab->meddle = lie;
    lab_connect(lab);
    lab_run(lab, 10 * ENTROPY_ROUND_US);
    assert_true(lab_counters(lab).malformed > 50);
    lab->meddle = NULL;
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 4);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* Answers to nothing, twice, from somebody else, of another kind. */
static void echo(struct lab *lab, uint32_t from, uint32_t to, struct message *m)
{
    bool answer = m->type == MSG_LEAVES || m->type == MSG_COMPARED || m->type == MSG_MERGED;
    if (!answer)
        return;
    uint32_t other = from % lab->members + 1;
    struct message strange = {.type = m->type == MSG_LEAVES ? MSG_MERGED : MSG_LEAVES, .id = m->id};
    entropy_answer(lab->nodes[to], lab->now, lab_hlc(lab), other, m, &lab->out);
    entropy_answer(lab->nodes[to], lab->now, lab_hlc(lab), from, &strange, &lab->out);
    strange.id += 1u << 20;
    entropy_answer(lab->nodes[to], lab->now, lab_hlc(lab), from, &strange, &lab->out);
    assert_int_equal(lab->out.count, 0);
}

static void strange_answers_are_ignored(void **state)
{
    (void)state;
    struct lab *lab = lab_create(3, 3, 16, 18);
    mess(lab, 1000);
    lab->meddle = echo;
    lab_connect(lab);
    lab_run(lab, ENTROPY_RETURN_US + ENTROPY_ROUND_US);
    assert_int_equal(lab_differing(lab), 0);
    assert_int_equal(lab_counters(lab).sessions_failed, 0);
    lab_destroy(lab);
}

/* Disks that fail or are full stop nothing but their own part. */
static void stores_that_fail(void **state)
{
    (void)state;
    static const int failures[] = {KV_E_CORRUPT, KV_E_FULL, KV_E_IO};
    struct lab *lab = lab_create(5, 3, 32, 19);
    mess(lab, 1000);
    lab_connect(lab);
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t node = 1 + (uint32_t)prng_below(&lab->prng, 5);
        lab->stores[node].fail = failures[i % 3];
        lab_run(lab, ENTROPY_ROUND_US / 20);
        lab->stores[node].fail = KV_OK;
    }
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8);
    assert_int_equal(lab_differing(lab), 0);
    assert_int_equal(lab_counters(lab).malformed, 0);
    lab_destroy(lab);
}

/* Writes go on while everything is compared; when they end, one round later all homes are equal. */
static void random_runs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lab *lab = lab_create(3 + (uint32_t)seed % 3, 3, 1u << (seed % 7), 100 + seed);
        lab->lose_percent = (uint32_t)seed % 3 * 2;
        lab_connect(lab);
        for (uint32_t i = 0; i < 400; i++) {
            for (uint64_t n = prng_below(&lab->prng, 10); n > 0; n--) {
                uint64_t version = i * 4 + prng_below(&lab->prng, 4);
                lab_put(lab, (uint32_t)prng_below(&lab->prng, 500), version, version * 37 % 5 * 60,
                        (uint32_t)prng_below(&lab->prng, 8));
            }
            for (uint64_t n = prng_below(&lab->prng, 60); n > 0 && lab_step(lab); n--)
                ;
            uint64_t us = prng_below(&lab->prng, 5000000);
            lab->now.mono_us += us;
            lab->now.wall_ms += us / 1000;
            lab_tick(lab);
        }
        lab->lose_percent = 0;
        lab_run(lab, 2 * ENTROPY_ROUND_US);
        assert_int_equal(lab_differing(lab), 0);
        assert_int_equal(lab_counters(lab).malformed, 0);
        lab_destroy(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_messages_are_asked_again),
        cmocka_unit_test(a_peer_that_never_answers_holds_nobody_up),
        cmocka_unit_test(peers_come_and_go),
        cmocka_unit_test(a_new_ring_ends_all_sessions),
        cmocka_unit_test(questions_that_make_no_sense_are_refused),
        cmocka_unit_test(rows_that_should_not_come_are_refused),
        cmocka_unit_test(too_many_questions_are_refused),
        cmocka_unit_test(answers_that_make_no_sense_are_not_believed),
        cmocka_unit_test(strange_answers_are_ignored),
        cmocka_unit_test(stores_that_fail),
        cmocka_unit_test(random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
