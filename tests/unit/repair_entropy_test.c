/* Anti-entropy: what is compared when, what it costs, and that homes are equal afterwards. */
#include "base/rate.h"
#include "unit/entropy_lab.h"
#include "unit/rounds.h"

/* `keys` rows of `bytes` everywhere. */
static struct lab *full_lab(uint32_t partitions, uint32_t keys, size_t bytes)
{
    struct lab *lab = lab_create(5, 3, partitions, keys + bytes);
    for (uint32_t i = 0; i < keys; i++)
        lab_put(lab, i, i, bytes, 7);
    return lab;
}

/* Past what is compared at once because everybody has just been reached. */
static void settle(struct lab *lab)
{
    lab_connect(lab);
    lab_run(lab, 2 * ENTROPY_RETURN_US);
    lab->bytes = lab->messages = 0;
}

static void a_round_compares_every_pair_and_costs_little(void **state)
{
    (void)state;
    struct lab *lab = full_lab(256, 5000, 100);
    settle(lab);
    struct entropy_counters before = lab_counters(lab);
    uint32_t hashed = 0;
    for (uint32_t id = 1; id <= 5; id++)
        hashed += lab->stores[id].hashed;
    lab_run(lab, ENTROPY_ROUND_US);
    struct entropy_counters after = lab_counters(lab);
    uint64_t pairs = UINT64_C(256) * 3;
    assert_in_range(after.compared - before.compared, pairs, pairs + pairs / 32);
    assert_int_equal(after.differed, 0);
    assert_int_equal(after.sessions_failed, 0);
    assert_int_equal(after.rows_sent, 0);
    assert_int_equal(after.scrubbed, 0);
    assert_true(lab->bytes / pairs < 100); /* a tenth of what is allowed */
    for (uint32_t id = 1; id <= 5; id++)
        hashed -= lab->stores[id].hashed;
    assert_int_equal(hashed, 0); /* nothing was written, so nothing is hashed again */
    lab_destroy(lab);
}

/* One store of three has lost every fourth row, as the issue has it. */
static void lose_a_quarter(struct lab *lab, uint32_t node, uint32_t keys, bool marked, uint64_t *missing)
{
    struct lab_store *st = &lab->stores[node];
    char text[LAB_KEY_MAX];
    *missing = 0;
    for (uint32_t i = 0; i < keys; i += 4) {
        struct bytes key = lab_key(i, text);
        const struct lab_row *r = lab_find(st, key);
        if (!r)
            continue;
        *missing += key.len + blob_bytes(r->row.payload).len;
        if (marked)
            lab_mark(lab, st, r->token);
        lab_lose_row(st, key);
    }
}

/* Beside what a round costs when there is nothing to repair. */
static void what_is_missing_comes_back_within_a_round(uint32_t partitions, uint32_t keys, size_t bytes)
{
    struct lab *lab = full_lab(partitions, keys, bytes);
    uint64_t missing, period = ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8;
    settle(lab);
    lab_run(lab, period);
    uint64_t idle = lab->bytes;
    lab->bytes = 0;
    lose_a_quarter(lab, 2, keys, true, &missing);
    assert_true(lab_differing(lab) > keys / 8);
    lab_run(lab, period);
    assert_int_equal(lab_differing(lab), 0);
    assert_true(lab->bytes - idle <= 2 * missing);
    struct entropy_counters c = lab_counters(lab);
    assert_int_equal(c.rows_sent, c.rows_received);
    assert_int_equal(c.rows_sent, lab->merged);
    assert_int_equal(c.sessions_failed, 0);
    lab_destroy(lab);
}

static void a_quarter_of_few_rows(void **state)
{
    (void)state;
    what_is_missing_comes_back_within_a_round(256, 4000, 100); /* 16 a partition */
}

static void a_quarter_of_many_rows(void **state)
{
    (void)state;
    what_is_missing_comes_back_within_a_round(16, rounds_of(20000), 100); /* 20 a leaf, or 5 */
}

static void a_quarter_of_large_rows(void **state)
{
    (void)state;
    what_is_missing_comes_back_within_a_round(64, 1000, 20000);
}

/* The partitions of a real cluster; and all together, not only what the damage adds. */
static void a_quarter_of_a_real_store(void **state)
{
    (void)state;
    uint32_t keys = rounds_of(20000);
    struct lab *lab = full_lab(4096, keys, 500);
    uint64_t missing;
    settle(lab);
    lose_a_quarter(lab, 2, keys, true, &missing);
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 32);
    assert_int_equal(lab_differing(lab), 0);
    assert_true(lab->bytes <= 2 * missing);
    lab_destroy(lab);
}

/* Rows that went without a mark are found when an operator asks, by hashing everything again. */
static void silent_damage_is_found_by_an_operator(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 8000, 100);
    uint64_t missing;
    settle(lab);
    lose_a_quarter(lab, 2, 8000, false, &missing);
    lab_run(lab, 2 * ENTROPY_ROUND_US);
    assert_true(lab_differing(lab) > 1000); /* the hashes know nothing of it */
    lab->bytes = 0;
    struct msg_repair_reply reply;
    entropy_repair(lab->nodes[2], lab->now, &reply);
    assert_int_equal(reply.status, KV_OK);
    assert_int_equal(reply.peers, 4);
    assert_int_equal(reply.partitions, ring_owned(lab->ring, 2));
    assert_true(entropy_counters(lab->nodes[2]).repair_left >= reply.partitions);
    lab_run(lab, 10000000);
    assert_int_equal(entropy_counters(lab->nodes[2]).repair_left, 0);
    assert_int_equal(lab_differing(lab), 0);
    assert_true(lab->bytes <= 2 * missing);
    lab_destroy(lab);
}

static void silent_damage_is_found_by_scrubbing(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 1000, 100);
    uint64_t missing;
    for (uint32_t id = 1; id <= 5; id++)
        entropy_destroy(lab->nodes[id]);
    lab->scrub_us = 4 * lab->round_us;
    for (uint32_t id = 1; id <= 5; id++)
        lab_start(lab, id);
    settle(lab);
    lose_a_quarter(lab, 3, 1000, false, &missing);
    /* Each partition within four rounds; whoever is later hears of it with the next comparison. */
    lab_run(lab, 5 * ENTROPY_ROUND_US);
    assert_int_equal(lab_differing(lab), 0);
    assert_in_range(lab_counters(lab).scrubbed, 5 * 3 * 64 / 4 - 64, 5 * 3 * 64 / 4 + 64);
    lab_destroy(lab);
}

/* The same stamp is the same row: a version's content follows from it. */
static void any_differences_are_healed_in_one_round(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct lab *lab = lab_create(2 + seed % 4, 1 + seed % 4, 1u << (seed % 9), seed);
        for (uint32_t i = 0; i < 800; i++)
            for (uint32_t n = 0; n < 3; n++) {
                uint64_t version = prng_below(&lab->prng, 5);
                lab_put(lab, i, version, version * 37 % 5 * 60, (uint32_t)prng_below(&lab->prng, 8));
            }
        lab_connect(lab);
        lab_run(lab, ENTROPY_RETURN_US + ENTROPY_ROUND_US);
        assert_int_equal(lab_differing(lab), 0);
        assert_int_equal(lab_counters(lab).malformed, 0);
        lab_destroy(lab);
    }
}

/* More rows than fit one question, in the same leaves, and more bytes than fit one answer. */
static void large_leaves_are_compared_in_pieces(void **state)
{
    (void)state;
    struct lab *lab = lab_create(2, 2, 1, 5);
    for (uint32_t i = 0; i < 15000; i++) {
        uint64_t version = prng_below(&lab->prng, 2);
        lab_put(lab, i, version, 100 + version * 200, 1 + (uint32_t)prng_below(&lab->prng, 3));
        if (i % 3 == 0)
            lab_put(lab, i, 2, 500, 1 + (uint32_t)prng_below(&lab->prng, 2));
    }
    lab_connect(lab);
    lab_run(lab, ENTROPY_RETURN_US + ENTROPY_ROUND_US);
    assert_int_equal(lab_differing(lab), 0);
    assert_int_equal(lab_counters(lab).sessions_failed, 0);
    lab_destroy(lab);
}

/* ---- when */

static void a_peer_that_returns_is_compared_at_once(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 500, 100);
    settle(lab);
    lab_reach(lab, 4, false);
    for (uint32_t i = 500; i < 1000; i++)
        for (uint32_t id = 1; id <= 5; id++) {
            char text[LAB_KEY_MAX];
            struct bytes key = lab_key(i, text);
            struct row row = lab_row(lab, i, 100);
            uint32_t homes[PREFERENCE_MAX], count = lab_homes(lab, key, homes);
            for (uint32_t h = 0; h < count && id != 4; h++)
                if (homes[h] == id)
                    lab_merge_row(lab, &lab->stores[id], key, &row);
            row_release(&row);
        }
    lab_run(lab, 30000000);
    assert_true(lab_differing(lab) > 0);
    lab_reach(lab, 4, true);
    uint64_t messages = lab->messages;
    lab_run(lab, ENTROPY_RETURN_US - 1);
    assert_true(lab->messages - messages < 200); /* hints first; only the round goes on */
    lab_run(lab, 3 * ENTROPY_ENGAGED_US);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* A round takes its time, and no longer. */
static void rounds_are_spread_evenly(void **state)
{
    (void)state;
    struct lab *lab = full_lab(256, 100, 10);
    settle(lab);
    uint64_t before = lab_counters(lab).compared;
    for (int i = 1; i <= 8; i++) {
        lab_run(lab, ENTROPY_ROUND_US / 8);
        uint64_t compared = lab_counters(lab).compared - before;
        assert_in_range(compared, i * 96 - 60, i * 96 + 60);
    }
    lab_run(lab, 3 * ENTROPY_ROUND_US);
    for (uint32_t id = 1; id <= 5; id++) {
        struct entropy_counters c = entropy_counters(lab->nodes[id]);
        assert_in_range(c.rounds, 3, 4);
        assert_in_range(c.last_round_us, ENTROPY_ROUND_US - ENTROPY_ROUND_US / 16, ENTROPY_ROUND_US);
    }
    lab_destroy(lab);
}

static void switched_off_it_only_answers(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 500, 100);
    uint64_t missing;
    for (uint32_t id = 1; id <= 5; id++)
        entropy_destroy(lab->nodes[id]);
    lab->round_us = 0;
    for (uint32_t id = 1; id <= 5; id++)
        lab_start(lab, id);
    lab_connect(lab);
    lose_a_quarter(lab, 1, 500, true, &missing);
    lab_run(lab, 3 * ENTROPY_ROUND_US);
    assert_int_equal(lab->messages, 0);
    assert_true(entropy_deadline_us(lab->nodes[1]) == UINT64_MAX);
    struct msg_repair_reply reply;
    entropy_repair(lab->nodes[1], lab->now, &reply);
    lab_run(lab, 1000000);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

static void there_is_nothing_to_repair_with(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 10, 10);
    struct msg_repair_reply reply;
    entropy_repair(lab->nodes[1], lab->now, &reply);
    assert_int_equal(reply.status, KV_E_UNAVAILABLE);
    lab_run(lab, ENTROPY_ROUND_US);
    assert_int_equal(lab->messages, 0);
    lab_destroy(lab);
}

/* How many other homes lack the row, if it is at the node. */
static uint32_t kept_back(struct lab *lab, uint32_t i, uint32_t which, uint32_t node)
{
    char text[LAB_KEY_MAX];
    uint32_t homes[PREFERENCE_MAX], count = lab_homes(lab, lab_key(i, text), homes), lacking = 0;
    bool has = false;
    for (uint32_t h = 0; h < count; h++) {
        has |= homes[h] == node && which >> h & 1;
        lacking += !(which >> h & 1);
    }
    return has ? lacking : 0;
}

/* What is on its way to the homes as a client's write is left to arrive. */
static void young_rows_are_left_alone(void **state)
{
    (void)state;
    struct lab *lab = full_lab(64, 500, 100);
    settle(lab);
    uint64_t version = (60000 - ENTROPY_YOUNG_MS / 2) << HLC_COUNTER_BITS; /* a second old */
    uint64_t young = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t which = 1 + i % 7;
        lab_put(lab, i, version, 100, which);
        young += kept_back(lab, i, which, 1);
    }
    struct msg_repair_reply reply;
    uint32_t differing = lab_differing(lab);
    entropy_repair(lab->nodes[1], lab->now, &reply);
    lab_run(lab, 500000);
    assert_int_equal(entropy_counters(lab->nodes[1]).repair_left, 0);
    assert_true(lab_counters(lab).differed > 0);
    assert_int_equal(lab->merged, 0);
    assert_int_equal(entropy_counters(lab->nodes[1]).rows_young, young);
    assert_int_equal(lab_differing(lab), differing);
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* As long as a slice took, so long the next one waits. */
static void clients_get_half_of_the_time(void **state)
{
    (void)state;
    struct lab *lab = full_lab(256, 500, 100);
    settle(lab);
    for (uint64_t foreground = 0; foreground <= 1; foreground++) {
        struct msg_repair_reply reply;
        entropy_yield_set(lab->nodes[2], foreground);
        entropy_repair(lab->nodes[2], lab->now, &reply);
        lab_tick(lab);
        lab->now.mono_us += 50000;
        while (lab_step(lab))
            ;
        uint64_t wait_us = foreground ? 50000 : 0;
        assert_int_equal(entropy_deadline_us(lab->nodes[2]), lab->now.mono_us + wait_us);
        lab_run(lab, 10000000);
        assert_int_equal(entropy_counters(lab->nodes[2]).repair_left, 0);
    }
    lab_destroy(lab);
}

/* Rows cost the rate, whoever sends them. */
static void the_rate_is_limited(void **state)
{
    (void)state;
    struct lab *lab = full_lab(256, 3000, 20000);
    uint64_t missing;
    settle(lab);
    lose_a_quarter(lab, 2, 3000, false, &missing);
    struct msg_repair_reply reply;
    uint64_t began_us = lab->now.mono_us;
    entropy_repair(lab->nodes[2], lab->now, &reply);
    while (entropy_counters(lab->nodes[2]).repair_left)
        lab_run(lab, 10000);
    assert_int_equal(lab_differing(lab), 0);
    uint64_t least_us = missing * 1000000 / ENTROPY_RATE_BYTES;
    assert_in_range(lab->now.mono_us - began_us + RATE_BURST_US, least_us, 2 * least_us);
    lab_destroy(lab);
}

/* ---- purging */

static void a_held_partition_is_left_alone(void **state)
{
    (void)state;
    struct lab *lab = full_lab(16, 500, 100);
    uint64_t missing;
    settle(lab);
    lose_a_quarter(lab, 3, 500, true, &missing);
    for (uint32_t p = 0; p < 16; p++)
        assert_false(entropy_busy(lab->nodes[3], p));
    for (uint32_t p = 0; p < 16; p++)
        entropy_hold(lab->nodes[3], p);
    lab_run(lab, ENTROPY_ROUND_US + ENTROPY_ROUND_US / 8);
    assert_int_equal(lab->merged, 0);
    for (uint32_t p = 0; p < 16; p++)
        entropy_release(lab->nodes[3], p);
    lab_run(lab, 2 * ENTROPY_ENGAGED_US); /* they were not forgotten */
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

/* Whenever rows of a partition are under way, whoever writes them says so. */
static void rows_under_way_make_a_partition_busy(void **state)
{
    (void)state;
    struct lab *lab = full_lab(16, 2000, 100);
    uint64_t missing;
    settle(lab);
    lose_a_quarter(lab, 3, 2000, false, &missing);
    lab->watch_busy = true;
    struct msg_repair_reply reply;
    entropy_repair(lab->nodes[3], lab->now, &reply);
    lab_run(lab, 2 * ENTROPY_ROUND_US);
    assert_true(lab->merged > 0);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_compares_every_pair_and_costs_little),
        cmocka_unit_test(a_quarter_of_few_rows),
        cmocka_unit_test(a_quarter_of_many_rows),
        cmocka_unit_test(a_quarter_of_large_rows),
        cmocka_unit_test(a_quarter_of_a_real_store),
        cmocka_unit_test(silent_damage_is_found_by_an_operator),
        cmocka_unit_test(silent_damage_is_found_by_scrubbing),
        cmocka_unit_test(any_differences_are_healed_in_one_round),
        cmocka_unit_test(large_leaves_are_compared_in_pieces),
        cmocka_unit_test(a_peer_that_returns_is_compared_at_once),
        cmocka_unit_test(rounds_are_spread_evenly),
        cmocka_unit_test(switched_off_it_only_answers),
        cmocka_unit_test(there_is_nothing_to_repair_with),
        cmocka_unit_test(young_rows_are_left_alone),
        cmocka_unit_test(clients_get_half_of_the_time),
        cmocka_unit_test(the_rate_is_limited),
        cmocka_unit_test(a_held_partition_is_left_alone),
        cmocka_unit_test(rows_under_way_make_a_partition_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
