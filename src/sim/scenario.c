/* The table of scenarios, and the verbs that they are written in. */
#include "sim/scenario.h"

#include <stdarg.h>
#include <stdio.h>

#include "sim/run_internal.h"
#include "sim/scenario_table.h"

#define REQUEST_TIMEOUT_MS 2000u

const struct scenario *const scenarios[] = {
#define SCENARIO_ROW(name) &scenario_##name,
    SCENARIO_TABLE(SCENARIO_ROW)
#undef SCENARIO_ROW
        NULL,
};

const struct scenario *scenario_find(const char *name)
{
    for (uint32_t i = 0; scenarios[i]; i++)
        if (strcmp(scenarios[i]->name, name) == 0)
            return scenarios[i];
    return NULL;
}

struct sim *sim_of(struct run *r)
{
    return r->sim;
}

void say(struct run *r, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_say(r->sim, 0, "== %s", text);
}

void rest(struct run *r, uint64_t ms)
{
    sim_run(r->sim, ms * 1000);
}

void load(struct run *r, uint32_t ops_per_s)
{
    (void)ops_per_s;
    workload_begin(r->workload);
}

/* ---- nodes ---- */

void crash(struct run *r, uint32_t node)
{
    say(r, "n%u crashes", node);
    r->sim->tally.counts[TALLY_CRASH]++;
    sim_kill(r->sim, node);
}

void power_cut(struct run *r, uint32_t node)
{
    say(r, "n%u loses power", node);
    r->sim->tally.counts[TALLY_POWER_CUT]++;
    sim_power_cut(r->sim, node);
}

void start(struct run *r, uint32_t node)
{
    say(r, "n%u is started", node);
    (void)sim_start(r->sim, node);
}

static bool is_gone(struct sim *s, void *node)
{
    return !sim_node(s, *(uint32_t *)node);
}

void stop(struct run *r, uint32_t node)
{
    say(r, "n%u is stopped", node);
    r->sim->tally.counts[TALLY_STOP]++;
    sim_stop(r->sim, node);
    if (!sim_run_until(r->sim, is_gone, &node, 10000000))
        run_violated(r, "scenario", "n%u has not stopped after 10 s", node);
}

void hold(struct run *r, uint32_t node)
{
    say(r, "n%u stands still", node);
    r->sim->tally.counts[TALLY_PAUSE]++;
    sim_pause(r->sim, node);
}

void resume(struct run *r, uint32_t node)
{
    say(r, "n%u goes on", node);
    sim_resume(r->sim, node);
}

void wipe(struct run *r, uint32_t node)
{
    faults_begin(r->faults, FAULT_WIPE, node, 0, 1000000);
}

/* ---- the network ---- */

struct sim_link *link_of(struct run *r, uint32_t from, uint32_t to)
{
    return sim_link(r->sim, from, to);
}

void cut_one_way(struct run *r, uint32_t from, uint32_t to)
{
    say(r, "nothing gets from n%u to n%u", from, to);
    sim_cut(r->sim, from, to, true);
}

void cut(struct run *r, uint32_t a, uint32_t b)
{
    say(r, "n%u and n%u are cut off from each other", a, b);
    sim_cut(r->sim, a, b, true);
    sim_cut(r->sim, b, a, true);
}

void split(struct run *r, uint32_t group)
{
    say(r, "the network splits: group %#x and the others", group);
    for (uint32_t i = 0; i <= r->nodes; i++)
        for (uint32_t j = 0; j <= r->nodes; j++)
            if (((group >> i) & 1u) != ((group >> j) & 1u))
                sim_cut(r->sim, i, j, true);
}

void heal(struct run *r)
{
    say(r, "the network is whole");
    sim_heal(r->sim);
}

/* ---- clocks and disks ---- */

void shift_clock(struct run *r, uint32_t node, int64_t ms)
{
    say(r, "the clock of n%u is %+lld ms off", node, (long long)ms);
    r->sim->tally.counts[TALLY_CLOCK_OFFSET]++;
    sim_setup(r->sim, node)->skew_ms = ms;
}

void slow_disk(struct run *r, uint32_t node, uint64_t ms)
{
    say(r, "the disk of n%u takes up to %llu ms", node, (unsigned long long)ms);
    sim_setup(r->sim, node)->disk_extra_us = ms * 1000;
}

void fill_disk(struct run *r, uint32_t node, bool full)
{
    say(r, "the disk of n%u is %s", node, full ? "full" : "no longer full");
    sim_store_full(sim_store(r->sim, node), full);
}

/* ---- requests ---- */

static int ask(struct run *r, const struct workload_ask *what)
{
    workload_ask(r->workload, what, &r->answer);
    while (!r->answer.done)
        sim_run(r->sim, 1000);
    return r->answer.status;
}

int put(struct run *r, const char *key, const char *value, bool strict)
{
    return ask(r, &(struct workload_ask){.kind = HISTORY_PUT,
                                         .key = key,
                                         .value = value,
                                         .strict = strict,
                                         .timeout_ms = REQUEST_TIMEOUT_MS});
}

int del(struct run *r, const char *key, bool strict)
{
    return ask(r, &(struct workload_ask){
                      .kind = HISTORY_DEL, .key = key, .strict = strict, .timeout_ms = REQUEST_TIMEOUT_MS});
}

int get(struct run *r, const char *key, bool strict, const char **value)
{
    int rc = ask(r, &(struct workload_ask){
                        .kind = HISTORY_GET, .key = key, .strict = strict, .timeout_ms = REQUEST_TIMEOUT_MS});
    if (value)
        *value = (const char *)r->answer.value.data;
    return rc;
}

/* ---- what must be seen ---- */

void expect(struct run *r, bool seen, const char *what)
{
    say(r, "%s: %s", what, seen ? "yes" : "no");
    if (!seen)
        run_violated(r, "scenario", "not so: %s", what);
}

void expect_put(struct run *r, const char *key, const char *value, bool strict)
{
    int rc = put(r, key, value, strict);
    if (rc != KV_OK)
        run_violated(r, "scenario", "put %s %s ended as %s", key, value, kv_error_word(rc));
}

void expect_value(struct run *r, const char *key, const char *value, bool strict)
{
    const char *found;
    int rc = get(r, key, strict, &found);
    if (rc != KV_OK || strcmp(found, value) != 0)
        run_violated(r, "scenario", "get %s: %s '%s', not '%s'", key, kv_error_word(rc), found, value);
}

void expect_absent(struct run *r, const char *key)
{
    int rc = get(r, key, true, NULL);
    if (rc != KV_E_NOT_FOUND)
        run_violated(r, "scenario", "get %s: %s, not not_found", key, kv_error_word(rc));
}

struct belief {
    struct run *run;
    uint32_t node, member;
    bool alive;
};

static bool is_believed(struct sim *s, void *arg)
{
    const struct belief *b = arg;
    for (uint32_t i = 1; i <= b->run->nodes; i++) {
        if (i == b->node || !sim_node(s, i))
            continue;
        enum member_state state = sim_look_sees(sim_node(s, i), b->member);
        if (b->alive ? state != MEMBER_ALIVE || !sim_look_reaches(sim_node(s, i), b->member)
                     : state != MEMBER_DEAD && state != MEMBER_LEFT)
            return false;
    }
    return true;
}

static void expect_belief(struct run *r, uint32_t node, bool alive, uint64_t ms)
{
    struct belief b = {r, node, sim_member(r->sim, node), alive};
    uint64_t began_us = sim_now_us(r->sim);
    if (sim_run_until(r->sim, is_believed, &b, ms * 1000))
        say(r, "everybody sees that n%u is %s, after %.3f s", node, alive ? "alive" : "dead",
            (double)(sim_now_us(r->sim) - began_us) / 1e6);
    else
        run_violated(r, "scenario", "after %llu ms not everybody sees that n%u is %s", (unsigned long long)ms,
                     node, alive ? "alive" : "dead");
}

void expect_dead(struct run *r, uint32_t node, uint64_t ms)
{
    expect_belief(r, node, false, ms);
}

void expect_alive(struct run *r, uint32_t node, uint64_t ms)
{
    expect_belief(r, node, true, ms);
}

void expect_never_dead(struct run *r, uint32_t node)
{
    for (uint32_t i = 1; i <= r->nodes; i++)
        if (i != node && sim_node(r->sim, i) &&
            sim_look_sees(sim_node(r->sim, i), sim_member(r->sim, node)) == MEMBER_DEAD)
            run_violated(r, "scenario", "n%u calls n%u dead", i, node);
}

int64_t lead_of(struct run *r, uint32_t node)
{
    return sim_look_lead_ms(sim_node(r->sim, node));
}

uint32_t places_of(struct run *r, const char *key, uint32_t out[PREFERENCE_MAX])
{
    const struct ring *ring = sim_ring(r->sim);
    if (!ring)
        return 0;
    uint32_t count = ring_preference(ring, ring_partition(ring, key_token(bytes_str(key))), out);
    for (uint32_t i = 0; i < count; i++)
        out[i] = sim_process_of(r->sim, out[i]);
    return count;
}
