/* Random clusters: nodes die, stop, vanish, come back, are slow, refuse and fall silent while requests go on.
 * Whatever happens: every request ends, in time; the invariants hold after every step; a put that is
 * acknowledged is there; a put whose owner was told that nothing happened has not happened; no two puts share
 * a stamp.
 *
 * A failing seed is replayed with CLIENT_SEED=n. */
#include "client_support.h"
#include "rounds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEEDS       1000u
#define REQUESTS    400u
#define LATE_MAX_US (5 * MS)
#define TIMEOUT_MS  900u

struct request {
    bool put;
    struct outcome outcome;
};

static void disturb(struct world *w, struct prng *prng)
{
    struct fake_node *n;
    uint32_t node = 1 + (uint32_t)prng_below(prng, w->count);
    static const int says[] = {ANSWER_NOTHING,  KV_E_UNAVAILABLE, KV_E_OVERLOADED, KV_E_TIMEOUT,
                               KV_E_WRONG_RING, KV_E_INVALID,     KV_E_AGAIN,      KV_E_NOT_MEMBER};
    n = &w->nodes[node];
    switch (prng_below(prng, 8)) {
    case 0: world_mode(w, node, NODE_AWAY); break;
    case 1: world_mode(w, node, NODE_STOPPED); break;
    case 2: world_mode(w, node, NODE_HOLE); break;
    case 3: world_break(w, node); break;
    case 4: n->delay_us = prng_below(prng, 4) ? prng_below(prng, 2000) : prng_below(prng, 300000); break;
    case 5:
        n->say = says[prng_below(prng, 8)];
        n->say_times = 1 + (uint32_t)prng_below(prng, 20);
        n->say_asked = n->say == KV_E_OVERLOADED ? (uint8_t)prng_below(prng, 2) : 0;
        n->say_applied =
            (n->say == ANSWER_NOTHING || n->say == KV_E_TIMEOUT || n->say_asked) && prng_below(prng, 2);
        break;
    default:
        world_mode(w, node, NODE_UP);
        n->say = 0;
        n->delay_us = 0;
        break;
    }
}

static bool applied(const struct world *w, uint64_t hlc)
{
    for (uint32_t i = 0; i < w->seen_count; i++)
        if (w->seen[i].applied && w->seen[i].stamp.hlc == hlc)
            return true;
    return false;
}

static void check_put(const struct world *w, const struct outcome *o)
{
    if (o->status == KV_OK)
        assert_true(applied(w, o->stamp.hlc));
    else if (!o->unknown && o->stamp.hlc)
        assert_false(applied(w, o->stamp.hlc));
    assert_true(o->status != KV_E_TIMEOUT || o->unknown);
    assert_true(o->status != KV_E_UNAVAILABLE || !o->unknown);
}

static void check_all(const struct world *w, const struct request *requests)
{
    assert_true(w->seen_count < SEEN_MAX);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        const struct outcome *o = &requests[i].outcome;
        assert_true(o->over);
        assert_true(o->us <= TIMEOUT_MS * MS + LATE_MAX_US);
        if (!requests[i].put)
            continue;
        check_put(w, o);
        for (uint32_t k = 0; k < i; k++)
            if (requests[k].put && o->stamp.hlc)
                assert_true(requests[k].outcome.stamp.hlc != o->stamp.hlc);
    }
}

static void run_seed(uint64_t seed, uint64_t *ok)
{
    static struct world w; /* large */
    static struct request requests[REQUESTS];
    struct prng prng;
    prng_init(&prng, seed);
    memset(requests, 0, sizeof requests);
    world_init(&w, 5, 1 + (uint32_t)prng_below(&prng, 5), NULL);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", (unsigned)prng_below(&prng, 10));
        char via[4];
        snprintf(via, sizeof via, "n%u", 1 + (unsigned)prng_below(&prng, 5));
        struct kv_request q = {.timeout_ms = TIMEOUT_MS,
                               .flags = prng_below(&prng, 3) ? 0 : KV_STRICT,
                               .via = prng_below(&prng, 10) ? NULL : via};
        requests[i].put = prng_below(&prng, 2);
        int rc = requests[i].put ? world_put(&w, key, "value", &q, &requests[i].outcome)
                                 : world_get(&w, key, &q, &requests[i].outcome);
        assert_int_equal(rc, KV_OK);
        if (prng_below(&prng, 6) == 0)
            disturb(&w, &prng);
        world_run(&w, prng_below(&prng, 4) ? prng_below(&prng, 2000) : prng_below(&prng, 60000));
    }
    world_drain(&w);
    for (uint32_t i = 1; i <= w.count; i++) {
        w.nodes[i].say = 0;
        w.nodes[i].delay_us = 0;
        world_mode(&w, i, NODE_UP);
    }
    world_run(&w, 10 * SECOND); /* what was on its way arrives; everybody is reached again */
    check_all(&w, requests);
    *ok += w.statuses[0];
    struct outcome last;
    world_put(&w, "last", "v", NULL, &last);
    world_finish(&w, &last);
    assert_int_equal(last.status, KV_OK);
    assert_true(last.us < 10 * MS);
    world_deinit(&w);
}

static volatile uint64_t current_seed;

static void say_seed(void)
{
    char text[64];
    int len = snprintf(text, sizeof text, "replay with CLIENT_SEED=%llu\n", (unsigned long long)current_seed);
    if (write(STDERR_FILENO, text, (size_t)len) < 0)
        return;
}

static void on_abort(int signal_number)
{
    (void)signal_number;
    say_seed();
}

static int teardown(void **state)
{
    (void)state;
    if (current_seed)
        say_seed();
    return 0;
}

static void random_clusters(void **state)
{
    (void)state;
    const char *one = getenv("CLIENT_SEED");
    uint64_t ok = 0, first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : rounds_of(SEEDS);
    signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed <= last; seed++) {
        current_seed = seed;
        run_seed(seed, &ok);
    }
    current_seed = 0;
    assert_true(one || ok > last * REQUESTS / 5); /* the disturbances left something to be tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_clusters, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
