/* Random changes, random trouble: whatever happens on the way, once there is quiet the node is WHOLE and has
 * what it must have. A failing run prints its seed; `repair_transfer_random_test SEED` replays it,
 * `repair_transfer_random_test SEED COUNT` tries others. */
#include "repair/transfer_internal.h"
#include "unit/repair_moves.h"
#include "unit/rounds.h"
#include "unit/seeds.h"

enum { RUNS = 300, STEPS = 400 };

struct game {
    struct prng p;
    struct moves *w;
    struct mover movers[MOVERS_MAX];
    uint32_t count, replicas;
    uint64_t epoch;
    bool done[PARTS];
    struct ring_sources from[PARTS]; /* each is, or will be, read from these */
};

static uint32_t below(struct game *g, uint32_t bound)
{
    return (uint32_t)prng_below(&g->p, bound);
}

/* Members that stay, leave, join; one at least before and after, and one that gains something. */
static bool draw(struct game *g)
{
    static const struct mover kinds[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {2, 1, 0},
                                         {1, 2, 0}, {1, 0, 0}, {0, 1, 0}, {1, 0, 1}};
    g->count = 2 + below(g, MOVERS_MAX - 1);
    g->replicas = 1 + below(g, 5);
    uint32_t before = 0, after = 0, dead = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        g->movers[i] = kinds[below(g, 8)];
        if (g->movers[i].dead && dead++)
            g->movers[i].dead = false;
        before += g->movers[i].before > 0;
        after += g->movers[i].after > 0;
    }
    if (!before || !after)
        return false;
    struct ring *ring = moves_ring(g->movers, g->count, g->replicas, 5, 5);
    uint32_t self = 1 + below(g, g->count);
    if (!moves_gained(ring, self)) {
        ring_destroy(ring);
        return false;
    }
    g->w = moves_create(ring, self);
    g->epoch = 5;
    return true;
}

/* Version 2 of some keys: what a majority of the homes before acknowledged, and no more. */
static void write_before(struct game *g)
{
    for (uint32_t i = 0; i < g->w->piece_count; i++) {
        struct piece *p = &g->w->pieces[i];
        uint32_t homes = 0, given = 0;
        for (uint32_t m = 1; m <= MOVERS_MAX; m++)
            homes += p->at[m] > 0;
        if (below(g, 3) == 0)
            continue;
        for (uint32_t k = 0, first = below(g, MOVERS_MAX); k < MOVERS_MAX && given < homes / 2 + 1; k++) {
            uint32_t m = (first + k) % MOVERS_MAX + 1;
            given += p->at[m] > 0;
            p->at[m] = p->at[m] ? 2 : 0;
        }
    }
}

/* A write under PENDING: the slot's old home has it together with this node, or neither acknowledges. */
static void write_meanwhile(struct game *g)
{
    struct moves *w = g->w;
    struct piece *p = &w->pieces[below(g, w->piece_count)];
    struct ring_slot slot = {0};
    if (!moves_slot(w->ring, w->self, token_partition(p->token, PARTS), &slot) || !slot.from ||
        g->movers[slot.from - 1].dead)
        return;
    uint64_t newest = p->at[slot.from] > p->at[w->self] ? p->at[slot.from] : p->at[w->self];
    p->at[slot.from] = p->at[w->self] = newest + 1;
}

static void note_done(struct game *g)
{
    const struct plan *plan = &g->w->transfer->plan;
    for (uint32_t i = 0; i < plan->part_count; i++)
        g->done[plan->parts[i].partition] = plan->parts[i].done;
}

/* What was taken over already stays so. */
static void note_sources(struct game *g)
{
    const struct plan *plan = &g->w->transfer->plan;
    for (uint32_t i = 0; i < plan->part_count; i++) {
        uint32_t partition = plan->parts[i].partition;
        if (!g->done[partition])
            assert_true(ring_takes_over(g->w->ring, partition, g->w->self, &g->from[partition]));
    }
}

/* A displaced home is given up. */
static void give_up(struct game *g)
{
    uint32_t m = below(g, g->count);
    if (m + 1 == g->w->self || !g->movers[m].before || g->movers[m].dead)
        return;
    g->movers[m].dead = true;
    g->epoch += 2;
    note_done(g);
    moves_ring_set(g->w, moves_ring(g->movers, g->count, g->replicas, g->epoch, g->epoch));
    note_sources(g);
}

static void answer_damaged(struct game *g)
{
    struct asked a = moves_take(g->w, below(g, g->w->pull_count));
    struct message m = moves_page(g->w, &a);
    if (m.rows.pack) {
        uint32_t bit = below(g, 8 * m.rows.pack->len);
        struct bytes rest = blob_bytes(m.rows.pack);
        struct packed_row row;
        m.rows.pack->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        while (rest.len && pack_take(&rest, &row) == KV_OK) {
        }
        if (rest.len) /* else it may be good: nobody can tell a wrong value */
            moves_rows(g->w, a.member, &m);
    }
    message_release(&m);
}

static void peers_flap(struct game *g)
{
    uint32_t m = 1 + below(g, g->count);
    if (m == g->w->self || g->movers[m - 1].dead)
        return;
    bool up = below(g, 3) > 0;
    moves_peer(g->w, m, up);
    for (uint32_t i = g->w->pull_count; !up && i-- > 0;)
        if (g->w->pulls[i].member == m)
            (void)moves_take(g->w, i);
}

static void restart(struct game *g)
{
    moves_kill(g->w);
    moves_start(g->w);
    note_done(g); /* the note may know less */
    note_sources(g);
}

static void step(struct game *g)
{
    static const int refusals[] = {KV_E_OVERLOADED, KV_E_WRONG_RING, KV_E_IO, KV_E_INVALID};
    struct moves *w = g->w;
    switch (below(g, 40)) {
    case 0: peers_flap(g); break;
    case 1: peers_flap(g); break;
    case 2:
        if (below(g, 8) == 0)
            give_up(g);
        break;
    case 3:
        if (below(g, 8) == 0)
            restart(g);
        break;
    case 4:
        if (w->pull_count)
            answer_damaged(g);
        break;
    case 5:
        if (w->pull_count)
            moves_refuse(w, below(g, w->pull_count), refusals[below(g, 4)]);
        break;
    case 6:
        if (w->pull_count)
            (void)moves_take(w, below(g, w->pull_count)); /* lost */
        break;
    case 7: transfer_busy_set(w->transfer, below(g, 2) == 0); break;
    case 8:
        moves_ring_set(w,
                       moves_ring(g->movers, g->count, g->replicas, ++g->epoch, w->ring->value.source_epoch));
        break;
    case 9:
    case 10: write_meanwhile(g); break;
    case 11:
    case 12:
    case 13:
        w->now.mono_us += below(g, 300000);
        moves_tick(w);
        break;
    case 14:
        if (w->note.len)
            moves_note_written(w, below(g, 4) ? KV_OK : KV_E_FULL);
        break;
    default:
        if (w->write_count && below(g, 2))
            moves_written(w, 0, below(g, 20) ? KV_OK : KV_E_FULL);
        else if (w->pull_count)
            moves_answer(w, below(g, w->pull_count));
    }
}

/* What this node must have: all that those had who were to be read, or what a majority had. */
static void assert_right(const struct game *g)
{
    const struct moves *w = g->w;
    for (uint32_t i = 0; i < w->piece_count; i++) {
        const struct piece *p = &w->pieces[i];
        const struct ring_sources *s = &g->from[token_partition(p->token, PARTS)];
        uint64_t newest = 0;
        for (uint32_t m = 1; m <= MOVERS_MAX; m++)
            newest = m != w->self && p->at[m] > newest ? p->at[m] : newest;
        for (uint32_t k = 0; k < s->count && s->needed == s->count; k++)
            assert_true(p->at[w->self] >= p->at[s->members[k]]);
        if (s->needed < s->count)
            assert_true(newest != 2 || p->at[w->self] >= 2);
    }
}

static void play(uint64_t from_seed)
{
    struct game g = {0};
    prng_init(&g.p, from_seed);
    while (!draw(&g)) {
    }
    moves_fill(g.w, 100 + below(&g, 900), below(&g, 4) ? 100 : 20000);
    write_before(&g);
    moves_start(g.w);
    note_sources(&g);
    for (int i = 0; i < STEPS; i++)
        step(&g);
    transfer_busy_set(g.w->transfer, false);
    g.w->pull_count = 0;
    moves_all_up(g.w);
    moves_finish(g.w);
    assert_right(&g);
    moves_destroy(g.w);
}

static void whatever_happens_it_becomes_whole(void **state)
{
    (void)state;
    for (seed = first_seed; seed < first_seed + runs; seed++)
        play(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(whatever_happens_it_becomes_whole, tell_seed),
    };
    take_seeds(argc, argv, rounds_of(RUNS));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
