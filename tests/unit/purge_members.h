/* The members of purge_world.h: what each has, and what time it is there. Included by that. */
#ifndef TESTS_UNIT_PURGE_MEMBERS_H
#define TESTS_UNIT_PURGE_MEMBERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "repair/purge.h"

/* Around each call of the part under test: a test without memory has its own. */
#ifndef WORLD_CALL
#define WORLD_CALL(call) call
#endif

enum { MEMBERS = 5, HOMES = 3, PARTITIONS = 8, KEYS_MAX = 700, MAILS_MAX = 20000, OPS_MAX = 4000 };

#define WALL_MS  UINT64_C(1700000000000)
#define START_US UINT64_C(1000000000)
#define SECOND   UINT64_C(1000000)
#define INTERVAL (60 * SECOND)
#define SYNC_US  (20 * SECOND) /* what was written longer ago is on the disk */

/* A row at a member, and the largest stamp that was ever there; and what was there before the latest write,
 * which a power cut may bring back. */
struct cell {
    struct row row;
    bool noted;
    struct stamp highest;
    struct row row_before;
    struct stamp highest_before;
    uint64_t written_us;
};

struct place {
    struct purge *purge; /* NULL: the process is dead */
    struct clock clock;
    int64_t skew_ms;
    uint64_t floor;            /* what it said last */
    bool busy;                 /* a transfer or anti-entropy is open, on every partition */
    uint32_t held[PARTITIONS]; /* how often */
    struct cell cells[KEYS_MAX];
};

/* A message on its way; keys are those of the world, so nothing of it is borrowed. */
struct mail {
    uint32_t from, to;
    uint64_t sent_us;
    struct message m;
    struct row_version rows[STORE_KEYS_MAX];
    uint8_t passed[PURGE_BITS_BYTES];
};

/* What a store was asked for. */
struct asked {
    uint32_t member;
    struct effect e;
    uint32_t keys[STORE_KEYS_MAX];
    struct stamp stamps[STORE_KEYS_MAX];
};

struct world {
    uint64_t now_us;
    uint64_t interval_us; /* of all purges */
    struct ring *ring;
    struct outbox out;
    struct place places[MEMBERS + 1]; /* by id */
    char keys[KEYS_MAX][16];          /* in token order */
    uint32_t key_count;
    struct mail *mails[MAILS_MAX]; /* oldest first */
    uint32_t mail_count;
    struct asked *ops[OPS_MAX];
    uint32_t op_count;
    uint8_t stop_at;        /* a purge's step: nothing is delivered once one of its messages is first */
    uint8_t silent_step;    /* messages of this step to `silent` are lost */
    uint32_t silent;        /* ... 0: nobody */
    uint64_t sent, deleted; /* messages; rows */
    uint64_t steps[PURGE_DELETE + 1];
};

static inline struct ring *world_ring(uint64_t epoch, uint32_t without)
{
    struct member table[MEMBERS] = {0};
    struct ring_value v = {
        .epoch = epoch, .partitions = PARTITIONS, .replicas = HOMES, .next_id = 100, .members = table};
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        if (id == without)
            continue;
        struct member *m = &table[v.member_count++];
        m->id = id;
        m->store_id = id;
        m->weight = 1;
        snprintf(m->name, sizeof m->name, "n%u", id);
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7600 + id);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

/* ---- keys */

static inline uint64_t token_of(const struct world *w, uint32_t key)
{
    return key_token(bytes_str(w->keys[key]));
}

static inline uint32_t key_find(const struct world *w, struct bytes key)
{
    for (uint32_t i = 0; i < w->key_count; i++) {
        if (bytes_eq(key, bytes_str(w->keys[i])))
            return i;
    }
    fail_msg("a key of nobody");
    return 0;
}

static inline uint32_t partition_of(const struct world *w, uint32_t key)
{
    return ring_partition(w->ring, token_of(w, key));
}

/* The i-th of the preference list: homes first. */
static inline uint32_t nth(const struct world *w, uint32_t key, uint32_t i)
{
    uint32_t list[PREFERENCE_MAX];
    assert_true(i < ring_preference(w->ring, partition_of(w, key), list));
    return list[i];
}

static inline bool is_home_of(const struct world *w, uint32_t key, uint32_t member)
{
    return ring_is_home(w->ring, partition_of(w, key), member);
}

static inline int text_cmp(const void *a, const void *b)
{
    uint64_t x = key_token(bytes_str(a)), y = key_token(bytes_str(b));
    return x < y ? -1 : x > y;
}

/* `count` keys, all in one partition unless `anywhere`. */
static inline void world_keys(struct world *w, uint32_t count, bool anywhere)
{
    for (uint32_t n = 0; w->key_count < count; n++) {
        snprintf(w->keys[w->key_count], sizeof w->keys[0], "key%u", n);
        uint64_t token = key_token(bytes_str(w->keys[w->key_count]));
        if (anywhere || token_partition(token, PARTITIONS) == 3)
            w->key_count++;
    }
    qsort(w->keys, count, sizeof w->keys[0], text_cmp);
}

/* ---- clocks */

static inline uint64_t wall_ms(const struct world *w, uint32_t member)
{
    return (uint64_t)((int64_t)(WALL_MS + w->now_us / 1000) + w->places[member].skew_ms);
}

static inline uint64_t hlc_of(const struct world *w, uint32_t member)
{
    return clock_peek(&w->places[member].clock, wall_ms(w, member));
}

static inline struct purge_turn turn_of(struct world *w, uint32_t member)
{
    struct place *at = &w->places[member];
    uint64_t hlc = hlc_of(w, member);
    at->floor = hlc > at->floor ? hlc : at->floor;
    return (struct purge_turn){
        .now = {w->now_us, wall_ms(w, member)}, .hlc = hlc, .said = hlc, .out = &w->out};
}

/* What a message of another one's clock does to this one's (node/hlc.c). */
static inline void hear(struct world *w, uint32_t member, uint64_t hlc)
{
    struct place *at = &w->places[member];
    if (clock_accepts(&at->clock, wall_ms(w, member), hlc))
        clock_receive(&at->clock, hlc);
}

#endif
