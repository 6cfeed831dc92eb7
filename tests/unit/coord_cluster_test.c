/* Whole clusters of coordinators while the ring changes, at random: every member has its coordinator (the
 * real one) and a replica, a source and notes that go by the rules of DESIGN sections 6 and 7 (the ones of
 * node/replica.c, repair/transfer.h and repair/hints.h); the steps of the change are the real ones too.
 * Members adopt rings when they please, are cut off and come back, messages are lost, answers come late.
 *
 * What is looked for: a strict get that misses what was acknowledged before it began, in whatever epoch; and,
 * when all is quiet again and nobody was given up, an acknowledged put, strict or sloppy, that no home has.
 *
 * All is about one key. A failing run prints its seed; `coord_cluster_test SEED` replays it,
 * `coord_cluster_test SEED COUNT` tries more. */
#include <stdio.h>
#include <stdlib.h>

#include "unit/coord_cluster_members.h"
#include "unit/rounds.h"
#include "unit/seeds.h"

enum { RUNS = 250, EVENTS = 5000 };

/* ---- requests -------------------------------------------------------------------------------- */

static void begin_op(struct run *r)
{
    uint32_t at = random_site(r);
    if (r->op_count == OPS_MAX || !at)
        return;
    struct operation *op = &r->ops[r->op_count];
    *op = (struct operation){.put = chance(r, 50), .strict = r->strict_only || chance(r, 30), .at = at};
    op->floor = r->floor;
    op->value = op->put ? r->next_value++ : 0;
    uint64_t timeout_us = 1000 + prng_below(&r->prng, chance(r, 50) ? 5000000 : 300000);
    op->ends_us = r->now.mono_us + timeout_us;
    struct message m = {.type = MSG_REQUEST, .id = r->op_count++};
    m.request = (struct msg_request){.op = op->put ? OP_PUT : OP_GET,
                                     .flags = op->strict ? REQ_STRICT : 0,
                                     .timeout_us = (uint32_t)timeout_us,
                                     .key = r->key,
                                     .row = row_of(op->value)};
    if (!op->strict)
        m.request.r = m.request.w = (uint8_t)prng_below(&r->prng, 3);
    coord_request(r->sites[at].coord, r->now, hlc_now(r), to_conn(1), &m, &r->out);
    collect(r, at);
}

static void wait(struct run *r, uint64_t us)
{
    r->now.mono_us += us;
    r->now.wall_ms = START_MS + r->now.mono_us / 1000;
    for (uint32_t id = 1; id < SITES_MAX; id++) {
        while (lives(&r->sites[id]) && coord_deadline_us(r->sites[id].coord) <= r->now.mono_us) {
            coord_tick(r->sites[id].coord, r->now, hlc_now(r), &r->out);
            collect(r, id);
        }
    }
}

/* ---- the ring -------------------------------------------------------------------------------- */

static void decide(struct run *r, struct ring_value *value_owned)
{
    assert_int_equal(value_owned->epoch, r->newest + 1);
    assert_true(value_owned->epoch < RINGS_MAX);
    assert_int_equal(ring_create(value_owned, &r->rings[++r->newest]), KV_OK);
    for (uint32_t i = 0; i < value_owned->member_count; i++) {
        const struct member *m = &value_owned->members[i];
        assert_true(m->id < SITES_MAX);
        r->given_up |= m->dead;
        if (!r->sites[m->id].exists)
            r->sites[m->id] = (struct site){.exists = true, .up = true};
    }
    ring_value_deinit(value_owned);
}

/* Nobody is given up while another is: that may lose what was acknowledged. */
static bool may_give_up(const struct run *r)
{
    const struct ring_value *v = &r->rings[r->newest]->value;
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (v->members[i].dead || v->members[i].store_id == 0)
            return false;
    }
    for (uint32_t i = 0; i < v->queue_count; i++) {
        if (v->queue[i].kind == RING_REMOVE)
            return false;
    }
    return r->strict_only && r->rings[r->newest]->homes >= 3;
}

static enum ring_step drive(struct run *r, bool exact)
{
    static const uint64_t deaths_us[] = {0, RING_GIVE_UP_US, RING_UNDO_US};
    const struct ring *ring = r->rings[r->newest];
    struct ring_word words[SITES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < ring->value.member_count; i++) {
        uint32_t id = ring->value.members[i].id;
        const struct site *s = &r->sites[id];
        bool alive = s->up && !s->out && (exact || !one_in(r, 10));
        uint64_t dead_us = exact ? RING_UNDO_US : deaths_us[prng_below(&r->prng, 3)];
        words[count++] = (struct ring_word){.member = id,
                                            .epoch = exact ? s->epoch : s->known_epoch,
                                            .whole_epoch = exact ? s->whole : s->known_whole,
                                            .alive = alive,
                                            .dead_us = alive ? 0 : dead_us};
    }
    enum ring_step step;
    struct ring_value next;
    assert_int_equal(ring_change_next(ring, words, count, &step, &next), KV_OK);
    if (step == RING_WAIT)
        return step;
    if (step == RING_GIVE_UP && !exact && !may_give_up(r)) {
        ring_value_deinit(&next);
        return RING_WAIT;
    }
    seen.steps[step]++;
    decide(r, &next);
    return step;
}

static bool ask(struct run *r, const struct ring_change *c)
{
    bool known;
    char error[128];
    struct ring_value next;
    const struct ring_value *v = &r->rings[r->newest]->value;
    if (ring_change_check(v, c, &known, error) != KV_OK)
        return false;
    if (known)
        return true;
    assert_int_equal(ring_change_ask(v, c, &next), KV_OK);
    decide(r, &next);
    return true;
}

static void ask_something(struct run *r)
{
    const struct ring_value *v = &r->rings[r->newest]->value;
    const struct member *m = &v->members[prng_below(&r->prng, v->member_count)];
    struct ring_change c = {.kind = RING_WEIGHT, .member = m->id};
    if (v->queue_count >= 2 || v->next_id + 3 >= SITES_MAX)
        return;
    switch (prng_below(&r->prng, 5)) {
    case 0:
    case 1:
        c = (struct ring_change){.kind = RING_JOIN, .store_id = ++r->next_store, .weight = 1};
        snprintf(c.name, sizeof c.name, "new%u", (uint32_t)r->next_store);
        break;
    case 2: c.kind = RING_LEAVE; break;
    case 3:
        if (!may_give_up(r))
            return;
        c.kind = RING_REMOVE;
        break;
    default: c.weight = 1 + (uint32_t)prng_below(&r->prng, 3);
    }
    (void)ask(r, &c);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void site_event(struct run *r)
{
    uint32_t id = 1 + (uint32_t)prng_below(&r->prng, r->rings[r->newest]->value.next_id - 1);
    struct site *s = &r->sites[id];
    if (!s->exists || s->out)
        return;
    if (s->epoch && one_in(r, s->up ? r->loss : 10))
        set_up(r, id, !s->up);
    if (!s->up)
        return;
    switch (prng_below(&r->prng, 6)) {
    case 0:
    case 1:
        if (s->epoch < r->newest && (s->epoch == 0 || one_in(r, r->adoption)))
            adopt(r, id, one_in(r, 4) ? s->epoch + 1 : r->newest);
        break;
    case 2:
        s->known_epoch = s->epoch;
        s->known_whole = s->whole;
        break;
    case 3:
        if (s->epoch)
            hand_over(r, id);
        break;
    default:
        if (s->epoch == 0)
            return;
        for (uint32_t i = 0; i < 8; i++)
            take_over(r, id, 1 + (uint32_t)prng_below(&r->prng, SITES_MAX - 1));
        say_whole(r, id);
        drop_row(r, id);
    }
}

static void event(struct run *r)
{
    uint64_t dice = prng_below(&r->prng, 100);
    if (dice < 5) {
        begin_op(r);
    } else if (dice < 62) {
        for (uint32_t n = 0; n < 3 && r->letter_count; n++) {
            uint32_t i = (uint32_t)prng_below(&r->prng, r->letter_count);
            if (r->letters[i].stage != AT_WORK || one_in(r, r->completion))
                one_letter(r, i);
        }
    } else if (dice < 68) {
        wait(r, prng_below(&r->prng, one_in(r, 20) ? 300 * MS : 3 * MS));
    } else if (dice < 95) {
        site_event(r);
    } else if (one_in(r, r->step)) {
        if (dice < 99)
            (void)drive(r, false);
        else
            ask_something(r);
    }
}

static void serve_all(struct run *r)
{
    for (uint32_t turn = 0; r->letter_count; turn++) {
        assert_true(turn < 100000);
        one_letter(r, r->letter_count - 1);
    }
}

/* Everybody is there and hears everything; whoever stopped is removed; the change comes to its end. */
static void come_to_rest(struct run *r)
{
    for (uint32_t turn = 0; turn < 400; turn++) {
        for (uint32_t id = 1; id < SITES_MAX; id++) {
            struct site *s = &r->sites[id];
            if (s->exists && !s->out && s->epoch && !s->up)
                set_up(r, id, true);
            if (s->exists && !s->out && s->epoch < r->newest)
                adopt(r, id, r->newest);
            struct ring_change remove = {.kind = RING_REMOVE, .member = id};
            if (s->out && member_of(r->rings[r->newest], id))
                (void)ask(r, &remove);
        }
        serve_all(r);
        wait(r, 50 * MS);
        for (uint32_t id = 1; id < SITES_MAX; id++) {
            if (!lives(&r->sites[id]))
                continue;
            for (uint32_t other = 1; other < SITES_MAX; other++)
                take_over(r, id, other);
            for (uint32_t i = 0; i < 8 * SITES_MAX && r->sites[id].notes; i++)
                hand_over(r, id);
            say_whole(r, id);
        }
        const struct ring *ring = r->rings[r->newest];
        bool rest =
            drive(r, true) == RING_WAIT && ring->value.phase == RING_STABLE && !ring->value.queue_count;
        bool notes = false, busy = r->letter_count;
        for (uint32_t id = 1; id < SITES_MAX; id++) {
            notes |= lives(&r->sites[id]) && r->sites[id].notes;
            busy |= lives(&r->sites[id]) && coord_in_flight(r->sites[id].coord);
        }
        if (rest && !notes && !busy)
            return;
    }
    fail_msg("it does not come to rest: epoch %u, phase %u", (uint32_t)r->newest,
             r->rings[r->newest]->value.phase);
}

/* The newest of what was acknowledged is at a home; strict, at so many that every majority meets one. */
static void check_rest(struct run *r)
{
    const struct ring *ring = r->rings[r->newest];
    uint32_t homes[PREFERENCE_MAX], have = 0, have_strict = 0;
    ring_preference(ring, r->partition, homes);
    for (uint32_t i = 0; i < ring->homes; i++) {
        have += r->sites[homes[i]].row >= r->promise;
        have_strict += r->sites[homes[i]].row >= r->floor;
    }
    if (!r->lossy)
        assert_true(have_strict >= ring->homes - (ring->homes / 2 + 1) + 1);
    if (!r->lossy && !r->given_up)
        assert_true(have >= 1);
}

static void begin_run(struct run *r)
{
    struct ring_value v = {.epoch = 1, .partitions = PARTITIONS, .member_count = 0};
    struct member table[SITES_MAX] = {0};
    uint32_t members = 2 + (uint32_t)prng_below(&r->prng, 6);
    v.replicas = 1 + (uint32_t)prng_below(&r->prng, 4);
    v.replicas = chance(r, 50) ? 3 : v.replicas;
    v.next_id = members + 1;
    v.member_count = members;
    v.members = table;
    for (uint32_t i = 0; i < members; i++) {
        table[i] = (struct member){.id = i + 1, .store_id = i + 1, .weight = 1};
        snprintf(table[i].name, sizeof table[i].name, "n%u", i + 1);
        r->sites[i + 1] = (struct site){.exists = true, .up = true};
    }
    assert_int_equal(ring_create(&v, &r->rings[1]), KV_OK);
    r->newest = 1;
    r->partition = ring_partition(r->rings[1], key_token(r->key));
    for (uint32_t id = 1; id <= members; id++)
        adopt(r, id, 1);
}

static void one_run(uint64_t from)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    prng_init(&r->prng, from);
    assert_int_equal(outbox_init(&r->out), KV_OK);
    r->now = (struct now){.mono_us = 1000000, .wall_ms = START_MS + 1000};
    r->key = bytes_str("key");
    r->next_value = 1;
    r->next_store = 1000;
    r->strict_only = chance(r, 60);
    r->step = 1 + (uint32_t)prng_below(&r->prng, 12);
    r->loss = 20 + (uint32_t)prng_below(&r->prng, 300);
    r->completion = 1 + (uint32_t)prng_below(&r->prng, 12);
    r->adoption = 1 + (uint32_t)prng_below(&r->prng, 6);
    begin_run(r);
    for (uint32_t i = 0; i < EVENTS && r->newest < RINGS_MAX - 60; i++)
        event(r);
    come_to_rest(r);
    check_rest(r);
    for (uint32_t i = 0; i < r->op_count; i++)
        assert_true(r->ops[i].over); /* answered, or its coordinator has stopped */
    for (uint32_t id = 1; id < SITES_MAX; id++) {
        if (!r->sites[id].coord)
            continue;
        seen.replanned += (uint32_t)coord_counters(r->sites[id].coord).replans;
        coord_destroy(r->sites[id].coord);
    }
    for (uint64_t epoch = 1; epoch <= r->newest; epoch++)
        ring_destroy(r->rings[epoch]);
    outbox_deinit(&r->out);
    free(r);
}

static void random_runs(void **state)
{
    (void)state;
    for (seed = first_seed; seed < first_seed + runs; seed++)
        one_run(seed);
    for (int put = 0; put < 2; put++)
        print_message("%s: ok %u, not found %u, unavailable %u, timeout %u, overloaded %u\n",
                      put ? "puts" : "gets", seen.answers[put][0], seen.answers[put][1], seen.answers[put][2],
                      seen.answers[put][3], seen.answers[put][4]);
    print_message("placed again %u, wrong ring %u, copies %u, handed over %u, moved on %u\n", seen.replanned,
                  seen.wrong_ring, seen.copies, seen.handed_over, seen.moved_on);
    for (uint32_t step = RING_BEGIN; step <= RING_UNDO; step++) {
        print_message("%s: %u\n", ring_step_name(step), seen.steps[step]);
        assert_true(runs < RUNS || seen.steps[step] > 10);
    }
    if (runs < RUNS)
        return;
    for (int put = 0; put < 2; put++) { /* the runs were worth something */
        assert_true(seen.answers[put][0] > 10000);
        assert_true(seen.answers[put][2] > 100 && seen.answers[put][3] > 100);
    }
    assert_true(seen.replanned > 1000 && seen.wrong_ring > 1000 && seen.copies > 1000);
    assert_true(seen.handed_over > 100 && seen.moved_on > 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_runs, tell_seed)};
    take_seeds(argc, argv, rounds_of(RUNS));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
