#include "sim_support.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed_now;

static void print_log(uint32_t node, uint64_t now_us, const char *text)
{
    fprintf(stderr, "%12.6f n%u %s\n", (double)now_us / 1e6, node, text);
}

struct sim *world_with(struct sim_config config)
{
    if (getenv("SIM_LOG"))
        config.log = print_log;
    seed_now = config.seed;
    return sim_create(&config);
}

struct sim *world(uint64_t seed, uint32_t nodes)
{
    return world_with((struct sim_config){.seed = seed, .nodes = nodes});
}

static uint32_t node_count(struct sim *s)
{
    uint32_t count = 0;
    while (count < SIM_NODES_MAX && sim_setup(s, count + 1)->name[0])
        count++;
    return count;
}

struct sim *cluster(uint64_t seed, uint32_t nodes)
{
    struct sim *s = world(seed, nodes);
    for (uint32_t i = 1; i <= nodes; i++)
        sim_start(s, i);
    expect(s, sim_run_until(s, is_settled, NULL, 20 * SECOND_US));
    return s;
}

static bool reaches_all(struct sim *s, const struct node *n)
{
    for (uint32_t i = 0; i < n->peers.count; i++) {
        const struct peer *p = &n->peers.items[i];
        if (p->reachable != (sim_node(s, p->id) != NULL))
            return false;
    }
    return true;
}

bool is_settled(struct sim *s, void *arg)
{
    (void)arg;
    const struct ring *ring = NULL;
    for (uint32_t i = 1; i <= node_count(s); i++) {
        struct node *n = sim_node(s, i);
        if (!n)
            continue;
        if (!node_serving(n) || !n->started || n->hlc.settled_us > 1000000 + sim_now_us(s))
            return false;
        if (ring && ring->hash != node_ring(n)->hash)
            return false;
        ring = node_ring(n);
        if (!reaches_all(s, n))
            return false;
    }
    return ring != NULL;
}

bool is_handed_over(struct sim *s, void *arg)
{
    if (!is_settled(s, arg))
        return false;
    for (uint32_t i = 1; i <= node_count(s); i++)
        for (uint32_t j = 1; sim_node(s, i) && j <= node_count(s); j++)
            if (sim_node(s, j) && hints_waiting(sim_node(s, i)->hints, j))
                return false;
    return true;
}

void expect_at(struct sim *s, bool ok, const char *text, const char *file, int line)
{
    if (ok)
        return;
    print_message("seed %llu, at %.6f s: not so: %s\n", (unsigned long long)seed_now,
                  (double)sim_now_us(s) / 1e6, text);
    _fail(file, line);
}

void expect_status_at(struct sim *s, const struct sim_reply *r, int want, const char *file, int line)
{
    if (r->done && r->status == want)
        return;
    print_message("seed %llu, at %.6f s: %s, not %s (asked %u, acked %u, needed %u, hinted %u, %llu us)\n",
                  (unsigned long long)seed_now, (double)sim_now_us(s) / 1e6,
                  r->done ? kv_error_word(r->status) : "no answer", kv_error_word(want), r->asked, r->acked,
                  r->needed, r->hinted, (unsigned long long)(r->ended_us - r->began_us));
    _fail(file, line);
}

const struct sim_reply *put_ok_at(struct sim *s, uint32_t client, uint32_t node, const char *key,
                                  const char *value, const struct sim_options *options, const char *file,
                                  int line)
{
    const struct sim_reply *r = sim_wait(s, sim_put(s, client, node, key, value, options));
    expect_status_at(s, r, KV_OK, file, line);
    return r;
}

const struct sim_reply *get_is_at(struct sim *s, uint32_t client, uint32_t node, const char *key,
                                  const char *value, const struct sim_options *options, const char *file,
                                  int line)
{
    const struct sim_reply *r = sim_wait(s, sim_get(s, client, node, key, options));
    expect_status_at(s, r, KV_OK, file, line);
    if (strcmp((const char *)r->value.data, value) != 0) {
        print_message("seed %llu, at %.6f s: %s is '%s', not '%s'\n", (unsigned long long)seed_now,
                      (double)sim_now_us(s) / 1e6, key, (const char *)r->value.data, value);
        _fail(file, line);
    }
    return r;
}

static const struct ring *any_ring(struct sim *s)
{
    for (uint32_t i = 1; i <= node_count(s); i++)
        if (sim_node(s, i) && node_serving(sim_node(s, i)))
            return node_ring(sim_node(s, i));
    return NULL;
}

uint32_t places(struct sim *s, const char *key, uint32_t out[PREFERENCE_MAX])
{
    const struct ring *r = any_ring(s);
    return ring_preference(r, ring_partition(r, key_token(bytes_str(key))), out);
}

enum member_state sees(struct sim *s, uint32_t viewer, uint32_t member)
{
    struct member_view view;
    assert_int_equal(membership_lookup(sim_node(s, viewer), member, &view), KV_OK);
    return view.state;
}

uint32_t random_node(struct sim *s)
{
    for (;;) {
        uint32_t i = 1 + (uint32_t)prng_below(sim_prng(s), node_count(s));
        if (sim_node(s, i))
            return i;
    }
}
