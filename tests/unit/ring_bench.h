/* A ring that changes step by step, and what its driver knows of the members. Include after cmocka.h. */
#ifndef UNIT_RING_BENCH_H
#define UNIT_RING_BENCH_H

#include <stdio.h>

#include "kv_error.h"
#include "ring/change.h"
#include "unit/ring_support.h"

#define IDS 48

/* A ring, and what its driver knows of the members. Everybody lives, has adopted it and is whole, unless a
 * test says otherwise. */
struct bench {
    struct ring *ring;
    uint64_t behind[IDS];  /* the epoch that it stays at */
    uint64_t dead_us[IDS]; /* 0: it lives */
    bool partial[IDS];     /* it is not whole */
    bool unheard[IDS];
};

static inline const struct ring_value *value(const struct bench *b)
{
    return &b->ring->value;
}

static inline const struct member *member(const struct bench *b, uint32_t id)
{
    return ring_value_find(value(b), id);
}

static inline void become(struct bench *b, struct ring_value *next_owned)
{
    assert_int_equal(next_owned->epoch, value(b)->epoch + 1);
    ring_destroy(b->ring);
    b->ring = ring_taking(next_owned);
}

static inline struct bench bench_of(uint32_t count)
{
    struct ring_value v = numbered_value(count, 0);
    v.epoch = 10;
    v.partitions = 256;
    return (struct bench){.ring = ring_taking(&v)};
}

static inline void bench_end(struct bench *b)
{
    ring_destroy(b->ring);
}

static inline void ask(struct bench *b, struct ring_change c)
{
    bool known;
    char error[128];
    struct ring_value next;
    assert_int_equal(ring_change_check(value(b), &c, &known, error), KV_OK);
    assert_false(known);
    assert_int_equal(ring_change_ask(value(b), &c, &next), KV_OK);
    become(b, &next);
}

static inline struct ring_change join(const char *name, uint64_t store_id)
{
    struct ring_change c = {
        .kind = RING_JOIN, .store_id = store_id, .weight = 2, .zone = "z", .addr = {"h", 1}};
    snprintf(c.name, sizeof c.name, "%s", name);
    return c;
}

static inline struct ring_change of_member(uint8_t kind, uint32_t id)
{
    return (struct ring_change){.kind = kind, .member = id};
}

static inline uint32_t words_of(const struct bench *b, struct ring_word words[IDS])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < value(b)->member_count; i++) {
        uint32_t id = value(b)->members[i].id;
        if (b->unheard[id])
            continue;
        words[count++] = (struct ring_word){.member = id,
                                            .epoch = b->behind[id] ? b->behind[id] : value(b)->epoch,
                                            .whole_epoch = b->partial[id] ? 0 : value(b)->source_epoch,
                                            .alive = !b->dead_us[id],
                                            .dead_us = b->dead_us[id]};
    }
    return count;
}

static inline enum ring_step go(struct bench *b)
{
    struct ring_word words[IDS];
    uint32_t count = words_of(b, words);
    enum ring_step step;
    struct ring_value next;
    assert_int_equal(ring_change_next(b->ring, words, count, &step, &next), KV_OK);
    if (step == RING_WAIT)
        assert_null(next.members);
    else
        become(b, &next);
    return step;
}

#define assert_step(b, step) assert_string_equal(ring_step_name(go(b)), ring_step_name(step))

/* Goes on until nothing is left to be done. */
static inline void settle(struct bench *b)
{
    while (value(b)->phase != RING_STABLE || value(b)->queue_count > 0)
        assert_int_not_equal(go(b), RING_WAIT);
}

static inline struct bench pending_join(void)
{
    struct bench b = bench_of(5);
    ask(&b, join("n6", 60));
    assert_step(&b, RING_BEGIN);
    return b;
}

#endif
