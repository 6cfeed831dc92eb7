/* Puts and gets on five nodes while nodes die, return and are cut off (DESIGN section 6; issue: "It must
 * show"). A put that was acknowledged is never lost; a hint always comes home. */
#include "sim_support.h"

#include <stdio.h>

#define KEYS 60

static const struct sim_options strict = {.strict = true};

static const char *key_of(uint32_t i)
{
    static char text[4][24];
    static uint32_t next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "key-%u", i);
    return out;
}

static const char *value_of(uint32_t i, uint32_t version)
{
    static char text[4][40];
    static uint32_t next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "value-%u-%u", i, version);
    return out;
}

/* The copy of a home: its stamp; zero when it has none. */
static struct stamp copy_of(struct sim *s, uint32_t node, const char *key)
{
    const struct row *row = sim_store_row(sim_store(s, node), bytes_str(key));
    return row ? row->stamp : (struct stamp){0, 0};
}

static uint32_t running_homes(struct sim *s, const char *key)
{
    uint32_t list[PREFERENCE_MAX], count = 0;
    places(s, key, list);
    for (uint32_t i = 0; i < 3; i++)
        count += sim_node(s, list[i]) != NULL;
    return count;
}

/* All three homes have the same row of the key, nobody else has any. */
static void expect_at_home(struct sim *s, const char *key)
{
    uint32_t list[PREFERENCE_MAX], count = places(s, key, list);
    for (uint32_t i = 1; i < 3; i++)
        expect(s, stamp_cmp(copy_of(s, list[i], key), copy_of(s, list[0], key)) == 0);
    for (uint32_t i = 3; i < count; i++)
        expect(s, stamp_is_zero(copy_of(s, list[i], key)));
}

static void every_node_takes_requests(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 5);
    uint32_t c = sim_client(s);
    for (uint32_t i = 1; i <= 5; i++) {
        const struct sim_options *o = i % 2 ? &strict : NULL;
        const struct sim_reply *r = put_ok(s, c, i, key_of(i), value_of(i, 0), o);
        expect(s, r->acked >= 2 && r->needed == 2 && r->hinted == 0 && r->coordinator == i);
        for (uint32_t j = 1; j <= 5; j++)
            get_is(s, c, j, key_of(i), value_of(i, 0), o);
    }
    const struct sim_reply *r = sim_wait(s, sim_get(s, c, 3, "nothing", NULL));
    expect_status(s, r, KV_E_NOT_FOUND);
    expect(s, r->proven);
    sim_run(s, SECOND_US);
    for (uint32_t i = 1; i <= 5; i++) {
        expect_at_home(s, key_of(i));
        uint32_t list[PREFERENCE_MAX];
        places(s, key_of(i), list);
        const struct sim_options local = {.local = true};
        get_is(s, c, list[2], key_of(i), value_of(i, 0), &local);
        expect_status(s, sim_wait(s, sim_get(s, c, list[3], key_of(i), &local)), KV_E_NOT_FOUND);
    }
    sim_destroy(s);
}

static void empty_and_large_values(void **state)
{
    (void)state;
    struct sim *s = cluster(2, 5);
    uint32_t c = sim_client(s);
    static char large[300000];
    for (size_t i = 0; i < sizeof large - 1; i++)
        large[i] = (char)('a' + prng_below(sim_prng(s), 26));
    put_ok(s, c, 1, "empty", "", NULL);
    put_ok(s, c, 2, "large", large, NULL);
    get_is(s, c, 3, "empty", "", NULL);
    get_is(s, c, 4, "large", large, NULL);
    sim_destroy(s);
}

/* Refused before anything is tried, by name. */
static void limits_have_names(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 5);
    uint32_t c = sim_client(s);
    static char key[KEY_MAX_BYTES + 1];
    memset(key, 'k', KEY_MAX_BYTES);
    put_ok(s, c, 1, key, "v", NULL);
    get_is(s, c, 2, key, "v", NULL);
    expect_status(s, sim_wait(s, sim_put(s, c, 1, "k", "v", &(struct sim_options){.w = 4})), KV_E_INVALID);
    expect_status(s, sim_wait(s, sim_get(s, c, 1, "k", &(struct sim_options){.r = 200})), KV_E_INVALID);
    sim_destroy(s);
}

/* The table of the README: 5 nodes, N=3, R=W=2. Old keys are read, new ones written, with one to four dead.
 */
static void dead_nodes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s);
        for (uint32_t i = 0; i < KEYS; i++)
            put_ok(s, c, random_node(s), key_of(i), value_of(i, 0), NULL);
        sim_run(s, SECOND_US);
        for (uint32_t dead = 1; dead <= 4; dead++) {
            sim_kill(s, random_node(s));
            for (uint32_t i = 0; i < KEYS; i++) {
                uint32_t homes = running_homes(s, key_of(i));
                const struct sim_reply *r = sim_wait(s, sim_get(s, c, random_node(s), key_of(i), &strict));
                expect_status(s, r,
                              homes >= 2                  ? KV_OK
                              : r->status == KV_E_TIMEOUT ? KV_E_TIMEOUT
                                                          : KV_E_UNAVAILABLE);
                r = sim_wait(s, sim_get(s, c, random_node(s), key_of(i), NULL));
                if (dead <= 3 && homes >= 1)
                    expect_status(s, r, KV_OK);
                else if (dead <= 3) /* unless a write-back has left a copy on a fallback */
                    expect(s, r->status == KV_OK || (r->status == KV_E_NOT_FOUND && !r->proven));
                else
                    expect_status(s, r, KV_E_UNAVAILABLE);
            }
            for (uint32_t i = 0; i < 20; i++) {
                const char *key = key_of(1000 * dead + i);
                uint32_t homes = running_homes(s, key);
                const struct sim_reply *r = sim_wait(s, sim_put(s, c, random_node(s), key, "v", NULL));
                expect_status(s, r, dead <= 3 ? KV_OK : KV_E_UNAVAILABLE);
                expect(s, dead > 3 || r->hinted >= (homes < 2 ? 2 - homes : 0));
                r = sim_wait(s, sim_put(s, c, random_node(s), key, "w", &strict));
                expect(s, (r->status == KV_OK) == (homes >= 2));
            }
        }
        sim_destroy(s);
    }
}

static bool sees_dead(struct sim *s, void *member)
{
    uint32_t m = *(uint32_t *)member;
    for (uint32_t i = 1; i <= 5; i++)
        if (sim_node(s, i) && sees(s, i, m) != MEMBER_DEAD)
            return false;
    return true;
}

/* What was put while two nodes were away comes home when they are back, and no note is left; those who kept
 * it for them and are no homes have forgotten it. */
static void hints_come_home(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s);
        uint32_t a = random_node(s), b = 1 + a % 5;
        sim_kill(s, a);
        for (uint32_t i = 0; i < KEYS / 2; i++)
            put_ok(s, c, random_node(s), key_of(i), value_of(i, 0), NULL);
        sim_kill(s, b);
        for (uint32_t i = 0; i < KEYS; i++)
            put_ok(s, c, random_node(s), key_of(i), value_of(i, 1), NULL);
        expect(s, sim_run_until(s, sees_dead, &a, 20 * SECOND_US));
        sim_start(s, a);
        sim_start(s, b);
        expect(s, sim_run_until(s, is_handed_over, NULL, 10 * SECOND_US));
        sim_run(s, SECOND_US);
        for (uint32_t i = 0; i < KEYS; i++) {
            expect_at_home(s, key_of(i));
            get_is(s, c, random_node(s), key_of(i), value_of(i, 1), &strict);
        }
        for (uint32_t i = 1; i <= 5; i++) {
            expect(s, hints_waiting(sim_node(s, i)->hints, 0) == 0);
            expect(s, hints_bytes(sim_node(s, i)->hints) == 0);
        }
        sim_destroy(s);
    }
}

/* Who keeps hints dies too, and comes back: it still knows for whom they are. */
static void hints_survive_their_keeper(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s), a = random_node(s);
        sim_kill(s, a);
        for (uint32_t i = 0; i < KEYS; i++)
            put_ok(s, c, random_node(s), key_of(i), value_of(i, 0), NULL);
        sim_run(s, 5 * SECOND_US);
        for (uint32_t i = 1; i <= 5; i++)
            sim_kill(s, i);
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        expect(s, sim_run_until(s, is_handed_over, NULL, 20 * SECOND_US));
        for (uint32_t i = 0; i < KEYS; i++)
            expect_at_home(s, key_of(i));
        sim_destroy(s);
    }
}

static bool takes_requests(struct sim *s, void *node)
{
    const struct node *n = sim_node(s, *(uint32_t *)node);
    return n->hlc.settled_us <= n->now.mono_us;
}

static void deletes_are_not_undone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s);
        for (uint32_t i = 0; i < KEYS; i++)
            put_ok(s, c, random_node(s), key_of(i), "v", NULL);
        sim_run(s, SECOND_US);
        uint32_t a = random_node(s);
        sim_kill(s, a);
        for (uint32_t i = 0; i < KEYS; i++)
            expect_status(s, sim_wait(s, sim_delete(s, c, random_node(s), key_of(i), NULL)), KV_OK);
        sim_start(s, a);
        expect(s, sim_run_until(s, takes_requests, &a, 5 * SECOND_US));
        /* At once, while the old rows are there and the hints still on their way: */
        for (uint32_t i = 0; i < KEYS; i++)
            expect_status(s, sim_wait(s, sim_get(s, c, random_node(s), key_of(i), &strict)), KV_E_NOT_FOUND);
        expect(s, sim_run_until(s, is_handed_over, NULL, 10 * SECOND_US));
        for (uint32_t i = 0; i < KEYS; i++) {
            expect_at_home(s, key_of(i));
            for (uint32_t node = 1; node <= 5; node++)
                expect_status(s, sim_wait(s, sim_get(s, c, node, key_of(i), NULL)), KV_E_NOT_FOUND);
        }
        sim_destroy(s);
    }
}

static void expired_keys_are_absent(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 5);
    uint32_t c = sim_client(s);
    for (int i = 1; i <= 5; i++)
        sim_setup(s, (uint32_t)i)->skew_ms = (i - 3) * 100;
    const struct sim_options ttl = {.ttl_ms = 3000};
    put_ok(s, c, 1, "k", "v", &ttl);
    put_ok(s, c, 1, "stays", "v", NULL);
    for (uint32_t node = 1; node <= 5; node++)
        get_is(s, c, node, "k", "v", NULL);
    sim_run(s, 4 * SECOND_US);
    for (uint32_t node = 1; node <= 5; node++) {
        expect_status(s, sim_wait(s, sim_get(s, c, node, "k", NULL)), KV_E_NOT_FOUND);
        expect_status(s, sim_wait(s, sim_get(s, c, node, "k", &(struct sim_options){.local = true})),
                      KV_E_NOT_FOUND);
        get_is(s, c, node, "stays", "v", NULL);
    }
    sim_destroy(s);
}

/* A retry, or a hedge, carries the stamp of the first attempt: it is the same write. */
static void retries_are_one_write(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        uint32_t c = sim_client(s);
        struct sim_call *first = sim_put(s, c, 1, "k", "v", NULL);
        sim_wait(s, first);
        const struct sim_options again = {.same = first};
        struct sim_call *calls[8];
        for (int i = 0; i < 8; i++)
            calls[i] = sim_put(s, c, random_node(s), "k", "v", &again);
        for (int i = 0; i < 8; i++)
            expect_status(s, sim_wait(s, calls[i]), KV_OK);
        sim_run(s, SECOND_US);
        expect_at_home(s, "k");
        const struct sim_reply *r = get_is(s, c, 5, "k", "v", NULL);
        expect(s, stamp_cmp(r->stamp, sim_reply(first)->stamp) == 0);
        sim_destroy(s);
    }
}

static uint32_t count_keys(struct sim *s, uint32_t c, uint32_t node, uint32_t limit)
{
    char cursor[64] = "";
    uint32_t count = 0;
    for (;;) {
        const struct sim_reply *r = sim_wait(s, sim_scan(s, c, node, cursor[0] ? cursor : NULL, limit));
        expect_status(s, r, KV_OK);
        expect(s, r->proven);
        const char *at = (const char *)r->value.data;
        for (const char *end; (end = strchr(at, '\n')); at = end + 1) {
            snprintf(cursor, sizeof cursor, "%.*s", (int)(end - at), at);
            count++;
        }
        if (r->acked)
            return count;
        expect(s, r->value.len > 0);
    }
}

static void scans_see_each_key_once(void **state)
{
    (void)state;
    struct sim *s = cluster(4, 5);
    uint32_t c = sim_client(s);
    for (uint32_t i = 0; i < 200; i++)
        put_ok(s, c, random_node(s), key_of(i), "v", NULL);
    for (uint32_t i = 0; i < 200; i += 4)
        expect_status(s, sim_wait(s, sim_delete(s, c, random_node(s), key_of(i), NULL)), KV_OK);
    assert_int_equal(count_keys(s, c, 1, 1000), 150);
    assert_int_equal(count_keys(s, c, 2, 7), 150);
    sim_kill(s, 3);
    sim_run(s, SECOND_US);
    assert_int_equal(count_keys(s, c, 4, 50), 150);
    sim_destroy(s);
}

/* ---- load ---- */

#define WINDOW 8

struct load {
    uint32_t clients[4];
    struct stamp acked[KEYS]; /* the newest put that was acknowledged */
    uint32_t ok, failed;
    uint32_t version;
};

static void settle_call(struct sim *s, struct load *l, struct sim_call *call, uint32_t key)
{
    const struct sim_reply *r = sim_wait(s, call);
    if (r->status != KV_OK) {
        l->failed++;
        return;
    }
    l->ok++;
    if (stamp_cmp(r->stamp, l->acked[key]) > 0)
        l->acked[key] = r->stamp;
}

/* So many puts, a few at a time, through random nodes. */
static void run_load(struct sim *s, struct load *l, uint32_t puts, const struct sim_options *options)
{
    struct sim_call *calls[WINDOW] = {0};
    uint32_t keys[WINDOW];
    for (uint32_t i = 0; i < puts + WINDOW; i++) {
        uint32_t slot = i % WINDOW;
        if (calls[slot])
            settle_call(s, l, calls[slot], keys[slot]);
        calls[slot] = NULL;
        if (i >= puts)
            continue;
        keys[slot] = (uint32_t)prng_below(sim_prng(s), KEYS);
        calls[slot] = sim_put(s, l->clients[prng_below(sim_prng(s), 4)], random_node(s), key_of(keys[slot]),
                              value_of(keys[slot], ++l->version), options);
    }
}

static struct load load_create(struct sim *s)
{
    struct load l = {0};
    for (int i = 0; i < 4; i++)
        l.clients[i] = sim_client(s);
    return l;
}

/* Every key is what was acknowledged last, or a later put whose outcome was not known. */
static void expect_nothing_lost(struct sim *s, const struct load *l)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        if (stamp_is_zero(l->acked[i]))
            continue;
        const struct sim_reply *r =
            sim_wait(s, sim_get(s, l->clients[0], random_node(s), key_of(i), &strict));
        expect_status(s, r, KV_OK);
        expect(s, stamp_cmp(r->stamp, l->acked[i]) >= 0);
    }
}

static void kills_and_returns_under_load(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        struct load l = load_create(s);
        uint32_t down[2] = {0, 0};
        for (int round = 0; round < 12; round++) {
            run_load(s, &l, 40, NULL);
            uint32_t *slot = &down[round % 2];
            if (*slot)
                sim_start(s, *slot);
            *slot = *slot ? 0 : random_node(s);
            if (*slot)
                sim_kill(s, *slot);
            sim_run(s, prng_below(sim_prng(s), 4 * SECOND_US));
        }
        for (int i = 0; i < 2; i++)
            if (down[i])
                sim_start(s, down[i]);
        expect(s, sim_run_until(s, is_handed_over, NULL, 20 * SECOND_US));
        expect(s, l.failed * 100 <= l.ok); /* only what was in flight through the node that died */
        expect_nothing_lost(s, &l);
        sim_destroy(s);
    }
}

static void all_killed_under_load(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        struct load l = load_create(s);
        run_load(s, &l, 100, NULL);
        for (uint32_t i = 0; i < 40; i++) /* left behind in flight */
            sim_put(s, l.clients[0], random_node(s), key_of(i), "late", NULL);
        sim_run(s, prng_below(sim_prng(s), 3000));
        for (uint32_t i = 1; i <= 5; i++)
            sim_kill(s, i);
        for (uint32_t i = 1; i <= 5; i++)
            sim_start(s, i);
        expect(s, sim_run_until(s, is_settled, NULL, 5 * SECOND_US));
        expect_nothing_lost(s, &l);
        sim_destroy(s);
    }
}

static bool has_exited(struct sim *s, void *node)
{
    int status;
    return sim_exited(s, *(uint32_t *)node, &status);
}

/* SIGTERM: what was taken is finished, the status is 0, and the others know at once that it left. */
static void stop_is_graceful(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim *s = cluster(seed, 5);
        struct load l = load_create(s);
        run_load(s, &l, 50, NULL);
        struct sim_call *calls[20];
        uint32_t victim = random_node(s), other = 1 + victim % 5;
        for (uint32_t i = 0; i < 20; i++)
            calls[i] = sim_put(s, l.clients[0], victim, key_of(i), "last", NULL);
        sim_run(s, prng_below(sim_prng(s), 2000));
        sim_stop(s, victim);
        for (uint32_t i = 0; i < 20; i++) {
            const struct sim_reply *r = sim_wait(s, calls[i]);
            expect(s, r->status == KV_OK || r->status == KV_E_UNAVAILABLE || r->status == KV_E_CLOSED);
        }
        expect(s, sim_run_until(s, has_exited, &victim, 6 * SECOND_US));
        int status;
        expect(s, sim_exited(s, victim, &status) && status == 0);
        sim_run(s, SECOND_US);
        expect(s, sees(s, other, victim) == MEMBER_LEFT);
        run_load(s, &l, 50, NULL);
        expect(s, l.failed == 0);
        sim_start(s, victim);
        expect(s, sim_run_until(s, is_handed_over, NULL, 20 * SECOND_US));
        expect_nothing_lost(s, &l);
        sim_destroy(s);
    }
}

static void split(struct sim *s, bool cut)
{
    for (uint32_t a = 1; a <= 2; a++)
        for (uint32_t b = 3; b <= 5; b++) {
            sim_cut(s, a, b, cut);
            sim_cut(s, b, a, cut);
        }
}

/* 2|3: under sloppy both sides go on; after healing all agree, by themselves. */
static void partition_heals(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(seed, 5);
        struct load l = load_create(s);
        run_load(s, &l, 50, NULL);
        split(s, true);
        sim_run(s, 15 * SECOND_US);
        expect(s,
               sees(s, 1, 4) == MEMBER_DEAD && sees(s, 4, 1) == MEMBER_DEAD && sees(s, 1, 2) == MEMBER_ALIVE);
        run_load(s, &l, 100, NULL);
        expect(s, l.failed == 0);
        split(s, false);
        expect(s, sim_run_until(s, is_handed_over, NULL, 30 * SECOND_US));
        sim_run(s, SECOND_US);
        for (uint32_t i = 0; i < KEYS; i++)
            if (!stamp_is_zero(l.acked[i]))
                expect_at_home(s, key_of(i));
        expect_nothing_lost(s, &l);
        sim_destroy(s);
    }
}

/* A full disk everywhere: puts are refused, gets go on, nothing is lost, and puts work again by themselves.
 */
static void full_disks(void **state)
{
    (void)state;
    struct sim *s = cluster(1, 5);
    struct load l = load_create(s);
    run_load(s, &l, 100, NULL);
    sim_run(s, SECOND_US);
    for (uint32_t i = 1; i <= 5; i++)
        sim_store_full(sim_store(s, i), true);
    uint32_t c = l.clients[0];
    for (uint32_t i = 1; i <= 5; i++) {
        expect_status(s, sim_wait(s, sim_put(s, c, i, "k", "v", NULL)), KV_E_OVERLOADED);
        sim_run(s, 30 * SECOND_US); /* long past the clock's floor */
        expect_nothing_lost(s, &l);
    }
    for (uint32_t i = 1; i <= 5; i++)
        sim_store_full(sim_store(s, i), false);
    sim_run(s, SECOND_US);
    run_load(s, &l, 50, NULL);
    expect(s, l.failed == 0);
    expect_nothing_lost(s, &l);
    sim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_takes_requests),
        cmocka_unit_test(empty_and_large_values),
        cmocka_unit_test(limits_have_names),
        cmocka_unit_test(dead_nodes),
        cmocka_unit_test(hints_come_home),
        cmocka_unit_test(hints_survive_their_keeper),
        cmocka_unit_test(deletes_are_not_undone),
        cmocka_unit_test(expired_keys_are_absent),
        cmocka_unit_test(retries_are_one_write),
        cmocka_unit_test(scans_see_each_key_once),
        cmocka_unit_test(kills_and_returns_under_load),
        cmocka_unit_test(all_killed_under_load),
        cmocka_unit_test(stop_is_graceful),
        cmocka_unit_test(partition_heals),
        cmocka_unit_test(full_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
