/* Random runs: many requests for one key at once, over members that come and go, stall, refuse, lose answers
 * and answer twice. Whatever happens: every invariant holds after every call (coord_check), every request is
 * answered once and in time, the words mean what they say, and strict operations make a linearizable
 * register.
 *
 * A failing run prints its seed; `coord_random_test SEED` replays it, `coord_random_test SEED COUNT` tries
 * more. */
#include "base/prng.h"
#include "unit/coord_support.h"
#include "unit/rounds.h"
#include "unit/seeds.h"

enum { RUNS = 400, STEPS = 600, OPS_MAX = 300 };

struct operation {
    bool put, strict, answered;
    uint8_t quorum; /* 0: a majority */
    uint64_t hlc;   /* put: of its row. get, answered: of the row it found; 0: none */
    uint64_t began_us, timeout_us;
    uint64_t
        floor; /* no older row may be answered: the newest that was acknowledged or read before it began */
    int status;
};

struct run {
    struct world *w;
    struct prng prng;
    uint32_t members, replicas;
    bool strict_only; /* majority R and W too */
    bool rings;       /* the ring changes */
    struct operation ops[OPS_MAX];
    uint32_t op_count;
    uint32_t seen;     /* answers looked at */
    uint64_t next_hlc; /* of the next put */
    uint64_t floor;    /* newest row known to be acknowledged or read */
    uint64_t first_id; /* of ops[0] */
    bool up[WORLD_MEMBERS_MAX + 1];
    uint32_t counts[2][8]; /* get, put: answers by -status */
};

static bool chance(struct run *r, uint32_t percent)
{
    return prng_below(&r->prng, 100) < percent;
}

static uint32_t homes_of(const struct run *r)
{
    return r->w->ring->homes;
}

static uint32_t majority(uint32_t n)
{
    return n / 2 + 1;
}

/* Members (strict: homes) that took the row at some time, or hold it now. */
static uint32_t takers(const struct run *r, uint64_t hlc, bool strict)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < (strict ? homes_of(r) : r->w->width); p++)
        count += r->w->accepted[hlc] >> AT(r->w, p) & 1;
    return count;
}

static void check_put(const struct run *r, const struct operation *op, const struct msg_response *a)
{
    if (a->status == KV_OK) {
        assert_true(a->acked >= a->needed);
        if (!r->rings)
            assert_true(takers(r, op->hlc, op->strict) >= a->needed);
    } else if (a->status != KV_E_TIMEOUT) {
        assert_true(a->status == KV_E_OVERLOADED || a->status == KV_E_UNAVAILABLE ||
                    a->status == KV_E_INVALID);
        assert_int_equal(r->w->accepted[op->hlc], 0); /* definitely not applied */
        assert_int_equal(a->acked, 0);
    }
}

static void check_get(const struct run *r, const struct operation *op, const struct msg_response *a)
{
    uint32_t n = homes_of(r);
    if (a->status == KV_OK || a->status == KV_E_NOT_FOUND)
        assert_true(a->acked >= a->needed);
    if (a->status == KV_OK && op->strict && !r->rings && a->needed >= majority(n))
        assert_true(takers(r, world_hlc_of(&a->row), true) >= n - majority(n) + 1);
    if (op->strict && a->status == KV_E_NOT_FOUND && a->needed >= majority(n))
        assert_int_equal(a->proven, 1);
}

/* Strict operations with majorities: nothing older than what was acknowledged or read before it began. Every
 * put has its own stamp, so this and the order of stamps are the register's whole law. */
static void check_register(struct run *r, const struct operation *op, const struct msg_response *a)
{
    if (!r->strict_only || (a->status != KV_OK && a->status != KV_E_NOT_FOUND))
        return;
    if (!op->put)
        assert_true(a->status == KV_E_NOT_FOUND ? op->floor == 0 : op->hlc >= op->floor);
    if (op->hlc > r->floor)
        r->floor = op->hlc;
}

static void look_at_answers(struct run *r)
{
    for (; r->seen < r->w->answer_count; r->seen++) {
        const struct answer *answer = &r->w->answers[r->seen];
        const struct msg_response *a = &answer->response;
        assert_true(answer->id >= r->first_id && answer->id < r->first_id + r->op_count);
        struct operation *op = &r->ops[answer->id - r->first_id];
        assert_false(op->answered);
        op->answered = true;
        op->status = a->status;
        r->counts[op->put][-a->status]++;
        assert_true(a->acked <= a->asked && a->reachable <= homes_of(r));
        assert_true(a->us <= op->timeout_us);
        assert_true(a->status != KV_E_UNAVAILABLE || a->asked == 0);
        if (!op->put && a->status == KV_OK)
            op->hlc = world_hlc_of(&a->row);
        if (op->put)
            check_put(r, op, a);
        else
            check_get(r, op, a);
        check_register(r, op, a);
    }
}

static void begin_op(struct run *r)
{
    if (r->op_count == OPS_MAX)
        return;
    struct operation *op = &r->ops[r->op_count++];
    *op = (struct operation){
        .put = chance(r, 50),
        .strict = r->strict_only || chance(r, 40),
        .quorum = r->strict_only ? 0 : (uint8_t)prng_below(&r->prng, r->replicas + 2),
        .began_us = r->w->now.mono_us,
        .timeout_us = 1000 + prng_below(&r->prng, 1500000),
        .floor = r->floor,
    };
    struct row row = row_absent();
    if (op->put) {
        op->hlc = r->next_hlc++;
        row = world_row(r->w, op->hlc, "value");
    }
    struct msg_request q = {
        .op = op->put ? OP_PUT : OP_GET,
        .flags = (uint8_t)((op->strict ? REQ_STRICT : 0) | (chance(r, 10) ? REQ_EXPLAIN : 0)),
        .r = op->quorum,
        .w = op->quorum,
        .timeout_us = (uint32_t)op->timeout_us,
        .key = r->w->key,
        .row = row,
    };
    uint64_t id = world_request(r->w, &q);
    row_release(&row);
    assert_int_equal(id, r->first_id + r->op_count - 1);
}

/* What is on its way on a connection is gone with it; some of it had arrived. */
static void member_down(struct run *r, uint32_t id)
{
    while (world_letter(r->w, id)) {
        if (chance(r, 30))
            world_apply(r->w, id);
        else
            world_lose(r->w, id);
    }
    r->up[id] = false;
    world_peer(r->w, id, false);
}

static void change_ring(struct run *r)
{
    uint32_t ids[WORLD_MEMBERS_MAX], count = 0;
    if (r->w->ring->value.epoch > 12)
        return;
    for (uint32_t id = 1; id <= r->members; id++) {
        if (id == r->w->self || chance(r, 80))
            ids[count++] = id;
    }
    world_ring(r->w, r->replicas, ids, count);
}

static void deliver(struct run *r)
{
    if (r->w->letter_count == 0)
        return;
    uint32_t id = r->w->letters[prng_below(&r->prng, r->w->letter_count)].member;
    struct letter *l = world_letter(r->w, id); /* in order, as a connection has it */
    uint64_t letter_id = l->message.id;
    bool write = l->message.type == MSG_WRITE;
    if (chance(r, 3)) {
        r->w->answer_epoch = r->w->ring->value.epoch - 1 + prng_below(&r->prng, 3);
        if (write)
            world_ack(r->w, id, chance(r, 50) ? KV_E_WRONG_RING : KV_E_STALE);
        else
            world_reply(r->w, id, chance(r, 50) ? KV_E_WRONG_RING : KV_E_CORRUPT, NULL);
        r->w->answer_epoch = 0;
        return;
    }
    bool refuses = r->w->replicas[id].refuses != KV_OK;
    world_serve(r->w, id);
    if (chance(r, 5) && write)
        world_ack_id(r->w, id, letter_id, refuses ? KV_E_FULL : KV_OK); /* the same again */
    if (chance(r, 5) && !write && !refuses)
        world_reply_id(r->w, id, letter_id, KV_OK, &r->w->replicas[id].row);
}

static void step(struct run *r)
{
    uint32_t id = 1 + (uint32_t)prng_below(&r->prng, r->members);
    uint64_t dice = prng_below(&r->prng, 100);
    if (dice < 12)
        begin_op(r);
    else if (dice < 80)
        deliver(r);
    else if (dice < 90)
        world_wait(r->w, prng_below(&r->prng, chance(r, 20) ? 400000 : 5000));
    else if (dice < 94 && id != r->w->self && r->up[id])
        member_down(r, id);
    else if (dice < 97 && id != r->w->self && !r->up[id])
        r->up[id] = true, world_peer(r->w, id, true);
    else if (dice < 99)
        r->w->replicas[id].refuses = chance(r, 70) ? KV_OK : chance(r, 50) ? KV_E_FULL : KV_E_OVERLOADED;
    else if (r->rings)
        change_ring(r);
    look_at_answers(r);
}

static void one_run(uint64_t from, uint32_t counts[2][8])
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    prng_init(&r->prng, from);
    r->replicas = 1 + (uint32_t)prng_below(&r->prng, 5);
    r->members = 1 + (uint32_t)prng_below(&r->prng, 8);
    r->strict_only = chance(r, 50);
    r->rings = !r->strict_only && chance(r, 30);
    r->next_hlc = 1;
    r->w = world_create_on(r->members, r->replicas, 1 + (uint32_t)prng_below(&r->prng, r->members));
    r->first_id = r->w->next_id;
    for (uint32_t id = 1; id <= r->members; id++)
        r->up[id] = true;
    for (int i = 0; i < STEPS; i++)
        step(r);
    world_wait(r->w, 1500000 + 2 * COORD_WRITE_PATIENCE_US);
    look_at_answers(r);
    for (uint32_t i = 0; i < r->op_count; i++)
        assert_true(r->ops[i].answered);
    assert_int_equal(coord_in_flight(r->w->coord), 0);
    assert_int_equal(coord_unanswered(r->w->coord), 0);
    assert_int_equal(coord_bytes_in_flight(r->w->coord), 0);
    for (int put = 0; put < 2; put++) {
        for (int i = 0; i < 8; i++)
            counts[put][i] += r->counts[put][i];
    }
    world_destroy(r->w);
    free(r);
}

static void random_runs(void **state)
{
    (void)state;
    uint32_t counts[2][8] = {{0}};
    for (seed = first_seed; seed < first_seed + runs; seed++)
        one_run(seed, counts);
    for (int put = 0; put < 2; put++)
        print_message("%s: ok %u, not found %u, unavailable %u, timeout %u, overloaded %u, invalid %u\n",
                      put ? "puts" : "gets", counts[put][0], counts[put][1], counts[put][2], counts[put][3],
                      counts[put][4], counts[put][6]);
    if (runs < RUNS)
        return;
    for (int status = 0; status <= 6; status++) { /* the runs were worth something */
        assert_true(counts[1][status] > 10 || status == 1 || status == 5);
        assert_true(counts[0][status] > 10 || status == 5);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_runs, tell_seed)};
    take_seeds(argc, argv, rounds_of(RUNS));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
