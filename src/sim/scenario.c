/* The table of scenarios, and the verbs that they are written in. */
#include "sim/scenario.h"

#include <stdarg.h>
#include <stdio.h>

#include "sim/run_internal.h"
#include "sim/scenario_table.h"

#define REQUEST_TIMEOUT_MS 2000u

const struct scenario *const scenarios[] = {
#define SCENARIO_ROW(name, ...) &scenario_##name,
    SCENARIO_TABLE(SCENARIO_ROW) HUB_SCENARIO_TABLE(SCENARIO_ROW)
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

enum topology scenario_topology(const struct scenario *scenario, enum topology any)
{
#define SCENARIO_ROW(name, topology)  \
    if (scenario == &scenario_##name) \
        return topology;
    HUB_SCENARIO_TABLE(SCENARIO_ROW)
#undef SCENARIO_ROW
    return any;
}

struct sim *sim_of(struct run *r)
{
    return r->sim;
}

uint64_t seed_of(const struct run *r)
{
    return r->config->seed;
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

void damage(struct run *r, uint32_t node, const char *key)
{
    say(r, "n%u loses its row of %s, and does not know", node, key);
    sim_store_damage(sim_store(r->sim, node), bytes_str(key));
}

/* ---- the ring ---- */

uint32_t join(struct run *r)
{
    uint32_t node = faults_join(r->faults);
    KV_ASSERT(node);
    say(r, "n%u joins", node);
    return node;
}

static void ask_for(struct run *r, enum ring_change_kind kind, uint32_t node, uint32_t weight)
{
    if (!operator_ask(faults_operator(r->faults), kind, node, weight))
        run_violated(r, "scenario", "n%u is no member, and nothing can be asked for it", node);
}

void leave(struct run *r, uint32_t node)
{
    say(r, "n%u is told to leave", node);
    r->sim->tally.counts[TALLY_LEAVE]++;
    ask_for(r, RING_LEAVE, node, 0);
}

void lose(struct run *r, uint32_t node)
{
    say(r, "n%u is lost", node);
    faults_lose(r->faults, node);
}

void reweigh(struct run *r, uint32_t node, uint32_t weight)
{
    say(r, "n%u is given the weight %u", node, weight);
    r->sim->tally.counts[TALLY_WEIGHT]++;
    ask_for(r, RING_WEIGHT, node, weight);
}

void put_back(struct run *r, uint32_t node, uint64_t ms)
{
    faults_begin(r->faults, FAULT_RESTORE, node, 0, ms * 1000);
}

struct talk {
    uint32_t node;
    uint64_t until;
};

static bool has_sent(struct sim *s, void *arg)
{
    const struct talk *t = arg;
    return s->net.sent[t->node].messages >= t->until;
}

void crash_after(struct run *r, uint32_t node, uint64_t count)
{
    struct talk t = {node, r->sim->net.sent[node].messages + count};
    (void)sim_run_until(r->sim, has_sent, &t, UINT64_C(60000000));
    crash(r, node);
}

uint32_t displaced(struct run *r)
{
    const struct ring *ring = sim_ring(r->sim);
    uint32_t lost[SIM_NODES_MAX + 1] = {0}, most = 0;
    for (uint32_t p = 0; p < ring->value.partitions; p++) {
        struct ring_slot slots[REPLICAS_MAX];
        uint32_t count = ring_slots(ring, p, slots);
        for (uint32_t i = 0; i < count; i++)
            if (slots[i].from != slots[i].to)
                lost[sim_process_of(r->sim, slots[i].from)]++;
    }
    for (uint32_t i = 1; i <= r->nodes; i++)
        most = lost[i] && (!most || lost[i] > lost[most]) ? i : most;
    return most;
}

uint64_t epoch_of(struct run *r, uint32_t node)
{
    const struct node *n = sim_node(r->sim, node);
    return n && node_ring(n) ? node_ring(n)->value.epoch : 0;
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

struct copies {
    const char *key;
    uint32_t nodes, wanted;
};

static bool has_copies(struct sim *s, void *arg)
{
    const struct copies *c = arg;
    uint32_t count = 0;
    for (uint32_t i = 1; i <= c->nodes; i++)
        count += sim_store_row(sim_store(s, i), bytes_str(c->key)) != NULL;
    return count == c->wanted;
}

void expect_rows(struct run *r, const char *key, uint32_t count, uint64_t ms)
{
    struct copies c = {key, r->nodes, count};
    uint64_t began_us = sim_now_us(r->sim);
    if (sim_run_until(r->sim, has_copies, &c, ms * 1000))
        say(r, "%u stores have a row of %s, after %.3f s", count, key,
            (double)(sim_now_us(r->sim) - began_us) / 1e6);
    else
        run_violated(r, "scenario", "after %llu ms not exactly %u stores have a row of %s",
                     (unsigned long long)ms, count, key);
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

struct outlook {
    struct run *run;
    enum ring_phase phase;
    uint32_t members;
};

static bool is_in_phase(struct sim *s, void *arg)
{
    return sim_ring(s) && sim_ring(s)->value.phase == ((struct outlook *)arg)->phase;
}

void expect_phase(struct run *r, enum ring_phase phase, uint64_t ms)
{
    struct outlook o = {r, phase, 0};
    if (sim_run_until(r->sim, is_in_phase, &o, ms * 1000))
        say(r, "epoch %llu is in phase %d", (unsigned long long)sim_ring(r->sim)->value.epoch, (int)phase);
    else
        run_violated(r, "scenario", "after %llu ms no ring is in phase %d", (unsigned long long)ms,
                     (int)phase);
}

static bool has_members(struct sim *s, void *arg)
{
    const struct outlook *o = arg;
    const struct ring_value *v = &sim_ring(s)->value;
    return v->phase == RING_STABLE && !v->queue_count && v->member_count == o->members &&
           !operator_waiting(faults_operator(o->run->faults));
}

void expect_members(struct run *r, uint32_t count, uint64_t ms)
{
    struct outlook o = {r, RING_STABLE, count};
    uint64_t began_us = sim_now_us(r->sim);
    if (sim_run_until(r->sim, has_members, &o, ms * 1000))
        say(r, "the ring has %u members and is at rest, after %.3f s", count,
            (double)(sim_now_us(r->sim) - began_us) / 1e6);
    else
        run_violated(r, "scenario", "after %llu ms epoch %llu, phase %u, has %u members and not %u at rest",
                     (unsigned long long)ms, (unsigned long long)sim_ring(r->sim)->value.epoch,
                     sim_ring(r->sim)->value.phase, sim_ring(r->sim)->value.member_count, count);
}

struct successor {
    struct run *run;
    uint32_t node, before;
};

static bool is_replaced(struct sim *s, void *arg)
{
    const struct successor *w = arg;
    faults_revive(w->run->faults, w->node); /* it may have left, since its store was refused */
    return sim_ring(s)->value.phase == RING_STABLE && sim_member(s, w->node) > w->before;
}

void expect_replaced(struct run *r, uint32_t node, uint32_t before, uint64_t ms)
{
    struct successor w = {r, node, before};
    if (sim_run_until(r->sim, is_replaced, &w, ms * 1000))
        say(r, "n%u, that was member %u, is member %u", node, before, sim_member(r->sim, node));
    else
        run_violated(r, "scenario", "after %llu ms n%u is not a new member: %u, and was %u",
                     (unsigned long long)ms, node, sim_member(r->sim, node), before);
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
