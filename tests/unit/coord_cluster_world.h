/* A cluster of coordinators in a changing ring, and one key: its members, the letters between them, the
 * requests and the rings; and what the coordinators say. Included once per test. */
#ifndef TESTS_UNIT_COORD_CLUSTER_WORLD_H
#define TESTS_UNIT_COORD_CLUSTER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "coord/coord.h"
#include "kv_error.h"
#include "ring/change.h"
#include "unit/rings.h"

enum { SITES_MAX = 24, RINGS_MAX = 160, LETTERS_MAX = 2048, OPS_MAX = 1200 };

#define PARTITIONS 2u
#define START_MS   UINT64_C(1700000000000)
#define MS         UINT64_C(1000)

enum stage { TRAVELLING, AT_WORK, ANSWERED };

/* A message to a replica, its work there, and its answer. */
struct letter {
    uint32_t from, to;
    uint8_t stage; /* enum stage */
    bool write;
    uint64_t id, epoch; /* the sender's; ANSWERED: the replica's */
    uint64_t row;       /* WRITE: to be written; ANSWERED: read */
    uint64_t hints;     /* bits by id */
    int status;
};

/* A member: its process, its store as far as the key goes, and what it takes over. Rows are numbers of puts.
 */
struct site {
    bool exists, up, out;
    uint64_t epoch;
    struct coord *coord;
    uint64_t row, notes; /* notes: bits by id */
    uint64_t since, sources[PARTITIONS], taken[PARTITIONS];
    uint32_t needed[PARTITIONS];
    uint64_t whole;
    uint64_t known_epoch, known_whole; /* what drivers know, some time later */
};

struct operation {
    bool put, strict, over, lost;
    uint64_t id, value, floor, ends_us;
    uint32_t at;
};

struct run {
    struct prng prng;
    struct outbox out;
    struct now now;
    struct bytes key;
    uint32_t partition; /* of the key */
    struct ring *rings[RINGS_MAX];
    uint64_t newest;
    struct site sites[SITES_MAX];
    struct letter letters[LETTERS_MAX];
    uint32_t letter_count;
    struct operation ops[OPS_MAX];
    uint32_t op_count;
    uint64_t next_value, next_id, next_store;
    uint64_t floor;   /* the newest row that was acknowledged, or read, by strict requests */
    uint64_t promise; /* the newest row that was acknowledged at all */
    bool strict_only, given_up, lossy;
    /* The mood of the run: it happens once in so many times that it could. */
    uint32_t step, loss, completion, adoption;
};

static struct {
    uint32_t steps[RING_UNDO + 1];
    uint32_t answers[2][8], replanned, wrong_ring, copies, handed_over, moved_on;
} seen;

static inline bool chance(struct run *r, uint32_t percent)
{
    return prng_below(&r->prng, 100) < percent;
}

static inline bool one_in(struct run *r, uint32_t n)
{
    return prng_below(&r->prng, n) == 0;
}

static inline uint64_t bit(uint32_t id)
{
    return UINT64_C(1) << id;
}

static inline const struct ring *ring_of(const struct run *r, const struct site *s)
{
    return r->rings[s->epoch];
}

static inline const struct member *member_of(const struct ring *ring, uint32_t id)
{
    return ring_value_find(&ring->value, id);
}

static inline bool lives(const struct site *s)
{
    return s->exists && !s->out && s->epoch > 0;
}

static inline uint32_t random_site(struct run *r)
{
    uint32_t ids[SITES_MAX], count = 0;
    for (uint32_t id = 1; id < SITES_MAX; id++) {
        if (lives(&r->sites[id]))
            ids[count++] = id;
    }
    return count ? ids[prng_below(&r->prng, count)] : 0;
}

/* Both can be reached from each other. */
static inline bool connected(const struct run *r, uint32_t a, uint32_t b)
{
    return a == b || (lives(&r->sites[a]) && lives(&r->sites[b]) && r->sites[a].up && r->sites[b].up);
}

static inline uint64_t hlc_of(uint64_t value)
{
    return hlc_from_ms(START_MS - 1000) + value;
}

static inline uint64_t value_of(const struct row *row)
{
    return row_is_absent(row) ? 0 : row->stamp.hlc - hlc_from_ms(START_MS - 1000);
}

static inline struct row row_of(uint64_t value)
{
    if (value == 0)
        return row_absent();
    return (struct row){.kind = ROW_REGISTER, .stamp = {hlc_of(value), 1}};
}

static inline uint64_t hlc_now(const struct run *r)
{
    return hlc_from_ms(r->now.wall_ms);
}

/* ---- what coordinators say ------------------------------------------------------------------- */

static inline void answered(struct run *r, const struct message *m)
{
    const struct msg_response *a = &m->response;
    struct operation *op = &r->ops[m->id];
    assert_true(m->id < r->op_count && !op->over);
    op->over = true;
    seen.answers[op->put][-a->status]++;
    assert_true(a->acked <= a->asked && a->hinted <= HOLDERS_MAX);
    if (a->status != KV_OK && a->status != KV_E_NOT_FOUND)
        return;
    assert_true(a->acked >= a->needed);
    if (!op->put)
        op->value = value_of(&a->row);
    if (op->put && op->value > r->promise)
        r->promise = op->value;
    if (!op->strict || r->lossy)
        return;
    if (!op->put && op->value < op->floor)
        fail_msg("a get saw %u; %u had been acknowledged or read before", (uint32_t)op->value,
                 (uint32_t)op->floor);
    if (op->value > r->floor)
        r->floor = op->value;
}

/* Takes over what a coordinator wants sent. */
static inline void collect(struct run *r, uint32_t from)
{
    for (uint32_t i = 0; i < r->out.count; i++) {
        const struct effect *e = &r->out.effects[i];
        const struct message *m = &e->send.message;
        assert_int_equal(e->type, EF_SEND);
        if (e->send.to.conn) {
            answered(r, m);
            continue;
        }
        assert_true(r->letter_count < LETTERS_MAX);
        struct letter *l = &r->letters[r->letter_count++];
        *l = (struct letter){.from = from, .to = e->send.to.peer, .id = m->id};
        l->write = m->type == MSG_WRITE;
        l->epoch = r->sites[from].epoch;
        l->row = l->write ? value_of(&m->write.row) : 0;
        for (uint32_t h = 0; l->write && h < m->write.hint_count; h++)
            l->hints |= bit(m->write.hints[h]);
        const struct member *to = member_of(ring_of(r, &r->sites[from]), l->to);
        assert_true(to && !to->dead); /* nobody else is ever sent anything */
    }
    outbox_reset(&r->out);
    coord_check(r->sites[from].coord);
}

static inline void drop_letter(struct run *r, uint32_t i)
{
    r->letters[i] = r->letters[--r->letter_count];
}

#endif
