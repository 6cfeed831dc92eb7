/* kvcli watch: what follows from what nodes say, and that a page of it fits every terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cmd/kvcli_watch.h"
#include "kv_error.h"

#define SECOND UINT64_C(1000000)

static struct watch_view view;
static struct buf page;
static uint64_t now_us;

static int setup(void **state)
{
    (void)state;
    watch_view_init(&view);
    now_us = SECOND;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&page);
    page = (struct buf){0};
    return 0;
}

static const char *name_of(uint32_t id)
{
    static char names[200][8];
    snprintf(names[id], sizeof names[id], "n%u", id);
    return names[id];
}

/* Node `by` tells how it sees nodes 1 to `count`: a letter each of "asdl". */
static void says(uint32_t by, const char *word, uint64_t epoch)
{
    struct kv_member members[200];
    uint32_t count = (uint32_t)strlen(word);
    for (uint32_t i = 0; i < count; i++)
        members[i] = (struct kv_member){.id = i + 1,
                                        .name = name_of(i + 1),
                                        .address = "127.0.0.1:1",
                                        .zone = "",
                                        .state = (uint8_t)(strchr("asdl", word[i]) - "asdl"),
                                        .in_ring = true,
                                        .ring = KV_RING_NORMAL,
                                        .partitions = 100,
                                        .share = 1.0 / count};
    struct kv_status s = {.cluster = "clouds",
                          .seen_by = name_of(by),
                          .seen_by_id = by,
                          .epoch = epoch,
                          .count = count,
                          .members = members};
    watch_heard_status(&view, now_us, &s);
}

static void counts(uint32_t id, uint64_t generation, uint64_t ok, uint64_t failed)
{
    const struct kv_stat stats[] = {
        {"ops_get_ok", ok},        {"ops_put_timeout", failed}, {"rows", 12},
        {"hints_waiting", 3},      {"udp_bytes_in", 100 * ok},  {"udp_bytes_out", 0},
        {"generation", generation}};
    struct kv_stats s = {.node = name_of(id), .count = sizeof stats / sizeof *stats, .stats = stats};
    uint32_t slot = watch_find(&view, id, name_of(id));
    assert_true(slot < WATCH_NODES_MAX);
    watch_heard_stats(&view, slot, now_us, &s);
}

static void round_over(void)
{
    watch_round_end(&view);
    now_us += SECOND;
    watch_round_begin(&view);
}

static uint8_t state_of(uint32_t id)
{
    return watch_state(&view, watch_find(&view, id, name_of(id)));
}

static const char *draw(uint32_t width, uint32_t height, bool color, bool utf8)
{
    struct watch_page p = {
        .width = width, .height = height, .color = color, .utf8 = utf8, .clock = "12:00:00"};
    assert_int_equal(watch_draw(&view, &p, &page), KV_OK);
    assert_int_equal(buf_append_byte(&page, 0), KV_OK);
    page.len--;
    return (const char *)page.data;
}

static void most_of_them_decide(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "aaaaa", 1);
    says(2, "aaaaa", 1);
    says(3, "saaaa", 1);
    says(4, "daaaa", 1);
    says(5, "daaaa", 1);
    assert_int_equal(state_of(1), KV_DEAD); /* 2 alive, 1 suspect, 2 dead: the worse */
    assert_int_equal(state_of(2), KV_ALIVE);
    assert_int_equal(watch_word(&view, watch_find(&view, 3, "n3"), watch_find(&view, 1, "n1")), KV_SUSPECT);
    says(5, "aaaaa", 1); /* 3 alive, 1 suspect, 1 dead */
    assert_int_equal(state_of(1), KV_ALIVE);
    says(2, "daaaa", 1);
    says(3, "daaaa", 1); /* 2 alive, 3 dead */
    assert_int_equal(state_of(1), KV_DEAD);
}

static void a_lone_node_speaks_for_itself(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(2, "dad", 1);
    assert_int_equal(state_of(2), KV_ALIVE);
    assert_int_equal(state_of(1), KV_DEAD);
}

static void who_falls_silent_has_no_word(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "ad", 1);
    says(2, "aa", 1);
    round_over();
    assert_int_equal(state_of(2), KV_DEAD); /* the word of the round before, until this one's is there */
    round_over();
    assert_int_equal(state_of(2), WATCH_UNKNOWN);
    watch_heard_nobody(&view, "no node could be reached");
    assert_non_null(
        strstr(draw(80, 24, false, true), "nobody has answered for 2 s (no node could be reached)\n"));
}

static void rates_come_from_two_samples_of_one_process(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "aa", 1);
    counts(1, 7, 1000, 10);
    assert_false(view.nodes[watch_find(&view, 1, "n1")].rated);
    round_over();
    now_us += SECOND; /* two seconds since */
    says(1, "aa", 1);
    counts(1, 7, 1400, 20);
    counts(2, 3, 5000, 0);
    const struct watch_node *n = &view.nodes[watch_find(&view, 1, "n1")];
    assert_true(n->rated && n->ok_per_s == 200 && n->failed_per_s == 5 && n->gossip_per_s == 20000);
    watch_round_end(&view);
    struct watch_total t = watch_total(&view, 10);
    assert_int_equal(t.ok, 400);
    assert_int_equal(t.failed, 10);
    assert_int_equal(t.hints, 6);
    assert_true(t.ok_per_s == 200 && t.peak_per_s == 410);
    now_us += SECOND;
    watch_round_begin(&view);
    says(1, "aa", 1);
    counts(1, 8, 90, 0); /* started anew */
    assert_false(n->rated);
    round_over();
    says(1, "aa", 1);
    counts(1, 8, 100, 0);
    assert_true(n->rated && n->ok_per_s == 10);
}

static void the_newest_ring_is_believed(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "aaa", 5);
    says(2, "aa", 4); /* does not know the third yet */
    assert_int_equal(view.epoch, 5);
    assert_string_equal(view.seen_by, "n1");
    assert_int_equal(view.node_count, 3);
    says(3, "aaa", 6);
    assert_int_equal(view.epoch, 6);
    assert_string_equal(view.seen_by, "n3");
}

static void who_is_named_no_more_is_forgotten(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "aaa", 1);
    for (int i = 0; i < 6; i++) {
        round_over();
        says(1, "aa", 2);
    }
    assert_int_equal(view.node_count, 2);
    assert_int_equal(watch_find(&view, 3, "n3"), WATCH_NODES_MAX);
    says(1, "aaa", 3); /* the slot is used again */
    assert_int_equal(view.node_count, 3);
    assert_int_equal(watch_word(&view, watch_find(&view, 3, "n3"), watch_find(&view, 1, "n1")),
                     WATCH_UNKNOWN);
    for (int i = 0; i < 20; i++)
        round_over(); /* nobody answers: nobody is forgotten */
    assert_int_equal(view.node_count, 3);
    for (int i = 0; i < 20; i++) {
        counts(2, (uint64_t)i + 2, 0, 0);
        round_over(); /* they count, but the hub is away that names them */
    }
    assert_int_equal(view.node_count, 3);
}

static void a_page_in_words(void **state)
{
    (void)state;
    watch_round_begin(&view);
    says(1, "aad", 1);
    says(2, "aad", 1);
    counts(1, 1, 0, 0);
    counts(2, 1, 0, 0);
    round_over();
    says(1, "aad", 1);
    says(2, "aad", 1);
    counts(1, 1, 300, 0);
    counts(2, 1, 300, 200);
    watch_round_end(&view);
    const char *text = draw(90, 24, false, false);
    assert_non_null(
        strstr(text, "clouds: 3 nodes, 2 alive, 1 dead - ring 00000000 epoch 1, stable - seen by n2"));
    assert_non_null(
        strstr(text, "\nn1       alive   -.?     normal   33.3%    300      0     3   29 KiB      12\n"));
    assert_non_null(
        strstr(text, "\nn2       alive   .-?     normal   33.3%    500    200     3   29 KiB      12\n"));
    assert_non_null(strstr(text, "\nn3       dead    DD?     normal   33.3% no answer\n"));
    assert_non_null(strstr(text, "DD dead\n"));
    assert_non_null(strstr(text, " peak 800/s\n"));
    assert_non_null(strstr(text, " 75.0 %\n"));
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(draw(80, 24, true, false), "\033[31m dead"));
}

static void a_change_is_on_the_page(void **state)
{
    (void)state;
    const struct kv_member members[] = {
        {.id = 1, .name = "n1", .address = "", .in_ring = true, .ring = KV_RING_LEAVING},
        {.id = 2,
         .name = "n2",
         .address = "",
         .in_ring = true,
         .ring = KV_RING_NORMAL,
         .partitions_done = 30,
         .partitions_total = 120,
         .moved_bytes = 3 << 20}};
    const char *const queue[] = {"leave n1", "weight n2 4"};
    struct kv_status s = {.cluster = "clouds",
                          .seen_by = "n1",
                          .seen_by_id = 1,
                          .epoch = 4,
                          .phase = KV_PENDING,
                          .queue_count = 2,
                          .queue = queue,
                          .count = 2,
                          .members = members};
    watch_round_begin(&view);
    watch_heard_status(&view, now_us, &s);
    const char *text = draw(80, 24, false, false);
    assert_non_null(strstr(text, "epoch 4, pending"));
    assert_non_null(
        strstr(text, "\nchanges: leave n1, 1 more waits\n         30 of 120 partitions, 25.0 % - 3.0 MiB\n"));
    assert_non_null(strstr(text, "leaving"));
    assert_non_null(strstr(text, "normal   25.0%")); /* what it has of its new share */
}

/* Columns of the widest line, and how many lines; counts only what is seen. */
static uint32_t measure(const char *text, uint32_t *lines)
{
    uint32_t widest = 0, column = 0;
    *lines = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '\n') {
            widest = column > widest ? column : widest;
            column = 0;
            ++*lines;
        } else if (*p == '\033') {
            p = strchr(p, 'm');
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    assert_int_equal(column, 0);
    return widest;
}

static void a_page_fits_every_terminal(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    for (int i = 0; i < 400; i++) {
        char word[140] = "";
        uint32_t count = 1 + (uint32_t)prng_below(&p, i % 2 ? 9 : WATCH_NODES_MAX + 8);
        watch_view_init(&view);
        for (uint32_t round = 0; round < 4; round++) {
            watch_round_begin(&view);
            for (uint32_t k = 0; k < count; k++)
                word[k] = "asdl"[prng_below(&p, 4)];
            for (uint32_t k = 1; k <= count && k < 12; k++) {
                says(k, word, 1);
                counts(k, 1, (uint64_t)round * prng_below(&p, UINT64_C(1) << 40),
                       round * prng_below(&p, 99999));
            }
            watch_round_end(&view);
            now_us += SECOND;
        }
        uint32_t width = 20 + (uint32_t)prng_below(&p, 140), height = 10 + (uint32_t)prng_below(&p, 60),
                 lines;
        const char *text = draw(width, height, i % 3 == 0, i % 5 == 0);
        assert_true(measure(text, &lines) <= width);
        assert_true(lines <= height);
        if (i % 5)
            for (const char *c = text; *c; c++)
                assert_true((unsigned char)*c < 128);
    }
    watch_view_init(&view);
    uint32_t lines;
    assert_true(measure(draw(80, 24, true, true), &lines) <= 80); /* nothing known yet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(most_of_them_decide, setup),
        cmocka_unit_test_setup(a_lone_node_speaks_for_itself, setup),
        cmocka_unit_test_setup(who_falls_silent_has_no_word, setup),
        cmocka_unit_test_setup(rates_come_from_two_samples_of_one_process, setup),
        cmocka_unit_test_setup(the_newest_ring_is_believed, setup),
        cmocka_unit_test_setup(who_is_named_no_more_is_forgotten, setup),
        cmocka_unit_test_setup(a_page_in_words, setup),
        cmocka_unit_test_setup(a_change_is_on_the_page, setup),
        cmocka_unit_test_setup(a_page_fits_every_terminal, setup),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
